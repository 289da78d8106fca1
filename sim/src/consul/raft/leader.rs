//! What a leader does: it takes proposals, replicates and commits them, and watches its lease.

use std::collections::BTreeMap;
use std::time::Duration;

use ironbird_agent::planted::{self, Bug};

use super::call::Sender;
use super::peer::{Peer, Refusal};
use super::{Entry, NotLeader, Output, Raft, Record, ServerId, State, VerifyToken};

/// However stale a contact is, the lease is not looked at more often than this.
const LEAST_LEASE_CHECK: Duration = Duration::from_millis(10);

/// What a leader keeps.
#[derive(Debug)]
pub(super) struct Leader {
    /// The first index of its term: a leader commits what came before only along with its own.
    start: u64,
    lease: Duration,
    peers: BTreeMap<ServerId, Peer>,
    verifies: BTreeMap<VerifyToken, usize>,
}

impl Leader {
    /// The only server of a cluster has nothing to wait for.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.peers.values().map(Peer::deadline).min().map(|peers| peers.min(self.lease))
    }

    /// What is still to be verified.
    pub(super) fn unverified(self) -> impl Iterator<Item = VerifyToken> {
        self.verifies.into_keys()
    }
}

impl<C: Clone> Raft<C> {
    /// A candidate has won.
    pub(super) fn lead(&mut self) {
        let next = self.last_index() + 1;
        let peers = self.voters.iter().filter(|&&voter| voter != self.id);
        let (stream, timing, now) = (&mut self.stream, &self.timing, self.now);
        let peers = peers.map(|&voter| (voter, Peer::new(next, now, timing, stream))).collect();
        let lease = self.now + self.timing.lease;
        self.state = State::Leader(Leader { start: next, lease, peers, verifies: BTreeMap::new() });
        self.leader = Some(self.id);
        self.outputs.push(Output::BecameLeader { term: self.persistent.term });
        self.write_own(Entry::Noop);
    }

    /// Appends a command to the log and gives its index. It is committed once it comes out, and its fate
    /// is unknown if [`Output::SteppedDown`] comes first.
    pub(in crate::consul) fn propose(&mut self, now: Duration, command: C) -> Result<u64, NotLeader> {
        self.now = self.now.max(now);
        match self.state {
            State::Leader(_) => Ok(self.write_own(Entry::Command(command))),
            _ => Err(NotLeader),
        }
    }

    /// Asks a quorum whether this server still leads. The answer comes out under the token.
    pub(in crate::consul) fn verify(&mut self, now: Duration) -> Result<VerifyToken, NotLeader> {
        self.now = self.now.max(now);
        let State::Leader(leader) = &mut self.state else { return Err(NotLeader) };
        self.verifies += 1;
        let token = VerifyToken(self.verifies);
        if leader.peers.is_empty() {
            self.outputs.push(Output::Verified { token });
        } else {
            leader.verifies.insert(token, 1);
            leader.peers.values_mut().for_each(|peer| peer.ask(token));
        }
        Ok(token)
    }

    /// The connection to `peer` broke, or could not be made: every call to it has failed. Without this
    /// word a call fails only when its time is up.
    pub(in crate::consul) fn disconnected(&mut self, now: Duration, peer: ServerId) {
        self.now = self.now.max(now);
        self.with_peer(peer, |peer, sender| peer.fail(sender));
    }

    fn write_own(&mut self, entry: Entry<C>) -> u64 {
        let index = self.persistent.log.push(Record { term: self.persistent.term, entry });
        if let State::Leader(leader) = &mut self.state {
            leader.peers.values_mut().for_each(Peer::trigger);
        }
        self.commit_quorum();
        index
    }

    /// A leader's timers.
    pub(super) fn leader_due(&mut self) {
        let State::Leader(leader) = &self.state else { return };
        if leader.lease <= self.now {
            self.check_lease();
            return;
        }
        for peer in self.voters.clone() {
            self.with_peer(peer, Peer::due);
        }
    }

    /// Steps down if a quorum has been silent too long, or looks again when the one silent longest of
    /// those that have not been will have been.
    fn check_lease(&mut self) {
        let quorum = self.quorum();
        let State::Leader(leader) = &mut self.state else { return };
        let silences = leader.peers.values().map(|peer| self.now.saturating_sub(peer.contact()));
        let recent: Vec<Duration> = silences.filter(|silence| *silence < self.timing.lease).collect();
        if recent.len() + 1 < quorum && !planted::is(Bug::LeaderLeaseEndless) {
            self.follow_nobody();
            return;
        }
        let longest = recent.into_iter().max().unwrap_or_default();
        leader.lease = self.now + (self.timing.lease - longest).max(LEAST_LEASE_CHECK);
    }

    /// A follower answered a heartbeat.
    pub(super) fn beat(&mut self, from: ServerId, call: u64, success: bool) {
        let asked = self.with_peer(from, |peer, sender| peer.beat(call, sender));
        if let Some(tokens) = asked {
            self.count(tokens, success);
        }
    }

    /// A follower answered records or a snapshot. From one with a newer term the leader learns that its
    /// time is over, but not the term.
    pub(super) fn appended(&mut self, from: ServerId, term: u64, call: u64, outcome: Result<u64, Refusal>) {
        if !matches!(self.state, State::Leader(_)) || term < self.persistent.term {
            return;
        }
        if term > self.persistent.term {
            self.follow_nobody();
            return;
        }
        if let Some(tokens) = self.with_peer(from, |peer, sender| peer.appended(call, outcome, sender)) {
            self.count(tokens, true);
            self.commit_quorum();
        }
    }

    /// Counts a follower's word on the leadership for each of the verifications that asked for it.
    fn count(&mut self, tokens: Vec<VerifyToken>, success: bool) {
        let quorum = self.quorum();
        let State::Leader(leader) = &mut self.state else { return };
        if !success && !tokens.is_empty() {
            self.follow_nobody();
            return;
        }
        for token in tokens {
            let Some(votes) = leader.verifies.get_mut(&token) else { continue };
            *votes += 1;
            if *votes >= quorum {
                leader.verifies.remove(&token);
                leader.peers.values_mut().for_each(|peer| peer.spare(token));
                self.outputs.push(Output::Verified { token });
            }
        }
    }

    /// Commits what a quorum has, once that includes an entry of this term.
    fn commit_quorum(&mut self) {
        let last_index = self.last_index();
        let State::Leader(leader) = &self.state else { return };
        let mut matched: Vec<u64> = leader.peers.values().map(Peer::matched).collect();
        matched.push(last_index);
        matched.sort_unstable();
        let commit = matched[(matched.len() - 1) / 2];
        if commit > self.commit && commit >= leader.start {
            self.apply(commit);
        }
    }

    /// Does something to a follower, if this server leads one of that name.
    fn with_peer<T>(
        &mut self,
        id: ServerId,
        f: impl FnOnce(&mut Peer, &mut Sender<'_, C>) -> T,
    ) -> Option<T> {
        let State::Leader(leader) = &mut self.state else { return None };
        let peer = leader.peers.get_mut(&id)?;
        let mut sender = Sender {
            to: id,
            now: self.now,
            timing: &self.timing,
            stream: &mut self.stream,
            calls: &mut self.calls,
            term: self.persistent.term,
            commit: self.commit,
            log: &self.persistent.log,
            outputs: &mut self.outputs,
        };
        Some(f(peer, &mut sender))
    }
}
