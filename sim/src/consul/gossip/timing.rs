//! How often and how long: the durations and multipliers of the protocol, and the formulas over them.

use std::time::Duration;

/// Every knob of the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::consul) struct Timing {
    /// How often one member is probed.
    pub(in crate::consul) probe_interval: Duration,
    /// How long a direct probe waits for its ack before others are asked to probe.
    pub(in crate::consul) probe_timeout: Duration,
    /// How many others are asked.
    pub(in crate::consul) indirect_checks: usize,
    /// The shortest suspicion, in probe intervals, of a cluster of up to ten.
    pub(in crate::consul) suspicion_mult: u32,
    /// The longest suspicion, in shortest ones.
    pub(in crate::consul) suspicion_max_mult: u32,
    /// The most probe intervals that one probe of an unhealthy node takes.
    pub(in crate::consul) awareness_max: u32,
    /// How often rumours are sent, when there are any.
    pub(in crate::consul) gossip_interval: Duration,
    /// To how many members they are sent each time.
    pub(in crate::consul) gossip_nodes: usize,
    /// For how long a dead member is still sent rumours, so that it can refute its death. After that
    /// failure detection forgets it, and its name may be taken at another address.
    pub(in crate::consul) gossip_to_the_dead: Duration,
    /// How often one rumour is sent, per decimal digit of the cluster's size.
    pub(in crate::consul) retransmit_mult: u32,
    /// How often the whole state is exchanged with one member.
    pub(in crate::consul) push_pull_interval: Duration,
    /// How long a connection is waited for.
    pub(in crate::consul) stream_timeout: Duration,
    /// How often a failed member is tried again.
    pub(in crate::consul) reconnect_interval: Duration,
    /// After how long a failed member is forgotten.
    pub(in crate::consul) reconnect_timeout: Duration,
    /// After how long a member that left is forgotten.
    pub(in crate::consul) tombstone_timeout: Duration,
    /// How often there is a look at who is to be forgotten.
    pub(in crate::consul) reap_interval: Duration,
    /// How long the intent of an unknown node is remembered.
    pub(in crate::consul) recent_intent_timeout: Duration,
    /// How long a leaving node waits for its own announcement to go out.
    pub(in crate::consul) broadcast_timeout: Duration,
    /// How long it then stays to let the news spread.
    pub(in crate::consul) leave_propagate_delay: Duration,
}

impl Timing {
    /// What Consul uses within one datacenter.
    pub(in crate::consul) fn lan() -> Self {
        Self {
            probe_interval: Duration::from_secs(1),
            probe_timeout: Duration::from_millis(500),
            indirect_checks: 3,
            suspicion_mult: 4,
            suspicion_max_mult: 6,
            awareness_max: 8,
            gossip_interval: Duration::from_millis(200),
            gossip_nodes: 3,
            gossip_to_the_dead: Duration::from_secs(30),
            retransmit_mult: 4,
            push_pull_interval: Duration::from_secs(30),
            stream_timeout: Duration::from_secs(10),
            reconnect_interval: Duration::from_secs(30),
            reconnect_timeout: Duration::from_secs(72 * 3600),
            tombstone_timeout: Duration::from_secs(24 * 3600),
            reap_interval: Duration::from_secs(15),
            recent_intent_timeout: Duration::from_secs(300),
            broadcast_timeout: Duration::from_secs(5),
            leave_propagate_delay: Duration::from_secs(3),
        }
    }

    /// The shortest suspicion in a cluster of `nodes`.
    pub(super) fn suspicion_min(&self, nodes: usize) -> Duration {
        let scale = (nodes.max(1) as f64).log10().max(1.0);
        // Thousandths, cut off: as the protocol has it.
        self.probe_interval.saturating_mul(self.suspicion_mult) * ((scale * 1000.0) as u32) / 1000
    }

    /// How often a rumour is sent in a cluster of `nodes`.
    pub(super) fn retransmit_limit(&self, nodes: usize) -> u32 {
        self.retransmit_mult * ((nodes + 1) as f64).log10().ceil() as u32
    }

    /// How often the whole state is exchanged in a cluster of `nodes`: less often in a large one.
    pub(super) fn push_pull(&self, nodes: usize) -> Duration {
        const UNSCALED: usize = 32;
        if nodes <= UNSCALED {
            return self.push_pull_interval;
        }
        self.push_pull_interval * (((nodes as f64).log2() - (UNSCALED as f64).log2()).ceil() as u32 + 1)
    }
}

/// Something that happens at `next` and every `every` after it.
///
/// Instants nobody waited for are skipped, never caught up on.
#[derive(Debug, Clone)]
pub(super) struct Ticker {
    pub(super) next: Duration,
    every: Duration,
}

impl Ticker {
    /// First at `next`.
    pub(super) fn new(next: Duration, every: Duration) -> Self {
        Self { next, every: every.max(Duration::from_millis(1)) }
    }

    /// Moves on to the first of its instants after `now`.
    pub(super) fn skip(&mut self, now: Duration) {
        if self.next <= now {
            self.next = self.at_or_after(now + Duration::from_nanos(1));
        }
    }

    /// Starts again at `now`, from now on `every`.
    pub(super) fn restart(&mut self, now: Duration, every: Duration) {
        *self = Self::new(now + every, every);
    }

    /// The first of its instants not before `at`, nor before the next.
    pub(super) fn at_or_after(&self, at: Duration) -> Duration {
        let behind = at.saturating_sub(self.next).as_nanos();
        let steps = behind.div_ceil(self.every.as_nanos());
        let nanos = u64::try_from(steps * self.every.as_nanos()).unwrap_or(u64::MAX);
        self.next.saturating_add(Duration::from_nanos(nanos))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Ticker, Timing};

    #[test]
    fn formulas_are_those_of_the_protocol() {
        let timing = Timing::lan();
        for (nodes, suspicion_ms, retransmits, push_pull_s) in [
            (1, 4_000, 4, 30),
            (4, 4_000, 4, 30),
            (10, 4_000, 8, 30),
            (32, 6_020, 8, 30),
            (33, 6_072, 8, 60),
            (64, 7_224, 8, 60),
            (65, 7_248, 8, 90),
            (100, 8_000, 12, 90),
        ] {
            assert_eq!(timing.suspicion_min(nodes), Duration::from_millis(suspicion_ms), "{nodes}");
            assert_eq!(timing.retransmit_limit(nodes), retransmits, "{nodes}");
            assert_eq!(timing.push_pull(nodes), Duration::from_secs(push_pull_s), "{nodes}");
        }
    }

    #[test]
    fn a_ticker_skips_what_nobody_waited_for() {
        let ms = Duration::from_millis;
        let mut ticker = Ticker::new(ms(70), ms(200));
        ticker.skip(ms(69));
        assert_eq!(ticker.next, ms(70));
        ticker.skip(ms(70));
        assert_eq!(ticker.next, ms(270));
        ticker.skip(ms(1_000));
        assert_eq!(ticker.next, ms(1_070));
        assert_eq!(ticker.at_or_after(ms(1_071)), ms(1_270));
        assert_eq!(ticker.at_or_after(ms(1)), ms(1_070));
    }
}
