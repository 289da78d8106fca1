//! A database good enough to fail like MySQL.
//!
//! It is installed on every machine as the programs an agent's handlers would start: `mysqld`, `mysql`,
//! `mysql_install_db` and `innobackupex`. A server keeps its data directory on the machine's disk, commits
//! transactions under GTIDs, streams them to replicas over the network, may wait for one of them before it
//! acknowledges (semi-synchronous replication), refuses writes when it is read-only, and runs into the
//! errors that real ones run into: access denied, duplicate keys on replay, purged transactions asked for.
//!
//! - `data`: what a server stores, and how it lies on disk.
//! - `sql`: the statements it understands.
//! - `wire`: the line protocol between `mysql`, replicas and servers. It is private to the simulation;
//!   handlers meet the database only through its command-line programs.
//! - `server`, `session`, `replica`: `mysqld`.
//! - `tools`: the other programs.

mod data;
mod replica;
mod server;
mod session;
mod sql;
mod tools;
mod wire;

pub use wire::{Client, PORT, QueryError};

use crate::machine::Programs;
use crate::spec::Mysql;

/// Where the data directory is.
pub const DATA_DIRECTORY: &str = "/var/lib/mysql";

/// Installs the database's programs.
pub fn install(programs: &mut Programs, timing: &Mysql) {
    let spec = timing.clone();
    programs.install("mysqld", move |host, args| server::mysqld(host, args, spec.startup));
    programs.install("mysql", tools::mysql);
    let spec = timing.clone();
    programs.install("mysql_install_db", move |host, _| tools::mysql_install_db(host, spec.install));
    let spec = timing.clone();
    programs.install("innobackupex", move |host, args| {
        tools::innobackupex(host, args, spec.backup, spec.restore)
    });
}
