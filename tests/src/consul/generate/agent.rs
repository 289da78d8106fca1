//! The agent's services and checks.

use proptest::prelude::*;

use super::words::{CHECKS, Part, SERVICES, concat, fields, object, one_of, pick, query, word};

/// Left out here and in what follows: a name twice in an object, two errors in one body.
/// Left out: `replace-existing-checks`, where the real one removes what is replaced in a later write.
/// Left out: ids that differ in case only, which are two to the agent and one to the catalog.
/// Left out: `"Tags":[]`, which is not the same as no tags when a service is registered again.
pub(super) fn service() -> Part {
    const FIELDS: &[&str] = &[
        "\"ID\":\"web1\"",
        "\"ID\":\"web2\"",
        "\"Address\":\"10.0.0.1\"",
        "\"Address\":\"::1\"",
        "\"Address\":\"host.name\"",
        "\"Port\":80",
        "\"Port\":-1",
        "\"Tags\":[\"b\",\"a\"]",
        "\"Tags\":null",
        "\"Meta\":{\"k\":\"v\"}",
        "\"EnableTagOverride\":true",
        "\"enable_tag_override\":false",
        "\"Weights\":{\"Passing\":2,\"Warning\":3}",
        "\"TaggedAddresses\":{\"lan\":{\"Address\":\"1.1.1.1\",\"Port\":4}}",
        "\"Check\":{\"TTL\":\"10m\",\"Status\":\"passing\"}",
        "\"Check\":{\"TTL\":\"10m\"}",
        "\"Check\":{}",
        "\"Check\":{\"TTL\":\"10m\",\"CheckID\":\"c1\",\"Notes\":\"n\",\"Status\":\"warning\"}",
        "\"check\":{\"ttl\":\"11m\",\"DeregisterCriticalServiceAfter\":\"10m\"}",
        "\"Checks\":[{\"TTL\":\"10m\"},{\"TTL\":\"20m\",\"Name\":\"two\",\"Status\":\"passing\"}]",
        "\"Checks\":[]",
    ];
    let name = pick(&["\"Name\":\"web\"", "\"Name\":\"web\"", "\"Name\":\"db\"", "\"name\":\"web\""]);
    concat(vec![
        word("PUT /v1/agent/service/register"),
        pick(&["", "", "", "?token=x"]),
        word(" | {"),
        name,
        and(FIELDS, 4),
    ])
}

/// Up to `most` of these fields, to stand behind one that is there already.
fn and(of: &'static [&'static str], most: usize) -> Part {
    fields(of, most)
        .prop_map(|more| if more.is_empty() { "}".to_owned() } else { format!(",{more}}}") })
        .boxed()
}

/// Left out: a list where a check is due, whose error spells out a type.
pub(super) fn service_wrong() -> Part {
    const FIELDS: &[&str] = &[
        "\"Name\":\"\"",
        "\"Name\":\"web\"",
        "\"Name\":5",
        "\"ID\":[]",
        "\"Address\":\"0.0.0.0\"",
        "\"Address\":5",
        "\"Port\":\"5\"",
        "\"Port\":5.5",
        "\"Tags\":\"x\"",
        "\"Tags\":[1]",
        "\"Meta\":{\"a b\":\"x\"}",
        "\"Meta\":{\"\":\"x\"}",
        "\"Meta\":{\"a\":1}",
        "\"Bogus\":5",
        "\"EnableTagOverride\":\"x\"",
        "\"Weights\":{\"Passing\":0,\"Warning\":1}",
        "\"Weights\":{\"Passing\":1,\"Warning\":-1}",
        "\"Weights\":{\"Passing\":70000}",
        "\"Check\":{\"TTL\":\"zz\"}",
        "\"Check\":{\"TTL\":\"-1s\"}",
        "\"Check\":{\"Name\":\"c\"}",
        "\"Check\":{\"TTL\":\"10m\",\"Interval\":\"5s\"}",
        "\"Check\":{\"TTL\":\"10m\",\"Status\":\"bogus\"}",
        "\"Check\":{\"Bogus\":1}",
        "\"Checks\":{}",
        "\"TaggedAddresses\":{\"lan\":{\"Address\":1}}",
    ];
    let body =
        one_of(vec![(5, object(FIELDS, 1)), (1, pick(&["[]", "\"x\"", "zz", "{\"Name\":", "null", "{}x"]))]);
    let register = concat(vec![word("PUT /v1/agent/service/register | "), body]);
    let other = pick(&[
        "PUT /v1/agent/service/register",
        "PUT /v1/agent/service/deregister/",
        "GET /v1/agent/service/",
    ]);
    one_of(vec![(4, register), (1, other)])
}

pub(super) fn check() -> Part {
    let beat = concat(vec![
        pick(&["PUT /v1/agent/check/pass/", "PUT /v1/agent/check/fail/", "PUT /v1/agent/check/warn/"]),
        pick(CHECKS),
        query(&["note=hello+there", "note=%3C%22%C3%A9", "note=", "x=1"], 1),
    ]);
    const UPDATE: &[&str] = &[
        "\"Status\":\"critical\"",
        "\"Status\":\"passing\"",
        "\"status\":\"warning\"",
        "\"Output\":\"o\"",
        "\"Output\":\"«5000*o»\"",
    ];
    let update =
        concat(vec![word("PUT /v1/agent/check/update/"), pick(CHECKS), word(" | "), object(UPDATE, 2)]);
    one_of(vec![(6, beat), (2, update)])
}

pub(super) fn check_register() -> Part {
    const FIELDS: &[&str] = &[
        "\"ID\":\"c1\"",
        "\"Notes\":\"n\"",
        "\"Status\":\"passing\"",
        "\"Status\":\"warning\"",
        "\"status\":\"critical\"",
        "\"ServiceID\":\"web\"",
        "\"ServiceID\":\"web1\"",
        "\"service_id\":\"db\"",
        "\"DeregisterCriticalServiceAfter\":\"10m\"",
    ];
    concat(vec![word("PUT /v1/agent/check/register | {\"Name\":\"c1\",\"TTL\":\"10m\""), and(FIELDS, 3)])
}

pub(super) fn check_wrong() -> Part {
    const FIELDS: &[&str] = &[
        "\"Name\":\"c1\"",
        "\"Name\":\"c1\"",
        "\"Name\":\"\"",
        "\"Name\":5",
        "\"TTL\":\"10m\"",
        "\"TTL\":\"zz\"",
        "\"TTL\":[]",
        "\"Interval\":\"10s\"",
        "\"Status\":\"bogus\"",
        "\"Status\":5",
        "\"ServiceID\":\"none\"",
        "\"CheckID\":\"c1\"",
        "\"Args\":[\"x\"],\"Interval\":\"5s\"",
        "\"Bogus\":1",
        "\"Timeout\":\"x\"",
    ];
    let register = concat(vec![word("PUT /v1/agent/check/register | "), object(FIELDS, 1)]);
    const UPDATE: &[&str] =
        &["\"Status\":\"bogus\"", "\"Status\":5", "\"Bogus\":1", "\"Output\":5", "\"Status\":\"passing\""];
    let update =
        concat(vec![word("PUT /v1/agent/check/update/"), pick(CHECKS), word(" | "), object(UPDATE, 1)]);
    let other = pick(&[
        "PUT /v1/agent/check/register",
        "PUT /v1/agent/check/register | {",
        "PUT /v1/agent/check/update/c1",
        "PUT /v1/agent/check/update/c1 | zz",
        "PUT /v1/agent/check/pass/",
        "PUT /v1/agent/check/pass",
        "PUT /v1/agent/check/deregister/",
        "PUT /v1/agent/check/fail/serfHealth",
    ]);
    one_of(vec![(3, register), (2, update), (1, other)])
}

pub(super) fn read() -> Part {
    let list = pick(&[
        "GET /v1/agent/services",
        "GET /v1/agent/checks",
        "GET /v1/agent/self",
        "GET /v1/agent/members",
    ]);
    let one = concat(vec![
        word("GET /v1/agent/service/"),
        pick(SERVICES),
        query(&["pretty", "hash=zz&wait=5ms", "stale"], 1),
    ]);
    // Left out: `dc=x` and `ns=x`, which the agent's own endpoints ignore on the real one.
    one_of(vec![(2, concat(vec![list, query(&["pretty", "stale"], 1)])), (2, one)])
}

pub(super) fn deregister() -> Part {
    let service = concat(vec![word("PUT /v1/agent/service/deregister/"), pick(SERVICES)]);
    let check = concat(vec![word("PUT /v1/agent/check/deregister/"), pick(CHECKS)]);
    one_of(vec![(1, service), (1, check)])
}
