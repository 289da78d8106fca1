//! The few events that decide a violation.
//!
//! A violation's step says where something was seen, not why. What explains it are the faults before it,
//! the changes of who leads and who takes writes on the machines it speaks of, what the property itself
//! is about (the session, the lock, the write), and what those machines complained about just before. The
//! last of each are taken, the explanation nearest to the violation first in line, and shown in order.
//!
//! The rule a change must keep: at most [`MOST`] lines, and the violating event is one of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ironbird_agent::journal::{Entry, Level};
use ironbird_sim::properties::{Property, Violation};
use ironbird_sim::record::{ConsulEvent, Event, MysqlEvent, Record, What, WriteOutcome};

use super::{columns, words};
use crate::text::name;

/// The most events shown for one violation.
const MOST: usize = 12;

/// At most this many of them are faults.
const MOST_FAULTS: usize = 4;

/// At most this many are about what the property speaks of.
const MOST_OF_SUBJECT: usize = 5;

/// How long before a violation a complaint may still have to do with it.
const NEAR: Duration = Duration::from_secs(30);

/// Whether `what` changes who leads, who takes writes or what the world is like.
pub(super) fn decides(what: &What) -> bool {
    match what {
        What::FaultBegan { .. } | What::FaultEnded { .. } | What::Launched { .. } | What::Ended { .. } => {
            true
        }
        What::Agent(entry) => matches!(entry, Entry::Role { .. }),
        What::Consul(event) => matches!(
            event,
            ConsulEvent::SessionInvalidated { .. }
                | ConsulEvent::LockAcquired { .. }
                | ConsulEvent::LockReleased { .. }
        ),
        What::Mysql(event) => matches!(
            event,
            MysqlEvent::Up { .. }
                | MysqlEvent::Down
                | MysqlEvent::Writable { .. }
                | MysqlEvent::DataDirectory { .. }
        ),
        _ => false,
    }
}

/// The events of `record` that decide `violation`, rendered, at most twelve.
pub fn decisive(record: &Record, violation: &Violation) -> Vec<String> {
    let chosen = deciding(record, violation);
    let width = chosen.iter().map(|event| name(&event.host).chars().count()).max();
    chosen
        .into_iter()
        .map(|event| columns(event.at, &name(&event.host), width.unwrap_or_default(), &words(&event.what)))
        .collect()
}

/// The events of `record` that decide `violation`, at most twelve.
pub(crate) fn deciding<'a>(record: &'a Record, violation: &Violation) -> Vec<&'a Event> {
    let before: Vec<_> = record.events.iter().filter(|event| event.step <= violation.step).collect();
    let scene = Scene::of(&before, violation);

    let mut choice = Choice::default();
    choice.take(before.iter().filter(|event| event.step == violation.step), 1);
    choice.take(before.iter().rev().filter(|event| is_fault(&event.what)), MOST_FAULTS);
    choice.take(before.iter().rev().filter(|event| scene.is_subject(event)), MOST_OF_SUBJECT);
    choice.take(before.iter().rev().filter(|event| scene.is_background(event)), MOST);
    choice.events.into_values().collect()
}

/// The events taken so far, by step.
#[derive(Default)]
struct Choice<'a> {
    events: BTreeMap<u64, &'a Event>,
    /// What was told already: only its last time decides anything.
    told: BTreeSet<(&'a str, String)>,
}

impl<'a> Choice<'a> {
    /// Takes at most `limit` of `events`, first come first served, while there is room.
    fn take<'b>(&mut self, events: impl Iterator<Item = &'b &'a Event>, limit: usize)
    where
        'a: 'b,
    {
        let mut taken = 0;
        for event in events {
            if taken == limit || self.events.len() == MOST {
                return;
            }
            if self.told.insert((&event.host, topic(&event.what))) {
                self.events.insert(event.step, event);
                taken += 1;
            }
        }
    }
}

/// What an event tells of. A later event on the same topic makes an earlier one irrelevant.
fn topic(what: &What) -> String {
    match what {
        What::Mysql(MysqlEvent::Replication { .. }) => "replication".to_owned(),
        What::Consul(
            ConsulEvent::CheckStatus { check, service, .. }
            | ConsulEvent::CheckRemoved { check, service, .. },
        ) => {
            format!("check {check} of {service}")
        }
        _ => words(what),
    }
}

fn is_fault(what: &What) -> bool {
    matches!(what, What::FaultBegan { .. } | What::FaultEnded { .. })
}

/// What a violation speaks of.
struct Scene<'a> {
    violation: &'a Violation,
    /// The machines it names; all of them when it names none.
    hosts: BTreeSet<&'a str>,
    /// The first write it names.
    write: Option<u64>,
}

impl<'a> Scene<'a> {
    fn of(events: &[&'a Event], violation: &'a Violation) -> Self {
        let all: BTreeSet<_> = events.iter().map(|event| event.host.as_str()).collect();
        let named: BTreeSet<_> = all
            .iter()
            .copied()
            .filter(|host| *host == violation.host || names(&violation.detail, host))
            .collect();
        Self {
            violation,
            hosts: if named.is_empty() { all } else { named },
            write: first_write(&violation.detail),
        }
    }

    /// Whether `event` is about the very thing the property speaks of.
    fn is_subject(&self, event: &Event) -> bool {
        let detail = &self.violation.detail;
        match (&event.what, self.violation.property) {
            (
                What::Consul(
                    ConsulEvent::SessionCreated { session, .. }
                    | ConsulEvent::SessionRenewed { session }
                    | ConsulEvent::SessionInvalidated { session, .. },
                ),
                Property::SessionTtl | Property::LockDelay,
            ) => names(detail, session),
            (
                What::Consul(ConsulEvent::SessionCreated { .. } | ConsulEvent::LockRefused { .. }),
                Property::NoSessionLeak,
            ) => true,
            (
                What::Consul(
                    ConsulEvent::LockAcquired { key, .. }
                    | ConsulEvent::LockReleased { key, .. }
                    | ConsulEvent::LockRefused { key, .. },
                ),
                Property::LockDelay,
            ) => names(detail, key),
            (
                What::Mysql(MysqlEvent::Writable { .. } | MysqlEvent::Replication { .. }),
                Property::OneWritablePrimary,
            ) => self.hosts.contains(event.host.as_str()),
            (What::Mysql(MysqlEvent::Replication { .. }), Property::ClusterConverges) => {
                self.hosts.contains(event.host.as_str())
            }
            (What::Consul(ConsulEvent::CheckStatus { service, .. }), Property::ClusterConverges) => {
                self.hosts.iter().any(|host| service.ends_with(host))
            }
            (
                What::Write { id, outcome: WriteOutcome::Acknowledged { .. } },
                Property::AcknowledgedWritesSurvive | Property::WritesInOrder,
            )
            | (What::Write { id, .. }, Property::WritesHappenOnce | Property::NoResurrection) => {
                self.write == Some(*id)
            }
            (
                What::Mysql(MysqlEvent::Committed { write, .. } | MysqlEvent::Received { write, .. }),
                Property::AcknowledgedWritesSurvive
                | Property::WritesHappenOnce
                | Property::WritesInOrder
                | Property::NoResurrection,
            ) => self.write == Some(*write),
            _ => false,
        }
    }

    /// Whether `event` changed the scene, or is a complaint out of it shortly before.
    fn is_background(&self, event: &Event) -> bool {
        let here = self.hosts.contains(event.host.as_str());
        match &event.what {
            What::Agent(Entry::Log { level: Level::Error, .. } | Entry::HookFinished { ok: false, .. }) => {
                here && self.violation.at.saturating_sub(event.at) <= NEAR
            }
            // Locks and sessions are everybody's.
            What::Consul(_) => decides(&event.what),
            _ => here && decides(&event.what),
        }
    }
}

/// Whether `name` stands in `text` as a word of its own: `mysql-1` does not stand in `mysql-11`.
fn names(text: &str, name: &str) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || character == '-';
    !name.is_empty()
        && text.match_indices(name).any(|(start, found)| {
            !text[..start].ends_with(is_part) && !text[start + found.len()..].starts_with(is_part)
        })
}

/// The number after the first `write` or `writes`.
fn first_write(text: &str) -> Option<u64> {
    let mut words = text.split_whitespace();
    words.find(|word| matches!(*word, "write" | "writes"))?;
    words.next()?.trim_end_matches(|character: char| !character.is_ascii_digit()).parse().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ironbird_agent::journal::{Entry, Level};
    use ironbird_sim::properties::{Property, Violation};
    use ironbird_sim::record::{ConsulEvent, Event, MysqlEvent, Record, What, WriteOutcome};

    use super::{MOST, MOST_FAULTS, decisive, first_write, names};
    use crate::specimens::leader_kill;

    /// A second apart, from 0.
    fn record(events: Vec<(&str, What)>) -> Record {
        let events = events.into_iter().zip(0..).map(|((host, what), step)| Event {
            step,
            at: Duration::from_secs(step),
            host: host.to_owned(),
            what,
        });
        Record { events: events.collect(), ..leader_kill() }
    }

    fn violation(record: &Record, property: Property, host: &str, detail: &str) -> Violation {
        let last = record.events.last().expect("an event");
        Violation { property, step: last.step, at: last.at, host: host.to_owned(), detail: detail.to_owned() }
    }

    /// The words after time and host.
    fn told(record: &Record, violation: &Violation) -> Vec<String> {
        let lines = decisive(record, violation).into_iter();
        lines
            .map(|line| {
                let (_, host_and_words) = line.split_once(" s  ").expect("a time");
                let (_, words) = host_and_words.split_once("  ").expect("a host");
                words.trim_start().to_owned()
            })
            .collect()
    }

    fn error(message: &str) -> What {
        What::Agent(Entry::log(Level::Error, "pilot", message))
    }

    fn renewed(session: &str) -> What {
        What::Consul(ConsulEvent::SessionRenewed { session: session.to_owned() })
    }

    fn gone(session: &str) -> What {
        What::Consul(ConsulEvent::SessionInvalidated {
            session: session.to_owned(),
            why: "expired".to_owned(),
        })
    }

    fn writable(writable: bool) -> What {
        What::Mysql(MysqlEvent::Writable { writable })
    }

    #[test]
    fn however_much_happened_a_dozen_lines_are_told_and_the_violating_event_is_one_of_them() {
        let mut events = Vec::new();
        for number in 0..100 {
            let fault = format!("kill {number}");
            events.push(("mysql-1", What::FaultBegan { fault, number: 0 }));
            events.push(("mysql-1", What::Launched { why: number.to_string() }));
            events.push(("mysql-1", writable(number % 2 == 0)));
        }
        events.push(("mysql-1", error("the very last")));
        let record = record(events);
        let told = told(&record, &violation(&record, Property::OneWritablePrimary, "mysql-1", "mysql-1"));
        assert_eq!(told.len(), MOST);
        assert_eq!(told.last().map(String::as_str), Some("pilot error: the very last"));
        let faults: Vec<_> = told.iter().filter(|words| words.starts_with(">>>")).collect();
        assert_eq!(faults.len(), MOST_FAULTS);
        assert_eq!(faults[3], ">>> kill 99");
    }

    #[test]
    fn only_what_came_before_decides() {
        let mut record = record(vec![("mysql-1", writable(true)), ("mysql-1", writable(false))]);
        let violation = violation(&record, Property::OneWritablePrimary, "mysql-1", "mysql-1");
        record.events.push(Event {
            step: 2,
            at: Duration::from_secs(2),
            host: "mysql-1".to_owned(),
            what: gone("s"),
        });
        assert_eq!(told(&record, &violation), ["mysqld takes writes", "mysqld is read-only"]);
    }

    #[test]
    fn complaints_count_when_they_are_near_and_of_a_machine_the_violation_names() {
        let mut events = vec![("mysql-1", error("long ago")), ("mysql-2", error("elsewhere"))];
        events.extend((0..31).map(|_| ("client-1", renewed("s"))));
        events.push(("mysql-1", error("just now")));
        events.push(("mysql-2", error("elsewhere")));
        events.push(("mysql-1", writable(true)));
        let record = record(events);
        let of =
            |host, detail| told(&record, &violation(&record, Property::OneWritablePrimary, host, detail));
        assert_eq!(of("mysql-1", ""), ["pilot error: just now", "mysqld takes writes"]);
        let named = ["pilot error: just now", "pilot error: elsewhere", "mysqld takes writes"];
        assert_eq!(of("mysql-1", "and so does mysql-2"), named);
        // Nobody named is everybody.
        assert_eq!(of("cluster", "no instance takes writes"), named);
    }

    #[test]
    fn the_session_in_question_is_told_of_from_its_creation_to_its_last_renewal() {
        let created = |session: &str| {
            What::Consul(ConsulEvent::SessionCreated {
                session: session.to_owned(),
                name: String::new(),
                ttl_us: 10_000_000,
                lock_delay_us: 0,
            })
        };
        let mut events = vec![("consul", created("a")), ("consul", created("b"))];
        events.extend((0..50).flat_map(|_| [("consul", renewed("a")), ("consul", renewed("b"))]));
        events.push(("consul", gone("a")));
        let record = record(events);
        assert_eq!(
            decisive(&record, &violation(&record, Property::SessionTtl, "consul", "session a expired early")),
            [
                "    0.000 s  consul  session a created, TTL 10 s, lock-delay 0 s",
                "  100.000 s  consul  session a renewed",
                "  102.000 s  consul  session a expired",
            ],
        );
    }

    #[test]
    fn the_write_in_question_is_followed_over_all_machines() {
        let gtid = |write| format!("g:{write}");
        let events = (1..=20).flat_map(|write| {
            [
                ("mysql-1", What::Mysql(MysqlEvent::Committed { gtid: gtid(write), write })),
                ("mysql-3", What::Mysql(MysqlEvent::Received { gtid: gtid(write), write })),
                (
                    "client-1",
                    What::Write {
                        id: write,
                        outcome: WriteOutcome::Acknowledged { by: "mysql-1".to_owned() },
                    },
                ),
            ]
        });
        let record = record(events.chain([("mysql-2", writable(true))]).collect());
        let detail = "writes 7, 8, the first, acknowledged by mysql-1";
        assert_eq!(
            told(&record, &violation(&record, Property::AcknowledgedWritesSurvive, "mysql-2", detail)),
            [
                "transaction g:7 committed (write 7)",
                "transaction g:7 received (write 7)",
                "write 7 acknowledged by mysql-1",
                "mysqld takes writes",
            ],
        );
    }

    #[test]
    fn a_name_stands_for_itself() {
        let cases = [
            ("mysql-1 and mysql-2 take writes", "mysql-2", true),
            ("mysql-11 takes writes", "mysql-1", false),
            ("mysql-mysql-1 passes", "mysql-1", false),
            ("(mysql-1)", "mysql-1", true),
            ("mysql-11, mysql-1", "mysql-1", true),
            ("anything", "", false),
        ];
        for (text, name, found) in cases {
            assert_eq!(names(text, name), found, "{name} in {text}");
        }
    }

    #[test]
    fn the_first_write_is_found_in_a_sentence() {
        let cases = [
            ("write 41, acknowledged by mysql-1", Some(41)),
            ("writes 3, 4 and 2 more, the first", Some(3)),
            ("takes writes and follows nobody", None),
            ("write", None),
        ];
        for (text, write) in cases {
            assert_eq!(first_write(text), write, "{text}");
        }
    }
}
