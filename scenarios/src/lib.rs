//! Scenario files, the runner that sweeps them, and the command line over both.
//!
//! Data flows one way: a scenario file becomes [`format::Scenario`]s, [`library`] finds them by name or
//! path, [`runner`] runs their variants under many seeds, a [`case::Case`] each, and sums up, [`cli`] prints
//! what `ironbird-reports` makes of the sums.

pub mod case;
pub mod cli;
pub mod exit_code;
pub mod format;
pub mod hunt;
pub mod library;
pub mod partition;
pub mod results;
pub mod runner;
pub mod seeds;
pub mod select;
pub mod state_file;
