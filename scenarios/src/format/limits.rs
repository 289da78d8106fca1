//! What a sound value may be. Every limit is here, once.
//!
//! Some are Consul's own (a session's TTL is 10 s to 24 h, its lock-delay at most 60 s), some keep a run
//! finite (a client that writes every 0 s never lets the clock move), and some keep a mistyped file from
//! taking all memory.

use std::collections::BTreeSet;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use ironbird_agent::mysql::Takeover;
use ironbird_sim::plan::{Fault, FaultKind, Lasting, Span, Target};
use ironbird_sim::run::{machines, most_instances};
use ironbird_sim::spec::Spec;
use toml::de::{DeTable, DeValue};

use super::complaints::Complaints;

/// Bytes in a scenario file.
pub const MAX_FILE_BYTES: u64 = 1 << 20;
/// Faults of one variant.
pub const MAX_FAULTS: usize = 10_000;
/// Variants of one file.
pub const MAX_VARIANTS: usize = 64;
/// Seeds a file may ask for; the command line may ask for more.
pub const MAX_SEEDS: u64 = 1_000_000;

const MAX_TEXT: usize = 4_000;
const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Complains about values of `spec` beyond their limits; `tree` is what it was read from.
pub(super) fn check(spec: &Spec, tree: &DeTable<'_>, whole: Range<usize>, complaints: &mut Complaints<'_>) {
    let mut at = Checker { tree, whole, complaints };
    let cluster = &spec.cluster;
    at.number("cluster", "instances", cluster.instances, 1..=7);
    if let Some(hosts) = cluster.hosts {
        at.number("cluster", "hosts", hosts, 1..=7);
    }
    at.time("cluster", "start-interval", cluster.start_interval, Duration::ZERO..=HOUR);
    at.time("cluster", "session-ttl", cluster.session_ttl, 10 * SECOND..=DAY);
    at.time("cluster", "lock-delay", cluster.lock_delay, Duration::ZERO..=MINUTE);
    at.time("cluster", "health-interval", cluster.health_interval, 100 * MILLISECOND..=HOUR);
    at.time("cluster", "health-ttl", cluster.health_ttl, SECOND..=DAY);
    at.time("cluster", "watch-interval", cluster.watch_interval, 100 * MILLISECOND..=HOUR);
    at.time("cluster", "snapshot-deadline", cluster.snapshot_deadline, SECOND..=DAY);
    if let Some(Takeover::After(patience)) = cluster.takeover {
        at.time("cluster", "takeover", patience, Duration::ZERO..=DAY);
    }
    let consul = &spec.consul;
    at.number("consul", "servers", consul.servers, 1..=5);
    at.number("consul", "agents", consul.agents, 0..=5);
    at.number("consul", "raft-multiplier", consul.raft_multiplier as usize, 1..=10);
    at.time("consul", "rpc-hold", consul.rpc_hold, Duration::ZERO..=MINUTE);
    at.span("consul", "rpc-hang", consul.rpc_hang, SECOND..=HOUR);
    at.time("consul", "anti-entropy", consul.anti_entropy, SECOND..=DAY);
    at.time("consul", "anti-entropy-retry", consul.anti_entropy_retry, SECOND..=DAY);
    at.time("consul", "reconcile", consul.reconcile, SECOND..=DAY);
    at.time("consul", "autopilot", consul.autopilot, Duration::ZERO..=DAY);
    at.span("network", "latency", spec.network.latency, Duration::ZERO..=MINUTE);
    at.share("network", "loss", spec.network.loss);
    at.span("store", "latency", spec.store.latency, Duration::ZERO..=HOUR);
    for (field, span) in [
        ("startup", spec.mysql.startup),
        ("install", spec.mysql.install),
        ("backup", spec.mysql.backup),
        ("restore", spec.mysql.restore),
        ("apply", spec.mysql.apply),
        ("apply-lag", spec.mysql.apply_lag),
        ("recovery", spec.mysql.recovery),
    ] {
        at.span("mysql", field, span, Duration::ZERO..=HOUR);
    }
    at.number("mysql", "size", count(spec.mysql.size), 0..=1 << 20);
    at.number("mysql", "rate", count(spec.mysql.rate), 1..=1 << 20);
    at.number("mysql", "checkpoint", count(spec.mysql.checkpoint), 1..=100_000);
    at.number("mysql", "keep-binlog", count(spec.mysql.keep_binlog), 0..=1_000_000);
    at.span("scheduler", "replacement", spec.scheduler.replacement, Duration::ZERO..=HOUR);
    at.number("workload", "clients", spec.workload.clients, 0..=32);
    at.span("workload", "interval", spec.workload.interval, MILLISECOND..=HOUR);
    at.number("workload", "pool", spec.workload.pool, 1..=64);
    at.number("workload", "retries", spec.workload.retries, 0..=100);
    if !(0.0..=1.0).contains(&spec.workload.reads) {
        let place = at.place("workload", "reads");
        at.complaints.add(place, "`reads` must be a share from 0 to 1", None);
    }
    // Numbers beyond their limits are no numbers of machines.
    let plan = spec.plan();
    let fits = at.complaints.is_empty() && (1..=7).contains(&most_instances(spec, &plan));
    let machines = fits.then(|| machines(spec, &plan));
    let mut ids = BTreeSet::new();
    for (index, fault) in spec.faults.iter().enumerate() {
        at.fault(index, fault);
        if let Some(id) = &fault.id
            && !ids.insert(id)
        {
            let place = at.place_in_fault(index, "id");
            at.complaints.add(place, format!("another fault is called `{id}`"), None);
        }
        if let Some(machines) = &machines {
            at.names(index, fault, machines);
        }
    }
}

/// Complains about a text that is empty, too long, or would steer a terminal.
pub(super) fn text(what: &str, text: &str, span: Range<usize>, complaints: &mut Complaints<'_>) {
    if text.trim().is_empty() {
        complaints.add(span, format!("`{what}` is empty"), None);
    } else if text.len() > MAX_TEXT {
        complaints.add(span, format!("`{what}` is longer than {MAX_TEXT} bytes"), None);
    } else if text.chars().any(|c| c.is_control() && c != '\n') {
        complaints.add(span, format!("`{what}` contains control characters"), None);
    }
}

struct Checker<'a, 's, 'i> {
    tree: &'a DeTable<'i>,
    whole: Range<usize>,
    complaints: &'a mut Complaints<'s>,
}

impl Checker<'_, '_, '_> {
    fn number(&mut self, table: &str, field: &str, value: usize, limits: RangeInclusive<usize>) {
        if !limits.contains(&value) {
            let (least, most) = limits.into_inner();
            let span = self.place(table, field);
            self.complaints.add(span, format!("`{field}` must be {least} to {most}, not {value}"), None);
        }
    }

    fn time(&mut self, table: &str, field: &str, value: Duration, limits: RangeInclusive<Duration>) {
        self.span(table, field, Span::exactly(value), limits);
    }

    fn span(&mut self, table: &str, field: &str, value: Span, limits: RangeInclusive<Duration>) {
        if beyond(value, &limits) {
            let span = self.place(table, field);
            self.complaints.add(span, sentence(field, &limits), None);
        }
    }

    fn share(&mut self, table: &str, field: &str, value: f64) {
        // Written so that NaN is outside.
        if !(0.0..1.0).contains(&value) {
            let span = self.place(table, field);
            self.complaints.add(span, format!("`{field}` must be a share from 0 to below 1"), None);
        }
    }

    fn fault(&mut self, index: usize, fault: &Fault) {
        let lasting = match fault.lasting {
            Lasting::For(length) => Some(length),
            Lasting::Moment | Lasting::Forever => None,
        };
        let (mut step, mut every) = (None, None);
        match fault.kind {
            FaultKind::ClockStep { step: shift } => step = Some(shift.by),
            FaultKind::Roll { every: length } => every = Some(length),
            FaultKind::Scale { instances } if !(1..=7).contains(&instances) => {
                let place = self.place_in_fault(index, "instances");
                let message = format!("`instances` must be 1 to 7, not {instances}");
                self.complaints.add(place, message, None);
            }
            _ => {}
        }
        for (field, value, limits) in [
            ("at", Some(fault.at), Duration::ZERO..=DAY),
            ("for", lasting.map(Span::exactly), MILLISECOND..=DAY),
            ("delay", fault.kind.delay().map(Span::exactly), Duration::ZERO..=HOUR),
            ("step", step.map(Span::exactly), MILLISECOND..=DAY),
            ("every", every.map(Span::exactly), SECOND..=HOUR),
        ] {
            if value.is_some_and(|value| beyond(value, &limits)) {
                let place = self.place_in_fault(index, field);
                self.complaints.add(place, sentence(field, &limits), None);
            }
        }
    }

    /// Complains about machines that the world of this variant does not have.
    fn names(&mut self, index: usize, fault: &Fault, machines: &[String]) {
        for (field, targets) in [("target", Some(&fault.target)), ("peer", fault.kind.peer())] {
            for target in targets.into_iter().flatten() {
                if let Target::Host(name) = target
                    && !machines.contains(name)
                {
                    let place = self.place_in_fault(index, field);
                    self.complaints.unknown(place, "machine", name, machines.iter().map(String::as_str));
                }
            }
        }
    }

    fn place_in_fault(&self, index: usize, field: &str) -> Range<usize> {
        self.tree
            .get("fault")
            .and_then(|faults| faults.get_ref().as_array())
            .and_then(|faults| faults.get(index))
            .and_then(|fault| fault.get_ref().get(field))
            .map_or_else(|| self.whole.clone(), toml::Spanned::span)
    }

    fn place(&self, table: &str, field: &str) -> Range<usize> {
        self.tree
            .get(table)
            .and_then(|table| match table.get_ref() {
                DeValue::Table(table) => table.get(field),
                _ => None,
            })
            .map_or_else(|| self.whole.clone(), toml::Spanned::span)
    }
}

/// As a number of this machine; one that is too great for it is beyond every limit.
fn count(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

fn beyond(value: Span, limits: &RangeInclusive<Duration>) -> bool {
    !limits.contains(&value.from) || !limits.contains(&value.to)
}

fn sentence(field: &str, limits: &RangeInclusive<Duration>) -> String {
    let most = humantime::format_duration(*limits.end());
    if limits.start().is_zero() {
        format!("`{field}` must be at most {most}")
    } else {
        let least = humantime::format_duration(*limits.start());
        format!("`{field}` must be {least} to {most}")
    }
}
