//! Which events of a record are told.

use std::collections::BTreeSet;

use ironbird_sim::record::{ConsulEvent, Event, Record, What};

use crate::timeline::kind;

/// What must be true of an event for it to be told; what is empty asks for nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lens {
    /// The first step.
    pub from: Option<u64>,
    /// The last step.
    pub until: Option<u64>,
    /// Machines.
    pub hosts: Vec<String>,
    /// Kinds, as the record has them, or the sorts of [`KINDS`].
    pub kinds: Vec<String>,
    /// A key or a session, or the beginning of one: what happened to it, and for a key to the sessions
    /// that held or wanted it.
    pub follow: Option<String>,
}

/// The sorts of events.
pub const KINDS: [&str; 9] =
    ["fault", "container", "agent", "http", "consul", "mysql", "store", "write", "run"];

impl Lens {
    /// Whether it leaves nothing out.
    pub fn is_clear(&self) -> bool {
        *self == Self::default()
    }

    /// `record` with the events that are told.
    pub fn through(&self, record: &Record) -> Record {
        let followed = self.follow.as_deref().map(|word| followed(record, word));
        let events = record.events.iter().filter(|event| self.lets(event, followed.as_ref())).cloned();
        Record { header: record.header.clone(), events: events.collect() }
    }

    fn lets(&self, event: &Event, followed: Option<&BTreeSet<&str>>) -> bool {
        self.from.is_none_or(|from| event.step >= from)
            && self.until.is_none_or(|until| event.step <= until)
            && (self.hosts.is_empty() || self.hosts.contains(&event.host))
            && (self.kinds.is_empty() || self.kinds.iter().any(|wanted| wanted == kind(&event.what)))
            && followed.is_none_or(|words| speaks_of(event, words))
    }
}

/// `word` and the sessions it stands for or that had to do with it.
fn followed<'a>(record: &'a Record, word: &'a str) -> BTreeSet<&'a str> {
    let mut words = BTreeSet::from([word]);
    for event in &record.events {
        let What::Consul(change) = &event.what else { continue };
        match change {
            ConsulEvent::LockAcquired { key, session, .. }
            | ConsulEvent::LockReleased { key, session, .. }
            | ConsulEvent::LockRefused { key, session, .. }
                if key == word =>
            {
                words.insert(session);
            }
            ConsulEvent::SessionCreated { session, .. } if session.starts_with(word) => {
                words.insert(session);
            }
            _ => {}
        }
    }
    words
}

/// Whether one of `words` stands in what an event says.
fn speaks_of(event: &Event, words: &BTreeSet<&str>) -> bool {
    let said = serde_json::to_string(&event.what).unwrap_or_default();
    words.iter().any(|word| said.contains(word))
}

#[cfg(test)]
mod tests {
    use super::Lens;
    use crate::specimens::leader_kill;

    fn steps(lens: &Lens) -> Vec<u64> {
        lens.through(&leader_kill()).events.iter().map(|event| event.step).collect()
    }

    #[test]
    fn everything_is_told_unless_something_is_asked_for() {
        assert_eq!(Lens::default().through(&leader_kill()), leader_kill());
        assert!(Lens::default().is_clear());
    }

    #[test]
    fn steps_machines_and_kinds_narrow_what_is_told() {
        let lens = Lens { from: Some(3), until: Some(6), ..Lens::default() };
        assert_eq!(steps(&lens), [3, 4, 5, 6]);
        assert_eq!(steps(&Lens { hosts: vec!["mysql-1".to_owned()], ..lens.clone() }), [3, 6]);
        assert_eq!(steps(&Lens { kinds: vec!["consul".to_owned()], ..lens }), [4, 5]);
    }

    #[test]
    fn a_key_leads_to_its_sessions_and_a_session_is_known_by_its_beginning() {
        let by_key = Lens { follow: Some("mysql-primary".to_owned()), ..Lens::default() };
        let by_session = Lens { follow: Some("3f2a91bc".to_owned()), ..Lens::default() };
        let told = by_key.through(&leader_kill());
        let renewed = told.events.iter().filter(|event| crate::story::words(&event.what).contains("renewed"));
        assert_eq!(renewed.count(), 4);
        assert!(steps(&by_session).len() < steps(&by_key).len());
        assert!(steps(&Lens { follow: Some("nothing like it".to_owned()), ..Lens::default() }).is_empty());
    }
}
