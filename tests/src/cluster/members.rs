//! What an agent takes a server for that gossip tells tales of.

use super::findings::Findings;
use super::{AGENT, Cluster, SERVERS, name};

/// What `/v1/agent/members` says of a member.
const ALIVE: u64 = 1;
const LEAVING: u64 = 2;
const LEFT: u64 = 3;
const FAILED: u64 = 4;

/// A server is told to have left while it is cut off, and comes back: an agent that was new in between takes
/// it for leaving from then on, and asks it all the same.
///
/// # Panics
/// When the cluster does not take notice.
pub fn returns(cluster: &mut dyn Cluster, findings: &mut Findings) {
    let leader = cluster.leader();
    let [returning, other] = [(leader + 1) % SERVERS, (leader + 2) % SERVERS];
    cluster.kill(AGENT);
    cluster.isolate(returning);
    status(cluster, leader, returning, &[FAILED]);
    status(cluster, leader, AGENT, &[FAILED]);
    cluster.ask(leader, &format!("PUT /v1/agent/force-leave/{}", name(returning)));
    for server in [leader, other] {
        status(cluster, server, returning, &[LEFT]);
    }
    cluster.start(AGENT, false);
    for server in [leader, other] {
        status(cluster, AGENT, server, &[ALIVE]);
    }
    cluster.heal(returning);
    let seen = status(cluster, AGENT, returning, &[ALIVE, LEAVING]);
    findings.figure(
        "server told to have left is back, a new agent takes it for leaving (0 or 1)",
        f64::from(u8::from(seen == LEAVING)),
    );
    cluster.pass(3.0);
    for server in [leader, other] {
        cluster.kill(server);
    }
    for server in [leader, other] {
        status(cluster, AGENT, server, &[FAILED]);
    }
    let read = cluster.ask(AGENT, "GET /v1/kv/none?stale");
    findings.answers("server told to have left is back and alone, a stale read of a new agent", [&read]);
    for server in [leader, other] {
        cluster.start(server, false);
    }
    cluster.settle();
}

/// Lets time pass until `node` takes `member` for one of `wanted`, and gives which.
fn status(cluster: &mut dyn Cluster, node: usize, member: usize, wanted: &[u64]) -> u64 {
    let end = cluster.now() + 90.0;
    loop {
        let answer = cluster.ask(node, "GET /v1/agent/members");
        let members: Vec<serde_json::Value> = serde_json::from_str(&answer.body).unwrap_or_default();
        let known = members.iter().find(|known| known["Name"] == name(member).as_str());
        if let Some(status) = known.and_then(|known| known["Status"].as_u64())
            && wanted.contains(&status)
        {
            return status;
        }
        assert!(answer.at < end, "{} of {}: not {wanted:?} but {known:?}", name(node), name(member));
        cluster.pass(0.05);
    }
}
