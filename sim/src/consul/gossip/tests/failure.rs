//! Who is taken for failed or left, when, and how they come back.

use std::time::Duration;

use super::super::Status;
use super::driver::{Cluster, address, ms, secs};

/// The least, the middle and the most.
fn spread(mut times: Vec<Duration>) -> (Duration, Duration, Duration) {
    times.sort();
    (times[0], times[times.len() / 2], times[times.len() - 1])
}

#[test]
fn a_killed_node_fails_within_seconds() {
    let times = (0..200).map(|seed| {
        let mut cluster = Cluster::settled(seed, 4);
        cluster.run(ms(seed * 7 % 1_000));
        cluster.kill(3);
        let took = cluster.run_until(secs(30), |cluster| cluster.all_see(3, Status::Failed));
        cluster.run(secs(60));
        cluster.assert_agreed();
        cluster.assert_no_echo();
        took
    });
    let (least, middle, most) = spread(times.collect());
    assert!(least >= secs(5) && middle < ms(7_500) && most < secs(8), "{least:?} {middle:?} {most:?}");
}

#[test]
fn an_isolated_node_fails_and_comes_back_after_the_heal() {
    let mut recovery = Vec::new();
    let times = (0..200).map(|seed| {
        let mut cluster = Cluster::settled(seed, 4);
        cluster.run(ms(seed * 7 % 1_000));
        cluster.isolate(3);
        let took = cluster.run_until(secs(30), |cluster| cluster.all_see(3, Status::Failed));
        cluster.run(secs(10 + seed % 50));
        cluster.cuts.clear();
        recovery.push(cluster.run_until(secs(120), Cluster::is_agreed));
        cluster.run(secs(60));
        cluster.assert_agreed();
        cluster.assert_no_echo();
        took
    });
    let (least, middle, most) = spread(times.collect());
    assert!(least >= secs(5) && middle < ms(7_500) && most < secs(8), "{least:?} {middle:?} {most:?}");
    let (_, middle, most) = spread(recovery);
    assert!(middle < secs(20) && most < secs(60), "{middle:?} {most:?}");
}

#[test]
fn an_isolated_node_doubts_itself_for_long_before_the_others() {
    let mut cluster = Cluster::settled(1, 4);
    cluster.isolate(3);
    cluster.run(secs(20));
    assert!(cluster.all_see(3, Status::Failed) && cluster.said(3, 0).is_empty());
    cluster.run(secs(40));
    assert!((0..3).all(|node| cluster.status(3, node) == Some(Status::Failed)));
}

#[test]
fn a_node_that_leaves_is_never_failed() {
    for seed in 0..50 {
        let mut cluster = Cluster::settled(seed, 4);
        cluster.on(3, |gossip, now| gossip.leave(now));
        let took = cluster.run_until(secs(5), |cluster| cluster.all_see(3, Status::Left));
        assert!(took < ms(1_200), "{took:?}");
        cluster.run(secs(4));
        assert!(format!("{:?}", cluster.news[3]).contains("LeaveEnded { announced: true }"));
        cluster.kill(3);
        cluster.run(secs(60));
        for viewer in 0..3 {
            assert_eq!(cluster.said(viewer, 3), ["left"]);
        }
    }
}

#[test]
fn a_node_that_left_may_come_back() {
    for seed in 0..50 {
        let mut cluster = Cluster::settled(seed, 4);
        cluster.on(3, |gossip, now| gossip.leave(now));
        cluster.run(secs(5));
        cluster.start(3);
        cluster.on(3, |gossip, now| gossip.join(now, vec![address(1)]));
        cluster.run(secs(10));
        cluster.assert_agreed();
        for viewer in 0..3 {
            assert_eq!(cluster.said(viewer, 3), ["left", "joined"], "{seed}");
        }
    }
}

#[test]
fn a_lone_node_leaves_too() {
    let mut cluster = Cluster::started(1, 1);
    cluster.on(0, |gossip, now| gossip.leave(now));
    cluster.run(ms(2_999));
    assert!(!format!("{:?}", cluster.news[0]).contains("LeaveEnded"));
    cluster.run(ms(1));
    assert!(format!("{:?}", cluster.news[0]).contains("LeaveEnded { announced: true }"));
}

#[test]
fn a_node_cut_from_one_peer_stays_alive() {
    for seed in 0..50 {
        let mut cluster = Cluster::settled(seed, 4);
        cluster.cuts.extend([(0, 3), (3, 0)]);
        cluster.run(secs(300));
        cluster.assert_agreed();
        assert!((0..4).all(|node| cluster.news[node].is_empty()), "{seed}: {:?}", cluster.news);
    }
}

#[test]
fn a_node_that_cannot_be_heard_fails_at_the_others() {
    for seed in 0..20 {
        let mut cluster = Cluster::settled(seed, 4);
        cluster.cuts.extend([(3, 0), (3, 1), (3, 2)]);
        cluster.run_until(secs(60), |cluster| cluster.all_see(3, Status::Failed));
        cluster.cuts.clear();
        cluster.run_until(secs(90), Cluster::is_agreed);
        cluster.assert_no_echo();
    }
}

#[test]
fn a_paused_node_comes_back_and_refutes() {
    for seed in 0..50 {
        let mut cluster = Cluster::settled(seed, 4);
        cluster.paused.insert(3);
        cluster.run(secs(20));
        assert!(cluster.all_see(3, Status::Failed));
        cluster.paused.clear();
        cluster.run_until(secs(60), Cluster::is_agreed);
        cluster.run(secs(60));
        cluster.assert_agreed();
        cluster.assert_no_echo();
        for viewer in 0..3 {
            assert_eq!(cluster.said(viewer, 3), ["failed", "joined"], "{seed}");
        }
    }
}

#[test]
fn a_short_pause_is_forgiven() {
    for seed in 0..50 {
        let mut cluster = Cluster::settled(seed, 4);
        cluster.paused.insert(3);
        cluster.run(secs(3));
        cluster.paused.clear();
        cluster.run(secs(60));
        cluster.assert_agreed();
        assert!((0..4).all(|node| cluster.news[node].is_empty()), "{seed}: {:?}", cluster.news);
    }
}

#[test]
fn a_node_restarted_in_time_never_fails() {
    let mut cluster = Cluster::settled(1, 4);
    cluster.kill(3);
    cluster.run(secs(1));
    cluster.start(3);
    cluster.on(3, |gossip, now| gossip.join(now, vec![address(0)]));
    cluster.run(secs(60));
    cluster.assert_agreed();
    assert!((0..3).all(|viewer| cluster.said(viewer, 3).is_empty()));
}

#[test]
fn a_restarted_node_replaces_the_dead_one() {
    for seed in 0..50 {
        let mut cluster = Cluster::settled(seed, 4);
        cluster.kill(3);
        cluster.run(secs(10 + seed));
        cluster.start(3);
        cluster.on(3, |gossip, now| gossip.join(now, vec![address(seed as usize % 3)]));
        // At once, but for those who still take its first incarnation for dead when others have already
        // forgotten it: they hear of the second with the next exchange.
        cluster.run_until(if seed < 15 { secs(2) } else { secs(60) }, Cluster::is_agreed);
        for viewer in 0..3 {
            assert_eq!(cluster.said(viewer, 3), ["failed", "joined"], "{seed}");
        }
    }
}

#[test]
fn a_restarted_node_finds_the_cluster_it_knew() {
    let mut cluster = Cluster::settled(1, 4);
    let snapshot = cluster.nodes[3].as_ref().unwrap().snapshot();
    cluster.kill(3);
    cluster.kill(1);
    cluster.run(secs(20));
    cluster.start(3);
    cluster.on(3, |gossip, now| gossip.restore(now, snapshot));
    cluster.run_until(secs(30), Cluster::is_agreed);
}

#[test]
fn a_name_is_not_taken_from_the_living() {
    let mut cluster = Cluster::settled(1, 4);
    cluster.nodes.push(None);
    cluster.news.push(Vec::new());
    cluster.kill(3);
    cluster.start_at(3, address(4));
    cluster.nodes.swap(3, 4);
    cluster.on(4, |gossip, now| gossip.join(now, vec![address(0)]));
    cluster.run(secs(3));
    let seen = cluster.nodes[0].as_ref().unwrap().members().find(|member| *member.name == *"n3").unwrap();
    assert_eq!(seen.address, address(3));
    // Once it is dead for long enough to be forgotten, it is.
    cluster.run(secs(120));
    let seen = cluster.nodes[0].as_ref().unwrap().members().find(|member| *member.name == *"n3").unwrap();
    assert_eq!((seen.address, seen.status), (address(4), Status::Alive));
}

#[test]
fn a_failed_node_can_be_told_to_have_left() {
    let mut cluster = Cluster::settled(1, 4);
    cluster.kill(3);
    cluster.run(secs(20));
    cluster.on(0, |gossip, now| gossip.force_leave(now, "n3", false));
    cluster.run(secs(2));
    assert!(cluster.all_see(3, Status::Left));
    cluster.on(1, |gossip, now| gossip.force_leave(now, "n3", true));
    cluster.run(secs(2));
    assert!((0..3).all(|viewer| cluster.said(viewer, 3) == ["failed", "left", "reaped"]));
}

#[test]
fn who_is_gone_for_long_is_forgotten() {
    let mut cluster = Cluster::settled(1, 3);
    cluster.on(1, |gossip, now| gossip.leave(now));
    cluster.run(secs(4));
    cluster.kill(1);
    cluster.kill(2);
    cluster.run(secs(24 * 3600 - 60));
    assert_eq!(cluster.said(0, 1), ["left"]);
    cluster.run(secs(120));
    assert_eq!(cluster.said(0, 1), ["left", "reaped"]);
    cluster.run(secs(48 * 3600 - 120));
    assert_eq!(cluster.said(0, 2), ["failed"]);
    cluster.run(secs(120));
    assert_eq!(cluster.said(0, 2), ["failed", "reaped"]);
}
