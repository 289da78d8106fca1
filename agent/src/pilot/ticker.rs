//! The cadence of polls: a fixed grid on the host's clock, as a `Ticker` of the Go runtime keeps it.

use std::time::Duration;

use crate::host::Host;

/// Ticks once a period, first after one whole period. Of the ticks missed while nobody waited, one is
/// made up for and the others are dropped.
#[derive(Debug)]
pub(super) struct Ticker {
    next: Duration,
    period: Duration,
}

impl Ticker {
    pub(super) fn new<H: Host>(host: &H, period: Duration) -> Self {
        // A period of nothing would never let anything else run.
        let period = period.max(Duration::from_millis(1));
        Self { next: host.now() + period, period }
    }

    /// Waits for the next tick. Cancel-safe.
    pub(super) async fn tick<H: Host>(&mut self, host: &H) {
        let now = host.now();
        if now < self.next {
            host.sleep(self.next - now).await;
        }
        self.next += self.period;
        let now = host.now();
        while self.next + self.period <= now {
            self.next += self.period;
        }
    }
}
