//! What becomes of a cluster whose leader is killed, paused or cut off.

use super::findings::Findings;
use super::probe::{Probe, watch};
use super::{AGENT, Cluster, SERVERS};

/// How long a cluster may take for anything here, in seconds.
const LIMIT: f64 = 120.0;

/// The leader and another server.
fn roles(cluster: &mut dyn Cluster) -> (usize, usize) {
    let leader = cluster.leader();
    (leader, (leader + 1) % SERVERS)
}

/// The leader is killed, and started again when another leads.
///
/// # Panics
/// When the cluster does not recover.
pub fn kill(cluster: &mut dyn Cluster, findings: &mut Findings, tag: &str) {
    let (leader, follower) = roles(cluster);
    cluster.ask(follower, "PUT /v1/kv/read | v");
    let session = cluster.session(follower, "{\"TTL\": \"600s\", \"Checks\": []}");
    cluster.pass(0.3);
    let before = cluster.ask(follower, "GET /v1/status/leader").body;
    cluster.kill(leader);
    let killed = cluster.now();
    // The others notice within a millisecond or so: what is sent before is lost, what is sent after refused.
    cluster.pass(0.0005);
    let mut probes = [
        Probe::new(follower, "PUT /v1/kv/write | v"),
        Probe::new(AGENT, "PUT /v1/kv/through-agent | v"),
        Probe::new(follower, "GET /v1/kv/read?raw"),
        Probe::new(AGENT, "GET /v1/kv/read?raw"),
        Probe::new(follower, format!("PUT /v1/session/renew/{session}")),
        Probe::new(follower, "GET /v1/kv/read?raw&stale"),
        Probe::new(follower, "GET /v1/status/leader"),
    ];
    let recovered = watch(cluster, &mut probes, LIMIT, |probes| {
        probes[..5].iter().all(|probe| probe.first_good().is_some())
            && probes[6].answers.iter().any(|answer| answer.body.len() > 2 && answer.body != before)
    });
    assert!(recovered, "nobody writes after {LIMIT} s: {probes:#?}");
    let [write, through_agent, read, read_agent, renew, stale, status] = &probes;
    for (what, probe) in [
        ("write through a follower", write),
        ("write through the agent", through_agent),
        ("default read through a follower", read),
        ("renew through a follower", renew),
    ] {
        let good = probe.first_good().expect("it recovered");
        findings.figure(format!("{tag}: leader killed to first {what}"), good.at - killed);
    }
    let elected = status.answers.iter().find(|answer| answer.body.len() > 2 && answer.body != before);
    let elected = elected.expect("it recovered").at;
    findings.figure(format!("{tag}: leader killed to another in status/leader"), elected - killed);
    for (what, probe) in [
        ("write through a follower", write),
        ("write through the agent", through_agent),
        ("default read through a follower", read),
        ("default read through the agent", read_agent),
        ("renew through a follower", renew),
        ("stale read of a follower", stale),
    ] {
        findings.answers(format!("{tag}: leader killed, {what}"), probe.bad());
    }
    findings.answers(format!("{tag}: leader killed, status/leader"), &status.answers);
    cluster.start(leader, false);
    cluster.settle();
}

/// The leader is paused until after another leads, and goes on.
///
/// # Panics
/// When the cluster does not recover.
pub fn pause(cluster: &mut dyn Cluster, findings: &mut Findings, tag: &str) {
    let (leader, follower) = roles(cluster);
    cluster.ask(follower, "PUT /v1/kv/value | old");
    cluster.pass(0.3);
    cluster.pause(leader);
    let paused = cluster.now();
    let mut probes = [Probe::new(follower, "PUT /v1/kv/value | new").with_patience(0.5)];
    let recovered = watch(cluster, &mut probes, LIMIT, |probes| probes[0].first_good().is_some());
    assert!(recovered, "nobody writes: {probes:?}");
    findings.figure(
        format!("{tag}: leader paused to first write of a client with patience"),
        probes[0].first_good().expect("it recovered").at - paused,
    );
    cluster.pass(1.0);
    // They wait where the paused one finds them when it wakes.
    let reads: Vec<_> = (0..10).map(|_| cluster.send(leader, "GET /v1/kv/value?raw")).collect();
    let status = cluster.send(leader, "GET /v1/status/leader");
    cluster.pass(0.2);
    cluster.resume(leader);
    let resumed = cluster.now();
    let mut probes = [
        Probe::new(leader, "GET /v1/kv/value?raw"),
        Probe::new(leader, "PUT /v1/kv/write | v"),
        Probe::new(follower, "PUT /v1/kv/write | v"),
    ];
    let recovered = watch(cluster, &mut probes, LIMIT, |probes| {
        probes[0].answers.iter().any(|answer| answer.is("new"))
            && probes[1].first_good().is_some()
            && probes[2].answers.last().is_some_and(|answer| answer.sent > resumed + 10.0)
    });
    assert!(recovered, "the old leader does not come back: {probes:?}");
    let first: Vec<_> =
        reads.into_iter().map(|token| cluster.wait(token, LIMIT).expect("an answer")).collect();
    findings.answers(format!("{tag}: leader resumed, its first default reads"), &first);
    let status = cluster.wait(status, LIMIT).expect("an answer");
    findings.answers(format!("{tag}: leader resumed, its first status/leader"), [&status]);
    let new = probes[0].answers.iter().find(|answer| answer.is("new")).expect("it recovered");
    findings.figure(format!("{tag}: leader resumed to its first true default read"), new.at - resumed);
    let write = probes[1].first_good().expect("it recovered");
    findings.figure(format!("{tag}: leader resumed to first write through it"), write.at - resumed);
    let longest = probes[2].answers.iter().map(super::Answer::took).fold(0.0, f64::max);
    findings.figure(format!("{tag}: leader resumed, longest write through a follower"), longest);
    cluster.settle();
}

/// The leader is cut off from the others, and joined with them again after another leads.
///
/// # Panics
/// When the cluster does not recover.
pub fn isolate(cluster: &mut dyn Cluster, findings: &mut Findings, tag: &str) {
    let (leader, follower) = roles(cluster);
    let session = cluster.session(leader, "{\"TTL\": \"600s\", \"Checks\": []}");
    cluster.ask(leader, "PUT /v1/kv/read | v");
    cluster.pass(0.3);
    cluster.isolate(leader);
    let cut = cluster.now();
    let mut probes = [
        Probe::new(leader, "GET /v1/kv/read?raw"),
        Probe::new(leader, format!("PUT /v1/session/renew/{session}")),
        Probe::new(leader, "GET /v1/status/leader"),
        Probe::new(leader, "PUT /v1/kv/lost | v"),
        Probe::new(leader, "GET /v1/kv/read?raw&consistent"),
        Probe::new(follower, "PUT /v1/kv/write | v").with_patience(0.5),
        Probe::new(follower, "PUT /v1/kv/write | v"),
    ];
    let over = watch(cluster, &mut probes, LIMIT, |probes| {
        probes[..2].iter().all(|probe| probe.bad().count() >= 1)
            && probes[3..5].iter().all(|probe| probe.bad().count() >= 1)
            && probes[5..].iter().all(|probe| probe.first_good().is_some())
    });
    assert!(over, "the cut changed nothing: {probes:#?}");
    let [read, renew, status, write, consistent, patient, pinned] = &probes;
    for (what, probe) in [("default reads", read), ("renews", renew)] {
        let last = probe.last_good().map_or(0.0, |answer| answer.at - cut);
        findings.figure(format!("{tag}: leader cut off, its last of the {what}"), last);
        let held = probe.first_bad().expect("it ended").took();
        findings.figure(format!("{tag}: leader cut off, how long {what} are held then"), held);
        findings.answers(format!("{tag}: leader cut off, {what}"), probe.bad());
    }
    let silent = status.answers.iter().find(|answer| answer.body.len() <= 2);
    let silent = silent.map_or(LIMIT, |answer| answer.at - cut);
    findings.figure(format!("{tag}: leader cut off to its status/leader empty"), silent);
    let first = [write, consistent].map(|probe| probe.first_bad().expect("it ended"));
    findings.figure(format!("{tag}: leader cut off, how long a write on it hangs"), first[0].took());
    findings.answers(format!("{tag}: leader cut off, first write on it"), [first[0]]);
    findings.answers(format!("{tag}: leader cut off, first consistent read on it"), [first[1]]);
    let moved = patient.first_good().expect("it recovered").at - cut;
    findings.figure(format!("{tag}: leader cut off to first write of a client with patience"), moved);
    let hung = pinned.answers.first().expect("it recovered").took();
    findings.figure(format!("{tag}: leader cut off, how long a write sent on to it hangs"), hung);
    findings.answers(format!("{tag}: leader cut off, a write sent on to it"), pinned.bad());
    heal(cluster, findings, tag, leader, follower);
}

/// A leader that was cut off has stood for election many times over; its return takes the new one down.
fn heal(cluster: &mut dyn Cluster, findings: &mut Findings, tag: &str, leader: usize, follower: usize) {
    let rest = cluster.now();
    let mut probes = [Probe::new(follower, "GET /v1/status/leader")];
    watch(cluster, &mut probes, 1.0, |_| false);
    assert!(cluster.now() > rest);
    cluster.heal(leader);
    let healed = cluster.now();
    let mut probes = [
        Probe::new(leader, "PUT /v1/kv/write | v"),
        Probe::new(follower, "GET /v1/status/leader"),
        Probe::new((leader + 2) % SERVERS, "GET /v1/status/leader"),
    ];
    let over = watch(cluster, &mut probes, LIMIT, |probes| {
        let since = |probe: &Probe| probe.answers.last().map_or(0.0, |answer| answer.at - healed);
        probes[0].first_good().is_some() && since(&probes[1]) > 45.0
    });
    assert!(over, "the one that was cut off does not come back: {probes:?}");
    let write = probes[0].first_good().expect("it recovered").at - healed;
    findings.figure(format!("{tag}: healed to first write through the one that was cut off"), write);
    findings.answers(format!("{tag}: healed, write through the one that was cut off"), probes[0].bad());
    let leaderless: Vec<f64> = probes[1]
        .answers
        .iter()
        .filter(|answer| answer.body.len() <= 2)
        .map(|answer| answer.at - healed)
        .collect();
    if let (Some(first), Some(last)) = (leaderless.first(), leaderless.last()) {
        findings.figure(format!("{tag}: healed to the second time without a leader"), *first);
        findings.figure(format!("{tag}: healed to the end of it"), *last);
    }
    findings.figure(
        format!("{tag}: healed, a second time without a leader (0 or 1)"),
        f64::from(u8::from(!leaderless.is_empty())),
    );
    cluster.settle();
}
