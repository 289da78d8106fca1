//! A network for gossip nodes: latency, loss, cuts and pauses, and every node's news on record.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::super::{Delivery, Gossip, Identity, Member, Message, Output, Status, Timing, UserEvent};

/// TCP sends its first packet again after these.
const CONNECT_RETRIES: [u64; 4] = [0, 1, 3, 7];

pub(super) fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub(super) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A message on its way.
struct Flight {
    from: usize,
    to: usize,
    message: Message,
    delivery: Delivery,
    sent: Duration,
    retry: usize,
}

/// The cluster. A node is named by its place; a node that is `None` was killed.
pub(super) struct Cluster {
    pub(super) now: Duration,
    pub(super) nodes: Vec<Option<Gossip>>,
    /// What each node said, and when.
    pub(super) news: Vec<Vec<(Duration, Output)>>,
    /// Datagrams and connections sent.
    pub(super) sent: usize,
    pub(super) wakes: usize,
    /// The chance of a datagram to be lost, in percent.
    pub(super) loss: u64,
    /// Directions that nothing goes through.
    pub(super) cuts: BTreeSet<(usize, usize)>,
    pub(super) paused: BTreeSet<usize>,
    one_way: Box<dyn Fn(usize, usize) -> Duration>,
    flights: BTreeMap<(Duration, u64), Flight>,
    flown: u64,
    stream: ChaCha8Rng,
    seed: u64,
    lives: u64,
}

pub(super) fn address(node: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, node as u8 + 1], 8301))
}

pub(super) fn name(node: usize) -> Rc<str> {
    format!("n{node}").into()
}

impl Cluster {
    /// `count` nodes that have joined each other through the first, 60 s ago.
    pub(super) fn settled(seed: u64, count: usize) -> Self {
        let mut cluster = Self::started(seed, count);
        cluster.run(secs(60));
        cluster.assert_agreed();
        cluster.news.iter_mut().for_each(Vec::clear);
        cluster
    }

    /// `count` nodes that join each other through the first.
    pub(super) fn started(seed: u64, count: usize) -> Self {
        let mut cluster = Self {
            now: Duration::ZERO,
            nodes: Vec::new(),
            news: Vec::new(),
            sent: 0,
            wakes: 0,
            loss: 0,
            cuts: BTreeSet::new(),
            paused: BTreeSet::new(),
            one_way: Box::new(|_, _| ms(1)),
            flights: BTreeMap::new(),
            flown: 0,
            stream: ChaCha8Rng::seed_from_u64(seed ^ 0x5eed),
            seed,
            lives: 0,
        };
        for node in 0..count {
            cluster.nodes.push(None);
            cluster.news.push(Vec::new());
            cluster.start(node);
            if node > 0 {
                cluster.on(node, |gossip, now| gossip.join(now, vec![address(0)]));
            }
        }
        cluster
    }

    pub(super) fn latency(mut self, one_way: impl Fn(usize, usize) -> Duration + 'static) -> Self {
        self.one_way = Box::new(one_way);
        self
    }

    /// Starts `node`, alone, with its first incarnation.
    pub(super) fn start(&mut self, node: usize) {
        self.start_at(node, address(node));
    }

    pub(super) fn start_at(&mut self, node: usize, address: SocketAddr) {
        self.lives += 1;
        let stream = ChaCha8Rng::seed_from_u64(self.seed * 1_000 + self.lives);
        let identity = Identity { name: name(node), address, tags: [("id".into(), node.to_string())].into() };
        self.nodes[node] = Some(Gossip::new(identity, Timing::lan(), stream, self.now));
        self.collect(node);
    }

    pub(super) fn kill(&mut self, node: usize) {
        self.nodes[node] = None;
    }

    pub(super) fn isolate(&mut self, node: usize) {
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            self.cuts.extend([(node, other), (other, node)]);
        }
    }

    pub(super) fn on(&mut self, node: usize, act: impl FnOnce(&mut Gossip, Duration)) {
        if let Some(gossip) = self.nodes[node].as_mut() {
            act(gossip, self.now);
        }
        self.collect(node);
    }

    pub(super) fn run(&mut self, during: Duration) {
        let until = self.now + during;
        while self.step(until) {}
        self.now = until;
    }

    /// Runs until `done`, at most for `during`; how long it took.
    pub(super) fn run_until(&mut self, during: Duration, done: impl Fn(&Self) -> bool) -> Duration {
        let start = self.now;
        while !done(self) && self.step(start + during) {}
        assert!(done(self), "not within {during:?}");
        self.now - start
    }

    fn step(&mut self, until: Duration) -> bool {
        let deadline = |node: usize| self.nodes[node].as_ref().and_then(Gossip::next_deadline);
        let running = (0..self.nodes.len()).filter(|node| !self.paused.contains(node));
        let wake = running.filter_map(|node| Some((deadline(node)?, node))).min();
        let flight = self.flights.first_key_value().map(|(key, _)| *key);
        match (wake, flight) {
            (wake, Some(key)) if key.0 <= until && wake.is_none_or(|(at, _)| key.0 <= at) => {
                self.now = self.now.max(key.0);
                if let Some(flight) = self.flights.remove(&key) {
                    self.land(flight);
                }
            }
            (Some((at, node)), _) if at <= until => {
                self.now = self.now.max(at);
                self.wakes += 1;
                self.on(node, |gossip, now| gossip.advance(now));
                let next = self.nodes[node].as_ref().and_then(Gossip::next_deadline);
                assert!(next.is_none_or(|next| next > self.now), "{next:?} is over");
            }
            _ => return false,
        }
        true
    }

    fn land(&mut self, flight: Flight) {
        let Flight { from, to, message, delivery, sent, retry } = flight;
        // A connection takes both directions.
        let stream = matches!(delivery, Delivery::Stream { .. });
        let cut = self.cuts.contains(&(from, to)) || (stream && self.cuts.contains(&(to, from)));
        if cut || (stream && self.paused.contains(&to)) {
            return self.retry(Flight { from, to, message, delivery, sent, retry: retry + 1 });
        }
        if self.paused.contains(&to) {
            // Its socket keeps what arrives, until it is full.
            let later = self.now + ms(100);
            if self.now - sent < secs(3) {
                self.fly(later, Flight { from, to, message, delivery, sent, retry });
            }
            return;
        }
        match self.nodes[to].as_mut() {
            Some(gossip) => {
                // Everything goes through the wire.
                let wire = serde_json::to_string(&message).unwrap();
                gossip.receive(self.now, address(from), serde_json::from_str(&wire).unwrap());
                self.collect(to);
            }
            None if stream => self.on(from, |gossip, now| gossip.refused(now, address(to))),
            None => {}
        }
    }

    fn retry(&mut self, flight: Flight) {
        let Delivery::Stream { until } = flight.delivery else { return };
        let Some(wait) = CONNECT_RETRIES.get(flight.retry) else { return };
        let at = flight.sent + secs(*wait) + (self.one_way)(flight.from, flight.to);
        if at < until {
            self.fly(at, flight);
        }
    }

    fn collect(&mut self, node: usize) {
        let Some(gossip) = self.nodes[node].as_mut() else { return };
        for output in gossip.drain() {
            let Output::Send { to, message, delivery } = output else {
                self.news[node].push((self.now, output));
                continue;
            };
            self.sent += 1;
            let Some(to) = (0..self.nodes.len()).find(|other| address(*other) == to) else { continue };
            let lost = delivery == Delivery::Datagram && self.stream.next_u64() % 100 < self.loss;
            if !lost {
                let at = self.now + (self.one_way)(node, to);
                self.fly(at, Flight { from: node, to, message, delivery, sent: self.now, retry: 0 });
            }
        }
    }

    fn fly(&mut self, at: Duration, flight: Flight) {
        self.flown += 1;
        self.flights.insert((at, self.flown), flight);
    }

    /// How `viewer` sees `node`.
    pub(super) fn status(&self, viewer: usize, node: usize) -> Option<Status> {
        self.member(viewer, node).map(|member| member.status)
    }

    /// What `viewer` knows of `node`.
    fn member(&self, viewer: usize, node: usize) -> Option<&Member> {
        self.nodes[viewer].as_ref()?.members().find(|member| *member.name == *name(node))
    }

    /// Whether all that run see `node` as `status`.
    pub(super) fn all_see(&self, node: usize, status: Status) -> bool {
        let others = (0..self.nodes.len()).filter(|viewer| *viewer != node && self.nodes[*viewer].is_some());
        others.map(|viewer| self.status(viewer, node)).all(|seen| seen == Some(status))
    }

    /// Whether everybody that runs sees everybody that runs alive, and nobody else.
    pub(super) fn is_agreed(&self) -> bool {
        self.views_of_all().all(|(viewer, node)| {
            let alive = self.status(viewer, node) == Some(Status::Alive);
            alive == self.nodes[node].is_some()
        })
    }

    pub(super) fn assert_agreed(&self) {
        assert!(self.is_agreed(), "at {:?}:\n{}", self.now, self.views());
    }

    /// The same, but who came back after it left may still be taken for leaving; see what `members` says of
    /// the instant in which it left and that in which it joined.
    pub(super) fn assert_agreed_but_for_ties(&self) {
        let own = |node: usize| self.member(node, node).map(|member| member.ltime);
        let agreed = self.views_of_all().all(|(viewer, node)| match self.member(viewer, node) {
            Some(seen) if seen.status == Status::Leaving => own(node).is_some_and(|own| own <= seen.ltime),
            seen => seen.is_some_and(|seen| seen.status == Status::Alive) == self.nodes[node].is_some(),
        });
        assert!(agreed, "at {:?}:\n{}", self.now, self.views());
    }

    /// Everybody that runs, with everybody.
    fn views_of_all(&self) -> impl Iterator<Item = (usize, usize)> {
        let count = self.nodes.len();
        let running = (0..count).filter(|viewer| self.nodes[*viewer].is_some());
        running.flat_map(move |viewer| (0..count).map(move |node| (viewer, node)))
    }

    fn views(&self) -> String {
        let view = |viewer: usize| {
            let members = self.nodes[viewer].iter().flat_map(Gossip::members);
            let seen: Vec<_> = members.map(|member| (&member.name, member.status, member.ltime)).collect();
            format!("n{viewer}: {seen:?}\n")
        };
        (0..self.nodes.len()).filter(|viewer| self.nodes[*viewer].is_some()).map(view).collect()
    }

    /// What `viewer` said about `node`.
    pub(super) fn said(&self, viewer: usize, node: usize) -> Vec<&'static str> {
        let of = |member: &Member, word| (*member.name == *name(node)).then_some(word);
        let word = |output: &Output| match output {
            Output::Joined(member) => of(member, "joined"),
            Output::Failed(member) => of(member, "failed"),
            Output::Left(member) => of(member, "left"),
            Output::Reaped(member) => of(member, "reaped"),
            Output::Updated(member) => of(member, "updated"),
            _ => None,
        };
        self.news[viewer].iter().filter_map(|(_, output)| word(output)).collect()
    }

    /// The users' events that `node` heard.
    pub(super) fn heard(&self, node: usize) -> Vec<Rc<UserEvent>> {
        let user = |output: &Output| match output {
            Output::User(event) => Some(Rc::clone(event)),
            _ => None,
        };
        self.news[node].iter().filter_map(|(_, output)| user(output)).collect()
    }

    /// Nothing is said twice of a member that did not change in between.
    pub(super) fn assert_no_echo(&self) {
        for viewer in 0..self.nodes.len() {
            for node in 0..self.nodes.len() {
                let said = self.said(viewer, node);
                let states: Vec<_> = said.iter().filter(|word| **word != "updated").collect();
                assert!(states.windows(2).all(|pair| pair[0] != pair[1]), "n{viewer} of n{node}: {said:?}");
            }
        }
    }
}
