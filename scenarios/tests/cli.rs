//! The program itself: what only a process shows.

use std::process::{Command, Output, Stdio};

fn ironbird(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ironbird"));
    command.args(words);
    for variable in ["COLUMNS", "NO_COLOR", "RUST_LOG", "CLICOLOR", "CLICOLOR_FORCE"] {
        command.env_remove(variable);
    }
    command
}

fn output(words: &[&str]) -> Output {
    ironbird(words).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn help_teaches() {
    for (name, words) in [
        ("help", &["--help"][..]),
        ("help_run", &["run", "--help"]),
        ("help_replay", &["replay", "--help"]),
        ("help_check", &["check", "--help"]),
        ("help_list", &["list", "--help"]),
        ("help_report", &["report", "--help"]),
        ("help_map", &["map", "--help"]),
        ("help_consul", &["consul", "--help"]),
    ] {
        let said = output(words);
        assert_eq!(said.status.code(), Some(0));
        insta::assert_snapshot!(name, text(&said.stdout));
    }
}

#[test]
fn codes_are_those_that_help_declares() {
    let empty = tempfile::tempdir().unwrap();
    for (words, code) in [
        (&["list"][..], 0),
        (&["check"], 0),
        (&["--version"], 0),
        (&[], 2),
        (&["run", "no-such-scenario"], 2),
        (&["run", empty.path().to_str().unwrap()], 4),
        (&["run", "--json", "/nowhere/results.json"], 1),
    ] {
        let said = output(words);
        assert_eq!(said.status.code(), Some(code), "{words:?}: {}", text(&said.stderr));
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_trouble() {
    let mut child = ironbird(&["list"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let said = child.wait_with_output().unwrap();
    assert_eq!(said.status.code(), Some(0), "{}", text(&said.stderr));
    assert_eq!(text(&said.stderr), "");
}

#[test]
fn a_wrong_file_is_shown_where_it_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("storm.toml");
    std::fs::write(&path, "name = \"storm\"\ntitle = \"\"\n").unwrap();
    let said = output(&["check", path.to_str().unwrap()]);
    assert_eq!(said.status.code(), Some(2));
    assert!(text(&said.stderr).contains("storm.toml:2:9"), "{}", text(&said.stderr));
}

#[test]
fn logs_never_reach_a_record() {
    let record = |level| {
        output(&["--log-level", level, "replay", "leader-kill/hardened", "--seed", "1", "--record", "-"])
    };
    let (quiet, loud) = (record("off"), record("trace"));
    assert_eq!(quiet.status, loud.status);
    assert_eq!(quiet.stdout, loud.stdout);
}
