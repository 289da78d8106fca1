//! An agent turns to another server now and then, so that no server has all of them forever.
//!
//! A real agent shuffles the servers it knows every 2 min to 3 min and asks the first that answers (`router`
//! of Consul 1.8.7, `clientRPCMinReuseDuration`). So two stale reads in a row can come from two servers, and
//! time goes backwards in between. What it has asked already is still answered by whom it asked.

use std::time::Duration;

use rand::RngExt;

use crate::consul::Consul;
use crate::consul::timers::Due;

impl Consul {
    /// Begins to turn from server to server, if this node is an agent only.
    pub(super) fn rebalance_begin(&mut self) {
        let Some(cluster) = self.cluster.as_ref().filter(|cluster| !cluster.is_server()) else { return };
        let every = cluster.config.pace.rebalance;
        if cluster.config.servers > 1 && !every.is_zero() {
            let after = every + self.draw_below(every / 2);
            self.timers.arm(self.now + after, Due::Rebalance);
        }
    }

    /// Turns to another server, and does so again later.
    pub(in crate::consul) fn rebalance_due(&mut self) {
        self.turn();
        self.rebalance_begin();
    }

    /// Turns to a server drawn from those it takes for alive, at `now`. A node that is a server itself asks the
    /// leader, whoever that is, and does nothing.
    pub fn rebalance(&mut self, now: Duration) {
        self.advance(now);
        self.turn();
    }

    fn turn(&mut self) {
        let Some(cluster) = self.cluster.as_mut().filter(|cluster| !cluster.is_server()) else { return };
        let live: Vec<usize> = cluster.live_servers().into_iter().collect();
        if !live.is_empty() {
            cluster.preferred = live[self.stream.random_range(0..live.len())];
        }
    }
}
