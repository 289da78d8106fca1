//! One run that is worth a look, for a terminal.
//!
//! It answers in this order: which run, what was wrong, what led to it, how to see it again.

use std::fmt::Write;

use crate::suite::FailureReport;
use crate::text::{moment, name, plain, visible};

/// `failure` in a few lines.
pub fn failure(failure: &FailureReport) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    render(failure, &mut out).ok();
    out
}

fn render(failure: &FailureReport, out: &mut String) -> std::fmt::Result {
    writeln!(out, "seed {}: {}", failure.seed, plain(&failure.reason))?;
    for violation in &failure.violations {
        writeln!(
            out,
            "  {} at {} on {} (step {})",
            violation.property,
            moment(violation.at),
            name(&violation.host),
            violation.step,
        )?;
        writeln!(out, "    {}", plain(&violation.detail))?;
    }
    if let Some(signature) = &failure.signature {
        writeln!(out, "  failure {}  {}", signature.id(), plain(&signature.to_string()))?;
    }
    if !failure.decisive.is_empty() {
        writeln!(out, "  the events that decide it")?;
        for line in &failure.decisive {
            writeln!(out, "    {}", plain(line))?;
        }
    }
    // A run that never came to its end has none.
    if !failure.hash.is_empty() {
        writeln!(out, "  record  {}", visible(&failure.hash))?;
    }
    writeln!(out, "  replay  {}", visible(&failure.replay))
}
