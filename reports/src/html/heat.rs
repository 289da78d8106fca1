//! The recovery map as a heat map.

use std::collections::BTreeMap;

use ironbird_sim::recovery::{Cell as Counted, Example, NO_FAULT};
use serde::Serialize;

use crate::map::Section;
use crate::map::rows::{named, worst_first};
use crate::text::{micros, plain};

/// The most rows that are shown, those from which a run did not come back first.
const ROWS: usize = 60;

/// A table of states and kinds of fault.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Map {
    /// What it is of: `hardened`.
    title: String,
    runs: u64,
    recovered: u64,
    must_recover: bool,
    /// The states.
    rows: Vec<String>,
    /// States for which there was no room.
    left_out: usize,
    /// The kinds of fault; the first column is whatever the fault.
    columns: Vec<String>,
    /// One list a row, one cell a column; `None` where no run was.
    cells: Vec<Vec<Option<Cell>>>,
    /// The runs that cells name.
    examples: Vec<Shown>,
}

/// One place of a [`Map`].
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
struct Cell {
    runs: u64,
    recovered: u64,
    /// Microseconds.
    median: Option<u64>,
    longest: Option<u64>,
    /// An example that did not come back, and the one that took longest.
    stranded: Option<usize>,
    slowest: Option<usize>,
}

/// A run that can be looked at.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
struct Shown {
    name: String,
    replay: String,
    page: Option<String>,
}

/// A section of the recovery map, for the page of a sweep. `page` says which page shows a run, if there is
/// one.
pub fn heat(section: &Section, page: impl Fn(&Example) -> Option<String>) -> Map {
    let faults = section.map.faults();
    let rows = worst_first(&section.map);
    let mut examples = Examples { known: BTreeMap::new(), shown: Vec::new(), page };
    let cells = rows.iter().take(ROWS).map(|(_, cells)| {
        let by_fault = faults.iter().map(|fault| cells.by_fault.get(*fault));
        std::iter::once(Some(&cells.all))
            .chain(by_fault)
            .map(|cell| cell.map(|cell| examples.cell(cell)))
            .collect()
    });
    let cells = cells.collect();
    Map {
        title: plain(&section.title),
        runs: section.map.runs(),
        recovered: section.map.recovered(),
        must_recover: section.must_recover,
        rows: rows.iter().take(ROWS).map(|(row, _)| named(row)).collect(),
        left_out: rows.len().saturating_sub(ROWS),
        columns: std::iter::once("any")
            .chain(faults)
            .map(|fault| plain(if fault == NO_FAULT { "no fault yet" } else { fault }))
            .collect(),
        cells,
        examples: examples.shown,
    }
}

/// Runs that cells name, each once.
struct Examples<F> {
    known: BTreeMap<String, usize>,
    shown: Vec<Shown>,
    page: F,
}

impl<F: Fn(&Example) -> Option<String>> Examples<F> {
    fn cell(&mut self, cell: &Counted) -> Cell {
        Cell {
            runs: cell.runs,
            recovered: cell.recovered(),
            median: cell.median().map(micros),
            longest: cell.longest().map(micros),
            stranded: cell.stranded.as_ref().map(|example| self.index(example)),
            slowest: cell.slowest.as_ref().map(|example| self.index(example)),
        }
    }

    fn index(&mut self, example: &Example) -> usize {
        if let Some(index) = self.known.get(&example.replay) {
            return *index;
        }
        let index = self.shown.len();
        self.known.insert(example.replay.clone(), index);
        self.shown.push(Shown {
            name: format!("{}, seed {}", plain(&example.variant), example.seed),
            replay: example.replay.clone(),
            page: (self.page)(example),
        });
        index
    }
}
