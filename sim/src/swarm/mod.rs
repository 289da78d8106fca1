//! Swarm testing: a scenario's cluster under faults nobody wrote down.
//!
//! [`generate`] turns a spec and a seed into another spec, a settled plan, and the list of everything that was
//! drawn for them. Each run draws which kinds of fault exist in it at all and how much each weighs, because a
//! plan with a little of everything hides what a lot of one thing would show; how large the cluster is, how
//! many servers Consul has, its TTLs and intervals, how fast the network is; and then the faults. Some are
//! *shapes*: the few constellations that most failures of distributed systems need, like a leader that is
//! cut off from Consul only. With [`Profile::boundary`] they are also *aimed*: a clean run of the same
//! cluster tells when sessions were renewed, queries timed out and snapshots were taken, and faults begin
//! right before, at and right after those moments and the ends of the TTLs and lock-delays that follow.
//!
//! # What a cluster is asked to survive
//!
//! Every drawn fault ends, the last of them before the quiet in which the cluster has to become whole. What
//! no design could survive is not drawn, unless [`Profile::unsurvivable`] asks for it:
//!
//! - A container that ends is replaced by one with an empty disk. So what may end a container, which is also
//!   whatever makes its database or its disk fail or so slow that it has to be ended for it, happens to one instance at a time, and in a whole run to
//!   fewer of them than there are. While the cluster starts, when one instance has all there is, none ends.
//! - Of several instances two are left: one that was told of more copies acknowledges nothing that only it has.
//! - An upgrade, one by one or by attrition, ends all of them, but after everything else, with the time to
//!   become whole again for each.
//! - A machine that is down, stands still or is cut off comes back before the others give it up for lost: the
//!   cluster's `takeover` is as long as all faults together last. An operator who says less trades what was
//!   acknowledged for a shorter outage.
//! - Of Consul's disks one may be lost, where at least two others remain. The object store loses nothing.
//! - Clocks run at nine tenths to eleven tenths of their rate.
//!
//! The rule a change must keep: everything follows from the spec, the name, the seed and the profile, and what
//! is drawn for one fault does not depend on the others.

mod boundary;
mod features;
mod knobs;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use ironbird_agent::mysql::Takeover;
use rand::RngExt;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use self::boundary::{Clean, Moments};
use self::features::{FEATURES, Feature, Hand};
use crate::plan::{Fault, FaultKind, FaultPlan, Lasting};
use crate::run::recovery_bound;
use crate::seed::Seed;
use crate::spec::Spec;

/// The most faults of a run.
const FAULTS_MAX: usize = 8;

/// How much later than without faults a cluster may be whole before the first: where Consul has one server and
/// a fault ends it, that is a cluster of one, which has to elect it.
const LATER: Duration = Duration::from_secs(30);

/// How a plan is generated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Whether cluster, Consul, network and workload are drawn too.
    pub knobs: bool,
    /// Whether a run has only some of the kinds of fault, and more of one than of another.
    pub swarm: bool,
    /// Whether faults are aimed at moments of a clean run.
    pub boundary: bool,
    /// Whether faults may be such that nothing could survive them.
    pub unsurvivable: bool,
}

impl Profile {
    /// The scenario's own cluster, any kind of fault, at any time: what the others are measured against.
    pub const RANDOM: Self = Self { knobs: false, swarm: false, boundary: false, unsurvivable: false };
    /// Everything is drawn.
    pub const SWARM: Self = Self { knobs: true, swarm: true, ..Self::RANDOM };
    /// Everything is drawn, and faults are aimed.
    pub const BOUNDARY: Self = Self { boundary: true, ..Self::SWARM };
}

/// Everything that was drawn for a run, by name, to be shown before it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Drawn(Vec<(String, String)>);

impl Drawn {
    fn note(&mut self, name: impl Into<String>, value: impl fmt::Display) {
        self.0.push((name.into(), value.to_string()));
    }

    /// Names and values, in the order they were drawn.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// One line for each.
impl fmt::Display for Drawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        self.0.iter().try_for_each(|(name, value)| writeln!(f, "{name:<width$}  {value}"))
    }
}

/// Draws the cluster and the faults of one run of what is called `name`: under one seed, two scenarios get
/// two. The spec's own faults, which tell another story, are left out.
pub fn generate(spec: &Spec, name: &str, seed: Seed, profile: &Profile) -> (Spec, FaultPlan, Drawn) {
    let mut drawn = Drawn::default();
    let dice = seed.derive("swarm", name);
    let mut spec = Spec { faults: Vec::new(), ..spec.clone() };
    if profile.knobs {
        knobs::draw(&mut spec, &mut dice.stream("knobs", ""), &mut drawn);
    }
    let mut stream = dice.stream("faults", "");
    let features = pick_features(profile, &spec, dice, &mut drawn);
    let bound = recovery_bound(&spec);
    let others = u32::try_from(spec.cluster.instances.saturating_sub(1)).unwrap_or(u32::MAX);
    let latest = spec.cluster.start_interval * others + bound;
    let early = stream.random_bool(0.2);
    let window = Duration::from_secs(stream.random_range(30..=600));
    let clean = profile.boundary.then(|| Clean::run(&spec, seed, window));
    let whole_at = clean.as_ref().and_then(Clean::whole_at).map(|at| at + LATER);
    let whole = whole_at.unwrap_or(latest).min(latest);
    let moments = clean.map(|clean| clean.moments(&spec, seed, whole)).unwrap_or_default();
    drawn.note("faults from", humantime::format_duration(if early { Duration::ZERO } else { whole }));
    drawn.note("faults until", humantime::format_duration(whole + window));
    let count = stream.random_range(1..=FAULTS_MAX);
    let mut hand = Hand::new(&spec, *profile, whole, window);
    let mut faults = Vec::new();
    for number in 1..=count {
        let Some(feature) = choose(&features, &mut dice.stream("feature", &number.to_string())) else {
            break;
        };
        let mut stream = dice.stream(feature.name, &number.to_string());
        let Some(mut fault) = (feature.deal)(&mut hand, &mut stream) else { continue };
        // Some of what is drawn as a restart loses a disk, too.
        let costs = feature.costs || fault.kind == FaultKind::Restart { wipe: true };
        hand.place(&mut fault, &moments, early && !costs, &mut stream);
        fault.id = Some(format!("{} {number}", feature.name));
        faults.push(fault);
    }
    let takeover = takeover(&spec, &faults);
    let after = faults.iter().map(Fault::over_at).max().unwrap_or(whole) + bound;
    faults.extend(hand.upgrade(after, bound));
    if !profile.unsurvivable {
        drawn.note("takeover", humantime::format_duration(takeover));
        spec.cluster.takeover = Some(Takeover::After(takeover));
    }
    let plan = FaultPlan { faults }.draw(dice);
    for fault in &plan.faults {
        drawn.note(format!("at {}", fault.at), fault);
    }
    (spec, plan, drawn)
}

/// What an operator tells the cluster who knows how long machines stay away: as long as all faults together
/// last, and then as long as it waits for those that are there.
fn takeover(spec: &Spec, faults: &[Fault]) -> Duration {
    let away = faults.iter().map(|fault| fault.over_at().saturating_sub(fault.at.to)).sum::<Duration>();
    spec.cluster.patience().unwrap_or_default() + away
}

/// Which kinds of fault there are in this run, and how much each weighs.
fn pick_features(
    profile: &Profile,
    spec: &Spec,
    dice: Seed,
    drawn: &mut Drawn,
) -> Vec<(&'static Feature, u32)> {
    let mut possible: Vec<_> = FEATURES.iter().filter(|feature| (feature.fits)(spec)).collect();
    if !profile.swarm {
        return possible.into_iter().map(|feature| (feature, 1)).collect();
    }
    let mut stream = dice.stream("features", "");
    possible.shuffle(&mut stream);
    possible.truncate(stream.random_range(1..=possible.len().max(1)));
    let picked: Vec<_> =
        possible.into_iter().map(|feature| (feature, stream.random_range(1..=100))).collect();
    let words: Vec<_> = picked.iter().map(|(feature, weight)| format!("{} {weight}", feature.name)).collect();
    drawn.note("kinds and weights", words.join(", "));
    picked
}

fn choose(features: &[(&'static Feature, u32)], stream: &mut impl rand::Rng) -> Option<&'static Feature> {
    let total: u32 = features.iter().map(|(_, weight)| weight).sum();
    let mut left = stream.random_range(0..total.max(1));
    features.iter().find_map(|(feature, weight)| {
        let mine = left < *weight;
        left = left.saturating_sub(*weight);
        mine.then_some(*feature)
    })
}

impl Hand<'_> {
    /// Says when a fault begins, and keeps its end inside the window.
    fn place(&self, fault: &mut Fault, moments: &Moments, early: bool, dice: &mut impl rand::Rng) {
        let (from, to) = (if early { Duration::ZERO } else { self.whole }, self.whole + self.window);
        if let Lasting::For(length) = &mut fault.lasting {
            *length = (*length).min(to - from).max(Duration::from_millis(1));
        }
        let length = match fault.lasting {
            Lasting::For(length) => length,
            Lasting::Moment | Lasting::Forever => Duration::ZERO,
        };
        let latest = (to - length).max(from);
        let aimed = boundary::aim(moments, from, latest, dice);
        let at = aimed.unwrap_or_else(|| crate::plan::Span { from, to: latest }.sample(dice));
        // Drawn to the millisecond, which may be a little before.
        fault.at = crate::plan::Span::exactly(at.max(from));
    }
}
