//! Records and sweeps written by hand, for the snapshots of every renderer.

use std::collections::BTreeMap;
use std::time::Duration;

use ironbird_agent::journal::{Entry, Level};
use ironbird_sim::plan::{Fault, FaultKind, FaultPlan, Lasting, Span, Target};
use ironbird_sim::properties::{Property, Violation};
use ironbird_sim::record::{ConsulEvent, Event, Header, MysqlEvent, Record, VERSION, What, WriteOutcome};
use ironbird_sim::signature::Signature;

use crate::map::Section;
use crate::suite::{Bucket, FailureReport, Outcome, RunRow, SuiteReport, VariantReport};

const OLD: &str = "3f2a91bc-0001-4002-8003-000000000001";
const NEW: &str = "77e0c4d5-0001-4002-8003-000000000002";

/// What a log may bring along: a screen wiped, a line forged, a tag, a NUL, text turned round, and much.
pub(crate) const HOSTILE: &str =
    "\u{1b}[2J\u{1b}]0;owned\u{7}<script>alert(\"1\")</script> & ]]>\r\n>>> forged\0\u{202e}\u{ffff}";

/// A leader is killed; its successor is a while in coming, and the old one comes back as a second primary.
pub(crate) fn leader_kill() -> Record {
    let mut run = Run::default();
    let consul = |event| What::Consul(event);
    let log = |level, message: &str| What::Agent(Entry::log(level, "election", message));
    let acknowledged =
        |id, by: &str| What::Write { id, outcome: WriteOutcome::Acknowledged { by: by.to_owned() } };
    let refused = |id| What::Write {
        id,
        outcome: WriteOutcome::Refused { why: "no primary in the catalog".to_owned() },
    };
    let http = |method: &str, path: &str, status| What::Http {
        method: method.to_owned(),
        path: path.to_owned(),
        status,
        took_us: 2_100,
        stale: false,
    };

    run.at(0).push("mysql-1", What::Launched { why: "start".to_owned() });
    run.push("mysql-2", What::Launched { why: "start".to_owned() });
    run.at(2_500).push(
        "mysql-1",
        What::Mysql(MysqlEvent::DataDirectory { how: "installed".to_owned(), writes: vec![] }),
    );
    run.at(4_000).push("mysql-1", http("PUT", "/v1/session/create", 200));
    run.push(
        "consul",
        consul(ConsulEvent::SessionCreated {
            session: OLD.to_owned(),
            name: "mysql-primary".to_owned(),
            ttl_us: 60_000_000,
            lock_delay_us: 15_000_000,
        }),
    );
    run.at(4_010).push(
        "consul",
        consul(ConsulEvent::LockAcquired {
            key: "mysql-primary".to_owned(),
            session: OLD.to_owned(),
            value: "mysql-1".to_owned(),
        }),
    );
    run.at(4_020).push(
        "mysql-1",
        What::Agent(Entry::Role {
            from: "unassigned".to_owned(),
            to: "primary".to_owned(),
            term: 1,
            why: "took the lock".to_owned(),
        }),
    );
    run.at(5_500).primary("mysql-1");
    run.at(5_600).push(
        "consul",
        consul(ConsulEvent::ServiceRegistered {
            id: "mysql-primary-mysql-1".to_owned(),
            name: "mysql-primary".to_owned(),
            address: "192.168.0.11".to_owned(),
            node: "consul".to_owned(),
        }),
    );
    run.push(
        "consul",
        consul(ConsulEvent::CheckStatus {
            check: "mysql-primary-mysql-1".to_owned(),
            service: "mysql-primary-mysql-1".to_owned(),
            status: "passing".to_owned(),
            node: "consul".to_owned(),
        }),
    );
    run.at(9_000).push("mysql-2", What::Mysql(MysqlEvent::Up { networking: true }));
    run.push("mysql-2", What::Mysql(MysqlEvent::Writable { writable: false }));
    run.replication("mysql-2", "mysql-1", true, true, "");
    for id in 1..=4 {
        run.at(10_000 + 1_000 * id)
            .push("mysql-1", What::Mysql(MysqlEvent::Committed { gtid: format!("{OLD}:{id}"), write: id }));
        run.push("client-1", acknowledged(id, "mysql-1"));
        run.push("mysql-1", What::Agent(Entry::HookStarted { hook: "health".to_owned() }));
        run.push("mysql-1", http("PUT", &format!("/v1/session/renew/{OLD}"), 200));
        run.push("consul", consul(ConsulEvent::SessionRenewed { session: OLD.to_owned() }));
    }
    run.at(60_000)
        .push("mysql-1", What::FaultBegan { fault: "pause mysql-1 for 120s".to_owned(), number: 1 });
    run.at(61_000).push("client-1", refused(5));
    run.at(62_000).push("client-1", refused(6));
    for second in [70, 80, 90] {
        run.at(second * 1_000).push("mysql-2", log(Level::Debug, "the lock is held by mysql-1"));
    }
    run.at(134_000).push(
        "consul",
        consul(ConsulEvent::SessionInvalidated { session: OLD.to_owned(), why: "expired".to_owned() }),
    );
    run.push(
        "consul",
        consul(ConsulEvent::LockReleased {
            key: "mysql-primary".to_owned(),
            session: OLD.to_owned(),
            delay_until_us: 149_000_000,
        }),
    );
    for second in [135, 136] {
        run.at(second * 1_000).push(
            "consul",
            consul(ConsulEvent::LockRefused {
                key: "mysql-primary".to_owned(),
                session: NEW.to_owned(),
                why: "lock-delay".to_owned(),
            }),
        );
    }
    run.at(149_003).push(
        "consul",
        consul(ConsulEvent::LockAcquired {
            key: "mysql-primary".to_owned(),
            session: NEW.to_owned(),
            value: "mysql-2".to_owned(),
        }),
    );
    run.at(149_100).push("mysql-2", log(Level::Error, "cannot reach mysql-1: timed out"));
    run.at(149_500).replication("mysql-2", "", false, false, "");
    run.push("mysql-2", What::Mysql(MysqlEvent::Writable { writable: true }));
    run.at(150_000).push("client-1", acknowledged(7, "mysql-2"));
    run.at(180_000)
        .push("mysql-1", What::FaultEnded { fault: "pause mysql-1 for 120s".to_owned(), number: 1 });
    run.push(
        "mysql-1",
        What::Agent(Entry::HookFinished {
            hook: "health".to_owned(),
            ok: false,
            outcome: "session not found".to_owned(),
        }),
    );
    run.at(180_100).push(
        "mysql-1",
        What::Store {
            method: "GET".to_owned(),
            object: "mysql-backup-2026-01-01T00-00-00Z".to_owned(),
            status: 404,
        },
    );
    run.at(181_000).push(
        "client-1",
        What::Write { id: 8, outcome: WriteOutcome::Unknown { why: "connection reset".to_owned() } },
    );
    run.at(300_000).push("world", What::Finished);
    run.record("pause/published", 2)
}

/// What is wrong with [`leader_kill`].
pub(crate) fn leader_kill_violations() -> Vec<Violation> {
    let record = leader_kill();
    let second_primary = record
        .events
        .iter()
        .find(|event| {
            event.host == "mysql-2"
                && matches!(event.what, What::Mysql(MysqlEvent::Writable { writable: true }))
        })
        .expect("it takes over");
    let end = record.events.last().expect("an end");
    vec![
        violation(
            second_primary,
            Property::OneWritablePrimary,
            "mysql-2 takes writes and follows nobody, and so does mysql-1",
        ),
        Violation {
            host: "mysql-1".to_owned(),
            ..violation(
                end,
                Property::ClusterConverges,
                "not whole at 300.000 s: mysql-1 and mysql-2 take writes",
            )
        },
    ]
}

fn violation(event: &Event, property: Property, detail: &str) -> Violation {
    Violation {
        property,
        step: event.step,
        at: event.at,
        host: event.host.clone(),
        detail: detail.to_owned(),
    }
}

/// A record whose every text is [`HOSTILE`], with its violation.
pub(crate) fn hostile() -> (Record, Vec<Violation>) {
    let text = || HOSTILE.to_owned();
    let mut run = Run::default();
    run.push(HOSTILE, What::Launched { why: text() });
    run.push(HOSTILE, What::FaultBegan { fault: text(), number: 0 });
    run.push(HOSTILE, What::Agent(Entry::log(Level::Error, HOSTILE, HOSTILE.repeat(300))));
    run.push(HOSTILE, What::Http { method: text(), path: text(), status: 200, took_us: 0, stale: true });
    run.push(
        HOSTILE,
        What::Consul(ConsulEvent::LockAcquired { key: text(), session: text(), value: text() }),
    );
    run.replication(HOSTILE, HOSTILE, true, false, HOSTILE);
    run.push(HOSTILE, What::Write { id: 1, outcome: WriteOutcome::Acknowledged { by: text() } });
    run.push(HOSTILE, What::Write { id: 2, outcome: WriteOutcome::Acknowledged { by: text() } });
    let record = run.record(HOSTILE, 3);
    let violations = vec![violation(&record.events[4], Property::LockDelay, HOSTILE)];
    (record, violations)
}

fn signature(record: &Record, violations: &[Violation]) -> Option<Signature> {
    Signature::of_all(record, violations).into_iter().next()
}

/// A recovery map of a run that came back, one that took longer, and one that did not come back, in which
/// whatever a record can name is `text`.
pub(crate) fn section(text: &str) -> Section {
    use ironbird_sim::recovery::{Example, Instance, Lock, Passage, RecoveryMap, Row, View};
    let row = |instances: &[Instance], lock| Row {
        instances: Some(instances.to_vec()),
        lock: Some(lock),
        backup: None,
        catalog: None,
        consul: None,
    };
    let mut map = RecoveryMap::new(View { instances: true, lock: true, ..View::NOTHING });
    for (seed, back) in [(3, Some(20)), (4, Some(31)), (u64::MAX, None)] {
        let back = back.map(Duration::from_secs);
        let headless = row(&[Instance::Replica, Instance::Replica, Instance::Absent], Lock::HeldByDead);
        let whole = row(&[Instance::Primary, Instance::Replica, Instance::Replica], Lock::Held);
        let mut ways_back: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::from([
            (headless, [(text.to_owned(), back)].into()),
            (whole.clone(), [("none".to_owned(), Some(Duration::ZERO))].into()),
        ]);
        if back.is_some() {
            ways_back.entry(whole).or_default().insert(text.to_owned(), Some(Duration::ZERO));
        }
        let replay = format!("ironbird replay {text} --seed {seed}");
        let example = Example { variant: text.to_owned(), seed, replay };
        map.add_passage(&example, &Passage { ways_back, recovered: back.is_some() });
    }
    Section { title: text.to_owned(), map, variants: 1, must_recover: true }
}

/// A sweep with one variant of every kind.
pub(crate) fn suite() -> SuiteReport {
    let record = leader_kill();
    let violations = leader_kill_violations();
    let example = FailureReport {
        seed: 17,
        hash: "9e1c".repeat(16),
        decisive: crate::story::decisive(&record, &violations[0]),
        signature: signature(&record, &violations),
        violations,
        replay: "ironbird replay pause/published --seed 17".to_owned(),
        reason: "as expected: violates one-writable-primary".to_owned(),
        page: Some("run-pause-published-17.html".to_owned()),
        diagram: crate::mermaid(&record, &leader_kill_violations()[0]),
    };
    let rows = |outcome, recovery: &[Option<u64>]| {
        (4..)
            .zip(recovery)
            .map(|(seed, time)| RunRow { seed, outcome, recovery: time.map(Duration::from_secs) })
            .collect()
    };
    let seconds = |seconds: &[u64]| seconds.iter().copied().map(Duration::from_secs).collect();
    SuiteReport {
        variants: vec![
            VariantReport {
                name: "leader-kill/hardened".to_owned(),
                file: "scenarios/failover/leader-kill.toml".to_owned(),
                expectation: "pass".to_owned(),
                as_expected: true,
                runs: 1_000,
                recovery: seconds(&[140, 85, 130, 97]),
                line: Some(22),
                each: rows(Outcome::Held, &[Some(140), Some(85), Some(130), Some(97)]),
                simulated: Duration::from_secs(1_000 * 420),
                elapsed: Duration::from_millis(9_130),
                ..VariantReport::default()
            },
            VariantReport {
                name: "pause/published".to_owned(),
                file: "scenarios/failover/pause.toml".to_owned(),
                expectation: "violates one-writable-primary in at least 95 % of runs".to_owned(),
                as_expected: true,
                runs: 1_000,
                violated: 998,
                violations: [("one-writable-primary".to_owned(), 998), ("cluster-converges".to_owned(), 412)].into(),
                line: Some(29),
                buckets: vec![Bucket {
                    signature: example.signature.clone(),
                    runs: 998,
                    seeds: vec![0, 1],
                }],
                sometimes: [("failover".to_owned(), 1_000), ("demotion".to_owned(), 3)].into(),
                each: rows(Outcome::Violated, &[None, Some(140)]),
                simulated: Duration::from_secs(300_000),
                elapsed: Duration::from_secs(11),
                example: Some(example.clone()),
                ..VariantReport::default()
            },
            VariantReport {
                name: "consul-unreachable-from-leader/hardened".to_owned(),
                file: "scenarios/failover/consul-unreachable.toml".to_owned(),
                expectation: "pass".to_owned(),
                as_expected: false,
                runs: 200,
                violated: 2,
                violations: [("cluster-converges".to_owned(), 2)].into(),
                recovery: seconds(&[31]),
                line: Some(41),
                each: rows(Outcome::Unexpected, &[None]),
                buckets: vec![
                    Bucket {
                        signature: "cluster-converges@cluster: no instance takes writes".parse().ok(),
                        runs: 2,
                        seeds: vec![4, u64::MAX],
                    },
                    Bucket { signature: None, runs: 1, seeds: vec![9] },
                ],
                vacuous: vec!["failover".to_owned()],
                simulated: Duration::from_secs(80_000),
                elapsed: Duration::from_secs(2),
                failures: vec![
                    FailureReport {
                        seed: 4,
                        reason: "violates cluster-converges, expected to pass".to_owned(),
                        replay: "ironbird replay consul-unreachable-from-leader/hardened --seed 4".to_owned(),
                        ..example
                    },
                    FailureReport {
                        seed: u64::MAX,
                        reason: "the world panicked".to_owned(),
                        replay: "ironbird replay consul-unreachable-from-leader/hardened --seed 18446744073709551615"
                            .to_owned(),
                        ..FailureReport::default()
                    },
                ],
                ..VariantReport::default()
            },
        ],
    }
}

/// A sweep whose every text is [`HOSTILE`].
pub(crate) fn hostile_suite() -> SuiteReport {
    let (record, violations) = hostile();
    let failure = FailureReport {
        seed: 1,
        hash: HOSTILE.to_owned(),
        decisive: crate::story::decisive(&record, &violations[0])
            .into_iter()
            .chain([HOSTILE.to_owned()])
            .collect(),
        signature: signature(&record, &violations),
        violations,
        replay: HOSTILE.to_owned(),
        reason: HOSTILE.to_owned(),
        page: Some(HOSTILE.to_owned()),
        diagram: crate::mermaid(&record, &hostile().1[0]),
    };
    SuiteReport {
        variants: vec![VariantReport {
            name: HOSTILE.to_owned(),
            file: HOSTILE.to_owned(),
            expectation: HOSTILE.repeat(300),
            runs: 1,
            violated: 1,
            violations: [(HOSTILE.to_owned(), 1)].into(),
            buckets: vec![Bucket { signature: failure.signature.clone(), runs: 1, seeds: vec![1] }],
            sometimes: [(HOSTILE.to_owned(), 1)].into(),
            vacuous: vec![HOSTILE.to_owned()],
            failures: vec![failure.clone()],
            example: Some(failure),
            ..VariantReport::default()
        }],
    }
}

/// A record in the making; times are milliseconds.
#[derive(Default)]
struct Run {
    now: Duration,
    events: Vec<Event>,
}

impl Run {
    fn at(&mut self, millis: u64) -> &mut Self {
        self.now = Duration::from_millis(millis);
        self
    }

    fn push(&mut self, host: &str, what: What) {
        self.events.push(Event { step: self.events.len() as u64, at: self.now, host: host.to_owned(), what });
    }

    fn primary(&mut self, host: &str) {
        self.push(host, What::Mysql(MysqlEvent::Up { networking: true }));
        self.push(host, What::Mysql(MysqlEvent::Writable { writable: true }));
        self.replication(host, "", false, false, "");
    }

    fn replication(&mut self, host: &str, source: &str, receiving: bool, applying: bool, error: &str) {
        self.push(
            host,
            What::Mysql(MysqlEvent::Replication {
                source: source.to_owned(),
                receiving,
                applying,
                error: error.to_owned(),
            }),
        );
    }

    fn record(self, scenario: &str, instances: usize) -> Record {
        let pause = Fault::new(
            Span::exactly(Duration::from_secs(60)),
            FaultKind::Pause,
            Target::Leader,
            Lasting::For(Duration::from_secs(120)),
        );
        let lag = Fault::new(
            Span::exactly(Duration::ZERO),
            FaultKind::Latency { peer: Target::Consul.into(), delay: Duration::from_millis(50) },
            Target::Replicas,
            Lasting::Forever,
        );
        Record {
            header: Header {
                version: VERSION,
                scenario: scenario.to_owned(),
                seed: 17,
                plan: FaultPlan { faults: vec![lag, pause] },
                instances,
                quiet_at: Duration::from_secs(180),
                bound: Duration::from_secs(120),
                steady: Duration::from_secs(60),
            },
            events: self.events,
        }
    }
}
