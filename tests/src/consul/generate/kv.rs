//! Keys.

use proptest::prelude::*;

use super::words::{KEYS, NO_SESSIONS, Part, SESSIONS, concat, one_of, pick, query, word};

const BODIES: &[&str] = &[" | one", " | one", " | two", "", " | {\"a\":\"<é>\"}"];

/// Left out: `dc=x`, which the real one looks at after everything else.
pub(super) fn write() -> Part {
    const PARAMS: &[&str] = &[
        "flags=0",
        "flags=42",
        "flags=18446744073709551615",
        "flags=18446744073709551616",
        "flags=-1",
        "flags=",
        "cas=0",
        "cas={i}",
        "cas=1",
        "cas=x",
        "cas=",
        "acquire={s1}",
        "acquire=",
        "release={s1}",
        "release=",
        "pretty",
        "dc=dc1",
        "ns=x",
        "stale",
        "consistent",
        "recurse",
    ];
    let body = one_of(vec![(40, pick(BODIES)), (1, word(" | «524289*x»")), (1, word(" | «524288*x»"))]);
    concat(vec![word("PUT /v1/kv/"), pick(KEYS), query(PARAMS, 2), body])
}

/// Left out: `max_stale=zz`, which the real one looks at before `index` and `wait`.
const READS: &[&str] = &[
    "raw",
    "recurse",
    "keys",
    "separator=/",
    "separator=",
    "seperator=/",
    "separator=a",
    "pretty",
    "stale",
    "consistent",
    "cached",
    "max_stale=1s",
    "index=0",
    "index=x",
    "index=-1",
    "wait=1s",
    "wait=zz",
    "wait=5",
    "dc=dc1",
    "dc=x",
    "ns=x",
    "token=x",
    "near=_agent",
];
const PREFIXES: &[&str] = &["", "{k}", "{k}a", "{k}a/", "{k}d", "{k}zz"];

pub(super) fn read() -> Part {
    let one = concat(vec![word("GET /v1/kv/"), pick(KEYS), query(READS, 2)]);
    let many = concat(vec![
        word("GET /v1/kv/"),
        pick(PREFIXES),
        pick(&[
            "?recurse",
            "?keys",
            "?keys&separator=/",
            "?recurse=true",
            "?recurse&keys",
            "?recurse&raw",
            "",
        ]),
        pick(&["", "", "", "&pretty", "&stale", "&consistent", "&separator=b"]),
    ]);
    one_of(vec![(2, one), (1, many)])
}

pub(super) fn delete() -> Part {
    let one = concat(vec![
        word("DELETE /v1/kv/"),
        pick(KEYS),
        query(&["cas=0", "cas={i}", "cas=1", "cas=x", "recurse", "pretty"], 1),
    ]);
    let many = concat(vec![
        word("DELETE /v1/kv/"),
        pick(PREFIXES),
        pick(&["?recurse", "?recurse", "?recurse&cas=1", ""]),
    ]);
    one_of(vec![(3, one), (1, many)])
}

pub(super) fn lock() -> Part {
    let session = one_of(vec![(9, pick(SESSIONS)), (1, pick(NO_SESSIONS))]);
    let verb = pick(&["?acquire=", "?acquire=", "?release="]);
    let flags = pick(&["", "", "", "&flags=7", "&flags=x", "&cas=0"]);
    let lock = concat(vec![word("PUT /v1/kv/"), pick(KEYS), verb, session, flags, pick(BODIES)]);
    let create =
        concat(vec![word("PUT /v1/session/create | "), pick(&["{\"LockDelay\":\"0s\"}", ""]), word("\n")]);
    let locked = concat(vec![
        create,
        word("PUT /v1/kv/"),
        pick(KEYS),
        word("?acquire="),
        pick(SESSIONS),
        pick(BODIES),
    ]);
    one_of(vec![(3, lock), (1, locked)])
}

/// A read of a key and what is done with the index it reported.
pub(super) fn check_and_set() -> Part {
    let then = pick(&["PUT {key}?cas={i} | three", "PUT {key}?cas={i}&flags=1", "DELETE {key}?cas={i}"]);
    (pick(KEYS), then)
        .prop_map(|(key, then)| format!("GET {{key}}\n{then}").replace("{key}", &format!("/v1/kv/{key}")))
        .boxed()
}
