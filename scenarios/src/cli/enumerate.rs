//! `ironbird enumerate`.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use ironbird_sim::signature::Signature;

use super::run::naming;
use super::suspect::{lab, seed};
use super::{Console, Stop, one_variant, selected};
use crate::exit_code::Exit;
use crate::hunt::corpus::write_whole;
use crate::hunt::ledger::Ledger;
use crate::hunt::{
    Case, Cause, Enumeration, FaultPoint, Points, enumerate as try_each, file_name, points, showing,
};
use crate::runner::RunFn;
use crate::select::Selected;

pub(super) const EXAMPLES: &str = "\
Examples:
  ironbird enumerate leader-kill/hardened
  ironbird enumerate leader-kill/hardened --kinds kill,pause --limit 500
  ironbird enumerate leader-kill/hardened --pairs 1000 --state pairs.jsonl";

/// Failing points of one failure that are listed.
const LISTED: usize = 5;
/// Points between two signs of life.
const SIGN_EVERY: usize = 250;

#[derive(Debug, clap::Args)]
pub(super) struct EnumerateArgs {
    /// The variant: `leader-kill/hardened` or `storm.toml/calm`; a scenario with one variant needs no `/`
    #[arg(value_name = "SCENARIO")]
    scenario: String,
    /// The seed of the undisturbed run; the one the file fixes, or else 0, if not given
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// What to do to every machine at every moment
    #[arg(
        long,
        value_name = "KIND,...",
        value_delimiter = ',',
        default_value = "kill,pause,cut-consul,cut-peers"
    )]
    kinds: Vec<Cause>,
    /// Leave the scenario's own faults out
    #[arg(long)]
    clean: bool,
    /// Try this many pairs of points, drawn, in place of single ones
    #[arg(long, value_name = "K")]
    pairs: Option<usize>,
    /// Try at most this many points, spread evenly
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Keep what has been tried in this file, and go on from it
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// The folder for a scenario file of each failure
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// Worlds at a time; results do not depend on it. As many as there are cores if not given
    #[arg(long, short, value_name = "N")]
    jobs: Option<NonZeroUsize>,
}

pub(super) fn enumerate(
    args: &EnumerateArgs,
    run: &RunFn<'_>,
    console: &mut Console<'_>,
) -> Result<Exit, Stop> {
    let selections = selected(std::slice::from_ref(&args.scenario), console)?;
    let one = one_variant(&selections, "an enumeration is", console)?;
    let seed = seed(args.seed.or(one.from.scenario.seed).or(Some(0)), one, console)?;
    let lab = lab(run, args.jobs)?;
    let mut case = Case::of(one, seed, None);
    if args.clean {
        case.spec.faults.clear();
    }
    let mut kinds = args.kinds.clone();
    kinds.sort_unstable();
    kinds.dedup();
    let points = match points(&lab, &case, &kinds, args.pairs, args.limit) {
        Ok(points) => points,
        Err(panic) => {
            console.complain(&format!("{}, seed {seed}: {panic}\n", one.name()))?;
            return Ok(Exit::Failures);
        }
    };
    console.print(&told(one, &case, &kinds, &points))?;
    let (mut ledger, done) = match &args.state {
        Some(path) => {
            let (ledger, done) = Ledger::open(path, &case, &points).map_err(|error| naming(path, error))?;
            console.complain(&format!("points known from {}: {}\n", path.display(), done.len()))?;
            (Some(ledger), done)
        }
        None => (None, BTreeMap::new()),
    };
    let mut tried = done.len();
    let found = try_each(&lab, &case, &points, &done, &mut |point, shows| {
        if let Some(ledger) = &mut ledger {
            ledger.keep(point, shows)?;
        }
        tried += 1;
        if tried.is_multiple_of(SIGN_EVERY) {
            console.complain(&format!("{tried} of {} points\n", points.tried.len()))?;
        }
        Ok(())
    })?;
    for (signature, failing) in &found.found {
        console.print(&failure(args, one, &case, &points, signature, &failing.points)?)?;
    }
    console.print(&format!("\n{}\n", found.statement(&one.name())))?;
    Ok(exit(&found))
}

fn exit(found: &Enumeration) -> Exit {
    if found.failing == 0 { Exit::AsExpected } else { Exit::Failures }
}

/// What is about to be tried.
fn told(one: Selected<'_>, case: &Case, kinds: &[Cause], points: &Points) -> String {
    let moments = &points.moments;
    let kinds: Vec<_> = kinds.iter().map(|kind| kind.name()).collect();
    let own = match case.spec.faults.len() {
        0 => "no fault of its own".to_owned(),
        1 => "1 fault of its own".to_owned(),
        many => format!("{many} faults of its own"),
    };
    let mut text = format!(
        "{}, seed {}, with {own}: {} events, of which {} change something\n\
         left out: {} that repeat what their machine did since something last turned, {} at the same time as another\n\
         {} moments, each with {} of every machine that is up, clients apart, 1 ms later: {} points{}\n",
        one.name(),
        case.seed,
        moments.events,
        moments.changes,
        moments.repeated,
        moments.together,
        moments.kept.len(),
        kinds.join(", "),
        points.total,
        if points.pairs { " as pairs" } else { "" },
    );
    if points.impossible > 0 {
        text += &format!("{} more cannot be: a machine that has no such thing\n", points.impossible);
    }
    if points.tried.len() < points.total {
        text += &format!("{} of them are tried\n", points.tried.len());
    }
    for signature in &points.base {
        text += &format!("undisturbed, it shows {signature}, which is no failure of a point\n");
    }
    text
}

/// A failure, its file, and the first points that show it.
fn failure(
    args: &EnumerateArgs,
    one: Selected<'_>,
    case: &Case,
    points: &Points,
    signature: &Signature,
    failing: &[usize],
) -> Result<String, Stop> {
    let listed: Vec<(usize, &FaultPoint)> =
        failing.iter().filter_map(|index| Some((*index, points.tried.get(*index)?))).take(LISTED).collect();
    let mut text = format!("\n{}  {signature}\n  at {} points\n", signature.id(), failing.len());
    for (index, point) in &listed {
        for (fault, after) in point.faults.iter().zip(&point.after) {
            let fault = toml::to_string(fault).unwrap_or_default();
            text += &format!("  {index}: {} after {after}\n", fault.trim().replace('\n', ", "));
        }
    }
    if let Some((_, point)) = listed.first() {
        let name = file_name(&one.from.scenario.name, case.seed, signature);
        let path = args.out.join(format!("{name}.toml"));
        let title = format!("{}, and one fault more", one.from.scenario.title);
        let after: Vec<_> = point.after.iter().map(String::as_str).collect();
        let told = format!("Enumerated from {}, seed {}; after {}.", one.name(), case.seed, after.join("; "));
        let file = point.case(case).draft(name, title, told, &showing(signature)).text();
        write_whole(&path, &file).map_err(|error| naming(&path, error))?;
        text += &format!("  ironbird run {}\n", path.display());
    }
    Ok(text)
}
