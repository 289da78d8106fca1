//! What a fake Consul is to be, said piece by piece.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;

use super::log::{Log, TokioClock};
use super::{FakeConsul, LocalConsul, Tls, listen};
use crate::consul::chaos::{Census, Chaos, ChaosPlan};
use crate::consul::cluster::{ClusterConfig, Pace};
use crate::consul::mesh::Mesh;
use crate::consul::server::{Fleet, Shared, Shell};
use crate::consul::{AclConfig, Consul, ConsulConfig, LoadError};
use crate::seed::Seed;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// The most servers, and agents beside them, a cluster can have here.
const SERVERS_MAX: usize = 5;
const AGENTS_MAX: usize = 16;
/// The nodes of a cluster share an address: what other nodes would reach them at differs by this.
const PORT_STEP: u16 = 10;

/// What a fake Consul is to be.
#[derive(Debug, Clone)]
pub struct Builder {
    listen: SocketAddr,
    config: ConsulConfig,
    census: Census,
    raft_multiplier: u32,
    waits: bool,
    seed: Seed,
    chaos: Chaos,
    plan: ChaosPlan,
    tls: Option<Tls>,
    data: Option<Vec<u8>>,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            listen: SocketAddr::new(LOOPBACK, 0),
            config: ConsulConfig::new("ironbird", LOOPBACK),
            census: Census::default(),
            raft_multiplier: 1,
            waits: true,
            seed: Seed(0),
            chaos: Chaos::new(),
            plan: ChaosPlan::default(),
            tls: None,
            data: None,
        }
    }

    /// The name of its node; `ironbird` if not said. The nodes of a cluster are called `server-1`, `agent-1`
    /// and so on.
    #[must_use]
    pub fn node(mut self, node: impl Into<String>) -> Self {
        self.config.node = node.into();
        self
    }

    /// Its datacenter; `dc1` if not said.
    #[must_use]
    pub fn datacenter(mut self, datacenter: impl Into<String>) -> Self {
        self.config.datacenter = datacenter.into();
        self
    }

    /// The address of its nodes in the catalog; 127.0.0.1 if not said.
    #[must_use]
    pub fn address(mut self, address: IpAddr) -> Self {
        self.config.address = address;
        self
    }

    /// How many servers there are, 1 to 5; 1 if not said. More than one elect a leader among them.
    #[must_use]
    pub fn servers(mut self, servers: usize) -> Self {
        self.census.servers = servers;
        self
    }

    /// How many agents there are that are no servers, up to 16; none if not said.
    #[must_use]
    pub fn agents(mut self, agents: usize) -> Self {
        self.census.agents = agents;
        self
    }

    /// How slowly the servers of a cluster take their leader for dead, 1 to 10; 1 if not said, which is
    /// what Consul recommends in production. Consul's own default is 5.
    #[must_use]
    pub fn raft_multiplier(mut self, multiplier: u32) -> Self {
        self.raft_multiplier = multiplier;
        self
    }

    /// Does not wait for a leader: neither [`Self::start`] nor the plan.
    #[must_use]
    pub fn without_waiting(mut self) -> Self {
        self.waits = false;
        self
    }

    /// What its ids, its jitter and its chaos are drawn from; 0 if not said.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Seed(seed);
        self
    }

    /// Where [`Self::start`] listens; a free port of the loopback if not said. The nodes of a cluster listen
    /// on the ports from that one on, or each on a free one.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// Speaks HTTPS where [`Self::start`] listens.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// What it goes on from: what [`FakeConsul::dump`] gave. For a lone server only.
    #[must_use]
    pub fn data(mut self, dump: Vec<u8>) -> Self {
        self.data = Some(dump);
        self
    }

    /// Looks at tokens, and lets each do what these rules say.
    ///
    /// # Errors
    /// When rules cannot be read, or a token names a policy there is none of.
    pub fn acl(mut self, acl: AclConfig) -> Result<Self, String> {
        self.config = self.config.with_acl(acl)?;
        Ok(self)
    }

    /// What goes wrong when, from the start on; in a cluster, from when it first has a leader.
    #[must_use]
    pub fn plan(mut self, plan: ChaosPlan) -> Self {
        self.plan = plan;
        self
    }

    /// Says whether there can be such a Consul.
    ///
    /// # Errors
    /// What is wrong: too many nodes, or a plan for nodes it has not.
    pub fn check(&self) -> io::Result<()> {
        let invalid = |what: String| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        let Census { servers, agents } = self.census;
        if !(1..=SERVERS_MAX).contains(&servers) {
            return invalid(format!("{servers} servers: there can be 1 to {SERVERS_MAX}"));
        }
        if agents > AGENTS_MAX {
            return invalid(format!("{agents} agents: there can be up to {AGENTS_MAX}"));
        }
        if !(1..=10).contains(&self.raft_multiplier) {
            return invalid(format!("a raft multiplier of {}: it is 1 to 10", self.raft_multiplier));
        }
        if self.data.is_some() && !self.census.is_lone() {
            return invalid("a dump is of a lone server, and loaded into one".to_owned());
        }
        if let Err(error) = self.lone() {
            return invalid(error.to_string());
        }
        if let Err(unfit) = self.plan.fits(self.census) {
            return invalid(format!("the chaos plan: {unfit}"));
        }
        self.addresses().map(|_| ())
    }

    /// Makes it here, for streams of the caller's.
    ///
    /// Its time is the tokio runtime's, paused or not, and its answers carry no date. There are as many
    /// nodes as [`Self::check`] allows, whatever was said.
    ///
    /// # Panics
    /// Outside of a tokio runtime with time.
    pub fn local(self) -> LocalConsul {
        self.on(TokioClock::new(false))
    }

    fn on(mut self, clock: TokioClock) -> LocalConsul {
        self.census.servers = self.census.servers.clamp(1, SERVERS_MAX);
        self.census.agents = self.census.agents.min(AGENTS_MAX);
        self.chaos.set_census(self.census);
        let shell = Shell::new(clock, Shared::new(self.fleet()), Rc::new(Log))
            .with_half_closed_clients()
            .with_chaos(self.chaos.clone(), self.seed.stream("chaos", "requests"));
        let nodes = 1..self.census.servers + self.census.agents;
        let others: Vec<_> = nodes.map(|node| shell.clone().on_node(node)).collect();
        let shells = std::iter::once(shell).chain(others).collect();
        let Self { chaos, plan, seed, waits, .. } = self;
        LocalConsul { shells, chaos, plan, seed, waits }
    }

    /// A server that is alone, with what it goes on from.
    fn lone(&self) -> Result<Consul, LoadError> {
        let mut consul = Consul::new(self.config.clone(), self.seed.stream("consul", ""));
        if let Some(dump) = &self.data {
            consul.load(Duration::ZERO, dump)?;
        }
        Ok(consul)
    }

    fn fleet(&self) -> Fleet {
        if self.census.is_lone()
            // A dump that cannot be loaded is refused before it comes to this.
            && let Ok(consul) = self.lone()
        {
            return consul.into();
        }
        let nodes = (0..self.census.servers + self.census.agents).map(|node| {
            let mut config = self.config.clone();
            config.node = self.census.name(node);
            let step = u16::try_from(node).unwrap_or_default() * PORT_STEP;
            config.server_port += step;
            config.serf_port += step;
            config
        });
        let pace = Pace { raft_multiplier: self.raft_multiplier.clamp(1, 10), ..Pace::default() };
        let cluster = ClusterConfig { nodes: nodes.collect(), servers: self.census.servers, pace };
        Mesh::new(cluster, self.seed.stream("consul", "cluster")).into()
    }

    /// Where its nodes listen.
    fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let port = |node: usize| match self.listen.port() {
            0 => Some(0),
            first => first.checked_add(u16::try_from(node).ok()?),
        };
        (0..self.census.servers + self.census.agents)
            .map(|node| {
                let port = port(node).ok_or_else(|| {
                    let what = format!("there are not enough ports after {}", self.listen.port());
                    io::Error::new(io::ErrorKind::InvalidInput, what)
                });
                Ok(SocketAddr::new(self.listen.ip(), port?))
            })
            .collect()
    }

    /// Starts it on a thread of its own; it serves when this returns, and a cluster has a leader.
    ///
    /// # Errors
    /// When there cannot be such a Consul, it cannot listen where it should, or there can be no thread.
    pub async fn start(self) -> io::Result<FakeConsul> {
        self.check()?;
        let (orders, ordered) = mpsc::unbounded_channel();
        let (report, started) = oneshot::channel();
        let (ending, ended) = oneshot::channel();
        let (addresses, tls, chaos, census) =
            (self.addresses()?, self.tls.clone(), self.chaos.clone(), self.census);
        let scheme = if tls.is_some() { "https" } else { "http" };
        // Nothing of a simulation comes here: this is the fake in the real world.
        std::thread::Builder::new().name("fake-consul".to_owned()).spawn(move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(report.send(Err(error))),
            };
            LocalSet::new().block_on(&runtime, async {
                let consul = self.on(TokioClock::new(true));
                listen::run(consul, &addresses, tls, report, ordered).await;
            });
            ending.send(()).ok();
        })?;
        let addresses = started.await.map_err(|_| io::Error::other("the server ended at once"))??;
        Ok(FakeConsul { addresses, scheme, census, chaos, orders, ended })
    }
}
