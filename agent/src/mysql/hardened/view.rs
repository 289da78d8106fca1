//! What an instance knows, and what it can do: the inputs and the effects of [`decide`](super::decide).

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::mysql::GtidSet;
use crate::planted::{self, Bug};

/// What an instance knows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct View {
    /// Its own name.
    pub me: String,
    /// On how many instances a write must be before it is acknowledged here: 1 or 2.
    pub copies: usize,
    /// Its session, while the lease on it is valid.
    pub lease: Option<String>,
    /// The primary's lock.
    pub lock: Lock,
    /// The newest reign this instance has ever known of, from its disk.
    pub remembered: Option<Leader>,
    /// The local database.
    pub database: Database,
    /// What this instance has published under its session; `None` for nothing yet.
    pub published: Option<Position>,
    /// What all others have published. Read only while it matters: the lock is free, or our own.
    pub members: Vec<Member>,
    /// Since when the lock has been free.
    pub free_for: Duration,
    /// For how long this instance could hear what others publish, without a gap.
    pub hearing_for: Duration,
    /// Since when nothing was heard of the lock's last holder.
    pub quiet_for: Duration,
    /// How long a holder may go on writing after it was last heard of.
    pub lease_length: Duration,
    /// After how long with a free lock this instance stops waiting for those that may hold more than it
    /// does; `None` for never.
    pub patience: Option<Duration>,
}

impl View {
    /// The newest reign anybody told of: the lock's value may be gone or be older than that.
    pub fn reign(&self) -> Option<&Leader> {
        if planted::is(Bug::ReignForgotten) {
            return self.lock.leader.as_ref();
        }
        let told = self.members.iter().filter_map(|member| member.position.remembered.as_ref());
        told.chain(&self.remembered).chain(&self.lock.leader).max_by_key(|leader| leader.age())
    }

    /// The term this instance publishes its position for, or published it for.
    pub fn prepared_for(&self) -> u64 {
        self.published.as_ref().map_or(0, |position| position.prepared_for)
    }
}

/// The primary's lock.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Lock {
    /// The session that holds it.
    pub session: Option<String>,
    /// Who took it last.
    pub leader: Option<Leader>,
    /// Consul's index of the key as it is here, which a change is conditional on; 0 when there is no key.
    pub index: u64,
}

/// Who took the lock and whose word it takes to succeed it: the lock's value.
///
/// The *in-sync set* is what an election is about. A replica acknowledges writes only while it is named
/// here, and it takes itself out of the way (its session ends, or it prepares for an election) before its
/// name goes. So every acknowledged write is, at any time, on `copies` of the instances named here.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Leader {
    /// Its name.
    pub holder: String,
    /// Its address.
    pub address: String,
    /// The fencing term: one more than any before.
    pub term: u64,
    /// Counts the changes of the in-sync set within the term.
    #[serde(default)]
    pub revision: u64,
    /// Counts how often the holder extended its lease. It does not count on an extension that it has not
    /// written here, so whoever has seen this stand still for as long as a lease lasts knows that it is
    /// over, whatever Consul did with the session.
    #[serde(default)]
    pub beat: u64,
    /// Its database writes no more, as the holder said itself when it gave the lock up.
    #[serde(default)]
    pub over: bool,
    /// What its database held when it took the lock.
    pub executed: GtidSet,
    /// Under which name its database commits; empty until the database is set up.
    pub server: String,
    /// Who may hold what was acknowledged, the primary included: the names of instances by the names their
    /// databases commit under. An instance that lost its data comes back as another database, and says
    /// nothing about what it held before, whatever it is called.
    #[serde(default)]
    pub in_sync: BTreeMap<String, String>,
    /// On how many of them everything acknowledged is.
    #[serde(default)]
    pub copies: usize,
    /// Nothing has been acknowledged yet, in this term or any before.
    #[serde(default)]
    pub founding: bool,
    /// All there is, as a primary says that gave its lock up in order. Who holds this holds everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legacy: Option<GtidSet>,
}

impl Leader {
    /// Orders what was said of reigns: the later term, and within it the later change.
    pub fn age(&self) -> (u64, u64) {
        (self.term, self.revision)
    }

    /// How many of the in-sync set an election has to hear, so that nothing acknowledged is overlooked.
    pub fn quorum(&self) -> usize {
        match (self.founding, self.copies) {
            (true, _) => 0,
            (false, copies) => (self.in_sync.len() + usize::from(!planted::is(Bug::QuorumOneShort)))
                .saturating_sub(copies.max(1))
                .max(1),
        }
    }
}

/// The local database.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Database {
    /// What it holds.
    pub executed: GtidSet,
    /// What it has received, applied or not.
    pub retrieved: GtidSet,
    /// Under which name it commits.
    pub server: String,
    /// Whether it takes writes.
    pub writable: bool,
    /// Whether it acknowledges what it receives.
    pub acknowledging: bool,
    /// Whom it is set up to follow.
    pub source: Option<String>,
    /// Whether the receiver runs, connected or trying.
    pub receiving: bool,
    /// Whether it is connected.
    pub connected: bool,
    /// Whether the applier runs.
    pub applying: bool,
    /// The receiver's last error. One that is over, or that waiting mends, says nothing about the data.
    pub receiver_error: String,
    /// What stopped the applier.
    pub applier_error: String,
}

impl Database {
    /// Where it stands in an election: what it has received counts, for it applies that before it acts.
    /// What it cannot apply it cannot bring along.
    pub fn position(&self) -> GtidSet {
        match self.applier_error.as_str() {
            "" => self.executed.clone().union(&self.retrieved),
            _ => self.executed.clone(),
        }
    }

    /// Whether everything it can apply of what it received is applied.
    pub fn is_drained(&self) -> bool {
        !self.applier_error.is_empty() || self.executed.includes(&self.retrieved)
    }

    /// Whether nothing but the position differs.
    pub fn same_but_position(&self, other: &Self) -> bool {
        let without = |database: &Self| Self {
            executed: GtidSet::default(),
            retrieved: GtidSet::default(),
            ..database.clone()
        };
        without(self) == without(other)
    }
}

/// What an instance publishes of itself under its session.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Position {
    /// Under which name its database commits.
    pub server: String,
    /// What its database holds.
    pub executed: GtidSet,
    /// It has stopped receiving for the election of this term: it acknowledges nothing of an earlier one
    /// any more, and `executed` is all it ever did.
    pub prepared_for: u64,
    /// It follows the primary of this term and holds all that was there before it.
    pub follows: u64,
    /// It may be acknowledging writes of the primary of this term.
    pub acknowledges: u64,
    /// The newest reign it knows of.
    pub remembered: Option<Leader>,
}

/// Another instance, as it published itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Whether its session lives.
    pub live: bool,
    /// What it said last.
    pub position: Position,
    /// The index of that in Consul.
    pub index: u64,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make the database read-only, now.
    Demote {
        /// Why.
        why: &'static str,
    },
    /// Stop acknowledging, now.
    Silence {
        /// Why.
        why: &'static str,
    },
    /// Give up the lock, which cannot be used.
    Release {
        /// Why.
        why: &'static str,
    },
    /// Make the database the primary of this term.
    Promote {
        /// The term.
        term: u64,
    },
    /// Add an instance to the in-sync set.
    Enlist {
        /// Its name.
        name: String,
        /// Under which name its database commits.
        server: String,
    },
    /// Take an instance that is gone out of the in-sync set, once another one holds everything.
    Dismiss {
        /// Its name.
        name: String,
        /// Under which name its database committed.
        server: String,
    },
    /// Replicate from this address.
    Follow {
        /// The address.
        address: String,
    },
    /// Apply what was received.
    Apply,
    /// Publish the position together with these terms.
    Publish {
        /// See [`Position::follows`].
        follows: u64,
        /// See [`Position::acknowledges`].
        acknowledges: u64,
    },
    /// Begin to acknowledge.
    Vouch {
        /// For the primary of this term.
        term: u64,
    },
    /// Stop receiving and publish the position for the election of this term.
    Prepare {
        /// The term.
        term: u64,
    },
    /// Try to take the lock.
    Acquire {
        /// What to write into it, but for the data only the shell knows.
        claim: Claim,
    },
    /// The data cannot become part of the cluster's again: start over from a snapshot.
    Reclone {
        /// Why.
        why: &'static str,
    },
    /// Nothing to do.
    Wait,
}

/// What the lock's next holder inherits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claim {
    /// The term.
    pub term: u64,
    /// See [`Leader::in_sync`].
    pub in_sync: BTreeMap<String, String>,
    /// See [`Leader::founding`].
    pub founding: bool,
}
