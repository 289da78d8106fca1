//! One run: a spec, a seed and a plan become a record and what is wrong with it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::plan::FaultPlan;
use crate::properties::Violation;
use crate::record::Record;
use crate::seed::Seed;
use crate::spec::Spec;

/// What one run yielded.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Everything that happened.
    pub record: Record,
    /// Every property that did not hold, in the order of their events.
    pub violations: Vec<Violation>,
    /// From the end of the last fault to the cluster being whole for good; `None` when it was not whole
    /// at the deadline.
    pub recovery: Option<Duration>,
}

/// Runs `spec` under `seed` with the faults of `plan`.
///
/// `scenario` is the name the record carries.
pub fn run(spec: &Spec, scenario: &str, seed: Seed, plan: &FaultPlan) -> Run {
    let _ = (spec, scenario, seed, plan);
    unimplemented!("the world is not built yet")
}

/// The time a cluster of `spec` may take to be whole again.
pub fn recovery_bound(spec: &Spec) -> Duration {
    let cluster = &spec.cluster;
    2 * cluster.session_ttl + cluster.lock_delay + cluster.watch_interval + 2 * cluster.health_interval
}

/// Whether a run should fail, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every property held.
    Held,
    /// At least one did not.
    Violated,
}
