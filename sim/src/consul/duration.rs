//! Durations as Go's `time` package reads and writes them, with its messages for what it cannot read.

use std::time::Duration;

const UNITS: [(&str, f64); 8] = [
    ("ns", 1.0),
    ("us", 1e3),
    ("\u{b5}s", 1e3),
    ("\u{3bc}s", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 60e9),
    ("h", 3600e9),
];

/// Reads `1h30m`, `-1.5s`, `0` as nanoseconds.
///
/// # Errors
/// Go's text for an invalid duration, a missing or an unknown unit.
pub(super) fn parse(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().map_err(|_| invalid())?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit = &rest[..letters];
        if unit.is_empty() {
            return Err(format!("time: missing unit in duration {text:?}"));
        }
        let Some((_, scale)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(format!("time: unknown unit {unit:?} in duration {text:?}"));
        };
        total += number * scale;
        rest = &rest[letters..];
    }
    if total > i64::MAX as f64 {
        return Err(invalid());
    }
    let nanos = total as i64;
    Ok(if negative { -nanos } else { nanos })
}

/// Writes nanoseconds as `1h30m0s`, `1.5s`, `5ns`.
pub(super) fn text(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let total = nanos.unsigned_abs();
    let fraction = |number: u64, unit: u64| match number % unit {
        0 => (number / unit).to_string(),
        rest => {
            let width = unit.ilog10() as usize;
            let digits = format!("{}.{rest:0width$}", number / unit);
            digits.trim_end_matches('0').to_owned()
        }
    };
    match total {
        0 => "0s".to_owned(),
        1..1_000 => format!("{sign}{total}ns"),
        1_000..1_000_000 => format!("{sign}{}\u{b5}s", fraction(total, 1_000)),
        1_000_000..1_000_000_000 => format!("{sign}{}ms", fraction(total, 1_000_000)),
        _ => {
            let minutes = total / 60_000_000_000;
            let seconds = fraction(total % 60_000_000_000, 1_000_000_000);
            match minutes {
                0 => format!("{sign}{seconds}s"),
                1..60 => format!("{sign}{minutes}m{seconds}s"),
                _ => format!("{sign}{}h{}m{seconds}s", minutes / 60, minutes % 60),
            }
        }
    }
}

/// Nanoseconds as a duration; what is negative is none at all.
pub(super) fn positive(nanos: i64) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

/// Whole microseconds, as the record writes times.
pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{parse, text};

    #[test]
    fn reads_what_go_reads() {
        for (text, expected) in [
            ("15s", Ok(15_000_000_000)),
            ("1m30s", Ok(90_000_000_000)),
            ("0", Ok(0)),
            ("0s", Ok(0)),
            ("1.5s", Ok(1_500_000_000)),
            ("-20s", Ok(-20_000_000_000)),
            ("120000ms", Ok(120_000_000_000)),
            ("", Err("time: invalid duration \"\"")),
            ("zz", Err("time: invalid duration \"zz\"")),
            ("15", Err("time: missing unit in duration \"15\"")),
            ("1d", Err("time: unknown unit \"d\" in duration \"1d\"")),
        ] {
            assert_eq!(parse(text), expected.map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn writes_what_go_writes() {
        for (nanos, expected) in [
            (0, "0s"),
            (5, "5ns"),
            (1_500, "1.5\u{b5}s"),
            (200_000_000, "200ms"),
            (1_050_000_000, "1.05s"),
            (60_000_000_000, "1m0s"),
            (5_400_000_000_000, "1h30m0s"),
            (-90_500_000_000, "-1m30.5s"),
        ] {
            assert_eq!(text(nanos), expected);
        }
    }
}
