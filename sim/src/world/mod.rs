//! One world: Consul, an object store, a scheduler with its containers, and clients, on the engine.
//!
//! [`fly`] puts the machines together, lets the [`director`] start containers and carry out the plan, and
//! returns the record. Machines are all made before time begins, with more of them than the cluster needs:
//! a container that replaces a dead one gets a machine with a name, an address and a disk of its own.

mod clients;
mod consul;
mod container;
mod director;
mod observer;
mod roles;
mod store;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use self::consul::Node;
pub(crate) use self::director::GRACE;
use self::director::{Cluster, Director};
use self::observer::{NodeObserver, WorldObserver};
use self::store::Objects;
use crate::consul::ConsulConfig;
use crate::consul::chaos::Chaos;
use crate::consul::cluster::ClusterConfig;
use crate::engine::{Engine, HostIndex};
use crate::machine::{Machine, Programs, Surroundings};
use crate::mysql;
use crate::plan::{Fault, FaultKind, FaultPlan, Ground, Lasting};
use crate::record::{Header, Record, VERSION};
use crate::recorder::Recorder;
use crate::run::{instances, most_instances, patience, quiet_at, recovery_bound};
use crate::seed::Seed;
use crate::spec::Spec;

const CONSUL_PORT: u16 = 8500;
const STORE_PORT: u16 = 80;

/// Machines for containers beyond those the cluster and the plan need.
const SPARE_MACHINES: usize = 1;
/// The most machines for containers; a world that uses up all of them reuses the oldest dead one.
const MACHINES_MAX: usize = 16;

/// The names and addresses of a world's machines: Consul's nodes, the object store, the clients, and those
/// for containers.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    hosts: Vec<(String, IpAddr)>,
    servers: usize,
    agents: usize,
    clients: usize,
}

impl Layout {
    pub(crate) fn new(spec: &Spec, plan: &FaultPlan) -> Self {
        let most = most_instances(spec, plan);
        let deaths: usize = plan
            .faults
            .iter()
            .filter(|fault| needs_machines(fault))
            .flat_map(|fault| &fault.target)
            .map(|target| if target.is_many() { most } else { 1 })
            .sum();
        let machines = (most + deaths + SPARE_MACHINES).min(MACHINES_MAX);
        let (servers, agents) = (spec.consul.servers, spec.consul.agents);
        let clients = spec.workload.clients;
        let server = |number| if servers == 1 { "consul".to_owned() } else { format!("consul-{number}") };
        let names = (1..=servers)
            .map(server)
            .chain((1..=agents).map(|number| format!("agent-{number}")))
            .chain(["store".to_owned()])
            .chain((1..=clients).map(|number| format!("client-{number}")))
            .chain((1..=machines).map(|number| format!("mysql-{number}")));
        let hosts = names
            .zip(1_u8..)
            .map(|(name, number)| (name, IpAddr::V4(Ipv4Addr::new(10, 0, 0, number))))
            .collect();
        Self { hosts, servers, agents, clients }
    }

    pub(crate) fn into_names(self) -> Vec<String> {
        self.hosts.into_iter().map(|(name, _)| name).collect()
    }

    fn len(&self) -> usize {
        self.hosts.len()
    }

    fn address(&self, host: HostIndex, port: u16) -> SocketAddr {
        SocketAddr::new(self.hosts[host].1, port)
    }

    /// Consul's servers, then its agents.
    fn consul(&self) -> std::ops::Range<HostIndex> {
        0..self.servers + self.agents
    }

    fn servers(&self) -> std::ops::Range<HostIndex> {
        0..self.servers
    }

    /// The node of Consul a machine asks: they take turns.
    fn consul_of(&self, host: HostIndex) -> SocketAddr {
        let (first, count) = if self.agents > 0 { (self.servers, self.agents) } else { (0, self.servers) };
        self.address(first + host % count, CONSUL_PORT)
    }

    fn store(&self) -> HostIndex {
        self.servers + self.agents
    }

    fn instances(&self) -> std::ops::Range<HostIndex> {
        self.store() + 1 + self.clients..self.hosts.len()
    }

    fn clients(&self) -> std::ops::Range<HostIndex> {
        self.store() + 1..self.store() + 1 + self.clients
    }

    fn find(&self, name: &str) -> Option<HostIndex> {
        self.hosts.iter().position(|(known, _)| known == name)
    }

    /// What Consul is made of. One server that nothing ends is alone.
    fn consul_plan(&self, spec: &Spec, plan: &FaultPlan) -> consul::Plan {
        let ends = |fault: &Fault| fault.target.include(Ground::Consul) && fault.kind.takes_down();
        if self.consul().len() == 1 && !plan.faults.iter().any(ends) {
            return consul::Plan::Lone;
        }
        let nodes = self.hosts[self.consul()].iter().map(|(name, address)| ConsulConfig::new(name, *address));
        consul::Plan::Cluster(Box::new(ClusterConfig {
            nodes: nodes.collect(),
            servers: self.servers,
            pace: spec.consul.pace(),
        }))
    }
}

/// Whether containers that a fault ends are replaced on other machines.
fn needs_machines(fault: &Fault) -> bool {
    let in_place = matches!(fault.kind, FaultKind::Restart { .. } | FaultKind::Replace { .. })
        || matches!(fault.kind, FaultKind::Kill | FaultKind::PowerLoss) && fault.lasting != Lasting::Moment;
    fault.kind.ends_container() && fault.target.are(Ground::Instance) && !in_place
}

/// What a container's machine is called where containers have the name of the host they are on: one after the
/// other they are put on the hosts there are.
fn shared_name(name: &str, hosts: usize) -> Option<String> {
    let number: usize = name.strip_prefix("mysql-")?.parse().ok()?;
    Some(format!("host-{}", (number - 1) % hosts.max(1) + 1))
}

/// Flies `spec` under `seed` with the faults of `plan` and returns what happened until the verdict was due, or
/// until the cluster had been whole for as long as it takes to be `steady`.
pub(crate) fn fly(spec: &Spec, scenario: &str, seed: Seed, plan: &FaultPlan, steady: Duration) -> Record {
    let layout = Layout::new(spec, plan);
    let header = Header {
        version: VERSION,
        scenario: scenario.to_owned(),
        seed: seed.0,
        plan: plan.clone(),
        instances: instances(spec, plan),
        quiet_at: quiet_at(spec, plan),
        bound: recovery_bound(spec) + patience(spec, plan),
        steady,
    };
    let director = Engine::run(seed, spec.network.latency, spec.network.loss, &layout.hosts, |engine| {
        let recorder = Recorder::new(engine.origin());
        let mut programs = Programs::default();
        mysql::install(&mut programs, &spec.mysql);
        container::install(&mut programs);
        let names: Rc<BTreeMap<String, String>> =
            Rc::new(layout.hosts.iter().map(|(name, ip)| (ip.to_string(), name.clone())).collect());
        let surroundings = Surroundings {
            seed,
            recorder: recorder.clone(),
            wire: engine.wire(),
            programs,
            names: Rc::clone(&names),
        };
        let machines: Vec<Rc<Machine>> = layout
            .hosts
            .iter()
            .map(|(name, ip)| {
                let hostname = spec.cluster.hosts.and_then(|hosts| shared_name(name, hosts));
                let hostname = hostname.as_deref().unwrap_or(name);
                Machine::new(name, hostname, *ip, surroundings.clone())
            })
            .collect();

        if let Some(turn) = spec.turn {
            engine.turn(turn);
            machines.iter().for_each(|machine| machine.turn(turn));
        }

        let consul_plan = Rc::new(layout.consul_plan(spec, plan));
        let observer = Rc::new(WorldObserver::new(recorder.clone(), Rc::clone(&names)));
        let has_trouble = plan.faults.iter().any(|fault| matches!(fault.kind, FaultKind::Trouble(_)));
        let nodes = layout
            .consul()
            .map(|number| {
                let observer = NodeObserver::new(Rc::clone(&observer), number);
                let chaos = has_trouble.then(Chaos::new);
                Node::new(Rc::clone(&consul_plan), number, seed, observer, chaos)
            })
            .collect();
        let mut cluster = Cluster {
            spec: spec.clone(),
            layout: layout.clone(),
            machines,
            nodes,
            store: Rc::new(Objects::default()),
            writes: (1..=layout.clients as u64).map(|id| Rc::new(Cell::new(id))).collect(),
            observer,
            recorder,
            seed,
        };
        for host in layout.consul().chain([layout.store()]).chain(layout.clients()) {
            cluster.revive(engine, host, false);
        }
        Director::new(cluster, &header)
    });
    Record { events: director.into_events(), header }
}
