//! Servers on a simulated network, which checks what Raft promises with everything that comes out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::super::{Compaction, Entry, Message, Output, Persistent, Raft, Role, ServerId, Timing};

pub(super) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(super) struct Cluster {
    pub(super) now: Duration,
    pub(super) servers: Vec<Option<Raft<u32>>>,
    pub(super) paused: BTreeSet<usize>,
    /// Directions nothing passes in.
    pub(super) cut: BTreeSet<(usize, usize)>,
    /// The share of messages that are lost, and of those that come twice.
    pub(super) trouble: f64,
    pub(super) latency: (Duration, Duration),
    /// Everything but messages, by time and server.
    pub(super) events: Vec<(Duration, usize, Output<u32>)>,
    pub(super) sent: usize,
    timing: Timing,
    compaction: Compaction,
    disks: Vec<Persistent<u32>>,
    flying: BTreeMap<(Duration, u64), (usize, usize, Message<u32>)>,
    messages: u64,
    starts: u64,
    seed: u64,
    dice: ChaCha8Rng,
    leaders: BTreeMap<u64, usize>,
    committed: BTreeMap<u64, (u64, Entry<u32>)>,
    /// The term each index was committed in, which may be later than the term it was written in.
    committed_in: BTreeMap<u64, u64>,
    states: Vec<u64>,
    state_after: BTreeMap<u64, u64>,
}

impl Cluster {
    pub(super) fn new(size: usize, timing: Timing, seed: u64) -> Self {
        let mut cluster = Self {
            now: Duration::ZERO,
            servers: (0..size).map(|_| None).collect(),
            paused: BTreeSet::new(),
            cut: BTreeSet::new(),
            trouble: 0.0,
            latency: (Duration::from_micros(500), Duration::from_micros(1500)),
            events: Vec::new(),
            sent: 0,
            timing,
            compaction: Compaction { threshold: 16, trailing: 4 },
            disks: (0..size).map(|_| Persistent::default()).collect(),
            flying: BTreeMap::new(),
            messages: 0,
            starts: 0,
            seed,
            dice: ChaCha8Rng::seed_from_u64(seed),
            leaders: BTreeMap::new(),
            committed: BTreeMap::new(),
            committed_in: BTreeMap::new(),
            states: vec![0; size],
            state_after: BTreeMap::from([(0, 0)]),
        };
        for server in 0..size {
            cluster.start(server);
        }
        cluster
    }

    pub(super) fn start(&mut self, server: usize) {
        if self.servers[server].is_some() {
            return;
        }
        let mut stream = ChaCha8Rng::seed_from_u64(self.seed);
        self.starts += 1;
        stream.set_stream(self.starts);
        let ids = (0..self.servers.len() as u8).map(ServerId).collect();
        let disk = self.disks[server].clone();
        self.states[server] = 0;
        let raft = Raft::new(ServerId(server as u8), ids, self.timing, stream, self.now, disk);
        self.servers[server] = Some(raft.with_compaction(self.compaction));
        self.collect(server);
    }

    /// Stops a server dead; what it wrote stays. Connections to it break, as a dead process's do.
    pub(super) fn kill(&mut self, server: usize) {
        let Some(raft) = self.servers[server].take() else { return };
        self.disks[server] = raft.persistent().clone();
        self.paused.remove(&server);
        for other in 0..self.servers.len() {
            self.disconnect(other, server);
        }
    }

    pub(super) fn disconnect(&mut self, server: usize, from: usize) {
        if let Some(raft) = &mut self.servers[server] {
            raft.disconnected(self.now, ServerId(from as u8));
            self.collect(server);
        }
    }

    pub(super) fn isolate(&mut self, server: usize) {
        for other in 0..self.servers.len() {
            self.cut.insert((server, other));
            self.cut.insert((other, server));
        }
    }

    pub(super) fn server(&self, server: usize) -> &Raft<u32> {
        self.servers[server].as_ref().expect("the server runs")
    }

    pub(super) fn propose(&mut self, server: usize, command: u32) -> Option<u64> {
        let index = self.servers[server].as_mut()?.propose(self.now, command).ok();
        self.collect(server);
        index
    }

    pub(super) fn verify(&mut self, server: usize) -> bool {
        let asked = self.servers[server].as_mut().is_some_and(|raft| raft.verify(self.now).is_ok());
        if asked {
            self.collect(server);
        }
        asked
    }

    pub(super) fn run(&mut self, time: Duration) {
        self.run_until(time, |_| false);
    }

    /// Runs until `done` or for `time`, and says which.
    pub(super) fn run_until(&mut self, time: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + time;
        while !done(self) {
            let awake = |server: &usize| !self.paused.contains(server);
            let timers = (0..self.servers.len())
                .filter(awake)
                .filter_map(|server| Some((self.servers[server].as_ref()?.next_deadline()?, server)));
            let timer = timers.min();
            let flight = self.flying.iter().find(|(_, (_, to, _))| awake(to)).map(|(key, _)| *key);
            let next = timer.map(|(at, _)| at).into_iter().chain(flight.map(|(at, _)| at)).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = end;
                return false;
            };
            self.now = self.now.max(next);
            match (flight, timer) {
                (Some(key), _) if key.0 <= next => {
                    let (from, to, message) = self.flying.remove(&key).expect("it was found");
                    if let Some(raft) = &mut self.servers[to] {
                        raft.receive(self.now, ServerId(from as u8), message);
                        self.collect(to);
                    }
                }
                (_, Some((_, server))) => {
                    if let Some(raft) = &mut self.servers[server] {
                        raft.advance(self.now);
                    }
                    self.collect(server);
                }
                _ => {}
            }
        }
        true
    }

    /// The leader most of the cluster would name.
    pub(super) fn leader(&self) -> Option<usize> {
        let running =
            (0..self.servers.len()).filter_map(|server| Some((server, self.servers[server].as_ref()?)));
        let leaders = running.filter(|(_, raft)| raft.role() == Role::Leader);
        leaders.max_by_key(|(_, raft)| raft.term()).map(|(server, _)| server)
    }

    pub(super) fn elect(&mut self) -> usize {
        let settled = |cluster: &Self| {
            let leader = cluster.leader();
            let mut running = cluster.servers.iter().flatten();
            leader.is_some()
                && running.all(|raft| raft.leader() == leader.map(|leader| ServerId(leader as u8)))
        };
        assert!(self.run_until(Duration::from_secs(120), settled), "no leader");
        self.leader().expect("it is settled")
    }

    pub(super) fn log(&self, server: usize) -> Vec<(u64, u64, Entry<u32>)> {
        let log = &self.server(server).persistent().log;
        let records = (1..=log.last().0).filter_map(|index| Some((index, log.get(index)?)));
        records.map(|(index, record)| (index, record.term, record.entry.clone())).collect()
    }

    pub(super) fn snapshot(&mut self, server: usize) {
        let state = self.states[server];
        if let Some(raft) = self.servers[server].as_mut().filter(|raft| raft.snapshot_due()) {
            raft.take_snapshot(Arc::from(state.to_le_bytes()));
        }
    }

    fn collect(&mut self, server: usize) {
        let Some(raft) = &mut self.servers[server] else { return };
        for output in raft.drain() {
            match output {
                Output::Send { to, message } => self.fly(server, usize::from(to.0), message),
                other => {
                    self.check(server, &other);
                    self.events.push((self.now, server, other));
                }
            }
        }
    }

    fn fly(&mut self, from: usize, to: usize, message: Message<u32>) {
        self.sent += 1;
        if self.servers[to].is_none() {
            self.disconnect(from, to);
            return;
        }
        let copies = match self.dice.random::<f64>() {
            _ if self.cut.contains(&(from, to)) => 0,
            lot if lot < self.trouble => 0,
            lot if lot < self.trouble * 2.0 => 2,
            _ => 1,
        };
        for _ in 0..copies {
            let at = self.now + self.dice.random_range(self.latency.0..self.latency.1);
            self.messages += 1;
            self.flying.insert((at, self.messages), (from, to, message.clone()));
        }
    }

    fn check(&mut self, server: usize, output: &Output<u32>) {
        match output {
            Output::BecameLeader { term } => {
                let other = self.leaders.insert(*term, server);
                assert!(other.is_none(), "two leaders in term {term}: {other:?} and {server}");
                let log = &self.server(server).persistent().log;
                let compacted = log.snapshot().map_or(0, |snapshot| snapshot.index);
                // A candidate that sleeps through its election may come to lead in a term long over.
                for (index, _) in
                    self.committed_in.range(compacted + 1..).filter(|(_, within)| *within < term)
                {
                    let committed = self.committed[index].0;
                    assert_eq!(log.term_at(*index), Some(committed), "leader {server} lacks index {index}");
                }
            }
            Output::Committed { index, term, entry } => {
                let first = self.committed.entry(*index).or_insert_with(|| (*term, entry.clone()));
                assert_eq!(*first, (*term, entry.clone()), "index {index} differs on server {server}");
                let within = self.server(server).term();
                self.committed_in.entry(*index).or_insert(within);
                let before = self.state_after.get(&(index - 1)).expect("indices have no gap");
                assert_eq!(self.states[server], *before, "server {server} skipped to {index}");
                let folded = fold(self.states[server], *term, entry);
                self.states[server] = folded;
                self.state_after.insert(*index, folded);
            }
            Output::InstallSnapshot { index, bytes } => {
                let state = u64::from_le_bytes(bytes[..].try_into().expect("eight bytes"));
                assert_eq!(self.state_after.get(index), Some(&state), "server {server} installs nonsense");
                self.states[server] = state;
            }
            _ => {}
        }
    }

    /// Two logs that agree on one index agree on all before it.
    pub(super) fn check_logs(&self) {
        let logs: Vec<_> = self.servers.iter().flatten().map(|raft| &raft.persistent().log).collect();
        for (a, b) in logs.iter().flat_map(|a| logs.iter().map(move |b| (a, b))) {
            let mut agreed = false;
            for index in (1..=a.last().0.min(b.last().0)).rev() {
                if let (Some(a), Some(b)) = (a.get(index), b.get(index)) {
                    assert!(!agreed || a == b, "logs agree later but not on {index}");
                    agreed |= a.term == b.term;
                }
            }
        }
    }
}

fn fold(state: u64, term: u64, entry: &Entry<u32>) -> u64 {
    let word = match entry {
        Entry::Command(command) => u64::from(*command),
        Entry::Noop => 1 << 40,
        Entry::Configuration(servers) => (2 << 40) + servers.len() as u64,
    };
    (state ^ word).wrapping_mul(0x0100_0000_01b3).wrapping_add(term)
}
