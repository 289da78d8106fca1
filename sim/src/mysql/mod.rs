//! A database good enough to fail like MySQL.
//!
//! It is installed on every machine as the programs an agent's handlers would start: `mysqld`, `mysql`,
//! `mysql_install_db` and `innobackupex`. A server keeps its data directory on the machine's disk, commits
//! transactions under GTIDs, streams them to replicas over the network, may wait for some of them before it
//! acknowledges (semi-synchronous replication), refuses writes when it is read-only, and runs into the
//! errors that real ones run into: access denied, duplicate keys on replay, purged transactions asked for, a
//! full disk, a log that lost its end. A replica applies what it received later than it received it. What is
//! written to a server that follows another is an errant transaction, and nothing here prevents it.
//!
//! What it takes from MySQL is 5.7's: `super_read_only`, `AFTER_SYNC`. What it leaves out: every table but
//! one, transactions of more than one change, parallel appliers, positions other than GTIDs, and
//! `SET GLOBAL super_read_only` waiting for commits under way (they are refused or interrupted instead).
//!
//! - `data`, `sql`: what a server stores, and the statements it understands.
//! - `storage`: how it lies on disk.
//! - `wire`: the line protocol between `mysql`, replicas and servers. It is private to the simulation;
//!   handlers meet the database only through its command-line programs.
//! - `server`, `session`, `variables`, `mysqld`: a running server.
//! - `semi_sync`, `dump` on the source's side of replication; `replica`, `relay` on the other.
//! - `tools`: the other programs.

mod data;
mod dump;
mod mysqld;
mod relay;
mod replica;
mod semi_sync;
mod server;
mod session;
mod sql;
mod storage;
mod tools;
mod variables;
mod wire;

#[cfg(test)]
mod tests;

pub use wire::{Client, PORT, QueryError};

use std::rc::Rc;

use crate::machine::Programs;
use crate::spec::Mysql;

/// Where the data directory is.
pub const DATA_DIRECTORY: &str = "/var/lib/mysql";

/// Installs the database's programs.
pub fn install(programs: &mut Programs, spec: &Mysql) {
    let spec = Rc::new(spec.clone());
    let mysqld = Rc::clone(&spec);
    programs.install("mysqld", move |host, args| mysqld::mysqld(host, args, Rc::clone(&mysqld)));
    programs.install("mysql", tools::mysql);
    let install = spec.install;
    programs.install("mysql_install_db", move |host, _| tools::mysql_install_db(host, install));
    programs.install("innobackupex", move |host, args| tools::innobackupex(host, args, Rc::clone(&spec)));
}
