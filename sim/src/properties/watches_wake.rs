//! `watches-wake`: a blocking query on a key is answered when the key's lock changes hands, and not later.
//!
//! Consul tells when a lock is taken or let go, and when a query is answered and how long that took. So one that
//! began before such a change and was answered well after it has slept through it. Nothing else can be seen
//! from outside: whoever is told late looks like somebody who is slow.
//!
//! It is demanded of a server that is alone and that no fault happens to. A query that was sent on waits for
//! whoever it was sent to; one with an index from before Consul lost its data waits for the future, and may.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{CONSUL, Property, Violation, moment};
use crate::plan::{FaultPlan, Ground};
use crate::record::{ConsulEvent, Event, What};

/// How long after a change an answer may come, and how long before it a query must have begun to count.
const SLACK: Duration = Duration::from_millis(50);
/// Where keys are read.
const KEYS: &str = "/v1/kv/";

#[derive(Debug)]
pub(super) struct WatchesWake {
    /// Whether it is demanded at all.
    demanded: bool,
    /// When the locks of which keys changed hands.
    changes: BTreeMap<String, Vec<Duration>>,
}

impl WatchesWake {
    pub(super) fn new(plan: &FaultPlan) -> Self {
        let demanded = plan.faults.iter().all(|fault| !fault.target.include(Ground::Consul));
        Self { demanded, changes: BTreeMap::new() }
    }

    /// Takes in one event.
    pub(super) fn see(&mut self, event: &Event, out: &mut Vec<Violation>) {
        if !self.demanded {
            return;
        }
        match &event.what {
            What::Consul(ConsulEvent::LockAcquired { key, .. } | ConsulEvent::LockReleased { key, .. }) => {
                self.changes.entry(key.clone()).or_default().push(event.at);
            }
            // There are several servers, or there is one that was started again.
            What::Consul(ConsulEvent::LeaderEstablished { .. } | ConsulEvent::Emptied { .. }) => {
                self.demanded = false;
            }
            What::Http { method, path, status: 200, took_us, .. } if method == "GET" => {
                let Some(key) = waited_for(path) else { return };
                let began = event.at.saturating_sub(Duration::from_micros(*took_us));
                let (from, to) = (began + SLACK, event.at.saturating_sub(SLACK));
                let changes = self.changes.get(key).map(Vec::as_slice).unwrap_or_default();
                let next = changes.partition_point(|at| *at < from);
                if let Some(slept) = changes.get(next).filter(|at| **at < to) {
                    let detail = format!(
                        "a query that waited for {key} since {} slept through its change at {}",
                        moment(began),
                        moment(*slept),
                    );
                    let violation = Violation::at(event, Property::WatchesWake, detail);
                    out.push(Violation { host: CONSUL.to_owned(), ..violation });
                }
            }
            _ => {}
        }
    }
}

/// The key of a blocking query on one.
fn waited_for(path: &str) -> Option<&str> {
    let (key, query) = path.strip_prefix(KEYS)?.split_once('?')?;
    let mut blocks = false;
    for word in query.split('&') {
        match word.split_once('=').unwrap_or((word, "")) {
            ("recurse" | "keys", _) => return None,
            ("index", index) => blocks = index != "0",
            _ => {}
        }
    }
    blocks.then_some(key)
}

#[cfg(test)]
mod tests {
    use super::super::Property;
    use super::super::testing::{Script, violated};

    const WATCH: &str = "/v1/kv/k?consistent&index=7&wait=30s";

    fn details(script: &Script) -> Vec<String> {
        violated(script, Property::WatchesWake).into_iter().map(|violation| violation.detail).collect()
    }

    #[test]
    fn a_query_is_answered_when_what_it_waits_for_changes() {
        for (answered_at, path, slept) in [
            (10_000, WATCH, false),
            (10_049, WATCH, false),
            (10_100, WATCH, true),
            (30_000, WATCH, true),
            // Those wait for nothing, or for something else.
            (30_000, "/v1/kv/k?consistent", false),
            (30_000, "/v1/kv/k?index=0", false),
            (30_000, "/v1/kv/k?recurse&index=7", false),
            (30_000, "/v1/kv/k2?index=7", false),
            (30_000, "/v1/health/service/k?index=7", false),
        ] {
            let mut script = Script::new();
            script.at(10_000).lock_released("k", "a", 0);
            script.at(answered_at).http("mysql-2", path, answered_at - 5_000);
            assert_eq!(!details(&script).is_empty(), slept, "{path} at {answered_at}");
        }
    }

    #[test]
    fn a_query_that_began_after_the_change_waits_for_the_next() {
        let mut script = Script::new();
        script.at(10_000).lock_acquired("k", "a", "mysql-1");
        script.at(40_000).http("mysql-2", WATCH, 30_000);
        assert!(details(&script).is_empty());
        script.at(50_000).lock_released("k", "a", 0).at(70_000).http("mysql-2", WATCH, 30_000);
        assert_eq!(
            details(&script),
            ["a query that waited for k since 40.000 s slept through its change at 50.000 s"]
        );
    }

    #[test]
    fn of_servers_that_elect_one_it_is_not_demanded() {
        let mut script = Script::new();
        script.leader_established("consul-1");
        script.at(10_000).lock_released("k", "a", 0).at(30_000).http("mysql-2", WATCH, 25_000);
        assert!(details(&script).is_empty());
    }
}
