//! How big a case is. What counts first is what a reader has to understand first.

use std::time::Duration;

use ironbird_sim::spec::Spec;
use toml::{Table, Value};

use super::Case;
use super::milder::{breadth, harshness, is_length, written};
use crate::format::as_table;

/// Longer than any fault that ends.
const FOR_EVER: u64 = 1_000 * 3_600 * 48;

/// How big a case is, smallest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size {
    /// Faults.
    pub faults: usize,
    /// How bad they are, by kind.
    pub harshness: u64,
    /// How many machines they are aimed at, roughly.
    pub breadth: u64,
    /// Instances, nodes of Consul and clients.
    pub machines: usize,
    /// Fields of the spec that are not as usual.
    pub unusual: usize,
    /// How long the faults last and delay, in milliseconds, and what share they take, in ten thousandths.
    pub extent: u64,
    /// How crooked their times are, and how many names they do not need.
    pub crookedness: u64,
}

impl Size {
    /// The size of `case`.
    pub fn of(case: &Case) -> Self {
        let Spec { cluster, consul, workload, faults, .. } = &case.spec;
        let tables: Vec<Table> = faults.iter().filter_map(written).collect();
        let sum = |count: fn(&Table) -> u64| tables.iter().map(count).fold(0, u64::saturating_add);
        Self {
            faults: faults.len(),
            harshness: sum(harshness),
            breadth: sum(|fault| {
                ["target", "peer"].into_iter().filter_map(|side| fault.get(side)).map(breadth).sum()
            }),
            machines: cluster.instances + consul.servers + consul.agents + workload.clients,
            unusual: unusual(&case.spec).len(),
            extent: sum(extent),
            crookedness: sum(crookedness),
        }
    }
}

/// The fields of `spec` that are not as usual, faults apart: table, field, and what is usual.
pub(super) fn unusual(spec: &Spec) -> Vec<(String, String, Option<Value>)> {
    let [written, usual] = [spec, &Spec::default()].map(as_table);
    let mut found = Vec::new();
    for (name, table) in &written {
        for (field, value) in table.as_table().into_iter().flatten() {
            let there = usual.get(name).and_then(|table| table.get(field));
            if there != Some(value) {
                found.push((name.clone(), field.clone(), there.cloned()));
            }
        }
    }
    found
}

/// A length in a fault's field, in milliseconds.
pub(super) fn length(value: &Value) -> Option<Duration> {
    let text = value.as_str()?;
    humantime::parse_duration(text.strip_prefix('-').unwrap_or(text)).ok()
}

fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX).min(FOR_EVER)
}

fn extent(fault: &Table) -> u64 {
    let of = |(field, value): (&String, &Value)| match value {
        Value::String(text) if text == "ever" && field == "for" => 2 * FOR_EVER,
        Value::String(_) if is_length(field) => length(value).map_or(0, millis),
        Value::Float(rate) => share(*rate),
        Value::Boolean(true) => 1,
        _ => 0,
    };
    fault.iter().map(of).fold(0, u64::saturating_add)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive number")]
fn share(rate: f64) -> u64 {
    (rate.clamp(0.0, 100.0) * 10_000.0).round() as u64
}

fn crookedness(fault: &Table) -> u64 {
    let of = |(field, value): (&String, &Value)| match length(value) {
        Some(length) if field == "at" || is_length(field) => crooked(millis(length)),
        _ => 0,
    };
    fault.iter().map(of).sum::<u64>() + u64::from(fault.contains_key("id"))
}

/// Nothing for a whole minute, more the finer a time is.
fn crooked(millis: u64) -> u64 {
    [60_000, 10_000, 1_000, 100].into_iter().take_while(|grain| !millis.is_multiple_of(*grain)).count() as u64
}
