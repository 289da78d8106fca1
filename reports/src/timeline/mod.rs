//! A record as things that last: who was what from when to when, who held the lock, what the catalog said
//! and to whom, which fault was on.
//!
//! A record's events are points; what a person wants to see are the stretches between them. Every module
//! here folds the events into [`Span`]s of one sort. The pages, the traces and the diagrams all draw from
//! the same [`Timeline`], so that they cannot tell different stories.
//!
//! The rule a change must keep: a span says what its events say and nothing that was guessed; it begins at
//! an event, whose step it carries, and ends at one or with the run.

mod catalog;
mod causes;
mod faults;
mod hosts;
mod lanes;
mod locks;
mod messages;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use ironbird_sim::record::{Record, What};

pub(crate) use causes::causes;
pub(crate) use hosts::{HostKind, Hosts};
pub(crate) use messages::messages;

/// A record as things that last.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    /// Every machine, in the order in which they are shown.
    pub(crate) hosts: Hosts,
    /// Simulated time of the whole.
    pub(crate) duration: Duration,
    /// What is to be seen, from top to bottom.
    pub(crate) tracks: Vec<Track>,
}

/// What belongs under one heading.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Track {
    /// What it shows.
    pub(crate) sort: Sort,
    /// The heading.
    pub(crate) title: String,
    /// The machine it is of, as an index of [`Hosts`].
    pub(crate) host: Option<usize>,
    /// What is drawn below each other.
    pub(crate) rows: Vec<Row>,
}

/// What a [`Track`] shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    /// The plan's faults.
    Faults,
    /// Who holds a lock.
    Lock,
    /// Consul's sessions.
    Sessions,
    /// What is true of a service, what the catalog says, what others were told.
    Service,
    /// A machine.
    Host,
}

impl Sort {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Faults => "faults",
            Self::Lock => "lock",
            Self::Sessions => "sessions",
            Self::Service => "service",
            Self::Host => "host",
        }
    }
}

/// One line of spans that do not overlap.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Row {
    /// What it says, beside it.
    pub(crate) label: String,
    /// In the order of time.
    pub(crate) spans: Vec<Span>,
}

/// Something that lasted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Span {
    pub(crate) from: Duration,
    pub(crate) to: Duration,
    /// How it looks: a word of [`TONES`].
    pub(crate) tone: &'static str,
    /// What it says.
    pub(crate) label: String,
    /// Whose colour it has.
    pub(crate) host: Option<usize>,
    /// The event it begins with.
    pub(crate) step: u64,
}

/// Every way a span can look.
#[cfg(test)]
pub(crate) const TONES: [&str; 19] = [
    // Faults.
    "fault",
    // Locks.
    "held",
    "lock-delay",
    // Sessions: renewed, its TTL running, and over its TTL but not ended yet.
    "live",
    "ttl",
    "overdue",
    // A machine's database.
    "starting",
    "private",
    "primary",
    "replica",
    "replica-writable",
    "read-only",
    "stuck",
    "stuck-writable",
    // An agent's role.
    "role",
    // Health, and what the catalog says of it.
    "passing",
    "critical",
    // What a watch was told.
    "seen",
    "seen-nobody",
];

impl Timeline {
    /// The timeline of `record`.
    pub(crate) fn of(record: &Record) -> Self {
        let hosts = Hosts::of(record);
        let duration = record.duration();
        let mut tracks = Vec::new();
        tracks.extend(faults::track(record, &hosts));
        tracks.extend(locks::locks(record, &hosts));
        let lanes = lanes::lanes(record, &hosts);
        // What a failure is about stands together: who leads, who is listed, what everybody does.
        let mut services = catalog::services(record, &hosts, &lanes).into_iter();
        tracks.extend(services.next());
        tracks.extend(lanes);
        tracks.extend(services);
        tracks.extend(locks::sessions(record, &hosts));
        Self { hosts, duration, tracks }
    }
}

/// Spans that end when the next of the same key begins.
#[derive(Debug)]
struct Open<K> {
    open: BTreeMap<K, Span>,
    closed: Vec<(K, Span)>,
}

impl<K: Ord + Clone> Open<K> {
    const fn new() -> Self {
        Self { open: BTreeMap::new(), closed: Vec::new() }
    }

    /// Ends what is open under `key`. What lasted no time at all is not kept.
    fn end(&mut self, key: &K, at: Duration) {
        if let Some(mut span) = self.open.remove(key) {
            span.to = at;
            if span.to > span.from {
                self.closed.push((key.clone(), span));
            }
        }
    }

    /// Begins `span` under `key` and ends what was there, unless it says the same.
    fn begin(&mut self, key: K, span: Span) {
        if let Some(before) = self.open.get(&key)
            && before.tone == span.tone
            && before.label == span.label
        {
            return;
        }
        self.end(&key, span.from);
        self.open.insert(key, span);
    }

    /// Everything, in the order of time; what is open ends at `at`.
    fn finish(mut self, at: Duration) -> Vec<(K, Span)> {
        let keys: Vec<_> = self.open.keys().cloned().collect();
        for key in keys {
            self.end(&key, at);
        }
        self.closed.sort_by(|(a_key, a), (b_key, b)| (a.from, a.step, a_key).cmp(&(b.from, b.step, b_key)));
        self.closed
    }
}

/// `spans`, which come in the order of time, on as few rows as keep them from overlapping.
fn packed(spans: impl IntoIterator<Item = Span>, label: &str) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for span in spans {
        let free = rows.iter().position(|row| row.spans.last().is_none_or(|last| last.to <= span.from));
        let row = match free {
            Some(index) => index,
            None => {
                let label = if rows.is_empty() { label.to_owned() } else { String::new() };
                rows.push(Row { label, spans: Vec::new() });
                rows.len() - 1
            }
        };
        rows[row].spans.push(span);
    }
    rows
}

/// The sort of an event, as filters and colours have it.
pub(crate) const fn kind(what: &What) -> &'static str {
    match what {
        What::FaultBegan { .. } | What::FaultEnded { .. } => "fault",
        What::Launched { .. } | What::Ended { .. } => "container",
        What::Agent(_) => "agent",
        What::Http { .. } => "http",
        What::Consul(_) => "consul",
        What::Mysql(_) => "mysql",
        What::Store { .. } => "store",
        What::Write { .. } => "write",
        _ => "run",
    }
}
