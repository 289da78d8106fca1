//! Raft, message by message, by the clock, and in any weather.

mod clocks;
mod cluster;
mod messages;
mod storms;

use super::{Compaction, Raft};

/// What only tests ask of a server.
impl<C: Clone> Raft<C> {
    /// The same server with another idea of when to compact its log.
    fn with_compaction(mut self, compaction: Compaction) -> Self {
        self.compaction = compaction;
        self
    }

    /// Its term.
    fn term(&self) -> u64 {
        self.persistent.term
    }

    /// The last index it knows to be committed.
    fn commit_index(&self) -> u64 {
        self.commit
    }

    /// The last index it has given out as [`Output::Committed`] or [`Output::InstallSnapshot`].
    fn applied(&self) -> u64 {
        self.applied
    }
}
