//! The journeys of many runs, added up.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::state::{Backup, Catalog, ClusterState, ConsulState, Instance, Lock};
use super::{Journey, NO_FAULT, Visit};

/// Which parts of a state make a row of the map; states that differ in the others only are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// What the instances are.
    pub instances: bool,
    /// The primary's lock.
    pub lock: bool,
    /// The snapshot.
    pub backup: bool,
    /// The catalog's primary.
    pub catalog: bool,
    /// Consul itself.
    pub consul: bool,
}

impl View {
    /// Everything that is known of a state.
    pub const WHOLE: Self = Self { instances: true, lock: true, backup: true, catalog: true, consul: true };
    /// Nothing of it: all states are one.
    pub const NOTHING: Self =
        Self { instances: false, lock: false, backup: false, catalog: false, consul: false };

    /// The row `state` is in.
    pub fn row(self, state: &ClusterState) -> Row {
        Row {
            instances: self.instances.then(|| state.instances.clone()),
            lock: self.lock.then_some(state.lock),
            backup: self.backup.then_some(state.backup),
            catalog: self.catalog.then_some(state.catalog),
            consul: self.consul.then_some(state.consul),
        }
    }

    /// What the run of `journey` adds to a map of this view.
    pub fn passage(self, journey: &Journey) -> Passage {
        // Once a run, however many of its states are one here: since it was last in any of them.
        let mut last: BTreeMap<Row, BTreeMap<&str, Visit>> = BTreeMap::new();
        for ((state, fault), visit) in &journey.visits {
            let faults = last.entry(self.row(state)).or_default();
            let known = faults.entry(fault).or_insert(*visit);
            if visit.entered > known.entered {
                *known = *visit;
            }
        }
        let ways_back = |faults: BTreeMap<&str, Visit>| {
            faults.into_iter().map(|(fault, visit)| (fault.to_owned(), visit.way_back)).collect()
        };
        Passage {
            ways_back: last.into_iter().map(|(row, faults)| (row, ways_back(faults))).collect(),
            recovered: journey.recovered,
        }
    }
}

/// The way back whatever the faults: that of the last time a run was there. Of several kinds of fault it is
/// the shortest, for all of them count up to the same moment; what was before any of them is long past.
fn whatever(faults: &BTreeMap<String, Option<Duration>>) -> Option<Duration> {
    let after = || faults.iter().filter(|(fault, _)| *fault != NO_FAULT).map(|(_, way_back)| *way_back);
    match after().next() {
        Some(_) => after().flatten().min(),
        None => faults.get(NO_FAULT).copied().flatten(),
    }
}

/// A state as far as a [`View`] tells states apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Row {
    /// What the instances are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instances: Option<Vec<Instance>>,
    /// The primary's lock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<Lock>,
    /// The snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<Backup>,
    /// The catalog's primary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalog: Option<Catalog>,
    /// Consul itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consul: Option<ConsulState>,
}

/// States by kinds of fault: in how many runs a cluster was there, and how it came back.
#[derive(Debug, Clone, PartialEq)]
pub struct RecoveryMap {
    view: View,
    rows: BTreeMap<Row, Cells>,
    runs: u64,
    recovered: u64,
}

/// One row: what happened after each kind of fault, and after any or none.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Cells {
    /// Whatever the faults; each run once.
    pub all: Cell,
    /// By kind of fault.
    pub by_fault: BTreeMap<String, Cell>,
}

/// What happened to clusters that were in one state after one kind of fault.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Cell {
    /// Runs that were there.
    pub runs: u64,
    /// How long each of those took that was whole for good at the deadline.
    ways_back: Vec<Duration>,
    /// The one that took longest.
    pub slowest: Option<Example>,
    /// The first that found no way back.
    pub stranded: Option<Example>,
    longest: Duration,
}

/// One run of many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// The variant, `leader-kill/hardened`.
    pub variant: String,
    /// Its seed.
    pub seed: u64,
    /// The command that runs it again.
    pub replay: String,
}

/// What one run adds to a map: for every row it was in and every kind of fault, its way back since it was
/// last there; `None` where it found none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Passage {
    /// By row and kind of fault.
    pub ways_back: BTreeMap<Row, BTreeMap<String, Option<Duration>>>,
    /// Whether the cluster was whole for good at the deadline.
    pub recovered: bool,
}

impl RecoveryMap {
    /// A map of no runs.
    pub fn new(view: View) -> Self {
        Self { view, rows: BTreeMap::new(), runs: 0, recovered: 0 }
    }

    /// Adds the journey of one run.
    pub fn add(&mut self, example: &Example, journey: &Journey) {
        self.add_passage(example, &self.view.passage(journey));
    }

    /// Adds what one run adds to a map of this view.
    pub fn add_passage(&mut self, example: &Example, passage: &Passage) {
        self.runs += 1;
        self.recovered += u64::from(passage.recovered);
        for (row, faults) in &passage.ways_back {
            if !self.rows.contains_key(row) {
                self.rows.insert(row.clone(), Cells::default());
            }
            let Some(cells) = self.rows.get_mut(row) else { continue };
            cells.all.add(whatever(faults), example);
            for (fault, way_back) in faults {
                cells.by_fault.entry(fault.clone()).or_default().add(*way_back, example);
            }
        }
    }

    /// Adds everything in `other`, which is of the same view and whose runs come after those of this one.
    pub fn merge(&mut self, other: Self) {
        self.runs += other.runs;
        self.recovered += other.recovered;
        for (row, cells) in other.rows {
            let into = self.rows.entry(row).or_default();
            into.all.merge(cells.all);
            for (fault, cell) in cells.by_fault {
                into.by_fault.entry(fault).or_default().merge(cell);
            }
        }
    }

    /// How many runs were added.
    pub fn runs(&self) -> u64 {
        self.runs
    }

    /// How many of those were whole at the deadline.
    pub fn recovered(&self) -> u64 {
        self.recovered
    }

    /// The rows, sorted by what they are.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = (&Row, &Cells)> {
        self.rows.iter()
    }

    /// Every cell of a kind of fault.
    pub fn cells(&self) -> impl Iterator<Item = (&Row, &str, &Cell)> {
        self.rows.iter().flat_map(|(row, cells)| {
            cells.by_fault.iter().map(move |(fault, cell)| (row, fault.as_str(), cell))
        })
    }

    /// The kinds of fault there are, sorted, what was before any of them first.
    pub fn faults(&self) -> Vec<&str> {
        let mut faults: Vec<_> = self.cells().map(|(_, fault, _)| fault).collect();
        faults.sort_unstable_by_key(|fault| (*fault != NO_FAULT, *fault));
        faults.dedup();
        faults
    }
}

impl Cell {
    fn add(&mut self, way_back: Option<Duration>, example: &Example) {
        self.runs += 1;
        let Some(time) = way_back else {
            self.stranded.get_or_insert_with(|| example.clone());
            return;
        };
        if self.ways_back.is_empty() || time > self.longest {
            self.longest = time;
            self.slowest = Some(example.clone());
        }
        self.ways_back.push(time);
    }

    fn merge(&mut self, other: Self) {
        self.runs += other.runs;
        if self.ways_back.is_empty() || (!other.ways_back.is_empty() && other.longest > self.longest) {
            self.longest = other.longest;
            self.slowest = other.slowest;
        }
        self.ways_back.extend(other.ways_back);
        self.stranded = self.stranded.take().or(other.stranded);
    }

    /// Runs that came back.
    pub fn recovered(&self) -> u64 {
        self.ways_back.len() as u64
    }

    /// The share of runs that came back, in percent, rounded down: a hundred means all of them.
    pub fn percent(&self) -> u64 {
        (self.recovered() * 100).checked_div(self.runs).unwrap_or(0)
    }

    /// The median way back, the lower of the two in the middle; `None` when no run came back.
    pub fn median(&self) -> Option<Duration> {
        let mut sorted = self.ways_back.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len().checked_sub(1)? / 2).copied()
    }

    /// The longest way back; `None` when no run came back.
    pub fn longest(&self) -> Option<Duration> {
        (!self.ways_back.is_empty()).then_some(self.longest)
    }
}
