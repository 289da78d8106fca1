//! Users' events: each reaches every node once.
//!
//! Rumours come many times and in any order. The Lamport time of an event bounds how long it has to be
//! remembered: what is much older than the latest is not taken any more.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::Gossip;
use super::message::{Output, Rumour, State, UserEvent};

/// How many Lamport times back events are remembered.
const REMEMBERED: u64 = 512;

/// More events of one Lamport time are not taken.
const AT_ONCE: usize = 1024;

/// The events heard lately.
#[derive(Debug)]
pub(super) struct Events {
    heard: BTreeMap<u64, Vec<Rc<UserEvent>>>,
    clock: u64,
    /// Those before this are not for this node: it joined after them.
    since: u64,
}

impl Default for Events {
    fn default() -> Self {
        Self { heard: BTreeMap::new(), clock: 1, since: 0 }
    }
}

impl Events {
    pub(super) fn clock(&self) -> u64 {
        self.clock
    }

    pub(super) fn recent(&self) -> Vec<Rc<UserEvent>> {
        self.heard.values().flatten().cloned().collect()
    }

    fn witness(&mut self, ltime: u64) {
        if ltime >= self.clock {
            self.clock = ltime.saturating_add(1);
        }
    }

    /// Takes the clock up where an earlier life of the node left it.
    pub(super) fn resume(&mut self, clock: u64) {
        self.witness(clock);
        self.since = clock.saturating_add(1);
    }

    /// Remembers the event; whether it was news.
    fn remember(&mut self, event: &Rc<UserEvent>) -> bool {
        self.witness(event.ltime);
        let oldest = self.clock.saturating_sub(REMEMBERED).max(self.since);
        if event.ltime < oldest {
            return false;
        }
        let heard = self.heard.entry(event.ltime).or_default();
        if heard.len() >= AT_ONCE || heard.contains(event) {
            return false;
        }
        heard.push(Rc::clone(event));
        while let Some(first) =
            self.heard.first_entry().filter(|first| *first.key() + REMEMBERED < self.clock)
        {
            first.remove();
        }
        true
    }
}

impl Gossip {
    /// Tells everybody, this node included. How large it may be is for the caller to say.
    pub(super) fn fire_event(&mut self, event: UserEvent) {
        let event = Rc::new(UserEvent { ltime: self.events.clock, ..event });
        self.user_event(&event);
        self.user_events.push(Rumour::User(event));
    }

    /// Takes in an event; whether it was news.
    pub(super) fn user_event(&mut self, event: &Rc<UserEvent>) -> bool {
        let news = self.events.remember(event);
        if news {
            self.output(Output::User(Rc::clone(event)));
        }
        news
    }

    pub(super) fn merge_events(&mut self, state: &State, ignore_old: bool) {
        self.events.witness(state.event_ltime.saturating_sub(1));
        if ignore_old {
            self.events.since = self.events.since.max(state.event_ltime);
        }
        for event in &state.events {
            self.user_event(event);
        }
    }
}
