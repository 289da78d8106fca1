//! A program that is built as usual has no planted bugs: nothing can switch one on, and nothing names one.
//!
//! `IRONBIRD_BINARY` names another build than this one, such as the release build.
#![cfg(not(feature = "planted-bugs"))]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::process::Command;

/// Every line that declares one has its name in quotes before these words.
const CATALOGUE: &str = include_str!("../../agent/src/planted/catalogue.rs");
const DECLARED: &str = "\" caught by";

fn program() -> OsString {
    let path = std::env::var_os("IRONBIRD_BINARY");
    path.unwrap_or_else(|| OsString::from(env!("CARGO_BIN_EXE_ironbird")))
}

fn names() -> Vec<&'static str> {
    let lines = CATALOGUE.lines().filter_map(|line| line.split_once(DECLARED));
    lines
        .filter_map(|(before, _)| Some(before.rsplit_once('"')?.1))
        .filter(|name| name.contains('-'))
        .collect()
}

#[test]
fn no_name_of_a_bug_is_in_the_program() {
    let names = names();
    assert!(names.len() >= 25, "{names:?}");
    // What is in any build would be seen like this.
    let known = "leader-kill";
    let said = said_by(&std::fs::read(program()).unwrap(), &[&names[..], &[known]].concat());
    assert_eq!(said, [known]);
}

/// Which of these words are somewhere in a program, in one pass: it has a hundred million bytes.
fn said_by<'a>(program: &[u8], words: &[&'a str]) -> Vec<&'a str> {
    let mut by_first_byte = vec![Vec::new(); 256];
    for word in words {
        by_first_byte[usize::from(word.as_bytes()[0])].push(*word);
    }
    let mut said = BTreeSet::new();
    for (at, byte) in program.iter().enumerate() {
        said.extend(
            by_first_byte[usize::from(*byte)]
                .iter()
                .filter(|word| program[at..].starts_with(word.as_bytes())),
        );
    }
    said.into_iter().collect()
}

#[test]
fn there_is_no_such_command() {
    let said = Command::new(program()).arg("bugs").output().unwrap();
    assert_eq!(said.status.code(), Some(2));
    let help = Command::new(program()).arg("--help").output().unwrap();
    assert!(!String::from_utf8(help.stdout).unwrap().contains("\n  bugs "));
}
