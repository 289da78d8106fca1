use std::time::Duration;

use super::*;
use crate::properties::testing::{QUIET_AT, Script};

const AFTER: u64 = QUIET_AT + 1_000;

/// A cluster that is whole after ten seconds.
fn formed() -> Script {
    let mut script = Script::new();
    script.at(0).launched("mysql-1").lock_acquired("mysql-primary", "s1", r#"{"holder":"mysql-1"}"#);
    script.at(5_000).healthy_primary("mysql-1");
    script.at(8_000).healthy_replica("mysql-2", "mysql-1");
    script.at(10_000).healthy_replica("mysql-3", "mysql-1");
    script
}

/// The primary is killed at 60 s, its lock free from 61 s on, and mysql-2 takes over at 71 s.
fn failed_over() -> Script {
    let mut script = formed();
    script.at(QUIET_AT).fault_began("mysql-1", "kill leader").down("mysql-1").ended("mysql-1");
    script.check("mysql-primary-mysql-1", "critical");
    script.at(AFTER).lock_released("mysql-primary", "s1", AFTER + 5_000);
    script.at(AFTER + 10_000).lock_acquired("mysql-primary", "s2", r#"{"holder":"mysql-2"}"#);
    script.deregistered("mysql-mysql-2").replication("mysql-2", "", false, false).writable("mysql-2", true);
    script.registered("mysql-primary-mysql-2", "mysql-primary", "mysql-2");
    script.check("mysql-primary-mysql-2", "passing");
    script.replication("mysql-3", "mysql-2", true, true);
    script.healthy_replica("mysql-4", "mysql-2");
    script
}

fn over(mut script: Script) -> Journey {
    script.at(QUIET_AT + 100_001).finished();
    journey(&script.record())
}

/// The visits of states that read like this.
fn visits<'a>(journey: &'a Journey, state: &'a str) -> Vec<(&'a str, Visit)> {
    let alike = journey.visits.iter().filter(|((visited, _), _)| visited.to_string() == state);
    alike.map(|((_, fault), visit)| (fault.as_str(), *visit)).collect()
}

const WHOLE: &str = "primary replica replica | lock held | backup none | catalog right | Consul leader";

#[test]
fn a_cluster_forms_before_any_fault() {
    let journey = over(formed());
    assert!(journey.recovered);
    let alone =
        visits(&journey, "primary absent absent | lock held | backup none | catalog right | Consul leader");
    let visit = Visit { entered: Duration::from_secs(5), way_back: Some(Duration::from_secs(5)) };
    assert_eq!(alone, [(NO_FAULT, visit)]);
    assert_eq!(visits(&journey, WHOLE).len(), 1);
}

#[test]
fn the_way_back_counts_from_the_last_visit() {
    let journey = over(failed_over());
    let seconds = Duration::from_secs;
    let dead = "replica replica absent | lock held by dead | backup none | catalog none | Consul leader";
    let visit = Visit { entered: seconds(60), way_back: Some(seconds(11)) };
    assert_eq!(visits(&journey, dead), [("kill", visit)]);
    let delay = "replica replica absent | lock lock-delay | backup none | catalog none | Consul leader";
    let visit = Visit { entered: seconds(61), way_back: Some(seconds(10)) };
    assert_eq!(visits(&journey, delay), [("kill", visit)]);
    let whole = visits(&journey, WHOLE);
    let before = Visit { entered: seconds(10), way_back: Some(Duration::ZERO) };
    let after = Visit { entered: seconds(71), way_back: Some(Duration::ZERO) };
    assert_eq!(whole, [("kill", after), (NO_FAULT, before)]);
}

#[test]
fn a_cluster_that_stays_broken_has_no_way_back() {
    let mut script = formed();
    script.at(QUIET_AT).fault_began("mysql-1", "kill leader").down("mysql-1").ended("mysql-1");
    let journey = over(script);
    assert!(!journey.recovered);
    let lost = journey.visits.iter().filter(|(_, visit)| visit.way_back.is_none());
    assert!(lost.clone().count() > 0);
    assert!(lost.clone().all(|((_, fault), _)| fault == "kill"), "what was whole before the fault stays so");
}

#[test]
fn what_a_fault_interrupts_is_not_judged() {
    let mut script = Script::new();
    script.at(0).launched("mysql-1");
    script.at(1_000).fault_began("mysql-1", "kill leader").ended("mysql-1");
    let journey = over(script);
    assert!(journey.visits.keys().all(|(_, fault)| fault != NO_FAULT));
}

#[test]
fn a_fault_that_found_nobody_is_none() {
    let mut script = formed();
    script.at(QUIET_AT).fault_began("-", "kill replica: there is none at this moment");
    assert!(over(script).visits.keys().all(|(_, fault)| fault == NO_FAULT));
}

#[test]
fn writers_nobody_lists_are_stuck() {
    let mut script = formed();
    script.at(11_000).primary("mysql-4");
    script.at(75_000).log("mysql-4", "still here");
    let stuck = "primary replica replica stuck | lock held | backup none | catalog stale | Consul leader";
    let journey = over(script);
    assert_eq!(visits(&journey, stuck).len(), 1, "{:#?}", journey.visits.keys());
}

#[test]
fn consul_without_a_leader_shows() {
    let mut script = formed();
    script.at(20_000).fault_began("consul", "leaderless consul");
    script.at(30_000).fault_ended("consul", "leaderless consul");
    let journey = over(script);
    let out = WHOLE.replace("Consul leader", "Consul none");
    assert_eq!(visits(&journey, &out).len(), 1);
}

fn example(seed: u64) -> Example {
    Example { variant: "x".to_owned(), seed, replay: format!("ironbird replay x --seed {seed}") }
}

/// The primary is killed, and nobody ever takes over.
fn lost() -> Script {
    let mut lost = formed();
    lost.at(QUIET_AT).fault_began("mysql-1", "kill leader").down("mysql-1").ended("mysql-1");
    lost
}

#[test]
fn maps_of_two_halves_are_the_map_of_the_whole() {
    let runs: Vec<_> = [failed_over(), lost(), formed(), failed_over(), lost()].map(over).into();
    let map = |range: std::ops::Range<usize>| {
        let mut map = RecoveryMap::new(View::WHOLE);
        for (seed, journey) in range.clone().zip(&runs[range]) {
            map.add(&example(seed as u64), journey);
        }
        map
    };
    for cut in 0..=runs.len() {
        let mut both = map(0..cut);
        both.merge(map(cut..runs.len()));
        assert_eq!(both, map(0..runs.len()), "cut at {cut}");
    }
}

#[test]
fn a_map_counts_a_run_once_a_cell() {
    let journey = over(failed_over());
    let example = example(1);
    let mut whole = RecoveryMap::new(View::WHOLE);
    let mut nothing = RecoveryMap::new(View::NOTHING);
    for map in [&mut whole, &mut nothing] {
        map.add(&example, &journey);
        map.add(&example, &journey);
        assert_eq!((map.runs(), map.recovered(), map.faults()), (2, 2, vec![NO_FAULT, "kill"]));
        assert!(map.cells().all(|(_, _, cell)| cell.runs == 2 && cell.percent() == 100));
    }
    assert!(whole.rows().len() > 3);
    let (_, cells) = nothing.rows().next().unwrap();
    assert_eq!(cells.by_fault["kill"].longest(), Some(Duration::ZERO), "it was whole when it was last there");
}

#[test]
fn one_run_in_a_thousand_is_not_rounded_away() {
    let mut map = RecoveryMap::new(View::NOTHING);
    for seed in 0..999 {
        map.add(&example(seed), &over(failed_over()));
    }
    map.add(&example(999), &over(lost()));
    let cell = map.cells().find(|(_, fault, _)| *fault == "kill").map(|(_, _, cell)| cell).unwrap();
    assert_eq!((cell.percent(), cell.recovered(), cell.runs), (99, 999, 1_000));
    assert_eq!(cell.stranded, Some(example(999)));
}
