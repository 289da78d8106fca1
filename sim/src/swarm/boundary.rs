//! Moments worth aiming at, taken from a run of the same cluster without a fault.
//!
//! Up to the first fault a run is that clean run, because no draw depends on the plan. So what is aimed at
//! the clean run's last renewal hits the renewal. What follows from a fault that hits it is reckoned: the
//! end of the TTL, at which an agent must have given up, twice the TTL, at which Consul has, and the end of
//! the lock-delay after that.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::RngExt;
use rand::seq::IndexedRandom;

use crate::plan::FaultPlan;
use crate::properties;
use crate::record::{ConsulEvent, MysqlEvent, Record, What};
use crate::seed::Seed;
use crate::spec::Spec;

/// How far beside a moment a fault begins, in milliseconds.
const BESIDE_MS: [u64; 6] = [0, 1, 5, 50, 250, 1_000];
/// A request that takes longer than this waited for a change.
const WAITED: Duration = Duration::from_secs(1);

/// A moment, and what it is one of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Moment {
    what: &'static str,
    at: Duration,
}

/// Moments to aim at.
#[derive(Debug, Default)]
pub(super) struct Moments {
    all: Vec<Moment>,
    /// One renewal of all, and what follows from it: faults that hit these are about the same lease.
    chain: Vec<Moment>,
}

/// A run of the cluster without a fault, from its start until it has been whole for `window`.
#[derive(Debug)]
pub(super) struct Clean {
    record: Record,
    window: Duration,
}

impl Clean {
    /// Runs it.
    pub(super) fn run(spec: &Spec, seed: Seed, window: Duration) -> Self {
        let record = crate::world::fly(spec, "clean", seed, &FaultPlan::default(), window);
        Self { record, window }
    }

    /// From when on it was whole for good; none if it never was.
    pub(super) fn whole_at(&self) -> Option<Duration> {
        properties::recovery(&self.record).map(|recovery| self.record.header.quiet_at + recovery)
    }

    /// The moments between `whole` and the end of the time in which faults may begin.
    pub(super) fn moments(&self, spec: &Spec, seed: Seed, whole: Duration) -> Moments {
        moments(&self.record, spec, seed, whole, self.window)
    }
}

fn moments(record: &Record, spec: &Spec, seed: Seed, whole: Duration, window: Duration) -> Moments {
    let (ttl, delay) = (spec.cluster.session_ttl, spec.cluster.lock_delay);
    let mut moments = Vec::new();
    let follow = |at: Duration| {
        [
            ("renewal", Duration::ZERO),
            ("end of the TTL", ttl),
            ("end of the session", 2 * ttl),
            ("end of the lock-delay", 2 * ttl + delay),
        ]
        .map(|(what, after)| Moment { what, at: at + after })
    };
    let mut renewals = Vec::new();
    for event in record.events.iter().filter(|event| event.at <= whole + window) {
        let at = event.at;
        match &event.what {
            What::Consul(ConsulEvent::SessionRenewed { .. }) => {
                moments.extend(follow(at));
                renewals.extend((at >= whole).then_some(at));
            }
            What::Consul(ConsulEvent::LockAcquired { .. }) => moments.push(Moment { what: "lock taken", at }),
            What::Consul(ConsulEvent::ServiceRegistered { .. }) => {
                moments.push(Moment { what: "registration", at });
            }
            What::Http { took_us, .. } if Duration::from_micros(*took_us) > WAITED => {
                moments.push(Moment { what: "end of a blocking query", at });
            }
            What::Store { method, .. } if method == "PUT" => {
                moments.push(Moment { what: "snapshot kept", at });
                // The copy is taken, then sent.
                let taking = (spec.mysql.backup.from + spec.store.latency.to) / 2;
                moments.push(Moment { what: "mid-snapshot", at: at.saturating_sub(taking) });
            }
            What::Mysql(MysqlEvent::Committed { .. }) => moments.push(Moment { what: "commit", at }),
            _ => {}
        }
    }
    let anchor = renewals.choose(&mut seed.stream("swarm", "anchor")).copied();
    Moments { all: moments, chain: anchor.map(follow).into_iter().flatten().collect() }
}

/// One of the moments between `from` and `to`, or a little beside it: first a kind of moment, then one of
/// that kind, so that what is rare is hit as often as what is not.
pub(super) fn aim(
    moments: &Moments,
    from: Duration,
    to: Duration,
    dice: &mut impl rand::Rng,
) -> Option<Duration> {
    let mut kinds: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
    let chosen = if dice.random_bool(0.5) { &moments.chain } else { &moments.all };
    for moment in chosen.iter().filter(|moment| (from..=to).contains(&moment.at)) {
        kinds.entry(moment.what).or_default().push(moment.at);
    }
    let kinds: Vec<_> = kinds.into_values().collect();
    let at = *kinds.choose(dice)?.choose(dice)?;
    let beside = Duration::from_millis(BESIDE_MS.choose(dice).copied().unwrap_or_default());
    let aimed = if dice.random_bool(0.5) { at + beside } else { at.saturating_sub(beside) };
    Some(aimed.clamp(from, to))
}
