//! The command line: `list`, `check`, `run`, `merge`, `replay`, `map`, `shrink`, `enumerate`, `explain`,
//! `corpus`, `consul`.
//!
//! Results go to standard output, everything about the way there (progress, complaints, logs) to standard
//! error. [`execute`] takes what makes a run and both outputs as arguments, so that tests drive the whole
//! command line without a world and without a process. The rule a change must keep: what a command says
//! about its results is the same on a terminal and in a file, colours apart.

use std::ffi::OsString;
use std::io;

use crate::exit_code::Exit;
use crate::library::LoadError;
use crate::runner::RunFn;
use crate::select::{SelectError, Selected, Selection, select};

mod args;
#[cfg(feature = "planted-bugs")]
mod bugs;
mod check;
mod console;
mod consul;
mod corpus;
mod diagrams;
mod enumerate;
mod explain;
mod interrupt;
mod list;
mod map;
mod merge;
mod pages;
mod progress;
mod replay;
mod report;
mod run;
mod shrink;
mod suspect;
mod swarm;

pub use args::Args;
use args::Command;
pub use console::{ColorWhen, Console};

/// Why a command stopped before its end.
enum Stop {
    /// What is wrong has been said.
    Said(Exit),
    /// Something could not be written.
    Io(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Carries out the command line `words`, the program's name first.
pub fn execute(
    words: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    run: &RunFn<'_>,
    console: &mut Console<'_>,
) -> Exit {
    let args = match args::parse(words) {
        Ok(args) => args,
        Err(error) => return args::refuse(&error, console),
    };
    console.choose(args.color);
    let level = args.log_level.as_deref().or(args.command.log_level());
    if let Some(wrong) = args::log_to_stderr(level, console.color_err) {
        // Nothing that was asked for depends on it.
        console.complain(&format!("warning: {wrong}\n")).ok();
    }
    let done = match &args.command {
        Command::List(which) => list::list(which, console),
        Command::Check(which) => check::check(which, console),
        Command::Run(args) => run::run(args, run, console),
        Command::Merge(args) => merge::merge(args, run, console),
        Command::Replay(args) => replay::replay(args, run, console),
        Command::Report(args) => report::report(args, console),
        Command::Map(args) => map::map(args, run, console),
        Command::Shrink(args) => shrink::shrink(args, run, console),
        Command::Enumerate(args) => enumerate::enumerate(args, run, console),
        Command::Explain(args) => explain::explain(args, run, console),
        Command::Corpus(args) => corpus::corpus(args, run, console),
        Command::Consul(args) => consul::consul(args, console),
        #[cfg(feature = "planted-bugs")]
        Command::Bugs(args) => bugs::bugs(args, run, console),
    };
    match done {
        Ok(exit) | Err(Stop::Said(exit)) => exit,
        Err(Stop::Io(error)) => {
            // Nobody is left to tell if this fails too.
            console.complain(&format!("error: {error}\n")).ok();
            Exit::Io
        }
    }
}

/// What `words` select, or a complaint about all that is wrong with them.
fn selected(words: &[String], console: &mut Console<'_>) -> Result<Vec<Selection>, Stop> {
    let (selections, errors) = select(words);
    for error in &errors {
        console.complain(&rendered(error, console.color_err))?;
    }
    if !errors.is_empty() {
        return Err(Stop::Said(Exit::Usage));
    }
    if selections.is_empty() {
        console.complain("error: nothing is selected: there is no scenario file there\n")?;
        return Err(Stop::Said(Exit::NothingSelected));
    }
    Ok(selections)
}

/// The one variant that `word` selects, or a complaint; `what` is what is of one variant.
fn one_variant<'s>(
    selections: &'s [Selection],
    what: &str,
    console: &mut Console<'_>,
) -> Result<Selected<'s>, Stop> {
    let variants: Vec<_> = selections.iter().flat_map(Selection::variants).collect();
    let [one] = variants[..] else {
        let names: Vec<_> = variants.iter().map(|one| one.selector()).collect();
        let names = names.join(", ");
        console.complain(&format!("error: {what} of one variant: choose one of {names}\n"))?;
        return Err(Stop::Said(Exit::Usage));
    };
    Ok(one)
}

fn rendered(error: &SelectError, color: bool) -> String {
    match error {
        SelectError::Load(LoadError::Rejected(rejected)) => rejected.render(color),
        SelectError::Unknown { nearest: None, .. } => {
            format!("error: {error}; `ironbird list` shows those there are\n")
        }
        other => format!("error: {other}\n"),
    }
}
