//! Reads of the catalog and of health.

use super::words::{Part, concat, one_of, pick, query, word};

/// Left out: `ns=x`, which some ignore on the real one, and `dc=x`, whose error has the headers of a query on the real one.
const READS: &[&str] = &[
    "pretty",
    "stale",
    "consistent",
    "stale&consistent",
    "max_stale=1s",
    "index=x",
    "wait=zz",
    "dc=dc1",
    "index=1&wait=5ms",
];

pub(super) fn catalog() -> Part {
    const PATHS: &[&str] = &[
        "catalog/nodes",
        "catalog/services",
        "catalog/service/web",
        "catalog/service/web?tag=a",
        "catalog/service/web?tag=a&tag=zz",
        "catalog/service/db",
        "catalog/service/WEB",
        "catalog/service/none",
        "catalog/service/consul",
        "catalog/service/",
        "catalog/node/parity",
        "catalog/node/PARITY",
        "catalog/node/none",
        "catalog/node/",
    ];
    // Left out: what other queries have in theirs, which the real one mostly ignores here.
    let plain = concat(vec![
        pick(&["GET /v1/catalog/datacenters", "GET /v1/status/leader", "GET /v1/status/peers"]),
        query(&["pretty", "stale"], 1),
    ]);
    one_of(vec![(5, path(PATHS)), (1, plain)])
}

pub(super) fn health() -> Part {
    const PATHS: &[&str] = &[
        "health/service/web",
        "health/service/web",
        "health/service/web?passing",
        "health/service/web?passing=1",
        "health/service/web?passing=false",
        "health/service/web?passing=zz",
        "health/service/web?tag=a",
        "health/service/web?tag=b&tag=a&passing",
        "health/service/Web",
        "health/service/db",
        "health/service/none",
        "health/service/",
        "health/checks/web",
        "health/checks/db",
        "health/checks/none",
        "health/checks/",
        "health/node/parity",
        "health/node/none",
        "health/node/",
        "health/state/any",
        "health/state/passing",
        "health/state/warning",
        "health/state/critical",
        "health/state/bogus",
        "health/state/",
    ];
    path(PATHS)
}

fn path(paths: &'static [&'static str]) -> Part {
    use proptest::prelude::*;
    let path = (pick(paths), query(READS, 1)).prop_map(|(path, query)| match path.contains('?') {
        true => path + &query.replacen('?', "&", 1),
        false => path + &query,
    });
    concat(vec![word("GET /v1/"), path.boxed()])
}
