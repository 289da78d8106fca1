//! `ironbird run`.

use std::fs::{self, OpenOptions};
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use ironbird_reports::map::Section;
use ironbird_reports::suite::{SuiteReport, VariantReport};
use ironbird_sim::properties::sometimes::Sometimes;

use super::args::{OutputArgs, RunArgs};
use super::suspect::lab;
use super::{Console, Stop, corpus, diagrams, interrupt, pages, progress, selected, swarm};
use crate::exit_code::Exit;
use crate::partition::Partition;
use crate::results::{Header, Results};
use crate::runner::{Ended, Limits, Options, RunFn, Runner, Swept};
use crate::seeds::Seeds;
use crate::select::Selection;

pub(super) fn run(args: &RunArgs, run: &RunFn<'_>, console: &mut Console<'_>) -> Result<Exit, Stop> {
    let mut selections = swarm::narrow(args.swarm.profile(), selected(&args.which.which, console)?, console)?;
    let corpora = corpus::folders(args.corpus.as_deref(), &selections);
    // A folder that was named holds them as well, and once is enough.
    selections.retain(|one| !corpora.iter().any(|folder| Path::new(&one.from.file).starts_with(folder)));
    // Better now than after an hour of runs.
    args.output.try_out()?;
    let options = Options {
        jobs: args.jobs.map_or(0, NonZeroUsize::get),
        fail_fast: args.fail_fast,
        check_determinism: args.check_determinism,
        swarm: args.swarm.profile(),
        // Of results a map may be made later.
        map: args.output.html.is_some() || args.results.is_some(),
    };
    let runner = Runner::new(run, options).map_err(|error| Stop::Io(io::Error::other(error)))?;
    let (seeds, partition) = match what(args, &selections) {
        Ok(what) => what,
        Err(error) => {
            console.complain(&format!("error: {error}\n"))?;
            return Ok(Exit::Usage);
        }
    };
    let corpus_holds = match &corpora[..] {
        [] => true,
        some => corpus::replay_first(some, &lab(run, args.jobs)?, console)?,
    };
    let header = Header::new(&args.which.which, seeds, args.swarm.profile(), &selections);
    let mut results = match &args.results {
        None => Results::default(),
        Some(path) => match Results::resume(path, &header) {
            Ok(results) => results,
            Err(error) => {
                console.complain(&format!("error: {error}\n"))?;
                return Ok(Exit::Usage);
            }
        },
    };
    let limits = Limits {
        partition,
        time_budget: args.time_budget,
        until_stable: args.until_stable,
        interrupt: Some(interrupt::flag()),
    };
    let swept = {
        let display = progress::display(console);
        let swept =
            runner.sweep(&selections, seeds, limits, &mut results, &|progress| display.show(&progress));
        display.end();
        swept
    };
    if let Some(error) = results.take_error() {
        console.complain(&format!("error: not all results could be written: {error}\n"))?;
    }
    let (note, ended) = (swept.note(), swept.ended);
    let unseen = args.require_sometimes && !never_seen(&swept.report).is_empty();
    let mut found = Found { suite: swept.report, maps: swept.maps };
    if args.output.github.is_some() {
        let swarm = args.swarm.profile();
        diagrams::reduce(&mut found.suite, &selections, swarm.as_ref(), &lab(run, args.jobs)?)?;
    }
    let exit = tell(found, note.as_deref(), &args.output, &runner, &selections, console)?;
    Ok(match (exit, ended) {
        (Exit::AsExpected, _) if !corpus_holds || unseen => Exit::Failures,
        (Exit::AsExpected, Ended::Interrupted) => Exit::Interrupted,
        (exit, _) => exit,
    })
}

/// The seeds and the share of the runs that are meant.
fn what(args: &RunArgs, selections: &[Selection]) -> Result<(Option<Seeds>, Option<Partition>), String> {
    let endless = args.time_budget.is_some() || args.until_stable.is_some();
    let seeds = match (&args.seeds, endless) {
        (Some(seeds), _) => Some(*seeds),
        (None, true) => Some(Seeds::endless()),
        (None, false) => None,
    };
    let seeds = match &args.seed_from {
        None => seeds,
        Some(commit) => {
            let most = selections.iter().map(|one| one.from.scenario.seeds).max().unwrap_or(1);
            Some(seeds.unwrap_or(Seeds::first(most)).from_commit(commit)?)
        }
    };
    let partition = match args.partition {
        None => None,
        Some(asked) => asked.resolve(|name| std::env::var(name).ok())?,
    };
    Ok((seeds, partition))
}

/// What a sweep found.
pub(super) struct Found {
    pub(super) suite: SuiteReport,
    pub(super) maps: Vec<Section>,
}

/// Prints and writes what a sweep found.
pub(super) fn tell(
    Found { mut suite, maps }: Found,
    note: Option<&str>,
    output: &OutputArgs,
    runner: &Runner<'_>,
    selections: &[Selection],
    console: &mut Console<'_>,
) -> Result<Exit, Stop> {
    let mut for_people = told(&suite);
    if let Some(note) = note {
        for_people += note;
    }
    if output.files().any(|path| is_stdout(path)) {
        // Standard output is for a program then.
        console.complain(&for_people)?;
    } else {
        console.print(&for_people)?;
    }
    let mut written = match &output.html {
        Some(folder) => pages::of_sweep(folder, selections, runner, &mut suite, &maps),
        None => Ok(()),
    };
    for (path, render) in [
        (&output.junit, ironbird_reports::junit as fn(&SuiteReport) -> String),
        (&output.json, ironbird_reports::json),
        (&output.github, ironbird_reports::github::summary),
    ] {
        if let Some(path) = path {
            written = written.and(write(path, &render(&suite), console));
        }
    }
    if let Some(path) = &output.csv {
        let table = ironbird_reports::recovery_csv(&suite).map_err(io::Error::from);
        written = written.and_then(|()| write(path, &table?, console));
    }
    if output.github.is_some() {
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

impl OutputArgs {
    /// The files, and standard output, that results go to.
    fn files(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.junit, &self.json, &self.github, &self.csv].into_iter().flatten()
    }

    /// Tries whether all of them can be written: better now than after an hour of runs.
    pub(super) fn try_out(&self) -> io::Result<()> {
        if let Some(folder) = &self.html {
            fs::create_dir_all(folder).map_err(|error| naming(folder, error))?;
        }
        for path in self.files().filter(|path| !is_stdout(path)) {
            OpenOptions::new().append(true).create(true).open(path).map_err(|error| naming(path, error))?;
        }
        Ok(())
    }
}

impl Swept {
    /// Why it ended before its last seed, for people.
    fn note(&self) -> Option<String> {
        let why = match self.ended {
            Ended::Complete => return None,
            Ended::TimeBudget => "The time budget is used up: ended after the runs above.".to_owned(),
            Ended::Stable => format!(
                "No state was new for as many runs as asked for: ended after {} states.",
                self.states.unwrap_or_default()
            ),
            Ended::Interrupted => "INTERRUPTED: these are the results so far.".to_owned(),
        };
        Some(format!("{why}\n"))
    }
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
    text + &ironbird_reports::table(suite) + &unseen(suite)
}

/// What no run of any variant reached.
fn never_seen(suite: &SuiteReport) -> Vec<&'static str> {
    let seen =
        |one: &Sometimes| suite.variants.iter().any(|variant| variant.sometimes.contains_key(one.name()));
    Sometimes::ALL.into_iter().filter(|one| !seen(one)).map(Sometimes::name).collect()
}

/// The same in a line: what the sweep says nothing about.
fn unseen(suite: &SuiteReport) -> String {
    let names = never_seen(suite);
    if names.is_empty() {
        return "Everything that a sweep should see sometimes was seen.\n".to_owned();
    }
    format!("Never seen: {}.\n", names.join(", "))
}

fn headline(variant: &VariantReport) -> String {
    let mut text = format!(
        "{} ({}): {} {}, expected: {}\n",
        variant.name,
        variant.file,
        variant.runs,
        if variant.runs == 1 { "run" } else { "runs" },
        variant.expectation
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
