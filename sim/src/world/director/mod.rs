//! The scheduler's and the plan's hand in the world: starts containers, replaces those that ended, lets
//! faults begin and end, and ends the run.
//!
//! - `scheduler`: containers.
//! - `faults`: what begins and ends, `conditions` what lasts in between, `whom` the machines that are meant.
//!
//! The rule a change must keep: whatever is drawn for a fault is drawn from a stream that is named after it.

mod conditions;
mod faults;
mod scheduler;
mod whom;

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use self::conditions::Conditions;
use self::faults::Undo;
pub(crate) use self::scheduler::GRACE;
use self::scheduler::{Launch, Next, Roll};
use super::consul::Node;
use super::observer::WorldObserver;
use super::roles::Roles;
use super::store::Objects;
use super::{Layout, STORE_PORT, clients, store};
use crate::engine::{Director as EngineDirector, Engine, HostIndex};
use crate::machine::Machine;
use crate::plan::{Fault, FaultKind};
use crate::properties::steadiness::Steadiness;
use crate::record::{Event, Header, What};
use crate::recorder::Recorder;
use crate::seed::Seed;
use crate::spec::Spec;

/// How long a run goes on after the verdict is due.
const TAIL: Duration = Duration::from_secs(5);

/// Everything the director acts on.
pub(super) struct Cluster {
    pub(super) spec: Spec,
    pub(super) layout: Layout,
    pub(super) machines: Vec<Rc<Machine>>,
    pub(super) nodes: Vec<Node>,
    pub(super) store: Rc<Objects>,
    /// The number of each client's next write, which outlives the client.
    pub(super) writes: Vec<Rc<Cell<u64>>>,
    pub(super) observer: Rc<WorldObserver>,
    pub(super) recorder: Recorder,
    pub(super) seed: Seed,
}

impl Cluster {
    /// Starts what runs on a machine that is no container's.
    pub(super) fn revive(&mut self, engine: &mut Engine, host: HostIndex, wiped: bool) {
        engine.kill(host);
        let Self { spec, layout, machines, nodes, store, writes, .. } = self;
        let process = machines[host].boot();
        if let Some(node) = nodes.get_mut(host) {
            let life = node.start(process.clone(), wiped);
            engine.start(host, Box::pin(process.live(life)));
        } else if host == layout.store() {
            if wiped {
                store.wipe();
            }
            let life = store::serve(process.clone(), STORE_PORT, spec.store.latency, Rc::clone(store));
            engine.start(host, Box::pin(process.live(life)));
        } else if let Some(next) = host.checked_sub(layout.clients().start).and_then(|at| writes.get(at)) {
            let life = clients::live(
                process.clone(),
                layout.consul_of(host),
                spec.workload.clone(),
                Rc::clone(next),
            );
            engine.start(host, Box::pin(process.live(life)));
        }
    }

    /// Notes that a machine's life has ended.
    fn gone(&mut self, host: HostIndex) {
        if let Some(node) = self.nodes.get_mut(host) {
            node.ended();
        }
    }
}

/// Something to be done at a time.
enum Step {
    /// Start a container.
    Launch(Launch),
    /// A fault of the plan, by its number, begins.
    Begin(usize),
    /// What it did is undone.
    End(usize),
    /// A node of Consul that was told to leave is stopped.
    Halt { host: HostIndex, number: usize },
    /// A container that was told to stop is killed if it has not.
    Grace { host: HostIndex, life: u64 },
    /// A container of an old version ends by itself.
    Die { host: HostIndex, life: u64 },
    /// A rolling upgrade goes on.
    Roll { number: usize, round: u32 },
    /// A swizzled machine is cut off.
    Part { number: usize, host: HostIndex, peers: Vec<HostIndex> },
    /// It is joined again.
    Join { number: usize, host: HostIndex, peers: Vec<HostIndex> },
    /// See whether the cluster has been whole for long enough.
    Look,
    /// The run is over.
    Finish,
}

/// The director of a world.
pub(super) struct Director {
    cluster: Cluster,
    faults: Vec<Fault>,
    /// The faults' names.
    ids: Vec<String>,
    steps: BTreeMap<(Duration, u64), Step>,
    sequence: u64,
    undo: BTreeMap<usize, Vec<Undo>>,
    conditions: Conditions,
    /// Machines that are no containers' and do not run, with the number of the fault.
    down: BTreeMap<HostIndex, usize>,
    /// Running containers; each has a number of its own, and later ones greater ones.
    running: BTreeMap<HostIndex, u64>,
    launched: u64,
    /// What becomes of a container when it ends, where that is not the usual.
    next: BTreeMap<HostIndex, Next>,
    /// How many containers there should be.
    wanted: usize,
    /// How many launches are under way.
    pending: usize,
    /// Machines no container has used yet, then dead ones, oldest first.
    free: VecDeque<HostIndex>,
    /// Where the container runs that replaced one.
    successors: BTreeMap<HostIndex, HostIndex>,
    rolls: BTreeMap<usize, Roll>,
    roles: Roles,
    steadiness: Steadiness,
    events: Option<Vec<Event>>,
}

impl Director {
    pub(super) fn new(cluster: Cluster, header: &Header) -> Self {
        let plan = &header.plan;
        let mut director = Self {
            faults: plan.faults.clone(),
            ids: plan.ids(),
            steps: BTreeMap::new(),
            sequence: 0,
            undo: BTreeMap::new(),
            conditions: Conditions::new(),
            down: BTreeMap::new(),
            running: BTreeMap::new(),
            launched: 0,
            next: BTreeMap::new(),
            wanted: cluster.spec.cluster.instances,
            pending: 0,
            free: cluster.layout.instances().collect(),
            successors: BTreeMap::new(),
            rolls: BTreeMap::new(),
            roles: Roles::default(),
            steadiness: Steadiness::new(header),
            events: None,
            cluster,
        };
        let Spec { cluster, .. } = &director.cluster.spec;
        let starts: Vec<Duration> = (0..cluster.instances)
            .map(|number| cluster.start_interval * u32::try_from(number).unwrap_or(u32::MAX))
            .collect();
        for at in &starts {
            director.schedule_launch(*at, Launch::anywhere("start".to_owned()));
        }
        for number in 0..plan.faults.len() {
            director.at(plan.faults[number].at.from, Step::Begin(number));
        }
        // What an operator does by hand comes after the verdict; the run shows what it leads to.
        let by_hand =
            plan.faults.iter().filter(|fault| fault.kind == FaultKind::Remove).map(|fault| fault.at.to);
        match by_hand.max() {
            Some(by_hand) => director.at(header.quiet_at.max(by_hand) + header.bound + TAIL, Step::Finish),
            None => {
                director.at(header.quiet_at + header.bound + TAIL, Step::Finish);
                director.at(header.quiet_at + header.steady, Step::Look);
            }
        }
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

    /// Ends the run if there is nothing more to wait for.
    fn look(&mut self, now: Duration) {
        let Self { cluster, steadiness, .. } = self;
        cluster.recorder.read_from(steadiness.seen(), |event| steadiness.see(event));
        match self.steadiness.steady_from() {
            Some(at) if at <= now => self.finish(),
            Some(at) => self.at(at, Step::Look),
            None => self.at(now + self.steadiness.steady(), Step::Look),
        }
    }

    /// Takes the record before the machines are taken down, which is no part of the run.
    fn finish(&mut self) {
        if self.events.is_none() {
            self.cluster.recorder.write("-", What::Finished);
            self.events = Some(self.cluster.recorder.take());
        }
    }

    /// A container of an old version ends by itself, if it is still that one.
    fn die(&mut self, now: Duration, engine: &mut Engine, host: HostIndex, life: u64) {
        if self.running.get(&host) == Some(&life) {
            self.kill(now, engine, host, "ended itself: an old version");
        }
    }
}

impl EngineDirector for Director {
    fn next(&self) -> Option<Duration> {
        self.steps.keys().next().map(|(at, _)| *at)
    }

    fn direct(&mut self, now: Duration, engine: &mut Engine) {
        self.reap(now, engine);
        self.watch_rolls(now);
        while let Some(entry) = self.steps.first_entry() {
            if entry.key().0 > now {
                break;
            }
            match entry.remove() {
                Step::Launch(launch) => self.launch_due(engine, launch),
                Step::Begin(number) => self.begin(now, engine, number),
                Step::End(number) => self.finish_fault(now, engine, number),
                Step::Halt { host, number } => self.halt(engine, host, number),
                Step::Grace { host, life } => self.grace_is_over(now, engine, host, life),
                Step::Die { host, life } => self.die(now, engine, host, life),
                Step::Roll { number, round } => self.roll_due(now, number, round),
                Step::Part { number, host, peers } => self.part(engine, number, host, &peers),
                Step::Join { number, host, peers } => self.join(engine, number, host, &peers),
                Step::Look => self.look(now),
                Step::Finish => self.finish(),
            }
        }
    }

    fn done(&self) -> bool {
        self.events.is_some()
    }
}
