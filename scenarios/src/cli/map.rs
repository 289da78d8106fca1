//! `ironbird map`.

use std::io;
use std::num::NonZeroUsize;
use std::path::Path;

use ironbird_reports::map::{self, MapOptions, Section};
use ironbird_sim::recovery::View;

use super::args::{MapArgs, Part};
use super::run::{is_stdout, write};
use super::{Console, Stop, progress, selected};
use crate::exit_code::Exit;
use crate::runner::{Options, RunFn, Runner, sections};

pub(super) fn map(args: &MapArgs, run: &RunFn<'_>, console: &mut Console<'_>) -> Result<Exit, Stop> {
    let selections = selected(&args.which.which, console)?;
    let options = Options { jobs: args.jobs.map_or(0, NonZeroUsize::get), ..Options::default() };
    let runner = Runner::new(run, options).map_err(|error| Stop::Io(io::Error::other(error)))?;
    let mut sections = sections(&selections, view(&args.by));
    let flown = {
        let display = progress::display(console);
        let flown = runner.journeys(
            &selections,
            args.seeds,
            &|progress| display.show(&progress),
            |selected, seed, journey| {
                let handlers = selected.variant.spec.cluster.handlers;
                if let Some((_, section)) = sections.iter_mut().find(|(of, _)| *of == handlers) {
                    section.map.add(&runner.example(selected, seed), journey);
                }
            },
        );
        display.end();
        flown
    };
    if let Err(panic) = flown {
        console.complain(&format!("error: {panic}\n"))?;
        return Ok(Exit::Failures);
    }
    let sections: Vec<Section> = sections.into_iter().map(|(_, section)| section).collect();
    let files = [&args.json, &args.csv, &args.markdown];
    let told = |color| map::terminal(&sections, &MapOptions { rows: args.rows, color });
    if files.into_iter().flatten().any(|path| is_stdout(path)) {
        console.complain(&told(console.color_err))?;
    } else {
        console.print(&told(console.color_out))?;
    }
    write_files(args, &sections, console)?;
    Ok(if sections.iter().any(Section::fails) { Exit::Failures } else { Exit::AsExpected })
}

fn write_files(args: &MapArgs, sections: &[Section], console: &mut Console<'_>) -> io::Result<()> {
    let mut to = |path: &Option<_>, text: &dyn Fn() -> io::Result<String>| match path {
        Some(path) => write(<_ as AsRef<Path>>::as_ref(path), &text()?, console),
        None => Ok(()),
    };
    to(&args.json, &|| map::json(sections).map_err(io::Error::from))?;
    to(&args.csv, &|| map::csv(sections).map_err(io::Error::from))?;
    to(&args.markdown, &|| Ok(map::markdown(sections, args.rows)))
}

fn view(parts: &[Part]) -> View {
    parts.iter().fold(View::NOTHING, |view, part| match part {
        Part::Instances => View { instances: true, ..view },
        Part::Lock => View { lock: true, ..view },
        Part::Backup => View { backup: true, ..view },
        Part::Catalog => View { catalog: true, ..view },
        Part::Consul => View { consul: true, ..view },
        Part::All => View::WHOLE,
    })
}
