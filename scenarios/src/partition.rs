//! A share of a sweep's runs, for jobs that divide one between them.
//!
//! `slice:2/5` is the second of five. Runs are dealt out one by one in the order of the sweep, so that every
//! job gets its part of every variant, slow ones as well as quick ones. `auto` asks the variables in which
//! the usual CI systems tell a job its number.

use std::fmt;
use std::str::FromStr;

/// More jobs than anybody has.
const MOST: u64 = 100_000;

/// One of several equal shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// From 0.
    index: u64,
    count: u64,
}

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// This share.
    Slice(Partition),
    /// That of this CI job.
    Auto,
}

/// Where a CI system says which of how many jobs this is: its name, the variables, the number of the first
/// job.
const SYSTEMS: [(&str, &str, &str, u64); 7] = [
    ("GitLab", "CI_NODE_INDEX", "CI_NODE_TOTAL", 1),
    ("Buildkite", "BUILDKITE_PARALLEL_JOB", "BUILDKITE_PARALLEL_JOB_COUNT", 0),
    ("CircleCI", "CIRCLE_NODE_INDEX", "CIRCLE_NODE_TOTAL", 0),
    // Array indices need not begin at any number in particular; Slurm says at which they do.
    ("Slurm", "SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT", 0),
    ("AWS Batch", "AWS_BATCH_JOB_ARRAY_INDEX", "AWS_BATCH_JOB_ARRAY_SIZE", 0),
    // Kubernetes tells an indexed job its number; the manifest has to add the count.
    ("Kubernetes", "JOB_COMPLETION_INDEX", "JOB_COMPLETIONS", 0),
    ("Ironbird", "IRONBIRD_SLICE", "IRONBIRD_SLICES", 1),
];

impl Partition {
    /// Share `number`, from 1, of `count`.
    ///
    /// # Errors
    /// When there is no such share.
    pub fn new(number: u64, count: u64) -> Result<Self, String> {
        if count == 0 || count > MOST {
            return Err(format!("a sweep has 1 to {MOST} slices, not {count}"));
        }
        if number == 0 || number > count {
            return Err(format!("there is no slice {number} of {count}: the first is 1, the last {count}"));
        }
        Ok(Self { index: number - 1, count })
    }

    /// Whether the run with this number, from 0, is in it.
    pub fn takes(self, run: u64) -> bool {
        run % self.count == self.index
    }
}

impl Asked {
    /// The share that is meant; `variable` is how to read the environment. `None` when no CI system divides
    /// this job.
    ///
    /// # Errors
    /// When a CI system says what cannot be.
    pub fn resolve(self, variable: impl Fn(&str) -> Option<String>) -> Result<Option<Partition>, String> {
        let Self::Auto = self else {
            let Self::Slice(slice) = self else { return Ok(None) };
            return Ok(Some(slice));
        };
        for (system, index, count, first) in SYSTEMS {
            let (Some(number), Some(total)) = (variable(index), variable(count)) else { continue };
            let parse = |name: &str, text: &str| {
                text.trim()
                    .parse::<u64>()
                    .map_err(|_| format!("{name} of {system} is no number: `{}`", text.escape_debug()))
            };
            let first = match variable("SLURM_ARRAY_TASK_MIN") {
                Some(least) if system == "Slurm" => parse("SLURM_ARRAY_TASK_MIN", &least)?,
                _ => first,
            };
            let number = parse(index, &number)?;
            let from_one = number.checked_sub(first).map_or(0, |from_zero| from_zero.saturating_add(1));
            return Partition::new(from_one, parse(count, &total)?)
                .map(Some)
                .map_err(|error| format!("{index} and {count} of {system}: {error}"));
        }
        Ok(None)
    }
}

impl FromStr for Asked {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let unreadable = || format!("`{text}` is neither `slice:M/N`, as in `slice:2/5`, nor `auto`");
        let (number, count) =
            text.strip_prefix("slice:").and_then(|slice| slice.split_once('/')).ok_or_else(unreadable)?;
        let [number, count] = [number, count].map(|part| part.parse().map_err(|_| unreadable()));
        Partition::new(number?, count?).map(Self::Slice)
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "slice:{}/{}", self.index + 1, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auto(variables: &[(&str, &str)]) -> Result<Option<String>, String> {
        let find = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        Asked::Auto.resolve(find).map(|slice| slice.map(|slice| slice.to_string()))
    }

    #[test]
    fn slices_are_disjoint_and_everything() {
        for count in 1..=7 {
            let slices: Vec<_> = (1..=count).map(|number| Partition::new(number, count).unwrap()).collect();
            for run in 0..100 {
                assert_eq!(slices.iter().filter(|slice| slice.takes(run)).count(), 1, "{run} of {count}");
            }
        }
    }

    #[test]
    fn a_slice_is_written_as_nextest_has_it() {
        let asked: Asked = "slice:2/5".parse().unwrap();
        assert_eq!(asked.resolve(|_| None).unwrap().unwrap().to_string(), "slice:2/5");
        for (text, expected) in [
            ("slice:0/5", "there is no slice 0 of 5: the first is 1, the last 5"),
            ("slice:6/5", "there is no slice 6 of 5: the first is 1, the last 5"),
            ("slice:1/0", "a sweep has 1 to 100000 slices, not 0"),
            ("2/5", "`2/5` is neither `slice:M/N`, as in `slice:2/5`, nor `auto`"),
            ("slice:a/5", "`slice:a/5` is neither `slice:M/N`, as in `slice:2/5`, nor `auto`"),
        ] {
            assert_eq!(text.parse::<Asked>().unwrap_err(), expected);
        }
    }

    #[test]
    fn jobs_of_the_usual_systems_know_their_share() {
        for (variables, expected) in [
            (&[("CI_NODE_INDEX", "2"), ("CI_NODE_TOTAL", "5")][..], Some("slice:2/5")),
            (&[("BUILDKITE_PARALLEL_JOB", "0"), ("BUILDKITE_PARALLEL_JOB_COUNT", "3")], Some("slice:1/3")),
            (&[("CIRCLE_NODE_INDEX", "2"), ("CIRCLE_NODE_TOTAL", "3")], Some("slice:3/3")),
            (
                &[
                    ("SLURM_ARRAY_TASK_ID", "11"),
                    ("SLURM_ARRAY_TASK_COUNT", "4"),
                    ("SLURM_ARRAY_TASK_MIN", "10"),
                ],
                Some("slice:2/4"),
            ),
            (&[("AWS_BATCH_JOB_ARRAY_INDEX", "0"), ("AWS_BATCH_JOB_ARRAY_SIZE", "2")], Some("slice:1/2")),
            (&[("JOB_COMPLETION_INDEX", "1"), ("JOB_COMPLETIONS", "2")], Some("slice:2/2")),
            (&[("JOB_COMPLETION_INDEX", "1")], None),
            (&[], None),
        ] {
            assert_eq!(auto(variables).unwrap().as_deref(), expected, "{variables:?}");
        }
        assert_eq!(
            auto(&[("CI_NODE_INDEX", "0"), ("CI_NODE_TOTAL", "5")]).unwrap_err(),
            "CI_NODE_INDEX and CI_NODE_TOTAL of GitLab: there is no slice 0 of 5: the first is 1, the last 5"
        );
        assert_eq!(
            auto(&[("CIRCLE_NODE_INDEX", "x"), ("CIRCLE_NODE_TOTAL", "5")]).unwrap_err(),
            "CIRCLE_NODE_INDEX of CircleCI is no number: `x`"
        );
    }
}
