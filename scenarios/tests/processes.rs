//! A run is the same in any process: its folder, environment, logs, threads and build have no say in it.
//!
//! Records that processes write are compared with those of this process, byte by byte. The processes run
//! the program of the same build, or the one that `IRONBIRD_BINARY` names: `.ci/run` names the release
//! build, so that debug and release are compared as well.

use std::ffi::OsString;
use std::process::{Command, Output};

use ironbird::select::{Selected, Selection, select};
use ironbird_sim::run::run;
use ironbird_sim::seed::Seed;
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

fn ironbird(words: &[&str]) -> Command {
    let path = std::env::var_os("IRONBIRD_BINARY");
    let mut command = Command::new(path.unwrap_or_else(|| OsString::from(env!("CARGO_BIN_EXE_ironbird"))));
    command.args(words).env_remove("RUST_LOG");
    command
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The variants of the program that `which` names; all when it names none.
fn selections(which: &[&str]) -> Vec<Selection> {
    let which: Vec<_> = which.iter().map(|name| (*name).to_owned()).collect();
    let (selections, errors) = select(&which);
    assert!(errors.is_empty(), "{errors:?}");
    selections
}

/// A variant's record under `seed` as this process finds it.
fn record(one: &Selected<'_>, seed: u64) -> String {
    let spec = &one.variant.spec;
    let plan = spec.plan().draw(Seed(seed));
    let mut lines = Vec::new();
    run(spec, &one.name(), Seed(seed), &plan).record.write_to(&mut lines).unwrap();
    text(&lines).to_owned()
}

/// Fails with the first line that differs: whole records would hide it.
fn assert_same(what: &str, expected: &str, said: &Output) {
    let found = text(&said.stdout);
    let differing = expected.lines().zip(found.lines()).enumerate().find(|(_, (one, two))| one != two);
    if let Some((number, (one, two))) = differing {
        panic!("{what}: line {} differs\nhere   {one}\nthere  {two}", number + 1);
    }
    assert_eq!(expected.len(), found.len(), "{what}: one is longer\n{}", text(&said.stderr));
}

#[test]
fn a_record_is_the_same_in_any_process() {
    let elsewhere = tempfile::tempdir().unwrap();
    type Change<'a> = &'a (dyn Fn(&mut Command) + Sync);
    let surroundings: [(&str, Change<'_>); 7] = [
        ("as it is", &|_| {}),
        ("empty environment", &|command| _ = command.env_clear()),
        ("another folder", &|command| _ = command.current_dir(elsewhere.path())),
        ("RUST_LOG=trace", &|command| _ = command.env("RUST_LOG", "trace")),
        ("--log-level trace", &|command| _ = command.args(["--log-level", "trace"])),
        ("another place", &|command| {
            command.env("HOME", elsewhere.path()).env("TMPDIR", elsewhere.path()).env("USER", "nobody");
            command.env("TZ", "Pacific/Chatham").env("LANG", "tr_TR.UTF-8").env("LC_ALL", "tr_TR.UTF-8");
        }),
        ("other threads", &|command| {
            command.env("RAYON_NUM_THREADS", "7").env("TOKIO_WORKER_THREADS", "7");
        }),
    ];
    let selections = selections(&[]);
    let variants: Vec<_> = selections.iter().flat_map(Selection::variants).collect();
    variants.par_iter().for_each(|one| {
        let name = one.selector();
        for (seed, surroundings) in [(1, &surroundings[..]), (u64::MAX, &surroundings[..1])] {
            let (number, expected) = (seed.to_string(), record(one, seed));
            for (surrounding, change) in surroundings {
                let mut command = ironbird(&["replay", &name, "--seed", &number, "--record", "-"]);
                change(&mut command);
                let said = command.output().unwrap();
                assert_same(&format!("{name}, seed {seed}, {surrounding}"), &expected, &said);
            }
        }
    });
}

#[test]
fn a_record_in_a_file_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record.jsonl");
    let name = "leader-kill/published";
    let selections = selections(&[name]);
    let one = selections.iter().flat_map(Selection::variants).next().unwrap();
    ironbird(&["replay", name, "--seed", "3", "--record", path.to_str().unwrap()]).output().unwrap();
    assert_eq!(std::fs::read_to_string(path).unwrap(), record(&one, 3));
}

#[test]
fn a_sweep_says_the_same_whatever_its_threads_and_logs() {
    let which = ["leader-kill", "replica-before-backup/hardened"];
    let sweep = |words: &[&str]| {
        let words = [&["run"], &which[..], &["--seeds", "5", "--json", "-"], words].concat();
        let said = ironbird(&words).output().unwrap();
        let json = serde_json::from_slice(&said.stdout)
            .unwrap_or_else(|error| panic!("{words:?}: {error}\n{}", text(&said.stderr)));
        (said.status.code(), without_elapsed(json), text(&said.stderr).to_owned())
    };
    let (code, one, _) = sweep(&["--jobs", "1"]);
    assert_eq!(one["variants"].as_array().map(Vec::len), Some(3));
    for words in [&["--jobs", "2"][..], &["--jobs", "5"], &["--jobs", "2", "--log-level", "trace"]] {
        let (other_code, other, said) = sweep(words);
        assert_eq!((code, &one), (other_code, &other), "{words:?}");
        assert_eq!(said.contains("DEBUG"), words.contains(&"trace"), "{words:?}: {said}");
    }
}

/// The results without the time they took, which is all that may differ.
fn without_elapsed(mut suite: serde_json::Value) -> serde_json::Value {
    for variant in suite["variants"].as_array_mut().unwrap() {
        let elapsed = variant.as_object_mut().unwrap().remove("elapsed_us");
        assert!(elapsed.is_some(), "{variant}");
    }
    suite
}
