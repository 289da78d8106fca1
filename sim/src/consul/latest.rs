//! A value that many look at, and whose changes they wait for.
//!
//! What tokio's `watch` is, but for one thing: who waits hears of a change in the order in which they began to
//! wait. Tokio spreads them over several lists and draws which from a generator nobody can seed, so of two
//! requests that are held until the same moment another one would go first in every run.

use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use tokio::sync::Notify;

/// The value.
pub(super) struct Latest<T> {
    value: RwLock<T>,
    /// How often it has changed.
    changes: AtomicU64,
    changed: Notify,
}

impl<T> Latest<T> {
    pub(super) fn new(value: T) -> Self {
        Self { value: RwLock::new(value), changes: AtomicU64::new(0), changed: Notify::new() }
    }

    /// The value as it is. Whoever changes it waits until that is let go.
    pub(super) fn now(&self) -> RwLockReadGuard<'_, T> {
        // Whoever panicked had one value or the other in it, and both are values.
        self.value.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the value, and has everybody look who waits.
    pub(super) fn change(&self, change: impl FnOnce(&mut T)) {
        change(&mut self.value.write().unwrap_or_else(PoisonError::into_inner));
        self.changes.fetch_add(1, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// How often it has changed, for [`Self::changed_since`].
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Returns once it has changed more often than `changes`.
    pub(super) async fn changed_since(&self, changes: u64) {
        self.wait(|| self.changes() != changes).await;
    }

    /// Returns once `holds` does.
    pub(super) async fn until(&self, mut holds: impl FnMut(&T) -> bool) {
        self.wait(|| holds(&self.now())).await;
    }

    async fn wait(&self, mut over: impl FnMut() -> bool) {
        loop {
            let mut changed = pin!(self.changed.notified());
            // In line before looking: what changes in between is not missed.
            changed.as_mut().enable();
            if over() {
                return;
            }
            changed.await;
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Latest<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Latest").field(&*self.now()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use tokio::task::LocalSet;

    use super::Latest;

    /// Runs on a thread of its own: with tokio's own channel it is another order on every one.
    fn order() -> Vec<usize> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            let (latest, heard) = (Rc::new(Latest::new(0)), Rc::new(RefCell::new(Vec::new())));
            let waiting: Vec<_> = (0..32)
                .map(|number| {
                    let (latest, heard) = (Rc::clone(&latest), Rc::clone(&heard));
                    tokio::task::spawn_local(async move {
                        latest.until(|value| *value > 0).await;
                        heard.borrow_mut().push(number);
                    })
                })
                .collect();
            tokio::task::yield_now().await;
            latest.change(|value| *value += 1);
            for one in waiting {
                one.await.unwrap();
            }
            heard.take()
        })
    }

    #[test]
    fn who_waits_first_hears_first() {
        assert_eq!(order(), (0..32).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_change_is_not_missed_between_two_looks() {
        let latest = Latest::new(0);
        let before = latest.changes();
        latest.change(|value| *value = 7);
        latest.changed_since(before).await;
        assert_eq!(*latest.now(), 7);
        latest.until(|value| *value == 7).await;
    }
}
