//! Consul's locks and sessions: who holds what, since when, and what time that leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ironbird_sim::record::{ConsulEvent, Event, Record, What, lock_holder};
use serde_json::Value;

use super::{Hosts, Open, Row, Sort, Span, Track, packed};
use crate::text::plain;

/// The most sessions that are shown.
const MOST_SESSIONS: usize = 24;

/// The most of them that never held a lock: who tries again and again makes one each time.
const MOST_IDLE: usize = 4;

/// A track for every lock that more than one session wanted.
pub(super) fn locks(record: &Record, hosts: &Hosts) -> Vec<Track> {
    let mut wanted: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for event in consul(record) {
        if let (
            _,
            ConsulEvent::LockAcquired { key, session, .. } | ConsulEvent::LockRefused { key, session, .. },
        ) = event
        {
            wanted.entry(key).or_default().insert(session);
        }
    }
    let contested: Vec<_> = wanted.iter().filter(|(_, sessions)| sessions.len() > 1).collect();
    let shown: Vec<&str> = match contested.is_empty() {
        true => wanted.keys().copied().collect(),
        false => contested.into_iter().map(|(key, _)| *key).collect(),
    };
    let owners = owners(record, hosts);
    shown.into_iter().map(|key| lock(record, key, &owners, hosts)).collect()
}

fn lock(record: &Record, key: &str, owners: &BTreeMap<&str, usize>, hosts: &Hosts) -> Track {
    let mut open = Open::new();
    for (event, change) in consul(record) {
        match change {
            ConsulEvent::LockAcquired { key: taken, session, value } if taken == key => {
                let holder = lock_holder(value);
                let host = holder
                    .as_deref()
                    .and_then(|name| hosts.index(name))
                    .or_else(|| owners.get(session.as_str()).copied());
                let name = holder.unwrap_or_else(|| session.clone());
                let label = match term(value) {
                    Some(term) => format!("{} · term {term}", plain(&name)),
                    None => plain(&name),
                };
                open.begin(
                    (),
                    Span { from: event.at, to: event.at, tone: "held", label, host, step: event.step },
                );
            }
            ConsulEvent::LockReleased { key: released, delay_until_us, .. } if released == key => {
                open.end(&(), event.at);
                let until = Duration::from_micros(*delay_until_us).min(record.duration());
                if until > event.at {
                    let label = "lock-delay".to_owned();
                    open.begin(
                        (),
                        Span {
                            from: event.at,
                            to: until,
                            tone: "lock-delay",
                            label,
                            host: None,
                            step: event.step,
                        },
                    );
                    // Its end is known already.
                    open.end(&(), until);
                }
            }
            _ => {}
        }
    }
    let spans = open.finish(record.duration()).into_iter().map(|(_, span)| span).collect();
    Track {
        sort: Sort::Lock,
        title: format!("lock {}", plain(key)),
        host: None,
        rows: vec![Row { label: "holder".to_owned(), spans }],
    }
}

/// The fencing term in a lock's value, if it has one.
fn term(value: &str) -> Option<u64> {
    serde_json::from_str::<Value>(value).ok()?.get("term")?.as_u64()
}

/// The machine behind every session: whoever asked for it, or renews it, or is named by what it locks.
pub(super) fn owners<'a>(record: &'a Record, hosts: &Hosts) -> BTreeMap<&'a str, usize> {
    let mut owners = BTreeMap::new();
    let mut created: Option<(&str, Duration)> = None;
    for event in &record.events {
        match &event.what {
            What::Consul(ConsulEvent::SessionCreated { session, .. }) => created = Some((session, event.at)),
            What::Consul(ConsulEvent::LockAcquired { session, value, .. }) => {
                if let Some(host) = lock_holder(value).and_then(|name| hosts.index(&name)) {
                    owners.insert(session.as_str(), host);
                }
            }
            What::Http { path, .. } if path.starts_with("/v1/session/create") => {
                if let (Some((session, at)), Some(host)) = (created.take(), hosts.index(&event.host))
                    && at == event.at
                {
                    owners.entry(session).or_insert(host);
                }
            }
            _ => {}
        }
    }
    owners
}

/// A session while it lives.
struct Life<'a> {
    name: &'a str,
    created: (Duration, u64),
    ttl: Duration,
    renewed: (Duration, u64),
    ended: Option<Duration>,
    locked: bool,
}

/// One track with the sessions that matter: when each was kept alive, and when its time ran.
pub(super) fn sessions(record: &Record, hosts: &Hosts) -> Option<Track> {
    let mut lives: BTreeMap<&str, Life<'_>> = BTreeMap::new();
    for (event, change) in consul(record) {
        match change {
            ConsulEvent::SessionCreated { session, name, ttl_us, .. } => {
                let now = (event.at, event.step);
                lives.insert(
                    session,
                    Life {
                        name,
                        created: now,
                        ttl: Duration::from_micros(*ttl_us),
                        renewed: now,
                        ended: None,
                        locked: false,
                    },
                );
            }
            ConsulEvent::SessionRenewed { session } => {
                if let Some(life) = lives.get_mut(session.as_str()) {
                    life.renewed = (event.at, event.step);
                }
            }
            ConsulEvent::SessionInvalidated { session, .. } => {
                if let Some(life) = lives.get_mut(session.as_str()) {
                    life.ended.get_or_insert(event.at);
                }
            }
            ConsulEvent::LockAcquired { session, .. } => {
                if let Some(life) = lives.get_mut(session.as_str()) {
                    life.locked = true;
                }
            }
            _ => {}
        }
    }
    let owners = owners(record, hosts);
    let mut chosen: Vec<_> = lives.into_iter().collect();
    chosen.sort_by_key(|(_, life)| (!life.locked, life.created));
    let held = chosen.iter().filter(|(_, life)| life.locked).count();
    chosen.truncate(MOST_SESSIONS.min(held + MOST_IDLE));
    chosen.sort_by_key(|(_, life)| life.created);
    let lives = chosen.iter().map(|(session, life)| {
        let host = owners.get(session).copied();
        life.spans(session, host, record.duration())
    });
    let rows = packed_lives(lives);
    (!rows.is_empty()).then(|| Track { sort: Sort::Sessions, title: "sessions".to_owned(), host: None, rows })
}

impl Life<'_> {
    /// Until its last renewal it is kept alive; then its TTL runs; what it lives longer, Consul gives it.
    fn spans(&self, session: &str, host: Option<usize>, end: Duration) -> Vec<Span> {
        let ended = self.ended.unwrap_or(end);
        let last = self.renewed.0.min(ended);
        let over = if self.ttl.is_zero() { ended } else { last.saturating_add(self.ttl).min(ended) };
        let label = match self.name {
            "" => plain(session),
            name => format!("{} · {}", plain(name), plain(session)),
        };
        [
            (self.created.0, last, "live", self.created.1),
            (last, over, "ttl", self.renewed.1),
            (over, ended, "overdue", self.renewed.1),
        ]
        .into_iter()
        .filter(|(from, to, _, _)| to > from)
        .map(|(from, to, tone, step)| Span { from, to, tone, label: label.clone(), host, step })
        .collect()
    }
}

/// Whole lives on as few rows as possible.
fn packed_lives(lives: impl Iterator<Item = Vec<Span>>) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for life in lives {
        let (Some(first), Some(last)) = (life.first(), life.last()) else { continue };
        let whole = Span { to: last.to, ..first.clone() };
        let free = rows.iter().position(|row| row.spans.last().is_none_or(|last| last.to <= whole.from));
        match free {
            Some(index) => rows[index].spans.extend(life),
            None => rows.extend(packed(life, "")),
        }
    }
    rows
}

fn consul(record: &Record) -> impl Iterator<Item = (&Event, &ConsulEvent)> {
    record.events.iter().filter_map(|event| match &event.what {
        What::Consul(change) => Some((event, change)),
        _ => None,
    })
}
