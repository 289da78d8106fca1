//! What every generated run is like.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::plan::{FaultKind, Ground};
use crate::run::{most_instances, quiet_at};

fn plan(seed: u64, profile: &Profile) -> (Spec, FaultPlan) {
    let (spec, plan, _) = generate(&Spec::default(), "a", Seed(seed), profile);
    (spec, plan)
}

#[test]
fn a_seed_is_a_plan() {
    for profile in [Profile::RANDOM, Profile::SWARM] {
        for seed in 0..20 {
            let [first, second] = [0, 1].map(|_| generate(&Spec::default(), "a", Seed(seed), &profile));
            assert_eq!(first, second);
        }
    }
    let first = generate(&Spec::default(), "a", Seed(5), &Profile::BOUNDARY);
    assert_eq!(first, generate(&Spec::default(), "a", Seed(5), &Profile::BOUNDARY));
    assert_ne!(plan(1, &Profile::SWARM), plan(2, &Profile::SWARM));
    let [first, second] = ["a", "b"].map(|name| generate(&Spec::default(), name, Seed(5), &Profile::SWARM));
    assert_ne!(first, second, "a sweep over many scenarios is no sweep over one");
}

#[test]
fn every_kind_is_drawn_by_some_seed() {
    let drawn: BTreeSet<_> = (0..500)
        .flat_map(|seed| plan(seed, &Profile::SWARM).1.faults)
        .map(|fault| fault.kind.name())
        .collect();
    // What an operator does by hand helps; it is no fault.
    let missing: Vec<_> =
        FaultKind::NAMES.into_iter().filter(|name| !drawn.contains(name) && *name != "remove").collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn only_what_swarm_draws_makes_runs_differ_in_their_kinds() {
    let kinds = |profile: &Profile| -> usize {
        let of = |seed| {
            let faults = plan(seed, profile).1.faults;
            faults.iter().map(|fault| fault.kind.name()).collect::<BTreeSet<_>>().len()
        };
        (0..200).map(of).sum()
    };
    assert!(kinds(&Profile::SWARM) < kinds(&Profile::RANDOM));
}

#[test]
fn knobs_are_said_before_the_run() {
    let (spec, plan, drawn) = generate(&Spec::default(), "a", Seed(9), &Profile::SWARM);
    let said: Vec<_> = drawn.iter().collect();
    assert!(said.contains(&("instances", &*spec.cluster.instances.to_string())));
    let faults = said.iter().filter(|(name, _)| name.starts_with("at ")).count();
    assert_eq!(faults, plan.faults.len());
    assert_eq!(drawn.to_string().lines().count(), said.len());
}

#[test]
fn aimed_faults_hit_what_a_clean_run_did() {
    let aimed: BTreeSet<_> =
        (0..5).flat_map(|seed| plan(seed, &Profile::BOUNDARY).1.faults).map(|fault| fault.at.from).collect();
    let random: BTreeSet<_> =
        (0..5).flat_map(|seed| plan(seed, &Profile::SWARM).1.faults).map(|fault| fault.at.from).collect();
    assert_ne!(aimed, random);
}

#[test]
fn a_restart_that_loses_a_disk_waits_for_the_cluster_to_be_whole() {
    let mut wiped = 0;
    for (spec, plan) in (0..500).map(|seed| plan(seed, &Profile::SWARM)) {
        for fault in plan.faults.iter().filter(|fault| fault.kind == FaultKind::Restart { wipe: true }) {
            assert!(fault.at.from >= recovery_bound(&spec), "{fault}");
            wiped += 1;
        }
    }
    assert!(wiped > 5, "{wiped}");
}

#[test]
fn nobody_is_given_up_for_lost_before_the_faults_are_over() {
    for (spec, plan) in (0..100).map(|seed| plan(seed, &Profile::SWARM)) {
        let upgrade = |fault: &&Fault| fault.id.as_deref() != Some("upgrade");
        let faults: Vec<_> = plan.faults.iter().filter(upgrade).collect();
        let away = |fault: &&Fault| fault.over_at() - fault.at.to;
        let patience = spec.cluster.patience().unwrap();
        assert!(patience > faults.iter().map(away).sum::<Duration>(), "{patience:?}");
    }
    let (spec, _, _) =
        generate(&Spec::default(), "a", Seed(3), &Profile { unsurvivable: true, ..Profile::SWARM });
    assert_eq!(spec.cluster.takeover, None);
}

/// How many instances may lose their disks to a fault.
fn costs(fault: &Fault, instances: usize) -> usize {
    match &fault.kind {
        FaultKind::Kill | FaultKind::PowerLoss | FaultKind::Stop
            if fault.target.are(Ground::Instance) && fault.lasting == Lasting::Moment =>
        {
            1
        }
        FaultKind::Restart { wipe: true }
        | FaultKind::Replace { wipe: true }
        | FaultKind::FailCommand { .. }
        | FaultKind::SlowCommand { .. }
        | FaultKind::SlowDisk { .. }
        | FaultKind::HangCommand { .. }
        | FaultKind::KillCommand { .. }
        | FaultKind::FullDisk
        | FaultKind::FailDisk => 1,
        FaultKind::Scale { instances: to } => instances.saturating_sub(*to),
        _ => 0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_generated_plan_can_stand_in_a_file_and_be_survived(seed: u64) {
        let (spec, plan) = plan(seed, &Profile::SWARM);
        let text = toml::to_string(&plan).unwrap();
        prop_assert_eq!(&toml::from_str::<FaultPlan>(&text).unwrap(), &plan, "{}", text);
        prop_assert_eq!(&plan.draw(Seed(seed)), &plan, "it is settled");
        let ids: BTreeSet<_> = plan.faults.iter().map(|fault| fault.id.clone()).collect();
        prop_assert_eq!(ids.len(), plan.faults.len());
        for fault in &plan.faults {
            prop_assert_eq!(fault.check(), Ok(()));
            prop_assert_ne!(fault.lasting, Lasting::Forever);
            prop_assert!(fault.over_at() <= quiet_at(&spec, &plan));
        }
        prop_assert!((1..=7).contains(&most_instances(&spec, &plan)));
        let lost: usize = plan.faults.iter().map(|fault| costs(fault, spec.cluster.instances)).sum();
        prop_assert!(lost < spec.cluster.instances, "{} of {}", lost, spec.cluster.instances);
        let whole = spec.cluster.start_interval * (spec.cluster.instances as u32 - 1) + recovery_bound(&spec);
        for fault in plan.faults.iter().filter(|fault| costs(fault, spec.cluster.instances) > 0) {
            prop_assert!(fault.at.from >= whole, "nobody ends while the cluster starts");
        }
    }
}
