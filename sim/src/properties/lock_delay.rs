//! `lock-delay`: a lock is never taken again inside its lock-delay.
//!
//! The event that frees a key says until when nobody can lock it; no session gets the key before that
//! moment, and any may have it at that moment. A later release never shortens a delay that still runs. Where
//! several servers elect one, a delay lasts as long as the leader that keeps it: the next one knows of none.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Property, Violation, moment};
use crate::record::{ConsulEvent, Event, What};

#[derive(Debug, Default)]
pub(super) struct LockDelay {
    /// Until when a key is closed, and since when.
    closed: BTreeMap<String, (Duration, Duration)>,
}

impl LockDelay {
    /// Takes in one event.
    pub(super) fn see(&mut self, event: &Event, out: &mut Vec<Violation>) {
        match &event.what {
            What::Consul(ConsulEvent::LockReleased { key, delay_until_us, .. }) => {
                let until = Duration::from_micros(*delay_until_us);
                let closed = self.closed.entry(key.clone()).or_default();
                if until > closed.0 {
                    *closed = (until, event.at);
                }
            }
            What::Consul(ConsulEvent::LockAcquired { key, session, .. }) => {
                if let Some((until, since)) = self.closed.get(key).filter(|(until, _)| event.at < *until) {
                    out.push(Violation::at(
                        event,
                        Property::LockDelay,
                        format!(
                            "session {session} took lock {key} at {}, which was let go at {} and closed until {}",
                            moment(event.at),
                            moment(*since),
                            moment(*until),
                        ),
                    ));
                }
            }
            // A lock-delay is in the leader's memory, and goes with it.
            What::Consul(ConsulEvent::LeaderEstablished { .. } | ConsulEvent::Emptied { .. }) => {
                self.closed.clear();
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Property;
    use super::super::testing::{Script, violated};

    fn steps(script: &Script) -> Vec<u64> {
        violated(script, Property::LockDelay).iter().map(|violation| violation.step).collect()
    }

    #[test]
    fn a_lock_opens_at_the_end_of_its_delay() {
        for (taken_at, violations) in [(1_000, 1), (15_999, 1), (16_000, 0), (20_000, 0)] {
            let mut script = Script::new();
            script.at(1_000).lock_released("k", "a", 16_000).at(taken_at).lock_acquired("k", "b", "mysql-2");
            assert_eq!(steps(&script).len(), violations, "taken at {taken_at} ms");
        }
    }

    #[test]
    fn a_lock_that_was_let_go_without_delay_is_open() {
        let mut script = Script::new();
        script.at(1_000).lock_released("k", "a", 0).lock_acquired("k", "b", "mysql-2");
        assert!(steps(&script).is_empty());
    }

    #[test]
    fn a_delay_closes_one_key_for_everybody() {
        let mut script = Script::new();
        script.at(1_000).lock_released("k", "a", 16_000);
        script.lock_acquired("another", "b", "mysql-2").lock_refused("k", "b", "lock-delay");
        assert!(steps(&script).is_empty());
        // Also for the session that held it, and once more for the next that breaks it.
        script.lock_acquired("k", "a", "mysql-1").at(2_000).lock_acquired("k", "b", "mysql-2");
        assert_eq!(steps(&script).len(), 2);
    }

    #[test]
    fn a_release_does_not_shorten_a_delay_that_runs() {
        let mut script = Script::new();
        script.at(1_000).lock_released("k", "a", 16_000).at(2_000).lock_released("k", "b", 0);
        let step = script.at(3_000).lock_acquired("k", "c", "mysql-3").last_step();
        assert_eq!(steps(&script), [step]);
    }
}
