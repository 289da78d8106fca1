//! A run as a Chrome trace, which Perfetto opens.
//!
//! A machine is a process; what it does at the same time are its threads: the database, the role, health,
//! transactions, requests, and events that take no time. Faults, violations and what happened to no machine
//! are a process of their own. Requests are slices on both sides with a flow between them, and so are
//! transactions where they were committed and where they arrived, so that Perfetto draws the arrow. Times
//! are simulated microseconds.
//!
//! The rule a change must keep: slices of one thread never overlap, for a trace processor drops those that
//! do; whatever may overlap is spread over threads.

use std::collections::{BTreeMap, BTreeSet};

use ironbird_sim::properties::Violation;
use ironbird_sim::record::{Event, MysqlEvent, Record, What};
use serde_json::{Value, json};

use crate::story::words;
use crate::text::{micros, plain};
use crate::timeline::{Sort, Timeline, kind, messages};

/// The process of what is nobody's in particular.
const WORLD: u64 = 1;

/// The thread of events that take no time.
const EVENTS: u64 = 1;

/// The thread of transactions, committed and received.
const TRANSACTIONS: u64 = 2;

/// The first thread of spans; requests come after them.
const SPANS: u64 = 10;

/// The first thread of requests.
const REQUESTS: u64 = 1_000;

/// Whose events are those of no machine.
const NOBODY: &str = "-";

/// `record` as a Chrome trace, one event a line.
pub fn perfetto(record: &Record, violations: &[Violation]) -> String {
    let timeline = Timeline::of(record);
    let mut trace = Trace::default();
    trace.process(WORLD, "run");
    for (index, name, _) in timeline.hosts.iter().filter(|(_, name, _)| *name != NOBODY) {
        trace.process(pid(index), &plain(name));
    }
    let consul = timeline.hosts.consul().map_or(WORLD, pid);
    let mut next = BTreeMap::new();
    for track in &timeline.tracks {
        let (pid, heading) = match (track.sort, track.host) {
            (Sort::Host, Some(host)) => (pid(host), None),
            (Sort::Faults, _) => (WORLD, Some(track.title.as_str())),
            _ => (consul, Some(track.title.as_str())),
        };
        let (mut label, mut nth) = ("", 0);
        for row in &track.rows {
            let tid = next.entry(pid).or_insert(SPANS);
            // What did not fit into one row goes on in the next, which has no label of its own.
            if row.label.is_empty() {
                nth += 1;
            } else {
                (label, nth) = (&row.label, 1);
            }
            let name = [heading.unwrap_or_default(), label].join(" ");
            let name = if nth > 1 { format!("{} ({nth})", name.trim()) } else { name.trim().to_owned() };
            trace.thread(pid, *tid, &plain(&name));
            for span in &row.spans {
                let length = micros(span.to - span.from);
                trace.slice(
                    pid,
                    *tid,
                    micros(span.from),
                    length,
                    &span.label,
                    span.tone,
                    &json!({ "step": span.step }),
                );
            }
            *tid += 1;
        }
    }
    for event in &record.events {
        let host = timeline.hosts.index(&event.host).filter(|_| event.host != NOBODY).map_or(WORLD, pid);
        // Requests and transactions are slices.
        if !matches!(event.what, What::Http { .. }) && transaction(event).is_none() {
            trace.instant(host, micros(event.at), &words(&event.what), kind(&event.what), event.step, "t");
        }
    }
    transactions(record, &timeline, &mut trace);
    requests(record, &timeline, &mut trace);
    for violation in violations {
        let text = format!("{}: {}", violation.property, plain(&violation.detail));
        trace.instant(WORLD, micros(violation.at), &text, "violation", violation.step, "g");
    }
    trace.finish(record)
}

fn pid(host: usize) -> u64 {
    host as u64 + WORLD + 1
}

/// Whether a transaction was committed or received, in words.
fn transaction(event: &Event) -> Option<&'static str> {
    match &event.what {
        What::Mysql(MysqlEvent::Committed { .. }) => Some("committed"),
        What::Mysql(MysqlEvent::Received { .. }) => Some("received"),
        _ => None,
    }
}

/// Transactions where they were committed and where they arrived, those of one moment together: a machine
/// that is set up from a snapshot receives hundreds at once.
fn transactions(record: &Record, timeline: &Timeline, trace: &mut Trace) {
    let mut at_once: BTreeMap<(u64, u64), Vec<&Event>> = BTreeMap::new();
    for event in record.events.iter().filter(|event| transaction(event).is_some()) {
        if let Some(host) = timeline.hosts.index(&event.host) {
            at_once.entry((pid(host), micros(event.at))).or_default().push(event);
        }
    }
    let mut named = BTreeSet::new();
    for ((pid, at), events) in at_once {
        if named.insert(pid) {
            trace.thread(pid, TRANSACTIONS, "transactions");
        }
        let what: BTreeSet<_> = events.iter().filter_map(|event| transaction(event)).collect();
        let name = match events[..] {
            [one] => words(&one.what),
            _ => format!(
                "{} transactions {}",
                events.len(),
                what.into_iter().collect::<Vec<_>>().join(" and ")
            ),
        };
        trace.slice(pid, TRANSACTIONS, at, 1, &name, "mysql", &json!({ "step": events[0].step }));
    }
    let by_step = by_step(record);
    for message in messages(record, &timeline.hosts) {
        if by_step.get(&message.step).is_some_and(|event| transaction(event).is_some()) {
            trace.flow(pid(message.from), TRANSACTIONS, micros(message.sent), "s", message.step);
            trace.flow(pid(message.to), TRANSACTIONS, micros(message.done), "f", message.step);
        }
    }
}

fn by_step(record: &Record) -> BTreeMap<u64, &Event> {
    record.events.iter().map(|event| (event.step, event)).collect()
}

/// Every request as a slice on both sides, and a flow between them.
fn requests(record: &Record, timeline: &Timeline, trace: &mut Trace) {
    let mut busy: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    let mut sent = messages(record, &timeline.hosts);
    // Threads are given out in the order of beginnings, or short requests would hide behind long ones.
    sent.sort_by_key(|message| (message.sent, message.step));
    let by_step = by_step(record);
    for message in sent {
        let Some(event) = by_step.get(&message.step).filter(|event| transaction(event).is_none()) else {
            continue;
        };
        let (from, to) = (micros(message.sent), micros(message.done));
        // What takes no time has no width to click on.
        let length = (to - from).max(1);
        let (name, kind) = (words(&event.what), kind(&event.what));
        for (side, phase) in [(pid(message.from), "s"), (pid(message.to), "f")] {
            let threads = busy.entry(side).or_default();
            let free = threads.iter().position(|until| *until <= from);
            let thread = free.unwrap_or_else(|| {
                threads.push(0);
                threads.len() - 1
            });
            threads[thread] = from + length;
            let tid = REQUESTS + thread as u64;
            if free.is_none() {
                trace.thread(side, tid, &format!("requests {}", thread + 1));
            }
            trace.slice(side, tid, from, length, &name, kind, &json!({ "step": message.step }));
            trace.flow(side, tid, from, phase, message.step);
        }
    }
}

/// A trace in the making.
#[derive(Default)]
struct Trace {
    lines: Vec<String>,
}

impl Trace {
    fn push(&mut self, event: &Value) {
        self.lines.push(event.to_string());
    }

    fn process(&mut self, pid: u64, name: &str) {
        self.push(&json!({ "ph": "M", "name": "process_name", "pid": pid, "args": { "name": name } }));
        self.push(
            &json!({ "ph": "M", "name": "process_sort_index", "pid": pid, "args": { "sort_index": pid } }),
        );
        self.thread(pid, EVENTS, "events");
    }

    fn thread(&mut self, pid: u64, tid: u64, name: &str) {
        // A trace processor takes thread ids for unique in the whole trace.
        let tid = global(pid, tid);
        self.push(
            &json!({ "ph": "M", "name": "thread_name", "pid": pid, "tid": tid, "args": { "name": name } }),
        );
        self.push(
            &json!({ "ph": "M", "name": "thread_sort_index", "pid": pid, "tid": tid, "args": { "sort_index": tid } }),
        );
    }

    #[expect(clippy::too_many_arguments, reason = "these are the fields of the format's event")]
    fn slice(&mut self, pid: u64, tid: u64, ts: u64, dur: u64, name: &str, cat: &str, args: &Value) {
        let tid = global(pid, tid);
        self.push(&json!({
            "ph": "X", "pid": pid, "tid": tid, "ts": ts, "dur": dur, "name": name, "cat": cat, "args": args,
        }));
    }

    fn instant(&mut self, pid: u64, ts: u64, name: &str, cat: &str, step: u64, scope: &str) {
        self.push(&json!({
            "ph": "i", "pid": pid, "tid": global(pid, EVENTS), "ts": ts, "name": name, "cat": cat, "s": scope,
            "args": { "step": step },
        }));
    }

    fn flow(&mut self, pid: u64, tid: u64, ts: u64, phase: &str, id: u64) {
        let tid = global(pid, tid);
        self.push(&json!({
            "ph": phase, "pid": pid, "tid": tid, "ts": ts, "name": "message", "cat": "message", "id": id, "bp": "e",
        }));
    }

    fn finish(self, record: &Record) -> String {
        let header = json!({
            "scenario": plain(&record.header.scenario),
            "seed": record.header.seed.to_string(),
            "format": record.header.version.to_string(),
        });
        format!(
            "{{\"displayTimeUnit\":\"ms\",\"otherData\":{header},\"traceEvents\":[\n{}\n]}}\n",
            self.lines.join(",\n")
        )
    }
}

fn global(pid: u64, tid: u64) -> u64 {
    pid * 10_000 + tid
}
