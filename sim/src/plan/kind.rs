//! The kinds of fault, and what each can happen to.
//!
//! A kind is declared in three places, and the compiler or a test finds whoever forgets one: here, in
//! `written` (its fields in a file), and in the world's director (what it does).

use std::fmt;
use std::time::Duration;

use super::span::Shift;
use super::target::{Ground, Targets};
use crate::consul::chaos::Trouble;

/// The programs a command fault can name: all that an instance's agent and its hooks start.
pub const COMMANDS: [&str; 5] = ["mysqld", "mysql", "mysql_install_db", "innobackupex", "triton-mysql"];

/// A fault's kind and what the kind needs to know.
#[derive(Debug, Clone, PartialEq)]
pub enum FaultKind {
    /// `kill -9` of all processes: the kernel closes their sockets, and what they had in memory is gone. The
    /// scheduler replaces a container by one on another machine; with an end, it is started again where it
    /// was, with its disk.
    Kill,
    /// The machine loses power: silence on every connection, and what was not synced is gone from the disk.
    /// What follows is as with a kill.
    PowerLoss,
    /// `SIGTERM` to the agent, as a scheduler stops a container.
    Stop,
    /// An operator removes the container by hand; the scheduler starts a new one.
    Remove,
    /// The container is stopped in order and started again where it was when the fault ends. What has not
    /// stopped by then is killed.
    Restart {
        /// Whether it loses its disk.
        wipe: bool,
    },
    /// The scheduler kills the container and puts the new one on the same machine: same name, same address.
    Replace {
        /// Whether the new one finds an empty disk.
        wipe: bool,
    },
    /// The machine stands still and goes on afterwards.
    Pause,
    /// All clocks of the machine run faster or slower, and so does whatever waits by them.
    ClockRate {
        /// How fast, 1 being right.
        rate: f64,
    },
    /// The machine's wall clock is set. The monotonic one, by which everything waits, is not touched.
    ClockStep {
        /// By how much.
        step: Shift,
    },
    /// Nothing passes between target and peer, either way.
    Cut {
        /// The other side.
        peer: Targets,
    },
    /// Nothing passes from target to peer; the way back works.
    CutOneWay {
        /// The other side.
        peer: Targets,
    },
    /// A drawn subset of the targets is cut off from the peers, one by one in the first half of the fault,
    /// and joined again in another order in the second.
    Swizzle {
        /// The other side.
        peer: Targets,
    },
    /// What passes between target and peer is held, then delivered at the end.
    Hold {
        /// The other side.
        peer: Targets,
    },
    /// Everything between target and peer takes longer.
    Latency {
        /// The other side.
        peer: Targets,
        /// By how much.
        delay: Duration,
    },
    /// Everything between target and peer takes longer, each time by another time.
    Jitter {
        /// The other side.
        peer: Targets,
        /// At most by how much.
        delay: Duration,
    },
    /// Segments between target and peer are lost and sent again.
    Loss {
        /// The other side.
        peer: Targets,
        /// The share that is lost, 0 to 1.
        rate: f64,
    },
    /// Datagrams between target and peer arrive twice. Only Consul's gossip goes in datagrams: a stream
    /// hides its duplicates.
    Duplicate {
        /// The other side.
        peer: Targets,
        /// The share of datagrams, 0 to 1.
        rate: f64,
    },
    /// Commands take longer to begin.
    SlowCommand {
        /// The program's name.
        command: String,
        /// By how much.
        delay: Duration,
    },
    /// Commands fail at once.
    FailCommand {
        /// The program's name.
        command: String,
    },
    /// Commands that are started hang until somebody kills them, also after the fault has ended.
    HangCommand {
        /// The program's name.
        command: String,
    },
    /// `kill -9` of the processes of one program.
    KillCommand {
        /// The program's name.
        command: String,
    },
    /// Every read and write of the disk takes longer.
    SlowDisk {
        /// By how much.
        delay: Duration,
    },
    /// The disk has no room left.
    FullDisk,
    /// Writes to the disk fail.
    FailDisk,
    /// The object store says it has taken an object, and has kept the first half of it.
    TruncateUploads,
    /// Catalog changes show to the target's HTTP queries only this much later.
    CatalogLag {
        /// How much later.
        delay: Duration,
    },
    /// A node of Consul is killed and comes back with an empty disk.
    LoseDisk,
    /// A node of Consul tells the catalog nothing of what its clients register and report.
    StallAntiEntropy,
    /// A check of a node of Consul itself is critical: none of the services on it passes. This one is that of
    /// maintenance; any other check of a node does the same.
    Maintenance,
    /// An agent of Consul that is no server turns to another server, as it does by itself every few minutes.
    Rebalance,
    /// A node of Consul, or the object store, answers its clients otherwise than it should.
    Trouble(Trouble),
    /// From now on the scheduler keeps so many instances. If that is fewer, the target goes first, then
    /// whoever is newest.
    Scale {
        /// How many.
        instances: usize,
    },
    /// A rolling upgrade: the target's containers are stopped and replaced one by one, oldest first, the
    /// next when the one before is replaced by one that passes its check.
    Roll {
        /// How long to wait for that at most.
        every: Duration,
    },
    /// An upgrade by attrition: each of the target's containers ends by itself at a time drawn from the
    /// fault's length.
    Attrition,
}

/// How long a kind of fault can last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Length {
    /// It may happen and be done.
    pub(super) moment: bool,
    /// It may have an end.
    pub(super) end: bool,
    /// It may never end.
    pub(super) ever: bool,
}

impl Length {
    const MOMENT: Self = Self { moment: true, end: false, ever: false };
    const MOMENT_OR_END: Self = Self { moment: true, end: true, ever: false };
    const ANY: Self = Self { moment: true, end: true, ever: true };
    /// Without an end, a machine would be gone.
    const END: Self = Self { moment: false, end: true, ever: false };
    const OPEN: Self = Self { moment: false, end: true, ever: true };
}

impl FaultKind {
    /// The kind's name in files and records.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::PowerLoss => "power-loss",
            Self::Stop => "stop",
            Self::Remove => "remove",
            Self::Restart { .. } => "restart",
            Self::Replace { .. } => "replace",
            Self::Pause => "pause",
            Self::ClockRate { .. } => "clock-rate",
            Self::ClockStep { .. } => "clock-step",
            Self::Cut { .. } => "cut",
            Self::CutOneWay { .. } => "cut-one-way",
            Self::Swizzle { .. } => "swizzle",
            Self::Hold { .. } => "hold",
            Self::Latency { .. } => "latency",
            Self::Jitter { .. } => "jitter",
            Self::Loss { .. } => "loss",
            Self::Duplicate { .. } => "duplicate",
            Self::SlowCommand { .. } => "slow-command",
            Self::FailCommand { .. } => "fail-command",
            Self::HangCommand { .. } => "hang-command",
            Self::KillCommand { .. } => "kill-command",
            Self::SlowDisk { .. } => "slow-disk",
            Self::FullDisk => "full-disk",
            Self::FailDisk => "fail-disk",
            Self::TruncateUploads => "truncate-uploads",
            Self::CatalogLag { .. } => "catalog-lag",
            Self::LoseDisk => "lose-disk",
            Self::StallAntiEntropy => "stall-anti-entropy",
            Self::Maintenance => "maintenance",
            Self::Rebalance => "rebalance",
            Self::Trouble(trouble) => trouble.name(),
            Self::Scale { .. } => "scale",
            Self::Roll { .. } => "roll",
            Self::Attrition => "attrition",
        }
    }

    /// Every name, for messages.
    pub const NAMES: [&'static str; 42] = [
        "kill",
        "power-loss",
        "stop",
        "remove",
        "restart",
        "replace",
        "pause",
        "clock-rate",
        "clock-step",
        "cut",
        "cut-one-way",
        "swizzle",
        "hold",
        "latency",
        "jitter",
        "loss",
        "duplicate",
        "slow-command",
        "fail-command",
        "hang-command",
        "kill-command",
        "slow-disk",
        "full-disk",
        "fail-disk",
        "truncate-uploads",
        "catalog-lag",
        "lose-disk",
        "stall-anti-entropy",
        "maintenance",
        "rebalance",
        "errors",
        "slow",
        "stale",
        "stale-reads",
        "leaderless",
        "spurious-wakes",
        "refuse",
        "hang",
        "index-reset",
        "scale",
        "roll",
        "attrition",
    ];

    /// Whether it ends a container it happens to, for good or for a while.
    pub fn ends_container(&self) -> bool {
        matches!(
            self,
            Self::Kill
                | Self::PowerLoss
                | Self::Stop
                | Self::Remove
                | Self::Restart { .. }
                | Self::Replace { .. }
                | Self::Roll { .. }
                | Self::Attrition
        )
    }

    /// Whether what it does to a container may be the end of that: a database that does not do as it is told, or
    /// whose disk fails, is ended, and its container with it.
    pub fn may_end_container(&self) -> bool {
        self.ends_container()
            || matches!(
                self,
                Self::FailCommand { .. }
                    | Self::SlowCommand { .. }
                    | Self::HangCommand { .. }
                    | Self::KillCommand { .. }
                    | Self::FullDisk
                    | Self::FailDisk
                    | Self::SlowDisk { .. }
            )
    }

    /// Whether it happens to containers: to a machine without one it does not happen at all.
    pub(crate) fn is_of_containers(&self) -> bool {
        self.ends_container() || matches!(self, Self::KillCommand { .. })
    }

    /// Whether it ends the machine it happens to, which comes back when the fault is over.
    pub(crate) fn takes_down(&self) -> bool {
        matches!(self, Self::Kill | Self::PowerLoss | Self::Stop | Self::LoseDisk)
    }

    /// The other side, where there is one.
    pub fn peer(&self) -> Option<&Targets> {
        match self {
            Self::Cut { peer }
            | Self::CutOneWay { peer }
            | Self::Swizzle { peer }
            | Self::Hold { peer }
            | Self::Latency { peer, .. }
            | Self::Jitter { peer, .. }
            | Self::Loss { peer, .. }
            | Self::Duplicate { peer, .. } => Some(peer),
            _ => None,
        }
    }

    /// The program it is about.
    pub fn command(&self) -> Option<&str> {
        match self {
            Self::SlowCommand { command, .. }
            | Self::FailCommand { command }
            | Self::HangCommand { command }
            | Self::KillCommand { command } => Some(command),
            _ => None,
        }
    }

    /// The time it adds, or lags by.
    pub fn delay(&self) -> Option<Duration> {
        match self {
            Self::Latency { delay, .. }
            | Self::Jitter { delay, .. }
            | Self::SlowCommand { delay, .. }
            | Self::SlowDisk { delay }
            | Self::CatalogLag { delay }
            | Self::Trouble(Trouble::Stale { delay }) => Some(*delay),
            Self::Trouble(Trouble::Slow { latency }) => Some(latency.to),
            _ => None,
        }
    }

    /// Why it cannot happen to `target`, if it cannot.
    pub(super) fn misfit(&self, target: &Targets) -> Option<String> {
        let are = |grounds: &[Ground]| grounds.iter().any(|ground| target.are(*ground));
        let wants = match self {
            Self::Kill | Self::PowerLoss
                if !are(&[Ground::Instance])
                    && target.iter().any(|one| matches!(one.ground(), Ground::Instance | Ground::Any)) =>
            {
                "either instances or other machines"
            }
            Self::Stop if !are(&[Ground::Instance, Ground::Consul]) => "an instance or a node of Consul",
            Self::Remove
            | Self::Restart { .. }
            | Self::Replace { .. }
            | Self::SlowCommand { .. }
            | Self::FailCommand { .. }
            | Self::HangCommand { .. }
            | Self::KillCommand { .. }
            | Self::SlowDisk { .. }
            | Self::FullDisk
            | Self::FailDisk
            | Self::Scale { .. }
            | Self::Roll { .. }
            | Self::Attrition
                if !are(&[Ground::Instance]) =>
            {
                "an instance"
            }
            Self::LoseDisk if !are(&[Ground::Consul, Ground::Store]) => "a node of Consul or the store",
            Self::Trouble(
                Trouble::Errors { .. }
                | Trouble::Slow { .. }
                | Trouble::Stale { .. }
                | Trouble::Refuse
                | Trouble::Hang,
            ) if !are(&[Ground::Consul, Ground::Store]) => "a node of Consul or the store",
            Self::StallAntiEntropy
            | Self::Maintenance
            | Self::Rebalance
            | Self::Trouble(
                Trouble::Leaderless
                | Trouble::SpuriousWakes { .. }
                | Trouble::IndexReset
                | Trouble::StaleReads,
            )
            | Self::Duplicate { .. }
                if !are(&[Ground::Consul]) =>
            {
                "a node of Consul"
            }
            Self::TruncateUploads if !are(&[Ground::Store]) => "the store",
            Self::CatalogLag { .. } if target.include(Ground::Consul) || target.include(Ground::Store) => {
                return Some(format!(
                    "a `{}` fault needs a `target` that asks Consul, not `{target}`",
                    self.name()
                ));
            }
            _ => return None,
        };
        Some(format!("a `{}` fault needs {wants} for its `target`, not `{target}`", self.name()))
    }

    /// How long it can last when it happens to `target`.
    pub(super) fn length(&self, target: &Targets) -> Length {
        match self {
            // A scheduler replaces a container; any other machine comes back by itself.
            Self::Kill | Self::PowerLoss if target.are(Ground::Instance) => Length::MOMENT_OR_END,
            Self::Stop if target.are(Ground::Instance) => Length::MOMENT,
            Self::Kill | Self::PowerLoss | Self::Stop | Self::LoseDisk => Length::END,
            Self::Remove
            | Self::Replace { .. }
            | Self::KillCommand { .. }
            | Self::Scale { .. }
            | Self::Roll { .. }
            | Self::Rebalance
            | Self::Trouble(Trouble::IndexReset) => Length::MOMENT,
            Self::Restart { .. } | Self::Swizzle { .. } | Self::Attrition => Length::END,
            Self::ClockStep { .. } => Length::ANY,
            _ => Length::OPEN,
        }
    }
}

/// What the kind needs to know, in words that follow the target's.
impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = humantime::format_duration;
        let percent = |rate: &f64| format!("{} %", (rate * 1e4).round() / 1e2);
        if let Some(peer) = self.peer() {
            write!(f, " - {peer}")?;
        }
        if let Some(command) = self.command() {
            write!(f, ", {command}")?;
        }
        match self {
            Self::Restart { wipe: true } | Self::Replace { wipe: true } => f.write_str(", disk wiped"),
            Self::ClockRate { rate } => write!(f, ", {rate} times as fast"),
            Self::ClockStep { step } => write!(f, ", {step}"),
            Self::Latency { delay, .. } => write!(f, ", {} more", time(*delay)),
            Self::Jitter { delay, .. } => write!(f, ", up to {} more", time(*delay)),
            Self::Loss { rate, .. } | Self::Duplicate { rate, .. } => write!(f, ", {}", percent(rate)),
            Self::SlowCommand { delay, .. } | Self::SlowDisk { delay } => {
                write!(f, ", {} more", time(*delay))
            }
            Self::CatalogLag { delay } | Self::Trouble(Trouble::Stale { delay }) => {
                write!(f, ", {} behind", time(*delay))
            }
            Self::Trouble(Trouble::Slow { latency }) => write!(f, ", {latency} more"),
            Self::Trouble(Trouble::SpuriousWakes { share }) => write!(f, ", {}", percent(share)),
            Self::Trouble(Trouble::Errors { status, share }) => {
                write!(f, ", {} {}", percent(share), status.as_u16())
            }
            Self::Scale { instances } => write!(f, " to {instances}"),
            Self::Roll { every } => write!(f, ", one every {} at most", time(*every)),
            _ => Ok(()),
        }
    }
}
