//! `ironbird corpus`, and the corpus that `ironbird run` replays.

use std::path::{Path, PathBuf};

use console::style;

use super::run::naming;
use super::suspect::{SuspectArgs, lab};
use super::{Console, Stop, one_variant, selected};
use crate::exit_code::Exit;
use crate::hunt::Lab;
use crate::hunt::corpus::{Verdict, entry, replay, write_whole};
use crate::library::CORPUS;
use crate::runner::RunFn;
use crate::select::Selection;

pub(super) const EXAMPLES: &str = "\
Examples:
  ironbird corpus add leader-kill/hardened --seed 17
  ironbird corpus add found/leader-kill-17-8d0c1f2a.toml --title \"Two primaries after a pause\"
  ironbird run my-scenarios/ --corpus corpus/";

#[derive(Debug, clap::Args)]
pub(super) struct CorpusArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Keep a failing run: its plan, its scenario and what is expected of it
    Add(AddArgs),
}

#[derive(Debug, clap::Args)]
struct AddArgs {
    #[command(flatten)]
    suspect: SuspectArgs,
    /// The folder
    #[arg(long, value_name = "DIR", default_value = "corpus")]
    dir: PathBuf,
    /// What happens, in a line; made of the scenario's and the failure if not given
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
}

pub(super) fn corpus(args: &CorpusArgs, run: &RunFn<'_>, console: &mut Console<'_>) -> Result<Exit, Stop> {
    let Command::Add(args) = &args.command;
    let selections = selected(std::slice::from_ref(&args.suspect.scenario), console)?;
    let one = one_variant(&selections, "an entry is", console)?;
    let lab = lab(run, args.suspect.jobs)?;
    let suspect = args.suspect.find(&lab, one, console)?;
    let (name, text) = entry(one, &suspect.case, &suspect.signature, args.title.as_deref());
    // A title may be anything, and a file that does not read is worth nothing.
    if let Err(rejected) = crate::format::parse(&name, &text) {
        console.complain(&rejected.render(console.color_err))?;
        return Ok(Exit::Usage);
    }
    let path = args.dir.join(name);
    write_whole(&path, &text).map_err(|error| naming(&path, error))?;
    console.print(&format!("kept in {}\n", path.display()))?;
    Ok(Exit::AsExpected)
}

/// The folders of entries to replay before `selections` are run.
pub(super) fn folders(given: Option<&Path>, selections: &[Selection]) -> Vec<PathBuf> {
    if let Some(given) = given {
        return vec![given.to_owned()];
    }
    let mut found: Vec<PathBuf> = Vec::new();
    for selection in selections.iter().filter(|selection| selection.from.selector == selection.from.file) {
        let Some(beside) = Path::new(&selection.from.file).parent() else { continue };
        let folder = beside.join(CORPUS);
        if !found.contains(&folder) && folder.is_dir() {
            found.push(folder);
        }
    }
    found
}

/// Replays the entries of `folders`, says what came of each, and whether all hold.
pub(super) fn replay_first(
    folders: &[PathBuf],
    lab: &Lab<'_>,
    console: &mut Console<'_>,
) -> Result<bool, Stop> {
    let mut sound = true;
    for folder in folders {
        let replayed = match replay(lab, folder) {
            Ok(replayed) => replayed,
            Err(error) => {
                console.complain(&format!("error: {error}\n"))?;
                return Err(Stop::Said(Exit::Usage));
            }
        };
        let color = console.color_out;
        let (mut holds, total) = (0, replayed.len());
        for one in replayed {
            let (word, why) = match one.verdict {
                Verdict::Holds => {
                    holds += 1;
                    continue;
                }
                Verdict::Fails { objection, shown } => {
                    let shown: Vec<_> =
                        shown.iter().map(|one| format!("\n    {}  {one}", one.id())).collect();
                    ("fails", objection + &shown.concat())
                }
                Verdict::NoLongerApplies { why } => (
                    "no longer applies",
                    format!("{}\n    make it anew or delete it: it proves nothing", why.trim_end()),
                ),
            };
            sound = false;
            let word = style(word).red().force_styling(color);
            console.print(&format!("{word}  {}  {}\n  {why}\n", one.file.display(), one.title))?;
        }
        console.print(&format!("corpus {}: {holds} of {total} hold\n\n", folder.display()))?;
    }
    Ok(sound)
}
