//! What a sweep over scenarios found, as the runner hands it to the renderers.
//!
//! These are plain values: the runner counts, the renderers only arrange. A number that two renderers
//! would have to derive belongs in a method here, so that they cannot disagree.

use std::collections::BTreeMap;
use std::time::Duration;

use ironbird_sim::properties::Violation;
use ironbird_sim::record::Record;
use ironbird_sim::signature::Signature;

pub use crate::bucket::{Bucket, Buckets};

/// What a whole sweep found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SuiteReport {
    /// One entry a scenario variant, in the order they are shown.
    pub variants: Vec<VariantReport>,
}

impl SuiteReport {
    /// Variants that did what their scenario says they do.
    pub fn as_expected(&self) -> usize {
        self.variants.iter().filter(|variant| variant.as_expected).count()
    }

    /// Runs of all variants.
    pub fn runs(&self) -> u64 {
        self.variants.iter().map(|variant| variant.runs).sum()
    }
}

/// What the runs of one scenario variant found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct VariantReport {
    /// `file/variant`, as in `leader-kill/hardened`.
    pub name: String,
    /// The scenario's file.
    pub file: String,
    /// The line of the file in which the variant begins, from 1.
    pub line: Option<u32>,
    /// What the scenario expects, in words.
    pub expectation: String,
    /// Whether that is what happened.
    pub as_expected: bool,
    /// How many runs there were.
    pub runs: u64,
    /// Runs with the expected violation; with any at all where none is expected.
    pub violated: u64,
    /// For every property that was violated, in how many runs.
    pub violations: BTreeMap<String, u64>,
    /// Time to recover, one entry a run that did.
    pub recovery: Vec<Duration>,
    /// Simulated time of all runs together.
    pub simulated: Duration,
    /// Real time they took.
    pub elapsed: Duration,
    /// Runs that should not have ended as they did; the runner keeps the first few.
    pub failures: Vec<FailureReport>,
    /// One of the violations the scenario expects, to look at.
    pub example: Option<FailureReport>,
    /// What the runs that violated something have in common, the most frequent first.
    pub buckets: Vec<Bucket>,
    /// The runs one by one, in the order of their seeds; the runner keeps the first [`MOST_ROWS`].
    pub each: Vec<RunRow>,
    /// What the runs reached of what a sweep should see sometimes, and how many did.
    pub sometimes: BTreeMap<String, u64>,
    /// What no run reached although the scenario demands it: the sweep proves nothing.
    pub vacuous: Vec<String>,
}

/// The most runs of a variant that are kept one by one.
pub const MOST_ROWS: usize = 10_000;

/// One run in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunRow {
    /// Its seed.
    pub seed: u64,
    /// What came of it.
    pub outcome: Outcome,
    /// How long it took to recover, if it did.
    pub recovery: Option<Duration>,
}

/// What came of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Every property held, as the scenario expects.
    Held,
    /// Something was violated, as the scenario expects.
    Violated,
    /// It is not what the scenario expects.
    Unexpected,
}

impl VariantReport {
    /// The median and the greatest time to recover; `None` when no run recovered.
    ///
    /// The median of an even number of runs is the lower of the two in the middle: a time that was
    /// really measured.
    pub fn recovery_median_and_max(&self) -> Option<(Duration, Duration)> {
        let mut sorted = self.recovery.clone();
        sorted.sort_unstable();
        let max = *sorted.last()?;
        Some((sorted[(sorted.len() - 1) / 2], max))
    }

    /// Simulated seconds in one real second; `None` when no real time was measured.
    pub fn speed(&self) -> Option<f64> {
        (!self.elapsed.is_zero()).then(|| self.simulated.as_secs_f64() / self.elapsed.as_secs_f64())
    }
}

impl FailureReport {
    /// The report of a run that violated `violations`, of which `worst` explains it best.
    pub fn of(
        record: &Record,
        violations: Vec<Violation>,
        worst: Option<&Violation>,
        replay: String,
        reason: String,
    ) -> Self {
        Self {
            seed: record.header.seed,
            hash: record.hash().to_hex().to_string(),
            decisive: worst.map_or_else(Vec::new, |worst| crate::story::decisive(record, worst)),
            diagram: worst.map_or_else(String::new, |worst| crate::mermaid(record, worst)),
            signature: worst
                .and_then(|worst| Signature::of_all(record, std::slice::from_ref(worst)).into_iter().next()),
            violations,
            replay,
            reason,
            page: None,
        }
    }
}

/// One run that is worth a look.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FailureReport {
    /// Its seed.
    pub seed: u64,
    /// The hash of its record.
    pub hash: String,
    /// What did not hold, in the order of the events.
    pub violations: Vec<Violation>,
    /// Which failure it is: of the violation that explains it best, or of a run that panicked.
    pub signature: Option<Signature>,
    /// The events that decide it, as [`crate::story::decisive`] renders them.
    pub decisive: Vec<String>,
    /// The same events as a Mermaid diagram, as [`crate::mermaid()`] makes it.
    pub diagram: String,
    /// The command that runs it again.
    pub replay: String,
    /// Why it is shown, in a sentence.
    pub reason: String,
    /// Its page, as a link from the sweep's.
    pub page: Option<String>,
}
