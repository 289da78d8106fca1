//! From the events of a record to the abstract state of its cluster.
//!
//! Roles are those [`State`] tells; what is folded here besides is what a way back depends on and a
//! property does not: tools at work, the lock, the snapshot, and whether Consul can be asked at all.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ironbird_agent::mysql::Config;

use super::state::{Backup, Catalog, ClusterState, ConsulState, Instance, Lock};
use crate::properties::state::State;
use crate::properties::convergence::Convergence;
use crate::record::{ConsulEvent, Event, Header, MysqlEvent, Tool, What, lock_holder};

/// A container that has done nothing yet for so long does not start, it waits.
const STARTING: Duration = Duration::from_secs(2);
/// A server that takes writes and never passed as anything, or ended and did not come back, for so long, is
/// stuck: health checks run every few seconds.
const STUCK: Duration = Duration::from_secs(60);
/// Faults that make the node of Consul they strike useless.
const OUTAGES: [&str; 8] =
    ["kill", "power-loss", "stop", "lose-disk", "leaderless", "refuse", "hang", "pause"];

/// The state of a cluster, event by event.
#[derive(Debug)]
pub(super) struct Fold {
    size: usize,
    convergence: Convergence,
    now: Duration,
    roles: State,
    /// The revision of the roles that was looked at last.
    judged: u64,
    lives: BTreeMap<String, Life>,
    lock: LockNow,
    snapshot: bool,
    consul: Leadership,
    faults: BTreeSet<String>,
}

/// A container's life so far.
#[derive(Debug, Default)]
struct Life {
    launched: Duration,
    /// It has a data directory.
    data: bool,
    tools: BTreeSet<Tool>,
    /// Since when its server is up, or down.
    server: Option<(bool, Duration)>,
    /// Whether it led since its server came up.
    led: bool,
    /// Whether it ever passed as something.
    passed: bool,
    /// Replication stopped with an error.
    broken: bool,
}

#[derive(Debug, Default)]
struct LockNow {
    holder: Option<String>,
    delay_until: Duration,
}

/// Who of Consul's servers leads.
#[derive(Debug, Default)]
struct Leadership {
    /// The leader of several; a server that is alone is never said to lead.
    leader: Option<String>,
    /// Whether there are several.
    elected: bool,
    /// The nodes that can do nothing.
    out: BTreeSet<String>,
}

impl Fold {
    /// The cluster of a record with this header.
    pub(super) fn new(header: &Header) -> Self {
        Self {
            size: header.instances,
            convergence: Convergence::new(header),
            now: Duration::ZERO,
            roles: State::default(),
            judged: 0,
            lives: BTreeMap::new(),
            lock: LockNow::default(),
            snapshot: false,
            consul: Leadership::default(),
            faults: BTreeSet::new(),
        }
    }

    /// The kinds of fault that have begun.
    pub(super) fn faults(&self) -> &BTreeSet<String> {
        &self.faults
    }

    /// Whether the cluster is whole.
    pub(super) fn is_whole(&self) -> bool {
        self.convergence.is_whole(&self.roles)
    }

    /// Takes in one event.
    pub(super) fn apply(&mut self, event: &Event) {
        self.now = event.at;
        self.roles.apply(event);
        match &event.what {
            // A fault without a machine found none to strike.
            What::FaultBegan { fault, .. } if event.host != "-" => {
                let kind = kind(fault);
                if OUTAGES.contains(&kind) && event.host.starts_with("consul") {
                    self.consul.out.insert(event.host.clone());
                }
                self.faults.insert(kind.to_owned());
            }
            What::FaultEnded { fault, .. } if OUTAGES.contains(&kind(fault)) => {
                self.consul.out.remove(&event.host);
            }
            What::Launched { .. } => {
                let life = Life { launched: event.at, ..Life::default() };
                self.lives.insert(event.host.clone(), life);
            }
            What::Ended { .. } => {
                self.lives.remove(&event.host);
            }
            What::Mysql(change) => self.apply_to_server(event, change),
            What::Consul(change) => self.apply_to_consul(change),
            What::Store { method, status: 200, .. } if method == "PUT" => self.snapshot = true,
            _ => {}
        }
        if self.roles.revision != self.judged {
            self.judged = self.roles.revision;
            for (host, life) in &mut self.lives {
                life.led |= self.roles.writable_primaries().any(|primary| primary == host);
                life.passed |= self.roles.passes(host);
            }
        }
    }

    fn apply_to_server(&mut self, event: &Event, change: &MysqlEvent) {
        let Some(life) = self.lives.get_mut(&event.host) else { return };
        match change {
            MysqlEvent::Up { networking } => {
                life.data = true;
                life.led = false;
                life.broken = false;
                life.server = networking.then_some((true, event.at));
            }
            MysqlEvent::Down => {
                life.server = life.server.map(|_| (false, event.at));
            }
            MysqlEvent::Replication { source, applying, error, .. } => {
                // A receiver that lost its connection tries again; an applier that failed does not.
                life.broken = !source.is_empty() && !applying && !error.is_empty();
            }
            MysqlEvent::Tool { tool, running: true } => {
                life.tools.insert(*tool);
            }
            MysqlEvent::Tool { tool, running: false } => {
                life.tools.remove(tool);
            }
            MysqlEvent::DataDirectory { .. } => life.data = true,
            MysqlEvent::Writable { .. } | MysqlEvent::Committed { .. } | MysqlEvent::Received { .. } => {}
        }
    }

    fn apply_to_consul(&mut self, change: &ConsulEvent) {
        match change {
            ConsulEvent::LockAcquired { key, value, .. } if key == Config::PRIMARY_KEY => {
                self.lock.holder = lock_holder(value);
            }
            ConsulEvent::LockReleased { key, delay_until_us, .. } if key == Config::PRIMARY_KEY => {
                self.lock =
                    LockNow { holder: None, delay_until: Duration::from_micros(*delay_until_us) };
            }
            ConsulEvent::LeaderEstablished { server } => {
                self.consul.elected = true;
                self.consul.leader = Some(server.clone());
                self.consul.out.remove(server);
            }
            ConsulEvent::LeaderDeposed { server } => {
                self.consul.elected = true;
                if self.consul.leader.as_ref() == Some(server) {
                    self.consul.leader = None;
                }
            }
            _ => {}
        }
    }

    /// The state the events so far add up to.
    pub(super) fn state(&self) -> ClusterState {
        let mut instances: Vec<_> =
            self.lives.iter().map(|(host, life)| self.instance(host, life)).collect();
        while instances.len() < self.size {
            instances.push(Instance::Absent);
        }
        instances.sort_unstable();
        ClusterState {
            instances,
            lock: self.lock(),
            backup: self.backup(),
            catalog: self.catalog(),
            consul: self.consul.state(),
        }
    }

    fn instance(&self, host: &str, life: &Life) -> Instance {
        let since = |at: Duration| self.now.saturating_sub(at);
        if life.tools.contains(&Tool::Restore) {
            return Instance::Restoring;
        }
        match life.server {
            Some((false, at)) if since(at) >= STUCK => return Instance::Stuck,
            Some((true, at)) if !life.passed && life.led && since(at) >= STUCK => return Instance::Stuck,
            Some((true, _)) => {}
            None | Some(_) if life.data || life.tools.contains(&Tool::Install) => return Instance::Starting,
            None | Some(_) if since(life.launched) < STARTING => return Instance::Starting,
            None | Some(_) => return Instance::Waiting,
        }
        if self.roles.writable_primaries().any(|primary| primary == host) {
            Instance::Primary
        } else if self.roles.replicates(host) {
            Instance::Replica
        } else if life.broken {
            Instance::Stuck
        } else if life.led {
            Instance::Demoted
        } else {
            Instance::Waiting
        }
    }

    fn lock(&self) -> Lock {
        match &self.lock.holder {
            Some(holder) if self.lives.contains_key(holder) => Lock::Held,
            Some(_) => Lock::HeldByDead,
            None if self.now < self.lock.delay_until => Lock::LockDelay,
            None => Lock::Free,
        }
    }

    fn backup(&self) -> Backup {
        if self.snapshot {
            Backup::Usable
        } else if self.lives.values().any(|life| life.tools.contains(&Tool::Backup)) {
            Backup::Running
        } else {
            Backup::None
        }
    }

    fn catalog(&self) -> Catalog {
        let mut listed = self.roles.passing_primaries();
        match (listed.next(), listed.next()) {
            (None, _) => Catalog::None,
            (Some(one), None) if self.roles.only_writable_primary() == Some(one) => Catalog::Right,
            _ => Catalog::Stale,
        }
    }
}

impl Leadership {
    fn state(&self) -> ConsulState {
        let led = match &self.leader {
            Some(leader) => !self.out.contains(leader),
            None => !self.elected && self.out.is_empty(),
        };
        if led { ConsulState::Leader } else { ConsulState::None }
    }
}

/// A fault's kind: the first of the words that describe it.
fn kind(fault: &str) -> &str {
    fault.split(' ').next().unwrap_or_default()
}
