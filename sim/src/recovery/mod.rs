//! The states a cluster goes through, and its way back from each of them.
//!
//! A record is folded into the [`ClusterState`]s the cluster was in: an abstraction small enough that runs
//! of different seeds meet in the same states, and a person can read them. [`journey`] says which of them a
//! run visited, under which faults, and how long it took from there to be whole for good; a
//! [`RecoveryMap`] adds up the journeys of many runs. A cell of the map that is below all of its runs is a
//! state from which the cluster, at least once, found no way back.
//!
//! The rule a change must keep: a journey is a pure function of the record, as properties are, and "whole"
//! is what `cluster-converges` means by it and nothing else.

mod fold;
mod map;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use self::fold::Fold;
pub use self::map::{Cell, Cells, Example, Passage, RecoveryMap, Row, View};
pub use self::state::{Backup, Catalog, ClusterState, ConsulState, Instance, Lock};
use crate::properties;
use crate::record::Record;

/// The name of the column for what was visited before any fault.
pub const NO_FAULT: &str = "none";

/// The states one run visited, and its way back from each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Journey {
    /// By state and kind of fault that had begun by then, [`NO_FAULT`] before the first.
    pub visits: BTreeMap<(ClusterState, String), Visit>,
    /// Whether the cluster was whole for good at the deadline.
    pub recovered: bool,
}

/// A state in one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visit {
    /// When it was entered for the last time.
    pub entered: Duration,
    /// From then, or from the end of the last fault if that is later, to the cluster being whole for good;
    /// nothing when it was whole before, `None` when it was not at the deadline.
    pub way_back: Option<Duration>,
}

/// The journey of `record`'s cluster up to the time the verdict is due.
///
/// What a cluster went through before the first fault is judged by whether it became whole before that; what
/// the fault interrupted is left out, for it says nothing.
pub fn journey(record: &Record) -> Journey {
    let header = &record.header;
    let deadline = header.quiet_at.saturating_add(header.bound);
    let mut walk =
        Walk { fold: Fold::new(header), last: None, forming: BTreeMap::new(), visits: BTreeMap::new() };
    let mut events = record.events.iter().take_while(|event| event.at <= deadline).peekable();
    while let Some(event) = events.next() {
        walk.fold.apply(event);
        // Events of the same instant are taken together: nobody was in a state that lasted no time.
        if events.peek().is_none_or(|next| next.at > event.at) {
            walk.settle(event.at);
        }
    }
    let whole_at = properties::recovery(record).map(|recovery| header.quiet_at + recovery);
    walk.finish(header.quiet_at, whole_at)
}

struct Walk {
    fold: Fold,
    last: Option<(ClusterState, BTreeSet<String>)>,
    /// What was entered before any fault, when, and was not followed by a whole cluster yet.
    forming: BTreeMap<ClusterState, Duration>,
    visits: BTreeMap<(ClusterState, String), Visit>,
}

impl Walk {
    fn settle(&mut self, at: Duration) {
        let now = (self.fold.state(), self.fold.faults().clone());
        if self.last.as_ref() != Some(&now) {
            let (state, faults) = &now;
            if faults.is_empty() {
                self.forming.insert(state.clone(), at);
            }
            for fault in faults {
                let visit = Visit { entered: at, way_back: None };
                self.visits.insert((state.clone(), fault.clone()), visit);
            }
            self.last = Some(now);
        }
        if self.fold.faults().is_empty() && self.fold.is_whole() {
            for (state, entered) in std::mem::take(&mut self.forming) {
                let visit = Visit { entered, way_back: Some(at.saturating_sub(entered)) };
                self.visits.insert((state, NO_FAULT.to_owned()), visit);
            }
        }
    }

    fn finish(mut self, quiet_at: Duration, whole_at: Option<Duration>) -> Journey {
        let way_back = |entered: Duration| whole_at.map(|whole| whole.saturating_sub(entered.max(quiet_at)));
        for ((_, fault), visit) in &mut self.visits {
            if fault != NO_FAULT {
                visit.way_back = way_back(visit.entered);
            }
        }
        if self.fold.faults().is_empty() {
            for (state, entered) in self.forming {
                self.visits
                    .insert((state, NO_FAULT.to_owned()), Visit { entered, way_back: way_back(entered) });
            }
        }
        Journey { visits: self.visits, recovered: whole_at.is_some() }
    }
}

#[cfg(test)]
mod tests;
