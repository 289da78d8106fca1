//! A simulated machine, and [`SimHost`], the [`Host`](ironbird_agent::host::Host) its processes see.
//!
//! A [`Machine`] keeps what outlives its processes: name, address, disk. Its processes are tasks on the
//! machine's `LocalSet`; what a program *is* comes from a table of [`Programs`], so `spawn("mysqld")` finds
//! the simulated one the way a kernel finds a file. A process that ends, is killed, or whose handle is
//! dropped takes its own children along, because it owns their handles.

mod ailing;
mod clock;
mod disk;
mod host;
mod local;
mod process;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use ironbird_agent::host::Exit;

pub use ailing::Ailment;
use clock::Clock;
pub use disk::Disk;
pub use host::{SimHost, SimListener};
pub use local::LocalListener;
use process::ProcessState;
pub use process::SimProcess;

use crate::engine::Wire;
use crate::plan::Shift;
use crate::recorder::Recorder;
use crate::seed::{Seed, Turn};

/// A program's run: it is given the machine, as its own process sees it, and its arguments.
pub type Run = Pin<Box<dyn Future<Output = Exit>>>;

/// What a program does.
pub type Program = Rc<dyn Fn(SimHost, Vec<String>) -> Run>;

/// The programs installed on every machine, by name.
#[derive(Clone, Default)]
pub struct Programs(BTreeMap<&'static str, Program>);

impl Programs {
    /// Installs a program.
    pub fn install<F, R>(&mut self, name: &'static str, program: F)
    where
        F: Fn(SimHost, Vec<String>) -> R + 'static,
        R: Future<Output = Exit> + 'static,
    {
        self.0.insert(name, Rc::new(move |host, args| Box::pin(program(host, args))));
    }

    /// The program of a name, and the name it has in the table.
    fn find(&self, name: &str) -> Option<(&'static str, &Program)> {
        // A path is a program by its last part: every machine has the same ones.
        let (name, program) = self.0.get_key_value(name.rsplit('/').next().unwrap_or(name))?;
        Some((name, program))
    }
}

/// A machine.
pub struct Machine {
    name: String,
    /// What it is called by those who are on it.
    hostname: String,
    address: IpAddr,
    seed: Seed,
    recorder: Recorder,
    wire: Wire,
    programs: Programs,
    disk: RefCell<Disk>,
    clock: Rc<Clock>,
    ailments: RefCell<ailing::Ailments>,
    processes: RefCell<BTreeMap<u32, Rc<ProcessState>>>,
    next_pid: Cell<u32>,
    locks: RefCell<BTreeSet<String>>,
    local_sockets: RefCell<local::LocalSockets>,
    names: Rc<BTreeMap<String, String>>,
    /// How often the machine was started: each start has random streams of its own.
    boots: Cell<u32>,
    turn: Cell<Option<Turn>>,
}

/// What all machines of a world have in common.
#[derive(Clone)]
pub struct Surroundings {
    /// What random streams are drawn from.
    pub seed: Seed,
    /// Where events go.
    pub recorder: Recorder,
    /// What can be asked of the engine.
    pub wire: Wire,
    /// What can be started.
    pub programs: Programs,
    /// The machines' names by address, as text.
    pub names: Rc<BTreeMap<String, String>>,
}

impl Machine {
    /// A machine with an empty disk. `hostname` is what it takes itself for, which others may, too.
    pub fn new(name: &str, hostname: &str, address: IpAddr, surroundings: Surroundings) -> Rc<Self> {
        let Surroundings { seed, recorder, wire, programs, names } = surroundings;
        Rc::new(Self {
            name: name.to_owned(),
            hostname: hostname.to_owned(),
            address,
            seed,
            clock: Clock::new(recorder.origin()),
            ailments: RefCell::default(),
            recorder,
            wire,
            programs,
            disk: RefCell::default(),
            processes: RefCell::default(),
            next_pid: Cell::new(1),
            locks: RefCell::default(),
            local_sockets: RefCell::default(),
            names,
            boots: Cell::new(0),
            turn: Cell::new(None),
        })
    }

    /// Has streams that are asked for from a time on come from another seed.
    pub fn turn(&self, turn: Turn) {
        self.turn.set(Some(turn));
    }

    /// The machine's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Its disk.
    pub fn disk(&self) -> &RefCell<Disk> {
        &self.disk
    }

    /// How often it was started.
    pub fn boots(&self) -> u32 {
        self.boots.get()
    }

    /// What its monotonic clock shows.
    pub fn now(&self) -> Duration {
        self.clock.now()
    }

    /// Lets its clocks run at another rate, 1 being right.
    pub fn set_clock_rate(&self, rate: f64) {
        self.clock.set_rate(rate);
    }

    /// Sets its wall clock.
    pub fn step_clock(&self, shift: Shift) {
        self.clock.step(shift);
    }

    /// Kills every process of a program, as `killall -9` does, and says whether there was one.
    pub fn kill_all(&self, program: &str) -> bool {
        let processes: Vec<_> = self.processes.borrow().values().cloned().collect();
        let mut found = false;
        for process in processes.iter().filter(|process| process.program == program) {
            process.deliver(ironbird_agent::host::Signal::Kill);
            found = true;
        }
        found
    }

    /// Its record.
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// The name of the machine at an address, or the address where nobody has it.
    pub fn name_of(&self, address: &str) -> String {
        self.names.get(address).cloned().unwrap_or_else(|| address.to_owned())
    }

    /// Locks a file until the guard, or the process that holds it, is gone; `None` when it is locked.
    pub fn lock(self: &Rc<Self>, path: &str) -> Option<FileLock> {
        self.locks
            .borrow_mut()
            .insert(path.to_owned())
            .then(|| FileLock { machine: Rc::clone(self), path: path.to_owned() })
    }

    /// Prepares a start: process numbers begin again at 1. Returns what the first process sees.
    pub fn boot(self: &Rc<Self>) -> SimHost {
        self.boots.set(self.boots.get() + 1);
        self.next_pid.set(1);
        self.processes.borrow_mut().clear();
        SimHost::new(Rc::clone(self), ProcessState::new(self, "init"))
    }

    /// Sends `signal` to the first process, from outside. Says whether there is one.
    pub fn signal_init(&self, signal: ironbird_agent::host::Signal) -> bool {
        let init = self.processes.borrow().get(&1).cloned();
        init.is_some_and(|process| {
            process.deliver(signal);
            true
        })
    }

    /// How the first process ended, once it has.
    pub fn init_exit(&self) -> Option<Exit> {
        self.processes.borrow().get(&1).and_then(|process| process.exit())
    }
}

/// A locked file of a machine.
pub struct FileLock {
    machine: Rc<Machine>,
    path: String,
}

impl Drop for FileLock {
    fn drop(&mut self) {
        self.machine.locks.borrow_mut().remove(&self.path);
    }
}
