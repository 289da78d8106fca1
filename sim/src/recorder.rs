//! Where a running world writes its record.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use crate::record::{Event, What};

/// A handle to the record being written; clones write to the same one.
#[derive(Debug, Clone)]
pub struct Recorder {
    origin: Instant,
    events: Rc<RefCell<Vec<Event>>>,
}

impl Recorder {
    /// An empty record whose time starts at `origin`.
    pub fn new(origin: Instant) -> Self {
        Self { origin, events: Rc::default() }
    }

    /// When time began.
    pub fn origin(&self) -> Instant {
        self.origin
    }

    /// Reads the events from number `from` on.
    pub fn read_from(&self, from: usize, mut read: impl FnMut(&Event)) {
        self.events.borrow().iter().skip(from).for_each(&mut read);
    }

    /// Time since the start of the run.
    pub fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    /// Writes that `what` happened on `host`, now.
    pub fn write(&self, host: &str, what: What) {
        let mut events = self.events.borrow_mut();
        let step = events.len() as u64;
        events.push(Event { step, at: self.now(), host: host.to_owned(), what });
    }

    /// How many events there are.
    pub fn len(&self) -> usize {
        self.events.borrow().len()
    }

    /// Whether nothing has happened yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes all events out.
    pub fn take(&self) -> Vec<Event> {
        self.events.take()
    }
}
