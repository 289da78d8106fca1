//! The faults of the plan, as bands.

use ironbird_sim::record::{Record, What};

use super::{Hosts, Open, Sort, Span, Track, packed};
use crate::text::plain;

/// One track with every fault, each on the machine it hits; `None` when there was none.
pub(super) fn track(record: &Record, hosts: &Hosts) -> Option<Track> {
    let mut open = Open::new();
    let mut moments = Vec::new();
    for event in &record.events {
        let host = hosts.index(&event.host);
        match &event.what {
            What::FaultBegan { fault } => {
                let span = Span {
                    from: event.at,
                    to: event.at,
                    tone: "fault",
                    label: format!("{} · {}", plain(fault), plain(&event.host)),
                    host,
                    step: event.step,
                };
                if momentary(fault) {
                    moments.push(span);
                } else {
                    open.begin((event.host.as_str(), fault.as_str()), span);
                }
            }
            What::FaultEnded { fault } => open.end(&(event.host.as_str(), fault.as_str()), event.at),
            _ => {}
        }
    }
    let mut spans: Vec<_> = open.finish(record.duration()).into_iter().map(|(_, span)| span).collect();
    spans.extend(moments);
    spans.sort_by_key(|span| (span.from, span.step));
    let rows = packed(spans, "");
    (!rows.is_empty()).then(|| Track { sort: Sort::Faults, title: "faults".to_owned(), host: None, rows })
}

/// Whether a fault happens and is done: it has no end to be told of.
fn momentary(fault: &str) -> bool {
    let kind = fault.split_whitespace().next().unwrap_or_default();
    matches!(kind, "kill" | "power-loss" | "stop" | "remove")
}
