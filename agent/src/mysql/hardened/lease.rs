//! The agent's session, and the lease on it.
//!
//! Consul ends a session no earlier than its TTL after it *received* the last renewal, so a lease counted
//! from the moment the renewal was *sent*, on this machine's own clock, ends earlier for sure. It is kept
//! shorter still by a quarter of the TTL: that is the time a primary has to become read-only before
//! anybody else could be given its lock. A failed renewal loses nothing yet; it is repeated until the
//! lease ends, and after that too, for the session may well have lived on.
//!
//! Consul can also end a session early: with its node, or with everything it knew. So the holder of the
//! lock has a beat of its own, which the others see: a renewal extends its lease only together with the beat
//! that was sent beside it, and nobody succeeds it before the last beat is as old as a lease is long.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join;
use rand::RngExt;
use tokio::sync::Notify;

use crate::consul::{Consul, SessionChecks, SessionSpec};
use crate::host::{Host, within};
use crate::journal::{Entry, Level};
use crate::planted::{self, Bug};

/// The session and until when it can be relied on.
#[derive(Debug, Default)]
struct State {
    session: Option<String>,
    valid_until: Duration,
    /// Since when it has been valid without a gap, or, where it is not, would have been.
    since: Duration,
}

/// A handle to the lease; clones share it.
#[derive(Clone)]
pub(super) struct Lease<H: Host> {
    host: H,
    consul: Consul<H>,
    /// What its sessions are called.
    name: String,
    ttl: Duration,
    lock_delay: Duration,
    state: Rc<RefCell<State>>,
    changed: Rc<Notify>,
}

impl<H: Host> Lease<H> {
    pub(super) fn new(
        host: H,
        consul: Consul<H>,
        name: String,
        ttl: Duration,
        lock_delay: Duration,
        changed: Rc<Notify>,
    ) -> Self {
        Self { host, consul, name, ttl, lock_delay, state: Rc::default(), changed }
    }

    /// How long a lease is, from when its renewal was sent.
    pub(super) fn length(&self) -> Duration {
        self.ttl * 3 / 4
    }

    /// The session, while the lease is valid.
    pub(super) fn valid(&self) -> Option<String> {
        let state = self.state.borrow();
        state.session.clone().filter(|_| self.clock() < state.valid_until)
    }

    /// What a lease is counted by.
    fn clock(&self) -> Duration {
        if planted::is(Bug::WallClockLease) { self.host.unix_time() } else { self.host.now() }
    }

    /// For how long the lease has been valid without a gap.
    pub(super) fn age(&self) -> Duration {
        match self.valid() {
            Some(_) => self.host.now().saturating_sub(self.state.borrow().since),
            None => Duration::ZERO,
        }
    }

    /// Completes when the lease is not valid.
    pub(super) async fn ended(&self) {
        loop {
            let changed = self.changed.notified();
            let left = {
                let state = self.state.borrow();
                state.session.as_ref().and_then(|_| state.valid_until.checked_sub(self.clock()))
            };
            match left.filter(|left| !left.is_zero()) {
                None => return,
                Some(left) => tokio::select! {
                    biased;
                    () = self.host.sleep(left) => {}
                    () = changed => {}
                },
            }
        }
    }

    /// Creates the session, renews it with a `beat` beside every renewal, creates a new one when it is gone.
    /// Never ends.
    pub(super) async fn keep<B: Future<Output = Result<(), String>>>(&self, beat: impl Fn(String) -> B) {
        let mut random = self.host.random("lease");
        loop {
            let (sent, counted) = (self.host.now(), self.clock());
            let session = self.state.borrow().session.clone();
            let attempt = self.ttl / 3;
            let (renewed, beaten) = match &session {
                // Nothing is held under a session that is not there yet.
                None => {
                    let created = within(&self.host, attempt, self.create()).await;
                    (created.map(|created| created.map(Some)), Ok(()))
                }
                // Both count from when they were sent, so neither has to wait for the other.
                Some(id) => {
                    let (renewed, beaten) = join(
                        within(&self.host, attempt, self.consul.session().renew(id)),
                        within(&self.host, attempt, beat(id.clone())),
                    )
                    .await;
                    let renewed = renewed.map(|renewed| renewed.map(|alive| alive.then(|| id.clone())));
                    (renewed, beaten.unwrap_or_else(|| Err("no answer in time".to_owned())))
                }
            };
            let failed = !matches!(renewed, Some(Ok(_)));
            if planted::is(Bug::FailedRenewalCounts) && failed {
                self.state.borrow_mut().valid_until = counted + self.length();
            }
            if planted::is(Bug::RenewalGivenUp) && failed {
                std::future::pending::<()>().await;
            }
            let pause = match (renewed, beaten) {
                (Some(Ok(None)), _) if planted::is(Bug::DeadSessionKept) => self.ttl / 20,
                (Some(Ok(Some(_))), Err(error)) => {
                    self.log(&format!("renewed, and nobody told: {error}"));
                    jitter(&mut random, self.ttl / 20)
                }
                (Some(Ok(Some(id))), Ok(())) => {
                    let news = session.as_deref() != Some(&id) || self.valid().is_none();
                    let since = if news { self.host.now() } else { self.state.borrow().since };
                    let mut valid_until = counted + self.length();
                    if planted::is(Bug::LateDemotion) {
                        valid_until = counted + 2 * self.ttl + self.lock_delay;
                    }
                    *self.state.borrow_mut() = State { session: Some(id), valid_until, since };
                    if news {
                        self.changed.notify_waiters();
                    }
                    attempt.saturating_sub(self.host.now().saturating_sub(sent))
                }
                (Some(Ok(None)), _) => {
                    self.log("the session is gone");
                    *self.state.borrow_mut() = State::default();
                    self.changed.notify_waiters();
                    Duration::ZERO
                }
                (Some(Err(error)), _) => {
                    self.log(&error.to_string());
                    jitter(&mut random, self.ttl / 20)
                }
                (None, _) => {
                    self.log("no answer to a renewal in time");
                    jitter(&mut random, self.ttl / 20)
                }
            };
            if planted::is(Bug::BackOffWithoutCap) && failed {
                // As long again as it has failed already.
                let failing = self.clock().saturating_sub(self.state.borrow().valid_until);
                self.host.sleep(failing).await;
            }
            self.host.sleep(pause).await;
        }
    }

    async fn create(&self) -> crate::consul::Result<String> {
        let spec = SessionSpec {
            ttl: Some(self.ttl),
            lock_delay: self.lock_delay,
            // Only the agent's own silence ends it: a flap of the node's health deposes nobody.
            checks: SessionChecks::None,
            ..SessionSpec::new(self.name.clone())
        };
        self.consul.session().create(&spec).await
    }

    /// Ends the session for good.
    pub(super) async fn destroy(&self) {
        let session = std::mem::take(&mut *self.state.borrow_mut()).session;
        if let Some(session) = session
            && let Err(error) = self.consul.session().destroy(&session).await
        {
            self.log(&error.to_string());
        }
    }

    fn log(&self, message: &str) {
        self.host.journal(Entry::log(Level::Warn, "lease", message));
    }
}

fn jitter(random: &mut impl rand::Rng, around: Duration) -> Duration {
    around.mul_f64(random.random_range(0.5..1.5))
}
