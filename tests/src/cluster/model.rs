//! The model of a cluster, in time of its own.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use ironbird_sim::consul::cluster::{ClusterConfig, Pace, Ticket};
use ironbird_sim::consul::mesh::Mesh;
use ironbird_sim::consul::{ConsulConfig, Reply};
use ironbird_sim::seed::Seed;

use super::{Answer, Cluster, NODES, RETRY_JOIN, SERVERS, Setting, Token, name};

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 1, 1));

/// A modelled cluster.
#[derive(Debug)]
pub struct Model {
    mesh: Mesh,
    now: Duration,
    sent: u64,
    waiting: BTreeMap<(usize, Ticket), (u64, f64)>,
    answered: BTreeMap<u64, Answer>,
    leaving: Option<usize>,
}

impl Model {
    /// A cluster that has settled, under a seed.
    pub fn settled(seed: u64, setting: Setting) -> Self {
        let nodes = (0..NODES).map(|node| {
            let last = u8::try_from(node + 1).expect("a small cluster");
            ConsulConfig::new(name(node), IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)))
        });
        let mut pace = Pace {
            raft_multiplier: setting.raft_multiplier,
            retry_join: Duration::from_secs(RETRY_JOIN),
            ..Pace::default()
        };
        if !setting.cleanup {
            pace.autopilot = Duration::ZERO;
        }
        let config = ClusterConfig { nodes: nodes.collect(), servers: SERVERS, pace };
        let mut model = Self {
            mesh: Mesh::new(config, Seed(seed).stream("cluster", "")),
            now: Duration::ZERO,
            sent: 0,
            waiting: BTreeMap::new(),
            answered: BTreeMap::new(),
            leaving: None,
        };
        model.pass(5.0);
        model.settle();
        model
    }

    fn note(&mut self, token: u64, sent: f64, response: &Response<Bytes>) {
        let body = String::from_utf8_lossy(response.body()).into_owned();
        let answer = Answer { sent, at: self.now(), status: response.status().as_u16(), body };
        self.answered.insert(token, answer);
    }

    fn refuse(&mut self, token: u64, sent: f64) {
        let answer = Answer { sent, at: self.now(), status: 0, body: String::new() };
        self.answered.insert(token, answer);
    }

    fn collect(&mut self) {
        for (node, ticket, response) in self.mesh.answers() {
            if let Some((token, sent)) = self.waiting.remove(&(node, ticket)) {
                self.note(token, sent, &response);
            }
        }
    }

    /// Goes to the next thing that happens, but not past `end`.
    fn step(&mut self, end: Duration) {
        let next = self.mesh.next_deadline().unwrap_or(end);
        self.now = next.clamp(self.now, end);
        self.mesh.advance(self.now);
        self.collect();
        if let Some(node) = self.leaving
            && self.mesh.node(node).is_some_and(|consul| consul.has_left())
        {
            self.leaving = None;
            self.kill(node);
        }
    }
}

impl Cluster for Model {
    fn now(&self) -> f64 {
        self.now.as_secs_f64()
    }

    fn pass(&mut self, seconds: f64) {
        let end = self.now + Duration::from_secs_f64(seconds);
        while self.now < end {
            self.step(end);
        }
    }

    fn send(&mut self, node: usize, line: &str) -> Token {
        let (request, body) = line.split_once(" | ").unwrap_or((line, ""));
        let (method, path) = request.split_once(' ').expect("a method and a path");
        let request = Request::builder().method(method).uri(path);
        let request = request.body(Bytes::copy_from_slice(body.as_bytes())).expect("a request");
        self.sent += 1;
        let token = Token(self.sent);
        let sent = self.now();
        match self.mesh.request(self.now, node, CLIENT, &request) {
            Some(Reply::Now(response)) => self.note(token.0, sent, &response),
            Some(Reply::Pending(ticket)) => {
                self.waiting.insert((node, ticket), (token.0, sent));
            }
            Some(Reply::Blocked(_)) => panic!("clusters answer by ticket"),
            None => self.refuse(token.0, sent),
        }
        self.collect();
        token
    }

    fn take(&mut self, token: Token) -> Option<Answer> {
        self.answered.remove(&token.0)
    }

    fn wait(&mut self, token: Token, seconds: f64) -> Option<Answer> {
        let end = self.now + Duration::from_secs_f64(seconds);
        while !self.answered.contains_key(&token.0) && self.now < end {
            self.step(end);
        }
        self.take(token)
    }

    fn kill(&mut self, node: usize) {
        self.mesh.kill(self.now, node);
        let lost: Vec<_> = self.waiting.keys().filter(|(other, _)| *other == node).copied().collect();
        for key in lost {
            if let Some((token, sent)) = self.waiting.remove(&key) {
                self.refuse(token, sent);
            }
        }
    }

    fn start(&mut self, node: usize, forget: bool) {
        if forget {
            self.mesh.wipe(node);
        }
        self.mesh.start(self.now, node);
    }

    fn pause(&mut self, node: usize) {
        self.mesh.pause(self.now, node);
    }

    fn resume(&mut self, node: usize) {
        self.mesh.resume(self.now, node);
        self.collect();
    }

    fn isolate(&mut self, node: usize) {
        self.mesh.isolate(self.now, node);
    }

    fn heal(&mut self, _: usize) {
        self.mesh.heal(self.now);
    }

    fn leave(&mut self, node: usize) {
        let now = self.now;
        self.mesh.with(now, node, |consul| consul.leave(now));
        self.leaving = Some(node);
    }
}
