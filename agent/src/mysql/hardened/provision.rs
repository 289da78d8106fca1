//! An empty instance's way to data.
//!
//! The role is settled before the data directory is touched. Only the holder of the lock may set up an
//! empty database, and it can only take the lock where no snapshot and no member with data exist: there is
//! nothing it could overwrite. Everybody else waits for a snapshot, up to a deadline, and meanwhile keeps
//! looking whether there still is somebody who could provide one.
//!
//! The last step writes a file that says the data directory is complete. A directory without it is what a
//! crash left of an attempt, and is removed before the next one.

use std::path::Path;

use super::decide;
use super::{READY_FILE, Role, TURN, say};
use crate::host::{Host, within};
use crate::journal::Level;
use crate::mysql::{Config, GtidSet};

/// Where a snapshot is put before it is restored.
const DOWNLOAD: &str = "/tmp/snapshot";

/// Where the backup tool says which transactions a restored snapshot holds. It does not tell the database.
const BINLOG_INFO: &str = "/var/lib/mysql/xtrabackup_binlog_info";

/// How an empty instance gets its data.
#[derive(Debug)]
enum Way {
    /// Nobody has any: set up an empty database, holding the lock.
    Install,
    /// From this snapshot.
    Restore(super::Snapshot),
}

impl<H: Host> Role<H> {
    /// Sees to it that there is a complete data directory.
    ///
    /// # Errors
    /// When there was no way to one before the deadline: another instance may have better luck.
    pub(super) async fn provision(&self) -> Result<(), String> {
        if self.host.exists(Path::new(READY_FILE)).await {
            return Ok(());
        }
        self.host.remove(Path::new(Config::DATA_DIRECTORY)).await.map_err(say)?;
        within(&self.host, self.config.snapshot_deadline, self.fill())
            .await
            .ok_or_else(|| "no usable snapshot before the deadline".to_owned())
    }

    async fn fill(&self) {
        loop {
            let changed = self.changed.notified();
            match self.way().await {
                Ok(Some(way)) => match self.go(way).await {
                    Ok(()) => return,
                    Err(error) => self.log(Level::Warn, error),
                },
                Ok(None) => {}
                Err(error) => self.log(Level::Debug, error),
            }
            tokio::select! {
                biased;
                () = changed => {}
                () = self.host.sleep(TURN) => {}
            }
        }
    }

    /// The way to data that is open now.
    async fn way(&self) -> Result<Option<Way>, String> {
        if !self.seen.borrow().known {
            return Ok(None);
        }
        if let (Some(snapshot), _) = self.registry.snapshot().await.map_err(say)? {
            return Ok(Some(Way::Restore(snapshot)));
        }
        let Some(session) = self.lease.valid() else {
            return Ok(None);
        };
        let (lock, index) = {
            let seen = self.seen.borrow();
            (seen.lock.clone(), seen.index)
        };
        match &lock.session {
            Some(holder) if *holder == session => return Ok(Some(Way::Install)),
            Some(_) => return Ok(None),
            None => {}
        }
        let members = self.registry.members(self.host.hostname()).await.map_err(say)?;
        if members.iter().any(|member| !member.executed.is_empty()) {
            return Ok(None);
        }
        let term = lock.leader.map_or(0, |leader| leader.term) + 1;
        let leader = self.leader(term, &decide::Database::default());
        if let Err(conflict) = self.registry.acquire(index, &session, &leader).await.map_err(say)? {
            self.log(Level::Debug, conflict);
        }
        self.read_lock().await.map_err(say)?;
        Ok(None)
    }

    /// Tells a database that knows of no transactions which ones the snapshot it was restored from holds.
    /// Whether there was something to tell.
    pub(super) async fn adopt_snapshot(&self) -> Result<bool, String> {
        let Ok(info) = self.host.read_file(Path::new(BINLOG_INFO)).await else {
            return Ok(false);
        };
        let info = String::from_utf8_lossy(&info);
        let Some(held) = info.trim_end().split('\t').nth(2).filter(|held| !held.is_empty()) else {
            return Ok(false);
        };
        let held: GtidSet = held.parse()?;
        self.database
            .query(&format!("RESET MASTER; SET GLOBAL gtid_purged = '{held}'"))
            .await
            .map_err(say)?;
        self.log(Level::Info, format!("the snapshot holds {held}"));
        Ok(true)
    }

    async fn go(&self, way: Way) -> Result<(), String> {
        match way {
            Way::Install => {
                self.log(Level::Info, "setting up an empty database");
                self.database.install().await.map_err(say)?;
            }
            Way::Restore(snapshot) => {
                self.log(Level::Info, format!("restoring {}", snapshot.id));
                let content = self.snapshots.get(&snapshot.id).await.map_err(say)?;
                self.host.write_file(Path::new(DOWNLOAD), content).await.map_err(say)?;
                self.database.restore(Path::new(DOWNLOAD)).await.map_err(say)?;
                self.host.remove(Path::new(DOWNLOAD)).await.map_err(say)?;
            }
        }
        self.host.write_file(Path::new(READY_FILE), b"complete\n".to_vec()).await.map_err(say)
    }
}
