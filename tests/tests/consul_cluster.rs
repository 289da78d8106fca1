//! A cluster of the real Consul and the model of one fail in the same way.
//!
//! The experiments of `cluster` are carried out on both: a few times on real processes, hundreds of times
//! on the model. No real figure may lie outside of the model's, medians must be near, and nothing may be
//! answered that the model does not know. `docs/consul-cluster.md` holds the figures of one such run.
//!
//! Needs `consul` on the path, and for the networks that are cut root and `ip`.
//! `IRONBIRD_REQUIRE_CONSUL` makes the absence of the former a failure. `IRONBIRD_CLUSTER_ROUNDS` says how
//! often every experiment is carried out on the real one, `IRONBIRD_CLUSTER_TABLE` where to write the
//! figures to.

use ironbird_tests::cluster::findings::Findings;
use ironbird_tests::cluster::model::Model;
use ironbird_tests::cluster::namespaces::Namespaces;
use ironbird_tests::cluster::real::{Real, present};
use ironbird_tests::cluster::{Cluster, agents, compare, failover, sessions};

/// How many modelled clusters an experiment is carried out on.
const SEEDS: u64 = 200;

/// One experiment.
struct Experiment {
    name: &'static str,
    raft_multiplier: u32,
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
    of("isolate-1", 1, |cluster, findings| failover::isolate(cluster, findings, "m=1")).cutting(),
    of("isolate-5", 1, |cluster, findings| failover::isolate(cluster, findings, "m=5")).slow().cutting(),
    of("timers", 1, sessions::timers),
    of("lag", 1, |cluster, findings| sessions::lag(cluster, findings, 100)),
    of("agent", 1, agents::lives),
    of("agent-cut", 1, agents::cut).cutting(),
];

const fn of(name: &'static str, rounds: usize, run: fn(&mut dyn Cluster, &mut Findings)) -> Experiment {
    Experiment { name, raft_multiplier: 1, cuts: false, rounds, run }
}

impl Experiment {
    /// With the default `raft_multiplier`.
    const fn slow(mut self) -> Self {
        self.raft_multiplier = 5;
        self
    }

    const fn cutting(mut self) -> Self {
        self.cuts = true;
        self
    }

    /// Carries it out on processes.
    fn really(&self, number: usize) -> Findings {
        let network = self.cuts.then(|| Namespaces::new(number).expect("root may make namespaces"));
        let mut cluster = Real::settled(number, self.raft_multiplier, network);
        let mut findings = Findings::default();
        let rounds = std::env::var("IRONBIRD_CLUSTER_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
        for _ in 0..rounds.unwrap_or(self.rounds) {
            (self.run)(&mut cluster, &mut findings);
        }
        findings
    }

    /// Carries it out on the model, under many seeds.
    fn modelled(&self) -> Findings {
        let mut findings = Findings::default();
        for seed in 0..SEEDS {
            (self.run)(&mut Model::settled(seed, self.raft_multiplier), &mut findings);
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
    let real = all(chosen().enumerate().map(|(number, one)| move || one.really(number)));
    let model = all(chosen().map(|one| move || one.modelled()));
    let table = compare::table(&real, &model);
    if let Some(path) = std::env::var_os("IRONBIRD_CLUSTER_TABLE") {
        std::fs::write(path, &table).expect("a file to write to");
    }
    let differences = compare::differences(&real, &model);
    assert!(differences.is_empty(), "{}\n\n{table}", differences.join("\n"));
}

/// Does all of it at the same time.
fn all<F: FnOnce() -> Findings + Send>(tasks: impl Iterator<Item = F>) -> Findings {
    std::thread::scope(|scope| {
        let running: Vec<_> = tasks.map(|task| scope.spawn(task)).collect();
        let mut findings = Findings::default();
        for one in running {
            findings.absorb(one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        findings
    })
}

#[expect(clippy::print_stderr, reason = "a test that proves nothing says so")]
fn say(text: &str) {
    eprintln!("{text}");
}
