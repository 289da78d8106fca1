//! Pieces of requests.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

/// Part of a template.
pub(super) type Part = BoxedStrategy<String>;

/// Names of keys, as they stand in a path.
pub(super) const KEYS: &[&str] = &[
    "{k}a",
    "{k}a",
    "{k}b",
    "{k}a/b",
    "{k}a/c",
    "{k}ab",
    "{k}d/",
    "{k}d/x",
    "{k}%C3%A9",
    "{k}%20x%2B",
    "{k}%3C%26",
];
/// Names of keys, as they stand in JSON.
pub(super) const JSON_KEYS: &[&str] = &["{k}a", "{k}a", "{k}b", "{k}a/b", "{k}ab", "{k}d/", "{k}é", "{k}<&"];
/// Values in base64, as they stand in JSON.
pub(super) const VALUES: &[&str] = &["aGk=", "", "b25l", "dHdv"];
/// The first sessions.
pub(super) const SESSIONS: &[&str] = &["{s1}", "{s1}", "{s2}", "{s3}", "{s4}", "{s9}"];
/// What is no session's id.
pub(super) const NO_SESSIONS: &[&str] =
    &["", "abc", "zzzzzzzz-0000-0000-0000-000000000000", "00000000-0000-0000-0000-00000000000-", "{s1}0"];
/// Ids of services.
pub(super) const SERVICES: &[&str] = &["web", "web", "web1", "web2", "db", "Web", "none"];
/// Ids of checks.
pub(super) const CHECKS: &[&str] =
    &["c1", "c1", "c2", "service:web", "service:web", "service:web1", "service:db", "service:web:2", "none"];

/// One of these.
pub(super) fn pick(choices: &'static [&'static str]) -> Part {
    select(choices).prop_map(str::to_owned).boxed()
}

/// This.
pub(super) fn word(word: &'static str) -> Part {
    Just(word.to_owned()).boxed()
}

/// One after the other.
pub(super) fn concat(parts: Vec<Part>) -> Part {
    parts.prop_map(|parts| parts.concat()).boxed()
}

/// Up to `most` of these, joined.
pub(super) fn some(choices: &'static [&'static str], most: usize, join: &'static str) -> Part {
    subsequence(choices, 0..=most).prop_map(move |chosen| chosen.join(join)).boxed()
}

/// A query with up to `most` of these in it.
pub(super) fn query(choices: &'static [&'static str], most: usize) -> Part {
    some(choices, most, "&")
        .prop_map(|query| if query.is_empty() { query } else { format!("?{query}") })
        .boxed()
}

/// Fields of a JSON object, up to `most` of them, no name twice.
pub(super) fn fields(fields: &'static [&'static str], most: usize) -> Part {
    let name = |field: &str| field.split(':').next().unwrap_or_default().replace('_', "").to_lowercase();
    subsequence(fields, 0..=most)
        .prop_map(move |mut fields| {
            let mut names = BTreeSet::new();
            fields.retain(|field| names.insert(name(field)));
            fields.join(",")
        })
        .boxed()
}

/// A JSON object with up to `most` of these fields.
pub(super) fn object(of: &'static [&'static str], most: usize) -> Part {
    fields(of, most).prop_map(|fields| format!("{{{fields}}}")).boxed()
}

/// One of these, which are templates themselves.
pub(super) fn one_of(choices: Vec<(u32, Part)>) -> Part {
    proptest::strategy::Union::new_weighted(choices).boxed()
}
