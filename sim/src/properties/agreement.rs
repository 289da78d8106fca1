//! `replicas-agree`: in the end, an instance that follows the primary holds nothing that the primary does not.
//!
//! A database that was a primary may hold transactions that nobody else ever had. Set up to follow its
//! successor it replicates without an error: it is asked for what it lacks, and never for what it has too much.
//! What it holds shows when it is read, or when it takes over. So it is compared, write by write.
//!
//! What came in the last moments is left out: with semi-synchronous replication a replica has a write before the
//! primary has finished with it.

use std::time::Duration;

use super::ledgers::Ledgers;
use super::state::State;
use super::{Property, Violation};
use crate::record::Event;

/// How long before the end a write must have been there to count.
const SETTLED: Duration = Duration::from_secs(10);

/// Judges the whole record, which ends with `last`.
pub(super) fn finish(state: &State, ledgers: &Ledgers, last: Option<&Event>, out: &mut Vec<Violation>) {
    let primaries: Vec<_> = state.writable_primaries().collect();
    // None, or several, are somebody else's business.
    let ([primary], Some(last)) = (&primaries[..], last) else { return };
    let Some(whole) = ledgers.running().find(|ledger| ledger.host == *primary) else { return };
    for ledger in ledgers.running().filter(|ledger| ledger.host != *primary) {
        if state.not_following(&ledger.host, primary).is_some() {
            continue;
        }
        let errant = ledger
            .held
            .iter()
            .find(|(write, held)| held.since.at + SETTLED <= last.at && !whole.held.contains_key(write));
        if let Some((write, held)) = errant {
            let host = ledger.host.clone();
            let detail =
                format!("{host} follows {primary} and holds write {write}, which {primary} never had");
            let (step, at) = (held.since.step, held.since.at);
            out.push(Violation { property: Property::ReplicasAgree, step, at, host, detail });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Property;
    use super::super::testing::{Script, violated};

    fn details(script: &Script) -> Vec<String> {
        violated(script, Property::ReplicasAgree).into_iter().map(|violation| violation.detail).collect()
    }

    /// Two instances with a write on both, and one more that only the replica has.
    fn errant() -> Script {
        let mut script = Script::new();
        for host in ["mysql-1", "mysql-2"] {
            script.launched(host).data_directory(host, "set up", &[]);
        }
        script.healthy_primary("mysql-1").healthy_replica("mysql-2", "mysql-1");
        script.at(1_000).committed("mysql-1", 1).committed("mysql-2", 1);
        script.at(2_000).committed("mysql-2", 2);
        script
    }

    #[test]
    fn what_only_a_replica_has_is_too_much() {
        let mut script = errant();
        script.at(60_000).finished();
        assert_eq!(details(&script), ["mysql-2 follows mysql-1 and holds write 2, which mysql-1 never had"]);
    }

    #[test]
    fn it_is_not_while_the_primary_may_be_about_to_have_it() {
        let mut script = errant();
        script.at(11_999).finished();
        assert!(details(&script).is_empty());
    }

    #[test]
    fn it_is_not_once_the_primary_has_it_or_nobody_follows() {
        let mut script = errant();
        script.at(3_000).committed("mysql-1", 2).at(60_000).finished();
        assert!(details(&script).is_empty());
        let mut script = errant();
        script.at(3_000).replication("mysql-2", "mysql-1", false, true).at(60_000).finished();
        assert!(details(&script).is_empty());
    }
}
