//! What happened, in plain words: one sentence an event.
//!
//! The words say what a person would say, not what the field is called, and name the thing first:
//! "session 3f2a91bc… expired", "lock mysql-primary taken by mysql-2". Two events that mean the same read
//! the same, for the story counts repetitions by comparing words.

use std::borrow::Cow;
use std::time::Duration;

use ironbird_sim::plan::{Fault, FaultKind, Lasting};
use ironbird_sim::record::{ConsulEvent, MysqlEvent, Tool, What, WriteOutcome};

use serde_json::Value;

use crate::text::{count, length, moment, plain};

/// `what` in a sentence that is safe to print.
pub(crate) fn words(what: &What) -> String {
    plain(&match what {
        What::FaultBegan { fault, .. } => format!(">>> {fault}"),
        What::FaultEnded { fault, .. } => format!("<<< {fault}"),
        What::Launched { why } if why == "start" => "container starts".to_owned(),
        What::Launched { why } => format!("container starts: {why}"),
        What::Ended { how } => format!("container ends: {how}"),
        What::Agent(entry) => entry.to_string(),
        What::Http { method, path, status, stale, .. } => {
            format!("{method} {path} {status}{}", if *stale { ", of an old catalog" } else { "" })
        }
        What::Consul(event) => consul(event),
        What::Mysql(event) => mysql(event),
        What::Store { method, object, status } => format!("object store: {method} {object} {status}"),
        What::Finished => "the run is over".to_owned(),
        What::Write { id, outcome } => match outcome {
            WriteOutcome::Acknowledged { by } => format!("write {id} acknowledged by {by}"),
            WriteOutcome::Refused { why } => format!("write {id} refused: {why}"),
            WriteOutcome::Unknown { why } => format!("write {id} without an answer: {why}"),
        },
        What::Read { id, by, found: true } => format!("write {id} read from {by}"),
        What::Read { id, by, found: false } => format!("write {id} not on {by} yet"),
    })
}

fn consul(event: &ConsulEvent) -> String {
    match event {
        ConsulEvent::SessionCreated { session, name, ttl_us, lock_delay_us } => {
            let mut words = format!("session {session} created");
            if !name.is_empty() {
                words += &format!(" as {name}");
            }
            match ttl_us {
                0 => words += ", no TTL",
                _ => words += &format!(", TTL {}", length(Duration::from_micros(*ttl_us))),
            }
            words + &format!(", lock-delay {}", length(Duration::from_micros(*lock_delay_us)))
        }
        ConsulEvent::LeaderEstablished { server } => format!("{server} leads Consul's servers"),
        ConsulEvent::LeaderDeposed { server } => format!("{server} leads Consul's servers no more"),
        ConsulEvent::Emptied { server } => format!("{server} begins with no data"),
        ConsulEvent::SessionRenewed { session } => format!("session {session} renewed"),
        ConsulEvent::SessionInvalidated { session, why } => match why.as_str() {
            "expired" | "destroyed" => format!("session {session} {why}"),
            _ => format!("session {session} is gone: {why}"),
        },
        ConsulEvent::LockAcquired { key, session, value } => match holder(value) {
            Some(holder) => format!("lock {key} taken by {holder} (session {session})"),
            None => format!("lock {key} taken by session {session}"),
        },
        ConsulEvent::LockReleased { key, session, delay_until_us } => {
            let delay: Cow<'_, str> = match delay_until_us {
                0 => "".into(),
                until => {
                    format!(", nobody can take it before {}", moment(Duration::from_micros(*until))).into()
                }
            };
            format!("lock {key} let go by session {session}{delay}")
        }
        ConsulEvent::LockRefused { key, session, why } => {
            format!("lock {key} refused to session {session}: {why}")
        }
        ConsulEvent::ServiceRegistered { id, name, address, .. } => {
            format!("service {id} is in the catalog as {name} at {address}")
        }
        ConsulEvent::ServiceDeregistered { id } => format!("service {id} left the catalog"),
        ConsulEvent::CheckStatus { check, service, status, node } => match service.as_str() {
            "" => format!("check {check} of node {node} is {status}"),
            // Their ids are made from one another; saying both is saying it twice.
            id if check.ends_with(id) => format!("service {service} is {status}"),
            _ => format!("service {service} is {status} (check {check})"),
        },
        ConsulEvent::CheckRemoved { check, service, node } => match service.as_str() {
            "" => format!("check {check} of node {node} left the catalog"),
            _ => format!("check {check} of service {service} left the catalog"),
        },
    }
}

/// Who a lock's value says holds it: a plain text is a name, an object may have one as `holder`.
fn holder(value: &str) -> Option<String> {
    match serde_json::from_str(value) {
        Ok(Value::Object(object)) => object.get("holder")?.as_str().map(str::to_owned),
        _ => Some(value.to_owned()).filter(|name| !name.is_empty()),
    }
}

fn mysql(event: &MysqlEvent) -> String {
    match event {
        MysqlEvent::Up { networking: true } => "mysqld is up".to_owned(),
        MysqlEvent::Up { networking: false } => "mysqld is up, for its own machine only".to_owned(),
        MysqlEvent::Down => "mysqld is down".to_owned(),
        MysqlEvent::Writable { writable: true } => "mysqld takes writes".to_owned(),
        MysqlEvent::Writable { writable: false } => "mysqld is read-only".to_owned(),
        MysqlEvent::Replication { source, receiving, applying, error } => {
            replication(source, *receiving, *applying, error)
        }
        MysqlEvent::Committed { gtid, write } => format!("transaction {gtid} committed{}", carried(*write)),
        MysqlEvent::Received { gtid, write } => format!("transaction {gtid} received{}", carried(*write)),
        MysqlEvent::Tool { tool, running } => {
            let tool = match tool {
                Tool::Install => "setting up an empty data directory",
                Tool::Backup => "taking a snapshot",
                Tool::Restore => "restoring a snapshot",
            };
            format!("{tool}: {}", if *running { "begun" } else { "ended" })
        }
        MysqlEvent::DataDirectory { how, writes } => match writes.len() as u64 {
            0 => format!("data directory {how}, no writes in it"),
            writes => format!("data directory {how}, {} in it", count(writes, "write")),
        },
    }
}

fn replication(source: &str, receiving: bool, applying: bool, error: &str) -> String {
    let mut words = match (source, receiving, applying) {
        ("", false, false) => "replicates from nobody".to_owned(),
        (_, true, true) => format!("replicates from {source}"),
        (_, true, false) => format!("receives from {source} but does not apply"),
        (_, false, true) => format!("applies what it has of {source} but does not receive"),
        (_, false, false) => format!("is set up for {source} but does not replicate"),
    };
    if !error.is_empty() {
        words += ": ";
        words += error;
    }
    words
}

fn carried(write: u64) -> String {
    match write {
        0 => String::new(),
        _ => format!(" (write {write})"),
    }
}

/// A fault of a plan: `at 1 min: cut leader from consul, for 30 s`.
pub(crate) fn planned(fault: &Fault) -> String {
    let mut words = format!("at {}", length(fault.at.from));
    if fault.at.to > fault.at.from {
        words += &format!(" to {}", length(fault.at.to));
    }
    words += &format!(": {} {}", fault.kind.name(), fault.target);
    words += &match &fault.kind {
        FaultKind::Cut { peer } => format!(" from {peer}"),
        FaultKind::CutOneWay { peer } | FaultKind::Hold { peer } => format!(" to {peer}"),
        FaultKind::Latency { peer, delay } => format!(" to {peer}, {} more", length(*delay)),
        // A share is written in decimal, and 7 % is not 7.000000000000001 %.
        FaultKind::Loss { peer, rate } => {
            format!(" to {peer}, {} % of segments", (rate * 1e5).round() / 1e3)
        }
        FaultKind::CatalogLag { delay } => format!(", {} behind", length(*delay)),
        other => other.to_string(),
    };
    match fault.lasting {
        Lasting::Moment => {}
        Lasting::For(time) => words += &format!(", for {}", length(time)),
        Lasting::Forever => words += ", for ever",
    }
    plain(&words)
}

#[cfg(test)]
mod tests {
    use ironbird_sim::record::{ConsulEvent, What};

    use super::words;

    #[test]
    fn a_lock_is_taken_by_whoever_its_value_names() {
        let cases = [
            ("mysql-1", "lock k taken by mysql-1 (session s)"),
            (r#"{"holder":"mysql-1","term":3}"#, "lock k taken by mysql-1 (session s)"),
            (r#"{"executed":{}}"#, "lock k taken by session s"),
            ("", "lock k taken by session s"),
            ("{not json", "lock k taken by {not json (session s)"),
        ];
        for (value, told) in cases {
            let what = What::Consul(ConsulEvent::LockAcquired {
                key: "k".to_owned(),
                session: "s".to_owned(),
                value: value.to_owned(),
            });
            assert_eq!(words(&what), told);
        }
    }
    #[test]
    fn an_answer_of_an_old_catalog_says_so() {
        let told = |stale| {
            let (method, path) = ("GET".to_owned(), "/v1/health/service/web".to_owned());
            words(&What::Http { method, path, status: 200, took_us: 1, stale })
        };
        assert_eq!(told(false), "GET /v1/health/service/web 200");
        assert_eq!(told(true), "GET /v1/health/service/web 200, of an old catalog");
    }
}
