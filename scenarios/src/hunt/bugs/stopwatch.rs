//! Time that a thread works, whoever else does meanwhile.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Counts the time that this thread works.
pub(super) struct ThreadTime(Duration);

impl ThreadTime {
    /// Counts from now on.
    pub(super) fn start() -> Self {
        Self(now())
    }

    /// What has been counted. To be asked on the thread that started.
    pub(super) fn elapsed(&self) -> Duration {
        now().saturating_sub(self.0)
    }
}

/// Nothing where the system keeps no such clock.
fn now() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).unwrap_or_default()
}
