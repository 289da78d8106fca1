//! Which seeds to run: `A..B`, `A..=B`, or a number `N` for `0..N`.

use std::fmt;
use std::str::FromStr;

use ironbird_sim::seed::Seed;

/// More runs than a machine makes in a year.
const MOST: u64 = 1_000_000_000_000;

/// A row of seeds, never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seeds {
    first: u64,
    count: u64,
}

impl Seeds {
    /// The first `count` seeds, at least one.
    pub fn first(count: u64) -> Self {
        Self { first: 0, count: count.max(1) }
    }

    /// Seeds without an end that matters, for a sweep that something else ends.
    pub fn endless() -> Self {
        Self { first: 0, count: MOST }
    }

    /// As many, beginning at a number that `commit`, 40 hexadecimal digits, stands for: every commit tries
    /// seeds of its own, and the same ones whenever it is tried.
    ///
    /// # Errors
    /// When it is no commit's hash.
    pub fn from_commit(self, commit: &str) -> Result<Self, String> {
        let is_hash = commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hash {
            return Err(format!("`{}` is no commit: 40 hexadecimal digits", commit.escape_debug()));
        }
        let digits = commit.get(..12).unwrap_or_default();
        // 48 bits: as many as fit into a number of any JSON reader, with room for the seeds after it.
        let first = u64::from_str_radix(digits, 16).map_err(|error| error.to_string())?;
        Ok(Self { first, ..self })
    }

    /// One seed.
    pub fn only(seed: u64) -> Self {
        Self { first: seed, count: 1 }
    }

    /// How many there are.
    pub fn count(self) -> u64 {
        self.count
    }

    /// The seeds numbered `from` up to, not including, `to`, both counted from the first.
    pub fn slice(self, from: u64, to: u64) -> impl Iterator<Item = Seed> {
        (from..to.min(self.count)).map(move |index| Seed(self.first + index))
    }
}

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |part: &str| {
            part.replace('_', "")
                .parse::<u64>()
                .map_err(|_| format!("`{part}` is no seed: a seed is a whole number below 2^64"))
        };
        let (first, last) = if let Some((first, last)) = text.split_once("..=") {
            (number(first)?, Some(number(last)?))
        } else if let Some((first, end)) = text.split_once("..") {
            (number(first)?, number(end)?.checked_sub(1))
        } else {
            (0, number(text)?.checked_sub(1))
        };
        let count =
            last.and_then(|last| last.checked_sub(first)).ok_or_else(|| format!("`{text}` holds no seed"))?;
        if count >= MOST {
            return Err(format!("`{text}` holds more than {MOST} seeds"));
        }
        Ok(Self { first, count: count + 1 })
    }
}

impl fmt::Display for Seeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..={}", self.first, self.first + (self.count - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::Seeds;

    #[test]
    fn rows_are_read_as_in_rust() {
        for (text, expected) in [
            ("3", "0..=2"),
            ("1", "0..=0"),
            ("5..8", "5..=7"),
            ("5..=8", "5..=8"),
            ("7..=7", "7..=7"),
            ("1_000..1_002", "1000..=1001"),
            ("18446744073709551615..=18446744073709551615", "18446744073709551615..=18446744073709551615"),
        ] {
            let seeds: Seeds = text.parse().unwrap();
            assert_eq!(seeds.to_string(), expected, "{text}");
            let listed: Vec<_> = seeds.slice(0, u64::MAX).collect();
            assert_eq!(listed.len() as u64, seeds.count(), "{text}");
        }
    }

    #[test]
    fn what_holds_no_seed_or_too_many_is_refused() {
        for (text, expected) in [
            ("0", "`0` holds no seed"),
            ("5..5", "`5..5` holds no seed"),
            ("8..5", "`8..5` holds no seed"),
            ("0..0", "`0..0` holds no seed"),
            ("9..=8", "`9..=8` holds no seed"),
            ("0..=18446744073709551615", "`0..=18446744073709551615` holds more than 1000000000000 seeds"),
            ("-1", "`-1` is no seed: a seed is a whole number below 2^64"),
            ("..5", "`` is no seed: a seed is a whole number below 2^64"),
            ("1..2..3", "`2..3` is no seed: a seed is a whole number below 2^64"),
            (
                "18446744073709551616",
                "`18446744073709551616` is no seed: a seed is a whole number below 2^64",
            ),
            ("", "`` is no seed: a seed is a whole number below 2^64"),
        ] {
            assert_eq!(text.parse::<Seeds>().unwrap_err(), expected, "{text}");
        }
    }
}
