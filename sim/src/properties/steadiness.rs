//! Whether a cluster is whole while its record is still being written. The world asks, to know when a run has
//! nothing more to show; it decides when a run ends, and never what is made of it.

use std::time::Duration;

use super::convergence::Convergence;
use super::state::State;
use crate::record::{Event, Header};

/// Whether the cluster of a record that is still being written is whole, and for how long.
#[derive(Debug)]
pub(crate) struct Steadiness {
    state: State,
    convergence: Convergence,
    seen: usize,
    steady: Duration,
}

impl Steadiness {
    /// Before the first event.
    pub(crate) fn new(header: &Header) -> Self {
        let (state, convergence) = (State::default(), Convergence::new(header));
        Self { state, convergence, seen: 0, steady: header.steady }
    }

    /// How many events it was shown.
    pub(crate) fn seen(&self) -> usize {
        self.seen
    }

    /// Takes in the next event.
    pub(crate) fn see(&mut self, event: &Event) {
        self.convergence.before(event, &self.state);
        self.state.apply(event);
        self.convergence.see(event);
        self.seen += 1;
    }

    /// How long the cluster must be whole.
    pub(crate) fn steady(&self) -> Duration {
        self.steady
    }

    /// When it has been whole for that long, unless something else happens before; `None` when it is not whole.
    pub(crate) fn steady_from(&mut self) -> Option<Duration> {
        self.convergence.steady_from(&self.state)
    }
}
