//! `ironbird merge`.

use std::io;
use std::num::NonZeroUsize;
use std::time::Duration;

use super::args::MergeArgs;
use super::run::{Found, tell};
use super::suspect::lab;
use super::{Console, Stop, diagrams, selected, swarm};
use crate::exit_code::Exit;
use crate::results::{Header, Results};
use crate::runner::{Limits, Options, RunFn, Runner};
use crate::seeds::Seeds;
use crate::select::Selection;

/// Runs that are named when they are missing.
const NAMED: usize = 5;

pub(super) fn merge(args: &MergeArgs, run: &RunFn<'_>, console: &mut Console<'_>) -> Result<Exit, Stop> {
    let merged = Results::merge(&args.files);
    let (mut results, header) = match merged {
        Ok((results, Some(header))) => (results, header),
        Ok((_, None)) => return Ok(Exit::NothingSelected),
        Err(error) => {
            console.complain(&format!("error: {error}\n"))?;
            return Ok(Exit::Usage);
        }
    };
    let selections = swarm::narrow(header.swarm, selected(&header.which, console)?, console)?;
    let seeds = match header.seeds.as_deref().map(str::parse::<Seeds>).transpose() {
        Ok(seeds) => seeds,
        Err(error) => {
            console.complain(&format!("error: the results' seeds: {error}\n"))?;
            return Ok(Exit::Usage);
        }
    };
    if Header::new(&header.which, seeds, header.swarm, &selections) != header {
        console.complain("error: the results are of scenarios that have changed since\n")?;
        return Ok(Exit::Usage);
    }
    let missing = missing(&results, &selections, seeds);
    if missing.count > 0 {
        console.complain(&format!(
            "error: {} of {} runs have no result: {}; a job is missing, or did not end\n",
            missing.count,
            missing.total,
            missing.some.join(", ")
        ))?;
        return Ok(Exit::Usage);
    }
    args.output.try_out()?;
    let jobs = args.jobs.map_or(0, NonZeroUsize::get);
    let options =
        Options { jobs, swarm: header.swarm, map: args.output.html.is_some(), ..Options::default() };
    let runner = Runner::new(run, options).map_err(|error| Stop::Io(io::Error::other(error)))?;
    let swept = runner.sweep(&selections, seeds, Limits::default(), &mut results, &|_| {});
    let mut found = Found { suite: swept.report, maps: swept.maps };
    // The runs took their time elsewhere, and nobody wrote down how much.
    for variant in &mut found.suite.variants {
        variant.elapsed = Duration::ZERO;
    }
    if args.output.github.is_some() {
        diagrams::reduce(&mut found.suite, &selections, header.swarm.as_ref(), &lab(run, args.jobs)?)?;
    }
    tell(found, None, &args.output, &runner, &selections, console)
}

struct Missing {
    count: u64,
    total: u64,
    some: Vec<String>,
}

fn missing(results: &Results, selections: &[Selection], seeds: Option<Seeds>) -> Missing {
    let mut missing = Missing { count: 0, total: 0, some: Vec::new() };
    for one in selections.iter().flat_map(Selection::variants) {
        let name = one.name();
        let seeds = seeds.unwrap_or_else(|| Seeds::first(one.from.scenario.seeds));
        missing.total = missing.total.saturating_add(seeds.count());
        let lacks = seeds.count().saturating_sub(results.of(&name));
        missing.count = missing.count.saturating_add(lacks);
        let room = NAMED.saturating_sub(missing.some.len()).min(usize::try_from(lacks).unwrap_or(NAMED));
        let gaps = seeds.slice(0, seeds.count()).filter(|seed| results.get(&name, *seed).is_none());
        missing.some.extend(gaps.take(room).map(|seed| format!("{name} seed {seed}")));
    }
    missing
}
