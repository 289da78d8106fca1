//! Defects that are switched on one at a time, to see whether whoever looks for defects finds them.
//!
//! A harness that finds nothing is either done or blind, and only a known defect tells which. So there is a
//! [catalogue](Bug) of them, each one as somebody has made it once, and at its place in the code a line like
//! `if planted::is(Bug::DeadSessionKept)`. In a build without the feature `planted-bugs` that is
//! `if false`, and nothing is left of it.
//!
//! What is switched on is known to one thread only, because a world is flown on one thread and others fly
//! beside it. No record, header or hash tells of it: a run with a defect is a run like any other.
//!
//! The rule a change must keep: a planted defect is a line where the real one would be, and never a
//! mechanism of its own. What takes more is to be made another way, or left out.

mod catalogue;

pub use self::catalogue::Bug;
#[cfg(feature = "planted-bugs")]
pub use self::catalogue::{Facts, Room};

/// Whether `bug` is switched on here and now.
#[cfg(not(feature = "planted-bugs"))]
#[inline(always)]
pub const fn is(_: Bug) -> bool {
    false
}

#[cfg(feature = "planted-bugs")]
pub use self::switch::{during, is};

#[cfg(feature = "planted-bugs")]
mod switch {
    use std::cell::Cell;

    use super::Bug;

    thread_local! {
        static ACTIVE: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Whether `bug` is switched on here and now.
    pub fn is(bug: Bug) -> bool {
        ACTIVE.get() == Some(bug)
    }

    /// Does `something` on this thread with `bug` switched on and no other; none for all as it should be.
    /// Afterwards it is as it was, also when `something` panics.
    pub fn during<T>(bug: Option<Bug>, something: impl FnOnce() -> T) -> T {
        struct Before(Option<Bug>);
        impl Drop for Before {
            fn drop(&mut self) {
                ACTIVE.set(self.0);
            }
        }
        let _before = Before(ACTIVE.replace(bug));
        something()
    }
}

#[cfg(all(test, feature = "planted-bugs"))]
mod tests {
    use std::collections::BTreeSet;

    use super::{Bug, during, is};

    #[test]
    fn a_bug_is_on_for_as_long_as_something_takes_and_for_this_thread() {
        let (one, other) = (Bug::DeadSessionKept, Bug::LateDemotion);
        assert!(!is(one));
        during(Some(one), || {
            assert!(is(one) && !is(other));
            during(Some(other), || assert!(is(other) && !is(one)));
            during(None, || assert!(!is(one)));
            assert!(is(one));
            std::thread::scope(|scope| scope.spawn(|| assert!(!is(one))).join()).unwrap();
        });
        assert!(!is(one));
        let panic = std::panic::catch_unwind(|| during(Some(one), || panic!("planted")));
        assert!(panic.is_err() && !is(one));
    }

    #[test]
    fn the_catalogue_is_large_and_nothing_in_it_is_said_twice() {
        assert!(Bug::ALL.len() >= 25, "{}", Bug::ALL.len());
        let told: Vec<_> = Bug::ALL.iter().map(|bug| bug.facts()).collect();
        for distinct in [
            told.iter().map(|facts| facts.id).collect::<BTreeSet<_>>(),
            told.iter().map(|facts| facts.what).collect(),
            told.iter().map(|facts| facts.mirrors).collect(),
        ] {
            assert_eq!(distinct.len(), told.len());
        }
        for facts in told {
            assert!(facts.id.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{facts:?}");
            assert!(!facts.what.ends_with('.') && !facts.mirrors.ends_with('.'), "{facts:?}");
        }
        for bug in Bug::ALL {
            assert_eq!(Bug::of(bug.facts().id), Some(*bug));
        }
        assert_eq!(Bug::of("no-such-bug"), None);
    }
}
