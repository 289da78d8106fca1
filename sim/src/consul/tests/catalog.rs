//! The catalog of several nodes: what wakes whom, what goes with a node, what is near.

use super::{FAR, NEAR, World};

const NODES: [&str; 3] = [
    r#"PUT /v1/catalog/register | {"Node":"a","Address":"10.0.1.1","NodeMeta":{"zone":"x"},"Service":{"ID":"w1","Service":"web","Tags":["t"]},"Checks":[{"Name":"n","Status":"passing"},{"Name":"c","ServiceID":"w1","Status":"passing"}]}"#,
    r#"PUT /v1/catalog/register | {"Node":"b","Address":"10.0.1.2","Service":{"ID":"w2","Service":"web"}}"#,
    r#"PUT /v1/catalog/register | {"Node":"c","Address":"10.0.1.3","Service":{"ID":"o","Service":"other"},"Check":{"Name":"n","Status":"warning"}}"#,
];

fn three_nodes() -> World {
    let mut world = World::new();
    for node in NODES {
        assert_eq!(world.ask(node).1, "true");
    }
    world
}

/// An event, and which of the reads below it wakes: what happens on one node is nothing to the others.
#[test]
fn nodes_wake_their_own_readers() {
    let reads = [
        "/v1/catalog/nodes",
        "/v1/catalog/nodes?node-meta=zone:x",
        "/v1/catalog/node/a",
        "/v1/catalog/node/b",
        "/v1/catalog/node/none",
        "/v1/catalog/service/web",
        "/v1/health/service/web",
        "/v1/health/service/web?tag=t",
        "/v1/health/checks/web",
        "/v1/health/node/a",
        "/v1/health/node/c",
        "/v1/health/state/warning",
    ];
    for (event, wakes) in [
        (r#"{"Node":"d","Address":"10.0.1.4"}"#, "W..........."),
        (r#"{"Node":"b","Address":"10.0.1.9"}"#, "W..W.WW....."),
        (r#"{"Node":"a","Address":"10.0.1.9","NodeMeta":{"zone":"x"}}"#, "WWW..WWW...."),
        (r#"{"Node":"a","Address":"10.0.1.1"}"#, "WWW..WWW...."),
        (r#"{"Node":"c","SkipNodeUpdate":true,"Check":{"Name":"n","Status":"critical"}}"#, "..........WW"),
        (r#"{"Node":"a","SkipNodeUpdate":true,"Check":{"Name":"n","Status":"critical"}}"#, "......WW.W.."),
        (r#"{"Node":"a","SkipNodeUpdate":true,"Check":{"Name":"c","ServiceID":"w1"}}"#, "......WWWW.."),
        (r#"{"Node":"a","SkipNodeUpdate":true,"Check":{"Name":"n","Status":"warning"}}"#, "......WW.W.W"),
        (
            r#"{"Node":"b","SkipNodeUpdate":true,"Service":{"ID":"w2","Service":"web","Port":1}}"#,
            "...W.WWW....",
        ),
        (r#"{"Node":"b","SkipNodeUpdate":true,"Service":{"ID":"w2","Service":"web"}}"#, "............"),
    ] {
        let mut world = three_nodes();
        let mut watches: Vec<_> = reads.iter().map(|path| world.watch(NEAR, path)).collect();
        assert_eq!(world.ask(&format!("PUT /v1/catalog/register | {event}")).1, "true");
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
fn the_last_instance_leaves_an_index_for_what_is_not_there() {
    let mut world = three_nodes();
    let (index, mut watch) = world.watch(NEAR, "/v1/health/service/web");
    world.ask(r#"PUT /v1/catalog/deregister | {"Node":"a","ServiceID":"w1"}"#);
    let after_one = world.wakes(&mut watch).expect("woken");
    assert!(after_one > index);
    let (_, mut watch) = world.watch(NEAR, "/v1/health/service/web");
    world.ask(r#"PUT /v1/catalog/deregister | {"Node":"b"}"#);
    let extinct = world.wakes(&mut watch).expect("woken");
    assert!(extinct > after_one);
    for path in ["/v1/health/service/never", "/v1/catalog/service/web"] {
        assert_eq!(world.index(NEAR, path), extinct, "{path}");
    }
}

#[test]
fn a_node_takes_its_sessions_with_it_at_one_index() {
    for behavior in ["release", "delete"] {
        let mut world = three_nodes();
        let id = world.session(&format!(
            r#"{{"Name":"s","Node":"a","NodeChecks":[],"LockDelay":"5s","Behavior":"{behavior}"}}"#
        ));
        let other = world.session(r#"{"Name":"o","Node":"b","NodeChecks":[]}"#);
        assert_eq!(world.ask(&format!("PUT /v1/kv/k?acquire={id} | x")).1, "true");
        world.events();
        world.at(1.0);
        assert_eq!(world.ask(r#"PUT /v1/catalog/deregister | {"Node":"A"}"#).1, "true");
        let index = world.index(NEAR, "/v1/catalog/nodes");
        assert_eq!(world.index(NEAR, "/v1/session/list"), index);
        assert_eq!(world.index(NEAR, "/v1/kv/k"), index);
        let told = world.events();
        for what in ["invalidated: node deregistered", "unlocked k until 6"] {
            assert!(told.contains(&(1.0, what.to_owned())), "{told:?}");
        }
        let left = world.json("GET /v1/session/list");
        assert_eq!((left.as_array().map(Vec::len), &left[0]["Name"]), (Some(1), &"o".into()));
        assert_eq!(world.ask(&format!("PUT /v1/kv/k?acquire={other} | x")).1, "false");
        world.at(6.0);
        assert_eq!(world.ask(&format!("PUT /v1/kv/k?acquire={other} | x")).1, "true");
        assert_eq!(world.ask("GET /v1/catalog/node/a").1, "null");
        assert_eq!(world.ask("GET /v1/health/node/a").1, "[]");
    }
}

#[test]
fn a_failed_registration_leaves_nothing_behind() {
    let mut world = three_nodes();
    let before = (world.index(NEAR, "/v1/catalog/nodes"), world.ask("GET /v1/health/state/any"));
    for body in [
        r#"{"Node":"d","Address":"1","Service":{"Service":"x"},"Check":{"Name":"c","ServiceID":"y"}}"#,
        r#"{"Node":"a","Address":"1","Check":{"Name":"n","Status":"critical"},"Checks":[{"Node":"b"}]}"#,
        r#"{"Node":"d","Address":"1","Service":{"Service":"x","Meta":{"a b":""}}}"#,
    ] {
        assert_eq!(world.ask(&format!("PUT /v1/catalog/register | {body}")).0, 500, "{body}");
    }
    let after = (world.index(NEAR, "/v1/catalog/nodes"), world.ask("GET /v1/health/state/any"));
    assert_eq!(after, before);
}

#[test]
fn near_comes_first_and_nowhere_last() {
    let mut world = three_nodes();
    let names = |world: &mut World, path: &str| -> Vec<String> {
        let found = world.json(&format!("GET {path}"));
        let names = found.as_array().into_iter().flatten();
        names.map(|item| item["Node"].as_str().unwrap_or_default().to_owned()).collect()
    };
    for (node, at) in [("c", 0.001), ("a", 0.005), ("consul-1", 0.0)] {
        let point = format!(r#"{{"Vec":[{at},0,0,0,0,0,0,0],"Error":1.5,"Height":0.00001}}"#);
        let body = format!(r#"{{"Node":"{node}","Coord":{point}}}"#);
        assert_eq!(world.ask(&format!("PUT /v1/coordinate/update | {body}")).0, 200);
    }
    assert_eq!(names(&mut world, "/v1/catalog/nodes"), ["a", "b", "c", "consul-1"]);
    assert_eq!(names(&mut world, "/v1/catalog/nodes?near=_agent"), ["consul-1", "c", "a", "b"]);
    assert_eq!(names(&mut world, "/v1/catalog/nodes?near=A"), ["a", "c", "consul-1", "b"]);
    assert_eq!(names(&mut world, "/v1/catalog/nodes?near=b"), ["a", "b", "c", "consul-1"]);
    assert_eq!(names(&mut world, "/v1/health/state/any?near=_agent"), ["consul-1", "c", "a", "a"]);
    assert_eq!(world.json("GET /v1/coordinate/node/A")[0]["Node"], "A");
    world.ask(r#"PUT /v1/catalog/deregister | {"Node":"c"}"#);
    assert_eq!(world.ask("GET /v1/coordinate/node/c").0, 404);
}

#[test]
fn a_lagging_reader_sees_nodes_late() {
    let mut world = three_nodes();
    world.consul.set_catalog_lag(world.now, FAR, Some(std::time::Duration::from_secs(10)));
    world.at(1.0);
    world.ask(r#"PUT /v1/catalog/deregister | {"Node":"a"}"#);
    for path in ["/v1/catalog/nodes", "/v1/catalog/node-services/a", "/v1/health/service/web"] {
        let request = format!("GET {path}");
        assert_ne!(world.from(FAR, &request), world.from(NEAR, &request), "{path}");
    }
    world.at(11.0);
    assert_eq!(world.from(FAR, "GET /v1/catalog/node/a").1, "null");
}
