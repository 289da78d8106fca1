//! Failures that are the same failure.
//!
//! Ten thousand runs fail in a handful of ways. Two violations are of one bucket when the same property
//! broke on a machine that was in the same role, with the same words once machines, ids and numbers are
//! taken out of them.

use std::collections::BTreeMap;

use ironbird_sim::properties::Violation;
use ironbird_sim::record::{MysqlEvent, Record, What};
use serde::Serialize;

use crate::text::plain;

/// Seeds of a bucket that are kept.
const SEEDS: usize = 5;

/// The most buckets that are kept apart; what comes after is counted together.
const MOST: usize = 64;

/// Violations that are one failure.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Bucket {
    /// The property that did not hold.
    pub property: String,
    /// What the machine was: `primary`, `replica`, `cluster`.
    pub role: String,
    /// What was seen, without what differs from run to run.
    pub detail: String,
    /// In how many runs.
    pub runs: u64,
    /// The first seeds that showed it, as text: seeds are greater than some readers' numbers.
    pub seeds: Vec<String>,
}

/// Buckets in the making.
#[derive(Debug, Clone, Default)]
pub struct Buckets {
    by_signature: BTreeMap<(String, String, String), Bucket>,
}

impl Buckets {
    /// Adds a run's violations, each bucket once.
    pub fn add(&mut self, record: &Record, violations: &[Violation]) {
        self.count(record.header.seed, signatures(record, violations));
    }

    /// Adds a run by what [`signatures`] says of it.
    pub fn count(&mut self, seed: u64, signatures: Vec<(String, String, String)>) {
        for signature in signatures {
            let known = self.by_signature.contains_key(&signature) || self.by_signature.len() < MOST;
            let key = if known { signature } else { (signature.0, String::new(), "other ways".to_owned()) };
            let bucket = self.by_signature.entry(key.clone()).or_insert_with(|| Bucket {
                property: key.0,
                role: key.1,
                detail: key.2,
                ..Bucket::default()
            });
            bucket.runs += 1;
            if bucket.seeds.len() < SEEDS {
                bucket.seeds.push(seed.to_string());
            }
        }
    }

    /// All of them, the most frequent first.
    pub fn finish(self) -> Vec<Bucket> {
        let mut buckets: Vec<_> = self.by_signature.into_values().collect();
        buckets.sort_by_key(|bucket| std::cmp::Reverse(bucket.runs));
        buckets
    }
}

/// The property, the machine's role and the words of every violation of a run, each once.
pub fn signatures(record: &Record, violations: &[Violation]) -> Vec<(String, String, String)> {
    let mut signatures: Vec<_> = violations
        .iter()
        .map(|violation| {
            (
                violation.property.name().to_owned(),
                role_at(record, &violation.host, violation.step).to_owned(),
                without_numbers(&plain(&violation.detail)),
            )
        })
        .collect();
    signatures.sort_unstable();
    signatures.dedup();
    signatures
}

/// What `host`'s database was when `step` happened.
fn role_at(record: &Record, host: &str, step: u64) -> &'static str {
    let mut role = None;
    for event in
        record.events.iter().take_while(|event| event.step <= step).filter(|event| event.host == host)
    {
        match &event.what {
            What::Launched { .. } | What::Mysql(MysqlEvent::Up { .. }) => role = Some("starting"),
            What::Ended { .. } | What::Mysql(MysqlEvent::Down) => role = Some("down"),
            What::Mysql(MysqlEvent::Writable { writable: true }) => role = Some("primary"),
            What::Mysql(MysqlEvent::Replication { source, .. }) if !source.is_empty() => {
                role = Some("replica")
            }
            _ => {}
        }
    }
    role.unwrap_or("cluster")
}

/// `mysql-2 has 17 writes` as `mysql-N has N writes`: every run of digits, and every id, is one letter.
fn without_numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_inclusive(' ') {
        let (bare, rest) = word.split_at(word.trim_end_matches([' ', ',', ':', '.', ';']).len());
        if is_id(bare) {
            out.push_str("ID");
        } else {
            let mut in_number = false;
            for character in bare.chars() {
                let digit = character.is_ascii_digit() || (in_number && matches!(character, '.' | ','));
                if !digit {
                    out.push(character);
                } else if !in_number {
                    out.push('N');
                }
                in_number = digit;
            }
        }
        out.push_str(rest);
    }
    out
}

/// Whether `word` is an id as [`plain`] leaves it: eight hexadecimal digits and an ellipsis.
fn is_id(word: &str) -> bool {
    word.strip_suffix('…').is_some_and(|id| id.len() == 8 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::{Buckets, without_numbers};
    use crate::specimens::{leader_kill, leader_kill_violations};

    #[test]
    fn what_differs_from_run_to_run_is_taken_out() {
        for (detail, without) in [
            ("mysql-2 takes writes, and so does mysql-13", "mysql-N takes writes, and so does mysql-N"),
            ("not whole at 451.000 s: mysql-2", "not whole at N s: mysql-N"),
            ("session 8b5f46bd… expired", "session ID expired"),
            ("12,000 writes", "N writes"),
        ] {
            assert_eq!(without_numbers(detail), without);
        }
    }

    #[test]
    fn runs_that_fail_alike_are_one_bucket() {
        let mut buckets = Buckets::default();
        for _ in 0..7 {
            buckets.add(&leader_kill(), &leader_kill_violations());
        }
        let buckets = buckets.finish();
        let shown: Vec<_> = buckets.iter().map(|b| (b.property.as_str(), b.role.as_str(), b.runs)).collect();
        assert_eq!(shown, [("cluster-converges", "primary", 7), ("one-writable-primary", "primary", 7)]);
        assert_eq!(buckets[0].seeds.len(), 5);
    }

    #[test]
    fn however_many_ways_there_are_only_so_many_are_kept_apart() {
        let mut buckets = Buckets::default();
        for way in 0..1_000_u64 {
            buckets.count(
                way,
                vec![("p".to_owned(), "r".to_owned(), format!("way {}", "x".repeat(way as usize)))],
            );
        }
        let buckets = buckets.finish();
        assert_eq!(buckets.len(), 65);
        assert_eq!(buckets[0].detail, "other ways");
        assert_eq!(buckets.iter().map(|bucket| bucket.runs).sum::<u64>(), 1_000);
    }
}
