//! Every planted bug is found, by the property that is expected to, and is the only reason why.
#![cfg(feature = "planted-bugs")]

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
    let mut missed = Vec::new();
    for bug in Bug::ALL {
        let facts = bug.facts();
        let flown = with_bug(&run, *bug);
        // What else it violates says nothing of the property that was written with it in mind.
        let as_expected = |spec: &Spec, name: &str, seed, plan: &FaultPlan| {
            let mut flown = flown(spec, name, seed, plan);
            flown.violations.retain(|violation| violation.property.name() == facts.property);
            flown
        };
        let lab = Lab::new(&as_expected, 1).unwrap();
        let hunt = hunt(&lab, &variants, Technique::Files, search);
        let Some((case, _)) = hunt.find() else {
            missed.push(format!("{}: {} not violated in {} runs", facts.id, facts.property, search.budget));
            continue;
        };
        // What is found is the bug's own: without it the same run holds.
        let sound = run(&case.spec, &case.name, case.seed, &case.plan());
        assert!(sound.violations.is_empty(), "{} fails without {}", case.name, facts.id);
    }
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
        let hunt = hunt(&lab, &variants, technique, Search { sweeps: 4, budget: 3 });
        hunt.sweeps.into_iter().map(|sweep| (sweep.runs, sweep.found)).collect::<Vec<_>>()
    };
    let alone = found(1, Technique::Files);
    assert!(alone.iter().any(|(_, found)| found.is_some()), "{alone:?}");
    assert_eq!(alone, found(3, Technique::Files));
    assert_ne!(alone, found(1, Technique::Random));
}
