//! Adds up the summaries of one sweep, in memory that does not grow with the number of runs, recovery
//! times apart.
//!
//! Unexpected runs are counted by the way they fail: of each way, the shortest run is worth showing.

use std::collections::BTreeMap;
use std::time::Duration;

use ironbird_reports::suite::{Buckets, MOST_ROWS, Outcome as RowOutcome, RunRow};
use ironbird_sim::properties::sometimes::Sometimes;
use ironbird_sim::seed::Seed;
use ironbird_sim::signature::Signature;

use super::{Breakage, Outcome, Summary};

/// The most ways of failing that are kept apart; what comes after is counted together.
const WAYS: usize = 64;

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
    /// What the violating runs have in common.
    pub(super) buckets: Buckets,
    /// The first runs one by one.
    pub(super) each: Vec<RunRow>,
    /// Unexpected runs by the way they fail: the shortest of each, and how many there are.
    ways: BTreeMap<Way, (Suspect, u64)>,
    /// What was reached, and by how many runs.
    pub(super) sometimes: BTreeMap<Sometimes, u64>,
    /// The shortest run that was as expected and violated something.
    pub(super) example: Option<(usize, Seed)>,
}

/// A way of failing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    /// By its signature, and whether the run says nothing about the service.
    Like(bool, Signature),
    /// What should have failed and did not, in words.
    Unlike(String),
    /// Too many to tell apart.
    Others,
}

/// A run to look at more closely.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Suspect {
    pub(super) seed: Seed,
    pub(super) events: usize,
    pub(super) broken: bool,
    pub(super) reason: String,
    /// What is shown of a run that is broken, see [`Breakage::sides`].
    pub(super) sides: Vec<String>,
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
        for one in summary.reached {
            *self.sometimes.entry(one).or_default() += 1;
        }
        let Summary { seed, events, outcome, violated, signatures, .. } = summary;
        self.buckets.add(seed.0, &signatures);
        // It is counted with the first failure that it shows.
        let first = signatures.into_iter().next();
        match outcome {
            Outcome::AsExpected => {
                self.as_expected += 1;
                if !violated.is_empty() && self.example.is_none_or(|shortest| (events, seed) < shortest) {
                    self.example = Some((events, seed));
                }
            }
            Outcome::Other(reason) => {
                self.others += 1;
                self.suspect(Suspect { seed, events, broken: false, reason, sides: Vec::new() }, first);
            }
            Outcome::Broken(Breakage { reason, sides }) => {
                self.broken += 1;
                self.suspect(Suspect { seed, events, broken: true, reason, sides }, first);
            }
        }
    }

    /// Whether a sweep that tolerates this many other runs may still come out as expected.
    pub(super) fn can_be_as_expected(&self, tolerated: u64) -> bool {
        self.broken == 0 && self.others <= tolerated
    }

    fn suspect(&mut self, suspect: Suspect, first: Option<Signature>) {
        let way = match first {
            Some(signature) => Way::Like(suspect.broken, signature),
            None => Way::Unlike(suspect.reason.clone()),
        };
        let known = self.ways.contains_key(&way) || self.ways.len() < WAYS;
        let (shortest, runs) =
            self.ways.entry(if known { way } else { Way::Others }).or_insert_with(|| (suspect.clone(), 0));
        *runs += 1;
        if (suspect.events, suspect.seed) < (shortest.events, shortest.seed) {
            *shortest = suspect;
        }
    }

    /// The shortest run of every way of failing, broken ones first, then the most frequent way.
    pub(super) fn worth_showing(&self) -> Vec<Suspect> {
        let mut ways: Vec<_> = self.ways.iter().collect();
        ways.sort_by_key(|(_, (suspect, runs))| (!suspect.broken, std::cmp::Reverse(*runs), suspect.events));
        let shown = |(way, (suspect, runs)): (&Way, &(Suspect, u64))| {
            let mut suspect = suspect.clone();
            if *runs > 1 {
                suspect.reason += &format!("; the shortest of {runs} runs that fail like this");
            }
            if let Way::Like(false, signature) = way {
                suspect.reason += &format!(" [{}]", signature.id());
            }
            suspect
        };
        ways.into_iter().map(shown).collect()
    }
}
