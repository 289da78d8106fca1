use std::fmt::Write;

use crate::specimens::{hostile, leader_kill};
use crate::text::moment;

use super::{TONES, Timeline, causes, messages};

/// What a timeline says, one span a line.
fn told(timeline: &Timeline) -> String {
    let mut out = String::new();
    for track in &timeline.tracks {
        writeln!(out, "{} [{}]", track.title, track.sort.name()).expect("a string");
        for row in &track.rows {
            writeln!(out, "  {}", row.label).expect("a string");
            for span in &row.spans {
                let (from, to) = (moment(span.from), moment(span.to));
                writeln!(out, "    {from:>10} {to:>10} {:<10} #{:<3} {}", span.tone, span.step, span.label)
                    .expect("a string");
            }
        }
    }
    out
}

#[test]
fn a_run_as_things_that_last() {
    insta::assert_snapshot!(told(&Timeline::of(&leader_kill())));
}

#[test]
fn spans_of_a_row_follow_each_other_and_stay_within_the_run() {
    for record in [leader_kill(), hostile().0] {
        let timeline = Timeline::of(&record);
        for row in timeline.tracks.iter().flat_map(|track| &track.rows) {
            for span in &row.spans {
                assert!(span.from <= span.to && span.to <= timeline.duration, "{span:?}");
                assert!(TONES.contains(&span.tone), "{}", span.tone);
                let event = record.events.iter().find(|event| event.step == span.step);
                assert!(event.is_some_and(|event| event.at <= span.from), "{span:?} begins with no event");
            }
            assert!(row.spans.windows(2).all(|two| two[0].to <= two[1].from), "{row:?}");
        }
    }
}

#[test]
fn causes_are_what_an_event_could_not_have_happened_without() {
    let record = leader_kill();
    let words = |step: u64| {
        let event = &record.events[usize::try_from(step).expect("a small number")];
        format!("{} {}", event.host, crate::story::words(&event.what))
    };
    let links: Vec<_> = causes(&record)
        .iter()
        .map(|(cause, effect)| format!("{}  ->  {}", words(*cause), words(*effect)))
        .collect();
    insta::assert_snapshot!(links.join("\n"));
}

#[test]
fn messages_go_from_one_machine_to_another() {
    let record = leader_kill();
    let timeline = Timeline::of(&record);
    let sent = messages(&record, &timeline.hosts);
    assert!(!sent.is_empty());
    for message in sent {
        assert!(message.from != message.to && message.sent <= message.done);
    }
}

#[test]
fn machines_are_in_the_order_a_person_counts() {
    let mut record = leader_kill();
    for event in &mut record.events {
        if event.host == "mysql-2" {
            event.host = "mysql-10".to_owned();
        }
    }
    let names: Vec<_> = Timeline::of(&record).hosts.iter().map(|(_, name, _)| name.to_owned()).collect();
    assert_eq!(names, ["mysql-1", "mysql-10", "consul", "world", "client-1"]);
}
