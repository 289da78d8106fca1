//! The folder of pages that `run --html` and `report --html` leave behind.
//!
//! `index.html` is the sweep; every run that is shown has a page and its record beside it, so that it can
//! be rendered again in another way; `plots/` has the page's plots as files. A sweep of many variants shows
//! the runs that failed first, then those that the scenarios expect, then those in which the recovery map
//! found no way back: at most [`MOST_RUNS`] and about [`MOST_BYTES`] in all. A folder of pages is for
//! looking at, not for keeping everything; whatever has no page has its command.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use ironbird_reports::html::{self, Extras, RunPage};
use ironbird_reports::map::Section;
use ironbird_reports::plot;
use ironbird_reports::suite::SuiteReport;
use ironbird_sim::properties::Violation;
use ironbird_sim::record::Record;
use ironbird_sim::recovery::Example;
use ironbird_sim::seed::Seed;

use super::run::naming;
use crate::runner::Runner;
use crate::select::{Selected, Selection};

/// The most runs that have a page.
const MOST_RUNS: usize = 100;

/// Of those, the most that only the recovery map names.
const MOST_OF_MAP: usize = 20;

/// Pages and records after which no further run has a page, in bytes.
const MOST_BYTES: u64 = 200 << 20;

/// The sweep's page.
const INDEX: &str = "index.html";

/// Where plots are.
const PLOTS: &str = "plots";

/// Writes the pages of a sweep: its runs are run again for their records.
pub(super) fn of_sweep(
    folder: &Path,
    selections: &[Selection],
    runner: &Runner<'_>,
    suite: &mut SuiteReport,
    maps: &[Section],
) -> io::Result<()> {
    let selected: Vec<_> = selections.iter().flat_map(Selection::variants).collect();
    let mut book = Book { folder, runner, pages: BTreeMap::new(), bytes: 0 };
    for failed in [true, false] {
        // A sweep that stopped early has fewer reports than there are variants, in the same order.
        for (report, selected) in suite.variants.iter_mut().zip(&selected) {
            let shown: Vec<_> = if failed {
                report.failures.iter_mut().collect()
            } else {
                report.example.iter_mut().collect()
            };
            // Without a record it never came to its end.
            for failure in shown.into_iter().filter(|failure| !failure.hash.is_empty()) {
                failure.page = book.page(*selected, Seed(failure.seed), &failure.replay)?;
            }
        }
    }
    for example in stranded(maps) {
        if let Some(selected) = selected.iter().find(|one| one.name() == example.variant) {
            book.page(*selected, Seed(example.seed), &example.replay)?;
        }
    }
    index(folder, suite, maps, &book.pages)
}

/// Runs that found no way back, those first that most cells name.
fn stranded(maps: &[Section]) -> Vec<&Example> {
    let mut cells: BTreeMap<&str, (usize, &Example)> = BTreeMap::new();
    for (_, _, cell) in maps.iter().flat_map(|section| section.map.cells()) {
        if let Some(example) = &cell.stranded {
            cells.entry(&example.replay).or_insert((0, example)).0 += 1;
        }
    }
    let mut examples: Vec<_> = cells.into_values().collect();
    examples.sort_by_key(|(cells, _)| std::cmp::Reverse(*cells));
    examples.into_iter().take(MOST_OF_MAP).map(|(_, example)| example).collect()
}

/// The pages of runs so far.
struct Book<'a> {
    folder: &'a Path,
    runner: &'a Runner<'a>,
    /// By the command that runs them again.
    pages: BTreeMap<String, String>,
    bytes: u64,
}

impl Book<'_> {
    /// The page of a run, written if it is not there and there is room.
    fn page(&mut self, selected: Selected<'_>, seed: Seed, replay: &str) -> io::Result<Option<String>> {
        if let Some(page) = self.pages.get(replay) {
            return Ok(Some(page.clone()));
        }
        if self.pages.len() >= MOST_RUNS || self.bytes >= MOST_BYTES {
            return Ok(None);
        }
        // One that panics when it is run again has said so already.
        let Ok(run) = self.runner.once(selected, seed) else { return Ok(None) };
        let name = page(self.folder, &run.record, &run.violations, replay, 0)?;
        let path = self.folder.join(&name).with_extension("jsonl");
        let write = || {
            let mut file = BufWriter::new(File::create(&path)?);
            run.record.write_to(&mut file)?;
            file.flush()
        };
        write().map_err(|error| naming(&path, error))?;
        for written in [self.folder.join(&name), path] {
            self.bytes += fs::metadata(&written).map_err(|error| naming(&written, error))?.len();
        }
        self.pages.insert(replay.to_owned(), name.clone());
        Ok(Some(name))
    }
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

/// Writes the page of a suite, and its plots. `pages` has the pages of runs by their commands.
pub(super) fn index(
    folder: &Path,
    suite: &SuiteReport,
    maps: &[Section],
    pages: &BTreeMap<String, String>,
) -> io::Result<()> {
    let page = |example: &Example| pages.get(&example.replay).cloned();
    let maps = maps.iter().filter(|section| section.map.runs() > 0);
    let maps = maps.map(|section| html::heat(section, page)).collect();
    write(&folder.join(INDEX), &html::suite(suite, &Extras { maps, plots: Vec::new() }))?;
    let plots = plot::recovery(suite);
    if plots.is_empty() {
        return Ok(());
    }
    let folder = folder.join(PLOTS);
    fs::create_dir_all(&folder).map_err(|error| naming(&folder, error))?;
    for (scenario, svg) in plots {
        let path: PathBuf = folder.join(format!("recovery-{}.svg", html::stem(&scenario)));
        write(&path, &plot::on_paper(&svg))?;
    }
    Ok(())
}

/// Writes the page that shows two runs side by side.
pub(super) fn compare(folder: &Path, left: &Record, right: &Record) -> io::Result<()> {
    write(&folder.join("compare.html"), &html::compare(left, right))
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, text).map_err(|error| naming(path, error))
}
