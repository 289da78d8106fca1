//! Sweeps that are divided, interrupted, resumed and limited.

mod made_up;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ironbird::partition::Partition;
use ironbird::results::{Header, Results};
use ironbird::runner::{Ended, Limits, Options, RunFn, Runner};
use ironbird::seeds::Seeds;
use ironbird::select::{Selection, select};
use ironbird_reports::suite::SuiteReport;

const WHICH: [&str; 2] = ["leader-kill", "lagging-catalog"];

fn which() -> Vec<String> {
    WHICH.map(str::to_owned).to_vec()
}

fn selections() -> Vec<Selection> {
    let (selections, errors) = select(&which());
    assert!(errors.is_empty(), "{errors:?}");
    selections
}

fn runner<'a>(run: &'a RunFn<'a>, jobs: usize) -> Runner<'a> {
    Runner::new(run, Options { jobs, ..Options::default() }).unwrap()
}

fn seeds() -> Option<Seeds> {
    Some(Seeds::first(150))
}

/// The report without times on the wall.
fn timeless(mut report: SuiteReport) -> SuiteReport {
    for variant in &mut report.variants {
        variant.elapsed = Duration::ZERO;
    }
    report
}

fn whole() -> SuiteReport {
    timeless(runner(&made_up::every_third_bad, 2).suite(&selections(), seeds(), &|_| {}))
}

fn resumed(path: &Path, limits: Limits<'_>, run: &RunFn<'_>) -> (SuiteReport, Ended) {
    let selections = selections();
    let mut results = Results::resume(path, &Header::new(&which(), seeds(), None, &selections)).unwrap();
    let swept = runner(run, 2).sweep(&selections, seeds(), limits, &mut results, &|_| {});
    assert!(results.take_error().is_none());
    (timeless(swept.report), swept.ended)
}

#[test]
fn what_slices_found_together_is_what_one_job_finds() {
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<_> = (1..=3)
        .map(|number| {
            let path = folder.path().join(format!("{number}.jsonl"));
            let partition = Some(Partition::new(number, 3).unwrap());
            let (report, ended) =
                resumed(&path, Limits { partition, ..Limits::default() }, &made_up::every_third_bad);
            assert_eq!(ended, Ended::Complete);
            assert_eq!(report.runs(), 200, "a third of four variants of 150 runs");
            path
        })
        .collect();
    let (mut results, header) = Results::merge(&paths).unwrap();
    assert_eq!(results.len(), 600);
    assert_eq!(header, Some(Header::new(&which(), seeds(), None, &selections())));
    let calls = AtomicU64::new(0);
    let counting = |spec: &_, name: &_, seed, plan: &_| {
        calls.fetch_add(1, Ordering::Relaxed);
        made_up::every_third_bad(spec, name, seed, plan)
    };
    let merged = runner(&counting, 1).sweep(&selections(), seeds(), Limits::default(), &mut results, &|_| {});
    assert_eq!(timeless(merged.report), whole());
    assert!(calls.load(Ordering::Relaxed) <= 4 * 6, "only what is shown is run again");
}

#[test]
fn an_interrupted_sweep_goes_on_where_it_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("results.jsonl");
    let (interrupt, calls) = (AtomicBool::new(false), AtomicU64::new(0));
    let run = |spec: &_, name: &_, seed, plan: &_| {
        if calls.fetch_add(1, Ordering::Relaxed) == 90 {
            interrupt.store(true, Ordering::Relaxed);
        }
        made_up::every_third_bad(spec, name, seed, plan)
    };
    let limits = Limits { interrupt: Some(&interrupt), ..Limits::default() };
    let (report, ended) = resumed(&path, limits, &run);
    assert_eq!(ended, Ended::Interrupted);
    assert!(report.runs() < 200, "{}", report.runs());
    let before = fs::read_to_string(&path).unwrap().lines().count() as u64 - 1;
    assert!((91..200).contains(&before), "{before}");
    // Killed in the middle of a line.
    let mut text = fs::read(&path).unwrap();
    text.extend_from_slice(br#"{"variant":"leader-kill/hard"#);
    fs::write(&path, text).unwrap();
    let again = AtomicU64::new(0);
    let run = |spec: &_, name: &_, seed, plan: &_| {
        again.fetch_add(1, Ordering::Relaxed);
        made_up::every_third_bad(spec, name, seed, plan)
    };
    let (report, ended) = resumed(&path, Limits::default(), &run);
    assert_eq!((ended, report), (Ended::Complete, whole()));
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 601);
    let shown = 4 * 6;
    assert!(again.load(Ordering::Relaxed) <= 600 - before + shown, "what was known is not run again");
}

#[test]
fn a_leak_is_shown_from_results_as_it_was_seen() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("results.jsonl");
    let (selections, errors) = select(&["leader-kill/hardened".to_owned()]);
    assert!(errors.is_empty(), "{errors:?}");
    let options = Options { jobs: 1, check_determinism: true, ..Options::default() };
    let seeds = Some(Seeds::first(2));
    let sweep = |results: &mut Results, run: &RunFn<'_>| {
        let runner = Runner::new(run, options).unwrap();
        timeless(runner.sweep(&selections, seeds, Limits::default(), results, &|_| {}).report)
    };
    let calls = AtomicU64::new(0);
    let leaky = |spec: &_, name: &_, seed, plan: &_| {
        let call = calls.fetch_add(1, Ordering::Relaxed);
        made_up::run(spec, name, seed, plan, &["one", if call == 1 { "leaked" } else { "same" }])
    };
    let mut results = Results::resume(&path, &Header::new(&which(), seeds, None, &selections)).unwrap();
    let seen = sweep(&mut results, &leaky);
    assert!(seen.variants[0].failures[0].decisive[1].contains("leaked"), "{:?}", seen.variants[0].failures);

    let (mut results, _) = Results::merge(&[&path]).unwrap();
    let tight = |spec: &_, name: &_, seed, plan: &_| made_up::run(spec, name, seed, plan, &["one", "same"]);
    assert_eq!(sweep(&mut results, &tight), seen);
}

#[test]
fn what_a_run_said_at_great_length_when_it_broke_is_cut_short_and_not_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("results.jsonl");
    let (selections, errors) = select(&["leader-kill/hardened".to_owned()]);
    assert!(errors.is_empty(), "{errors:?}");
    let seeds = Some(Seeds::first(1));
    let run = |_: &_, _: &_, _, _: &_| panic!("the state was {}", "\u{fc}ber".repeat(1 << 18));
    let mut results = Results::resume(&path, &Header::new(&which(), seeds, None, &selections)).unwrap();
    let sweep = |results: &mut Results| {
        timeless(runner(&run, 1).sweep(&selections, seeds, Limits::default(), results, &|_| {}).report)
    };
    let seen = sweep(&mut results);
    let (mut results, _) = Results::merge(&[&path]).unwrap();
    assert_eq!(sweep(&mut results), seen);
    let reason = &seen.variants[0].failures[0].reason;
    assert!(reason.contains("the state was \u{fc}ber") && reason.contains("bytes more"), "{}", reason.len());
    assert!(reason.len() < 20_000, "{}", reason.len());
}

#[test]
fn time_is_shared_between_variants() {
    let swept = |budget| {
        let limits = Limits { time_budget: Some(budget), ..Limits::default() };
        let endless = Some(Seeds::endless());
        runner(&made_up::calm, 1).sweep(&selections(), endless, limits, &mut Results::default(), &|_| {})
    };
    let none = swept(Duration::ZERO);
    assert_eq!((none.ended, none.report.runs()), (Ended::TimeBudget, 0));
    let some = swept(Duration::from_millis(300));
    assert_eq!(some.ended, Ended::TimeBudget);
    let runs: Vec<u64> = some.report.variants.iter().map(|variant| variant.runs).collect();
    let (least, most) = (runs.iter().min().unwrap(), runs.iter().max().unwrap());
    assert!(runs.len() > 1 && *least > 0 && most - least <= 4, "each has its turn: {runs:?}");
}

#[test]
fn nothing_new_ends_a_sweep() {
    let limits = Limits { until_stable: Some(40), ..Limits::default() };
    let swept = runner(&made_up::calm, 1).sweep(
        &selections(),
        Some(Seeds::endless()),
        limits,
        &mut Results::default(),
        &|_| {},
    );
    assert_eq!(swept.ended, Ended::Stable);
    assert!(swept.states.is_some_and(|states| states > 0));
    assert!((40..=160).contains(&swept.report.runs()), "{}", swept.report.runs());
}

#[test]
fn results_of_something_else_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("results.jsonl");
    let selections = selections();
    let header = |words: &[String], seeds| Header::new(words, seeds, None, &selections);
    Results::resume(&path, &header(&which(), seeds())).unwrap();
    let error = |header: &Header| Results::resume(&path, header).unwrap_err().to_string();
    let other_seeds = error(&header(&which(), Some(Seeds::first(7))));
    assert!(other_seeds.ends_with("are of another sweep: other scenarios or seeds were selected"));
    let mut changed = selections.clone();
    changed[0].from.scenario.variants[0].spec.cluster.instances = 5;
    let changed = error(&Header::new(&which(), seeds(), None, &changed));
    assert!(changed.ends_with("are of scenarios that have changed since"), "{changed}");
}

#[test]
fn malformed_results_name_their_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("results.jsonl");
    let header = Header::new(&which(), seeds(), None, &selections());
    Results::resume(&path, &header).unwrap();
    let sound = fs::read_to_string(&path).unwrap();
    let run = r#"{"variant":"a/b","seed":1,"simulated_us":5,"events":2}"#;
    let other = r#"{"variant":"a/b","seed":1,"simulated_us":6,"events":2}"#;
    let nowhere = r#"{"variant":"a/b","seed":1,"simulated_us":6,"events":2,"ways_back":{"PQ.H":{"kill":1}}}"#;
    for (text, expected) in [
        (format!("{sound}{run}\nrubbish\n"), ":3: no result of a run"),
        ("{}\n".to_owned(), ":1: no header of results"),
        (sound.replace("\"ironbird-results\":3", "\"ironbird-results\":9"), ":1: version 9 of the format"),
        (sound.replace("\"ironbird-results\":3", "\"ironbird-results\":1"), ":1: version 1 of the format"),
        (format!("{sound}{nowhere}\n"), ":2: `PQ.H` is no state of a cluster"),
        (format!("{sound}{run}\n{other}\n"), "a/b, seed 1: "),
        (format!("{sound}{}", "x".repeat(2 << 20)), ":2: longer than"),
    ] {
        fs::write(&path, text).unwrap();
        let error = Results::resume(&path, &header).unwrap_err().to_string();
        assert!(error.contains(expected), "{error} should contain {expected}");
    }
    fs::write(&path, format!("{sound}{run}\n")).unwrap();
    let (merged, _) = Results::merge(&[&path, &path]).unwrap();
    assert_eq!(merged.len(), 1, "the same result twice is one");
}

#[test]
fn a_commit_has_seeds_of_its_own() {
    let seeds = Seeds::first(3).from_commit("888c4240123456789abcdef0123456789abcdef0").unwrap();
    assert_eq!(seeds.to_string(), "150135988294196..=150135988294198");
    assert_eq!(seeds.to_string().parse(), Ok(seeds));
    for bad in ["888c424", "", "g88c4240123456789abcdef0123456789abcdef0"] {
        assert!(Seeds::first(3).from_commit(bad).is_err(), "{bad}");
    }
}
