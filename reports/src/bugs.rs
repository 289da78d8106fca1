//! How soon known defects are found, and by what: a scoreboard.
//!
//! The data is what somebody measured; the renderers are a table for a person, one for a document, JSON, and
//! a plot of how many sweeps had found how much by when.

use std::collections::BTreeSet;
use std::fmt::Write;

use comfy_table::{CellAlignment, Table, presets};
use serde::{Deserialize, Serialize};

use crate::plot::{self, Labels, Line};
use crate::text::{count, grouped, plain};

/// What was found, and how soon.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Scoreboard {
    /// Sweeps with each technique for each defect.
    pub sweeps: usize,
    /// Runs of a sweep at most.
    pub budget: u64,
    /// The techniques, in the order of the columns.
    pub techniques: Vec<String>,
    /// The defects.
    pub bugs: Vec<Defect>,
}

/// One defect.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Defect {
    /// Its name.
    pub id: String,
    /// Where it is.
    pub room: String,
    /// What it does.
    pub what: String,
    /// What it is like.
    pub mirrors: String,
    /// The property that was expected to be violated.
    pub expected: String,
    /// Those that were.
    pub violated: BTreeSet<String>,
    /// What came of each technique.
    pub by: Vec<Finding>,
    /// What one of the finds was reduced to.
    pub shrunk: Option<Reduced>,
}

/// What came of one technique.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Finding {
    /// The technique.
    pub technique: String,
    /// Sweeps that found the defect.
    pub found: usize,
    /// Runs by which most sweeps had found it; none when most did not.
    pub runs: Option<u64>,
    /// Seconds of a processor by which most sweeps had.
    pub cpu_seconds: Option<f64>,
    /// Each sweep's runs until it found the defect, or none.
    pub each: Vec<Option<u64>>,
}

/// A find, reduced.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Reduced {
    /// The technique that made the find.
    pub technique: String,
    /// Its faults.
    pub before: usize,
    /// Faults that are left.
    pub faults: usize,
    /// Instances that are left.
    pub instances: usize,
    /// Runs it took.
    pub runs: u64,
    /// The failure both show.
    pub signature: String,
}

impl Defect {
    /// Whether any technique finds it more often than not.
    pub fn is_found(&self) -> bool {
        self.by.iter().any(|finding| finding.runs.is_some())
    }

    /// What finds it with the least work.
    pub fn best(&self) -> Option<&Finding> {
        let found = self.by.iter().filter(|finding| finding.cpu_seconds.is_some());
        found.min_by(|one, other| {
            let seconds = |finding: &Finding| finding.cpu_seconds.unwrap_or(f64::MAX);
            seconds(one).total_cmp(&seconds(other))
        })
    }
}

impl Scoreboard {
    /// Defects that nothing finds more often than not.
    pub fn missed(&self) -> impl Iterator<Item = &Defect> {
        self.bugs.iter().filter(|bug| !bug.is_found())
    }
}

fn heads(board: &Scoreboard) -> Vec<String> {
    let techniques = board.techniques.iter().map(|technique| plain(technique));
    ["bug", "violates"]
        .into_iter()
        .map(str::to_owned)
        .chain(techniques)
        .chain(["shrunk".to_owned()])
        .collect()
}

fn cells(bug: &Defect) -> Vec<String> {
    let violated: Vec<_> = bug.violated.iter().map(|property| plain(property)).collect();
    let violated = if violated.is_empty() { "-".to_owned() } else { violated.join(", ") };
    let by = bug.by.iter().map(|finding| match (finding.runs, finding.cpu_seconds) {
        (Some(runs), Some(seconds)) => format!("{} · {seconds:.2} s", grouped(runs)),
        _ if finding.found > 0 => format!("{} of {}", finding.found, finding.each.len()),
        _ => "-".to_owned(),
    });
    let shrunk = bug.shrunk.as_ref().map_or_else(
        || "-".to_owned(),
        |reduced| match reduced.before == reduced.faults {
            true => reduced.faults.to_string(),
            false => format!("{} of {}", reduced.faults, reduced.before),
        },
    );
    [plain(&bug.id), violated].into_iter().chain(by).chain([shrunk]).collect()
}

/// `board` as a table, with a legend below.
pub fn terminal(board: &Scoreboard) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).force_no_tty().set_header(heads(board));
    table.add_rows(board.bugs.iter().map(cells));
    for number in 2..board.techniques.len() + 3 {
        if let Some(column) = table.column_mut(number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut out = table.trim_fmt();
    out.push('\n');
    // Writing to a string cannot fail.
    legend(board, &mut out).ok();
    out
}

fn legend(board: &Scoreboard, out: &mut String) -> std::fmt::Result {
    let found = board.bugs.iter().filter(|bug| bug.is_found()).count();
    writeln!(
        out,
        "{found} of {} found. Runs, and seconds of one processor, until found: the median of {} of up to {} each;\n\
         `3 of 20` where fewer than half found it, `-` where none did. Shrunk: the faults that are left of a find's.",
        count(board.bugs.len() as u64, "bug"),
        count(board.sweeps as u64, "sweep"),
        count(board.budget, "run"),
    )?;
    for bug in board.missed() {
        writeln!(out, "not found: {}: {}", plain(&bug.id), plain(&bug.what))?;
    }
    Ok(())
}

/// `board` as a table for a document.
pub fn markdown(board: &Scoreboard) -> String {
    let mut heads = heads(board);
    heads.insert(1, "what it does".to_owned());
    let mut out = String::new();
    let mut line = |cells: &[String]| {
        let cells: Vec<_> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
        out.push_str(&format!("| {} |\n", cells.join(" | ")));
    };
    line(&heads);
    line(
        &heads
            .iter()
            .enumerate()
            .map(|(at, _)| if at < 3 { "---" } else { "--:" }.to_owned())
            .collect::<Vec<_>>(),
    );
    for bug in &board.bugs {
        let mut cells = cells(bug);
        cells[0] = format!("`{}`", cells[0]);
        cells.insert(1, plain(&bug.what));
        line(&cells);
    }
    out
}

/// `board` as JSON.
///
/// # Errors
/// None that these types can cause.
pub fn json(board: &Scoreboard) -> serde_json::Result<String> {
    serde_json::to_string_pretty(board).map(|text| text + "\n")
}

/// For each technique, which share of all sweeps for all defects had found theirs after how many runs.
pub fn svg(board: &Scoreboard) -> String {
    let lines: Vec<Line> = board
        .techniques
        .iter()
        .map(|technique| {
            let findings =
                board.bugs.iter().flat_map(|bug| &bug.by).filter(|one| one.technique == *technique);
            let each: Vec<_> = findings.flat_map(|finding| &finding.each).copied().collect();
            let mut runs: Vec<u64> = each.iter().copied().flatten().collect();
            runs.sort_unstable();
            let of = (board.sweeps * board.bugs.len()).max(1) as f64;
            let mut points = vec![(1.0, 0.0)];
            for run in 1..=board.budget {
                let found = runs.partition_point(|one| *one <= run);
                points.push((run as f64, found as f64 / of));
            }
            Line { name: technique.clone(), points }
        })
        .collect();
    plot::share(
        Labels { title: "Planted bugs: found by", x: "runs of a sweep", y: "share of sweeps" },
        &lines,
    )
}
