//! The key/value table: entries, the tombstones deletes leave, and what each write wakes.
//!
//! A read of a prefix reports the newest index among its entries and its tombstones, so that a delete is
//! seen as a change; when there is neither, it reports the table's. Every write of an entry goes through
//! [`Table::put`], which leaves an entry that would not change exactly as it was, index included.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::rc::Rc;

use bytes::Bytes;
use ironbird_agent::planted::{self, Bug};
use serde::{Deserialize, Serialize};

/// One key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::consul) struct Entry {
    pub(in crate::consul) key: Rc<str>,
    #[serde(with = "super::base64")]
    pub(in crate::consul) value: Bytes,
    pub(in crate::consul) flags: u64,
    pub(in crate::consul) session: Option<Rc<str>>,
    pub(in crate::consul) lock_index: u64,
    pub(in crate::consul) create_index: u64,
    pub(in crate::consul) modify_index: u64,
}

/// What a write asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::consul) struct Write {
    pub(in crate::consul) key: Rc<str>,
    #[serde(with = "super::base64")]
    pub(in crate::consul) value: Bytes,
    pub(in crate::consul) flags: u64,
}

/// All keys.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(in crate::consul) struct Table {
    entries: BTreeMap<Rc<str>, Rc<Entry>>,
    held: BTreeMap<Rc<str>, BTreeSet<Rc<str>>>,
    tombstones: BTreeMap<Rc<str>, u64>,
    /// Keys that are gone, and when each was last written: a tree's delete leaves one tombstone, but
    /// wakes whoever watched any of its keys.
    gone: BTreeMap<Rc<str>, u64>,
    index: u64,
}

impl Table {
    /// The entry of `key`.
    pub(in crate::consul) fn get(&self, key: &str) -> Option<&Rc<Entry>> {
        self.entries.get(key)
    }

    /// All entries whose key begins with `prefix`, in byte order.
    pub(in crate::consul) fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a Rc<Entry>> {
        under(&self.entries, prefix)
    }

    /// The keys `session` holds.
    pub(in crate::consul) fn held_by(&self, session: &str) -> Vec<Rc<str>> {
        self.held.get(session).map(|keys| keys.iter().cloned().collect()).unwrap_or_default()
    }

    /// The newest index of the table.
    pub(in crate::consul) fn index(&self) -> u64 {
        self.index
    }

    /// What a read of everything under `prefix` reports.
    pub(in crate::consul) fn index_under(&self, prefix: &str) -> u64 {
        if prefix.is_empty() {
            return self.index;
        }
        let entries = self.under(prefix).map(|entry| entry.modify_index).max();
        let tombstones = under(&self.tombstones, prefix).copied().max();
        entries.max(tombstones).unwrap_or(self.index)
    }

    /// When what a read of `prefix` watches was last written.
    ///
    /// A read that finds nothing watches the smallest part of the key tree its prefix would be in, so the
    /// writes of its neighbours wake it too.
    pub(in crate::consul) fn written_under(&self, prefix: &str) -> u64 {
        let watched = if self.under(prefix).next().is_some() {
            prefix
        } else {
            let before =
                self.entries.range::<str, _>((Bound::Unbounded, Bound::Excluded(prefix))).next_back();
            let after = self.entries.range::<str, _>((Bound::Excluded(prefix), Bound::Unbounded)).next();
            let shared = [before, after]
                .into_iter()
                .flatten()
                .map(|(key, _)| shared_length(key, prefix))
                .max()
                .unwrap_or(0);
            &prefix[..shared]
        };
        let entries = self.under(watched).map(|entry| entry.modify_index).max();
        let gone = under(&self.gone, watched).copied().max();
        entries.max(gone).unwrap_or(0)
    }

    /// When what a read of `key` watches was last written.
    pub(in crate::consul) fn written_at(&self, key: &str) -> u64 {
        match self.entries.get(key) {
            Some(entry) => entry.modify_index,
            None => self.written_under(key),
        }
    }

    /// Writes an entry and returns it as it is now. A write that changes nothing leaves its index alone.
    pub(in crate::consul) fn put(
        &mut self,
        index: u64,
        write: Write,
        session: Option<Rc<str>>,
        lock_index: u64,
    ) -> Rc<Entry> {
        let existing = self.entries.get(&*write.key);
        let mut entry = Entry {
            key: write.key,
            value: write.value,
            flags: write.flags,
            session,
            lock_index,
            create_index: index,
            modify_index: index,
        };
        let mut before = None;
        if let Some(existing) = existing {
            entry.create_index = existing.create_index;
            entry.modify_index = existing.modify_index;
            if **existing == entry {
                return Rc::clone(existing);
            }
            let freed = existing.session.is_some() && entry.session.is_none();
            let kept = freed && planted::is(Bug::ReleaseKeepsIndex);
            entry.modify_index = if kept { existing.modify_index } else { index };
            before.clone_from(&existing.session);
        }
        if before != entry.session {
            self.unhold(before.as_deref(), &entry.key);
            if let Some(session) = &entry.session {
                self.held.entry(Rc::clone(session)).or_default().insert(Rc::clone(&entry.key));
            }
        }
        self.index = index;
        self.gone.remove(&entry.key);
        let entry = Rc::new(entry);
        self.entries.insert(Rc::clone(&entry.key), Rc::clone(&entry));
        entry
    }

    /// Removes a key, leaving its tombstone.
    pub(in crate::consul) fn remove(&mut self, index: u64, key: &str) -> Option<Rc<Entry>> {
        let entry = self.entries.remove(key)?;
        self.forget(index, &entry);
        self.tombstones.insert(Rc::clone(&entry.key), index);
        Some(entry)
    }

    /// Removes all keys under `prefix`, leaving one tombstone.
    pub(in crate::consul) fn remove_under(&mut self, index: u64, prefix: &str) -> Vec<Rc<Entry>> {
        let removed: Vec<_> = self.under(prefix).cloned().collect();
        for entry in &removed {
            self.entries.remove(&entry.key);
            self.forget(index, entry);
        }
        if !removed.is_empty() && !prefix.is_empty() {
            self.tombstones.insert(prefix.into(), index);
        }
        removed
    }

    /// Forgets the tombstones up to `upto`, after which the index of a prefix can go backwards.
    pub(in crate::consul) fn reap(&mut self, upto: u64) {
        self.tombstones.retain(|_, buried| *buried > upto);
        self.gone.retain(|_, written| *written > upto);
    }

    fn forget(&mut self, index: u64, entry: &Entry) {
        self.index = index;
        self.gone.insert(Rc::clone(&entry.key), index);
        self.unhold(entry.session.as_deref(), &entry.key);
    }

    fn unhold(&mut self, session: Option<&str>, key: &str) {
        if let Some(session) = session
            && let Some(keys) = self.held.get_mut(session)
        {
            keys.remove(key);
            if keys.is_empty() {
                self.held.remove(session);
            }
        }
    }
}

fn under<'a, T>(map: &'a BTreeMap<Rc<str>, T>, prefix: &'a str) -> impl Iterator<Item = &'a T> {
    map.range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
        .take_while(move |(key, _)| key.starts_with(prefix))
        .map(|(_, value)| value)
}

/// How many leading bytes two keys share, cut back to a whole character.
fn shared_length(one: &str, other: &str) -> usize {
    one.chars().zip(other.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum()
}
