//! What a server keeps through a restart: its term, its vote and its log.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ServerId;

/// What a log holds at one index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::consul) enum Entry<C> {
    /// A command for the state machine.
    Command(C),
    /// What a new leader commits first, and by it everything before.
    Noop,
    /// The servers of the cluster.
    Configuration(Vec<ServerId>),
}

/// An entry and the term of the leader that wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::consul) struct Record<C> {
    /// The term of its leader.
    pub(in crate::consul) term: u64,
    /// What was written.
    pub(in crate::consul) entry: Entry<C>,
}

/// The state machine as it was right after one index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::consul) struct Snapshot {
    /// The last index it contains.
    pub(in crate::consul) index: u64,
    /// The term of that index.
    pub(in crate::consul) term: u64,
    /// The state, as the owner wrote it.
    pub(in crate::consul) bytes: Arc<[u8]>,
}

/// Everything a server may not forget. The empty one is a disk on which nothing was written yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::consul) struct Persistent<C> {
    /// The latest term it has seen.
    pub(in crate::consul) term: u64,
    /// Its last vote: in which term, for whom.
    pub(in crate::consul) vote: Option<(u64, ServerId)>,
    /// Its log.
    pub(in crate::consul) log: Log<C>,
}

impl<C> Default for Persistent<C> {
    fn default() -> Self {
        Self { term: 0, vote: None, log: Log::default() }
    }
}

impl<C> Persistent<C> {
    /// Writes the first entry of a new cluster, the same on every server, if nothing was written yet.
    pub(super) fn bootstrap(&mut self, servers: &[ServerId]) {
        if self.term == 0 && self.log.last().0 == 0 {
            self.term = 1;
            self.log.push(Record { term: 1, entry: Entry::Configuration(servers.to_vec()) });
        }
    }
}

/// The entries of a server, the oldest of which a snapshot may have replaced.
///
/// The indices it holds have no gap: the first record is at most one past the snapshot. Records the
/// snapshot already contains may stay, so that a follower only a little behind need not get it all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::consul) struct Log<C> {
    snapshot: Option<Snapshot>,
    first: u64,
    records: VecDeque<Record<C>>,
}

impl<C> Default for Log<C> {
    fn default() -> Self {
        Self { snapshot: None, first: 1, records: VecDeque::new() }
    }
}

impl<C> Log<C> {
    /// The latest snapshot.
    pub(in crate::consul) fn snapshot(&self) -> Option<&Snapshot> {
        self.snapshot.as_ref()
    }

    /// The last index and its term, or zeros if there is none.
    pub(super) fn last(&self) -> (u64, u64) {
        match (self.records.back(), &self.snapshot) {
            (Some(record), _) => (self.first + self.records.len() as u64 - 1, record.term),
            (None, Some(snapshot)) => (snapshot.index, snapshot.term),
            (None, None) => (0, 0),
        }
    }

    /// The record at `index`, unless it is compacted away or not written yet.
    pub(in crate::consul) fn get(&self, index: u64) -> Option<&Record<C>> {
        self.records.get(usize::try_from(index.checked_sub(self.first)?).ok()?)
    }

    /// The term of `index`, as far as it is known. Index 0 is before every log.
    pub(super) fn term_at(&self, index: u64) -> Option<u64> {
        let snapshot = self.snapshot.as_ref().filter(|snapshot| snapshot.index == index);
        match index {
            0 => Some(0),
            _ => self.get(index).map(|record| record.term).or(snapshot.map(|snapshot| snapshot.term)),
        }
    }

    /// Appends a record and gives its index.
    pub(super) fn push(&mut self, record: Record<C>) -> u64 {
        self.records.push_back(record);
        self.last().0
    }

    /// Forgets `index` and everything after it.
    pub(super) fn truncate(&mut self, index: u64) {
        self.records.truncate(usize::try_from(index.saturating_sub(self.first)).unwrap_or(usize::MAX));
    }

    /// Takes over another server's snapshot. What the log has after it stays if it continues it.
    pub(super) fn install(&mut self, snapshot: Snapshot) {
        if self.term_at(snapshot.index) != Some(snapshot.term) {
            self.records.clear();
            self.first = snapshot.index + 1;
        }
        self.snapshot = Some(snapshot);
    }

    /// Keeps a snapshot of this server's own, and of the records before it only those among the last
    /// `trailing`.
    pub(super) fn compact(&mut self, snapshot: Snapshot, trailing: u64) {
        let first = (snapshot.index + 1).min((self.last().0 + 1).saturating_sub(trailing)).max(self.first);
        self.records.drain(..usize::try_from(first - self.first).unwrap_or(0).min(self.records.len()));
        self.first = first;
        self.snapshot = Some(snapshot);
    }
}

impl<C: Clone> Log<C> {
    /// Up to `most` records from `index` on.
    pub(super) fn from(&self, index: u64, most: usize) -> Vec<Record<C>> {
        let skipped = usize::try_from(index.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.records.iter().skip(skipped).take(most).cloned().collect()
    }
}
