//! Faults begin and end.

use std::collections::BTreeSet;
use std::time::Duration;

use ironbird_agent::host::Signal;
use rand::RngExt;
use rand::seq::SliceRandom;

use super::scheduler::{Launch, Next};
use super::whom::Side;
use super::{Director, Step};
use crate::engine::{Engine, HostIndex, Impairment};
use crate::plan::{Fault, FaultKind, Lasting, Shift};
use crate::record::What;
use crate::world::store::Ill;

/// How long a node of Consul that is told to leave takes to tell the others.
const LEAVE: Duration = Duration::from_secs(5);

/// How a fault is undone.
#[derive(Debug)]
pub(super) enum Undo {
    Resume(HostIndex),
    Repair {
        of: HostIndex,
        from: HostIndex,
        to: HostIndex,
        impairment: Impairment,
    },
    Condition(HostIndex),
    Step(HostIndex, Shift),
    /// A machine that is no container's is started again.
    Revive {
        host: HostIndex,
        wiped: bool,
    },
    /// A container is started again where it was.
    Container {
        host: HostIndex,
        wipe: bool,
    },
    Trouble(HostIndex),
    /// It is over by itself.
    Nothing(HostIndex),
}

impl Director {
    /// Writes that a fault of the plan has begun on a machine.
    pub(super) fn began(&self, host: HostIndex, number: usize) {
        self.write(host, What::FaultBegan { fault: self.faults[number].to_string(), number });
    }

    fn over(&self, host: HostIndex, number: usize) {
        self.write(host, What::FaultEnded { fault: self.faults[number].to_string(), number });
    }

    pub(super) fn begin(&mut self, now: Duration, engine: &mut Engine, number: usize) {
        let fault = self.faults[number].clone();
        let mut targets = self.resolve(&fault.target, number, Side::Target);
        if fault.kind.is_of_containers() {
            // Also a machine that has a name may have no container, any more or yet. One that is on its way
            // out, or away to come back, is not ended twice.
            let there = |host: &HostIndex| self.running.contains_key(host) && !self.next.contains_key(host);
            let instances = self.cluster.layout.instances();
            targets.retain(|host| !instances.contains(host) || there(host));
        }
        if fault.kind.takes_down() {
            targets.retain(|host| !self.down.contains_key(host));
        }
        if let FaultKind::Scale { instances } = fault.kind {
            // It happens to the scheduler, also when there is nobody to go first.
            self.cluster.recorder.write("-", What::FaultBegan { fault: fault.to_string(), number });
            return self.scale(now, &targets, instances);
        }
        if targets.is_empty() {
            let fault = format!("{} {}: there is none at this moment", fault.kind.name(), fault.target);
            self.cluster.recorder.write("-", What::FaultBegan { fault, number });
            return;
        }
        let length = match fault.lasting {
            Lasting::For(length) => Some(length),
            Lasting::Moment | Lasting::Forever => None,
        };
        let mut undo = Vec::new();
        match &fault.kind {
            FaultKind::Roll { every } => self.roll(now, number, &targets, *every),
            FaultKind::Swizzle { .. } => self.swizzle(now, &fault, number, &targets),
            _ => {
                for host in &targets {
                    self.began(*host, number);
                }
                match link_impairment(&fault.kind) {
                    Some((impairment, both_ways)) => {
                        self.impair(engine, &mut undo, &fault, number, &targets, impairment, both_ways);
                    }
                    None => {
                        for host in targets {
                            self.befall(now, engine, &mut undo, &fault, number, host);
                        }
                    }
                }
            }
        }
        if let Some(length) = length {
            self.undo.insert(number, undo);
            self.at(now + length, Step::End(number));
        }
    }

    /// Lets a fault happen to one machine.
    fn befall(
        &mut self,
        now: Duration,
        engine: &mut Engine,
        undo: &mut Vec<Undo>,
        fault: &Fault,
        number: usize,
        host: HostIndex,
    ) {
        let is_container = self.cluster.layout.instances().contains(&host);
        match &fault.kind {
            kind if kind.takes_down() && !is_container => {
                self.take_down(now, engine, number, host, kind);
                undo.push(Undo::Revive { host, wiped: *kind == FaultKind::LoseDisk });
            }
            FaultKind::Kill | FaultKind::PowerLoss => {
                if fault.lasting != Lasting::Moment {
                    self.next.insert(host, Next::Stays);
                    undo.push(Undo::Container { host, wipe: false });
                }
                if fault.kind == FaultKind::Kill {
                    self.kill(now, engine, host, "killed");
                } else {
                    engine.power_off(host);
                    self.cluster.machines[host].disk().borrow_mut().lose_unsynced();
                    self.ended(now, host, "lost power");
                }
            }
            FaultKind::Remove => self.kill(now, engine, host, "removed by hand"),
            FaultKind::Replace { wipe } => {
                self.next.insert(host, Next::Replaced { wipe: *wipe });
                self.kill(now, engine, host, "killed");
            }
            FaultKind::Restart { wipe } => {
                self.next.insert(host, Next::Stays);
                undo.push(Undo::Container { host, wipe: *wipe });
                self.cluster.machines[host].signal_init(Signal::Term);
            }
            FaultKind::Stop => {
                self.cluster.machines[host].signal_init(Signal::Term);
            }
            FaultKind::Attrition => {
                if let Lasting::For(length) = fault.lasting {
                    let entity = format!("{}/{}", self.ids[number], self.name(host));
                    let most = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
                    let within = self.cluster.seed.stream("attrition", &entity).random_range(0..=most);
                    let step = Step::Die { host, life: self.running[&host] };
                    self.at(now + Duration::from_millis(within), step);
                }
                undo.push(Undo::Nothing(host));
            }
            FaultKind::KillCommand { command } => {
                self.cluster.machines[host].kill_all(command);
            }
            FaultKind::Pause => {
                engine.pause(host);
                undo.push(Undo::Resume(host));
            }
            FaultKind::ClockStep { step } => {
                self.cluster.machines[host].step_clock(*step);
                undo.push(Undo::Step(host, step.undone()));
            }
            FaultKind::Trouble(trouble) => {
                if host == self.cluster.layout.store() {
                    self.cluster.store.begin(number, Ill::Trouble(*trouble));
                } else if let Some(chaos) = self.cluster.nodes[host].chaos() {
                    chaos.begin_planned(number, *trouble);
                }
                undo.push(Undo::Trouble(host));
            }
            FaultKind::Rebalance => {
                if let Some(node) = self.cluster.nodes.get(host) {
                    node.update(now, |consul| consul.rebalance(now));
                }
            }
            FaultKind::TruncateUploads => {
                self.cluster.store.begin(number, Ill::Truncates);
                undo.push(Undo::Trouble(host));
            }
            kind => {
                self.begin_condition(host, number, kind);
                undo.push(Undo::Condition(host));
            }
        }
    }

    pub(super) fn finish_fault(&mut self, now: Duration, engine: &mut Engine, number: usize) {
        let mut told = BTreeSet::new();
        for undo in self.undo.remove(&number).unwrap_or_default() {
            let host = match undo {
                Undo::Resume(host) => {
                    engine.resume(host);
                    host
                }
                Undo::Repair { of, from, to, impairment } => {
                    engine.repair(from, to, impairment);
                    of
                }
                Undo::Condition(host) => {
                    self.end_condition(host, number);
                    host
                }
                Undo::Step(host, step) => {
                    self.cluster.machines[host].step_clock(step);
                    host
                }
                Undo::Revive { host, wiped } => {
                    self.down.remove(&host);
                    self.cluster.revive(engine, host, wiped);
                    if host < self.cluster.nodes.len() {
                        self.tell_conditions(host);
                    }
                    host
                }
                Undo::Container { host, wipe } => {
                    self.start_again(now, engine, host, wipe);
                    host
                }
                Undo::Trouble(host) => {
                    if host == self.cluster.layout.store() {
                        self.cluster.store.end(number);
                    } else if let Some(chaos) = self.cluster.nodes[host].chaos() {
                        chaos.end_planned(number);
                    }
                    host
                }
                Undo::Nothing(host) => host,
            };
            if told.insert(host) {
                self.over(host, number);
            }
        }
    }

    /// Starts a container again where it was.
    fn start_again(&mut self, now: Duration, engine: &mut Engine, host: HostIndex, wipe: bool) {
        if self.running.contains_key(&host) {
            self.kill(now, engine, host, "killed: did not stop in time");
        }
        self.next.remove(&host);
        if self.there() < self.wanted {
            let why = "started again".to_owned();
            self.launch(engine, Launch { why, on: Some(host), wipe, of: None });
        } else {
            self.free.push_back(host);
        }
    }

    /// Ends a machine that is no container's, for a while.
    fn take_down(
        &mut self,
        now: Duration,
        engine: &mut Engine,
        number: usize,
        host: HostIndex,
        how: &FaultKind,
    ) {
        self.down.insert(host, number);
        match how {
            FaultKind::Stop => {
                let own = self.cluster.machines[host].now();
                self.cluster.nodes[host].update(own, |consul| consul.leave(own));
                self.at(now + LEAVE, Step::Halt { host, number });
            }
            FaultKind::PowerLoss => {
                engine.power_off(host);
                self.cluster.gone(host);
            }
            _ => {
                engine.kill(host);
                self.cluster.gone(host);
            }
        }
    }

    /// A node that was told to leave has had its time.
    pub(super) fn halt(&mut self, engine: &mut Engine, host: HostIndex, number: usize) {
        // It may have come back sooner.
        if self.down.get(&host) == Some(&number) {
            engine.kill(host);
            self.cluster.gone(host);
        }
    }

    /// Impairs every link between the targets and the peers, each once however often it is named.
    #[expect(clippy::too_many_arguments, reason = "the two ends, what is between them, and where to note it")]
    fn impair(
        &mut self,
        engine: &mut Engine,
        undo: &mut Vec<Undo>,
        fault: &Fault,
        number: usize,
        targets: &[HostIndex],
        impairment: Impairment,
        both_ways: bool,
    ) {
        let Some(peers) = fault.kind.peer() else { return };
        let peers = self.resolve(peers, number, Side::Peer);
        let mut links = BTreeSet::new();
        for of in targets {
            for peer in peers.iter().filter(|peer| *peer != of) {
                let ways = [(*of, *peer), (*peer, *of)];
                for (from, to) in ways.into_iter().take(if both_ways { 2 } else { 1 }) {
                    if links.insert((from, to)) {
                        engine.impair(from, to, impairment);
                        undo.push(Undo::Repair { of: *of, from, to, impairment });
                    }
                }
            }
        }
    }

    /// Draws which of the targets are cut off, and when each is and is no longer.
    fn swizzle(&mut self, now: Duration, fault: &Fault, number: usize, targets: &[HostIndex]) {
        let (Lasting::For(length), Some(peers)) = (fault.lasting, fault.kind.peer()) else { return };
        let peers = self.resolve(peers, number, Side::Peer);
        let mut stream = self.cluster.seed.stream("swizzle", &self.ids[number]);
        let mut subset = targets.to_vec();
        subset.shuffle(&mut stream);
        subset.truncate(stream.random_range(1..=subset.len().max(1)));
        let half = u64::try_from(length.as_millis() / 2).unwrap_or(u64::MAX);
        for host in subset {
            let mut within = || Duration::from_millis(stream.random_range(0..=half));
            let (part, join) = (now + within(), now + Duration::from_millis(half) + within());
            let peers: Vec<_> = peers.iter().copied().filter(|peer| *peer != host).collect();
            self.at(part, Step::Part { number, host, peers: peers.clone() });
            self.at(join, Step::Join { number, host, peers });
        }
    }

    pub(super) fn part(&mut self, engine: &mut Engine, number: usize, host: HostIndex, peers: &[HostIndex]) {
        self.began(host, number);
        for peer in peers {
            engine.impair(host, *peer, Impairment::Cut);
            engine.impair(*peer, host, Impairment::Cut);
        }
    }

    pub(super) fn join(&mut self, engine: &mut Engine, number: usize, host: HostIndex, peers: &[HostIndex]) {
        for peer in peers {
            engine.repair(host, *peer, Impairment::Cut);
            engine.repair(*peer, host, Impairment::Cut);
        }
        self.over(host, number);
    }
}

/// What a fault does to a link, and whether it does so both ways.
fn link_impairment(kind: &FaultKind) -> Option<(Impairment, bool)> {
    match kind {
        FaultKind::Cut { .. } => Some((Impairment::Cut, true)),
        FaultKind::CutOneWay { .. } => Some((Impairment::Cut, false)),
        FaultKind::Hold { .. } => Some((Impairment::Hold, true)),
        FaultKind::Latency { delay, .. } => Some((Impairment::Delay(*delay), true)),
        FaultKind::Jitter { delay, .. } => Some((Impairment::Jitter(*delay), true)),
        FaultKind::Loss { rate, .. } => Some((Impairment::Loss(*rate), true)),
        FaultKind::Duplicate { rate, .. } => Some((Impairment::Duplicate(*rate), true)),
        _ => None,
    }
}
