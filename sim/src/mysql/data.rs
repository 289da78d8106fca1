//! What a server stores: transactions, and the tables they made.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{DATA_DIRECTORY, sql::Change};
use ironbird_agent::mysql::Gtid;

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

/// What a server says when it refuses: MySQL's error number, and the text.
pub(super) type Refusal = (u16, String);

/// Everything stored in tables.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Tables {
    /// User and password.
    users: BTreeSet<(String, String)>,
    databases: BTreeSet<String>,
    rows: BTreeSet<u64>,
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

    /// The clients' writes it holds.
    pub(super) fn writes(&self) -> Vec<u64> {
        self.rows.iter().copied().collect()
    }

    /// How many rows it holds.
    pub(super) fn count(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is such a user.
    pub(super) fn knows(&self, user: &str) -> bool {
        self.users.iter().any(|(known, _)| known == user)
    }

    /// Whether it holds a client's write.
    pub(super) fn holds(&self, write: u64) -> bool {
        self.rows.contains(&write)
    }

    /// Whether a change can be made.
    ///
    /// # Errors
    /// The server's code and text, when it cannot be made a second time.
    pub(super) fn check(&self, change: &Change) -> Result<(), Refusal> {
        match change {
            Change::CreateUser { user, .. } if self.knows(user) => {
                Err((1396, format!("Operation CREATE USER failed for '{user}'@'%'")))
            }
            Change::Insert { id } if self.rows.contains(id) => {
                Err((1062, format!("Duplicate entry '{id}' for key 'PRIMARY'")))
            }
            Change::CreateDatabase { .. } | Change::CreateUser { .. } | Change::Insert { .. } => Ok(()),
        }
    }

    /// Makes a change, unless it was made before.
    pub(super) fn make(&mut self, change: &Change) {
        if self.check(change).is_err() {
            return;
        }
        match change {
            Change::CreateDatabase { name } => _ = self.databases.insert(name.clone()),
            Change::CreateUser { user, password } => {
                self.users.insert((user.clone(), password.clone()));
            }
            Change::Insert { id } => _ = self.rows.insert(*id),
        }
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
