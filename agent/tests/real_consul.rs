//! The agent and its Consul client against a real Consul server, with real processes.
//!
//! Without `consul` on the `PATH` the tests say so and pass; with `IRONBIRD_REQUIRE_CONSUL` set they fail.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stderr,
    reason = "these tests stand outside any simulation: real processes, a real clock, real waiting"
)]

mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use ironbird_agent::consul::{AgentNode, Behavior, Consul, SessionChecks, SessionSpec, Status, TxnOp};
use ironbird_agent::host::Host as _;
use ironbird_agent::linux::LinuxHost;

use self::support::{ConsulServer, Flight, until};

#[test]
fn a_service_lives_and_dies_with_its_main_process() {
    let Some(consul) = ConsulServer::start() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("healthy"), "").unwrap();
    let log = path("log");
    // The main process starts a child of its own, and takes a moment to stop.
    let main = format!(
        "trap 'sleep 0.2; echo main-stops >> {log}; exit 7' TERM; echo main-starts >> {log}; \
         sleep 1000 & echo $! > {}; while :; do sleep 0.05; done",
        path("child")
    );
    let config = format!(
        r#"
[consul]
address = "{}"
[main]
command = ["sh", "-c", "{main}"]
stop-timeout = "10s"
[service]
name = "web"
port = 8080
address = "127.0.0.1"
tags = ["blue"]
interval = "200ms"
ttl = "2s"
[hooks]
pre-start = {{ command = ["sh", "-c", "echo pre-start >> {log}"] }}
health = {{ command = ["test", "-e", "{}"], timeout = "5s" }}
pre-stop = {{ command = ["sh", "-c", "echo pre-stop >> {log}"] }}
post-stop = {{ command = ["sh", "-c", "echo post-stop >> {log}"] }}
[[watch]]
service = "web"
tag = "blue"
trigger = "level"
on-change = {{ command = ["sh", "-c", "echo \"$IRONBIRD_INSTANCES\" >> {}"] }}
"#,
        consul.address(),
        path("healthy"),
        path("changes"),
    );
    std::fs::write(path("pilot.toml"), config).unwrap();
    let mut flight = Flight::start(&path("pilot.toml"));

    let id = flight.service_id("web");
    let check = || consul.check(&format!("service:{id}"));
    let status = || check().map(|check| check["Status"].as_str().unwrap_or_default().to_owned());
    until("the service passes", || status().as_deref() == Some("passing"));
    let service = consul.get("/v1/agent/services")[&id].clone();
    assert_eq!((&service["Service"], &service["Port"]), (&"web".into(), &8080.into()));

    // More than twice its TTL, without one look that is not passing.
    let start = Instant::now();
    until("the service outlives its TTL", || {
        assert_eq!(status().as_deref(), Some("passing"));
        start.elapsed() > Duration::from_secs(5)
    });

    std::fs::remove_file(path("healthy")).unwrap();
    until("a failing check is critical", || status().as_deref() == Some("critical"));
    let output = check().unwrap()["Output"].to_string();
    assert!(output.contains("exit code 1"), "by report and not by TTL: {output}");
    std::fs::write(path("healthy"), "").unwrap();
    until("the service passes again", || status().as_deref() == Some("passing"));
    let read = |name: &str| std::fs::read_to_string(path(name)).unwrap_or_default();
    until("the watch has seen it come, go and come", || {
        let changes = read("changes");
        let changes: Vec<&str> = changes.lines().collect();
        matches!(changes[..], ["127.0.0.1:8080", "", "127.0.0.1:8080"])
            || matches!(changes[..], ["", "127.0.0.1:8080", "", "127.0.0.1:8080"])
    });

    flight.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(flight.exit_code(), Some(7));
    assert_eq!(
        read("log").lines().collect::<Vec<_>>(),
        ["pre-start", "main-starts", "pre-stop", "main-stops", "post-stop"]
    );
    assert!(consul.get("/v1/agent/services").as_object().unwrap().is_empty());
    let child = read("child");
    assert!(!child.trim().is_empty());
    until("the main process's child is gone", || {
        std::fs::read_to_string(format!("/proc/{}/stat", child.trim()))
            .map_or(true, |stat| stat.contains(") Z "))
    });
}

#[test]
fn a_consul_that_lost_its_memory_learns_of_the_service_again() {
    let Some(consul) = ConsulServer::start() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pilot.toml").display().to_string();
    let config = |name: &str| {
        format!(
            r#"
[consul]
address = "{}"
[main]
command = ["sleep", "1000"]
[service]
name = "{name}"
port = 1
interval = "100ms"
ttl = "5s"
"#,
            consul.address()
        )
    };
    std::fs::write(&file, config("web")).unwrap();
    let mut flight = Flight::start(&file);
    let (old, new) = (flight.service_id("web"), flight.service_id("shop"));
    let known = |id: &str| consul.get("/v1/agent/services").get(id).is_some();
    until("the service is registered", || known(&old));
    consul.put(&format!("/v1/agent/service/deregister/{old}"));
    until("the service is registered again", || known(&old));

    std::fs::write(&file, config("shop")).unwrap();
    flight.signal(nix::sys::signal::Signal::SIGHUP);
    until("the service has its new name", || known(&new));
    assert!(!known(&old), "the old name goes first");

    flight.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(flight.exit_code(), Some(143), "sleep(1) does not handle SIGTERM");
    assert!(!known(&new));
}

#[test]
fn the_client_says_and_understands_what_consul_does() {
    let Some(server) = ConsulServer::start() else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let host = LinuxHost::new(None).unwrap();
        let consul = Consul::new(host.clone(), server.address());
        let kv = consul.kv();
        let key = "a key/ü?#%";

        assert_eq!(kv.get(key).await.unwrap(), None);
        assert!(kv.cas(key, 0, "one").await.unwrap());
        assert!(!kv.cas(key, 0, "two").await.unwrap());
        let entry = kv.get(key).await.unwrap().unwrap();
        assert_eq!((entry.key.as_str(), entry.value.as_slice()), (key, &b"one"[..]));

        let mut spec = SessionSpec::new("test");
        spec.ttl = Some(Duration::from_secs(10));
        spec.lock_delay = Duration::ZERO;
        spec.behavior = Behavior::Delete;
        spec.checks = SessionChecks::None;
        let session = consul.session().create(&spec).await.unwrap();
        let other = consul.session().create(&SessionSpec::new("other")).await.unwrap();
        let info = consul.session().info(&session).await.unwrap().unwrap();
        assert_eq!((info.ttl.as_str(), info.node_checks.len()), ("10s", 0));
        let info = consul.session().info(&other).await.unwrap().unwrap();
        assert_eq!(info.node_checks, ["serfHealth"]);

        assert!(kv.acquire("lock", &session, "me").await.unwrap());
        assert!(kv.acquire("lock", &session, "me again").await.unwrap());
        assert!(!kv.acquire("lock", &other, "you").await.unwrap());
        let error = kv.acquire("lock", "11111111-2222-3333-4444-555555555555", "x").await;
        assert_eq!(error.unwrap_err().status(), Some(500));
        let held = kv.get("lock").await.unwrap().unwrap();
        assert_eq!((held.session.as_deref(), held.lock_index), (Some(session.as_str()), 1));

        // A write under the lock, in one transaction; and the same without the lock.
        let guarded = |session: &str| {
            [
                TxnOp::CheckSession { key: "lock".into(), session: session.into() },
                TxnOp::Set { key: "data".into(), value: b"v".to_vec() },
                TxnOp::Get { key: "data".into() },
            ]
        };
        let conflict = consul.txn(&guarded(&other)).await.unwrap().unwrap_err();
        assert_eq!(conflict.errors[0].op_index, 0);
        assert_eq!(kv.get("data").await.unwrap(), None);
        let done = consul.txn(&guarded(&session)).await.unwrap().unwrap();
        assert_eq!(done.last().unwrap().value, b"v");

        // A blocking read wakes when the session ends, and with it the key.
        let waiter = consul.clone();
        let waiting = tokio::task::spawn_local(async move {
            let minute = Duration::from_secs(60);
            waiter.kv().get_blocking("lock", held.modify_index, minute).await
        });
        assert!(consul.session().renew(&session).await.unwrap());
        consul.session().destroy(&session).await.unwrap();
        assert_eq!(waiting.await.unwrap().unwrap().value, None);
        assert!(!consul.session().renew(&session).await.unwrap());
        assert_eq!(consul.session().info(&session).await.unwrap(), None);
        assert!(!kv.release("lock", &session, "").await.unwrap());

        kv.put("p/a", "").await.unwrap();
        kv.put("p/b", "2").await.unwrap();
        let keys: Vec<String> = kv.list("p/").await.unwrap().into_iter().map(|entry| entry.key).collect();
        assert_eq!(keys, ["p/a", "p/b"]);
        kv.delete_prefix("p/").await.unwrap();
        assert!(kv.list("p/").await.unwrap().is_empty());
        kv.delete("never there").await.unwrap();

        let error = consul.agent().update_check("nobody", Status::Passing, "").await;
        assert_eq!(error.unwrap_err().status(), Some(500));
        consul.agent().deregister_service("nobody").await.unwrap();

        let agent = consul.agent().node().await.unwrap();
        let known = consul.catalog().node(&agent.name).await.unwrap().unwrap();
        assert_eq!((&known.id, &known.address), (&agent.id, &agent.address));
        assert_eq!(consul.catalog().node("never there").await.unwrap(), None);
        // Another with its name and address, as after the loss of its data: sessions without checks live on.
        let id = "11111111-2222-3333-4444-555555555555".to_owned();
        let another = AgentNode { id, ..agent };
        let kept = consul.session().create(&spec).await.unwrap();
        let stale = consul.catalog().replace_node(&another, known.modify_index + 1).await.unwrap();
        assert!(stale.unwrap_err().to_string().contains("index is stale"));
        consul.catalog().replace_node(&another, known.modify_index).await.unwrap().unwrap();
        assert_eq!(consul.catalog().node(&another.name).await.unwrap().unwrap().id, another.id);
        assert!(consul.session().info(&kept).await.unwrap().is_some());
        assert_eq!(consul.session().info(&other).await.unwrap(), None);
        assert!(host.address().is_ipv4() || host.address().is_ipv6());
    });
}

#[test]
fn process_one_reaps_what_others_leave_behind() {
    // A process number space of its own needs privileges that not every machine gives.
    let possible = Command::new("unshare")
        .args(["--pid", "--fork", "--mount-proc", "true"])
        .status()
        .is_ok_and(|status| status.success());
    if !possible {
        eprintln!("skipped: no right to unshare");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pilot.toml");
    // Makes five orphans, sees that they became children of process 1, and waits for them to be reaped.
    // Ends with 0 when they were, and not with the status of any of them.
    let main = "for i in 1 2 3 4 5; do (setsid sh -c 'sleep 0.3; exit 9' &); done; sleep 0.1; \
         grep -l '^PPid:.1$' /proc/[0-9]*/status | wc -l; \
         for i in $(seq 100); do sleep 0.1; \
         z=$(cat /proc/[0-9]*/status 2>/dev/null | grep -c '^State:.Z'); \
         o=$(cat /proc/[0-9]*/status 2>/dev/null | grep -c '^PPid:.1$'); \
         [ $z = 0 ] && [ $o = 1 ] && exit 0; done; exit 1";
    std::fs::write(&file, format!("[main]\ncommand = [\"sh\", \"-c\", \"\"\"{main}\"\"\"]\n")).unwrap();
    let output = Command::new("unshare")
        .args(["--pid", "--fork", "--mount-proc", env!("CARGO_BIN_EXE_ironbird-agent"), "--config"])
        .arg(&file)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    let children: u32 = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap();
    assert_eq!(children, 6, "the main process and five orphans");
}
