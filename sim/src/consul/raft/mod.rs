//! The consensus of a cluster's servers: Raft, with the clocks and the manners of the one in Consul 1.8.7.
//!
//! [`Raft`] is one server of it and pure: messages and the time go in, messages and committed entries come
//! out of [`Raft::drain`]. It follows hashicorp/raft 1.1.2 where a client of Consul could tell the
//! difference:
//!
//! - there is no pre-vote, so a server that was cut off comes back with a higher term and unseats the leader;
//! - a vote is refused, whatever its term, while the server asked knows of another leader;
//! - a leader has a lease: it steps down by itself once a quorum has been silent for that long;
//! - heartbeats and log entries travel on separate tracks, and only the second carries the commit index, so
//!   a follower of an idle leader is 50 to 100 ms behind;
//! - a leader verifies itself by having a quorum answer after it was asked, and a deposed one steps down.
//!
//! The network may lose, delay, repeat and reorder. What it loses is sent again as TCP would, and a call
//! that fails for good is retried after the original's pauses. A message counts for nothing unless its
//! sender is one of the servers.
//!
//! The rules a change must keep: a server that answers a message has already written to [`Persistent`]
//! what the answer promises; nothing at or below the commit index is ever cut from the log; every wait
//! that is over is replaced by one that is not, so that [`Raft::advance`] comes to an end. A server that
//! was stopped for a minute wakes up to each of its timers once, not to a minute's worth of them.

mod call;
mod election;
mod follower;
mod leader;
mod log;
mod message;
mod peer;
#[cfg(test)]
mod tests;
mod timing;

use std::sync::Arc;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use self::election::Candidate;
use self::leader::Leader;
pub(in crate::consul) use self::log::{Entry, Persistent, Record, Snapshot};
pub(in crate::consul) use self::message::Message;
pub(in crate::consul) use self::timing::Timing;

/// Which server of the cluster, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(in crate::consul) struct ServerId(pub(in crate::consul) u8);

/// The part a server plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::consul) enum Role {
    /// It follows a leader, or waits for one.
    Follower,
    /// It asks for votes.
    Candidate,
    /// It leads.
    Leader,
}

/// Only a leader can do what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("node is not the leader")]
pub(in crate::consul) struct NotLeader;

/// Stands for one call of [`Raft::verify`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::consul) struct VerifyToken(u64);

/// What a server wants done, or known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::consul) enum Output<C> {
    /// Send a message.
    Send {
        /// The server to send it to.
        to: ServerId,
        /// The message.
        message: Message<C>,
    },
    /// An entry is committed. Each index comes once, in order, on every server.
    Committed {
        /// Its index.
        index: u64,
        /// Its term.
        term: u64,
        /// The entry.
        entry: Entry<C>,
    },
    /// Replace the state machine's state; the entries after `index` follow. Comes from a leader when the
    /// server is too far behind, and first thing after a restart if there is a snapshot.
    InstallSnapshot {
        /// The last index the state contains.
        index: u64,
        /// The state.
        bytes: Arc<[u8]>,
    },
    /// The server was still leader after it was asked.
    Verified {
        /// The call that asked.
        token: VerifyToken,
    },
    /// The server is leader no more, or may not be.
    VerifyFailed {
        /// The call that asked.
        token: VerifyToken,
    },
    /// The server now leads. Its own first entry is not committed yet, and until then it may not know of
    /// everything that is.
    BecameLeader {
        /// The term it leads in.
        term: u64,
    },
    /// The server leads no more. What it proposed and has not seen committed may be lost, or not.
    SteppedDown,
    /// The server believes in another leader than before, possibly in none.
    LeaderChanged {
        /// The new one.
        leader: Option<ServerId>,
    },
}

/// When to replace old entries by a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::consul) struct Compaction {
    /// How many entries past the last snapshot make a new one due.
    pub(in crate::consul) threshold: u64,
    /// How many of the last entries stay, snapshot or not.
    pub(in crate::consul) trailing: u64,
}

impl Default for Compaction {
    fn default() -> Self {
        Self { threshold: 16_384, trailing: 10_240 }
    }
}

#[derive(Debug)]
enum State {
    Follower { timer: Duration },
    Candidate(Candidate),
    Leader(Leader),
}

/// One server.
#[derive(Debug)]
pub(in crate::consul) struct Raft<C> {
    id: ServerId,
    voters: Vec<ServerId>,
    timing: Timing,
    compaction: Compaction,
    stream: ChaCha8Rng,
    now: Duration,
    persistent: Persistent<C>,
    state: State,
    leader: Option<ServerId>,
    announced: Option<ServerId>,
    commit: u64,
    applied: u64,
    contact: Option<Duration>,
    calls: u64,
    verifies: u64,
    outputs: Vec<Output<C>>,
}

impl<C: Clone> Raft<C> {
    /// Server `id` of `servers`, started at `now` on the disk `persistent`, with waits drawn from `stream`.
    ///
    /// On an empty disk it writes the first entry of a new cluster, as every other server does. The only
    /// server of its cluster elects itself at once.
    pub(in crate::consul) fn new(
        id: ServerId,
        servers: Vec<ServerId>,
        timing: Timing,
        mut stream: ChaCha8Rng,
        now: Duration,
        mut persistent: Persistent<C>,
    ) -> Self {
        persistent.bootstrap(&servers);
        let mut outputs = Vec::new();
        let mut applied = 0;
        if let Some(snapshot) = persistent.log.snapshot() {
            applied = snapshot.index;
            outputs.push(Output::InstallSnapshot { index: applied, bytes: snapshot.bytes.clone() });
        }
        let timer = timing::between(&mut stream, now, timing.heartbeat);
        let mut raft = Self {
            id,
            voters: servers,
            timing,
            compaction: Compaction::default(),
            stream,
            now,
            persistent,
            state: State::Follower { timer },
            leader: None,
            announced: None,
            commit: applied,
            applied,
            contact: None,
            calls: 0,
            verifies: 0,
            outputs,
        };
        if raft.voters == [id] {
            raft.elect();
        }
        raft
    }

    /// The part it plays.
    pub(in crate::consul) fn role(&self) -> Role {
        match self.state {
            State::Follower { .. } => Role::Follower,
            State::Candidate(_) => Role::Candidate,
            State::Leader(_) => Role::Leader,
        }
    }

    /// Whom it believes to lead.
    pub(in crate::consul) fn leader(&self) -> Option<ServerId> {
        self.leader
    }

    /// How long ago it heard from a leader, voted or stepped down; none if it never did or leads.
    pub(in crate::consul) fn last_contact(&self, now: Duration) -> Option<Duration> {
        match self.state {
            State::Leader(_) => None,
            _ => self.contact.map(|contact| now.saturating_sub(contact)),
        }
    }

    /// The last index in its log.
    pub(in crate::consul) fn last_index(&self) -> u64 {
        self.persistent.log.last().0
    }

    /// What survives a restart.
    pub(in crate::consul) fn persistent(&self) -> &Persistent<C> {
        &self.persistent
    }

    /// Whether enough was applied since the last snapshot for [`Self::take_snapshot`].
    pub(in crate::consul) fn snapshot_due(&self) -> bool {
        let last = self.persistent.log.snapshot().map_or(0, |snapshot| snapshot.index);
        self.last_index() - last >= self.compaction.threshold && self.applied > last
    }

    /// Keeps `bytes`, the state machine's state after [`Self::applied`], in place of old entries.
    pub(in crate::consul) fn take_snapshot(&mut self, bytes: Arc<[u8]>) {
        let index = self.applied;
        let log = &mut self.persistent.log;
        if let Some(term) = log.term_at(index).filter(|_| index > 0) {
            log.compact(Snapshot { index, term, bytes }, self.compaction.trailing);
        }
    }

    /// When to call [`Self::advance`] next. Ask after [`Self::drain`].
    pub(in crate::consul) fn next_deadline(&self) -> Option<Duration> {
        match &self.state {
            State::Follower { timer } => Some(*timer),
            State::Candidate(candidate) => Some(candidate.deadline()),
            State::Leader(leader) => leader.deadline(),
        }
    }

    /// Lets everything happen that is due by `now`. Time that went back stands still.
    pub(in crate::consul) fn advance(&mut self, now: Duration) {
        self.now = self.now.max(now);
        while self.next_deadline().is_some_and(|deadline| deadline <= self.now) {
            match &self.state {
                State::Follower { .. } => self.follower_due(),
                State::Candidate(_) => self.candidate_due(),
                State::Leader(_) => self.leader_due(),
            }
        }
    }

    /// Takes a message from another server.
    pub(in crate::consul) fn receive(&mut self, now: Duration, from: ServerId, message: Message<C>) {
        self.now = self.now.max(now);
        if from == self.id || !self.voters.contains(&from) {
            return;
        }
        match message {
            Message::Vote { term, last_index, last_term } => self.vote(from, term, (last_term, last_index)),
            Message::Voted { term, election, granted } => self.voted(from, term, election, granted),
            Message::Heartbeat { term, call } => self.heartbeat(from, term, call),
            Message::Beat { call, success, .. } => self.beat(from, call, success),
            Message::Append { term, call, previous_index, previous_term, commit, records } => {
                self.append(from, term, call, (previous_index, previous_term), commit, records);
            }
            Message::Install { term, call, snapshot } => self.install(from, term, call, snapshot),
            Message::Appended { term, call, success, matched, last_index, at_once } => {
                let outcome = if success { Ok(matched) } else { Err(peer::Refusal { last_index, at_once }) };
                self.appended(from, term, call, outcome);
            }
        }
    }

    /// Takes everything that came out since the last time, in order.
    pub(in crate::consul) fn drain(&mut self) -> Vec<Output<C>> {
        self.advance(self.now);
        if self.announced != self.leader {
            self.announced = self.leader;
            self.outputs.push(Output::LeaderChanged { leader: self.leader });
        }
        std::mem::take(&mut self.outputs)
    }

    fn quorum(&self) -> usize {
        self.voters.len() / 2 + 1
    }

    fn send(&mut self, to: ServerId, message: Message<C>) {
        self.outputs.push(Output::Send { to, message });
    }

    /// Hands out what is newly committed.
    fn apply(&mut self, commit: u64) {
        self.commit = self.commit.max(commit);
        while self.applied < self.commit {
            let index = self.applied + 1;
            let Some(record) = self.persistent.log.get(index) else { return };
            let (term, entry) = (record.term, record.entry.clone());
            self.applied = index;
            self.outputs.push(Output::Committed { index, term, entry });
        }
    }
}
