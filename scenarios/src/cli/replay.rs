//! `ironbird replay`.

use std::fs::File;
use std::io::{BufWriter, Write};

use console::style;
use ironbird_reports::story::{Lens, StoryOptions, story};

use super::args::ReplayArgs;
use super::run::{is_stdout, naming};
use super::suspect::seed;
use super::{Console, Stop, one_variant, selected, swarm};
use crate::exit_code::Exit;
use crate::runner::{Options, RunFn, Runner};

pub(super) fn replay(args: &ReplayArgs, run: &RunFn<'_>, console: &mut Console<'_>) -> Result<Exit, Stop> {
    let selections = selected(std::slice::from_ref(&args.scenario), console)?;
    let one = one_variant(&selections, "a replay is", console)?;
    let seed = seed(args.seed, one, console)?;
    let options = Options { jobs: 1, swarm: args.swarm.profile(), ..Options::default() };
    let runner = Runner::new(run, options).map_err(|error| Stop::Io(std::io::Error::other(error)))?;
    if let Some(profile) = args.swarm.profile() {
        // Before the run, which may never come to an end.
        console.complain(&swarm::knobs(&one.variant.spec, &one.name(), seed, &profile))?;
    }
    let run = match runner.once(one, seed) {
        Ok(run) => run,
        Err(panic) => {
            console.complain(&format!("{}, seed {seed}: {panic}\n", one.name()))?;
            return Ok(Exit::Failures);
        }
    };
    let objection = one.variant.expect.objection(&run);
    let for_a_program = match &args.record {
        Some(path) if is_stdout(path) => {
            let mut out = BufWriter::new(console.out());
            run.record.write_to(&mut out)?;
            out.flush()?;
            true
        }
        Some(path) => {
            let write = || {
                let mut file = BufWriter::new(File::create(path)?);
                run.record.write_to(&mut file)?;
                file.flush()
            };
            write().map_err(|error| naming(path, error))?;
            false
        }
        None => false,
    };
    if !for_a_program {
        let lens = Lens {
            from: args.lens.from,
            until: args.lens.until,
            hosts: args.lens.host.clone(),
            kinds: args.lens.kind.clone(),
            follow: args.lens.follow.clone(),
        };
        let options = StoryOptions { trace: args.trace || !lens.is_clear(), color: console.color_out };
        let told = story(&lens.through(&run.record), &run.violations, &options);
        console.print(&format!(
            "{}\nexpected: {:#}\n\n{}\n",
            one.from.scenario.title,
            one.variant.expect,
            told.trim_end()
        ))?;
    }
    let color = if for_a_program { console.color_err } else { console.color_out };
    let verdict = match &objection {
        None => format!("\n{}\n", style("as expected").green().force_styling(color)),
        Some(objection) => {
            format!("\n{}: {objection}\n", style("not as expected").red().force_styling(color))
        }
    };
    if for_a_program {
        console.complain(verdict.trim_start())?;
    } else {
        console.print(&verdict)?;
    }
    Ok(match objection {
        None => Exit::AsExpected,
        Some(_) => Exit::Failures,
    })
}
