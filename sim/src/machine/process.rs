//! Processes of a simulated machine.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use ironbird_agent::host::{Exit, Process, Signal};
use tokio::sync::Notify;

use super::{Machine, Run};

/// What a machine knows of one process.
pub(super) struct ProcessState {
    pub(super) pid: u32,
    /// What runs in it.
    pub(super) program: &'static str,
    /// Signals not yet taken by the process.
    pending: RefCell<VecDeque<Signal>>,
    /// Whether the process has asked for signals: until then one it could handle ends it.
    handles_signals: Cell<bool>,
    killed: Cell<bool>,
    exit: RefCell<Option<Exit>>,
    /// Something of the above changed.
    changed: Notify,
}

impl ProcessState {
    /// Enters a new process into the machine's table.
    pub(super) fn new(machine: &Machine, program: &'static str) -> Rc<Self> {
        let pid = machine.next_pid.get();
        machine.next_pid.set(pid + 1);
        let state = Rc::new(Self {
            pid,
            program,
            pending: RefCell::default(),
            handles_signals: Cell::new(false),
            killed: Cell::new(false),
            exit: RefCell::default(),
            changed: Notify::new(),
        });
        machine.processes.borrow_mut().insert(pid, Rc::clone(&state));
        state
    }

    pub(super) fn exit(&self) -> Option<Exit> {
        self.exit.borrow().clone()
    }

    /// Delivers a signal as the kernel does.
    pub(super) fn deliver(&self, signal: Signal) {
        if signal == Signal::Kill || !self.handles_signals.get() {
            self.killed.set(true);
        } else {
            self.pending.borrow_mut().push_back(signal);
        }
        self.changed.notify_waiters();
    }

    /// The next signal, once there is one.
    pub(super) async fn next_signal(self: Rc<Self>) -> Signal {
        self.handles_signals.set(true);
        loop {
            let changed = self.changed.notified();
            if let Some(signal) = self.pending.borrow_mut().pop_front() {
                return signal;
            }
            changed.await;
        }
    }

    async fn ended(&self) -> Exit {
        loop {
            let changed = self.changed.notified();
            if let Some(exit) = self.exit() {
                return exit;
            }
            changed.await;
        }
    }

    async fn until_killed(&self) {
        loop {
            let changed = self.changed.notified();
            if self.killed.get() {
                return;
            }
            changed.await;
        }
    }

    /// Lives `run` until it ends or a signal ends it.
    pub(super) async fn live(self: Rc<Self>, run: Run, machine: Rc<Machine>) {
        let exit = tokio::select! {
            biased;
            () = self.until_killed() => Exit::default(),
            exit = run => exit,
        };
        *self.exit.borrow_mut() = Some(exit);
        self.changed.notify_waiters();
        // The first process stays in the table: its end is the machine's.
        if self.pid != 1 {
            machine.processes.borrow_mut().remove(&self.pid);
        }
    }
}

/// A started process.
pub struct SimProcess {
    state: Rc<ProcessState>,
    detached: bool,
}

impl SimProcess {
    pub(super) fn new(state: Rc<ProcessState>) -> Self {
        Self { state, detached: false }
    }
}

impl Process for SimProcess {
    fn pid(&self) -> u32 {
        self.state.pid
    }

    async fn wait(&mut self) -> Exit {
        self.state.ended().await
    }

    fn signal(&self, signal: Signal) {
        self.state.deliver(signal);
    }

    fn detach(mut self) {
        self.detached = true;
    }
}

impl Drop for SimProcess {
    fn drop(&mut self) {
        if !self.detached {
            self.state.deliver(Signal::Kill);
        }
    }
}
