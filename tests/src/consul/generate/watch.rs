//! Blocking queries.

use proptest::prelude::*;

use super::words::{Part, pick};

/// Left out: `health/checks/web`, which the real one may wake for checks of other services, and
/// `health/state/critical`, which the fake always wakes for checks in other states and the real one sometimes.
const WATCHED: &[&str] = &[
    "kv/{k}a",
    "kv/{k}a",
    "kv/{k}b",
    "kv/{k}a?recurse",
    "kv/{k}?keys",
    "kv/{k}d?keys&separator=/",
    "session/info/{s1}",
    "session/list",
    "session/node/parity",
    "catalog/nodes",
    "catalog/services",
    "catalog/service/web",
    "catalog/service/none",
    "catalog/node/parity",
    "health/service/web",
    "health/service/web?passing",
    "health/service/none",
    "health/node/parity",
    "health/state/any",
];

/// A query of something that is over at once, or after a few milliseconds.
pub(super) fn soon() -> Part {
    let blocking = pick(&[
        "index=1&wait=5ms",
        "index={i}&wait=5ms",
        "index=1000000000&wait=5ms",
        "index={i}&wait=3ms&stale",
    ]);
    (pick(WATCHED), blocking)
        .prop_map(|(path, blocking)| format!("GET /v1/{}", with(&path, &blocking)))
        .boxed()
}

/// A query that waits while others change what it watches.
pub(super) fn left() -> Part {
    pick(WATCHED)
        .prop_map(|path| format!("GET /v1/{path}\nWATCH /v1/{}", with(&path, "index={i}&wait=10s")))
        .boxed()
}

fn with(path: &str, query: &str) -> String {
    let join = if path.contains('?') { '&' } else { '?' };
    format!("{path}{join}{query}")
}
