//! How a server becomes a candidate, and a candidate a leader.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Message, Output, Raft, ServerId, State, timing};

/// What a candidate keeps.
#[derive(Debug)]
pub(super) struct Candidate {
    timer: Duration,
    resend: Duration,
    pause: Duration,
    answered: BTreeSet<ServerId>,
    votes: usize,
}

impl Candidate {
    pub(super) fn deadline(&self) -> Duration {
        self.timer.min(self.resend)
    }
}

impl<C: Clone> Raft<C> {
    /// A follower's timer: it stands for election unless it heard from a leader lately.
    pub(super) fn follower_due(&mut self) {
        let timer = timing::between(&mut self.stream, self.now, self.timing.heartbeat);
        self.state = State::Follower { timer };
        if self.contact.is_some_and(|contact| self.now - contact < self.timing.heartbeat) {
            return;
        }
        self.leader = None;
        if self.voters.contains(&self.id) {
            self.elect();
        }
    }

    /// A candidate's timers: the election failed, or a question may have been lost.
    pub(super) fn candidate_due(&mut self) {
        let State::Candidate(candidate) = &mut self.state else { return };
        if candidate.timer <= self.now {
            self.elect();
            return;
        }
        candidate.pause *= 2;
        candidate.resend = self.now + candidate.pause;
        self.ask_for_votes();
    }

    /// Starts an election in a new term with the first vote.
    pub(super) fn elect(&mut self) {
        let term = self.persistent.term.saturating_add(1);
        self.persistent.term = term;
        self.persistent.vote = Some((term, self.id));
        self.leader = None;
        self.state = State::Candidate(Candidate {
            timer: timing::between(&mut self.stream, self.now, self.timing.election),
            resend: self.now + self.timing.resend,
            pause: self.timing.resend,
            answered: BTreeSet::from([self.id]),
            votes: 1,
        });
        if self.quorum() == 1 {
            self.lead();
        } else {
            self.ask_for_votes();
        }
    }

    fn ask_for_votes(&mut self) {
        let State::Candidate(candidate) = &self.state else { return };
        let (last_index, last_term) = self.persistent.log.last();
        let term = self.persistent.term;
        for &to in self.voters.iter().filter(|voter| !candidate.answered.contains(voter)) {
            let message = Message::Vote { term, last_index, last_term };
            self.outputs.push(Output::Send { to, message });
        }
    }

    /// Answers a candidate whose log ends at `last`, its term first.
    ///
    /// A server that knows of another leader refuses before it looks at the term. That is what keeps a
    /// returning server from winning, but not from taking the leader down with its own higher term.
    pub(super) fn vote(&mut self, from: ServerId, election: u64, last: (u64, u64)) {
        let granted = self.grants(from, election, last);
        if granted {
            self.persistent.vote = Some((election, from));
            self.contact = Some(self.now);
        }
        self.send(from, Message::Voted { term: self.persistent.term, election, granted });
    }

    fn grants(&mut self, from: ServerId, election: u64, last: (u64, u64)) -> bool {
        if self.leader.is_some_and(|leader| leader != from) || election < self.persistent.term {
            return false;
        }
        if election > self.persistent.term {
            self.follow_nobody();
            self.persistent.term = election;
        }
        match self.persistent.vote {
            Some((term, whom)) if term == election => whom == from,
            _ => {
                let (index, term) = self.persistent.log.last();
                last >= (term, index)
            }
        }
    }

    /// Counts a vote.
    pub(super) fn voted(&mut self, from: ServerId, term: u64, election: u64, granted: bool) {
        let quorum = self.quorum();
        let State::Candidate(candidate) = &mut self.state else { return };
        if election != self.persistent.term || !candidate.answered.insert(from) {
            return;
        }
        if term > self.persistent.term {
            self.follow_nobody();
            self.persistent.term = term;
            return;
        }
        candidate.votes += usize::from(granted);
        if candidate.votes >= quorum {
            self.lead();
        }
    }

    /// Falls back to being a follower. A leader leaves what it led behind.
    pub(super) fn follow_nobody(&mut self) {
        self.leader = None;
        if matches!(self.state, State::Follower { .. }) {
            return;
        }
        let timer = timing::between(&mut self.stream, self.now, self.timing.heartbeat);
        let before = std::mem::replace(&mut self.state, State::Follower { timer });
        if let State::Leader(leader) = before {
            self.contact = Some(self.now);
            self.outputs.extend(leader.unverified().map(|token| Output::VerifyFailed { token }));
            self.outputs.push(Output::SteppedDown);
        }
    }
}
