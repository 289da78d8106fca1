//! Reads a record that anybody may have written.
//!
//! A file is read line by line and never as a whole, so what it may cost is bounded by [`MAX_LINE_BYTES`]
//! and [`MAX_BYTES`] and by the events it really has. Everything that is wrong is told with the number of
//! the line. What a newer minor version has more is left out and counted: who reads it sees less, never
//! something else.
//!
//! The rule a change must keep: no input makes this panic, and a record that is read without an error
//! and without anything left out is written again byte for byte.

use std::fmt;
use std::io::{self, BufRead};
use std::time::Duration;

use serde::Deserialize;

use super::{Event, Header, Record, VERSION, Version};

/// The longest line that is read, in bytes without its end.
pub const MAX_LINE_BYTES: usize = 1 << 20;

/// The longest record that is read, in bytes.
pub const MAX_BYTES: u64 = 1 << 30;

/// A record that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The record.
    pub record: Record,
    /// Events of kinds that only a newer minor version knows; they are not in the record.
    pub skipped: u64,
}

/// Why a record was not read, and in which line.
#[derive(Debug)]
pub struct ReadError {
    /// From 1.
    pub line: u64,
    /// Why.
    pub reason: Reason,
}

/// Why a record was not read.
#[derive(Debug)]
pub enum Reason {
    /// There is nothing in it.
    Empty,
    /// The first line is no header.
    NotARecord(String),
    /// It is in a version whose meaning is not known here.
    Newer(Version),
    /// The line is longer than [`MAX_LINE_BYTES`].
    LongLine,
    /// The record is longer than [`MAX_BYTES`].
    LongRecord,
    /// The last line has no end.
    CutOff,
    /// The line is no event.
    Malformed(String),
    /// The event does not follow the one before.
    OutOfOrder(String),
    /// The file could not be read.
    Io(io::Error),
}

impl std::error::Error for ReadError {}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        match &self.reason {
            Reason::Empty => f.write_str("the record is empty: not even a header"),
            Reason::NotARecord(why) => write!(f, "this is no header of a record: {why}"),
            Reason::Newer(version) => write!(
                f,
                "the record is in version {version} of the format, and this program reads up to {}.x: read it \
                 with a newer one",
                VERSION.major
            ),
            Reason::LongLine => write!(f, "the line is longer than {MAX_LINE_BYTES} bytes"),
            Reason::LongRecord => write!(f, "the record is longer than {MAX_BYTES} bytes"),
            Reason::CutOff => f.write_str("the line ends in the middle: the record was cut off"),
            Reason::Malformed(why) => write!(f, "this is no event: {why}"),
            Reason::OutOfOrder(why) => f.write_str(why),
            Reason::Io(error) => write!(f, "cannot read on: {error}"),
        }
    }
}

/// The header's version, before anything else of it is believed.
#[derive(Deserialize)]
struct Versioned {
    version: Version,
}

/// What every event of every version has.
#[derive(Deserialize)]
struct Outline {
    step: u64,
    us: u64,
    #[serde(rename = "host")]
    _host: String,
    #[serde(rename = "kind")]
    _kind: String,
}

impl Record {
    /// Reads a record as JSON Lines.
    ///
    /// # Errors
    /// The first line that cannot be read, and why.
    pub fn read(input: impl BufRead) -> Result<Reading, ReadError> {
        let mut lines = Lines { input, line: Vec::new(), number: 0, bytes: 0 };
        let header = match lines.next()? {
            Some(line) => header(line).map_err(|reason| ReadError { line: 1, reason })?,
            None => return Err(ReadError { line: 1, reason: Reason::Empty }),
        };
        let newer = header.version > VERSION;
        let mut events: Vec<Event> = Vec::new();
        let mut skipped = 0;
        let mut last: Option<(u64, Duration)> = None;
        while let Some(line) = lines.next()? {
            let (step, at, event) = match serde_json::from_slice::<Event>(line) {
                Ok(event) => (event.step, event.at, Some(event)),
                Err(error) => match serde_json::from_slice::<Outline>(line) {
                    Ok(outline) if newer => (outline.step, Duration::from_micros(outline.us), None),
                    _ => return Err(lines.error(Reason::Malformed(told(&error)))),
                },
            };
            if let Err(why) = follows(last, step, at) {
                return Err(lines.error(Reason::OutOfOrder(why)));
            }
            last = Some((step, at));
            match event {
                Some(event) => events.push(event),
                None => skipped += 1,
            }
        }
        Ok(Reading { record: Record { header, events }, skipped })
    }
}

fn header(line: &[u8]) -> Result<Header, Reason> {
    let Versioned { version } =
        serde_json::from_slice(line).map_err(|error| Reason::NotARecord(told(&error)))?;
    if version.major > VERSION.major {
        return Err(Reason::Newer(version));
    }
    serde_json::from_slice(line).map_err(|error| Reason::NotARecord(told(&error)))
}

/// Whether an event may come after `last`.
fn follows(last: Option<(u64, Duration)>, step: u64, at: Duration) -> Result<(), String> {
    let Some((last_step, last_at)) = last else { return Ok(()) };
    if step <= last_step {
        return Err(format!("step {step} comes after step {last_step}"));
    }
    if at < last_at {
        return Err(format!(
            "step {step} is at {} us, before the step it follows on, at {} us",
            at.as_micros(),
            last_at.as_micros()
        ));
    }
    Ok(())
}

/// What the parser says, with the column alone: every line is the first of its own document.
fn told(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    match text.strip_suffix(&place) {
        Some(why) if error.column() > 0 => format!("{why}, at column {}", error.column()),
        Some(why) => why.to_owned(),
        None => text,
    }
}

/// Lines of bounded length.
struct Lines<R> {
    input: R,
    line: Vec<u8>,
    number: u64,
    bytes: u64,
}

impl<R: BufRead> Lines<R> {
    /// The next line without its end.
    fn next(&mut self) -> Result<Option<&[u8]>, ReadError> {
        self.line.clear();
        self.number += 1;
        loop {
            let available = match self.input.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.error(Reason::Io(error))),
            };
            if available.is_empty() {
                // The end of the file belongs after the end of a line.
                return if self.line.is_empty() { Ok(None) } else { Err(self.error(Reason::CutOff)) };
            }
            let end = available.iter().position(|byte| *byte == b'\n');
            let part = &available[..end.unwrap_or(available.len())];
            if self.line.len() + part.len() > MAX_LINE_BYTES {
                return Err(self.error(Reason::LongLine));
            }
            self.line.extend_from_slice(part);
            let taken = part.len() + usize::from(end.is_some());
            self.input.consume(taken);
            self.bytes += taken as u64;
            if self.bytes > MAX_BYTES {
                return Err(self.error(Reason::LongRecord));
            }
            if end.is_some() {
                return Ok(Some(&self.line));
            }
        }
    }

    fn error(&self, reason: Reason) -> ReadError {
        ReadError { line: self.number, reason }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read};

    use super::{MAX_LINE_BYTES, Reading};
    use crate::record::Record;

    const HEADER: &str = r#"{"version":"1.0","scenario":"a/b","seed":1,"plan":{"fault":[{"at":"1s","kind":"kill","target":"leader"}]},"instances":3,"quiet_us":1,"bound_us":2,"steady_us":1}"#;
    const LAUNCHED: &str = r#"{"step":0,"us":5,"host":"mysql-1","kind":"launched","why":"start"}"#;
    const FINISHED: &str = r#"{"step":1,"us":7,"host":"world","kind":"finished"}"#;

    fn read(lines: &[&str]) -> Result<Reading, String> {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        Record::read(text.as_bytes()).map_err(|error| error.to_string())
    }

    fn newer(version: &str) -> String {
        HEADER.replace("1.0", version)
    }

    #[test]
    fn what_was_written_is_read_and_written_again_to_the_byte() {
        let reading = read(&[HEADER, LAUNCHED, FINISHED]).expect("it is sound");
        assert!(reading.record.is_complete());
        assert_eq!(reading.skipped, 0);
        let mut written = Vec::new();
        reading.record.write_to(&mut written).expect("memory takes everything");
        assert_eq!(String::from_utf8(written).expect("UTF-8"), format!("{HEADER}\n{LAUNCHED}\n{FINISHED}\n"));
    }

    #[test]
    fn a_record_that_stops_between_two_events_says_so() {
        assert!(!read(&[HEADER, LAUNCHED]).expect("it is sound so far").record.is_complete());
        assert!(!read(&[HEADER]).expect("nothing happened").record.is_complete());
    }

    #[test]
    fn whatever_is_wrong_is_told_with_its_line() {
        let cases: &[(&[&str], &str)] = &[
            (&[], "line 1: the record is empty: not even a header"),
            (&["{}"], "line 1: this is no header of a record: missing field `version`, at column 2"),
            (&["hello"], "line 1: this is no header of a record: expected value, at column 1"),
            (
                &[r#"{"version":"1.0"}"#],
                "line 1: this is no header of a record: missing field `scenario`, at column 17",
            ),
            (&[HEADER, ""], "line 2: this is no event: EOF while parsing a value"),
            (&[HEADER, LAUNCHED, "[]"], "line 3: this is no event: "),
            (
                &[HEADER, r#"{"step":0,"us":5,"host":"a","kind":"launched"}"#],
                "line 2: this is no event: missing field `why`",
            ),
            (
                &[HEADER, r#"{"step":0,"us":5,"host":"a","kind":"new-thing"}"#],
                "line 2: this is no event: unknown variant `new-thing`",
            ),
            (&[HEADER, FINISHED, FINISHED], "line 3: step 1 comes after step 1"),
            (
                &[HEADER, LAUNCHED, r#"{"step":1,"us":4,"host":"a","kind":"finished"}"#],
                "line 3: step 1 is at 4 us, before the step it follows on, at 5 us",
            ),
        ];
        for (lines, told) in cases {
            let error = read(lines).expect_err(told);
            assert!(error.starts_with(told), "{error}\n  should start with\n{told}");
        }
    }

    #[test]
    fn a_newer_major_version_is_refused_before_anything_else_is_read() {
        let error = read(&[r#"{"version":"2.0","nothing":"known"}"#, "???"]).expect_err("it is newer");
        assert_eq!(
            error,
            "line 1: the record is in version 2.0 of the format, and this program reads up to 1.x: read it with \
             a newer one"
        );
    }

    #[test]
    fn what_a_newer_minor_version_has_more_is_left_out_and_counted() {
        let header = newer("1.7").replace(r#""seed":1"#, r#""seed":1,"weather":"fine""#);
        let new_kind = r#"{"step":1,"us":6,"host":"a","kind":"teleported","to":"b"}"#;
        let new_field = r#"{"step":2,"us":7,"host":"world","kind":"finished","mood":"good"}"#;
        let reading = read(&[&header, LAUNCHED, new_kind, new_field]).expect("it is sound");
        assert_eq!(
            (reading.record.events.len(), reading.skipped, reading.record.is_complete()),
            (2, 1, true)
        );
        // What is broken stays broken.
        let error = read(&[&header, r#"{"step":1,"us":6,"host":"a"}"#]).expect_err("it has no kind");
        assert!(error.starts_with("line 2: this is no event: missing field `kind`"), "{error}");
    }

    #[test]
    fn a_record_cut_off_anywhere_is_refused_or_read_as_incomplete() {
        let text = format!("{HEADER}\n{LAUNCHED}\n{FINISHED}\n");
        for end in 0..text.len() {
            match Record::read(&text.as_bytes()[..end]) {
                Ok(reading) => assert!(!reading.record.is_complete() && text[..end].ends_with('\n')),
                Err(error) => assert!(error.to_string().contains("cut off") || end == 0, "{error}"),
            }
        }
    }

    #[test]
    fn a_line_without_an_end_costs_no_more_than_a_line_may() {
        let endless = io::BufReader::new(io::repeat(b'['));
        let error = Record::read(endless).expect_err("it never ends");
        assert_eq!(error.to_string(), "line 1: the line is longer than 1048576 bytes");
        let deep = "[".repeat(MAX_LINE_BYTES - 1);
        let error = read(&[HEADER, &deep]).expect_err("it is no event");
        assert!(error.starts_with("line 2: this is no event"), "{error}");
    }

    #[test]
    fn an_endless_record_is_given_up() {
        // Empty lines cost nothing, but are no events either.
        let error = Record::read(io::BufReader::new(io::repeat(b'\n').take(100))).expect_err("no header");
        assert!(error.to_string().starts_with("line 1: this is no header"), "{error}");
    }
}
