//! The state machine, seen from outside: requests and time in, answers and events out.

mod catalog;
mod dump;
mod lag;
mod watch;

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
        Self { consul: Consul::new(config, Seed(7).stream("consul", "consul-1")), now: Duration::ZERO }
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
            _ => panic!("{line} blocks"),
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
            _ => panic!("{path} blocks"),
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
            other => panic!("{path} did not block: {other:?}"),
        }
    }

    fn wakes(&mut self, blocked: &mut Blocked) -> Option<u64> {
        self.consul.poll(self.now, blocked).map(|response| index_of(&response))
    }

    fn at(&mut self, seconds: f64) {
        self.now = Duration::from_secs_f64(seconds);
        self.consul.advance(self.now);
    }

    fn events(&mut self) -> Vec<(f64, String)> {
        let events = self.consul.drain_events().into_iter();
        events.map(|happened| (happened.at.as_secs_f64(), brief(&happened.event))).collect()
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
        ConsulEvent::Emptied { server } => format!("{server} begins empty"),
        ConsulEvent::LeaderEstablished { server } => format!("{server} leads"),
        ConsulEvent::LeaderDeposed { server } => format!("{server} leads no more"),
        ConsulEvent::SessionCreated { name, .. } => format!("created {name}"),
        ConsulEvent::SessionRenewed { .. } => "renewed".to_owned(),
        ConsulEvent::SessionInvalidated { why, .. } => format!("invalidated: {why}"),
        ConsulEvent::LockAcquired { key, value, .. } => format!("locked {key}={value}"),
        ConsulEvent::LockReleased { key, delay_until_us, .. } => {
            format!("unlocked {key} until {}", delay_until_us / 1_000_000)
        }
        ConsulEvent::LockRefused { key, why, .. } => format!("refused {key}: {why}"),
        ConsulEvent::ServiceRegistered { id, .. } => format!("service {id}"),
        ConsulEvent::ServiceDeregistered { id } => format!("no service {id}"),
        ConsulEvent::CheckStatus { check, status, .. } => format!("{check} {status}"),
        ConsulEvent::CheckRemoved { check, .. } => format!("no check {check}"),
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
        assert_eq!(world.consul.next_deadline(), Some(Duration::from_secs_f64(ends_at)));
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
            assert_eq!(world.ask(&format!("PUT /v1/kv/k?acquire={second} | x")).1, "false");
            world.at(2.0);
            assert_eq!(world.ask(&end.replace("{s}", &first)).0, 200);
            let case = format!("{end} with {lock_delay}, {behavior}");
            if delay > 0.0 {
                world.at(2.0 + delay - 0.001);
                assert_eq!(world.ask(&format!("PUT /v1/kv/k?acquire={second} | x")).1, "false", "{case}");
                // Only locking is delayed.
                assert_eq!(world.ask("PUT /v1/kv/k | plain").1, "true", "{case}");
            }
            world.at(2.0 + delay);
            assert_eq!(world.ask(&format!("PUT /v1/kv/k?acquire={second} | x")).1, "true", "{case}");
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

#[test]
fn a_check_not_updated_for_its_ttl_turns_critical() {
    let mut world = World::new();
    world.ask(WEB);
    world.at(9.0);
    world.ask("PUT /v1/agent/check/pass/service:w1?note=fine");
    world.at(18.999);
    assert_eq!(world.json("GET /v1/health/service/web?passing").as_array().map(Vec::len), Some(1));
    world.at(19.0);
    let check = &world.json("GET /v1/health/checks/web")[0];
    assert_eq!(check["Status"], "critical");
    assert_eq!(check["Output"], "TTL expired (last output before timeout follows): fine");
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
    let before = (world.ask("GET /v1/kv/?recurse"), world.index(NEAR, "/v1/kv/?recurse"));
    let deadline = world.consul.next_deadline();
    let (status, body) = world.ask(&format!(
        r#"PUT /v1/txn | [{{"KV":{{"Verb":"set","Key":"a","Value":"MQ=="}}}},
            {{"KV":{{"Verb":"lock","Key":"b","Session":"{id}"}}}},
            {{"KV":{{"Verb":"delete-tree","Key":"kept"}}}},
            {{"KV":{{"Verb":"check-session","Key":"a","Session":"{id}"}}}}]"#
    ));
    assert_eq!(status, 409, "{body}");
    assert_eq!(before, (world.ask("GET /v1/kv/?recurse"), world.index(NEAR, "/v1/kv/?recurse")));
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

#[test]
fn deletes_of_half_a_minute_are_forgotten_by_one_write() {
    let mut world = World::new();
    for key in 0..100 {
        world.ask(&format!("PUT /v1/kv/k{key} | v"));
        world.ask(&format!("DELETE /v1/kv/k{key}"));
    }
    let before = world.consul.state.index;
    world.at(15.0 * 60.0 + 31.0);
    assert_eq!(world.consul.state.index, before + 1);
}

#[test]
fn null_leaves_a_session_as_it_would_be_without_it() {
    let mut world = World::new();
    let id = world.session(r#"{"Name":null,"Node":null,"LockDelay":null,"Behavior":null,"TTL":null}"#);
    let session = &world.json(&format!("GET /v1/session/info/{id}"))[0];
    assert_eq!(session["Node"], "consul-1");
    assert_eq!(session["LockDelay"], 15_000_000_000_i64);
    assert_eq!(session["Behavior"], "release");
}

#[test]
fn acl_endpoints_say_that_acls_are_off() {
    let mut world = World::new();
    let off = "ACL support disabled";
    for (method, path, status, body) in [
        ("PUT", "bootstrap", 401, off),
        ("GET", "policies", 401, off),
        ("GET", "policies?index=x&consistent&stale&dc=other&token=none", 401, off),
        ("DELETE", "policy/x", 401, off),
        ("GET", "policy/", 401, off),
        ("PUT", "policy/name/x", 405, "method PUT not allowed"),
        ("POST", "login", 401, off),
        ("PUT", "login", 405, "method PUT not allowed"),
        ("GET", "destroy/x", 405, "method GET not allowed"),
        ("POST", "rules/translate", 401, off),
        ("GET", "rules/translate/x", 401, off),
        ("GET", "token/self", 401, off),
        ("PUT", "token/self/", 401, off),
        ("GET", "policies/", 404, ""),
        ("GET", "unknown", 404, ""),
    ] {
        assert_eq!(
            world.ask(&format!("{method} /v1/acl/{path}")),
            (status, body.to_owned()),
            "{method} {path}"
        );
    }
}

#[test]
fn what_one_token_asked_for_the_cache_does_not_have_for_another() {
    let mut world = World::new();
    for (token, served) in [("", "MISS"), ("", "HIT"), ("&token=other", "MISS"), ("&token=other", "HIT")] {
        let Reply::Now(response) = world.send(NEAR, &format!("GET /v1/health/service/web?cached{token}"))
        else {
            panic!("it blocks");
        };
        assert_eq!(response.headers()["x-cache"], served, "{token:?}");
    }
}
