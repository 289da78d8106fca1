//! The recovery map: from which state, after which kind of fault, a cluster found its way back.
//!
//! - [`terminal`] is the map for a person: the rows that matter first, a column a kind of fault.
//! - [`markdown`] is the same for a README, [`csv()`] and [`json`] are every cell for a program.

mod export;
pub(crate) mod rows;
mod terminal;

use ironbird_sim::recovery::RecoveryMap;

pub use export::{csv, json, markdown};
pub use terminal::{MapOptions, terminal};

/// The map of one set of handlers.
#[derive(Debug, Clone)]
pub struct Section {
    /// What the section is of: `hardened`, `as published`.
    pub title: String,
    /// The map, by the parts of the state that were asked for.
    pub map: RecoveryMap,
    /// How many variants were run for it.
    pub variants: usize,
    /// Whether every run should come back.
    pub must_recover: bool,
}

impl Section {
    /// Whether a run found no way back that should have.
    pub fn fails(&self) -> bool {
        self.must_recover && self.map.recovered() < self.map.runs()
    }
}

#[cfg(test)]
mod tests;
