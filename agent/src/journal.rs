//! What the agent and its handlers tell about themselves: one [`Entry`] a fact, typed, so that a log
//! line in production and an event in a record are the same thing.

use serde::{Deserialize, Serialize};

/// How much a message matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// For whoever looks for the cause of something.
    Debug,
    /// The normal course of things.
    Info,
    /// Worth a look; the agent goes on.
    Warn,
    /// Something did not work.
    Error,
}

/// One fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "entry", rename_all = "kebab-case")]
pub enum Entry {
    /// A line of text from `source`.
    Log {
        /// How much it matters.
        level: Level,
        /// Who says it: `pilot`, `election`, a handler's name.
        source: String,
        /// The text.
        message: String,
    },
    /// A hook (`preStart`, `health`, `onChange`, ...) began.
    HookStarted {
        /// Which.
        hook: String,
    },
    /// A hook ended.
    HookFinished {
        /// Which.
        hook: String,
        /// Whether it succeeded.
        ok: bool,
        /// `exit code 1`, `killed after 5s`, ...
        outcome: String,
    },
    /// The main process started.
    MainStarted {
        /// What was started.
        command: String,
    },
    /// The main process ended.
    MainExited {
        /// How.
        outcome: String,
    },
    /// The service became known to Consul under `name`.
    Registered {
        /// The service's name.
        name: String,
        /// This instance's id.
        id: String,
    },
    /// The service was taken out of Consul.
    Deregistered {
        /// This instance's id.
        id: String,
    },
    /// The result of the health check changed.
    Health {
        /// The service's name.
        name: String,
        /// Whether it passes now.
        passing: bool,
    },
    /// A watched dependency's instances changed.
    Changed {
        /// The dependency.
        name: String,
        /// Its passing instances now.
        instances: Vec<String>,
    },
    /// This instance's role changed.
    Role {
        /// The role it had.
        from: String,
        /// The role it has now.
        to: String,
        /// The fencing term, 0 when none is known.
        term: u64,
        /// Why.
        why: String,
    },
}

impl Entry {
    /// A line of text.
    pub fn log(level: Level, source: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Log { level, source: source.into(), message: message.into() }
    }
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Log { level, source, message } => {
                let level = match level {
                    Level::Debug => "debug",
                    Level::Info => "info",
                    Level::Warn => "warn",
                    Level::Error => "error",
                };
                write!(f, "{source} {level}: {message}")
            }
            Self::HookStarted { hook } => write!(f, "{hook} started"),
            Self::HookFinished { hook, ok: true, .. } => write!(f, "{hook} succeeded"),
            Self::HookFinished { hook, ok: false, outcome } => write!(f, "{hook} failed: {outcome}"),
            Self::MainStarted { command } => write!(f, "main process started: {command}"),
            Self::MainExited { outcome } => write!(f, "main process ended: {outcome}"),
            Self::Registered { name, id } => write!(f, "registered in Consul as {name} ({id})"),
            Self::Deregistered { id } => write!(f, "deregistered {id} from Consul"),
            Self::Health { name, passing: true } => write!(f, "{name} is healthy"),
            Self::Health { name, passing: false } => write!(f, "{name} is not healthy"),
            Self::Changed { name, instances } if instances.is_empty() => {
                write!(f, "{name} changed: no passing instance")
            }
            Self::Changed { name, instances } => write!(f, "{name} changed: {}", instances.join(", ")),
            Self::Role { from, to, term, why } => write!(f, "role {from} -> {to} (term {term}): {why}"),
        }
    }
}
