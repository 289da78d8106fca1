//! Whom a fault means at this moment.

use rand::seq::IndexedRandom;

use super::{Cluster, Director};
use crate::engine::HostIndex;
use crate::plan::{Target, Targets};

/// Which of a fault's two sides.
#[derive(Debug, Clone, Copy)]
pub(super) enum Side {
    Target,
    Peer,
}

impl Director {
    /// The machines a side of fault `number` means at this moment, in their order, each once.
    pub(super) fn resolve(&mut self, targets: &Targets, number: usize, side: Side) -> Vec<HostIndex> {
        let mut hosts: Vec<_> = targets
            .iter()
            .enumerate()
            .flat_map(|(place, target)| self.resolve_one(target, number, side, place))
            .collect();
        hosts.sort_unstable();
        hosts.dedup();
        hosts
    }

    fn resolve_one(&mut self, target: &Target, number: usize, side: Side, place: usize) -> Vec<HostIndex> {
        if matches!(target, Target::Primary | Target::MostAdvancedReplica) {
            self.roles.catch_up(&self.cluster.recorder);
        }
        let Cluster { layout, observer, seed, .. } = &self.cluster;
        let leader = observer
            .leader()
            .and_then(|name| layout.find(&name))
            .filter(|host| self.running.contains_key(host));
        let running = || self.running.keys().copied();
        let replicas = || running().filter(|host| Some(*host) != leader);
        let draw = |candidates: Vec<HostIndex>| -> Option<HostIndex> {
            let entity = format!("{}/{side:?}/{place}", self.ids[number]);
            candidates.choose(&mut seed.stream("target", &entity)).copied()
        };
        let one = |host: Option<HostIndex>| -> Vec<HostIndex> { host.into_iter().collect() };
        match target {
            Target::Leader => one(leader),
            Target::Primary => one(running().find(|host| self.roles.is_primary(self.name(*host)))),
            Target::Replica => one(draw(replicas().collect())),
            Target::MostAdvancedReplica => {
                // Of equals the first.
                one(replicas().rev().max_by_key(|host| self.roles.progress(self.name(*host))))
            }
            Target::Replicas => replicas().collect(),
            Target::Anyone => one(draw(running().collect())),
            Target::Newest => one(self.by_age().last().copied()),
            Target::Oldest => one(self.by_age().first().copied()),
            // Those to come are meant too.
            Target::Instances => layout.instances().collect(),
            Target::Unhealthy => running().filter(|host| !observer.is_passing(self.name(*host))).collect(),
            Target::Consul => layout.consul().collect(),
            Target::ConsulLeader => one(self.consul_leader()),
            Target::ConsulFollower => {
                let leader = self.consul_leader();
                one(draw(layout.servers().filter(|node| Some(*node) != leader).collect()))
            }
            Target::Store => vec![layout.store()],
            Target::Clients => layout.clients().collect(),
            Target::Everything => (0..layout.len()).collect(),
            Target::Host(name) => one(layout.find(name)),
        }
    }

    /// The server of Consul that leads; of several that believe so, the first.
    fn consul_leader(&self) -> Option<HostIndex> {
        self.cluster.layout.servers().find(|node| self.cluster.nodes[*node].leads())
    }

    /// Running containers, the oldest first.
    pub(super) fn by_age(&self) -> Vec<HostIndex> {
        let mut hosts: Vec<_> = self.running.keys().copied().collect();
        hosts.sort_by_key(|host| self.running[host]);
        hosts
    }
}
