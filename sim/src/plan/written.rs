//! A fault as it stands in a file, and whether what stands there can be.

use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::kind::Length;
use super::span::{Shift, Span};
use super::target::{Ground, Targets};
use super::{COMMANDS, Fault, FaultKind, Lasting};
use crate::consul::chaos::Trouble;

/// The longest name of a fault.
const ID_MAX: usize = 128;

/// A fault as it stands in a file: flat, with every field any kind may need.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    at: Span,
    kind: String,
    target: Targets,
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    lasting: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    peer: Option<Targets>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delay: Option<Span>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rate: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    step: Option<Shift>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    command: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wipe: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    instances: Option<usize>,
    #[serde(default, with = "ironbird_agent::duration::option", skip_serializing_if = "Option::is_none")]
    every: Option<Duration>,
}

impl Fault {
    /// The fields a fault can have, for messages.
    pub const FIELDS: [&'static str; 14] = [
        "id",
        "at",
        "kind",
        "target",
        "for",
        "peer",
        "delay",
        "rate",
        "status",
        "step",
        "command",
        "wipe",
        "instances",
        "every",
    ];
}

/// A field that some kinds have.
struct Field<'a>(&'a str);

impl Field<'_> {
    fn missing(&self, field: &str) -> String {
        format!("a `{}` fault needs `{field}`", self.0)
    }

    fn need<T>(&self, field: &str, value: &mut Option<T>) -> Result<T, String> {
        value.take().ok_or_else(|| self.missing(field))
    }

    fn rate(&self, value: &mut Option<f64>, fits: impl Fn(f64) -> bool, limits: &str) -> Result<f64, String> {
        value.take().filter(|rate| fits(*rate)).ok_or_else(|| format!("{}, {limits}", self.missing("rate")))
    }

    fn delay(&self, value: &mut Option<Span>) -> Result<Duration, String> {
        self.need("delay", value)?
            .settled()
            .ok_or_else(|| format!("`delay` of a `{}` fault is one duration, not a range", self.0))
    }

    fn command(&self, value: &mut Option<String>) -> Result<String, String> {
        let command = self.need("command", value)?;
        if COMMANDS.contains(&command.as_str()) {
            return Ok(command);
        }
        Err(format!("`command`: no instance has a program `{command}`, only {}", COMMANDS.join(", ")))
    }
}

impl Written {
    /// Takes out what the kind needs.
    fn kind(&mut self, field: &Field<'_>) -> Result<FaultKind, String> {
        let below_one = |rate| (0.0..1.0).contains(&rate);
        let up_to_one = |rate| (0.0..=1.0).contains(&rate);
        Ok(match field.0 {
            "kill" => FaultKind::Kill,
            "power-loss" => FaultKind::PowerLoss,
            "stop" => FaultKind::Stop,
            "remove" => FaultKind::Remove,
            "restart" => FaultKind::Restart { wipe: self.wipe.take().unwrap_or_default() },
            "replace" => FaultKind::Replace { wipe: self.wipe.take().unwrap_or_default() },
            "pause" => FaultKind::Pause,
            "clock-rate" => {
                let sane = |rate| (0.1..=10.0).contains(&rate);
                FaultKind::ClockRate { rate: field.rate(&mut self.rate, sane, "from 0.1 to 10")? }
            }
            "clock-step" => FaultKind::ClockStep { step: field.need("step", &mut self.step)? },
            "cut" => FaultKind::Cut { peer: field.need("peer", &mut self.peer)? },
            "cut-one-way" => FaultKind::CutOneWay { peer: field.need("peer", &mut self.peer)? },
            "swizzle" => FaultKind::Swizzle { peer: field.need("peer", &mut self.peer)? },
            "hold" => FaultKind::Hold { peer: field.need("peer", &mut self.peer)? },
            "latency" => FaultKind::Latency {
                peer: field.need("peer", &mut self.peer)?,
                delay: field.delay(&mut self.delay)?,
            },
            "jitter" => FaultKind::Jitter {
                peer: field.need("peer", &mut self.peer)?,
                delay: field.delay(&mut self.delay)?,
            },
            "loss" => FaultKind::Loss {
                peer: field.need("peer", &mut self.peer)?,
                rate: field.rate(&mut self.rate, below_one, "from 0 to below 1")?,
            },
            "duplicate" => FaultKind::Duplicate {
                peer: field.need("peer", &mut self.peer)?,
                rate: field.rate(&mut self.rate, up_to_one, "from 0 to 1")?,
            },
            "slow-command" => FaultKind::SlowCommand {
                command: field.command(&mut self.command)?,
                delay: field.delay(&mut self.delay)?,
            },
            "fail-command" => FaultKind::FailCommand { command: field.command(&mut self.command)? },
            "hang-command" => FaultKind::HangCommand { command: field.command(&mut self.command)? },
            "kill-command" => FaultKind::KillCommand { command: field.command(&mut self.command)? },
            "slow-disk" => FaultKind::SlowDisk { delay: field.delay(&mut self.delay)? },
            "full-disk" => FaultKind::FullDisk,
            "fail-disk" => FaultKind::FailDisk,
            "truncate-uploads" => FaultKind::TruncateUploads,
            "catalog-lag" => FaultKind::CatalogLag { delay: field.delay(&mut self.delay)? },
            "lose-disk" => FaultKind::LoseDisk,
            "stall-anti-entropy" => FaultKind::StallAntiEntropy,
            "maintenance" => FaultKind::Maintenance,
            "rebalance" => FaultKind::Rebalance,
            "errors" => FaultKind::Trouble(Trouble::Errors {
                status: self
                    .status
                    .take()
                    .and_then(|status| StatusCode::from_u16(status).ok())
                    .filter(|status| status.is_client_error() || status.is_server_error())
                    .ok_or_else(|| format!("{}, 400 to 599", field.missing("status")))?,
                share: field.rate(&mut self.rate, up_to_one, "from 0 to 1")?,
            }),
            "slow" => FaultKind::Trouble(Trouble::Slow { latency: field.need("delay", &mut self.delay)? }),
            "stale" => FaultKind::Trouble(Trouble::Stale { delay: field.delay(&mut self.delay)? }),
            "stale-reads" => FaultKind::Trouble(Trouble::StaleReads),
            "leaderless" => FaultKind::Trouble(Trouble::Leaderless),
            "spurious-wakes" => FaultKind::Trouble(Trouble::SpuriousWakes {
                share: field.rate(&mut self.rate, up_to_one, "from 0 to 1")?,
            }),
            "refuse" => FaultKind::Trouble(Trouble::Refuse),
            "hang" => FaultKind::Trouble(Trouble::Hang),
            "index-reset" => FaultKind::Trouble(Trouble::IndexReset),
            "scale" => FaultKind::Scale { instances: field.need("instances", &mut self.instances)? },
            "roll" => FaultKind::Roll { every: field.need("every", &mut self.every)? },
            "attrition" => FaultKind::Attrition,
            other => {
                return Err(format!("`{other}` is no kind of fault: one of {}", FaultKind::NAMES.join(", ")));
            }
        })
    }

    /// A field that is there although the kind has none such.
    fn unused(&self) -> Option<&'static str> {
        [
            ("peer", self.peer.is_some()),
            ("delay", self.delay.is_some()),
            ("rate", self.rate.is_some()),
            ("status", self.status.is_some()),
            ("step", self.step.is_some()),
            ("command", self.command.is_some()),
            ("wipe", self.wipe.is_some()),
            ("instances", self.instances.is_some()),
            ("every", self.every.is_some()),
        ]
        .into_iter()
        .find_map(|(field, there)| there.then_some(field))
    }
}

fn lasting(
    text: Option<&str>,
    length: Length,
    field: &Field<'_>,
    target: &Targets,
) -> Result<Lasting, String> {
    let name = field.0;
    match text {
        None if length.moment => Ok(Lasting::Moment),
        None => Err(field.missing("for")),
        Some(_) if !length.end => Err(format!("a `{name}` fault happens at once and takes no `for`")),
        Some("ever") if length.ever => Ok(Lasting::Forever),
        Some("ever") if target.are(Ground::Consul) => {
            Err(format!("a `{name}` fault of Consul ends: `for` says when the node comes back"))
        }
        Some("ever") => Err(format!("a `{name}` fault ends: `for` says when")),
        Some(text) => humantime::parse_duration(text)
            .map(Lasting::For)
            .map_err(|error| format!("`for` is neither \"ever\" nor a duration like \"30s\": {error}")),
    }
}

impl TryFrom<Written> for Fault {
    type Error = String;

    fn try_from(mut written: Written) -> Result<Self, String> {
        let name = std::mem::take(&mut written.kind);
        let field = Field(&name);
        let target = written.target.clone();
        let id = written.id.take();
        if id.as_ref().is_some_and(|id| {
            id.is_empty() || id.len() > ID_MAX || id.chars().any(|c| c.is_control() || !c.is_ascii())
        }) {
            return Err(format!("`id` is a name of 1 to {ID_MAX} plain characters"));
        }
        let kind = written.kind(&field)?;
        if let Some(field) = written.unused() {
            return Err(format!("a `{name}` fault takes no `{field}`"));
        }
        if let Some(why) = kind.misfit(&target) {
            return Err(why);
        }
        if let Some(peer) = kind.peer() {
            if peer.are_the_one_machine(&target) {
                return Err(format!("a `{name}` fault needs a `peer` that is not its own `target`"));
            }
            if matches!(kind, FaultKind::Duplicate { .. }) && !peer.are(Ground::Consul) {
                return Err(format!("a `{name}` fault needs a node of Consul for its `peer`, not `{peer}`"));
            }
        }
        let lasting = lasting(written.lasting.as_deref(), kind.length(&target), &field, &target)?;
        Ok(Self { id, at: written.at, kind, target, lasting })
    }
}

impl From<Fault> for Written {
    fn from(fault: Fault) -> Self {
        let mut written = Self {
            id: fault.id,
            at: fault.at,
            kind: fault.kind.name().to_owned(),
            target: fault.target,
            lasting: match fault.lasting {
                Lasting::Moment => None,
                Lasting::For(length) => Some(humantime::format_duration(length).to_string()),
                Lasting::Forever => Some("ever".to_owned()),
            },
            peer: fault.kind.peer().cloned(),
            command: fault.kind.command().map(str::to_owned),
            delay: fault.kind.delay().map(Span::exactly),
            rate: None,
            status: None,
            step: None,
            wipe: None,
            instances: None,
            every: None,
        };
        match fault.kind {
            FaultKind::Restart { wipe } | FaultKind::Replace { wipe } => written.wipe = wipe.then_some(true),
            FaultKind::ClockRate { rate }
            | FaultKind::Loss { rate, .. }
            | FaultKind::Duplicate { rate, .. } => {
                written.rate = Some(rate);
            }
            FaultKind::ClockStep { step } => written.step = Some(step),
            FaultKind::Trouble(Trouble::Errors { status, share }) => {
                written.status = Some(status.as_u16());
                written.rate = Some(share);
            }
            FaultKind::Trouble(Trouble::SpuriousWakes { share }) => written.rate = Some(share),
            FaultKind::Trouble(Trouble::Slow { latency }) => written.delay = Some(latency),
            FaultKind::Scale { instances } => written.instances = Some(instances),
            FaultKind::Roll { every } => written.every = Some(every),
            _ => {}
        }
        written
    }
}
