//! `ironbird report`: everything that is told of runs, from their records alone.
//!
//! What a record does not say is looked up: the scenario it names, if the program has it, says what was
//! expected. A record of a scenario the program does not have is expected to pass.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::Path;

use ironbird_reports::map::Section;
use ironbird_reports::suite::{Buckets, Outcome, RunRow, SuiteReport, VariantReport};
use ironbird_reports::{github, junit, mermaid, perfetto, recovery_csv, shiviz};
use ironbird_sim::properties::{self, sometimes};
use ironbird_sim::record::Record;
use ironbird_sim::recovery::{Example, RecoveryMap, journey};
use ironbird_sim::run::Run;
use ironbird_sim::seed::Seed;
use ironbird_sim::signature::Signature;

use super::args::ReportArgs;
use super::run::{is_stdout, naming, told, write};
use super::{Console, Stop, pages};
use crate::exit_code::Exit;
use crate::format::Expectation;
use crate::runner::{MAP_VIEW, replay_command, report_of};
use crate::select::{Selection, select};

/// A record, and what follows from it.
struct Read {
    run: Run,
    skipped: u64,
}

pub(super) fn report(args: &ReportArgs, console: &mut Console<'_>) -> Result<Exit, Stop> {
    let mut runs = Vec::new();
    for path in &args.records {
        match read(path) {
            Ok(read) => {
                if read.skipped > 0 {
                    console.complain(&format!(
                        "warning: {}: {} events of a newer format are left out\n",
                        path.display(),
                        read.skipped
                    ))?;
                }
                if !read.run.record.is_complete() {
                    console.complain(&format!(
                        "warning: {}: the record has no end: the run was cut off\n",
                        path.display()
                    ))?;
                }
                runs.push(read);
            }
            Err(why) => {
                console.complain(&format!("error: {}{why}\n", path.display()))?;
                return Ok(Exit::Usage);
            }
        }
    }
    let one = [&args.perfetto, &args.mermaid, &args.shiviz];
    if runs.len() > 1 && one.into_iter().any(Option::is_some) {
        console.complain("error: a trace or a diagram is of one record\n")?;
        return Ok(Exit::Usage);
    }
    let suite = write_all(args, &runs, console)?;
    Ok(if suite.as_expected() == suite.variants.len() { Exit::AsExpected } else { Exit::Failures })
}

fn read(path: &Path) -> Result<Read, String> {
    let file = File::open(path).map_err(|error| format!(": cannot be read: {error}"))?;
    let reading = Record::read(BufReader::new(file)).map_err(|error| format!(", {error}"))?;
    let record = reading.record;
    let violations = properties::check(&record);
    let recovery = properties::recovery(&record);
    Ok(Read { run: Run { record, violations, recovery }, skipped: reading.skipped })
}

fn write_all(args: &ReportArgs, runs: &[Read], console: &mut Console<'_>) -> io::Result<SuiteReport> {
    let mut suite = suite(runs);
    if let Some(folder) = &args.html {
        fs::create_dir_all(folder).map_err(|error| naming(folder, error))?;
        write_pages(folder, runs, &mut suite)?;
    }
    let files = [&args.junit, &args.github, &args.csv, &args.perfetto, &args.mermaid, &args.shiviz];
    if files.into_iter().flatten().any(|path| is_stdout(path)) {
        console.complain(&told(&suite))?;
    } else {
        console.print(&told(&suite))?;
    }
    let mut to = |path: &Option<_>, text: &dyn Fn() -> io::Result<String>| match path {
        Some(path) => write(<_ as AsRef<Path>>::as_ref(path), &text()?, console),
        None => Ok(()),
    };
    to(&args.junit, &|| Ok(junit(&suite)))?;
    to(&args.github, &|| Ok(github::summary(&suite)))?;
    to(&args.csv, &|| recovery_csv(&suite).map_err(io::Error::from))?;
    if let [Read { run, .. }] = runs {
        to(&args.perfetto, &|| Ok(perfetto(&run.record, &run.violations)))?;
        to(&args.shiviz, &|| Ok(shiviz(&run.record)))?;
        to(&args.mermaid, &|| match run.violations.first() {
            Some(first) => Ok(mermaid(&run.record, first)),
            None => Err(io::Error::other("every property held: there is no failure to draw")),
        })?;
    }
    if args.github.is_some() {
        console.print(&github::annotations(&suite))?;
    }
    Ok(suite)
}

fn write_pages(folder: &Path, runs: &[Read], suite: &mut SuiteReport) -> io::Result<()> {
    let mut pages = BTreeMap::new();
    for Read { run, skipped } in runs {
        let replay = replay(&run.record);
        let page = pages::page(folder, &run.record, &run.violations, &replay, *skipped)?;
        for variant in suite.variants.iter_mut().filter(|variant| variant.name == run.record.header.scenario)
        {
            let shown = variant.failures.iter_mut().chain(&mut variant.example);
            for failure in shown.filter(|failure| failure.seed == run.record.header.seed) {
                failure.page = Some(page.clone());
            }
        }
        pages.insert(replay, page);
    }
    if let [left, right] = runs {
        pages::compare(folder, &left.run.record, &right.run.record)?;
    }
    pages::index(folder, suite, &[map(runs)], &pages)
}

/// From which states the clusters of all records came back. Records do not say whose handlers they are of.
fn map(runs: &[Read]) -> Section {
    let mut map = RecoveryMap::new(MAP_VIEW);
    let mut variants = BTreeSet::new();
    for Read { run, .. } in runs {
        let header = &run.record.header;
        variants.insert(&header.scenario);
        let example =
            Example { variant: header.scenario.clone(), seed: header.seed, replay: replay(&run.record) };
        map.add(&example, &journey(&run.record));
    }
    Section { title: "these records".to_owned(), map, variants: variants.len(), must_recover: false }
}

/// What the scenario of a record expects, and where it is, if the program has it.
fn known(scenario: &str) -> Option<Selection> {
    let (mut selections, errors) = select(&[scenario.to_owned()]);
    if errors.is_empty() {
        selections.pop().filter(|selection| selection.variants().count() == 1)
    } else {
        None
    }
}

fn replay(record: &Record) -> String {
    let seed = Seed(record.header.seed);
    known(&record.header.scenario)
        .and_then(|selection| selection.variants().next().map(|one| replay_command(one, seed, None)))
        .unwrap_or_else(|| format!("ironbird replay {} --seed {seed}", record.header.scenario))
}

/// The records as a sweep, variant by variant in the order of their first records.
fn suite(runs: &[Read]) -> SuiteReport {
    let mut suite = SuiteReport::default();
    let mut buckets: Vec<Buckets> = Vec::new();
    for Read { run, .. } in runs {
        let name = &run.record.header.scenario;
        let selection = known(name);
        let selected = selection.as_ref().and_then(|selection| selection.variants().next());
        let expect = selected.map_or(Expectation::Pass, |selected| selected.variant.expect.clone());
        let at = suite.variants.iter().position(|variant| variant.name == *name).unwrap_or_else(|| {
            suite.variants.push(VariantReport {
                name: name.clone(),
                file: selected.map_or_else(String::new, |selected| selected.from.file.clone()),
                line: selected.map(|selected| selected.variant.line),
                expectation: expect.to_string(),
                as_expected: true,
                ..VariantReport::default()
            });
            buckets.push(Buckets::default());
            suite.variants.len() - 1
        });
        add(&mut suite.variants[at], run, &expect);
        buckets[at].add(run.record.header.seed, &Signature::of_all(&run.record, &run.violations));
    }
    for (variant, buckets) in suite.variants.iter_mut().zip(buckets) {
        variant.buckets = buckets.finish();
    }
    suite
}

fn add(variant: &mut VariantReport, run: &Run, expect: &Expectation) {
    let objection = expect.objection(run);
    variant.runs += 1;
    variant.violated += u64::from(!run.violations.is_empty());
    variant.simulated = variant.simulated.saturating_add(run.record.duration());
    variant.recovery.extend(run.recovery);
    let mut violated: Vec<_> = run.violations.iter().map(|violation| violation.property.name()).collect();
    violated.sort_unstable();
    violated.dedup();
    for property in violated {
        *variant.violations.entry(property.to_owned()).or_default() += 1;
    }
    let outcome = match (&objection, run.violations.is_empty()) {
        (Some(_), _) => Outcome::Unexpected,
        (None, true) => Outcome::Held,
        (None, false) => Outcome::Violated,
    };
    for one in sometimes::reached(&run.record) {
        *variant.sometimes.entry(one.name().to_owned()).or_default() += 1;
    }
    let seed = run.record.header.seed;
    variant.each.push(RunRow { seed, outcome, recovery: run.recovery });
    let reason = objection.clone().unwrap_or_else(|| format!("as expected: {expect}"));
    let report = || report_of(run.clone(), expect, replay(&run.record), reason);
    if objection.is_some() {
        variant.as_expected = false;
        variant.failures.push(report());
    } else if variant.example.is_none() {
        variant.example = Some(report());
    }
}
