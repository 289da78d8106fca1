//! `writes-in-order`: no instance holds a client's write without the one that the same client was told of
//! before, by the same database.
//!
//! A client writes one after the other. What one database acknowledged to it went into one binary log, in
//! that order, and whoever has the later of two has the earlier, or the log was broken on the way: its end
//! was lost, or a number was handed out twice. Writes that different databases acknowledged are not
//! compared: that the earlier is missing then is a loss, and `acknowledged-writes-survive` judges it.
//!
//! Judged at the end, over every data directory there ever was. The violation is at the moment the first of
//! them held a write without the one before it.

use std::collections::BTreeMap;

use super::ledgers::{Ledgers, Moment};
use super::{Property, Violation, moment};
use crate::record::{Event, What, WriteOutcome};

#[derive(Debug, Clone, Copy)]
struct Told {
    write: u64,
    /// By which data directory.
    ledger: usize,
    moment: Moment,
}

#[derive(Debug, Default)]
pub(super) struct Order {
    /// The last that each client was told of.
    last: BTreeMap<String, Told>,
    /// Writes, and the one that came before each.
    pairs: Vec<(Told, Told)>,
}

impl Order {
    /// Takes in `event`, which `ledgers` know already.
    pub(super) fn see(&mut self, event: &Event, ledgers: &Ledgers) {
        let What::Write { id, outcome: WriteOutcome::Acknowledged { by } } = &event.what else {
            return;
        };
        let Some(ledger) = ledgers.place_of(by) else { return };
        let told = Told { write: *id, ledger, moment: Moment::of(event) };
        if let Some(last) = self.last.get_mut(&event.host) {
            if last.ledger == ledger {
                self.pairs.push((*last, told));
            }
            *last = told;
        } else {
            self.last.insert(event.host.clone(), told);
        }
    }

    /// Judges the whole record.
    pub(super) fn finish(&self, ledgers: &Ledgers, out: &mut Vec<Violation>) {
        let found = self.pairs.iter().flat_map(|(before, after)| {
            ledgers.all().iter().filter_map(move |ledger| {
                let held = ledger.held.get(&after.write)?;
                let missing = !ledger.held.contains_key(&before.write);
                missing.then(|| (held.since.max(before.moment), ledger, before, after))
            })
        });
        let Some((at, ledger, before, after)) = found.min_by_key(|(at, ..)| *at) else {
            return;
        };
        out.push(Violation {
            property: Property::WritesInOrder,
            step: at.step,
            at: at.at,
            host: ledger.host.clone(),
            detail: format!(
                "{} holds write {} without write {}, which the same database acknowledged before it, at {}",
                ledger.host,
                after.write,
                before.write,
                moment(before.moment.at),
            ),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Script, violated};
    use super::super::{Property, Violation};

    fn found(script: &Script) -> Vec<Violation> {
        violated(script, Property::WritesInOrder)
    }

    fn two() -> Script {
        let mut script = Script::new();
        script.healthy_primary("mysql-1").healthy_replica("mysql-2", "mysql-1");
        for host in ["mysql-1", "mysql-2"] {
            script.data_directory(host, "restored", &[]);
        }
        script
    }

    #[test]
    fn a_gap_is_seen_where_it_is() {
        type Rest = fn(&mut Script);
        let cases: [(&str, Rest, Option<&str>); 7] = [
            ("none", |s| _ = s.committed("mysql-2", 1).committed("mysql-2", 2), None),
            ("the later one is not there yet", |s| _ = s.committed("mysql-2", 1), None),
            ("only the later one is there", |s| _ = s.committed("mysql-2", 2), Some("mysql-2")),
            (
                "filled later: in the end nothing is missing",
                |s| _ = s.committed("mysql-2", 2).committed("mysql-2", 1),
                None,
            ),
            ("in a snapshot", |s| _ = s.data_directory("mysql-3", "restored", &[2]), Some("mysql-3")),
            ("in a whole snapshot", |s| _ = s.data_directory("mysql-3", "restored", &[1, 2]), None),
            (
                "the primary lost the end of its log and went on",
                |s| {
                    s.data_directory("mysql-1", "recovered", &[1]).committed("mysql-1", 3);
                    s.acknowledged(3, "mysql-1");
                },
                Some("mysql-1"),
            ),
        ];
        for (name, rest, host) in cases {
            let mut script = two();
            for write in [1, 2] {
                script.committed("mysql-1", write).acknowledged(write, "mysql-1");
            }
            rest(&mut script);
            let found = found(&script);
            assert_eq!(found.first().map(|violation| violation.host.as_str()), host, "{name}");
        }
    }

    #[test]
    fn the_violation_is_at_the_write_without_the_one_before() {
        let mut script = two();
        script.committed("mysql-1", 1).acknowledged(1, "mysql-1");
        script.committed("mysql-1", 2).acknowledged(2, "mysql-1");
        let step = script.committed("mysql-2", 2).last_step();
        script.committed("mysql-1", 3).committed("mysql-2", 3).acknowledged(3, "mysql-1");
        let found = found(&script);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].step, step);
        assert_eq!(
            found[0].detail,
            "mysql-2 holds write 2 without write 1, which the same database acknowledged before it, at 0.000 s"
        );
    }

    #[test]
    fn what_another_database_acknowledged_is_not_compared() {
        let mut script = two();
        script.committed("mysql-1", 1).acknowledged(1, "mysql-1").ended("mysql-1");
        script.committed("mysql-2", 2).acknowledged(2, "mysql-2");
        assert!(found(&script).is_empty());
        // Nor what another data directory of the same machine did.
        let mut script = two();
        script.committed("mysql-1", 1).acknowledged(1, "mysql-1").ended("mysql-1").launched("mysql-1");
        script.data_directory("mysql-1", "restored", &[]);
        script.committed("mysql-1", 2).acknowledged(2, "mysql-1");
        assert!(found(&script).is_empty());
    }
}
