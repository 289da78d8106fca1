//! Random trouble: whatever happens the promises hold, and once it is over the cluster works again.

use std::time::Duration;

use proptest::prelude::*;

use super::super::{Role, Timing};
use super::cluster::{Cluster, ms};

#[derive(Debug, Clone)]
enum Step {
    Run(u64),
    Propose(usize, u32),
    ProposeToLeader(u32),
    Verify,
    CutOneWay(usize, usize),
    Isolate(usize),
    IsolateLeader,
    Heal,
    Kill(usize),
    KillLeader,
    Start(usize),
    Pause(usize),
    Resume,
    Disconnect(usize, usize),
    Trouble(u8),
    Slow(u64),
    Snapshot(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let server = || 0..5_usize;
    prop_oneof![
        8 => (1..4_000_u64).prop_map(Step::Run),
        2 => (server(), 1..5_u32).prop_map(|(server, many)| Step::Propose(server, many)),
        6 => (1..90_u32).prop_map(Step::ProposeToLeader),
        1 => Just(Step::Verify),
        2 => (server(), server()).prop_map(|(from, to)| Step::CutOneWay(from, to)),
        1 => server().prop_map(Step::Isolate),
        2 => Just(Step::IsolateLeader),
        2 => Just(Step::Heal),
        1 => server().prop_map(Step::Kill),
        1 => Just(Step::KillLeader),
        4 => server().prop_map(Step::Start),
        1 => server().prop_map(Step::Pause),
        2 => Just(Step::Resume),
        1 => (server(), server()).prop_map(|(server, from)| Step::Disconnect(server, from)),
        1 => (0..30_u8).prop_map(Step::Trouble),
        1 => (2..800_u64).prop_map(Step::Slow),
        3 => server().prop_map(Step::Snapshot),
    ]
}

fn take(cluster: &mut Cluster, step: Step, command: &mut u32) {
    let size = cluster.servers.len();
    let mut propose = |cluster: &mut Cluster, server: usize, many: u32| {
        for _ in 0..many {
            *command += 1;
            cluster.propose(server, *command);
        }
    };
    match step {
        Step::Run(millis) => cluster.run(ms(millis)),
        Step::Propose(server, many) => propose(cluster, server % size, many),
        Step::ProposeToLeader(many) => {
            if let Some(leader) = cluster.leader() {
                propose(cluster, leader, many);
            }
        }
        Step::Verify => {
            (0..size).for_each(|server| _ = cluster.verify(server));
        }
        Step::CutOneWay(from, to) => _ = cluster.cut.insert((from % size, to % size)),
        Step::Isolate(server) => cluster.isolate(server % size),
        Step::IsolateLeader => cluster.leader().into_iter().for_each(|leader| cluster.isolate(leader)),
        Step::Heal => cluster.cut.clear(),
        Step::Kill(server) => cluster.kill(server % size),
        Step::KillLeader => cluster.leader().into_iter().for_each(|leader| cluster.kill(leader)),
        Step::Start(server) => cluster.start(server % size),
        Step::Pause(server) => _ = cluster.paused.insert(server % size),
        Step::Resume => cluster.paused.clear(),
        Step::Disconnect(server, from) => cluster.disconnect(server % size, from % size),
        Step::Trouble(percent) => cluster.trouble = f64::from(percent) / 100.0,
        Step::Slow(millis) => cluster.latency.1 = ms(millis),
        Step::Snapshot(server) => cluster.snapshot(server % size),
    }
}

fn weather(size: usize, seed: u64, steps: Vec<Step>) {
    let mut cluster = Cluster::new(size, Timing::multiplied(1), seed);
    let mut command = 0;
    for step in steps {
        take(&mut cluster, step, &mut command);
        cluster.check_logs();
    }
    cluster.cut.clear();
    cluster.paused.clear();
    cluster.trouble = 0.0;
    cluster.latency.1 = ms(2);
    (0..size).for_each(|server| cluster.start(server));
    cluster.run(Duration::from_secs(60));
    let leader = cluster.elect();
    let index = cluster.propose(leader, u32::MAX).expect("it leads");
    let everywhere = |cluster: &Cluster| (0..size).all(|server| cluster.server(server).applied() >= index);
    assert!(cluster.run_until(Duration::from_secs(60), everywhere), "server stays behind");
    assert_eq!(cluster.server(leader).role(), Role::Leader);
    cluster.check_logs();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(150) })]

    #[test]
    fn three_servers_weather_anything(seed: u64, steps in prop::collection::vec(step(), 1..60)) {
        weather(3, seed, steps);
    }

    #[test]
    fn five_servers_weather_anything(seed: u64, steps in prop::collection::vec(step(), 1..60)) {
        weather(5, seed, steps);
    }
}
