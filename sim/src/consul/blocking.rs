//! Blocking queries: a read that waits until what it watches has moved past an index.
//!
//! A query that waits is evaluated again only when something it watches was written, and answers once its
//! index is past the one it was given. At its deadline it answers what there is, with the index of its
//! last evaluation. So an index that moves without waking anybody stays unseen, and an index from the
//! future waits to the end, whatever happens meanwhile.
//!
//! A real server also wakes those who wait for what is not there when something nearby in its tree is written,
//! and answers them the same with a greater index. [`Consul::set_spurious_wakes`] says how often here.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use ironbird_agent::planted::{self, Bug};

use super::Consul;
use super::api::{Form, Read};

const WAIT_DEFAULT: Duration = Duration::from_secs(5 * 60);
const WAIT_MAX: Duration = Duration::from_secs(10 * 60);
const JITTER_FRACTION: u32 = 16;

/// What a query knows of its result without building it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// The index it reports.
    pub(super) index: u64,
    /// When what it watches was last written.
    pub(super) written: u64,
    /// The hash of its content, where that decides instead of the index.
    pub(super) hash: Option<String>,
}

/// Until what a query waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Until {
    /// Its index is greater than this.
    Past(u64),
    /// Its content's hash is another.
    Not(String),
}

impl Until {
    pub(super) fn reached(&self, seen: &Seen) -> bool {
        match self {
            Self::Past(index) => seen.index > *index,
            Self::Not(hash) => seen.hash.as_ref() != Some(hash),
        }
    }
}

/// A blocking query that waits.
#[derive(Debug)]
pub struct Blocked {
    read: Read,
    form: Form,
    reader: IpAddr,
    until: Until,
    seen: Seen,
    /// The greatest index it was looked at with.
    looked: u64,
    deadline: Duration,
}

impl Blocked {
    /// A query that found nothing new, and waits.
    pub(super) fn new(
        consul: &mut Consul,
        reader: IpAddr,
        read: Read,
        form: Form,
        until: Until,
        seen: Seen,
    ) -> Self {
        // An agent waits for events by itself, as long as it can and not a moment more.
        let of_events = matches!(read, Read::Events(_));
        let wait = match form.wait {
            Duration::ZERO if of_events => WAIT_MAX,
            Duration::ZERO => WAIT_DEFAULT,
            wait => wait.min(WAIT_MAX),
        };
        let jitter = if of_events { Duration::ZERO } else { consul.draw_below(wait / JITTER_FRACTION) };
        let deadline = consul.now + wait + jitter;
        Self { read, form, reader, until, looked: seen.index, seen, deadline }
    }

    /// Whether it is woken though nothing it watches was written: only its index has moved, with something
    /// beside it.
    fn stirs(&self, consul: &Consul, seen: &Seen) -> bool {
        let moved = matches!(self.until, Until::Past(_)) && seen.index > self.looked;
        // Its deadline tells it from the others, and its index this look from the next.
        moved && share_of(self.deadline.as_nanos() as u64 ^ seen.index) < consul.spurious_wakes()
    }

    /// When the query answers at the latest.
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    pub(super) fn poll(&mut self, consul: &Consul) -> Option<Response<Bytes>> {
        let seen = self.read.seen(consul, self.reader);
        let index = seen.index;
        let woken = seen.written > self.seen.written && !planted::is(Bug::WakeUpMissed);
        if woken || seen.hash != self.seen.hash || self.stirs(consul, &seen) {
            self.seen = seen;
            if self.until.reached(&self.seen) {
                return Some(self.read.answer(consul, self.reader, &self.form, self.seen.index));
            }
        }
        self.looked = self.looked.max(index);
        (consul.now >= self.deadline)
            .then(|| self.read.answer(consul, self.reader, &self.form, self.seen.index))
    }
}

/// A number from 0 to below 1 that is anybody's guess, and for one `salt` always the same (splitmix64).
fn share_of(salt: u64) -> f64 {
    let mut mixed = salt.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) as f64 / (u64::MAX as f64 + 1.0)
}
