//! What the program tells its caller, declared once.
//!
//! When runs failed and the results could not be written either, the failures win: a caller that only sees
//! the number must not take a red suite for a full disk.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Everything came out as expected.
    AsExpected = 0,
    /// A result could not be written: a full disk, a folder that is not there.
    Io = 1,
    /// The arguments, or a scenario, are wrong. Nothing was run.
    Usage = 2,
    /// The arguments are right and select nothing. Nothing was run.
    NothingSelected = 4,
    /// Something did not come out as expected.
    Failures = 100,
    /// Interrupted; what was run until then came out as expected.
    Interrupted = 130,
}

/// The table that `--help` ends with.
pub const HELP: &str = "\
Exit codes:
    0  everything came out as expected
    1  a result could not be written
    2  the arguments or a scenario are wrong; nothing was run
    4  the arguments select nothing; nothing was run
  100  something did not come out as expected
  130  interrupted; what was run until then came out as expected";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
