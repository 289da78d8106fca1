//! What a sweep makes of its runs.

mod made_up;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ironbird::format::parse;
use ironbird::library::Sourced;
use ironbird::runner::{Options, Progress, RunFn, Runner};
use ironbird::seeds::Seeds;
use ironbird::select::Selection;
use ironbird_reports::suite::{SuiteReport, VariantReport};
use ironbird_sim::properties::Property;
use ironbird_sim::swarm::Profile;

/// One variant, `storm/calm`, with this expectation and this rest of a file.
fn storm(expect: &str, rest: &str) -> Vec<Selection> {
    let text = format!(
        "name = \"storm\"\ntitle = \"A storm\"\nwhy = \"Because\"\nseeds = 100\n{rest}\n[variant.calm]\nexpect = {expect}\n"
    );
    vec![Selection {
        from: Sourced {
            selector: "my storms/storm.toml".to_owned(),
            file: "my storms/storm.toml".to_owned(),
            scenario: parse("storm.toml", &text).unwrap(),
        },
        variants: vec![0],
    }]
}

fn sweep(run: &RunFn<'_>, options: Options, expect: &str) -> VariantReport {
    let suite = Runner::new(run, options).unwrap().suite(&storm(expect, ""), None, &|_| {});
    suite.variants.into_iter().next().unwrap()
}

fn seeds(report: &VariantReport) -> Vec<u64> {
    report.failures.iter().map(|failure| failure.seed).collect()
}

#[test]
fn a_report_does_not_depend_on_the_number_of_threads() {
    for fail_fast in [false, true] {
        let reports: Vec<SuiteReport> = [1, 2, 7]
            .into_iter()
            .map(|jobs| {
                let options = Options { jobs, fail_fast, ..Options::default() };
                let runner = Runner::new(&made_up::every_third_bad, options).unwrap();
                let seeds = Some("10..700".parse::<Seeds>().unwrap());
                let mut suite = runner.suite(&storm("\"pass\"", ""), seeds, &|_| {});
                for variant in &mut suite.variants {
                    variant.elapsed = Duration::ZERO;
                }
                suite
            })
            .collect();
        assert_eq!(reports[0], reports[1]);
        assert_eq!(reports[0], reports[2]);
        let runs = reports[0].variants[0].runs;
        assert_eq!(runs, if fail_fast { 3 } else { 690 }, "12 is the first that 3 divides");
    }
}

#[test]
fn of_all_runs_that_fail_alike_the_shortest_is_shown() {
    let report = sweep(&made_up::every_third_bad, Options::default(), "\"pass\"");
    assert!(!report.as_expected);
    assert_eq!((report.runs, report.violated), (100, 34));
    assert_eq!(report.violations["one-writable-primary"], 34);
    assert_eq!(seeds(&report), [99]);
    assert_eq!(report.recovery.len(), 66, "those that are whole again");
    let first = &report.failures[0];
    assert!(
        first.reason.starts_with(
            "violates one-writable-primary, expected to pass; the shortest of 34 runs that fail like this ["
        ),
        "{}",
        first.reason
    );
    assert_eq!(first.replay, "ironbird replay 'my storms/storm.toml/calm' --seed 99");
    assert_eq!(first.violations.len(), 1);
    assert_eq!(first.hash.len(), 64);
    assert!(!first.decisive.is_empty());
}

#[test]
fn a_symptom_must_show_in_its_share_of_runs() {
    // Of seeds 0 to 99, 34 show it.
    for (expect, as_expected) in [
        ("{ violates = \"one-writable-primary\" }", false),
        ("{ violates = \"one-writable-primary\", share = 0.34 }", true),
        ("{ violates = \"one-writable-primary\", share = 0.35 }", false),
        ("{ violates = [\"lock-delay\", \"one-writable-primary\"], share = 0.34 }", true),
        ("{ violates = \"lock-delay\", share = 0.01 }", false),
        ("{ violates = \"one-writable-primary\", log = \"ick\", share = 0.34 }", true),
        ("{ violates = \"one-writable-primary\", log = \"tock\", share = 0.01 }", false),
    ] {
        let report = sweep(&made_up::every_third_bad, Options::default(), expect);
        assert_eq!(report.as_expected, as_expected, "{expect}: {report:?}");
        assert_eq!(report.failures.is_empty(), as_expected, "{expect}");
    }
}

#[test]
fn a_symptom_that_shows_comes_with_an_example() {
    let expect = "{ violates = \"one-writable-primary\", share = 0.3 }";
    let report = sweep(&made_up::every_third_bad, Options::default(), expect);
    let example = report.example.unwrap();
    assert_eq!(example.seed, 99, "the shortest");
    assert_eq!(report.violated, 34);
    assert!(example.reason.starts_with("as expected"), "{}", example.reason);
}

#[test]
fn runs_without_the_symptom_say_what_was_missing() {
    let reason = |expect| {
        let report = sweep(&made_up::every_third_bad, Options::default(), expect);
        report.failures[0].reason.clone()
    };
    let missing = reason("{ violates = \"lock-delay\" }");
    assert_eq!(missing, "does not violate lock-delay; the shortest of 66 runs that fail like this");
    let run = |spec: &_, name: &_, seed, plan: &_| {
        made_up::violating(made_up::calm(spec, name, seed, plan), Property::LockDelay)
    };
    let report = sweep(&run, Options::default(), "{ violates = \"lock-delay\", log = \"four\" }");
    let reason = &report.failures[0].reason;
    assert!(
        reason.starts_with("violates lock-delay, but no agent says \"four\"; the shortest of 100 "),
        "{reason}"
    );
}

#[test]
fn a_run_that_panics_is_a_failure_of_its_seed_alone() {
    let run = |spec: &_, name: &_, seed: ironbird_sim::seed::Seed, plan: &_| {
        assert!(seed.0 != 42, "seed 42 is cursed");
        made_up::violating(made_up::calm(spec, name, seed, plan), Property::LockDelay)
    };
    // It is no symptom either, however few runs have to show one.
    let report = sweep(&run, Options::default(), "{ violates = \"lock-delay\", share = 0.1 }");
    assert!(!report.as_expected);
    assert_eq!((report.runs, report.violated), (100, 99));
    assert_eq!(seeds(&report), [42]);
    let reason = &report.failures[0].reason;
    assert!(reason.starts_with("the run panicked") && reason.ends_with("seed 42 is cursed"), "{reason}");
}

#[test]
fn a_leak_of_chance_is_found_by_running_twice() {
    let calls = AtomicU64::new(0);
    let run = |spec: &_, name: &_, seed: ironbird_sim::seed::Seed, plan: &_| {
        let call = calls.fetch_add(1, Ordering::Relaxed).to_string();
        let leak = if seed.0 == 7 { call.as_str() } else { "same" };
        made_up::run(spec, name, seed, plan, &["one", leak, "three"])
    };
    let unchecked = sweep(&run, Options::default(), "\"pass\"");
    assert!(unchecked.as_expected, "one run alone does not show it");
    let options = Options { check_determinism: true, ..Options::default() };
    let report = sweep(&run, options, "\"pass\"");
    assert!(!report.as_expected);
    assert_eq!(seeds(&report), [7]);
    let failure = &report.failures[0];
    assert_eq!(failure.reason, "the same seed ran differently from event 1 on");
    let [first, second] = &failure.decisive[..] else {
        panic!("{failure:?}");
    };
    assert!(first.starts_with("first   {\"step\":1,") && second.starts_with("second  {\"step\":1,"));
    assert_ne!(first["first   ".len()..], second["second  ".len()..]);
}

#[test]
fn a_leak_that_shows_once_only_is_shown_as_it_was_seen() {
    let calls = AtomicU64::new(0);
    let run = |spec: &_, name: &_, seed: ironbird_sim::seed::Seed, plan: &_| {
        let call = if seed.0 == 7 { calls.fetch_add(1, Ordering::Relaxed) } else { 0 };
        made_up::run(spec, name, seed, plan, &["one", if call == 1 { "leaked" } else { "same" }, "three"])
    };
    let report = sweep(&run, Options { check_determinism: true, ..Options::default() }, "\"pass\"");
    assert_eq!(seeds(&report), [7]);
    let [first, second] = &report.failures[0].decisive[..] else {
        panic!("{:?}", report.failures);
    };
    assert!(first.contains("same") && second.contains("leaked"), "{first} {second}");
    assert!(calls.into_inner() > 2, "it was run again, and as it should have been");
}

#[test]
fn a_leak_after_the_last_common_event_or_in_the_verdict_is_found_too() {
    let options = Options { check_determinism: true, ..Options::default() };
    for (what, shape) in [("a longer record", 0), ("another verdict", 1)] {
        let calls = AtomicU64::new(0);
        let run = |spec: &_, name: &_, seed, plan: &_| {
            let second = calls.fetch_add(1, Ordering::Relaxed) % 2 == 1;
            let mut run = made_up::calm(spec, name, seed, plan);
            match (second, shape) {
                (true, 0) => drop(run.record.events.pop()),
                (true, _) => run.recovery = None,
                _ => {}
            }
            run
        };
        let runner = Runner::new(&run, Options { jobs: 1, ..options }).unwrap();
        let suite = runner.suite(&storm("\"pass\"", ""), Some(Seeds::first(1)), &|_| {});
        assert!(!suite.variants[0].as_expected, "{what}");
    }
}

#[test]
fn fail_fast_stops_where_the_share_is_out_of_reach() {
    let options = Options { fail_fast: true, ..Options::default() };
    // 100 runs at 90 % tolerate ten without the symptom; the eleventh is seed 16.
    let report =
        sweep(&made_up::every_third_bad, options, "{ violates = \"one-writable-primary\", share = 0.9 }");
    assert_eq!((report.as_expected, report.runs), (false, 17));
    let stopped = Runner::new(&made_up::every_third_bad, options).unwrap().suite(
        &[storm("\"pass\"", ""), storm("\"pass\"", "")].concat(),
        None,
        &|_| {},
    );
    assert_eq!(stopped.variants.len(), 1, "later variants are not begun");
}

#[test]
fn every_run_has_its_plan_drawn_from_its_seed() {
    let fault = "[[fault]]\nat = \"10s..90s\"\nkind = \"kill\"\ntarget = \"leader\"";
    let selections = storm("\"pass\"", fault);
    let times = Mutex::new(Vec::new());
    let run = |spec: &_, name: &_, seed, plan: &ironbird_sim::plan::FaultPlan| {
        let at = plan.faults[0].at;
        assert_eq!(at.from, at.to, "settled");
        times.lock().unwrap().push(at.from);
        made_up::calm(spec, name, seed, plan)
    };
    let options = Options { jobs: 1, ..Options::default() };
    let runner = Runner::new(&run, options).unwrap();
    let draw = || {
        runner.suite(&selections, Some(Seeds::first(20)), &|_| {});
        std::mem::take(&mut *times.lock().unwrap())
    };
    let first = draw();
    assert_eq!(first, draw());
    assert!(first.iter().collect::<std::collections::BTreeSet<_>>().len() > 10, "{first:?}");
}

#[test]
fn progress_tells_of_every_run() {
    let told = AtomicU64::new(0);
    let unexpected = AtomicU64::new(0);
    let finished = Mutex::new(Vec::new());
    Runner::new(&made_up::every_third_bad, Options::default()).unwrap().suite(
        &storm("\"pass\"", ""),
        None,
        &|progress| match progress {
            Progress::Started { name, runs } => assert_eq!((name, runs), ("storm/calm", 100)),
            Progress::Ran { as_expected } => {
                told.fetch_add(1, Ordering::Relaxed);
                unexpected.fetch_add(u64::from(!as_expected), Ordering::Relaxed);
            }
            Progress::Finished(report) => finished.lock().unwrap().push(report.runs),
        },
    );
    assert_eq!((told.into_inner(), unexpected.into_inner()), (100, 34));
    assert_eq!(finished.into_inner().unwrap(), [100]);
}

#[test]
fn five_hundred_failing_seeds_are_the_three_ways_they_fail() {
    let run = |spec: &_, name: &_, seed: ironbird_sim::seed::Seed, plan: &_| {
        let lines = vec!["tick"; usize::try_from(1 + (seed.0 * 7) % 500).unwrap()];
        let property = [Property::OneWritablePrimary, Property::LockDelay, Property::ClusterConverges];
        let mut run = made_up::violating(
            made_up::run(spec, name, seed, plan, &lines),
            property[usize::try_from(seed.0 % 3).unwrap()],
        );
        // What differs from run to run makes no other way.
        run.violations[0].detail = format!("seen at {} on mysql-{}", seed.0, seed.0 % 5 + 1);
        run
    };
    let runner = Runner::new(&run, Options::default()).unwrap();
    let suite = runner.suite(&storm("\"pass\"", ""), Some(Seeds::first(500)), &|_| {});
    let report = &suite.variants[0];
    assert_eq!(report.failures.len(), 3);
    let shown: Vec<_> =
        report.failures.iter().map(|failure| (failure.seed, failure.violations[0].property)).collect();
    assert_eq!(
        shown,
        [(0, Property::OneWritablePrimary), (286, Property::LockDelay), (143, Property::ClusterConverges),],
        "the shortest of each, the most frequent first"
    );
}

#[test]
fn a_sweep_that_never_saw_what_it_must_proves_nothing() {
    let rest = "[sometimes]\nrequire = [\"failover\"]";
    let runner = Runner::new(&made_up::calm, Options::default()).unwrap();
    let vacuous = runner.suite(&storm("\"pass\"", rest), None, &|_| {});
    assert!(!vacuous.variants[0].as_expected);
    assert_eq!(vacuous.variants[0].vacuous, ["failover"]);
    assert!(vacuous.variants[0].failures.is_empty());
    let enough = Runner::new(&made_up::failing_over, Options::default()).unwrap();
    let seen = enough.suite(&storm("\"pass\"", rest), None, &|_| {});
    assert!(seen.variants[0].as_expected);
    assert_eq!(seen.variants[0].sometimes["failover"], 50);
    // Drawn faults are not those it was said of.
    let options = Options { swarm: Some(Profile::SWARM), ..Options::default() };
    let drawn = Runner::new(&made_up::calm, options).unwrap();
    assert!(drawn.suite(&storm("\"pass\"", rest), None, &|_| {}).variants[0].as_expected);
}
