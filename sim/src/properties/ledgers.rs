//! Which client's writes are on which data directory, as the events so far tell.
//!
//! A data directory lives from when it is set up to when another one is set up in its place, or its container
//! is gone for good. A container that starts is a fresh one, and what its machine had before is gone: that is
//! so when it sets up a data directory. A server that comes up without anybody having set one up found the old
//! one, and the container is the old one started again.
//!
//! What was on the disk of a container that ended *by itself* was thrown away by the cluster, and not taken
//! from it: unless a fault that ends containers, or breaks disks, happened to it before, it counts as if it
//! were there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::record::{Event, MysqlEvent, What};

/// Faults after which an end is not the container's own doing.
const ENDINGS: [&str; 12] = [
    "attrition",
    "fail-disk",
    "kill",
    "kill-command",
    "lose-disk",
    "power-loss",
    "remove",
    "replace",
    "restart",
    "roll",
    "scale",
    "stop",
];

/// A step and its time; ordered by the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment {
    pub(super) step: u64,
    pub(super) at: Duration,
}

impl Moment {
    pub(super) fn of(event: &Event) -> Self {
        Self { step: event.step, at: event.at }
    }
}

/// A write on a data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    /// Since when.
    pub(super) since: Moment,
    /// The transaction that brought it, where that is known: the server's place in [`Ledgers`], and its number
    /// there.
    pub(super) transaction: Option<(usize, u64)>,
}

/// One data directory.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) host: String,
    /// What is committed there.
    pub(super) held: BTreeMap<u64, Held>,
}

/// The disk of a machine's container.
#[derive(Debug, Default)]
struct Disk {
    /// Its data directory, by its place in [`Ledgers`].
    ledger: Option<usize>,
    /// Everything that was ever durable here, in whichever data directory, applied or not.
    ever: BTreeSet<u64>,
    /// A container started here, and nothing has shown yet whether it has the old disk.
    unseen: bool,
    running: bool,
    /// Something happened to the container that may end it.
    struck: bool,
}

/// All data directories.
#[derive(Debug, Default)]
pub(super) struct Ledgers {
    all: Vec<Ledger>,
    /// By machine.
    disks: BTreeMap<String, Disk>,
    /// What went down with containers that ended by themselves, and was nowhere else then.
    thrown_away: Vec<(String, BTreeSet<u64>)>,
    /// Servers by UUID.
    servers: BTreeMap<String, usize>,
}

impl Ledgers {
    /// Takes in one event.
    pub(super) fn apply(&mut self, event: &Event) {
        match &event.what {
            What::Launched { .. } => {
                let disk = self.disk(event);
                disk.unseen = true;
                disk.running = true;
                disk.struck = false;
            }
            What::Ended { .. } => self.end(event),
            What::FaultBegan { .. }
                if event.what.fault_kind().is_some_and(|kind| ENDINGS.contains(&kind)) =>
            {
                self.disk(event).struck = true;
            }
            What::Mysql(MysqlEvent::Up { .. }) => self.disk(event).unseen = false,
            What::Mysql(MysqlEvent::Committed { gtid, write }) if *write != 0 => {
                let transaction = self.transaction(gtid);
                self.disk(event).ever.insert(*write);
                let held = Held { since: Moment::of(event), transaction };
                self.ledger(event).held.insert(*write, held);
            }
            What::Mysql(MysqlEvent::Received { write, .. }) if *write != 0 => {
                self.disk(event).ever.insert(*write);
            }
            What::Mysql(MysqlEvent::DataDirectory { how, writes }) => self.set_up(event, how, writes),
            _ => {}
        }
    }

    fn disk(&mut self, event: &Event) -> &mut Disk {
        if !self.disks.contains_key(&event.host) {
            self.disks.insert(event.host.clone(), Disk::default());
        }
        self.disks.entry(event.host.clone()).or_default()
    }

    fn ledger(&mut self, event: &Event) -> &mut Ledger {
        let next = self.all.len();
        let place = *self.disk(event).ledger.get_or_insert(next);
        if place == next {
            self.all.push(Ledger { host: event.host.clone(), held: BTreeMap::new() });
        }
        &mut self.all[place]
    }

    fn transaction(&mut self, gtid: &str) -> Option<(usize, u64)> {
        let (server, number) = gtid.split_once(':')?;
        let number = number.parse().ok()?;
        let next = self.servers.len();
        let server = match self.servers.get(server) {
            Some(known) => *known,
            None => *self.servers.entry(server.to_owned()).or_insert(next),
        };
        Some((server, number))
    }

    fn set_up(&mut self, event: &Event, how: &str, writes: &[u64]) {
        let since = Moment::of(event);
        if how == "recovered" {
            // The same directory, with what the loss of power left of it.
            self.disk(event).ever = writes.iter().copied().collect();
            let ledger = self.ledger(event);
            ledger.held.retain(|write, _| writes.contains(write));
            for write in writes {
                ledger.held.entry(*write).or_insert(Held { since, transaction: None });
            }
            return;
        }
        let disk = self.disk(event);
        if disk.unseen {
            disk.unseen = false;
            disk.ever.clear();
        }
        disk.ever.extend(writes);
        disk.ledger = None;
        let held = Held { since, transaction: None };
        self.ledger(event).held = writes.iter().map(|write| (*write, held)).collect();
    }

    fn end(&mut self, event: &Event) {
        let disk = self.disk(event);
        disk.running = false;
        let own_doing = !disk.struck && !disk.unseen && is_exit(&event.what);
        if !own_doing {
            return;
        }
        let elsewhere = |write: &u64| self.survivors().any(|(_, ever)| ever.contains(write));
        let Some(disk) = self.disks.get(&event.host) else { return };
        let only_here: BTreeSet<u64> = disk.ever.iter().copied().filter(|write| !elsewhere(write)).collect();
        if !only_here.is_empty() {
            self.thrown_away.push((event.host.clone(), only_here));
        }
    }

    /// The machines whose container runs, and everything that was ever durable in it.
    pub(super) fn survivors(&self) -> impl Iterator<Item = (&str, &BTreeSet<u64>)> {
        self.disks
            .iter()
            .filter(|(_, disk)| disk.running && !disk.unseen)
            .map(|(host, disk)| (host.as_str(), &disk.ever))
    }

    /// What went down with containers that ended by themselves, and was nowhere else then.
    pub(super) fn thrown_away(&self) -> impl Iterator<Item = (&str, &BTreeSet<u64>)> {
        self.thrown_away.iter().map(|(host, writes)| (host.as_str(), writes))
    }

    /// The data directory of a machine, by its place in [`Ledgers::all`].
    pub(super) fn place_of(&self, host: &str) -> Option<usize> {
        self.disks.get(host)?.ledger
    }

    /// The data directory of a machine.
    pub(super) fn of(&self, host: &str) -> Option<&Ledger> {
        self.all.get(self.place_of(host)?)
    }

    /// Every data directory there ever was.
    pub(super) fn all(&self) -> &[Ledger] {
        &self.all
    }

    /// Those of the containers that run.
    pub(super) fn running(&self) -> impl Iterator<Item = &Ledger> {
        let running = self.disks.values().filter(|disk| disk.running && !disk.unseen);
        running.filter_map(|disk| self.all.get(disk.ledger?))
    }
}

/// Whether a container ended with an exit code.
fn is_exit(what: &What) -> bool {
    matches!(what, What::Ended { how } if how.starts_with("exit"))
}
