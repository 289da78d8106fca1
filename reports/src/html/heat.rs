//! The recovery map as a heat map.

use super::suite::{Cell, Map};
use crate::map::Section;
use crate::map::rows::{named, worst_first};
use crate::text::{count, length};

/// The most rows that are shown, those from which a run did not come back first.
const ROWS: usize = 60;

/// A section of the recovery map, for the page of a sweep. `page` says which page shows the run of a
/// command, if there is one.
pub fn heat(section: &Section, page: impl Fn(&str) -> Option<String>) -> Map {
    let faults = section.map.faults();
    let rows: Vec<_> = worst_first(&section.map).into_iter().take(ROWS).collect();
    let cell = |cell: &ironbird_sim::recovery::Cell| {
        let example = cell.stranded.as_ref().or(cell.slowest.as_ref());
        Cell {
            label: cell.median().map_or_else(|| "never".to_owned(), length),
            share: if cell.runs == 0 { 1.0 } else { cell.recovered() as f64 / cell.runs as f64 },
            detail: format!(
                "{} of {} came back{}",
                cell.recovered(),
                count(cell.runs, "run"),
                example.map_or_else(String::new, |example| format!("; {}", example.replay)),
            ),
            page: example.and_then(|example| page(&example.replay)),
        }
    };
    Map {
        title: section.title.clone(),
        rows: rows.iter().map(|(row, _)| named(row)).collect(),
        columns: faults.iter().map(|fault| (*fault).to_owned()).collect(),
        cells: rows
            .iter()
            .map(|(_, cells)| faults.iter().map(|fault| cells.by_fault.get(*fault).map(cell)).collect())
            .collect(),
    }
}
