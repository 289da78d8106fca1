//! Shrinking, enumerating, explaining and keeping failures, with made-up runs in place of a world.

mod made_up;

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ironbird::format::parse;
use ironbird::hunt::corpus::{Verdict, entry, replay, write_whole};
use ironbird::hunt::ledger::Ledger;
use ironbird::hunt::{
    Case, Cause, Knobs, Lab, Size, Step, enumerate, explain, points, showing, shrink, worst,
};
use ironbird::library::Sourced;
use ironbird::runner::RunFn;
use ironbird::select::{Selected, Selection};
use ironbird_sim::plan::{Fault, FaultPlan, Lasting};
use ironbird_sim::properties::Property;
use ironbird_sim::run::Run;
use ironbird_sim::seed::Seed;
use ironbird_sim::signature::Signature;
use ironbird_sim::spec::Spec;
use proptest::prelude::*;

fn fault(text: &str) -> Fault {
    toml::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn kind(fault: &Fault) -> &'static str {
    fault.kind.name()
}

fn case(faults: Vec<Fault>) -> Case {
    let mut spec = Spec { faults, ..Spec::default() };
    spec.faults.sort_by_key(|fault| fault.at.from);
    Case { name: "storm/calm".to_owned(), spec, seed: Seed(7) }
}

/// A run that fails when `fails` says so.
fn when(
    fails: impl Fn(&Spec, &FaultPlan) -> bool + Sync,
) -> impl Fn(&Spec, &str, Seed, &FaultPlan) -> Run + Sync {
    move |spec, name, seed, plan| {
        let calm = made_up::calm(spec, name, seed, plan);
        if fails(spec, plan) { made_up::violating(calm, Property::OneWritablePrimary) } else { calm }
    }
}

fn lab<'a>(run: &'a RunFn<'a>, jobs: usize) -> Lab<'a> {
    Lab::new(run, jobs).unwrap()
}

fn wanted(lab: &Lab<'_>, case: &Case) -> Signature {
    lab.signatures(case).into_iter().next().expect("a case that fails")
}

fn quietly(_: &Step<'_>) -> io::Result<()> {
    Ok(())
}

/// A plan in which little matters.
fn crowd() -> Vec<Fault> {
    let mut faults = vec![
        fault("at = \"183s 417ms\"\nkind = \"kill\"\ntarget = \"leader\""),
        fault("at = \"3m 9s\"\nkind = \"cut\"\ntarget = \"replicas\"\npeer = \"consul\"\nfor = \"97s\""),
    ];
    for second in 1..30 {
        faults.push(fault(&format!(
            "at = \"{second}s 7ms\"\nkind = \"latency\"\ntarget = \"instances\"\npeer = \"store\"\ndelay = \"1s\"\nfor = \"9s\""
        )));
    }
    faults
}

#[test]
fn what_does_not_matter_is_left_out() {
    let run = when(|_, plan| {
        let has = |name: &str| plan.faults.iter().any(|fault| kind(fault) == name);
        has("kill") && has("cut")
    });
    let lab = lab(&run, 2);
    let mut case = case(crowd());
    case.spec.cluster.instances = 5;
    case.spec.workload.clients = 9;
    case.spec.network.loss = 0.2;
    let wanted = wanted(&lab, &case);
    let mut steps = 0;
    let shrunk = shrink(&lab, case.clone(), &wanted, 2_000, &mut |step| {
        if let Step::Smaller { best, .. } = step {
            assert!(lab.signatures(best).contains(&wanted), "what is told is sound");
            steps += 1;
        }
        Ok(())
    })
    .unwrap();
    assert!(shrunk.minimal && steps > 5);
    let Spec { faults, cluster, workload, network, .. } = &shrunk.case.spec;
    let said: Vec<_> = faults.iter().map(|fault| toml::to_string(fault).unwrap()).collect();
    assert_eq!(faults.iter().map(kind).collect::<Vec<_>>(), ["kill", "cut"], "{said:?}");
    assert_eq!((cluster.instances, workload.clients, network.loss), (1, 0, 0.0));
    assert!(faults.iter().all(|fault| fault.at.from.as_secs().is_multiple_of(60)), "{said:?}");
    assert!(
        matches!(faults[1].lasting, Lasting::For(length) if length <= Duration::from_secs(1)),
        "{said:?}"
    );
}

#[test]
fn a_milder_kind_is_taken_when_it_does_the_same() {
    let run = when(|_, plan| !plan.faults.is_empty());
    let lab = lab(&run, 1);
    let case = case(vec![fault("at = \"10s\"\nkind = \"power-loss\"\ntarget = \"instances\"")]);
    let wanted = wanted(&lab, &case);
    let shrunk = shrink(&lab, case, &wanted, 1_000, &mut quietly).unwrap();
    assert_eq!(kind(&shrunk.case.spec.faults[0]), "latency");
}

#[test]
fn another_failure_is_not_the_same_failure() {
    // Without the cut it still fails, but otherwise.
    let run = |spec: &Spec, name: &str, seed: Seed, plan: &FaultPlan| {
        let calm = made_up::calm(spec, name, seed, plan);
        let property = if plan.faults.iter().any(|fault| kind(fault) == "cut") {
            Property::OneWritablePrimary
        } else {
            Property::ClusterConverges
        };
        made_up::violating(calm, property)
    };
    let lab = lab(&run, 2);
    let case = case(crowd());
    let wanted = wanted(&lab, &case);
    let shrunk = shrink(&lab, case, &wanted, 1_000, &mut quietly).unwrap();
    assert_eq!(shrunk.case.spec.faults.iter().map(kind).collect::<Vec<_>>(), ["cut"]);
}

#[test]
fn a_budget_is_kept_and_the_best_so_far_with_it() {
    let calls = AtomicU64::new(0);
    let run = when(|_, plan| {
        calls.fetch_add(1, Ordering::Relaxed);
        plan.faults.iter().any(|fault| kind(fault) == "kill")
    });
    let lab = lab(&run, 1);
    let case = case(crowd());
    let wanted = wanted(&lab, &case);
    for budget in [0, 1, 3, 8] {
        calls.store(0, Ordering::Relaxed);
        let shrunk = shrink(&lab, case.clone(), &wanted, budget, &mut quietly).unwrap();
        assert!(!shrunk.minimal);
        assert_eq!(shrunk.runs, budget);
        assert_eq!(calls.load(Ordering::Relaxed), budget, "what is counted is what is run");
        assert!(lab.signatures(&shrunk.case).contains(&wanted));
    }
}

#[test]
fn a_disk_that_is_full_ends_the_search() {
    let run = when(|_, plan| !plan.faults.is_empty());
    let lab = lab(&run, 1);
    let case = case(crowd());
    let wanted = wanted(&lab, &case);
    let error = shrink(&lab, case, &wanted, 1_000, &mut |step| match step {
        Step::Smaller { .. } => Err(io::ErrorKind::StorageFull.into()),
        Step::Pass { .. } => Ok(()),
    });
    assert_eq!(error.unwrap_err().kind(), io::ErrorKind::StorageFull);
}

fn any_fault() -> impl Strategy<Value = Fault> {
    let target = prop::sample::select(vec!["leader", "replica", "replicas", "instances"]);
    (0_u64..200_000, 0_usize..5, target, 1_u64..90_000).prop_map(|(at, kind, target, length)| {
        let kind = match kind {
            0 => "kind = \"kill\"".to_owned(),
            1 => "kind = \"power-loss\"".to_owned(),
            2 => format!("kind = \"pause\"\nfor = \"{length}ms\""),
            3 => format!("kind = \"cut\"\npeer = \"consul\"\nfor = \"{length}ms\""),
            _ => format!("kind = \"loss\"\npeer = \"consul\"\nrate = 0.5\nfor = \"{length}ms\""),
        };
        fault(&format!("at = \"{at}ms\"\ntarget = \"{target}\"\n{kind}"))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever it is that makes a run fail, also what makes no sense: a number drawn from the whole plan.
    #[test]
    fn shrinking_never_passes_never_grows_and_is_deterministic(
        faults in prop::collection::vec(any_fault(), 1..12),
        salt in any::<u8>(),
        mercy in 2_u8..6,
        instances in 1_usize..6,
    ) {
        let run = when(|spec, plan| {
            let text = format!("{salt} {} {}", spec.cluster.instances, toml::to_string(plan).unwrap());
            plan.faults.len() > 2 || !blake3::hash(text.as_bytes()).as_bytes()[0].is_multiple_of(mercy)
        });
        let mut case = case(faults);
        case.spec.cluster.instances = instances;
        let one = lab(&run, 1);
        prop_assume!(!one.signatures(&case).is_empty());
        let wanted = wanted(&one, &case);
        let shrunk = shrink(&one, case.clone(), &wanted, 300, &mut quietly).unwrap();
        prop_assert!(one.signatures(&shrunk.case).contains(&wanted));
        prop_assert!(Size::of(&shrunk.case) <= Size::of(&case));
        let several = lab(&run, 3);
        prop_assert_eq!(shrink(&several, case, &wanted, 300, &mut quietly).unwrap(), shrunk);
    }
}

/// Fails when a fault begins in the same second as one of its events.
fn brittle(spec: &Spec, name: &str, seed: Seed, plan: &FaultPlan) -> Run {
    let mut run = made_up::changing(spec, name, seed, plan);
    let hurts = |fault: &Fault| fault.at.from.as_secs() == 2 && kind(fault) != "kill";
    if plan.faults.iter().any(hurts) {
        run = made_up::violating(run, Property::OneWritablePrimary);
    }
    run
}

#[test]
fn every_moment_gets_every_fault_on_every_machine() {
    let lab = lab(&brittle, 2);
    let case = case(Vec::new());
    let points = points(&lab, &case, &Cause::ALL, None, None).unwrap();
    // Four changes, of which one repeats; the first two machines start at the same time.
    let moments = &points.moments;
    assert_eq!((moments.events, moments.changes, moments.repeated, moments.together), (6, 5, 1, 1));
    assert_eq!(moments.kept.len(), 3);
    // Two instances, the store and one node of Consul, which has no others to be cut from; the store
    // cannot be killed.
    let hosts = 4;
    let of_one = hosts * Cause::ALL.len() - 1;
    assert_eq!(points.total + points.impossible, 3 * hosts * Cause::ALL.len());
    assert!(points.tried.len() >= 3 * (of_one - 1), "{}", points.tried.len());
    let times: Vec<_> = points.tried.iter().map(|point| point.faults[0].at.from).collect();
    assert!(times.is_sorted() && times[0] == Duration::from_millis(1), "one tick after");
}

fn all_of(jobs: usize, done: &BTreeMap<usize, Vec<Signature>>) -> (String, Vec<(usize, Vec<Signature>)>) {
    let lab = lab(&brittle, jobs);
    let case = case(Vec::new());
    let points = points(&lab, &case, &Cause::ALL, None, None).unwrap();
    let mut kept = Vec::new();
    let found = enumerate(&lab, &case, &points, done, &mut |point, shows| {
        kept.push((point, shows.to_vec()));
        Ok(())
    })
    .unwrap();
    (found.statement("storm/calm"), kept)
}

#[test]
fn an_enumeration_that_goes_on_comes_to_the_same() {
    let (statement, kept) = all_of(1, &BTreeMap::new());
    assert!(statement.contains(" single-fault points of storm/calm fail, in one way"), "{statement}");
    assert_eq!(all_of(3, &BTreeMap::new()), (statement.clone(), kept.clone()));
    for stop in [0, 1, kept.len() / 2, kept.len()] {
        let done = kept.iter().take(stop).cloned().collect();
        let (again, rest) = all_of(2, &done);
        assert_eq!(again, statement);
        assert_eq!(rest, kept[stop..], "nothing is tried twice");
    }
}

#[test]
fn a_ledger_is_read_back_and_a_half_written_line_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("points.jsonl");
    let lab = lab(&brittle, 1);
    let case = case(Vec::new());
    let points = points(&lab, &case, &Cause::ALL, None, None).unwrap();
    let shows = vec!["lock-delay@primary: x".parse::<Signature>().unwrap()];
    let (mut ledger, done) = Ledger::open(&path, &case, &points).unwrap();
    assert!(done.is_empty());
    ledger.keep(0, &shows).unwrap();
    ledger.keep(1, &[]).unwrap();
    drop(ledger);
    let whole = std::fs::read_to_string(&path).unwrap();
    let first_line = whole.find('\n').unwrap();
    for cut in first_line + 1..=whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let (mut ledger, done) = Ledger::open(&path, &case, &points).unwrap();
        let lines = whole[..cut].matches('\n').count() - 1;
        assert_eq!(done.len(), lines, "{cut}");
        ledger.keep(1, &[]).unwrap();
        drop(ledger);
        let (_, done) = Ledger::open(&path, &case, &points).unwrap();
        assert!(done.contains_key(&1));
    }
    // Another set of points, and what is no ledger at all, are left alone.
    let fewer = ironbird::hunt::points(&lab, &case, &[Cause::Kill], None, None).unwrap();
    assert!(
        Ledger::open(&path, &case, &fewer)
            .unwrap_err()
            .to_string()
            .contains("of another scenario, seed or set")
    );
    std::fs::write(&path, "hello\n").unwrap();
    assert_eq!(Ledger::open(&path, &case, &points).unwrap_err().to_string(), "it is no list of points");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "hello\n");
}

#[test]
fn pairs_are_drawn_and_a_limit_is_kept() {
    let lab = lab(&brittle, 1);
    let case = case(Vec::new());
    let draw = |count, limit| points(&lab, &case, &Cause::ALL, Some(count), limit).unwrap();
    let pairs = draw(20, None);
    assert_eq!(pairs.tried.len(), 20);
    assert!(pairs.tried.iter().all(|pair| pair.faults.len() == 2));
    assert_eq!(pairs, draw(20, None));
    assert_eq!(draw(20, Some(5)).tried, pairs.tried[..5]);
    let singles = points(&lab, &case, &Cause::ALL, None, Some(7)).unwrap();
    assert_eq!(singles.tried.len(), 7);
    assert_eq!(draw(1_000_000, None).tried.len(), draw(1_000_000, None).total, "there are only so many");
}

/// Decided at 40 s: from then on other dice change nothing; before, every fourth run fails.
fn decided(spec: &Spec, name: &str, seed: Seed, plan: &FaultPlan) -> Run {
    let saved = match spec.turn {
        Some(turn) => turn.at < Duration::from_secs(40) && !turn.seed.0.is_multiple_of(4),
        None => false,
    };
    let lines: Vec<String> = (0..60)
        .map(
            |second| if saved && second >= 40 { format!("saved {second}") } else { format!("line {second}") },
        )
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let run = made_up::run(spec, name, seed, plan, &lines);
    let needed = plan.faults.iter().any(|fault| kind(fault) == "kill");
    if saved || !needed { run } else { made_up::violating(run, Property::OneWritablePrimary) }
}

#[test]
fn the_moment_a_failure_became_inevitable_is_found() {
    let case = case(crowd());
    let explained: Vec<_> = [1, 3]
        .into_iter()
        .map(|jobs| {
            let lab = lab(&decided, jobs);
            let wanted = wanted(&lab, &case);
            explain(&lab, &case, &wanted, Knobs::default()).unwrap()
        })
        .collect();
    assert_eq!(explained[0], explained[1]);
    let explanation = &explained[0];
    let needed: Vec<_> = explanation.faults.iter().filter(|is| is.needed).collect();
    assert!(needed.len() == 1 && needed[0].enough);
    let (before, after) = explanation.curve.half().unwrap();
    let decided = Duration::from_secs(40);
    assert!(before.at < decided && after.at >= decided, "{before:?} {after:?}");
    assert!(after.at - before.at < Duration::from_millis(10), "twenty times are enough for that");
    assert_eq!(explanation.curve.inevitable(), Some((before, after)));
    let nearest = explanation.nearest.as_ref().unwrap();
    assert_eq!(nearest.step, 40);
}

#[test]
fn a_failure_of_any_dice_was_inevitable_from_the_start() {
    let run = when(|_, _| true);
    let lab = lab(&run, 2);
    let case = case(Vec::new());
    let wanted = wanted(&lab, &case);
    let explanation = explain(&lab, &case, &wanted, Knobs::default()).unwrap();
    assert_eq!(explanation.curve.half(), None);
    assert_eq!(explanation.curve.readings.len(), 2, "nothing rises, so nothing is halved");
    assert!(explanation.nearest.is_none());
}

/// A scenario of one variant.
fn storm(expect: &str, rest: &str) -> Selection {
    let text = format!(
        "name = \"storm\"\ntitle = \"A storm\"\nwhy = \"Because\"\n{rest}\n[variant.calm]\nexpect = {expect}\n"
    );
    let scenario = parse("storm.toml", &text).unwrap();
    let from = Sourced { selector: "storm".to_owned(), file: "storm.toml".to_owned(), scenario };
    Selection { from, variants: vec![0] }
}

#[test]
fn a_kept_failure_is_replayed_and_says_when_it_tries_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let selection = storm("\"pass\"", "[[fault]]\nat = \"1s..9s\"\nkind = \"kill\"\ntarget = \"leader\"");
    let selected: Vec<Selected<'_>> = selection.variants().collect();
    let failing = when(|_, _| true);
    let bad = lab(&failing, 2);
    let case = Case::of(selected[0], Seed(4_711), None);
    let shown = bad.signatures(&case);
    let signature = worst(&shown, &selected[0].variant.expect).unwrap();
    let (name, text) = entry(selected[0], &case, signature, None);
    write_whole(&folder.path().join("deep").join(&name), &text).unwrap();
    let kept = parse(&name, &text).unwrap();
    assert_eq!((kept.seed, &kept.variants[0].spec), (Some(4_711), &case.spec), "{text}");

    let verdict = |lab: &Lab<'_>| replay(lab, folder.path()).unwrap().pop().unwrap().verdict;
    let Verdict::Fails { shown, .. } = verdict(&bad) else { panic!("it fails") };
    assert_eq!(shown, std::slice::from_ref(signature));
    assert!(matches!(verdict(&lab(&made_up::calm, 1)), Verdict::Holds), "it has been mended");
    let idle = lab(&made_up::nobody_struck, 1);
    let Verdict::NoLongerApplies { why } = verdict(&idle) else { panic!("it struck nobody") };
    assert_eq!(why, "kill leader: it struck nobody");

    let old = text.replace("\"kill\"", "\"smite\"");
    write_whole(&folder.path().join("deep").join(&name), &old).unwrap();
    let Verdict::NoLongerApplies { why } = verdict(&bad) else { panic!("it does not read") };
    assert!(why.contains("`smite` is no kind of fault"), "{why}");
}

#[test]
fn a_file_that_shows_a_failure_demands_that_very_failure() {
    let run = when(|_, _| true);
    let lab = lab(&run, 1);
    let case = case(Vec::new());
    let shown = wanted(&lab, &case);
    let other: Signature = "one-writable-primary@primary: something else".parse().unwrap();
    let made = lab.fly(&case).unwrap();
    assert_eq!(showing(&shown).objection(&made), None);
    assert_eq!(showing(&other).objection(&made), Some(format!("does not show \"{other}\" but \"{shown}\"")));
}
