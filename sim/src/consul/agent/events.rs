//! User events: small messages that every agent hears of once, and keeps the last of.
//!
//! An event goes to every agent, and each decides by its filters whether it is meant. Nothing is stored
//! and nothing is repeated: who was not there never hears of it.

use std::collections::VecDeque;

use regex::bytes::Regex;

use super::Local;
use crate::consul::Consul;
use crate::consul::filter::regexp;

/// How many events an agent keeps.
const KEPT: usize = 256;
/// The most an event can take, name and payload, before and after they are packed.
const SIZE_MAX: usize = 512;
/// What the gossip layer calls an event, before the event's own name.
const NAME_PREFIX: &str = "consul:event:";
/// The version of the format, which packs into a byte.
pub(in crate::consul) const VERSION: u8 = 1;
/// The first leader's election is an event too, and the first to be counted.
const FIRST_TIME: u64 = 2;

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::consul) struct UserEvent {
    pub(in crate::consul) id: String,
    pub(in crate::consul) name: String,
    pub(in crate::consul) payload: Vec<u8>,
    /// What the names of a node, of a service on it and of a tag of that must match; empty for anything.
    pub(in crate::consul) node_filter: String,
    pub(in crate::consul) service_filter: String,
    pub(in crate::consul) tag_filter: String,
    /// Its place in the order of events.
    pub(in crate::consul) time: u64,
}

/// The last events an agent heard of.
#[derive(Debug)]
pub(in crate::consul) struct Buffer {
    events: VecDeque<UserEvent>,
    /// The time of the next event that is fired.
    clock: u64,
}

impl Default for Buffer {
    fn default() -> Self {
        Self { events: VecDeque::new(), clock: FIRST_TIME }
    }
}

impl Buffer {
    /// The events, oldest first.
    pub(in crate::consul) fn iter(&self) -> impl DoubleEndedIterator<Item = &UserEvent> {
        self.events.iter()
    }

    /// The time of the next event that is fired.
    pub(in crate::consul) fn clock(&self) -> u64 {
        self.clock
    }
}

/// Makes a filter ready.
///
/// # Errors
/// Go's words for an expression that is none.
fn filter(expression: &str) -> Result<Regex, String> {
    regexp::compile(expression.as_bytes())
}

impl UserEvent {
    /// Whether it can be fired.
    ///
    /// # Errors
    /// Consul's text for filters that are none, and events that are too long.
    pub(in crate::consul) fn validate(&self, clock: &Buffer) -> Result<(), String> {
        let invalid = |which: &str, why: String| format!("Invalid {which} filter: {why}");
        if !self.node_filter.is_empty() {
            filter(&self.node_filter).map_err(|why| invalid("node", why))?;
        }
        if !self.service_filter.is_empty() {
            filter(&self.service_filter).map_err(|why| invalid("service", why))?;
        }
        if !self.tag_filter.is_empty() {
            if self.service_filter.is_empty() {
                return Err("Cannot provide tag filter without service filter".to_owned());
            }
            filter(&self.tag_filter).map_err(|why| invalid("tag", why))?;
        }
        let too_long = |what: &str, when: &str| {
            Err(format!(
                "1 error occurred:\n\t* error broadcasting event to segment \"\": {what} exceeds configured \
                 limit of {SIZE_MAX} bytes {when} encoding\n\n"
            ))
        };
        let (name, packed) = (NAME_PREFIX.len() + self.name.len(), self.packed());
        if name + packed > SIZE_MAX {
            return too_long("user event", "before");
        }
        // A byte for the kind of message, then a map of four.
        let message = 2
            + (text(5) + number(clock.clock))
            + (text(4) + text(name))
            + (text(7) + binary(packed))
            + (text(2) + 1);
        if message > SIZE_MAX {
            return too_long("encoded user event", "after");
        }
        Ok(())
    }

    /// Whether it is meant for an agent.
    fn is_for(&self, node: &str, local: &Local) -> bool {
        let matches = |expression: &str, name: &str| {
            filter(expression).is_ok_and(|filter| filter.is_match(name.as_bytes()))
        };
        if !self.node_filter.is_empty() && !matches(&self.node_filter, node) {
            return false;
        }
        self.service_filter.is_empty()
            || local.services().filter(|service| matches(&self.service_filter, &service.name)).any(
                |service| {
                    self.tag_filter.is_empty()
                        || service.tags.iter().any(|tag| matches(&self.tag_filter, tag))
                },
            )
    }

    /// How long it is in MessagePack, as it is sent: fields that are empty are left out.
    fn packed(&self) -> usize {
        let filters = [&self.node_filter, &self.service_filter, &self.tag_filter];
        let filters = filters.iter().filter(|filter| !filter.is_empty());
        let payload = if self.payload.is_empty() { 0 } else { text(1) + binary(self.payload.len()) };
        1 + (text(2) + text(self.id.len()))
            + (text(1) + text(self.name.len()))
            + payload
            + filters.map(|filter| text(2) + text(filter.len())).sum::<usize>()
            + (text(1) + number(VERSION.into()))
    }
}

/// How long a text is, packed.
fn text(length: usize) -> usize {
    length + if length < 32 { 1 } else { header(length) }
}

fn binary(length: usize) -> usize {
    length + header(length)
}

fn header(length: usize) -> usize {
    if length < 256 { 2 } else { 3 }
}

fn number(number: u64) -> usize {
    match number {
        0..=0x7f => 1,
        0x80..=0xff => 2,
        0x100..=0xffff => 3,
        0x1_0000..=0xffff_ffff => 5,
        _ => 9,
    }
}

impl Consul {
    /// Sends an event to every agent, this one being the first.
    pub(in crate::consul) fn event_fire(&mut self, mut event: UserEvent) {
        event.time = self.agent.events.clock;
        if !self.gossip_event(&event) {
            self.event_received(event);
        }
    }

    /// An event reached this agent.
    pub(in crate::consul) fn event_received(&mut self, event: UserEvent) {
        let clock = &mut self.agent.events.clock;
        *clock = (*clock).max(event.time.saturating_add(1));
        if !event.is_for(&self.config.node, &self.agent) {
            return;
        }
        let events = &mut self.agent.events.events;
        if events.len() == KEPT {
            events.pop_front();
        }
        events.push_back(event);
        self.changed();
    }
}
