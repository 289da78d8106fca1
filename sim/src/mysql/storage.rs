//! A data directory on a machine's disk.
//!
//! | file | what |
//! |---|---|
//! | `mysql/base` | the tables as they were installed, restored, or at a checkpoint, and what was purged |
//! | `mysql-bin` | the binary log: every transaction since what was purged, one a line |
//! | `ib_logfile0` | the tables' own log: every transaction since the last checkpoint |
//! | `relay-bin` | received and not yet applied |
//! | `auto.cnf`, `master.info` | the server's UUID; whom it follows |
//! | `xtrabackup_binlog_info` | which transactions a restored snapshot holds |
//!
//! With `sync_binlog` on, the binary log is durable with every transaction, and the tables are what it makes
//! of the base; their own log is kept only for its length, which is what recovery takes its time for. With
//! it off, the tables' log is durable and the binary log is not: a loss of power leaves tables that are
//! ahead of the binary log, and a server that hands out the lost transactions' numbers once more.
//!
//! The rule a change must keep: what was refused is not in the binary log.

use std::io;
use std::rc::Rc;

use ironbird_agent::host::Host;
use ironbird_agent::mysql::GtidSet;
use serde::{Deserialize, Serialize};

use super::data::{Source, Tables, Transaction, file};
use crate::machine::{Machine, SimHost};

const BASE: &str = "mysql/base";
const BINARY_LOG: &str = "mysql-bin";
const TABLE_LOG: &str = "ib_logfile0";
const RELAY_LOG: &str = "relay-bin";
const UUID: &str = "auto.cnf";
const SOURCE: &str = "master.info";
/// What a snapshot holds, as the backup tool leaves it for whoever restores.
pub(super) const BINLOG_INFO: &str = "xtrabackup_binlog_info";

/// Where a data directory starts from.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Base {
    pub(super) tables: Tables,
    /// What they were made of that is not in the binary log.
    pub(super) purged: GtidSet,
}

/// What a server finds when it starts.
#[derive(Debug, PartialEq)]
pub(super) struct Found {
    pub(super) tables: Tables,
    pub(super) purged: GtidSet,
    pub(super) executed: GtidSet,
    pub(super) log: Vec<Transaction>,
    pub(super) relay: Vec<Transaction>,
    pub(super) source: Option<Source>,
}

/// The data directory of one running server.
pub(super) struct Storage {
    machine: Rc<Machine>,
    sync_binlog: bool,
    /// Transactions between two checkpoints.
    checkpoint: u64,
    /// Transactions since the last one.
    since_checkpoint: u64,
    /// Something was written to the logs since they were synced.
    unsynced: bool,
}

impl Storage {
    pub(super) fn new(machine: Rc<Machine>, sync_binlog: bool, checkpoint: u64) -> Self {
        let since_checkpoint = {
            let disk = machine.disk().borrow();
            let log = disk.read(&file(TABLE_LOG)).unwrap_or_default();
            log.iter().filter(|byte| **byte == b'\n').count() as u64
        };
        Self { machine, sync_binlog, checkpoint, since_checkpoint, unsynced: false }
    }

    /// How many transactions a starting server has to look at again: none after an orderly end.
    pub(super) fn since_checkpoint(&self) -> u64 {
        self.since_checkpoint
    }

    /// Puts a base into an empty data directory.
    pub(super) fn create(machine: &Machine, base: &Base) -> io::Result<()> {
        machine.disk().borrow_mut().write(&file(BASE), serde_json::to_vec(base)?)
    }

    /// Reads everything.
    pub(super) fn open(&self) -> io::Result<Found> {
        let disk = self.machine.disk().borrow();
        let Base { mut tables, purged } = serde_json::from_slice(disk.get(&file(BASE))?)?;
        let log = transactions(disk.read(&file(BINARY_LOG)));
        let mut executed = purged.clone();
        for transaction in &log {
            tables.make(&transaction.change);
            executed.add(&transaction.gtid);
        }
        // What the binary log has lost is in the tables all the same, under no number.
        for transaction in transactions(disk.read(&file(TABLE_LOG))) {
            tables.make(&transaction.change);
        }
        let relay = transactions(disk.read(&file(RELAY_LOG)))
            .into_iter()
            .filter(|transaction| !executed.contains(&transaction.gtid))
            .collect();
        let source = disk.read(&file(SOURCE)).and_then(|content| serde_json::from_slice(content).ok());
        Ok(Found { tables, purged, executed, log, relay, source })
    }

    /// The server's UUID, made up at the first start.
    pub(super) fn uuid(&self, host: &SimHost) -> io::Result<String> {
        let mut disk = self.machine.disk().borrow_mut();
        if let Some(uuid) = disk.read(&file(UUID)) {
            return Ok(String::from_utf8_lossy(uuid).into_owned());
        }
        let bytes = rand::RngExt::random(&mut host.random("server-uuid"));
        let uuid = uuid::Builder::from_random_bytes(bytes).into_uuid().to_string();
        disk.write(&file(UUID), uuid.clone().into_bytes())?;
        Ok(uuid)
    }

    /// Adds a transaction to the binary log and the tables' own.
    pub(super) fn append(&mut self, transaction: &Transaction) -> io::Result<()> {
        let line = line(transaction);
        self.log(BINARY_LOG, line.as_bytes())?;
        // It is committed by what is in the binary log. Without this it is only not looked at again.
        let note = if self.sync_binlog { "\n" } else { &line };
        self.machine.disk().borrow_mut().append(&file(TABLE_LOG), note.as_bytes()).ok();
        self.since_checkpoint += 1;
        Ok(())
    }

    /// Adds a transaction to the relay log.
    pub(super) fn receive(&mut self, transaction: &Transaction) -> io::Result<()> {
        self.log(RELAY_LOG, line(transaction).as_bytes())
    }

    fn log(&mut self, name: &str, line: &[u8]) -> io::Result<()> {
        let mut disk = self.machine.disk().borrow_mut();
        if self.sync_binlog {
            return disk.append(&file(name), line);
        }
        self.unsynced = true;
        disk.append_unsynced(&file(name), line)
    }

    /// Whether something waits to be synced.
    pub(super) fn is_unsynced(&self) -> bool {
        self.unsynced
    }

    /// Makes the logs durable.
    pub(super) fn sync(&mut self) {
        let mut disk = self.machine.disk().borrow_mut();
        disk.sync(&file(BINARY_LOG));
        disk.sync(&file(RELAY_LOG));
        self.unsynced = false;
    }

    /// Makes a checkpoint when one is due.
    pub(super) fn checkpoint_if_due(&mut self, base: impl FnOnce() -> Base) -> io::Result<()> {
        if self.since_checkpoint >= self.checkpoint { self.checkpoint(base) } else { Ok(()) }
    }

    /// Makes the base what the tables are now, so that nothing needs to be looked at again.
    pub(super) fn checkpoint(&mut self, base: impl FnOnce() -> Base) -> io::Result<()> {
        let mut disk = self.machine.disk().borrow_mut();
        // With a durable binary log the base may stay as it is: the log makes the tables of it.
        if !self.sync_binlog {
            disk.write(&file(BASE), serde_json::to_vec(&base())?)?;
        }
        disk.remove(&file(TABLE_LOG));
        self.since_checkpoint = 0;
        Ok(())
    }

    /// Makes `base` the base and leaves only `log` in the binary log.
    pub(super) fn rewrite<'a>(
        &mut self,
        base: &Base,
        log: impl Iterator<Item = &'a Transaction>,
    ) -> io::Result<()> {
        let mut disk = self.machine.disk().borrow_mut();
        disk.write(&file(BASE), serde_json::to_vec(base)?)?;
        disk.write(&file(BINARY_LOG), log.map(line).collect::<String>().into_bytes())
    }

    pub(super) fn clear_relay(&self) {
        self.machine.disk().borrow_mut().remove(&file(RELAY_LOG));
    }

    pub(super) fn set_source(&self, source: Option<&Source>) -> io::Result<()> {
        let mut disk = self.machine.disk().borrow_mut();
        match source {
            Some(source) => disk.write(&file(SOURCE), serde_json::to_vec(source)?),
            None => {
                disk.remove(&file(SOURCE));
                Ok(())
            }
        }
    }
}

fn line(transaction: &Transaction) -> String {
    let mut line = transaction.to_line();
    line.push('\n');
    line
}

/// What is whole of a log.
fn transactions(content: Option<&[u8]>) -> Vec<Transaction> {
    let content = String::from_utf8_lossy(content.unwrap_or_default());
    content.lines().filter_map(Transaction::from_line).collect()
}
