//! Members as users see them, and their intents to join and to leave.
//!
//! Failure detection only knows that a node is gone; whether it left or failed is decided here, by whether
//! it had announced that it would leave. Announcements carry Lamport times, so that a late one about an
//! earlier life of a node changes nothing.
//!
//! One oddity is serf's own: when the whole state is exchanged, a member that left counts as leaving one
//! Lamport instant after the last that was heard of it, which may be the very instant at which it joins
//! again. Who is new itself at that moment, or has heard that it is back and then exchanges state with one
//! who has not, sees it as [`Status::Leaving`] until it fails or announces something newer.

use std::collections::btree_map::Entry as Slot;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use super::message::{Alive, Member, Output, State, Status};
use super::nodes::NODES_MAX;
use super::{Departure, Gossip};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IntentKind {
    Join,
    Leave,
}

/// What was heard of a node before the node itself.
#[derive(Debug)]
struct Intent {
    kind: IntentKind,
    ltime: u64,
    heard_at: Duration,
}

#[derive(Debug)]
struct Entry {
    member: Member,
    gone_at: Duration,
}

/// All members.
#[derive(Debug)]
pub(super) struct Members {
    table: BTreeMap<Rc<str>, Entry>,
    intents: BTreeMap<Rc<str>, Intent>,
    clock: u64,
}

impl Default for Members {
    fn default() -> Self {
        // Not zero: that is the time of a member nothing was heard of.
        Self { table: BTreeMap::new(), intents: BTreeMap::new(), clock: 1 }
    }
}

impl Members {
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.table.values().map(|entry| &entry.member)
    }

    pub(super) fn with(&self, status: Status) -> impl Iterator<Item = &Member> {
        self.iter().filter(move |member| member.status == status)
    }

    pub(super) fn clock(&self) -> u64 {
        self.clock
    }

    pub(super) fn tick(&mut self) {
        self.clock = self.clock.saturating_add(1);
    }

    /// Takes in that it was `ltime` somewhere.
    pub(super) fn witness(&mut self, ltime: u64) {
        if ltime >= self.clock {
            self.clock = ltime.saturating_add(1);
        }
    }

    /// Remembers what is heard of an unknown node; whether it was news.
    fn remember(&mut self, node: &Rc<str>, kind: IntentKind, ltime: u64, heard_at: Duration) -> bool {
        let known = self.intents.get(node);
        if known.is_some_and(|known| ltime <= known.ltime) || self.intents.len() >= NODES_MAX {
            return false;
        }
        self.intents.insert(Rc::clone(node), Intent { kind, ltime, heard_at });
        true
    }

    /// When the first member or intent is to be forgotten.
    pub(super) fn reap_at(&self, failed: Duration, left: Duration, intent: Duration) -> Option<Duration> {
        let members = self.table.values().filter_map(|entry| entry.expiry(failed, left));
        members.chain(self.intents.values().map(|heard| heard.heard_at + intent)).min()
    }
}

impl Entry {
    fn expiry(&self, failed: Duration, left: Duration) -> Option<Duration> {
        match self.member.status {
            Status::Failed => Some(self.gone_at + failed),
            Status::Left => Some(self.gone_at + left),
            Status::Alive | Status::Leaving => None,
        }
    }
}

impl Gossip {
    pub(super) fn member_joined(&mut self, alive: &Alive) {
        let members = &mut self.members;
        let entry = match members.table.entry(Rc::clone(&alive.node)) {
            Slot::Occupied(known) => {
                let entry = known.into_mut();
                entry.member.status = Status::Alive;
                entry
            }
            Slot::Vacant(slot) => {
                let intent = members.intents.get(&alive.node);
                let leaves = intent.is_some_and(|intent| intent.kind == IntentKind::Leave);
                let member = Member {
                    name: Rc::clone(&alive.node),
                    address: alive.address,
                    tags: Rc::clone(&alive.tags),
                    status: if leaves { Status::Leaving } else { Status::Alive },
                    ltime: intent.map_or(0, |intent| intent.ltime),
                };
                slot.insert(Entry { member, gone_at: Duration::ZERO })
            }
        };
        entry.member.address = alive.address;
        entry.member.tags = Rc::clone(&alive.tags);
        let member = entry.member.clone();
        self.output(Output::Joined(member));
    }

    pub(super) fn member_updated(&mut self, alive: &Alive) {
        if let Some(entry) = self.members.table.get_mut(&alive.node) {
            entry.member.address = alive.address;
            entry.member.tags = Rc::clone(&alive.tags);
            let member = entry.member.clone();
            self.output(Output::Updated(member));
        }
    }

    pub(super) fn member_gone(&mut self, name: &str) {
        let Some(entry) = self.members.table.get_mut(name) else { return };
        entry.member.status = match entry.member.status {
            Status::Leaving => Status::Left,
            Status::Alive => Status::Failed,
            Status::Left | Status::Failed => return,
        };
        entry.gone_at = self.now;
        let member = entry.member.clone();
        self.output(if member.status == Status::Left {
            Output::Left(member)
        } else {
            Output::Failed(member)
        });
    }

    /// Takes in that `node` joined at `ltime`; whether it was news.
    pub(super) fn intent_to_join(&mut self, node: &Rc<str>, ltime: u64) -> bool {
        self.members.witness(ltime);
        let Some(entry) = self.members.table.get_mut(node) else {
            return self.members.remember(node, IntentKind::Join, ltime, self.now);
        };
        if ltime <= entry.member.ltime {
            return false;
        }
        entry.member.ltime = ltime;
        if entry.member.status == Status::Leaving {
            entry.member.status = Status::Alive;
        }
        true
    }

    /// Takes in that `node` wanted to leave at `ltime`; whether it was news.
    pub(super) fn intent_to_leave(&mut self, node: &Rc<str>, ltime: u64, prune: bool) -> bool {
        self.members.witness(ltime);
        let Some(entry) = self.members.table.get_mut(node) else {
            return self.members.remember(node, IntentKind::Leave, ltime, self.now);
        };
        if ltime <= entry.member.ltime {
            return false;
        }
        if **node == *self.identity.name && matches!(self.departure, Departure::None) {
            self.announce_join();
            return false;
        }
        // Also when nothing else changes: heard twice, it must not be passed on twice.
        entry.member.ltime = ltime;
        match entry.member.status {
            Status::Alive => entry.member.status = Status::Leaving,
            Status::Failed => {
                entry.member.status = Status::Left;
                let member = entry.member.clone();
                self.output(Output::Left(member));
            }
            Status::Leaving | Status::Left => {}
        }
        if prune && self.members.table.get(node).is_some_and(|entry| entry.member.status == Status::Left) {
            self.erase(node);
        }
        true
    }

    pub(super) fn merge_members(&mut self, state: &State) {
        self.members.witness(state.ltime.saturating_sub(1));
        for node in &state.left {
            // When it said so is not known, only that it was after it joined.
            let ltime = state.ltimes.get(node).map_or(0, |ltime| *ltime).saturating_add(1);
            self.intent_to_leave(node, ltime, false);
        }
        let left: BTreeSet<&Rc<str>> = state.left.iter().collect();
        for (node, ltime) in &state.ltimes {
            if !left.contains(node) {
                self.intent_to_join(node, *ltime);
            }
        }
    }

    /// Forgets whoever is gone for long.
    pub(super) fn reap(&mut self) {
        self.tickers.reap.skip(self.now);
        let (failed, left) = (self.timing.reconnect_timeout, self.timing.tombstone_timeout);
        let expired = |entry: &Entry| entry.expiry(failed, left).is_some_and(|at| at <= self.now);
        let expired: Vec<Rc<str>> = self
            .members
            .table
            .values()
            .filter(|entry| expired(entry))
            .map(|entry| Rc::clone(&entry.member.name))
            .collect();
        for name in expired {
            self.erase(&name);
        }
        let (now, timeout) = (self.now, self.timing.recent_intent_timeout);
        self.members.intents.retain(|_, intent| now < intent.heard_at + timeout);
    }

    fn erase(&mut self, name: &str) {
        if let Some(entry) = self.members.table.remove(name) {
            self.vivaldi.forget(name);
            self.output(Output::Reaped(entry.member));
        }
    }
}
