//! Which points have been tried, on disk, so that an enumeration can be broken off and taken up again.
//!
//! A file of JSON Lines: first what is enumerated, then a line a point. A line that a broken-off program
//! left half written is the last one and has no end; it is cut off, and its point is tried again. Anything
//! else that does not read is no such file, and nothing is written to it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use ironbird_sim::signature::Signature;
use serde::{Deserialize, Serialize};

use super::{Case, Points};

const VERSION: u32 = 1;
/// More than a line of a sane file.
const MAX_LINE: u64 = 1 << 20;

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
pub struct Ledger {
    file: File,
}

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
        let head = head(case, points);
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut done = BTreeMap::new();
        let mut sound = 0;
        let mut reader = BufReader::new(&file);
        let mut first = true;
        loop {
            let mut line = String::new();
            let read = reader.by_ref().take(MAX_LINE).read_line(&mut line)?;
            if !line.ends_with('\n') {
                if read as u64 >= MAX_LINE {
                    return Err(wrong("a line of it is too long"));
                }
                break;
            }
            if first {
                let known: Head =
                    serde_json::from_str(&line).map_err(|_| wrong("it is no list of points"))?;
                if known != head {
                    return Err(wrong("it is of another scenario, seed or set of points: name another file"));
                }
                first = false;
            } else {
                let known: Line = serde_json::from_str(&line).map_err(|error| {
                    wrong(&format!("point {} of it does not read: {error}", done.len() + 1))
                })?;
                if known.point >= points.tried.len() {
                    return Err(wrong(&format!("it has a point {}, which there is not", known.point)));
                }
                done.insert(known.point, known.shows);
            }
            sound += read as u64;
        }
        file.set_len(sound)?;
        file.seek(SeekFrom::End(0))?;
        let mut ledger = Self { file };
        if first {
            ledger.write(&head)?;
        }
        Ok((ledger, done))
    }

    /// Adds what point number `point` shows.
    ///
    /// # Errors
    /// Those of the file.
    pub fn keep(&mut self, point: usize, shows: &[Signature]) -> io::Result<()> {
        self.write(&Line { point, shows: shows.to_vec() })
    }

    fn write(&mut self, line: &impl Serialize) -> io::Result<()> {
        let mut text = serde_json::to_string(line)?;
        text.push('\n');
        self.file.write_all(text.as_bytes())
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

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
