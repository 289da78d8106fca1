//! One sweep over all selected variants, and what may end it before its last seed.
//!
//! Without limits variants are swept one after the other. A sweep that something else ends takes them in
//! turn, a batch each, so that whenever it ends every variant had its share.
//!
//! Whatever is left out, what is counted is always the first runs of each variant in the order of their
//! numbers: a batch that is interrupted counts up to the first run that did not take place.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ironbird_reports::map::Section;
use ironbird_reports::suite::{SuiteReport, VariantReport};
use ironbird_sim::recovery::{Journey, RecoveryMap};
use ironbird_sim::seed::Seed;
use rayon::prelude::*;

use super::tally::Tally;
use super::{MAP_VIEW, Outcome, Progress, RUNS_PER_JOB, RUNS_PER_TURN, Runner, Stopwatch, Summary, sections};
use crate::partition::Partition;
use crate::results::Results;
use crate::seeds::Seeds;
use crate::select::{Selected, Selection};

/// What a sweep leaves out.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits<'a> {
    /// Only this share of the runs.
    pub partition: Option<Partition>,
    /// No run is started after this long.
    pub time_budget: Option<Duration>,
    /// No run is started after so many in a row that visited no new state.
    pub until_stable: Option<u64>,
    /// No run is started once this is set.
    pub interrupt: Option<&'a AtomicBool>,
}

impl Limits<'_> {
    /// Whether variants take turns, so that whenever the sweep ends each had its share.
    fn in_turn(&self) -> bool {
        self.time_budget.is_some() || self.until_stable.is_some()
    }

    fn is_interrupted(&self) -> bool {
        self.interrupt.is_some_and(|interrupt| interrupt.load(Ordering::Relaxed))
    }

    /// Whether `sweep` has run for as long as it may.
    fn is_late(&self, sweep: &Stopwatch) -> bool {
        self.time_budget.is_some_and(|budget| sweep.elapsed() >= budget)
    }

    /// Whether no other run is started.
    fn are_reached(&self, sweep: &Stopwatch) -> bool {
        self.is_interrupted() || self.is_late(sweep)
    }
}

/// A sweep's results.
#[derive(Debug)]
pub struct Swept {
    /// What it found.
    pub report: SuiteReport,
    /// Why it ended.
    pub ended: Ended,
    /// How many abstract states it saw, where those are counted.
    pub states: Option<usize>,
    /// From which states the cluster came back, one for each set of handlers, if that was asked for.
    pub maps: Vec<Section>,
}

/// Why a sweep ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Nothing was left, or nothing more was needed.
    Complete,
    /// Its time was over.
    TimeBudget,
    /// Nothing new was seen for long enough.
    Stable,
    /// Somebody interrupted it.
    Interrupted,
}

/// A variant's sweep under way.
struct Lane<'a> {
    selected: Selected<'a>,
    name: String,
    seeds: Seeds,
    /// The number of its first run among those of the whole sweep.
    offset: u64,
    /// The run that is next, from 0.
    next: u64,
    tally: Tally,
    map: RecoveryMap,
    elapsed: Duration,
    stopped: bool,
    report: Option<VariantReport>,
}

/// The states seen so far, and for how many runs there was no new one.
struct Novelty {
    seen: BTreeSet<u64>,
    runs_without: u64,
    enough: u64,
}

impl Novelty {
    fn add(&mut self, states: &[u64]) {
        let known = self.seen.len();
        self.seen.extend(states);
        self.runs_without = if self.seen.len() > known { 0 } else { self.runs_without.saturating_add(1) };
    }

    fn is_stable(&self) -> bool {
        self.runs_without >= self.enough
    }
}

/// Hashes of the states a run visited. Only their number matters, within one process.
pub(super) fn states(journey: &Journey) -> Vec<u64> {
    let hash = |(state, fault): &(_, _)| {
        let mut hasher = DefaultHasher::new();
        (state, fault).hash(&mut hasher);
        hasher.finish()
    };
    journey.visits.keys().map(hash).collect()
}

impl Runner<'_> {
    /// Sweeps everything in `selections`, over `seeds` or over as many as each file says. Runs that `results`
    /// has are not run again, and those that are run are added to it.
    pub fn sweep(
        &self,
        selections: &[Selection],
        seeds: Option<Seeds>,
        limits: Limits<'_>,
        results: &mut Results,
        progress: &(dyn Fn(Progress<'_>) + Sync),
    ) -> Swept {
        let watch = Stopwatch::start();
        let mut lanes = lanes(selections, seeds);
        let in_turn = limits.in_turn();
        let mut novelty =
            limits.until_stable.map(|enough| Novelty { seen: BTreeSet::new(), runs_without: 0, enough });
        let ended = loop {
            let mut idle = true;
            let mut ended = None;
            for lane in &mut lanes {
                while ended.is_none() && !lane.is_over() {
                    idle = false;
                    if lane.next == 0 || in_turn {
                        let runs = if in_turn { self.batch_size(limits) } else { lane.seeds.count() };
                        progress(Progress::Started { name: &lane.name, runs });
                    }
                    self.advance(lane, limits, &watch, results, novelty.as_mut(), progress);
                    ended = reason(limits, &watch, novelty.as_ref());
                    if in_turn {
                        break;
                    }
                }
                if !in_turn && ended.is_none() {
                    progress(Progress::Finished(&self.report_of(lane, limits)));
                }
                if lane.stopped {
                    // Fail-fast: what is after it has not been run.
                    ended = ended.or(Some(Ended::Complete));
                }
                if ended.is_some() {
                    break;
                }
            }
            if let Some(ended) = ended {
                break ended;
            }
            if idle || !in_turn {
                break Ended::Complete;
            }
        };
        let untouched = |lane: &Lane<'_>| lane.next == 0 && self.options.fail_fast;
        let mut variants = Vec::new();
        for lane in lanes.iter_mut().filter(|lane| !untouched(lane)) {
            let told = lane.report.is_some();
            let report = self.report_of(lane, limits);
            if !told {
                progress(Progress::Finished(&report));
            }
            variants.push(report);
        }
        let maps = if self.options.map { maps(selections, lanes) } else { Vec::new() };
        Swept {
            report: SuiteReport { variants },
            ended,
            states: novelty.map(|novelty| novelty.seen.len()),
            maps,
        }
    }

    fn batch_size(&self, limits: Limits<'_>) -> u64 {
        let runs = if limits.in_turn() { RUNS_PER_TURN } else { RUNS_PER_JOB };
        runs * self.pool.current_num_threads().max(1) as u64
    }

    /// Runs the next batch of a variant.
    fn advance(
        &self,
        lane: &mut Lane<'_>,
        limits: Limits<'_>,
        sweep: &Stopwatch,
        results: &mut Results,
        mut novelty: Option<&mut Novelty>,
        progress: &(dyn Fn(Progress<'_>) + Sync),
    ) {
        let watch = Stopwatch::start();
        let to = lane.seeds.count().min(lane.next.saturating_add(self.batch_size(limits)));
        let ours = |number: u64| {
            limits.partition.is_none_or(|slice| slice.takes(lane.offset.saturating_add(number)))
        };
        let batch: Vec<(u64, Seed)> = (lane.next..to)
            .zip(lane.seeds.slice(lane.next, to))
            .filter(|(number, _)| ours(*number))
            .collect();
        let with_states = novelty.is_some();
        let summaries: Vec<Option<(Summary, bool)>> = self.pool.install(|| {
            let known = &*results;
            batch
                .into_par_iter()
                .map(|(_, seed)| {
                    if limits.are_reached(sweep) {
                        return None;
                    }
                    if let Some(known) = known.get(&lane.name, seed) {
                        return Some((known.clone(), false));
                    }
                    let summary = self.summarize(lane.selected, seed, with_states);
                    tracing::debug!(scenario = %lane.name, %seed, outcome = ?summary.outcome, "ran");
                    progress(Progress::Ran { as_expected: summary.outcome == Outcome::AsExpected });
                    Some((summary, true))
                })
                .collect()
        });
        // Of an interrupted batch the runs after the first gap are kept as results, and not counted.
        let mut whole = true;
        for summary in summaries {
            let Some((summary, new)) = summary else {
                whole = false;
                continue;
            };
            if new {
                results.add(&lane.name, &summary);
            }
            // Checked run by run in the order of the seeds, so that a sweep stops after the same run whatever
            // the size of the batch.
            if !whole || lane.stopped {
                continue;
            }
            if let Some(novelty) = novelty.as_deref_mut() {
                novelty.add(&summary.states);
            }
            if let Some(passage) = &summary.passage {
                lane.map.add_passage(&self.example(lane.selected, summary.seed), passage);
            }
            lane.tally.add(summary);
            lane.stopped = self.options.fail_fast && !lane.tally.can_be_as_expected(lane.tolerated(limits));
        }
        results.flush();
        lane.next = to;
        lane.elapsed += watch.elapsed();
    }

    fn report_of(&self, lane: &mut Lane<'_>, limits: Limits<'_>) -> VariantReport {
        if let Some(done) = &lane.report {
            return done.clone();
        }
        let tolerated = lane.tolerated(limits);
        let tally = std::mem::take(&mut lane.tally);
        let report = self.report(lane.selected, tally, tolerated, lane.elapsed);
        lane.report.insert(report).clone()
    }
}

fn lanes(selections: &[Selection], seeds: Option<Seeds>) -> Vec<Lane<'_>> {
    let mut offset = 0_u64;
    selections
        .iter()
        .flat_map(Selection::variants)
        .map(|selected| {
            let seeds = seeds.unwrap_or_else(|| selected.from.scenario.own_seeds());
            let lane = Lane {
                selected,
                name: selected.name(),
                seeds,
                offset,
                next: 0,
                tally: Tally::default(),
                map: RecoveryMap::new(MAP_VIEW),
                elapsed: Duration::ZERO,
                stopped: false,
                report: None,
            };
            offset = offset.saturating_add(seeds.count());
            lane
        })
        .collect()
}

/// The maps of all lanes together, in the order of the lanes.
fn maps(selections: &[Selection], lanes: Vec<Lane<'_>>) -> Vec<Section> {
    let mut sections = sections(selections, MAP_VIEW);
    for lane in lanes {
        let handlers = lane.selected.variant.spec.cluster.handlers;
        if let Some((_, section)) = sections.iter_mut().find(|(of, _)| *of == handlers) {
            section.map.merge(lane.map);
        }
    }
    sections.into_iter().map(|(_, section)| section).collect()
}

fn reason(limits: Limits<'_>, watch: &Stopwatch, novelty: Option<&Novelty>) -> Option<Ended> {
    if limits.is_interrupted() {
        Some(Ended::Interrupted)
    } else if novelty.is_some_and(Novelty::is_stable) {
        Some(Ended::Stable)
    } else if limits.is_late(watch) {
        Some(Ended::TimeBudget)
    } else {
        None
    }
}

impl Lane<'_> {
    fn is_over(&self) -> bool {
        self.stopped || self.next >= self.seeds.count()
    }

    /// How many runs may come out otherwise. A share is one of the whole sweep: a slice of it that happens to
    /// have none of those that show a symptom proves nothing yet.
    fn tolerated(&self, limits: Limits<'_>) -> u64 {
        let whole = !limits.in_turn() && !limits.is_interrupted();
        let runs = if whole { self.seeds.count() } else { self.tally.runs };
        self.selected.variant.expect.tolerated(runs)
    }
}
