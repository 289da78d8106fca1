//! `no-session-leak`: nobody asks for sessions it does not need.
//!
//! A container needs one session, and another when that is gone, which takes at least a TTL. In any span as long
//! as that a machine is given at most [`MOST`]: enough for a container that is started again and again. More
//! are a leak: nobody renews them, and each is a write to Consul, a timer of its leader, and a holder that
//! locks can be lost to. A session that was created for a request that took long does not count: whoever asked
//! for it may have given up, and cannot have known.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::{Property, Violation};
use crate::record::{ConsulEvent, Event, What};

/// How many sessions a machine may be given in the time one lives at least.
const MOST: usize = 4;
/// Whoever waited longer for an answer may be gone.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Debug, Default)]
pub(super) struct SessionLeak {
    /// The TTL of the session created last.
    ttl: Duration,
    machines: BTreeMap<String, Given>,
}

#[derive(Debug, Default)]
struct Given {
    /// When it was given sessions, the last TTL of them.
    at: VecDeque<Duration>,
    /// Whether it leaks; said once, until it stopped.
    leaks: bool,
}

impl SessionLeak {
    /// Takes in one event.
    pub(super) fn see(&mut self, event: &Event, out: &mut Vec<Violation>) {
        match &event.what {
            What::Consul(ConsulEvent::SessionCreated { ttl_us, .. }) => {
                self.ttl = Duration::from_micros(*ttl_us);
            }
            What::Http { path, status: 200, took_us, .. }
                if path.starts_with("/v1/session/create")
                    && Duration::from_micros(*took_us) <= PATIENCE
                    && !self.ttl.is_zero() =>
            {
                let given = self.machines.entry(event.host.clone()).or_default();
                while given.at.front().is_some_and(|at| event.at.saturating_sub(*at) >= self.ttl) {
                    given.at.pop_front();
                }
                given.at.push_back(event.at);
                let leaked = std::mem::replace(&mut given.leaks, given.at.len() > MOST);
                if given.leaks && !leaked {
                    let ttl = humantime::format_duration(self.ttl);
                    out.push(Violation::at(
                        event,
                        Property::NoSessionLeak,
                        format!("{} was given {} sessions within {ttl}", event.host, given.at.len()),
                    ));
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Property;
    use super::super::testing::{Script, violated};

    /// Gives sessions with a TTL of 10 s to a machine at these times, each answered after `took`, in
    /// milliseconds.
    fn give(script: &mut Script, host: &str, took: u64, times: impl IntoIterator<Item = u64>) {
        for at in times {
            script.at(at).session_created(&format!("{host} {at}"), 10_000);
            script.answered(host, "/v1/session/create", took);
        }
    }

    fn leaks(given: impl IntoIterator<Item = u64>) -> usize {
        let mut script = Script::new();
        give(&mut script, "mysql-1", 10, given);
        violated(&script, Property::NoSessionLeak).len()
    }

    #[test]
    fn four_in_one_ttl_are_enough() {
        assert_eq!(leaks([1_000, 2_000, 3_000, 4_000]), 0);
        assert_eq!(leaks([1_000, 2_000, 3_000, 4_000, 10_999]), 1);
        // The first is forgotten when its TTL is over.
        assert_eq!(leaks([1_000, 2_000, 3_000, 4_000, 11_000]), 0);
    }

    #[test]
    fn a_leak_is_told_once_until_it_has_stopped() {
        let burst = |from: u64| (0..20).map(move |number| from + 100 * number);
        assert_eq!(leaks(burst(1_000)), 1);
        assert_eq!(leaks(burst(1_000).chain(burst(60_000))), 2);
    }

    #[test]
    fn every_machine_has_its_own() {
        let mut script = Script::new();
        give(&mut script, "mysql-1", 10, [1_000, 2_000, 3_000, 4_000]);
        give(&mut script, "mysql-2", 10, [5_000, 6_000, 7_000, 8_000]);
        assert!(violated(&script, Property::NoSessionLeak).is_empty());
        give(&mut script, "mysql-2", 10, [9_000]);
        assert_eq!(violated(&script, Property::NoSessionLeak).len(), 1);
    }

    #[test]
    fn who_may_have_given_up_cannot_have_known() {
        for (took, violations) in [(3_000, 1), (3_001, 0)] {
            let mut script = Script::new();
            give(&mut script, "mysql-1", took, (0..20).map(|number| 10_000 + number));
            assert_eq!(violated(&script, Property::NoSessionLeak).len(), violations, "after {took} ms");
        }
    }
}
