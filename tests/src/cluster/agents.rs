//! What becomes of a client agent that is killed, leaves or is cut off.

use serde_json::json;

use super::findings::Findings;
use super::probe::{Probe, watch};
use super::{AGENT, Answer, Cluster};

const HEALTH: &str = "GET /v1/health/node/agent";
const CATALOG: &str = "GET /v1/catalog/service/web";

fn is_critical(answer: &Answer) -> bool {
    answer.body.contains("Agent not live or unreachable")
}

fn is_passing(answer: &Answer) -> bool {
    answer.body.contains("Agent alive and reachable")
}

/// The agent is killed and started again with its data, killed and started without, and leaves.
///
/// # Panics
/// When the cluster does not take notice.
pub fn lives(cluster: &mut dyn Cluster, findings: &mut Findings) {
    let leader = cluster.leader();
    cluster.ask(AGENT, "PUT /v1/agent/service/register | {\"Name\": \"web\"}");
    let session = cluster.session(AGENT, "{}");
    cluster.ask(AGENT, &format!("PUT /v1/kv/held?acquire={session}"));
    blink(cluster, findings, leader, &session);
    cluster.kill(AGENT);
    let killed = cluster.now();
    let critical = cluster.until(leader, HEALTH, 0.05, 60.0, is_critical);
    findings.figure("agent killed to serfHealth critical", critical - killed);
    let info = cluster.ask(leader, &format!("GET /v1/session/info/{session}"));
    findings.answers("agent killed, its session once serfHealth is critical", [&info]);
    let [lock, check] = ["/v1/kv/held", "/v1/health/node/agent"].map(|path| {
        let body = cluster.ask(leader, &format!("GET {path}")).body;
        let list: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        list[0]["ModifyIndex"].as_u64().expect("an index")
    });
    findings.figure("agent killed: raft indexes between check and lock", check.abs_diff(lock) as f64);
    let service = cluster.ask(leader, CATALOG);
    findings.figure(
        "agent killed, instances left in the catalog",
        service.body.matches("\"web\"").count() as f64 / 2.0,
    );
    cluster.start(AGENT, false);
    let started = cluster.now();
    let passing = cluster.until(leader, HEALTH, 0.05, 120.0, is_passing);
    findings.figure("agent started with its data to serfHealth passing", passing - started);
    cluster.pass(4.0);
    cluster.kill(AGENT);
    // Until it is known to be gone, nobody else may have its name.
    cluster.until(leader, HEALTH, 0.05, 60.0, is_critical);
    cluster.start(AGENT, true);
    let started = cluster.now();
    let gone = cluster.until(leader, CATALOG, 0.05, 200.0, |answer| answer.is("[]"));
    findings.figure("agent started without its data to its services purged", gone - started);
    cluster.until(AGENT, "GET /v1/status/leader", 0.2, 60.0, |answer| answer.body.len() > 2);
    cluster.settle();
    leave(cluster, findings, leader);
    cluster.start(AGENT, false);
    cluster.settle();
}

/// An agent that is back before gossip misses it was never gone.
fn blink(cluster: &mut dyn Cluster, findings: &mut Findings, leader: usize, session: &str) {
    cluster.kill(AGENT);
    cluster.start(AGENT, false);
    let mut probes = [Probe::new(leader, HEALTH)];
    watch(cluster, &mut probes, 12.0, |_| false);
    let critical = probes[0].answers.iter().any(is_critical);
    findings.figure(
        "agent killed and started at once, serfHealth critical (0 or 1)",
        f64::from(u8::from(critical)),
    );
    let info = cluster.ask(leader, &format!("GET /v1/session/info/{session}"));
    let alive = info.body.contains(session);
    findings
        .figure("agent killed and started at once, its session alive (0 or 1)", f64::from(u8::from(alive)));
    let service = cluster.ask(AGENT, "GET /v1/agent/services");
    let kept = service.body.contains("web");
    findings
        .figure("agent killed and started at once, its service restored (0 or 1)", f64::from(u8::from(kept)));
}

fn leave(cluster: &mut dyn Cluster, findings: &mut Findings, leader: usize) {
    let session = cluster.session(AGENT, "{}");
    cluster.leave(AGENT);
    let began = cluster.now();
    let gone = cluster
        .until(leader, "GET /v1/catalog/node/agent", 0.02, 60.0, |answer| answer.body.trim() == "null");
    findings.figure("agent told to leave to deregistered", gone - began);
    let info = cluster.ask(leader, &format!("GET /v1/session/info/{session}"));
    findings.answers("agent left, its session", [&info]);
    cluster.pass(8.0);
}

/// The agent loses its data and is back before it is missed: its name is kept for the node it was, and nothing it
/// is told gets into the catalog until somebody puts it in the place of that one.
///
/// # Panics
/// When the cluster does not take notice.
pub fn forgets(cluster: &mut dyn Cluster, findings: &mut Findings) {
    const REGISTER: &str = "PUT /v1/agent/service/register | {\"Name\": \"web\"}";
    let leader = cluster.leader();
    let kept = cluster.session(AGENT, "{\"NodeChecks\": []}");
    let checked = cluster.session(AGENT, "{}");
    let alive = |answer: &Answer| f64::from(u8::from(answer.body.contains("\"ID\"")));
    cluster.kill(AGENT);
    cluster.start(AGENT, true);
    cluster.until(AGENT, "GET /v1/status/leader", 0.2, 60.0, |answer| answer.body.len() > 2);
    let register = cluster.ask(AGENT, REGISTER);
    findings.answers("agent back without its data, not missed, a service's register", [&register]);
    cluster.pass(15.0);
    let catalog = cluster.ask(leader, CATALOG);
    findings.answers("agent back without its data, not missed, the service in the catalog", [&catalog]);
    let known = cluster.ask(leader, "GET /v1/catalog/node/agent").body;
    let known: serde_json::Value = serde_json::from_str(&known).expect("JSON");
    let index = known["Node"]["ModifyIndex"].as_u64().expect("an index");
    let own = cluster.ask(AGENT, "GET /v1/agent/self").body;
    let own: serde_json::Value = serde_json::from_str(&own).expect("JSON");
    let (id, address) = (&own["Config"]["NodeID"], &own["Member"]["Addr"]);
    let health = |status| {
        let check = json!({"Node": "agent", "CheckID": "serfHealth", "Name": "Serf Health Status",
            "Status": status, "Output": "Agent alive and reachable"});
        json!({"Check": {"Verb": "set", "Check": check}})
    };
    let node = json!({"ID": id, "Node": "agent", "Address": address, "ModifyIndex": index});
    let replace = json!({"Node": {"Verb": "cas", "Node": node}});
    // A healthy node's name is its own, though nobody is told.
    let refused = cluster.ask(AGENT, &format!("PUT /v1/txn | {}", json!([replace])));
    findings
        .answers("agent back without its data, not missed, put in its own place while healthy", [&refused]);
    let operations = json!([health("critical"), replace, health("passing")]);
    let replaced = cluster.ask(AGENT, &format!("PUT /v1/txn | {operations}"));
    assert_eq!(replaced.status, 200, "{replaced:?}");
    let synced = cluster.until(leader, CATALOG, 0.05, 60.0, |answer| answer.body.contains("\"web\""));
    findings.figure(
        "agent back without its data, put in its own place to its service in the catalog",
        synced - replaced.at,
    );
    let kept =
        [&kept, &checked].map(|session| cluster.ask(leader, &format!("GET /v1/session/info/{session}")));
    findings.figure("agent put in its own place, its session without checks alive (0 or 1)", alive(&kept[0]));
    findings
        .figure("agent put in its own place, its session with its health alive (0 or 1)", alive(&kept[1]));
    cluster.ask(AGENT, "PUT /v1/agent/service/deregister/web");
    cluster.settle();
}

/// The agent is cut off, told of a service, and joined with the others again.
///
/// # Panics
/// When the cluster does not take notice.
pub fn cut(cluster: &mut dyn Cluster, findings: &mut Findings) {
    let leader = cluster.leader();
    let session = cluster.session(AGENT, "{}");
    cluster.pass(1.0);
    cluster.isolate(AGENT);
    let isolated = cluster.now();
    let register = cluster.send(AGENT, "PUT /v1/agent/service/register | {\"Name\": \"web\"}");
    cluster.pass(0.3);
    let local = cluster.send(AGENT, "GET /v1/agent/services");
    let read = cluster.send(AGENT, "GET /v1/kv/none");
    let info = format!("GET /v1/session/info/{session}");
    let lost = cluster.until(leader, &info, 0.05, 60.0, |answer| answer.is("[]"));
    findings.figure("agent cut off to its session invalidated", lost - isolated);
    let [register, local, read] =
        [register, local, read].map(|token| cluster.wait(token, 90.0).expect("an answer"));
    findings.figure("agent cut off, how long a service's register hangs", register.took());
    findings.answers("agent cut off, a service's register", [&register]);
    findings.figure("agent cut off, how long agent/services hangs behind it", local.took());
    findings.figure("agent cut off, how long a read hangs", read.took());
    findings.answers("agent cut off, a read", [&read]);
    // By then gossip has told the agent that all servers are gone.
    cluster.pass((60.0 - (cluster.now() - isolated)).max(0.0));
    let later = [(); 3].map(|()| cluster.send(AGENT, "GET /v1/kv/none"));
    let later = later.map(|token| cluster.wait(token, 90.0).expect("an answer"));
    findings.answers("agent cut off, later reads", &later);
    for read in &later {
        findings.figure("agent cut off, how long later reads hang", read.took());
    }
    findings.answers("agent cut off, the service in the catalog", [&cluster.ask(leader, CATALOG)]);
    cluster.heal(AGENT);
    let healed = cluster.now();
    let mut probes = [Probe::new(leader, HEALTH), Probe::new(leader, CATALOG)];
    let over = watch(cluster, &mut probes, 200.0, |probes| {
        probes[0].answers.iter().any(is_passing)
            && probes[1].answers.iter().any(|answer| answer.body.contains("web"))
    });
    assert!(over, "the agent does not come back: {:?}", probes.each_ref().map(|probe| probe.answers.last()));
    let passing = probes[0].answers.iter().find(|answer| is_passing(answer)).expect("it is back").at;
    findings.figure("agent healed to serfHealth passing", passing - healed);
    let synced = probes[1].answers.iter().find(|answer| answer.body.contains("web")).expect("it is back").at;
    findings.figure("agent healed to its service in the catalog", synced - healed);
    cluster.ask(AGENT, "PUT /v1/agent/service/deregister/web");
    cluster.settle();
}
