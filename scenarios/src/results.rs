//! What each run of a sweep came to, in a file: for a sweep that goes on where it stopped, and for one that
//! several jobs divided between them.
//!
//! The file is JSON Lines: a [`Header`] that says what is swept, then a line a run. Lines are appended as
//! runs end, so a sweep that is killed loses what it was at and nothing else; a last line that was cut off
//! is dropped. Results of other scenarios, or of the same with other contents, are refused: their seeds mean
//! other runs.
//!
//! The rule a change must keep: a report made of results is the report the sweep would have made, times on
//! the wall apart.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use ironbird_sim::properties::Property;
use ironbird_sim::properties::sometimes::Sometimes;
use ironbird_sim::seed::Seed;
use ironbird_sim::signature::Signature;
use ironbird_sim::swarm::Profile;
use serde::{Deserialize, Serialize};

use crate::runner::{Breakage, Outcome, Summary};
use crate::seeds::Seeds;
use crate::select::Selection;
use crate::state_file::{self, WholeLines};

mod ways;

/// The version of the format.
const VERSION: u32 = 3;
/// Runs of one file.
const MAX_RUNS: usize = 20_000_000;

/// What a sweep is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    #[serde(rename = "ironbird-results")]
    version: u32,
    /// What was selected on the command line.
    pub which: Vec<String>,
    /// Which seeds, as on the command line; every scenario's own if nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seeds: Option<String>,
    /// How faults are drawn; those of the scenarios' files if nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swarm: Option<Profile>,
    /// A hash over all variants' contents.
    suite: String,
}

impl Header {
    /// The header of a sweep over `selections`.
    pub fn new(
        which: &[String],
        seeds: Option<Seeds>,
        swarm: Option<Profile>,
        selections: &[Selection],
    ) -> Self {
        let mut hasher = blake3::Hasher::new();
        for one in selections.iter().flat_map(Selection::variants) {
            // Everything a run depends on, apart from its seed and the program. Debug output tells all fields.
            hasher.update(
                format!("{}\n{:?}\n{}\n", one.name(), one.variant.spec, one.variant.expect).as_bytes(),
            );
        }
        Self {
            version: VERSION,
            which: which.to_vec(),
            seeds: seeds.map(|seeds| seeds.to_string()),
            swarm,
            suite: hasher.finalize().to_hex().to_string(),
        }
    }

    /// What is wrong with going on from, or adding, results with header `other`.
    fn objection(&self, other: &Self) -> Option<&'static str> {
        if self.which != other.which || self.seeds != other.seeds {
            Some("are of another sweep: other scenarios or seeds were selected")
        } else if self.swarm != other.swarm {
            Some("are of another sweep: its faults were drawn, or drawn in another way")
        } else if self.suite != other.suite {
            Some("are of scenarios that have changed since")
        } else {
            None
        }
    }
}

/// A line after the first.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    variant: String,
    seed: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    violated: Vec<Property>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    signatures: Vec<Signature>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recovery_us: Option<u64>,
    simulated_us: u64,
    events: usize,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    reached: BTreeSet<Sometimes>,
    /// What it adds to the recovery map, by [`ways`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ways_back: Option<ways::Written>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    other: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    broken: Option<String>,
    /// The two sides of the difference that broke it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    sides: Vec<String>,
}

impl Line {
    fn new(variant: &str, summary: &Summary) -> Self {
        let (other, broken, sides) = match &summary.outcome {
            Outcome::AsExpected => (None, None, Vec::new()),
            Outcome::Other(reason) => (Some(reason.clone()), None, Vec::new()),
            Outcome::Broken(Breakage { reason, sides }) => (None, Some(reason.clone()), sides.clone()),
        };
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Self {
            variant: variant.to_owned(),
            seed: summary.seed.0,
            violated: summary.violated.clone(),
            signatures: summary.signatures.clone(),
            recovery_us: summary.recovery.map(micros),
            simulated_us: micros(summary.simulated),
            events: summary.events,
            reached: summary.reached.clone(),
            ways_back: summary.passage.as_ref().map(ways::written),
            other,
            broken,
            sides,
        }
    }

    fn into_summary(self) -> Result<(String, Summary), String> {
        let outcome = match (self.other, self.broken) {
            (_, Some(reason)) => Outcome::Broken(Breakage { reason, sides: self.sides }),
            (Some(reason), None) => Outcome::Other(reason),
            (None, None) => Outcome::AsExpected,
        };
        let recovery = self.recovery_us.map(Duration::from_micros);
        let summary = Summary {
            seed: Seed(self.seed),
            violated: self.violated,
            signatures: self.signatures,
            recovery,
            simulated: Duration::from_micros(self.simulated_us),
            events: self.events,
            reached: self.reached,
            passage: self.ways_back.map(|written| ways::read(&written, recovery.is_some())).transpose()?,
            outcome,
            states: Vec::new(),
        };
        Ok((self.variant, summary))
    }
}

/// The results of a sweep so far, and where to add to them.
#[derive(Debug, Default)]
pub struct Results {
    known: BTreeMap<String, BTreeMap<u64, Summary>>,
    file: Option<io::BufWriter<File>>,
    /// The first error of writing; nothing is written after it.
    failed: Option<io::Error>,
}

/// Why results cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    /// The file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A line is no result.
    #[error("{path}:{line}: {why}")]
    Malformed {
        /// Which file.
        path: String,
        /// Its line, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// They are of something else.
    #[error("the results in {path} {why}")]
    Foreign {
        /// Which file.
        path: String,
        /// In which way.
        why: &'static str,
    },
    /// Two files have two results for one run.
    #[error("{variant}, seed {seed}: {path} says otherwise than a file before it; a seed makes one run only")]
    Contradiction {
        /// The variant.
        variant: String,
        /// The seed.
        seed: u64,
        /// The second file.
        path: String,
    },
}

impl Results {
    /// Goes on with the results in the file at `path`, which is made if it is not there.
    ///
    /// # Errors
    /// When it cannot be read or written, or holds something else.
    pub fn resume(path: &Path, header: &Header) -> Result<Self, ResultsError> {
        let name = path.display().to_string();
        let io_error = |source| ResultsError::Io { path: name.clone(), source };
        let mut file = state_file::open(path).map_err(io_error)?;
        let mut results = Self::default();
        let (found, end) = results.absorb(&name, &file)?;
        match found {
            Some(found) => {
                if let Some(why) = header.objection(&found) {
                    return Err(ResultsError::Foreign { path: name, why });
                }
                // What was cut off is written over.
                state_file::cut_off(&mut file, end).map_err(io_error)?;
            }
            None => {
                state_file::cut_off(&mut file, 0).map_err(io_error)?;
                let mut line = serde_json::to_vec(header).map_err(|error| io_error(error.into()))?;
                line.push(b'\n');
                file.write_all(&line).map_err(io_error)?;
            }
        }
        results.file = Some(io::BufWriter::new(file));
        Ok(results)
    }

    /// The results in all of `paths` together, and what they are of.
    ///
    /// # Errors
    /// When one cannot be read, or they are not of the same sweep, or contradict each other.
    pub fn merge(paths: &[impl AsRef<Path>]) -> Result<(Self, Option<Header>), ResultsError> {
        let mut all = Self::default();
        let mut header: Option<Header> = None;
        for path in paths.iter().map(AsRef::as_ref) {
            let name = path.display().to_string();
            let file = File::open(path).map_err(|source| ResultsError::Io { path: name.clone(), source })?;
            let (found, _) = all.absorb(&name, &file)?;
            let found = found.ok_or_else(|| ResultsError::Malformed {
                path: name.clone(),
                line: 1,
                why: "there is no header".to_owned(),
            })?;
            match &header {
                Some(first) => {
                    if let Some(why) = first.objection(&found) {
                        return Err(ResultsError::Foreign { path: name, why });
                    }
                }
                None => header = Some(found),
            }
        }
        Ok((all, header))
    }

    /// Reads all of `file`. Gives its header, if it has one, and where its last whole line ends.
    fn absorb(&mut self, name: &str, file: &File) -> Result<(Option<Header>, u64), ResultsError> {
        let mut lines = WholeLines::of(file);
        let (mut header, mut number) = (None, 0);
        let mut count = 0_usize;
        loop {
            number += 1;
            let malformed =
                |why: String| ResultsError::Malformed { path: name.to_owned(), line: number, why };
            let text = match lines.next() {
                Ok(Some(text)) => text,
                Ok(None) => return Ok((header, lines.end())),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    return Err(malformed(error.to_string()));
                }
                Err(source) => return Err(ResultsError::Io { path: name.to_owned(), source }),
            };
            if header.is_none() {
                let found: Header = serde_json::from_slice(text)
                    .map_err(|error| malformed(format!("no header of results: {error}")))?;
                if found.version != VERSION {
                    return Err(malformed(format!(
                        "version {} of the format; this program reads version {VERSION}",
                        found.version
                    )));
                }
                header = Some(found);
                continue;
            }
            count += 1;
            if count > MAX_RUNS {
                return Err(malformed(format!("more than {MAX_RUNS} runs")));
            }
            let line: Line = serde_json::from_slice(text)
                .map_err(|error| malformed(format!("no result of a run: {error}")))?;
            let (variant, summary) = line.into_summary().map_err(malformed)?;
            let seed = summary.seed.0;
            let known = self.known.entry(variant.clone()).or_default();
            if known.get(&seed).is_some_and(|known| *known != summary) {
                return Err(ResultsError::Contradiction { variant, seed, path: name.to_owned() });
            }
            known.insert(seed, summary);
        }
    }

    /// What is known of a run.
    pub(crate) fn get(&self, variant: &str, seed: Seed) -> Option<&Summary> {
        self.known.get(variant)?.get(&seed.0)
    }

    /// How many runs of a variant are known.
    pub(crate) fn of(&self, variant: &str) -> u64 {
        self.known.get(variant).map_or(0, |runs| runs.len() as u64)
    }

    /// How many runs are known.
    pub fn len(&self) -> usize {
        self.known.values().map(BTreeMap::len).sum()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds what a run came to.
    pub(crate) fn add(&mut self, variant: &str, summary: &Summary) {
        let Some(file) = &mut self.file else { return };
        if self.failed.is_some() {
            return;
        }
        let written = serde_json::to_writer(&mut *file, &Line::new(variant, summary))
            .map_err(io::Error::from)
            .and_then(|()| file.write_all(b"\n"));
        if let Err(error) = written {
            self.failed = Some(error);
        }
    }

    /// Hands over to the system what was added so far.
    pub(crate) fn flush(&mut self) {
        if let (Some(file), None) = (&mut self.file, &self.failed)
            && let Err(error) = file.flush()
        {
            self.failed = Some(error);
        }
    }

    /// The error because of which not everything was written, if there was one.
    pub fn take_error(&mut self) -> Option<io::Error> {
        self.flush();
        self.failed.take()
    }
}
