//! How the catalog learns where nodes are: every agent brings it its coordinate now and then.
//!
//! It is no part of anti-entropy: nobody waits for it, and one that does not arrive is made up for by the
//! next. A server of the real one gathers what it is told for up to 5 s and writes it at once; here every
//! coordinate is an entry of the log.

use super::message::Call;
use super::sync::Step;
use crate::consul::Consul;
use crate::consul::state::Command;
use crate::consul::state::catalog::{Coordinate, Point};
use crate::consul::timers::Due;

impl Consul {
    /// The agent brings its coordinate in a while.
    pub(super) fn coordinate_begin(&mut self) {
        let Some(every) = self.cluster.as_ref().map(|cluster| cluster.config.pace.coordinates) else {
            return;
        };
        if !every.is_zero() {
            let at = self.now + every + self.draw_below(every);
            self.timers.arm(at, Due::Coordinate);
        }
    }

    /// It is time to bring it.
    pub(in crate::consul) fn coordinate_due(&mut self) {
        let Some(cluster) = &self.cluster else { return };
        let own = cluster.gossip.coordinate();
        let point =
            Point { vec: own.vec.to_vec(), error: own.error, adjustment: own.adjustment, height: own.height };
        let coordinate = Coordinate { node: self.config.node.clone(), segment: String::new(), point };
        let command = Command::Coordinates(vec![coordinate]);
        self.call_for_agent(Step::Coordinate, Call::Write(Box::new(command)));
        self.coordinate_begin();
        self.settle_cluster();
    }
}
