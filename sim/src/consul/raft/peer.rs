//! A leader's view of one follower: a track of heartbeats and a track of log records.
//!
//! The record track starts careful, one call at a time, walking back until the logs agree. After a success
//! it trusts the follower and pipelines: it sends what is new without waiting for the answers, until one of
//! them is a refusal or does not come.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use rand_chacha::ChaCha8Rng;

use super::call::{Call, Sender};
use super::{Message, Timing, VerifyToken, timing};

/// The most calls that wait for an answer.
const MOST_CALLS: usize = 128;

/// Why a follower did not take records.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refusal {
    pub(super) last_index: u64,
    pub(super) at_once: bool,
}

/// What the heartbeat track waits for.
#[derive(Debug)]
enum Beating {
    /// The next beat, or somebody who asks for one.
    Idle(Duration),
    /// The answer.
    Answer(Call),
    /// The end of the pause after a failure.
    Pause(Duration),
}

/// What the record track waits for. While it pipelines it is always idle.
#[derive(Debug)]
enum Replicating {
    /// News, or the time to repeat the commit index.
    Idle(Duration),
    /// The answer to the one call there is.
    Answer,
    /// The end of the pause after a failure.
    Pause(Duration),
}

/// A follower, to its leader.
#[derive(Debug)]
pub(super) struct Peer {
    contact: Duration,
    round_trip: Duration,
    asked: BTreeSet<VerifyToken>,

    beating: Beating,
    beat_wanted: bool,
    beat_failures: u32,

    replicating: Replicating,
    triggered: bool,
    failures: u32,
    calls: VecDeque<Call>,
    next: u64,
    matched: u64,
    /// The next index to send ahead of the answers.
    pipeline: Option<u64>,
}

impl Peer {
    pub(super) fn new(next: u64, now: Duration, timing: &Timing, stream: &mut ChaCha8Rng) -> Self {
        Self {
            contact: now,
            round_trip: Duration::ZERO,
            asked: BTreeSet::new(),
            beating: Beating::Idle(timing::between(stream, now, timing.heartbeat / 10)),
            beat_wanted: false,
            beat_failures: 0,
            replicating: Replicating::Idle(now),
            triggered: true,
            failures: 0,
            calls: VecDeque::new(),
            next,
            matched: 0,
            pipeline: None,
        }
    }

    /// When it last answered anything.
    pub(super) fn contact(&self) -> Duration {
        self.contact
    }

    /// The index up to which its log is known to be the leader's.
    pub(super) fn matched(&self) -> u64 {
        self.matched
    }

    /// There is something new in the log.
    pub(super) fn trigger(&mut self) {
        self.triggered = true;
    }

    /// The next answer counts for `token`, and is wanted at once.
    pub(super) fn ask(&mut self, token: VerifyToken) {
        self.asked.insert(token);
        self.beat_wanted = true;
    }

    /// `token` needs no answer any more.
    pub(super) fn spare(&mut self, token: VerifyToken) {
        self.asked.remove(&token);
    }

    pub(super) fn deadline(&self) -> Duration {
        let beat = match &self.beating {
            Beating::Idle(_) if self.beat_wanted => Duration::ZERO,
            Beating::Idle(at) | Beating::Pause(at) => *at,
            Beating::Answer(call) => call.deadline(),
        };
        let records = match self.replicating {
            Replicating::Idle(_) if self.triggered => Duration::ZERO,
            Replicating::Idle(at) | Replicating::Pause(at) => at,
            Replicating::Answer => Duration::MAX,
        };
        let call = self.calls.front().map_or(Duration::MAX, Call::deadline);
        beat.min(records).min(call)
    }

    /// Does what is due.
    pub(super) fn due<C: Clone>(&mut self, sender: &mut Sender<'_, C>) {
        let now = sender.now;
        match &mut self.beating {
            Beating::Idle(at) if self.beat_wanted || *at <= now => self.send_beat(sender),
            Beating::Answer(call) if call.fails <= now => self.beat_failed(sender),
            Beating::Answer(call) if call.is_lost(now) => {
                call.resent(now);
                let message = Message::Heartbeat { term: sender.term, call: call.number };
                sender.send(message);
            }
            Beating::Pause(at) if *at <= now => self.beating = Beating::Idle(sender.beat_idle()),
            _ => {}
        }
        match self.calls.front_mut() {
            Some(call) if call.fails <= now => self.call_failed(sender),
            Some(call) if call.is_lost(now) => match self.pipeline.take() {
                Some(_) => {
                    self.calls.clear();
                    self.call(sender);
                }
                None => {
                    call.resent(now);
                    if let Some((message, _)) = sender.records(call.number, self.next) {
                        sender.send(message);
                    }
                }
            },
            _ => {}
        }
        match self.replicating {
            Replicating::Idle(at) if self.triggered || at <= now => {
                self.triggered = false;
                match self.pipeline {
                    Some(next) => self.stream(next, sender),
                    None => self.call_or_pause(sender),
                }
            }
            Replicating::Pause(at) if at <= now => self.call(sender),
            _ => {}
        }
    }

    /// Every call has failed.
    pub(super) fn fail<C: Clone>(&mut self, sender: &mut Sender<'_, C>) {
        if matches!(self.beating, Beating::Answer(_)) {
            self.beat_failed(sender);
        }
        if !self.calls.is_empty() || self.pipeline.is_some() {
            self.call_failed(sender);
        }
    }

    fn send_beat<C: Clone>(&mut self, sender: &mut Sender<'_, C>) {
        self.beat_wanted = false;
        let number = sender.number();
        let message = Message::Heartbeat { term: sender.term, call: number };
        self.beating = Beating::Answer(Call::new(number, self.round_trip, &message, sender));
        sender.send(message);
    }

    fn beat_failed<C>(&mut self, sender: &mut Sender<'_, C>) {
        self.beat_failures = self.beat_failures.saturating_add(1);
        self.beating = Beating::Pause(sender.now + sender.timing.backoff(self.beat_failures));
    }

    /// Takes the answer to a heartbeat and gives the verifications it counts for, unless it comes late.
    pub(super) fn beat<C: Clone>(&mut self, number: u64, sender: &mut Sender<'_, C>) -> Vec<VerifyToken> {
        match &self.beating {
            Beating::Answer(call) if call.number == number => self.answered(call.sent, sender.now),
            _ => return Vec::new(),
        }
        self.beat_failures = 0;
        self.beating = Beating::Idle(sender.beat_idle());
        self.take_asked()
    }

    /// Takes the answer to records or a snapshot and gives the verifications it counts for. An answer that
    /// comes late still tells what the follower has.
    pub(super) fn appended<C: Clone>(
        &mut self,
        number: u64,
        outcome: Result<u64, Refusal>,
        sender: &mut Sender<'_, C>,
    ) -> Vec<VerifyToken> {
        let last = sender.log.last().0;
        if let Ok(matched) = outcome {
            self.matched = self.matched.max(matched.min(last));
            self.next = self.next.max(self.matched + 1);
        }
        let Some(position) = self.calls.iter().position(|call| call.number == number) else {
            return Vec::new();
        };
        self.answered(self.calls[position].sent, sender.now);
        self.calls.drain(..=position);
        match (outcome, self.pipeline) {
            (Ok(_), Some(next)) => self.triggered |= next <= last,
            (Ok(_), None) => {
                self.failures = 0;
                if self.next <= last {
                    self.call(sender);
                } else {
                    self.pipeline = Some(self.next);
                    self.replicating = Replicating::Idle(sender.idle());
                }
            }
            (Err(_), Some(_)) => {
                self.pipeline = None;
                self.calls.clear();
                self.replicating = Replicating::Idle(sender.idle());
            }
            (Err(refusal), None) => {
                let before = self.next.saturating_sub(1);
                self.next = before.min(refusal.last_index.saturating_add(1)).max(1);
                self.failures = if refusal.at_once { 0 } else { self.failures.saturating_add(1) };
                self.call_or_pause(sender);
            }
        }
        if outcome.is_ok() { self.take_asked() } else { Vec::new() }
    }

    fn answered(&mut self, sent: Duration, now: Duration) {
        self.contact = now;
        self.round_trip = now.saturating_sub(sent);
    }

    fn take_asked(&mut self) -> Vec<VerifyToken> {
        std::mem::take(&mut self.asked).into_iter().collect()
    }

    fn call_failed<C: Clone>(&mut self, sender: &mut Sender<'_, C>) {
        self.calls.clear();
        if self.pipeline.take().is_none() {
            self.failures = self.failures.saturating_add(1);
        }
        self.replicating = Replicating::Idle(sender.idle());
    }

    fn call_or_pause<C: Clone>(&mut self, sender: &mut Sender<'_, C>) {
        match self.failures {
            0 => self.call(sender),
            failures => self.replicating = Replicating::Pause(sender.now + sender.timing.backoff(failures)),
        }
    }

    /// Sends one careful call.
    fn call<C: Clone>(&mut self, sender: &mut Sender<'_, C>) {
        let number = sender.number();
        let Some((message, _)) = sender.records(number, self.next) else {
            self.call_failed(sender);
            return;
        };
        self.calls.push_back(Call::new(number, self.round_trip, &message, sender));
        self.replicating = Replicating::Answer;
        sender.send(message);
    }

    /// Sends everything from `next` on, or nothing but the commit index, without waiting for answers.
    fn stream<C: Clone>(&mut self, mut next: u64, sender: &mut Sender<'_, C>) {
        self.replicating = Replicating::Idle(sender.idle());
        while self.calls.len() < MOST_CALLS {
            let number = sender.number();
            match sender.records(number, next) {
                Some((message @ Message::Append { .. }, after)) => {
                    self.calls.push_back(Call::new(number, self.round_trip, &message, sender));
                    sender.send(message);
                    next = after;
                }
                _ => {
                    self.pipeline = None;
                    self.calls.clear();
                    self.triggered = true;
                    return;
                }
            }
            self.pipeline = Some(next);
            if next > sender.log.last().0 {
                break;
            }
        }
    }
}
