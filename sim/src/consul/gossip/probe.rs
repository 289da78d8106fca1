//! Failure detection: one member is probed at a time.
//!
//! A member that does not answer at once is probed again through others and over a connection; only if all
//! of that fails is it suspected. A node whose probes fail without the others saying so too doubts itself
//! instead, and waits longer.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use super::Gossip;
use super::coordinate::Coordinate;
use super::message::{Condition, Delivery, Message, Part, Rumour};

/// What a ping and an ack take in a datagram.
const PING: usize = 80;
const ACK: usize = 180;

/// More probes than this are not made for others at a time.
const RELAYS_MAX: usize = 1024;

/// The probe under way.
#[derive(Debug)]
pub(super) struct Probe {
    seq: u64,
    node: Rc<str>,
    address: SocketAddr,
    incarnation: u64,
    sent: Duration,
    /// When others are asked; `None` once they were.
    direct_until: Option<Duration>,
    until: Duration,
    nacks_wanted: usize,
    nacks: usize,
    /// Whether it answered over a connection.
    contacted: bool,
}

impl Probe {
    /// When something has to happen.
    pub(super) fn deadline(&self) -> Duration {
        self.direct_until.unwrap_or(self.until)
    }
}

/// A probe made for another node.
#[derive(Debug)]
pub(super) struct Relay {
    asker: SocketAddr,
    seq: u64,
    pub(super) until: Duration,
}

impl Gossip {
    /// Probes the next member.
    pub(super) fn probe(&mut self) {
        let dead_since = self.now.checked_sub(self.timing.gossip_to_the_dead);
        let Some(node) = self.nodes.next_to_probe(&self.identity.name, dead_since, &mut self.stream) else {
            return;
        };
        let seq = self.next_sequence();
        let interval = self.timing.probe_interval * (self.unhealth as u32 + 1);
        let ping = Part::Ping { seq, node: Rc::clone(&node.name) };
        if node.condition == Condition::Alive {
            self.send_part(node.address, ping, PING);
        } else {
            // It should know at once that it is suspected.
            let (incarnation, from) = (node.incarnation, self.me());
            let suspect = Rumour::Suspect { incarnation, node: Rc::clone(&node.name), from };
            self.send_packet(node.address, vec![ping, Part::Rumour(suspect)]);
        }
        self.probing = Some(Probe {
            seq,
            node: node.name,
            address: node.address,
            incarnation: node.incarnation,
            sent: self.now,
            direct_until: Some(self.now + self.timing.probe_timeout),
            until: self.now + interval,
            nacks_wanted: 0,
            nacks: 0,
            contacted: false,
        });
    }

    /// Asks others to probe the member, and tries a connection; or takes the probe for failed.
    pub(super) fn probe_due(&mut self) {
        let Some(mut probe) = self.probing.take() else { return };
        if probe.direct_until.take().is_some() {
            self.probe_indirectly(&mut probe);
            self.probing = Some(probe);
        } else if probe.contacted {
            self.aware(-1);
        } else {
            let silent = probe.nacks_wanted.saturating_sub(probe.nacks) as i64;
            self.aware(if probe.nacks_wanted == 0 { 1 } else { silent });
            self.suspect(probe.incarnation, &probe.node, self.me());
        }
    }

    fn probe_indirectly(&mut self, probe: &mut Probe) {
        let (count, me) = (self.timing.indirect_checks, &self.identity.name);
        let helpers = self.nodes.draw(count, &mut self.stream, |node| {
            node.name != *me && node.name != probe.node && node.condition == Condition::Alive
        });
        let helpers: Vec<SocketAddr> = helpers.into_iter().map(|node| node.address).collect();
        probe.nacks_wanted = helpers.len();
        let (seq, target) = (probe.seq, probe.address);
        for helper in helpers {
            self.send_part(helper, Part::IndirectPing { seq, node: Rc::clone(&probe.node), target }, PING);
        }
        let message = Message::StreamPing { seq, node: Rc::clone(&probe.node) };
        self.send(target, message, Delivery::Stream { until: probe.until });
    }

    /// Answers a probe.
    pub(super) fn pinged(&mut self, from: SocketAddr, seq: u64, node: &str) {
        if *node == *self.identity.name {
            let coordinate = Some(Box::new(*self.vivaldi.coordinate()));
            self.send_part(from, Part::Ack { seq, coordinate }, ACK);
        }
    }

    /// Probes `node` for `asker`.
    pub(super) fn ping_for(&mut self, asker: SocketAddr, seq: u64, node: Rc<str>, target: SocketAddr) {
        if self.relays.len() >= RELAYS_MAX {
            return;
        }
        let own = self.next_sequence();
        self.relays.insert(own, Relay { asker, seq, until: self.now + self.timing.probe_timeout });
        self.send_part(target, Part::Ping { seq: own, node }, PING);
    }

    /// Tells who asked that there was no answer.
    pub(super) fn relay_over(&mut self, own: u64) {
        if let Some(Relay { asker, seq, .. }) = self.relays.remove(&own) {
            self.send_part(asker, Part::Nack { seq }, PING);
        }
    }

    pub(super) fn acked(&mut self, seq: u64, coordinate: Option<Box<Coordinate>>) {
        if let Some(Relay { asker, seq, .. }) = self.relays.remove(&seq) {
            return self.send_part(asker, Part::Ack { seq, coordinate: None }, PING);
        }
        let Some(probe) = self.probing.take_if(|probe| probe.seq == seq) else { return };
        self.aware(-1);
        if let (Some(_), Some(coordinate)) = (probe.direct_until, coordinate) {
            self.vivaldi.measured(&probe.node, &coordinate, self.now - probe.sent, &mut self.stream);
        }
    }

    pub(super) fn nacked(&mut self, seq: u64) {
        if let Some(probe) = self.probing.as_mut().filter(|probe| probe.seq == seq) {
            probe.nacks += 1;
        }
    }

    pub(super) fn stream_acked(&mut self, seq: u64) {
        if let Some(probe) = self.probing.as_mut().filter(|probe| probe.seq == seq) {
            probe.contacted = true;
        }
    }

    /// Passes rumours on to some members that are there, or were until lately.
    pub(super) fn gossip(&mut self) {
        let targets = self.nodes.draw(self.timing.gossip_nodes, &mut self.stream, |node| {
            is_gossip_target(node, &self.identity.name, self.now, self.timing.gossip_to_the_dead)
        });
        let targets: Vec<SocketAddr> = targets.into_iter().map(|node| node.address).collect();
        for target in targets {
            let mut parts = Vec::new();
            self.piggyback(&mut parts, 0);
            if parts.is_empty() {
                break;
            }
            self.send_packet(target, parts);
        }
    }

    fn send_part(&mut self, to: SocketAddr, part: Part, size: usize) {
        let mut parts = vec![part];
        self.piggyback(&mut parts, size);
        self.send_packet(to, parts);
    }

    fn send_packet(&mut self, to: SocketAddr, parts: Vec<Part>) {
        self.send(to, Message::Packet(parts), Delivery::Datagram);
    }
}

/// Whether `node` is sent rumours.
pub(super) fn is_gossip_target(
    node: &super::nodes::Node,
    me: &str,
    now: Duration,
    to_the_dead: Duration,
) -> bool {
    node.name.as_ref() != me
        && match node.condition {
            Condition::Alive | Condition::Suspect => true,
            Condition::Dead => now.saturating_sub(node.changed_at) <= to_the_dead,
            Condition::Left => false,
        }
}
