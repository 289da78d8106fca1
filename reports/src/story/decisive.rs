//! The few events that decide a violation.
//!
//! A violation's step says where something was seen, not why. What explains it are the faults before it,
//! the changes of who leads and who takes writes on the machines it speaks of, what the property itself
//! is about (the session, the lock, the write), and what those machines complained about just before. The
//! last of each are taken, the explanation nearest to the violation first in line, and shown in order.
//!
//! The rule a change must keep: at most [`MOST`] lines, and the violating event is one of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ironbird_agent::journal::{Entry, Level};
use ironbird_sim::properties::{Property, Violation};
use ironbird_sim::record::{ConsulEvent, Event, MysqlEvent, Record, What, WriteOutcome};

use super::{columns, words};
use crate::text::name;

/// The most events shown for one violation.
const MOST: usize = 12;

/// At most this many of them are faults.
const MOST_FAULTS: usize = 4;

/// At most this many are about what the property speaks of.
const MOST_OF_SUBJECT: usize = 5;

/// How long before a violation a complaint may still have to do with it.
const NEAR: Duration = Duration::from_secs(30);

/// Whether `what` changes who leads, who takes writes or what the world is like.
pub(super) fn decides(what: &What) -> bool {
    match what {
        What::FaultBegan { .. } | What::FaultEnded { .. } | What::Launched { .. } | What::Ended { .. } => {
            true
        }
        What::Agent(entry) => matches!(entry, Entry::Role { .. }),
        What::Consul(event) => matches!(
            event,
            ConsulEvent::SessionInvalidated { .. }
                | ConsulEvent::LockAcquired { .. }
                | ConsulEvent::LockReleased { .. }
        ),
        What::Mysql(event) => matches!(
            event,
            MysqlEvent::Up { .. }
                | MysqlEvent::Down
                | MysqlEvent::Writable { .. }
                | MysqlEvent::DataDirectory { .. }
        ),
        _ => false,
    }
}

/// The events of `record` that decide `violation`, rendered, at most twelve.
pub fn decisive(record: &Record, violation: &Violation) -> Vec<String> {
    let before: Vec<_> = record
        .events
        .iter()
        .filter(|event| event.step <= violation.step)
        .collect();
    let scene = Scene::of(&before, violation);

    let mut choice = Choice::default();
    choice.take(before.iter().filter(|event| event.step == violation.step), 1);
    choice.take(
        before.iter().rev().filter(|event| is_fault(&event.what)),
        MOST_FAULTS,
    );
    choice.take(
        before.iter().rev().filter(|event| scene.is_subject(event)),
        MOST_OF_SUBJECT,
    );
    choice.take(
        before.iter().rev().filter(|event| scene.is_background(event)),
        MOST,
    );

    let chosen = choice.events.values();
    let width = chosen
        .clone()
        .map(|event| name(&event.host).chars().count())
        .max();
    chosen
        .map(|event| {
            columns(
                event.at,
                &name(&event.host),
                width.unwrap_or_default(),
                &words(&event.what),
            )
        })
        .collect()
}

/// The events taken so far, by step.
#[derive(Default)]
struct Choice<'a> {
    events: BTreeMap<u64, &'a Event>,
    /// What was told already: only its last time decides anything.
    told: BTreeSet<(&'a str, String)>,
}

impl<'a> Choice<'a> {
    /// Takes at most `limit` of `events`, first come first served, while there is room.
    fn take<'b>(&mut self, events: impl Iterator<Item = &'b &'a Event>, limit: usize)
    where
        'a: 'b,
    {
        let mut taken = 0;
        for event in events {
            if taken == limit || self.events.len() == MOST {
                return;
            }
            if self.told.insert((&event.host, topic(&event.what))) {
                self.events.insert(event.step, event);
                taken += 1;
            }
        }
    }
}

/// What an event tells of. A later event on the same topic makes an earlier one irrelevant.
fn topic(what: &What) -> String {
    match what {
        What::Mysql(MysqlEvent::Replication { .. }) => "replication".to_owned(),
        What::Consul(ConsulEvent::CheckStatus { check, service, .. }) => {
            format!("check {check} of {service}")
        }
        _ => words(what),
    }
}

fn is_fault(what: &What) -> bool {
    matches!(what, What::FaultBegan { .. } | What::FaultEnded { .. })
}

/// What a violation speaks of.
struct Scene<'a> {
    violation: &'a Violation,
    /// The machines it names; all of them when it names none.
    hosts: BTreeSet<&'a str>,
    /// The first write it names.
    write: Option<u64>,
}

impl<'a> Scene<'a> {
    fn of(events: &[&'a Event], violation: &'a Violation) -> Self {
        let all: BTreeSet<_> = events.iter().map(|event| event.host.as_str()).collect();
        let named: BTreeSet<_> = all
            .iter()
            .copied()
            .filter(|host| *host == violation.host || names(&violation.detail, host))
            .collect();
        Self {
            violation,
            hosts: if named.is_empty() { all } else { named },
            write: first_write(&violation.detail),
        }
    }

    /// Whether `event` is about the very thing the property speaks of.
    fn is_subject(&self, event: &Event) -> bool {
        let detail = &self.violation.detail;
        match (&event.what, self.violation.property) {
            (
                What::Consul(
                    ConsulEvent::SessionCreated { session, .. }
                    | ConsulEvent::SessionRenewed { session }
                    | ConsulEvent::SessionInvalidated { session, .. },
                ),
                Property::SessionTtl | Property::LockDelay,
            ) => names(detail, session),
            (
                What::Consul(
                    ConsulEvent::LockAcquired { key, .. }
                    | ConsulEvent::LockReleased { key, .. }
                    | ConsulEvent::LockRefused { key, .. },
                ),
                Property::LockDelay,
            ) => names(detail, key),
            (
                What::Mysql(MysqlEvent::Writable { .. } | MysqlEvent::Replication { .. }),
                Property::OneWritablePrimary,
            ) => self.hosts.contains(event.host.as_str()),
            (What::Mysql(MysqlEvent::Replication { .. }), Property::ClusterConverges) => {
                self.hosts.contains(event.host.as_str())
            }
            (What::Consul(ConsulEvent::CheckStatus { service, .. }), Property::ClusterConverges) => {
                self.hosts.iter().any(|host| service.ends_with(host))
            }
            (
                What::Write {
                    id,
                    outcome: WriteOutcome::Acknowledged { .. },
                },
                Property::AcknowledgedWritesSurvive,
            ) => self.write == Some(*id),
            (
                What::Mysql(MysqlEvent::Committed { write, .. } | MysqlEvent::Received { write, .. }),
                Property::AcknowledgedWritesSurvive,
            ) => self.write == Some(*write),
            _ => false,
        }
    }

    /// Whether `event` changed the scene, or is a complaint out of it shortly before.
    fn is_background(&self, event: &Event) -> bool {
        let here = self.hosts.contains(event.host.as_str());
        match &event.what {
            What::Agent(
                Entry::Log {
                    level: Level::Error, ..
                }
                | Entry::HookFinished { ok: false, .. },
            ) => here && self.violation.at.saturating_sub(event.at) <= NEAR,
            // Locks and sessions are everybody's.
            What::Consul(_) => decides(&event.what),
            _ => here && decides(&event.what),
        }
    }
}

/// Whether `name` stands in `text` as a word of its own: `mysql-1` does not stand in `mysql-11`.
fn names(text: &str, name: &str) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || character == '-';
    !name.is_empty()
        && text.match_indices(name).any(|(start, found)| {
            !text[..start].ends_with(is_part) && !text[start + found.len()..].starts_with(is_part)
        })
}

/// The number after the first `write` or `writes`.
fn first_write(text: &str) -> Option<u64> {
    let mut words = text.split_whitespace();
    words.find(|word| matches!(*word, "write" | "writes"))?;
    words
        .next()?
        .trim_end_matches(|character: char| !character.is_ascii_digit())
        .parse()
        .ok()
}
