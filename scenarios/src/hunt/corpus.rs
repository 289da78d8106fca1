//! Failures that are kept.
//!
//! An entry is a scenario file: the plan with its times settled, the cluster, one seed, and what is expected
//! of it. A seed alone would not do: it dies with the next change of what is drawn from it. What is expected
//! is what the scenario it was found in expects. So a failure of handlers that should pass keeps failing
//! until they are mended, and says so when it comes back.
//!
//! An entry that no longer tries anything must not pass in silence: one that does not read any more, or
//! whose fault found nobody to happen to, is told apart from one that holds.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ironbird_sim::record::{Record, What};
use ironbird_sim::signature::Signature;

use super::{Case, Lab, file_name, showing};
use crate::format::Expectation;
use crate::library::{self, LoadError};
use crate::select::Selected;

/// What a record says of a fault that found nobody.
const NOBODY: &str = ": there is none at this moment";

/// What came of an entry.
#[derive(Debug)]
pub enum Verdict {
    /// What is expected of it is so.
    Holds,
    /// It is not.
    Fails {
        /// Why.
        objection: String,
        /// What it shows.
        shown: Vec<Signature>,
    },
    /// It tries nothing any more.
    NoLongerApplies {
        /// Why.
        why: String,
    },
}

/// An entry and what came of it.
#[derive(Debug)]
pub struct Replayed {
    /// Its file.
    pub file: PathBuf,
    /// Its title, as far as it could be read.
    pub title: String,
    /// What came of it.
    pub verdict: Verdict,
}

/// What an entry for `case`, found in `selected`, says, and the name of its file.
pub fn entry(
    selected: Selected<'_>,
    case: &Case,
    signature: &Signature,
    title: Option<&str>,
) -> (String, String) {
    let expect = match &selected.variant.expect {
        Expectation::Pass => Expectation::Pass,
        Expectation::Violates(_) => showing(signature),
    };
    let name = file_name(case.scenario(), case.seed, signature);
    let title = title
        .map_or_else(|| format!("{}: {}", selected.from.scenario.title, signature.words()), str::to_owned);
    let told = format!("Found in {} under seed {}. It showed {signature}.", selected.name(), case.seed);
    let text = case.draft(name.clone(), title, told, &expect).text();
    (format!("{name}.toml"), text)
}

/// Writes a file so that it is there as a whole or, if anything goes wrong, as it was.
///
/// # Errors
/// Those of the file system.
pub fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Replays every entry in `folder`, in the order of their names.
///
/// # Errors
/// When the folder cannot be read.
pub fn replay(lab: &Lab<'_>, folder: &Path) -> Result<Vec<Replayed>, LoadError> {
    let files = library::files_in(folder)?;
    Ok(lab.each(&files, |file| one(lab, file)))
}

fn one(lab: &Lab<'_>, file: &Path) -> Replayed {
    let gone = |why: String, title: String| Replayed {
        file: file.to_owned(),
        title,
        verdict: Verdict::NoLongerApplies { why },
    };
    let loaded = match library::from_file(file) {
        Ok(loaded) => loaded,
        Err(error) => return gone(error.to_string(), String::new()),
    };
    let title = loaded.scenario.title.clone();
    let Some(seed) = loaded.scenario.seed else {
        return gone("it fixes no `seed`".to_owned(), title);
    };
    for variant in &loaded.scenario.variants {
        let case = Case::of(Selected { from: &loaded, variant }, ironbird_sim::seed::Seed(seed), None);
        let verdict = match lab.fly(&case) {
            Err(panic) => Verdict::Fails { shown: vec![Signature::of_panic(&panic)], objection: panic },
            Ok(run) => match (never_struck(&run.record), variant.expect.objection(&run)) {
                (Some(fault), _) => Verdict::NoLongerApplies { why: format!("{fault}: it struck nobody") },
                (None, Some(objection)) => {
                    Verdict::Fails { objection, shown: Signature::of_all(&run.record, &run.violations) }
                }
                (None, None) => continue,
            },
        };
        return Replayed { file: file.to_owned(), title, verdict };
    }
    Replayed { file: file.to_owned(), title, verdict: Verdict::Holds }
}

/// A fault of the plan that happened to nobody.
fn never_struck(record: &Record) -> Option<String> {
    record.events.iter().find_map(|event| match &event.what {
        What::FaultBegan { fault, .. } => fault.strip_suffix(NOBODY).map(str::to_owned),
        _ => None,
    })
}
