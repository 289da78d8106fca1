//! Who is in the cluster: what memberlist and serf do in Consul, without a network.
//!
//! [`Gossip`] is one node. Time and messages go in, messages and news of members come out; it has no clock
//! and no socket, and draws from the one stream it was given, so the same calls always give the same
//! outputs. Three layers, from below:
//!
//! - failure detection (SWIM with Lifeguard): [`probe`], [`suspicion`], [`rumours`] over the table of
//!   [`nodes`], with [`queue`] for what is passed on and [`sync`] for exchanges of everything two nodes know;
//! - membership as users see it: [`members`], users' [`events`], [`leave`];
//! - [`coordinate`]s, made from the round-trip times of probes.
//!
//! It is made after memberlist 0.2.2 and serf 0.9.4 with the LAN timings of Consul 1.8.7, down to what is
//! odd in them: when they and common sense disagree, they win. Not modelled: queries, encryption, protocol
//! versions, conflict resolution (Consul turns it off) and name resolution.
//!
//! The rules a change must keep: a node with nothing to say sends nothing but its probes and exchanges, and
//! does not wake up for more; late timers happen once, when time is noticed to have passed, as in a process
//! that was paused; and whatever comes from another node is bounded before it is kept.

mod coordinate;
mod events;
mod leave;
mod members;
mod message;
mod nodes;
mod probe;
mod queue;
mod rumours;
mod suspicion;
mod sync;
#[cfg(test)]
mod tests;
mod timing;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use rand::Rng;
use rand_chacha::ChaCha8Rng;

pub(in crate::consul) use self::coordinate::Coordinate;
pub(in crate::consul) use self::leave::Snapshot;
#[cfg(test)]
pub(in crate::consul) use self::message::State;
pub(in crate::consul) use self::message::{
    Delivery, Identity, Member, Message, Output, Part, Status, Tags, UserEvent,
};
pub(in crate::consul) use self::timing::Timing;

use self::leave::Departure;
use self::message::Condition;
use self::sync::Purpose;
use self::timing::Ticker;

/// One node of the cluster.
#[derive(Debug)]
pub(in crate::consul) struct Gossip {
    identity: Identity,
    timing: Timing,
    stream: ChaCha8Rng,
    now: Duration,
    nodes: nodes::Nodes,
    suspicions: BTreeMap<Rc<str>, suspicion::Suspicion>,
    incarnation: u64,
    /// How little the node trusts itself; 0 is best.
    unhealth: i64,
    sequence: u64,
    probing: Option<probe::Probe>,
    relays: BTreeMap<u64, probe::Relay>,
    rumours: queue::Queue,
    intents: queue::Queue,
    user_events: queue::Queue,
    tickers: Tickers,
    exchanges: BTreeMap<u64, sync::Exchange>,
    joins: VecDeque<sync::Join>,
    members: members::Members,
    events: events::Events,
    vivaldi: coordinate::Vivaldi,
    departure: Departure,
    outputs: Vec<Output>,
}

/// What happens again and again.
#[derive(Debug)]
struct Tickers {
    probe: Ticker,
    gossip: Ticker,
    push_pull: Ticker,
    reconnect: Ticker,
    reap: Ticker,
}

/// What is due. Of several at one instant the first goes first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Probing,
    Relay(u64),
    Suspicion(Rc<str>),
    Departure,
    Exchange(u64),
    Probe,
    Gossip,
    PushPull,
    Reconnect,
    Reap,
}

impl Gossip {
    /// A node that was started at `now` and knows nobody.
    pub(in crate::consul) fn new(
        identity: Identity,
        timing: Timing,
        mut stream: ChaCha8Rng,
        now: Duration,
    ) -> Self {
        // Real processes do not start at the same nanosecond: everything repeated starts anywhere.
        let mut ticker = |every: Duration| {
            let nanos = u64::try_from(every.as_nanos()).unwrap_or(u64::MAX).max(1);
            Ticker::new(now + Duration::from_nanos(stream.next_u64() % nanos), every)
        };
        let tickers = Tickers {
            probe: ticker(timing.probe_interval),
            gossip: ticker(timing.gossip_interval),
            push_pull: ticker(timing.push_pull_interval),
            reconnect: ticker(timing.reconnect_interval),
            reap: ticker(timing.reap_interval),
        };
        let mut gossip = Self {
            identity,
            timing,
            stream,
            now,
            nodes: nodes::Nodes::default(),
            suspicions: BTreeMap::new(),
            incarnation: 0,
            unhealth: 0,
            sequence: 0,
            probing: None,
            relays: BTreeMap::new(),
            rumours: queue::Queue::default(),
            intents: queue::Queue::default(),
            user_events: queue::Queue::default(),
            tickers,
            exchanges: BTreeMap::new(),
            joins: VecDeque::new(),
            members: members::Members::default(),
            events: events::Events::default(),
            vivaldi: coordinate::Vivaldi::default(),
            departure: Departure::None,
            outputs: Vec::new(),
        };
        gossip.announce();
        gossip
    }

    /// Joins the cluster that `peers` are in: each is asked, one after the other. [`Output::JoinEnded`] says
    /// how many answered.
    pub(in crate::consul) fn join(&mut self, now: Duration, peers: Vec<SocketAddr>) {
        self.advance(now);
        self.start_join(peers, false);
    }

    /// Fires a user's event at everybody, this node included. How large it may be is for the caller to say.
    pub(in crate::consul) fn fire(&mut self, now: Duration, event: UserEvent) {
        self.advance(now);
        self.fire_event(event);
    }

    /// Everybody this node knows of, itself included, in the order of their names.
    pub(in crate::consul) fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.iter()
    }

    /// Where this node is among the others.
    pub(in crate::consul) fn coordinate(&self) -> &Coordinate {
        self.vivaldi.coordinate()
    }

    /// Takes in what the node at `from`, where its own gossip is received, says.
    pub(in crate::consul) fn receive(&mut self, now: Duration, from: SocketAddr, message: Message) {
        self.advance(now);
        match message {
            Message::Packet(parts) => {
                for part in parts {
                    self.receive_part(from, part);
                }
            }
            Message::PushPull { request, state } => self.pushed(from, request, *state),
            Message::PushPullReply { request, state } => self.pulled(request, *state),
            Message::StreamPing { seq, node } if node == self.identity.name => {
                let until = self.now + self.timing.stream_timeout;
                self.send(from, Message::StreamAck { seq }, Delivery::Stream { until });
            }
            Message::StreamPing { .. } => {}
            Message::StreamAck { seq } => self.stream_acked(seq),
        }
    }

    fn receive_part(&mut self, from: SocketAddr, part: Part) {
        match part {
            Part::Ping { seq, node } => self.pinged(from, seq, &node),
            Part::IndirectPing { seq, node, target } => self.ping_for(from, seq, node, target),
            Part::Ack { seq, coordinate } => self.acked(seq, coordinate),
            Part::Nack { seq } => self.nacked(seq),
            Part::Rumour(rumour) => self.hear(rumour),
        }
    }

    /// Takes in that nobody takes connections at `to`, where a [`Delivery::Stream`] was sent.
    pub(in crate::consul) fn refused(&mut self, now: Duration, to: SocketAddr) {
        self.advance(now);
        self.exchanges_refused(to);
    }

    /// Lets everything happen that is due by `now`. Time that went back stands still.
    pub(in crate::consul) fn advance(&mut self, now: Duration) {
        self.now = self.now.max(now);
        while let Some((_, due)) = self.due().filter(|(at, _)| *at <= self.now) {
            match due {
                Due::Probing => self.probe_due(),
                Due::Relay(own) => self.relay_over(own),
                Due::Suspicion(name) => self.suspicion_over(&name),
                Due::Departure => self.departure_due(),
                Due::Exchange(request) => self.exchange_over(request),
                Due::Probe => {
                    self.tickers.probe.skip(self.now);
                    self.probe();
                }
                Due::Gossip => {
                    self.tickers.gossip.skip(self.now);
                    self.gossip();
                }
                Due::PushPull => self.routine_exchange(),
                Due::Reconnect => self.reconnect(),
                Due::Reap => self.reap(),
            }
        }
        // What is not due although its time has come had nothing to do. One tick waits for a slow probe.
        if self.probing.is_none() {
            self.tickers.probe.skip(self.now);
        }
        self.tickers.gossip.skip(self.now);
        self.tickers.push_pull.skip(self.now);
        self.tickers.reconnect.skip(self.now);
        self.tickers.reap.skip(self.now);
    }

    /// When [`Self::advance`] next has something to do.
    pub(in crate::consul) fn next_deadline(&self) -> Option<Duration> {
        self.due().map(|(at, _)| at)
    }

    /// Takes the outputs since the last call, in order.
    pub(in crate::consul) fn drain(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.outputs)
    }

    fn due(&self) -> Option<(Duration, Due)> {
        let others = || self.nodes.iter().filter(|node| node.name != self.identity.name);
        let under_way = |purpose| self.exchanges.values().any(|exchange| exchange.purpose == purpose);
        let tickers = &self.tickers;

        let probing = self.probing.as_ref().map(|probe| (probe.deadline(), Due::Probing));
        let relay = self.relays.first_key_value().map(|(own, relay)| (relay.until, Due::Relay(*own)));
        let suspicion = self.suspicions.iter().map(|(name, suspicion)| (suspicion.deadline, name)).min();
        let suspicion = suspicion.map(|(at, name)| (at, Due::Suspicion(Rc::clone(name))));
        let departure = self.departure.deadline().map(|at| (at, Due::Departure));
        let exchange = self.exchanges.first_key_value();
        let exchange = exchange.map(|(request, exchange)| (exchange.until, Due::Exchange(*request)));
        let probe = self.probing.is_none() && others().any(|node| node.condition != Condition::Left);
        let gossip = self.has_rumours() && others().any(|node| self.is_gossip_target(node));
        let push_pull =
            !under_way(Purpose::Routine) && others().any(|node| node.condition == Condition::Alive);
        let reconnect = !under_way(Purpose::Reconnect) && self.members.with(Status::Failed).next().is_some();
        let timing = &self.timing;
        let reap = self.members.reap_at(
            timing.reconnect_timeout,
            timing.tombstone_timeout,
            timing.recent_intent_timeout,
        );

        [
            probing,
            relay,
            suspicion,
            departure,
            exchange,
            probe.then_some((tickers.probe.next, Due::Probe)),
            gossip.then_some((tickers.gossip.next, Due::Gossip)),
            push_pull.then_some((tickers.push_pull.next, Due::PushPull)),
            reconnect.then_some((tickers.reconnect.next, Due::Reconnect)),
            reap.map(|at| (tickers.reap.at_or_after(at), Due::Reap)),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn has_rumours(&self) -> bool {
        !(self.rumours.is_empty() && self.intents.is_empty() && self.user_events.is_empty())
    }

    fn is_gossip_target(&self, node: &nodes::Node) -> bool {
        probe::is_gossip_target(node, &self.identity.name, self.now, self.timing.gossip_to_the_dead)
    }

    fn me(&self) -> Rc<str> {
        Rc::clone(&self.identity.name)
    }

    fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// A number from 0 to 1.
    fn draw_unit(&mut self) -> f64 {
        self.stream.next_u64() as f64 / u64::MAX as f64
    }

    fn send(&mut self, to: SocketAddr, message: Message, delivery: Delivery) {
        self.output(Output::Send { to, message, delivery });
    }

    fn output(&mut self, output: Output) {
        self.outputs.push(output);
    }
}
