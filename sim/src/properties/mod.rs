//! What must hold of every run, as pure functions of its record.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A property.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Property {
    /// Never two instances that take writes and follow nobody.
    OneWritablePrimary,
    /// A session lives at least its TTL after the last renewal and is gone by twice its TTL.
    SessionTtl,
    /// A lock is never taken again inside its lock-delay.
    LockDelay,
    /// After the faults, one healthy primary and all others replicating from it, within the bound.
    ClusterConverges,
    /// No acknowledged write is lost while an instance that had received it survived.
    AcknowledgedWritesSurvive,
}

impl Property {
    /// Every property.
    pub const ALL: [Self; 5] = [
        Self::OneWritablePrimary,
        Self::SessionTtl,
        Self::LockDelay,
        Self::ClusterConverges,
        Self::AcknowledgedWritesSurvive,
    ];

    /// Its name in scenario files and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OneWritablePrimary => "one-writable-primary",
            Self::SessionTtl => "session-ttl",
            Self::LockDelay => "lock-delay",
            Self::ClusterConverges => "cluster-converges",
            Self::AcknowledgedWritesSurvive => "acknowledged-writes-survive",
        }
    }
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A property that did not hold, and where.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Violation {
    /// Which property.
    pub property: Property,
    /// The event at which it no longer held.
    pub step: u64,
    /// When that was.
    pub at: Duration,
    /// On which machine.
    pub host: String,
    /// What was seen, in a sentence.
    pub detail: String,
}
