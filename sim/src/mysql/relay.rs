//! What a replica has received, and how far it has applied it.

use std::collections::VecDeque;
use std::time::Duration;

use super::data::Transaction;
use ironbird_agent::mysql::GtidSet;

/// A replica's relay log.
#[derive(Debug, Default)]
pub(super) struct Relay {
    /// Not yet applied, oldest first, and when each came.
    waiting: VecDeque<(Transaction, Duration)>,
    /// What has been received, applied or not.
    retrieved: GtidSet,
}

impl Relay {
    /// The log of a server that has executed this much and found that much to apply.
    pub(super) fn new(executed: GtidSet, waiting: Vec<Transaction>, now: Duration) -> Self {
        let mut relay = Self { waiting: VecDeque::new(), retrieved: executed };
        waiting.into_iter().for_each(|transaction| relay.receive(transaction, now));
        relay
    }

    pub(super) fn retrieved(&self) -> &GtidSet {
        &self.retrieved
    }

    /// Takes in a transaction, unless it was received before.
    pub(super) fn receive(&mut self, transaction: Transaction, now: Duration) {
        if !self.retrieved.contains(&transaction.gtid) {
            self.retrieved.add(&transaction.gtid);
            self.waiting.push_back((transaction, now));
        }
    }

    /// A transaction was executed that did not come through the log.
    pub(super) fn executed(&mut self, transaction: &Transaction) {
        self.retrieved.add(&transaction.gtid);
    }

    /// The next to apply, and when it came.
    pub(super) fn next(&self) -> Option<(&Transaction, Duration)> {
        self.waiting.front().map(|(transaction, at)| (transaction, *at))
    }

    /// Takes the next one out. Whether none is left then.
    pub(super) fn applied(&mut self) -> bool {
        self.waiting.pop_front();
        self.waiting.is_empty()
    }

    /// The transactions waiting.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &Transaction> {
        self.waiting.iter().map(|(transaction, _)| transaction)
    }

    /// Drops what waits: the source is another one from here on.
    pub(super) fn clear(&mut self, executed: &GtidSet) {
        *self = Self::new(executed.clone(), Vec::new(), Duration::ZERO);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::sql::Change;
    use super::*;
    use ironbird_agent::mysql::Gtid;

    #[derive(Debug, Clone)]
    enum Move {
        Receive(u8, u64),
        Apply,
        Commit,
        Restart,
        Clear,
    }

    fn moves() -> impl Strategy<Value = Move> {
        prop_oneof![
            4 => (0..2_u8, 1..12_u64).prop_map(|(server, number)| Move::Receive(server, number)),
            3 => Just(Move::Apply),
            1 => Just(Move::Commit),
            1 => Just(Move::Restart),
            1 => Just(Move::Clear),
        ]
    }

    fn transaction(server: &str, number: u64) -> Transaction {
        let gtid = Gtid { server: server.to_owned(), number };
        Transaction { gtid, change: Change::Insert { id: number } }
    }

    proptest! {
        /// Against plain lists: each transaction is applied once, in the order it came, and what is
        /// retrieved is what is executed or waits.
        #[test]
        fn every_transaction_is_applied_once_in_order(moves in prop::collection::vec(moves(), 0..80)) {
            let mut relay = Relay::default();
            let mut executed = GtidSet::default();
            let (mut waiting, mut done) = (Vec::<Gtid>::new(), Vec::<Gtid>::new());
            for step in moves {
                match step {
                    Move::Receive(server, number) => {
                        let next = transaction(["a", "b"][usize::from(server)], number);
                        if !waiting.contains(&next.gtid) && !done.contains(&next.gtid) {
                            waiting.push(next.gtid.clone());
                        }
                        relay.receive(next, Duration::ZERO);
                    }
                    Move::Apply => {
                        let next = relay.next().map(|(transaction, _)| transaction.gtid.clone());
                        prop_assert_eq!(next.as_ref(), waiting.first());
                        if let Some(next) = next {
                            executed.add(&next);
                            done.push(waiting.remove(0));
                            prop_assert_eq!(relay.applied(), waiting.is_empty());
                        }
                    }
                    Move::Commit => {
                        let own = transaction("own", executed.last("own") + 1);
                        executed.add(&own.gtid);
                        relay.executed(&own);
                        done.push(own.gtid);
                    }
                    Move::Restart => {
                        let found = relay.waiting().cloned().collect();
                        relay = Relay::new(executed.clone(), found, Duration::ZERO);
                    }
                    Move::Clear => {
                        relay.clear(&executed);
                        waiting.clear();
                    }
                }
                let mut all = executed.clone();
                waiting.iter().for_each(|gtid| all.add(gtid));
                prop_assert_eq!(relay.retrieved(), &all);
                prop_assert_eq!(executed.len(), done.len() as u64);
            }
        }
    }
}
