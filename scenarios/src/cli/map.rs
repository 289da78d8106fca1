//! `ironbird map`.

use std::io;
use std::num::NonZeroUsize;
use std::path::Path;

use ironbird_reports::map::{self, MapOptions, Section};
use ironbird_sim::recovery::{Example, RecoveryMap, View};
use ironbird_sim::spec::Handlers;

use super::args::{MapArgs, Part};
use super::run::{is_stdout, write};
use super::{Console, Stop, progress, selected};
use crate::exit_code::Exit;
use crate::format::Expectation;
use crate::runner::{Options, RunFn, Runner, replay_command};
use crate::select::Selection;

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
                    section.map.add(&Example { replay: replay_command(selected, seed) }, journey);
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

/// A section for each set of handlers that is selected, ours first.
fn sections(selections: &[Selection], view: View) -> Vec<(Handlers, Section)> {
    [(Handlers::Hardened, "hardened"), (Handlers::Published, "as published")]
        .into_iter()
        .filter_map(|(handlers, title)| {
            let variants: Vec<_> = selections
                .iter()
                .flat_map(Selection::variants)
                .filter(|one| one.variant.spec.cluster.handlers == handlers)
                .collect();
            let section = Section {
                title: title.to_owned(),
                map: RecoveryMap::new(view),
                variants: variants.len(),
                must_recover: variants.iter().all(|one| matches!(one.variant.expect, Expectation::Pass)),
            };
            (section.variants > 0).then_some((handlers, section))
        })
        .collect()
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
