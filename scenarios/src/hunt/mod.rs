//! What is done with a failure once a sweep has found one, and with a scenario before one is found.
//!
//! - [`shrink()`] takes a failing run apart until nothing can be left out.
//! - [`enumerate()`] tries every single fault at every moment that matters.
//! - [`explain()`] says which faults were needed and when the failure could no longer be avoided.
//! - [`corpus`] keeps failures as files that are replayed for ever.
//!
//! All of them work on a [`Case`]: a spec whose faults are settled, and a seed. What is tried is always the
//! case that is reported, never a seed from which it could be drawn again. The rule a change must keep: the
//! same arguments give the same result, run by run, however many threads make the runs. So whatever is
//! tried in parallel is chosen by its place in the list, never by who was done first.

#[cfg(feature = "planted-bugs")]
pub mod bugs;
pub mod corpus;
mod ddmin;
mod enumerate;
mod explain;
mod lab;
pub mod ledger;
mod moments;
mod shrink;

use ironbird_sim::properties::Property;
use ironbird_sim::seed::Seed;
use ironbird_sim::signature::Signature;

pub use ddmin::ddmin;
pub use enumerate::{Cause, Enumeration, FaultPoint, Found, Points, enumerate, points};
pub use explain::{Curve, Divergence, Explanation, Knobs, Necessity, Reading, explain};
pub use lab::Lab;
pub use moments::{Moments, moments};
pub use shrink::{Shrunk, Size, Step, shrink};

pub use crate::case::Case;
use crate::format::{Expectation, Symptom};

/// The longest name a file gets from its scenario's.
const LONGEST_STEM: usize = 32;

/// A name for the file of a case of `scenario` that shows `signature`.
pub fn file_name(scenario: &str, seed: Seed, signature: &Signature) -> String {
    let stem: String = scenario.chars().take(LONGEST_STEM).collect();
    format!("{}-{seed}-{}", stem.trim_end_matches('-'), signature.id())
}

/// What a file that shows `signature` expects: that it does. A panic cannot be expected.
pub fn showing(signature: &Signature) -> Expectation {
    signature.property().map_or(Expectation::Pass, |property| {
        Expectation::Violates(Symptom {
            properties: vec![property],
            log: None,
            signature: Some(signature.clone()),
            share: 1.0,
        })
    })
}

/// Of the signatures of one run the one that matters most: the first of a property that is expected to be
/// violated, or else the first.
pub fn worst<'a>(shown: &'a [Signature], expect: &Expectation) -> Option<&'a Signature> {
    let expected = |property: Property| match expect {
        Expectation::Pass => true,
        Expectation::Violates(symptom) => symptom.properties.contains(&property),
    };
    shown.iter().find(|one| one.property().is_none_or(expected)).or(shown.first())
}
