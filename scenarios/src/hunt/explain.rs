//! Why a run failed: which faults it took, and when it could no longer be avoided.
//!
//! The second is found by going back. The run is repeated as it was up to a time `t`, and from there with
//! other dice (see [`Turn`]); of many such runs some share fails. Far back it is the share with which this
//! plan fails at all, at the violation it is all of them. Where it rises, something was decided; times are
//! chosen by halving wherever it rises most.

use std::collections::BTreeMap;
use std::time::Duration;

use ironbird_sim::run::Run;
use ironbird_sim::seed::{Seed, Turn};
use ironbird_sim::signature::Signature;
use ironbird_sim::spec::Spec;

use super::{Case, Lab};

/// The clock's grain.
const TICK: Duration = Duration::from_millis(1);

/// How much work explaining is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Knobs {
    /// Runs at each time.
    pub runs: u64,
    /// Times.
    pub times: usize,
}

impl Default for Knobs {
    fn default() -> Self {
        Self { runs: 50, times: 20 }
    }
}

/// Why a run failed.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The failing run.
    pub run: Run,
    /// Each fault of the plan, in its order.
    pub faults: Vec<Necessity>,
    /// The chance of failing over time.
    pub curve: Curve,
    /// Where the nearest run that does not fail parts from this one, if any does not fail.
    pub nearest: Option<Divergence>,
    /// Runs it took.
    pub runs: u64,
}

/// Whether a fault was needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Necessity {
    /// Without it the run does not fail like this.
    pub needed: bool,
    /// With it alone it does.
    pub enough: bool,
}

/// The chance of failing when other dice take over, by when they do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Curve {
    /// By time.
    pub readings: Vec<Reading>,
}

/// The chance at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// From when on the dice were others.
    pub at: Duration,
    /// Runs that failed alike.
    pub failed: u64,
    /// Of so many.
    pub of: u64,
}

impl Reading {
    /// Whether at least half failed.
    fn is_likely(&self) -> bool {
        2 * self.failed >= self.of
    }

    /// In thousandths.
    fn share(&self) -> u64 {
        (1_000 * self.failed).checked_div(self.of).unwrap_or_default()
    }
}

impl Curve {
    /// Between which two times the chance rose to a half for the last time; `None` when it was at least a
    /// half from the start.
    pub fn half(&self) -> Option<(Reading, Reading)> {
        let pairs = self.readings.iter().zip(self.readings.iter().skip(1));
        let mut rises = pairs.filter(|(one, next)| !one.is_likely() && next.is_likely());
        rises.next_back().map(|(one, next)| (*one, *next))
    }

    /// The last time from which some run did not fail, and the next one: in between it became inevitable.
    pub fn inevitable(&self) -> Option<(Reading, Reading)> {
        let mut pairs = self.readings.iter().zip(self.readings.iter().skip(1)).rev();
        pairs.find(|(one, _)| one.failed < one.of).map(|(one, next)| (*one, *next))
    }
}

/// Where two runs part.
#[derive(Debug, Clone, PartialEq)]
pub struct Divergence {
    /// When the dice of the other were changed.
    pub turn: Turn,
    /// The number of the first event that is another.
    pub step: usize,
    /// The run that does not fail.
    pub other: Run,
}

/// Explains why `case` shows `wanted`.
///
/// # Errors
/// When the run panics, or does not show it.
pub fn explain(lab: &Lab<'_>, case: &Case, wanted: &Signature, knobs: Knobs) -> Result<Explanation, String> {
    let run = lab.fly(case)?;
    let violation = run
        .violations
        .iter()
        .find(|violation| Signature::of_all(&run.record, std::slice::from_ref(violation)).contains(wanted));
    let Some(end) = violation.map(|violation| violation.at + TICK) else {
        return Err(format!("the run does not show {wanted}"));
    };
    let faults = necessity(lab, case, wanted);
    let mut runs = 1 + 2 * faults.len() as u64;
    let mut back = Back { lab, case, wanted, run: &run, knobs, nearest: None };
    let curve = back.curve(end);
    runs += knobs.runs * (curve.readings.len() as u64).saturating_sub(1);
    let nearest = match back.nearest {
        Some((step, turn)) => {
            runs += 1;
            lab.fly(&turned(case, turn)).ok().map(|other| Divergence { turn, step, other })
        }
        None => None,
    };
    Ok(Explanation { run, faults, curve, nearest, runs })
}

/// Which faults of `case` it takes to show `wanted`.
fn necessity(lab: &Lab<'_>, case: &Case, wanted: &Signature) -> Vec<Necessity> {
    let faults = &case.spec.faults;
    let with = |keep: &dyn Fn(usize) -> bool| {
        let some = faults.iter().enumerate().filter(|(index, _)| keep(*index));
        let faults = some.map(|(_, fault)| fault.clone()).collect();
        lab.signatures(&Case { spec: Spec { faults, ..case.spec.clone() }, ..case.clone() }).contains(wanted)
    };
    let indices: Vec<usize> = (0..faults.len()).collect();
    lab.each(&indices, |index| Necessity {
        needed: !with(&|one| one != *index),
        enough: with(&|one| one == *index),
    })
}

fn turned(case: &Case, turn: Turn) -> Case {
    Case { spec: Spec { turn: Some(turn), ..case.spec.clone() }, ..case.clone() }
}

/// Going back in one run.
struct Back<'b, 'a> {
    lab: &'b Lab<'a>,
    case: &'b Case,
    wanted: &'b Signature,
    run: &'b Run,
    knobs: Knobs,
    /// The run without the failure that stays with this one longest: up to which event, and its turn.
    nearest: Option<(usize, Turn)>,
}

impl Back<'_, '_> {
    fn curve(&mut self, end: Duration) -> Curve {
        let certain = Reading { at: end, failed: self.knobs.runs, of: self.knobs.runs };
        let mut readings = BTreeMap::from([(end, certain)]);
        readings.insert(Duration::ZERO, self.read(Duration::ZERO));
        while readings.len() < self.knobs.times {
            let Some(between) = steepest(&readings) else { break };
            let reading = self.read(between);
            readings.insert(between, reading);
        }
        Curve { readings: readings.into_values().collect() }
    }

    /// The chance of failing with other dice from `at` on.
    fn read(&mut self, at: Duration) -> Reading {
        let seeds: Vec<u64> =
            (1..=self.knobs.runs).map(|number| self.case.seed.0.wrapping_add(number)).collect();
        let runs = self.lab.each(&seeds, |seed| self.once(Turn { at, seed: Seed(*seed) }));
        let mut failed = 0;
        for (seed, common) in seeds.into_iter().zip(runs) {
            match common {
                None => failed += 1,
                Some(common) if self.nearest.is_none_or(|(longest, _)| common > longest) => {
                    self.nearest = Some((common, Turn { at, seed: Seed(seed) }));
                }
                Some(_) => {}
            }
        }
        Reading { at, failed, of: self.knobs.runs }
    }

    /// How many events a run with this turn has in common with the failing one; none if it fails as well.
    fn once(&self, turn: Turn) -> Option<usize> {
        let run = self.lab.fly(&turned(self.case, turn)).ok()?;
        let fails = Signature::of_all(&run.record, &run.violations).contains(self.wanted);
        let (one, two) = (&self.run.record.events, &run.record.events);
        let common = one.iter().zip(two).take_while(|(one, two)| one == two).count();
        (!fails).then_some(common)
    }
}

/// The middle of where the chance changes most; of several, of the widest. None when it changes nowhere.
fn steepest(readings: &BTreeMap<Duration, Reading>) -> Option<Duration> {
    let pairs = readings.values().zip(readings.values().skip(1));
    let (_, width, from) = pairs
        .map(|(one, next)| (one.share().abs_diff(next.share()), next.at - one.at, one.at))
        .filter(|(rise, width, _)| *rise > 0 && *width > TICK)
        .max()?;
    let middle = from + width / 2;
    Some(Duration::from_millis(u64::try_from(middle.as_millis()).unwrap_or(u64::MAX)).max(from + TICK))
}
