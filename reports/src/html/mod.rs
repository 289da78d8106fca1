//! Pages that open from a disk: one file each, with everything in it.
//!
//! A page is fixed markup, style and script out of `assets/`, and one block of JSON with all that is
//! variable. The script puts text into the page as text, never as markup, and the page's policy lets
//! nothing run or load that is not one of its own two blocks: what a record says can be shown, but it can
//! do nothing.
//!
//! - [`run`] is one run: lanes over simulated time, the events, what led to what.
//! - [`suite`] is a sweep; its runs are pages beside it.
//! - [`compare`] is two runs, from where they differ.
//!
//! The rule a change must keep: no text of a record or a scenario is ever written into markup here; it
//! goes through the page's data, whose escaping is in one place.

mod compare;
mod heat;
mod page;
mod run;
mod suite;
#[cfg(test)]
mod tests;

pub use compare::compare;
pub use heat::{Map, heat};
pub use run::{RunPage, file_name, run, stem};
pub use suite::{Extras, suite};
