//! Readers that are shown an old catalog.
//!
//! While anybody lags, every version of the catalog is kept with the time it stopped being the newest,
//! and a lagging reader is shown the version that was the newest its delay ago. It is never shown one
//! older than what it could have seen when its lag began, to the instant: a write at the very time a lag
//! begins is shown. While nobody lags nothing is kept, and a write
//! changes the one version in place.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::catalog::Catalog;

#[derive(Debug, Clone, Copy)]
struct Lag {
    delay: Duration,
    floor: Duration,
}

impl Lag {
    fn shown(self, now: Duration) -> Duration {
        now.saturating_sub(self.delay).max(self.floor)
    }
}

#[derive(Debug, Clone)]
struct Version {
    until: Duration,
    catalog: Rc<Catalog>,
}

/// The catalog, and those of its past that somebody is still to be shown.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(in crate::consul) struct Catalogs {
    current: Rc<Catalog>,
    #[serde(skip)]
    past: VecDeque<Version>,
    #[serde(skip)]
    lags: BTreeMap<IpAddr, Lag>,
}

impl Catalogs {
    /// The catalog as it is.
    pub(in crate::consul) fn current(&self) -> &Catalog {
        &self.current
    }

    /// The catalog, to be written at `now`.
    pub(in crate::consul) fn write(&mut self, now: Duration) -> &mut Catalog {
        if !self.lags.is_empty() && self.past.back().is_none_or(|version| version.until < now) {
            self.past.push_back(Version { until: now, catalog: Rc::clone(&self.current) });
        }
        Rc::make_mut(&mut self.current)
    }

    /// The catalog as `reader` is shown it at `now`.
    pub(in crate::consul) fn seen_by(&self, reader: IpAddr, now: Duration) -> &Catalog {
        let Some(lag) = self.lags.get(&reader) else {
            return &self.current;
        };
        let shown = lag.shown(now);
        self.past
            .iter()
            .find(|version| version.until > shown)
            .map_or(&self.current, |version| &version.catalog)
    }

    /// Lets `reader` lag by `delay` from `now` on, or no longer.
    pub(in crate::consul) fn set_lag(&mut self, now: Duration, reader: IpAddr, delay: Option<Duration>) {
        match delay {
            Some(delay) => {
                let floor = self.lags.get(&reader).map_or(now, |lag| lag.shown(now));
                self.lags.insert(reader, Lag { delay, floor });
            }
            None => {
                self.lags.remove(&reader);
            }
        }
        self.prune(now);
    }

    /// How far `reader` lags, if it does.
    pub(in crate::consul) fn lag(&self, reader: IpAddr) -> Option<Duration> {
        self.lags.get(&reader).map(|lag| lag.delay)
    }

    /// When a lagging reader is next shown something newer.
    pub(in crate::consul) fn next(&self, now: Duration) -> Option<Duration> {
        self.lags
            .values()
            .filter_map(|lag| {
                let shown = lag.shown(now);
                let version = self.past.iter().find(|version| version.until > shown)?;
                Some(version.until + lag.delay)
            })
            .min()
    }

    /// Whether anybody is shown something newer at `now` than at `before`.
    pub(in crate::consul) fn moved(&self, before: Duration, now: Duration) -> bool {
        self.lags.values().any(|lag| {
            let (before, now) = (lag.shown(before), lag.shown(now));
            self.past.iter().any(|version| before < version.until && version.until <= now)
        })
    }

    /// Forgets the versions nobody is to be shown any more.
    pub(in crate::consul) fn prune(&mut self, now: Duration) {
        let oldest = self.lags.values().map(|lag| lag.shown(now)).min();
        while let Some(version) = self.past.front()
            && oldest.is_none_or(|oldest| version.until <= oldest)
        {
            self.past.pop_front();
        }
    }
}
