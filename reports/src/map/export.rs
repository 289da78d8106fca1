//! The map for programs and for documents.

use std::fmt::Write;

use ironbird_sim::recovery::{Cell, Cells, Row};
use serde::Serialize;

use super::Section;
use super::rows::{parts, worst_first};
use crate::json::printable;
use crate::text::{grouped, plain, visible};

/// Every cell as CSV, one a line, with a line of names first.
///
/// # Errors
/// None that a string can have; those of the writer are passed on.
pub fn csv(sections: &[Section]) -> Result<String, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record([
        "handlers",
        "instances",
        "lock",
        "backup",
        "catalog",
        "consul",
        "fault",
        "runs",
        "recovered",
        "median_s",
        "longest_s",
        "slowest",
        "stranded",
    ])?;
    for section in sections {
        for (row, fault, cell) in section.map.cells() {
            let instances = row.instances.as_ref().map(|instances| {
                instances.iter().map(|instance| instance.name()).collect::<Vec<_>>().join(" ")
            });
            let seconds = |time: Option<std::time::Duration>| {
                time.map_or_else(String::new, |time| format!("{:.3}", time.as_secs_f64()))
            };
            writer.write_record([
                plain(&section.title),
                instances.unwrap_or_default(),
                row.lock.map_or("", |part| part.name()).to_owned(),
                row.backup.map_or("", |part| part.name()).to_owned(),
                row.catalog.map_or("", |part| part.name()).to_owned(),
                row.consul.map_or("", |part| part.name()).to_owned(),
                plain(fault),
                cell.runs.to_string(),
                cell.recovered().to_string(),
                seconds(cell.median()),
                seconds(cell.longest()),
                cell.slowest.as_ref().map_or_else(String::new, |example| visible(&example.replay)),
                cell.stranded.as_ref().map_or_else(String::new, |example| visible(&example.replay)),
            ])?;
        }
    }
    let bytes = writer.into_inner().map_err(|error| csv::Error::from(error.into_error()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Every cell as JSON.
///
/// # Errors
/// None that these values can have; those of the serializer are passed on.
pub fn json(sections: &[Section]) -> serde_json::Result<String> {
    let document = Document { version: 1, sections: sections.iter().map(JsonSection::of).collect() };
    serde_json::to_string_pretty(&document).map(|text| printable(&text) + "\n")
}

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    sections: Vec<JsonSection<'a>>,
}

#[derive(Serialize)]
struct JsonSection<'a> {
    handlers: &'a str,
    must_recover: bool,
    variants: usize,
    runs: u64,
    recovered: u64,
    rows: Vec<JsonRow<'a>>,
}

#[derive(Serialize)]
struct JsonRow<'a> {
    state: &'a Row,
    all: JsonCell<'a>,
    faults: std::collections::BTreeMap<&'a str, JsonCell<'a>>,
}

#[derive(Serialize)]
struct JsonCell<'a> {
    runs: u64,
    recovered: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    median_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    longest_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    slowest: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stranded: Option<&'a str>,
}

impl<'a> JsonSection<'a> {
    fn of(section: &'a Section) -> Self {
        Self {
            handlers: &section.title,
            must_recover: section.must_recover,
            variants: section.variants,
            runs: section.map.runs(),
            recovered: section.map.recovered(),
            rows: section
                .map
                .rows()
                .map(|(state, cells)| JsonRow {
                    state,
                    all: JsonCell::of(&cells.all),
                    faults: cells
                        .by_fault
                        .iter()
                        .map(|(fault, cell)| (fault.as_str(), JsonCell::of(cell)))
                        .collect(),
                })
                .collect(),
        }
    }
}

impl<'a> JsonCell<'a> {
    fn of(cell: &'a Cell) -> Self {
        Self {
            runs: cell.runs,
            recovered: cell.recovered(),
            median_s: cell.median().map(|time| time.as_secs_f64()),
            longest_s: cell.longest().map(|time| time.as_secs_f64()),
            slowest: cell.slowest.as_ref().map(|example| example.replay.as_str()),
            stranded: cell.stranded.as_ref().map(|example| example.replay.as_str()),
        }
    }
}

/// The rows that matter most as a table in Markdown; `most` of them at most, 0 for all.
pub fn markdown(sections: &[Section], most: usize) -> String {
    let mut out = String::new();
    for section in sections {
        // Writing to a string cannot fail.
        table(section, most, &mut out).ok();
    }
    out
}

fn table(section: &Section, most: usize, out: &mut String) -> std::fmt::Result {
    let map = &section.map;
    let rows = worst_first(map);
    let Some((first, _)) = rows.first() else { return Ok(()) };
    let faults = map.faults();
    if !out.is_empty() {
        writeln!(out)?;
    }
    writeln!(
        out,
        "**{}**: {} runs, {} whole at the end\n",
        plain(&section.title),
        grouped(map.runs()),
        grouped(map.recovered())
    )?;
    let titles: Vec<_> = parts(first).into_iter().map(|[title, _]| title).collect();
    let columns = || titles.iter().map(String::as_str);
    let rest = ["runs", "median", "longest"];
    let line: Vec<String> = columns().chain(rest).chain(faults.iter().copied()).map(escaped).collect();
    writeln!(out, "| {} |", line.join(" | "))?;
    let marks: Vec<_> = columns().map(|_| "---").chain(rest.iter().chain(&faults).map(|_| "--:")).collect();
    writeln!(out, "|{}|", marks.join("|"))?;
    let shown = if most == 0 { rows.len() } else { most.min(rows.len()) };
    for (row, cells) in &rows[..shown] {
        writeln!(out, "| {} |", cells_of(row, cells, &faults).join(" | "))?;
    }
    if shown < rows.len() {
        writeln!(out, "\n... and {} more rows", grouped((rows.len() - shown) as u64))?;
    }
    Ok(())
}

fn cells_of(row: &Row, cells: &Cells, faults: &[&str]) -> Vec<String> {
    let seconds = |time: Option<std::time::Duration>| {
        time.map_or_else(|| "-".to_owned(), |time| format!("{:.1} s", time.as_secs_f64()))
    };
    let all = &cells.all;
    let numbers = [grouped(all.runs), seconds(all.median()), seconds(all.longest())];
    let by_fault = faults.iter().map(|fault| match cells.by_fault.get(*fault) {
        None => String::new(),
        Some(cell) if cell.percent() < 100 => format!("**{}**", cell.percent()),
        Some(cell) => cell.percent().to_string(),
    });
    parts(row).into_iter().map(|[_, text]| text).chain(numbers).chain(by_fault).collect()
}

/// A fault's kind comes out of a record.
fn escaped(text: &str) -> String {
    plain(text).replace('|', "\\|")
}
