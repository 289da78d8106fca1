//! What a node makes of news about nodes: who is alive, suspected, dead.
//!
//! Every claim names an incarnation of its subject, and only the subject itself ever takes a higher one:
//! that is how it refutes its own death. Of two claims about one incarnation the worse one holds. Whatever
//! changes the table is passed on; what does not is not, so that rumours die out.

use std::rc::Rc;

use super::Gossip;
use super::message::{Alive, Condition, Part, Rumour, State};
use super::nodes::{NODES_MAX, Node};
use super::suspicion::Suspicion;

/// How many bytes a datagram takes.
pub(super) const DATAGRAM: usize = 1400 - 2;

impl Gossip {
    /// Takes in one rumour.
    pub(super) fn hear(&mut self, rumour: Rumour) {
        match rumour {
            Rumour::Alive(alive) => self.alive(alive),
            Rumour::Suspect { incarnation, node, from } => self.suspect(incarnation, &node, from),
            Rumour::Dead { incarnation, node, from } => self.dead(incarnation, &node, from),
            Rumour::Join { ltime, ref node } => {
                if self.intent_to_join(node, ltime) {
                    self.intents.push(rumour);
                }
            }
            Rumour::Leave { ltime, ref node, prune } => {
                if self.intent_to_leave(node, ltime, prune) {
                    self.intents.push(rumour);
                }
            }
            Rumour::User(ref event) => {
                if self.user_event(event) {
                    self.user_events.push(rumour);
                }
            }
        }
    }

    /// Says of this node that it is there, with the next incarnation.
    pub(super) fn announce(&mut self) {
        self.incarnation = self.incarnation.saturating_add(1);
        let alive = Alive {
            incarnation: self.incarnation,
            node: self.me(),
            address: self.identity.address,
            tags: Rc::new(self.identity.tags.clone()),
        };
        self.accept(alive);
    }

    fn alive(&mut self, alive: Alive) {
        if *alive.node != *self.identity.name {
            return self.accept(alive);
        }
        let refuted = self.nodes.get(&alive.node).is_some_and(|me| {
            // Another one of our name, or what this node said in an earlier life.
            let same = alive.incarnation == me.incarnation && alive.tags == me.tags;
            !self.departure.is_out()
                && alive.address == me.address
                && alive.incarnation >= me.incarnation
                && !same
        });
        if refuted {
            self.refute(alive.incarnation);
        }
    }

    /// Takes in that a node is there: another one, or this one as it says so itself.
    fn accept(&mut self, alive: Alive) {
        let now = self.now;
        let known = self.nodes.get(&alive.node);
        let moved = known.is_some_and(|node| node.address != alive.address);
        match known {
            // Nobody takes the name of a node that may be there.
            Some(node) if moved && node.condition != Condition::Left => return,
            Some(node) if !moved && alive.incarnation <= node.incarnation => return,
            None if self.nodes.len() >= NODES_MAX => return,
            _ => {}
        }
        let before = known.map(|node| (node.is_gone(), node.tags != alive.tags));
        self.suspicions.remove(&alive.node);
        self.rumours.push(Rumour::Alive(alive.clone()));
        match self.nodes.get_mut(&alive.node) {
            Some(node) => {
                node.incarnation = alive.incarnation;
                node.tags = Rc::clone(&alive.tags);
                node.address = alive.address;
                if node.condition != Condition::Alive {
                    node.become_condition(now, Condition::Alive);
                }
            }
            None => {
                let node = Node {
                    name: Rc::clone(&alive.node),
                    address: alive.address,
                    tags: Rc::clone(&alive.tags),
                    incarnation: alive.incarnation,
                    condition: Condition::Alive,
                    changed_at: now,
                };
                self.nodes.insert(node, &mut self.stream);
            }
        }
        match before {
            None | Some((true, _)) => self.member_joined(&alive),
            Some((false, true)) => self.member_updated(&alive),
            Some((false, false)) => {}
        }
    }

    /// Takes in that `from` gets no answer from `name`.
    pub(super) fn suspect(&mut self, incarnation: u64, name: &Rc<str>, from: Rc<str>) {
        let rumour = Rumour::Suspect { incarnation, node: Rc::clone(name), from: Rc::clone(&from) };
        let now = self.now;
        let Some(node) = self.nodes.get_mut(name).filter(|node| incarnation >= node.incarnation) else {
            return;
        };
        if let Some(suspicion) = self.suspicions.get_mut(name) {
            if suspicion.confirm(&from) {
                self.rumours.push(rumour);
            }
            return;
        }
        if node.condition != Condition::Alive {
            return;
        }
        if **name == *self.identity.name {
            return self.refute(incarnation);
        }
        node.incarnation = incarnation;
        node.become_condition(now, Condition::Suspect);
        self.rumours.push(rumour);

        let nodes = self.nodes.len();
        // The two are the node itself and the one that suspects it.
        let wanted = self.timing.suspicion_mult.saturating_sub(2);
        let wanted = if nodes.saturating_sub(2) < wanted as usize { 0 } else { wanted };
        let min = self.timing.suspicion_min(nodes);
        let max = min * self.timing.suspicion_max_mult;
        self.suspicions.insert(Rc::clone(name), Suspicion::new(now, from, wanted, min, max));
    }

    /// Takes `name` for dead because nobody refuted the suspicion.
    pub(super) fn suspicion_over(&mut self, name: &Rc<str>) {
        self.suspicions.remove(name);
        let suspected = self.nodes.get(name).filter(|node| node.condition == Condition::Suspect);
        if let Some(incarnation) = suspected.map(|node| node.incarnation) {
            self.dead(incarnation, name, self.me());
        }
    }

    /// Takes in that `from` says that `name` is gone. It left if it says so itself.
    pub(super) fn dead(&mut self, incarnation: u64, name: &Rc<str>, from: Rc<str>) {
        let is_me = **name == *self.identity.name;
        let now = self.now;
        let Some(node) = self.nodes.get_mut(name).filter(|node| incarnation >= node.incarnation) else {
            return;
        };
        self.suspicions.remove(name);
        if node.is_gone() {
            return;
        }
        if is_me && !self.departure.is_out() {
            return self.refute(incarnation);
        }
        node.incarnation = incarnation;
        node.become_condition(now, if *name == from { Condition::Left } else { Condition::Dead });
        let number = self.rumours.push(Rumour::Dead { incarnation, node: Rc::clone(name), from });
        if is_me {
            self.departure.wait_for(number);
        }
        self.member_gone(name);
    }

    /// Takes in what another node knows. It may be wrong about who is dead, so those are only suspected.
    pub(super) fn merge(&mut self, state: State, ignore_old_events: bool) {
        if state.nodes.len() > NODES_MAX || state.ltimes.len() > NODES_MAX {
            return;
        }
        for (alive, condition) in &state.nodes {
            match condition {
                Condition::Alive => self.alive(alive.clone()),
                Condition::Left => self.dead(alive.incarnation, &alive.node, Rc::clone(&alive.node)),
                Condition::Dead | Condition::Suspect => {
                    self.suspect(alive.incarnation, &alive.node, self.me())
                }
            }
        }
        self.merge_members(&state);
        self.merge_events(&state, ignore_old_events);
    }

    /// Says that this node is there after all.
    fn refute(&mut self, accused: u64) {
        self.incarnation = self.incarnation.max(accused).saturating_add(1);
        self.aware(1);
        let Some(me) = self.nodes.get_mut(&self.identity.name) else { return };
        me.incarnation = self.incarnation;
        let alive = me.alive();
        self.rumours.push(Rumour::Alive(alive));
    }

    /// Makes the node trust itself less, or more if `delta` is negative.
    pub(super) fn aware(&mut self, delta: i64) {
        let most = i64::from(self.timing.awareness_max.max(1)) - 1;
        self.unhealth = (self.unhealth + delta).clamp(0, most);
    }

    /// Adds to `parts`, which take `used` bytes, the rumours that fit.
    pub(super) fn piggyback(&mut self, parts: &mut Vec<Part>, used: usize) {
        let mut room = DATAGRAM.saturating_sub(used);
        let by_nodes = self.timing.retransmit_limit(self.nodes.len());
        let by_members = self.timing.retransmit_limit(self.members.len());
        for (queue, limit) in [
            (&mut self.rumours, by_nodes),
            (&mut self.intents, by_members),
            (&mut self.user_events, by_members),
        ] {
            queue.take(&mut room, limit, |rumour| parts.push(Part::Rumour(rumour)));
        }
        self.departure_step();
    }
}
