//! Semi-synchronous replication, the source's side, with MySQL 5.7's wait point: `AFTER_SYNC`.
//!
//! A transaction is in the binary log, and on its way to replicas, before its client hears of it. Until
//! enough replicas have acknowledged it nobody sees it in the tables, and whoever would insert the same key
//! waits. After a timeout the source gives up waiting: everything that waits is committed, and so is all that
//! follows, as if replication were asynchronous, until replicas have caught up. What a replica that is going to
//! acknowledge has already when it connects is skipped, and counts as acknowledged.
//!
//! A pure state machine: [`SemiSync::commit`] and [`SemiSync::acknowledge`] go in, [`SemiSync::waits`] comes
//! out. The rule a change must keep: while the source is not told to give up, what no replica has is not
//! acknowledged.

use std::collections::BTreeMap;
use std::time::Duration;

/// MySQL's own timeout, in milliseconds.
const TIMEOUT_MS: u64 = 10_000;

/// A source's settings and what it waits for.
#[derive(Debug)]
pub(super) struct SemiSync {
    enabled: bool,
    /// Whether it waits, or gave up waiting.
    on: bool,
    timeout_ms: u64,
    /// Of how many replicas an acknowledgement is waited for.
    wait_for: usize,
    /// The last own transaction that each replica has.
    acknowledged: BTreeMap<String, u64>,
    /// The last own transaction.
    last: u64,
    /// Transactions that wait, and the client's write each carries.
    waiting: BTreeMap<u64, u64>,
}

impl Default for SemiSync {
    fn default() -> Self {
        Self {
            enabled: false,
            on: false,
            timeout_ms: TIMEOUT_MS,
            wait_for: 1,
            acknowledged: BTreeMap::new(),
            last: 0,
            waiting: BTreeMap::new(),
        }
    }
}

impl SemiSync {
    pub(super) fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Whether it waits, or gave up waiting.
    pub(super) fn is_on(&self) -> bool {
        self.on
    }

    pub(super) fn timeout_ms(&self) -> u64 {
        self.timeout_ms
    }

    pub(super) fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    pub(super) fn wait_for(&self) -> usize {
        self.wait_for
    }

    pub(super) fn enable(&mut self, enabled: bool) {
        if self.enabled != enabled {
            self.enabled = enabled;
            self.on = enabled;
            self.waiting.clear();
        }
    }

    pub(super) fn set_timeout_ms(&mut self, timeout_ms: u64) {
        self.timeout_ms = timeout_ms;
    }

    /// Sets of how many replicas an acknowledgement is waited for.
    pub(super) fn set_wait_for(&mut self, wait_for: usize) {
        self.wait_for = wait_for.max(1);
        self.release();
    }

    /// An own transaction is in the binary log.
    pub(super) fn commit(&mut self, number: u64, write: u64) {
        self.last = number;
        if self.on && !self.is_replicated(number) {
            self.waiting.insert(number, write);
        }
    }

    /// A replica has everything up to this own transaction.
    pub(super) fn acknowledge(&mut self, replica: &str, number: u64) {
        let known = self.acknowledged.entry(replica.to_owned()).or_default();
        *known = number.max(*known);
        self.release();
        // One that gave up waits again once replicas have all there is.
        if self.enabled && !self.on && self.is_replicated(self.last) {
            self.on = true;
        }
    }

    /// Whether enough replicas have it.
    pub(super) fn is_replicated(&self, number: u64) -> bool {
        self.acknowledged.values().filter(|known| **known >= number).count() >= self.wait_for
    }

    /// Whether a transaction waits.
    pub(super) fn waits(&self, number: u64) -> bool {
        self.waiting.contains_key(&number)
    }

    /// Whether a client's write waits: nobody sees it yet.
    pub(super) fn hides(&self, write: u64) -> bool {
        self.waiting.values().any(|waiting| *waiting == write)
    }

    /// The source waited too long. Everything that waits is committed.
    pub(super) fn give_up(&mut self) {
        self.on = false;
        self.waiting.clear();
    }

    /// Nobody waits for this transaction any more: it is committed, and its client was not told so.
    pub(super) fn interrupt(&mut self, number: u64) {
        self.waiting.remove(&number);
    }

    /// The numbers begin anew.
    pub(super) fn forget(&mut self) {
        self.acknowledged.clear();
        self.waiting.clear();
        self.last = 0;
    }

    fn release(&mut self) {
        while let Some((number, _)) = self.waiting.first_key_value()
            && self.is_replicated(*number)
        {
            self.waiting.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn enabled(wait_for: usize) -> SemiSync {
        let mut semi_sync = SemiSync::default();
        semi_sync.set_wait_for(wait_for);
        semi_sync.enable(true);
        semi_sync
    }

    #[test]
    fn nothing_waits_while_it_is_off() {
        let mut semi_sync = SemiSync::default();
        semi_sync.commit(1, 7);
        assert!(!semi_sync.waits(1) && !semi_sync.hides(7));
    }

    #[test]
    fn a_transaction_waits_for_as_many_replicas_as_it_should() {
        let mut semi_sync = enabled(2);
        semi_sync.commit(1, 7);
        semi_sync.acknowledge("a", 1);
        semi_sync.acknowledge("a", 1);
        assert!(semi_sync.waits(1) && semi_sync.hides(7));
        semi_sync.acknowledge("b", 1);
        assert!(!semi_sync.waits(1) && !semi_sync.hides(7));
    }

    #[test]
    fn a_source_that_gave_up_waits_again_once_replicas_have_caught_up() {
        let mut semi_sync = enabled(1);
        semi_sync.commit(1, 7);
        semi_sync.give_up();
        assert!(!semi_sync.waits(1) && !semi_sync.is_on());
        semi_sync.commit(2, 8);
        assert!(!semi_sync.waits(2));
        semi_sync.acknowledge("a", 1);
        assert!(!semi_sync.is_on());
        semi_sync.acknowledge("a", 2);
        semi_sync.commit(3, 9);
        assert!(semi_sync.is_on() && semi_sync.waits(3));
    }

    proptest! {
        /// Against the definition: of a source that never gives up, exactly what `wait_for` replicas hold is
        /// acknowledged.
        #[test]
        fn nothing_is_acknowledged_that_too_few_replicas_have(
            wait_for in 1..4_usize,
            moves in prop::collection::vec((0..5_u8, 1..20_u64), 0..80),
        ) {
            let mut semi_sync = enabled(wait_for);
            let mut held = vec![BTreeSet::new(); 4];
            let mut last = 0;
            for (kind, number) in moves {
                if kind == 0 {
                    last += 1;
                    semi_sync.commit(last, last);
                } else if last > 0 {
                    // Logs are received in order: whoever has one has all before it.
                    let number = number.min(last);
                    held[usize::from(kind) - 1].extend(1..=number);
                    semi_sync.acknowledge(&kind.to_string(), number);
                }
                for number in 1..=last {
                    let holders = held.iter().filter(|held| held.contains(&number)).count();
                    prop_assert_eq!(semi_sync.waits(number), holders < wait_for, "{} of {}", number, last);
                    prop_assert_eq!(semi_sync.hides(number), holders < wait_for);
                }
            }
        }
    }
}
