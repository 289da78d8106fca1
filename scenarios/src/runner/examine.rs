//! From a sweep's sums to its report: the few runs worth showing are run again for their records.

use std::time::Duration;

use ironbird_reports::suite::{FailureReport, VariantReport};
use ironbird_sim::properties::Violation;
use ironbird_sim::run::Run;
use ironbird_sim::seed::Seed;
use ironbird_sim::signature::Signature;
use ironbird_sim::swarm::Profile;

use super::Runner;
use super::tally::{Suspect, Tally};
use crate::format::Expectation;
use crate::select::Selected;

impl Runner<'_> {
    pub(super) fn report(
        &self,
        selected: Selected<'_>,
        tally: Tally,
        tolerated: u64,
        elapsed: Duration,
    ) -> VariantReport {
        // What a file demands to have been seen is said of its own faults, not of drawn ones.
        let required = self.options.swarm.is_none().then_some(&selected.from.scenario.require);
        let vacuous: Vec<_> = required
            .into_iter()
            .flatten()
            .filter(|one| !tally.sometimes.contains_key(one))
            .map(|one| one.name().to_owned())
            .collect();
        let as_expected = tally.can_be_as_expected(tolerated) && vacuous.is_empty();
        let failures = if as_expected {
            Vec::new()
        } else {
            tally.worth_showing().iter().map(|suspect| self.examine(selected, suspect)).collect()
        };
        let example = tally.example.map(|(events, seed)| {
            self.examine(
                selected,
                &Suspect {
                    seed,
                    events,
                    broken: false,
                    reason: format!("as expected: {}", selected.variant.expect),
                    sides: Vec::new(),
                },
            )
        });
        VariantReport {
            name: selected.name(),
            file: selected.from.file.clone(),
            expectation: selected.variant.expect.to_string(),
            line: Some(selected.variant.line),
            as_expected,
            runs: tally.runs,
            violated: match selected.variant.expect {
                Expectation::Pass => tally.violating,
                Expectation::Violates(_) => tally.as_expected,
            },
            violations: tally.violations,
            recovery: tally.recovery,
            simulated: tally.simulated,
            elapsed,
            failures,
            example,
            buckets: tally.buckets.finish(),
            each: tally.each,
            sometimes: tally.sometimes.iter().map(|(one, runs)| (one.name().to_owned(), *runs)).collect(),
            vacuous,
        }
    }

    fn examine(&self, selected: Selected<'_>, suspect: &Suspect) -> FailureReport {
        let replay = replay_command(selected, suspect.seed, self.options.swarm.as_ref());
        let mut reason = suspect.reason.clone();
        let run = match self.once(selected, suspect.seed) {
            Ok(run) => run,
            Err(panic) => {
                if !suspect.broken {
                    reason += "; but run again, it failed: the seed does not replay";
                }
                return FailureReport {
                    seed: suspect.seed.0,
                    signature: Some(Signature::of_panic(&panic)),
                    decisive: suspect.sides.clone(),
                    replay,
                    reason,
                    ..FailureReport::default()
                };
            }
        };
        if run.record.events.len() != suspect.events {
            reason += "; but run again, it took another course: the seed does not replay";
        }
        let mut report = report_of(run, &selected.variant.expect, replay, reason);
        if !suspect.sides.is_empty() {
            report.decisive.clone_from(&suspect.sides);
        }
        report
    }
}

/// What is told of `run`, with the events behind the violation that matters most: the first expected one,
/// or else the first.
pub fn report_of(run: Run, expect: &Expectation, replay: String, reason: String) -> FailureReport {
    let expected = |violation: &&Violation| match expect {
        Expectation::Pass => true,
        Expectation::Violates(symptom) => symptom.properties.contains(&violation.property),
    };
    let Run { record, violations, .. } = run;
    let worst = violations.iter().find(expected).or(violations.first()).cloned();
    FailureReport::of(&record, violations, worst.as_ref(), replay, reason)
}

/// The command that replays one run, ready for a shell.
pub fn replay_command(selected: Selected<'_>, seed: Seed, swarm: Option<&Profile>) -> String {
    let flags = match swarm {
        None => "",
        Some(Profile { boundary: false, .. }) => " --swarm",
        Some(Profile { boundary: true, .. }) => " --swarm --boundary",
    };
    format!("ironbird replay {} --seed {seed}{flags}", quoted(&selected.selector()))
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:,@%=".contains(c);
    if word.chars().all(plain) && !word.starts_with('-') {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_path_survives_the_shell() {
        for (path, expected) in [
            ("leader-kill/hardened", "leader-kill/hardened"),
            ("my scenarios/a.toml", "'my scenarios/a.toml'"),
            ("it's/a.toml", r"'it'\''s/a.toml'"),
            ("$HOME/a.toml", "'$HOME/a.toml'"),
        ] {
            assert_eq!(quoted(path), expected);
        }
    }
}
