//! Which points have been tried, on disk, so that an enumeration can be broken off and taken up again: a
//! [`StateFile`] of points.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use ironbird_sim::signature::Signature;
use serde::{Deserialize, Serialize};

use super::{Case, Points};
use crate::state_file::{StateFile, Words};

const VERSION: u32 = 1;
const WORDS: Words = Words { what: "list of points", other: "another scenario, seed or set of points" };

/// What is enumerated.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Head {
    ironbird_points: u32,
    scenario: String,
    seed: u64,
    /// Of the case and all its points: the same number of another scenario is another point.
    points: String,
}

/// One point.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    point: usize,
    shows: Vec<Signature>,
}

/// The file of an enumeration that goes on.
#[derive(Debug)]
pub struct Ledger(StateFile);

impl Ledger {
    /// Opens or begins the file at `path` for the `points` of `case`, and says what it holds.
    ///
    /// # Errors
    /// When it cannot be read or written, is of something else, or is no such file.
    pub fn open(
        path: &Path,
        case: &Case,
        points: &Points,
    ) -> io::Result<(Self, BTreeMap<usize, Vec<Signature>>)> {
        let there_is = |line: &Line| match points.tried.len() {
            many if line.point >= many => Err(format!("there is no point {}", line.point)),
            _ => Ok(()),
        };
        let (state, known) = StateFile::open(path, &head(case, points), WORDS, there_is)?;
        Ok((Self(state), known.into_iter().map(|line| (line.point, line.shows)).collect()))
    }

    /// Adds what point number `point` shows.
    ///
    /// # Errors
    /// Those of the file.
    pub fn keep(&mut self, point: usize, shows: &[Signature]) -> io::Result<()> {
        self.0.keep(&Line { point, shows: shows.to_vec() })
    }
}

fn head(case: &Case, points: &Points) -> Head {
    let mut hasher = blake3::Hasher::new();
    hasher.update(crate::format::as_table(&case.spec).to_string().as_bytes());
    for fault in points.tried.iter().flat_map(|point| &point.faults) {
        hasher.update(toml::to_string(fault).unwrap_or_default().as_bytes());
    }
    Head {
        ironbird_points: VERSION,
        scenario: case.name.clone(),
        seed: case.seed.0,
        points: hasher.finalize().to_hex().to_string(),
    }
}
