//! `cluster-converges`: when the faults are over the cluster becomes whole within the bound, and stays it.
//!
//! The cluster is whole when
//!
//! - exactly one instance takes writes and follows nobody: the primary,
//! - the primary is in the catalog as `mysql-primary`, and passes,
//! - and as many others as the header says run, receive and apply from the primary without an error, and
//!   are in the catalog as `mysql`, and pass.
//!
//! Nothing is said of the lock: it is a means, and a cluster is of use to its clients without it. Nor of
//! data: that is `acknowledged-writes-survive`. An instance too many does no harm unless it takes writes.
//!
//! It has to be whole at the deadline, or at the end of a run that was over before because the cluster had
//! been whole for as long as it takes to be steady. Only settled moments count: events of the same instant are
//! taken together. A record that ends before without that proves nothing, and that is a violation of its own
//! kind; [`What::Finished`] tells when a run was over.
//!
//! [`What::Finished`]: crate::record::What::Finished

use std::time::Duration;

use super::state::State;
use super::{CLUSTER, PRIMARY, Property, Violation, moment};
use crate::record::{Event, Header, What};

/// The name a replica is in the catalog under.
const REPLICA: &str = "mysql";

#[derive(Debug)]
pub(crate) struct Convergence {
    instances: usize,
    quiet_at: Duration,
    deadline: Duration,
    steady: Duration,
    finished: bool,
    /// Step and time of the last event up to the deadline.
    last: Option<(u64, Duration)>,
    whole_since: Option<Duration>,
    /// The state that was judged last.
    revision: Option<u64>,
    /// What was missing at the deadline, or at the end of a run that was over before.
    at_deadline: Option<Vec<Lack>>,
}

/// Something that keeps the cluster from being whole.
#[derive(Debug)]
struct Lack {
    host: String,
    what: String,
}

impl Convergence {
    /// Before the first event.
    pub(crate) fn new(header: &Header) -> Self {
        Self {
            instances: header.instances,
            quiet_at: header.quiet_at,
            deadline: header.quiet_at.saturating_add(header.bound),
            steady: header.steady,
            finished: false,
            last: None,
            whole_since: None,
            revision: None,
            at_deadline: None,
        }
    }

    /// Judges `state` as it settled before `event`.
    pub(super) fn before(&mut self, event: &Event, state: &State) {
        if self.at_deadline.is_some() {
            return;
        }
        if self.last.is_some_and(|(_, at)| event.at > at) {
            self.settle(state);
        }
        if event.at > self.deadline {
            self.at_deadline = Some(self.lacks(state));
        }
    }

    /// Takes in `event`.
    pub(super) fn see(&mut self, event: &Event) {
        if self.at_deadline.is_none() {
            self.last = Some((event.step, event.at));
            self.finished = event.what == What::Finished;
        }
    }

    /// From when on the cluster is whole for long enough if it stays as it is in `state`.
    pub(super) fn steady_from(&mut self, state: &State) -> Option<Duration> {
        self.settle(state);
        self.whole_since.map(|since| since.max(self.quiet_at).saturating_add(self.steady))
    }

    /// Judges the whole record, and says since when the cluster was whole for good.
    pub(super) fn finish(mut self, state: &State, out: &mut Vec<Violation>) -> Option<Duration> {
        self.end(state);
        let (step, at) = self.last.unwrap_or_default();
        let (host, detail) = match &self.at_deadline {
            None => (CLUSTER.to_owned(), "record ends before the deadline".to_owned()),
            Some(lacks) => {
                let Some(first) = lacks.first() else {
                    return self.whole_since;
                };
                let words: Vec<_> = lacks.iter().map(|lack| lack.what.as_str()).collect();
                let words = words.join("; ");
                (first.host.clone(), format!("not whole at {}: {words}", moment(self.deadline)))
            }
        };
        out.push(Violation { property: Property::ClusterConverges, step, at, host, detail });
        None
    }

    /// How long after the faults the cluster was whole for good.
    pub(super) fn recovery(mut self, state: &State) -> Option<Duration> {
        self.end(state);
        self.at_deadline.as_ref()?;
        self.whole_since.map(|since| since.saturating_sub(self.quiet_at))
    }

    /// Whether the cluster is whole in `state`.
    pub(crate) fn is_whole(&self, state: &State) -> bool {
        self.lacks(state).is_empty()
    }

    fn end(&mut self, state: &State) {
        let Some((_, at)) = self.last.filter(|_| self.at_deadline.is_none()) else { return };
        let steady = self.steady_from(state).is_some_and(|from| from <= at);
        if at >= self.deadline || self.finished && steady {
            self.at_deadline = Some(self.lacks(state));
        }
    }

    fn settle(&mut self, state: &State) {
        if self.revision == Some(state.revision) {
            return;
        }
        self.revision = Some(state.revision);
        let since = self.whole_since.or(self.last.map(|(_, at)| at));
        self.whole_since = since.filter(|_| self.lacks(state).is_empty());
    }

    fn lacks(&self, state: &State) -> Vec<Lack> {
        let primaries: Vec<_> = state.writable_primaries().collect();
        let primary = match primaries[..] {
            [primary] => primary,
            [] => {
                return vec![Lack { host: CLUSTER.to_owned(), what: "no instance takes writes".to_owned() }];
            }
            [first, ..] => {
                return vec![Lack {
                    host: first.to_owned(),
                    what: format!("{} take writes", primaries.join(" and ")),
                }];
            }
        };
        let mut lacks = Vec::new();
        if !state.is_passing(primary, PRIMARY) {
            lacks.push(Lack {
                host: primary.to_owned(),
                what: format!("{primary} takes writes but does not pass as {PRIMARY}"),
            });
        }
        let needed = self.instances.saturating_sub(1);
        let mut replicas = 0;
        let mut running = 0;
        let mut broken = Vec::new();
        for (host, _) in
            state.instances.iter().filter(|(host, instance)| instance.running && *host != primary)
        {
            running += 1;
            let lack = state
                .not_following(host, primary)
                .map(|why| format!("{host} is no replica of {primary}: {why}"))
                .or_else(|| {
                    (!state.is_passing(host, REPLICA))
                        .then(|| format!("{host} follows {primary} but does not pass as {REPLICA}"))
                });
            match lack {
                None => replicas += 1,
                Some(what) => broken.push(Lack { host: host.clone(), what }),
            }
        }
        if replicas < needed {
            lacks.append(&mut broken);
            if running < needed {
                lacks.push(Lack {
                    host: CLUSTER.to_owned(),
                    what: format!("{} of {} instances run", running + 1, self.instances),
                });
            }
        }
        lacks
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::testing::{BOUND, QUIET_AT, STEADY, Script, violated};
    use super::super::{Property, recovery};

    /// In milliseconds.
    const DEADLINE: u64 = QUIET_AT + BOUND;

    fn details(script: &Script) -> Vec<String> {
        violated(script, Property::ClusterConverges).into_iter().map(|violation| violation.detail).collect()
    }

    fn recovered(script: &Script) -> Option<u64> {
        recovery(&script.record()).map(|time| u64::try_from(time.as_millis()).expect("short"))
    }

    /// Three instances, `mysql-1` leading.
    fn whole() -> Script {
        let mut script = Script::new();
        script.healthy_primary("mysql-1");
        script.healthy_replica("mysql-2", "mysql-1").healthy_replica("mysql-3", "mysql-1");
        script
    }

    #[test]
    fn a_cluster_that_was_never_disturbed_recovers_at_once() {
        let mut script = whole();
        script.at(DEADLINE).finished();
        assert_eq!(details(&script), [""; 0]);
        assert_eq!(recovered(&script), Some(0));
    }

    #[test]
    fn whatever_keeps_it_from_being_whole_is_named() {
        type Break = fn(&mut Script);
        let cases: [(Break, &str); 13] = [
            (|script| _ = script.writable("mysql-1", false), "no instance takes writes"),
            (
                |script| _ = script.replication("mysql-2", "", false, false).writable("mysql-2", true),
                "mysql-1 and mysql-2 take writes",
            ),
            (
                |script| _ = script.check("mysql-primary-mysql-1", "critical"),
                "mysql-1 takes writes but does not pass as mysql-primary",
            ),
            (
                |script| _ = script.deregistered("mysql-primary-mysql-1"),
                "mysql-1 takes writes but does not pass as mysql-primary",
            ),
            (|script| _ = script.down("mysql-2"), "mysql-2 is no replica of mysql-1: its mysqld is down"),
            (
                |script| _ = script.replication("mysql-2", "mysql-1", false, true),
                "mysql-2 is no replica of mysql-1: it does not receive",
            ),
            (
                |script| _ = script.replication("mysql-2", "mysql-1", true, false),
                "mysql-2 is no replica of mysql-1: it does not apply",
            ),
            (
                |script| _ = script.replication("mysql-2", "mysql-4", true, true),
                "mysql-2 is no replica of mysql-1: it follows mysql-4",
            ),
            (
                |script| _ = script.replication("mysql-2", "", false, false),
                "mysql-2 is no replica of mysql-1: it follows nobody",
            ),
            (
                |script| _ = script.replication_error("mysql-2", "mysql-1", "1062"),
                "mysql-2 is no replica of mysql-1: its replication failed: 1062",
            ),
            (
                |script| _ = script.up("mysql-2", true),
                "mysql-2 is no replica of mysql-1: it never said whom it follows",
            ),
            (
                |script| _ = script.check("mysql-mysql-3", "warning"),
                "mysql-3 follows mysql-1 but does not pass as mysql",
            ),
            (|script| _ = script.ended("mysql-3"), "2 of 3 instances run"),
        ];
        for (break_it, lack) in cases {
            let mut script = whole();
            script.at(QUIET_AT);
            break_it(&mut script);
            let last = script.last_step();
            script.at(DEADLINE + 1).finished();
            let found = violated(&script, Property::ClusterConverges);
            assert_eq!(found.len(), 1, "{lack}");
            assert_eq!(found[0].detail, format!("not whole at {DEADLINE_SHOWN}: {lack}"));
            assert_eq!(found[0].step, last, "{lack}");
            assert_eq!(recovered(&script), None, "{lack}");
        }
    }

    const DEADLINE_SHOWN: &str = "160.000 s";

    #[test]
    fn several_lacks_are_all_named() {
        let mut script = whole();
        script.check("mysql-primary-mysql-1", "critical").down("mysql-2").ended("mysql-3");
        script.at(DEADLINE).finished();
        assert_eq!(
            details(&script),
            ["not whole at 160.000 s: mysql-1 takes writes but does not pass as mysql-primary; \
              mysql-2 is no replica of mysql-1: its mysqld is down; 2 of 3 instances run"],
        );
    }

    #[test]
    fn only_what_is_at_the_deadline_counts() {
        for (broken_at, mended_at, recovery) in [
            (QUIET_AT - 10, QUIET_AT - 5, Some(0)),
            (QUIET_AT - 10, QUIET_AT + 7_000, Some(7_000)),
            (QUIET_AT + 10, QUIET_AT + 7_000, Some(7_000)),
            (QUIET_AT + 10, DEADLINE, Some(BOUND)),
            (QUIET_AT + 10, DEADLINE + 1, None),
            (DEADLINE + 1, DEADLINE + 2, Some(0)),
        ] {
            let mut script = whole();
            script.at(broken_at).writable("mysql-1", false).at(mended_at).writable("mysql-1", true);
            script.at(DEADLINE + 5).finished();
            assert_eq!(recovered(&script), recovery, "broken {broken_at}, mended {mended_at}");
            assert_eq!(details(&script).is_empty(), recovery.is_some());
        }
    }

    #[test]
    fn an_interruption_starts_the_recovery_again_but_not_one_without_length() {
        let mut script = whole();
        script.at(QUIET_AT + 1_000).writable("mysql-1", false).writable("mysql-1", true);
        script.at(QUIET_AT + 2_000).finished().at(DEADLINE).finished();
        assert_eq!(recovered(&script), Some(0));
        script = whole();
        script.at(QUIET_AT + 1_000).writable("mysql-1", false);
        script.at(QUIET_AT + 1_001).writable("mysql-1", true);
        script.at(DEADLINE).finished();
        assert_eq!(recovered(&script), Some(1_001));
    }

    #[test]
    fn another_instance_may_take_over_and_one_too_many_does_no_harm() {
        let mut script = whole();
        script.ended("mysql-1").deregistered("mysql-primary-mysql-1");
        script.at(QUIET_AT + 3_000).healthy_primary("mysql-3").deregistered("mysql-mysql-3");
        script.healthy_replica("mysql-2", "mysql-3").healthy_replica("mysql-4", "mysql-3");
        script.launched("mysql-5");
        script.at(DEADLINE).finished();
        assert_eq!(details(&script), [""; 0]);
        assert_eq!(recovered(&script), Some(3_000));
    }

    #[test]
    fn a_replica_may_name_its_source_by_address() {
        let mut script = whole();
        script.replication("mysql-2", &Script::address("mysql-1"), true, true);
        script.at(DEADLINE).finished();
        assert_eq!(details(&script), [""; 0]);
    }

    #[test]
    fn a_hostname_is_not_found_at_the_end_of_another() {
        let mut script = Script::new();
        script.healthy_primary("mysql-11").primary("mysql-1").down("mysql-11");
        script.healthy_replica("mysql-2", "mysql-1").healthy_replica("mysql-3", "mysql-1");
        script.at(DEADLINE).finished();
        assert_eq!(
            details(&script),
            ["not whole at 160.000 s: mysql-1 takes writes but does not pass as mysql-primary"],
        );
    }

    #[test]
    fn a_failing_check_of_the_node_hides_everybody() {
        let mut script = whole();
        script.check_of("", "mysql-backup-run", "critical").at(DEADLINE).finished();
        assert_eq!(details(&script).len(), 1);
        let mut script = whole();
        script.check_of("", "mysql-backup-run", "critical").check_of("", "mysql-backup-run", "passing");
        script.at(DEADLINE).finished();
        assert_eq!(details(&script), [""; 0]);
        let mut script = whole();
        script.check_of("", "mysql-backup-run", "critical").check_removed("", "mysql-backup-run");
        script.at(DEADLINE).finished();
        assert_eq!(details(&script), [""; 0]);
    }

    #[test]
    fn every_check_of_a_service_has_to_pass() {
        let mut script = whole();
        script.check_of("mysql-mysql-2", "disk", "critical").at(DEADLINE).finished();
        assert_eq!(details(&script).len(), 1);
    }

    #[test]
    fn a_service_that_registers_again_has_to_pass_again() {
        let mut script = whole();
        script.deregistered("mysql-mysql-2").registered("mysql-mysql-2", "mysql", "mysql-2");
        script.at(DEADLINE).finished();
        assert_eq!(
            details(&script),
            ["not whole at 160.000 s: mysql-2 follows mysql-1 but does not pass as mysql"],
        );
    }

    #[test]
    fn a_record_that_ends_early_proves_nothing() {
        let mut script = whole();
        script.at(QUIET_AT + STEADY - 1).finished();
        assert_eq!(details(&script), ["record ends before the deadline"]);
        assert_eq!(recovered(&script), None);
        script = whole();
        script.at(DEADLINE - 1).committed("mysql-1", 1);
        assert_eq!(details(&script), ["record ends before the deadline"]);
        assert_eq!(details(&Script::new()), ["record ends before the deadline"]);
    }

    #[test]
    fn a_run_may_end_once_the_cluster_is_steady() {
        for (mended_at, finished_at, ended) in [
            (QUIET_AT - 5_000, QUIET_AT + STEADY, true),
            (QUIET_AT + 7_000, QUIET_AT + STEADY, false),
            (QUIET_AT + 7_000, QUIET_AT + 6_999 + STEADY, false),
            (QUIET_AT + 7_000, QUIET_AT + 7_000 + STEADY, true),
        ] {
            let mut script = whole();
            script.at(QUIET_AT - 6_000).writable("mysql-1", false);
            script.at(mended_at).writable("mysql-1", true).at(finished_at).finished();
            let said: &[&str] = if ended { &[] } else { &["record ends before the deadline"] };
            assert_eq!(details(&script), said, "mended {mended_at}, finished {finished_at}");
            assert_eq!(recovered(&script), ended.then(|| mended_at.saturating_sub(QUIET_AT)));
        }
    }

    #[test]
    fn the_moment_of_recovery_is_that_of_the_last_piece() {
        let mut script = Script::new();
        script.at(QUIET_AT).healthy_primary("mysql-1").healthy_replica("mysql-2", "mysql-1");
        script.at(QUIET_AT + 4_000).launched("mysql-3").up("mysql-3", true).writable("mysql-3", false);
        script.at(QUIET_AT + 5_000).replication("mysql-3", "mysql-1", true, true);
        script.registered("mysql-mysql-3", "mysql", "mysql-3");
        script.at(QUIET_AT + 6_000).check("mysql-mysql-3", "passing");
        script.at(DEADLINE).finished();
        assert_eq!(recovery(&script.record()), Some(Duration::from_secs(6)));
    }
}
