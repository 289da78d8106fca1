//! Users' events, and maintenance.

use proptest::prelude::*;

use super::words::{Part, SERVICES, concat, one_of, pick, query, word};

/// Left out: filters that are no regular expressions of both languages.
pub(super) fn fire() -> Part {
    const PARAMS: &[&str] =
        &["node=parity", "node=none", "service=consul", "service=none", "tag=x", "service=consul&tag=x"];
    concat(vec![
        word("PUT /v1/event/fire/"),
        pick(&["deploy", "deploy", "other", "%C3%A9", ""]),
        query(PARAMS, 1),
        pick(&["", " | v2", " | «100*x»", " | «600*x»"]),
    ])
}

/// The agent's own list of them is full of what earlier plays fired, so each looks for a name nobody fires.
pub(super) fn list() -> Part {
    pick(&[
        "GET /v1/event/list?name=none",
        "GET /v1/event/list?name=none&index=1&wait=5ms",
        "GET /v1/event/list?name=none&wait=zz",
    ])
}

pub(super) fn maintenance() -> Part {
    let node = pick(&[
        "PUT /v1/agent/maintenance?enable=true",
        "PUT /v1/agent/maintenance?enable=true&reason=broken",
        "PUT /v1/agent/maintenance?enable=false",
        "PUT /v1/agent/maintenance?enable=zz",
        "PUT /v1/agent/maintenance",
    ]);
    let service = concat(vec![
        word("PUT /v1/agent/service/maintenance/"),
        one_of(vec![(5, pick(SERVICES)), (1, Just(String::new()).boxed())]),
        pick(&["?enable=true", "?enable=true&reason=r", "?enable=false", "?enable=x", ""]),
    ]);
    one_of(vec![(1, node), (2, service)])
}

/// A token, where there are no ACLs: everybody ignores it, but for `/v1/acl` nobody asks for it.
pub(super) fn tokens() -> Part {
    const LINES: &[&str] = &[
        "GET /v1/kv/{k}a",
        "PUT /v1/kv/{k}a",
        "PUT /v1/session/create",
        "GET /v1/health/service/web",
        "GET /v1/health/service/web?cached",
        "GET /v1/agent/services",
        "GET /v1/catalog/services",
    ];
    let header = pick(&[" [X-Consul-Token: t]", " [Authorization: Bearer t]", " [X-Consul-Token: {k}]"]);
    let ignored = concat(vec![pick(LINES), header.clone()]);
    const METHODS: &[&str] = &["GET ", "PUT ", "POST ", "DELETE ", "OPTIONS "];
    const ACL: &[&str] = &[
        "bootstrap",
        "replication",
        "policies",
        "policy",
        "policy/x",
        "policy/name",
        "policy/name/x",
        "roles",
        "role/x",
        "binding-rules",
        "auth-method/x",
        "login",
        "logout",
        "tokens",
        "token/self",
        "token/x/clone",
        "create",
        "destroy/x",
        "info/x",
        "list",
        "rules/translate",
        "rules/translate/x",
        "unknown",
        "",
    ];
    let acl = concat(vec![pick(METHODS), word("/v1/acl/"), pick(ACL), pick(&["", "?dc=x", "?index=x"])]);
    one_of(vec![(1, ignored), (2, acl)])
}
