//! The map for a person at a terminal.
//!
//! Kinds of fault stand upright above their columns, so that twenty of them fit beside the states. A cell
//! is the share of runs that came back, and blank where no run ever was. What did not come back is first,
//! and repeated below the grid with the commands that show it.

use std::fmt::Write;
use std::time::Duration;

use console::style;
use ironbird_sim::recovery::{Cell, RecoveryMap, Row};

use super::Section;
use super::rows::{parts, worst_first};
use crate::text::{count, grouped, length, plain};

/// Cells that are named with their commands at most.
const NAMED: usize = 12;

/// How to render a map.
#[derive(Debug, Clone, Copy, Default)]
pub struct MapOptions {
    /// Rows at most; 0 for all.
    pub rows: usize,
    /// Whether to colour.
    pub color: bool,
}

/// `sections` as text.
pub fn terminal(sections: &[Section], options: &MapOptions) -> String {
    let mut out = String::new();
    for section in sections {
        if !out.is_empty() {
            out.push('\n');
        }
        // Writing to a string cannot fail.
        grid(section, options, &mut out).ok();
        named(section, options, &mut out).ok();
    }
    if !sections.is_empty() {
        out.push_str(
            "\nA cell: of the runs that were in that state after that kind of fault had begun, the percentage that\n\
             was whole for good at the deadline. The way back counts from when the state was last entered, or from\n\
             the end of the last fault if that is later.\n",
        );
    }
    out
}

fn grid(section: &Section, options: &MapOptions, out: &mut String) -> std::fmt::Result {
    let map = &section.map;
    let title = style(plain(&section.title)).bold().force_styling(options.color);
    writeln!(
        out,
        "{title}: {} of {}, {} of them whole at the end; {}, {} of fault",
        count(map.runs(), "run"),
        count(section.variants as u64, "variant"),
        if map.recovered() == map.runs() { "all".to_owned() } else { grouped(map.recovered()) },
        count(map.rows().len() as u64, "row"),
        count(map.faults().iter().filter(|fault| **fault != "none").count() as u64, "kind"),
    )?;
    let rows = worst_first(map);
    if rows.is_empty() {
        return Ok(());
    }
    let shown = if options.rows == 0 { rows.len() } else { options.rows.min(rows.len()) };
    let faults = map.faults();
    let labels: Vec<Vec<[String; 2]>> = rows[..shown].iter().map(|(row, _)| parts(row)).collect();
    let widths: Vec<usize> = (0..labels[0].len())
        .map(|part| {
            let texts = labels.iter().map(|label| label[part][1].chars().count());
            texts.chain([labels[0][part][0].chars().count()]).max().unwrap_or_default()
        })
        .collect();
    writeln!(out)?;
    headings(&labels[0], &widths, &faults, out)?;
    for ((_, cells), label) in rows[..shown].iter().zip(&labels) {
        for ([_, text], width) in label.iter().zip(&widths) {
            write!(out, "  {text:<width$}")?;
        }
        let all = &cells.all;
        write!(out, "  {:>7}  {:>8}  {:>8} ", grouped(all.runs), time(all.median()), time(all.longest()))?;
        for fault in &faults {
            write!(out, " {}", cell(cells.by_fault.get(*fault), options.color))?;
        }
        while out.ends_with(' ') {
            out.pop();
        }
        writeln!(out)?;
    }
    if shown < rows.len() {
        writeln!(out, "  ... and {} more; --rows 0 shows all", count((rows.len() - shown) as u64, "row"))?;
    }
    Ok(())
}

/// The names of the columns, those of faults upright.
fn headings(label: &[[String; 2]], widths: &[usize], faults: &[&str], out: &mut String) -> std::fmt::Result {
    let faults: Vec<Vec<char>> = faults.iter().map(|fault| plain(fault).chars().collect()).collect();
    let height = faults.iter().map(Vec::len).max().unwrap_or_default();
    for line in (0..height).rev() {
        let mut text = String::new();
        for ([title, _], width) in label.iter().zip(widths) {
            let title = if line == 0 { title.as_str() } else { "" };
            write!(text, "  {title:<width$}")?;
        }
        let [runs, median, longest] = if line == 0 { ["runs", "median", "longest"] } else { [""; 3] };
        write!(text, "  {runs:>7}  {median:>8}  {longest:>8} ")?;
        for fault in &faults {
            // All end at the bottom line.
            let letter = fault.len().checked_sub(line + 1).and_then(|place| fault.get(place));
            write!(text, "   {}", letter.unwrap_or(&' '))?;
        }
        writeln!(out, "{}", text.trim_end())?;
    }
    Ok(())
}

fn cell(cell: Option<&Cell>, color: bool) -> String {
    let Some(cell) = cell else { return "   ".to_owned() };
    let text = format!("{:>3}", cell.percent());
    let text = style(text).force_styling(color);
    match cell.percent() {
        100 => text.green().to_string(),
        1.. => text.yellow().bold().to_string(),
        0 => text.red().bold().to_string(),
    }
}

fn time(time: Option<Duration>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| format!("{:.1} s", time.as_secs_f64()))
}

/// What did not come back, and what took longest, with commands.
fn named(section: &Section, options: &MapOptions, out: &mut String) -> std::fmt::Result {
    let stranded = stranded(&section.map);
    if stranded.is_empty() {
        if let Some((row, fault, cell, longest)) = slowest(&section.map) {
            writeln!(out, "\nEvery cell comes back. The longest way, {}:", length(longest))?;
            writeln!(out, "  after {}: {}", plain(fault), words(row))?;
            if let Some(example) = &cell.slowest {
                writeln!(out, "    {}", plain(&example.replay))?;
            }
        }
        return Ok(());
    }
    let mark = if section.must_recover { "NO WAY BACK" } else { "no way back" };
    let mark = style(mark).red().bold().force_styling(options.color);
    writeln!(out, "\n{mark} in {}:", count(stranded.len() as u64, "cell"))?;
    for (row, fault, cell) in stranded.iter().take(NAMED) {
        writeln!(
            out,
            "  {} of {} came back after {}: {}",
            grouped(cell.recovered()),
            grouped(cell.runs),
            plain(fault),
            words(row)
        )?;
        if let Some(example) = &cell.stranded {
            writeln!(out, "    {}", plain(&example.replay))?;
        }
    }
    if stranded.len() > NAMED {
        writeln!(out, "  ... and {}", count((stranded.len() - NAMED) as u64, "more cell"))?;
    }
    Ok(())
}

/// The cells from which a run found no way back, the worst first.
fn stranded(map: &RecoveryMap) -> Vec<(&Row, &str, &Cell)> {
    let mut cells: Vec<_> = map.cells().filter(|(_, _, cell)| cell.stranded.is_some()).collect();
    cells.sort_by_key(|(_, _, cell)| (cell.percent(), std::cmp::Reverse(cell.runs)));
    cells
}

/// The cell with the longest way back.
fn slowest(map: &RecoveryMap) -> Option<(&Row, &str, &Cell, Duration)> {
    let cells = map.cells().filter_map(|(row, fault, cell)| Some((row, fault, cell, cell.longest()?)));
    cells.max_by_key(|(_, _, _, longest)| *longest)
}

fn words(row: &Row) -> String {
    let parts: Vec<_> = parts(row)
        .into_iter()
        .map(|[title, text]| if title == "instances" { text } else { format!("{title} {text}") })
        .collect();
    if parts.is_empty() { "any state".to_owned() } else { parts.join(" | ") }
}
