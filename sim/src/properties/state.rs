//! What the events so far say about every instance and about Consul's catalog.
//!
//! An instance is known from its container's start to its end. Whatever it was before is gone with the
//! container, and its database's state is gone with `mysqld`: a server that just came up has told nothing
//! yet, neither whether it takes writes nor whom it follows, and counts as neither primary nor replica
//! until it has.
//!
//! Whom an instance follows is plain while it receives or applies, and when it has no source. One that is
//! set up for a source and stands still may be a replica whose replication is being set up anew, or was
//! is on its way to be promoted, as scripts of 2016 do it; its own deeds tell. It leads from the first
//! transaction it commits in that state, while it passes as a primary in the catalog, and once it has stood
//! still for longer than setting up replication takes.
//!
//! A machine that stands still takes no writes. When it goes on, a database that was a primary may take some
//! until its agent has looked around: for a moment it counts as one only once a client was told of a write
//! that it committed since.
//!
//! The rule a change must keep: nothing is guessed. What no event has said is `None`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{CONSUL, PRIMARY};
use crate::record::{ConsulEvent, Event, MysqlEvent, What, WriteOutcome};

/// The fault that makes a machine stand still.
const PAUSE: &str = "pause";

/// A replica whose replication is set up anew stands still for a few milliseconds. One that is still
/// writable and follows nobody after this long was left like that.
const SETTING_UP: Duration = Duration::from_secs(1);

/// How long a machine that goes on after standing still is given to notice it: the lease has run out by
/// its own clock, so it has only to tell its database, for which it gives itself half a second before it
/// kills it. What that database acknowledges meanwhile counts at once.
const WAKING_UP: Duration = Duration::from_secs(1);

/// What the events so far add up to.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// By machine.
    pub(crate) instances: BTreeMap<String, Instance>,
    /// By service id.
    services: BTreeMap<String, Service>,
    /// By check id.
    /// By node and id.
    checks: BTreeMap<(String, String), Check>,
    /// How often anything of this changed.
    pub(crate) revision: u64,
    /// The time of the last event.
    now: Duration,
    /// When instances that stand still will have done so for too long.
    due: BTreeSet<Duration>,
}

/// One machine's container.
#[derive(Debug, Default)]
pub(crate) struct Instance {
    /// Whether it runs.
    pub(crate) running: bool,
    server: Option<Server>,
    /// How many faults make it stand still.
    pauses: usize,
    waking: Option<Waking>,
}

/// A machine that went on after standing still.
#[derive(Debug)]
struct Waking {
    since: Duration,
    /// Clients' writes it has committed since.
    committed: BTreeSet<u64>,
    /// A client was told of one of them.
    told: bool,
}

/// A running `mysqld`.
#[derive(Debug)]
struct Server {
    networking: bool,
    writable: Option<bool>,
    replication: Option<Replication>,
    /// It committed a transaction of its own while it had a source it did not follow.
    committed: bool,
}

#[derive(Debug)]
struct Replication {
    source: String,
    receiving: bool,
    applying: bool,
    error: String,
    /// When it was said.
    since: Duration,
}

/// A service instance in the catalog.
#[derive(Debug, Default)]
struct Service {
    name: String,
    address: String,
    /// The node of Consul it is registered with.
    node: String,
}

#[derive(Debug)]
struct Check {
    /// The id of its service; empty for the node's.
    service: String,
    passing: bool,
}

impl State {
    /// Takes in one event.
    pub(crate) fn apply(&mut self, event: &Event) {
        self.now = event.at;
        while self.due.first().is_some_and(|due| *due <= event.at) {
            self.due.pop_first();
            self.revision += 1;
        }
        if matches!(
            event.what,
            What::Mysql(MysqlEvent::Replication { receiving: false, applying: false, .. })
        ) {
            self.due.insert(event.at + SETTING_UP);
        }
        match &event.what {
            // Consul may run in a container too, but is no instance of the service.
            _ if event.host == CONSUL && !matches!(event.what, What::Consul(_)) => return,
            What::Launched { .. } => {
                *self.instance(event) = Instance { running: true, ..Instance::default() };
            }
            What::FaultBegan { .. } | What::FaultEnded { .. } if event.what.fault_kind() == Some(PAUSE) => {
                if matches!(event.what, What::FaultBegan { .. }) {
                    self.instance(event).pauses += 1;
                } else if self.instance(event).resume(event.at) {
                    self.due.insert(event.at + WAKING_UP);
                }
            }
            What::Write { id, outcome: WriteOutcome::Acknowledged { by } } => {
                let waking = self.instances.get_mut(by).and_then(|instance| instance.waking.as_mut());
                match waking.filter(|waking| !waking.told && waking.committed.contains(id)) {
                    Some(waking) => waking.told = true,
                    None => return,
                }
            }
            What::Ended { .. } => *self.instance(event) = Instance::default(),
            What::Mysql(change) => {
                // Transactions are most of a record and change nobody's role.
                match change {
                    MysqlEvent::Received { .. }
                    | MysqlEvent::DataDirectory { .. }
                    | MysqlEvent::Tool { .. } => {
                        return;
                    }
                    MysqlEvent::Committed { write, .. } if !self.instance(event).commit(*write) => return,
                    _ => self.instance(event).apply(change, event.at),
                }
            }
            What::Consul(change) if self.apply_to_catalog(change) => {}
            _ => return,
        }
        self.revision += 1;
    }

    fn instance(&mut self, event: &Event) -> &mut Instance {
        self.instances.entry(event.host.clone()).or_default()
    }

    /// Whether `change` was one of the catalog.
    fn apply_to_catalog(&mut self, change: &ConsulEvent) -> bool {
        match change {
            ConsulEvent::ServiceRegistered { id, name, address, node } => {
                let service = self.services.entry(id.clone()).or_default();
                service.name.clone_from(name);
                service.node.clone_from(node);
                service.address.clone_from(address);
            }
            ConsulEvent::Emptied { .. } => {
                self.services.clear();
                self.checks.clear();
            }
            ConsulEvent::ServiceDeregistered { id } => {
                self.services.remove(id);
                self.checks.retain(|_, check| check.service != *id);
            }
            ConsulEvent::CheckStatus { check, service, status, node } => {
                let check_now = Check { service: service.clone(), passing: status == "passing" };
                self.checks.insert((node.clone(), check.clone()), check_now);
            }
            ConsulEvent::CheckRemoved { check, node, .. } => {
                self.checks.remove(&(node.clone(), check.clone()));
            }
            _ => return false,
        }
        true
    }

    /// The instances that take writes over the network and follow nobody, and do not stand still.
    pub(crate) fn writable_primaries(&self) -> impl Iterator<Item = &str> {
        self.primaries().map(|(host, _)| host)
    }

    /// Those of them that had the time to notice what happened while they stood still, or told a client
    /// of a write all the same.
    pub(crate) fn acting_primaries(&self) -> impl Iterator<Item = &str> {
        let awake = |waking: &Waking| waking.told || self.now >= waking.since + WAKING_UP;
        self.primaries()
            .filter(move |(_, instance)| instance.waking.as_ref().is_none_or(awake))
            .map(|(host, _)| host)
    }

    fn primaries(&self) -> impl Iterator<Item = (&str, &Instance)> {
        self.instances
            .iter()
            .filter(|(host, instance)| match instance.stands() {
                _ if instance.pauses > 0 => false,
                Stands::Leads => true,
                Stands::Still { since } => self.now >= since + SETTING_UP || self.is_passing(host, PRIMARY),
                Stands::Behind => false,
            })
            .map(|(host, instance)| (host.as_str(), instance))
    }

    /// The one instance that does; `None` when there is none or more than one.
    pub(crate) fn only_writable_primary(&self) -> Option<&str> {
        let mut primaries = self.acting_primaries();
        let first = primaries.next()?;
        primaries.next().is_none().then_some(first)
    }

    /// Whether Consul lists `host` among the passing instances of `name`: it has at least one check, and
    /// all of them pass, and all of the node's, which every service shares.
    pub(crate) fn is_passing(&self, host: &str, name: &str) -> bool {
        self.services_of(host).any(|(id, service)| {
            let on_its_node = || self.checks.iter().filter(|((node, _), _)| *node == service.node);
            let mut own = on_its_node().filter(|(_, check)| check.service == id).peekable();
            service.name == name
                && own.peek().is_some()
                && own.all(|(_, check)| check.passing)
                && on_its_node().all(|(_, check)| check.passing || !check.service.is_empty())
        })
    }

    /// Whether Consul lists `host` as passing under any name.
    pub(crate) fn passes(&self, host: &str) -> bool {
        self.services_of(host).any(|(_, service)| self.is_passing(host, &service.name))
    }

    /// The machines Consul lists as passing primaries, also those that are gone.
    pub(crate) fn passing_primaries(&self) -> impl Iterator<Item = &str> {
        self.instances.keys().map(String::as_str).filter(|host| self.is_passing(host, PRIMARY))
    }

    /// Whether `host` receives and applies from its source.
    pub(crate) fn replicates(&self, host: &str) -> bool {
        let server = self.instances.get(host).and_then(|instance| instance.server.as_ref());
        server.filter(|server| server.networking).and_then(|server| server.replication.as_ref()).is_some_and(
            |replication| !replication.source.is_empty() && replication.receiving && replication.applying,
        )
    }

    /// Service ids are `<name>-<hostname>`.
    fn services_of<'a>(&'a self, host: &'a str) -> impl Iterator<Item = (&'a str, &'a Service)> {
        self.services
            .iter()
            .filter(move |(id, service)| {
                id.strip_prefix(service.name.as_str()).and_then(|rest| rest.strip_prefix('-')) == Some(host)
            })
            .map(|(id, service)| (id.as_str(), service))
    }

    /// What keeps `host` from being a replica of `primary`, in words; `None` when it is one.
    pub(crate) fn not_following(&self, host: &str, primary: &str) -> Option<String> {
        let Some(server) = self.instances.get(host).and_then(|instance| instance.server.as_ref()) else {
            return Some("its mysqld is down".to_owned());
        };
        if !server.networking {
            return Some("its mysqld only serves its own machine".to_owned());
        }
        let Some(replication) = &server.replication else {
            return Some("it never said whom it follows".to_owned());
        };
        let follows = replication.source == primary
            || self
                .services_of(primary)
                .any(|(_, service)| !service.address.is_empty() && service.address == replication.source);
        if replication.source.is_empty() {
            Some("it follows nobody".to_owned())
        } else if !follows {
            Some(format!("it follows {}", replication.source))
        } else if !replication.error.is_empty() {
            Some(format!("its replication failed: {}", replication.error))
        } else if !replication.receiving {
            Some("it does not receive".to_owned())
        } else if !replication.applying {
            Some("it does not apply".to_owned())
        } else {
            None
        }
    }
}

impl Instance {
    fn apply(&mut self, change: &MysqlEvent, at: Duration) {
        match change {
            MysqlEvent::Up { networking } => {
                self.server = Some(Server {
                    networking: *networking,
                    writable: None,
                    replication: None,
                    committed: false,
                });
            }
            MysqlEvent::Down => self.server = None,
            MysqlEvent::Writable { writable } => {
                if let Some(server) = &mut self.server {
                    server.writable = Some(*writable);
                }
            }
            MysqlEvent::Replication { source, receiving, applying, error } => {
                if let Some(server) = &mut self.server {
                    server.committed &= !receiving && !applying;
                    let still = |replication: &Replication| !replication.receiving && !replication.applying;
                    let since = server
                        .replication
                        .as_ref()
                        .filter(|known| still(known))
                        .map_or(at, |known| known.since);
                    server.replication = Some(Replication {
                        source: source.clone(),
                        receiving: *receiving,
                        applying: *applying,
                        error: error.clone(),
                        since,
                    });
                }
            }
            MysqlEvent::Committed { .. }
            | MysqlEvent::Received { .. }
            | MysqlEvent::DataDirectory { .. }
            | MysqlEvent::Tool { .. } => {}
        }
    }

    /// One fault less makes it stand still. Whether it goes on by that.
    fn resume(&mut self, at: Duration) -> bool {
        self.pauses = self.pauses.saturating_sub(1);
        if self.pauses > 0 {
            return false;
        }
        self.waking = Some(Waking { since: at, committed: BTreeSet::new(), told: false });
        true
    }

    /// Takes in a transaction that is durable here, and says whether that changes how it stands.
    fn commit(&mut self, write: u64) -> bool {
        if let Some(waking) = self.waking.as_mut().filter(|waking| !waking.told) {
            waking.committed.insert(write);
        }
        let stands = self.stands();
        match &mut self.server {
            Some(server) if matches!(stands, Stands::Still { .. }) => {
                server.committed = true;
                true
            }
            _ => false,
        }
    }

    fn stands(&self) -> Stands {
        let Some(server) = &self.server else {
            return Stands::Behind;
        };
        match &server.replication {
            Some(replication)
                if server.networking
                    && server.writable == Some(true)
                    && !replication.receiving
                    && !replication.applying =>
            {
                if server.committed || replication.source.is_empty() {
                    Stands::Leads
                } else {
                    Stands::Still { since: replication.since }
                }
            }
            _ => Stands::Behind,
        }
    }
}

/// How an instance stands to the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stands {
    /// Takes writes and follows nobody.
    Leads,
    /// Takes writes, has a source, and does nothing about it.
    Still {
        /// Since when.
        since: Duration,
    },
    /// Anything else.
    Behind,
}
