//! Scenario files: one file tells one story, names the variants of it and what is expected of each.
//!
//! A file is TOML. Its tables `cluster`, `network`, `store`, `mysql`, `scheduler`, `workload` and the list
//! `fault` are the terms of [`ironbird_sim::spec::Spec`] and count for every variant. A `[variant.NAME]`
//! says what it changes, in the same terms, and what is expected of it:
//!
//! - `expect = "pass"`: no property is violated in any run.
//! - `expect = { violates = "one-writable-primary", log = "...", share = 0.95 }`: a run shows the symptom
//!   when the property (any one of them, if it is a list) is violated and, if `log` is given, some agent
//!   said a line that contains it. At least `share` of the runs (all, if it is not given) must show it.
//!   With `signature`, it must be that very failure, as [`ironbird_sim::signature`] tells failures apart.
//!
//! A file says under how many `seeds` it is run, or fixes the one `seed`, as files that were written by
//! [`Draft`] do: then its times are settled, and it shows one failure. `[sometimes]` with `require` names
//! what the sweep of each variant must have reached at least once.
//!
//! Reading goes text -> tree with positions ([`parse`]) -> one merged tree a variant (`merge`) -> values
//! -> limits (`limits`). The rule a change must keep: positions survive to the last step, so that every
//! complaint points at the line to change, and no input whatever makes this code panic.

use ironbird_sim::properties::Property;
use ironbird_sim::properties::sometimes::Sometimes;
use ironbird_sim::spec::Spec;

use crate::seeds::Seeds;

mod chaos;
mod complaints;
mod expectation;
mod faults;
mod limits;
mod merge;
mod parse;
mod rejected;
mod suggest;
mod write;

pub use chaos::parse_chaos;
pub use expectation::{Expectation, Symptom};
pub use limits::{MAX_FAULTS, MAX_FILE_BYTES, MAX_SEEDS, MAX_VARIANTS};
pub use parse::parse;
pub use rejected::{Diagnostic, Place, Rejected};
pub use suggest::nearest;
pub use write::Draft;
pub(crate) use write::as_table;

/// A scenario file, read and found sound.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// The file's stem.
    pub name: String,
    /// What happens, in a line.
    pub title: String,
    /// Where the story comes from.
    pub why: String,
    /// How many seeds `run` takes when it is not told.
    pub seeds: u64,
    /// The one seed it must be, if the file fixes it.
    pub seed: Option<u64>,
    /// What a sweep of each variant must have reached, or else it proves nothing.
    pub require: Vec<Sometimes>,
    /// In the order of the file, at least one.
    pub variants: Vec<Variant>,
}

impl Scenario {
    /// The seeds `run` takes when it is not told.
    pub fn own_seeds(&self) -> Seeds {
        self.seed.map_or_else(|| Seeds::first(self.seeds), Seeds::only)
    }
}

/// One way the story is told, complete.
#[derive(Debug, Clone, PartialEq)]
pub struct Variant {
    /// Its name in the file.
    pub name: String,
    /// Everything a run needs but the seed.
    pub spec: Spec,
    /// What must come out.
    pub expect: Expectation,
    /// The line of the file in which it begins, from 1.
    pub line: u32,
}

/// The names of all properties, for messages.
fn property_names() -> impl Iterator<Item = &'static str> {
    Property::ALL.into_iter().map(Property::name)
}
