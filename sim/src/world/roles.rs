//! Who is what among the databases at this moment, for faults that aim at a role.
//!
//! It is read from the record, and only when a fault asks.

use std::collections::{BTreeMap, BTreeSet};

use crate::record::{MysqlEvent, What};
use crate::recorder::Recorder;

/// What the record says of one database.
#[derive(Debug, Default)]
struct Database {
    writable: bool,
    follows: bool,
    /// Writes its data directory began with.
    base: usize,
    /// What it has made or received since.
    gtids: BTreeSet<String>,
}

/// What the record says of all, as far as it has been read.
#[derive(Debug, Default)]
pub(super) struct Roles {
    read: usize,
    databases: BTreeMap<String, Database>,
}

impl Roles {
    /// Reads on to the record's end.
    pub(super) fn catch_up(&mut self, recorder: &Recorder) {
        let Self { read, databases } = self;
        recorder.read_from(*read, |event| {
            *read += 1;
            if !matches!(event.what, What::Mysql(_) | What::Ended { .. }) {
                return;
            }
            let database = databases.entry(event.host.clone()).or_default();
            match &event.what {
                What::Mysql(MysqlEvent::Writable { writable }) => database.writable = *writable,
                What::Mysql(MysqlEvent::Replication { source, .. }) => database.follows = !source.is_empty(),
                What::Mysql(MysqlEvent::Committed { gtid, .. } | MysqlEvent::Received { gtid, .. }) => {
                    database.gtids.insert(gtid.clone());
                }
                What::Mysql(MysqlEvent::DataDirectory { writes, .. }) => {
                    *database = Database { base: writes.len(), ..Database::default() };
                }
                What::Mysql(MysqlEvent::Down) | What::Ended { .. } => database.writable = false,
                _ => {}
            }
        });
    }

    /// Whether it takes writes and follows nobody.
    pub(super) fn is_primary(&self, host: &str) -> bool {
        self.databases.get(host).is_some_and(|database| database.writable && !database.follows)
    }

    /// How many transactions it has, applied or not.
    pub(super) fn progress(&self, host: &str) -> usize {
        self.databases.get(host).map_or(0, |database| database.base + database.gtids.len())
    }
}
