//! What HTTP makes of methods and paths.

use super::words::{Part, concat, one_of, pick};

pub(super) fn odd() -> Part {
    const PATHS: &[&str] = &[
        "/",
        "/v1",
        "/v1/",
        "/v1/nope",
        "/v1/kv",
        "/v1/kv//a",
        "/v1/kv/{k}a/../b",
        "/v1/kv/{k}%01",
        "/v1/kv/{k}%7F",
        "/v1/session",
        "/v1/session/list",
        "/v1/session/list/",
        "/v1/session/create",
        "/v1/session/info",
        "/v1/session/x",
        "/v1/agent/self",
        "/v1/agent/services",
        "/v1/agent/service",
        "/v1/agent/check",
        "/v1/agent/check/pass/c1",
        "/v1/agent/check/bogus/c1",
        "/v1/agent/service/register",
        "/v1/catalog/nodes",
        "/v1/catalog/nodes/x",
        "/v1/catalog/node",
        "/v1/health/service",
        "/v1/health/state/any",
        "/v1/status/leader",
        "/v1/status/x",
        "/v1/txn",
        "/v1/txn/",
        "/V1/kv/a",
        "/v1/KV/a",
    ];
    // Left out: HEAD, whose redirects have a content type on the real one.
    const METHODS: &[&str] = &["GET ", "PUT ", "POST ", "DELETE ", "OPTIONS ", "PATCH "];
    let plain = concat(vec![pick(METHODS), pick(PATHS)]);
    let query = concat(vec![pick(&["GET ", "PUT "]), pick(PATHS), pick(&["?pretty", "?a=b&c"])]);
    one_of(vec![(3, plain), (1, query)])
}
