//! Consul in the world: a lone server, or a cluster of servers and agents on machines of their own.
//!
//! Nodes of a cluster talk over the simulated network, as real ones do: calls and the servers' log over a
//! TCP connection each way, gossip in datagrams and over connections of its own. So whatever a fault does
//! to a link or a machine, it does to Consul too: [`peers`].

mod peers;

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use ironbird_agent::host::{Exit, Host};

use self::peers::Peers;
use super::CONSUL_PORT;
use super::observer::NodeObserver;
use crate::consul::chaos::Chaos;
use crate::consul::cluster::{ClusterConfig, Disk};
use crate::consul::server::{Fleet, Observer as _, Shared, Shell, serve};
use crate::consul::{Consul, ConsulConfig};
use crate::machine::SimHost;
use crate::seed::Seed;

/// What a world's Consul is made of.
#[derive(Debug)]
pub(super) enum Plan {
    /// One server and nothing else.
    Lone,
    /// Several nodes, or one that may be restarted.
    Cluster(Box<ClusterConfig>),
}

/// One node, between the lives its machine gives it.
#[derive(Debug)]
pub(super) struct Node {
    plan: Rc<Plan>,
    number: usize,
    seed: Seed,
    lives: u64,
    runs: bool,
    shared: Option<Shared>,
    observer: Rc<NodeObserver>,
    /// What can be wrong with it, if anything will be.
    chaos: Option<Chaos>,
}

impl Node {
    pub(super) fn new(
        plan: Rc<Plan>,
        number: usize,
        seed: Seed,
        observer: NodeObserver,
        chaos: Option<Chaos>,
    ) -> Self {
        Self { plan, number, seed, lives: 0, runs: false, shared: None, observer: Rc::new(observer), chaos }
    }

    /// What is wrong with it, to be changed.
    pub(super) fn chaos(&self) -> Option<&Chaos> {
        self.chaos.as_ref()
    }

    /// Starts it on a machine that has just been started, with the disk of its last life.
    pub(super) fn start(&mut self, host: SimHost, wiped: bool) -> impl Future<Output = Exit> + 'static {
        let disk = match (&self.shared, wiped) {
            (Some(shared), false) => shared.read(|fleet| match fleet {
                Fleet::One(consul) => consul.disk(),
                Fleet::Mesh(_) => Disk::default(),
            }),
            _ => Disk::default(),
        };
        // It may be started anew before its machine has ended it.
        self.ended();
        self.lives += 1;
        self.observer.begin();
        self.runs = true;
        let (consul, cluster) = match &*self.plan {
            Plan::Lone => {
                let config = ConsulConfig::new(host.hostname(), host.address());
                (Consul::new(config, self.seed.stream("consul", "")), None)
            }
            Plan::Cluster(config) => {
                let purpose = format!("{}/{}", host.hostname(), self.lives);
                let stream = self.seed.stream("consul", &purpose);
                let consul = Consul::member((**config).clone(), self.number, stream, host.now(), disk);
                (consul, Some(config.nodes.iter().map(|node| node.address).collect::<Vec<_>>()))
            }
        };
        let shared = Shared::new(consul);
        self.shared = Some(shared.clone());
        let observer = Rc::clone(&self.observer);
        let mut shell = Shell::new(host.clone(), shared.clone(), Rc::clone(&observer));
        if let Some(chaos) = &self.chaos {
            let dice = self.seed.stream("chaos", &format!("{}/{}", host.hostname(), self.lives));
            shell = shell.with_chaos(chaos.clone(), dice);
        }
        async move {
            let clients = serve(shell, SocketAddr::new(host.address(), CONSUL_PORT));
            let peers = async {
                match cluster {
                    None => std::future::pending().await,
                    Some(nodes) => Peers::new(host, shared, observer, nodes).run().await,
                }
            };
            // It serves until its machine ends.
            tokio::select! {
                biased;
                _ = clients => {}
                _ = peers => {}
            }
            Exit::code(1)
        }
    }

    /// Notes that its machine has ended it, and says of it what it cannot say any more.
    pub(super) fn ended(&mut self) {
        let last_word = self.running().and_then(|shared| {
            shared.read(|fleet| match fleet {
                Fleet::One(consul) => consul.last_word(),
                Fleet::Mesh(_) => None,
            })
        });
        if let Some(last_word) = last_word {
            self.observer.event(last_word);
        }
        self.runs = false;
    }

    fn running(&self) -> Option<&Shared> {
        self.shared.as_ref().filter(|_| self.runs)
    }

    /// Changes it, if it runs.
    pub(super) fn update(&self, now: Duration, change: impl FnOnce(&mut Consul)) {
        if let Some(shared) = self.running() {
            shared.update(now, 0, &*self.observer, change);
        }
    }

    /// Whether it believes to lead.
    pub(super) fn leads(&self) -> bool {
        self.running().is_some_and(|shared| {
            shared.read(|fleet| match fleet {
                Fleet::One(consul) => consul.leads(),
                Fleet::Mesh(_) => false,
            })
        })
    }
}
