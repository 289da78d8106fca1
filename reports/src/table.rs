//! A sweep as a table for a person.
//!
//! One row a variant. The column that matters reads as a sentence: what the scenario expects, and below
//! it in how many of the runs what was seen. The table is laid out for [`WIDTH`] columns whatever the
//! terminal, and carries no colours: a CI log is its usual reader.

use std::fmt::Write;
use std::time::Duration;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use crate::suite::{SuiteReport, VariantReport};
use crate::text::{count, grouped, length, plain};

/// How wide the table may be, in columns.
const WIDTH: u16 = 100;

/// `suite` as a table, with a line of totals and a legend below.
pub fn table(suite: &SuiteReport) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_HORIZONTAL_ONLY)
        .force_no_tty()
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(WIDTH)
        .set_header([
            "scenario",
            "runs",
            "as expected",
            "expected, and what was seen",
            "recovery",
            "speed",
        ])
        .add_rows(suite.variants.iter().map(row));
    for right in [1, 4, 5] {
        if let Some(column) = table.column_mut(right) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut out = table.trim_fmt();
    out.push('\n');
    // Writing to a string cannot fail.
    totals(suite, &mut out).ok();
    out
}

fn row(variant: &VariantReport) -> [String; 6] {
    [
        plain(&variant.name),
        grouped(variant.runs),
        if variant.as_expected { "yes" } else { "NO" }.to_owned(),
        format!("{}\n{}", plain(&variant.expectation), seen(variant)),
        variant.recovery_median_and_max().map_or_else(
            || "-".to_owned(),
            |(median, max)| format!("{}\nmax {}", length(median), length(max)),
        ),
        variant.speed().map_or_else(|| "-".to_owned(), speed),
    ]
}

fn seen(variant: &VariantReport) -> String {
    if variant.violations.is_empty() {
        return format!("all held in {}", count(variant.runs, "run"));
    }
    let properties: Vec<_> = variant
        .violations
        .iter()
        .map(|(property, runs)| {
            format!(
                "{} broken in {}/{}",
                plain(property),
                grouped(*runs),
                grouped(variant.runs)
            )
        })
        .collect();
    properties.join("\n")
}

fn totals(suite: &SuiteReport, out: &mut String) -> std::fmt::Result {
    let simulated: Duration = suite.variants.iter().map(|variant| variant.simulated).sum();
    let elapsed: Duration = suite.variants.iter().map(|variant| variant.elapsed).sum();
    writeln!(
        out,
        "{} of {} as expected. {}: {} simulated in {}.",
        suite.as_expected(),
        count(suite.variants.len() as u64, "variant"),
        count(suite.runs(), "run"),
        length(simulated),
        length(elapsed),
    )?;
    writeln!(
        out,
        "recovery: from the end of the last fault until the cluster is whole for good; median, and the longest.",
    )?;
    writeln!(out, "speed: simulated time to real time.")
}

/// `26,000x`, in three digits: more would pretend to a precision no clock has.
fn speed(speed: f64) -> String {
    if speed < 10.0 {
        return format!("{speed:.1}x");
    }
    // A finite ratio of two durations is far below the greatest integer.
    let mut whole = speed.round() as u64;
    let mut unit = 1;
    while whole / unit >= 1_000 {
        unit *= 10;
    }
    whole = whole / unit * unit;
    format!("{}x", grouped(whole))
}
