//! Runs that no world made: what each seed comes to is written down by the test.

#![allow(dead_code, reason = "every test file uses its own part")]

use std::time::Duration;

use ironbird_agent::journal::{Entry, Level};
use ironbird_sim::plan::FaultPlan;
use ironbird_sim::properties::{Property, Violation};
use ironbird_sim::record::{ConsulEvent, Event, Header, MysqlEvent, Record, VERSION, What};
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

/// `run` with all in it that a scenario of the program demands of its sweep.
pub(crate) fn eventful(mut run: Run) -> Run {
    let text = str::to_owned;
    let launched = |why: &str| What::Launched { why: text(why) };
    let http = |status| What::Http {
        method: text("PUT"),
        path: text("/v1/kv/k"),
        status,
        took_us: 1_000,
        stale: false,
    };
    let role = |from: &str, to: &str| {
        What::Agent(Entry::Role { from: text(from), to: text(to), term: 1, why: text("made up") })
    };
    let restored = || What::Mysql(MysqlEvent::DataDirectory { how: text("restored"), writes: vec![] });
    let writable = |writable| What::Mysql(MysqlEvent::Writable { writable });
    let consul = |event| ("consul", What::Consul(event));
    let led_by = |server: &str| consul(ConsulEvent::LeaderEstablished { server: text(server) });
    let acquired = |session: &str, holder: &str| {
        let (key, session, value) = (text("k"), text(session), text(holder));
        consul(ConsulEvent::LockAcquired { key, session, value })
    };
    let released = |session: &str| {
        consul(ConsulEvent::LockReleased { key: text("k"), session: text(session), delay_until_us: 0 })
    };
    let refused = |session: &str, why: &str| {
        consul(ConsulEvent::LockRefused { key: text("k"), session: text(session), why: text(why) })
    };
    let story = [
        ("mysql-2", launched("start")),
        led_by("server-1"),
        led_by("server-2"),
        acquired("s1", "mysql-1"),
        released("s1"),
        refused("s2", "lock-delay"),
        acquired("s2", "mysql-2"),
        consul(ConsulEvent::SessionInvalidated { session: text("s2"), why: text("expired") }),
        ("mysql-1", http(500)),
        ("mysql-1", http(200)),
        ("mysql-2", writable(true)),
        ("mysql-2", writable(false)),
        ("mysql-2", role("primary", "stuck")),
        ("mysql-2", What::Agent(Entry::MainExited { outcome: text("killed") })),
        ("mysql-2", What::Ended { how: text("exit code 1") }),
        ("mysql-3", launched("replacement of mysql-2")),
        ("mysql-3", restored()),
    ];
    let events = &mut run.record.events;
    let at = events.last().map_or(Duration::ZERO, |event| event.at);
    for (host, what) in story {
        events.push(Event { step: events.len() as u64, at, host: host.to_owned(), what });
    }
    run
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
