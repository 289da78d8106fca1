//! A machine's clocks: how its time follows from the world's.
//!
//! The world's time is the record's, the engine's and the plan's. Everything that runs on a machine goes by
//! the machine's own: its monotonic clock, which a fault can make run faster or slower, and its wall clock,
//! which is that and whatever it was set by. A sleeper waits by the monotonic clock, also when its rate
//! changes while he sleeps.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::plan::Shift;

/// A machine's clocks.
#[derive(Debug)]
pub(super) struct Clock {
    origin: Instant,
    /// World time and own time at the last change of the rate.
    since: Cell<(Duration, Duration)>,
    rate: Cell<f64>,
    /// By how much the wall clock was set; ahead, then back.
    set: RefCell<(Duration, Duration)>,
    changed: Notify,
}

impl Clock {
    /// A right clock of a world that began at `origin`.
    pub(super) fn new(origin: Instant) -> Rc<Self> {
        Rc::new(Self {
            origin,
            since: Cell::default(),
            rate: Cell::new(1.0),
            set: RefCell::default(),
            changed: Notify::new(),
        })
    }

    /// What the monotonic clock shows.
    pub(super) fn now(&self) -> Duration {
        let (world, own) = self.since.get();
        own + self.scaled(self.origin.elapsed().saturating_sub(world))
    }

    /// What is to be added to the monotonic clock, from `epoch` on, for the wall clock.
    pub(super) fn wall(&self, epoch: Duration) -> Duration {
        let (ahead, back) = *self.set.borrow();
        (epoch + self.now() + ahead).saturating_sub(back)
    }

    /// Lets the clock run at another rate from now on.
    pub(super) fn set_rate(&self, rate: f64) {
        self.since.set((self.origin.elapsed(), self.now()));
        self.rate.set(rate);
        self.changed.notify_waiters();
    }

    /// Sets the wall clock.
    pub(super) fn step(&self, shift: Shift) {
        let mut set = self.set.borrow_mut();
        let way = if shift.back { &mut set.1 } else { &mut set.0 };
        *way = way.saturating_add(shift.by);
    }

    /// Completes when `duration` has passed on the monotonic clock.
    pub(super) fn sleep(self: &Rc<Self>, duration: Duration) -> impl Future<Output = ()> + 'static {
        let clock = Rc::clone(self);
        // Counted from the call, as tokio's own sleeps are.
        let until = clock.now().saturating_add(duration);
        async move {
            loop {
                let changed = clock.changed.notified();
                let left = until.saturating_sub(clock.now());
                // A sleeper also yields when there is nothing to wait for.
                tokio::select! {
                    biased;
                    () = tokio::time::sleep(clock.unscaled(left)) => {
                        if clock.now() >= until {
                            return;
                        }
                    }
                    () = changed => {}
                }
            }
        }
    }

    fn scaled(&self, world: Duration) -> Duration {
        // The usual case, to the nanosecond.
        if self.is_right() { world } else { world.mul_f64(self.rate.get()) }
    }

    fn unscaled(&self, own: Duration) -> Duration {
        if self.is_right() {
            return own;
        }
        // Rounded up, or one who sleeps would wake a moment too early, again and again. What is too long to
        // be a duration is too long to be waited for.
        let world = Duration::try_from_secs_f64(own.as_secs_f64() / self.rate.get()).unwrap_or(Duration::MAX);
        world.saturating_add(Duration::from_nanos(1)).min(Duration::from_secs(u64::from(u32::MAX)))
    }

    fn is_right(&self) -> bool {
        self.rate.get().to_bits() == 1.0_f64.to_bits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn at(origin: Instant, world: u64) {
        tokio::time::sleep_until(origin + Duration::from_secs(world)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_fast_clock_is_ahead_and_its_sleeps_are_short() {
        let origin = Instant::now();
        let clock = Clock::new(origin);
        at(origin, 10).await;
        clock.set_rate(2.0);
        clock.sleep(Duration::from_secs(10)).await;
        assert_eq!(origin.elapsed().as_millis() / 10, 1_500);
        assert_eq!(clock.now().as_millis() / 10, 2_000);
        // What it is ahead it stays ahead.
        clock.set_rate(1.0);
        at(origin, 20).await;
        assert_eq!(clock.now().as_millis() / 10, 2_500);
    }

    #[tokio::test(start_paused = true)]
    async fn a_sleeper_follows_a_rate_that_changes() {
        let origin = Instant::now();
        let clock = Clock::new(origin);
        let sleep = clock.sleep(Duration::from_secs(10));
        let change = async {
            at(origin, 5).await;
            clock.set_rate(0.5);
        };
        tokio::join!(sleep, change);
        // Five seconds at the right rate, and five at half of it.
        assert_eq!(origin.elapsed().as_millis() / 10, 1_500);
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_wall_clock_is_set() {
        let clock = Clock::new(Instant::now());
        let epoch = Duration::from_secs(1_000);
        clock.step("1h".parse().unwrap());
        assert_eq!(clock.wall(epoch), Duration::from_secs(4_600));
        clock.step("-2h".parse().unwrap());
        assert_eq!(clock.wall(epoch), Duration::ZERO);
        clock.step("1h".parse().unwrap());
        assert_eq!(clock.wall(epoch), epoch);
        assert_eq!(clock.now(), Duration::ZERO);
    }
}
