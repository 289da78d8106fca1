//! Which lines a story has: one an event, less what goes on all the time, and repetitions once.

use std::collections::BTreeMap;
use std::time::Duration;

use ironbird_agent::journal::{Entry, Level};
use ironbird_sim::properties::Violation;
use ironbird_sim::record::{ConsulEvent, Event, MysqlEvent, Record, What, WriteOutcome};

use super::decisive;
use super::words::words;
use crate::text::{grouped, moment, name, plain};

/// How many different things a machine may say in turn, again and again, and still repeat itself.
const ROUND: usize = 3;

/// One line of the story.
pub(super) struct Row {
    pub(super) at: Duration,
    pub(super) host: String,
    pub(super) tone: Tone,
    /// The words of the first event.
    first: String,
    /// What makes another event a repetition of this one; `None` for one that is told each time.
    same: Option<String>,
    /// How many events it stands for, and when the last of them was.
    times: u64,
    last: Duration,
    /// The write it tells of, when it does, and the last.
    writes: Option<(u64, u64)>,
}

impl Row {
    fn repeats(&self, earlier: &Self) -> bool {
        self.same.is_some() && self.same == earlier.same
    }

    fn count(&mut self, later: &Self) {
        self.times += 1;
        self.last = later.at;
        if let (Some(range), Some((id, _))) = (&mut self.writes, later.writes) {
            *range = (range.0.min(id), range.1.max(id));
        }
    }

    pub(super) fn text(&self) -> String {
        match (self.times, self.writes) {
            (1, _) => self.first.clone(),
            // "write 41 acknowledged by mysql-1" -> "12 writes, 41 to 63, acknowledged by mysql-1"
            (times, Some((from, to))) => format!(
                "{} writes, {from} to {to}, {} (until {})",
                grouped(times),
                self.same.as_deref().unwrap_or_default(),
                moment(self.last),
            ),
            (times, None) => {
                format!("{} ({} times until {})", self.first, grouped(times), moment(self.last))
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Usual,
    Quiet,
    Trouble,
    Fault,
    Violation,
}

/// The lines of the story of `record`; all of its events with `trace`.
pub(super) fn rows(record: &Record, violations: &[Violation], trace: bool) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    // For every machine, the last lines a repetition may be counted on.
    let mut open: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    let mut marks: Vec<_> = violations.iter().collect();
    marks.sort_by_key(|violation| violation.step);
    let mut marks = marks.into_iter().peekable();
    for event in &record.events {
        if trace || !is_routine(&event.what) {
            let row = row(event, trace);
            let own = open.entry(&event.host).or_default();
            // A client's story is in the order of its answers; a machine's complaints come in rounds.
            let reach = if row.writes.is_some() { 1 } else { ROUND };
            let before = own.iter().rev().take(reach).copied().find(|index| row.repeats(&rows[*index]));
            if let Some(index) = before {
                rows[index].count(&row);
            } else {
                own.push(rows.len());
                if decisive::decides(&event.what) {
                    open.clear();
                }
                rows.push(row);
            }
        }
        while let Some(violation) = marks.next_if(|violation| violation.step <= event.step) {
            open.clear();
            rows.push(mark(violation));
        }
    }
    rows.extend(marks.map(mark));
    rows
}

fn row(event: &Event, trace: bool) -> Row {
    let first = words(&event.what);
    let (same, writes) = match &event.what {
        _ if trace => (None, None),
        What::Write { id, outcome } => (
            match outcome {
                WriteOutcome::Acknowledged { by } => Some(format!("acknowledged by {}", plain(by))),
                WriteOutcome::Refused { why } => Some(format!("refused: {}", plain(why))),
                WriteOutcome::Unknown { why } => Some(format!("without an answer: {}", plain(why))),
            },
            Some((*id, *id)),
        ),
        What::Agent(_) | What::Store { .. } | What::Consul(ConsulEvent::LockRefused { .. }) => {
            (Some(first.clone()), None)
        }
        _ => (None, None),
    };
    Row {
        at: event.at,
        host: name(&event.host),
        tone: tone(&event.what),
        first,
        same,
        times: 1,
        last: event.at,
        writes,
    }
}

fn mark(violation: &Violation) -> Row {
    Row {
        at: violation.at,
        host: name(&violation.host),
        tone: Tone::Violation,
        first: format!("!!! {}: {}", violation.property, plain(&violation.detail)),
        same: None,
        times: 1,
        last: violation.at,
        writes: None,
    }
}

/// Whether `what` goes on all the time and says nothing new.
fn is_routine(what: &What) -> bool {
    match what {
        What::Http { .. }
        | What::Consul(ConsulEvent::SessionRenewed { .. })
        | What::Mysql(MysqlEvent::Committed { .. } | MysqlEvent::Received { .. }) => true,
        What::Agent(Entry::HookStarted { hook } | Entry::HookFinished { hook, ok: true, .. }) => {
            hook == "health"
        }
        _ => false,
    }
}

fn tone(what: &What) -> Tone {
    match what {
        What::FaultBegan { .. } | What::FaultEnded { .. } => Tone::Fault,
        What::Agent(Entry::Log { level, .. }) => match level {
            Level::Debug => Tone::Quiet,
            Level::Info => Tone::Usual,
            Level::Warn | Level::Error => Tone::Trouble,
        },
        What::Agent(Entry::HookFinished { ok: false, .. } | Entry::Health { passing: false, .. })
        | What::Ended { .. } => Tone::Trouble,
        What::Http { .. } | What::Consul(ConsulEvent::SessionRenewed { .. }) | What::Write { .. } => {
            Tone::Quiet
        }
        _ => Tone::Usual,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ironbird_agent::journal::{Entry, Level};
    use ironbird_sim::properties::{Property, Violation};
    use ironbird_sim::record::{Event, Record, What, WriteOutcome};

    use super::rows;
    use crate::specimens::leader_kill;

    fn say(message: &str) -> What {
        What::Agent(Entry::log(Level::Warn, "pilot", message))
    }

    fn acknowledged(id: u64) -> What {
        What::Write { id, outcome: WriteOutcome::Acknowledged { by: "mysql-1".to_owned() } }
    }

    fn refused(id: u64) -> What {
        What::Write { id, outcome: WriteOutcome::Refused { why: "read-only".to_owned() } }
    }

    /// The lines of a story whose events are a second apart.
    fn told(events: Vec<(&str, What)>, violations: &[Violation]) -> Vec<String> {
        let events = events.into_iter().zip(0..).map(|((host, what), step)| Event {
            step,
            at: Duration::from_secs(step),
            host: host.to_owned(),
            what,
        });
        let record = Record { events: events.collect(), ..leader_kill() };
        let rows = rows(&record, violations, false);
        rows.iter().map(|row| format!("{} {}", row.host, row.text())).collect()
    }

    #[test]
    fn a_machine_that_repeats_itself_is_told_once_whoever_speaks_in_between() {
        let events =
            vec![("a", say("x")), ("b", say("x")), ("a", say("x")), ("b", say("y")), ("a", say("x"))];
        assert_eq!(
            told(events, &[]),
            ["a pilot warn: x (3 times until 4.000 s)", "b pilot warn: x", "b pilot warn: y"],
        );
    }

    #[test]
    fn a_round_of_complaints_is_a_repetition_too_but_not_a_long_one() {
        let round = |words: &[&'static str]| -> Vec<_> {
            (0..3).flat_map(|_| words.iter().map(|word| ("a", say(word))).collect::<Vec<_>>()).collect()
        };
        assert_eq!(told(round(&["x", "y", "z"]), &[]).len(), 3);
        assert_eq!(told(round(&["w", "x", "y", "z"]), &[]).len(), 12);
    }

    #[test]
    fn a_fault_or_a_violation_ends_every_repetition() {
        let fault = || What::FaultBegan { fault: "kill a".to_owned(), number: 0 };
        let events = vec![("a", say("x")), ("b", fault()), ("a", say("x")), ("a", say("x"))];
        assert_eq!(
            told(events, &[]),
            ["a pilot warn: x", "b >>> kill a", "a pilot warn: x (2 times until 3.000 s)"],
        );
        let violation = Violation {
            property: Property::LockDelay,
            step: 1,
            at: Duration::from_secs(1),
            host: "b".to_owned(),
            detail: "taken".to_owned(),
        };
        assert_eq!(
            told(vec![("a", say("x")), ("a", say("x")), ("a", say("x"))], &[violation]),
            ["a pilot warn: x (2 times until 1.000 s)", "b !!! lock-delay: taken", "a pilot warn: x"],
        );
    }

    #[test]
    fn writes_are_counted_up_to_the_next_that_fares_otherwise() {
        let events = [acknowledged(1), acknowledged(2), refused(3), acknowledged(4)];
        assert_eq!(
            told(events.map(|event| ("c", event)).into(), &[]),
            [
                "c 2 writes, 1 to 2, acknowledged by mysql-1 (until 1.000 s)",
                "c write 3 refused: read-only",
                "c write 4 acknowledged by mysql-1",
            ],
        );
    }

    #[test]
    fn a_violation_after_the_last_event_is_told_too() {
        let violation = Violation {
            property: Property::ClusterConverges,
            step: 99,
            at: Duration::from_secs(99),
            host: "cluster".to_owned(),
            detail: "record ends before the deadline".to_owned(),
        };
        let told = told(vec![("a", say("x"))], &[violation]);
        assert_eq!(told[1], "cluster !!! cluster-converges: record ends before the deadline");
    }
}
