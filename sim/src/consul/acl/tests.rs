use http::HeaderMap;
use proptest::prelude::*;

use super::rules::{Access, Rules};
use super::{Acl, AclConfig, NotFound, token_of};

fn acl(config: &str) -> Acl {
    let config: AclConfig = toml::from_str(config).expect("a configuration");
    Acl::new(&config, "golden").expect("good rules")
}

fn with_rules(default_policy: &str, rules: &str) -> Acl {
    acl(&format!("default_policy = {default_policy:?}\npolicies.p = {rules:?}\ntoken.t.policies = [\"p\"]\n"))
}

#[test]
fn the_most_specific_rule_speaks() {
    let rules = r#"
        key_prefix "" { policy = "read" }
        key_prefix "app/" { policy = "write" }
        key "app/secret" { policy = "deny" }
        key "app/shown" { policy = "read" }
        key_prefix "app/list/" { policy = "list" }
        service "web" { policy = "write" } # exact
        service_prefix "web" { policy = "read" }
        node_prefix "g" { policy = "write" } // prefix
        session "golden" { policy = "write" }
        agent_prefix "" { policy = "read" }
        event "deploy" { policy = "write" }
        operator = "read" /* and no more */
    "#;
    let acl = with_rules("deny", rules);
    let may = acl.resolve(Some("t")).expect("a token");
    assert!(may.key_read("x") && !may.key_write("x") && !may.key_list("x"));
    assert!(may.key_write("app/x") && may.key_list("app/x"));
    assert!(!may.key_read("app/secret") && may.key_write("app/secret2"));
    assert!(may.key_read("app/shown") && !may.key_write("app/shown"));
    assert!(may.key_read("app/list/x") && may.key_list("app/list/") && !may.key_write("app/list/x"));
    assert!(!may.key_write_prefix("app/") && !may.key_write_prefix("") && may.key_write_prefix("app/x/"));
    assert!(may.service_write("web") && !may.service_write("web2") && may.service_read("web2"));
    assert!(!may.service_read("db"));
    assert!(may.node_write("golden") && !may.node_read("other"));
    assert!(may.session_write("golden") && !may.session_write("golden2"));
    assert!(may.agent_read("any") && !may.agent_write("any"));
    assert!(may.event_write("deploy") && !may.event_read("deployed"));
    assert!(may.operator_read() && !may.operator_write());
    assert!(!may.acl_read() && !may.keyring_read());
}

#[test]
fn where_no_rule_speaks_the_default_does_but_never_of_acls() {
    for (default, allowed) in [("allow", true), ("deny", false)] {
        let acl = with_rules(default, r#"key "a" { policy = "read" }"#);
        for token in [None, Some(""), Some("anonymous"), Some("t")] {
            let may = acl.resolve(token).expect("a token");
            assert_eq!(may.key_write("b"), allowed);
            assert_eq!(may.key_write_prefix("b"), allowed);
            assert_eq!(may.operator_write(), allowed);
            assert!(!may.acl_read() && !may.acl_write());
        }
        assert!(!acl.resolve(Some("t")).expect("a token").key_write("a"));
        assert!(!acl.resolve(Some("t")).expect("a token").key_write_prefix(""));
    }
}

#[test]
fn of_rules_for_the_same_name_denial_wins_then_what_grants_more() {
    let acl = acl(r#"
        default_policy = "deny"
        policies.read = 'key "a" { policy = "read" } key "b" { policy = "list" } operator = "read"'
        policies.write = 'key "a" { policy = "write" } key "b" { policy = "write" } operator = "write"'
        policies.deny = 'key "b" { policy = "deny" } operator = "deny"'
        token.two.policies = ["write", "read"]
        token.three.policies = ["deny", "write", "read"]
    "#);
    let two = acl.resolve(Some("two")).expect("a token");
    assert!(two.key_write("a") && two.key_write("b") && two.operator_write());
    let three = acl.resolve(Some("three")).expect("a token");
    assert!(three.key_write("a") && !three.key_read("b") && !three.operator_read());
}

#[test]
fn tokens_are_known_by_their_use() {
    let acl = acl(r#"
        default_policy = "deny"
        tokens = { master = "m", agent_master = "am", default = "d", agent = "a" }
        policies.read = 'key_prefix "" { policy = "read" }'
        policies.node = 'node_prefix "" { policy = "write" }'
        token.d.policies = ["read"]
        token.a.policies = ["node"]
        token.old.legacy_rules = 'key "x" { policy = "write" } operator = "read" acl = "write"'
    "#);
    let master = acl.resolve(Some("m")).expect("a token");
    assert!(master.acl_write() && master.key_write_prefix("") && master.operator_write());
    let agent_master = acl.resolve(Some("am")).expect("a token");
    assert!(agent_master.agent_write("golden") && !agent_master.agent_read("other"));
    assert!(agent_master.node_read("other") && !agent_master.node_write("golden"));
    assert!(acl.resolve(None).expect("a default").key_read("k"));
    assert!(!acl.resolve(Some("anonymous")).expect("a token").key_read("k"));
    let old = acl.resolve(Some("old")).expect("a token");
    assert!(old.key_write("x/y") && old.operator_read() && !old.acl_read());
    assert_eq!(acl.resolve(Some("nope")).err(), Some(NotFound));
}

#[test]
fn rules_are_read_in_every_form() {
    for text in [
        r#"key "a" { policy = "read" }"#,
        r#"key a { policy = "read", }"#,
        r#"KEY "a" { Policy = "read" extra = 1 list = [1, "x", true] } other "x" { policy = "zz" }"#,
        r#"key { "a" { policy = "read" } }"#,
        r#"key = { "a" = { policy = "read" } }"#,
        "key \"a\" {\n  policy = \"read\" # so\n}\n// end",
        r#"{"key": {"a": {"policy": "read"}}}"#,
        r#"{"key": [{"a": {"policy": "read"}}], "operator": ""}"#,
        r#"{"key": {"a": [{"policy": "read"}]}}"#,
    ] {
        let rules = Rules::parse(text).unwrap_or_else(|why| panic!("{text}: {why}"));
        assert_eq!(rules.key.access("a"), Some(Access::Read), "{text}");
        assert_eq!(rules.key.access("ab"), None, "{text}");
    }
}

#[test]
fn bad_rules_are_refused() {
    for (text, why) in [
        (r#"key "x" { policy = "zz" }"#, "Invalid key policy: \"zz\" for \"x\""),
        (r#"key "x" { }"#, "Invalid key policy: \"\" for \"x\""),
        (r#"key "a" "b" { policy = "read" }"#, "Invalid key policy: \"\" for \"a\""),
        (r#"node "x" { policy = "list" }"#, "Invalid node policy: \"list\" for \"x\""),
        (r#"service "x" { policy = "read" intentions = "zz" }"#, "Invalid service intentions policy"),
        ("key \"x\" { policy = <<EOF\nwrite\nEOF\n}", "Invalid key policy: \"write\\n\""),
        (r#"operator = "list""#, "Invalid operator policy: \"list\""),
        (r#"key "x" {"#, "object expected closing RBRACE got: EOF"),
        (r#"key "x" { policy = WRITE }"#, "unknown token"),
        ("key", "At 1:4"),
        ("{", "Failed to parse ACL rules"),
    ] {
        let said = Rules::parse(text).expect_err(text);
        assert!(said.contains(why), "{text}: {said}");
    }
    let unnamed: AclConfig = toml::from_str("token.t.policies = [\"p\"]").expect("a configuration");
    assert!(Acl::new(&unnamed, "n").expect_err("no such policy").contains("\"p\""));
}

#[test]
fn the_query_outranks_the_header_and_that_the_bearer() {
    for (query, header, authorization, token) in [
        (Some("q"), Some("h"), Some("Bearer b"), Some("q")),
        (Some(""), Some("h"), Some("Bearer b"), Some("h")),
        (None, Some(""), Some("Bearer b"), Some("b")),
        (None, None, Some("bearer  b c"), Some("b")),
        (None, None, Some("BEARER b"), Some("b")),
        (None, None, Some("Bearer"), None),
        (None, None, Some("Bearer\tb"), None),
        (None, None, Some("Basic b"), None),
        (None, None, Some("b"), None),
        (None, None, None, None),
    ] {
        let mut headers = HeaderMap::new();
        for (name, value) in [("x-consul-token", header), ("authorization", authorization)] {
            if let Some(value) = value {
                headers.insert(name, value.parse().expect("a header"));
            }
        }
        assert_eq!(token_of(query, &headers), token, "{query:?} {headers:?}");
    }
}

proptest! {
    #[test]
    fn a_longer_prefix_wins_whatever_it_says(
        rules in prop::collection::btree_map("[ab]{0,4}", prop_oneof![Just("deny"), Just("read"), Just("write")], 0..8),
        key in "[ab]{0,6}",
    ) {
        let text: String =
            rules.iter().map(|(name, policy)| format!("key_prefix {name:?} {{ policy = {policy:?} }}\n")).collect();
        let acl = with_rules("deny", &text);
        let may = acl.resolve(Some("t")).expect("a token");
        let speaks = rules.iter().filter(|(name, _)| key.starts_with(name.as_str())).max_by_key(|(name, _)| name.len());
        let policy = speaks.map_or("deny", |(_, policy)| *policy);
        prop_assert_eq!(may.key_write(&key), policy == "write");
        prop_assert_eq!(may.key_read(&key), policy != "deny");
        let within = rules.iter().filter(|(name, _)| name.starts_with(key.as_str()));
        let all = policy == "write" && within.clone().all(|(_, policy)| *policy == "write");
        prop_assert_eq!(may.key_write_prefix(&key), all);
    }

    #[test]
    fn no_rules_panic(text in "(key|\"|\\{|\\}|=|\\[|\\]|,|policy|read|<<|-|E|\n|#|//|/\\*|\\*/|\\\\| |é|1){0,24}") {
        let _ = Rules::parse(&text);
    }
}
