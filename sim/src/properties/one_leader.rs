//! `one-leader`: of Consul's servers one leads, or none, and only for as long as a lease takes two.
//!
//! A leader that is cut off from the others cannot know at once that they elect another. Until it steps down
//! it answers reads and renews sessions that the new one may end, so it must step down soon: its lease ends
//! half a second (times the raft multiplier) after the last answer of a quorum, and an answer counts for
//! nothing once its call has been given up, after ten seconds. One that stands still has that time from when
//! it goes on, one that is ended leads no more.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Property, Violation, is_pause, moment};
use crate::record::{ConsulEvent, Event, What};

/// The longest a leader may go on beside another: a call, the longest lease, and a clock a tenth slow.
const LONGEST: Duration = Duration::from_secs(17);

#[derive(Debug, Default)]
pub(super) struct OneLeader {
    /// Servers that lead, and whether each stands still.
    leaders: BTreeMap<String, bool>,
    /// Since when several that do not stand still have led.
    several: Option<Duration>,
}

impl OneLeader {
    /// Takes in one event.
    pub(super) fn see(&mut self, event: &Event, out: &mut Vec<Violation>) {
        if let Some(since) = self.several.take_if(|since| event.at > *since + LONGEST) {
            let names: Vec<_> = self.awake().cloned().collect();
            let detail = format!("{} have all led since {}", names.join(", "), moment(since));
            out.push(Violation::at(event, Property::OneLeader, detail));
            // Said once: what led before the last of them is forgotten.
            self.leaders.clear();
        }
        match &event.what {
            What::Consul(ConsulEvent::LeaderEstablished { server }) => {
                self.leaders.insert(server.clone(), false);
            }
            What::Consul(ConsulEvent::LeaderDeposed { server }) => drop(self.leaders.remove(server)),
            What::FaultBegan { fault, .. } if is_pause(fault) => self.stand_still(&event.host, true),
            What::FaultEnded { fault, .. } if is_pause(fault) => {
                self.stand_still(&event.host, false);
                // It has to be let look first.
                self.several = None;
            }
            _ => return,
        }
        self.several = match self.awake().count() {
            0 | 1 => None,
            _ => self.several.or(Some(event.at)),
        };
    }

    fn awake(&self) -> impl Iterator<Item = &String> {
        self.leaders.iter().filter(|(_, still)| !**still).map(|(name, _)| name)
    }

    fn stand_still(&mut self, server: &str, still: bool) {
        if let Some(leader) = self.leaders.get_mut(server) {
            *leader = still;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Property;
    use super::super::testing::{Script, violated};

    fn details(script: &Script) -> Vec<String> {
        violated(script, Property::OneLeader).into_iter().map(|violation| violation.detail).collect()
    }

    #[test]
    fn a_leader_that_was_cut_off_has_a_lease_to_notice() {
        let mut script = Script::new();
        script.leader_established("consul-1").at(10_000).leader_established("consul-2");
        script.at(27_000).leader_deposed("consul-1");
        script.at(60_000).leader_established("consul-3").at(61_000).leader_deposed("consul-2");
        assert!(details(script.at(120_000).finished()).is_empty());
    }

    #[test]
    fn one_that_goes_on_is_told_of_once() {
        let mut script = Script::new();
        script.leader_established("consul-1").at(10_000).leader_established("consul-2");
        script.at(27_001).log("mysql-1", "fine").at(50_000).finished();
        assert_eq!(details(&script), ["consul-1, consul-2 have all led since 10.000 s"]);
    }

    #[test]
    fn one_that_was_ended_or_stands_still_leads_nobody() {
        let mut script = Script::new();
        script.leader_established("consul-1").at(5_000).leader_deposed("consul-1");
        script.at(10_000).leader_established("consul-2");
        script.at(20_000).fault_began("consul-2", "pause consul-leader for 60s");
        script.at(25_000).leader_established("consul-3");
        script.at(80_000).fault_ended("consul-2", "pause consul-leader for 60s");
        script.at(81_000).leader_deposed("consul-2");
        assert!(details(script.at(120_000).finished()).is_empty());
        let mut script = Script::new();
        script.leader_established("consul-2").fault_began("consul-2", "pause consul-leader for 60s");
        script.at(5_000).leader_established("consul-3");
        script.at(60_000).fault_ended("consul-2", "pause consul-leader for 60s");
        script.at(77_001).finished();
        assert_eq!(details(&script), ["consul-2, consul-3 have all led since 60.000 s"]);
    }
}
