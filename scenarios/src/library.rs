//! Where scenarios come from: the ones that are part of the program, and files named on the command line.
//!
//! The program carries its scenario files, so that it runs them wherever it stands. [`BUILT_IN`] is written
//! out by hand rather than collected at build time: a file that is not in it fails a test here, and the
//! build needs no script.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ironbird_sim::consul::chaos::ChaosPlan;

use crate::format::{self, MAX_FILE_BYTES, Rejected, Scenario};

macro_rules! built_in {
    ($($path:literal),* $(,)?) => {
        /// The scenario files in the program: path and text.
        pub const BUILT_IN: &[(&str, &str)] = &[
            $(($path, include_str!(concat!("../", $path)))),*
        ];
    };
}

built_in![
    "races/backup-too-late.toml",
    "races/empty-winner.toml",
    "races/missed-edge.toml",
    "races/replica-before-backup.toml",
    "races/store-down-at-start.toml",
    "failover/dead-session.toml",
    "failover/errant-return.toml",
    "failover/lagging-catalog.toml",
    "failover/lagging-winner.toml",
    "failover/leader-kill.toml",
    "failover/leader-stop.toml",
    "failover/session-leak.toml",
    "failover/two-nodes.toml",
    "failover/unapplied-winner.toml",
    "partitions/clock-set-back.toml",
    "partitions/double-partition.toml",
    "partitions/leader-cut-from-consul.toml",
    "partitions/leader-cut-from-replicas.toml",
    "partitions/leader-paused.toml",
    "partitions/leader-renews-late.toml",
    "partitions/one-way-from-consul.toml",
    "partitions/one-way-to-consul.toml",
    "snapshots/backup-hangs.toml",
    "snapshots/deposed-snapshot.toml",
    "snapshots/silent-restore.toml",
    "snapshots/slow-snapshot.toml",
    "consul/agent-cut-off.toml",
    "consul/agent-forgets.toml",
    "consul/consul-election-in-failover.toml",
    "consul/consul-errors.toml",
    "consul/consul-far-away.toml",
    "consul/consul-leader-change.toml",
    "consul/consul-leader-isolated.toml",
    "consul/consul-leader-split-off.toml",
    "consul/consul-long-outage.toml",
    "consul/consul-quorum-lost.toml",
    "consul/consul-wiped.toml",
    "consul/node-check.toml",
    "consul/consul-wiped-unseen.toml",
    "lifecycle/attrition.toml",
    "lifecycle/everybody-loses-power.toml",
    "lifecycle/hook-hangs.toml",
    "lifecycle/rolling-upgrade.toml",
    "lifecycle/same-name.toml",
    "lifecycle/shared-host.toml",
    "lifecycle/scale-down.toml",
    "lifecycle/slow-health.toml",
    "gauntlet/one-leader-after-another.toml",
    "gauntlet/one-lease-after-another.toml",
    "gauntlet/one-server-after-another.toml",
];

/// What the folder of failing runs that are kept is called.
pub const CORPUS: &str = "corpus";
/// A file deeper than this below a folder is not looked for.
const MAX_DEPTH: usize = 16;

/// A scenario and where it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Sourced {
    /// What selects it on the command line: its name, or its path.
    pub selector: String,
    /// The file, for reports.
    pub file: String,
    /// What it says.
    pub scenario: Scenario,
}

/// Why a file gave no scenario.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It is no sound scenario.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// It could not be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// The file or folder.
        path: String,
        /// Why.
        source: io::Error,
    },
}

/// The names of the scenarios in the program, in the order of [`BUILT_IN`].
pub fn names() -> impl Iterator<Item = &'static str> {
    BUILT_IN.iter().map(|(path, _)| stem(path))
}

/// The scenario `name` of the program, if there is one.
pub fn built_in(name: &str) -> Option<Result<Sourced, LoadError>> {
    let (path, text) = BUILT_IN.iter().find(|(path, _)| stem(path) == name)?;
    Some(
        format::parse(path, text)
            .map(|scenario| Sourced { selector: name.to_owned(), file: (*path).to_owned(), scenario })
            .map_err(LoadError::from),
    )
}

/// The scenario in the file at `path`.
///
/// # Errors
/// When it cannot be read, or is no sound scenario.
pub fn from_file(path: &Path) -> Result<Sourced, LoadError> {
    let (file, text) = text_of(path)?;
    Ok(Sourced { scenario: format::parse(&file, &text)?, selector: file.clone(), file })
}

/// The chaos plan in the file at `path`.
///
/// # Errors
/// When it cannot be read, or is no sound plan.
pub fn chaos_from_file(path: &Path) -> Result<ChaosPlan, LoadError> {
    let (file, text) = text_of(path)?;
    Ok(format::parse_chaos(&file, &text)?)
}

/// What the user calls the file at `path`, and its text.
fn text_of(path: &Path) -> Result<(String, String), LoadError> {
    let file = path.display().to_string();
    let unreadable = |source| LoadError::Unreadable { path: file.clone(), source };
    let mut bytes = Vec::new();
    // One byte more than allowed is enough for the reader to refuse it, and a pipe or device ends too.
    File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(unreadable)?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Rejected::whole(&file, format!("the file is not UTF-8: byte {at} begins no character"))
    })?;
    Ok((file, text))
}

/// The scenario files in the folder at `path` and below, sorted: everything that ends in `.toml`, except
/// what is hidden and `Cargo.toml`.
///
/// # Errors
/// When a folder cannot be read.
pub fn files_in(path: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let mut found = Vec::new();
    collect(path, 0, &mut found)?;
    found.sort();
    Ok(found)
}

fn collect(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), LoadError> {
    let unreadable = |source| LoadError::Unreadable { path: folder.display().to_string(), source };
    for entry in folder.read_dir().map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') {
            continue;
        }
        // Links to folders are not followed: they can lead back here.
        let is_folder = entry.file_type().map_err(unreadable)?.is_dir();
        // A corpus is replayed before the scenarios beside it and is none of them.
        if is_folder && name == CORPUS {
            continue;
        }
        if is_folder && depth < MAX_DEPTH {
            collect(&entry.path(), depth + 1, found)?;
        } else if !is_folder && name.ends_with(".toml") && name != "Cargo.toml" {
            found.push(entry.path());
        }
    }
    Ok(())
}

fn stem(path: &str) -> &str {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    name.strip_suffix(".toml").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::{BUILT_IN, built_in, files_in, names};

    #[test]
    fn every_scenario_file_is_in_the_program() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let there: BTreeSet<_> = files_in(root)
            .unwrap()
            .into_iter()
            .map(|path| path.strip_prefix(root).unwrap().display().to_string())
            .collect();
        let carried: BTreeSet<_> = BUILT_IN.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(there, carried);
    }

    #[test]
    fn every_scenario_of_the_program_is_sound_and_has_a_name_of_its_own() {
        for name in names() {
            if let Err(error) = built_in(name).unwrap() {
                panic!("{error}");
            }
        }
        assert_eq!(names().collect::<BTreeSet<_>>().len(), BUILT_IN.len());
    }
}
