//! One track a machine: what its database is, which role its agent has, whether its health checks pass.

use std::collections::BTreeMap;
use std::time::Duration;

use ironbird_agent::journal::Entry;
use ironbird_sim::record::{Event, MysqlEvent, Record, Tool, What};

use super::{HostKind, Hosts, Open, Row, Sort, Span, Track};
use crate::text::plain;

/// What a track's rows are, in the order they are drawn.
const ROWS: [&str; 3] = ["database", "role", "health"];

/// A track for every machine; those that run no instance have no rows, only events.
pub(super) fn lanes(record: &Record, hosts: &Hosts) -> Vec<Track> {
    let mut open = Open::new();
    let mut servers: BTreeMap<&str, Server> = BTreeMap::new();
    for event in &record.events {
        let Some(host) = hosts.index(&event.host) else { continue };
        let span = |tone, label: String| Span {
            from: event.at,
            to: event.at,
            tone,
            label,
            host: Some(host),
            step: event.step,
        };
        match &event.what {
            What::Launched { .. } => {
                servers.insert(&event.host, Server::default());
                open.begin((host, 0), span("starting", "container runs, no database yet".to_owned()));
            }
            What::Ended { .. } => {
                servers.remove(event.host.as_str());
                for row in 0..ROWS.len() {
                    open.end(&(host, row), event.at);
                }
            }
            What::Mysql(change) => {
                let server = servers.entry(&event.host).or_default();
                if server.apply(change) {
                    let (tone, label) = server.looks();
                    open.begin((host, 0), span(tone, label));
                }
            }
            What::Agent(Entry::Role { to, term, .. }) => {
                let label = match term {
                    0 => plain(to),
                    term => format!("{} · term {term}", plain(to)),
                };
                open.begin((host, 1), span("role", label));
            }
            What::Agent(Entry::Health { name, passing }) => {
                let (tone, word) =
                    if *passing { ("passing", "healthy") } else { ("critical", "not healthy") };
                open.begin((host, 2), span(tone, format!("{} is {word}", plain(name))));
            }
            _ => {}
        }
    }
    tracks(open.finish(record.duration()), hosts)
}

fn tracks(spans: Vec<((usize, usize), Span)>, hosts: &Hosts) -> Vec<Track> {
    let mut by_row: BTreeMap<(usize, usize), Vec<Span>> = BTreeMap::new();
    for (key, span) in spans {
        by_row.entry(key).or_default().push(span);
    }
    hosts
        .iter()
        .map(|(index, name, kind)| Track {
            sort: Sort::Host,
            title: plain(name),
            host: Some(index),
            rows: ROWS
                .iter()
                .enumerate()
                .filter(|_| kind == HostKind::Instance)
                .filter_map(|(row, label)| {
                    let spans = by_row.remove(&(index, row))?;
                    Some(Row { label: (*label).to_owned(), spans })
                })
                .collect(),
        })
        .collect()
}

/// What is known of a database.
#[derive(Debug, Default)]
struct Server {
    up: bool,
    networking: bool,
    writable: bool,
    source: String,
    receiving: bool,
    applying: bool,
    error: String,
    tool: Option<Tool>,
}

impl Server {
    /// Whether `change` is one of what is shown.
    fn apply(&mut self, change: &MysqlEvent) -> bool {
        match change {
            MysqlEvent::Up { networking } => {
                *self = Self { up: true, networking: *networking, tool: self.tool, ..Self::default() };
            }
            MysqlEvent::Down => *self = Self { tool: self.tool, ..Self::default() },
            MysqlEvent::Tool { tool, running } => self.tool = running.then_some(*tool),
            MysqlEvent::Writable { writable } => self.writable = *writable,
            MysqlEvent::Replication { source, receiving, applying, error } => {
                self.source.clone_from(source);
                (self.receiving, self.applying) = (*receiving, *applying);
                self.error.clone_from(error);
            }
            _ => return false,
        }
        true
    }

    fn looks(&self) -> (&'static str, String) {
        let source = plain(&self.source);
        let error = if self.error.is_empty() { String::new() } else { format!(": {}", plain(&self.error)) };
        match (self.source.is_empty(), self.receiving && self.applying, self.writable) {
            _ if !self.up => {
                let doing = match self.tool {
                    Some(Tool::Install) => "sets up an empty database",
                    Some(Tool::Restore) => "restores a snapshot",
                    Some(Tool::Backup) => "takes a snapshot, database is down",
                    None => "container runs, database is down",
                };
                ("starting", doing.to_owned())
            }
            _ if !self.networking => ("private", "database reachable from its own machine only".to_owned()),
            (true, _, true) => ("primary", "takes writes, follows nobody".to_owned()),
            (true, _, false) => ("read-only", format!("read-only, follows nobody{error}")),
            (false, true, false) => ("replica", format!("replica of {source}")),
            (false, true, true) => ("replica-writable", format!("replica of {source}, but takes writes")),
            (false, false, false) => ("stuck", format!("set up for {source}, does not replicate{error}")),
            (false, false, true) => {
                ("stuck-writable", format!("takes writes; set up for {source}, does not replicate{error}"))
            }
        }
    }
}

/// A replica whose replication is set up anew stands still for a few milliseconds.
const SETTING_UP: Duration = Duration::from_secs(1);

/// Whether `span` is of a database that takes writes and gets none from anybody else.
pub(super) fn is_primary(span: &Span) -> bool {
    match span.tone {
        "primary" => true,
        "stuck-writable" => span.to - span.from >= SETTING_UP,
        _ => false,
    }
}

/// The first row's spans of every machine's track.
pub(super) fn databases(lanes: &[Track]) -> impl Iterator<Item = &Span> {
    lanes
        .iter()
        .filter_map(|track| track.rows.iter().find(|row| row.label == ROWS[0]))
        .flat_map(|row| &row.spans)
}

/// The time of `event`, for a span that begins with it.
pub(super) fn begins(event: &Event, tone: &'static str, label: String, host: Option<usize>) -> Span {
    Span { from: event.at, to: Duration::ZERO, tone, label, host, step: event.step }
}
