//! `ironbird report` and the cuts of `ironbird replay`, as a person types them.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

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
fn a_rust_log_that_is_no_filter_is_said_to_be_ignored() {
    let folder = tempfile::tempdir().expect("a folder");
    let list = |filter: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ironbird"));
        text(
            &command
                .args(["list", "leader-kill"])
                .env("RUST_LOG", filter)
                .current_dir(folder.path())
                .output()
                .expect("it starts")
                .stderr,
        )
    };
    assert!(list("ironbird=loud").starts_with("warning: RUST_LOG is ignored: "), "{}", list("ironbird=loud"));
    assert_eq!(list("ironbird=debug,hyper=off"), "");
    assert_eq!(list(""), "");
}

#[test]
fn what_is_no_record_is_refused_with_its_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let record = recorded(folder.path());
    let lines: Vec<_> = record.lines().collect();
    let broken = lines[3].replace("\"host\"", "\"hots\"");
    for (name, text_of, told) in [
        ("newer", record.replacen("\"1.", "\"2.", 1), "newer.jsonl, line 1: the record is in version 2."),
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

/// The data in the page of a sweep.
fn data(page: &Path) -> Value {
    let page = fs::read_to_string(page).expect("a page");
    let (_, rest) = page.split_once("id=\"data\">").expect("a block of data");
    serde_json::from_str(rest.split_once("</script>").expect("its end").0).expect("JSON")
}

#[test]
fn pages_of_a_sweep_that_was_divided_are_those_of_one_job() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |words: &[&str]| {
        let sweep = ["run", "leader-kill", "--seeds", "8"];
        let said = ironbird(&[&sweep[..], words].concat(), folder.path());
        assert_eq!(said.status.code(), Some(0), "{}", text(&said.stderr));
    };
    run(&["--html", "whole"]);
    run(&["--partition", "slice:1/2", "--results", "1.jsonl"]);
    run(&["--partition", "slice:2/2", "--results", "2.jsonl"]);
    let said = ironbird(&["merge", "1.jsonl", "2.jsonl", "--html", "a new/folder"], folder.path());
    assert_eq!(said.status.code(), Some(0), "{}", text(&said.stderr));
    assert!(
        text(&said.stdout).contains(" simulated.\n"),
        "how long it took is not known: {}",
        text(&said.stdout)
    );
    let [whole, merged] =
        ["whole", "a new/folder"].map(|name| data(&folder.path().join(name).join("index.html")));
    for what in ["maps", "sometimes", "runs", "as_expected"] {
        assert_eq!(whole[what], merged[what], "{what}");
    }
    let titles: Vec<_> = whole["maps"].as_array().expect("a list").iter().map(|map| &map["title"]).collect();
    assert_eq!(titles, ["hardened", "as published"]);
    let kill =
        |map: &Value| map["columns"].as_array().is_some_and(|columns| columns.contains(&"kill".into()));
    assert!(whole["maps"].as_array().is_some_and(|maps| maps.iter().all(kill)));
    // Runs that found no way back can be opened.
    let runs = whole["maps"][1]["examples"].as_array().expect("a list");
    let pages: Vec<_> = runs.iter().filter_map(|run| run["page"].as_str()).collect();
    assert!(!pages.is_empty(), "{runs:?}");
    for page in pages {
        assert!(folder.path().join("whole").join(page).exists(), "{page}");
    }
    let plot =
        fs::read_to_string(folder.path().join("whole/plots/recovery-leader-kill.svg")).expect("a plot");
    assert!(plot.contains("hardened") && plot.contains("published"), "both lines are named");
}

#[test]
fn a_summary_for_github_draws_the_failure_reduced_to_its_cause() {
    let folder = tempfile::tempdir().expect("a folder");
    // As published it fails by the first fault; the others only get in the way.
    let scenario = r#"
name = "too-much"
title = "More faults than it takes"
why = "A summary shows what matters."
seeds = 2

[cluster]
handlers = "published"
instances = 3
start-interval = "60s"

[[fault]]
at = "190s"
kind = "kill"
target = "leader"

[[fault]]
at = "240s"
kind = "latency"
target = "client-1"
peer = "consul"
delay = "5ms"
for = "5s"

[variant.published]
expect = "pass"
"#;
    fs::write(folder.path().join("too-much.toml"), scenario).expect("it is written");
    let said = ironbird(&["run", "too-much.toml", "--github", "summary.md"], folder.path());
    assert_eq!(said.status.code(), Some(100), "{}", text(&said.stderr));
    let summary = fs::read_to_string(folder.path().join("summary.md")).expect("a summary");
    assert!(summary.contains("title: Reduced to 1 of 2 faults, "), "{summary}");
    assert!(summary.contains("sequenceDiagram") && summary.contains("kill leader"), "{summary}");
    assert!(text(&said.stdout).contains("::error file=too-much.toml,line="), "{}", text(&said.stdout));
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
