//! What the article reports happened, found in the records of real runs; and what the hardened handlers
//! promise instead.
//!
//! The properties in `ironbird_sim::properties` say whether a run is sound. These tests say that the
//! published handlers fail *as the article says they do*: with its messages, in its order, with the times
//! that follow from the session's TTL and lock-delay. They read nothing but the record.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ironbird_agent::journal::Entry;
use ironbird_sim::properties::Property;
use ironbird_sim::record::{ConsulEvent, Event, MysqlEvent, What, WriteOutcome};
use ironbird_tests::{Variant, variant, variants};
use serde_json::Value;

const LOCK: &str = "mysql-primary";
const TTL: Duration = Duration::from_secs(60);
const LOCK_DELAY: Duration = Duration::from_secs(15);

/// When the operator removes the instances that never became healthy.
const REMOVAL: Duration = Duration::from_secs(300);

#[test]
fn before_a_backup_the_losers_of_the_race_never_become_healthy() {
    for seed in 0..5 {
        let run = variant("replica-before-backup/published").fly(seed);
        let events = &run.record.events;
        let winner = &locks(events)[0].holder;
        let losers: Vec<_> = hosts_launched_before(events, REMOVAL).filter(|host| host != winner).collect();
        assert_eq!(losers.len(), run.record.header.instances - 1, "seed {seed}");
        for loser in &losers {
            let told = |text| events.iter().find(|event| event.host == *loser && says(event, text));
            let tried = told("Tried to mark node primary but primary exists");
            let denied = told("Access denied for user 'replicator'");
            let (Some(tried), Some(denied)) = (tried, denied) else {
                panic!("seed {seed}: {loser} did not say both");
            };
            assert!(tried.at < denied.at && denied.at < REMOVAL, "seed {seed}, {loser}");
            assert_eq!(passing_since(events, loser, Duration::MAX), None, "seed {seed}, {loser}");
        }
        // The winner does become healthy, so it is not that nobody could.
        assert!(passing_since(events, winner, REMOVAL).is_some(), "seed {seed}: {winner}");
    }
}

#[test]
fn removed_by_hand_the_losers_are_replaced_by_replicas_that_work() {
    for seed in 0..5 {
        let run = variant("replica-before-backup/published").fly(seed);
        let events = &run.record.events;
        let winner = &locks(events)[0].holder;
        let removed: BTreeSet<_> = events
            .iter()
            .filter(
                |event| matches!(&event.what, What::FaultBegan { fault, .. } if fault.starts_with("remove")),
            )
            .map(|event| (event.at, event.host.as_str()))
            .collect();
        assert_eq!(removed.len(), run.record.header.instances - 1, "seed {seed}: {removed:?}");
        let replicas = replicas_at_the_end(events, winner);
        assert_eq!(replicas.len(), run.record.header.instances - 1, "seed {seed}: {replicas:?}");
        // Well before the end of the run, so that a replica cannot have been about to get it.
        let written = last_acknowledged_before(events, run.record.duration() - Duration::from_secs(10));
        for replica in &replicas {
            assert!(launched(events, replica) > REMOVAL, "seed {seed}: {replica} was there before");
            assert!(holds(events, replica, written), "seed {seed}: {replica} lacks write {written}");
            assert!(passing_since(events, replica, Duration::MAX).is_some(), "seed {seed}: {replica}");
        }
    }
}

#[test]
fn a_killed_leader_keeps_its_lock_until_the_ttl_takes_it() {
    let mut replicas = 0;
    for seed in 0..30 {
        let run = variant("leader-kill/published").fly(seed);
        let events = &run.record.events;
        let kill = kill(events);
        let locks = locks(events);
        let [lost, won, ..] = &locks[..] else { panic!("seed {seed}: {locks:?}") };
        assert_eq!(kill.host, lost.holder, "seed {seed}");
        let renewed = last_renewal(events, &lost.session);
        assert!(renewed <= kill.at, "seed {seed}: the dead renew nothing");
        let (released, closed_until) = lost.released.expect("released");
        assert!(renewed + TTL <= released, "seed {seed}: {renewed:?} {released:?}");
        assert!(released <= renewed + 2 * TTL + millis(2), "seed {seed}: {renewed:?} {released:?}");
        assert_eq!(closed_until, released + LOCK_DELAY, "seed {seed}");
        assert!(won.at >= closed_until, "seed {seed}: {won:?}");
        // Mostly one that replicated from the dead wins. Nobody compares what they have, though, so the
        // dead one's replacement, fresh from a snapshot of long ago, can win too, and then writes are lost.
        if replicas_at(events, &lost.holder, kill.at).contains(&won.holder) {
            replicas += 1;
        } else {
            assert!(launched(events, &won.holder) > kill.at, "seed {seed}: {won:?} did not replicate");
            let mut lost_writes = run.violations.iter().map(|violation| violation.property);
            assert!(lost_writes.any(|it| it == Property::AcknowledgedWritesSurvive), "seed {seed}: {won:?}");
        }
        assert!(
            events.iter().any(|event| event.host != kill.host && says(event, STUCK)),
            "seed {seed}: nobody was stuck"
        );
    }
    assert!((20..30).contains(&replicas), "{replicas} of 30 elections were won by a replica");
}

#[test]
fn a_killed_leader_is_replaced_within_the_time_the_article_waited() {
    let mut times = BTreeMap::new();
    for seed in 0..30 {
        let run = variant("leader-kill/published").fly(seed);
        let events = &run.record.events;
        let kill = kill(events);
        let winner = &locks(events)[1].holder;
        let passing = passing_as_primary_since(events, winner);
        times.insert(seed, passing.unwrap_or_else(|| panic!("seed {seed}: {winner} never passes")) - kill.at);
    }
    let bounds = Duration::from_secs(80)..=Duration::from_secs(185);
    assert!(times.values().all(|time| bounds.contains(time)), "{times:?}");
    // A time that were the same in all runs would not have been measured.
    assert!(times.values().collect::<BTreeSet<_>>().len() > 10, "{times:?}");
}

const STUCK: &str = "Tried replication setup, but primary is set and not healthy.";

#[test]
fn behind_a_catalog_that_lags_replicas_stay_stuck_though_the_truth_is_otherwise() {
    for seed in 0..5 {
        let run = variant("lagging-catalog/published").fly(seed);
        let events = &run.record.events;
        let killed = &kill(events).host;
        let winner = &locks(events)[1].holder;
        let passing = passing_as_primary_since(events, winner).expect("the new primary passes");
        assert!(passing_as_primary_at_the_end(events, winner), "seed {seed}");
        assert!(passing + Duration::from_secs(30) < run.record.duration(), "seed {seed}: it just became so");
        let replicas = replicas_at_the_end(events, winner);
        assert!(replicas.is_empty(), "seed {seed}: {replicas:?} replicate from {winner}");
        let stuck: BTreeSet<_> = events
            .iter()
            .filter(|event| event.at > passing && says(event, STUCK))
            .map(|event| event.host.as_str())
            .collect();
        let others = hosts_launched_before(events, kill(events).at);
        for other in others.filter(|host| host != killed && host != winner) {
            assert!(stuck.contains(other.as_str()), "seed {seed}: {other} is not stuck, but {stuck:?}");
        }
    }
}

#[test]
fn hardened_terms_only_ever_grow() {
    let mut elections = 0;
    for (variant, seed) in hardened() {
        let run = variant.fly(seed);
        let mut last = 0;
        for lock in locks(&run.record.events) {
            assert!(lock.term > last, "{}, seed {seed}: {lock:?} after term {last}", variant.name);
            last = lock.term;
            elections += 1;
        }
    }
    assert!(elections > 30, "{elections} elections are too few to say anything");
}

#[test]
fn hardened_only_who_holds_the_lock_takes_writes_and_only_within_its_lease() {
    let (mut promotions, mut depositions) = (0, 0);
    for (variant, seed) in hardened() {
        let run = variant.fly(seed);
        let mut watch = Watch::default();
        for event in &run.record.events {
            if let Err(complaint) = watch.see(event) {
                panic!("{}, seed {seed}, step {}: {complaint}", variant.name, event.step);
            }
        }
        promotions += watch.promotions;
        depositions += watch.depositions;
    }
    assert!(promotions > 30, "{promotions} promotions are too few to say anything");
    assert!(depositions > 5, "{depositions} living primaries were deposed: too few to say anything");
}

/// The hardened variants, and a leader that lives but cannot reach Consul in several ways: the killed one
/// of the scenarios cannot show what a former primary does.
fn hardened() -> impl Iterator<Item = (Variant, u64)> {
    let leader_kill = variant("leader-kill/hardened");
    let cut_off = ["cut", "cut-one-way", "hold"].into_iter().map(move |kind| {
        let mut cut_off = leader_kill.clone().with_faults(&format!(
            r#"fault = [{{ at = "180s..200s", kind = "{kind}", target = "leader", peer = "consul", for = "200s" }}]"#
        ));
        cut_off.name = format!("leader-{kind}/hardened");
        cut_off
    });
    variants()
        .into_iter()
        .filter(|variant| variant.name.ends_with("/hardened"))
        .chain(cut_off)
        .flat_map(|variant| (0..5).map(move |seed| (variant.clone(), seed)))
}

/// Watches a hardened record for a database that takes writes without a right to.
#[derive(Default)]
struct Watch {
    /// When each session was last known to Consul to live.
    renewed: BTreeMap<String, Duration>,
    /// Who holds the lock, by which session.
    holder: Option<(String, String)>,
    /// Databases that take writes, and the session they do so by.
    writable: BTreeMap<String, String>,
    /// Machines that stand still, or went on a moment ago: until when nothing can be asked of them.
    still: BTreeMap<String, Duration>,
    promotions: u32,
    /// Times a database was made read-only while its machine lived.
    depositions: u32,
}

impl Watch {
    /// A lease is three quarters of the TTL, counted from before Consul heard of the renewal; a primary's
    /// database gets half a second to become read-only before it is killed.
    const LEASE: Duration = Duration::from_millis(45_500);

    fn see(&mut self, event: &Event) -> Result<(), String> {
        match &event.what {
            What::Consul(
                ConsulEvent::SessionCreated { session, .. } | ConsulEvent::SessionRenewed { session },
            ) => _ = self.renewed.insert(session.clone(), event.at),
            What::Consul(ConsulEvent::LockAcquired { key, session, value }) if key == LOCK => {
                self.holder = Some((holder(value), session.clone()));
            }
            What::Consul(ConsulEvent::LockReleased { key, .. }) if key == LOCK => self.holder = None,
            What::Mysql(MysqlEvent::Writable { writable: true }) => {
                let session = match &self.holder {
                    Some((holder, session)) if *holder == event.host => session.clone(),
                    other => {
                        return Err(format!("{} takes writes, and {other:?} holds the lock", event.host));
                    }
                };
                self.writable.insert(event.host.clone(), session);
                self.promotions += 1;
            }
            What::Mysql(MysqlEvent::Writable { writable: false }) => {
                self.depositions += u32::from(self.writable.remove(&event.host).is_some());
            }
            What::FaultBegan { fault, .. } if fault.starts_with("pause ") => {
                self.still.insert(event.host.clone(), Duration::MAX);
            }
            // What a machine does in its first second it may do before its agent has looked.
            What::FaultEnded { fault, .. } if fault.starts_with("pause ") => {
                self.still.insert(event.host.clone(), event.at + millis(1_000));
            }
            What::Mysql(MysqlEvent::Down) | What::Ended { .. } => _ = self.writable.remove(&event.host),
            _ => {}
        }
        for (host, session) in &self.writable {
            let age = event.at - self.renewed[session];
            let still = self.still.get(host).is_some_and(|until| event.at <= *until);
            if !still && age > Self::LEASE + millis(2) {
                return Err(format!("{host} takes writes {age:?} after its session's last renewal"));
            }
        }
        Ok(())
    }
}

/// One tenure of the primary's lock.
#[derive(Debug)]
struct Tenure {
    at: Duration,
    holder: String,
    session: String,
    /// The fencing term; 0 as published, which has none.
    term: u64,
    /// When it ended, and until when the lock was closed.
    released: Option<(Duration, Duration)>,
}

/// Who held the primary's lock, in order.
fn locks(events: &[Event]) -> Vec<Tenure> {
    let mut tenures: Vec<Tenure> = Vec::new();
    for event in events {
        match &event.what {
            What::Consul(ConsulEvent::LockAcquired { key, session, value }) if key == LOCK => {
                tenures.push(Tenure {
                    at: event.at,
                    holder: holder(value),
                    session: session.clone(),
                    term: field(value, "term").and_then(|term| term.as_u64()).unwrap_or(0),
                    released: None,
                });
            }
            What::Consul(ConsulEvent::LockReleased { key, delay_until_us, .. }) if key == LOCK => {
                let last = tenures.last_mut().expect("what is released was taken");
                last.released = Some((event.at, Duration::from_micros(*delay_until_us)));
            }
            _ => {}
        }
    }
    tenures
}

/// The holder's name in the lock's value: alone as published, a field of the hardened cluster's.
fn holder(value: &str) -> String {
    field(value, "holder").and_then(|name| name.as_str().map(str::to_owned)).unwrap_or(value.to_owned())
}

fn field(value: &str, name: &str) -> Option<Value> {
    serde_json::from_str::<Value>(value).ok()?.get(name).cloned()
}

fn kill(events: &[Event]) -> &Event {
    let is_kill =
        |event: &&Event| matches!(&event.what, What::FaultBegan { fault, .. } if fault.starts_with("kill"));
    events.iter().find(is_kill).expect("the plan kills the leader")
}

fn says(event: &Event, text: &str) -> bool {
    matches!(&event.what, What::Agent(Entry::Log { message, .. }) if message.contains(text))
}

fn last_renewal(events: &[Event], id: &str) -> Duration {
    let is_renewal = |event: &&Event| {
        matches!(
            &event.what,
            What::Consul(ConsulEvent::SessionCreated { session, .. } | ConsulEvent::SessionRenewed { session })
                if session == id
        )
    };
    events.iter().rfind(is_renewal).expect("a session is created").at
}

fn hosts_launched_before(events: &[Event], end: Duration) -> impl Iterator<Item = String> {
    events
        .iter()
        .filter(move |event| event.at < end && matches!(event.what, What::Launched { .. }))
        .map(|event| event.host.clone())
}

fn launched(events: &[Event], host: &str) -> Duration {
    let is_launch = |event: &&Event| event.host == host && matches!(event.what, What::Launched { .. });
    events.iter().rfind(is_launch).expect("it was started").at
}

/// The statuses of the checks of services, as Consul itself has them.
fn statuses(events: &[Event]) -> impl Iterator<Item = (Duration, &str, bool)> {
    events.iter().filter_map(|event| match &event.what {
        What::Consul(ConsulEvent::CheckStatus { service, status, .. }) if !service.is_empty() => {
            Some((event.at, service.as_str(), status == "passing"))
        }
        _ => None,
    })
}

/// Since when any service of `host` passes, if it does before `end`.
fn passing_since(events: &[Event], host: &str, end: Duration) -> Option<Duration> {
    let suffix = format!("-{host}");
    statuses(events)
        .find(|(at, service, passing)| *at < end && *passing && service.ends_with(&suffix))
        .map(|(at, _, _)| at)
}

fn passing_as_primary_since(events: &[Event], host: &str) -> Option<Duration> {
    let primary = format!("{LOCK}-{host}");
    statuses(events).find(|(_, service, passing)| *passing && *service == primary).map(|(at, _, _)| at)
}

fn passing_as_primary_at_the_end(events: &[Event], host: &str) -> bool {
    let primary = format!("{LOCK}-{host}");
    statuses(events)
        .filter(|(_, service, _)| *service == primary)
        .last()
        .is_some_and(|(_, _, passing)| passing)
}

/// Who receives and applies what `source` commits, as of `end`.
fn replicas_at(events: &[Event], source: &str, end: Duration) -> BTreeSet<String> {
    let mut replicas = BTreeSet::new();
    for event in events.iter().take_while(|event| event.at < end) {
        match &event.what {
            What::Mysql(MysqlEvent::Replication { source: from, receiving: true, applying: true, error })
                if from == source && error.is_empty() =>
            {
                replicas.insert(event.host.clone());
            }
            What::Mysql(MysqlEvent::Replication { .. } | MysqlEvent::Down) | What::Ended { .. } => {
                replicas.remove(&event.host);
            }
            _ => {}
        }
    }
    replicas
}

fn replicas_at_the_end(events: &[Event], source: &str) -> BTreeSet<String> {
    replicas_at(events, source, Duration::MAX)
}

/// The last write that was acknowledged before `end`.
fn last_acknowledged_before(events: &[Event], end: Duration) -> u64 {
    let acknowledged =
        events.iter().take_while(|event| event.at < end).filter_map(|event| match &event.what {
            What::Write { id, outcome: WriteOutcome::Acknowledged { .. } } => Some(*id),
            _ => None,
        });
    acknowledged.last().expect("clients write")
}

/// Whether `write` was applied at `host`.
fn holds(events: &[Event], host: &str, write: u64) -> bool {
    let is_it = |event: &Event| matches!(&event.what, What::Mysql(MysqlEvent::Committed { write: id, .. }) if *id == write);
    events.iter().any(|event| event.host == host && is_it(event))
}

const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}
