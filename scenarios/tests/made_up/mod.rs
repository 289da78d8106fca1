//! Runs that no world made: what each seed comes to is written down by the test.

#![allow(dead_code, reason = "every test file uses its own part")]

use std::time::Duration;

use ironbird_agent::journal::{Entry, Level};
use ironbird_sim::plan::FaultPlan;
use ironbird_sim::properties::{Property, Violation};
use ironbird_sim::record::{ConsulEvent, Event, Header, Record, VERSION, What};
use ironbird_sim::run::Run;
use ironbird_sim::seed::Seed;
use ironbird_sim::spec::Spec;

/// A sound run of `lines` log lines a second apart.
pub(crate) fn run(spec: &Spec, scenario: &str, seed: Seed, plan: &FaultPlan, lines: &[&str]) -> Run {
    let events = lines
        .iter()
        .enumerate()
        .map(|(index, line)| Event {
            step: index as u64,
            at: Duration::from_secs(index as u64),
            host: "mysql-1".to_owned(),
            what: What::Agent(Entry::log(Level::Info, "pilot", *line)),
        })
        .collect();
    Run {
        record: Record {
            header: Header {
                version: VERSION,
                scenario: scenario.to_owned(),
                seed: seed.0,
                plan: plan.clone(),
                instances: spec.cluster.instances,
                quiet_at: plan.quiet_at(),
                bound: Duration::from_secs(100),
                steady: Duration::from_secs(50),
            },
            events,
        },
        violations: Vec::new(),
        recovery: Some(Duration::from_secs(seed.0)),
    }
}

/// `run` with `property` violated at its last event.
pub(crate) fn violating(mut run: Run, property: Property) -> Run {
    let last = run.record.events.last().unwrap();
    run.violations.push(Violation {
        property,
        step: last.step,
        at: last.at,
        host: last.host.clone(),
        detail: "made up".to_owned(),
    });
    run.recovery = None;
    run
}

/// A sound run of every seed.
pub(crate) fn calm(spec: &Spec, scenario: &str, seed: Seed, plan: &FaultPlan) -> Run {
    run(spec, scenario, seed, plan, &["one", "two", "three"])
}

/// Violates `one-writable-primary` in every third seed, in a run that is longer the smaller the seed.
pub(crate) fn every_third_bad(spec: &Spec, scenario: &str, seed: Seed, plan: &FaultPlan) -> Run {
    if !seed.0.is_multiple_of(3) {
        return calm(spec, scenario, seed, plan);
    }
    let lines = vec!["tick"; usize::try_from(1_000 - seed.0).unwrap()];
    violating(run(spec, scenario, seed, plan, &lines), Property::OneWritablePrimary)
}

/// A sound run in which things change: two instances start together, one is healthy, another is, again.
pub(crate) fn changing(spec: &Spec, scenario: &str, seed: Seed, plan: &FaultPlan) -> Run {
    let mut made = run(spec, scenario, seed, plan, &["0", "1", "2", "3", "4", "5"]);
    let launched = || What::Launched { why: "start".to_owned() };
    let healthy = || What::Agent(Entry::Health { name: "mysql".to_owned(), passing: true });
    let changes = [
        (0, "mysql-1", launched()),
        (0, "mysql-2", launched()),
        (2, "mysql-1", healthy()),
        (3, "mysql-2", healthy()),
        (4, "mysql-1", healthy()),
    ];
    for (event, (second, host, what)) in made.record.events.iter_mut().zip(changes) {
        event.at = Duration::from_secs(second);
        event.host = host.to_owned();
        event.what = what;
    }
    made
}

/// A sound run whose faults find nobody.
pub(crate) fn nobody_struck(spec: &Spec, scenario: &str, seed: Seed, plan: &FaultPlan) -> Run {
    let mut run = calm(spec, scenario, seed, plan);
    let what = What::FaultBegan { fault: "kill leader: there is none at this moment".to_owned(), number: 0 };
    run.record.events.insert(0, Event { step: 0, at: Duration::ZERO, host: "-".to_owned(), what });
    run
}

/// A sound run; in every second seed the lock goes from one instance to another.
pub(crate) fn failing_over(spec: &Spec, scenario: &str, seed: Seed, plan: &FaultPlan) -> Run {
    let mut run = calm(spec, scenario, seed, plan);
    let holders = if seed.0.is_multiple_of(2) { ["mysql-1", "mysql-2"] } else { ["mysql-1", "mysql-1"] };
    for (event, holder) in run.record.events.iter_mut().zip(holders) {
        event.what = What::Consul(ConsulEvent::LockAcquired {
            key: "mysql-primary".to_owned(),
            session: holder.to_owned(),
            value: holder.to_owned(),
        });
    }
    run
}
