//! The folder of pages that `run --html` and `report --html` leave behind.
//!
//! `index.html` is the sweep; every run that is shown has a page and its record beside it, so that it can
//! be rendered again in another way. A sweep of many variants shows the runs that failed first, and at
//! most [`MOST_RUNS`] in all: a folder of pages is for looking at, not for keeping everything.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use ironbird_reports::html::{self, Extras, RunPage};
use ironbird_reports::suite::{FailureReport, SuiteReport};
use ironbird_sim::properties::Violation;
use ironbird_sim::record::Record;
use ironbird_sim::seed::Seed;

use super::run::naming;
use crate::runner::Runner;
use crate::select::{Selected, Selection};

/// The most runs that have a page.
const MOST_RUNS: usize = 100;

/// The sweep's page.
const INDEX: &str = "index.html";

/// Writes the pages of a sweep: its runs are run again for their records.
pub(super) fn of_sweep(
    folder: &Path,
    selections: &[Selection],
    runner: &Runner<'_>,
    suite: &mut SuiteReport,
) -> io::Result<()> {
    let selected: Vec<_> = selections.iter().flat_map(Selection::variants).collect();
    let mut left = MOST_RUNS;
    for failed in [true, false] {
        // A sweep that stopped early has fewer reports than there are variants, in the same order.
        for (report, selected) in suite.variants.iter_mut().zip(&selected) {
            let shown: Vec<_> = if failed {
                report.failures.iter_mut().collect()
            } else {
                report.example.iter_mut().collect()
            };
            for failure in shown {
                if left == 0 || failure.hash.is_empty() {
                    continue;
                }
                left -= 1;
                of_run(folder, runner, *selected, failure)?;
            }
        }
    }
    write(&folder.join(INDEX), &html::suite(suite, &Extras::default()))
}

fn of_run(
    folder: &Path,
    runner: &Runner<'_>,
    selected: Selected<'_>,
    failure: &mut FailureReport,
) -> io::Result<()> {
    // One that panics when it is run again has said so already.
    if let Ok(run) = runner.once(selected, Seed(failure.seed)) {
        failure.page = Some(page(folder, &run.record, &run.violations, &failure.replay, 0)?);
        let path = folder.join(html::file_name(&run.record)).with_extension("jsonl");
        let write = || {
            let mut file = BufWriter::new(File::create(&path)?);
            run.record.write_to(&mut file)?;
            file.flush()
        };
        write().map_err(|error| naming(&path, error))?;
    }
    Ok(())
}

/// Writes one run's page and says what it is called.
pub(super) fn page(
    folder: &Path,
    record: &Record,
    violations: &[Violation],
    replay: &str,
    skipped: u64,
) -> io::Result<String> {
    let name = html::file_name(record);
    let page = RunPage { record, violations, replay, home: Some(INDEX), skipped };
    write(&folder.join(&name), &html::run(&page))?;
    Ok(name)
}

/// Writes the page of a suite of records.
pub(super) fn index(folder: &Path, suite: &SuiteReport) -> io::Result<()> {
    write(&folder.join(INDEX), &html::suite(suite, &Extras::default()))
}

/// Writes the page that shows two runs side by side.
pub(super) fn compare(folder: &Path, left: &Record, right: &Record) -> io::Result<()> {
    write(&folder.join("compare.html"), &html::compare(left, right))
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, text).map_err(|error| naming(path, error))
}
