//! Two runs side by side, from where they differ.

use ironbird_sim::record::{Event, Record};
use serde::Serialize;

use super::page::Frame;
use crate::story;
use crate::text::{micros, plain};

/// Events before the first difference that are shown.
const BEFORE: usize = 12;

/// The most rows that are shown; what comes after is only counted.
const MOST: usize = 20_000;

/// How far ahead the other side's counterpart of an event is looked for.
const AHEAD: usize = 48;

static FRAME: Frame = Frame {
    style: include_str!("assets/compare.css"),
    script: &[include_str!("assets/compare.js")],
    body: include_str!("assets/compare.html"),
};

/// The page that shows `left` beside `right`.
pub fn compare(left: &Record, right: &Record) -> String {
    let title = format!("{} beside {}", name(left), name(right));
    FRAME.page(&title, &Data::of(left, right), &[])
}

fn name(record: &Record) -> String {
    format!("{} · seed {}", record.header.scenario, record.header.seed)
}

#[derive(Serialize)]
struct Data {
    names: [String; 2],
    pages: [String; 2],
    events: [usize; 2],
    header: Vec<(&'static str, String, String)>,
    /// Events that are the same before the first row.
    same: usize,
    /// The first row that differs.
    first: Option<usize>,
    rows: Vec<RowData>,
    left_out: usize,
}

/// Both sides of a row; one is missing where the other stands alone.
type RowData = (Option<Side>, Option<Side>, Verdict);

/// Step, microseconds, host, words.
type Side = (u64, u64, String, String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Same,
    /// The same words of the same machine, at another time.
    Moved,
    Left,
    Right,
}

impl Data {
    fn of(left: &Record, right: &Record) -> Self {
        let common = left
            .events
            .iter()
            .zip(&right.events)
            .take_while(|(left, right)| {
                left.at == right.at && left.host == right.host && left.what == right.what
            })
            .count();
        let from = common.saturating_sub(BEFORE);
        let mut rows = aligned(&left.events[from..], &right.events[from..]);
        let left_out = rows.len().saturating_sub(MOST);
        rows.truncate(MOST);
        Self {
            names: [name(left), name(right)],
            pages: [super::run::file_name(left), super::run::file_name(right)],
            events: [left.events.len(), right.events.len()],
            header: headers(left, right),
            same: from,
            first: rows.iter().position(|(_, _, verdict)| *verdict != Verdict::Same),
            rows,
            left_out,
        }
    }
}

/// What is different about the runs themselves.
fn headers(left: &Record, right: &Record) -> Vec<(&'static str, String, String)> {
    let faults = |record: &Record| {
        let faults: Vec<_> = record.header.plan.faults.iter().map(story::planned).collect();
        if faults.is_empty() { "none".to_owned() } else { faults.join("\n") }
    };
    [
        ("scenario", plain(&left.header.scenario), plain(&right.header.scenario)),
        ("seed", left.header.seed.to_string(), right.header.seed.to_string()),
        ("faults", faults(left), faults(right)),
        ("record", left.hash().to_hex().to_string(), right.hash().to_hex().to_string()),
    ]
    .into_iter()
    .filter(|(_, left, right)| left != right)
    .collect()
}

/// Both sides in one list. What both have stands on one row, even at different times, as long as the
/// counterpart is not too far ahead.
fn aligned(left: &[Event], right: &[Event]) -> Vec<RowData> {
    let mut rows = Vec::new();
    let [mut l, mut r] = [0, 0];
    while let (Some(a), Some(b)) = (left.get(l), right.get(r)) {
        if a.host == b.host && a.what == b.what {
            let verdict = if a.at == b.at { Verdict::Same } else { Verdict::Moved };
            rows.push((Some(side(a)), Some(side(b)), verdict));
            (l, r) = (l + 1, r + 1);
            continue;
        }
        let find = |event: &Event, events: &[Event]| {
            events.iter().take(AHEAD).position(|other| other.host == event.host && other.what == event.what)
        };
        match (find(a, &right[r..]), find(b, &left[l..])) {
            // Whoever has the shorter way to go on together goes.
            (Some(ahead), other) if other.is_none_or(|other| ahead <= other) => {
                rows.extend(right[r..r + ahead].iter().map(only_right));
                r += ahead;
            }
            (_, Some(ahead)) => {
                rows.extend(left[l..l + ahead].iter().map(only_left));
                l += ahead;
            }
            _ if a.at <= b.at => {
                rows.push(only_left(a));
                l += 1;
            }
            _ => {
                rows.push(only_right(b));
                r += 1;
            }
        }
    }
    rows.extend(left[l..].iter().map(only_left));
    rows.extend(right[r..].iter().map(only_right));
    rows
}

fn only_left(event: &Event) -> RowData {
    (Some(side(event)), None, Verdict::Left)
}

fn only_right(event: &Event) -> RowData {
    (None, Some(side(event)), Verdict::Right)
}

fn side(event: &Event) -> Side {
    (event.step, micros(event.at), plain(&event.host), story::words(&event.what))
}
