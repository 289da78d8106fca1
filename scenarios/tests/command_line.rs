//! The whole command line, with made-up runs in place of a world.

mod made_up;

use std::fs;
use std::io::{self, Write};

use ironbird::cli::{Console, execute};
use ironbird::exit_code::Exit;
use ironbird::runner::RunFn;
use ironbird::select::{Selection, select};
use ironbird_sim::properties::Property;

struct Said {
    exit: Exit,
    out: String,
    err: String,
}

fn ironbird(run: &RunFn<'_>, words: &[&str]) -> Said {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let words = ["ironbird"].iter().chain(words);
    let exit = execute(words, run, &mut Console::new(&mut out, &mut err));
    Said { exit, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
}

/// Shows the symptom of every variant that is meant to show one, and whatever a sweep must have seen.
fn as_told(
    spec: &ironbird_sim::spec::Spec,
    name: &str,
    seed: ironbird_sim::seed::Seed,
    plan: &ironbird_sim::plan::FaultPlan,
) -> ironbird_sim::run::Run {
    if !name.ends_with("/published") {
        return made_up::eventful(made_up::calm(spec, name, seed, plan));
    }
    let lines = [
        "Tried replication setup, but primary is set and not healthy.",
        "Tried to mark node primary but primary exists, restarting bootstrap process.",
    ];
    let run = made_up::eventful(made_up::run(spec, name, seed, plan, &lines));
    Property::ALL.into_iter().fold(run, made_up::violating)
}

#[test]
fn a_suite_as_expected_is_zero() {
    let said = ironbird(&as_told, &["run", "--seeds", "8"]);
    assert_eq!(said.exit, Exit::AsExpected, "{}{}", said.out, said.err);
    let variants = select(&[]).0.iter().flat_map(Selection::variants).count();
    let all = format!("{variants} of {variants} variants as expected. {} runs: ", variants * 8);
    assert!(said.out.contains(&all), "{}", said.out);
    assert_eq!(said.err.lines().count(), variants, "a line a variant: {}", said.err);
    assert!(said.err.lines().all(|line| line.starts_with("as expected  ")), "{}", said.err);
}

#[test]
fn a_scenario_runs_as_many_seeds_as_it_asks_for() {
    let said = ironbird(&as_told, &["run", "leader-kill/hardened"]);
    assert!(said.out.contains("1 of 1 variant as expected. 200 runs: "), "{}", said.out);
}

#[test]
fn a_failing_run_comes_with_its_replay() {
    let said = ironbird(&made_up::every_third_bad, &["run", "leader-kill/hardened", "--seeds", "10..20"]);
    assert_eq!(said.exit, Exit::Failures);
    for part in [
        "leader-kill/hardened (failover/leader-kill.toml): 10 runs, expected: pass\n",
        "one-writable-primary violated in 3\n",
        "ironbird replay leader-kill/hardened --seed 18\n",
        "0 of 1 variant as expected. 10 runs: ",
    ] {
        assert!(said.out.contains(part), "no {part:?} in {}", said.out);
    }
}

#[test]
fn results_go_to_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (junit, json) = (path("results.xml"), path("results.json"));
    for (run, exit) in
        [(&as_told as &RunFn<'_>, Exit::AsExpected), (&made_up::every_third_bad, Exit::Failures)]
    {
        let words = ["run", "leader-kill/hardened", "--seeds", "4", "--junit", &junit, "--json", &json];
        assert_eq!(ironbird(run, &words).exit, exit);
        assert!(fs::read_to_string(&junit).unwrap().contains("<testsuites"));
        let json: serde_json::Value = serde_json::from_str(&fs::read_to_string(&json).unwrap()).unwrap();
        assert!(json.is_object());
    }
}

#[test]
fn results_for_a_program_are_alone_on_standard_output() {
    let said = ironbird(&as_told, &["run", "leader-kill/hardened", "--seeds", "4", "--json", "-"]);
    assert_eq!(said.exit, Exit::AsExpected);
    serde_json::from_str::<serde_json::Value>(&said.out).unwrap();
    assert!(said.err.contains("1 of 1 variant as expected. "), "{}", said.err);
}

#[test]
fn a_file_that_cannot_be_written_is_said_before_anything_runs() {
    let run = |_: &_, _: &_, _, _: &_| panic!("ran");
    let said = ironbird(&run, &["run", "--junit", "/nowhere/results.xml"]);
    assert_eq!(said.exit, Exit::Io);
    assert!(said.err.starts_with("error: cannot write /nowhere/results.xml: "), "{}", said.err);
    assert_eq!(said.out, "");
}

#[test]
fn wrong_arguments_run_nothing() {
    let run = |_: &_, _: &_, _, _: &_| panic!("ran");
    let empty = tempfile::tempdir().unwrap();
    let empty = empty.path().to_str().unwrap();
    for (words, exit, part) in [
        (&[][..], Exit::Usage, "Usage: ironbird"),
        (&["fly"], Exit::Usage, "unrecognized subcommand 'fly'"),
        (&["run", "leader-kil"], Exit::Usage, "did you mean `leader-kill`?"),
        (&["run", "zebra"], Exit::Usage, "`ironbird list` shows those there are"),
        (&["run", "leader-kill/hardend"], Exit::Usage, "did you mean `hardened`?"),
        (&["run", "--seeds", "9..3"], Exit::Usage, "`9..3` holds no seed"),
        (&["run", "--jobs", "0"], Exit::Usage, "--jobs"),
        (&["run", "--log-level", "ironbird=loud"], Exit::Usage, "--log-level"),
        (&["run", empty], Exit::NothingSelected, "nothing is selected"),
        (&["check", empty], Exit::NothingSelected, "nothing is selected"),
        (&["list", empty], Exit::NothingSelected, "nothing is selected"),
        (&["replay", "leader-kill/hardened"], Exit::Usage, "--seed"),
        (
            &["replay", "leader-kill", "--seed", "1"],
            Exit::Usage,
            "choose one of leader-kill/published, leader-kill/hardened",
        ),
    ] {
        let said = ironbird(&run, words);
        assert_eq!(said.exit, exit, "{words:?}: {}", said.err);
        assert!(said.err.contains(part), "{words:?}: {}", said.err);
        assert_eq!(said.out, "", "{words:?}");
    }
}

#[test]
fn a_folder_is_checked_file_by_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let sound = include_str!("../failover/leader-kill.toml");
    fs::create_dir(folder.path().join("deep")).unwrap();
    file("deep/leader-kill.toml", sound);
    file("leader-gone.toml", sound);
    file("bytes.toml", "name = \"");
    fs::write(folder.path().join("latin-1.toml"), b"title = \"\xe9\"").unwrap();
    file(".hidden.toml", "no scenario");
    file("notes.txt", "no scenario");
    let said = ironbird(&as_told, &["check", folder.path().to_str().unwrap()]);
    assert_eq!(said.exit, Exit::Usage);
    assert_eq!(said.out.lines().count(), 1, "{}", said.out);
    assert!(said.out.contains("deep/leader-kill.toml  published, hardened"), "{}", said.out);
    for part in [
        "the file is not called `leader-kill.toml`",
        "bytes.toml:1:",
        "the file is not UTF-8: byte 9 begins no character",
    ] {
        assert!(said.err.contains(part), "no {part:?} in {}", said.err);
    }
}

#[test]
fn a_replay_tells_the_run_and_judges_it() {
    let said = ironbird(&as_told, &["replay", "lagging-catalog/published", "--seed", "17"]);
    assert_eq!(said.exit, Exit::AsExpected, "{}", said.err);
    for part in ["seed       17\n", "primary is set and not healthy", "\nas expected\n"] {
        assert!(said.out.contains(part), "no {part:?} in {}", said.out);
    }
    let said = ironbird(&made_up::calm, &["replay", "lagging-catalog/published", "--seed", "17"]);
    assert_eq!(said.exit, Exit::Failures);
    assert!(said.out.ends_with("\nnot as expected: does not violate cluster-converges\n"), "{}", said.out);
}

#[test]
fn a_replay_writes_the_record() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record.jsonl").display().to_string();
    let words = ["replay", "leader-kill/hardened", "--seed", "5", "--record"];
    let said = ironbird(&made_up::calm, &[&words[..], &[&path]].concat());
    assert_eq!(said.exit, Exit::AsExpected);
    let written = fs::read_to_string(&path).unwrap();
    assert_eq!(written.lines().count(), 1 + 3, "a header and the events");
    let alone = ironbird(&made_up::calm, &[&words[..], &["-"]].concat());
    assert_eq!(alone.out, written, "and nothing else");
    assert_eq!(alone.err, "as expected\n");
}

#[test]
fn a_run_that_panics_is_told_by_a_replay() {
    let run = |_: &_, _: &_, _, _: &_| panic!("no world");
    let said = ironbird(&run, &["replay", "leader-kill/hardened", "--seed", "5"]);
    assert_eq!(said.exit, Exit::Failures);
    assert!(said.err.contains("leader-kill/hardened, seed 5: the run panicked"), "{}", said.err);
}

#[test]
fn color_is_only_where_it_is_asked_for() {
    for (when, colored) in [("auto", false), ("never", false), ("always", true)] {
        let said = ironbird(&as_told, &["run", "leader-kill/hardened", "--seeds", "1", "--color", when]);
        assert_eq!(said.err.contains('\u{1b}'), colored, "{when}: {}", said.err);
        let said = ironbird(&as_told, &["list", "--color", when]);
        assert_eq!(said.out.contains('\u{1b}'), colored, "{when}: {}", said.out);
    }
}

/// An output on which every write fails.
struct Failing(io::ErrorKind);

impl Write for Failing {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(self.0.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Err(self.0.into())
    }
}

#[test]
fn a_reader_that_has_gone_changes_no_verdict_and_a_full_disk_does() {
    for (kind, run, exit) in [
        (io::ErrorKind::BrokenPipe, &as_told as &RunFn<'_>, Exit::AsExpected),
        (io::ErrorKind::BrokenPipe, &made_up::every_third_bad, Exit::Failures),
        (io::ErrorKind::StorageFull, &as_told, Exit::Io),
    ] {
        let (mut out, mut err) = (Failing(kind), Failing(kind));
        let words = ["ironbird", "run", "leader-kill/hardened", "--seeds", "4"];
        assert_eq!(execute(words, run, &mut Console::new(&mut out, &mut err)), exit, "{kind}");
    }
}
