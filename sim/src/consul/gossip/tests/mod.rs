mod converge;
mod driver;
mod failure;
mod spread;

use std::time::Duration;

use super::{Gossip, Tags};

/// What Consul never does to it, although it could.
impl Gossip {
    /// Tells everybody something else about this node.
    fn set_tags(&mut self, now: Duration, tags: Tags) {
        self.advance(now);
        if !self.departure.is_out() && self.identity.tags != tags {
            self.identity.tags = tags;
            self.announce();
        }
    }
}
