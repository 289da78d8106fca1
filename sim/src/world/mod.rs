//! One world: Consul, an object store, a scheduler with its containers, and clients, on the engine.
//!
//! [`fly`] puts the machines together, lets the [`director`] start containers and carry out the plan, and
//! returns the record. Machines are all made before time begins, with more of them than the cluster needs:
//! a container that replaces a dead one gets a machine with a name, an address and a disk of its own.

mod clients;
mod container;
mod director;
mod observer;
mod store;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;

use ironbird_agent::host::Exit;

use self::director::{Cluster, Director};
use self::observer::WorldObserver;
use crate::consul::server::{Shared, serve};
use crate::consul::{Consul, ConsulConfig};
use crate::engine::{Engine, HostIndex};
use crate::machine::{Machine, Programs};
use crate::mysql;
use crate::plan::{FaultPlan, Target};
use crate::record::{Header, Record, VERSION};
use crate::recorder::Recorder;
use crate::run::{quiet_at, recovery_bound};
use crate::seed::Seed;
use crate::spec::Spec;

/// Where Consul is.
const CONSUL: HostIndex = 0;
/// Where the object store is.
const STORE: HostIndex = 1;
/// Where the first client is; instances come after the last.
const CLIENTS: HostIndex = 2;

const CONSUL_PORT: u16 = 8500;
const STORE_PORT: u16 = 80;

/// Machines for containers beyond those the cluster and the plan need.
const SPARE_MACHINES: usize = 1;
/// The most machines for containers; a world that uses up all of them reuses the oldest dead one.
const MACHINES_MAX: usize = 16;

/// The names and addresses of a world's machines.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    hosts: Vec<(String, IpAddr)>,
    clients: usize,
}

impl Layout {
    pub(crate) fn new(spec: &Spec, plan: &FaultPlan) -> Self {
        let deaths: usize = plan
            .faults
            .iter()
            .filter(|fault| fault.kind.ends_container())
            .map(|fault| match fault.target {
                Target::Replicas | Target::Instances | Target::Unhealthy => spec.cluster.instances,
                _ => 1,
            })
            .sum();
        let machines = (spec.cluster.instances + deaths + SPARE_MACHINES).min(MACHINES_MAX);
        let clients = spec.workload.clients;
        let names = ["consul".to_owned(), "store".to_owned()]
            .into_iter()
            .chain((1..=clients).map(|number| format!("client-{number}")))
            .chain((1..=machines).map(|number| format!("mysql-{number}")));
        let hosts = names
            .zip(1_u8..)
            .map(|(name, number)| (name, IpAddr::V4(Ipv4Addr::new(10, 0, 0, number))))
            .collect();
        Self { hosts, clients }
    }

    pub(crate) fn into_names(self) -> Vec<String> {
        self.hosts.into_iter().map(|(name, _)| name).collect()
    }

    fn address(&self, host: HostIndex, port: u16) -> SocketAddr {
        SocketAddr::new(self.hosts[host].1, port)
    }

    fn instances(&self) -> std::ops::Range<HostIndex> {
        CLIENTS + self.clients..self.hosts.len()
    }

    fn clients(&self) -> std::ops::Range<HostIndex> {
        CLIENTS..CLIENTS + self.clients
    }

    fn find(&self, name: &str) -> Option<HostIndex> {
        self.hosts.iter().position(|(known, _)| known == name)
    }
}

/// Flies `spec` under `seed` with the faults of `plan` and returns what happened.
pub(crate) fn fly(spec: &Spec, scenario: &str, seed: Seed, plan: &FaultPlan) -> Record {
    let layout = Layout::new(spec, plan);
    let director = Engine::run(seed, spec.network.latency, spec.network.loss, &layout.hosts, |engine| {
        let recorder = Recorder::new(engine.origin());
        let mut programs = Programs::default();
        mysql::install(&mut programs, &spec.mysql);
        container::install(&mut programs);
        let names: Rc<BTreeMap<String, String>> =
            Rc::new(layout.hosts.iter().map(|(name, ip)| (ip.to_string(), name.clone())).collect());
        let machines: Vec<Rc<Machine>> = layout
            .hosts
            .iter()
            .map(|(name, ip)| {
                Machine::new(name, *ip, seed, recorder.clone(), programs.clone(), Rc::clone(&names))
            })
            .collect();

        let consul =
            Consul::new(ConsulConfig::new("consul", layout.hosts[CONSUL].1), seed.stream("consul", ""));
        let shared = Shared::new(consul);
        let observer = Rc::new(WorldObserver::new(recorder.clone(), Rc::clone(&names)));
        let host = machines[CONSUL].boot();
        let service =
            serve(host.clone(), shared.clone(), layout.address(CONSUL, CONSUL_PORT), Rc::clone(&observer));
        engine.start(
            CONSUL,
            Box::pin(host.live(async move {
                // It serves until its machine ends.
                service.await.ok();
                Exit::code(1)
            })),
        );
        let host = machines[STORE].boot();
        let latency = spec.store.latency;
        engine.start(STORE, Box::pin(host.clone().live(store::serve(host, STORE_PORT, latency))));
        for client in layout.clients() {
            let host = machines[client].boot();
            let number = (client - CLIENTS) as u64;
            let life = clients::write_forever(
                host.clone(),
                layout.address(CONSUL, CONSUL_PORT),
                spec.workload.interval,
                number,
                layout.clients as u64,
            );
            engine.start(client, Box::pin(host.live(life)));
        }
        Director::new(
            Cluster {
                spec: spec.clone(),
                layout: layout.clone(),
                machines,
                shared,
                observer,
                recorder,
                seed,
            },
            plan,
        )
    });
    Record {
        header: Header {
            version: VERSION,
            scenario: scenario.to_owned(),
            seed: seed.0,
            plan: plan.clone(),
            instances: spec.cluster.instances,
            quiet_at: quiet_at(spec, plan),
            bound: recovery_bound(spec),
        },
        events: director.into_events(),
    }
}
