//! Sessions.

use super::words::{NO_SESSIONS, Part, SESSIONS, concat, object, one_of, pick, query, word};

pub(super) fn create() -> Part {
    const FIELDS: &[&str] = &[
        "\"Name\":\"x\"",
        "\"TTL\":\"10s\"",
        "\"TTL\":\"86400s\"",
        "\"TTL\":\"\"",
        "\"Behavior\":\"delete\"",
        "\"behavior\":\"release\"",
        "\"LockDelay\":\"0s\"",
        "\"LockDelay\":\"0s\"",
        "\"lockdelay\":20",
        "\"LockDelay\":\"90s\"",
        "\"LockDelay\":-5",
        "\"Checks\":[]",
        "\"Checks\":null",
        "\"Checks\":[\"serfHealth\",\"c1\"]",
        "\"Checks\":[\"service:web\"]",
        "\"NodeChecks\":[]",
        "\"NodeChecks\":[\"c1\"]",
        "\"NodeChecks\":[\"serfHealth\"]",
        "\"ServiceChecks\":[{\"ID\":\"service:web\"}]",
        "\"ServiceChecks\":[{\"ID\":\"c1\",\"Namespace\":\"\"}]",
        "\"Node\":\"PARITY\"",
        "\"ID\":\"zz\"",
        "\"Bogus\":[1]",
    ];
    concat(vec![
        word("PUT /v1/session/create"),
        pick(&["", "", "?pretty", "?dc=dc1"]),
        word(" | "),
        object(FIELDS, 4),
    ])
}

/// Left out: `"LockDelay":null`, which is the default on the real one; two errors in one body, of which the fake may name the other; a comma too many; `"Behavior":1`, `"Checks":[5]` and `"ServiceChecks":["c1"]`,
/// whose errors name other types.
pub(super) fn create_wrong() -> Part {
    const FIELDS: &[&str] = &[
        "\"Name\":5",
        "\"TTL\":\"5s\"",
        "\"TTL\":\"15\"",
        "\"TTL\":\"1d\"",
        "\"TTL\":\"-20s\"",
        "\"TTL\":\"90000s\"",
        "\"TTL\":10",
        "\"Behavior\":\"bogus\"",
        "\"LockDelay\":\"zz\"",
        "\"LockDelay\":[]",
        "\"Checks\":\"x\"",
        "\"Checks\":[\"none\"]",
        "\"NodeChecks\":{}",
        "\"ServiceChecks\":[{\"ID\":\"none\"}]",
        "\"Node\":\"nope\"",
        "\"Node\":\"\"",
        "\"Node\":7",
    ];
    let body = one_of(vec![
        (4, object(FIELDS, 1)),
        (1, pick(&["[]", "\"x\"", "zz", "{\"Name\":", "null", "{}x", "5", " "])),
    ]);
    concat(vec![word("PUT /v1/session/create | "), body])
}

/// Left out: reads of what is no session's id, whose errors have the headers of a query on the real one.
pub(super) fn other() -> Part {
    let id = || one_of(vec![(8, pick(SESSIONS)), (1, pick(NO_SESSIONS))]);
    let end = concat(vec![
        pick(&["PUT /v1/session/destroy/", "PUT /v1/session/destroy/", "PUT /v1/session/renew/"]),
        id(),
        query(&["pretty", "dc=dc1", "stale"], 1),
    ]);
    const READS: &[&str] =
        &["pretty", "stale", "consistent", "stale&consistent", "index=x", "wait=x", "ns=x"];
    let info = concat(vec![word("GET /v1/session/info/"), pick(SESSIONS), query(READS, 1)]);
    let list = concat(vec![
        pick(&[
            "GET /v1/session/list",
            "GET /v1/session/node/parity",
            "GET /v1/session/node/PARITY",
            "GET /v1/session/node/none",
        ]),
        query(READS, 1),
    ]);
    one_of(vec![(3, end), (2, info), (1, list)])
}
