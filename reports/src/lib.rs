//! From the records of runs to what a person or a CI system reads.
//!
//! Everything here is a pure function: a record, a violation or a [`suite::SuiteReport`] in, text out. No
//! clock is read, no file is opened and no terminal is asked for its width, so the same run always reads
//! the same and every renderer can be held to a snapshot.
//!
//! - [`story`] tells one run, event by event, and picks the few events that decide a violation.
//! - [`table`] and [`failure`] are what a sweep prints; [`junit`] and [`json`] are what it leaves behind,
//!   [`github`] what GitHub shows of it, [`recovery_csv`] what a spreadsheet reads, [`plot`] what a picture says.
//! - [`html`] is for a browser, [`perfetto`] and [`shiviz`] for programs that draw traces, [`mermaid`] for
//!   wherever Markdown is shown.
//!
//! The rule a change must keep: whatever comes out of a record may have been written by anybody, so it
//! passes through `text` before it reaches a terminal or a file. A renderer that formats a field directly
//! is a defect.

pub mod bugs;
pub mod github;
pub mod html;
pub mod map;
pub mod plot;
pub mod story;
pub mod suite;

mod bucket;
mod failure;
mod json;
mod junit;
mod mermaid;
mod perfetto;
mod recovery;
mod shiviz;
mod table;
mod text;
mod timeline;

pub use failure::failure;
pub use json::json;
pub use junit::junit;
pub use mermaid::mermaid;
pub use perfetto::perfetto;
pub use recovery::recovery_csv;
pub use shiviz::shiviz;
pub use table::table;

#[cfg(test)]
mod specimens;

#[cfg(test)]
mod snapshots;
