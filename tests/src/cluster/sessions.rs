//! What a failover does to sessions and lock-delays, and how far followers lag behind.

use super::findings::Findings;
use super::probe::{Probe, watch};
use super::{AGENT, Cluster, SERVERS};

/// A leader dies while a session's time and a lock-delay run.
///
/// # Panics
/// When the cluster does not recover.
pub fn timers(cluster: &mut dyn Cluster, findings: &mut Findings) {
    let leader = cluster.leader();
    let follower = (leader + 1) % SERVERS;
    let session = |ttl: &str| format!("{{\"TTL\": \"{ttl}\", \"Checks\": [], \"LockDelay\": \"20s\"}}");
    let dying = cluster.session(AGENT, &session("10s"));
    let created = cluster.now();
    let [holder, heir] = ["600s", "600s"].map(|ttl| cluster.session(AGENT, &session(ttl)));
    cluster.pass((7.0 - (cluster.now() - created)).max(0.0));
    assert!(cluster.ask(follower, &format!("PUT /v1/kv/{heir}?acquire={holder}")).is("true"), "a free lock");
    assert!(cluster.ask(follower, &format!("PUT /v1/session/destroy/{holder}")).is("true"), "a session");
    let destroyed = cluster.now();
    cluster.pass((8.0 - (cluster.now() - created)).max(0.0));
    let before = cluster.ask(follower, "GET /v1/status/leader").body;
    cluster.kill(leader);
    let mut probes = [
        Probe::new(follower, "GET /v1/status/leader"),
        Probe::new(follower, format!("GET /v1/session/info/{dying}?stale")),
        Probe::new(follower, format!("PUT /v1/kv/{heir}?acquire={heir}")),
    ];
    let over = watch(cluster, &mut probes, 90.0, |probes| {
        probes[1].answers.last().is_some_and(|answer| answer.is("[]"))
            && probes[2].answers.iter().any(|answer| answer.is("true"))
    });
    assert!(over, "a session or a lock-delay without end: {probes:?}");
    let [status, info, lock] = &probes;
    let elected = status.answers.iter().find(|answer| answer.body.len() > 2 && answer.body != before);
    let elected = elected.expect("a leader").at;
    let expired = info.answers.last().expect("an answer").at;
    findings.figure("10 s TTL, leader killed at 8 s: new leader to expiry", expired - elected);
    let acquired = lock.answers.iter().find(|answer| answer.is("true")).expect("acquired").at;
    findings.figure("20 s lock-delay, leader killed within: destroy to acquire", acquired - destroyed);
    findings
        .answers("lock-delay, acquires during it", lock.answers.iter().filter(|answer| answer.status == 200));
    cluster.start(leader, false);
    cluster.settle();
}

/// How long a follower does not know of a write that was acknowledged, in a cluster at rest.
///
/// # Panics
/// When a follower never hears of a write.
pub fn lag(cluster: &mut dyn Cluster, findings: &mut Findings, writes: usize) {
    let leader = cluster.leader();
    let mut missed = 0_u16;
    let mut asked = 0_u16;
    for number in 0..writes {
        let follower = (leader + 1 + number % 2) % SERVERS;
        // No two writes meet the same moment between two heartbeats.
        cluster.pass(0.2 + 0.037 * (number % 7) as f64);
        let value = format!("v{number}");
        let written = cluster.ask(leader, &format!("PUT /v1/kv/lag | {value}"));
        let mut first = true;
        loop {
            let read = cluster.ask(follower, "GET /v1/kv/lag?stale&raw");
            asked += u16::from(first);
            if read.is(&value) {
                findings.figure(
                    "idle: acknowledged write to its stale read on a follower",
                    read.sent - written.at,
                );
                break;
            }
            missed += u16::from(std::mem::take(&mut first));
            assert!(read.at < written.at + 10.0, "never: {read:?}");
            cluster.pass(0.001);
        }
    }
    findings.figure(
        "idle: share of stale reads right after a write that miss it",
        f64::from(missed) / f64::from(asked),
    );
}
