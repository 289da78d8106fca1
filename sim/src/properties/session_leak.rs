//! `no-session-leak`: sessions are not created faster than they can be needed.
//!
//! A container needs one session, and another when that is gone, which takes at least a TTL. It may not learn
//! that one was created, and try again; so in any span as long as a session's TTL there are at most
//! [`EACH`] of them for every container that ran in it. More are a leak: nobody renews them, and each is a
//! write to Consul, a timer of its leader, and a holder that locks can be lost to.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::{Property, Violation};
use crate::record::{ConsulEvent, Event, What};

/// How many sessions a container may create in the time one lives at least.
const EACH: usize = 4;

#[derive(Debug, Default)]
pub(super) struct SessionLeak {
    /// When sessions were created, the last TTL of them.
    created: VecDeque<Duration>,
    /// How many containers run on a machine; more than one where a name is shared.
    running: BTreeMap<String, usize>,
    /// When containers ended, the last TTL of them.
    ended: VecDeque<Duration>,
    /// Whether it leaks; said once, until it stopped.
    leaks: bool,
}

impl SessionLeak {
    /// Takes in one event.
    pub(super) fn see(&mut self, event: &Event, out: &mut Vec<Violation>) {
        match &event.what {
            What::Launched { .. } => *self.running.entry(event.host.clone()).or_default() += 1,
            What::Ended { .. } => {
                if let Some(count) = self.running.get_mut(&event.host) {
                    *count = count.saturating_sub(1);
                }
                self.ended.push_back(event.at);
            }
            What::Consul(ConsulEvent::SessionCreated { ttl_us, .. }) if *ttl_us > 0 => {
                let ttl = Duration::from_micros(*ttl_us);
                forget(&mut self.created, event.at, ttl);
                forget(&mut self.ended, event.at, ttl);
                self.created.push_back(event.at);
                let containers = self.running.values().sum::<usize>() + self.ended.len();
                let leaked = self.leaks;
                self.leaks = self.created.len() > EACH * containers;
                if self.leaks && !leaked {
                    out.push(Violation::at(
                        event,
                        Property::NoSessionLeak,
                        format!(
                            "{} sessions were created within {}, by {containers} containers",
                            self.created.len(),
                            humantime::format_duration(ttl),
                        ),
                    ));
                }
            }
            _ => {}
        }
    }
}

/// Drops what is longer ago than `span`.
fn forget(times: &mut VecDeque<Duration>, now: Duration, span: Duration) {
    while times.front().is_some_and(|at| now.saturating_sub(*at) >= span) {
        times.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::super::Property;
    use super::super::testing::{Script, violated};

    /// Two containers, and sessions with a TTL of 10 s at these times, in milliseconds.
    fn script(created: impl IntoIterator<Item = u64>) -> Script {
        let mut script = Script::new();
        script.at(0).launched("mysql-1").launched("mysql-2");
        for (number, at) in created.into_iter().enumerate() {
            script.at(at).session_created(&format!("s{number}"), 10_000);
        }
        script
    }

    fn leaks(script: &Script) -> usize {
        violated(script, Property::NoSessionLeak).len()
    }

    #[test]
    fn four_each_in_one_ttl_are_enough() {
        assert_eq!(leaks(&script((1..=8).map(|second| 1_000 * second))), 0);
        assert_eq!(leaks(&script((1..=9).map(|second| 1_000 * second))), 1);
        // The first is forgotten when its TTL is over.
        assert_eq!(leaks(&script((1..=7).map(|second| 1_000 * second).chain([11_000, 11_001]))), 0);
    }

    #[test]
    fn a_leak_is_told_once_until_it_has_stopped() {
        assert_eq!(leaks(&script((1..=20).map(|number| 100 * number))), 1);
        let again = (1..=20).map(|number| 100 * number).chain((1..=20).map(|number| 60_000 + 100 * number));
        assert_eq!(leaks(&script(again)), 2);
    }

    #[test]
    fn who_has_just_ended_counts() {
        let mut script = script((1..=8).map(|number| 100 * number));
        script.at(1_000).ended("mysql-2").at(2_000).launched("mysql-3");
        for number in 0..4 {
            script.at(3_000 + number).session_created(&format!("t{number}"), 10_000);
        }
        assert_eq!(leaks(&script), 0);
        script.at(4_000).session_created("one too many", 10_000);
        assert_eq!(leaks(&script), 1);
    }

    #[test]
    fn sessions_without_a_ttl_do_not_count() {
        let mut script = script([]);
        for number in 0..100 {
            script.at(number).session_created(&format!("s{number}"), 0);
        }
        assert_eq!(leaks(&script), 0);
    }
}
