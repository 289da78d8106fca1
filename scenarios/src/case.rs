//! One run, before it is made.

use ironbird_sim::plan::FaultPlan;
use ironbird_sim::seed::Seed;
use ironbird_sim::spec::Spec;
use ironbird_sim::swarm::{Profile, generate};

use crate::format::{Draft, Expectation};
use crate::select::Selected;

/// One run, as data: everything that decides it.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// `file/variant`, as records have it.
    pub name: String,
    /// What is run; its faults are settled.
    pub spec: Spec,
    /// The seed.
    pub seed: Seed,
}

impl Case {
    /// The run of `selected` under `seed`: with the faults of its file, or with a cluster and faults that
    /// are drawn as `swarm` says.
    pub fn of(selected: Selected<'_>, seed: Seed, swarm: Option<&Profile>) -> Self {
        let (name, spec) = (selected.name(), &selected.variant.spec);
        let (spec, plan) = match swarm {
            None => (spec.clone(), spec.plan().draw(seed)),
            Some(profile) => {
                let (spec, plan, _) = generate(spec, &name, seed, profile);
                (spec, plan)
            }
        };
        Self { name, spec: Spec { faults: plan.faults, ..spec }, seed }
    }

    /// Its faults as a plan.
    pub fn plan(&self) -> FaultPlan {
        self.spec.plan().draw(self.seed)
    }

    /// The variant's name.
    pub fn variant(&self) -> &str {
        self.name.rsplit_once('/').map_or(self.name.as_str(), |(_, variant)| variant)
    }

    /// The scenario's name.
    pub fn scenario(&self) -> &str {
        self.name.rsplit_once('/').map_or(self.name.as_str(), |(scenario, _)| scenario)
    }

    /// A scenario file of this case alone. `told` says where it comes from.
    pub fn draft<'a>(
        &'a self,
        name: String,
        title: String,
        told: String,
        expect: &'a Expectation,
    ) -> Draft<'a> {
        Draft { name, title, why: told, seed: self.seed.0, variant: self.variant(), spec: &self.spec, expect }
    }
}
