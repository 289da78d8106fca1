//! `ironbird report` and the cuts of `ironbird replay`, as a person types them.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn ironbird(words: &[&str], folder: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ironbird"));
    command.args(words).current_dir(folder).env_remove("RUST_LOG");
    command.output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A record of a run that fails as published, as `run.jsonl`.
fn recorded(folder: &Path) -> String {
    let said =
        ironbird(&["replay", "leader-kill/published", "--seed", "17", "--record", "run.jsonl"], folder);
    assert_eq!(said.status.code(), Some(0), "{}", text(&said.stderr));
    fs::read_to_string(folder.join("run.jsonl")).expect("it was written")
}

#[test]
fn a_record_becomes_everything_at_any_time_after_the_run() {
    let folder = tempfile::tempdir().expect("a folder");
    recorded(folder.path());
    let said = ironbird(
        &[
            "report",
            "run.jsonl",
            "--html",
            "pages",
            "--junit",
            "junit.xml",
            "--github",
            "summary.md",
            "--csv",
            "recovery.csv",
            "--perfetto",
            "trace.json",
            "--mermaid",
            "failure.mmd",
            "--shiviz",
            "clocks.log",
        ],
        folder.path(),
    );
    // It fails as its scenario says.
    assert_eq!(said.status.code(), Some(0), "{}{}", text(&said.stdout), text(&said.stderr));
    for (file, holds) in [
        ("pages/index.html", "run-leader-kill-published-17.html"),
        ("pages/run-leader-kill-published-17.html", "ironbird replay leader-kill/published --seed 17"),
        ("junit.xml", "<testsuite name=\"leader-kill/published\""),
        ("summary.md", "leader-kill/published"),
        ("recovery.csv", "leader-kill/published,17,violated,"),
        ("trace.json", "\"process_name\""),
        ("failure.mmd", "sequenceDiagram"),
        ("clocks.log", "mysql-1 {\"mysql-1\":1}"),
    ] {
        let written = fs::read_to_string(folder.path().join(file)).expect(file);
        assert!(written.contains(holds), "{file} without {holds}");
    }
}

#[test]
fn two_records_are_compared() {
    let folder = tempfile::tempdir().expect("a folder");
    let record = recorded(folder.path());
    let other = record.replacen("\"seed\":17", "\"seed\":18", 1);
    fs::write(folder.path().join("other.jsonl"), other).expect("it is written");
    let said = ironbird(&["report", "run.jsonl", "other.jsonl", "--html", "pages"], folder.path());
    assert_eq!(said.status.code(), Some(0), "{}", text(&said.stderr));
    assert!(folder.path().join("pages/compare.html").exists());
    let said = ironbird(&["report", "run.jsonl", "other.jsonl", "--perfetto", "trace.json"], folder.path());
    assert_eq!(text(&said.stderr), "error: a trace or a diagram is of one record\n");
    assert_eq!(said.status.code(), Some(2));
}

#[test]
fn what_is_no_record_is_refused_with_its_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let record = recorded(folder.path());
    let lines: Vec<_> = record.lines().collect();
    let broken = lines[3].replace("\"host\"", "\"hots\"");
    for (name, text_of, told) in [
        (
            "newer",
            record.replacen("\"1.0\"", "\"2.0\"", 1),
            "newer.jsonl, line 1: the record is in version 2.0",
        ),
        (
            "cut",
            record[..record.len() - 5].to_owned(),
            ": the line ends in the middle: the record was cut off",
        ),
        (
            "broken",
            record.replacen(lines[3], &broken, 1),
            "broken.jsonl, line 4: this is no event: missing field `host`",
        ),
        ("empty", String::new(), "empty.jsonl, line 1: the record is empty"),
    ] {
        let file = format!("{name}.jsonl");
        fs::write(folder.path().join(&file), text_of).expect("it is written");
        let said = ironbird(&["report", &file, "--html", "pages"], folder.path());
        assert_eq!(said.status.code(), Some(2));
        let complaint = text(&said.stderr);
        assert!(complaint.starts_with("error: ") && complaint.contains(told), "{complaint}");
    }
    // Cut off between two events it is still worth a look.
    fs::write(folder.path().join("short.jsonl"), format!("{}\n", lines[..100].join("\n"))).expect("written");
    let said = ironbird(&["report", "short.jsonl", "--html", "pages"], folder.path());
    assert!(text(&said.stderr).contains("the record has no end"), "{}", text(&said.stderr));
}

#[test]
fn a_trace_is_cut_by_steps_machines_kinds_and_what_it_is_about() {
    let folder = tempfile::tempdir().expect("a folder");
    let story = |words: &[&str]| {
        let said =
            ironbird(&[&["replay", "leader-kill/published", "--seed", "17"], words].concat(), folder.path());
        text(&said.stdout)
            .lines()
            .filter(|line| line.trim_start().starts_with('#'))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let steps = story(&["--from", "100", "--until", "109"]);
    assert_eq!(steps.len(), 10);
    assert!(steps[0].starts_with("#100 ") && steps[9].starts_with("#109 "), "{steps:?}");
    let lock = story(&["--follow", "mysql-primary", "--kind", "consul", "--host", "consul"]);
    assert!(lock.iter().all(|line| line.contains("  consul  ")));
    assert!(lock.iter().any(|line| line.contains("lock mysql-primary taken by mysql-1")));
    assert!(lock.iter().any(|line| line.contains("expired")));
    let said = ironbird(&["replay", "leader-kill", "--seed", "1", "--kind", "htpp"], folder.path());
    assert_eq!(said.status.code(), Some(2));
    assert!(text(&said.stderr).contains("http"), "{}", text(&said.stderr));
}
