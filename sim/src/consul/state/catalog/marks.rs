//! When things that have names were last written.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

/// The index of the last write under each name in use, and of the last time a name fell out of use.
///
/// Who waits for a name nobody has is woken whenever any name falls out of use: a spurious wake, as the
/// real one has them too, and the price of not keeping every name there ever was.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Marks {
    at: BTreeMap<Rc<str>, u64>,
    gone: u64,
}

impl Marks {
    /// Notes a write under `name`.
    pub(super) fn wrote(&mut self, name: Rc<str>, index: u64) {
        self.at.insert(name, index);
    }

    /// Notes that something under `name` went away, and whether anything is left there.
    pub(super) fn removed(&mut self, name: Rc<str>, index: u64, left: bool) {
        if left {
            self.at.insert(name, index);
        } else if self.at.remove(&name).is_some() {
            self.gone = index;
        }
    }

    /// When `name` was last written.
    pub(super) fn of(&self, name: &str) -> u64 {
        self.at.get(name).copied().unwrap_or(self.gone)
    }
}
