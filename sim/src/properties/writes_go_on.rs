//! `writes-go-on`: in the end, a cluster that is whole acknowledges writes.
//!
//! A cluster can look whole, in its catalog and by what its databases say of themselves, and still let every
//! write wait for an acknowledgement that nobody gives. So from when it is whole for good, the answers clients
//! get are looked at: if there are a few of them, some must be acknowledgements. What was sent before that may
//! be answered badly yet, so the first moments do not count.

use std::time::Duration;

use super::{CLUSTER, Property, Violation, moment};
use crate::record::{Event, What, WriteOutcome};

/// How long after it is whole a cluster's answers still belong to the time before: clients give up a
/// statement after ten seconds.
const GRACE: Duration = Duration::from_secs(15);
/// So many answers tell something.
const FEW: usize = 3;

#[derive(Debug, Default)]
pub(super) struct WritesGoOn {
    /// When answers came, and whether they were acknowledgements.
    answers: Vec<(Duration, bool)>,
    last: u64,
}

impl WritesGoOn {
    /// Takes in one event.
    pub(super) fn see(&mut self, event: &Event) {
        self.last = event.step;
        if let What::Write { outcome, .. } = &event.what {
            self.answers.push((event.at, matches!(outcome, WriteOutcome::Acknowledged { .. })));
        }
    }

    /// Judges the whole record of a cluster that was whole for good from `whole` on.
    pub(super) fn finish(self, whole: Duration, out: &mut Vec<Violation>) {
        let from = whole.saturating_add(GRACE);
        let answers = self.answers.iter().filter(|(at, _)| *at >= from);
        let acknowledged = answers.clone().filter(|(_, acknowledged)| *acknowledged).count();
        let Some((at, _)) = answers.clone().next_back() else { return };
        if answers.count() >= FEW && acknowledged == 0 {
            out.push(Violation {
                property: Property::WritesGoOn,
                step: self.last,
                at: *at,
                host: CLUSTER.to_owned(),
                detail: format!("whole since {}, and no write was acknowledged since", moment(whole)),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Property;
    use super::super::testing::{BOUND, QUIET_AT, Script, violated};

    fn whole() -> Script {
        let mut script = Script::new();
        script.healthy_primary("mysql-1");
        script.healthy_replica("mysql-2", "mysql-1").healthy_replica("mysql-3", "mysql-1");
        script
    }

    fn found(mut script: Script, answer: impl Fn(&mut Script, u64)) -> Vec<String> {
        for id in 1..=4 {
            answer(script.at(QUIET_AT + 16_000 + id), id);
        }
        script.at(QUIET_AT + BOUND).finished();
        violated(&script, Property::WritesGoOn).into_iter().map(|violation| violation.detail).collect()
    }

    #[test]
    fn a_whole_cluster_that_acknowledges_nothing_is_of_no_use() {
        let told = found(whole(), |script, id| _ = script.unknown(id));
        assert_eq!(told, ["whole since 0.000 s, and no write was acknowledged since"]);
        assert_eq!(found(whole(), |script, id| _ = script.refused(id)).len(), 1);
    }

    #[test]
    fn one_acknowledgement_is_enough_and_few_answers_say_nothing() {
        let one = |script: &mut Script, id| match id {
            3 => _ = script.committed("mysql-1", id).acknowledged(id, "mysql-1"),
            _ => _ = script.unknown(id),
        };
        assert!(found(whole(), one).is_empty());
        let few = |script: &mut Script, id| _ = (id > 2).then(|| script.unknown(id).last_step());
        assert!(found(whole(), few).is_empty());
    }

    #[test]
    fn what_is_not_whole_is_told_of_by_another_property() {
        let mut script = whole();
        script.down("mysql-2");
        assert!(found(script, |script, id| _ = script.unknown(id)).is_empty());
    }
}
