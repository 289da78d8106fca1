//! `no-resurrection`: what a client was told did not happen never shows on any instance.
//!
//! A refusal is an answer: the client may tell its user so, and do something else instead. A write that was
//! refused and is durable somewhere, before or after, is found there some day. A write without an answer is
//! another matter, and may be either.
//!
//! The violation is at the moment the first such write was both refused and durable.

use std::collections::BTreeSet;

use super::{Property, Violation};
use crate::record::{Event, MysqlEvent, What, WriteOutcome};

#[derive(Debug, Default)]
pub(super) struct Resurrection {
    refused: BTreeSet<u64>,
    /// Whatever was durable anywhere.
    durable: BTreeSet<u64>,
    found: bool,
}

impl Resurrection {
    /// Takes in `event`.
    pub(super) fn see(&mut self, event: &Event, out: &mut Vec<Violation>) {
        if self.found {
            return;
        }
        match &event.what {
            What::Write { id, outcome: WriteOutcome::Refused { .. } } => {
                self.refused.insert(*id);
                if self.durable.contains(id) {
                    self.tell(event, format!("write {id} was refused, and had been committed"), out);
                }
            }
            What::Mysql(MysqlEvent::Committed { write, .. } | MysqlEvent::Received { write, .. })
                if *write != 0 =>
            {
                self.durable.insert(*write);
                if self.refused.contains(write) {
                    let detail = format!("{} holds write {write}, which had been refused", event.host);
                    self.tell(event, detail, out);
                }
            }
            _ => {}
        }
    }

    fn tell(&mut self, event: &Event, detail: String, out: &mut Vec<Violation>) {
        self.found = true;
        out.push(Violation::at(event, Property::NoResurrection, detail));
    }
}

#[cfg(test)]
mod tests {
    use super::super::Property;
    use super::super::testing::{Script, violated};

    #[test]
    fn a_refused_write_is_nowhere() {
        type Story = fn(&mut Script);
        let cases: [(&str, Story, usize); 7] = [
            ("refused", |s| _ = s.refused(1), 0),
            ("committed later", |s| _ = s.refused(1).committed("mysql-1", 1), 1),
            ("received later", |s| _ = s.refused(1).received("mysql-2", 1), 1),
            ("committed before", |s| _ = s.committed("mysql-1", 1).refused(1), 1),
            ("committed twice", |s| _ = s.refused(1).committed("mysql-1", 1).committed("mysql-2", 1), 1),
            ("without an answer, and committed", |s| _ = s.unknown(1).committed("mysql-1", 1), 0),
            ("another one", |s| _ = s.refused(1).committed("mysql-1", 2), 0),
        ];
        for (name, story, count) in cases {
            let mut script = Script::new();
            script.primary("mysql-1");
            story(&mut script);
            let found = violated(&script, Property::NoResurrection);
            assert_eq!(found.len(), count, "{name}");
            assert!(found.iter().all(|violation| violation.step >= 4), "{name}");
        }
    }
}
