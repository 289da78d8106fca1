//! Failures that are the same failure, counted.
//!
//! Ten thousand runs fail in a handful of ways. What makes two failures one is their [`Signature`], and
//! nothing else: a bucket here is what `shrink` keeps and what a stored failure is known by.

use std::collections::BTreeMap;

use ironbird_sim::signature::Signature;

/// Seeds of a bucket that are kept.
const SEEDS: usize = 5;

/// The most buckets that are kept apart; what comes after is counted together.
const MOST: usize = 64;

/// Runs that show one failure.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bucket {
    /// The failure; none when there were too many to tell apart.
    pub signature: Option<Signature>,
    /// In how many runs.
    pub runs: u64,
    /// The first seeds that showed it.
    pub seeds: Vec<u64>,
}

impl Bucket {
    /// Its short name, the property, what the machine was, and what was seen.
    pub(crate) fn told(&self) -> [String; 4] {
        self.signature.as_ref().map_or_else(
            || ["", "", "", "other ways"].map(str::to_owned),
            |one| [one.id(), one.name().to_owned(), one.role().name().to_owned(), one.words().to_owned()],
        )
    }
}

/// Buckets in the making.
#[derive(Debug, Clone, Default)]
pub struct Buckets {
    by_signature: BTreeMap<Option<Signature>, Bucket>,
}

impl Buckets {
    /// Adds a run by the signatures of its failures, each once.
    pub fn add(&mut self, seed: u64, signatures: &[Signature]) {
        for signature in signatures {
            let key = Some(signature.clone());
            let known = self.by_signature.contains_key(&key) || self.by_signature.len() < MOST;
            let key = if known { key } else { None };
            let bucket = self
                .by_signature
                .entry(key)
                .or_insert_with_key(|key| Bucket { signature: key.clone(), ..Bucket::default() });
            bucket.runs += 1;
            if bucket.seeds.len() < SEEDS {
                bucket.seeds.push(seed);
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

#[cfg(test)]
mod tests {
    use ironbird_sim::signature::Signature;

    use super::Buckets;
    use crate::specimens::{leader_kill, leader_kill_violations};

    #[test]
    fn runs_that_fail_alike_are_one_bucket() {
        let mut buckets = Buckets::default();
        let signatures = Signature::of_all(&leader_kill(), &leader_kill_violations());
        for seed in 0..7 {
            buckets.add(seed, &signatures);
        }
        let buckets = buckets.finish();
        let shown: Vec<_> = buckets.iter().map(|bucket| (bucket.told(), bucket.runs)).collect();
        let names: Vec<_> =
            shown.iter().map(|([_, property, role, _], runs)| (&**property, &**role, *runs)).collect();
        assert_eq!(names, [("one-writable-primary", "instance", 7), ("cluster-converges", "primary", 7)]);
        assert_eq!(buckets[0].seeds, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn however_many_ways_there_are_only_so_many_are_kept_apart() {
        let mut buckets = Buckets::default();
        for way in 0..1_000_usize {
            buckets.add(way as u64, &[Signature::of_panic(&format!("way {}", "x".repeat(way % 390)))]);
        }
        let buckets = buckets.finish();
        assert_eq!(buckets.len(), 65);
        assert_eq!(buckets[0].told()[3], "other ways");
        assert_eq!(buckets.iter().map(|bucket| bucket.runs).sum::<u64>(), 1_000);
    }
}
