//! The clocks of a server: how long it waits for what, and what it draws.

use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// After this many failures in a row the wait before the next try stops growing.
const MOST_FAILURES: u32 = 12;

/// How long a server waits. The values are those of Consul's `performance.raft_multiplier`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::consul) struct Timing {
    /// A follower that has not heard of a leader for this long stands for election; a leader sends a
    /// heartbeat ten times as often.
    pub(in crate::consul) heartbeat: Duration,
    /// A candidate that has not won within this time starts over.
    pub(in crate::consul) election: Duration,
    /// A leader that has not heard from a quorum for this long steps down.
    pub(in crate::consul) lease: Duration,
    /// A leader with nothing new to say still tells every follower its commit index this often.
    pub(in crate::consul) commit: Duration,
    /// A call without an answer has failed after this long.
    pub(in crate::consul) call: Duration,
    /// The wait after a first failure; later ones double it.
    pub(in crate::consul) retry: Duration,
    /// A call without an answer is sent again after this long on top of the last round trip, and then
    /// twice as long each time. It stands in for TCP, which delivers late what the network lost.
    pub(in crate::consul) resend: Duration,
}

impl Timing {
    /// The timing under a `raft_multiplier` of `m`: Consul's default is 5, its advice for production 1.
    pub(in crate::consul) fn multiplied(m: u32) -> Self {
        Self {
            heartbeat: Duration::from_secs(1) * m,
            election: Duration::from_secs(1) * m,
            lease: Duration::from_millis(500) * m,
            commit: Duration::from_millis(50),
            call: Duration::from_secs(10),
            retry: Duration::from_millis(10),
            resend: Duration::from_millis(200),
        }
    }

    /// How long to wait after `failures` in a row.
    pub(super) fn backoff(&self, failures: u32) -> Duration {
        self.retry * (1 << failures.min(MOST_FAILURES).saturating_sub(2))
    }
}

/// A moment from `least` to twice `least` after `now`.
pub(super) fn between(stream: &mut ChaCha8Rng, now: Duration, least: Duration) -> Duration {
    let nanos = u64::try_from(least.as_nanos()).unwrap_or(u64::MAX).max(1);
    now + least + Duration::from_nanos(stream.random_range(0..nanos))
}
