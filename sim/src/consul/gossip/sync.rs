//! Exchanges of everything two nodes know: to join, to keep in step, to find failed members again.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use super::Gossip;
use super::message::{Condition, Delivery, Message, Rumour, State, Status};
use super::nodes::{below, shuffle};

/// Why state is exchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The next peer of the join under way.
    Join,
    /// To keep in step.
    Routine,
    /// To find a failed member again.
    Reconnect,
}

/// An exchange that was asked for.
#[derive(Debug)]
pub(super) struct Exchange {
    to: SocketAddr,
    pub(super) purpose: Purpose,
    pub(super) until: Duration,
}

/// A join: its peers are tried one after the other.
#[derive(Debug)]
pub(super) struct Join {
    peers: VecDeque<SocketAddr>,
    contacted: usize,
    /// Whether one peer is enough, as when a node comes back to a cluster it knows.
    rejoin: bool,
}

impl Gossip {
    pub(super) fn start_join(&mut self, peers: Vec<SocketAddr>, rejoin: bool) {
        self.joins.push_back(Join { peers: peers.into(), contacted: 0, rejoin });
        if self.joins.len() == 1 {
            self.join_next();
        }
    }

    /// Goes to the next peer, or to the next join if there is none left.
    fn join_next(&mut self) {
        while let Some(join) = self.joins.front_mut() {
            let enough = join.rejoin && join.contacted > 0;
            if let Some(peer) = join.peers.pop_front().filter(|_| !enough) {
                return self.exchange(peer, Purpose::Join);
            }
            let (contacted, rejoin) = (join.contacted, join.rejoin);
            self.joins.pop_front();
            if rejoin {
                continue;
            }
            if contacted > 0 {
                self.announce_join();
            }
            self.output(super::Output::JoinEnded { contacted });
        }
    }

    /// Tells everybody that this node joined, at the Lamport time it is.
    pub(super) fn announce_join(&mut self) {
        let (ltime, node) = (self.members.clock(), self.me());
        self.intent_to_join(&node, ltime);
        self.intents.push(Rumour::Join { ltime, node });
    }

    /// Exchanges state with a random member, to keep in step.
    pub(super) fn routine_exchange(&mut self) {
        let me = &self.identity.name;
        let drawn = self
            .nodes
            .draw(1, &mut self.stream, |node| node.name != *me && node.condition == Condition::Alive);
        match drawn.first().map(|node| node.address) {
            Some(address) => self.exchange(address, Purpose::Routine),
            None => self.tickers.push_pull.skip(self.now),
        }
    }

    /// Tries a failed member again, with a probability that makes it once per interval for each of them
    /// over the whole cluster.
    pub(super) fn reconnect(&mut self) {
        self.tickers.reconnect.skip(self.now);
        let failed: Vec<SocketAddr> =
            self.members.with(Status::Failed).map(|member| member.address).collect();
        let left = self.members.with(Status::Left).count();
        let there = (self.members.len() - failed.len() - left).max(1);
        let drawn = self.draw_unit();
        if failed.is_empty() || drawn > failed.len() as f64 / there as f64 {
            return;
        }
        let address = failed[below(&mut self.stream, failed.len())];
        self.exchange(address, Purpose::Reconnect);
    }

    fn exchange(&mut self, to: SocketAddr, purpose: Purpose) {
        let request = self.next_sequence();
        let until = self.now + self.timing.stream_timeout;
        self.exchanges.insert(request, Exchange { to, purpose, until });
        let state = Box::new(self.state(purpose != Purpose::Routine));
        self.send(to, Message::PushPull { request, state }, Delivery::Stream { until });
    }

    /// Answers with what this node knew before it takes in what the other one knows.
    pub(super) fn pushed(&mut self, from: SocketAddr, request: u64, state: State) {
        let own = Box::new(self.state(state.join));
        let until = self.now + self.timing.stream_timeout;
        self.send(from, Message::PushPullReply { request, state: own }, Delivery::Stream { until });
        self.merge(state, false);
    }

    pub(super) fn pulled(&mut self, request: u64, state: State) {
        let Some(exchange) = self.exchanges.remove(&request) else { return };
        let asked = self.joins.front().is_some_and(|join| !join.rejoin);
        self.merge(state, exchange.purpose == Purpose::Join && asked);
        self.exchanged(exchange.purpose, true);
    }

    /// Gives up an exchange that got no answer.
    pub(super) fn exchange_over(&mut self, request: u64) {
        if let Some(exchange) = self.exchanges.remove(&request) {
            self.exchanged(exchange.purpose, false);
        }
    }

    /// Gives up all exchanges with `to`, which took no connection.
    pub(super) fn exchanges_refused(&mut self, to: SocketAddr) {
        let refused: Vec<u64> = self
            .exchanges
            .iter()
            .filter(|(_, exchange)| exchange.to == to)
            .map(|(request, _)| *request)
            .collect();
        for request in refused {
            self.exchange_over(request);
        }
    }

    fn exchanged(&mut self, purpose: Purpose, answered: bool) {
        match purpose {
            Purpose::Join => {
                if let Some(join) = self.joins.front_mut() {
                    join.contacted += usize::from(answered);
                }
                self.join_next();
            }
            Purpose::Routine => {
                let every = self.timing.push_pull(self.nodes.len());
                self.tickers.push_pull.restart(self.now, every);
            }
            Purpose::Reconnect => self.tickers.reconnect.restart(self.now, self.timing.reconnect_interval),
        }
    }

    /// All this node knows.
    fn state(&self, join: bool) -> State {
        State {
            join,
            nodes: self.nodes.iter().map(|node| (node.alive(), node.condition)).collect(),
            ltime: self.members.clock(),
            ltimes: self.members.iter().map(|member| (Rc::clone(&member.name), member.ltime)).collect(),
            left: self.members.with(Status::Left).map(|member| Rc::clone(&member.name)).collect(),
            event_ltime: self.events.clock(),
            events: self.events.recent(),
        }
    }

    /// Joins one of `peers`, which it was in a cluster with before it was stopped.
    pub(super) fn rejoin(&mut self, mut peers: Vec<SocketAddr>) {
        shuffle(&mut peers, &mut self.stream);
        self.start_join(peers, true);
    }
}
