use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Filter, Kind, Unanswered};

/// What a real server answered; see its head.
const GOLDEN: &str = include_str!("golden.txt");

fn kind(name: &str) -> Kind {
    match name {
        "node" => Kind::Node,
        "service-node" => Kind::ServiceNode,
        "node-service" => Kind::NodeService,
        "check-service-node" => Kind::CheckServiceNode,
        "health-check" => Kind::HealthCheck,
        "agent-service" => Kind::AgentService,
        "agent-check" => Kind::AgentCheck,
        other => panic!("{other} is no kind"),
    }
}

/// What we answer, in the words of the table: which records are selected, or why the request fails.
fn answer(expression: &str, kind: Kind, records: &[Value]) -> String {
    let refused = |why| format!("500 {}", Value::String(why));
    let filter = match Filter::parse(expression, kind) {
        Ok(filter) => filter,
        Err(why) => return refused(why),
    };
    let mut selected = Vec::new();
    for (index, record) in records.iter().enumerate() {
        match filter.matches(record) {
            Ok(true) => selected.push(index),
            Ok(false) => {}
            Err(Unanswered::Because(why)) => return refused(why),
            Err(Unanswered::Died) => return "closed".to_owned(),
        }
    }
    format!("200 {}", json!(selected))
}

#[test]
fn every_answer_is_the_real_servers() {
    let (mut asked, mut different) = (0, String::new());
    let mut section = None;
    for line in GOLDEN.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(head) = line.strip_prefix("@ ") {
            let (name, rest) = head.split_once(' ').expect("a kind and a path");
            let (path, records) = rest.split_once(' ').expect("a path and records");
            let records: Vec<Value> = serde_json::from_str(records).expect("records");
            section = Some((kind(name), path, records));
            continue;
        }
        let (kind, path, records) = section.as_ref().expect("a section");
        let (expression, theirs) = line.split_once("\t").expect("an expression and an answer");
        let expression: String = serde_json::from_str(expression).expect("a string");
        let ours = answer(&expression, *kind, records);
        asked += 1;
        if ours != theirs {
            different.push_str(&format!("\n{path} {expression}\n  real {theirs}\n  ours {ours}"));
        }
    }
    assert!(different.is_empty(), "{different}");
    assert!(asked > 200, "{asked} expressions are too few to have read the table");
}

#[test]
fn hostile_depth_is_refused_in_time() {
    for opened in [65, 100_000] {
        let text = format!("{}Node == a{}", "(".repeat(opened), ")".repeat(opened));
        let why = Filter::parse(&text, Kind::Node).expect_err("too deep");
        assert!(why.contains("nests deeper"), "{why}");
    }
    let unclosed = format!("{}Node == a", "( ".repeat(60));
    assert!(Filter::parse(&unclosed, Kind::Node).expect_err("unclosed").contains("Unmatched"));
    let deep = format!("{}Node == a{}", "(".repeat(64), ")".repeat(64));
    Filter::parse(&deep, Kind::Node).expect("as deep as it may be");
    let long = format!("{}Node == a", "not Node == b and ".repeat(20_000));
    let filter = Filter::parse(&long, Kind::Node).expect("length is no depth");
    assert_eq!(filter.matches(&json!({"Node": "a"})), Ok(true));
}

#[test]
fn an_empty_expression_selects_everything() {
    let filter = Filter::parse("", Kind::HealthCheck).expect("nothing is wrong with nothing");
    assert!(filter.is_empty());
    assert_eq!(filter.matches(&json!({})), Ok(true));
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("Node".to_owned()),
        Just("Meta.a".to_owned()),
        Just("Meta[\"x y\"]".to_owned()),
        Just("Meta".to_owned()),
        "[a-z]{1,5}",
    ]
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,6}",
        "-?[1-9][0-9]{0,4}(\\.[0-9])?",
        "`[^`]{0,6}`",
        "\"[^\"\\\\\n]{0,6}\"",
        "\"\\\\x[0-9a-f]{2}\""
    ]
}

fn expression() -> impl Strategy<Value = String> {
    let question = prop_oneof![
        (name(), prop_oneof![Just("=="), Just(" != "), Just(" contains "), Just(" not matches ")], value())
            .prop_map(|(name, operator, value)| format!("{name}{operator}{value}")),
        (value(), prop_oneof![Just("in"), Just("not  in")], name())
            .prop_map(|(value, operator, name)| format!("{value} {operator} {name}")),
        (name(), prop_oneof![Just("is empty"), Just("is not\tempty")])
            .prop_map(|(name, operator)| format!("{name} {operator}")),
    ];
    question.prop_recursive(5, 24, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|inner| format!("not {inner}")),
            inner.clone().prop_map(|inner| format!("( {inner})")),
            (inner.clone(), prop_oneof![Just("and"), Just("or")], inner)
                .prop_map(|(left, word, right)| format!("{left} {word} {right}")),
        ]
    })
}

proptest! {
    #[test]
    fn nothing_panics(text in ".{0,40}", words in "(not |and |or |\\(|\\)|Node|==|!=| in |is |empty|`|\"|\\[|\\]|[0-9]|\\.| ){0,20}") {
        for kind in [Kind::Node, Kind::AgentCheck] {
            for text in [&text, &words] {
                if let Ok(filter) = Filter::parse(text, kind) {
                    let _ = filter.matches(&json!({"Node": "a", "Meta": {"a": "b"}}));
                }
            }
        }
    }

    #[test]
    fn no_pattern_panics(pattern in "[a-c(){}\\[\\]|*+?.^$\\\\:<>PQEpdwsxzbBAimU0-9,=!-]{0,24}") {
        let _ = super::regexp::compile(pattern.as_bytes());
    }

    #[test]
    fn what_is_written_reads_the_same(text in expression()) {
        let read = super::grammar::parse(&text).expect("a valid expression");
        let written = read.to_string();
        let again = super::grammar::parse(&written);
        prop_assert_eq!(again, Ok(read), "{}", written);
    }
}
