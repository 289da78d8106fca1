//! `?cached`: what the agent remembers having asked its servers for.
//!
//! An agent that has once been asked for something that can be cached goes on watching it, so what it
//! remembers is what there is, and all a client sees of it is whether it was the first to ask. What can
//! not be watched is remembered as it was, and its age is told.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http::header::{AGE, HeaderName, HeaderValue};

const X_CACHE: HeaderName = HeaderName::from_static("x-cache");
/// What nobody asked for in this long is forgotten.
const KEPT: Duration = Duration::from_secs(72 * 60 * 60);
/// However many different things clients think of, the memory is bounded.
const ENTRIES_MAX: usize = 4096;

/// Whether an answer came out of the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::consul) enum Cached {
    /// It did not.
    Miss,
    /// It did, and is this old.
    Hit(Duration),
}

#[derive(Debug)]
struct Entry {
    fetched: Duration,
    asked: Duration,
}

/// What an agent has been asked for.
#[derive(Debug, Default)]
pub(in crate::consul) struct Cache(BTreeMap<String, Entry>);

impl Cache {
    /// How long ago `key` was fetched, if it ever was; from now on it is.
    pub(super) fn ask(&mut self, key: String, now: Duration) -> Option<Duration> {
        if let Some(entry) = self.0.get_mut(&key)
            && now - entry.asked < KEPT
        {
            entry.asked = now;
            return Some(now - entry.fetched);
        }
        if self.0.len() >= ENTRIES_MAX {
            self.0.retain(|_, entry| now - entry.asked < KEPT);
        }
        if self.0.len() >= ENTRIES_MAX {
            self.0.pop_first();
        }
        self.0.insert(key, Entry { fetched: now, asked: now });
        None
    }
}

impl Cached {
    /// Says so in an answer.
    pub(super) fn tell(self, response: &mut Response<Bytes>) {
        let headers = response.headers_mut();
        match self {
            Self::Miss => {
                headers.insert(X_CACHE, HeaderValue::from_static("MISS"));
            }
            Self::Hit(age) => {
                headers.insert(X_CACHE, HeaderValue::from_static("HIT"));
                headers.insert(AGE, (age + Duration::from_millis(500)).as_secs().into());
            }
        }
    }
}
