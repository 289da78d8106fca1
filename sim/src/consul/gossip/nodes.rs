//! Failure detection's table of nodes, and the order they are probed in.
//!
//! Everybody is probed once per round, in an order that is shuffled before each, which bounds how long a
//! death can go unnoticed. A node that is new goes to a random place in the round under way.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::message::{Alive, Condition, Tags};

/// More nodes than this are not taken in.
pub(super) const NODES_MAX: usize = 65_536;

/// One node.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) name: Rc<str>,
    pub(super) address: SocketAddr,
    pub(super) tags: Rc<Tags>,
    pub(super) incarnation: u64,
    pub(super) condition: Condition,
    pub(super) changed_at: Duration,
}

impl Node {
    pub(super) fn is_gone(&self) -> bool {
        matches!(self.condition, Condition::Dead | Condition::Left)
    }

    pub(super) fn alive(&self) -> Alive {
        Alive {
            incarnation: self.incarnation,
            node: Rc::clone(&self.name),
            address: self.address,
            tags: Rc::clone(&self.tags),
        }
    }

    pub(super) fn become_condition(&mut self, now: Duration, condition: Condition) {
        self.condition = condition;
        self.changed_at = now;
    }
}

/// The table.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    table: BTreeMap<Rc<str>, Node>,
    round: Vec<Rc<str>>,
    next: usize,
}

impl Nodes {
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn get(&self, name: &str) -> Option<&Node> {
        self.table.get(name)
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Node> {
        self.table.get_mut(name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Node> {
        self.table.values()
    }

    /// Takes in a node at a random place of the round.
    pub(super) fn insert(&mut self, node: Node, stream: &mut ChaCha8Rng) {
        let last = self.round.len();
        self.round.push(Rc::clone(&node.name));
        self.round.swap(below(stream, last.max(1)), last);
        self.table.insert(Rc::clone(&node.name), node);
    }

    /// Up to `count` nodes of those to `keep`, drawn at random. Only so many draws are made, so in a table
    /// where most do not qualify there may be fewer.
    pub(super) fn draw(
        &self,
        count: usize,
        stream: &mut ChaCha8Rng,
        keep: impl Fn(&Node) -> bool,
    ) -> Vec<&Node> {
        let mut drawn: Vec<&Node> = Vec::with_capacity(count);
        for _ in 0..3 * self.round.len() {
            if drawn.len() == count {
                break;
            }
            let name = &self.round[below(stream, self.round.len())];
            let Some(node) = self.table.get(name) else { continue };
            if keep(node) && drawn.iter().all(|other| other.name != *name) {
                drawn.push(node);
            }
        }
        drawn
    }

    /// The next node to probe that is neither `me` nor gone. When a round is over, whoever has been dead
    /// since before `dead_since` is forgotten.
    pub(super) fn next_to_probe(
        &mut self,
        me: &str,
        dead_since: Option<Duration>,
        stream: &mut ChaCha8Rng,
    ) -> Option<Node> {
        let mut passed = 0;
        while passed < self.round.len() {
            passed += 1;
            let Some(name) = self.round.get(self.next) else {
                self.start_round(dead_since, stream);
                continue;
            };
            self.next += 1;
            match self.table.get(name) {
                Some(node) if node.name.as_ref() != me && !node.is_gone() => return Some(node.clone()),
                _ => {}
            }
        }
        None
    }

    fn start_round(&mut self, dead_since: Option<Duration>, stream: &mut ChaCha8Rng) {
        let forgotten = |node: &Node| {
            node.condition == Condition::Dead && dead_since.is_some_and(|since| node.changed_at < since)
        };
        self.table.retain(|_, node| !forgotten(node));
        let table = &self.table;
        self.round.retain(|name| table.contains_key(name));
        shuffle(&mut self.round, stream);
        self.next = 0;
    }
}

/// A number from 0 up to, but not including, `limit`.
pub(super) fn below(stream: &mut ChaCha8Rng, limit: usize) -> usize {
    (stream.next_u64() % limit.max(1) as u64) as usize
}

pub(super) fn shuffle<T>(items: &mut [T], stream: &mut ChaCha8Rng) {
    for at in (1..items.len()).rev() {
        items.swap(at, below(stream, at + 1));
    }
}
