//! The catalog written to directly, as tools for services without an agent do.

use proptest::prelude::*;

use super::words::{Part, concat, fields, object, one_of, pick, word};

/// Left out: addresses of the node itself, which its agent puts right again when it likes, and a node's
/// second name under one id, which only a server that is not bootstrapping answers alike.
pub(super) fn register() -> Part {
    const NODES: &[&str] = &["\"Node\":\"n1\"", "\"Node\":\"n1\"", "\"Node\":\"n2\"", "\"Node\":\"N1\""];
    const FIELDS: &[&str] = &[
        "\"Datacenter\":\"dc1\"",
        "\"NodeMeta\":{\"k\":\"v\"}",
        "\"TaggedAddresses\":{\"lan\":\"10.0.0.7\"}",
        "\"SkipNodeUpdate\":true",
        "\"Service\":{\"Service\":\"web\"}",
        "\"Service\":{\"ID\":\"web1\",\"Service\":\"web\",\"Tags\":[\"a\",\"b\"],\"Port\":80}",
        "\"Service\":{\"Service\":\"db\",\"Address\":\"10.0.0.9\",\"Meta\":{\"v\":\"2\"}}",
        "\"Check\":{\"CheckID\":\"up\",\"Name\":\"up\",\"Status\":\"passing\"}",
        "\"Check\":{\"CheckID\":\"up\",\"Name\":\"up\",\"Status\":\"critical\",\"Output\":\"o\"}",
        "\"Checks\":[{\"CheckID\":\"sc\",\"Name\":\"sc\",\"Status\":\"warning\",\"ServiceID\":\"web\"}]",
    ];
    let more = fields(FIELDS, 3).prop_map(|more| if more.is_empty() { more } else { format!(",{more}") });
    concat(vec![
        word("PUT /v1/catalog/register | {"),
        pick(NODES),
        pick(&[",\"Address\":\"10.0.0.7\"", ",\"Address\":\"10.0.0.7\"", ",\"Address\":\"10.0.0.8\""]),
        more.boxed(),
        word("}"),
    ])
}

/// Left out: two errors in one body, of which the fake may name the other.
pub(super) fn register_wrong() -> Part {
    const FIELDS: &[&str] = &[
        "\"Node\":\"n1\"",
        "\"Address\":\"10.0.0.7\"",
        "\"Service\":{}",
        "\"Service\":{\"Service\":5}",
        "\"Check\":{\"Name\":\"x\",\"ServiceID\":\"none\"}",
        "\"Bogus\":1",
        "\"ID\":\"short\"",
    ];
    let body = one_of(vec![(5, object(FIELDS, 1)), (1, pick(&["[]", "\"x\"", "zz", "{\"Node\":", "null"]))]);
    concat(vec![pick(&["PUT /v1/catalog/register | ", "PUT /v1/catalog/deregister | "]), body])
}

pub(super) fn deregister() -> Part {
    const WHAT: &[&str] = &[
        "{\"Node\":\"n1\"}",
        "{\"Node\":\"n2\"}",
        "{\"Node\":\"N1\"}",
        "{\"Node\":\"none\"}",
        "{\"Node\":\"n1\",\"ServiceID\":\"web\"}",
        "{\"Node\":\"n1\",\"ServiceID\":\"none\"}",
        "{\"Node\":\"n1\",\"CheckID\":\"up\"}",
        "{\"Datacenter\":\"dc1\",\"Node\":\"n1\",\"CheckID\":\"none\"}",
    ];
    concat(vec![word("PUT /v1/catalog/deregister | "), pick(WHAT)])
}

/// What is registered in that way, read.
///
/// Left out: `near=_agent`, for a real agent brings its own coordinate when it has been up for 15 s to 35 s,
/// which the fake that is alone does not do.
pub(super) fn read() -> Part {
    const PATHS: &[&str] = &[
        "catalog/nodes",
        "catalog/node/n1",
        "catalog/node/N1",
        "catalog/node-services/n1",
        "catalog/service/web",
        "catalog/service/db",
        "health/service/web",
        "health/service/db?passing",
        "health/node/n1",
        "health/checks/web",
    ];
    let state = concat(vec![
        word("GET /v1/health/state/"),
        pick(&["any", "passing", "warning", "critical", "unknown", "Passing"]),
        pick(&["", "?near=n1", "?node-meta=k:v", "?node-meta=k:w"]),
    ]);
    const QUERIES: &[&str] = &["", "?near=n1", "?near=none", "?dc=dc1", "?node-meta=k:v", "?pretty"];
    let joined = (pick(PATHS), pick(QUERIES)).prop_map(|(path, query)| match path.contains('?') {
        true => format!("GET /v1/{path}{}", query.replacen('?', "&", 1)),
        false => format!("GET /v1/{path}{query}"),
    });
    one_of(vec![(3, joined.boxed()), (1, state)])
}

/// Expressions of `?filter=`, by what they select from. Names of fields that are not there are in it too.
pub(super) fn filter() -> Part {
    const LISTS: &[&str] = &[
        "catalog/nodes",
        "catalog/service/web",
        "catalog/node/n1",
        "health/service/web",
        "health/node/n1",
        "health/checks/web",
        "health/state/any",
        "agent/services",
        "agent/checks",
    ];
    const EXPRESSIONS: &[&str] = &[
        "Node+==+n1",
        "Node+!=+%22n1%22",
        "Meta+is+empty",
        "Meta.k+==+v",
        "%22a%22+in+ServiceTags",
        "a+not+in+Tags",
        "Service.Service+==+web",
        "Service+==+%22web%22",
        "ServicePort+==+80",
        "Port+!=+x",
        "Status+matches+%22pass.%2A%22",
        "Status+==+passing+and+Node+==+n1",
        "not+Status+==+passing+or+%28Name+==+up%29",
        "Checks+is+not+empty",
        "Checks.Status+==+passing",
        "Address+contains+%2210.0%22",
        "Bogus+==+1",
        "Node+==",
        "==",
        "Node+===+x",
        "%28Node+==+n1",
        "",
    ];
    concat(vec![word("GET /v1/"), pick(LISTS), word("?filter="), pick(EXPRESSIONS)])
}
