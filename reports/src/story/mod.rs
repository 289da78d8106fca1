//! One run as a story a person reads from top to bottom.
//!
//! Every event is one line of three columns: when, on which machine, what. Faults stand out as `>>>` and
//! `<<<`, violations as `!!!` right below the event they were seen at. Without [`StoryOptions::trace`] the
//! story leaves out what goes on all the time (requests, renewals, successful health checks, transactions
//! on their way) and tells a machine's repetitions once, with a count; a fault, a violation or a change of
//! who leads ends every repetition, so that nothing before it is counted with what came after.
//!
//! The rule a change must keep: the story leaves out, it never reorders. Every line stands at the time of
//! the first event it tells of.

mod decisive;
mod lens;
mod rows;
mod words;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use ironbird_sim::properties::Violation;
use ironbird_sim::record::{Event, Header, Record};

pub(crate) use decisive::deciding;
pub use decisive::decisive;
pub use lens::{KINDS, Lens};
use rows::{Tone, rows};
pub(crate) use words::{planned, words};

use crate::text::{count, length, moment, name, plain};

/// How a story is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoryOptions {
    /// Every event, also those that say nothing new.
    pub trace: bool,
    /// With ANSI colours.
    pub color: bool,
}

/// One event on one line.
pub fn line(event: &Event) -> String {
    columns(event.at, &name(&event.host), HOST_WIDTH, &words(&event.what))
}

/// Wide enough for `mysql-10`, and the same for lines that are rendered one by one.
const HOST_WIDTH: usize = 9;

/// The time's column, `128.417 s` right-aligned.
const TIME_WIDTH: usize = 11;

fn columns(at: Duration, host: &str, host_width: usize, words: &str) -> String {
    format!("{:>TIME_WIDTH$}  {host:<host_width$}  {words}", moment(at))
}

/// The whole of `record` with `violations` marked where they were seen, and listed at the end.
pub fn story(record: &Record, violations: &[Violation], options: &StoryOptions) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    tell(record, violations, *options, &mut out).ok();
    out
}

fn tell(
    record: &Record,
    violations: &[Violation],
    options: StoryOptions,
    out: &mut String,
) -> std::fmt::Result {
    header(&record.header, out)?;
    if !record.events.is_empty() {
        writeln!(out)?;
    }
    let colors = Colors::new(record, options.color);
    let width = record
        .events
        .iter()
        .map(|event| name(&event.host).chars().count())
        .chain([HOST_WIDTH])
        .max()
        .unwrap_or(HOST_WIDTH)
        .min(32);
    // What a trace is cut by.
    let steps = record.events.last().map_or(0, |event| event.step.to_string().len() + 1);
    for row in rows(record, violations, options.trace) {
        let host = format!("{:<width$}", row.host);
        if options.trace {
            let step = row.step.map_or_else(String::new, |step| format!("#{step}"));
            write!(out, "{} ", colors.words(Tone::Quiet, &format!("{step:>steps$}")))?;
        }
        writeln!(
            out,
            "{:>TIME_WIDTH$}  {}  {}",
            moment(row.at),
            colors.host(&row.host, &host),
            colors.words(row.tone, &row.text()),
        )?;
    }
    writeln!(out)?;
    verdict(violations, &colors, out)
}

fn header(header: &Header, out: &mut String) -> std::fmt::Result {
    writeln!(out, "scenario   {}", plain(&header.scenario))?;
    writeln!(out, "seed       {}", header.seed)?;
    writeln!(out, "instances  {}", header.instances)?;
    for (index, fault) in header.plan.faults.iter().enumerate() {
        let label = if index == 0 { "faults" } else { "" };
        writeln!(out, "{label:<9}  {}", planned(fault))?;
    }
    if header.plan.faults.is_empty() {
        writeln!(out, "faults     none")?;
    }
    writeln!(
        out,
        "deadline   whole by {}: {} after the last fault's end at {}",
        moment(header.quiet_at.saturating_add(header.bound)),
        length(header.bound),
        moment(header.quiet_at),
    )
}

fn verdict(violations: &[Violation], colors: &Colors, out: &mut String) -> std::fmt::Result {
    if violations.is_empty() {
        return writeln!(out, "every property held");
    }
    writeln!(out, "{}", count(violations.len() as u64, "violation"))?;
    for violation in violations {
        writeln!(
            out,
            "  {}",
            colors.words(
                Tone::Violation,
                &format!(
                    "{} at {} on {}, step {}",
                    violation.property,
                    moment(violation.at),
                    name(&violation.host),
                    violation.step,
                )
            ),
        )?;
        writeln!(out, "    {}", plain(&violation.detail))?;
    }
    Ok(())
}

/// ANSI colours, or none: a colour for every machine in the order of their first events.
#[derive(Clone)]
struct Colors {
    hosts: Option<BTreeMap<String, &'static str>>,
}

impl Colors {
    const HOSTS: [&'static str; 6] = ["36", "35", "34", "32", "96", "95"];

    fn new(record: &Record, color: bool) -> Self {
        let hosts = color.then(|| {
            let mut hosts = BTreeMap::new();
            for event in &record.events {
                let next = Self::HOSTS[hosts.len() % Self::HOSTS.len()];
                hosts.entry(name(&event.host)).or_insert(next);
            }
            hosts
        });
        Self { hosts }
    }

    fn host(&self, name: &str, padded: &str) -> String {
        match self.hosts.as_ref().and_then(|hosts| hosts.get(name)) {
            Some(code) => format!("\x1b[{code}m{padded}\x1b[0m"),
            None => padded.to_owned(),
        }
    }

    fn words(&self, tone: Tone, words: &str) -> String {
        let code = match tone {
            _ if self.hosts.is_none() => return words.to_owned(),
            Tone::Usual => return words.to_owned(),
            Tone::Quiet => "2",
            Tone::Trouble => "31",
            Tone::Fault => "33;1",
            Tone::Violation => "31;1",
        };
        format!("\x1b[{code}m{words}\x1b[0m")
    }
}
