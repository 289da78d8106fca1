//! `ironbird shrink`.

use std::path::{Path, PathBuf};

use super::run::naming;
use super::suspect::{Suspect, SuspectArgs, lab};
use super::{Console, Stop, one_variant, selected};
use crate::exit_code::Exit;
use crate::hunt::corpus::write_whole;
use crate::hunt::{Case, Step, file_name, showing, shrink as make_smaller};
use crate::runner::RunFn;
use crate::select::Selected;

pub(super) const EXAMPLES: &str = "\
Examples:
  ironbird shrink leader-kill/published --seed 17
  ironbird shrink storm.toml/hardened --seed 4711 --budget 500 --out found/";

#[derive(Debug, clap::Args)]
pub(super) struct ShrinkArgs {
    #[command(flatten)]
    pub(super) suspect: SuspectArgs,
    /// The folder for the scenario file, which is there from the first improvement on
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(super) out: PathBuf,
    /// Runs to spend at most
    #[arg(long, value_name = "RUNS", default_value_t = 2_000)]
    pub(super) budget: u64,
}

pub(super) fn shrink(args: &ShrinkArgs, run: &RunFn<'_>, console: &mut Console<'_>) -> Result<Exit, Stop> {
    let selections = selected(std::slice::from_ref(&args.suspect.scenario), console)?;
    let one = one_variant(&selections, "shrinking is", console)?;
    let lab = lab(run, args.suspect.jobs)?;
    let suspect = args.suspect.find(&lab, one, console)?;
    let path = path(&args.out, one, &suspect);
    let write =
        |case: &Case| write_whole(&path, &text(one, &suspect, case)).map_err(|error| naming(&path, error));
    // What cannot be kept need not be looked for.
    write(&suspect.case)?;
    let shrunk =
        make_smaller(&lab, suspect.case.clone(), &suspect.signature, args.budget, &mut |step| match step {
            Step::Pass { what } => console.complain(&format!("{what}\n")),
            Step::Smaller { what, best, runs } => {
                write(best)?;
                console.complain(&format!("{runs:>6} runs  {what}\n"))
            }
        })?;
    write(&shrunk.case)?;
    let faults = |case: &Case| case.spec.faults.len();
    let end = if shrunk.minimal { "" } else { "; the budget is spent, and it may become smaller yet" };
    console.print(&format!(
        "\n{} of {} faults, {} of {} instances, after {} runs{end}\n\n{}\n",
        faults(&shrunk.case),
        faults(&suspect.case),
        shrunk.case.spec.cluster.instances,
        suspect.case.spec.cluster.instances,
        shrunk.runs,
        text(one, &suspect, &shrunk.case).trim_end(),
    ))?;
    console.print(&format!("\nironbird run {}\n", path.display()))?;
    Ok(Exit::AsExpected)
}

fn path(out: &Path, one: Selected<'_>, suspect: &Suspect) -> PathBuf {
    let name = file_name(&one.from.scenario.name, suspect.case.seed, &suspect.signature);
    out.join(format!("{name}.toml"))
}

fn text(one: Selected<'_>, suspect: &Suspect, case: &Case) -> String {
    let name = file_name(&one.from.scenario.name, case.seed, &suspect.signature);
    let title = format!("{}, shrunk", one.from.scenario.title);
    let told = format!("Shrunk from {}, seed {}.", one.name(), case.seed);
    case.draft(name, title, told, &showing(&suspect.signature)).text()
}
