//! What has been found so far, on disk, so that a long search can be broken off and taken up again: a
//! [`StateFile`] of defects.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use ironbird_reports::bugs::Defect;
use serde::{Deserialize, Serialize};

use super::{Search, Technique};
use crate::select::Selected;
use crate::state_file::{StateFile, Words};

const VERSION: u32 = 1;
const WORDS: Words = Words {
    what: "search for planted bugs",
    other: "other scenarios or techniques, or another number of sweeps or runs",
};

/// What is searched, and how.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Head {
    ironbird_bugs: u32,
    sweeps: usize,
    budget: u64,
    shrink_budget: u64,
    techniques: Vec<String>,
    /// Of all variants that are swept.
    variants: String,
}

/// The file of a search that goes on.
#[derive(Debug)]
pub struct State(StateFile);

impl State {
    /// Opens or begins the file at `path` for a search of `variants`, and says what it holds, by the names
    /// of the defects.
    ///
    /// # Errors
    /// When it cannot be read or written, is of something else, or is no such file.
    pub fn open(
        path: &Path,
        variants: &[Selected<'_>],
        techniques: &[Technique],
        search: Search,
        shrink_budget: u64,
    ) -> io::Result<(Self, BTreeMap<String, Defect>)> {
        let mut hasher = blake3::Hasher::new();
        for one in variants {
            // Debug output tells all fields.
            hasher.update(format!("{}\n{:?}\n", one.name(), one.variant.spec).as_bytes());
        }
        let head = Head {
            ironbird_bugs: VERSION,
            sweeps: search.sweeps,
            budget: search.budget,
            shrink_budget,
            techniques: techniques.iter().map(ToString::to_string).collect(),
            variants: hasher.finalize().to_hex().to_string(),
        };
        let (state, known) = StateFile::open(path, &head, WORDS, |_: &Defect| Ok(()))?;
        Ok((Self(state), known.into_iter().map(|defect| (defect.id.clone(), defect)).collect()))
    }

    /// Adds what was found of a defect.
    ///
    /// # Errors
    /// Those of the file.
    pub fn keep(&mut self, defect: &Defect) -> io::Result<()> {
        self.0.keep(defect)
    }
}
