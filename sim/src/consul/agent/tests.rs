//! The agent, without a network: what it would try, what it makes of it, and what the catalog is told.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use bytes::Bytes;
use http::Request;

use super::super::{Consul, ConsulConfig, ProbeResult, Reply, Target};
use super::check::Counts;
use super::events::UserEvent;
use super::sync::SyncOp;
use crate::consul::state::catalog::{CRITICAL, PASSING};
use crate::seed::Seed;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

fn consul() -> Consul {
    Consul::new(ConsulConfig::new("n", HERE), Seed(7).stream("consul", "n"))
}

fn ask(consul: &mut Consul, line: &str) -> (u16, String) {
    let (request, body) = line.split_once(" | ").unwrap_or((line, ""));
    let (method, path) = request.split_once(' ').expect("a method and a path");
    let body = Bytes::copy_from_slice(body.as_bytes());
    let request = Request::builder().method(method).uri(path).body(body).expect("a request");
    match consul.request(consul.now, HERE, &request) {
        Reply::Now(answer) => (answer.status().as_u16(), String::from_utf8_lossy(answer.body()).into_owned()),
        _ => panic!("{line} blocks"),
    }
}

fn put(consul: &mut Consul, line: &str) {
    assert_eq!(ask(consul, &format!("PUT /v1/agent/{line}")), (200, String::new()), "{line}");
}

/// Status and output, as the agent has them.
fn check(consul: &Consul, id: &str) -> (String, String) {
    let check = consul.agent.checks().find(|check| check.id == id).expect("a check");
    (check.status.clone(), check.output.clone())
}

/// Waits for the next probe, which is the only one.
fn next_probe(consul: &mut Consul) -> super::Probe {
    loop {
        let at = consul.next_deadline().expect("something to wait for");
        consul.advance(at);
        if let Some(probe) = consul.take_probes().pop() {
            return probe;
        }
    }
}

fn answer(status: u16) -> ProbeResult {
    ProbeResult::Response { status, reason: "Words".to_owned(), body: b"body".to_vec() }
}

#[test]
fn an_http_check_is_tried_every_interval_and_its_status_is_the_answers() {
    let mut consul = consul();
    put(&mut consul, r#"check/register | {"Name":"c","HTTP":"http://10.0.0.2/x","Interval":"10s"}"#);
    let mut last = None;
    for (status, expected) in [(204, "passing"), (429, "warning"), (404, "critical"), (302, "critical")] {
        let probe = next_probe(&mut consul);
        assert!(matches!(&probe.target, Target::Http(http) if http.url == "http://10.0.0.2/x"));
        match last.replace(consul.now) {
            None => assert!(consul.now < Duration::from_secs(10)),
            Some(last) => assert_eq!(consul.now - last, Duration::from_secs(10)),
        }
        consul.probed(consul.now, &probe.id, answer(status));
        let output = format!("HTTP GET http://10.0.0.2/x: {status} Words Output: body");
        assert_eq!(check(&consul, "c"), (expected.to_owned(), output));
    }
    assert_eq!(consul.state.catalogs.current().check("n", "c").expect("a check").status, "critical");
}

#[test]
fn a_tcp_check_passes_when_there_is_a_connection() {
    let mut consul = consul();
    put(&mut consul, r#"check/register | {"Name":"c","TCP":"10.0.0.2:1","Interval":"1s"}"#);
    let probe = next_probe(&mut consul);
    consul.probed(consul.now, &probe.id, ProbeResult::Connected);
    assert_eq!(check(&consul, "c"), ("passing".to_owned(), "TCP connect 10.0.0.2:1: Success".to_owned()));
    let probe = next_probe(&mut consul);
    consul.probed(consul.now, &probe.id, ProbeResult::Failed("no".to_owned()));
    assert_eq!(check(&consul, "c"), ("critical".to_owned(), "no".to_owned()));
}

#[test]
fn a_result_of_a_check_that_was_registered_anew_is_not_heard() {
    let mut consul = consul();
    let register = r#"check/register | {"Name":"c","TCP":"10.0.0.2:1","Interval":"1s"}"#;
    put(&mut consul, register);
    let old = next_probe(&mut consul);
    put(&mut consul, register);
    consul.probed(consul.now, &old.id, ProbeResult::Connected);
    assert_eq!(check(&consul, "c").0, "critical");
    let new = next_probe(&mut consul);
    put(&mut consul, "check/deregister/c");
    consul.probed(consul.now, &new.id, ProbeResult::Connected);
    assert_eq!(consul.agent.checks().count(), 0);
}

#[test]
fn a_result_counts_when_it_was_seen_often_enough_and_the_first_always() {
    let mut counts = Counts::new(2, 3);
    let followed: Vec<_> =
        [PASSING, CRITICAL, CRITICAL, CRITICAL, PASSING, PASSING].map(|status| counts.follow(status)).into();
    assert_eq!(followed, [true, false, false, true, false, true]);
}

#[test]
fn a_long_body_keeps_its_end_and_a_long_report_its_beginning() {
    let mut consul = consul();
    put(
        &mut consul,
        r#"check/register | {"Name":"h","HTTP":"http://10.0.0.2/","Interval":"1s","OutputMaxSize":2}"#,
    );
    let probe = next_probe(&mut consul);
    consul.probed(consul.now, &probe.id, answer(200));
    assert!(check(&consul, "h").1.ends_with("Output: dy"));
    put(&mut consul, r#"check/register | {"Name":"t","TTL":"10m","OutputMaxSize":2}"#);
    put(&mut consul, r#"check/update/t | {"Status":"passing","Output":"body"}"#);
    assert_eq!(check(&consul, "t").1, "bo ... (captured 2 of 4 bytes)");
}

#[test]
fn an_alias_follows_its_service_and_the_node() {
    let mut consul = consul();
    put(&mut consul, r#"service/register | {"Name":"s","Check":{"TTL":"1h","CheckID":"c","Name":"n"}}"#);
    put(&mut consul, r#"service/register | {"Name":"t","Check":{"AliasService":"s","CheckID":"a"}}"#);
    put(&mut consul, r#"service/register | {"Name":"u","Check":{"AliasService":"none","CheckID":"b"}}"#);
    let is = |consul: &Consul, id, status: &str, output: &str| {
        assert_eq!(check(consul, id), (status.to_owned(), output.to_owned()));
    };
    is(&consul, "a", "critical", "Aliased check \"n\" failing: ");
    is(&consul, "b", "critical", "Service none could not be found on node ");
    put(&mut consul, "check/pass/c");
    is(&consul, "a", "passing", "All checks passing.");
    put(&mut consul, "check/warn/c?note=x");
    is(&consul, "a", "warning", "Aliased check \"n\" failing: x");
    put(&mut consul, "check/deregister/c");
    is(&consul, "a", "passing", "No checks found.");
    // The node's checks are looked at every minute.
    put(&mut consul, r#"check/register | {"Name":"m","TTL":"1h"}"#);
    is(&consul, "a", "passing", "No checks found.");
    consul.advance(consul.now + Duration::from_secs(60));
    is(&consul, "a", "critical", "Aliased check \"m\" failing: ");
}

#[test]
fn two_services_that_mirror_one_another_come_to_rest() {
    let mut consul = consul();
    put(&mut consul, r#"service/register | {"Name":"s","Check":{"AliasService":"t"}}"#);
    put(&mut consul, r#"service/register | {"Name":"t","Check":{"AliasService":"s"}}"#);
    for _ in 0..500 {
        consul.advance(consul.now + Duration::from_secs(60));
    }
    assert!(check(&consul, "service:s").1.len() < 5000);
}

#[test]
fn maintenance_is_a_check_that_is_there_once() {
    let mut consul = consul();
    put(&mut consul, r#"service/register | {"Name":"s"}"#);
    put(&mut consul, "service/maintenance/s?enable=true&reason=first");
    put(&mut consul, "service/maintenance/s?enable=1&reason=second");
    put(&mut consul, "maintenance?enable=t");
    let notes: Vec<_> = consul.agent.checks().map(|check| check.notes.as_str()).collect();
    assert!(notes[0].starts_with("Maintenance mode is enabled for this node"), "{notes:?}");
    assert_eq!(notes[1..], ["first"]);
    assert_eq!(
        ask(&mut consul, "GET /v1/agent/health/service/id/s?format=text"),
        (503, "maintenance".into())
    );
    put(&mut consul, "maintenance?enable=false");
    put(&mut consul, "service/maintenance/s?enable=f");
    assert_eq!(ask(&mut consul, "GET /v1/agent/health/service/id/s?format=text"), (200, "passing".into()));
}

#[test]
fn what_was_changed_meanwhile_stays_out_of_sync() {
    let mut consul = consul();
    put(&mut consul, r#"service/register | {"Name":"s","Check":{"TTL":"1h","CheckID":"c"}}"#);
    assert!(consul.agent.unsynced().is_empty());
    consul.agent.full_sync([], []);
    let operations = consul.agent.unsynced();
    let [SyncOp::PutService { service, checks }] = &operations[..] else {
        panic!("{operations:?}");
    };
    assert_eq!((service.0.as_str(), checks.len()), ("s", 1));
    // Sent now, and changed before the answer comes.
    let local = consul.agent.checks.get_mut("c").expect("a check");
    local.version += 1;
    consul.agent.synced(&operations[0]);
    assert!(matches!(&consul.agent.unsynced()[..], [SyncOp::PutCheck((id, _))] if id == "c"));
}

#[test]
fn a_full_sync_drops_what_the_agent_does_not_know_and_marks_what_differs() {
    let mut consul = consul();
    put(&mut consul, r#"service/register | {"Name":"s","Tags":["x"],"Check":{"TTL":"1h","CheckID":"c"}}"#);
    put(&mut consul, r#"service/register | {"Name":"o","Tags":["x"],"EnableTagOverride":true}"#);
    let catalog = consul.state.catalogs.current().clone();
    let services: Vec<_> = catalog.services_on("n").map(|service| (**service).clone()).collect();
    let checks: Vec<_> = catalog.checks().map(|check| (**check).clone()).collect();
    // serfHealth and the server's own service are nobody's to drop.
    consul.agent.full_sync(&services, &checks);
    assert_eq!(consul.agent.unsynced(), []);
    let mut changed = services.clone();
    for service in &mut changed {
        service.tags = vec!["y".to_owned()];
    }
    let mut stranger = services.iter().find(|service| service.id == "s").expect("a service").clone();
    stranger.id = "stranger".to_owned();
    changed.push(stranger);
    let mut odd = checks.iter().find(|check| check.id == "c").expect("a check").clone();
    odd.id = "odd".to_owned();
    consul.agent.full_sync(&changed, checks.iter().chain([&odd]));
    let operations = consul.agent.unsynced();
    assert!(
        matches!(
            &operations[..],
            [SyncOp::DropService(gone), SyncOp::PutService { service, .. }, SyncOp::DropCheck(odd)]
                if gone == "stranger" && service.0 == "s" && odd == "odd"
        ),
        "{operations:?}"
    );
    // Whose tags may be overridden has taken them over.
    assert_eq!(consul.agent.service("o").expect("a service").tags, ["y"]);
    consul.push();
    assert_eq!(consul.agent.unsynced(), []);
}

fn event(name: &str, payload: usize, filters: [&str; 3]) -> UserEvent {
    let [node, service, tag] = filters.map(str::to_owned);
    UserEvent {
        id: "0".repeat(36),
        name: name.to_owned(),
        payload: vec![b'x'; payload],
        node_filter: node,
        service_filter: service,
        tag_filter: tag,
        time: 0,
    }
}

#[test]
fn an_event_has_room_for_what_a_real_one_has() {
    let consul = consul();
    let says = |name: &str, payload, node: &str| {
        let event = event(name, payload, [node, "", ""]);
        match event.validate(&consul.agent.events) {
            Ok(()) => "",
            Err(why) if why.contains("after") => "after",
            Err(_) => "before",
        }
    };
    // Measured on Consul 1.8.7.
    for (name, payload, node, expected) in [
        ("big", 410, "", ""),
        ("big", 411, "", "after"),
        ("big", 440, "", "after"),
        ("big", 441, "", "before"),
        ("b", 414, "", ""),
        ("b", 415, "", "after"),
        ("b", 407, "par", ""),
        ("b", 408, "par", "after"),
    ] {
        assert_eq!(says(name, payload, node), expected, "{name} {payload} {node}");
    }
}

#[test]
fn events_are_kept_if_they_are_meant_and_the_oldest_go_first() {
    let mut consul = consul();
    put(&mut consul, r#"service/register | {"Name":"web","Tags":["a"]}"#);
    for (name, filters) in [
        ("all", ["", "", ""]),
        ("elsewhere", ["^x$", "", ""]),
        ("here", ["^n$", "", ""]),
        ("service", ["", "we.", ""]),
        ("other", ["", "db", ""]),
        ("tag", ["", "web", "a"]),
        ("another", ["", "web", "b"]),
    ] {
        consul.event_fire(event(name, 0, filters));
    }
    let names = |consul: &Consul| -> Vec<_> { consul.agent.events.iter().map(|e| e.name.clone()).collect() };
    assert_eq!(names(&consul), ["all", "here", "service", "tag"]);
    assert_eq!(consul.agent.events.iter().map(|event| event.time).collect::<Vec<_>>(), [2, 4, 5, 7]);
    for _ in 0..253 {
        consul.event_fire(event("more", 0, [""; 3]));
    }
    assert_eq!(names(&consul)[..3], ["here", "service", "tag"].map(str::to_owned));
    assert_eq!(names(&consul).len(), 256);
}

#[test]
fn who_waits_for_events_waits_for_another_newest_one() {
    let mut consul = consul();
    let list = |index: u64| {
        let uri = format!("/v1/event/list?index={index}&wait=60s");
        Request::builder().uri(uri).body(Bytes::new()).expect("a request")
    };
    assert!(matches!(consul.request(consul.now, HERE, &list(5)), Reply::Now(_)));
    let Reply::Blocked(mut blocked) = consul.request(consul.now, HERE, &list(1)) else {
        panic!("there is nothing to say");
    };
    consul.event_fire(event("elsewhere", 0, ["^x$", "", ""]));
    assert!(consul.poll(consul.now, &mut blocked).is_none());
    assert_eq!(ask(&mut consul, "PUT /v1/event/fire/e | p").0, 200);
    let answer = consul.poll(consul.now, &mut blocked).expect("an answer");
    assert!(answer.headers().get("x-consul-knownleader").is_none());
    assert!(String::from_utf8_lossy(answer.body()).contains("\"Payload\":\"cA==\""));
}
