//! One run: a spec, a seed and a plan become a record and what is wrong with it.

use std::time::Duration;

use crate::plan::{Fault, FaultKind, FaultPlan, Target, Targets};
use crate::properties::{self, Violation};
use crate::record::Record;
use crate::seed::Seed;
use crate::spec::{Handlers, Spec};
use crate::world;

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
/// `scenario` is the name the record carries. The same arguments yield the same record, to the byte.
///
/// # Panics
/// When another run is under way on the same thread.
pub fn run(spec: &Spec, scenario: &str, seed: Seed, plan: &FaultPlan) -> Run {
    let record = world::fly(spec, scenario, seed, plan, steady(spec));
    let violations = properties::check(&record);
    let recovery = properties::recovery(&record);
    Run { record, violations, recovery }
}

/// The names of all machines a run of `spec` with the faults of `plan` has.
pub fn machines(spec: &Spec, plan: &FaultPlan) -> Vec<String> {
    world::Layout::new(spec, plan).into_names()
}

/// From when on the cluster is given its time to be whole: all faults are over and all instances started.
pub fn quiet_at(spec: &Spec, plan: &FaultPlan) -> Duration {
    let count = |instances: usize| u32::try_from(instances).unwrap_or(u32::MAX);
    let others = count(spec.cluster.instances.saturating_sub(1));
    let over_at = |fault: &Fault| match fault.kind {
        FaultKind::Roll { every } => fault.at.to + every * count(most_instances(spec, plan)),
        FaultKind::Scale { .. } => fault.at.to + world::GRACE,
        _ => Duration::ZERO,
    };
    let upgraded = plan.faults.iter().map(over_at).max().unwrap_or_default();
    plan.quiet_at().max(upgraded).max(spec.cluster.start_interval * others)
}

/// How many instances the scheduler keeps once all faults are over.
pub fn instances(spec: &Spec, plan: &FaultPlan) -> usize {
    let scaled = plan.faults.iter().filter_map(|fault| Some((fault.at.from, scaled_to(fault)?)));
    scaled.max_by_key(|(at, _)| *at).map_or(spec.cluster.instances, |(_, instances)| instances)
}

/// The most instances the scheduler ever keeps.
pub fn most_instances(spec: &Spec, plan: &FaultPlan) -> usize {
    plan.faults.iter().filter_map(scaled_to).chain([spec.cluster.instances]).max().unwrap_or_default()
}

fn scaled_to(fault: &Fault) -> Option<usize> {
    match fault.kind {
        FaultKind::Scale { instances } => Some(instances),
        _ => None,
    }
}

/// The time a cluster of `spec` may take from then on to be whole.
///
/// It is the sum of what can follow on each other at worst:
///
/// - the dead holder's session, which Consul ends at twice its TTL, and then the lock-delay;
/// - where Consul itself has several servers: its own election, and the session's time once more;
/// - one poll of the watch, and two health checks until the new role is known and passing;
/// - a new container: its start, and a data directory either set up, copied and restored, or just
///   restored; the object store is asked twice, and a database may have to start twice (once to be set
///   up, once for good); what a replica holds back it has still to apply.
pub fn recovery_bound(spec: &Spec) -> Duration {
    let Spec { scheduler, mysql, store, .. } = spec;
    let provisioning = scheduler.replacement.to
        + mysql.install.to
        + mysql.backup.to
        + mysql.restore.to
        + 2 * mysql.copying()
        + mysql.apply_lag.to
        + 2 * mysql.longest_start()
        + 2 * store.latency.to;
    election_bound(spec) + noticing(spec) + provisioning
}

/// How long a cluster of `spec` must have been whole for its run to end: until then whatever was pending when
/// it became whole has come to its end. That is every session and lock-delay, Consul's own election, one more
/// round of the watch and of health checks, and what clients were waiting for and a few writes after it.
pub fn steady(spec: &Spec) -> Duration {
    let pending = election_bound(spec) + noticing(spec);
    pending + CLIENTS_WAIT + 4 * spec.workload.interval.to
}

/// How long a client waits for its database, and a little more.
const CLIENTS_WAIT: Duration = Duration::from_secs(15);

/// A dead holder's session and its lock-delay; where Consul has several servers its own election, whose new
/// leader gives every session all of its time again.
fn election_bound(spec: &Spec) -> Duration {
    let Spec { cluster, consul, .. } = spec;
    let failover =
        if consul.servers > 1 { consul.outage() + 2 * cluster.session_ttl } else { Duration::ZERO };
    2 * cluster.session_ttl + cluster.lock_delay + failover
}

/// One poll of the watch, and two health checks.
fn noticing(spec: &Spec) -> Duration {
    spec.cluster.watch_interval + 2 * spec.cluster.health_interval
}

/// What an election of hardened handlers may wait in addition, for instances that hold what nobody else
/// does and that the faults of `plan` may have taken away for good. It takes as many of them at once as a
/// write has copies; with fewer away there is always somebody left who knows.
pub fn patience(spec: &Spec, plan: &FaultPlan) -> Duration {
    let Spec { cluster, .. } = spec;
    let one = |target: &Target| match target {
        Target::Leader
        | Target::Primary
        | Target::Replica
        | Target::MostAdvancedReplica
        | Target::Anyone
        | Target::Newest
        | Target::Oldest => 1,
        Target::Replicas | Target::Instances | Target::Unhealthy | Target::Everything => cluster.instances,
        Target::Host(name) if name.starts_with("mysql-") => 1,
        _ => 0,
    };
    let several = |targets: &Targets| targets.iter().map(one).sum::<usize>();
    let away = |fault: &Fault| match (several(&fault.target), fault.kind.peer().map(several)) {
        (target, None) if fault.kind.may_end_container() || fault.kind == FaultKind::Pause => target,
        (_, None) if let FaultKind::Scale { instances } = fault.kind => {
            cluster.instances.saturating_sub(instances)
        }
        // Who cannot reach another instance is still there to be asked.
        (target, Some(peer)) if target == 0 || peer == 0 => target + peer,
        _ => 0,
    };
    let away: usize = plan.faults.iter().map(away).sum();
    if cluster.handlers == Handlers::Hardened && away >= cluster.instances.min(2) {
        // Who waits for ever waits for somebody who comes back.
        cluster.patience().unwrap_or_default()
    } else {
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_election_is_waited_for_where_as_many_may_be_gone_as_a_write_has_copies() {
        let fault = |target: &str, kind: &str| {
            format!("[[fault]]\nat = \"5m\"\ntarget = \"{target}\"\nkind = \"{kind}\"\n")
        };
        let lasting = |target: &str, kind: &str| format!("{}for = \"9s\"\n", fault(target, kind));
        let scale = |to: usize| format!("{}instances = {to}\n", fault("leader", "scale"));
        let waits = |plan: &[String]| {
            let plan: FaultPlan = toml::from_str(&plan.concat()).unwrap();
            !patience(&Spec::default(), &plan).is_zero()
        };
        assert!(!waits(&[fault("leader", "kill")]));
        assert!(waits(&[fault("leader", "kill"), fault("replica", "kill")]));
        assert!(!waits(&[fault("leader", "kill"), lasting("consul-leader", "kill")]));
        assert!(waits(&[fault("leader", "kill"), lasting("leader", "fail-disk")]));
        assert!(waits(&[scale(2), lasting("leader", "full-disk")]));
        assert!(!waits(&[scale(4), lasting("leader", "full-disk")]));
        assert!(waits(&[scale(1)]));
    }
}
