//! `ironbird run`.

use std::fs::{self, OpenOptions};
use std::io;
use std::num::NonZeroUsize;
use std::path::Path;

use ironbird_reports::suite::{SuiteReport, VariantReport};
use ironbird_sim::properties::sometimes::Sometimes;

use super::args::RunArgs;
use super::suspect::lab;
use super::{Console, Stop, corpus, progress, selected};
use crate::exit_code::Exit;
use crate::runner::{Options, RunFn, Runner};

pub(super) fn run(args: &RunArgs, run: &RunFn<'_>, console: &mut Console<'_>) -> Result<Exit, Stop> {
    let selections = selected(&args.which.which, console)?;
    let corpora = corpus::folders(args.corpus.as_deref(), &selections);
    // Better now than after an hour of runs.
    for path in [&args.junit, &args.json].into_iter().flatten() {
        if !is_stdout(path) {
            OpenOptions::new().append(true).create(true).open(path).map_err(|error| naming(path, error))?;
        }
    }
    let options = Options {
        jobs: args.jobs.map_or(0, NonZeroUsize::get),
        fail_fast: args.fail_fast,
        check_determinism: args.check_determinism,
    };
    let runner = Runner::new(run, options).map_err(|error| Stop::Io(io::Error::other(error)))?;
    let corpus_holds = match &corpora[..] {
        [] => true,
        some => corpus::replay_first(some, &lab(run, args.jobs)?, console)?,
    };
    let suite = {
        let display = progress::display(console);
        let suite = runner.suite(&selections, args.seeds, &|progress| display.show(&progress));
        display.end();
        suite
    };
    let for_people = told(&suite);
    if [&args.junit, &args.json].into_iter().flatten().any(|path| is_stdout(path)) {
        // Standard output is for a program then.
        console.complain(&for_people)?;
    } else {
        console.print(&for_people)?;
    }
    let mut written = Ok(());
    for (path, render) in [
        (&args.junit, ironbird_reports::junit as fn(&SuiteReport) -> String),
        (&args.json, ironbird_reports::json),
    ] {
        if let Some(path) = path {
            written = written.and(write(path, &render(&suite), console));
        }
    }
    let vacuous = args.require_sometimes && Sometimes::ALL.into_iter().any(|one| runs_that_reached(&suite, one) == 0);
    if suite.as_expected() == suite.variants.len() && corpus_holds && !vacuous {
        written?;
        return Ok(Exit::AsExpected);
    }
    // That something failed matters more than that it could not be written down, but both are said.
    if let Err(error) = written {
        console.complain(&format!("error: {error}\n"))?;
    }
    Ok(Exit::Failures)
}

/// The results as people read them: what failed, then the table.
fn told(suite: &SuiteReport) -> String {
    let mut text = String::new();
    for variant in suite.variants.iter().filter(|variant| !variant.as_expected) {
        text += &headline(variant);
        for failure in &variant.failures {
            text += &ironbird_reports::failure(failure);
            text.push('\n');
        }
    }
    text + &ironbird_reports::table(suite) + &never_reached(suite)
}

/// How many runs of all variants reached `one`.
fn runs_that_reached(suite: &SuiteReport, one: Sometimes) -> u64 {
    suite.variants.iter().filter_map(|variant| variant.sometimes.get(one.name())).sum()
}

/// What no run reached, in a line: what the sweep says nothing about.
fn never_reached(suite: &SuiteReport) -> String {
    let missed = Sometimes::ALL.into_iter().filter(|one| runs_that_reached(suite, *one) == 0);
    let missed: Vec<_> = missed.map(Sometimes::name).collect();
    if missed.is_empty() {
        return "Everything that a sweep should see sometimes was seen.\n".to_owned();
    }
    format!("Never seen: {}.\n", missed.join(", "))
}

fn headline(variant: &VariantReport) -> String {
    let mut text = format!(
        "{} ({}): {} runs, expected: {}\n",
        variant.name, variant.file, variant.runs, variant.expectation
    );
    for (property, runs) in &variant.violations {
        text += &format!("  {property} violated in {runs}\n");
    }
    if !variant.vacuous.is_empty() {
        text += &format!("  never reached, so it proves nothing: {}\n", variant.vacuous.join(", "));
    }
    text.push('\n');
    text
}

pub(super) fn write(path: &Path, text: &str, console: &mut Console<'_>) -> io::Result<()> {
    if is_stdout(path) {
        console.print(text)
    } else {
        fs::write(path, text).map_err(|error| naming(path, error))
    }
}

pub(super) fn is_stdout(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// The same error with the file in its message.
pub(super) fn naming(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot write {}: {error}", path.display()))
}
