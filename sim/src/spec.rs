//! What a run is made of, apart from its seed: the cluster, the world around it, the workload and the
//! faults. Scenario files are written in these terms.

use std::time::Duration;

use ironbird_agent::duration;
use ironbird_agent::mysql::Takeover;
use serde::{Deserialize, Serialize};

use crate::consul::cluster::Pace;
use crate::plan::{FaultPlan, Span};
use crate::seed::Turn;

/// One scenario variant, complete.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Spec {
    /// The service's instances and their agents.
    pub cluster: Cluster,
    /// Consul's servers and agents.
    pub consul: ConsulNodes,
    /// Links between machines.
    pub network: Network,
    /// The object store.
    pub store: Store,
    /// The database.
    pub mysql: Mysql,
    /// Who starts containers.
    pub scheduler: Scheduler,
    /// Who uses the database.
    pub workload: Workload,
    /// What goes wrong.
    #[serde(rename = "fault")]
    pub faults: Vec<crate::plan::Fault>,
    /// When other dice take over, if they do. No file can say so: it is how a run is explained.
    #[serde(skip)]
    pub turn: Option<Turn>,
}

impl Spec {
    /// The faults as a plan.
    pub fn plan(&self) -> FaultPlan {
        FaultPlan { faults: self.faults.clone() }
    }
}

/// Which handlers an instance runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Handlers {
    /// Those of the article's time, bug for bug.
    Published,
    /// Ours.
    #[default]
    Hardened,
}

/// The service's instances and their agents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Cluster {
    /// How many instances the scheduler keeps running, 1 to 7.
    pub instances: usize,
    /// On how many hosts they are, 1 to 7, where they have their host's name, as with host networking; each has a
    /// name of its own if not said. Each has an address of its own, where it would have a port of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hosts: Option<usize>,
    /// Which handlers they run.
    pub handlers: Handlers,
    /// Time between the start of one instance and the next; zero starts all at the same instant.
    #[serde(with = "duration")]
    pub start_interval: Duration,
    /// TTL of the session that holds the primary's lock, 10 s to 24 h.
    #[serde(with = "duration")]
    pub session_ttl: Duration,
    /// Lock-delay of that session, up to 60 s.
    #[serde(with = "duration")]
    pub lock_delay: Duration,
    /// Interval of the health check.
    #[serde(with = "duration")]
    pub health_interval: Duration,
    /// TTL of the service's check in Consul.
    #[serde(with = "duration")]
    pub health_ttl: Duration,
    /// Interval at which the watch on the primary polls.
    #[serde(with = "duration")]
    pub watch_interval: Duration,
    /// How long hardened handlers let a tool work on a snapshot, and an empty instance wait for one.
    #[serde(with = "duration")]
    pub snapshot_deadline: Duration,
    /// How long hardened handlers wait, once the lock is free, for instances that hold what nobody else does:
    /// `"wait"` for ever, `"5m"` for as long as it takes a machine to come back. Twice the session's TTL and
    /// its lock-delay if not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub takeover: Option<Takeover>,
}

impl Cluster {
    /// How long an election of hardened handlers waits for those who hold more; `None` for ever.
    pub fn patience(&self) -> Option<Duration> {
        Takeover::patience(self.takeover, self.session_ttl, self.lock_delay)
    }
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            instances: 3,
            hosts: None,
            handlers: Handlers::default(),
            start_interval: Duration::ZERO,
            session_ttl: Duration::from_secs(60),
            lock_delay: Duration::from_secs(15),
            health_interval: Duration::from_secs(5),
            health_ttl: Duration::from_secs(25),
            watch_interval: Duration::from_secs(10),
            snapshot_deadline: Duration::from_secs(600),
            takeover: None,
        }
    }
}

/// Consul's servers and agents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct ConsulNodes {
    /// How many servers there are, 1 to 5. One that is alone answers at once; several agree by raft.
    pub servers: usize,
    /// How many machines run an agent only. Instances and clients ask them, in turn, if there are any, and
    /// the servers, in turn, if not.
    pub agents: usize,
    /// Consul's `raft_multiplier`, 1 to 10: it stretches elections and leases.
    pub raft_multiplier: u32,
    /// How long a request waits for a leader.
    #[serde(with = "duration")]
    pub rpc_hold: Duration,
    /// How long a call to a machine that fell silent hangs.
    pub rpc_hang: Span,
    /// How often an agent compares all it knows with the catalog; up to as much again is added.
    #[serde(with = "duration")]
    pub anti_entropy: Duration,
    /// How long it waits after it could not; up to as much again is added.
    #[serde(with = "duration")]
    pub anti_entropy_retry: Duration,
    /// How often a leader compares all members with the catalog.
    #[serde(with = "duration")]
    pub reconcile: Duration,
    /// How often autopilot looks for servers to clean up; zero for never.
    #[serde(with = "duration")]
    pub autopilot: Duration,
}

impl Default for ConsulNodes {
    fn default() -> Self {
        let pace = Pace::default();
        Self {
            servers: 1,
            agents: 0,
            raft_multiplier: pace.raft_multiplier,
            rpc_hold: pace.rpc_hold,
            rpc_hang: Span { from: pace.rpc_hang.0, to: pace.rpc_hang.1 },
            anti_entropy: pace.anti_entropy,
            anti_entropy_retry: pace.anti_entropy_retry,
            reconcile: pace.reconcile,
            autopilot: pace.autopilot,
        }
    }
}

impl ConsulNodes {
    /// How long its nodes take for what.
    pub(crate) fn pace(&self) -> Pace {
        Pace {
            raft_multiplier: self.raft_multiplier,
            rpc_hold: self.rpc_hold,
            rpc_hang: (self.rpc_hang.from, self.rpc_hang.to),
            anti_entropy: self.anti_entropy,
            anti_entropy_retry: self.anti_entropy_retry,
            reconcile: self.reconcile,
            autopilot: self.autopilot,
            ..Pace::default()
        }
    }

    /// The longest it can be without a leader once all its servers reach each other: until one that started
    /// while it was cut off joins them, an election, one more after a split vote, and what a request then waits
    /// at most. Nothing for a server that is alone.
    pub fn outage(&self) -> Duration {
        if self.servers == 1 {
            return Duration::ZERO;
        }
        let timeout = Duration::from_secs(2) * self.raft_multiplier;
        self.pace().retry_join + 3 * timeout + self.rpc_hold + self.rpc_hang.to
    }
}

/// Links between machines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Network {
    /// One-way latency, drawn for every segment.
    pub latency: Span,
    /// Share of segments lost and sent again, 0 to below 1.
    pub loss: f64,
}

impl Default for Network {
    fn default() -> Self {
        Self { latency: Span::millis(1, 4), loss: 0.0 }
    }
}

/// The object store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Store {
    /// Time to take or hand out one object.
    pub latency: Span,
}

impl Default for Store {
    fn default() -> Self {
        Self { latency: Span::millis(50, 500) }
    }
}

/// The database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Mysql {
    /// Time `mysqld` needs to start.
    pub startup: Span,
    /// Time to set up an empty data directory.
    pub install: Span,
    /// Time to take a snapshot, apart from its size.
    pub backup: Span,
    /// Time to restore one, apart from its size.
    pub restore: Span,
    /// How much data there is besides the clients' writes, in MiB: it takes time to copy.
    pub size: u64,
    /// How fast it is copied, in MiB a second.
    pub rate: u64,
    /// Time a replica needs to apply one transaction.
    pub apply: Span,
    /// How long after it received a transaction a replica begins to apply it.
    pub apply_lag: Span,
    /// Time a server that crashed needs, on top of `startup`, for every transaction since its last
    /// checkpoint.
    pub recovery: Span,
    /// Transactions between two checkpoints.
    pub checkpoint: u64,
    /// Whether the logs are synced with every transaction. If not, a loss of power takes what was written to
    /// them in about the last second, while the tables have it.
    pub sync_binlog: bool,
    /// How many transactions a server keeps in its binary log at least; it purges once there are twice as
    /// many. 0 keeps all.
    pub keep_binlog: u64,
    /// Whether a restored snapshot comes up knowing which transactions it holds. Percona's tool leaves that
    /// to whoever restores: it writes them into `xtrabackup_binlog_info`, for `gtid_purged` to be set from.
    /// A server that is not told asks for all of them again (autopilotpattern/mysql issue 71).
    pub restore_sets_gtids: bool,
}

impl Default for Mysql {
    fn default() -> Self {
        Self {
            startup: Span::millis(1_000, 3_000),
            install: Span::millis(2_000, 5_000),
            backup: Span::millis(2_000, 8_000),
            restore: Span::millis(2_000, 6_000),
            size: 0,
            rate: 100,
            apply: Span::millis(1, 5),
            apply_lag: Span::exactly(Duration::ZERO),
            recovery: Span::millis(1, 1),
            checkpoint: 200,
            sync_binlog: true,
            keep_binlog: 0,
            restore_sets_gtids: true,
        }
    }
}

impl Mysql {
    /// Time to copy all data once.
    pub fn copying(&self) -> Duration {
        Duration::from_millis(self.size.saturating_mul(1_000) / self.rate.max(1))
    }

    /// The longest a server can take to be up, also after a crash.
    pub fn longest_start(&self) -> Duration {
        self.startup.to + self.recovery.to * u32::try_from(self.checkpoint).unwrap_or(u32::MAX)
    }
}

/// Who starts containers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Scheduler {
    /// Time from the end of a container to its replacement's start.
    pub replacement: Span,
}

impl Default for Scheduler {
    fn default() -> Self {
        Self { replacement: Span::millis(5_000, 20_000) }
    }
}

/// Who uses the database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Workload {
    /// How many clients write.
    pub clients: usize,
    /// Time between two writes of one client.
    pub interval: Span,
    /// How a client finds the primary.
    pub mode: Mode,
    /// How many connections a client keeps open. They are used in turn, and each is closed when it fails,
    /// and no other: the rest stay where they are.
    pub pool: usize,
    /// How often a write that failed is tried again, under the same key.
    pub retries: usize,
    /// Share of writes that are followed by a read of the client's last acknowledged write from a replica, 0
    /// to 1.
    pub reads: f64,
}

/// How a client finds the primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// It takes the first passing instance of the primary's service, as the article's applications do.
    #[default]
    Catalog,
    /// It reads who holds the primary's lock, and for which term, and uses no primary of an earlier term than
    /// it has seen. The hardened cluster's lock says so; others' do not.
    Fenced,
}

impl Default for Workload {
    fn default() -> Self {
        Self {
            clients: 1,
            interval: Span::millis(1_000, 3_000),
            mode: Mode::default(),
            pool: 1,
            retries: 0,
            reads: 0.0,
        }
    }
}
