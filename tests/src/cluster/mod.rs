//! One Consul cluster, real or modelled, and what is done to it.
//!
//! An experiment is written once, against [`Cluster`]. [`real::Real`] carries it out on processes of the
//! real Consul in real time, [`model::Model`] on the model of a cluster in time of its own; what they
//! [found](findings::Findings) is then [compared](compare).
//!
//! The rule a change must keep: an experiment does not know which of the two it runs on, so that a
//! difference in what it finds is a difference between the clusters.

pub mod agents;
pub mod compare;
pub mod failover;
pub mod findings;
pub mod members;
pub mod model;
pub mod namespaces;
pub mod probe;
pub mod race;
pub mod real;
pub mod sessions;
pub mod watchdog;

/// How many servers a cluster has; they are nodes 0, 1 and 2.
pub const SERVERS: usize = 3;
/// The node that is a client agent.
pub const AGENT: usize = 3;
/// Servers and agents.
pub const NODES: usize = 4;

/// Seconds after which a node that joined nobody tries again.
pub const RETRY_JOIN: u64 = 1;

/// What a cluster is started with.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// `performance.raft_multiplier`.
    pub raft_multiplier: u32,
    /// `autopilot.cleanup_dead_servers`: whether a server that fails is removed from the others' midst.
    pub cleanup: bool,
}

/// What a node is called.
pub fn name(node: usize) -> String {
    if node == AGENT { "agent".to_owned() } else { format!("server-{}", node + 1) }
}

/// Names a request under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token(pub u64);

/// What came of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// When it was sent, in seconds.
    pub sent: f64,
    /// When the answer was there, in seconds.
    pub at: f64,
    /// Its status; 0 when the connection was refused or closed without an answer.
    pub status: u16,
    /// Its body.
    pub body: String,
}

impl Answer {
    /// How long it took, in seconds.
    pub fn took(&self) -> f64 {
        self.at - self.sent
    }

    /// Whether it is a 200 with this body.
    pub fn is(&self, body: &str) -> bool {
        self.status == 200 && self.body == body
    }
}

/// A cluster of [`SERVERS`] servers and a client agent, which has a leader and has settled.
///
/// A request is a line: method, path, and a body after a bar.
pub trait Cluster {
    /// The time, in seconds.
    fn now(&self) -> f64;
    /// Lets time pass.
    fn pass(&mut self, seconds: f64);
    /// Sends a request to a node.
    fn send(&mut self, node: usize, line: &str) -> Token;
    /// The answer to a request, once it is there.
    fn take(&mut self, token: Token) -> Option<Answer>;
    /// Lets time pass until an answer is there, or until so many seconds have passed.
    fn wait(&mut self, token: Token, seconds: f64) -> Option<Answer>;
    /// Ends a node without a word to it.
    fn kill(&mut self, node: usize);
    /// Starts a node that does not run; without its data when it is to `forget`.
    fn start(&mut self, node: usize, forget: bool);
    /// Stops a node's clock.
    fn pause(&mut self, node: usize);
    /// Lets it go on.
    fn resume(&mut self, node: usize);
    /// Cuts a node off from all others.
    fn isolate(&mut self, node: usize);
    /// Joins it with them again.
    fn heal(&mut self, node: usize);
    /// Has a node leave and end.
    fn leave(&mut self, node: usize);

    /// Sends a request and waits for its answer.
    ///
    /// # Panics
    /// When there is none in two minutes.
    fn ask(&mut self, node: usize, line: &str) -> Answer {
        let token = self.send(node, line);
        self.wait(token, 120.0).unwrap_or_else(|| panic!("no answer to {line}"))
    }

    /// Asks again, after every so many seconds, until the answer is as wanted. Gives when that was.
    ///
    /// # Panics
    /// When it is not within `limit` seconds.
    fn until(&mut self, node: usize, line: &str, every: f64, limit: f64, wanted: fn(&Answer) -> bool) -> f64 {
        let end = self.now() + limit;
        loop {
            let answer = self.ask(node, line);
            if wanted(&answer) {
                return answer.at;
            }
            assert!(answer.at < end, "{line} at {}: after {limit} s still {answer:?}", name(node));
            self.pass(every);
        }
    }

    /// The server that leads, as the others have it.
    ///
    /// # Panics
    /// When there is none in a minute.
    fn leader(&mut self) -> usize {
        for _ in 0..600 {
            let said: Vec<_> =
                (0..SERVERS).map(|node| self.ask(node, "GET /v1/status/leader").body).collect();
            if said[0].len() > 2 && said.iter().all(|leader| *leader == said[0]) {
                let host = said[0].trim_matches('"').split(':').next().unwrap_or_default();
                let last = host.rsplit('.').next().and_then(|last| last.parse::<usize>().ok());
                return last.and_then(|last| last.checked_sub(1)).expect("an address of ours");
            }
            self.pass(0.1);
        }
        panic!("no leader");
    }

    /// Lets time pass until every node is healthy again, and knows it.
    fn settle(&mut self) {
        self.leader();
        for node in 0..NODES {
            self.until(node, "GET /v1/health/state/passing?stale", 0.2, 120.0, |answer| {
                answer.body.matches("serfHealth").count() == NODES
            });
        }
        self.pass(1.5);
    }

    /// Creates a session at a node, and gives its id.
    fn session(&mut self, node: usize, body: &str) -> String {
        let answer = self.ask(node, &format!("PUT /v1/session/create | {body}"));
        answer.body.split('"').nth(3).unwrap_or_else(|| panic!("no session: {answer:?}")).to_owned()
    }
}
