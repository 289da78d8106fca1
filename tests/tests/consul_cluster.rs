//! A cluster of the real Consul and the model of one fail in the same way.
//!
//! The experiments of `cluster` are carried out on both: a few times on real processes, many times on
//! the model. No real figure may lie outside of the model's, medians must be near, and nothing may be
//! answered that the model does not know. `docs/consul-cluster.md` holds the figures of one such run.
//!
//! A machine that does not keep time elects leaders nobody killed: an experiment during which this one was
//! too late is carried out anew on another cluster, and left out when that does not help. When more than
//! [`LEFT_OUT`] are, nothing was proved, and the test fails.
//!
//! Needs `consul` on the path, and for the networks that are cut root and `ip`.
//! `IRONBIRD_REQUIRE_CONSUL` makes the absence of the former a failure. `IRONBIRD_CLUSTER_ROUNDS` says how
//! often every experiment is carried out on the real one and `IRONBIRD_CLUSTER_SEEDS` how often on the
//! model; `IRONBIRD_CLUSTER_TABLE` where to write the figures to; `IRONBIRD_CLUSTER_ONLY` leaves out the
//! experiments whose names it is no part of.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use ironbird_tests::cluster::findings::Findings;
use ironbird_tests::cluster::model::Model;
use ironbird_tests::cluster::namespaces::Namespaces;
use ironbird_tests::cluster::real::{Real, present};
use ironbird_tests::cluster::watchdog::Watchdog;
use ironbird_tests::cluster::{Cluster, Setting, agents, compare, failover, members, sessions};

/// How many modelled clusters an experiment is carried out on.
const SEEDS: usize = 30;
/// The same for one with a figure that is mostly small and in one run of some twenty ten times as large: 30 may
/// be without any such, and the real one's is out of range then.
const SEEDS_FOR_A_TAIL: usize = 120;
/// How late a machine may be without that a cluster on it is disturbed: half of the lease a leader of the
/// quickest setting has of its followers.
const LATE: Duration = Duration::from_millis(250);
/// How often an experiment is begun on a machine that is late.
const TRIES: usize = 3;
/// How many experiments may be left out because the machine was late.
const LEFT_OUT: usize = 3;

/// One experiment.
struct Experiment {
    name: &'static str,
    setting: Setting,
    /// Whether it cuts the network.
    cuts: bool,
    /// How often it is carried out on the real one when nobody says how often.
    rounds: usize,
    /// How many modelled clusters when nobody says how many.
    seeds: usize,
    run: fn(&mut dyn Cluster, &mut Findings),
}

const EXPERIMENTS: [Experiment; 11] = [
    of("kill-1", 3, |cluster, findings| failover::kill(cluster, findings, "m=1")),
    of("kill-5", 2, |cluster, findings| failover::kill(cluster, findings, "m=5")).slow(),
    of("pause-1", 2, |cluster, findings| failover::pause(cluster, findings, "m=1")),
    of("isolate-1", 1, |cluster, findings| failover::isolate(cluster, findings, "m=1"))
        .keeping()
        .cutting()
        .tailed(),
    of("isolate-5", 1, |cluster, findings| failover::isolate(cluster, findings, "m=5"))
        .slow()
        .keeping()
        .cutting()
        .tailed(),
    of("timers", 1, sessions::timers),
    of("lag", 1, |cluster, findings| sessions::lag(cluster, findings, 100)),
    of("agent", 1, agents::lives),
    of("agent-forgets", 1, agents::forgets).tailed(),
    of("agent-cut", 1, agents::cut).cutting(),
    of("server-returns", 1, members::returns).cutting(),
];

const fn of(name: &'static str, rounds: usize, run: fn(&mut dyn Cluster, &mut Findings)) -> Experiment {
    let setting = Setting { raft_multiplier: 1, cleanup: true };
    Experiment { name, setting, cuts: false, rounds, seeds: SEEDS, run }
}

impl Experiment {
    /// With the default `raft_multiplier`.
    const fn slow(mut self) -> Self {
        self.setting.raft_multiplier = 5;
        self
    }

    /// Without autopilot's removal of servers that failed, which the model's raft does not have.
    const fn keeping(mut self) -> Self {
        self.setting.cleanup = false;
        self
    }

    const fn cutting(mut self) -> Self {
        self.cuts = true;
        self
    }

    const fn tailed(mut self) -> Self {
        self.seeds = SEEDS_FOR_A_TAIL;
        self
    }

    /// Carries it out on processes, on a machine that keeps time.
    fn really(&self, number: usize) -> Outcome {
        let watchdog = Watchdog::start();
        for _ in 0..TRIES {
            watchdog.latest();
            let outcome = catch_unwind(AssertUnwindSafe(|| self.once(number)));
            let late = watchdog.latest();
            if late < LATE {
                return outcome.map_or(Outcome::Failed, Outcome::Found);
            }
            say(&format!("{}: this machine was {} ms late; once more", self.name, late.as_millis()));
        }
        Outcome::Disturbed
    }

    fn once(&self, number: usize) -> Findings {
        let network = self.cuts.then(|| Namespaces::new(number).expect("root may make namespaces"));
        let mut cluster = Real::settled(number, self.setting, network);
        let mut findings = Findings::default();
        for _ in 0..count("IRONBIRD_CLUSTER_ROUNDS").unwrap_or(self.rounds) {
            (self.run)(&mut cluster, &mut findings);
        }
        findings
    }

    /// Carries it out on the model, under many seeds.
    fn modelled(&self) -> Outcome {
        catch_unwind(|| self.seeds()).map_or(Outcome::Failed, Outcome::Found)
    }

    fn seeds(&self) -> Findings {
        let mut findings = Findings::default();
        for seed in 0..count("IRONBIRD_CLUSTER_SEEDS").unwrap_or(self.seeds) {
            (self.run)(&mut Model::settled(seed as u64, self.setting), &mut findings);
        }
        findings
    }
}

#[test]
fn a_real_cluster_and_the_model_fail_alike() {
    if !present() {
        let required = std::env::var_os("IRONBIRD_REQUIRE_CONSUL").is_some();
        assert!(!required, "IRONBIRD_REQUIRE_CONSUL is set, and there is no consul on PATH");
        return say("skipped: no consul on PATH");
    }
    let only = std::env::var("IRONBIRD_CLUSTER_ONLY").unwrap_or_default();
    let can_cut = Namespaces::possible();
    if !can_cut {
        say("skipped: the experiments that cut the network, which need root and ip(8)");
    }
    let chosen = || EXPERIMENTS.iter().filter(|one| one.name.contains(&only) && (can_cut || !one.cuts));
    let real = all(chosen().enumerate().map(|(number, one)| (one.name, move || one.really(number))));
    let model = all(chosen().map(|one| (one.name, move || one.modelled())));
    let table = compare::table(&real.findings, &model.findings);
    if let Some(path) = std::env::var_os("IRONBIRD_CLUSTER_TABLE") {
        std::fs::write(path, &table).expect("a file to write to");
    }
    let mut differences = compare::differences(&real.findings, &model.findings);
    differences.extend(real.failed.iter().map(|name| format!("{name}: came to no end on the real one")));
    differences.extend(model.failed.iter().map(|name| format!("{name}: came to no end on the model")));
    if real.disturbed.len() > LEFT_OUT {
        differences.push(format!("this machine was too late to measure {}", real.disturbed.join(", ")));
    }
    for name in &real.disturbed {
        say(&format!("skipped: {name}, this machine was late {TRIES} times"));
    }
    assert!(differences.is_empty(), "{}\n\n{table}", differences.join("\n"));
}

/// What came of an experiment.
enum Outcome {
    Found(Findings),
    /// It came to no end.
    Failed,
    /// The machine was late, every time.
    Disturbed,
}

/// What came of all of them.
#[derive(Default)]
struct Outcomes {
    findings: Findings,
    failed: Vec<&'static str>,
    disturbed: Vec<&'static str>,
}

/// Does all of it at the same time.
fn all<F: FnOnce() -> Outcome + Send>(tasks: impl Iterator<Item = (&'static str, F)>) -> Outcomes {
    std::thread::scope(|scope| {
        let running: Vec<_> = tasks.map(|(name, task)| (name, scope.spawn(task))).collect();
        let mut outcomes = Outcomes::default();
        for (name, one) in running {
            match one.join() {
                Ok(Outcome::Found(found)) => outcomes.findings.absorb(found),
                Ok(Outcome::Disturbed) => outcomes.disturbed.push(name),
                Ok(Outcome::Failed) | Err(_) => outcomes.failed.push(name),
            }
        }
        outcomes
    })
}

/// A number from the environment.
fn count(variable: &str) -> Option<usize> {
    std::env::var(variable).ok()?.parse().ok()
}

#[expect(clippy::print_stderr, reason = "a test that proves nothing says so")]
fn say(text: &str) {
    eprintln!("{text}");
}
