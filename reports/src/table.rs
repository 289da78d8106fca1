//! A sweep as a table for a person.
//!
//! One row a variant. The column that matters reads as a sentence: what the scenario expects, and below
//! it in how many of the runs what was seen. The table is laid out for [`WIDTH`] columns whatever the
//! terminal, and carries no colours: a CI log is its usual reader.

use std::fmt::Write;
use std::time::Duration;

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, Width, presets};

use crate::suite::{SuiteReport, VariantReport};
use crate::text::{count, grouped, length, plain};

/// How wide the table may be, in columns.
const WIDTH: u16 = 110;

/// Columns of fixed width: their number, and their width with the blank on either side.
const FIXED: [(usize, u16); 4] = [(1, 8), (2, 10), (4, 13), (5, 9)];

/// The longest name of a scenario that leaves the other columns enough room, in characters.
const LONGEST_ON_ONE_LINE: usize = 20;

/// The longest line of a scenario's name that is kept whole, in characters.
const LONGEST_NAME_PART: usize = 22;

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
            "as\nexpected",
            "expected, and in how many runs seen",
            "recovery",
            "speed",
        ])
        .add_rows(suite.variants.iter().map(row));
    // Names must not break in the middle, as far as a sensible one goes.
    let longest = suite.variants.iter().flat_map(|variant| {
        let name = scenario(&plain(&variant.name));
        name.lines().map(|line| line.chars().count()).max()
    });
    if let (Some(column), Some(longest)) = (table.column_mut(0), longest.max()) {
        let width = u16::try_from(longest.min(LONGEST_NAME_PART)).unwrap_or(0) + 2;
        column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(width)));
    }
    for (number, width) in FIXED {
        if let Some(column) = table.column_mut(number) {
            column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(width)));
        }
    }
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
    let recovery = variant.recovery_median_and_max();
    [
        scenario(&plain(&variant.name)),
        grouped(variant.runs),
        match variant {
            VariantReport { as_expected: false, .. } => "NO",
            VariantReport { runs: 0, .. } => "not run",
            _ => "yes",
        }
        .to_owned(),
        format!("{}\n{}", plain(&variant.expectation), seen(variant)),
        recovery.map_or_else(
            || "-".to_owned(),
            |(median, max)| format!("{}\nmax {}", seconds(median), seconds(max)),
        ),
        variant.speed().map_or_else(|| "-".to_owned(), speed),
    ]
}

/// A long name on two lines, the variant on the second.
fn scenario(name: &str) -> String {
    match name.rsplit_once('/') {
        Some((file, variant)) if name.chars().count() > LONGEST_ON_ONE_LINE => format!("{file}\n/{variant}"),
        _ => name.to_owned(),
    }
}

fn seen(variant: &VariantReport) -> String {
    if variant.runs == 0 {
        return String::new();
    }
    if variant.violations.is_empty() {
        return format!("- no violation in {}", count(variant.runs, "run"));
    }
    let properties: Vec<_> = variant
        .violations
        .iter()
        .map(|(property, runs)| format!("- {} {}/{}", plain(property), grouped(*runs), grouped(variant.runs)))
        .collect();
    properties.join("\n")
}

/// `97.4 s`: in one unit, to be compared down the column.
fn seconds(time: Duration) -> String {
    format!("{}.{} s", grouped(time.as_secs()), time.subsec_millis() / 100)
}

fn totals(suite: &SuiteReport, out: &mut String) -> std::fmt::Result {
    let simulated: Duration = suite.variants.iter().map(|variant| variant.simulated).sum();
    let elapsed: Duration = suite.variants.iter().map(|variant| variant.elapsed).sum();
    // A sweep that was interrupted, or whose time was over, did not come to all of them.
    let idle = suite.variants.iter().filter(|variant| variant.as_expected && variant.runs == 0).count();
    writeln!(
        out,
        "{} of {} as expected{}. {}: {} simulated{}.",
        suite.as_expected() - idle,
        count(suite.variants.len() as u64, "variant"),
        if idle > 0 { format!(", {idle} not run") } else { String::new() },
        count(suite.runs(), "run"),
        length(simulated),
        spent(elapsed),
    )?;
    writeln!(
        out,
        "recovery: median and longest time from the last fault's end until the cluster is whole for good.",
    )?;
    writeln!(out, "speed: simulated time to real time.")
}

/// How long it took, where that is known: runs that were put together took their time elsewhere.
pub(crate) fn spent(elapsed: Duration) -> String {
    if elapsed.is_zero() { String::new() } else { format!(" in {}", length(elapsed)) }
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
