//! Which runs a sweep makes.

use std::fmt;
use std::str::FromStr;

use ironbird_sim::run::{quiet_at, recovery_bound};
use ironbird_sim::seed::Seed;
use ironbird_sim::spec::Spec;
use ironbird_sim::swarm::Profile;
use rand::seq::SliceRandom;

use crate::format::nearest;
use crate::hunt::Case;
use crate::select::Selected;

/// Seeds between those of one sweep and those of the next.
const STRIDE: u64 = 1_000_000;
/// Efforts that differ by less than this, in seconds, are the same.
const UNIT: u64 = 600;
/// Scenarios with as many faults as this go before all others.
const MANY: usize = 4;

/// How runs are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Technique {
    /// The scenarios as their files have them: faults that somebody thought of.
    Files,
    /// Their clusters, any fault at any time.
    Random,
    /// Swarm testing: clusters and faults are drawn, some kinds of fault for each run.
    Swarm,
    /// The same, and faults are aimed at moments of a run without any.
    Boundary,
}

impl Technique {
    /// Each of them.
    pub const ALL: [Self; 4] = [Self::Files, Self::Random, Self::Swarm, Self::Boundary];

    /// Its name on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Random => "random",
            Self::Swarm => "swarm",
            Self::Boundary => "boundary",
        }
    }

    const fn profile(self) -> Option<Profile> {
        match self {
            Self::Files => None,
            Self::Random => Some(Profile::RANDOM),
            Self::Swarm => Some(Profile::SWARM),
            Self::Boundary => Some(Profile::BOUNDARY),
        }
    }
}

impl fmt::Display for Technique {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Technique {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|technique| technique.name() == word).ok_or_else(|| {
            match nearest(word, Self::ALL.iter().map(|technique| technique.name())) {
                Some(name) => format!("did you mean `{name}`?"),
                None => "it is files, random, swarm or boundary".to_owned(),
            }
        })
    }
}

/// The runs of one sweep, in their order.
pub(super) struct Deck<'a> {
    variants: Vec<Selected<'a>>,
    technique: Technique,
    first: u64,
}

/// Roughly how much there is to simulate: seconds, and several times that where servers of Consul talk.
fn effort(spec: &Spec) -> u64 {
    let length = quiet_at(spec, &spec.plan()) + recovery_bound(spec);
    let nodes = (spec.consul.servers + spec.consul.agents) as u64;
    length.as_secs() * (nodes * 2).saturating_sub(1).max(1)
}

impl<'a> Deck<'a> {
    /// The runs of sweep `number`.
    pub(super) fn new(variants: &[Selected<'a>], technique: Technique, number: usize) -> Self {
        let first = STRIDE.saturating_mul(number as u64);
        let crowded =
            |one: &Selected<'_>| technique == Technique::Files && one.variant.spec.faults.len() >= MANY;
        let (mut many, mut few): (Vec<_>, Vec<_>) = variants.iter().copied().partition(crowded);
        // A run of many faults starts a cluster once for all of them, and waits once for its rest. There are
        // few such, so chance does not decide which is first: each is, in its share of the sweeps.
        let turn = number % many.len().max(1);
        many.rotate_left(turn);
        // After those, what is quickly flown goes first, whatever it is about.
        few.shuffle(&mut Seed(first).stream("bugs", technique.name()));
        few.sort_by_key(|one| effort(&one.variant.spec) / UNIT);
        many.extend(few);
        let variants = many;
        Self { variants, technique, first }
    }

    /// Run `number`, from 0; none when there is no variant.
    pub(super) fn draw(&self, number: u64) -> Option<Case> {
        let count = u64::try_from(self.variants.len()).ok().filter(|count| *count > 0)?;
        let selected = *self.variants.get(usize::try_from(number % count).ok()?)?;
        let seed = Seed(self.first.saturating_add(number));
        Some(Case::of(selected, seed, self.technique.profile().as_ref()))
    }
}
