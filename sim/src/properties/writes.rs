//! `acknowledged-writes-survive`: no acknowledged write is lost while an instance that had received it
//! survived.
//!
//! Judged at the end of the record, and only when exactly one instance takes writes then: the final
//! primary. A write is *lost* when all of this holds:
//!
//! - a client was told that it is committed,
//! - the final primary does not have it: it neither committed it nor set up its data directory with it
//!   since,
//! - and some container that runs at the end once had it on its disk: committed, received into its relay
//!   log, or in a data directory it set up. The final primary itself may be that container, and it does
//!   not matter that its data was wiped since. Or the last disk it was on went away with a container that
//!   ended by itself, and not by a fault: to start over with the only copy is to throw it away.
//!
//! So a write that a fault took down with the only disk it was on is not lost in this sense: no election
//! could have saved it. A write that anybody alive once had could have been saved, by asking around before
//! choosing, or by not wiping. A replica that must confirm before a client is told makes sure there is
//! somebody.
//!
//! All lost writes are one violation, at the moment the first of them was both acknowledged and out of reach:
//! the final primary was the only one, and it follows nobody.

use std::collections::{BTreeMap, BTreeSet};

use super::ledgers::{Ledgers, Moment};
use super::state::State;
use super::{Property, Violation, moment};
use crate::record::{Event, What, WriteOutcome};

/// How many writes a violation names.
const NAMED: usize = 5;

#[derive(Debug, Default)]
pub(super) struct Writes {
    /// By write.
    acknowledged: BTreeMap<u64, Acknowledged>,
    /// The only writable primary, and since when.
    primary: Option<(String, Moment)>,
    revision: u64,
}

#[derive(Debug)]
struct Acknowledged {
    by: String,
    moment: Moment,
}

impl Writes {
    /// Takes in `event`, which `state` knows already.
    pub(super) fn see(&mut self, event: &Event, state: &State) {
        let now = Moment::of(event);
        if let What::Write { id, outcome: WriteOutcome::Acknowledged { by } } = &event.what {
            self.acknowledged.entry(*id).or_insert_with(|| Acknowledged { by: by.clone(), moment: now });
        }
        if self.revision != state.revision {
            self.revision = state.revision;
            let primary = state.only_writable_primary();
            if self.primary.as_ref().map(|(host, _)| host.as_str()) != primary {
                self.primary = primary.map(|host| (host.to_owned(), now));
            }
        }
    }

    /// Judges the whole record.
    pub(super) fn finish(&self, ledgers: &Ledgers, out: &mut Vec<Violation>) {
        let Some((primary, since)) = &self.primary else {
            return;
        };
        let has = |write| ledgers.of(primary).is_some_and(|ledger| ledger.held.contains_key(&write));
        let alive: Vec<_> = ledgers.survivors().collect();
        let thrown_away: Vec<_> = ledgers.thrown_away().collect();
        let could_be_saved =
            |write| alive.iter().chain(&thrown_away).any(|(_, writes)| writes.contains(write));
        let lost: Vec<_> =
            self.acknowledged.iter().filter(|(write, _)| !has(**write) && could_be_saved(write)).collect();
        let Some((first, acknowledged)) = lost.iter().min_by_key(|(_, acknowledged)| acknowledged.moment)
        else {
            return;
        };
        let with = |disks: &[(&str, &BTreeSet<u64>)]| {
            let hosts = disks.iter().filter(|(_, writes)| writes.contains(first)).map(|(host, _)| *host);
            hosts.collect::<Vec<_>>().join(" and ")
        };
        let mut why = format!("though {} once had it", with(&alive));
        if with(&alive).is_empty() {
            why = format!("though {} ended by itself with the last copy", with(&thrown_away));
        }
        let moment_lost = acknowledged.moment.max(*since);
        out.push(Violation {
            property: Property::AcknowledgedWritesSurvive,
            step: moment_lost.step,
            at: moment_lost.at,
            host: primary.clone(),
            detail: format!(
                "{}, acknowledged by {} at {}, not on {primary}, the primary at the end, {why}",
                named(**first, lost.iter().map(|(write, _)| **write)),
                acknowledged.by,
                moment(acknowledged.moment.at),
            ),
        });
    }
}

/// `write 41`, or `writes 41, 42 and 3 more, the first`, with the one that was acknowledged first in front.
fn named(first: u64, all: impl Iterator<Item = u64>) -> String {
    let others: Vec<_> = all.filter(|write| *write != first).collect();
    if others.is_empty() {
        return format!("write {first}");
    }
    let mut words = format!("writes {first}");
    for write in others.iter().take(NAMED - 1) {
        words += &format!(", {write}");
    }
    if others.len() > NAMED - 1 {
        words += &format!(" and {} more", others.len() - (NAMED - 1));
    }
    words + ", the first"
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Script, violated};
    use super::super::{Property, Violation};

    fn found(script: &Script) -> Vec<Violation> {
        violated(script, Property::AcknowledgedWritesSurvive)
    }

    /// `mysql-1` leads, `mysql-2` and `mysql-3` follow; write 1 is everywhere.
    fn three() -> Script {
        let mut script = Script::new();
        script.healthy_primary("mysql-1");
        script.healthy_replica("mysql-2", "mysql-1").healthy_replica("mysql-3", "mysql-1");
        for host in ["mysql-1", "mysql-2", "mysql-3"] {
            script.committed(host, 1);
        }
        script.acknowledged(1, "mysql-1");
        script
    }

    #[test]
    fn a_write_is_lost_only_if_somebody_alive_once_had_it() {
        type Had = fn(&mut Script);
        let cases: [(&str, Had, usize); 14] = [
            ("the dead primary alone", |_| {}, 0),
            ("received by a replica that lost the election", |script| _ = script.received("mysql-3", 2), 1),
            ("applied by it", |script| _ = script.received("mysql-3", 2).committed("mysql-3", 2), 1),
            (
                "received by it after the client was told",
                |script| {
                    script.acknowledged(2, "mysql-1").received("mysql-3", 2);
                },
                1,
            ),
            (
                "received and wiped",
                |script| {
                    script.received("mysql-3", 2).data_directory("mysql-3", "installed", &[]);
                },
                1,
            ),
            (
                "in a snapshot that was restored and wiped",
                |script| {
                    script.data_directory("mysql-3", "restored", &[1, 2]);
                    script.data_directory("mysql-3", "installed", &[]);
                },
                1,
            ),
            (
                "received by a replica that is gone",
                |script| _ = script.received("mysql-3", 2).ended("mysql-3"),
                0,
            ),
            (
                "received by a replica that was replaced on the spot",
                |script| {
                    script.received("mysql-3", 2).ended("mysql-3").launched("mysql-3");
                },
                0,
            ),
            (
                "received by a replica that was replaced and set up anew",
                |script| {
                    script.received("mysql-3", 2).ended("mysql-3").launched("mysql-3");
                    script.data_directory("mysql-3", "restored", &[1]).up("mysql-3", true);
                },
                0,
            ),
            (
                "received by a replica that was started again with its disk",
                |script| {
                    script.received("mysql-3", 2).ended("mysql-3");
                    script.launched("mysql-3").up("mysql-3", true);
                },
                1,
            ),
            ("received but not applied by the final primary", |script| _ = script.received("mysql-2", 2), 1),
            (
                "applied by the final primary, which was started again",
                |script| {
                    script.committed("mysql-2", 2).committed("mysql-3", 2);
                    script.ended("mysql-2").launched("mysql-2").up("mysql-2", true);
                },
                0,
            ),
            ("applied by the final primary", |script| _ = script.committed("mysql-2", 2), 0),
            ("applied by both", |script| _ = script.committed("mysql-2", 2).committed("mysql-3", 2), 0),
        ];
        for (name, had, lost) in cases {
            let mut script = three();
            script.committed("mysql-1", 2);
            had(&mut script);
            script.acknowledged(2, "mysql-1").ended("mysql-1");
            script.replication("mysql-2", "", false, false).writable("mysql-2", true);
            assert_eq!(found(&script).len(), lost, "{name}");
        }
    }

    #[test]
    fn only_what_a_client_was_told_counts() {
        type Told = fn(&mut Script);
        let cases: [(&str, Told, usize); 4] = [
            ("acknowledged", |script| _ = script.acknowledged(2, "mysql-1"), 1),
            ("refused", |script| _ = script.refused(2), 0),
            ("unknown", |script| _ = script.unknown(2), 0),
            ("nothing", |_| {}, 0),
        ];
        for (name, told, lost) in cases {
            let mut script = three();
            script.committed("mysql-1", 2).received("mysql-3", 2);
            told(&mut script);
            script.ended("mysql-1").replication("mysql-2", "", false, false).writable("mysql-2", true);
            assert_eq!(found(&script).len(), lost, "{name}");
        }
    }

    #[test]
    fn the_old_primary_is_a_survivor_even_if_it_was_wiped_to_follow() {
        let mut script = three();
        script.committed("mysql-1", 2).acknowledged(2, "mysql-1").writable("mysql-1", false);
        script.replication("mysql-2", "", false, false);
        let takes_over = script.writable("mysql-2", true).last_step();
        script.data_directory("mysql-1", "restored", &[1]).replication("mysql-1", "mysql-2", true, true);
        let found = found(&script);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].step, found[0].host.as_str()), (takes_over, "mysql-2"));
        assert_eq!(
            found[0].detail,
            "write 2, acknowledged by mysql-1 at 0.000 s, not on mysql-2, the primary at the end, though mysql-1 \
             once had it",
        );
    }

    #[test]
    fn a_write_whose_answer_came_late_is_lost_when_it_came() {
        let mut script = three();
        script
            .committed("mysql-1", 2)
            .received("mysql-3", 2)
            .ended("mysql-1")
            .at(5_000)
            .primary_server("mysql-2");
        let answered = script.at(6_000).acknowledged(2, "mysql-1").last_step();
        script.at(7_000).committed("mysql-2", 3);
        let lost = found(&script);
        assert_eq!(lost.len(), 1);
        assert_eq!(lost[0].step, answered);
        assert!(lost[0].detail.starts_with("write 2, acknowledged by mysql-1 at 6.000 s"));
    }

    #[test]
    fn an_empty_primary_that_went_back_to_a_snapshot_loses_what_came_after_it() {
        let mut script = three();
        for write in 2..10 {
            script.committed("mysql-1", write).received("mysql-3", write).acknowledged(write, "mysql-1");
        }
        script.ended("mysql-1").launched("mysql-4").data_directory("mysql-4", "restored", &[1, 2]);
        script.primary_server("mysql-4");
        let found = found(&script);
        assert_eq!(found.len(), 1);
        assert!(
            found[0]
                .detail
                .starts_with("writes 3, 4, 5, 6, 7 and 2 more, the first, acknowledged by mysql-1")
        );
    }

    #[test]
    fn a_write_to_a_second_primary_is_lost_when_it_is_acknowledged() {
        let mut script = three();
        script.ended("mysql-1").at(2_000).primary_server("mysql-2").primary_server("mysql-3");
        let step = script.at(3_000).committed("mysql-3", 2).acknowledged(2, "mysql-3").last_step();
        script.at(4_000).writable("mysql-3", false);
        let lost = found(&script);
        assert_eq!(lost.len(), 1);
        // Until the second one gives in, nobody knows which of them is the primary.
        assert_eq!(lost[0].step, script.last_step());
        assert!(lost[0].step > step);
    }

    #[test]
    fn a_container_that_ends_by_itself_with_the_last_copy_throws_it_away() {
        type End = fn(&mut Script);
        let cases: [(&str, End, usize); 8] = [
            ("killed", |s| _ = s.ended("mysql-1"), 0),
            ("by itself", |s| _ = s.exited("mysql-1"), 1),
            ("told to stop", |s| _ = s.fault_began("mysql-1", "stop leader").exited("mysql-1"), 0),
            ("its disk broke", |s| _ = s.fault_began("mysql-1", "fail-disk leader").exited("mysql-1"), 0),
            ("after a pause", |s| _ = s.fault_began("mysql-1", "pause leader").exited("mysql-1"), 1),
            (
                "by itself, and another had it and is killed",
                |s| {
                    s.received("mysql-3", 2).exited("mysql-1").ended("mysql-3");
                },
                0,
            ),
            (
                "by itself after the other was killed",
                |s| {
                    s.received("mysql-3", 2).ended("mysql-3").exited("mysql-1");
                },
                1,
            ),
            (
                "by itself, having been replaced on the spot after a fault",
                |s| {
                    s.fault_began("mysql-1", "kill leader").ended("mysql-1").launched("mysql-1");
                    s.data_directory("mysql-1", "restored", &[1, 2]).exited("mysql-1");
                },
                1,
            ),
        ];
        for (name, end, lost) in cases {
            let mut script = three();
            script.committed("mysql-1", 2).acknowledged(2, "mysql-1");
            end(&mut script);
            script.replication("mysql-2", "", false, false).writable("mysql-2", true);
            assert_eq!(found(&script).len(), lost, "{name}");
        }
    }

    #[test]
    fn what_a_loss_of_power_took_from_a_disk_was_never_there() {
        let mut script = three();
        script.committed("mysql-1", 2).received("mysql-3", 2).acknowledged(2, "mysql-1");
        script.fault_began("mysql-3", "power-loss replica").ended("mysql-3").launched("mysql-3");
        script.data_directory("mysql-3", "recovered", &[1]).up("mysql-3", true);
        script.ended("mysql-1").replication("mysql-2", "", false, false).writable("mysql-2", true);
        assert!(found(&script).is_empty());
        script.received("mysql-3", 2);
        assert_eq!(found(&script).len(), 1);
    }

    #[test]
    fn without_exactly_one_primary_at_the_end_there_is_nothing_to_judge() {
        let mut script = three();
        script.committed("mysql-1", 2).received("mysql-3", 2).acknowledged(2, "mysql-1").ended("mysql-1");
        assert!(found(&script).is_empty());
        script.primary_server("mysql-2").primary_server("mysql-3");
        assert!(found(&script).is_empty());
    }
}
