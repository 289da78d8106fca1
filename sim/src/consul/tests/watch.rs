//! What wakes a blocking query, and what it answers then.

use std::time::Duration;

use super::{NEAR, Reply, WEB, World};

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
        (r#"PUT /v1/agent/service/register | {"Name":"other"}"#, ".......W.W"),
        ("PUT /v1/agent/check/fail/service:o1", "...WW....."),
        ("PUT /v1/agent/check/pass/service:w1?note=more", ".........."),
        ("PUT /v1/agent/check/warn/service:w1", "W.WWW....."),
        (WEB, "..WWW....."),
        (r#"PUT /v1/agent/service/register | {"Name":"web","ID":"w1","Tags":["t"]}"#, "W....W.W.W"),
        (r#"PUT /v1/agent/service/register | {"Name":"web","ID":"w2"}"#, "W....W.W.W"),
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

/// A session that is there is watched by itself, its index moves with all sessions: so whoever waits for it can
/// be woken for nothing.
#[test]
fn a_share_of_those_who_wait_is_woken_for_nothing() {
    for (share, least, most) in [(0.0, 0, 0), (0.3, 15, 45), (1.0, 100, 100)] {
        let mut world = World::new();
        world.consul.set_spurious_wakes(Some(share));
        world.ask("PUT /v1/session/create");
        let body = world.ask("GET /v1/session/list").1;
        let id = body.split('"').nth(3).expect("a session").to_owned();
        let mut woken = 0;
        for _ in 0..100 {
            let (index, mut watch) = world.watch(NEAR, &format!("/v1/session/info/{id}"));
            world.ask("PUT /v1/session/create");
            let now = world.wakes(&mut watch);
            assert!(now.is_none_or(|now| now > index));
            woken += u32::from(now.is_some());
        }
        assert!((least..=most).contains(&woken), "{share}: {woken} of 100");
    }
}
