//! `lock-delay`: a lock is never taken again inside its lock-delay.
//!
//! The event that frees a key says until when nobody can lock it; no session gets the key before that
//! moment, and any may have it at that moment. A later release never shortens a delay that still runs. Where
//! several servers elect one, a delay lasts as long as the leader that keeps it: the next one knows of none.
//!
//! A leader looks whether a delay runs before it writes, not when it is written. So with several servers a
//! request that was under way when the key was let go may have been looked at before that, and gets the lock:
//! Consul's own gap, and nobody's violation.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Property, Violation, moment};
use crate::record::{ConsulEvent, Event, What};

#[derive(Debug, Default)]
pub(super) struct LockDelay {
    /// Until when a key is closed, and since when.
    closed: BTreeMap<String, (Duration, Duration)>,
    /// Locks that were taken too early, unless the request was under way by then.
    early: Vec<Early>,
}

#[derive(Debug)]
struct Early {
    violation: Violation,
    session: String,
    /// When the key was let go.
    since: Duration,
}

impl Early {
    /// Whether a request that began at `began` and was answered at `answered` is the one, and was under way.
    fn is_excused(&self, path: &str, began: Duration, answered: Duration) -> bool {
        (path.contains(&self.session) || path.starts_with("/v1/txn"))
            && began <= self.since
            && self.violation.at <= answered
    }
}

impl LockDelay {
    /// Takes in one event.
    pub(super) fn see(&mut self, event: &Event) {
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
                    let violation = Violation::at(
                        event,
                        Property::LockDelay,
                        format!(
                            "session {session} took lock {key} at {}, which was let go at {} and closed until {}",
                            moment(event.at),
                            moment(*since),
                            moment(*until),
                        ),
                    );
                    self.early.push(Early { violation, session: session.clone(), since: *since });
                }
            }
            What::Http { path, took_us, .. } => {
                let began = event.at.saturating_sub(Duration::from_micros(*took_us));
                self.early.retain(|early| !early.is_excused(path, began, event.at));
            }
            // A lock-delay is in the leader's memory, and goes with it.
            What::Consul(ConsulEvent::LeaderEstablished { .. } | ConsulEvent::Emptied { .. }) => {
                self.closed.clear();
            }
            _ => {}
        }
    }

    /// Says which locks were taken too early.
    pub(super) fn finish(self, out: &mut Vec<Violation>) {
        out.extend(self.early.into_iter().map(|early| early.violation));
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
    fn a_request_that_was_under_way_when_the_lock_was_let_go_may_get_it() {
        let path = "/v1/kv/k?acquire=b";
        // Asked for before it was let go, or after; answered by this, or another request.
        for (path, took, violations) in [
            (path, 400, 0),
            (path, 300, 0),
            (path, 299, 1),
            ("/v1/txn", 300, 0),
            ("/v1/kv/k?acquire=c", 400, 1),
        ] {
            let mut script = Script::new();
            script.at(1_000).lock_released("k", "a", 6_000).at(1_200).lock_acquired("k", "b", "mysql-2");
            script.at(1_300).answered("mysql-2", path, took);
            assert_eq!(steps(&script).len(), violations, "{path} took {took} ms");
        }
    }

    #[test]
    fn a_release_does_not_shorten_a_delay_that_runs() {
        let mut script = Script::new();
        script.at(1_000).lock_released("k", "a", 16_000).at(2_000).lock_released("k", "b", 0);
        let step = script.at(3_000).lock_acquired("k", "c", "mysql-3").last_step();
        assert_eq!(steps(&script), [step]);
    }
}
