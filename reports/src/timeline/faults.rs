//! The faults of the plan, as bands.

use std::collections::BTreeMap;
use std::time::Duration;

use ironbird_sim::record::{Record, What};

use super::{Hosts, Sort, Span, Track, packed};
use crate::text::plain;

/// A fault that begins on several machines at once is one band.
struct Band<'a> {
    hosts: Vec<&'a str>,
    step: u64,
    to: Duration,
}

/// One track with every fault, each on the machines it hits; `None` when there was none.
pub(super) fn track(record: &Record, hosts: &Hosts) -> Option<Track> {
    let mut bands: BTreeMap<(Duration, &str), Band<'_>> = BTreeMap::new();
    let mut open: BTreeMap<(&str, &str), Duration> = BTreeMap::new();
    for event in &record.events {
        match &event.what {
            What::FaultBegan { fault, .. } => {
                let to = if is_momentary(fault) { event.at } else { record.duration() };
                let band = bands.entry((event.at, fault)).or_insert(Band {
                    hosts: Vec::new(),
                    step: event.step,
                    to,
                });
                band.hosts.push(&event.host);
                open.insert((&event.host, fault), event.at);
            }
            What::FaultEnded { fault, .. } => {
                if let Some(began) = open.remove(&(event.host.as_str(), fault.as_str()))
                    && let Some(band) = bands.get_mut(&(began, fault))
                {
                    band.to = event.at;
                }
            }
            _ => {}
        }
    }
    let mut spans: Vec<_> = bands
        .into_iter()
        .map(|((from, fault), band)| Span {
            from,
            to: band.to,
            tone: "fault",
            label: format!("{} · {}", plain(fault), plain(&band.hosts.join(", "))),
            host: match band.hosts[..] {
                [one] => hosts.index(one),
                _ => None,
            },
            step: band.step,
        })
        .collect();
    spans.sort_by_key(|span| (span.from, span.step));
    let rows = packed(spans, "");
    (!rows.is_empty()).then(|| Track { sort: Sort::Faults, title: "faults".to_owned(), host: None, rows })
}

/// Whether a fault happens and is done: it has no end to be told of.
fn is_momentary(fault: &str) -> bool {
    let kind = fault.split_whitespace().next().unwrap_or_default();
    matches!(kind, "kill" | "power-loss" | "stop" | "remove")
}
