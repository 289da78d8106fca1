//! What both handler sets need to know.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::duration;

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
}

impl Config {
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
