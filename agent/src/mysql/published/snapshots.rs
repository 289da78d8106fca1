//! When a snapshot is due, and who takes it.

use std::time::Duration;

use super::{LAST_BINLOG_KEY, Node, PROGRAM, Raised, say};
use crate::consul::{CheckSpec, Status};
use crate::host::{Command, Host, Process};
use crate::journal::Level;

const BACKUP_CHECK: &str = "mysql-backup-run";
const BACKUP_TTL: Duration = Duration::from_secs(86_400);

impl<H: Host> Node<H> {
    pub(super) async fn binlog_file(&self) -> Raised<String> {
        let rows = self.repl.query("SHOW MASTER STATUS").await.map_err(say)?;
        let row = rows.first().ok_or("IndexError: list index out of range")?;
        Ok(row.split('\t').next().unwrap_or_default().to_owned())
    }

    pub(super) async fn binlog_is_stale(&self) -> Raised<bool> {
        let file = self.binlog_file().await?;
        Ok(self.get(LAST_BINLOG_KEY).await? != Some(file))
    }

    pub(super) async fn is_time_for_snapshot(&self) -> Raised<bool> {
        let checks = self.consul.agent().checks().await.map_err(say)?;
        Ok(checks.get(BACKUP_CHECK).is_none_or(|check| check.status != Status::Passing))
    }

    pub(super) async fn fork_snapshot(&self) {
        if self.consul.agent().pass_check(BACKUP_CHECK).await.is_err() {
            // Registered without its service: a check of the node, which speaks for every service on it.
            let check = CheckSpec {
                id: Some(BACKUP_CHECK.to_owned()),
                name: Some(BACKUP_CHECK.to_owned()),
                ..CheckSpec::ttl(BACKUP_TTL)
            };
            let registered = self.consul.agent().register_check(&check).await;
            let passed = self.consul.agent().pass_check(BACKUP_CHECK).await;
            if let Err(error) = registered.and(passed) {
                self.log(Level::Error, error.to_string());
            }
        }
        match self.host.spawn(&Command::new(PROGRAM).args(["create_snapshot"])) {
            Ok(process) => process.detach(),
            Err(error) => self.log(Level::Error, error.to_string()),
        }
    }
}
