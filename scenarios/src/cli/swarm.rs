//! `--swarm` and `--boundary`: a scenario's cluster under faults nobody wrote down.

use ironbird_sim::seed::Seed;
use ironbird_sim::spec::Spec;
use ironbird_sim::swarm::{Profile, generate};

use super::{Console, Stop};
use crate::exit_code::Exit;
use crate::format::Expectation;
use crate::select::Selection;

#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct SwarmArgs {
    /// In place of the scenario's own faults draw others for every seed, and the cluster's size and times too;
    /// only variants that must pass can be asked
    #[arg(long)]
    pub(super) swarm: bool,
    /// Aim drawn faults at moments of a run without faults: renewals, ends of TTLs, snapshots
    #[arg(long, requires = "swarm")]
    pub(super) boundary: bool,
}

impl SwarmArgs {
    /// How plans are generated; none when the scenarios' own are flown.
    pub(super) fn profile(self) -> Option<Profile> {
        match (self.swarm, self.boundary) {
            (false, _) => None,
            (true, false) => Some(Profile::SWARM),
            (true, true) => Some(Profile::BOUNDARY),
        }
    }
}

/// Leaves only what must pass where faults are drawn: a symptom belongs to the faults that were written for it.
pub(super) fn narrow(
    swarm: Option<Profile>,
    mut selections: Vec<Selection>,
    console: &mut Console<'_>,
) -> Result<Vec<Selection>, Stop> {
    if swarm.is_none() {
        return Ok(selections);
    }
    for Selection { from, variants } in &mut selections {
        let passes = |index: &usize| {
            from.scenario.variants.get(*index).is_some_and(|variant| variant.expect == Expectation::Pass)
        };
        variants.retain(passes);
    }
    selections.retain(|selection| !selection.variants.is_empty());
    if selections.is_empty() {
        console.complain("error: nothing is selected that must pass whatever happens to it\n")?;
        return Err(Stop::Said(Exit::NothingSelected));
    }
    Ok(selections)
}

/// Everything that is drawn for a run.
pub(super) fn knobs(spec: &Spec, name: &str, seed: Seed, profile: &Profile) -> String {
    let (_, _, drawn) = generate(spec, name, seed, profile);
    format!("drawn for seed {seed}:\n{drawn}\n")
}
