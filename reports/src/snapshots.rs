//! Every renderer held to what a person would read, and to what must never come out of one.

use insta::assert_snapshot;

use crate::specimens::{HOSTILE, hostile, hostile_suite, leader_kill, leader_kill_violations, suite};
use crate::story::{StoryOptions, decisive, line, story};
use crate::suite::SuiteReport;
use crate::{failure, github, json, junit, mermaid, perfetto, plot, recovery_csv, shiviz, table};

fn told(trace: bool, color: bool) -> String {
    story(&leader_kill(), &leader_kill_violations(), &StoryOptions { trace, color })
}

#[test]
fn a_story() {
    assert_snapshot!(told(false, false));
}

#[test]
fn a_story_with_every_event() {
    assert_snapshot!(told(true, false));
}

#[test]
fn colours_change_nothing_but_colours() {
    let colored = told(false, true);
    assert!(colored.contains("\u{1b}[31;1m!!! one-writable-primary"));
    let mut plain = String::new();
    let mut rest = colored.as_str();
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        plain += before;
        rest = after.split_once('m').expect("only colours").1;
    }
    plain += rest;
    assert_eq!(plain, told(false, false));
}

#[test]
fn a_trace_leaves_no_event_out() {
    let record = leader_kill();
    let lines: Vec<_> = told(true, false).lines().map(str::to_owned).collect();
    for event in &record.events {
        let line = line(event);
        assert!(lines.iter().any(|told| told.ends_with(&line)), "{line}");
    }
}

#[test]
fn a_story_without_events_or_violations() {
    let mut record = leader_kill();
    record.events.clear();
    record.header.plan.faults.clear();
    assert_snapshot!(story(&record, &[], &StoryOptions::default()));
}

#[test]
fn the_events_that_decide() {
    let lines: Vec<_> = leader_kill_violations()
        .iter()
        .map(|violation| {
            format!("{}\n{}\n", violation.detail, decisive(&leader_kill(), violation).join("\n"))
        })
        .collect();
    assert_snapshot!(lines.join("\n"));
}

#[test]
fn a_table() {
    let table = table(&suite());
    assert!(table.lines().all(|line| line.chars().count() <= 110));
    assert_snapshot!(table);
}

#[test]
fn an_empty_table() {
    assert_snapshot!(table(&SuiteReport::default()));
}

#[test]
fn failures() {
    let suite = suite();
    let failures: Vec<_> = suite.variants[2].failures.iter().map(failure).collect();
    assert_snapshot!(failures.join("\n"));
}

#[test]
fn a_junit_document() {
    assert_snapshot!(junit(&suite()));
}

#[test]
fn a_json_document() {
    assert_snapshot!(json(&suite()));
}

#[test]
fn hostile_text_in_a_story() {
    let (record, violations) = hostile();
    let options = StoryOptions::default();
    let told = story(&record, &violations, &options);
    assert_is_harmless(&told);
    assert_is_harmless(&story(&record, &violations, &StoryOptions { trace: true, color: false }));
    assert_is_harmless(&decisive(&record, &violations[0]).join("\n"));
    assert_is_harmless(&line(&record.events[2]));
    assert_snapshot!(told);
}

#[test]
fn hostile_text_in_a_sweep() {
    let suite = hostile_suite();
    let (table, failure) = (table(&suite), failure(&suite.variants[0].failures[0]));
    assert_is_harmless(&table);
    assert_is_harmless(&failure);
    assert_snapshot!(format!("{table}\n{failure}"));
}

#[test]
fn hostile_text_in_xml() {
    let document = junit(&hostile_suite());
    assert_is_harmless(&document);
    assert!(!document.contains("<script"));
    assert_snapshot!(document);
}

#[test]
fn hostile_text_in_json() {
    let document = json(&hostile_suite());
    let read: serde_json::Value = serde_json::from_str(&document).expect("it is JSON");
    assert_eq!(read["variants"][0]["name"], crate::specimens::HOSTILE);
    let bad = |character: char| character != '\n' && crate::text::is_treacherous(character);
    assert!(!document.contains(bad));
}

#[test]
fn a_chrome_trace() {
    let trace = perfetto(&leader_kill(), &leader_kill_violations());
    let read: serde_json::Value = serde_json::from_str(&trace).expect("it is JSON");
    assert!(read["traceEvents"].as_array().is_some_and(|events| events.len() > 100));
    assert_snapshot!(trace);
}

#[test]
fn slices_of_a_thread_never_overlap_and_every_flow_has_two_ends() {
    let trace: serde_json::Value =
        serde_json::from_str(&perfetto(&leader_kill(), &leader_kill_violations())).expect("it is JSON");
    let mut threads = std::collections::BTreeMap::<u64, Vec<(u64, u64)>>::new();
    let mut flows = std::collections::BTreeMap::<u64, (u32, u32)>::new();
    for event in trace["traceEvents"].as_array().expect("a list") {
        let number = |name: &str| event[name].as_u64().unwrap_or_else(|| panic!("{name} of {event}"));
        match event["ph"].as_str() {
            Some("X") => threads.entry(number("tid")).or_default().push((number("ts"), number("dur"))),
            Some("s") => flows.entry(number("id")).or_default().0 += 1,
            Some("f") => flows.entry(number("id")).or_default().1 += 1,
            _ => {}
        }
    }
    for slices in threads.values_mut() {
        slices.sort_unstable();
        assert!(slices.windows(2).all(|two| two[0].0 + two[0].1 <= two[1].0), "{slices:?}");
    }
    assert!(!flows.is_empty() && flows.values().all(|ends| *ends == (1, 1)));
}

#[test]
fn a_diagram() {
    assert_snapshot!(mermaid(&leader_kill(), &leader_kill_violations()[0]));
}

#[test]
fn a_log_with_vector_clocks() {
    assert_snapshot!(shiviz(&leader_kill()));
}

#[test]
fn clocks_only_ever_grow() {
    let log = shiviz(&leader_kill());
    let mut last = std::collections::BTreeMap::new();
    for line in log.lines().skip(1).step_by(2) {
        let (host, clock) = line.split_once(' ').expect("a machine and its clock");
        let clock: std::collections::BTreeMap<String, u64> = serde_json::from_str(clock).expect("JSON");
        if let Some(before) = last.insert(host.to_owned(), clock.clone()) {
            assert!(before.iter().all(|(machine, ticks)| clock[machine] >= *ticks), "{line}");
            assert_eq!(clock[host], before[host] + 1);
        }
    }
}

#[test]
fn recovery_times_for_a_spreadsheet() {
    assert_snapshot!(recovery_csv(&suite()).expect("a table"));
}

#[test]
fn a_summary_and_annotations_for_github() {
    assert_snapshot!(format!("{}\n{}", github::summary(&suite()), github::annotations(&suite())));
}

#[test]
fn a_summary_is_never_longer_than_github_takes() {
    let mut suite = suite();
    suite.variants[2].failures[0].decisive = vec!["x".repeat(299); 4_000];
    suite.variants = vec![suite.variants[2].clone(); 20];
    let summary = github::summary(&suite);
    assert!(summary.len() < 1 << 20, "{}", summary.len());
    assert!(summary.contains("are left out"));
    assert_eq!(github::annotations(&suite).matches("::error ").count(), 10);
}

#[test]
fn plots() {
    let recovery = plot::recovery(&suite());
    assert_eq!(recovery.len(), 2);
    assert_eq!(recovery[0].0, "consul-unreachable-from-leader");
    assert_snapshot!(plot::on_paper(&recovery[0].1));
    let labels = plot::Labels { title: "P(failure)", x: "kill at", y: "share" };
    let line =
        plot::Line { name: "published".to_owned(), points: vec![(0.0, 0.1), (60.0, 0.8), (f64::NAN, 1.0)] };
    let curve = plot::share(labels, &[line]);
    assert!(curve.contains("published") && !curve.contains("NaN"));
    let bars = plot::bars(
        "runs to find",
        "runs",
        &[("<b>lost write</b>".to_owned(), 12.0), ("none".to_owned(), 400.0)],
    );
    assert!(bars.contains("400 runs") && !bars.contains("<b>"));
    assert!(plot::bars("nothing", "runs", &[]).contains("nothing to show"));
}

#[test]
fn hostile_text_in_traces_and_diagrams() {
    let (record, violations) = hostile();
    for text in [
        perfetto(&record, &violations),
        mermaid(&record, &violations[0]),
        shiviz(&record),
        github::annotations(&hostile_suite()),
        github::summary(&hostile_suite()),
        recovery_csv(&hostile_suite()).expect("a table"),
        plot::bars(HOSTILE, HOSTILE, &[(HOSTILE.to_owned(), 1.0)]),
        plot::share(
            plot::Labels { title: HOSTILE, x: HOSTILE, y: HOSTILE },
            &[plot::Line { name: HOSTILE.to_owned(), points: vec![(0.0, 0.5), (1.0, 1.0)] }],
        ),
    ] {
        assert_is_harmless(&text);
    }
    assert!(!mermaid(&record, &violations[0]).contains("<script"));
    assert!(!plot::bars(HOSTILE, HOSTILE, &[(HOSTILE.to_owned(), 1.0)]).contains("<script"));
    // Between fences text is text; a fence is never shorter than what it holds.
    let summary = github::summary(&hostile_suite());
    let outside: String = summary.split("```").step_by(2).collect();
    assert!(summary.contains("<script") && !outside.contains("<script"), "{summary}");
    assert_eq!(shiviz(&record).lines().count(), record.events.len() * 2);
    assert_eq!(github::annotations(&hostile_suite()).lines().count(), 1);
}

fn assert_is_harmless(text: &str) {
    let bad = |character: char| {
        (character.is_control() && character != '\n') || matches!(character, '\u{202e}' | '\u{ffff}')
    };
    assert!(!text.contains(bad), "{text:?}");
    assert!(text.lines().all(|line| line.chars().count() < 1_500), "a line is too long");
    assert!(!text.lines().any(|line| line.trim_start().starts_with(">>> forged")), "a line was forged");
}
