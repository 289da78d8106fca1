//! Recovery times as CSV, one run a line, for whatever draws or counts them.

use crate::suite::{Outcome, SuiteReport};
use crate::text::visible;

/// Every run of `suite`: scenario, seed, outcome and, if it did, how many seconds it took to recover.
///
/// # Errors
/// None that a string can have; those of the writer are passed on.
pub fn recovery_csv(suite: &SuiteReport) -> Result<String, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["scenario", "seed", "outcome", "recovery_s"])?;
    for variant in &suite.variants {
        let name = field(&variant.name);
        for run in &variant.each {
            let outcome = match run.outcome {
                Outcome::Held => "held",
                Outcome::Violated => "violated",
                Outcome::Unexpected => "unexpected",
            };
            let recovery = run.recovery.map_or_else(String::new, |time| format!("{:.6}", time.as_secs_f64()));
            writer.write_record([name.as_str(), &run.seed.to_string(), outcome, &recovery])?;
        }
    }
    let bytes = writer.into_inner().map_err(|error| csv::Error::from(error.into_error()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// `text` as one field that a spreadsheet takes for text: what would be a formula gets an apostrophe.
fn field(text: &str) -> String {
    let text = visible(text);
    if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::field;

    #[test]
    fn a_name_is_no_formula() {
        for (text, written) in
            [("leader-kill/hardened", "leader-kill/hardened"), ("=cmd()", "'=cmd()"), ("a\r\nb", "a\\r\\nb")]
        {
            assert_eq!(field(text), written);
        }
    }
}
