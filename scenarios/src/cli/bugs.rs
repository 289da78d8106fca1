//! `ironbird bugs`: how soon planted defects are found, in a build that has them.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use ironbird_agent::planted::Bug;
use ironbird_reports::bugs::{self as scoreboard, Defect, Finding, Reduced, Scoreboard};
use ironbird_sim::signature::Signature;

use super::run::{is_stdout, naming, write};
use super::suspect::lab;
use super::{Console, Stop, selected};
use crate::exit_code::Exit;
use crate::format::{Expectation, nearest};
use crate::hunt::bugs::{Hunt, Search, State, Technique, because_of_bug, hunt, with_bug};
use crate::hunt::corpus::write_whole;
use crate::hunt::{Case, Lab, showing, shrink};
use crate::runner::RunFn;
use crate::select::{Selected, Selection};

pub(super) const EXAMPLES: &str = "\
Examples:
  ironbird bugs
  ironbird bugs late-demotion quorum-one-short --by files,swarm --sweeps 5
  ironbird bugs --json bugs.json --markdown bugs.md --svg bugs.svg";

#[derive(Debug, clap::Args)]
pub(super) struct BugsArgs {
    /// Which; all if not given
    #[arg(value_name = "BUG", value_parser = bug)]
    bugs: Vec<Bug>,
    /// Look for them in these scenarios; in all of the program if not given
    #[arg(long = "in", value_name = "NAME|PATH")]
    scenarios: Vec<String>,
    /// With which techniques: scenarios as written, their clusters under any fault, swarm, swarm with aim
    #[arg(
        long,
        value_name = "TECHNIQUE,...",
        value_delimiter = ',',
        default_value = "files,random,swarm,boundary"
    )]
    by: Vec<Technique>,
    /// How often each bug is looked for with each technique
    #[arg(long, value_name = "N", default_value = "20")]
    sweeps: NonZeroUsize,
    /// Runs until a sweep gives up
    #[arg(long, value_name = "RUNS", default_value_t = 60)]
    budget: u64,
    /// Runs to spend on shrinking one find of each bug; 0 for none
    #[arg(long, value_name = "RUNS", default_value_t = 300)]
    shrink_budget: u64,
    /// Worlds at a time; results do not depend on it. As many as there are cores if not given
    #[arg(long, short, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Keep here what was found so far, and do not look for that again when started once more
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Write the shrunk find of each bug into this folder: its scenario, and its record
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write the results as JSON; `-` for standard output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the results as a table in Markdown; `-` for standard output
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Write a plot of what was found by when as SVG; `-` for standard output
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

fn bug(word: &str) -> Result<Bug, String> {
    let ids = || Bug::ALL.iter().map(|bug| bug.facts().id);
    Bug::of(word).ok_or_else(|| match nearest(word, ids()) {
        Some(id) => format!("did you mean `{id}`?"),
        None => format!("it is one of {}", ids().collect::<Vec<_>>().join(", ")),
    })
}

pub(super) fn bugs(args: &BugsArgs, run: &RunFn<'_>, console: &mut Console<'_>) -> Result<Exit, Stop> {
    let selections = selected(&args.scenarios, console)?;
    let must_pass = |one: &Selected<'_>| one.variant.expect == Expectation::Pass;
    let variants: Vec<_> = selections.iter().flat_map(Selection::variants).filter(must_pass).collect();
    if variants.is_empty() {
        console.complain("error: nothing is selected that must pass\n")?;
        return Err(Stop::Said(Exit::NothingSelected));
    }
    if let Some(folder) = &args.out {
        std::fs::create_dir_all(folder).map_err(|error| naming(folder, error))?;
    }
    let search = Search { sweeps: args.sweeps.get(), budget: args.budget };
    let (mut state, mut known) = match &args.state {
        Some(path) => {
            let (state, known) = State::open(path, &variants, &args.by, search, args.shrink_budget)
                .map_err(|error| naming(path, error))?;
            console.complain(&format!("bugs known from {}: {}\n", path.display(), known.len()))?;
            (Some(state), known)
        }
        None => (None, BTreeMap::new()),
    };
    let bugs = if args.bugs.is_empty() { Bug::ALL } else { &args.bugs };
    let mut board = Scoreboard {
        sweeps: search.sweeps,
        budget: search.budget,
        techniques: args.by.iter().map(ToString::to_string).collect(),
        bugs: Vec::new(),
    };
    for bug in bugs {
        let defect = if let Some(defect) = known.remove(bug.facts().id) {
            defect
        } else {
            let defect = look_for(args, *bug, &variants, search, run)?;
            if let Some(state) = &mut state {
                state.keep(&defect)?;
            }
            defect
        };
        let best = defect.best().map_or_else(
            || "not found".to_owned(),
            |best| {
                let (runs, seconds) = (best.runs.unwrap_or_default(), best.cpu_seconds.unwrap_or_default());
                format!("{runs} runs of {}, {seconds:.2} s", best.technique)
            },
        );
        console.complain(&format!("{}: {best}\n", defect.id))?;
        board.bugs.push(defect);
    }
    let files = [&args.json, &args.markdown, &args.svg];
    let told = scoreboard::terminal(&board);
    if files.into_iter().flatten().any(|path| is_stdout(path)) {
        console.complain(&told)?;
    } else {
        console.print(&told)?;
    }
    if let Some(path) = &args.json {
        write(path, &scoreboard::json(&board).map_err(std::io::Error::from)?, console)?;
    }
    if let Some(path) = &args.markdown {
        write(path, &scoreboard::markdown(&board), console)?;
    }
    if let Some(path) = &args.svg {
        write(path, &scoreboard::svg(&board), console)?;
    }
    Ok(if board.missed().next().is_none() { Exit::AsExpected } else { Exit::Failures })
}

fn look_for(
    args: &BugsArgs,
    bug: Bug,
    variants: &[Selected<'_>],
    search: Search,
    run: &RunFn<'_>,
) -> Result<Defect, Stop> {
    let with = with_bug(run, bug);
    let field = lab(&with, args.jobs)?;
    let hunts: Vec<_> =
        args.by.iter().map(|technique| hunt(&field, run, variants, *technique, search)).collect();
    let facts = bug.facts();
    let properties = hunts
        .iter()
        .flat_map(|hunt| &hunt.sweeps)
        .filter_map(|sweep| sweep.found.as_ref())
        .map(|(_, signature)| {
            signature.property().map_or_else(|| "panic".to_owned(), |one| one.name().to_owned())
        })
        .collect();
    let fastest = hunts.iter().filter(|hunt| hunt.runs().is_some()).min_by_key(|hunt| hunt.runs());
    let fastest = fastest.or(hunts.iter().max_by_key(|hunt| hunt.found()));
    let shrunk = match fastest.and_then(|hunt| Some((hunt, hunt.find()?))) {
        Some((hunt, (case, signature))) if args.shrink_budget > 0 => {
            let because = because_of_bug(run, bug);
            let lab = lab(&because, args.jobs)?;
            Some(reduce(args, facts.id, &lab, hunt, case, signature)?)
        }
        _ => None,
    };
    Ok(Defect {
        id: facts.id.to_owned(),
        room: facts.room.name().to_owned(),
        what: facts.what.to_owned(),
        mirrors: facts.mirrors.to_owned(),
        expected: facts.property.to_owned(),
        violated: properties,
        by: hunts.iter().map(finding).collect(),
        shrunk,
    })
}

fn finding(hunt: &Hunt) -> Finding {
    Finding {
        technique: hunt.technique.to_string(),
        found: hunt.found(),
        runs: hunt.runs(),
        cpu_seconds: hunt.cpu().map(|cpu| cpu.as_secs_f64()),
        each: hunt.sweeps.iter().map(|sweep| sweep.found.is_some().then_some(sweep.runs)).collect(),
    }
}

fn reduce(
    args: &BugsArgs,
    id: &str,
    lab: &Lab<'_>,
    hunt: &Hunt,
    case: &Case,
    signature: &Signature,
) -> Result<Reduced, Stop> {
    let shrunk = shrink(lab, case.clone(), signature, args.shrink_budget, &mut |_| Ok(()))?;
    if let Some(folder) = &args.out {
        keep(folder, id, lab, &shrunk.case, signature)?;
    }
    Ok(Reduced {
        technique: hunt.technique.to_string(),
        before: case.spec.faults.len(),
        faults: shrunk.case.spec.faults.len(),
        instances: shrunk.case.spec.cluster.instances,
        runs: shrunk.runs,
        signature: signature.to_string(),
    })
}

/// Leaves a find where it can be looked at: its scenario, and its record, which has the bug in it.
fn keep(
    folder: &std::path::Path,
    id: &str,
    lab: &Lab<'_>,
    case: &Case,
    signature: &Signature,
) -> Result<(), Stop> {
    let path = folder.join(format!("{id}.toml"));
    let told = format!("Shrunk from {}, seed {}, with a planted bug.", case.name, case.seed);
    let text = case.draft(id.to_owned(), format!("Shows {id}"), told, &showing(signature)).text();
    write_whole(&path, &text).map_err(|error| naming(&path, error))?;
    if let Ok(run) = lab.fly(case) {
        let path = folder.join(format!("{id}.jsonl"));
        let mut lines = Vec::new();
        run.record.write_to(&mut lines)?;
        std::fs::write(&path, lines).map_err(|error| naming(&path, error))?;
    }
    Ok(())
}
