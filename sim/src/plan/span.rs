//! Times and lengths as files write them, alone or as a range to draw one from.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use rand::RngExt;
use serde::{Deserialize, Serialize};

/// A time or length, or a range to draw one from: `"60s"`, `"60s..90s"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span {
    /// The least.
    pub from: Duration,
    /// The most.
    pub to: Duration,
}

impl Span {
    /// A settled span.
    pub const fn exactly(value: Duration) -> Self {
        Self { from: value, to: value }
    }

    /// A span from `from` to `to` milliseconds.
    pub const fn millis(from: u64, to: u64) -> Self {
        Self { from: Duration::from_millis(from), to: Duration::from_millis(to) }
    }

    /// One value out of the span, to the millisecond.
    pub fn sample(&self, stream: &mut impl rand::Rng) -> Duration {
        if self.from == self.to {
            return self.from;
        }
        let [from, to] =
            [self.from, self.to].map(|bound| u64::try_from(bound.as_millis()).unwrap_or(u64::MAX));
        Duration::from_millis(stream.random_range(from..=to))
    }

    /// The span's only value; none when it is a range.
    pub(super) fn settled(&self) -> Option<Duration> {
        (self.from == self.to).then_some(self.from)
    }

    pub(super) fn draw(&self, stream: &mut impl rand::Rng) -> Self {
        Self::exactly(self.sample(stream))
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = |part: &str| {
            humantime::parse_duration(part.trim()).map_err(|error| {
                format!("`{text}` is neither a duration like \"60s\" nor a range like \"60s..90s\": {error}")
            })
        };
        let span = match text.split_once("..") {
            Some((from, to)) => Self { from: parse(from)?, to: parse(to)? },
            None => Self::exactly(parse(text)?),
        };
        if span.from > span.to {
            return Err(format!("the range `{text}` ends before it begins"));
        }
        Ok(span)
    }
}

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = humantime::format_duration(self.from);
        if self.from == self.to {
            from.fmt(f)
        } else {
            write!(f, "{from}..{}", humantime::format_duration(self.to))
        }
    }
}

/// By how much a clock is set, and which way: `"5s"`, `"-1h"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Shift {
    /// By how much.
    pub by: Duration,
    /// Whether it is set back.
    pub back: bool,
}

impl Shift {
    /// The same the other way.
    #[must_use]
    pub fn undone(self) -> Self {
        Self { back: !self.back, ..self }
    }
}

impl FromStr for Shift {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (back, length) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let by = humantime::parse_duration(length)
            .map_err(|error| format!("`{text}` is no step of a clock like \"5s\" or \"-1h\": {error}"))?;
        if by.is_zero() {
            return Err(format!("`{text}` sets no clock: a step is like \"5s\" or \"-1h\""));
        }
        Ok(Self { by, back })
    }
}

impl TryFrom<String> for Shift {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Shift> for String {
    fn from(shift: Shift) -> Self {
        shift.to_string()
    }
}

impl fmt::Display for Shift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.back { "-" } else { "" };
        write!(f, "{sign}{}", humantime::format_duration(self.by))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_shifts_read_back() {
        for text in ["1m", "1m..1m 30s", "0s", "250ms..1s"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
        for text in ["5s", "-1h", "-1s 500ms"] {
            assert_eq!(text.parse::<Shift>().unwrap().to_string(), text);
        }
        assert_eq!("+5s".parse::<Shift>(), "5s".parse::<Shift>());
        for text in ["", "-", "0s", "-0s", "--1s", "5"] {
            assert!(text.parse::<Shift>().is_err(), "{text}");
        }
    }
}
