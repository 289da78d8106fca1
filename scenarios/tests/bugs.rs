//! Every planted bug is found, by the property that is expected to, and is the only reason why.
#![cfg(feature = "planted-bugs")]

use std::sync::atomic::{AtomicU64, Ordering};

use ironbird::cli::{Console, execute};
use ironbird::exit_code::Exit;
use ironbird::format::Expectation;
use ironbird::hunt::Lab;
use ironbird::hunt::bugs::{Search, Technique, hunt, with_bug};
use ironbird::select::{Selected, Selection, select};
use ironbird_agent::planted::{Bug, during};
use ironbird_sim::plan::FaultPlan;
use ironbird_sim::properties::Property;
use ironbird_sim::run::run;
use ironbird_sim::seed::Seed;
use ironbird_sim::spec::Spec;
use rayon::prelude::*;

fn selections(words: &[&str]) -> Vec<Selection> {
    let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
    let (selections, errors) = select(&words);
    assert!(errors.is_empty(), "{errors:?}");
    selections
}

fn must_pass(selections: &[Selection]) -> Vec<Selected<'_>> {
    let all = selections.iter().flat_map(Selection::variants);
    all.filter(|one| one.variant.expect == Expectation::Pass).collect()
}

/// One run of each scenario at most.
#[test]
fn every_bug_is_found_by_the_property_that_is_expected_to() {
    let selections = selections(&[]);
    let variants = must_pass(&selections);
    let search = Search { sweeps: 1, budget: variants.len() as u64 };
    let missed = |bug: &Bug| {
        let facts = bug.facts();
        let flown = with_bug(&run, *bug);
        // What else it violates says nothing of the property that was written with it in mind.
        let as_expected = |spec: &Spec, name: &str, seed, plan: &FaultPlan| {
            let mut flown = flown(spec, name, seed, plan);
            flown.violations.retain(|violation| violation.property.name() == facts.property);
            flown
        };
        let lab = Lab::new(&as_expected, 1).unwrap();
        let hunt = hunt(&lab, &run, &variants, Technique::Files, search);
        let Some((case, _)) = hunt.find() else {
            return Some(format!("{}: {} not violated in {} runs", facts.id, facts.property, search.budget));
        };
        // What is found is the bug's own: without it the same run holds.
        let sound = run(&case.spec, &case.name, case.seed, &case.plan());
        assert!(sound.violations.is_empty(), "{} fails without {}", case.name, facts.id);
        None
    };
    let missed: Vec<_> = Bug::ALL.par_iter().filter_map(missed).collect();
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn what_is_expected_to_find_a_bug_is_a_property() {
    for bug in Bug::ALL {
        let facts = bug.facts();
        assert!(Property::ALL.iter().any(|property| property.name() == facts.property), "{facts:?}");
    }
}

#[test]
fn a_bug_is_in_no_run_but_its_own() {
    let selections = selections(&["leader-kill/hardened"]);
    let one = must_pass(&selections)[0];
    let fly = |seed: u64| run(&one.variant.spec, "x", Seed(seed), &one.variant.spec.plan().draw(Seed(seed)));
    let alone: Vec<_> = (0..4).map(|seed| fly(seed).record.hash()).collect();
    std::thread::scope(|scope| {
        let beside: Vec<_> = (0..4)
            .map(|seed| {
                let bug = (seed % 2 == 0).then_some(Bug::LockDelayNotKept);
                scope.spawn(move || during(bug, || fly(seed).record.hash()))
            })
            .collect();
        let beside: Vec<_> = beside.into_iter().map(|thread| thread.join().unwrap()).collect();
        for (seed, (alone, beside)) in alone.iter().zip(&beside).enumerate() {
            assert_eq!(alone == beside, seed % 2 == 1, "seed {seed}");
        }
    });
    assert_eq!(fly(0).record.hash(), alone[0]);
}

#[test]
fn what_is_found_does_not_depend_on_threads() {
    let selections = selections(&["leader-kill", "leader-stop", "leader-cut-from-consul"]);
    let variants = must_pass(&selections);
    let found = |jobs: usize, technique| {
        let flown = with_bug(&run, Bug::LeadershipForEver);
        let lab = Lab::new(&flown, jobs).unwrap();
        let hunt = hunt(&lab, &run, &variants, technique, Search { sweeps: 4, budget: 3 });
        hunt.sweeps.into_iter().map(|sweep| (sweep.runs, sweep.found)).collect::<Vec<_>>()
    };
    let alone = found(1, Technique::Files);
    assert!(alone.iter().any(|(_, found)| found.is_some()), "{alone:?}");
    assert_eq!(alone, found(3, Technique::Files));
    assert_ne!(alone, found(1, Technique::Random));
}

#[test]
fn a_search_that_is_broken_off_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let runs = AtomicU64::new(0);
    let counted = |spec: &Spec, name: &str, seed, plan: &FaultPlan| {
        runs.fetch_add(1, Ordering::Relaxed);
        run(spec, name, seed, plan)
    };
    let search = |bugs: &[&str], sweeps: &str, json: &str| {
        let (state, json) = (path("state.jsonl"), path(json));
        let mut words = vec!["ironbird", "bugs"];
        words.extend(bugs);
        words.extend(["--in", "leader-kill", "--by", "files", "--sweeps", sweeps, "--budget", "2"]);
        words.extend(["--shrink-budget", "4", "--state", &state, "--json", &json]);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let exit = execute(words, &counted, &mut Console::new(&mut out, &mut err));
        (exit, String::from_utf8(err).unwrap(), runs.swap(0, Ordering::Relaxed))
    };
    let (exit, _, first) = search(&["starts-writable"], "2", "one.json");
    assert!(exit == Exit::AsExpected && first > 0);
    let (_, said, both) = search(&["starts-writable", "first-edge-missed"], "2", "both.json");
    assert!(said.starts_with("bugs known from ") && said.contains("state.jsonl: 1\n") && both > 0, "{said}");
    let (_, said, again) = search(&["starts-writable", "first-edge-missed"], "2", "again.json");
    assert!(said.contains("state.jsonl: 2\n"), "{said}");
    assert_eq!(again, 0, "what is known is not looked for again");
    let told = |name: &str| std::fs::read_to_string(path(name)).unwrap();
    assert_eq!(told("both.json"), told("again.json"));
    // Of another search nothing is known.
    let (exit, said, _) = search(&["starts-writable"], "3", "other.json");
    assert!(exit != Exit::AsExpected, "{said}");
    assert!(
        said.contains("it is of other scenarios or techniques, or another number of sweeps or runs"),
        "{said}"
    );
}
