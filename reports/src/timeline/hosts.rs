//! The machines of a record, in an order a person expects: instances, Consul, the rest, clients.

use std::collections::BTreeMap;

use ironbird_sim::record::{Record, What};

/// Every machine of a record.
#[derive(Debug, Default, Clone)]
pub(crate) struct Hosts {
    names: Vec<String>,
    kinds: Vec<HostKind>,
    index: BTreeMap<String, usize>,
}

/// What a machine is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum HostKind {
    /// It runs an instance of the service.
    Instance,
    /// It is a node of Consul.
    Consul,
    /// Something else: the object store, the world itself.
    Other,
    /// It writes and reads as a user does.
    Client,
}

impl HostKind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Instance => "instance",
            Self::Consul => "consul",
            Self::Other => "other",
            Self::Client => "client",
        }
    }
}

impl Hosts {
    pub(super) fn of(record: &Record) -> Self {
        let mut seen: BTreeMap<&str, HostKind> = BTreeMap::new();
        for event in &record.events {
            // What speaks for a kind most clearly wins, whatever else the machine does.
            let kind = match &event.what {
                What::Consul(_) => HostKind::Consul,
                What::Launched { .. } | What::Mysql(_) if !is_consul(&event.host) => HostKind::Instance,
                What::Write { .. } => HostKind::Client,
                _ if is_consul(&event.host) => HostKind::Consul,
                _ => HostKind::Other,
            };
            let known = seen.entry(&event.host).or_insert(kind);
            if *known == HostKind::Other {
                *known = kind;
            }
        }
        let mut all: Vec<_> = seen.into_iter().collect();
        all.sort_by_cached_key(|(name, kind)| (*kind, natural(name)));
        Self {
            names: all.iter().map(|(name, _)| (*name).to_owned()).collect(),
            kinds: all.iter().map(|(_, kind)| *kind).collect(),
            index: all.iter().enumerate().map(|(index, (name, _))| ((*name).to_owned(), index)).collect(),
        }
    }

    pub(crate) fn index(&self, name: &str) -> Option<usize> {
        self.index.get(name).copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &str, HostKind)> {
        self.names
            .iter()
            .zip(&self.kinds)
            .enumerate()
            .map(|(index, (name, kind))| (index, name.as_str(), *kind))
    }

    /// The machine that `id` ends with as a word of its own: services are named `mysql-primary-mysql-1`.
    pub(crate) fn ending(&self, id: &str) -> Option<usize> {
        self.iter()
            .filter(|(_, name, _)| {
                id.strip_suffix(name)
                    .is_some_and(|before| before.is_empty() || before.ends_with(['-', ':', ' ']))
            })
            .max_by_key(|(_, name, _)| name.len())
            .map(|(index, _, _)| index)
    }

    /// The machine in which Consul's state changes are told, if there is one.
    pub(crate) fn consul(&self) -> Option<usize> {
        self.kinds.iter().position(|kind| *kind == HostKind::Consul)
    }
}

fn is_consul(host: &str) -> bool {
    host == "consul" || host.starts_with("consul-") || host.starts_with("agent-")
}

/// `mysql-10` comes after `mysql-9`.
fn natural(name: &str) -> (String, u64, String) {
    let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (stem, number) = name.split_at(name.len() - digits);
    (stem.to_owned(), number.parse().unwrap_or(u64::MAX), name.to_owned())
}
