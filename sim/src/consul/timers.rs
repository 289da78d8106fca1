//! What is due when: an ordered queue whose entries can be cancelled.
//!
//! Entries due at the same instant fire in the order they were armed, so a run never depends on anything
//! but what was asked of it.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// Something that happens by itself at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Due {
    /// A session was not renewed for twice its TTL.
    SessionExpiry(Rc<str>),
    /// A TTL check was not updated for its TTL.
    CheckTtl(String),
    /// A check's output, held back while its status stayed the same, goes to the catalog.
    CheckOutput(String),
    /// A check is to be carried out.
    CheckProbe(String),
    /// A check that mirrors a service looks at it again.
    CheckAlias(String),
    /// The agent looks whether a service was critical for too long.
    CriticalReap(String),
    /// The tombstones of deletes that are old enough are forgotten.
    Tombstones,
    /// A leader compares all members with the catalog.
    Reconcile,
    /// A leader looks for servers that are gone.
    Autopilot,
    /// An agent compares all it knows with the catalog.
    AntiEntropy,
    /// An agent brings its coordinate to the catalog.
    Coordinate,
    /// A node that joined nobody tries again.
    RetryJoin,
    /// An agent turns to another server.
    Rebalance,
    /// A request that found nobody to ask looks again.
    Look(u64),
    /// A node that owes an answer is given up.
    CallHangs(usize),
}

/// Names one armed entry.
pub(super) type Key = (Duration, u64);

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Timers {
    queue: BTreeMap<Key, Due>,
    armed: u64,
}

impl Timers {
    /// Makes `due` happen at `at`.
    pub(super) fn arm(&mut self, at: Duration, due: Due) -> Key {
        self.armed += 1;
        let key = (at, self.armed);
        self.queue.insert(key, due);
        key
    }

    /// Makes it not happen. An entry that has fired is gone already.
    pub(super) fn cancel(&mut self, key: Option<Key>) {
        if let Some(key) = key {
            self.queue.remove(&key);
        }
    }

    /// When the next entry is due.
    pub(super) fn next(&self) -> Option<Duration> {
        self.queue.first_key_value().map(|(key, _)| key.0)
    }

    /// Takes the next entry that is due by `now`.
    pub(super) fn pop(&mut self, now: Duration) -> Option<(Duration, Due)> {
        let entry = self.queue.first_entry()?;
        (entry.key().0 <= now).then(|| {
            let (key, due) = entry.remove_entry();
            (key.0, due)
        })
    }
}
