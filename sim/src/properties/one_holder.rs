//! `one-holder`: a lock has one holder at a time.
//!
//! Whoever is given a lock has it until its session gives it up or ends; until then nobody else is given it.
//! Consul says when either happens. One that comes back without its data knows of no lock.

use std::collections::BTreeMap;

use super::{Property, Violation};
use crate::record::{ConsulEvent, Event, What};

#[derive(Debug, Default)]
pub(super) struct OneHolder {
    /// Sessions by the keys they hold.
    held: BTreeMap<String, String>,
}

impl OneHolder {
    /// Takes in one event.
    pub(super) fn see(&mut self, event: &Event, out: &mut Vec<Violation>) {
        let What::Consul(consul) = &event.what else { return };
        match consul {
            ConsulEvent::LockAcquired { key, session, .. } => {
                let before = self.held.insert(key.clone(), session.clone());
                if let Some(holder) = before.filter(|holder| holder != session) {
                    let detail = format!("session {session} was given lock {key}, which {holder} holds");
                    out.push(Violation::at(event, Property::OneHolder, detail));
                }
            }
            ConsulEvent::LockReleased { key, .. } => drop(self.held.remove(key)),
            ConsulEvent::Emptied { .. } => self.held.clear(),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Property;
    use super::super::testing::{Script, violated};

    fn details(script: &Script) -> Vec<String> {
        violated(script, Property::OneHolder).into_iter().map(|violation| violation.detail).collect()
    }

    #[test]
    fn a_lock_goes_from_hand_to_hand_only_by_being_let_go() {
        let mut script = Script::new();
        script.lock_acquired("k", "a", "mysql-1").lock_acquired("other", "b", "mysql-2");
        // Taking what one has is no news.
        script.at(1_000).lock_acquired("k", "a", "mysql-1").lock_released("k", "a", 0);
        script.at(2_000).lock_acquired("k", "b", "mysql-2");
        assert!(details(&script).is_empty());
        script.at(3_000).lock_acquired("k", "c", "mysql-3");
        assert_eq!(details(&script), ["session c was given lock k, which b holds"]);
        // From now on it is c's.
        script.at(4_000).lock_acquired("k", "c", "mysql-3");
        assert_eq!(details(&script).len(), 1);
    }
}
