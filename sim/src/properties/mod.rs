//! What must hold of every run, as pure functions of its record.
//!
//! One pass over the events feeds every property; each lives in a file of its own whose head says what
//! exactly it demands. What several need to know of the machines is folded once, in `state` and `ledgers`.
//!
//! The rule a change must keep: a property reads the record and nothing else, so whoever has a record can
//! check it again and comes to the same verdict. An event that is missing for that belongs in the record.

mod agreement;
pub(crate) mod convergence;
mod ledgers;
mod lock_delay;
mod once;
mod one_holder;
mod one_leader;
mod one_primary;
mod order;
mod resurrection;
mod session_leak;
mod session_ttl;
pub mod sometimes;
pub(crate) mod state;
pub(crate) mod steadiness;
mod watches_wake;
mod writes;
mod writes_go_on;

#[cfg(test)]
pub(crate) mod testing;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::convergence::Convergence;
use self::ledgers::Ledgers;
use self::lock_delay::LockDelay;
use self::one_holder::OneHolder;
use self::one_leader::OneLeader;
use self::one_primary::OnePrimary;
use self::order::Order;
use self::resurrection::Resurrection;
use self::session_leak::SessionLeak;
use self::session_ttl::SessionTtl;
use self::state::State;
use self::watches_wake::WatchesWake;
use self::writes::Writes;
use self::writes_go_on::WritesGoOn;
use crate::record::{Event, Record};

/// The machine a violation is put down to when it is nobody's in particular.
pub const CLUSTER: &str = "cluster";

/// The name a primary is in the catalog under.
const PRIMARY: &str = "mysql-primary";

/// The machine Consul runs on.
const CONSUL: &str = "consul";

/// Everything that does not hold of `record`, in the order of the events.
pub fn check(record: &Record) -> Vec<Violation> {
    let mut state = State::default();
    let mut one_primary = OnePrimary::default();
    let mut session_ttl = SessionTtl::default();
    let mut lock_delay = LockDelay::default();
    let mut one_holder = OneHolder::default();
    let mut one_leader = OneLeader::default();
    let mut watches_wake = WatchesWake::new(&record.header.plan);
    let mut convergence = Convergence::new(&record.header);
    let mut ledgers = Ledgers::default();
    let mut writes = Writes::default();
    let mut writes_go_on = WritesGoOn::default();
    let mut order = Order::default();
    let mut resurrection = Resurrection::default();
    let mut session_leak = SessionLeak::default();
    let mut violations = Vec::new();
    for event in &record.events {
        convergence.before(event, &state);
        state.apply(event);
        ledgers.apply(event);
        one_primary.see(event, &state, &mut violations);
        session_ttl.see(event, &mut violations);
        lock_delay.see(event);
        one_holder.see(event, &mut violations);
        one_leader.see(event, &mut violations);
        watches_wake.see(event, &mut violations);
        convergence.see(event);
        writes.see(event, &state);
        writes_go_on.see(event);
        order.see(event, &ledgers);
        resurrection.see(event, &mut violations);
        session_leak.see(event, &mut violations);
    }
    lock_delay.finish(&mut violations);
    if let Some(whole) = convergence.finish(&state, &mut violations) {
        writes_go_on.finish(whole, &mut violations);
    }
    writes.finish(&ledgers, &mut violations);
    once::finish(&ledgers, &mut violations);
    order.finish(&ledgers, &mut violations);
    agreement::finish(&state, &ledgers, record.events.last(), &mut violations);
    if record.header.plan.warps_consul() {
        // Consul keeps its times by its own clocks, which the record's time is not.
        let by_the_clock = [Property::SessionTtl, Property::LockDelay, Property::OneLeader];
        violations.retain(|violation| !by_the_clock.contains(&violation.property));
    }
    violations.sort_by_key(|violation| violation.step);
    violations
}

/// From the end of the last fault to the moment since which the cluster of `record` was whole up to the
/// deadline, or to the end of a run that was over before because it had been whole for so long; `None` when it
/// was not whole then, or when the record ends before.
pub fn recovery(record: &Record) -> Option<Duration> {
    let mut state = State::default();
    let mut convergence = Convergence::new(&record.header);
    for event in &record.events {
        convergence.before(event, &state);
        state.apply(event);
        convergence.see(event);
    }
    convergence.recovery(&state)
}

/// A property.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Property {
    /// Never two instances that take writes and follow nobody.
    OneWritablePrimary,
    /// A session lives at least its TTL after the last renewal and is gone by twice its TTL.
    SessionTtl,
    /// A lock is never taken again inside its lock-delay.
    LockDelay,
    /// A lock has one holder at a time.
    OneHolder,
    /// Of Consul's servers one leads.
    OneLeader,
    /// A blocking query is answered when what it waits for changes.
    WatchesWake,
    /// After the faults, one healthy primary and all others replicating from it, within the bound.
    ClusterConverges,
    /// No acknowledged write is lost while an instance that had received it survived, and none is thrown
    /// away.
    AcknowledgedWritesSurvive,
    /// In the end, a cluster that is whole acknowledges writes.
    WritesGoOn,
    /// In the end a write is one transaction, and a transaction one write, on all instances that run.
    WritesHappenOnce,
    /// No instance holds a client's write without the one the same database acknowledged to it before.
    WritesInOrder,
    /// In the end, an instance that follows the primary holds nothing that the primary does not.
    ReplicasAgree,
    /// What a client was told did not happen never shows on any instance.
    NoResurrection,
    /// Nobody leaves sessions behind that it has used.
    NoSessionLeak,
}

impl Property {
    /// Every property.
    pub const ALL: [Self; 14] = [
        Self::OneWritablePrimary,
        Self::SessionTtl,
        Self::LockDelay,
        Self::OneHolder,
        Self::OneLeader,
        Self::WatchesWake,
        Self::ClusterConverges,
        Self::AcknowledgedWritesSurvive,
        Self::WritesGoOn,
        Self::WritesHappenOnce,
        Self::WritesInOrder,
        Self::ReplicasAgree,
        Self::NoResurrection,
        Self::NoSessionLeak,
    ];

    /// Its name in scenario files and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OneWritablePrimary => "one-writable-primary",
            Self::SessionTtl => "session-ttl",
            Self::LockDelay => "lock-delay",
            Self::OneHolder => "one-holder",
            Self::OneLeader => "one-leader",
            Self::WatchesWake => "watches-wake",
            Self::ClusterConverges => "cluster-converges",
            Self::AcknowledgedWritesSurvive => "acknowledged-writes-survive",
            Self::WritesGoOn => "writes-go-on",
            Self::WritesHappenOnce => "writes-happen-once",
            Self::WritesInOrder => "writes-in-order",
            Self::ReplicasAgree => "replicas-agree",
            Self::NoResurrection => "no-resurrection",
            Self::NoSessionLeak => "no-session-leak",
        }
    }
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A property that did not hold, and where.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Violation {
    /// Which property.
    pub property: Property,
    /// The event at which it no longer held.
    pub step: u64,
    /// When that was.
    pub at: Duration,
    /// On which machine.
    pub host: String,
    /// What was seen, in a sentence.
    pub detail: String,
}

impl Violation {
    fn at(event: &Event, property: Property, detail: String) -> Self {
        Self { property, step: event.step, at: event.at, host: event.host.clone(), detail }
    }
}

/// Whether a fault keeps a server from doing anything at all.
fn silences(fault: &str) -> bool {
    matches!(fault.split_whitespace().next(), Some("kill" | "power-loss" | "stop" | "lose-disk" | "pause"))
}

/// Faults are recorded in words that begin with their kind.
fn is_pause(fault: &str) -> bool {
    fault.split_whitespace().next() == Some("pause")
}

/// A moment of a run as details write it: `128.417 s`.
fn moment(at: Duration) -> String {
    format!("{}.{:03} s", at.as_secs(), at.subsec_millis())
}
