//! What servers say to each other.

use serde::{Deserialize, Serialize};

use super::log::{Record, Snapshot};

/// A call of one server to another, or the answer to one. Every call is answered.
///
/// Every message carries the sender's term. An answer names the call it answers, so that one that comes
/// late, or twice, is not taken for news.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::consul) enum Message<C> {
    /// A candidate asks for a vote in the election of its term.
    Vote {
        /// The candidate's term.
        term: u64,
        /// The last index of its log.
        last_index: u64,
        /// The term of that index.
        last_term: u64,
    },
    /// The answer to [`Message::Vote`].
    Voted {
        /// The voter's term.
        term: u64,
        /// The term of the election it was asked about.
        election: u64,
        /// Whether the candidate has its vote.
        granted: bool,
    },
    /// A leader is still there. Says nothing of its log, so that no disk can hold it up.
    Heartbeat {
        /// The leader's term.
        term: u64,
        /// Which call this is.
        call: u64,
    },
    /// The answer to [`Message::Heartbeat`].
    Beat {
        /// The follower's term.
        term: u64,
        /// The call it answers.
        call: u64,
        /// Whether it follows the caller.
        success: bool,
    },
    /// A leader's records, possibly none, and its commit index.
    Append {
        /// The leader's term.
        term: u64,
        /// Which call this is.
        call: u64,
        /// The index right before the records.
        previous_index: u64,
        /// The term of that index.
        previous_term: u64,
        /// How far the leader has committed.
        commit: u64,
        /// The records.
        records: Vec<Record<C>>,
    },
    /// A leader's snapshot, for a follower whose next record it no longer has.
    Install {
        /// The leader's term.
        term: u64,
        /// Which call this is.
        call: u64,
        /// The snapshot.
        snapshot: Snapshot,
    },
    /// The answer to [`Message::Append`] and [`Message::Install`].
    Appended {
        /// The follower's term.
        term: u64,
        /// The call it answers.
        call: u64,
        /// Whether the follower's log is now the leader's up to `matched`.
        success: bool,
        /// The last index the call brought.
        matched: u64,
        /// The last index the follower had when it was called.
        last_index: u64,
        /// Whether a refused leader should try again without a pause.
        at_once: bool,
    },
}

impl<C> Message<C> {
    /// Whether it answers a call.
    pub(in crate::consul) fn is_answer(&self) -> bool {
        match self {
            Self::Voted { .. } | Self::Beat { .. } | Self::Appended { .. } => true,
            Self::Vote { .. } | Self::Heartbeat { .. } | Self::Append { .. } | Self::Install { .. } => false,
        }
    }
}
