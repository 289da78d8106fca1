//! A sweep for other programs.
//!
//! The document is written field by field from types of its own, not from those of [`crate::suite`], so
//! that renaming something inside the program cannot rename it for a reader. The rule a change must keep:
//! fields may be added; one that changes its meaning or goes away raises [`VERSION`].

use std::collections::BTreeMap;

use ironbird_sim::properties::{Property, Violation};
use ironbird_sim::signature::Signature;
use serde::Serialize;

use crate::suite::{Bucket, FailureReport, SuiteReport, VariantReport};
use crate::text::{is_treacherous, micros};

/// The version of the document.
const VERSION: u32 = 1;

/// `suite` as one JSON document with a line break at its end.
///
/// Times are whole microseconds. Text reads back as it was recorded.
pub fn json(suite: &SuiteReport) -> String {
    let document = Document {
        version: VERSION,
        as_expected: suite.as_expected() == suite.variants.len(),
        variants: suite.variants.iter().map(Variant::from).collect(),
    };
    let text = serde_json::to_string_pretty(&document)
        .expect("strings, numbers and maps with string keys serialise");
    printable(&text) + "\n"
}

/// The same document for a parser, and harmless where somebody prints it: what JSON may hold as it is but
/// a terminal would obey is escaped. Such characters stand inside of strings only.
pub(crate) fn printable(document: &str) -> String {
    let mut out = String::with_capacity(document.len());
    for character in document.chars() {
        if character != '\n' && is_treacherous(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                out += &format!("\\u{unit:04x}");
            }
        } else {
            out.push(character);
        }
    }
    out
}

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    as_expected: bool,
    variants: Vec<Variant<'a>>,
}

#[derive(Serialize)]
struct Variant<'a> {
    name: &'a str,
    file: &'a str,
    expectation: &'a str,
    as_expected: bool,
    runs: u64,
    violated: u64,
    violations: &'a BTreeMap<String, u64>,
    recovered: usize,
    recovery_median_us: Option<u64>,
    recovery_max_us: Option<u64>,
    simulated_us: u64,
    elapsed_us: u64,
    /// Of what a sweep should see sometimes, in how many runs it was.
    sometimes: &'a BTreeMap<String, u64>,
    /// What the scenario demands to be seen and no run reached.
    never_reached: &'a [String],
    ways_of_failing: Vec<Way<'a>>,
    failures: Vec<Failure<'a>>,
    example: Option<Failure<'a>>,
}

#[derive(Serialize)]
struct Way<'a> {
    /// None for those that were too many to tell apart.
    signature: Option<&'a Signature>,
    id: Option<String>,
    runs: u64,
    /// The first seeds that showed it.
    seeds: &'a [u64],
}

impl<'a> From<&'a Bucket> for Way<'a> {
    fn from(bucket: &'a Bucket) -> Self {
        Self {
            signature: bucket.signature.as_ref(),
            id: bucket.signature.as_ref().map(Signature::id),
            runs: bucket.runs,
            seeds: &bucket.seeds,
        }
    }
}

impl<'a> From<&'a VariantReport> for Variant<'a> {
    fn from(variant: &'a VariantReport) -> Self {
        let recovery = variant.recovery_median_and_max();
        Self {
            name: &variant.name,
            file: &variant.file,
            expectation: &variant.expectation,
            as_expected: variant.as_expected,
            runs: variant.runs,
            violated: variant.violated,
            violations: &variant.violations,
            recovered: variant.recovery.len(),
            recovery_median_us: recovery.map(|(median, _)| micros(median)),
            recovery_max_us: recovery.map(|(_, max)| micros(max)),
            simulated_us: micros(variant.simulated),
            elapsed_us: micros(variant.elapsed),
            sometimes: &variant.sometimes,
            never_reached: &variant.vacuous,
            ways_of_failing: variant.buckets.iter().map(Way::from).collect(),
            failures: variant.failures.iter().map(Failure::from).collect(),
            example: variant.example.as_ref().map(Failure::from),
        }
    }
}

#[derive(Serialize)]
struct Failure<'a> {
    seed: u64,
    hash: &'a str,
    reason: &'a str,
    replay: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<&'a Signature>,
    violations: Vec<Broken<'a>>,
    decisive: &'a [String],
}

impl<'a> From<&'a FailureReport> for Failure<'a> {
    fn from(failure: &'a FailureReport) -> Self {
        Self {
            seed: failure.seed,
            hash: &failure.hash,
            reason: &failure.reason,
            replay: &failure.replay,
            signature: failure.signature.as_ref(),
            violations: failure.violations.iter().map(Broken::from).collect(),
            decisive: &failure.decisive,
        }
    }
}

#[derive(Serialize)]
struct Broken<'a> {
    property: Property,
    step: u64,
    us: u64,
    host: &'a str,
    detail: &'a str,
}

impl<'a> From<&'a Violation> for Broken<'a> {
    fn from(violation: &'a Violation) -> Self {
        Self {
            property: violation.property,
            step: violation.step,
            us: micros(violation.at),
            host: &violation.host,
            detail: &violation.detail,
        }
    }
}
