use std::collections::BTreeMap;
use std::time::Duration;

use ironbird_sim::recovery::{
    Backup, Catalog, ClusterState, ConsulState, Example, Instance, Journey, Lock, RecoveryMap, View, Visit,
};

use super::*;
use crate::specimens::HOSTILE;

fn state(instances: &[Instance], lock: Lock) -> ClusterState {
    ClusterState {
        instances: instances.to_vec(),
        lock,
        backup: Backup::Usable,
        catalog: Catalog::Right,
        consul: ConsulState::Leader,
    }
}

/// A run that was whole, lost its primary to `fault`, and was whole again after `back` seconds, or never.
fn run(fault: &str, back: Option<u64>) -> Journey {
    use Instance::{Absent, Primary, Replica};
    let whole = state(&[Primary, Replica, Replica], Lock::Held);
    let headless = state(&[Replica, Replica, Absent], Lock::HeldByDead);
    let visit = |entered, way_back: Option<u64>| Visit {
        entered: Duration::from_secs(entered),
        way_back: way_back.map(Duration::from_secs),
    };
    let mut visits = BTreeMap::from([
        ((whole.clone(), "none".to_owned()), visit(10, Some(0))),
        ((headless, fault.to_owned()), visit(60, back)),
    ]);
    if let Some(back) = back {
        visits.insert((whole, fault.to_owned()), visit(60 + back, Some(0)));
    }
    Journey { visits, recovered: back.is_some() }
}

fn section(title: &str, view: View, runs: &[(&str, Option<u64>)], must_recover: bool) -> Section {
    let mut map = RecoveryMap::new(view);
    for (seed, (fault, back)) in runs.iter().enumerate() {
        let replay = format!("ironbird replay leader-kill/{title} --seed {seed}");
        let example = Example { variant: format!("leader-kill/{title}"), seed: seed as u64, replay };
        map.add(&example, &run(fault, *back));
    }
    Section { title: title.to_owned(), map, variants: 1, must_recover }
}

fn sections(view: View) -> Vec<Section> {
    vec![
        section("hardened", view, &[("kill", Some(20)), ("kill", Some(31)), ("pause", Some(12))], true),
        section("published", view, &[("kill", Some(120)), ("kill", None), ("catalog-lag", None)], false),
    ]
}

#[test]
fn a_map_for_a_person() {
    insta::assert_snapshot!(terminal(&sections(View::WHOLE), &MapOptions { rows: 0, color: false }));
}

#[test]
fn a_map_for_a_document() {
    insta::assert_snapshot!(markdown(&sections(View { instances: true, ..View::NOTHING }), 0));
}

#[test]
fn a_map_as_csv() {
    insta::assert_snapshot!(csv(&sections(View::WHOLE)).unwrap());
}

#[test]
fn a_map_as_json() {
    insta::assert_snapshot!(json(&sections(View { lock: true, ..View::NOTHING })).unwrap());
}

#[test]
fn rows_that_are_left_out_are_counted() {
    let text = terminal(&sections(View::WHOLE), &MapOptions { rows: 1, color: false });
    assert!(text.contains("... and 1 row more"), "{text}");
}

#[test]
fn only_those_that_should_come_back_fail() {
    let lost = [("kill", None)];
    assert!(section("hardened", View::WHOLE, &lost, true).fails());
    assert!(!section("published", View::WHOLE, &lost, false).fails());
    assert!(!section("hardened", View::WHOLE, &[("kill", Some(1))], true).fails());
}

#[test]
fn hostile_names_do_nothing() {
    let sections = [crate::specimens::section(HOSTILE)];
    for text in [
        terminal(&sections, &MapOptions::default()),
        markdown(&sections, 0),
        csv(&sections).unwrap(),
        json(&sections).unwrap(),
    ] {
        let bad = |character: char| character != '\n' && crate::text::is_treacherous(character);
        assert!(!text.contains(bad), "{text:?}");
        assert!(!text.lines().any(|line| line.trim_start().starts_with(">>> forged")), "{text}");
    }
    let hostile = [("kill|\n", None)];
    assert!(markdown(&[section("x", View::WHOLE, &hostile, true)], 0).contains("kill\\|"));
}

#[test]
fn nothing_makes_no_map() {
    assert_eq!(terminal(&[], &MapOptions::default()), "");
    let empty = [section("hardened", View::WHOLE, &[], true)];
    assert!(terminal(&empty, &MapOptions::default()).starts_with("hardened: 0 runs"));
}
