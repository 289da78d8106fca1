//! Adds up the summaries of one sweep, in memory that does not grow with the number of runs, recovery
//! times apart.

use std::collections::BTreeMap;
use std::time::Duration;

use ironbird_reports::suite::{Buckets, MOST_ROWS, Outcome as RowOutcome, RunRow};
use ironbird_sim::seed::Seed;

use super::{Outcome, Summary};

/// Unexpected runs that a report shows.
const SHOWN: usize = 5;

/// The sum so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) runs: u64,
    pub(super) as_expected: u64,
    pub(super) others: u64,
    pub(super) broken: u64,
    /// Runs in which anything at all was violated.
    pub(super) violating: u64,
    pub(super) violations: BTreeMap<String, u64>,
    pub(super) recovery: Vec<Duration>,
    pub(super) simulated: Duration,
    /// Unexpected runs: broken ones first, then shortest first.
    pub(super) worth_showing: Vec<Suspect>,
    /// What the violating runs have in common.
    pub(super) buckets: Buckets,
    /// The first runs one by one.
    pub(super) each: Vec<RunRow>,
    /// The shortest run that was as expected and violated something.
    pub(super) example: Option<(usize, Seed)>,
}

/// A run to look at more closely.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Suspect {
    pub(super) seed: Seed,
    pub(super) events: usize,
    pub(super) broken: bool,
    pub(super) reason: String,
}

impl Tally {
    pub(super) fn add(&mut self, summary: Summary) {
        self.runs += 1;
        self.violating += u64::from(!summary.violated.is_empty());
        for property in &summary.violated {
            *self.violations.entry(property.name().to_owned()).or_default() += 1;
        }
        self.recovery.extend(summary.recovery);
        self.simulated = self.simulated.saturating_add(summary.simulated);
        if self.each.len() < MOST_ROWS {
            let outcome = match &summary.outcome {
                Outcome::AsExpected if summary.violated.is_empty() => RowOutcome::Held,
                Outcome::AsExpected => RowOutcome::Violated,
                Outcome::Other(_) | Outcome::Broken(_) => RowOutcome::Unexpected,
            };
            self.each.push(RunRow { seed: summary.seed.0, outcome, recovery: summary.recovery });
        }
        let Summary { seed, events, outcome, violated, signatures, .. } = summary;
        self.buckets.count(seed.0, signatures);
        match outcome {
            Outcome::AsExpected => {
                self.as_expected += 1;
                if !violated.is_empty() && self.example.is_none_or(|shortest| (events, seed) < shortest) {
                    self.example = Some((events, seed));
                }
            }
            Outcome::Other(reason) => {
                self.others += 1;
                self.suspect(seed, events, false, reason);
            }
            Outcome::Broken(reason) => {
                self.broken += 1;
                self.suspect(seed, events, true, reason);
            }
        }
    }

    /// Whether a sweep that tolerates this many other runs may still come out as expected.
    pub(super) fn can_be_as_expected(&self, tolerated: u64) -> bool {
        self.broken == 0 && self.others <= tolerated
    }

    fn suspect(&mut self, seed: Seed, events: usize, broken: bool, reason: String) {
        self.worth_showing.push(Suspect { seed, events, broken, reason });
        self.worth_showing.sort_by_key(|suspect| (!suspect.broken, suspect.events, suspect.seed));
        self.worth_showing.truncate(SHOWN);
    }
}
