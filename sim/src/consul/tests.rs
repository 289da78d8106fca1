//! The state machine, seen from outside: requests and time in, answers and events out.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use serde_json::Value;

use super::{Blocked, Consul, ConsulConfig, Reply};
use crate::record::ConsulEvent;
use crate::seed::Seed;

const NEAR: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const FAR: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

/// A server and the time it is.
struct World {
    consul: Consul,
    now: Duration,
}

impl World {
    fn new() -> Self {
        let config = ConsulConfig::new("consul-1", NEAR);
        Self {
            consul: Consul::new(config, Seed(7).stream("consul", "consul-1")),
            now: Duration::ZERO,
        }
    }

    fn send(&mut self, reader: IpAddr, line: &str) -> Reply {
        let (request, body) = line.split_once(" | ").unwrap_or((line, ""));
        let (method, path) = request.split_once(' ').expect("a method and a path");
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(Bytes::copy_from_slice(body.as_bytes()))
            .expect("a request");
        self.consul.request(self.now, reader, &request)
    }

    fn from(&mut self, reader: IpAddr, line: &str) -> (u16, String) {
        match self.send(reader, line) {
            Reply::Now(response) => plain(&response),
            Reply::Blocked(_) => panic!("{line} blocks"),
        }
    }

    /// Status and body.
    fn ask(&mut self, line: &str) -> (u16, String) {
        self.from(NEAR, line)
    }

    fn json(&mut self, line: &str) -> Value {
        let (status, body) = self.ask(line);
        assert_eq!(status, 200, "{line}: {body}");
        serde_json::from_str(&body).expect("JSON")
    }

    fn index(&mut self, reader: IpAddr, path: &str) -> u64 {
        match self.send(reader, &format!("GET {path}")) {
            Reply::Now(response) => index_of(&response),
            Reply::Blocked(_) => panic!("{path} blocks"),
        }
    }

    fn session(&mut self, body: &str) -> String {
        let created = self.json(&format!("PUT /v1/session/create | {body}"));
        created["ID"].as_str().expect("an id").to_owned()
    }

    /// Starts to wait for `path` to move past where it is.
    fn watch(&mut self, reader: IpAddr, path: &str) -> (u64, Blocked) {
        let index = self.index(reader, path);
        let mark = if path.contains('?') { '&' } else { '?' };
        match self.send(reader, &format!("GET {path}{mark}index={index}&wait=5m")) {
            Reply::Blocked(blocked) => (index, blocked),
            Reply::Now(response) => panic!("{path} did not block: {:?}", plain(&response)),
        }
    }

    fn wakes(&mut self, blocked: &mut Blocked) -> Option<u64> {
        self.consul
            .poll(self.now, blocked)
            .map(|response| index_of(&response))
    }

    fn at(&mut self, seconds: f64) {
        self.now = Duration::from_secs_f64(seconds);
        self.consul.advance(self.now);
    }

    fn events(&mut self) -> Vec<(f64, String)> {
        self.consul
            .drain_events()
            .into_iter()
            .map(|(at, event)| (at.as_secs_f64(), brief(&event)))
            .collect()
    }
}

fn plain(response: &Response<Bytes>) -> (u16, String) {
    let body = String::from_utf8_lossy(response.body()).into_owned();
    (response.status().as_u16(), body)
}

fn index_of(response: &Response<Bytes>) -> u64 {
    let header = response.headers().get("x-consul-index").expect("an index");
    header.to_str().expect("digits").parse().expect("digits")
}

/// An event without ids nobody chose.
fn brief(event: &ConsulEvent) -> String {
    match event {
        ConsulEvent::SessionCreated { name, .. } => format!("created {name}"),
        ConsulEvent::SessionRenewed { .. } => "renewed".to_owned(),
        ConsulEvent::SessionInvalidated { why, .. } => format!("invalidated: {why}"),
        ConsulEvent::LockAcquired { key, value, .. } => format!("locked {key}={value}"),
        ConsulEvent::LockReleased {
            key, delay_until_us, ..
        } => {
            format!("unlocked {key} until {}", delay_until_us / 1_000_000)
        }
        ConsulEvent::LockRefused { key, why, .. } => format!("refused {key}: {why}"),
        ConsulEvent::ServiceRegistered { id, .. } => format!("service {id}"),
        ConsulEvent::ServiceDeregistered { id } => format!("no service {id}"),
        ConsulEvent::CheckStatus { check, status, .. } => format!("{check} {status}"),
    }
}

const WEB: &str =
    r#"PUT /v1/agent/service/register | {"Name":"web","ID":"w1","Check":{"TTL":"10s","Status":"passing"}}"#;

#[test]
fn a_session_ends_twice_its_ttl_after_it_was_last_renewed() {
    for (renewed_at, ends_at) in [(vec![], 20.0), (vec![5.0], 25.0), (vec![9.0, 28.9], 48.9)] {
        let mut world = World::new();
        let id = world.session(r#"{"Name":"s","TTL":"10s"}"#);
        for at in &renewed_at {
            world.at(*at);
            assert_eq!(world.ask(&format!("PUT /v1/session/renew/{id}")).0, 200);
        }
        assert_eq!(
            world.consul.next_deadline(),
            Some(Duration::from_secs_f64(ends_at))
        );
        world.at(ends_at - 0.001);
        let before = world.json(&format!("GET /v1/session/info/{id}"));
        assert_eq!(before[0]["Name"], "s", "renewed at {renewed_at:?}");
        world.at(ends_at + 7.0);
        assert_eq!(world.ask(&format!("PUT /v1/session/renew/{id}")).0, 404);
        assert_eq!(world.ask(&format!("GET /v1/session/info/{id}")).1, "[]");
        let last = world.events().pop();
        assert_eq!(last, Some((ends_at, "invalidated: expired".to_owned())));
    }
}

#[test]
fn a_renewal_writes_nothing_and_a_write_renews_nothing() {
    let mut world = World::new();
    let id = world.session(r#"{"TTL":"10s"}"#);
    let (index, mut watch) = world.watch(NEAR, "/v1/session/list");
    world.at(15.0);
    world.ask(&format!("PUT /v1/session/renew/{id}"));
    assert_eq!(world.wakes(&mut watch), None);
    assert_eq!(world.index(NEAR, "/v1/session/list"), index);
    world.at(34.0);
    assert_eq!(world.ask(&format!("PUT /v1/kv/k?acquire={id} | x")).1, "true");
    world.at(35.0);
    assert!(world.wakes(&mut watch).is_some_and(|woken| woken > index));
}

/// What ends the hold of a lock, and whether and for how long nobody can take it then.
#[test]
fn only_an_invalidated_holder_leaves_a_lock_delay() {
    for (lock_delay, end, delay) in [
        ("\"5s\"", "PUT /v1/session/destroy/{s}", 5.0),
        ("5", "PUT /v1/session/destroy/{s}", 5.0),
        ("\"2m\"", "PUT /v1/session/destroy/{s}", 60.0),
        ("\"0s\"", "PUT /v1/session/destroy/{s}", 0.0),
        ("-5", "PUT /v1/session/destroy/{s}", 0.0),
        ("\"5s\"", "PUT /v1/agent/check/fail/service:w1", 5.0),
        ("\"5s\"", "PUT /v1/agent/service/deregister/w1", 5.0),
        ("\"5s\"", "PUT /v1/kv/k?release={s} | x", 0.0),
        ("\"5s\"", "DELETE /v1/kv/k", 0.0),
        ("\"5s\"", "DELETE /v1/kv/?recurse", 0.0),
    ] {
        for behavior in ["release", "delete"] {
            let mut world = World::new();
            world.ask(WEB);
            let first = world.session(&format!(
                r#"{{"LockDelay":{lock_delay},"Behavior":"{behavior}","Checks":["service:w1"]}}"#
            ));
            let second = world.session("{}");
            assert_eq!(world.ask(&format!("PUT /v1/kv/k?acquire={first} | x")).1, "true");
            assert_eq!(
                world.ask(&format!("PUT /v1/kv/k?acquire={second} | x")).1,
                "false"
            );
            world.at(2.0);
            assert_eq!(world.ask(&end.replace("{s}", &first)).0, 200);
            let case = format!("{end} with {lock_delay}, {behavior}");
            if delay > 0.0 {
                world.at(2.0 + delay - 0.001);
                assert_eq!(
                    world.ask(&format!("PUT /v1/kv/k?acquire={second} | x")).1,
                    "false",
                    "{case}"
                );
                // Only locking is delayed.
                assert_eq!(world.ask("PUT /v1/kv/k | plain").1, "true", "{case}");
            }
            world.at(2.0 + delay);
            assert_eq!(
                world.ask(&format!("PUT /v1/kv/k?acquire={second} | x")).1,
                "true",
                "{case}"
            );
        }
    }
}

#[test]
fn the_end_of_a_session_is_told_in_order_with_its_cause() {
    let mut world = World::new();
    world.ask(WEB);
    let id = world.session(r#"{"Name":"db","Checks":["service:w1"],"LockDelay":"5s"}"#);
    world.ask(&format!("PUT /v1/kv/leader?acquire={id} | me"));
    world.ask(&format!("PUT /v1/kv/leader?acquire={id} | still me"));
    world.at(11.0);
    let other = world.session(r#"{"Name":"next"}"#);
    world.ask(&format!("PUT /v1/kv/leader?acquire={other} | you"));
    let told = [
        (0.0, "service w1"),
        (0.0, "service:w1 passing"),
        (0.0, "created db"),
        (0.0, "locked leader=me"),
        (10.0, "service:w1 critical"),
        (10.0, "invalidated: check critical"),
        (10.0, "unlocked leader until 15"),
        (11.0, "created next"),
        (11.0, "refused leader: lock-delay"),
    ];
    assert_eq!(world.events(), told.map(|(at, what)| (at, what.to_owned())));
    // The check, the session and the lock went at one index.
    let index = world.index(NEAR, "/v1/health/checks/web");
    assert_eq!(world.json("GET /v1/kv/leader")[0]["ModifyIndex"], index);
}

#[test]
fn lock_index_counts_acquisitions_until_somebody_writes_past_the_lock() {
    let mut world = World::new();
    let (a, b) = (world.session("{}"), world.session("{}"));
    for (line, lock_index) in [
        (format!("PUT /v1/kv/k?acquire={a} | 1"), 1),
        (format!("PUT /v1/kv/k?acquire={a} | 2"), 1),
        (format!("PUT /v1/kv/k?release={a} | 3"), 1),
        (format!("PUT /v1/kv/k?acquire={b} | 4"), 2),
        ("PUT /v1/kv/k | 5".to_owned(), 0),
        (format!("PUT /v1/kv/k?release={b} | 6"), 0),
        (format!("PUT /v1/kv/k?acquire={a} | 7"), 1),
    ] {
        assert_eq!(world.ask(&line).1, "true", "{line}");
        assert_eq!(world.json("GET /v1/kv/k")[0]["LockIndex"], lock_index, "{line}");
    }
}

#[test]
fn a_write_that_changes_nothing_moves_nothing() {
    let mut world = World::new();
    world.ask("PUT /v1/kv/k?flags=3 | x");
    let (index, mut watch) = world.watch(NEAR, "/v1/kv/k");
    world.ask("PUT /v1/kv/k?flags=3 | x");
    assert_eq!(world.wakes(&mut watch), None);
    world.ask("PUT /v1/kv/k | x");
    assert!(world.wakes(&mut watch).is_some_and(|woken| woken > index));
}

/// Which writes wake which reads of keys.
#[test]
fn keys_wake_their_readers() {
    for (path, line, wakes) in [
        ("/v1/kv/a/x", "PUT /v1/kv/a/x | 2", true),
        ("/v1/kv/a/x", "DELETE /v1/kv/a/x", true),
        ("/v1/kv/a/x", "DELETE /v1/kv/a?recurse", true),
        ("/v1/kv/a/x", "PUT /v1/kv/a/y | 2", false),
        ("/v1/kv/a?recurse", "PUT /v1/kv/a/new | 2", true),
        ("/v1/kv/a?recurse", "DELETE /v1/kv/a/y", true),
        ("/v1/kv/a?keys", "PUT /v1/kv/a/x | 2", true),
        ("/v1/kv/a?recurse", "PUT /v1/kv/b | 2", false),
        ("/v1/kv/a/none", "PUT /v1/kv/a/none | 2", true),
        // A reader of what is not there is woken by its neighbours, and by nobody else.
        ("/v1/kv/a/none", "PUT /v1/kv/a/x | 2", true),
        ("/v1/kv/a/none", "PUT /v1/kv/b | 2", false),
        ("/v1/kv/a/none?recurse", "PUT /v1/kv/b | 2", false),
    ] {
        let mut world = World::new();
        for key in ["a/x", "a/y", "b"] {
            world.ask(&format!("PUT /v1/kv/{key} | 1"));
        }
        let (index, mut watch) = world.watch(NEAR, path);
        world.ask(line);
        let woken = world.wakes(&mut watch);
        assert_eq!(woken.is_some(), wakes, "{path} after {line}");
        assert!(woken.is_none_or(|woken| woken > index), "{path} after {line}");
    }
}

/// The matrix measured on Consul 1.8.7: an event, and which of the reads below it wakes.
#[test]
fn the_catalog_wakes_its_readers() {
    let reads = [
        "/v1/health/service/web",
        "/v1/health/service/none",
        "/v1/health/checks/web",
        "/v1/health/node/consul-1",
        "/v1/health/state/any",
        "/v1/catalog/service/web",
        "/v1/catalog/service/none",
        "/v1/catalog/services",
        "/v1/catalog/nodes",
        "/v1/catalog/node/consul-1",
    ];
    for (event, wakes) in [
        (
            r#"PUT /v1/agent/service/register | {"Name":"other"}"#,
            ".......W.W",
        ),
        ("PUT /v1/agent/check/fail/service:o1", "...WW....."),
        ("PUT /v1/agent/check/pass/service:w1?note=more", ".........."),
        ("PUT /v1/agent/check/warn/service:w1", "W.WWW....."),
        (WEB, "..WWW....."),
        (
            r#"PUT /v1/agent/service/register | {"Name":"web","ID":"w1","Tags":["t"]}"#,
            "W....W.W.W",
        ),
        (
            r#"PUT /v1/agent/service/register | {"Name":"web","ID":"w2"}"#,
            "W....W.W.W",
        ),
        ("PUT /v1/agent/service/deregister/w1", "WWWWWWWW.W"),
        ("PUT /v1/agent/check/fail/node", "W..WW....."),
    ] {
        let mut world = World::new();
        world.ask(WEB);
        world.ask(r#"PUT /v1/agent/service/register | {"Name":"o","ID":"o1","Check":{"TTL":"1h","Status":"passing"}}"#);
        world.ask(r#"PUT /v1/agent/check/register | {"Name":"node","TTL":"1h","Status":"passing"}"#);
        let mut watches: Vec<_> = reads.iter().map(|path| world.watch(NEAR, path)).collect();
        world.ask(event);
        let woken: String = watches
            .iter_mut()
            .map(|(index, watch)| match world.wakes(watch) {
                Some(now) => {
                    assert!(now > *index, "{event}");
                    'W'
                }
                None => '.',
            })
            .collect();
        assert_eq!(woken, wakes, "{event}");
    }
}

#[test]
fn a_blocking_query_answers_at_its_deadline_with_the_index_it_knew() {
    let mut world = World::new();
    world.ask(WEB);
    let (index, mut watch) = world.watch(NEAR, "/v1/catalog/service/web");
    // This moves the index of the service's instances without waking who watches them.
    world.ask("PUT /v1/agent/check/warn/service:w1");
    let deadline = watch.deadline();
    assert!((300.0..318.75).contains(&deadline.as_secs_f64()));
    world.now = deadline - Duration::from_nanos(1);
    assert_eq!(world.wakes(&mut watch), None);
    world.now = deadline;
    assert_eq!(world.wakes(&mut watch), Some(index));
    assert!(world.index(NEAR, "/v1/catalog/service/web") > index);
}

#[test]
fn an_index_from_the_future_waits_to_the_end_and_goes_back() {
    let mut world = World::new();
    world.ask("PUT /v1/kv/k | 1");
    let Reply::Blocked(mut watch) = world.send(NEAR, "GET /v1/kv/k?index=5000&wait=10s") else {
        panic!("did not block");
    };
    world.ask("PUT /v1/kv/k | 2");
    assert_eq!(world.wakes(&mut watch), None);
    world.at(11.0);
    let index = world.index(NEAR, "/v1/kv/k");
    assert_eq!(world.wakes(&mut watch), Some(index));
    assert!(index < 5000);
}

#[test]
fn waits_are_capped_and_default_to_five_minutes() {
    for (wait, at_least, below) in [
        ("", 300.0, 318.75),
        ("&wait=0s", 300.0, 318.75),
        ("&wait=-5s", 300.0, 318.75),
        ("&wait=16s", 16.0, 17.0),
        ("&wait=1h", 600.0, 637.5),
    ] {
        let mut world = World::new();
        let Reply::Blocked(watch) = world.send(NEAR, &format!("GET /v1/kv/k?index=1{wait}")) else {
            panic!("did not block");
        };
        let waits = watch.deadline().as_secs_f64();
        assert!((at_least..below).contains(&waits), "{wait}: {waits}");
    }
}

#[test]
fn a_check_not_updated_for_its_ttl_turns_critical() {
    let mut world = World::new();
    world.ask(WEB);
    world.at(9.0);
    world.ask("PUT /v1/agent/check/pass/service:w1?note=fine");
    world.at(18.999);
    assert_eq!(
        world
            .json("GET /v1/health/service/web?passing")
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    world.at(19.0);
    let check = &world.json("GET /v1/health/checks/web")[0];
    assert_eq!(check["Status"], "critical");
    assert_eq!(
        check["Output"],
        "TTL expired (last output before timeout follows): fine"
    );
    world.ask("PUT /v1/agent/check/pass/service:w1");
    assert_eq!(world.json("GET /v1/health/checks/web")[0]["Status"], "passing");
}

#[test]
fn output_alone_reaches_the_catalog_late() {
    let mut world = World::new();
    world.ask(r#"PUT /v1/agent/check/register | {"Name":"c","TTL":"1h","Status":"passing"}"#);
    world.ask("PUT /v1/agent/check/pass/c?note=fine");
    let output = |world: &mut World| world.json("GET /v1/health/node/consul-1")[0]["Output"].clone();
    assert_eq!(world.json("GET /v1/agent/checks")["c"]["Output"], "fine");
    world.at(149.0);
    assert_eq!(output(&mut world), "");
    world.at(450.0);
    assert_eq!(output(&mut world), "fine");
}

#[test]
fn a_service_critical_for_too_long_is_deregistered_at_the_next_look() {
    for (after, gone_at) in [("1s", 90.0), ("100s", 120.0)] {
        let mut world = World::new();
        world.ask(&format!(
            r#"PUT /v1/agent/service/register | {{"Name":"web","Check":{{"TTL":"10s","DeregisterCriticalServiceAfter":"{after}"}}}}"#
        ));
        // Critical for its TTL's sake at 10 s; after less than a minute nothing is dropped.
        world.at(gone_at - 30.0);
        assert_ne!(world.ask("GET /v1/agent/services").1, "{}", "{after}");
        world.at(gone_at);
        assert_eq!(world.ask("GET /v1/agent/services").1, "{}", "{after}");
        assert_eq!(world.ask("GET /v1/health/service/web").1, "[]", "{after}");
    }
}

#[test]
fn a_transaction_is_all_or_nothing() {
    let mut world = World::new();
    world.ask("PUT /v1/kv/kept | 1");
    let id = world.session("{}");
    world.events();
    let before = (
        world.ask("GET /v1/kv/?recurse"),
        world.index(NEAR, "/v1/kv/?recurse"),
    );
    let deadline = world.consul.next_deadline();
    let (status, body) = world.ask(&format!(
        r#"PUT /v1/txn | [{{"KV":{{"Verb":"set","Key":"a","Value":"MQ=="}}}},
            {{"KV":{{"Verb":"lock","Key":"b","Session":"{id}"}}}},
            {{"KV":{{"Verb":"delete-tree","Key":"kept"}}}},
            {{"KV":{{"Verb":"check-session","Key":"a","Session":"{id}"}}}}]"#
    ));
    assert_eq!(status, 409, "{body}");
    assert_eq!(
        before,
        (
            world.ask("GET /v1/kv/?recurse"),
            world.index(NEAR, "/v1/kv/?recurse")
        )
    );
    assert_eq!(world.consul.next_deadline(), deadline);
    assert_eq!(world.events(), []);
    // A lock that was rolled back is not held: the session's end leaves no delay.
    world.ask(&format!("PUT /v1/session/destroy/{id}"));
    let id = world.session("{}");
    assert_eq!(world.ask(&format!("PUT /v1/kv/b?acquire={id} | x")).1, "true");
}

#[test]
fn tombstones_are_forgotten_and_an_index_goes_back() {
    let mut world = World::new();
    world.ask("PUT /v1/kv/a/x | 1");
    world.ask("PUT /v1/kv/a/y | 1");
    let before = world.index(NEAR, "/v1/kv/a/?recurse");
    world.ask("DELETE /v1/kv/a/x");
    assert!(world.index(NEAR, "/v1/kv/a/?recurse") > before);
    world.at(15.0 * 60.0 + 31.0);
    assert_eq!(world.index(NEAR, "/v1/kv/a/?recurse"), before);
}

#[test]
fn a_lagging_reader_is_shown_the_catalog_of_its_delay_ago() {
    let mut world = World::new();
    world.ask(WEB);
    let statuses = |world: &mut World, reader| -> Value {
        let (_, body) = world.from(reader, "GET /v1/health/checks/web");
        let checks: Value = serde_json::from_str(&body).expect("JSON");
        checks[0]["Status"].clone()
    };
    world.at(1.0);
    world.ask("PUT /v1/agent/check/warn/service:w1");
    world.at(2.0);
    world
        .consul
        .set_catalog_lag(world.now, FAR, Some(Duration::from_secs(3)));
    // What it saw when the lag began it still sees, though it is less than three seconds old.
    assert_eq!(statuses(&mut world, FAR), "warning");
    let (index, mut watch) = world.watch(FAR, "/v1/health/service/web");
    world.at(4.0);
    world.ask("PUT /v1/agent/check/fail/service:w1");
    world.at(5.0);
    world.ask("PUT /v1/agent/check/pass/service:w1");
    assert_eq!(statuses(&mut world, NEAR), "passing");
    let due = |world: &World| world.consul.next_deadline().map(|at| at.as_secs());
    assert_eq!(due(&world), Some(7));
    world.at(6.999);
    assert_eq!(statuses(&mut world, FAR), "warning");
    assert_eq!(world.wakes(&mut watch), None);
    world.at(7.0);
    assert_eq!(statuses(&mut world, FAR), "critical");
    assert!(world.wakes(&mut watch).is_some_and(|now| now > index));
    assert_eq!(due(&world), Some(8));
    world.at(8.0);
    assert_eq!(statuses(&mut world, FAR), "passing");
    // Only the check's own TTL is left.
    assert_eq!(due(&world), Some(15));
}

#[test]
fn a_lag_touches_one_reader_and_nothing_but_the_catalog_and_ends_at_once() {
    let mut world = World::new();
    world.ask(WEB);
    world
        .consul
        .set_catalog_lag(world.now, FAR, Some(Duration::from_secs(100)));
    let (_, mut watch) = world.watch(FAR, "/v1/health/service/web");
    world.at(1.0);
    world.ask("PUT /v1/agent/service/deregister/w1");
    world.ask("PUT /v1/kv/k | x");
    let id = world.session("{}");
    assert_eq!(world.ask("GET /v1/health/service/web").1, "[]");
    for (path, lags) in [
        ("/v1/health/service/web".to_owned(), true),
        ("/v1/catalog/service/web".to_owned(), true),
        ("/v1/catalog/services".to_owned(), true),
        ("/v1/health/state/any".to_owned(), true),
        ("/v1/catalog/node/consul-1".to_owned(), true),
        ("/v1/kv/k".to_owned(), false),
        (format!("/v1/session/info/{id}"), false),
        ("/v1/agent/services".to_owned(), false),
    ] {
        let near = world.from(NEAR, &format!("GET {path}"));
        let far = world.from(FAR, &format!("GET {path}"));
        assert_eq!(near != far, lags, "{path}");
    }
    assert_eq!(world.wakes(&mut watch), None);
    let revision = world.consul.revision();
    world.consul.set_catalog_lag(world.now, FAR, None);
    assert!(world.consul.revision() > revision);
    assert!(world.wakes(&mut watch).is_some());
    assert_eq!(world.from(FAR, "GET /v1/health/service/web").1, "[]");
    // With nobody left to lag, nothing is kept and nothing is due.
    assert_eq!(world.consul.next_deadline(), None);
}

#[test]
fn the_same_seed_gives_the_same_ids_and_waits() {
    let draw = || {
        let mut world = World::new();
        let id = world.session("{}");
        let (_, watch) = world.watch(NEAR, "/v1/kv/k");
        (id, watch.deadline())
    };
    assert_eq!(draw(), draw());
    let id = draw().0;
    assert_eq!((id.len(), &id[14..15]), (36, "4"));
}
