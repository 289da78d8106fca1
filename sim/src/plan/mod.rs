//! The faults of a run, as data.
//!
//! A scenario lists faults with times that may be ranges; [`FaultPlan::draw`] settles every range, gives
//! every fault its name and sorts them by time. What is executed is always the settled list, which reads
//! and writes as TOML, and which a person can write by hand.
//!
//! A fault has a name, its `id`: the one it is given, or else one made of its kind and its targets. Whatever
//! is drawn for a fault, before the run or in it, is drawn from the seed's stream of that name. So a fault
//! that is left out takes nothing but itself with it, and a settled plan keeps its draws however it is cut
//! down. The rule a change must keep: no draw depends on a fault's place in the list.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

mod kind;
mod span;
mod target;
#[cfg(test)]
mod tests;
mod written;

pub use self::kind::{COMMANDS, FaultKind};
pub use self::span::{Shift, Span};
pub use self::target::{Ground, Target, Targets};
use self::written::Written;
use crate::seed::Seed;

/// The faults of one run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultPlan {
    /// The faults, in the order they were written.
    #[serde(default, rename = "fault")]
    pub faults: Vec<Fault>,
}

impl FaultPlan {
    /// Settles every range with `seed`, names every fault and sorts by time.
    #[must_use]
    pub fn draw(&self, seed: Seed) -> Self {
        let mut faults: Vec<_> = self
            .faults
            .iter()
            .zip(self.ids())
            .map(|(fault, id)| {
                let at = fault.at.draw(&mut seed.stream("plan", &id));
                Fault { at, id: Some(id), ..fault.clone() }
            })
            .collect();
        faults.sort_by_key(|fault| fault.at.from);
        Self { faults }
    }

    /// The faults' names, no two the same: `kill leader`, and for the next like it `kill leader 2`.
    pub fn ids(&self) -> Vec<String> {
        let given = |fault: &Fault| fault.id.clone();
        let mut taken: BTreeSet<String> = self.faults.iter().filter_map(given).collect();
        let mut seen = BTreeSet::new();
        self.faults
            .iter()
            .map(|fault| {
                if let Some(id) = given(fault).filter(|id| seen.insert(id.clone())) {
                    return id;
                }
                let base = given(fault).unwrap_or_else(|| format!("{} {}", fault.kind.name(), fault.target));
                let numbered = (2..).map(|number: u32| format!("{base} {number}"));
                let free = std::iter::once(base.clone()).chain(numbered).find(|id| taken.insert(id.clone()));
                free.unwrap_or(base)
            })
            .collect()
    }

    /// Whether a node of Consul goes by a clock that runs too fast or too slow at any time.
    pub fn warps_consul(&self) -> bool {
        self.faults.iter().any(|fault| {
            matches!(fault.kind, FaultKind::ClockRate { .. }) && fault.target.include(Ground::Consul)
        })
    }

    /// When the last fault that ends has ended; a fault that lasts for ever is a condition to live with
    /// and counts from its start, and what an operator does by hand counts not at all. A rolling upgrade
    /// counts from its start: how long it takes depends on how many instances there are.
    pub fn quiet_at(&self) -> Duration {
        self.faults
            .iter()
            .filter(|fault| !matches!(fault.kind, FaultKind::Remove))
            .map(Fault::over_at)
            .max()
            .unwrap_or_default()
    }
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Fault {
    /// Its name, if it has been given one.
    pub id: Option<String>,
    /// When it begins, from the start of the run.
    pub at: Span,
    /// What it is.
    pub kind: FaultKind,
    /// What it happens to.
    pub target: Targets,
    /// How long it lasts.
    pub lasting: Lasting,
}

impl Fault {
    /// A fault without a name.
    pub fn new(at: Span, kind: FaultKind, target: impl Into<Targets>, lasting: Lasting) -> Self {
        Self { id: None, at, kind, target: target.into(), lasting }
    }

    /// When it is over, at the latest; one that lasts for ever, when it has begun.
    pub fn over_at(&self) -> Duration {
        match self.lasting {
            Lasting::For(length) => self.at.to.saturating_add(length),
            Lasting::Moment | Lasting::Forever => self.at.to,
        }
    }

    /// Whether it could stand in a file as it is.
    ///
    /// # Errors
    /// Says what does not go together.
    pub fn check(&self) -> Result<(), String> {
        Self::try_from(Written::from(self.clone())).map(drop)
    }
}

/// In words that begin with the kind: `cut leader - consul for 30s`.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.kind.name(), self.target, self.kind)?;
        match self.lasting {
            Lasting::Moment => Ok(()),
            Lasting::For(length) => write!(f, " for {}", humantime::format_duration(length)),
            Lasting::Forever => f.write_str(" for ever"),
        }
    }
}

/// How long a fault lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lasting {
    /// It happens and is done.
    Moment,
    /// It ends after this long.
    For(Duration),
    /// It never ends.
    Forever,
}
