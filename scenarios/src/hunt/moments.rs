//! The moments of a run at which something changes, and which are worth a fault of their own.
//!
//! Most of a record is the normal course of things: requests, renewals, transactions, a health check every
//! few seconds. A fault right after the fifth of them finds what a fault after the first finds. So an event
//! counts as a change only if it is one of role, lock, session, catalog, hook, tool, database or container,
//! and of changes that repeat on a machine, numbers and ids apart, only the first is kept until something
//! turns: a container begins or ends, a fault does, a lock or Consul's leader goes from one to another.
//! Both are counted, so that what was left out can be stated.

use std::collections::BTreeSet;
use std::time::Duration;

use ironbird_agent::journal::Entry;
use ironbird_reports::story;
use ironbird_sim::record::{ConsulEvent, Event, MysqlEvent, Record, What};

/// The moments of one run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Moments {
    /// Events of the record.
    pub events: usize,
    /// Those that change something.
    pub changes: usize,
    /// Changes that repeat what their machine did since something last turned.
    pub repeated: usize,
    /// Changes at the same time as another.
    pub together: usize,
    /// What is left, by time: when, and what happened then, in a line.
    pub kept: Vec<(Duration, String)>,
}

/// The moments of `record` at which something changes.
pub fn moments(record: &Record) -> Moments {
    let mut found = Moments { events: record.events.len(), ..Moments::default() };
    let mut known = BTreeSet::new();
    for event in &record.events {
        let Some(kind) = change(&event.what) else { continue };
        found.changes += 1;
        if turns(&event.what) {
            known.clear();
        }
        if !known.insert((event.host.as_str(), kind)) {
            found.repeated += 1;
        } else if found.kept.last().is_some_and(|(at, _)| *at == event.at) {
            found.together += 1;
        } else {
            found.kept.push((event.at, said(event)));
        }
    }
    found
}

fn said(event: &Event) -> String {
    story::line(event).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What kind of change an event is, without numbers and ids; none when it changes nothing.
fn change(what: &What) -> Option<String> {
    Some(match what {
        What::FaultBegan { fault, .. } => format!("began {fault}"),
        What::FaultEnded { fault, .. } => format!("ended {fault}"),
        What::Launched { .. } => "launched".to_owned(),
        What::Ended { .. } => "ended".to_owned(),
        What::Agent(entry) => match entry {
            Entry::Log { .. } => return None,
            Entry::HookStarted { hook } => format!("{hook} started"),
            Entry::HookFinished { hook, ok, .. } => format!("{hook} finished {ok}"),
            Entry::MainStarted { .. } => "main started".to_owned(),
            Entry::MainExited { .. } => "main exited".to_owned(),
            Entry::Registered { name, .. } => format!("registered {name}"),
            Entry::Deregistered { .. } => "deregistered".to_owned(),
            Entry::Health { name, passing } => format!("health {name} {passing}"),
            Entry::Changed { name, instances } => format!("{name} changed to {}", instances.len()),
            Entry::Role { from, to, .. } => format!("role {from} {to}"),
        },
        What::Consul(event) => match event {
            ConsulEvent::Emptied { .. } => "emptied".to_owned(),
            ConsulEvent::LeaderEstablished { .. } => "leader".to_owned(),
            ConsulEvent::LeaderDeposed { .. } => "no leader".to_owned(),
            ConsulEvent::SessionCreated { name, .. } => format!("session {name}"),
            ConsulEvent::SessionRenewed { .. } => "renewed".to_owned(),
            ConsulEvent::SessionInvalidated { why, .. } => format!("session {why}"),
            ConsulEvent::LockAcquired { key, .. } => format!("locked {key}"),
            ConsulEvent::LockReleased { key, .. } => format!("unlocked {key}"),
            ConsulEvent::LockRefused { key, why, .. } => format!("refused {key} {why}"),
            ConsulEvent::ServiceRegistered { name, id, .. } => format!("service {name} {id}"),
            ConsulEvent::ServiceDeregistered { id } => format!("no service {id}"),
            ConsulEvent::CheckStatus { check, status, .. } => format!("check {check} {status}"),
            ConsulEvent::CheckRemoved { check, .. } => format!("no check {check}"),
        },
        What::Mysql(event) => match event {
            MysqlEvent::Up { networking } => format!("up {networking}"),
            MysqlEvent::Down => "down".to_owned(),
            MysqlEvent::Writable { writable } => format!("writable {writable}"),
            MysqlEvent::Replication { receiving, applying, error, .. } => {
                format!("replication {receiving} {applying} {}", error.is_empty())
            }
            MysqlEvent::Committed { .. } => "committed".to_owned(),
            MysqlEvent::Received { .. } => "received".to_owned(),
            MysqlEvent::Tool { tool, running } => format!("{tool:?} {running}"),
            MysqlEvent::DataDirectory { how, .. } => format!("data {how}"),
        },
        What::Store { method, status, .. } => format!("store {method} {status}"),
        What::Http { .. } | What::Write { .. } | What::Read { .. } | What::Finished => return None,
    })
}

/// Whether what repeats before and after an event is two things.
fn turns(what: &What) -> bool {
    matches!(
        what,
        What::FaultBegan { .. }
            | What::FaultEnded { .. }
            | What::Launched { .. }
            | What::Ended { .. }
            | What::Consul(
                ConsulEvent::Emptied { .. }
                    | ConsulEvent::LeaderEstablished { .. }
                    | ConsulEvent::SessionInvalidated { .. }
                    | ConsulEvent::LockAcquired { .. }
                    | ConsulEvent::LockReleased { .. }
            )
    )
}
