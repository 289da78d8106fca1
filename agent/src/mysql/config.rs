//! What both handler sets need to know: one TOML file, next to the pilot's.
//!
//! ```toml
//! consul = "127.0.0.1:8500"
//! store = "10.0.0.9:80"             # an object store with plain HTTP PUT and GET
//! repl-user = "replicator"
//! repl-password = "secret"
//! app-user = "app"
//! app-password = "secret"
//! database = "app"
//! session-ttl = "60s"               # how long a dead primary is missed: up to twice this, and lock-delay
//! lock-delay = "15s"
//! health-ttl = "25s"
//! snapshot-deadline = "10m"
//! instance = "mysql-1"              # hardened only; what tells it from the others, if not the machine's name
//! copies = 2                        # hardened only; 1 where the cluster is one instance
//! takeover = "wait"                 # hardened only; or a duration; without it 2 x session-ttl + lock-delay
//! ```
//!
//! With the hardened handlers the pilot is `ironbird-agent --config pilot.toml --mysql mysql.toml`, and its
//! `[main]` starts `mysqld` read-only, with GTIDs, without starting replication, and with both sides of
//! semi-synchronous replication loaded: see [`pilot_config`](super::hardened::pilot_config) for one that
//! is flown in the simulation. The published ones are commands: `ironbird-agent published-mysql health`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::duration;
use crate::pilot::checked_instance;

/// The handlers' configuration, a TOML file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Consul's HTTP address.
    pub consul: SocketAddr,
    /// The object store's HTTP address.
    pub store: SocketAddr,
    /// The user replicas and backups log in as.
    pub repl_user: String,
    /// Its password.
    pub repl_password: String,
    /// The user applications log in as.
    pub app_user: String,
    /// Its password.
    pub app_password: String,
    /// The database to create.
    pub database: String,
    /// TTL of the session that holds the primary's lock.
    #[serde(with = "duration")]
    pub session_ttl: Duration,
    /// Lock-delay of that session.
    #[serde(with = "duration")]
    pub lock_delay: Duration,
    /// TTL of the service's check, which the published handlers also use as a connection deadline.
    #[serde(with = "duration")]
    pub health_ttl: Duration,
    /// How long an empty replica waits for a snapshot it can use before it gives its place to another.
    #[serde(with = "duration")]
    pub snapshot_deadline: Duration,
    /// What this instance calls itself, the same as in the pilot's `[service]`; the machine's name if nothing
    /// is said. The hardened handlers'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// On how many instances a write is before it is acknowledged, 1 or 2. With 2, which is what is meant
    /// unless something is said, a primary without a replica acknowledges nothing. The hardened handlers'.
    #[serde(default = "two")]
    pub copies: usize,
    /// What happens when too few are heard in an election to know what was acknowledged; twice the
    /// session's TTL and the lock-delay unless something is said. The hardened handlers'.
    #[serde(default)]
    pub takeover: Option<Takeover>,
}

fn two() -> usize {
    2
}

/// How long an election waits for instances that may hold what nobody else does.
///
/// They may be dead, and then waiting is in vain; or alive and cut off, and then taking over without them
/// loses what was acknowledged and is only on their disks. Nobody can tell which it is. It takes two
/// silent instances at once (with `copies = 1`, the primary alone) to get there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takeover {
    /// For ever: until one of them is back, or an operator removes what they published. Nothing
    /// acknowledged is ever lost while an instance that holds it can come back.
    Wait,
    /// This long, counted from when the lock was seen free. Then what only they hold is lost, and
    /// replaced when they come back.
    After(Duration),
}

impl Takeover {
    /// How long that is; `None` for ever. Where nothing is said, until the sessions of those who were up when
    /// the last primary ended must have ended, too, if they did.
    pub fn patience(said: Option<Self>, session_ttl: Duration, lock_delay: Duration) -> Option<Duration> {
        match said {
            None => Some(2 * session_ttl + lock_delay),
            Some(Self::After(patience)) => Some(patience),
            Some(Self::Wait) => None,
        }
    }
}

impl Serialize for Takeover {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Wait => serializer.serialize_str("wait"),
            Self::After(patience) => duration::serialize(patience, serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Takeover {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "wait" => Ok(Self::Wait),
            text => humantime::parse_duration(text).map(Self::After).map_err(|_| {
                de::Error::custom(format!("`{text}` is neither \"wait\" nor a duration like \"135s\""))
            }),
        }
    }
}

/// Why a configuration is no good.
#[derive(Debug, thiserror::Error)]
#[error("{}: {message}", file.display())]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// What is wrong, and where.
    pub message: String,
}

impl Config {
    /// Reads a configuration. `file` is only named in errors.
    ///
    /// # Errors
    /// When `text` is not TOML, has a key or value that is not known, or one that cannot work.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        let bad = |message: String| ConfigError { file: file.to_owned(), message };
        let config: Self =
            toml::from_str(text).map_err(|error| bad(error.to_string().trim_end().to_owned()))?;
        if !(1..=2).contains(&config.copies) {
            return Err(bad(format!(
                "copies = {}: a write is acknowledged on 1 or 2 instances",
                config.copies
            )));
        }
        if let Some(instance) = &config.instance {
            checked_instance(instance.clone()).map_err(&bad)?;
        }
        // These go into statements and command lines between quotes.
        let quoted = [
            ("repl-user", &config.repl_user),
            ("repl-password", &config.repl_password),
            ("app-user", &config.app_user),
            ("app-password", &config.app_password),
            ("database", &config.database),
        ];
        for (key, value) in quoted {
            if value.is_empty() || value.contains(['\'', '`', '"', '\\', ';', ',', '\t', '\n']) {
                return Err(bad(format!(
                    "{key}: `{value}` is empty or has a quote, separator or backslash in it"
                )));
            }
        }
        let seconds = Duration::from_secs(10)..=Duration::from_secs(86_400);
        if !seconds.contains(&config.session_ttl) {
            return Err(bad("session-ttl: Consul takes 10s to 24h".to_owned()));
        }
        Ok(config)
    }

    /// How long an election waits for those that may hold what nobody else does; `None` for ever.
    pub fn patience(&self) -> Option<Duration> {
        Takeover::patience(self.takeover, self.session_ttl, self.lock_delay)
    }

    /// The key whose lock makes an instance the primary.
    pub const PRIMARY_KEY: &str = "mysql-primary";
    /// The service name of a primary.
    pub const PRIMARY: &str = "mysql-primary";
    /// The service name of a replica.
    pub const REPLICA: &str = "mysql";
    /// Where the data directory is.
    pub const DATA_DIRECTORY: &str = "/var/lib/mysql";
    /// MySQL's port.
    pub const PORT: u16 = 3306;
}

/// How often the pilot does what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intervals {
    /// The health check.
    pub health: Duration,
    /// TTL of the service's check.
    pub ttl: Duration,
    /// The watch on the primary.
    pub watch: Duration,
}
