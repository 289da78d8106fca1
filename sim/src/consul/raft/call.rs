//! What a leader sends a follower with, and what it remembers until the answer.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;

use super::log::Log;
use super::{Message, Output, ServerId, Timing, timing};

/// The most records in one message.
const MOST_RECORDS: usize = 64;
/// A snapshot has one call's time to arrive for each so many bytes.
const SNAPSHOT_PACE: usize = 256 * 1024;

/// What a leader lends a peer to send with.
pub(super) struct Sender<'a, C> {
    pub(super) to: ServerId,
    pub(super) now: Duration,
    pub(super) timing: &'a Timing,
    pub(super) stream: &'a mut ChaCha8Rng,
    pub(super) calls: &'a mut u64,
    pub(super) term: u64,
    pub(super) commit: u64,
    pub(super) log: &'a Log<C>,
    pub(super) outputs: &'a mut Vec<Output<C>>,
}

impl<C: Clone> Sender<'_, C> {
    pub(super) fn send(&mut self, message: Message<C>) {
        self.outputs.push(Output::Send { to: self.to, message });
    }

    pub(super) fn number(&mut self) -> u64 {
        *self.calls += 1;
        *self.calls
    }

    pub(super) fn idle(&mut self) -> Duration {
        timing::between(self.stream, self.now, self.timing.commit)
    }

    pub(super) fn beat_idle(&mut self) -> Duration {
        timing::between(self.stream, self.now, self.timing.heartbeat / 10)
    }

    /// The records from `next` on, and the index after them, or a snapshot if the log no longer has them.
    pub(super) fn records(&self, call: u64, next: u64) -> Option<(Message<C>, u64)> {
        let next = next.min(self.log.last().0 + 1);
        let (term, commit, previous_index) = (self.term, self.commit, next - 1);
        match self.log.term_at(previous_index) {
            Some(previous_term) if next > self.log.last().0 || self.log.get(next).is_some() => {
                let records = self.log.from(next, MOST_RECORDS);
                let after = next + records.len() as u64;
                let append = Message::Append { term, call, previous_index, previous_term, commit, records };
                Some((append, after))
            }
            _ => {
                let snapshot = self.log.snapshot()?.clone();
                let after = snapshot.index + 1;
                Some((Message::Install { term, call, snapshot }, after))
            }
        }
    }
}

/// A call that waits for its answer.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) number: u64,
    pub(super) sent: Duration,
    pub(super) fails: Duration,
    resend: Option<Duration>,
    pause: Duration,
}

impl Call {
    pub(super) fn new<C>(
        number: u64,
        round_trip: Duration,
        message: &Message<C>,
        sender: &Sender<'_, C>,
    ) -> Self {
        let (parts, resends) = match message {
            Message::Install { snapshot, .. } => (1 + snapshot.bytes.len() / SNAPSHOT_PACE, false),
            _ => (1, true),
        };
        let pause = sender.timing.resend + round_trip;
        Self {
            number,
            sent: sender.now,
            fails: sender.now + sender.timing.call * u32::try_from(parts).unwrap_or(u32::MAX),
            resend: resends.then_some(sender.now + pause),
            pause,
        }
    }

    pub(super) fn deadline(&self) -> Duration {
        self.resend.map_or(self.fails, |resend| resend.min(self.fails))
    }

    pub(super) fn is_lost(&self, now: Duration) -> bool {
        self.resend.is_some_and(|resend| resend <= now)
    }

    pub(super) fn resent(&mut self, now: Duration) {
        self.pause *= 2;
        self.resend = Some(now + self.pause);
    }
}
