//! Milder and rounder forms of one fault.
//!
//! A fault is changed as its file would be: field by field, in the words of the file. What comes out and is
//! no fault is dropped. So a new kind of fault is shrunk without a line here; it only has no milder kind.

use std::time::Duration;

use ironbird_sim::plan::Fault;
use ironbird_sim::spec::Spec;
use toml::{Table, Value};

use super::size::length;
use super::{Candidate, Case};

/// How bad each kind of fault is, and the milder ones it may be replaced by. A kind that is not here is as
/// bad as [`USUAL`] and has none.
const KINDS: [(&str, u64, &[&str]); 16] = [
    ("lose-disk", 95, &["kill"]),
    ("power-loss", 90, &["kill"]),
    ("roll", 88, &["kill"]),
    ("attrition", 87, &["kill"]),
    ("replace", 86, &["kill"]),
    ("restart", 85, &["kill", "pause"]),
    ("remove", 84, &["kill"]),
    ("kill", 80, &["stop", "pause"]),
    ("stop", 70, &["pause"]),
    ("pause", 50, &["cut", "latency"]),
    ("swizzle", 45, &["cut"]),
    ("cut", 40, &["cut-one-way", "latency"]),
    ("hold", 36, &["latency"]),
    ("cut-one-way", 35, &["latency"]),
    ("jitter", 12, &["latency"]),
    ("latency", 10, &[]),
];
const USUAL: u64 = 60;

/// How many machines a word means, roughly, and the words for some of them. Any other word is one machine.
const WORDS: [(&str, u64, &[&str]); 6] = [
    ("everything", 30, &["instances", "consul", "store", "clients"]),
    ("instances", 12, &["leader", "replica", "replicas"]),
    ("replicas", 10, &["replica"]),
    ("unhealthy", 10, &["replica", "leader"]),
    ("clients", 8, &["client-1"]),
    ("consul", 3, &["consul-leader", "consul-follower"]),
];

/// Fields whose text is a length of time.
pub(super) fn is_length(field: &str) -> bool {
    matches!(field, "for" | "delay" | "step" | "every")
}

/// A fault as its file has it.
pub(super) fn written(fault: &Fault) -> Option<Table> {
    Table::try_from(fault).ok()
}

/// How bad a fault's kind is.
pub(super) fn harshness(fault: &Table) -> u64 {
    let kind = fault.get("kind").and_then(Value::as_str).unwrap_or_default();
    KINDS.iter().find(|(known, ..)| *known == kind).map_or(USUAL, |(_, bad, _)| *bad)
}

/// How many machines one side of a fault means, roughly.
pub(super) fn breadth(side: &Value) -> u64 {
    match side {
        Value::Array(list) => list.iter().map(breadth).sum(),
        other => {
            let word = other.as_str().unwrap_or_default();
            WORDS.iter().find(|(known, ..)| *known == word).map_or(1, |(_, machines, _)| *machines)
        }
    }
}

/// What fault `index` of `case` could be instead: another kind, fewer targets, shorter, less.
pub(super) fn candidates(case: &Case, index: usize) -> Vec<Candidate> {
    let Some(fault) = case.spec.faults.get(index).and_then(written) else {
        return Vec::new();
    };
    let mut changed = Vec::new();
    kinds(case, &fault, &mut changed);
    for side in ["target", "peer"] {
        for narrower in fault.get(side).map(narrower).unwrap_or_default() {
            changed.push(with(&fault, &[(side, Some(narrower))]));
        }
    }
    if fault.get("wipe").and_then(Value::as_bool) == Some(true) {
        changed.push(with(&fault, &[("wipe", None)]));
    }
    shorter(&fault, &mut changed);
    for (field, value) in &fault {
        if let Value::Float(rate) = value {
            for part in [0.1, 0.5] {
                let less = (rate * part * 100.0).round() / 100.0;
                changed.push(with(&fault, &[(field, Some(Value::Float(less)))]));
            }
        }
    }
    in_place(case, index, changed)
}

/// What its times could be instead: rounder ones; and whether it can do without the name it was drawn under.
pub(super) fn rounder(case: &Case, index: usize) -> Vec<Candidate> {
    let Some(fault) = case.spec.faults.get(index).and_then(written) else {
        return Vec::new();
    };
    let mut changed = vec![with(&fault, &[("id", None)])];
    for (field, value) in fault.iter().filter(|(field, _)| *field == "at" || is_length(field)) {
        let Some(length) = length(value).map(|length| length.as_millis()) else { continue };
        let sign = if value.as_str().is_some_and(|text| text.starts_with('-')) { "-" } else { "" };
        for grain in [60_000, 10_000, 1_000, 100] {
            let down = length / grain * grain;
            for rounded in [down, down + grain] {
                changed.push(with(&fault, &[(field, Some(time(sign, rounded)))]));
            }
        }
    }
    in_place(case, index, changed)
}

fn kinds(case: &Case, fault: &Table, changed: &mut Vec<Table>) {
    let kind = fault.get("kind").and_then(Value::as_str).unwrap_or_default();
    let Some((.., milder)) = KINDS.iter().find(|(known, ..)| *known == kind) else {
        return;
    };
    // A machine that stands still, or is out of reach, for as long as it takes Consul to notice.
    let cluster = &case.spec.cluster;
    let beyond = time("", (2 * cluster.session_ttl + cluster.lock_delay).as_millis());
    let target = fault.get("target").and_then(Value::as_str).unwrap_or_default();
    let of_consul = target.starts_with("consul") || target.starts_with("agent");
    let lasting = fault.get("for").cloned().unwrap_or(beyond);
    let other_side =
        fault.get("peer").cloned().unwrap_or_else(|| text(if of_consul { "instances" } else { "consul" }));
    for kind in *milder {
        let delay = fault.get("delay").cloned().unwrap_or_else(|| text("2s"));
        let at_once = matches!(*kind, "kill" | "stop") && !of_consul;
        let has_peer = matches!(*kind, "cut" | "cut-one-way" | "latency");
        let lasting = (!at_once).then(|| lasting.clone());
        let peer = has_peer.then(|| other_side.clone());
        let delay = (*kind == "latency").then_some(delay);
        changed.push(with(
            fault,
            &[
                ("kind", Some(text(kind))),
                ("for", lasting),
                ("peer", peer),
                ("delay", delay),
                ("wipe", None),
                ("every", None),
                ("rate", None),
            ],
        ));
    }
}

/// Fewer machines on one side.
fn narrower(side: &Value) -> Vec<Value> {
    match side {
        Value::Array(list) => {
            let one = list.iter().cloned();
            let fewer = (0..list.len()).map(|out| {
                let rest = list.iter().enumerate().filter(|(index, _)| *index != out);
                Value::Array(rest.map(|(_, one)| one.clone()).collect())
            });
            one.chain(fewer.filter(|_| list.len() > 2)).collect()
        }
        other => {
            let word = other.as_str().unwrap_or_default();
            let some = WORDS.iter().find(|(known, ..)| *known == word).map_or(&[][..], |(.., some)| some);
            some.iter().map(|word| text(word)).collect()
        }
    }
}

/// Shorter from either end, and less of what has a length.
fn shorter(fault: &Table, changed: &mut Vec<Table>) {
    for (field, value) in fault.iter().filter(|(field, _)| is_length(field)) {
        if value.as_str() == Some("ever") {
            changed.extend(["1m", "2m", "5m"].map(|end| with(fault, &[(field, Some(text(end)))])));
            continue;
        }
        let Some(long) = length(value) else { continue };
        let sign = if value.as_str().is_some_and(|text| text.starts_with('-')) { "-" } else { "" };
        let parts = [long / 10, long / 2, long * 3 / 4, long * 9 / 10].map(whole);
        for short in parts.into_iter().filter(|short| *short < long && !short.is_zero()) {
            changed.push(with(fault, &[(field, Some(time(sign, short.as_millis())))]));
            let at = fault.get("at").and_then(length);
            if let Some(at) = at.filter(|_| field == "for") {
                let later = at + (long - short);
                let both =
                    [("at", Some(time("", later.as_millis()))), ("for", Some(time("", short.as_millis())))];
                changed.push(with(fault, &both));
            }
        }
    }
}

/// In whole seconds, unless it is short.
fn whole(length: Duration) -> Duration {
    let millis = length.as_millis();
    let grain = if millis >= 4_000 { 1_000 } else { 10 };
    Duration::from_millis(u64::try_from(millis / grain * grain).unwrap_or_default())
}

fn time(sign: &str, millis: u128) -> Value {
    let length = Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX));
    Value::String(format!("{sign}{}", humantime::format_duration(length)))
}

fn text(word: &str) -> Value {
    Value::String(word.to_owned())
}

/// `fault` with these fields set, or taken away.
fn with(fault: &Table, fields: &[(&str, Option<Value>)]) -> Table {
    let mut fault = fault.clone();
    for (field, value) in fields {
        match value {
            Some(value) => drop(fault.insert((*field).to_owned(), value.clone())),
            None => drop(fault.remove(*field)),
        }
    }
    fault
}

/// `case` with its fault `index` replaced by each of `changed` that is one.
fn in_place(case: &Case, index: usize, changed: Vec<Table>) -> Vec<Candidate> {
    let fits = |table: Table| {
        let what = said(&table);
        let fault: Fault = table.try_into().ok()?;
        let mut faults = case.spec.faults.clone();
        *faults.get_mut(index)? = fault;
        faults.sort_by_key(|fault| fault.at.from);
        Some(Candidate { what, spec: Spec { faults, ..case.spec.clone() } })
    };
    changed.into_iter().filter_map(fits).collect()
}

/// A fault in a line: `kill leader at 3m`.
fn said(fault: &Table) -> String {
    let word = |field: &str| match fault.get(field) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let mut line = format!("{} {}", word("kind"), word("target"));
    for (field, before) in
        [("peer", " - "), ("delay", ", "), ("rate", ", "), ("step", ", "), ("for", " for ")]
    {
        if fault.contains_key(field) {
            line += &format!("{before}{}", word(field));
        }
    }
    line + " at " + &word("at")
}
