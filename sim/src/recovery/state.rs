//! The abstract state of a cluster.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a cluster is in, as far as its way back depends on it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClusterState {
    /// What its instances are, sorted: which machine is which does not matter. As many as there should be,
    /// and those beyond that run.
    pub instances: Vec<Instance>,
    /// The primary's lock.
    pub lock: Lock,
    /// The snapshot new instances start from.
    pub backup: Backup,
    /// Who passes as the primary in the catalog.
    pub catalog: Catalog,
    /// Consul itself.
    pub consul: ConsulState,
}

/// What one instance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Instance {
    /// Takes writes over the network and follows nobody.
    Primary,
    /// Receives and applies.
    Replica,
    /// Was a primary since its server came up, and takes no writes now.
    Demoted,
    /// Has nothing to do at the moment: an empty one waits for a snapshot, one with data for a primary.
    Waiting,
    /// A snapshot is being put in place.
    Restoring,
    /// Its container or its server has just started.
    Starting,
    /// Replication failed in a way that waiting does not mend, or it takes writes and nobody ever heard of it,
    /// or its server is gone and its container is not.
    Stuck,
    /// There is no container.
    Absent,
}

/// The primary's lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lock {
    /// Nobody holds it.
    Free,
    /// An instance that runs holds it.
    Held,
    /// The holder's container is gone, and its session is not.
    HeldByDead,
    /// Nobody holds it, and nobody is let have it yet.
    LockDelay,
}

/// The snapshot new instances start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backup {
    /// There is none.
    None,
    /// The first is being taken.
    Running,
    /// The object store has one.
    Usable,
}

/// Who passes as the primary in the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Catalog {
    /// Nobody.
    None,
    /// The one that is.
    Right,
    /// Somebody who is not, or more than one.
    Stale,
}

/// Consul itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConsulState {
    /// A server leads.
    Leader,
    /// None does, or none can be asked.
    None,
}

impl Instance {
    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Replica => "replica",
            Self::Demoted => "demoted",
            Self::Waiting => "waiting",
            Self::Restoring => "restoring",
            Self::Starting => "starting",
            Self::Stuck => "stuck",
            Self::Absent => "absent",
        }
    }
}

impl Lock {
    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Held => "held",
            Self::HeldByDead => "held by dead",
            Self::LockDelay => "lock-delay",
        }
    }
}

impl Backup {
    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Running => "running",
            Self::Usable => "usable",
        }
    }
}

impl Catalog {
    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Right => "right",
            Self::Stale => "stale",
        }
    }
}

impl ConsulState {
    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::None => "none",
        }
    }
}

impl fmt::Display for ClusterState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instances: Vec<_> = self.instances.iter().map(|instance| instance.name()).collect();
        write!(
            f,
            "{} | lock {} | backup {} | catalog {} | Consul {}",
            instances.join(" "),
            self.lock.name(),
            self.backup.name(),
            self.catalog.name(),
            self.consul.name(),
        )
    }
}
