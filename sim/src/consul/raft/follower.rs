//! How a server takes what a leader sends.

use super::{Message, Output, Raft, Record, ServerId, Snapshot, State};

/// No log grows as far as this, so a snapshot that claims to is not one.
const NO_INDEX: u64 = 1 << 62;

impl<C: Clone> Raft<C> {
    /// Whether a leader of `term` leads this server; if so, it follows it from now on.
    fn follows(&mut self, from: ServerId, term: u64) -> bool {
        if term < self.persistent.term {
            return false;
        }
        if term > self.persistent.term || !matches!(self.state, State::Follower { .. }) {
            self.follow_nobody();
            self.persistent.term = term;
        }
        self.leader = Some(from);
        true
    }

    /// Answers a heartbeat.
    pub(super) fn heartbeat(&mut self, from: ServerId, term: u64, call: u64) {
        let success = self.follows(from, term);
        if success {
            self.contact = Some(self.now);
        }
        self.send(from, Message::Beat { term: self.persistent.term, call, success });
    }

    /// Answers a leader's records, which come right after `previous`.
    pub(super) fn append(
        &mut self,
        from: ServerId,
        term: u64,
        call: u64,
        previous: (u64, u64),
        commit: u64,
        records: Vec<Record<C>>,
    ) {
        let last_index = self.last_index();
        let matched = previous.0.saturating_add(records.len() as u64);
        let follows = self.follows(from, term);
        let success = follows && self.continues(previous) && self.write(previous.0, records);
        if success {
            self.apply(commit.min(matched));
            self.contact = Some(self.now);
        }
        let term = self.persistent.term;
        self.send(from, Message::Appended { term, call, success, matched, last_index, at_once: follows });
    }

    /// Whether the log has the record `(index, term)`. What is committed is the same everywhere.
    fn continues(&self, (index, term): (u64, u64)) -> bool {
        index <= self.commit || self.persistent.log.term_at(index) == Some(term)
    }

    /// Writes `records` after `previous`, in place of whatever differs. A difference in what is committed
    /// can only come from a server that breaks the rules: nothing is written.
    fn write(&mut self, previous: u64, records: Vec<Record<C>>) -> bool {
        let log = &mut self.persistent.log;
        for (index, record) in (previous + 1..).zip(records) {
            match log.term_at(index) {
                Some(term) if term == record.term => continue,
                _ if index <= log.snapshot().map_or(0, |snapshot| snapshot.index) => continue,
                Some(_) if index <= self.commit => return false,
                Some(_) => log.truncate(index),
                None => {}
            }
            log.push(record);
        }
        true
    }

    /// Answers a leader's snapshot. One that says nothing new is as good as installed.
    pub(super) fn install(&mut self, from: ServerId, term: u64, call: u64, snapshot: Snapshot) {
        let last_index = self.last_index();
        let matched = snapshot.index;
        let success = self.follows(from, term) && matched < NO_INDEX;
        if success {
            self.contact = Some(self.now);
            if matched > self.commit {
                self.outputs.push(Output::InstallSnapshot { index: matched, bytes: snapshot.bytes.clone() });
                self.persistent.log.install(snapshot);
                self.commit = matched;
                self.applied = matched;
            }
        }
        let term = self.persistent.term;
        self.send(from, Message::Appended { term, call, success, matched, last_index, at_once: false });
    }
}
