//! A node joins the others when it starts, and tries again until somebody answers.
//!
//! This is `retry_join` with the addresses of all others. Once somebody has answered it is done with: who is
//! cut off later is found again by gossip, or not at all when the others were told that it had left.

use std::net::SocketAddr;

use super::{Cluster, ClusterConfig};
use crate::consul::Consul;
use crate::consul::timers::Due;

/// Where the gossip of everybody but node `me` is received.
pub(super) fn others(config: &ClusterConfig, me: usize) -> Vec<SocketAddr> {
    let others = config.nodes.iter().enumerate().filter(|(node, _)| *node != me);
    others.map(|(_, node)| SocketAddr::new(node.address, node.serf_port)).collect()
}

impl Consul {
    /// A join is over, in which so many have answered.
    pub(super) fn join_ended(&mut self, contacted: usize) {
        let Some(cluster) = &self.cluster else { return };
        let every = cluster.config.pace.retry_join;
        if contacted == 0 && cluster.config.nodes.len() > 1 && !every.is_zero() {
            self.timers.arm(self.now + every, Due::RetryJoin);
        }
    }

    /// Joins again.
    pub(in crate::consul) fn join_due(&mut self) {
        let now = self.now;
        if let Some(Cluster { gossip, config, me, .. }) = self.cluster.as_deref_mut() {
            gossip.join(now, others(config, *me));
        }
        self.settle_cluster();
    }
}
