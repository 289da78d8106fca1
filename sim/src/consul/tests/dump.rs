//! What a server holds survives being written down and read again.

use std::time::Duration;

use super::{NEAR, World};
use crate::consul::LoadError;

fn full() -> (World, String) {
    let mut world = World::new();
    let session = world.session(r#"{"TTL": "10s", "LockDelay": "30s"}"#);
    assert_eq!(world.ask(&format!("PUT /v1/kv/lock?acquire={session} | held")).1, "true");
    world.ask("PUT /v1/kv/bytes | \u{0}\u{1}");
    world.ask(
        r#"PUT /v1/agent/service/register | {"Name": "web", "Check": {"TTL": "20s", "Status": "passing"}}"#,
    );
    world.ask(
        r#"PUT /v1/catalog/register | {"Node": "far", "Address": "10.1.1.1", "Service": {"Service": "db"}}"#,
    );
    (world, session)
}

#[test]
fn a_loaded_server_answers_as_the_dumped_one() {
    let (mut before, _) = full();
    let dump = before.consul.dump().expect("JSON");
    let mut after = World::new();
    after.consul.load(Duration::ZERO, &dump).expect("its own dump");
    for path in [
        "kv/?recurse",
        "session/list",
        "catalog/nodes",
        "catalog/services",
        "health/service/web",
        "agent/services",
        "agent/checks",
        "catalog/node/far",
    ] {
        let line = format!("GET /v1/{path}");
        assert_eq!(after.ask(&line), before.ask(&line), "{path}");
        assert!(after.index(NEAR, &format!("/v1/{path}")) > 1 || path.starts_with("agent"), "{path}");
    }
    assert_eq!(after.consul.dump().expect("JSON"), dump, "and can be dumped again");
}

#[test]
fn a_loaded_session_has_all_of_its_time_again() {
    let (mut before, session) = full();
    before.at(15.0);
    let dump = before.consul.dump().expect("JSON");
    let mut after = World::new();
    after.consul.load(Duration::ZERO, &dump).expect("its own dump");
    after.at(19.9);
    assert_ne!(after.ask(&format!("GET /v1/session/info/{session}")).1, "[]");
    after.at(20.1);
    assert_eq!(after.ask(&format!("GET /v1/session/info/{session}")).1, "[]");
    assert_eq!(after.ask("PUT /v1/agent/check/pass/service:web").0, 200, "its agent knows its checks");
}

#[test]
fn what_is_no_dump_changes_nothing() {
    let (mut world, _) = full();
    let dump = String::from_utf8(world.consul.dump().expect("JSON")).expect("text");
    let before = world.ask("GET /v1/kv/?recurse");
    let mut refused = |text: &str| {
        let error = world.consul.load(Duration::ZERO, text.as_bytes()).expect_err("no dump");
        assert_eq!(world.ask("GET /v1/kv/?recurse"), before);
        error
    };
    assert!(matches!(refused(""), LoadError::Malformed(_)));
    assert!(matches!(refused(&dump[..dump.len() / 2]), LoadError::Malformed(_)));
    assert!(matches!(
        refused(&dump.replace("\"ironbird-consul\": 1", "\"ironbird-consul\": 9")),
        LoadError::Version(9)
    ));
    assert!(matches!(refused(&dump.replace("\"dc1\"", "\"dc2\"")), LoadError::Datacenter(..)));
    let greatest = dump.replacen("\"lock_index\": 1", "\"lock_index\": 18446744073709551615", 1);
    assert_ne!(greatest, dump);
    assert!(matches!(refused(&greatest), LoadError::Index(u64::MAX)));
}
