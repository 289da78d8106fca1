//! Several of the state machines together, on a small pure model of a lock, databases and what happens to
//! them: in any order sessions end, messages are lost, decisions are carried out long after they were
//! made, agents stand still while their databases go on, instances crash or are replaced.
//!
//! Patience never ends here: it is the one way in which an acknowledged write may be lost, and without it
//! none ever is. Nor does the replica of an agent that stands still receive after its session ended, the
//! gap that the module head leaves open.

mod acts;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::decide::{Action, Database, Leader, Lock, Member, Position, View, decide};
use super::election::found;
use crate::mysql::Gtid;

/// One thing that happens. Numbers are instances, reduced to how many there are.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// It looks, decides and acts.
    Turn(usize),
    /// It looks and decides.
    Decide(usize),
    /// It acts as it decided at some time before.
    Act(usize),
    /// Its session is renewed, or a new one created.
    Renew(usize),
    /// It is told of the lock as it is.
    Watch(usize),
    /// Its lease ends, and if its agent is awake it gives its rights up.
    LeaseEnds(usize),
    /// Consul ends a session that nobody has a lease on any more.
    SessionEnds(usize),
    /// A client writes to it.
    Write(usize),
    /// It receives one transaction.
    Receive(usize),
    /// It applies what it has received.
    Apply(usize),
    /// Its database and agent start again on the same data.
    Restart(usize),
    /// It is replaced by an empty one with the same name.
    Replace(usize),
    /// Its agent stands still, or goes on.
    Freeze(usize),
    /// It is cut off from Consul, or no longer.
    Cut(usize),
    /// The way between two is cut, or no longer.
    Part(usize, usize),
    /// It stops in order.
    Resign(usize),
    /// Consul forgets everything at a moment when nobody is cut off from it.
    Forget,
}

#[derive(Debug, Clone, Default)]
struct Node {
    name: String,
    database: Database,
    /// Transactions in the order they came, to be sent on.
    log: Vec<Gtid>,
    relay: Vec<Gtid>,
    /// Whether the receiver's connection acknowledges.
    acknowledges: bool,
    /// Whether commits wait for an acknowledgement.
    waits: bool,
    session: Option<String>,
    leased: bool,
    seen: Lock,
    published: Option<(String, Position)>,
    remembered: Option<Leader>,
    decided: Option<(Action, View)>,
    frozen: bool,
    cut: bool,
    lives: usize,
}

#[derive(Debug, Clone)]
struct World {
    nodes: Vec<Node>,
    copies: usize,
    lock: Lock,
    index: u64,
    members: BTreeMap<String, (Position, Option<String>, u64)>,
    sessions: BTreeSet<String>,
    created: usize,
    marked: bool,
    parted: BTreeSet<(usize, usize)>,
    acknowledged: BTreeSet<(String, u64)>,
    term: u64,
    /// How often somebody became the primary.
    reigns: usize,
}

impl World {
    fn new(instances: usize, copies: usize) -> Self {
        let node = |number| Node { name: format!("mysql-{number}"), ..Node::default() };
        Self {
            nodes: (0..instances).map(node).collect(),
            copies,
            lock: Lock::default(),
            index: 1,
            members: BTreeMap::new(),
            sessions: BTreeSet::new(),
            created: 0,
            marked: false,
            parted: BTreeSet::new(),
            acknowledged: BTreeSet::new(),
            term: 0,
            reigns: 0,
        }
    }

    fn lease(&self, n: usize) -> Option<String> {
        self.nodes[n].session.clone().filter(|_| self.nodes[n].leased)
    }

    fn watch(&mut self, n: usize) {
        if !self.nodes[n].cut {
            self.nodes[n].seen = self.lock.clone();
        }
    }

    fn view(&self, n: usize) -> View {
        let node = &self.nodes[n];
        let lease = self.lease(n);
        let members = self.members.iter().filter(|(name, _)| !node.cut && **name != node.name);
        let members = members.map(|(name, (position, session, index))| Member {
            name: name.clone(),
            live: session.is_some(),
            position: position.clone(),
            index: *index,
        });
        View {
            me: node.name.clone(),
            copies: self.copies,
            published: node
                .published
                .as_ref()
                .filter(|(session, _)| lease.as_ref() == Some(session))
                .map(|(_, position)| position.clone()),
            lease,
            lock: node.seen.clone(),
            remembered: node.remembered.clone(),
            database: node.database.clone(),
            members: members.collect(),
            free_for: Duration::from_secs(60),
            hearing_for: Duration::from_secs(60),
            quiet_for: Duration::from_secs(60),
            lease_length: Duration::from_secs(45),
            patience: None,
        }
    }

    fn decide(&mut self, n: usize) {
        let free_or_ours = {
            let lock = &self.nodes[n].seen;
            lock.session.is_none() || lock.session == self.lease(n)
        };
        let mut view = self.view(n);
        if !free_or_ours {
            view.members.clear();
        } else if self.nodes[n].cut {
            // The members cannot be read: no decision without them.
            self.nodes[n].decided = None;
            return;
        }
        let reign = view.reign().cloned();
        let known = self.nodes[n].remembered.as_ref().map(Leader::age);
        if reign.as_ref().map(Leader::age) > known {
            self.nodes[n].remembered = reign;
        }
        let action = if self.nodes[n].database.server.is_empty() { self.begin(&view) } else { decide(&view) };
        self.nodes[n].decided = Some((action, view));
    }

    /// What an instance without data does: set up an empty database under the lock, or restore one.
    fn begin(&self, view: &View) -> Action {
        match (&view.lock.session, found(view, self.marked)) {
            (None, Some(claim)) if view.lease.is_some() => Action::Acquire { claim },
            (Some(session), _) if Some(session) == view.lease.as_ref() => Action::Promote { term: 0 },
            _ => Action::Reclone { why: "empty" },
        }
    }

    fn step(&mut self, step: Step) {
        let count = self.nodes.len();
        match step {
            Step::Turn(n) if !self.nodes[n % count].frozen => {
                self.watch(n % count);
                self.decide(n % count);
                self.act(n % count);
            }
            Step::Decide(n) if !self.nodes[n % count].frozen => self.decide(n % count),
            Step::Act(n) if !self.nodes[n % count].frozen => self.act(n % count),
            Step::Renew(n) if !self.nodes[n % count].frozen && !self.nodes[n % count].cut => {
                let node = &mut self.nodes[n % count];
                if node.session.as_ref().is_some_and(|session| self.sessions.contains(session)) {
                    node.leased = true;
                } else {
                    node.leased = false;
                    self.give_up_rights(n % count);
                    self.created += 1;
                    let session = format!("session {}", self.created);
                    self.sessions.insert(session.clone());
                    let node = &mut self.nodes[n % count];
                    node.session = Some(session);
                    node.leased = true;
                }
            }
            Step::Watch(n) if !self.nodes[n % count].frozen => {
                self.watch(n % count);
                self.give_up_rights(n % count);
            }
            Step::LeaseEnds(n) => {
                self.nodes[n % count].leased = false;
                if !self.nodes[n % count].frozen {
                    self.give_up_rights(n % count);
                }
            }
            Step::SessionEnds(n) => {
                let leased = |session: &&String| {
                    self.nodes.iter().any(|node| node.leased && node.session.as_ref() == Some(session))
                };
                let over: Vec<_> = self.sessions.iter().filter(|session| !leased(session)).cloned().collect();
                if let Some(session) = over.get(n % over.len().max(1)) {
                    self.end_session(session);
                }
            }
            Step::Write(n) => {
                if let Some(gtid) = self.commit(n % count)
                    && !self.nodes[n % count].waits
                    && self.lease(n % count).is_some()
                {
                    self.acknowledged.insert((gtid.server, gtid.number));
                }
            }
            Step::Receive(n) => drop(self.receive(n % count)),
            Step::Apply(n) => self.apply(n % count),
            Step::Restart(n) => self.restart(n % count),
            Step::Replace(n) => {
                self.restart(n % count);
                let node = &mut self.nodes[n % count];
                node.database = Database::default();
                node.log.clear();
                node.relay.clear();
                node.remembered = None;
            }
            Step::Freeze(n) => {
                let node = &mut self.nodes[n % count];
                node.frozen = !node.frozen;
                if !node.frozen {
                    self.give_up_rights(n % count);
                }
            }
            Step::Cut(n) => {
                let node = &mut self.nodes[n % count];
                node.cut = !node.cut;
            }
            Step::Part(a, b) => {
                let way = ((a % count).min(b % count), (a % count).max(b % count));
                if !self.parted.remove(&way) {
                    self.parted.insert(way);
                }
            }
            Step::Resign(n) if !self.nodes[n % count].frozen => {
                let n = n % count;
                self.nodes[n].database.writable = false;
                if self.holds(n) {
                    let executed = self.nodes[n].database.executed.clone();
                    if !self.nodes[n].database.server.is_empty() {
                        self.watch(n);
                        self.change_reign(n, None, |leader| leader.legacy = Some(executed));
                    }
                    self.free_lock();
                }
                self.restart(n);
            }
            Step::Forget => {
                let all_know = self.nodes.iter().all(|node| {
                    !node.cut
                        && !node.frozen
                        && !node.database.server.is_empty()
                        && node.remembered.as_ref().map(Leader::age)
                            == self.lock.leader.as_ref().map(Leader::age)
                });
                if all_know {
                    // Whoever knows of a reign waits until its lease is over.
                    for n in 0..count {
                        self.nodes[n].leased = false;
                        self.give_up_rights(n);
                    }
                    self.sessions.clear();
                    self.members.clear();
                    self.lock = Lock::default();
                    self.index = 1;
                }
            }
            _ => {}
        }
        self.check();
    }

    /// Both processes start again. The agent looks at everything anew.
    fn restart(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        node.database = Database {
            writable: false,
            acknowledging: false,
            receiving: false,
            connected: false,
            applying: false,
            ..node.database.clone()
        };
        node.acknowledges = false;
        node.waits = false;
        node.session = None;
        node.leased = false;
        node.published = None;
        node.decided = None;
        node.frozen = false;
        self.watch(n);
    }

    fn check(&self) {
        let awake: Vec<_> = (0..self.nodes.len())
            .filter(|n| self.nodes[*n].database.writable && !self.nodes[*n].frozen)
            .collect();
        assert!(awake.len() < 2, "two writable");
        for n in awake {
            assert!(self.lease(n).is_some(), "writable beyond the lease");
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let n = || 0_usize..5;
    let step = prop_oneof![
        30 => n().prop_map(Step::Turn),
        4 => n().prop_map(Step::Decide),
        4 => n().prop_map(Step::Act),
        12 => n().prop_map(Step::Renew),
        6 => n().prop_map(Step::Watch),
        3 => n().prop_map(Step::LeaseEnds),
        3 => n().prop_map(Step::SessionEnds),
        10 => n().prop_map(Step::Write),
        16 => n().prop_map(Step::Receive),
        10 => n().prop_map(Step::Apply),
        1 => n().prop_map(Step::Restart),
        1 => n().prop_map(Step::Replace),
        2 => n().prop_map(Step::Freeze),
        2 => n().prop_map(Step::Cut),
        2 => (n(), n()).prop_map(|(a, b)| Step::Part(a, b)),
        1 => n().prop_map(Step::Resign),
        1 => Just(Step::Forget),
    ];
    proptest::collection::vec(step, 50..600)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_nothing_acknowledged_is_lost(
        instances in 1_usize..6, copies in 1_usize..3, steps in steps()
    ) {
        let mut world = World::new(instances, copies.min(instances));
        for step in steps {
            world.step(step);
        }
    }
}

/// Found by the property: the term of a reign that came and went unseen would have been used again.
#[test]
fn a_claim_is_good_for_the_lock_it_was_decided_on_only() {
    let mut world = World::new(2, 1);
    for step in [Step::Renew(1), Step::Watch(1), Step::Decide(1)] {
        world.step(step);
    }
    assert!(matches!(world.nodes[1].decided, Some((Action::Acquire { .. }, _))));
    for step in [Step::Renew(0), Step::Turn(0), Step::Replace(0), Step::SessionEnds(0)] {
        world.step(step);
    }
    assert_eq!((world.term, &world.lock.session), (1, &None));
    for step in [Step::Watch(1), Step::Act(1)] {
        world.step(step);
    }
    assert_eq!(world.lock.session, None);
    world.step(Step::Turn(1));
    assert_eq!((world.term, &world.lock.session), (2, &world.nodes[1].session));
}

/// Nothing would be proved by a model in which nothing happens.
#[test]
fn the_model_elects_and_acknowledges() {
    let mut world = World::new(3, 2);
    let settle = |world: &mut World| {
        for _ in 0..12 {
            for n in 0..3 {
                for step in [Step::Renew(n), Step::Turn(n), Step::Receive(n), Step::Apply(n), Step::Turn(n)] {
                    world.step(step);
                }
            }
        }
    };
    settle(&mut world);
    let primary = |world: &World| world.nodes.iter().position(|node| node.database.writable).unwrap();
    let first = primary(&world);
    world.step(Step::Write(first));
    settle(&mut world);
    assert!(!world.acknowledged.is_empty(), "{:?}", world.lock.leader);
    assert_eq!(world.lock.leader.as_ref().unwrap().in_sync.len(), 3);
    for step in [Step::Replace(first), Step::SessionEnds(first)] {
        world.step(step);
    }
    settle(&mut world);
    assert_eq!(world.reigns, 2, "{:?}", world.lock.leader);
    assert_ne!(primary(&world), first);
}
