//! Wakers of the engine: one for each machine, remembering that it has something to do.
//!
//! A machine is polled only after something woke it. The flag is set by whatever holds the waker (a
//! timer, a socket, another task); the engine itself is woken only when it is not running already, for
//! then it looks at all flags before it rests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

/// The engine's own waker, shared by all machines.
#[derive(Debug, Default)]
pub(super) struct EngineWaker {
    running: AtomicBool,
    waker: std::sync::Mutex<Option<Waker>>,
}

impl EngineWaker {
    /// Marks the engine as running, woken by `waker` from now on.
    pub(super) fn enter(&self, waker: &Waker) {
        self.running.store(true, Ordering::Relaxed);
        let mut slot = self.waker.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match &mut *slot {
            Some(known) => known.clone_from(waker),
            None => *slot = Some(waker.clone()),
        }
    }

    /// Marks the engine as resting.
    pub(super) fn leave(&self) {
        self.running.store(false, Ordering::Relaxed);
    }

    fn wake(&self) {
        if !self.running.load(Ordering::Relaxed)
            && let Some(waker) = &*self.waker.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
        {
            waker.wake_by_ref();
        }
    }
}

/// One machine's waker.
#[derive(Debug)]
pub(super) struct HostWaker {
    woken: AtomicBool,
    engine: Arc<EngineWaker>,
}

impl HostWaker {
    pub(super) fn new(engine: &Arc<EngineWaker>) -> Arc<Self> {
        Arc::new(Self { woken: AtomicBool::new(false), engine: Arc::clone(engine) })
    }

    /// Whether the machine is woken, without forgetting it.
    pub(super) fn is_set(&self) -> bool {
        self.woken.load(Ordering::Relaxed)
    }

    /// Whether the machine was woken since the last call.
    pub(super) fn take(&self) -> bool {
        self.woken.swap(false, Ordering::Relaxed)
    }
}

impl Wake for HostWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.woken.swap(true, Ordering::Relaxed) {
            self.engine.wake();
        }
    }
}
