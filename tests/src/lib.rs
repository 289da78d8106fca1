//! What the tests of this package share: the variants in the program, real runs of them, and [`consul`], which
//! compares the fake Consul with a real one.

pub mod browser;
pub mod consul;
pub mod perfetto;

pub mod cluster;

use ironbird::select::{Selection, select};
use ironbird_sim::plan::FaultPlan;
use ironbird_sim::run::{Run, run};
use ironbird_sim::seed::Seed;
use ironbird_sim::spec::Spec;

/// A variant of a scenario in the program.
#[derive(Debug, Clone)]
pub struct Variant {
    /// `leader-kill/hardened`.
    pub name: String,
    /// What is flown.
    pub spec: Spec,
}

impl Variant {
    /// Flies it under `seed`, as the program does.
    pub fn fly(&self, seed: u64) -> Run {
        let plan = self.spec.plan().draw(Seed(seed));
        run(&self.spec, &self.name, Seed(seed), &plan)
    }

    /// The same variant with other faults, written as in a scenario file.
    ///
    /// # Panics
    /// When `faults` are none.
    #[must_use]
    pub fn with_faults(mut self, faults: &str) -> Self {
        let plan: FaultPlan = toml::from_str(faults).expect("a list of faults");
        self.spec.faults = plan.faults;
        self
    }
}

/// Every variant of every scenario in the program.
///
/// # Panics
/// When a scenario of the program is not sound.
pub fn variants() -> Vec<Variant> {
    let (selections, errors) = select(&[]);
    assert!(errors.is_empty(), "{errors:?}");
    selections
        .iter()
        .flat_map(Selection::variants)
        .map(|one| Variant { name: one.name(), spec: one.variant.spec.clone() })
        .collect()
}

/// The variant called `name`.
///
/// # Panics
/// When there is none.
pub fn variant(name: &str) -> Variant {
    variants().into_iter().find(|variant| variant.name == name).expect("a variant of the program")
}
