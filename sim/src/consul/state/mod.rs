//! What the servers of a cluster agree on: keys, sessions, and the catalog.
//!
//! [`State`] is a state machine fed by the raft log: the same commands at the same indexes lead every
//! server to the same state. It asks nobody: what is drawn at random or depends on one server's clock is
//! settled by the leader before a command enters the log. Lock-delays alone run on each server's own
//! clock, from when it applied what began them.
//!
//! The rule a change must keep: everything that happens because of a command (a check turns critical, its
//! sessions end, their locks are released) happens at that command's index.

pub(in crate::consul) mod base64;
pub(in crate::consul) mod catalog;
mod command;
pub(in crate::consul) mod kv;
pub(in crate::consul) mod lag;
mod lock;
pub(in crate::consul) mod member;
mod pairs;
mod register;
pub(in crate::consul) mod rules;
pub(in crate::consul) mod session;
pub(in crate::consul) mod txn;
mod txn_catalog;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(in crate::consul) use self::command::{Applied, Command, Deregistration, NodeUpdate, Registration};
use crate::record::ConsulEvent;

/// What a leader has to see to because of what it applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::consul) enum Effect {
    /// A session began; its TTL counts from now. Zero for none.
    SessionBegan { id: Rc<str>, ttl: Duration },
    /// A session is no more.
    SessionEnded(Rc<str>),
    /// Tombstones were left at this index, to be forgotten later.
    Buried(u64),
}

/// Something that happened to a state.
#[derive(Debug, Clone, PartialEq)]
pub struct Happened {
    /// When, on the server's clock.
    pub at: Duration,
    /// At which index of the log every server of its cluster sees it happen; 0 when only the leader does.
    pub index: u64,
    /// What.
    pub event: ConsulEvent,
}

/// The state of one server.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(in crate::consul) struct State {
    /// This server's clock, set by its owner before anything else.
    #[serde(skip)]
    pub(in crate::consul) now: Duration,
    /// The index of what was applied last.
    pub(in crate::consul) index: u64,
    pub(in crate::consul) kv: kv::Table,
    pub(in crate::consul) sessions: session::Sessions,
    pub(in crate::consul) catalogs: lag::Catalogs,
    #[serde(skip)]
    lock_delays: BTreeMap<Rc<str>, Duration>,
    #[serde(skip)]
    revision: u64,
    #[serde(skip)]
    events: Vec<Happened>,
    #[serde(skip)]
    effects: Vec<Effect>,
}

impl State {
    /// Applies what the log holds at `index`.
    pub(in crate::consul) fn apply(&mut self, index: u64, command: &Command) -> Applied {
        self.index = index;
        command.apply(self, index)
    }

    /// Every index it counts on from.
    pub(in crate::consul) fn indexes(&self) -> impl Iterator<Item = u64> {
        let entries = self.kv.under("").flat_map(|entry| [entry.lock_index, entry.modify_index]);
        [self.index, self.kv.index(), self.sessions.index()].into_iter().chain(entries)
    }

    /// Whether nothing was ever stored in it.
    pub(in crate::consul) fn is_blank(&self) -> bool {
        self.kv.index() == 0 && self.sessions.index() == 0 && self.catalogs.current().nodes().next().is_none()
    }

    /// Grows whenever a blocking query may have something new to say.
    pub(in crate::consul) fn revision(&self) -> u64 {
        self.revision
    }

    /// Takes the events since the last call.
    pub(in crate::consul) fn drain_events(&mut self) -> Vec<Happened> {
        std::mem::take(&mut self.events)
    }

    /// Takes what there is to see to since the last call.
    pub(in crate::consul) fn drain_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    pub(in crate::consul) fn changed(&mut self) {
        self.revision += 1;
    }

    /// Tells what a command did.
    pub(in crate::consul) fn event(&mut self, event: ConsulEvent) {
        self.events.push(Happened { at: self.now, index: self.index, event });
    }

    /// Tells what a leader did without the log.
    pub(in crate::consul) fn unlogged(&mut self, event: ConsulEvent) {
        self.events.push(Happened { at: self.now, index: 0, event });
    }
}
