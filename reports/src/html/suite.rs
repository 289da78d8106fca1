//! The page of a sweep.

use std::time::Duration;

use ironbird_sim::properties::sometimes::Sometimes;
use serde::Serialize;

use super::heat::Map;
use super::page::Frame;
use crate::plot;
use crate::suite::{FailureReport, Outcome, SuiteReport, VariantReport};
use crate::text::{length, micros, moment};

/// What a sweep's page shows beside the sweep, if it is there.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Extras {
    /// From which states the cluster came back, as [`super::heat()`] makes them.
    pub maps: Vec<Map>,
    /// More plots, as [`crate::plot`] makes them.
    pub plots: Vec<String>,
}

static FRAME: Frame = Frame {
    style: include_str!("assets/suite.css"),
    script: &[
        include_str!("assets/marks.js"),
        include_str!("assets/heat.js"),
        include_str!("assets/suite.js"),
    ],
    body: include_str!("assets/suite.html"),
};

/// The page of a sweep.
pub fn suite(suite: &SuiteReport, extras: &Extras) -> String {
    let mut plots: Vec<_> = plot::recovery(suite).iter().map(|(_, svg)| plot::themed(svg)).collect();
    plots.extend(extras.plots.iter().map(|svg| plot::themed(svg)));
    FRAME.page("Ironbird sweep", &Data::of(suite, extras), &plots)
}

#[derive(Serialize)]
struct Data<'a> {
    as_expected: usize,
    runs: u64,
    simulated: String,
    /// Unknown for records that are read later.
    elapsed: Option<String>,
    variants: Vec<Variant<'a>>,
    sometimes: Vec<Reached>,
    maps: &'a [Map],
}

/// Something a sweep had to see, or it says nothing about it.
#[derive(Serialize)]
struct Reached {
    name: &'static str,
    words: &'static str,
    /// In how many runs it was seen.
    runs: u64,
    /// In how many variants.
    variants: usize,
}

impl Reached {
    fn of(one: Sometimes, suite: &SuiteReport) -> Self {
        let hits = || suite.variants.iter().filter_map(|variant| variant.sometimes.get(one.name()));
        Self { name: one.name(), words: one.words(), runs: hits().sum(), variants: hits().count() }
    }
}

#[derive(Serialize)]
struct Way {
    told: [String; 4],
    runs: u64,
    seeds: Vec<String>,
}

#[derive(Serialize)]
struct Variant<'a> {
    name: &'a str,
    file: &'a str,
    line: Option<u32>,
    expectation: &'a str,
    as_expected: bool,
    runs: u64,
    violated: u64,
    violations: Vec<(&'a str, u64)>,
    recovery: Vec<u64>,
    speed: Option<u64>,
    per_second: Option<f64>,
    failures: Vec<Failure<'a>>,
    example: Option<Failure<'a>>,
    buckets: Vec<Way>,
    vacuous: &'a [String],
    /// Seed, outcome, recovery in microseconds.
    each: Vec<(String, u8, Option<u64>)>,
}

#[derive(Serialize)]
struct Failure<'a> {
    seed: String,
    reason: &'a str,
    replay: &'a str,
    page: Option<&'a str>,
    violations: Vec<(&'static str, String, &'a str, &'a str)>,
    decisive: &'a [String],
}

impl<'a> Data<'a> {
    fn of(suite: &'a SuiteReport, extras: &'a Extras) -> Self {
        Self {
            as_expected: suite.as_expected(),
            runs: suite.runs(),
            simulated: length(suite.variants.iter().map(|variant| variant.simulated).sum()),
            elapsed: Some(suite.variants.iter().map(|variant| variant.elapsed).sum::<Duration>())
                .filter(|elapsed| !elapsed.is_zero())
                .map(length),
            variants: suite.variants.iter().map(Variant::of).collect(),
            sometimes: Sometimes::ALL.iter().map(|one| Reached::of(*one, suite)).collect(),
            maps: &extras.maps,
        }
    }
}

impl<'a> Variant<'a> {
    fn of(variant: &'a VariantReport) -> Self {
        let mut recovery: Vec<_> = variant.recovery.iter().map(|time| micros(*time)).collect();
        recovery.sort_unstable();
        let seconds = variant.elapsed.as_secs_f64();
        Self {
            name: &variant.name,
            file: &variant.file,
            line: variant.line,
            expectation: &variant.expectation,
            as_expected: variant.as_expected,
            runs: variant.runs,
            violated: variant.violated,
            violations: variant.violations.iter().map(|(name, runs)| (name.as_str(), *runs)).collect(),
            recovery: thinned(&recovery),
            // A ratio of two durations is far below the greatest integer.
            speed: variant.speed().map(|speed| speed.round() as u64),
            per_second: (seconds > 0.0).then(|| variant.runs as f64 / seconds),
            failures: variant.failures.iter().map(Failure::of).collect(),
            example: variant.example.as_ref().map(Failure::of),
            buckets: variant
                .buckets
                .iter()
                .map(|bucket| Way {
                    told: bucket.told(),
                    runs: bucket.runs,
                    // As text: seeds are greater than some readers' numbers.
                    seeds: bucket.seeds.iter().map(u64::to_string).collect(),
                })
                .collect(),
            vacuous: &variant.vacuous,
            each: variant
                .each
                .iter()
                .map(|run| {
                    let outcome = match run.outcome {
                        Outcome::Held => 0,
                        Outcome::Violated => 1,
                        Outcome::Unexpected => 2,
                    };
                    (run.seed.to_string(), outcome, run.recovery.map(micros))
                })
                .collect(),
        }
    }
}

/// At most 200 of `sorted`, evenly chosen: a small picture needs no more.
fn thinned(sorted: &[u64]) -> Vec<u64> {
    const MOST: usize = 200;
    if sorted.len() <= MOST {
        return sorted.to_vec();
    }
    (0..MOST).map(|index| sorted[index * (sorted.len() - 1) / (MOST - 1)]).collect()
}

impl<'a> Failure<'a> {
    fn of(failure: &'a FailureReport) -> Self {
        Self {
            seed: failure.seed.to_string(),
            reason: &failure.reason,
            replay: &failure.replay,
            page: failure.page.as_deref(),
            violations: failure
                .violations
                .iter()
                .map(|violation| {
                    (
                        violation.property.name(),
                        moment(violation.at),
                        violation.host.as_str(),
                        violation.detail.as_str(),
                    )
                })
                .collect(),
            decisive: &failure.decisive,
        }
    }
}
