//! One sweep over all selected variants, and what may end it before its last seed.
//!
//! Without limits variants are swept one after the other. A sweep that something else ends takes them in
//! turn, a run or a few of each, so that whenever it ends every variant had its share.
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

/// A sweep under way.
struct Course<'a> {
    limits: Limits<'a>,
    watch: Stopwatch,
    novelty: Option<Novelty>,
    results: &'a mut Results,
    progress: &'a (dyn Fn(Progress<'_>) + Sync),
}

/// A run, whether it was made just now, and how long that took.
struct Flown {
    summary: Summary,
    new: bool,
    took: Duration,
}

/// The states seen so far, and for how many runs there was no new one.
#[derive(Default)]
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
        let mut lanes = lanes(selections, seeds);
        let mut course = Course {
            limits,
            watch: Stopwatch::start(),
            novelty: limits.until_stable.map(|enough| Novelty { enough, ..Novelty::default() }),
            results,
            progress,
        };
        let ended = match limits.in_turn() {
            true => self.in_turn(&mut lanes, &mut course),
            false => self.one_by_one(&mut lanes, &mut course),
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
            states: course.novelty.map(|novelty| novelty.seen.len()),
            maps,
        }
    }

    /// One variant after the other, each to its last seed.
    fn one_by_one(&self, lanes: &mut [Lane<'_>], course: &mut Course<'_>) -> Ended {
        let batch = RUNS_PER_JOB * self.threads();
        for lane in lanes {
            (course.progress)(Progress::Started { name: &lane.name, runs: lane.seeds.count() });
            while !lane.is_over() {
                self.advance(std::slice::from_mut(lane), batch, course);
                if let Some(ended) = course.is_over() {
                    return ended;
                }
            }
            (course.progress)(Progress::Finished(&self.report_of(lane, course.limits)));
            if lane.stopped {
                // Fail-fast: what is after it has not been run.
                return Ended::Complete;
            }
        }
        Ended::Complete
    }

    /// All variants, a few runs of each, again and again.
    fn in_turn(&self, lanes: &mut [Lane<'_>], course: &mut Course<'_>) -> Ended {
        for turn in 1_u64.. {
            let left = lanes.iter().filter(|lane| !lane.is_over());
            let (count, runs) =
                left.fold((0, 0_u64), |(count, runs), lane| (count + 1, runs.max(lane.left())));
            if count == 0 {
                break;
            }
            let each = (RUNS_PER_TURN * self.threads()).div_ceil(count).min(runs);
            (course.progress)(Progress::Started { name: &format!("turn {turn}"), runs: each * count });
            self.advance(lanes, each, course);
            if let Some(ended) = course.is_over() {
                return ended;
            }
            if lanes.iter().any(|lane| lane.stopped) {
                break;
            }
        }
        Ended::Complete
    }

    fn threads(&self) -> u64 {
        self.pool.current_num_threads().max(1) as u64
    }

    /// Runs the next so many seeds of each variant that is not over.
    fn advance(&self, lanes: &mut [Lane<'_>], each: u64, course: &mut Course<'_>) {
        let watch = Stopwatch::start();
        let batch: Vec<(usize, Seed)> = lanes
            .iter()
            .enumerate()
            .flat_map(|(at, lane)| lane.batch(each, course.limits).map(move |seed| (at, seed)))
            .collect();
        let flown: Vec<(usize, Option<Flown>)> = self.pool.install(|| {
            let (lanes, course) = (&*lanes, &*course);
            batch.into_par_iter().map(|(at, seed)| (at, self.fly(&lanes[at], seed, course))).collect()
        });
        let all: Duration = flown.iter().flat_map(|(_, flown)| flown).map(|flown| flown.took).sum();
        let elapsed = watch.elapsed();
        let mut flown = flown.into_iter().peekable();
        for (number, lane) in lanes.iter_mut().enumerate().filter(|(_, lane)| !lane.is_over()) {
            let own: Vec<_> = std::iter::from_fn(|| flown.next_if(|(at, _)| *at == number))
                .map(|(_, flown)| flown)
                .collect();
            let took: Duration = own.iter().flatten().map(|flown| flown.took).sum();
            // Of the time the batch took a variant has the share that its runs had.
            lane.elapsed += elapsed.mul_f64(took.as_secs_f64() / all.as_secs_f64().max(f64::MIN_POSITIVE));
            self.take_in(lane, own, course);
            lane.next = lane.seeds.count().min(lane.next.saturating_add(each));
        }
        course.results.flush();
    }

    /// Makes one run, or takes it from earlier results; nothing when no other run is to be started.
    fn fly(&self, lane: &Lane<'_>, seed: Seed, course: &Course<'_>) -> Option<Flown> {
        if course.limits.are_reached(&course.watch) {
            return None;
        }
        if let Some(known) = course.results.get(&lane.name, seed) {
            return Some(Flown { summary: known.clone(), new: false, took: Duration::ZERO });
        }
        let watch = Stopwatch::start();
        let summary = self.summarize(lane.selected, seed, course.novelty.is_some());
        tracing::debug!(scenario = %lane.name, %seed, outcome = ?summary.outcome, "ran");
        (course.progress)(Progress::Ran { as_expected: summary.outcome == Outcome::AsExpected });
        Some(Flown { summary, new: true, took: watch.elapsed() })
    }

    /// Counts runs of a variant, in the order of their seeds.
    fn take_in(&self, lane: &mut Lane<'_>, runs: Vec<Option<Flown>>, course: &mut Course<'_>) {
        // Of an interrupted batch the runs after the first gap are kept as results, and not counted.
        let mut whole = true;
        for flown in runs {
            let Some(Flown { summary, new, .. }) = flown else {
                whole = false;
                continue;
            };
            if new {
                course.results.add(&lane.name, &summary);
            }
            // Checked run by run in the order of the seeds, so that a sweep stops after the same run whatever
            // the size of the batch.
            if !whole || lane.stopped {
                continue;
            }
            if let Some(novelty) = &mut course.novelty {
                novelty.add(&summary.states);
            }
            if let Some(passage) = &summary.passage {
                lane.map.add_passage(&self.example(lane.selected, summary.seed), passage);
            }
            lane.tally.add(summary);
            lane.stopped =
                self.options.fail_fast && !lane.tally.can_be_as_expected(lane.tolerated(course.limits));
        }
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

impl Course<'_> {
    /// Why nothing more is run, if that is so.
    fn is_over(&self) -> Option<Ended> {
        if self.limits.is_interrupted() {
            Some(Ended::Interrupted)
        } else if self.novelty.as_ref().is_some_and(Novelty::is_stable) {
            Some(Ended::Stable)
        } else if self.limits.is_late(&self.watch) {
            Some(Ended::TimeBudget)
        } else {
            None
        }
    }
}

impl Lane<'_> {
    fn is_over(&self) -> bool {
        self.stopped || self.left() == 0
    }

    /// How many runs it has still to make.
    fn left(&self) -> u64 {
        self.seeds.count().saturating_sub(self.next)
    }

    /// The seeds of its next `count` runs, without those of other slices; none once it is over.
    fn batch(&self, count: u64, limits: Limits<'_>) -> impl Iterator<Item = Seed> {
        let from = self.next;
        let to = if self.is_over() { from } else { from + self.left().min(count) };
        let ours = move |number: u64| {
            limits.partition.is_none_or(|slice| slice.takes(self.offset.saturating_add(number)))
        };
        (from..to)
            .zip(self.seeds.slice(from, to))
            .filter(move |(number, _)| ours(*number))
            .map(|(_, seed)| seed)
    }

    /// How many runs may come out otherwise. A share is one of the whole sweep: a slice of it that happens to
    /// have none of those that show a symptom proves nothing yet.
    fn tolerated(&self, limits: Limits<'_>) -> u64 {
        let whole = !limits.in_turn() && !limits.is_interrupted();
        let runs = if whole { self.seeds.count() } else { self.tally.runs };
        self.selected.variant.expect.tolerated(runs)
    }
}
