//! `ironbird run`.

use std::fs::{self, OpenOptions};
use std::io;
use std::num::NonZeroUsize;
use std::path::Path;

use ironbird_reports::suite::{SuiteReport, VariantReport};

use super::args::RunArgs;
use super::{Console, Stop, pages, progress, selected};
use crate::exit_code::Exit;
use crate::runner::{Options, RunFn, Runner};

pub(super) fn run(args: &RunArgs, run: &RunFn<'_>, console: &mut Console<'_>) -> Result<Exit, Stop> {
    let selections = selected(&args.which.which, console)?;
    // Better now than after an hour of runs.
    let files = [&args.junit, &args.json, &args.github, &args.csv];
    if let Some(folder) = &args.html {
        fs::create_dir_all(folder).map_err(|error| naming(folder, error))?;
    }
    for path in files.into_iter().flatten() {
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
    let mut suite = {
        let display = progress::display(console);
        let suite = runner.suite(&selections, args.seeds, &|progress| display.show(&progress));
        display.end();
        suite
    };
    let for_people = told(&suite);
    if files.into_iter().flatten().any(|path| is_stdout(path)) {
        // Standard output is for a program then.
        console.complain(&for_people)?;
    } else {
        console.print(&for_people)?;
    }
    let mut written = match &args.html {
        Some(folder) => pages::of_sweep(folder, &selections, &runner, &mut suite),
        None => Ok(()),
    };
    for (path, render) in [
        (&args.junit, ironbird_reports::junit as fn(&SuiteReport) -> String),
        (&args.json, ironbird_reports::json),
        (&args.github, ironbird_reports::github::summary),
    ] {
        if let Some(path) = path {
            written = written.and(write(path, &render(&suite), console));
        }
    }
    if let Some(path) = &args.csv {
        let table = ironbird_reports::recovery_csv(&suite).map_err(io::Error::from);
        written = written.and_then(|()| write(path, &table?, console));
    }
    if args.github.is_some() {
        console.print(&ironbird_reports::github::annotations(&suite))?;
    }
    if suite.as_expected() == suite.variants.len() {
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
pub(super) fn told(suite: &SuiteReport) -> String {
    let mut text = String::new();
    for variant in suite.variants.iter().filter(|variant| !variant.as_expected) {
        text += &headline(variant);
        for failure in &variant.failures {
            text += &ironbird_reports::failure(failure);
            text.push('\n');
        }
    }
    text + &ironbird_reports::table(suite)
}

fn headline(variant: &VariantReport) -> String {
    let mut text = format!(
        "{} ({}): {} runs, expected: {}\n",
        variant.name, variant.file, variant.runs, variant.expectation
    );
    for (property, runs) in &variant.violations {
        text += &format!("  {property} violated in {runs}\n");
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
