//! Readers that are shown an old catalog.

use std::time::Duration;

use serde_json::Value;

use super::{FAR, NEAR, WEB, World};

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
    world.consul.set_catalog_lag(world.now, FAR, Some(Duration::from_secs(3)));
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
    world.consul.set_catalog_lag(world.now, FAR, Some(Duration::from_secs(100)));
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
