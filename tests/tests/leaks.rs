//! A run that something other than its seed has a say in is caught, whatever it was.
//!
//! Each leak here is let into a real world: it decides how long what machines say is under way, as a leak in
//! the agent or the world would decide something. `--check-determinism` has to find the first event that came
//! out of it.
//!
//! What it cannot find is a leak that is the same twice within one process, such as the process's id:
//! comparing processes, in `scenarios/tests/processes.rs`, is for that.

use std::cell::Cell;
use std::fs::File;
use std::io::Read;
use std::time::Duration;

use ironbird::cli::{Console, execute};
use ironbird::exit_code::Exit;
use ironbird::runner::RunFn;
use ironbird_agent::journal::{Entry, Level};
use ironbird_sim::plan::{FaultPlan, Span};
use ironbird_sim::record::What;
use ironbird_sim::run::{Run, run};
use ironbird_sim::seed::Seed;
use ironbird_sim::spec::Spec;

const VARIANT: &str = "leader-kill/hardened";

struct Said {
    exit: Exit,
    out: String,
    err: String,
}

fn check_determinism(run: &RunFn<'_>) -> Said {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let words = ["ironbird", "run", VARIANT, "--seeds", "3", "--jobs", "1", "--check-determinism"];
    let exit = execute(words, run, &mut Console::new(&mut out, &mut err));
    Said { exit, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
}

#[test]
fn a_world_without_a_leak_is_not_accused() {
    let said = check_determinism(&run);
    assert_eq!(said.exit, Exit::AsExpected, "{}{}", said.out, said.err);
    assert!(!said.out.contains("differently"), "{}", said.out);
    assert!(said.out.contains("1 of 1 variant as expected. 3 runs: "), "{}", said.out);
}

#[test]
fn every_kind_of_leak_is_caught() {
    type Leak = fn() -> u64;
    let leaks: [(&str, Leak); 5] = [
        ("the order of a hash map", hash_map_order),
        ("the real clock", real_clock),
        ("an unseeded random number", unseeded_random_number),
        ("an unbiased select", unbiased_select),
        ("what an earlier run left", left_by_earlier_runs),
    ];
    for (name, leak) in leaks {
        let leaky = |spec: &Spec, scenario: &str, seed: Seed, plan: &FaultPlan| {
            let mut spec = spec.clone();
            // A prime number of values, so that no regularity of the leak is lost on it; and of milliseconds,
            // as timers do not tell shorter times apart.
            spec.network.latency = Span::exactly(Duration::from_millis(1 + leak() % 97));
            run(&spec, scenario, seed, plan)
        };
        let said = check_determinism(&leaky);
        assert_eq!(said.exit, Exit::Failures, "{name}: {}{}", said.out, said.err);
        assert!(said.out.contains("the same seed ran differently from event "), "{name}: {}", said.out);
        let (first, second) = shown(&said);
        assert_eq!(first["step"], second["step"], "{name}: {}", said.out);
        assert!(first["step"].is_u64() && first != second, "{name}: {}", said.out);
    }
}

#[test]
fn the_first_event_that_differs_is_named() {
    for place in [0, 1, 700] {
        let leaky = |spec: &Spec, scenario: &str, seed: Seed, plan: &FaultPlan| {
            let mut run = run(spec, scenario, seed, plan);
            // Only the later one could be seen at a glance at the end of the record.
            for place in [place, place + 20] {
                let line = format!("leaked {}", left_by_earlier_runs());
                run.record.events[place].what = What::Agent(Entry::log(Level::Info, "leak", line));
            }
            run
        };
        let said = check_determinism(&leaky);
        assert_eq!(said.exit, Exit::Failures, "{}{}", said.out, said.err);
        let sentence = format!("the same seed ran differently from event {place} on");
        assert!(said.out.contains(&sentence), "no {sentence:?} in {}", said.out);
        let (first, second) = shown(&said);
        assert_eq!((&first["step"], &second["step"]), (&place.into(), &place.into()), "{}", said.out);
    }
}

#[test]
fn a_run_that_ends_earlier_differs_where_it_ends() {
    let leaky = |spec: &Spec, scenario: &str, seed: Seed, plan: &FaultPlan| -> Run {
        let mut run = run(spec, scenario, seed, plan);
        if left_by_earlier_runs().is_multiple_of(2) {
            run.record.events.truncate(500);
        }
        run
    };
    let said = check_determinism(&leaky);
    assert_eq!(said.exit, Exit::Failures, "{}{}", said.out, said.err);
    assert!(said.out.contains("the same seed ran differently from event 500 on"), "{}", said.out);
    assert!(said.out.contains("the run is over"), "{}", said.out);
}

/// The two events that are shown as different.
fn shown(said: &Said) -> (serde_json::Value, serde_json::Value) {
    let event = |side: &str| {
        let line = said.out.lines().find_map(|line| line.trim_start().strip_prefix(side));
        let line = line.unwrap_or_else(|| panic!("no {side:?} in {}", said.out));
        serde_json::from_str(line.trim()).unwrap_or_else(|error| panic!("{error}: {line}"))
    };
    (event("first "), event("second "))
}

#[expect(clippy::disallowed_types, reason = "the leak is what is tested")]
fn hash_map_order() -> u64 {
    let map: std::collections::HashMap<u64, ()> = (0..32).map(|key| (key, ())).collect();
    map.into_keys().fold(0, |order, key| order.wrapping_mul(37).wrapping_add(key))
}

#[expect(clippy::disallowed_types, reason = "the leak is what is tested")]
fn real_clock() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::from(since.expect("a clock that is right within 50 years").subsec_nanos())
}

fn unseeded_random_number() -> u64 {
    let mut bytes = [0; 8];
    File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).expect("a Unix system");
    u64::from_le_bytes(bytes)
}

/// Sixty-four times, which of two branches that are both ready is taken.
fn unbiased_select() -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without I/O");
    runtime.block_on(async {
        let mut taken = 0;
        for _ in 0..64 {
            let bit = tokio::select! {
                () = std::future::ready(()) => 0,
                () = std::future::ready(()) => 1,
            };
            taken = taken << 1 | bit;
        }
        taken
    })
}

fn left_by_earlier_runs() -> u64 {
    thread_local! {
        static RUNS: Cell<u64> = const { Cell::new(0) };
    }
    RUNS.replace(RUNS.get() + 1)
}
