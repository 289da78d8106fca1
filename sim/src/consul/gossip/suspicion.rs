//! How long a member that does not answer is only suspected.
//!
//! One witness may be the one with the broken network, so a suspicion starts long and gets shorter with
//! every other member that confirms it.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

/// One suspicion.
#[derive(Debug)]
pub(super) struct Suspicion {
    /// How many confirmations make it as short as it gets.
    wanted: u32,
    confirmed: u32,
    min: Duration,
    max: Duration,
    start: Duration,
    witnesses: BTreeSet<Rc<str>>,
    /// When the member is taken for dead.
    pub(super) deadline: Duration,
}

impl Suspicion {
    /// Raised by `from` at `now`.
    pub(super) fn new(now: Duration, from: Rc<str>, wanted: u32, min: Duration, max: Duration) -> Self {
        let deadline = now + if wanted == 0 { min } else { max };
        Self { wanted, confirmed: 0, min, max, start: now, witnesses: BTreeSet::from([from]), deadline }
    }

    /// Whether it was news that `from` suspects the member too.
    pub(super) fn confirm(&mut self, from: &Rc<str>) -> bool {
        if self.confirmed >= self.wanted || !self.witnesses.insert(Rc::clone(from)) {
            return false;
        }
        self.confirmed += 1;
        let part = (f64::from(self.confirmed) + 1.0).ln() / (f64::from(self.wanted) + 1.0).ln();
        let raw = self.max.as_secs_f64() - part * (self.max.as_secs_f64() - self.min.as_secs_f64());
        let timeout = Duration::from_millis((raw * 1000.0).floor().max(0.0) as u64).max(self.min);
        self.deadline = self.start + timeout;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Suspicion;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn confirmations_shorten_it_by_the_logarithm() {
        let mut suspicion = Suspicion::new(secs(100), "a".into(), 3, secs(2), secs(30));
        assert_eq!(suspicion.deadline, secs(130));
        for (from, news, timeout_ms) in [
            ("a", false, 30_000),
            ("b", true, 16_000),
            ("b", false, 16_000),
            ("c", true, 7_810),
            ("d", true, 2_000),
            ("e", false, 2_000),
        ] {
            assert_eq!(suspicion.confirm(&from.into()), news, "{from}");
            assert_eq!(suspicion.deadline, secs(100) + Duration::from_millis(timeout_ms), "{from}");
        }
    }

    #[test]
    fn it_is_short_when_nobody_could_confirm_it() {
        let mut suspicion = Suspicion::new(secs(0), "a".into(), 0, secs(4), secs(24));
        assert_eq!(suspicion.deadline, secs(4));
        assert!(!suspicion.confirm(&"b".into()));
    }
}
