//! How soon planted defects are found, and by what.
//!
//! A [`Bug`] is found by a run that violates a property with it and nothing without it, in a variant that
//! must pass. A [`Technique`] says which runs are made: the scenarios as their files have them, or their
//! clusters under faults that are drawn in one way or another. A *sweep* makes runs of one technique until
//! one finds the bug or the budget is spent. Every sweep takes the variants in an order of its own and seeds
//! that no other has, so that many sweeps say how long it usually takes, and not how long it took once.
//!
//! The rule a change must keep: what is found, and in how many runs, depends on the catalogue, the variants
//! and the [`Search`], and not on how many threads there are. Only the times differ.

mod draw;
mod state;
mod stopwatch;

use std::time::Duration;

use ironbird_agent::planted::{Bug, during};
use ironbird_sim::plan::FaultPlan;
use ironbird_sim::run::Run;
use ironbird_sim::seed::Seed;
use ironbird_sim::signature::Signature;
use ironbird_sim::spec::Spec;

use self::draw::Deck;
pub use self::draw::Technique;
pub use self::state::State;
use self::stopwatch::ThreadTime;
use super::{Case, Lab};
use crate::runner::{RunFn, catch};
use crate::select::Selected;

/// Sweeps that are under way together. Whether more are needed is asked after each of these.
const TOGETHER: usize = 4;

/// How much is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Search {
    /// Sweeps, at least 1.
    pub sweeps: usize,
    /// Runs of a sweep at most.
    pub budget: u64,
}

/// What came of one sweep.
#[derive(Debug, Clone, PartialEq)]
pub struct Sweep {
    /// Runs it made.
    pub runs: u64,
    /// Time its thread worked to draw and make them.
    pub cpu: Duration,
    /// The run that found the bug, and how it failed.
    pub found: Option<(Case, Signature)>,
}

/// What came of all sweeps with one technique.
#[derive(Debug, Clone, PartialEq)]
pub struct Hunt {
    /// The technique.
    pub technique: Technique,
    /// The sweeps that were made: all, or as many as it took to know that most find nothing.
    pub sweeps: Vec<Sweep>,
    /// The sweeps that were asked for.
    pub asked: usize,
}

/// Makes runs with `bug`.
pub fn with_bug<'a>(
    run: &'a RunFn<'a>,
    bug: Bug,
) -> impl Fn(&Spec, &str, Seed, &FaultPlan) -> Run + Sync + 'a {
    move |spec, name, seed, plan| during(Some(bug), || run(spec, name, seed, plan))
}

/// Makes runs with `bug`. Of what they violate only what they do not violate without it is kept: a run that
/// fails all the same says nothing of the bug.
pub fn because_of_bug<'a>(
    run: &'a RunFn<'a>,
    bug: Bug,
) -> impl Fn(&Spec, &str, Seed, &FaultPlan) -> Run + Sync + 'a {
    move |spec, name, seed, plan| {
        let mut flown = during(Some(bug), || run(spec, name, seed, plan));
        if !flown.violations.is_empty() && !is_sound(run, spec, name, seed, plan) {
            flown.violations.clear();
        }
        flown
    }
}

/// Whether a run violates nothing as long as nobody planted anything.
fn is_sound(run: &RunFn<'_>, spec: &Spec, name: &str, seed: Seed, plan: &FaultPlan) -> bool {
    catch(|| during(None, || run(spec, name, seed, plan))).is_ok_and(|run| run.violations.is_empty())
}

/// Sweeps `variants` with `technique`, in a lab whose runs have a bug: see [`with_bug`]. `sound` makes runs
/// without it.
pub fn hunt(
    lab: &Lab<'_>,
    sound: &RunFn<'_>,
    variants: &[Selected<'_>],
    technique: Technique,
    search: Search,
) -> Hunt {
    let all: Vec<usize> = (0..search.sweeps.max(1)).collect();
    let mut hunt = Hunt { technique, sweeps: Vec::new(), asked: all.len() };
    for some in all.chunks(TOGETHER) {
        hunt.sweeps.extend(lab.each(some, |number| {
            let deck = Deck::new(variants, technique, *number);
            sweep(lab, sound, &deck, search.budget)
        }));
        let missed = hunt.sweeps.iter().filter(|sweep| sweep.found.is_none()).count();
        if missed * 2 > all.len() {
            break;
        }
    }
    hunt
}

fn sweep(lab: &Lab<'_>, sound: &RunFn<'_>, deck: &Deck<'_>, budget: u64) -> Sweep {
    let time = ThreadTime::start();
    // Who looks for a bug has no program without it: to make sure that it is the bug is no part of the search.
    let mut made_sure = Duration::ZERO;
    for run in 0..budget {
        let Some(case) = deck.draw(run) else { break };
        let Some(signature) = lab.signatures(&case).into_iter().next() else { continue };
        let spent = time.elapsed();
        if is_sound(sound, &case.spec, &case.name, case.seed, &case.plan()) {
            let cpu = spent.saturating_sub(made_sure);
            return Sweep { runs: run + 1, cpu, found: Some((case, signature)) };
        }
        made_sure += time.elapsed().saturating_sub(spent);
    }
    Sweep { runs: budget, cpu: time.elapsed().saturating_sub(made_sure), found: None }
}

impl Hunt {
    /// Sweeps that found the bug.
    pub fn found(&self) -> usize {
        self.sweeps.iter().filter(|sweep| sweep.found.is_some()).count()
    }

    /// Runs after which most sweeps have found the bug; none when most do not.
    pub fn runs(&self) -> Option<u64> {
        self.median(|sweep| sweep.runs)
    }

    /// Time of a processor after which most sweeps have found the bug; none when most do not.
    pub fn cpu(&self) -> Option<Duration> {
        self.median(|sweep| sweep.cpu)
    }

    /// The first sweep's find, or else that of the first that has one.
    pub fn find(&self) -> Option<&(Case, Signature)> {
        self.sweeps.iter().find_map(|sweep| sweep.found.as_ref())
    }

    /// The upper median: sweeps that find nothing take longer than any that does.
    fn median<T: Ord + Copy>(&self, of: impl Fn(&Sweep) -> T) -> Option<T> {
        let mut values: Vec<T> = self.sweeps.iter().filter(|sweep| sweep.found.is_some()).map(of).collect();
        values.sort_unstable();
        values.get(self.asked / 2).copied()
    }
}
