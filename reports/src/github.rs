//! What GitHub Actions shows of a sweep: a step summary, and annotations at the scenarios' lines.
//!
//! GitHub takes a summary of at most 1 MiB and throws a longer one away as a whole, so [`summary`] leaves
//! out details from the end and says so. It shows ten errors a step, so [`annotations`] has one a way of
//! failing, not one a run.

use std::fmt::Write;
use std::time::Duration;

use crate::suite::{FailureReport, SuiteReport, VariantReport};
use crate::text::{count, grouped, length, moment, plain, visible};

/// The longest summary GitHub takes, in bytes, less some room.
const LONGEST: usize = 1_000_000;

/// Annotations of a kind that GitHub shows for a step.
const MOST_ANNOTATIONS: usize = 10;

/// `suite` in Markdown, for `$GITHUB_STEP_SUMMARY`.
pub fn summary(suite: &SuiteReport) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    table(suite, &mut out).ok();
    let mut left_out = 0;
    for variant in suite.variants.iter().filter(|variant| !variant.as_expected) {
        let mut part = String::new();
        details(variant, &mut part).ok();
        if out.len() + part.len() > LONGEST {
            left_out += 1;
        } else {
            out += &part;
        }
    }
    if left_out > 0 {
        writeln!(
            out,
            "\nThe details of {} are left out: a summary has a greatest length.",
            count(left_out, "variant")
        )
        .ok();
    }
    if out.len() > LONGEST {
        out.truncate(out.floor_char_boundary(LONGEST));
        out += "…\n";
    }
    out
}

fn table(suite: &SuiteReport, out: &mut String) -> std::fmt::Result {
    let failed = suite.variants.len() - suite.as_expected();
    writeln!(
        out,
        "## Ironbird: {}\n",
        if failed == 0 {
            "as expected".to_owned()
        } else {
            format!("{} not as expected", count(failed as u64, "variant"))
        }
    )?;
    let simulated: Duration = suite.variants.iter().map(|variant| variant.simulated).sum();
    let elapsed: Duration = suite.variants.iter().map(|variant| variant.elapsed).sum();
    writeln!(
        out,
        "{}: {} simulated{}.\n",
        count(suite.runs(), "run"),
        length(simulated),
        crate::table::spent(elapsed)
    )?;
    writeln!(out, "| | scenario | runs | expected | violated | recovery, median | max |")?;
    writeln!(out, "|---|---|--:|---|---|--:|--:|")?;
    for variant in &suite.variants {
        let violated: Vec<_> = variant
            .violations
            .iter()
            .map(|(property, runs)| format!("{} {}", cell(property), grouped(*runs)))
            .collect();
        let recovery = variant.recovery_median_and_max();
        let time = |time: Duration| format!("{:.1} s", time.as_secs_f64());
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} |",
            if variant.as_expected { "✓" } else { "✗" },
            cell(&variant.name),
            grouped(variant.runs),
            cell(&variant.expectation),
            if violated.is_empty() { "–".to_owned() } else { violated.join("<br>") },
            recovery.map_or_else(|| "–".to_owned(), |(median, _)| time(median)),
            recovery.map_or_else(|| "–".to_owned(), |(_, max)| time(max)),
        )?;
    }
    Ok(())
}

fn details(variant: &VariantReport, out: &mut String) -> std::fmt::Result {
    writeln!(out, "\n### ✗ {}\n", cell(&variant.name))?;
    for bucket in &variant.buckets {
        let [id, property, role, words] = bucket.told().map(|part| cell(&part));
        let seeds: Vec<_> = bucket.seeds.iter().map(u64::to_string).collect();
        let seeds = seeds.join(", ");
        let runs = count(bucket.runs, "run");
        if bucket.signature.is_some() {
            writeln!(out, "- **{property}** ({role}), in {runs}: {words} ({id}; seeds {seeds})")?;
        } else {
            writeln!(out, "- {words}, in {runs} (seeds {seeds})")?;
        }
    }
    for (index, failure) in variant.failures.iter().enumerate() {
        one(failure, index == 0, out)?;
    }
    Ok(())
}

fn one(failure: &FailureReport, open: bool, out: &mut String) -> std::fmt::Result {
    let open = if open { " open" } else { "" };
    writeln!(out, "\n<details{open}><summary>seed {}: {}</summary>\n", failure.seed, cell(&failure.reason))?;
    for violation in &failure.violations {
        writeln!(
            out,
            "- **{}** at {} on {}: {}",
            violation.property,
            moment(violation.at),
            cell(&violation.host),
            cell(&violation.detail)
        )?;
    }
    if !failure.diagram.is_empty() {
        writeln!(out, "\n{}", fenced("mermaid", &failure.diagram))?;
    }
    if !failure.decisive.is_empty() {
        let lines: Vec<_> = failure.decisive.iter().map(|line| plain(line)).collect();
        writeln!(out, "\n{}", fenced("text", &lines.join("\n")))?;
    }
    writeln!(out, "\n{}\n</details>", fenced("sh", &plain(&failure.replay)))
}

/// A code block whose fence is longer than any in `text`.
fn fenced(language: &str, text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}{language}\n{}\n{fence}", text.trim_end())
}

/// `text` as text in a cell of a table: no markup, no end of the cell.
fn cell(text: &str) -> String {
    let mut out = String::new();
    for character in plain(text).chars() {
        match character {
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '&' => out += "&amp;",
            // A mention or a reference would reach somebody.
            '|' | '`' | '*' | '_' | '[' | ']' | '\\' | '#' | '!' | '~' => {
                out.push('\\');
                out.push(character);
            }
            '@' => out += "&#64;",
            _ => out.push(character),
        }
    }
    out
}

/// Workflow commands that annotate the scenarios' lines: one a way of failing, the most frequent first.
pub fn annotations(suite: &SuiteReport) -> String {
    let mut out = String::new();
    let mut lines = Vec::new();
    for variant in suite.variants.iter().filter(|variant| !variant.as_expected) {
        let place = format!(
            "file={},line={},title={}",
            property(&visible(&variant.file)),
            variant.line.unwrap_or(1),
            property(&plain(&variant.name)),
        );
        let replay = |failure: Option<&FailureReport>| {
            failure.map(|failure| format!(" ({})", plain(&failure.replay))).unwrap_or_default()
        };
        let first = variant.failures.first();
        if variant.buckets.is_empty() {
            let reason = first.map_or(&variant.expectation, |failure| &failure.reason);
            let text = plain(reason) + &replay(first);
            lines.push((variant.violated, format!("::error {place}::{}", message(&text))));
        }
        for bucket in &variant.buckets {
            // A run that shows this very failure, if there is one.
            let alike = variant.failures.iter().find(|failure| failure.signature == bucket.signature);
            let [_, property, role, words] = bucket.told().map(|part| plain(&part));
            let text = format!(
                "{property} ({role}), {} of {}: {words}{}",
                grouped(bucket.runs),
                count(variant.runs, "run"),
                replay(alike.or(first)),
            );
            lines.push((bucket.runs, format!("::error {place}::{}", message(&text))));
        }
    }
    lines.sort_by_key(|(runs, _)| std::cmp::Reverse(*runs));
    for (_, line) in lines.iter().take(MOST_ANNOTATIONS) {
        out += line;
        out.push('\n');
    }
    if lines.len() > MOST_ANNOTATIONS {
        out += &format!("::notice::{} more are in the report\n", lines.len() - MOST_ANNOTATIONS);
    }
    out
}

/// A command's message: one line, whatever is in it.
fn message(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A command's property: it ends at a comma or a colon too.
fn property(text: &str) -> String {
    message(text).replace(':', "%3A").replace(',', "%2C")
}
