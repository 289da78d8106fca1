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

/// Writes nanoseconds as `1h30m0s`, `1.5s`, `20ms`.
pub(super) fn show(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let total = nanos.unsigned_abs();
    let fraction = |scale: u64| {
        let (whole, rest) = (total / scale, total % scale);
        let digits = format!("{rest:0width$}", width = scale.ilog10() as usize);
        match digits.trim_end_matches('0') {
            _ if rest == 0 => whole.to_string(),
            digits => format!("{whole}.{digits}"),
        }
    };
    match total {
        0 => return "0s".to_owned(),
        1..1_000 => return format!("{sign}{total}ns"),
        1_000..1_000_000 => return format!("{sign}{}\u{b5}s", fraction(1_000)),
        1_000_000..1_000_000_000 => return format!("{sign}{}ms", fraction(1_000_000)),
        _ => {}
    }
    let (minutes, rest) = (total / 60_000_000_000, total % 60_000_000_000);
    let mut seconds = format!("{}.{:09}", rest / 1_000_000_000, rest % 1_000_000_000);
    seconds.truncate(seconds.trim_end_matches('0').trim_end_matches('.').len().max(1));
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
        (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
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
    use super::{parse, show};

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
            (1, "1ns"),
            (1_500, "1.5\u{b5}s"),
            (20_000_000, "20ms"),
            (1_000_000_000, "1s"),
            (-1_500_000_000, "-1.5s"),
            (60_000_000_000, "1m0s"),
            (70_000_000_000, "1m10s"),
            (86_400_000_000_000, "24h0m0s"),
        ] {
            assert_eq!(show(nanos), expected);
        }
    }
}
