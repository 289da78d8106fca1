//! Role handlers for a MySQL cluster that elects its own primary.
//!
//! Two sets do the same job. [`published`] is the script of 2016, bug for bug: a program that hooks start
//! anew for every event, keeping its state in files. [`hardened`] is part of the agent: one writer of the
//! role per process, which derives what should be from what is, again and again.
//!
//! Both work through the programs any MySQL image has (`mysql`, `mysqld`, `mysql_install_db`,
//! `innobackupex`), through Consul, and through an object store that holds snapshots.

mod config;
mod database;
mod gtid;
pub mod hardened;
pub mod published;
mod snapshots;

pub use config::{Config, ConfigError, Intervals, Takeover};
pub use database::{Database, DatabaseError};
pub use gtid::{Gtid, GtidSet};
