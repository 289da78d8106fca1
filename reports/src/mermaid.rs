//! A failure as a Mermaid sequence diagram, which GitHub and GitLab draw in place.
//!
//! It shows the few events that decide a violation, on the machines they happened on. The rule a change
//! must keep: text passes [`label`], because Mermaid gives a meaning to characters that a log may hold.

use std::collections::BTreeMap;
use std::fmt::Write;

use ironbird_sim::properties::Violation;
use ironbird_sim::record::{ConsulEvent, Event, Record, What, WriteOutcome, lock_holder};

use crate::story::{deciding, words};
use crate::text::{moment, name};
use crate::timeline::Timeline;

/// The longest text in the diagram, in characters.
const LONGEST: usize = 90;

/// The events that decide `violation`, as a sequence diagram.
pub fn mermaid(record: &Record, violation: &Violation) -> String {
    let timeline = Timeline::of(record);
    let events = deciding(record, violation);
    let mut shown: BTreeMap<usize, &str> = BTreeMap::new();
    let mut lines = String::new();
    let index = |host: &str| timeline.hosts.index(host);
    for event in &events {
        let Some(host) = index(&event.host) else { continue };
        shown.insert(host, &event.host);
        let text = format!("{} {}", moment(event.at), words(&event.what));
        let other = counterpart(event).and_then(|other| {
            let known = timeline.hosts.iter().find(|(_, name, _)| *name == other)?;
            Some((known.0, known.1))
        });
        // Writing to a string cannot fail.
        match other.filter(|(other, _)| *other != host) {
            Some((other, other_name)) => {
                shown.insert(other, other_name);
                writeln!(lines, "    h{other}->>h{host}: {}", label(&text)).ok();
            }
            None => {
                writeln!(lines, "    Note over h{host}: {}", label(&text)).ok();
            }
        }
        if event.step == violation.step {
            let text = format!("!!! {}: {}", violation.property, violation.detail);
            writeln!(
                lines,
                "    rect rgba(213, 94, 0, 0.2)\n    Note over h{host}: {}\n    end",
                label(&text)
            )
            .ok();
        }
    }
    let mut out = "sequenceDiagram\n".to_owned();
    for (index, host) in shown {
        writeln!(out, "    participant h{index} as {}", label(&name(host))).ok();
    }
    out + &lines
}

/// Who sent what `event` tells of, where it is told at the other side.
fn counterpart(event: &Event) -> Option<String> {
    match &event.what {
        What::Consul(ConsulEvent::LockAcquired { value, .. }) => lock_holder(value),
        What::Write { outcome: WriteOutcome::Acknowledged { by }, .. } => Some(by.clone()),
        _ => None,
    }
}

/// `text` as Mermaid takes it for text.
fn label(text: &str) -> String {
    let text = crate::text::plain(text);
    let mut short: String = text.chars().take(LONGEST).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    let mut out = String::new();
    for character in short.chars() {
        match character {
            // Statements, comments, entities, markup, quotes, links.
            '#' | ';' | '<' | '>' | '"' | '%' | '&' | '{' | '}' | '\\' | '`' | '*' | '_' | '[' | ']'
            | ':' | '$' => {
                out += &format!("#{};", u32::from(character));
            }
            _ => out.push(character),
        }
    }
    // A word that ends a block, wherever it stands.
    let words: Vec<_> =
        out.split(' ').map(|word| if word.eq_ignore_ascii_case("end") { "e#110;d" } else { word }).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::label;

    #[test]
    fn nothing_that_means_something_to_mermaid_gets_through() {
        assert_eq!(label("x; %% y"), "x#59; #37;#37; y");
        assert_eq!(label("the END is"), "the e#110;d is");
        assert_eq!(label("a\nend"), "a#92;nend");
        assert_eq!(label("<b>#35;"), "#60;b#62;#35;35#59;");
        assert_eq!(label(&"x".repeat(200)).chars().count(), 91);
    }
}
