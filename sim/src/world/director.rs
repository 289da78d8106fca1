//! The scheduler's and the plan's hand in the world: starts containers, replaces those that ended, lets
//! faults begin and end, and ends the run.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use ironbird_agent::host::Signal;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use super::consul::Node;
use super::observer::WorldObserver;
use super::{Layout, STORE_PORT, container};
use crate::consul::chaos::Trouble;
use crate::engine::{Director as EngineDirector, Engine, HostIndex, Impairment};
use crate::machine::Machine;
use crate::plan::{Fault, FaultKind, FaultPlan, Lasting, Target};
use crate::record::{Event, What};
use crate::recorder::Recorder;
use crate::run::{patience, quiet_at, recovery_bound};
use crate::seed::Seed;
use crate::spec::Spec;

/// How long a run goes on after the verdict is due.
const TAIL: Duration = Duration::from_secs(5);
/// How long a node of Consul that is told to leave takes to tell the others.
const LEAVE: Duration = Duration::from_secs(5);

/// Everything the director acts on.
pub(super) struct Cluster {
    pub(super) spec: Spec,
    pub(super) layout: Layout,
    pub(super) machines: Vec<Rc<Machine>>,
    pub(super) nodes: Vec<Node>,
    pub(super) observer: Rc<WorldObserver>,
    pub(super) recorder: Recorder,
    pub(super) seed: Seed,
}

/// Something to be done at a time.
enum Step {
    /// Start a container.
    Launch { why: String },
    /// A fault of the plan, by its number, begins.
    Begin(usize),
    /// What it did is undone.
    End(usize),
    /// A node of Consul that was told to leave is stopped.
    Halt(HostIndex),
    /// The run is over.
    Finish,
}

/// How a fault is undone.
enum Undo {
    Resume(HostIndex),
    Repair(HostIndex, HostIndex, Impairment),
    Catalog(HostIndex),
    Restart { node: HostIndex, wiped: bool },
    Trouble(HostIndex),
}

/// The director of a world.
pub(super) struct Director {
    cluster: Cluster,
    faults: Vec<Fault>,
    steps: BTreeMap<(Duration, u64), Step>,
    sequence: u64,
    undo: BTreeMap<usize, Vec<Undo>>,
    running: BTreeSet<HostIndex>,
    /// Machines no container has used yet, then dead ones, oldest first.
    free: VecDeque<HostIndex>,
    replacement: ChaCha8Rng,
    events: Option<Vec<Event>>,
}

impl Director {
    pub(super) fn new(cluster: Cluster, plan: &FaultPlan) -> Self {
        let mut director = Self {
            faults: plan.faults.clone(),
            steps: BTreeMap::new(),
            sequence: 0,
            undo: BTreeMap::new(),
            running: BTreeSet::new(),
            free: cluster.layout.instances().collect(),
            replacement: cluster.seed.stream("scheduler", "replacement"),
            events: None,
            cluster,
        };
        let Spec { cluster, .. } = &director.cluster.spec;
        let starts: Vec<Duration> = (0..cluster.instances)
            .map(|number| cluster.start_interval * u32::try_from(number).unwrap_or(u32::MAX))
            .collect();
        for at in &starts {
            director.at(*at, Step::Launch { why: "start".to_owned() });
        }
        for number in 0..plan.faults.len() {
            director.at(plan.faults[number].at.from, Step::Begin(number));
        }
        // What an operator does by hand comes after the verdict; the run shows what it leads to.
        let by_hand =
            plan.faults.iter().filter(|fault| fault.kind == FaultKind::Remove).map(|fault| fault.at.to);
        let last = by_hand.chain([quiet_at(&director.cluster.spec, plan)]).max().unwrap_or_default();
        let bound = recovery_bound(&director.cluster.spec) + patience(&director.cluster.spec, plan);
        director.at(last + bound + TAIL, Step::Finish);
        director
    }

    /// What happened.
    pub(super) fn into_events(self) -> Vec<Event> {
        self.events.unwrap_or_default()
    }

    fn at(&mut self, at: Duration, step: Step) {
        self.steps.insert((at, self.sequence), step);
        self.sequence += 1;
    }

    fn name(&self, host: HostIndex) -> &str {
        self.cluster.machines[host].name()
    }

    fn write(&self, host: HostIndex, what: What) {
        self.cluster.recorder.write(self.name(host), what);
    }

    fn launch(&mut self, engine: &mut Engine, why: String) {
        // There are more machines than instances, and each container leaves one free when it ends.
        let Some(host) = self.free.pop_front() else { return };
        let Cluster { spec, layout, machines, .. } = &self.cluster;
        let machine = &machines[host];
        machine.disk().borrow_mut().wipe();
        let process = machine.boot();
        let life = container::life(
            process.clone(),
            spec.cluster.clone(),
            layout.consul_of(host),
            layout.address(layout.store(), STORE_PORT),
        );
        self.running.insert(host);
        self.write(host, What::Launched { why });
        engine.start(host, Box::pin(process.live(life)));
    }

    /// Ends a container and has it replaced.
    fn end(&mut self, now: Duration, host: HostIndex, how: &str) {
        self.running.remove(&host);
        self.free.push_back(host);
        self.write(host, What::Ended { how: how.to_owned() });
        let pause = self.cluster.spec.scheduler.replacement.sample(&mut self.replacement);
        let why = format!("replacement of {}", self.name(host));
        self.at(now + pause, Step::Launch { why });
    }

    /// Notices containers that ended by themselves.
    fn reap(&mut self, now: Duration, engine: &mut Engine) {
        let ended: Vec<_> = self
            .running
            .iter()
            .filter_map(|host| Some((*host, self.cluster.machines[*host].init_exit()?)))
            .collect();
        for (host, exit) in ended {
            engine.kill(host);
            self.end(now, host, &exit.to_string());
        }
    }

    fn begin(&mut self, now: Duration, engine: &mut Engine, number: usize) {
        let fault = self.faults[number].clone();
        let mut targets = self.resolve(&fault.target, number);
        if fault.kind.ends_container() && !fault.target.is_consul() {
            // Also a machine that has a name may have no container, any more or yet.
            targets.retain(|host| self.running.contains(host));
        }
        if targets.is_empty() {
            let fault = format!("{} {}: there is none at this moment", fault.kind.name(), fault.target);
            self.cluster.recorder.write("-", What::FaultBegan { fault });
            return;
        }
        let mut undo = Vec::new();
        for host in targets {
            self.write(host, What::FaultBegan { fault: describe(&fault) });
            match &fault.kind {
                FaultKind::Kill | FaultKind::PowerLoss | FaultKind::Stop | FaultKind::LoseDisk
                    if fault.target.is_consul() =>
                {
                    self.take_down(now, engine, host, &fault.kind);
                    let wiped = fault.kind == FaultKind::LoseDisk;
                    undo.push(Undo::Restart { node: host, wiped });
                }
                FaultKind::Trouble(trouble) => {
                    if let Some(chaos) = self.cluster.nodes[host].chaos() {
                        chaos.begin_planned(number, *trouble);
                    }
                    undo.push(Undo::Trouble(host));
                }
                // Nothing but a node of Consul has one to lose.
                FaultKind::LoseDisk => {}
                FaultKind::Kill | FaultKind::Remove => {
                    engine.kill(host);
                    self.end(
                        now,
                        host,
                        if fault.kind == FaultKind::Kill { "killed" } else { "removed by hand" },
                    );
                }
                FaultKind::PowerLoss => {
                    engine.power_off(host);
                    self.end(now, host, "lost power");
                }
                FaultKind::Stop => {
                    self.cluster.machines[host].signal_init(Signal::Term);
                }
                FaultKind::Pause => {
                    engine.pause(host);
                    undo.push(Undo::Resume(host));
                }
                FaultKind::CatalogLag { delay } => {
                    self.set_lag(now, host, Some(*delay));
                    undo.push(Undo::Catalog(host));
                }
                FaultKind::Cut { peer } => {
                    self.impair(engine, &mut undo, host, peer, number, Impairment::Cut, true);
                }
                FaultKind::CutOneWay { peer } => {
                    self.impair(engine, &mut undo, host, peer, number, Impairment::Cut, false);
                }
                FaultKind::Hold { peer } => {
                    self.impair(engine, &mut undo, host, peer, number, Impairment::Hold, true);
                }
                FaultKind::Latency { peer, delay } => {
                    self.impair(engine, &mut undo, host, peer, number, Impairment::Delay(*delay), true);
                }
                FaultKind::Loss { peer, rate } => {
                    self.impair(engine, &mut undo, host, peer, number, Impairment::Loss(*rate), true);
                }
            }
        }
        if let Lasting::For(length) = fault.lasting {
            self.undo.insert(number, undo);
            self.at(now + length, Step::End(number));
        }
    }

    fn finish_fault(&mut self, now: Duration, engine: &mut Engine, number: usize) {
        let mut told = BTreeSet::new();
        for undo in self.undo.remove(&number).unwrap_or_default() {
            let host = match undo {
                Undo::Resume(host) => {
                    engine.resume(host);
                    host
                }
                Undo::Repair(from, to, impairment) => {
                    engine.repair(from, to, impairment);
                    from
                }
                Undo::Catalog(host) => {
                    self.set_lag(now, host, None);
                    host
                }
                Undo::Restart { node, wiped } => {
                    engine.kill(node);
                    let host = self.cluster.machines[node].boot();
                    let life = self.cluster.nodes[node].start(host.clone(), wiped);
                    engine.start(node, Box::pin(host.live(life)));
                    node
                }
                Undo::Trouble(node) => {
                    if let Some(chaos) = self.cluster.nodes[node].chaos() {
                        chaos.end_planned(number);
                    }
                    node
                }
            };
            if told.insert(host) {
                self.write(host, What::FaultEnded { fault: describe(&self.faults[number]) });
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the two ends, what is between them, and where to note it")]
    fn impair(
        &self,
        engine: &mut Engine,
        undo: &mut Vec<Undo>,
        host: HostIndex,
        peer: &Target,
        number: usize,
        impairment: Impairment,
        both_ways: bool,
    ) {
        for peer in self.resolve(peer, number).into_iter().filter(|peer| *peer != host) {
            engine.impair(host, peer, impairment);
            undo.push(Undo::Repair(host, peer, impairment));
            if both_ways {
                engine.impair(peer, host, impairment);
                undo.push(Undo::Repair(peer, host, impairment));
            }
        }
    }

    /// Ends a node of Consul for a while.
    fn take_down(&mut self, now: Duration, engine: &mut Engine, node: HostIndex, how: &FaultKind) {
        match how {
            FaultKind::Stop => {
                self.cluster.nodes[node].update(now, |consul| consul.leave(now));
                self.at(now + LEAVE, Step::Halt(node));
            }
            FaultKind::PowerLoss => {
                engine.power_off(node);
                self.cluster.nodes[node].ended();
            }
            _ => self.halt(engine, node),
        }
    }

    fn halt(&mut self, engine: &mut Engine, node: HostIndex) {
        engine.kill(node);
        self.cluster.nodes[node].ended();
    }

    fn set_lag(&self, now: Duration, host: HostIndex, delay: Option<Duration>) {
        let reader = self.cluster.machines[host].address();
        for node in &self.cluster.nodes {
            node.update(now, |consul| consul.set_catalog_lag(now, reader, delay));
        }
    }

    /// The server of Consul that leads; of several that believe so, the first.
    fn consul_leader(&self) -> Option<HostIndex> {
        self.cluster.layout.servers().find(|node| self.cluster.nodes[*node].leads())
    }

    /// The machines a target means at this moment.
    fn resolve(&self, target: &Target, number: usize) -> Vec<HostIndex> {
        let Cluster { layout, observer, .. } = &self.cluster;
        let leader =
            observer.leader().and_then(|name| layout.find(&name)).filter(|host| self.running.contains(host));
        let replicas = || self.running.iter().copied().filter(|host| Some(*host) != leader);
        match target {
            Target::Leader => leader.into_iter().collect(),
            Target::Replica => {
                let mut stream = self.cluster.seed.stream("target", &number.to_string());
                replicas().collect::<Vec<_>>().choose(&mut stream).copied().into_iter().collect()
            }
            Target::Replicas => replicas().collect(),
            // Those to come are meant too.
            Target::Instances => layout.instances().collect(),
            Target::Unhealthy => {
                self.running.iter().copied().filter(|host| !observer.is_passing(self.name(*host))).collect()
            }
            Target::Consul => layout.consul().collect(),
            Target::ConsulLeader => self.consul_leader().into_iter().collect(),
            Target::ConsulFollower => {
                let mut stream = self.cluster.seed.stream("target", &number.to_string());
                let leader = self.consul_leader();
                let followers: Vec<_> = layout.servers().filter(|node| Some(*node) != leader).collect();
                followers.choose(&mut stream).copied().into_iter().collect()
            }
            Target::Store => vec![layout.store()],
            Target::Clients => layout.clients().collect(),
            Target::Host(name) => layout.find(name).into_iter().collect(),
        }
    }
}

impl EngineDirector for Director {
    fn next(&self) -> Option<Duration> {
        self.steps.keys().next().map(|(at, _)| *at)
    }

    fn direct(&mut self, now: Duration, engine: &mut Engine) {
        self.reap(now, engine);
        while let Some(entry) = self.steps.first_entry() {
            if entry.key().0 > now {
                break;
            }
            match entry.remove() {
                Step::Launch { why } => self.launch(engine, why),
                Step::Begin(number) => self.begin(now, engine, number),
                Step::End(number) => self.finish_fault(now, engine, number),
                Step::Halt(node) => self.halt(engine, node),
                // Taken before the machines are taken down, which is no part of the run.
                Step::Finish => {
                    self.cluster.recorder.write("-", What::Finished);
                    self.events = Some(self.cluster.recorder.take());
                }
            }
        }
    }

    fn done(&self) -> bool {
        self.events.is_some()
    }
}

fn describe(fault: &Fault) -> String {
    let mut text = format!("{} {}", fault.kind.name(), fault.target);
    match &fault.kind {
        FaultKind::Cut { peer } | FaultKind::CutOneWay { peer } | FaultKind::Hold { peer } => {
            text.push_str(&format!(" - {peer}"));
        }
        FaultKind::Latency { peer, delay } => {
            text.push_str(&format!(" - {peer}, {} more", humantime::format_duration(*delay)));
        }
        FaultKind::Loss { peer, rate } => text.push_str(&format!(" - {peer}, {:.0} %", rate * 100.0)),
        FaultKind::CatalogLag { delay } => {
            text.push_str(&format!(", {} behind", humantime::format_duration(*delay)));
        }
        FaultKind::Trouble(Trouble::Errors { status, share }) => {
            text.push_str(&format!(", {:.0} % {}", share * 100.0, status.as_u16()));
        }
        FaultKind::Kill
        | FaultKind::PowerLoss
        | FaultKind::Stop
        | FaultKind::Remove
        | FaultKind::Pause
        | FaultKind::LoseDisk
        | FaultKind::Trouble(_) => {}
    }
    match fault.lasting {
        Lasting::Moment => {}
        Lasting::For(length) => text.push_str(&format!(" for {}", humantime::format_duration(length))),
        Lasting::Forever => text.push_str(" for ever"),
    }
    text
}
