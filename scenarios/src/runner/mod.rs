//! Runs variants under many seeds and sums up.
//!
//! Every run is one world on one thread of a pool; worlds share nothing. A sweep goes in batches: a batch
//! runs in parallel, its results come back in the order of the seeds and are added up in that order, so
//! what a sweep says does not depend on the number of threads. A run leaves a summary of a few dozen
//! bytes; its record is dropped. The few runs a report shows are run again for their records, which is
//! what a seed is for.
//!
//! The rule a change must keep: nothing that is reported, times on the wall apart, depends on which thread
//! ran what or which run ended first.

use std::collections::BTreeSet;
use std::time::Duration;

use ironbird_reports::suite::{SuiteReport, VariantReport};
use ironbird_sim::plan::FaultPlan;
use ironbird_sim::properties::Property;
use ironbird_sim::properties::sometimes::{self, Sometimes};
use ironbird_sim::recovery::{Journey, Passage, journey};
use ironbird_sim::run::Run;
use ironbird_sim::seed::Seed;
use ironbird_sim::signature::Signature;
use ironbird_sim::spec::Spec;
use ironbird_sim::swarm::Profile;
use rayon::prelude::*;

use crate::case::Case;
use crate::results::Results;
use crate::seeds::Seeds;
use crate::select::{Selected, Selection};

mod determinism;
mod examine;
mod guard;
mod maps;
mod sweep;
mod tally;

pub use determinism::{Difference, first_difference};
pub use examine::{replay_command, report_of};
pub use guard::capture_panics;
pub(crate) use guard::catch;
pub(crate) use maps::{MAP_VIEW, sections};
pub use sweep::{Ended, Limits, Swept};

/// What makes a run: [`ironbird_sim::run::run`], or something made up by a test.
pub type RunFn<'a> = dyn Fn(&Spec, &str, Seed, &FaultPlan) -> Run + Sync + 'a;

/// Runs that a thread takes from one batch, on average. More would make `--fail-fast` slower to stop, fewer
/// would let threads wait for the last run of a batch more often.
const RUNS_PER_JOB: u64 = 32;

/// The same where variants take turns, over all of them; each has one at least.
const RUNS_PER_TURN: u64 = 4;

/// Bytes of stack of a thread: published handlers call themselves as deep as Python lets them.
pub(crate) const STACK: usize = 32 << 20;

/// How to sweep.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Threads; 0 for as many as the machine has.
    pub jobs: usize,
    /// Stop as soon as a sweep can no longer come out as expected.
    pub fail_fast: bool,
    /// Run every seed twice and compare.
    pub check_determinism: bool,
    /// How to draw clusters and faults in place of the scenarios' own; `None` flies those.
    pub swarm: Option<Profile>,
    /// Whether a sweep makes a recovery map, which takes a look at every record more.
    pub map: bool,
}

/// What a sweep tells while it goes on. Told from many threads, in no particular order within a variant.
#[derive(Debug)]
pub enum Progress<'a> {
    /// A variant's sweep begins.
    Started {
        /// `leader-kill/hardened`.
        name: &'a str,
        /// Runs it will take, unless it stops early.
        runs: u64,
    },
    /// A run ended.
    Ran {
        /// Whether it was what is expected of a run.
        as_expected: bool,
    },
    /// A variant's sweep is over.
    Finished(&'a VariantReport),
}

/// Runs variants under many seeds and sums up.
pub struct Runner<'a> {
    run: &'a RunFn<'a>,
    options: Options,
    pool: rayon::ThreadPool,
}

/// What is kept of a run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Summary {
    pub(crate) seed: Seed,
    /// Each once.
    pub(crate) violated: Vec<Property>,
    /// How it failed, each way once, in the order of the events.
    pub(crate) signatures: Vec<Signature>,
    pub(crate) recovery: Option<Duration>,
    pub(crate) simulated: Duration,
    pub(crate) events: usize,
    /// What it reached of what a sweep should see sometimes.
    pub(crate) reached: BTreeSet<Sometimes>,
    pub(crate) outcome: Outcome,
    /// What it adds to the recovery map, where there will be one.
    pub(crate) passage: Option<Passage>,
    /// Hashes of the abstract states it visited, where somebody counts them.
    pub(crate) states: Vec<u64>,
}

/// What a run came to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Outcome {
    AsExpected,
    /// It is not what is expected of a run; a sweep may tolerate some.
    Other(String),
    /// It says nothing about the service: it panicked, or the same seed gave two records.
    Broken(Breakage),
}

/// Bytes of one text that are kept of a run that broke.
const SHOWN: usize = 16 * 1024;

/// Why a run says nothing about the service.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Breakage {
    pub(crate) reason: String,
    /// The two sides of a difference, as they were seen: what is not of the seed may not be seen again.
    pub(crate) sides: Vec<String>,
}

impl Breakage {
    /// Of the reason at most [`SHOWN`] bytes are kept: a panic's words may be a whole state.
    fn new(reason: &str, sides: Vec<String>) -> Self {
        Self { reason: excerpt(reason, 0), sides }
    }
}

/// A text from a byte on, [`SHOWN`] bytes of it at most; what is left out is counted.
fn excerpt(text: &str, from: usize) -> String {
    let start = text.floor_char_boundary(from);
    let end = text.floor_char_boundary(start.saturating_add(SHOWN));
    let before = if start > 0 { format!("{start} bytes, and then …") } else { String::new() };
    let rest = text.len() - end;
    let after = if rest > 0 { format!("… and {rest} bytes more") } else { String::new() };
    format!("{before}{}{after}", &text[start..end])
}

impl<'a> Runner<'a> {
    /// A runner that makes runs with `run`.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn new(run: &'a RunFn<'a>, options: Options) -> Result<Self, rayon::ThreadPoolBuildError> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(options.jobs)
            .thread_name(|index| format!("world-{index}"))
            .stack_size(STACK)
            .build()?;
        Ok(Self { run, options, pool })
    }

    /// Sweeps everything in `selections`, over `seeds` or over as many as each file says.
    pub fn suite(
        &self,
        selections: &[Selection],
        seeds: Option<Seeds>,
        progress: &(dyn Fn(Progress<'_>) + Sync),
    ) -> SuiteReport {
        self.sweep(selections, seeds, Limits::default(), &mut Results::default(), progress).report
    }

    /// Runs one seed of a variant.
    ///
    /// # Errors
    /// When the run panics: where, and what it said.
    pub fn once(&self, selected: Selected<'_>, seed: Seed) -> Result<Run, String> {
        guard::catch(|| {
            let case = Case::of(selected, seed, self.options.swarm.as_ref());
            (self.run)(&case.spec, &case.name, case.seed, &case.plan())
        })
    }

    /// Runs everything in `selections` and hands over every run's journey, variant by variant in the order
    /// of the seeds.
    ///
    /// # Errors
    /// When a run panics: which, where, and what it said.
    pub fn journeys(
        &self,
        selections: &[Selection],
        seeds: Option<Seeds>,
        progress: &(dyn Fn(Progress<'_>) + Sync),
        mut take: impl FnMut(Selected<'_>, Seed, &Journey),
    ) -> Result<(), String> {
        for selected in selections.iter().flat_map(Selection::variants) {
            let name = selected.name();
            let seeds = seeds.unwrap_or_else(|| selected.from.scenario.own_seeds());
            let total = seeds.count();
            progress(Progress::Started { name: &name, runs: total });
            let batch = RUNS_PER_JOB * self.pool.current_num_threads().max(1) as u64;
            let mut from = 0;
            while from < total {
                let to = total.min(from + batch);
                let batch: Vec<_> = seeds.slice(from, to).collect();
                let journeys: Vec<_> = self.pool.install(|| {
                    let run = |seed: Seed| {
                        let run = self.once(selected, seed)?;
                        progress(Progress::Ran { as_expected: true });
                        Ok::<_, String>(journey(&run.record))
                    };
                    batch.into_par_iter().map(|seed| (seed, run(seed))).collect()
                });
                for (seed, journey) in journeys {
                    match journey {
                        Ok(journey) => take(selected, seed, &journey),
                        Err(panic) => return Err(format!("{name}, seed {seed}: {panic}")),
                    }
                }
                from = to;
            }
        }
        Ok(())
    }

    fn summarize(&self, selected: Selected<'_>, seed: Seed, with_states: bool) -> Summary {
        let run = match self.once(selected, seed) {
            Ok(run) => run,
            Err(panic) => {
                return Summary {
                    seed,
                    violated: Vec::new(),
                    signatures: vec![Signature::of_panic(&panic)],
                    recovery: None,
                    simulated: Duration::ZERO,
                    events: 0,
                    reached: BTreeSet::new(),
                    passage: None,
                    outcome: Outcome::Broken(Breakage::new(&panic, Vec::new())),
                    states: Vec::new(),
                };
            }
        };
        let mut violated: Vec<_> = run.violations.iter().map(|violation| violation.property).collect();
        violated.sort_unstable();
        violated.dedup();
        let outcome = match self.second_opinion(selected, seed, &run) {
            Some(breakage) => Outcome::Broken(breakage),
            None => match selected.variant.expect.objection(&run) {
                Some(objection) => Outcome::Other(objection),
                None => Outcome::AsExpected,
            },
        };
        let journey = if with_states || self.options.map { journey(&run.record) } else { Journey::default() };
        Summary {
            seed,
            violated,
            signatures: Signature::of_all(&run.record, &run.violations),
            recovery: run.recovery,
            simulated: run.record.duration(),
            events: run.record.events.len(),
            reached: sometimes::reached(&run.record),
            states: if with_states { sweep::states(&journey) } else { Vec::new() },
            passage: self.options.map.then(|| MAP_VIEW.passage(&journey)),
            outcome,
        }
    }

    /// Runs the same seed again, if that was asked for, and says how the two differ.
    fn second_opinion(&self, selected: Selected<'_>, seed: Seed, first: &Run) -> Option<Breakage> {
        if !self.options.check_determinism {
            return None;
        }
        match self.once(selected, seed) {
            Ok(second) => first_difference(first, &second)
                .map(|difference| Breakage::new(&difference.to_string(), difference.lines())),
            Err(panic) => {
                let reason = format!("the same seed ran through once and then failed: {panic}");
                Some(Breakage::new(&reason, Vec::new()))
            }
        }
    }
}

/// Real time, for people who wait. Nothing that is simulated or decided depends on it.
#[expect(clippy::disallowed_types, reason = "how long a person waited is real time")]
struct Stopwatch(std::time::Instant);

#[expect(clippy::disallowed_types, reason = "how long a person waited is real time")]
impl Stopwatch {
    fn start() -> Self {
        Self(std::time::Instant::now())
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
