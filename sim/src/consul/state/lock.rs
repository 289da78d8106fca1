//! Writes of keys, plain and locked, as both the KV endpoint and transactions do them.
//!
//! `LockIndex` counts acquisitions. It survives a release, and a plain write sets it back to 0, so it
//! orders the holders of a key only while nobody writes that key outside its lock.

use std::rc::Rc;

use ironbird_agent::planted::{self, Bug};

use super::kv::{Entry, Write};
use super::{Effect, State};
use crate::record::ConsulEvent;

/// A lock that was refused: another session holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::consul) struct Held;

impl State {
    /// A plain write: whoever holds the key goes on holding it.
    pub(in crate::consul) fn kv_set(&mut self, index: u64, write: Write) -> Rc<Entry> {
        let session = self.kv.get(&write.key).and_then(|entry| entry.session.clone());
        self.kv_put(index, write, session, 0)
    }

    /// A write of what has not changed since `cas`, or does not exist when that is 0.
    pub(in crate::consul) fn kv_set_cas(&mut self, index: u64, write: Write, cas: u64) -> Option<Rc<Entry>> {
        let current = self.kv.get(&write.key).map_or(0, |entry| entry.modify_index);
        (current == cas).then(|| self.kv_set(index, write))
    }

    /// Locks a key for a session and writes it.
    ///
    /// # Errors
    /// Consul's text when the session is missing, malformed or unknown.
    pub(in crate::consul) fn kv_lock(
        &mut self,
        index: u64,
        write: Write,
        session: &str,
    ) -> Result<Result<Rc<Entry>, Held>, String> {
        if session.is_empty() {
            return Err("missing session".to_owned());
        }
        let Some(holder) = self.sessions.find(session)? else {
            return Err(format!("invalid session {session:?}"));
        };
        let id = Rc::clone(&holder.id);
        let existing = self.kv.get(&write.key);
        let lock_index = existing.map_or(0, |entry| entry.lock_index);
        let (lock_index, again) = match existing.and_then(|entry| entry.session.as_ref()) {
            Some(holder) if *holder == id => (lock_index, true),
            Some(_) if !planted::is(Bug::LockTakenFromHolder) => {
                self.event(refused(&write.key, session, "held"));
                return Ok(Err(Held));
            }
            _ => (lock_index + 1, false),
        };
        let entry = self.kv_put(index, write, Some(Rc::clone(&id)), lock_index);
        if !again {
            self.event(ConsulEvent::LockAcquired {
                key: entry.key.to_string(),
                session: id.to_string(),
                value: String::from_utf8_lossy(&entry.value).into_owned(),
            });
        }
        Ok(Ok(entry))
    }

    /// Writes a key its session holds and gives it up. `None` when the session does not hold it.
    ///
    /// # Errors
    /// Consul's text when there is no session.
    pub(in crate::consul) fn kv_unlock(
        &mut self,
        index: u64,
        write: Write,
        session: &str,
    ) -> Result<Option<Rc<Entry>>, String> {
        if session.is_empty() {
            return Err("missing session".to_owned());
        }
        let Some(existing) = self.kv.get(&write.key) else {
            return Ok(None);
        };
        if existing.session.as_deref() != Some(session) {
            return Ok(None);
        }
        let lock_index = existing.lock_index;
        let entry = self.kv_put(index, write, None, lock_index);
        self.released(&entry.key, session);
        Ok(Some(entry))
    }

    /// Deletes a key, locked or not.
    pub(in crate::consul) fn kv_delete(&mut self, index: u64, key: &str) {
        if let Some(entry) = self.kv.remove(index, key) {
            self.deleted(index, &[entry]);
        }
    }

    /// Deletes a key that has not changed since `cas`; one that does not exist counts as deleted.
    pub(in crate::consul) fn kv_delete_cas(&mut self, index: u64, key: &str, cas: u64) -> bool {
        match self.kv.get(key) {
            Some(entry) if entry.modify_index != cas => false,
            Some(_) => {
                self.kv_delete(index, key);
                true
            }
            None => true,
        }
    }

    /// Deletes every key under `prefix`.
    pub(in crate::consul) fn kv_delete_tree(&mut self, index: u64, prefix: &str) {
        let entries = self.kv.remove_under(index, prefix);
        if !entries.is_empty() {
            self.deleted(index, &entries);
        }
    }

    /// Notes that tombstones were left at `index`, to be forgotten later.
    pub(super) fn bury(&mut self, index: u64) {
        self.effects.push(Effect::Buried(index));
    }

    /// Whether nobody can lock `key` yet.
    pub(in crate::consul) fn lock_delay(&mut self, key: &str) -> bool {
        match self.lock_delays.get(key) {
            Some(until) if *until > self.now && !planted::is(Bug::LockDelayNotKept) => true,
            Some(_) => {
                self.lock_delays.remove(key);
                false
            }
            None => false,
        }
    }

    /// Whether a lock cannot be had yet; says so to whoever watches.
    pub(in crate::consul) fn refuses_lock(&mut self, key: &str, session: &str) -> bool {
        let refuses = self.lock_delay(key);
        if refuses {
            self.unlogged(refused(key, session, "lock-delay"));
        }
        refuses
    }

    fn kv_put(&mut self, index: u64, write: Write, session: Option<Rc<str>>, lock_index: u64) -> Rc<Entry> {
        let entry = self.kv.put(index, write, session, lock_index);
        if entry.modify_index == index {
            self.changed();
        }
        entry
    }

    fn deleted(&mut self, index: u64, entries: &[Rc<Entry>]) {
        self.bury(index);
        for entry in entries {
            if let Some(session) = &entry.session {
                self.released(&entry.key, session);
            }
        }
        self.changed();
    }

    fn released(&mut self, key: &str, session: &str) {
        self.event(ConsulEvent::LockReleased {
            key: key.to_owned(),
            session: session.to_owned(),
            delay_until_us: 0,
        });
    }
}

fn refused(key: &str, session: &str, why: &str) -> ConsulEvent {
    ConsulEvent::LockRefused { key: key.to_owned(), session: session.to_owned(), why: why.to_owned() }
}
