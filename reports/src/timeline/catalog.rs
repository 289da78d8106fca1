//! The catalog against the truth: which instances really lead, which Consul lists as passing, and which
//! were shown to whom. The distance between the rows is the lag.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ironbird_agent::journal::Entry;
use ironbird_sim::plan::{Fault, FaultKind, Lasting};
use ironbird_sim::record::{ConsulEvent, Record, What};

use super::lanes::{begins, databases, is_primary};
use super::{Hosts, Open, Row, Sort, Span, Track, packed};
use crate::text::{length, plain};

/// The name a primary is in the catalog under.
const PRIMARY: &str = "mysql-primary";

/// A track for every service of the catalog, that of the primary first.
pub(super) fn services(record: &Record, hosts: &Hosts, lanes: &[Track]) -> Vec<Track> {
    let listed = listed(record, hosts);
    let seen = seen(record, hosts);
    let mut names: BTreeSet<&str> = listed.keys().copied().collect();
    names.extend(seen.iter().map(|((name, _), _)| *name));
    let mut names: Vec<_> = names.into_iter().collect();
    names.sort_by_key(|name| (*name != PRIMARY, *name));
    let lags = lags(record);
    names
        .into_iter()
        .map(|name| {
            let mut rows = Vec::new();
            if name == PRIMARY {
                let mut spans: Vec<_> = databases(lanes).filter(|span| is_primary(span)).cloned().collect();
                spans.sort_by_key(|span| (span.from, span.step));
                for span in &mut spans {
                    span.label = hosts
                        .iter()
                        .find(|(index, _, _)| Some(*index) == span.host)
                        .map_or_else(String::new, |(_, name, _)| plain(name));
                }
                rows.extend(packed(spans, "really"));
            }
            let catalog = listed.get(name).cloned().unwrap_or_default();
            rows.extend(packed(catalog.iter().cloned(), "catalog"));
            for lag in &lags {
                let spans = catalog.iter().filter_map(|span| lag.late(span, record.duration()));
                rows.extend(packed(spans, &lag.label));
            }
            for ((watched, host), spans) in &seen {
                if *watched == name {
                    rows.push(Row { label: format!("seen by {}", plain(host)), spans: spans.clone() });
                }
            }
            Track { sort: Sort::Service, title: plain(name), host: None, rows }
        })
        .collect()
}

/// For every service name, when which instance was in the catalog, passing or not.
fn listed<'a>(record: &'a Record, hosts: &Hosts) -> BTreeMap<&'a str, Vec<Span>> {
    let mut open = Open::new();
    // By id: the service's name, and its node.
    let mut services: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    // By node and service, which is empty for a check of the node.
    let mut checks: BTreeMap<(&str, &str), BTreeMap<&str, bool>> = BTreeMap::new();
    for event in &record.events {
        let What::Consul(change) = &event.what else { continue };
        let (node, changed) = match change {
            ConsulEvent::ServiceRegistered { id, name, node, .. } => {
                services.insert(id, (name, node));
                (node.as_str(), id.as_str())
            }
            ConsulEvent::ServiceDeregistered { id } => {
                if let Some((name, node)) = services.remove(id.as_str()) {
                    checks.remove(&(node, id.as_str()));
                    open.end(&(name, id.as_str()), event.at);
                }
                continue;
            }
            ConsulEvent::CheckStatus { check, service, status, node } => {
                checks.entry((node, service)).or_default().insert(check, status == "passing");
                (node.as_str(), service.as_str())
            }
            ConsulEvent::CheckRemoved { check, service, node } => {
                checks.entry((node, service)).or_default().remove(check.as_str());
                (node.as_str(), service.as_str())
            }
            _ => continue,
        };
        // What happens to a node happens to every service on it.
        let concerned =
            services.iter().filter(|(id, (_, on))| **id == changed || changed.is_empty() && *on == node);
        for (id, (name, node)) in concerned {
            let pass =
                |of: &str| checks.get(&(*node, of)).is_none_or(|own| own.values().all(|passing| *passing));
            let host = hosts.ending(id);
            let label = host
                .and_then(|host| hosts.iter().nth(host))
                .map_or_else(|| plain(id), |(_, name, _)| plain(name));
            let (tone, label) = match pass(id) && pass("") {
                true => ("passing", label),
                false => ("critical", format!("{label}, critical")),
            };
            open.begin((*name, *id), begins(event, tone, label, host));
        }
    }
    let mut listed: BTreeMap<&str, Vec<Span>> = BTreeMap::new();
    for ((name, _), span) in open.finish(record.duration()) {
        listed.entry(name).or_default().push(span);
    }
    listed
}

/// For every watch of every machine, which instances it was told of.
fn seen<'a>(record: &'a Record, hosts: &Hosts) -> BTreeMap<(&'a str, &'a str), Vec<Span>> {
    let mut open = Open::new();
    for event in &record.events {
        match &event.what {
            What::Agent(Entry::Changed { name, instances }) => {
                // `mysql-primary-mysql-1 10.0.0.4:3306`
                let ids = instances.iter().map(|instance| instance.split(' ').next().unwrap_or_default());
                let found: Vec<_> = ids.clone().map(|id| hosts.ending(id)).collect();
                let label: Vec<_> = ids
                    .zip(&found)
                    .map(|(id, host)| {
                        host.and_then(|host| hosts.iter().nth(host)).map_or(id, |(_, name, _)| name)
                    })
                    .map(plain)
                    .collect();
                let span = match found[..] {
                    [] => begins(event, "seen-nobody", "nobody".to_owned(), None),
                    [one] => begins(event, "seen", label.join(", "), one),
                    _ => begins(event, "seen", label.join(", "), None),
                };
                open.begin((name.as_str(), event.host.as_str()), span);
            }
            What::Ended { .. } => {
                let watches: Vec<_> =
                    open.open.keys().filter(|(_, host)| *host == event.host).copied().collect();
                for watch in watches {
                    open.end(&watch, event.at);
                }
            }
            _ => {}
        }
    }
    let mut seen: BTreeMap<_, Vec<Span>> = BTreeMap::new();
    for (watch, span) in open.finish(record.duration()) {
        seen.entry(watch).or_default().push(span);
    }
    seen
}

/// A catalog that was shown late.
struct Lag {
    label: String,
    from: Duration,
    to: Duration,
    delay: Duration,
}

/// Every catalog lag of the plan.
fn lags(record: &Record) -> Vec<Lag> {
    let lag = |fault: &Fault| {
        let FaultKind::CatalogLag { delay } = &fault.kind else { return None };
        let to = match fault.lasting {
            Lasting::Moment => return None,
            Lasting::For(time) => fault.at.from.saturating_add(time),
            Lasting::Forever => record.duration(),
        };
        let label = format!("shown {} late", length(*delay));
        Some(Lag { label, from: fault.at.from, to: to.min(record.duration()), delay: *delay })
    };
    record.header.plan.faults.iter().filter_map(lag).collect()
}

impl Lag {
    /// What was seen of `span` meanwhile; `None` when nothing was.
    ///
    /// A change is seen a delay after it was made, though not after the lag is over; what was seen when
    /// the lag began stays in sight. What is there when the run ends, at `end`, has not changed.
    fn late(&self, span: &Span, end: Duration) -> Option<Span> {
        let seen = |change: Duration| {
            if change <= self.from || change >= end {
                change
            } else {
                change.saturating_add(self.delay).min(self.to)
            }
        };
        let (from, to) = (seen(span.from).max(self.from), seen(span.to).min(self.to));
        (from < to).then(|| Span { from, to, ..span.clone() })
    }
}
