//! The faults of a run, as data.
//!
//! A scenario lists faults with times that may be ranges; [`FaultPlan::draw`] settles every range with
//! the seed's `plan` stream, one draw per fault, keyed by the fault's place in the list. What is executed
//! is always the settled list, which reads and writes as TOML.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use http::StatusCode;
use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::consul::chaos::Trouble;
use crate::seed::Seed;

/// The faults of one run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultPlan {
    /// The faults, in the order they were written.
    #[serde(default, rename = "fault")]
    pub faults: Vec<Fault>,
}

impl FaultPlan {
    /// Settles every range with `seed` and sorts by time.
    #[must_use]
    pub fn draw(&self, seed: Seed) -> Self {
        let mut faults: Vec<_> = self
            .faults
            .iter()
            .enumerate()
            .map(|(index, fault)| {
                let mut stream = seed.stream("plan", &index.to_string());
                Fault { at: fault.at.draw(&mut stream), ..fault.clone() }
            })
            .collect();
        faults.sort_by_key(|fault| fault.at.from);
        Self { faults }
    }

    /// When the last fault that ends has ended; a fault that lasts for ever is a condition to live with
    /// and counts from its start, and what an operator does by hand counts not at all.
    pub fn quiet_at(&self) -> Duration {
        self.faults
            .iter()
            .filter(|fault| !matches!(fault.kind, FaultKind::Remove))
            .map(|fault| match fault.lasting {
                Lasting::For(length) => fault.at.to + length,
                Lasting::Moment | Lasting::Forever => fault.at.to,
            })
            .max()
            .unwrap_or_default()
    }
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Fault {
    /// When it begins, from the start of the run.
    pub at: Span,
    /// What it is.
    pub kind: FaultKind,
    /// What it happens to.
    pub target: Target,
    /// How long it lasts.
    pub lasting: Lasting,
}

/// A fault's kind and what the kind needs to know.
#[derive(Debug, Clone, PartialEq)]
pub enum FaultKind {
    /// `kill -9` of all processes: the kernel closes their sockets, the disk stays.
    Kill,
    /// The machine loses power: silence on every connection, the disk stays.
    PowerLoss,
    /// `SIGTERM` to the agent, as a scheduler stops a container.
    Stop,
    /// An operator removes the container by hand; the scheduler starts a new one.
    Remove,
    /// The machine stands still and goes on afterwards.
    Pause,
    /// Nothing passes between target and peer, either way.
    Cut {
        /// The other side.
        peer: Target,
    },
    /// Nothing passes from target to peer; the way back works.
    CutOneWay {
        /// The other side.
        peer: Target,
    },
    /// What passes between target and peer is held, then delivered at the end.
    Hold {
        /// The other side.
        peer: Target,
    },
    /// Everything between target and peer takes longer.
    Latency {
        /// The other side.
        peer: Target,
        /// By how much.
        delay: Duration,
    },
    /// Segments between target and peer are lost and sent again.
    Loss {
        /// The other side.
        peer: Target,
        /// The share that is lost, 0 to 1.
        rate: f64,
    },
    /// Catalog changes show to the target's HTTP queries only this much later.
    CatalogLag {
        /// How much later.
        delay: Duration,
    },
    /// A node of Consul is killed and comes back with an empty disk.
    LoseDisk,
    /// A node of Consul answers its clients otherwise than it should.
    Trouble(Trouble),
}

impl FaultKind {
    /// The kind's name in files and records.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::PowerLoss => "power-loss",
            Self::Stop => "stop",
            Self::Remove => "remove",
            Self::Pause => "pause",
            Self::Cut { .. } => "cut",
            Self::CutOneWay { .. } => "cut-one-way",
            Self::Hold { .. } => "hold",
            Self::Latency { .. } => "latency",
            Self::Loss { .. } => "loss",
            Self::CatalogLag { .. } => "catalog-lag",
            Self::LoseDisk => "lose-disk",
            Self::Trouble(trouble) => trouble.name(),
        }
    }

    /// Whether it is the end of a container, which the scheduler then replaces.
    pub fn ends_container(&self) -> bool {
        matches!(self, Self::Kill | Self::PowerLoss | Self::Stop | Self::Remove)
    }

    /// Whether only a node of Consul can have it.
    pub fn is_consuls_own(&self) -> bool {
        matches!(self, Self::LoseDisk | Self::Trouble(_))
    }

    /// The other side, where there is one.
    pub fn peer(&self) -> Option<&Target> {
        match self {
            Self::Cut { peer }
            | Self::CutOneWay { peer }
            | Self::Hold { peer }
            | Self::Latency { peer, .. }
            | Self::Loss { peer, .. } => Some(peer),
            Self::Kill
            | Self::PowerLoss
            | Self::Stop
            | Self::Remove
            | Self::Pause
            | Self::CatalogLag { .. }
            | Self::LoseDisk
            | Self::Trouble(_) => None,
        }
    }

    /// Every name, for messages.
    pub const NAMES: [&'static str; 17] = [
        "kill",
        "power-loss",
        "stop",
        "remove",
        "pause",
        "cut",
        "cut-one-way",
        "hold",
        "latency",
        "loss",
        "catalog-lag",
        "lose-disk",
        "errors",
        "leaderless",
        "refuse",
        "hang",
        "index-reset",
    ];
}

/// How long a fault lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lasting {
    /// It happens and is done.
    Moment,
    /// It ends after this long.
    For(Duration),
    /// It never ends.
    Forever,
}

/// What a fault happens to: a machine by name, or whoever has a role at that moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Target {
    /// The instance that holds the primary's lock.
    Leader,
    /// One instance that does not, drawn.
    Replica,
    /// All instances that do not.
    Replicas,
    /// All instances.
    Instances,
    /// All instances that no passing check speaks for.
    Unhealthy,
    /// Every node of Consul.
    Consul,
    /// The server that leads Consul's others.
    ConsulLeader,
    /// One server of Consul that does not, drawn.
    ConsulFollower,
    /// The object store.
    Store,
    /// All clients.
    Clients,
    /// A machine by name.
    Host(String),
}

impl Target {
    /// The words that are not machine names.
    pub const ROLES: [&'static str; 10] = [
        "leader",
        "replica",
        "replicas",
        "instances",
        "unhealthy",
        "consul",
        "consul-leader",
        "consul-follower",
        "store",
        "clients",
    ];

    /// Whether it is one or more nodes of Consul.
    pub fn is_consul(&self) -> bool {
        match self {
            Self::Consul | Self::ConsulLeader | Self::ConsulFollower => true,
            Self::Host(name) => name.starts_with("consul-") || name.starts_with("agent-"),
            _ => false,
        }
    }

    /// Whether it means instances of the cluster, which run in containers.
    fn is_instances(&self) -> bool {
        match self {
            Self::Leader | Self::Replica | Self::Replicas | Self::Instances | Self::Unhealthy => true,
            Self::Consul | Self::ConsulLeader | Self::ConsulFollower | Self::Store | Self::Clients => false,
            Self::Host(name) => name.starts_with("mysql-"),
        }
    }

    /// Whether it means one machine at most, and the same one for both sides of a fault.
    fn is_one_machine(&self) -> bool {
        matches!(
            self,
            Self::Leader | Self::Replica | Self::Consul | Self::ConsulLeader | Self::Store | Self::Host(_)
        )
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "leader" => Self::Leader,
            "replica" => Self::Replica,
            "replicas" => Self::Replicas,
            "instances" => Self::Instances,
            "unhealthy" => Self::Unhealthy,
            "consul" => Self::Consul,
            "consul-leader" => Self::ConsulLeader,
            "consul-follower" => Self::ConsulFollower,
            "store" => Self::Store,
            "clients" => Self::Clients,
            name if is_host_name(name) => Self::Host(name.to_owned()),
            other => {
                return Err(format!(
                    "`{other}` is no target: one of {}, or a machine like `mysql-1`",
                    Self::ROLES.join(", ")
                ));
            }
        })
    }
}

fn is_host_name(text: &str) -> bool {
    text.rsplit_once('-').is_some_and(|(stem, number)| {
        matches!(stem, "mysql" | "client" | "consul" | "agent")
            && number.parse::<u32>().is_ok_and(|number| number > 0)
    })
}

impl TryFrom<String> for Target {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Leader => "leader",
            Self::Replica => "replica",
            Self::Replicas => "replicas",
            Self::Instances => "instances",
            Self::Unhealthy => "unhealthy",
            Self::Consul => "consul",
            Self::ConsulLeader => "consul-leader",
            Self::ConsulFollower => "consul-follower",
            Self::Store => "store",
            Self::Clients => "clients",
            Self::Host(name) => name,
        })
    }
}

/// A time or length, or a range to draw one from: `"60s"`, `"60s..90s"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span {
    /// The least.
    pub from: Duration,
    /// The most.
    pub to: Duration,
}

impl Span {
    /// A settled span.
    pub const fn exactly(value: Duration) -> Self {
        Self { from: value, to: value }
    }

    /// A span from `from` to `to` milliseconds.
    pub const fn millis(from: u64, to: u64) -> Self {
        Self { from: Duration::from_millis(from), to: Duration::from_millis(to) }
    }

    /// One value out of the span, to the millisecond.
    pub fn sample(&self, stream: &mut impl rand::Rng) -> Duration {
        if self.from == self.to {
            return self.from;
        }
        let [from, to] =
            [self.from, self.to].map(|bound| u64::try_from(bound.as_millis()).unwrap_or(u64::MAX));
        Duration::from_millis(stream.random_range(from..=to))
    }

    fn draw(&self, stream: &mut impl rand::Rng) -> Self {
        Self::exactly(self.sample(stream))
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = |part: &str| {
            humantime::parse_duration(part.trim()).map_err(|error| {
                format!("`{text}` is neither a duration like \"60s\" nor a range like \"60s..90s\": {error}")
            })
        };
        let span = match text.split_once("..") {
            Some((from, to)) => Self { from: parse(from)?, to: parse(to)? },
            None => Self::exactly(parse(text)?),
        };
        if span.from > span.to {
            return Err(format!("the range `{text}` ends before it begins"));
        }
        Ok(span)
    }
}

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        let from = humantime::format_duration(span.from);
        if span.from == span.to {
            from.to_string()
        } else {
            format!("{from}..{}", humantime::format_duration(span.to))
        }
    }
}

/// A fault as it stands in a file: flat, with every field any kind may need.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    at: Span,
    kind: String,
    target: Target,
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    lasting: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    peer: Option<Target>,
    #[serde(default, with = "ironbird_agent::duration::option", skip_serializing_if = "Option::is_none")]
    delay: Option<Duration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rate: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
}

impl TryFrom<Written> for Fault {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let Written { at, kind: name, target, lasting, mut peer, mut delay, mut rate, mut status } = written;
        let need = |field: &str| format!("a `{name}` fault needs `{field}`");
        let kind = match name.as_str() {
            "kill" => FaultKind::Kill,
            "power-loss" => FaultKind::PowerLoss,
            "stop" => FaultKind::Stop,
            "remove" => FaultKind::Remove,
            "pause" => FaultKind::Pause,
            "cut" => FaultKind::Cut { peer: peer.take().ok_or_else(|| need("peer"))? },
            "cut-one-way" => FaultKind::CutOneWay { peer: peer.take().ok_or_else(|| need("peer"))? },
            "hold" => FaultKind::Hold { peer: peer.take().ok_or_else(|| need("peer"))? },
            "latency" => FaultKind::Latency {
                peer: peer.take().ok_or_else(|| need("peer"))?,
                delay: delay.take().ok_or_else(|| need("delay"))?,
            },
            "loss" => FaultKind::Loss {
                peer: peer.take().ok_or_else(|| need("peer"))?,
                rate: rate
                    .take()
                    .filter(|rate| (0.0..1.0).contains(rate))
                    .ok_or_else(|| format!("{}, from 0 to below 1", need("rate")))?,
            },
            "catalog-lag" => FaultKind::CatalogLag { delay: delay.take().ok_or_else(|| need("delay"))? },
            "lose-disk" => FaultKind::LoseDisk,
            "errors" => FaultKind::Trouble(Trouble::Errors {
                status: status
                    .take()
                    .and_then(|status| StatusCode::from_u16(status).ok())
                    .filter(|status| status.is_client_error() || status.is_server_error())
                    .ok_or_else(|| format!("{}, 400 to 599", need("status")))?,
                share: rate
                    .take()
                    .filter(|rate| (0.0..=1.0).contains(rate))
                    .ok_or_else(|| format!("{}, from 0 to 1", need("rate")))?,
            }),
            "leaderless" => FaultKind::Trouble(Trouble::Leaderless),
            "refuse" => FaultKind::Trouble(Trouble::Refuse),
            "hang" => FaultKind::Trouble(Trouble::Hang),
            "index-reset" => FaultKind::Trouble(Trouble::IndexReset),
            other => {
                return Err(format!("`{other}` is no kind of fault: one of {}", FaultKind::NAMES.join(", ")));
            }
        };
        let unused = [
            ("peer", peer.is_some()),
            ("delay", delay.is_some()),
            ("rate", rate.is_some()),
            ("status", status.is_some()),
        ];
        if let Some((field, _)) = unused.into_iter().find(|(_, there)| *there) {
            return Err(format!("a `{name}` fault takes no `{field}`"));
        }
        let of_consul = target.is_consul();
        // A scheduler replaces a container; a node of Consul comes back by itself.
        let momentary = match &kind {
            FaultKind::Trouble(Trouble::IndexReset) => true,
            FaultKind::Kill | FaultKind::PowerLoss | FaultKind::Stop => !of_consul,
            FaultKind::Remove => true,
            _ => false,
        };
        if kind.ends_container() && !target.is_instances() && (!of_consul || kind == FaultKind::Remove) {
            return Err(format!("a `{name}` fault needs an instance for its `target`, not `{target}`"));
        }
        if kind.is_consuls_own() && !of_consul {
            return Err(format!("a `{name}` fault needs a node of Consul for its `target`, not `{target}`"));
        }
        if matches!(kind, FaultKind::CatalogLag { .. }) && (of_consul || target == Target::Store) {
            return Err(format!("a `{name}` fault needs a `target` that asks Consul, not `{target}`"));
        }
        if kind.peer() == Some(&target) && target.is_one_machine() {
            return Err(format!("a `{name}` fault needs a `peer` that is not its own `target`"));
        }
        let lasting = match (lasting.as_deref(), momentary) {
            (None, true) => Lasting::Moment,
            (Some(_), true) => return Err(format!("a `{name}` fault happens at once and takes no `for`")),
            (None, false) => return Err(need("for")),
            (Some("ever"), false) if of_consul && (kind.ends_container() || kind == FaultKind::LoseDisk) => {
                return Err(format!("a `{name}` fault of Consul ends: `for` says when the node comes back"));
            }
            (Some("ever"), false) => Lasting::Forever,
            (Some(text), false) => Lasting::For(humantime::parse_duration(text).map_err(|error| {
                format!("`for` is neither \"ever\" nor a duration like \"30s\": {error}")
            })?),
        };
        Ok(Self { at, kind, target, lasting })
    }
}

impl From<Fault> for Written {
    fn from(fault: Fault) -> Self {
        let kind = fault.kind.name().to_owned();
        let mut status = None;
        let (peer, delay, rate) = match fault.kind {
            FaultKind::Trouble(Trouble::Errors { status: of, share }) => {
                status = Some(of.as_u16());
                (None, None, Some(share))
            }
            FaultKind::Kill
            | FaultKind::PowerLoss
            | FaultKind::Stop
            | FaultKind::Remove
            | FaultKind::Pause
            | FaultKind::LoseDisk
            | FaultKind::Trouble(_) => (None, None, None),
            FaultKind::Cut { peer } | FaultKind::CutOneWay { peer } | FaultKind::Hold { peer } => {
                (Some(peer), None, None)
            }
            FaultKind::Latency { peer, delay } => (Some(peer), Some(delay), None),
            FaultKind::Loss { peer, rate } => (Some(peer), None, Some(rate)),
            FaultKind::CatalogLag { delay } => (None, Some(delay), None),
        };
        let lasting = match fault.lasting {
            Lasting::Moment => None,
            Lasting::For(length) => Some(humantime::format_duration(length).to_string()),
            Lasting::Forever => Some("ever".to_owned()),
        };
        Self { at: fault.at, kind, target: fault.target, lasting, peer, delay, rate, status }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fault: &str) -> Result<Fault, String> {
        toml::from_str(&format!("at = \"10s\"\n{fault}")).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn only_instances_run_in_containers() {
        for kind in ["kill", "power-loss", "stop", "remove"] {
            for target in ["store", "clients", "client-1"] {
                let error = read(&format!("kind = \"{kind}\"\ntarget = \"{target}\"")).unwrap_err();
                assert_eq!(
                    error,
                    format!("a `{kind}` fault needs an instance for its `target`, not `{target}`")
                );
            }
            for target in ["leader", "replica", "replicas", "instances", "unhealthy", "mysql-2"] {
                read(&format!("kind = \"{kind}\"\ntarget = \"{target}\"")).unwrap();
            }
        }
    }

    #[test]
    fn a_node_of_consul_comes_back() {
        for target in ["consul", "consul-leader", "consul-follower", "consul-2", "agent-1"] {
            for kind in ["kill", "power-loss", "stop", "lose-disk"] {
                let fault = format!("kind = \"{kind}\"\ntarget = \"{target}\"");
                assert_eq!(read(&fault).unwrap_err(), format!("a `{kind}` fault needs `for`"));
                let fault = format!("{fault}\nfor = \"30s\"");
                assert_eq!(read(&fault).unwrap().lasting, Lasting::For(Duration::from_secs(30)));
                let ever = read(&fault.replace("30s", "ever")).unwrap_err();
                assert_eq!(
                    ever,
                    format!("a `{kind}` fault of Consul ends: `for` says when the node comes back")
                );
            }
        }
        assert_eq!(
            read("kind = \"lose-disk\"\ntarget = \"leader\"\nfor = \"1s\"").unwrap_err(),
            "a `lose-disk` fault needs a node of Consul for its `target`, not `leader`"
        );
    }

    #[test]
    fn what_is_written_reads_back() {
        for fault in [
            "kind = \"errors\"\ntarget = \"consul\"\nfor = \"1m\"\nrate = 0.5\nstatus = 429",
            "kind = \"index-reset\"\ntarget = \"consul-2\"",
            "kind = \"kill\"\ntarget = \"consul-leader\"\nfor = \"30s\"",
        ] {
            let fault = read(fault).unwrap();
            let text = toml::to_string(&fault).unwrap();
            assert_eq!(toml::from_str::<Fault>(&text).unwrap(), fault, "{text}");
        }
    }

    #[test]
    fn a_fault_that_could_do_nothing_is_refused() {
        for target in ["leader", "replica", "consul", "store", "mysql-1", "client-1"] {
            let own = format!("kind = \"cut\"\nfor = \"1s\"\ntarget = \"{target}\"\npeer = \"{target}\"");
            assert_eq!(read(&own).unwrap_err(), "a `cut` fault needs a `peer` that is not its own `target`");
        }
        read("kind = \"cut\"\nfor = \"1s\"\ntarget = \"instances\"\npeer = \"instances\"").unwrap();
        let lag = "kind = \"catalog-lag\"\nfor = \"1s\"\ndelay = \"1s\"\ntarget = \"consul\"";
        assert_eq!(
            read(lag).unwrap_err(),
            "a `catalog-lag` fault needs a `target` that asks Consul, not `consul`"
        );
    }

    #[test]
    fn a_condition_to_live_with_counts_from_its_start() {
        let cut = read("kind = \"cut\"\nfor = \"ever\"\ntarget = \"leader\"\npeer = \"consul\"").unwrap();
        assert_eq!(FaultPlan { faults: vec![cut] }.quiet_at(), Duration::from_secs(10));
    }
}
