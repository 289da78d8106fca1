//! A cluster of the real Consul and the model of one fail in the same way.
//!
//! The experiments of `cluster` are carried out on both: a few times on real processes, many times on
//! the model. No real figure may lie outside of the model's, medians must be near, and nothing may be
//! answered that the model does not know. `docs/consul-cluster.md` holds the figures of one such run.
//!
//! Needs `consul` on the path, and for the networks that are cut root and `ip`.
//! `IRONBIRD_REQUIRE_CONSUL` makes the absence of the former a failure. `IRONBIRD_CLUSTER_ROUNDS` says how
//! often every experiment is carried out on the real one and `IRONBIRD_CLUSTER_SEEDS` how often on the
//! model; `IRONBIRD_CLUSTER_TABLE` where to write the figures to; `IRONBIRD_CLUSTER_ONLY` leaves out the
//! experiments whose names it is no part of.

use ironbird_tests::cluster::findings::Findings;
use ironbird_tests::cluster::model::Model;
use ironbird_tests::cluster::namespaces::Namespaces;
use ironbird_tests::cluster::real::{Real, present};
use ironbird_tests::cluster::{Cluster, Setting, agents, compare, failover, sessions};

/// How many modelled clusters an experiment is carried out on.
const SEEDS: usize = 30;

/// One experiment.
struct Experiment {
    name: &'static str,
    setting: Setting,
    /// Whether it cuts the network.
    cuts: bool,
    /// How often it is carried out on the real one when nobody says how often.
    rounds: usize,
    run: fn(&mut dyn Cluster, &mut Findings),
}

const EXPERIMENTS: [Experiment; 9] = [
    of("kill-1", 3, |cluster, findings| failover::kill(cluster, findings, "m=1")),
    of("kill-5", 2, |cluster, findings| failover::kill(cluster, findings, "m=5")).slow(),
    of("pause-1", 2, |cluster, findings| failover::pause(cluster, findings, "m=1")),
    of("isolate-1", 1, |cluster, findings| failover::isolate(cluster, findings, "m=1")).keeping().cutting(),
    of("isolate-5", 1, |cluster, findings| failover::isolate(cluster, findings, "m=5"))
        .slow()
        .keeping()
        .cutting(),
    of("timers", 1, sessions::timers),
    of("lag", 1, |cluster, findings| sessions::lag(cluster, findings, 100)),
    of("agent", 1, agents::lives),
    of("agent-cut", 1, agents::cut).cutting(),
];

const fn of(name: &'static str, rounds: usize, run: fn(&mut dyn Cluster, &mut Findings)) -> Experiment {
    let setting = Setting { raft_multiplier: 1, cleanup: true };
    Experiment { name, setting, cuts: false, rounds, run }
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

    /// Carries it out on processes.
    fn really(&self, number: usize) -> Findings {
        let network = self.cuts.then(|| Namespaces::new(number).expect("root may make namespaces"));
        let mut cluster = Real::settled(number, self.setting, network);
        let mut findings = Findings::default();
        for _ in 0..count("IRONBIRD_CLUSTER_ROUNDS").unwrap_or(self.rounds) {
            (self.run)(&mut cluster, &mut findings);
        }
        findings
    }

    /// Carries it out on the model, under many seeds.
    fn modelled(&self) -> Findings {
        let mut findings = Findings::default();
        for seed in 0..count("IRONBIRD_CLUSTER_SEEDS").unwrap_or(SEEDS) {
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
    let table = compare::table(&real.0, &model.0);
    if let Some(path) = std::env::var_os("IRONBIRD_CLUSTER_TABLE") {
        std::fs::write(path, &table).expect("a file to write to");
    }
    let mut differences = compare::differences(&real.0, &model.0);
    differences.extend(real.1.iter().map(|name| format!("{name}: came to no end on the real one")));
    differences.extend(model.1.iter().map(|name| format!("{name}: came to no end on the model")));
    assert!(differences.is_empty(), "{}\n\n{table}", differences.join("\n"));
}

/// Does all of it at the same time. Gives what was found, and the names of those that came to no end.
fn all<F: FnOnce() -> Findings + Send>(
    tasks: impl Iterator<Item = (&'static str, F)>,
) -> (Findings, Vec<&'static str>) {
    std::thread::scope(|scope| {
        let running: Vec<_> = tasks.map(|(name, task)| (name, scope.spawn(task))).collect();
        let (mut findings, mut failed) = (Findings::default(), Vec::new());
        for (name, one) in running {
            match one.join() {
                Ok(found) => findings.absorb(found),
                Err(_) => failed.push(name),
            }
        }
        (findings, failed)
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
