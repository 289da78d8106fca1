//! A Consul server that runs in a simulation: the wire of a real one, a clock and dice of ours.
//!
//! [`Consul`] is a pure state machine. Requests and the time go in, answers and events come out; it has no
//! clock, no socket and no task, and draws ids and jitter from the one stream it was given, so the same
//! calls always give the same answers. [`server`] is the shell that puts it on a network.
//!
//! It is one server that is its own agent, leader and only member, and answers as Consul 1.8.7 does when
//! started with `-server -bootstrap`: statuses, headers, bodies and error texts. `tests/consul_parity.rs`
//! plays the same requests to both. What it does not know it refuses; it never pretends.
//!
//! The rule a change must keep: whatever the servers of a cluster agree on is in `state`, and changes
//! by a command of the log and in no other way. What one agent knows by itself is in `agent`.

mod acl;
mod agent;
mod api;
mod blocking;
pub mod chaos;
pub mod cluster;
mod dump;
mod duration;
pub mod fake;
mod filter;
#[doc(hidden)]
pub mod fuzzing;
mod gossip;
mod latest;
mod leader;
pub mod mesh;
pub mod probe;
mod raft;
pub mod server;
mod state;
mod timers;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

pub use self::acl::{AclConfig, AgentTokens, DefaultPolicy, TokenConfig};
pub use self::agent::probe::{HttpTarget, Probe, ProbeId, ProbeResult, Target};
pub use self::blocking::Blocked;
pub use self::dump::LoadError;
pub use self::state::Happened;

/// Who the server is.
#[derive(Debug, Clone)]
pub struct ConsulConfig {
    /// The name of its node.
    pub node: String,
    /// Its datacenter.
    pub datacenter: String,
    /// Its node's address.
    pub address: IpAddr,
    /// The port other servers would reach it at.
    pub server_port: u16,
    /// The port gossip would reach it at.
    pub serf_port: u16,
    /// How often a query is woken by what is beside what it watches, 0 to 1: see
    /// [`Consul::set_spurious_wakes`].
    pub spurious_wakes: f64,
    acl: Option<AclConfig>,
}

impl ConsulConfig {
    /// The server on `node` at `address`, with everything else as Consul has it by default.
    pub fn new(node: impl Into<String>, address: IpAddr) -> Self {
        Self {
            node: node.into(),
            datacenter: "dc1".to_owned(),
            address,
            server_port: 8300,
            serf_port: 8301,
            spurious_wakes: 0.0,
            acl: None,
        }
    }

    /// The same with ACLs. Without them, tokens are not looked at.
    ///
    /// # Errors
    /// When rules cannot be read, or a token names a policy there is none of.
    pub fn with_acl(mut self, acl: AclConfig) -> Result<Self, String> {
        acl::Acl::new(&acl, &self.node)?;
        self.acl = Some(acl);
        Ok(self)
    }
}

/// What a request comes to.
#[derive(Debug)]
pub enum Reply {
    /// The answer.
    Now(Response<Bytes>),
    /// A blocking query that has nothing new to say yet: ask [`Consul::poll`].
    Blocked(Blocked),
    /// A request that takes a while: [`Consul::answers`] will have the answer.
    Pending(cluster::Ticket),
}

/// The server's state.
#[derive(Debug)]
pub struct Consul {
    config: ConsulConfig,
    node_id: String,
    stream: ChaCha8Rng,
    now: Duration,
    revision: u64,
    state: state::State,
    leader: leader::Leader,
    agent: agent::Local,
    /// Whether the catalog is told nothing of what the agent knows.
    sync_stalled: bool,
    /// Whether it behaves as if there were no leader, whoever leads.
    leaderless: bool,
    /// How often a query is woken by what is beside what it watches, if not as configured.
    spurious_wakes: Option<f64>,
    timers: timers::Timers,
    cluster: Option<Box<cluster::Cluster>>,
    cache: api::Cache,
    acl: Option<acl::Acl>,
}

impl Consul {
    /// A server that has just elected itself, and is alone. Its ids and its jitter come from `stream`.
    pub fn new(config: ConsulConfig, stream: ChaCha8Rng) -> Self {
        let mut consul = Self::blank(config, stream);
        consul.node_id = consul.draw_uuid();
        consul.state.bootstrap(&consul.config, &consul.node_id);
        consul
    }

    fn blank(config: ConsulConfig, stream: ChaCha8Rng) -> Self {
        // Good rules are what a configuration was made with.
        let acl = config.acl.as_ref().and_then(|acl| acl::Acl::new(acl, &config.node).ok());
        Self {
            acl,
            config,
            node_id: String::new(),
            stream,
            now: Duration::ZERO,
            revision: 0,
            state: state::State::default(),
            leader: leader::Leader::default(),
            agent: agent::Local::default(),
            sync_stalled: false,
            leaderless: false,
            spurious_wakes: None,
            timers: timers::Timers::default(),
            cache: api::Cache::default(),
            cluster: None,
        }
    }

    /// Answers a request that `reader` sends at `now`.
    pub fn request(&mut self, now: Duration, reader: IpAddr, request: &Request<Bytes>) -> Reply {
        self.advance(now);
        match self.cluster {
            None => api::answer(self, reader, request),
            Some(_) => self.cluster_request(reader, request),
        }
    }

    /// Answers a blocking query if what it watches has moved on, or its wait is over.
    pub fn poll(&mut self, now: Duration, blocked: &mut Blocked) -> Option<Response<Bytes>> {
        self.advance(now);
        blocked.poll(self)
    }

    /// Lets everything happen that is due by `now`. Time that went back stands still.
    pub fn advance(&mut self, now: Duration) {
        let before = self.now;
        while let Some((at, due)) = self.timers.pop(now) {
            self.set_time(at);
            match due {
                timers::Due::SessionExpiry(id) => self.session_expire(&id),
                timers::Due::CheckTtl(id) => self.check_expire(&id),
                timers::Due::CheckOutput(id) => self.check_push(&id),
                timers::Due::CheckProbe(id) => self.check_probe(&id),
                timers::Due::CheckAlias(id) => self.check_alias(&id),
                timers::Due::CriticalReap(id) => self.check_reap(&id),
                timers::Due::Tombstones => self.tombstones_due(),
                timers::Due::Reconcile => self.reconcile_due(),
                timers::Due::Autopilot => self.autopilot_due(),
                timers::Due::AntiEntropy => self.sync_due(),
                timers::Due::Coordinate => self.coordinate_due(),
                timers::Due::RetryJoin => self.join_due(),
                timers::Due::Rebalance => self.rebalance_due(),
                timers::Due::Look(job) => self.look_again(job),
                timers::Due::CallHangs(node) => self.call_hangs(node),
            }
        }
        self.set_time(now);
        if self.now > before {
            if self.state.catalogs.moved(before, self.now) {
                self.changed();
            }
            self.state.catalogs.prune(self.now);
        }
        self.cluster_advance(now);
    }

    fn set_time(&mut self, now: Duration) {
        self.now = self.now.max(now);
        self.state.now = self.now;
    }

    /// When [`Self::advance`] next has something to do.
    pub fn next_deadline(&self) -> Option<Duration> {
        let lag = self.state.catalogs.next(self.now);
        [self.timers.next(), lag, self.cluster_deadline()].into_iter().flatten().min()
    }

    /// Takes the events since the last call.
    pub fn drain_events(&mut self) -> Vec<Happened> {
        self.state.drain_events()
    }

    /// Shows `reader` the catalog of `delay` ago from `now` on, in health and catalog answers, their
    /// indexes and what wakes its blocking queries; `None` shows it the present again. Keys, sessions and
    /// the agent's own endpoints never lag, and what a reader has seen it does not unsee.
    pub fn set_catalog_lag(&mut self, now: Duration, reader: IpAddr, delay: Option<Duration>) {
        self.advance(now);
        self.state.catalogs.set_lag(self.now, reader, delay);
        self.changed();
    }

    /// How far `reader` lags, if it does.
    pub(crate) fn catalog_lag(&self, reader: IpAddr) -> Option<Duration> {
        self.state.catalogs.lag(reader)
    }

    /// Whether the catalog is told nothing.
    pub(crate) fn is_stalled(&self) -> bool {
        self.sync_stalled
    }

    /// Keeps from the catalog what this node's agent knows, from `now` on, or tells it again. Requests to
    /// the agent are answered as ever.
    pub fn stall_anti_entropy(&mut self, now: Duration, stalled: bool) {
        self.advance(now);
        self.sync_stalled = stalled;
        if !stalled {
            self.push();
            self.settle_cluster();
        }
    }

    /// Whether this node is in maintenance.
    pub(crate) fn is_in_maintenance(&self) -> bool {
        self.agent.check(agent::NODE_MAINTENANCE).is_some()
    }

    /// Puts this node into maintenance, from `now` on, or ends it: while it lasts, no service on it passes.
    pub fn maintain(&mut self, now: Duration, maintained: bool) {
        self.advance(now);
        match maintained {
            true => self.maintenance_begin(None, ""),
            false => self.maintenance_end(None),
        }
        self.settle_cluster();
    }

    /// Wakes a share of those who wait for something whenever what is beside it is written, 0 to 1. They are
    /// answered as before, with a greater index. Not at all by default; a real server does so with 9 in 10
    /// where there are next to no keys, and with 4 in 100 where there are a hundred. `None` is what was
    /// configured.
    pub fn set_spurious_wakes(&mut self, share: Option<f64>) {
        self.spurious_wakes = share;
    }

    fn spurious_wakes(&self) -> f64 {
        self.spurious_wakes.unwrap_or(self.config.spurious_wakes)
    }

    /// Takes every token away, from `now` on, but the anonymous one and the agent's own master token; or gives
    /// them back. An agent that is no server notices up to [`cluster::Pace::acl_token_ttl`] later.
    pub fn revoke_tokens(&mut self, now: Duration, revoked: bool) {
        self.advance(now);
        if let Some(acl) = &mut self.acl {
            acl.revoke(revoked);
        }
    }

    /// Takes the leader away, at `now`, or gives it back. Without one nothing expires, and the catalog is told
    /// nothing of what this node's agent knows; a leader that is back gives every session all of its time
    /// again. What requests are answered meanwhile is the business of whoever takes them.
    pub fn set_leaderless(&mut self, now: Duration, leaderless: bool) {
        self.advance(now);
        if std::mem::replace(&mut self.leaderless, leaderless) == leaderless {
            return;
        }
        match leaderless {
            true => self.leader_gone(),
            false => self.leader_back(),
        }
        self.changed();
        self.settle_cluster();
    }

    /// Whether the catalog is told nothing of what this node's agent knows.
    fn keeps_to_itself(&self) -> bool {
        self.sync_stalled || self.leaderless
    }

    /// Grows whenever a blocking query may have something new to say.
    pub fn revision(&self) -> u64 {
        self.revision + self.state.revision()
    }

    fn changed(&mut self) {
        self.revision += 1;
    }

    fn draw_uuid(&mut self) -> String {
        let mut bytes = [0; 16];
        self.stream.fill_bytes(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
    }

    /// A duration from 0 up to, but not including, `limit`.
    fn draw_below(&mut self, limit: Duration) -> Duration {
        let limit = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.stream.next_u64() % limit.max(1))
    }
}
