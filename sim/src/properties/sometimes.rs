//! What a sweep must have seen at least once, for its silence to mean anything.
//!
//! A property that holds because nothing ever happened proves nothing. Each [`Sometimes`] is a thing that
//! makes a run interesting; they are registered here, up front, so that a sweep can say which of them it
//! never reached. [`reached`] is one pass over a record and looks at nothing else.
//!
//! The rule a change must keep: whether something was reached is read off what the world did, never off
//! what a scenario hoped for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use ironbird_agent::journal::Entry;
use serde::{Deserialize, Serialize};

use super::PRIMARY;
use super::state::State;
use crate::record::{ConsulEvent, Event, MysqlEvent, Record, Tool, What, WriteOutcome, lock_holder};

/// A request for the lock or a session that comes this soon after one that failed is the same again.
const RETRY_WITHIN: Duration = Duration::from_secs(120);

/// Something a run may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sometimes {
    /// The primary's lock went from one instance to another.
    Failover,
    /// A session ended because nobody renewed it.
    SessionExpired,
    /// A session was refused a lock because of its lock-delay.
    LockDelayRefusal,
    /// A session was refused a lock because another held it.
    LockHeldRefusal,
    /// A lock was given back by its own holder while its session lived.
    LockGivenBack,
    /// An instance that had taken writes stopped taking them without being ended.
    Demotion,
    /// Two sessions wanted the same lock within a second.
    Race,
    /// An instance gave up its data, and what took its place started from a snapshot.
    ReClone,
    /// A snapshot was put in place of an empty data directory.
    SnapshotRestored,
    /// A snapshot was taken.
    SnapshotTaken,
    /// Somebody looked for a snapshot when there was none.
    SnapshotMissing,
    /// A blocking query was answered because something changed.
    BlockingQueryWoken,
    /// Somebody who lags behind the catalog was answered what was no longer so.
    StaleReadServed,
    /// Consul itself changed leaders.
    ConsulLeaderChange,
    /// Consul answered a request with an error of its own.
    ConsulError,
    /// What a client wrote may or may not be committed.
    WriteOfUnknownOutcome,
    /// A client's write was refused.
    WriteRefused,
    /// What an agent had failed to get from Consul it asked for again, and got.
    Retry,
    /// A hook failed.
    HookFailed,
    /// A database ended while its container went on.
    DatabaseEnded,
    /// Replication stopped with an error.
    ReplicationError,
    /// A container was replaced.
    Replacement,
    /// The cluster was not whole when a fault began.
    FaultWhileBroken,
}

impl Sometimes {
    /// Everything that is registered.
    pub const ALL: [Self; 23] = [
        Self::Failover,
        Self::SessionExpired,
        Self::LockDelayRefusal,
        Self::LockHeldRefusal,
        Self::LockGivenBack,
        Self::Demotion,
        Self::Race,
        Self::ReClone,
        Self::SnapshotRestored,
        Self::SnapshotTaken,
        Self::SnapshotMissing,
        Self::BlockingQueryWoken,
        Self::StaleReadServed,
        Self::ConsulLeaderChange,
        Self::ConsulError,
        Self::WriteOfUnknownOutcome,
        Self::WriteRefused,
        Self::Retry,
        Self::HookFailed,
        Self::DatabaseEnded,
        Self::ReplicationError,
        Self::Replacement,
        Self::FaultWhileBroken,
    ];

    /// Its name in scenario files and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Failover => "failover",
            Self::SessionExpired => "session-expired",
            Self::LockDelayRefusal => "lock-delay-refusal",
            Self::LockHeldRefusal => "lock-held-refusal",
            Self::LockGivenBack => "lock-given-back",
            Self::Demotion => "demotion",
            Self::Race => "race",
            Self::ReClone => "re-clone",
            Self::SnapshotRestored => "snapshot-restored",
            Self::SnapshotTaken => "snapshot-taken",
            Self::SnapshotMissing => "snapshot-missing",
            Self::BlockingQueryWoken => "blocking-query-woken",
            Self::StaleReadServed => "stale-read-served",
            Self::ConsulLeaderChange => "consul-leader-change",
            Self::ConsulError => "consul-error",
            Self::WriteOfUnknownOutcome => "write-of-unknown-outcome",
            Self::WriteRefused => "write-refused",
            Self::Retry => "retry",
            Self::HookFailed => "hook-failed",
            Self::DatabaseEnded => "database-ended",
            Self::ReplicationError => "replication-error",
            Self::Replacement => "replacement",
            Self::FaultWhileBroken => "fault-while-broken",
        }
    }

    /// What it is, in words for somebody who reads its name for the first time.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Failover => "the primary's lock went from one instance to another",
            Self::SessionExpired => "a session ended because nobody renewed it",
            Self::LockDelayRefusal => "a session was refused a lock because of its lock-delay",
            Self::LockHeldRefusal => "a session was refused a lock because another held it",
            Self::LockGivenBack => "a lock was given back by its own holder while its session lived",
            Self::Demotion => "an instance that had taken writes stopped taking them without being ended",
            Self::Race => "two sessions wanted the same lock within a second",
            Self::ReClone => "an instance gave up its data, and what took its place started from a snapshot",
            Self::SnapshotRestored => "a snapshot was put in place of an empty data directory",
            Self::SnapshotTaken => "a snapshot was taken",
            Self::SnapshotMissing => "somebody looked for a snapshot when there was none",
            Self::BlockingQueryWoken => "a blocking query was answered because something changed",
            Self::StaleReadServed => {
                "somebody who lags behind the catalog was answered what was no longer so"
            }
            Self::ConsulLeaderChange => "Consul itself changed leaders",
            Self::ConsulError => "Consul answered a request with an error of its own",
            Self::WriteOfUnknownOutcome => "what a client wrote may or may not be committed",
            Self::WriteRefused => "a client's write was refused",
            Self::Retry => "what an agent had failed to get from Consul it asked for again, and got",
            Self::HookFailed => "a hook failed",
            Self::DatabaseEnded => "a database ended while its container went on",
            Self::ReplicationError => "replication stopped with an error",
            Self::Replacement => "a container was replaced",
            Self::FaultWhileBroken => "the cluster was not whole when a fault began",
        }
    }
}

impl fmt::Display for Sometimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What the run of `record` reached.
pub fn reached(record: &Record) -> BTreeSet<Sometimes> {
    let mut seen = Seen::default();
    for event in &record.events {
        seen.see(event);
        seen.state.apply(event);
    }
    seen.reached
}

/// What the fold remembers.
#[derive(Default)]
struct Seen {
    reached: BTreeSet<Sometimes>,
    state: State,
    /// Who held a key last, by the lock's value.
    holders: BTreeMap<String, String>,
    /// The session that holds a key, and whether it is over.
    held_by: BTreeMap<String, String>,
    over: BTreeSet<String>,
    /// When somebody last tried to lock a key, and which session.
    tried: BTreeMap<String, (Duration, String)>,
    consul_leader: Option<String>,
    writable: BTreeSet<String>,
    /// Machines whose agents gave up their data, until another container takes their place.
    given_up: BTreeSet<String>,
    /// Machines whose containers took the place of such.
    clones: BTreeSet<String>,
    /// Requests that failed, by who asked and what.
    failed: BTreeMap<(String, String), Duration>,
    was_whole: bool,
}

impl Seen {
    fn reach(&mut self, what: Sometimes) {
        self.reached.insert(what);
    }

    fn see(&mut self, event: &Event) {
        match &event.what {
            What::Launched { why } => self.launched(&event.host, why),
            What::Ended { .. } => {
                self.writable.remove(&event.host);
            }
            What::FaultBegan { .. } => {
                let primary = self.state.only_writable_primary().map(str::to_owned);
                let whole = primary.is_some_and(|primary| self.state.is_passing(&primary, PRIMARY));
                if self.was_whole && !whole {
                    self.reach(Sometimes::FaultWhileBroken);
                }
                self.was_whole |= whole;
            }
            What::Agent(entry) => self.agent(event, entry),
            What::Http { method, path, status, took_us, stale } => {
                if *stale {
                    self.reach(Sometimes::StaleReadServed);
                }
                self.http(event, method, path, *status, Duration::from_micros(*took_us));
            }
            What::Consul(change) => self.consul(event.at, change),
            What::Mysql(change) => self.mysql(&event.host, change),
            What::Store { method, status, .. } => {
                if method == "GET" && *status == 404 {
                    self.reach(Sometimes::SnapshotMissing);
                }
            }
            What::Write { outcome, .. } => match outcome {
                WriteOutcome::Unknown { .. } => self.reach(Sometimes::WriteOfUnknownOutcome),
                WriteOutcome::Refused { .. } => self.reach(Sometimes::WriteRefused),
                WriteOutcome::Acknowledged { .. } => {}
            },
            What::FaultEnded { .. } | What::Read { .. } | What::Finished => {}
        }
    }

    fn launched(&mut self, host: &str, why: &str) {
        let before = why.strip_prefix("replacement of ");
        if before.is_some() {
            self.reach(Sometimes::Replacement);
        }
        self.clones.remove(host);
        if before.is_none() && why != "started again" {
            // The scheduler wanted more of them: it takes nobody's place.
            self.given_up.remove(host);
        } else if self.given_up.remove(before.unwrap_or(host)) {
            self.clones.insert(host.to_owned());
        }
    }

    fn agent(&mut self, event: &Event, entry: &Entry) {
        match entry {
            Entry::Role { to, .. } if to == "stuck" => {
                self.given_up.insert(event.host.clone());
            }
            Entry::HookFinished { ok: false, .. } => self.reach(Sometimes::HookFailed),
            Entry::MainExited { .. } if self.runs(&event.host) => self.reach(Sometimes::DatabaseEnded),
            _ => {}
        }
    }

    fn runs(&self, host: &str) -> bool {
        self.state.instances.get(host).is_some_and(|instance| instance.running)
    }

    fn http(&mut self, event: &Event, method: &str, path: &str, status: u16, took: Duration) {
        let (route, query) = path.split_once('?').unwrap_or((path, ""));
        let key = (event.host.clone(), format!("{method} {route}"));
        if status >= 500 || status == 429 {
            self.reach(Sometimes::ConsulError);
            self.failed.insert(key, event.at);
            return;
        }
        if status < 400 && self.failed.remove(&key).is_some_and(|at| event.at <= at + RETRY_WITHIN) {
            self.reach(Sometimes::Retry);
        }
        let wait = query.split('&').find_map(|pair| pair.strip_prefix("wait="));
        let wait = wait.and_then(|wait| humantime::parse_duration(wait).ok());
        let blocks =
            query.split('&').any(|pair| pair.strip_prefix("index=").is_some_and(|index| index != "0"));
        if blocks && took > Duration::from_millis(100) && wait.is_none_or(|wait| took < wait) {
            self.reach(Sometimes::BlockingQueryWoken);
        }
    }

    fn consul(&mut self, at: Duration, change: &ConsulEvent) {
        match change {
            ConsulEvent::LeaderEstablished { server } => {
                if self.consul_leader.as_ref().is_some_and(|before| before != server) {
                    self.reach(Sometimes::ConsulLeaderChange);
                }
                self.consul_leader = Some(server.clone());
            }
            ConsulEvent::SessionInvalidated { session, why } => {
                self.over.insert(session.clone());
                if why == "expired" {
                    self.reach(Sometimes::SessionExpired);
                }
            }
            ConsulEvent::LockAcquired { key, session, value } => {
                self.try_lock(at, key, session);
                self.held_by.insert(key.clone(), session.clone());
                if let Some(holder) = lock_holder(value) {
                    let before = self.holders.insert(key.clone(), holder.clone());
                    if before.is_some_and(|before| before != holder) {
                        self.reach(Sometimes::Failover);
                    }
                }
            }
            ConsulEvent::LockReleased { key, session, .. } => {
                let own = self.held_by.remove(key).is_some_and(|by| by == *session);
                if own && !self.over.contains(session) {
                    self.reach(Sometimes::LockGivenBack);
                }
            }
            ConsulEvent::LockRefused { key, session, why } => {
                self.try_lock(at, key, session);
                self.reach(if why == "lock-delay" {
                    Sometimes::LockDelayRefusal
                } else {
                    Sometimes::LockHeldRefusal
                });
            }
            _ => {}
        }
    }

    fn try_lock(&mut self, at: Duration, key: &str, session: &str) {
        let before = self.tried.insert(key.to_owned(), (at, session.to_owned()));
        if before.is_some_and(|(then, other)| other != session && at <= then + Duration::from_secs(1)) {
            self.reach(Sometimes::Race);
        }
    }

    fn mysql(&mut self, host: &str, change: &MysqlEvent) {
        match change {
            MysqlEvent::Writable { writable: true } => {
                self.writable.insert(host.to_owned());
            }
            MysqlEvent::Writable { writable: false } => {
                let led = self.writable.remove(host);
                if led {
                    self.reach(Sometimes::Demotion);
                }
            }
            MysqlEvent::Replication { error, .. } if !error.is_empty() => {
                self.reach(Sometimes::ReplicationError);
            }
            MysqlEvent::DataDirectory { how, .. } if how == "restored" => {
                self.reach(Sometimes::SnapshotRestored);
                if self.clones.remove(host) {
                    self.reach(Sometimes::ReClone);
                }
            }
            MysqlEvent::Tool { tool: Tool::Backup, running: false } => self.reach(Sometimes::SnapshotTaken),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Sometimes, reached};
    use crate::properties::testing::Script;

    fn names(script: &Script) -> Vec<&'static str> {
        reached(&script.record()).into_iter().map(Sometimes::name).collect()
    }

    #[test]
    fn all_are_registered_once_under_names_of_their_own() {
        let names: BTreeSet<_> = Sometimes::ALL.into_iter().map(Sometimes::name).collect();
        assert_eq!(names.len(), Sometimes::ALL.len());
        for one in Sometimes::ALL {
            assert_eq!(serde_json::to_value(one).unwrap(), one.name());
        }
    }

    #[test]
    fn a_lock_that_comes_back_to_its_holder_is_no_failover() {
        let mut script = Script::new();
        script.lock_acquired("mysql-primary", "s1", "mysql-1").lock_released("mysql-primary", "s1", 0);
        script.at(9_000).lock_acquired("mysql-primary", "s2", "mysql-1");
        assert_eq!(names(&script), ["lock-given-back"]);
        script.session_gone("s2", "expired").lock_released("mysql-primary", "s2", 24_000);
        script.at(20_000).lock_refused("mysql-primary", "s3", "lock-delay");
        script.at(25_000).lock_acquired("mysql-primary", "s3", "mysql-2");
        assert_eq!(names(&script), ["failover", "session-expired", "lock-delay-refusal", "lock-given-back"]);
    }

    #[test]
    fn two_sessions_within_a_second_race() {
        let mut script = Script::new();
        script.at(1_000).lock_acquired("k", "s1", "mysql-1").at(2_500).lock_refused("k", "s2", "held");
        assert_eq!(names(&script), ["lock-held-refusal"]);
        script.at(3_000).lock_refused("k", "s3", "held");
        assert_eq!(names(&script), ["lock-held-refusal", "race"]);
    }

    #[test]
    fn who_is_ended_is_not_demoted() {
        let mut script = Script::new();
        script.primary("mysql-1").ended("mysql-1").launched("mysql-1").up("mysql-1", true);
        script.writable("mysql-1", false);
        assert_eq!(names(&script), [""; 0]);
        script.writable("mysql-1", true).writable("mysql-1", false);
        assert_eq!(names(&script), ["demotion"]);
    }

    #[test]
    fn what_takes_the_place_of_data_that_was_given_up_is_a_clone_anew() {
        let mut script = Script::new();
        script.launched("mysql-2").data_directory("mysql-2", "restored", &[1]);
        script.ended("mysql-2").replaced("mysql-2", "mysql-4").data_directory("mysql-4", "restored", &[1]);
        assert_eq!(names(&script), ["snapshot-restored", "replacement"]);
        script.role("mysql-4", "stuck").ended("mysql-4").replaced("mysql-4", "mysql-2");
        assert_eq!(names(&script), ["snapshot-restored", "replacement"]);
        script.data_directory("mysql-2", "restored", &[1]);
        assert_eq!(names(&script), ["re-clone", "snapshot-restored", "replacement"]);
    }

    #[test]
    fn who_gives_up_its_data_starts_from_a_snapshot_where_it_was() {
        let mut script = Script::new();
        script.launched("mysql-2").role("mysql-2", "stuck").ended("mysql-2").started_again("mysql-2");
        script.data_directory("mysql-2", "restored", &[1]);
        assert_eq!(names(&script), ["re-clone", "snapshot-restored"]);
    }

    #[test]
    fn an_answer_is_stale_when_it_says_so() {
        let mut script = Script::new();
        script.http("mysql-1", "/v1/health/service/mysql", 2);
        assert_eq!(names(&script), [""; 0]);
        script.answered_of_old("mysql-1", "/v1/health/service/mysql");
        assert_eq!(names(&script), ["stale-read-served"]);
    }

    #[test]
    fn nothing_is_reached_by_a_record_without_events() {
        assert_eq!(names(&Script::new()), [""; 0]);
    }
}
