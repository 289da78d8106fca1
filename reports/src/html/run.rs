//! The page of one run.

use std::collections::BTreeMap;
use std::time::Duration;

use ironbird_sim::properties::Violation;
use ironbird_sim::record::{Event, Record};
use serde::Serialize;
use serde_json::Value;

use super::page::Frame;
use crate::story;
use crate::text::{length, micros, moment, plain};
use crate::timeline::{Timeline, causes, kind, messages};

/// What the page of one run is made of.
#[derive(Debug, Clone, Copy)]
pub struct RunPage<'a> {
    /// The run.
    pub record: &'a Record,
    /// What did not hold.
    pub violations: &'a [Violation],
    /// The command that runs it again.
    pub replay: &'a str,
    /// The page of the sweep it belongs to, as a relative link.
    pub home: Option<&'a str>,
    /// Events that were left out in reading it.
    pub skipped: u64,
}

/// The longest text of an event's fields that is kept, in bytes.
const LONGEST_FIELDS: usize = 4_000;

static FRAME: Frame = Frame {
    style: include_str!("assets/run.css"),
    script: &[
        include_str!("assets/record.js"),
        include_str!("assets/filter.js"),
        include_str!("assets/scale.js"),
        include_str!("assets/lanes.js"),
        include_str!("assets/paint.js"),
        include_str!("assets/list.js"),
        include_str!("assets/detail.js"),
        include_str!("assets/run.js"),
    ],
    body: include_str!("assets/run.html"),
};

/// The name of the page of `record`'s run, for a link from another page of the same folder.
pub fn file_name(record: &Record) -> String {
    format!("run-{}-{}.html", stem(&record.header.scenario), record.header.seed)
}

/// `name` as a part of the name of a file.
pub fn stem(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' }).take(80).collect()
}

/// The page of one run.
pub fn run(page: &RunPage<'_>) -> String {
    let header = &page.record.header;
    let title = format!("{} · seed {}", header.scenario, header.seed);
    FRAME.page(&title, &Data::of(page), &[])
}

/// What the page's script reads.
#[derive(Serialize)]
struct Data {
    scenario: String,
    seed: String,
    replay: String,
    hash: String,
    home: Option<String>,
    instances: usize,
    duration: u64,
    quiet: u64,
    deadline: u64,
    complete: bool,
    skipped: u64,
    faults: Vec<String>,
    facts: Vec<(&'static str, String)>,
    violations: Vec<Broken>,
    tracks: Vec<TrackData>,
    messages: Vec<[u64; 5]>,
    causes: Vec<(u64, u64)>,
    #[serde(flatten)]
    events: EventsData,
}

/// A record's events in columns: what repeats, and nearly everything does, is written once.
#[derive(Serialize, Default)]
pub(super) struct EventsData {
    hosts: Vec<(String, &'static str)>,
    kinds: Vec<&'static str>,
    strings: Vec<String>,
    step: Vec<u64>,
    us: Vec<u64>,
    host: Vec<usize>,
    kind: Vec<usize>,
    text: Vec<usize>,
    fields: Vec<usize>,
}

#[derive(Serialize)]
struct Broken {
    property: &'static str,
    step: u64,
    us: u64,
    host: String,
    detail: String,
    /// The steps of the events that decide it.
    decisive: Vec<u64>,
}

#[derive(Serialize)]
struct TrackData {
    sort: &'static str,
    title: String,
    host: Option<usize>,
    rows: Vec<(String, Vec<SpanData>)>,
}

/// From, to, tone, label, host, step.
type SpanData = (u64, u64, &'static str, String, Option<usize>, u64);

impl Data {
    fn of(page: &RunPage<'_>) -> Self {
        let RunPage { record, violations, .. } = *page;
        let header = &record.header;
        let timeline = Timeline::of(record);
        let deadline = header.quiet_at.saturating_add(header.bound);
        Self {
            scenario: header.scenario.clone(),
            // A script's numbers end at 2^53.
            seed: header.seed.to_string(),
            replay: page.replay.to_owned(),
            hash: record.hash().to_hex().to_string(),
            home: page.home.map(str::to_owned),
            instances: header.instances,
            duration: micros(timeline.duration),
            quiet: micros(header.quiet_at),
            deadline: micros(deadline),
            complete: record.is_complete(),
            skipped: page.skipped,
            faults: header.plan.faults.iter().map(story::planned).collect(),
            facts: facts(record, deadline),
            violations: violations
                .iter()
                .map(|violation| Broken {
                    property: violation.property.name(),
                    step: violation.step,
                    us: micros(violation.at),
                    host: violation.host.clone(),
                    detail: violation.detail.clone(),
                    decisive: story::deciding(record, violation).iter().map(|event| event.step).collect(),
                })
                .collect(),
            messages: messages(record, &timeline.hosts)
                .into_iter()
                .map(|message| {
                    [
                        message.step,
                        message.from as u64,
                        message.to as u64,
                        micros(message.sent),
                        micros(message.done),
                    ]
                })
                .collect(),
            causes: causes(record),
            events: EventsData::of(&record.events, &timeline),
            tracks: timeline
                .tracks
                .into_iter()
                .map(|track| TrackData {
                    sort: track.sort.name(),
                    title: known_as(&track.title),
                    host: track.host,
                    rows: track
                        .rows
                        .into_iter()
                        .map(|row| {
                            let spans = row.spans.into_iter().map(|span| {
                                (
                                    micros(span.from),
                                    micros(span.to),
                                    span.tone,
                                    span.label,
                                    span.host,
                                    span.step,
                                )
                            });
                            (row.label, spans.collect())
                        })
                        .collect(),
                })
                .collect(),
        }
    }
}

fn facts(record: &Record, deadline: Duration) -> Vec<(&'static str, String)> {
    let header = &record.header;
    vec![
        ("simulated", length(record.duration())),
        ("events", crate::text::grouped(record.events.len() as u64)),
        ("instances", header.instances.to_string()),
        ("last fault ends", moment(header.quiet_at)),
        ("whole by", moment(deadline)),
    ]
}

impl EventsData {
    pub(super) fn of(events: &[Event], timeline: &Timeline) -> Self {
        let mut data = Self {
            hosts: timeline.hosts.iter().map(|(_, name, kind)| (known_as(name), kind.name())).collect(),
            ..Self::default()
        };
        let mut strings = Interned::default();
        for event in events {
            data.step.push(event.step);
            data.us.push(micros(event.at));
            // Every machine of an event is in the list: it was made from the same events.
            data.host.push(timeline.hosts.index(&event.host).unwrap_or_default());
            let kind = kind(&event.what);
            data.kind.push(data.kinds.iter().position(|known| *known == kind).unwrap_or_else(|| {
                data.kinds.push(kind);
                data.kinds.len() - 1
            }));
            data.text.push(strings.of(story::words(&event.what)));
            data.fields.push(strings.of(fields(event)));
        }
        data.strings = strings.all;
        data
    }
}

/// A machine's name; what is of none is of the world.
fn known_as(host: &str) -> String {
    if host == "-" { "world".to_owned() } else { plain(host) }
}

/// An event's own fields as a JSON object.
fn fields(event: &Event) -> String {
    let mut text = match serde_json::to_value(&event.what) {
        Ok(Value::Object(mut fields)) => {
            fields.remove("kind");
            Value::Object(fields).to_string()
        }
        _ => String::new(),
    };
    if text.len() > LONGEST_FIELDS {
        text.truncate(text.floor_char_boundary(LONGEST_FIELDS));
        text.push('…');
    }
    text
}

/// Strings, each once.
#[derive(Default)]
struct Interned {
    all: Vec<String>,
    index: BTreeMap<String, usize>,
}

impl Interned {
    fn of(&mut self, text: String) -> usize {
        if let Some(index) = self.index.get(&text) {
            return *index;
        }
        let index = self.all.len();
        self.all.push(text.clone());
        self.index.insert(text, index);
        index
    }
}
