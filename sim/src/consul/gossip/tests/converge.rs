//! Whatever happened, once it stops everybody agrees; and it happens the same way every time.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::message::{Rumour, State};
use super::super::{Gossip, Message, Part, Status};
use super::driver::{Cluster, address, ms, name, secs};

/// Something that goes wrong, or right again, with a node.
#[derive(Debug, Clone)]
enum Fault {
    Kill(usize),
    Start(usize),
    Leave(usize),
    Isolate(usize),
    CutOneWay(usize, usize),
    Heal,
    Pause(usize),
    Resume,
    Loss(u64),
}

fn fault(nodes: usize) -> impl Strategy<Value = Fault> {
    prop_oneof![
        (0..nodes).prop_map(Fault::Kill),
        (0..nodes).prop_map(Fault::Start),
        (1..nodes).prop_map(Fault::Leave),
        (0..nodes).prop_map(Fault::Isolate),
        (0..nodes, 0..nodes).prop_map(|(from, to)| Fault::CutOneWay(from, to)),
        Just(Fault::Heal),
        (0..nodes).prop_map(Fault::Pause),
        Just(Fault::Resume),
        (0..50_u64).prop_map(Fault::Loss),
    ]
}

fn start(cluster: &mut Cluster, node: usize) {
    if cluster.nodes[node].is_none() {
        let peers = (0..cluster.nodes.len()).filter(|peer| *peer != node).map(address).collect();
        cluster.start(node);
        cluster.on(node, |gossip, now| gossip.join(now, peers));
    }
}

fn apply(cluster: &mut Cluster, fault: &Fault, left: &mut Vec<usize>) {
    match *fault {
        Fault::Kill(node) => cluster.kill(node),
        Fault::Start(node) => start(cluster, node),
        Fault::Leave(node) => {
            cluster.on(node, |gossip, now| gossip.leave(now));
            left.push(node);
        }
        Fault::Isolate(node) => cluster.isolate(node),
        Fault::CutOneWay(from, to) => {
            cluster.cuts.insert((from, to));
        }
        Fault::Heal => cluster.cuts.clear(),
        Fault::Pause(node) => {
            cluster.paused.insert(node);
        }
        Fault::Resume => cluster.paused.clear(),
        Fault::Loss(percent) => cluster.loss = percent,
    }
}

/// Plays the faults, then makes everything well again.
fn play(seed: u64, faults: &[(u64, Fault)]) -> Cluster {
    let mut cluster = Cluster::settled(seed, 5);
    let mut left = Vec::new();
    for (wait_ms, fault) in faults {
        cluster.run(ms(*wait_ms));
        apply(&mut cluster, fault, &mut left);
    }
    cluster.cuts.clear();
    cluster.paused.clear();
    cluster.loss = 0;
    // Who left, or was about to, is stopped as its operator would.
    cluster.run(secs(10));
    left.iter().for_each(|node| cluster.kill(*node));
    for node in 0..5 {
        start(&mut cluster, node);
        // Not at once: see what `members` says of nodes that stay Leaving.
        cluster.run(secs(5));
    }
    cluster.run(secs(180));
    cluster
}

/// The race that leaves a tie: somebody who heard that a node is back exchanges all it knows with somebody
/// who has not.
#[test]
fn who_came_back_is_taken_for_leaving_when_it_joined_in_the_instant_it_may_have_left() {
    let mut cluster = Cluster::settled(1, 3);
    let (viewer, leaver) = (0, 2);
    let ltime = |cluster: &Cluster| {
        let members = cluster.nodes[viewer].iter().flat_map(Gossip::members);
        members.filter(|member| member.address == address(leaver)).map(|member| member.ltime).sum::<u64>()
    };
    let before = ltime(&cluster);
    let left = State {
        ltime: before + 1,
        ltimes: BTreeMap::from([(name(leaver), before)]),
        left: vec![name(leaver)],
        ..State::default()
    };
    let told = Message::PushPull { request: 1, state: Box::new(left) };
    cluster.on(viewer, |gossip, now| gossip.receive(now, address(1), told));
    assert_eq!(cluster.status(viewer, leaver), Some(Status::Leaving));
    assert_eq!(ltime(&cluster), before + 1);
    for (later, status) in [(1, Status::Leaving), (2, Status::Alive)] {
        let joins = Rumour::Join { ltime: before + later, node: name(leaver) };
        let packet = Message::Packet(vec![Part::Rumour(joins)]);
        cluster.on(viewer, |gossip, now| gossip.receive(now, address(1), packet));
        assert_eq!(cluster.status(viewer, leaver), Some(status), "{later} after it joined first");
    }
}

proptest! {
    // `PROPTEST_CASES` says how many when it is not to be 256.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn everybody_agrees_once_faults_stop(
        seed in 0..1_000_u64,
        faults in prop::collection::vec((0..20_000_u64, fault(5)), 0..12),
    ) {
        let cluster = play(seed, &faults);
        cluster.assert_agreed_but_for_ties();
        // Nor does anybody change their mind later.
        let said: Vec<usize> = cluster.news.iter().map(Vec::len).collect();
        let mut cluster = cluster;
        cluster.run(secs(120));
        cluster.assert_agreed_but_for_ties();
        prop_assert_eq!(said, cluster.news.iter().map(Vec::len).collect::<Vec<_>>());
    }

    #[test]
    fn the_same_seed_gives_the_same_news(
        seed in 0..1_000_u64,
        faults in prop::collection::vec((0..20_000_u64, fault(5)), 0..6),
    ) {
        let (one, other) = (play(seed, &faults), play(seed, &faults));
        prop_assert_eq!(&one.news, &other.news);
        prop_assert_eq!((one.sent, one.wakes), (other.sent, other.wakes));
    }
}
