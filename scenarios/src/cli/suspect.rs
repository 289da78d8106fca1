//! The failing run that `shrink`, `explain` and `corpus` are about.

use std::num::NonZeroUsize;

use ironbird_sim::seed::Seed;
use ironbird_sim::signature::Signature;

use super::swarm::SwarmArgs;
use super::{Console, Stop};
use crate::exit_code::Exit;
use crate::hunt::{Case, Lab, worst};
use crate::runner::{RunFn, replay_command};
use crate::select::Selected;

#[derive(Debug, clap::Args)]
pub(super) struct SuspectArgs {
    /// The variant: `leader-kill/hardened` or `storm.toml/calm`; a scenario with one variant needs no `/`
    #[arg(value_name = "SCENARIO")]
    pub(super) scenario: String,
    /// The seed; the one the file fixes if not given
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,
    #[command(flatten)]
    pub(super) swarm: SwarmArgs,
    /// Which of its failures, by signature or id; the first that matters if not given
    #[arg(long, value_name = "SIGNATURE")]
    pub(super) signature: Option<String>,
    /// Worlds at a time; results do not depend on it. As many as there are cores if not given
    #[arg(long, short, value_name = "N")]
    pub(super) jobs: Option<NonZeroUsize>,
}

/// A case that fails, and how.
pub(super) struct Suspect {
    pub(super) case: Case,
    pub(super) signature: Signature,
}

/// A lab on as many threads as were asked for.
pub(super) fn lab<'a>(run: &'a RunFn<'a>, jobs: Option<NonZeroUsize>) -> Result<Lab<'a>, Stop> {
    let jobs = jobs.map_or(0, NonZeroUsize::get);
    Lab::new(run, jobs).map_err(|error| Stop::Io(std::io::Error::other(error)))
}

/// The seed that is meant, or a complaint.
pub(super) fn seed(given: Option<u64>, one: Selected<'_>, console: &mut Console<'_>) -> Result<Seed, Stop> {
    if let Some(seed) = given.or(one.from.scenario.seed) {
        return Ok(Seed(seed));
    }
    console.complain(&format!("error: {} fixes no seed: say which with --seed\n", one.selector()))?;
    Err(Stop::Said(Exit::Usage))
}

impl SuspectArgs {
    /// Runs what is meant and says how it fails, on `console`; complains when it does not.
    pub(super) fn find(
        &self,
        lab: &Lab<'_>,
        one: Selected<'_>,
        console: &mut Console<'_>,
    ) -> Result<Suspect, Stop> {
        let seed = seed(self.seed, one, console)?;
        let profile = self.swarm.profile();
        let case = Case::of(one, seed, profile.as_ref());
        let shown = lab.signatures(&case);
        let wanted = match &self.signature {
            None => worst(&shown, &one.variant.expect),
            Some(text) => shown.iter().find(|signature| signature.answers_to(text)),
        };
        let Some(wanted) = wanted.cloned() else {
            let mut said = match &self.signature {
                Some(text) if !shown.is_empty() => {
                    format!("error: {}, seed {seed} does not show {text}, only\n", one.name())
                }
                _ => format!("error: {}, seed {seed} violates nothing\n", one.name()),
            };
            for signature in &shown {
                said += &format!("  {}  {signature}\n", signature.id());
            }
            said += &format!("look at it with {}\n", replay_command(one, seed, profile.as_ref()));
            console.complain(&said)?;
            return Err(Stop::Said(Exit::NothingSelected));
        };
        let mut said = format!("{}, seed {seed} shows\n", one.name());
        for signature in &shown {
            let mark = if *signature == wanted { '>' } else { ' ' };
            said += &format!("{mark} {}  {signature}\n", signature.id());
        }
        console.print(&said)?;
        Ok(Suspect { case, signature: wanted })
    }
}
