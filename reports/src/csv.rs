//! Recovery times as CSV, one run a line, for whatever draws or counts them.
//!
//! As RFC 4180 has it, with a header. A field that a spreadsheet would take for a formula gets an
//! apostrophe in front.

use std::fmt::Write;

use crate::suite::{Outcome, SuiteReport};
use crate::text::visible;

/// Every run of `suite`: scenario, seed, outcome and, if it did, how many seconds it took to recover.
pub fn csv(suite: &SuiteReport) -> String {
    let mut out = "scenario,seed,outcome,recovery_s\r\n".to_owned();
    for variant in &suite.variants {
        let name = field(&variant.name);
        for run in &variant.each {
            let outcome = match run.outcome {
                Outcome::Held => "held",
                Outcome::Violated => "violated",
                Outcome::Unexpected => "unexpected",
            };
            let recovery = run.recovery.map_or_else(String::new, |time| {
                format!("{}.{:06}", time.as_secs(), time.subsec_micros())
            });
            // Writing to a string cannot fail.
            write!(out, "{name},{},{outcome},{recovery}\r\n", run.seed).ok();
        }
    }
    out
}

fn field(text: &str) -> String {
    let text = visible(text);
    let formula = text.starts_with(['=', '+', '-', '@']);
    let text = if formula { format!("'{text}") } else { text };
    if text.contains([',', '"', '\'']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::field;

    #[test]
    fn a_field_is_one_field_and_no_formula() {
        for (text, written) in [
            ("leader-kill/hardened", "leader-kill/hardened"),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("=cmd()", "\"'=cmd()\""),
            ("a\r\nb", "a\\r\\nb"),
        ] {
            assert_eq!(field(text), written);
        }
    }
}
