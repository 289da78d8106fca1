//! A record follows from the scenario and the seed, and from nothing else.
//!
//! Here is what can be shown within one process: runs before, other threads, other seeds. What takes more
//! than one process (environment, folder, logs, number of threads, kind of build) is in
//! `scenarios/tests/processes.rs`; that a leak would be noticed is in `leaks.rs`.
//!
//! `snapshots/determinism__records_of_seed_1.snap` holds the hash of one record a variant, as this and every
//! other machine and build must find them. They change when a run does: with a scenario, the agent, the
//! world, the record's format, or a dependency that draws otherwise. If that is what was meant, take the new
//! ones with `INSTA_UPDATE=always cargo test -p ironbird-tests --test determinism` and say in the commit
//! what moved them. If nothing was meant to change, something leaks: compare `ironbird replay X --seed 1
//! --record -` before and after.

use std::fmt::Write as _;
use std::thread;

use ironbird::runner::first_difference;
use ironbird_sim::run::Run;
use ironbird_tests::{Variant, variants};

const SEEDS: [u64; 2] = [1, u64::MAX];

/// Fails at the first event that differs, and, should events agree that are written differently, then too.
fn assert_same(variant: &Variant, seed: u64, first: &Run, second: &Run) {
    if let Some(difference) = first_difference(first, second) {
        let lines = difference.lines().join("\n");
        panic!("{}, seed {seed}: {difference}\n{lines}", variant.name);
    }
    assert_eq!(written(first), written(second), "{}, seed {seed}", variant.name);
}

fn written(run: &Run) -> String {
    let mut lines = Vec::new();
    run.record.write_to(&mut lines).expect("memory takes everything");
    String::from_utf8(lines).expect("JSON")
}

/// A run on a thread that never ran one.
fn alone(variant: &Variant, seed: u64) -> Run {
    thread::scope(|scope| scope.spawn(|| variant.fly(seed)).join().expect("no panic"))
}

#[test]
fn a_run_repeats_at_once() {
    let seed = SEEDS[1];
    for variant in variants() {
        assert_same(&variant, seed, &variant.fly(seed), &variant.fly(seed));
    }
}

#[test]
fn runs_before_leave_nothing_behind() {
    let variants = variants();
    let mut cases: Vec<_> =
        variants.iter().flat_map(|variant| SEEDS.map(|seed| (variant, seed, alone(variant, seed)))).collect();
    // Every run here comes after runs of other variants and seeds, in two orders.
    for _ in 0..2 {
        for (variant, seed, alone) in &cases {
            assert_same(variant, *seed, alone, &variant.fly(*seed));
        }
        cases.reverse();
    }
}

#[test]
fn threads_do_not_meet() {
    for variant in variants() {
        let here = variant.fly(SEEDS[0]);
        thread::scope(|scope| {
            let others: Vec<_> = (0..2).map(|_| scope.spawn(|| variant.fly(SEEDS[0]))).collect();
            for other in others {
                assert_same(&variant, SEEDS[0], &here, &other.join().expect("no panic"));
            }
        });
    }
}

#[test]
fn another_seed_is_another_run() {
    for variant in variants() {
        // The header names the seed; what happens must differ.
        let [one, other] = SEEDS.map(|seed| variant.fly(seed).record.events);
        assert!(one != other, "{}: seeds {SEEDS:?} ran the same", variant.name);
    }
}

#[test]
fn records_are_those_every_machine_finds() {
    let mut hashes = String::new();
    for variant in variants() {
        let hash = variant.fly(1).record.hash().to_hex();
        let _ = writeln!(hashes, "{:<36} {}", variant.name, &hash[..16]);
    }
    insta::assert_snapshot!("records_of_seed_1", hashes);
}
