//! The cluster a run has: its size, its times, its network.

use std::time::Duration;

use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use super::Drawn;
use crate::plan::Span;
use crate::spec::Spec;

/// One-way latencies, by the name of where one has them.
const LATENCIES: [(&str, Span); 5] = [
    ("one rack", Span::millis(0, 1)),
    ("one site", Span::millis(1, 4)),
    ("one region", Span::millis(5, 30)),
    ("far apart", Span::millis(40, 120)),
    ("crowded", Span::millis(1, 300)),
];

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Draws every knob that a run has, and says what came out.
pub(super) fn draw(spec: &mut Spec, dice: &mut ChaCha8Rng, drawn: &mut Drawn) {
    let mut pick = |values: &[u64]| values.choose(dice).copied().unwrap_or_default();
    let cluster = &mut spec.cluster;
    cluster.instances = usize::try_from(pick(&[1, 2, 2, 3, 3, 3, 4, 5, 6, 7])).unwrap_or(3);
    cluster.start_interval = s(pick(&[0, 0, 5, 20, 60]));
    cluster.session_ttl = s(pick(&[10, 15, 20, 30, 60]));
    cluster.lock_delay = s(pick(&[0, 1, 5, 15, 30]));
    cluster.health_interval = s(pick(&[1, 2, 5, 10]));
    cluster.health_ttl = cluster.health_interval * u32::try_from(pick(&[3, 5])).unwrap_or(3);
    cluster.watch_interval = s(pick(&[1, 3, 10]));
    spec.consul.servers = usize::try_from(pick(&[1, 1, 3, 3, 5])).unwrap_or(1);
    spec.consul.agents = usize::try_from(pick(&[0, 0, 1, 3])).unwrap_or(0);
    spec.consul.raft_multiplier = u32::try_from(pick(&[1, 1, 5])).unwrap_or(1);
    let (regime, latency) = LATENCIES[usize::try_from(pick(&[0, 1, 1, 2, 3, 4])).unwrap_or(1)];
    spec.network.latency = latency;
    // A beat is some ten hops through agents and servers; one that cannot be in time is nobody's fault.
    cluster.health_interval = cluster.health_interval.max(latency.to * 10);
    cluster.health_ttl = cluster.health_ttl.max(cluster.health_interval * 3);
    spec.network.loss = [0.0, 0.001, 0.01][usize::try_from(pick(&[0, 0, 0, 1, 2])).unwrap_or(0)];
    spec.scheduler.replacement = Span { from: s(1), to: s(pick(&[2, 20, 60])) };
    spec.workload.clients = usize::try_from(pick(&[1, 2, 4])).unwrap_or(1);
    spec.workload.interval = Span::millis(200, pick(&[500, 2_000, 5_000]));

    let time = humantime::format_duration;
    drawn.note("instances", cluster.instances);
    drawn.note("start-interval", time(cluster.start_interval));
    drawn.note("session-ttl", time(cluster.session_ttl));
    drawn.note("lock-delay", time(cluster.lock_delay));
    drawn.note("health-interval", time(cluster.health_interval));
    drawn.note("health-ttl", time(cluster.health_ttl));
    drawn.note("watch-interval", time(cluster.watch_interval));
    drawn.note("consul servers", spec.consul.servers);
    drawn.note("consul agents", spec.consul.agents);
    drawn.note("raft-multiplier", spec.consul.raft_multiplier);
    drawn.note("latency", format!("{latency} ({regime})"));
    drawn.note("loss", spec.network.loss);
    drawn.note("replacement", spec.scheduler.replacement);
    drawn.note("clients", spec.workload.clients);
    drawn.note("write interval", spec.workload.interval);
}
