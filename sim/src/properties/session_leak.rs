//! `no-session-leak`: nobody leaves sessions behind that it has used.
//!
//! A container needs one session at a time, and another one once that is gone. A session that somebody renewed,
//! or tried to take a lock with, is one whose id it was told; who makes another while that still lives leaves
//! it behind: nobody renews it, and it is a timer of Consul's leader, and a holder that locks can be lost to.
//! A session nobody ever used is none of this: whoever asked for it was never answered. What a container that
//! ended leaves behind lives on for a while; so there may be two for every container there ever was.

use std::collections::BTreeSet;

use super::{Property, Violation};
use crate::record::{ConsulEvent, Event, What};

/// How many sessions in use there may be for every container.
const EACH: usize = 2;

#[derive(Debug, Default)]
pub(super) struct SessionLeak {
    /// Sessions that live.
    alive: BTreeSet<String>,
    /// Those of them that were used.
    used: BTreeSet<String>,
    containers: usize,
    /// Whether there are too many; said once, until there are not.
    leaks: bool,
}

impl SessionLeak {
    /// Takes in one event.
    pub(super) fn see(&mut self, event: &Event, out: &mut Vec<Violation>) {
        match &event.what {
            What::Launched { .. } => self.containers += 1,
            What::Consul(ConsulEvent::SessionCreated { session, .. }) => {
                self.alive.insert(session.clone());
            }
            What::Consul(ConsulEvent::SessionInvalidated { session, .. }) => {
                self.alive.remove(session);
                self.used.remove(session);
            }
            What::Consul(ConsulEvent::Emptied { .. }) => {
                self.alive.clear();
                self.used.clear();
            }
            What::Consul(
                ConsulEvent::SessionRenewed { session }
                | ConsulEvent::LockAcquired { session, .. }
                | ConsulEvent::LockRefused { session, .. },
            ) if self.alive.contains(session) => {
                self.used.insert(session.clone());
            }
            _ => return,
        }
        let leaked = std::mem::replace(&mut self.leaks, self.used.len() > EACH * self.containers);
        if self.leaks && !leaked {
            let (sessions, containers) = (self.used.len(), self.containers);
            out.push(Violation::at(
                event,
                Property::NoSessionLeak,
                format!("{sessions} sessions are alive that {containers} containers have used"),
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Property;
    use super::super::testing::{Script, violated};

    /// Two containers, and so many sessions each of them used.
    fn script(sessions: usize) -> Script {
        let mut script = Script::new();
        script.launched("mysql-1").launched("mysql-2");
        for number in 0..sessions {
            let session = format!("s{number}");
            script.session_created(&session, 60_000).lock_refused("k", &session, "lock-delay");
        }
        script
    }

    fn leaks(script: &Script) -> usize {
        violated(script, Property::NoSessionLeak).len()
    }

    #[test]
    fn two_for_every_container_there_ever_was_are_enough() {
        assert_eq!(leaks(&script(4)), 0);
        assert_eq!(leaks(&script(5)), 1);
        let mut script = script(4);
        script.ended("mysql-1").launched("mysql-3").session_created("s4", 60_000).session_renewed("s4");
        assert_eq!(leaks(&script), 0);
    }

    #[test]
    fn a_session_counts_from_its_first_use_to_its_end() {
        for use_it in [false, true] {
            let mut script = script(4);
            script.session_created("s4", 60_000);
            if use_it {
                script.lock_acquired("k", "s4", "mysql-1");
            }
            assert_eq!(leaks(&script), usize::from(use_it));
        }
        let mut script = script(4);
        script.session_gone("s0", "expired").session_created("s4", 60_000).session_renewed("s4");
        assert_eq!(leaks(&script), 0);
        // Who uses one that is gone has been told, or will be.
        script.lock_refused("k", "s0", "held");
        assert_eq!(leaks(&script), 0);
    }

    #[test]
    fn a_leak_is_told_once_until_it_has_stopped() {
        let mut script = script(8);
        assert_eq!(leaks(&script), 1);
        for number in 0..8 {
            script.session_gone(&format!("s{number}"), "expired");
        }
        for number in 10..15 {
            script.session_created(&format!("s{number}"), 60_000).session_renewed(&format!("s{number}"));
        }
        assert_eq!(leaks(&script), 2);
    }
}
