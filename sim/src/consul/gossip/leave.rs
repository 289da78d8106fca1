//! How a node leaves, and how it comes back.
//!
//! A node that leaves says so first, then says that it is gone, each until it was told often enough, and
//! stays a little to let the news spread and to answer probes of those that have not heard. What it knew
//! when it was stopped is a [`Snapshot`], with which it finds the cluster again.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use super::Gossip;
use super::message::{Output, Rumour, Status};

/// How far a node is on its way out.
#[derive(Debug, Clone, Copy)]
pub(super) enum Departure {
    /// It stays.
    None,
    /// It says that it will leave: the number of that rumour, and how long it may take.
    Announcing(u64, Duration),
    /// It says that it is gone.
    Gone(u64, Duration),
    /// It lets the news spread.
    Spreading(Duration),
    /// It is out.
    Out,
}

impl Departure {
    /// Whether it said that it is gone, and so no longer refutes that.
    pub(super) fn is_out(&self) -> bool {
        matches!(self, Departure::Gone(..) | Departure::Spreading(_) | Departure::Out)
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        match self {
            Departure::None | Departure::Out => None,
            Departure::Announcing(_, until) | Departure::Gone(_, until) | Departure::Spreading(until) => {
                Some(*until)
            }
        }
    }

    /// The rumour that says that it is gone has this number.
    pub(super) fn wait_for(&mut self, rumour: u64) {
        if let Departure::Gone(number, _) = self {
            *number = rumour;
        }
    }
}

/// What a node should know when it is started again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::consul) struct Snapshot {
    ltime: u64,
    event_ltime: u64,
    peers: Vec<SocketAddr>,
}

impl Gossip {
    /// Leaves. [`Output::LeaveEnded`] says when the node may be stopped.
    pub(in crate::consul) fn leave(&mut self, now: Duration) {
        self.advance(now);
        if !matches!(self.departure, Departure::None) {
            return;
        }
        let until = self.now + self.timing.broadcast_timeout;
        self.departure = Departure::Announcing(0, until);
        let (ltime, node) = (self.members.clock(), self.me());
        self.members.tick();
        self.intent_to_leave(&node, ltime, false);
        if self.has_company() {
            let number = self.intents.push(Rumour::Leave { ltime, node, prune: false });
            self.departure = Departure::Announcing(number, until);
        }
        self.departure_step();
    }

    /// Takes the failed member `node` for one that left, and everybody with it; with `prune` it is forgotten
    /// at once.
    pub(in crate::consul) fn force_leave(&mut self, now: Duration, node: &str, prune: bool) {
        self.advance(now);
        let (ltime, node) = (self.members.clock(), Rc::from(node));
        self.members.tick();
        self.intent_to_leave(&node, ltime, prune);
        if self.has_company() {
            self.intents.push(Rumour::Leave { ltime, node, prune });
        }
    }

    /// What the node should know when it is started again, whenever it stops. One that left does not go
    /// back by itself.
    pub(in crate::consul) fn snapshot(&self) -> Snapshot {
        let stays = matches!(self.departure, Departure::None);
        let others = self.members.with(Status::Alive).filter(|member| member.name != self.identity.name);
        Snapshot {
            ltime: self.members.clock().saturating_sub(1),
            event_ltime: self.events.clock().saturating_sub(1),
            peers: others.filter(|_| stays).map(|member| member.address).collect(),
        }
    }

    /// Goes on from what an earlier life of the node knew.
    pub(in crate::consul) fn restore(&mut self, now: Duration, snapshot: Snapshot) {
        self.advance(now);
        self.members.witness(snapshot.ltime);
        self.events.resume(snapshot.event_ltime);
        self.rejoin(snapshot.peers);
    }

    /// Goes one step further out once the last one was told often enough.
    pub(super) fn departure_step(&mut self) {
        if let Departure::Announcing(number, _) = self.departure
            && !self.intents.holds(number)
        {
            self.departure = Departure::Gone(0, self.now + self.timing.broadcast_timeout);
            let me = self.me();
            self.dead(self.incarnation, &me, Rc::clone(&me));
        }
        if let Departure::Gone(number, _) = self.departure
            && (!self.rumours.holds(number) || !self.has_company())
        {
            self.departure = Departure::Spreading(self.now + self.timing.leave_propagate_delay);
        }
    }

    /// It took too long, or is over.
    pub(super) fn departure_due(&mut self) {
        let announced = matches!(self.departure, Departure::Spreading(_));
        self.departure = Departure::Out;
        self.output(Output::LeaveEnded { announced });
    }

    /// Whether any other member is there.
    fn has_company(&self) -> bool {
        self.members.with(Status::Alive).any(|member| member.name != self.identity.name)
    }
}
