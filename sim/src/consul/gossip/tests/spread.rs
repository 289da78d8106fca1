//! Users' events, tags, coordinates, and what it all costs.

use super::super::{Output, UserEvent};
use super::driver::{Cluster, address, ms, secs};

fn event(id: &str) -> UserEvent {
    UserEvent { id: id.into(), name: "deploy".into(), payload: b"v2".to_vec(), ..UserEvent::default() }
}

#[test]
fn an_event_reaches_everybody_once() {
    let mut at_once = 0;
    for seed in 0..50 {
        let mut cluster = Cluster::settled(seed, 6);
        cluster.loss = 10;
        for (node, id) in [(0, "a"), (1, "b"), (1, "c")] {
            cluster.on(node, |gossip, now| gossip.fire(now, event(id)));
        }
        cluster.run(secs(2));
        at_once += (0..6).map(|node| cluster.heard(node).len()).sum::<usize>();
        // Whoever was missed hears of it with the next exchange.
        cluster.run(secs(60));
        for node in 0..6 {
            let mut ids: Vec<_> = cluster.heard(node).iter().map(|event| event.id.clone()).collect();
            ids.sort();
            assert_eq!(ids, ["a", "b", "c"], "{seed} n{node}");
        }
        cluster.on(4, |gossip, now| gossip.fire(now, event("d")));
        cluster.run(secs(60));
        let heard = cluster.heard(5);
        assert!(heard[..3].iter().all(|earlier| earlier.ltime < heard[3].ltime));
    }
    assert!(at_once > 50 * 6 * 3 * 98 / 100, "{at_once}");
}

#[test]
fn who_joins_later_does_not_hear_old_events() {
    let mut cluster = Cluster::settled(3, 3);
    cluster.on(0, |gossip, now| gossip.fire(now, event("old")));
    cluster.run(secs(5));
    cluster.nodes.push(None);
    cluster.news.push(Vec::new());
    cluster.start(3);
    cluster.on(3, |gossip, now| gossip.join(now, vec![address(0)]));
    cluster.run(secs(60));
    assert!(cluster.heard(3).is_empty());
    cluster.on(1, |gossip, now| gossip.fire(now, event("new")));
    cluster.run(secs(2));
    assert_eq!(cluster.heard(3).len(), 1);
}

#[test]
fn an_event_missed_while_cut_off_comes_with_the_state() {
    let mut cluster = Cluster::settled(3, 3);
    cluster.isolate(2);
    cluster.on(0, |gossip, now| gossip.fire(now, event("missed")));
    cluster.run(secs(60));
    assert!(cluster.heard(2).is_empty());
    cluster.cuts.clear();
    cluster.run(secs(90));
    assert_eq!(cluster.heard(2).len(), 1);
}

#[test]
fn new_tags_reach_everybody() {
    let mut cluster = Cluster::settled(1, 4);
    cluster.on(2, |gossip, now| gossip.set_tags(now, [("role".into(), "consul".into())].into()));
    cluster.run(secs(1));
    for viewer in 0..4 {
        assert_eq!(cluster.said(viewer, 2), ["updated"]);
        let gossip = cluster.nodes[viewer].as_ref().unwrap();
        assert_eq!(gossip.members().nth(2).unwrap().tags["role"], "consul");
    }
}

#[test]
fn a_join_says_how_many_answered() {
    let mut cluster = Cluster::started(1, 2);
    cluster.nodes.push(None);
    cluster.news.push(Vec::new());
    cluster.cuts.extend([(0, 1), (1, 0)]);
    cluster.run(secs(30));
    assert_eq!(cluster.news[1].last().unwrap().1, Output::JoinEnded { contacted: 0 });
    cluster.cuts.clear();
    cluster.on(1, |gossip, now| gossip.join(now, vec![address(2), address(0)]));
    cluster.run(secs(1));
    assert!(cluster.news[1].iter().any(|(_, output)| *output == Output::JoinEnded { contacted: 1 }));
}

#[test]
fn coordinates_come_near_the_real_distance() {
    // Three in one place, three in another.
    let one_way = |from: usize, to: usize| if from / 3 == to / 3 { ms(1) } else { ms(20) };
    let mut cluster = Cluster::started(1, 6).latency(one_way);
    cluster.run(secs(600));
    for from in 0..6 {
        for to in (0..6).filter(|to| *to != from) {
            let coordinate = |node: usize| *cluster.nodes[node].as_ref().unwrap().coordinate();
            let distance = coordinate(from).distance(&coordinate(to));
            let rtt = 2 * one_way(from, to);
            assert!(distance.abs_diff(rtt) < rtt / 5 + ms(2), "{from}-{to}: {distance:?}, not {rtt:?}");
        }
    }
}

#[test]
fn an_idle_cluster_only_probes() {
    let mut cluster = Cluster::settled(1, 6);
    let (sent, wakes) = (cluster.sent, cluster.wakes);
    cluster.run(secs(600));
    // Each node: one ping and one ack a second, and two halves of an exchange every 30 s.
    let expected = 6 * (600 * 2 + 20 * 2);
    assert!((cluster.sent - sent).abs_diff(expected) <= 12, "{} not {expected}", cluster.sent - sent);
    let expected = 6 * (600 + 20);
    assert!((cluster.wakes - wakes).abs_diff(expected) <= 12, "{} not {expected}", cluster.wakes - wakes);
}

#[test]
fn a_lone_node_sleeps() {
    let mut cluster = Cluster::started(1, 1);
    cluster.run(secs(3600));
    assert_eq!((cluster.wakes, cluster.sent), (0, 0));
}
