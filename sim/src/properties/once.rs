//! `writes-happen-once`: at the end, a write is one transaction, and a transaction one write, on all
//! instances that run.
//!
//! A client that tries again under the same key relies on the table to take it once. One table does. But
//! two databases that both took writes may each have taken it, as transactions of their own; and a database
//! that lost the end of its log hands the same numbers out again, for other writes. Either way instances
//! differ and replication will not mend it: what one has under a number, the other thinks it has.
//!
//! What is known only from a snapshot says nothing about transactions and is not compared. The violation is
//! at the moment the second of the two was committed.

use std::collections::BTreeMap;

use super::ledgers::{Held, Ledger, Ledgers, Moment};
use super::{Property, Violation};

/// Judges the whole record.
pub(super) fn finish(ledgers: &Ledgers, out: &mut Vec<Violation>) {
    let mut by_write = BTreeMap::new();
    let mut by_transaction = BTreeMap::new();
    let mut first: Option<(Moment, &Ledger, String)> = None;
    for ledger in ledgers.running() {
        for (write, held) in &ledger.held {
            let Some(transaction) = held.transaction else { continue };
            let seen = (*write, transaction, ledger, held);
            let same_write: Seen<'_> = *by_write.entry(*write).or_insert(seen);
            let same_transaction: Seen<'_> = *by_transaction.entry(transaction).or_insert(seen);
            let here = &ledger.host;
            let (other, detail) = if same_write.1 != transaction {
                let there = &same_write.2.host;
                (same_write, format!("write {write} is one transaction on {there} and another on {here}"))
            } else if same_transaction.0 != *write {
                let (other, _, there, _) = same_transaction;
                let there = &there.host;
                let detail =
                    format!("one transaction is write {other} on {there} and write {write} on {here}");
                (same_transaction, detail)
            } else {
                continue;
            };
            let at = held.since.max(other.3.since);
            if first.as_ref().is_none_or(|(known, ..)| at < *known) {
                first = Some((at, ledger, detail));
            }
        }
    }
    if let Some((Moment { step, at }, ledger, detail)) = first {
        let host = ledger.host.clone();
        out.push(Violation { property: Property::WritesHappenOnce, step, at, host, detail });
    }
}

/// A write, the transaction it is, and where.
type Seen<'a> = (u64, (usize, u64), &'a Ledger, &'a Held);

#[cfg(test)]
mod tests {
    use super::super::testing::{Script, violated};
    use super::super::{Property, Violation};

    fn found(script: &Script) -> Vec<Violation> {
        violated(script, Property::WritesHappenOnce)
    }

    fn two() -> Script {
        let mut script = Script::new();
        script.healthy_primary("mysql-1").healthy_replica("mysql-2", "mysql-1");
        script
    }

    #[test]
    fn a_table_of_cases() {
        type Rest = fn(&mut Script);
        let cases: [(&str, Rest, usize); 7] = [
            ("the same everywhere", |s| _ = s.transaction("mysql-2", "a:1", 1), 0),
            ("only in one place", |_| {}, 0),
            ("written again elsewhere", |s| _ = s.transaction("mysql-2", "b:1", 1), 1),
            ("another write under the same number", |s| _ = s.transaction("mysql-2", "a:1", 2), 1),
            (
                "written again, and the first is gone",
                |s| _ = s.transaction("mysql-2", "b:1", 1).ended("mysql-1"),
                0,
            ),
            (
                "written again, and the first was replaced by a snapshot",
                |s| {
                    s.transaction("mysql-2", "b:1", 1).data_directory("mysql-1", "restored", &[1]);
                },
                0,
            ),
            (
                "both",
                |s| {
                    s.transaction("mysql-2", "b:1", 1);
                    s.transaction("mysql-2", "a:1", 2);
                },
                1,
            ),
        ];
        for (name, rest, count) in cases {
            let mut script = two();
            script.transaction("mysql-1", "a:1", 1);
            rest(&mut script);
            assert_eq!(found(&script).len(), count, "{name}");
        }
    }

    #[test]
    fn the_violation_is_at_the_second_transaction() {
        let mut script = two();
        script.transaction("mysql-1", "a:1", 1);
        let step = script.transaction("mysql-2", "b:1", 1).last_step();
        script.transaction("mysql-1", "a:2", 2).transaction("mysql-2", "b:2", 2);
        let found = found(&script);
        assert_eq!((found[0].step, found[0].host.as_str()), (step, "mysql-2"));
        assert_eq!(found[0].detail, "write 1 is one transaction on mysql-1 and another on mysql-2");
    }
}
