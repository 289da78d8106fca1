//! What a server stores.
//!
//! On disk a data directory is a base (what it was installed or restored with), a binary log (every
//! transaction since, one a line), a relay log (received and not yet applied) and two small files. A
//! server that starts reads the base and replays the log; what was appended is durable at once.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{DATA_DIRECTORY, sql::Change};
use ironbird_agent::mysql::{Gtid, GtidSet};

/// A committed change.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Transaction {
    pub(super) gtid: Gtid,
    pub(super) change: Change,
}

impl Transaction {
    /// One line, without its end.
    pub(super) fn to_line(&self) -> String {
        format!("{}\t{}", self.gtid, self.change)
    }

    pub(super) fn from_line(line: &str) -> Option<Self> {
        let (gtid, change) = line.split_once('\t')?;
        Some(Self { gtid: gtid.parse().ok()?, change: super::sql::parse_change(change)? })
    }

    /// The client's write it carries; 0 for none.
    pub(super) fn write(&self) -> u64 {
        match self.change {
            Change::Insert { id } => id,
            _ => 0,
        }
    }
}

/// Everything stored in tables.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Tables {
    /// User and password.
    users: BTreeSet<(String, String)>,
    databases: BTreeSet<String>,
    rows: BTreeSet<u64>,
    /// Which transactions made this of nothing.
    pub(super) executed: GtidSet,
}

impl Tables {
    /// What a fresh installation holds: `root` without a password.
    pub(super) fn installed() -> Self {
        Self { users: BTreeSet::from([("root".to_owned(), String::new())]), ..Self::default() }
    }

    /// Whether a user may log in with a password.
    pub(super) fn admits(&self, user: &str, password: &str) -> bool {
        self.users.contains(&(user.to_owned(), password.to_owned()))
    }

    /// Whether there is such a user.
    pub(super) fn knows(&self, user: &str) -> bool {
        self.users.iter().any(|(known, _)| known == user)
    }

    /// The clients' writes it holds.
    pub(super) fn writes(&self) -> Vec<u64> {
        self.rows.iter().copied().collect()
    }

    /// How many rows it holds.
    pub(super) fn count(&self) -> usize {
        self.rows.len()
    }

    /// Makes a change.
    ///
    /// # Errors
    /// The server's code and text, when the change cannot be made a second time.
    pub(super) fn change(&mut self, change: &Change) -> Result<(), (u16, String)> {
        match change {
            Change::CreateDatabase { name } => {
                self.databases.insert(name.clone());
            }
            Change::CreateUser { user, password } => {
                if self.knows(user) {
                    return Err((1396, format!("Operation CREATE USER failed for '{user}'@'%'")));
                }
                self.users.insert((user.clone(), password.clone()));
            }
            Change::Insert { id } => {
                if !self.rows.insert(*id) {
                    return Err((1062, format!("Duplicate entry '{id}' for key 'PRIMARY'")));
                }
            }
        }
        Ok(())
    }
}

/// Where a replica replicates from, as `CHANGE MASTER TO` left it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Source {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) password: String,
    pub(super) connect_retry_s: u64,
}

/// A file of the data directory.
pub(super) fn file(name: &str) -> PathBuf {
    Path::new(DATA_DIRECTORY).join(name)
}

/// The base: what was installed or restored.
pub(super) const BASE: &str = "mysql/base";
/// The server's UUID.
pub(super) const UUID: &str = "auto.cnf";
/// The binary log.
pub(super) const BINARY_LOG: &str = "mysql-bin";
/// The relay log.
pub(super) const RELAY_LOG: &str = "relay-bin";
/// The replication source.
pub(super) const SOURCE: &str = "master.info";
