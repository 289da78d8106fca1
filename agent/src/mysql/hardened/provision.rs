//! An empty instance's way to data.
//!
//! The role is settled before the data directory is touched. Only the holder of the lock may set up an
//! empty database, and it can only take the lock where there is nothing it could overwrite: see `found` in
//! `election.rs`. Everybody else waits for a snapshot, up to a deadline, and meanwhile keeps looking
//! whether there still is somebody who could provide one. One that is not in the store as it was put there is
//! discarded, so that another one is taken.
//!
//! How far it came is in the notes, before it goes on. A directory that is not complete is what a crash
//! left of an attempt, and is removed before the next one.

use std::path::Path;

use super::decide::{self, View};
use super::duties::MARK;
use super::election::found;
use super::notes::Phase;
use super::{Role, Snapshot, TURN, say};
use crate::host::{Host, within};
use crate::journal::Level;
use crate::mysql::GtidSet;
use crate::planted::{self, Bug};

/// Where a snapshot is put before it is restored.
const DOWNLOAD: &str = "/tmp/snapshot";

/// Where the backup tool says which transactions a restored snapshot holds. It does not tell the database.
const BINLOG_INFO: &str = "/var/lib/mysql/xtrabackup_binlog_info";

/// How an empty instance gets its data.
#[derive(Debug)]
enum Way {
    /// Nobody has any: set up an empty database, holding the lock.
    Install,
    /// From this snapshot, whose record has this index.
    Restore(Snapshot, u64),
}

impl<H: Host> Role<H> {
    /// Sees to it that there is a complete data directory.
    ///
    /// # Errors
    /// When there was no way to one before the deadline: another instance may have better luck.
    pub(super) async fn provision(&self) -> Result<(), String> {
        if self.notes.borrow().phase.is_complete() {
            return Ok(());
        }
        within(&self.host, self.config.snapshot_deadline, self.fill())
            .await
            .ok_or_else(|| "no usable snapshot before the deadline".to_owned())
    }

    async fn fill(&self) {
        let mut random = self.host.random("provision");
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
                () = self.rest(&mut random, TURN * 2) => {}
            }
        }
    }

    /// The way to data that is open now.
    async fn way(&self) -> Result<Option<Way>, String> {
        if !self.seen.borrow().known {
            return Ok(None);
        }
        if let (Some(snapshot), index) = self.registry.snapshot().await.map_err(say)? {
            return Ok(Some(Way::Restore(snapshot, index)));
        }
        if self.is_ours() {
            return Ok(Some(Way::Install));
        }
        if self.lease.valid().is_none() || self.seen.borrow().lock.session.is_some() {
            return Ok(None);
        }
        let members = self.registry.members(self.me()).await.map_err(say)?;
        let view: View = self.view(decide::Database::default(), members);
        // The store is asked only where its answer could make a difference.
        if found(&view, false).is_none() {
            return Ok(None);
        }
        let marked = self.snapshots.exists(MARK).await.map_err(say)?;
        if let Some(claim) = found(&view, marked) {
            self.acquire(&claim, &view).await?;
        }
        Ok(None)
    }

    /// Tells a database that knows of no transactions which ones the snapshot it was restored from holds.
    /// Whether there was something to tell.
    pub(super) async fn adopt_snapshot(&self) -> Result<bool, String> {
        if planted::is(Bug::RestoredUntold) {
            return Ok(false);
        }
        let Ok(info) = self.host.read_file(Path::new(BINLOG_INFO)).await else {
            return Ok(false);
        };
        let info = String::from_utf8_lossy(&info);
        let Some(held) = info.trim_end().split('\t').nth(2).filter(|held| !held.is_empty()) else {
            return Ok(false);
        };
        let held: GtidSet = held.parse()?;
        let statements = format!("RESET MASTER; SET GLOBAL gtid_purged = '{held}'");
        self.database.query(&statements).await.map_err(say)?;
        self.log(Level::Info, format!("the snapshot holds {held}"));
        Ok(true)
    }

    async fn go(&self, way: Way) -> Result<(), String> {
        match way {
            Way::Install => {
                self.log(Level::Info, "setting up an empty database");
                self.wipe(Phase::Installing).await?;
                self.database.install(Some(self.config.snapshot_deadline)).await.map_err(say)?;
                self.enter_phase(Phase::Installed).await
            }
            Way::Restore(snapshot, index) => {
                self.log(Level::Info, format!("restoring {}", snapshot.id));
                let content = self.snapshots.find(&snapshot.id).await.map_err(say)?;
                let Some(content) = content.filter(|content| snapshot.is(content)) else {
                    // The primary takes another one when it sees that.
                    self.registry.discard_snapshot(index).await.map_err(say)??;
                    return Err(format!("{} is not what was uploaded: discarded", snapshot.id));
                };
                self.wipe(Phase::Restoring).await?;
                self.host.write_file(Path::new(DOWNLOAD), content).await.map_err(say)?;
                let deadline = Some(self.config.snapshot_deadline);
                self.database.restore(Path::new(DOWNLOAD), deadline).await.map_err(say)?;
                self.host.remove(Path::new(DOWNLOAD)).await.map_err(say)?;
                self.enter_phase(Phase::Restored).await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::rc::Rc;

    use super::*;
    use crate::memory::fly;

    #[test]
    fn a_snapshot_that_is_not_what_was_uploaded_is_discarded() {
        fly(|host| async move {
            let stored = Rc::new(Cell::new((200, "half")));
            let asked = Rc::new(RefCell::new(Vec::new()));
            let (store, kept) = (Rc::clone(&stored), Rc::clone(&asked));
            host.serve(move |_, path, body| {
                let (status, answer) = match path.as_str() {
                    "/s" => store.get(),
                    "/v1/txn" => {
                        kept.borrow_mut().push(String::from_utf8_lossy(&body).into_owned());
                        (200, r#"{"Results":null,"Errors":null}"#)
                    }
                    other => panic!("{other}"),
                };
                async move { (status, Vec::new(), answer.into()) }
            });
            let role = Role::of_tests(host);
            let uploaded =
                |hash| Snapshot { id: "s".to_owned(), executed: GtidSet::default(), term: 1, hash };
            for found in [(200, "half"), (404, "")] {
                stored.set(found);
                let way = Way::Restore(uploaded(Snapshot::hash(b"whole")), 11);
                assert_eq!(role.go(way).await.unwrap_err(), "s is not what was uploaded: discarded");
                let discard = concat!(
                    r#"[{"KV":{"Verb":"check-index","Key":"mysql/snapshot","Index":11}},"#,
                    r#"{"KV":{"Verb":"delete","Key":"mysql/snapshot"}}]"#
                );
                assert_eq!(asked.take(), [discard]);
            }
            // One that cannot be had at the moment may be well.
            stored.set((503, ""));
            assert!(role.go(Way::Restore(uploaded(Snapshot::hash(b"whole")), 11)).await.is_err());
            assert!(asked.take().is_empty());
            assert!(uploaded(Snapshot::hash(b"whole")).is(b"whole") && uploaded(None).is(b"half"));
        });
    }
}
