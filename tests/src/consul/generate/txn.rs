//! Transactions.

use proptest::prelude::*;

use super::words::{JSON_KEYS, Part, SESSIONS, VALUES, concat, one_of, pick, word};

fn operation() -> Part {
    const VERBS: &[&str] = &[
        "set",
        "get",
        "cas",
        "lock",
        "unlock",
        "get-tree",
        "check-index",
        "check-session",
        "check-not-exists",
        "delete",
        "delete-cas",
        "delete-tree",
    ];
    let rest = one_of(vec![
        (3, concat(vec![word(",\"Value\":\""), pick(VALUES), word("\"")])),
        (2, concat(vec![word(",\"Session\":\""), pick(SESSIONS), word("\"")])),
        (1, concat(vec![word(",\"Value\":\"aGk=\",\"Session\":\""), pick(SESSIONS), word("\"")])),
        (3, pick(&["", ",\"Index\":0", ",\"Index\":{i}", ",\"Index\":1", ",\"Flags\":7", ",\"Value\":null"])),
    ]);
    concat(vec![
        word("{\"KV\":{\"Verb\":\""),
        pick(VERBS),
        word("\",\"Key\":\""),
        pick(JSON_KEYS),
        word("\""),
        rest,
        word("}}"),
    ])
}

fn list(operations: impl Strategy<Value = Vec<String>> + 'static) -> Part {
    operations.prop_map(|operations| format!("[{}]", operations.join(","))).boxed()
}

pub(super) fn any() -> Part {
    let many = list(proptest::collection::vec(operation(), 1..=5));
    // Left out: `?stale&consistent` with a verb that writes, which the fake alone refuses.
    let query = pick(&["", "", "", "", "?pretty", "?stale", "?consistent"]);
    let then = pick(&["", "\nGET /v1/kv/?recurse"]);
    concat(vec![word("PUT /v1/txn"), query, word(" | "), many, then])
}

/// Left out: `null` for an operation, over which a real server closes the connection.
pub(super) fn wrong() -> Part {
    const OPERATIONS: &[&str] = &[
        "{}",
        "5",
        "{\"KV\":null}",
        "{\"KV\":{}}",
        "{\"Bogus\":{}}",
        "{\"KV\":{\"Verb\":\"bogus\",\"Key\":\"{k}a\"}}",
        "{\"KV\":{\"Verb\":\"set\",\"Key\":\"\"}}",
        "{\"KV\":{\"Verb\":\"get\"}}",
        "{\"KV\":{\"Verb\":\"set\",\"Key\":\"{k}a\",\"Value\":\"!!\"}}",
        "{\"KV\":{\"Verb\":\"set\",\"Key\":\"{k}a\",\"Value\":5}}",
        "{\"KV\":{\"Verb\":\"set\",\"Key\":\"{k}a\",\"Bogus\":1}}",
        "{\"KV\":{\"Verb\":\"set\",\"Key\":\"{k}a\",\"Flags\":-1}}",
        "{\"KV\":{\"Verb\":\"set\",\"Key\":5}}",
        "{\"KV\":{\"Verb\":\"cas\",\"Key\":\"{k}a\",\"Index\":\"1\"}}",
        "{\"KV\":{\"Verb\":\"lock\",\"Key\":\"{k}a\"}}",
        "{\"KV\":{\"Verb\":\"lock\",\"Key\":\"{k}a\",\"Session\":\"abc\"}}",
        "{\"kv\":{\"verb\":\"set\",\"key\":\"{k}b\"}}",
    ];
    let one = list(proptest::collection::vec(one_of(vec![(2, pick(OPERATIONS)), (1, operation())]), 1..=3));
    let body = one_of(vec![
        (6, one),
        (
            2,
            pick(&["", " | {}", " | []", " | null", " | zz", " | [", " | \"x\"", " | [{}"])
                .prop_map(|body| body.trim_start_matches(" | ").to_owned())
                .boxed(),
        ),
        (
            1,
            word(
                "[«64*{\"KV\":{\"Verb\":\"get\",\"Key\":\"{k}a\"}},»{\"KV\":{\"Verb\":\"get\",\"Key\":\"{k}a\"}}]",
            ),
        ),
        (
            1,
            word(
                "[«63*{\"KV\":{\"Verb\":\"set\",\"Key\":\"{k}a\"}},»{\"KV\":{\"Verb\":\"get\",\"Key\":\"{k}a\"}}]",
            ),
        ),
    ]);
    concat(vec![word("PUT /v1/txn | "), body])
}

/// Operations on the catalog, in transactions of their own and together with keys.
pub(super) fn catalog() -> Part {
    const OPERATIONS: &[&str] = &[
        "{\"Node\":{\"Verb\":\"set\",\"Node\":{\"Node\":\"n1\",\"Address\":\"10.0.0.7\"}}}",
        "{\"Node\":{\"Verb\":\"set\",\"Node\":{\"Node\":\"n1\",\"Address\":\"10.0.0.8\",\"Meta\":{\"k\":\"v\"}}}}",
        "{\"Node\":{\"Verb\":\"get\",\"Node\":{\"Node\":\"n1\"}}}",
        "{\"Node\":{\"Verb\":\"cas\",\"Node\":{\"Node\":\"n1\",\"Address\":\"10.0.0.9\",\"ModifyIndex\":0}}}",
        "{\"Node\":{\"Verb\":\"delete\",\"Node\":{\"Node\":\"n1\"}}}",
        "{\"Node\":{\"Verb\":\"delete-cas\",\"Node\":{\"Node\":\"n1\",\"ModifyIndex\":1}}}",
        "{\"Service\":{\"Verb\":\"set\",\"Node\":\"n1\",\"Service\":{\"ID\":\"web\",\"Service\":\"web\",\"Port\":80}}}",
        "{\"Service\":{\"Verb\":\"get\",\"Node\":\"n1\",\"Service\":{\"ID\":\"web\"}}}",
        "{\"Service\":{\"Verb\":\"cas\",\"Node\":\"n1\",\"Service\":{\"ID\":\"web\",\"Service\":\"web\",\"ModifyIndex\":1}}}",
        "{\"Service\":{\"Verb\":\"delete\",\"Node\":\"n1\",\"Service\":{\"ID\":\"web\"}}}",
        "{\"Check\":{\"Verb\":\"set\",\"Check\":{\"Node\":\"n1\",\"CheckID\":\"up\",\"Name\":\"up\",\"Status\":\"passing\"}}}",
        "{\"Check\":{\"Verb\":\"set\",\"Check\":{\"Node\":\"n1\",\"CheckID\":\"up\",\"Name\":\"up\",\"Status\":\"critical\"}}}",
        "{\"Check\":{\"Verb\":\"get\",\"Check\":{\"Node\":\"n1\",\"CheckID\":\"up\"}}}",
        "{\"Check\":{\"Verb\":\"delete\",\"Check\":{\"Node\":\"n1\",\"CheckID\":\"up\"}}}",
    ];
    let each = one_of(vec![(5, pick(OPERATIONS)), (1, operation())]);
    concat(vec![word("PUT /v1/txn | "), list(proptest::collection::vec(each, 1..=4))])
}
