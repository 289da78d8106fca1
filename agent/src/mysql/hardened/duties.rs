//! What a replica, a candidate and a primary do once it is decided: follow, publish, vouch, prepare; keep
//! the in-sync set, snapshots and the list of members.

use std::time::Duration;

use super::decide::{Leader, Position, View};
use super::{Role, Snapshot, TURN, say};
use crate::host::Host;
use crate::journal::Level;
use crate::mysql::Config;
use crate::planted::{self, Bug};

/// How often a primary takes a new snapshot.
const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(3_600);
/// The object that says the cluster was set up once.
pub(super) const MARK: &str = "mysql-cluster";

impl<H: Host> Role<H> {
    pub(super) async fn follow(&self, address: &str) -> Result<(), String> {
        let Config { repl_user, repl_password, .. } = &self.config;
        self.database
            .query(&format!(
                "STOP SLAVE; SET GLOBAL rpl_semi_sync_slave_enabled = OFF; \
                 CHANGE MASTER TO MASTER_HOST = '{address}', MASTER_PORT = {}, \
                 MASTER_USER = '{repl_user}', MASTER_PASSWORD = '{repl_password}', \
                 MASTER_CONNECT_RETRY = 1, MASTER_AUTO_POSITION = 1; START SLAVE",
                Config::PORT
            ))
            .await
            .map_err(say)?;
        self.acknowledging.set(false);
        self.log(Level::Info, format!("following {address}"));
        Ok(())
    }

    /// Publishes where the database stands.
    pub(super) async fn publish(&self, view: &View, follows: u64, acknowledges: u64) -> Result<(), String> {
        let executed = view.database.position();
        let remembered = view.reign().cloned();
        let server = view.database.server.clone();
        self.tell(Position { server, executed, prepared_for: 0, follows, acknowledges, remembered }).await?;
        // The word is given. Whether it still counts is for the primary to say: it cannot have taken this
        // instance out of its set since without seeing it.
        if acknowledges > 0 { self.read_lock().await.map_err(say) } else { Ok(()) }
    }

    async fn tell(&self, position: Position) -> Result<(), String> {
        let session = self.lease.valid().ok_or("no lease to publish under")?;
        if !self.registry.publish(self.me(), &session, &position).await.map_err(say)? {
            return Err("the position cannot be published yet".to_owned());
        }
        *self.published.borrow_mut() = Some((session, position));
        Ok(())
    }

    /// Begins to acknowledge. The receiver asks the primary to count on it when it connects.
    pub(super) async fn vouch(&self, term: u64) -> Result<(), String> {
        self.acknowledging.set(true);
        self.changed.notify_waiters();
        let statements = match planted::is(Bug::VouchedInWordOnly) {
            false => {
                "STOP SLAVE IO_THREAD; SET GLOBAL rpl_semi_sync_slave_enabled = ON; START SLAVE IO_THREAD"
            }
            true => "SET GLOBAL rpl_semi_sync_slave_enabled = ON",
        };
        self.database.query(statements).await.map_err(say)?;
        self.log(Level::Info, format!("acknowledging in term {term}"));
        Ok(())
    }

    pub(super) async fn prepare(&self, term: u64, view: &View) -> Result<(), String> {
        self.become_role("candidate", "the lock is free");
        if view.database.source.is_some() {
            self.database
                .query("STOP SLAVE IO_THREAD; SET GLOBAL rpl_semi_sync_slave_enabled = OFF")
                .await
                .map_err(say)?;
        } else if view.database.acknowledging {
            self.database.query("SET GLOBAL rpl_semi_sync_slave_enabled = OFF").await.map_err(say)?;
        }
        // What is published must be what is there after the receiver stopped.
        let database = self.look().await.map_err(say)?;
        if database.receiving || database.writable {
            return Err("the receiver has not stopped".to_owned());
        }
        self.acknowledging.set(false);
        let executed = database.position();
        let remembered = view.reign().cloned();
        let server = database.server;
        self.tell(Position { server, executed, prepared_for: term, remembered, ..Position::default() }).await
    }

    /// Adds `name` to the in-sync set.
    pub(super) async fn enlist(&self, name: &str, server: &str) -> Result<(), String> {
        self.change_reign(None, |leader| {
            leader.in_sync.insert(server.to_owned(), name.to_owned());
            leader.founding = false;
            leader.revision += 1;
        })
        .await?;
        self.log(Level::Info, format!("{name} is in sync"));
        Ok(())
    }

    /// Takes `name`, whose session is over, out of the in-sync set.
    pub(super) async fn dismiss(&self, name: &str, server: &str, view: &View) -> Result<(), String> {
        let index = view.members.iter().find(|member| member.name == name).map_or(0, |member| member.index);
        // It no longer acknowledges anything, so whoever acknowledges this holds all there is.
        let barrier = format!("CREATE DATABASE IF NOT EXISTS `{}`", self.config.database);
        self.database.query(&barrier).await.map_err(say)?;
        self.change_reign(Some((name, index)), |leader| {
            leader.in_sync.remove(server);
            leader.revision += 1;
        })
        .await?;
        self.log(Level::Info, format!("{name} is no longer in sync"));
        Ok(())
    }

    /// Writes a change of the reign into the lock, if the lock is as this instance last saw it.
    pub(super) async fn change_reign(
        &self,
        witness: Option<(&str, u64)>,
        change: impl FnOnce(&mut Leader),
    ) -> Result<(), String> {
        let session = self.lease.valid().ok_or("no lease")?;
        self.change_reign_of(&session, witness, change).await
    }

    async fn change_reign_of(
        &self,
        session: &str,
        witness: Option<(&str, u64)>,
        change: impl FnOnce(&mut Leader),
    ) -> Result<(), String> {
        // One after the other: of two changes of the same value the second would be refused.
        let _turn = self.reigning.lock().await;
        let lock = self.seen.borrow().lock.clone();
        let mut leader = lock.leader.ok_or("the lock has no value")?;
        change(&mut leader);
        let why = match self.registry.change(lock.index, session, &leader, witness).await {
            Ok(Ok(entry)) => {
                self.see_lock(Some(&entry));
                return Ok(());
            }
            Ok(Err(conflict)) => conflict,
            Err(error) => error.to_string(),
        };
        // Whatever came of it, the next decision is about what is so.
        self.read_lock().await.map_err(say)?;
        Err(why)
    }

    /// Has everybody see that this instance counts on `session` for longer, if that holds the lock.
    ///
    /// # Errors
    /// When they may not have seen it: then it may not count on it.
    pub(super) async fn beat(&self, session: String) -> Result<(), String> {
        if self.seen.borrow().lock.session.as_ref() != Some(&session) {
            return Ok(());
        }
        self.change_reign_of(&session, None, |leader| leader.beat += 1).await
    }

    /// Marks the cluster as one that was set up, in a place that Consul's end does not touch.
    pub(super) async fn mark(&self) -> Result<(), String> {
        self.snapshots.put(MARK, self.me().as_bytes().to_vec()).await.map_err(say)
    }

    /// Takes a snapshot whenever this is the primary and the last one is missing, old, of a term before, or was of
    /// no use to somebody. Never ends.
    pub(super) async fn keep_snapshot(&self) {
        let mut random = self.host.random("snapshot");
        let mut fresh: Option<(u64, Duration)> = None;
        loop {
            let changed = self.changed.notified();
            let now = self.host.now();
            if *self.role.borrow() != "primary" {
                fresh = None;
                changed.await;
                continue;
            }
            let kept = !self.seen.borrow().discarded;
            let counts = |(term, until): &(u64, Duration)| kept && *term == self.term() && now < *until;
            if let Some((_, until)) = fresh.filter(counts) {
                tokio::select! {
                    biased;
                    () = changed => {}
                    () = self.host.sleep(until - now) => {}
                }
                continue;
            }
            match self.snapshot().await {
                Ok(term) => fresh = Some((term, self.host.now() + SNAPSHOT_INTERVAL)),
                Err(error) => {
                    self.log(Level::Warn, format!("no snapshot: {error}"));
                    self.rest(&mut random, TURN * 2).await;
                }
            }
        }
    }

    /// Takes a snapshot and answers the term it is of. One of a term before may hold transactions that did
    /// not survive the change, and whoever is restored from it would have to be restored again.
    async fn snapshot(&self) -> Result<u64, String> {
        let (_, index) = self.registry.snapshot().await.map_err(say)?;
        let session = self.lease.valid().ok_or("no lease")?;
        let term = self.term();
        let executed = self.look().await.map_err(say)?.executed;
        let content = self.database.backup(Some(self.config.snapshot_deadline)).await.map_err(say)?;
        let hash = Snapshot::hash(&content);
        let id = format!("snapshot-{term}-{}-{}", self.me(), executed.len());
        self.snapshots.put(&id, content).await.map_err(say)?;
        let snapshot = Snapshot { id: id.clone(), executed, term, hash };
        self.registry.record_snapshot(&session, index, &snapshot).await.map_err(say)??;
        self.seen.borrow_mut().discarded = false;
        self.log(Level::Info, format!("snapshot {id} is usable"));
        Ok(term)
    }

    /// Once a primary, forgets members that are gone, whose data it holds, and whom no election has to
    /// hear. Never ends.
    pub(super) async fn keep_members(&self) {
        let mut random = self.host.random("members");
        loop {
            let changed = self.changed.notified();
            if *self.role.borrow() == "primary" {
                if let Err(error) = self.tidy_members().await {
                    self.log(Level::Debug, error.to_string());
                }
                self.rest(&mut random, self.config.session_ttl * 4).await;
                continue;
            }
            changed.await;
        }
    }

    async fn tidy_members(&self) -> Result<(), crate::consul::Error> {
        let Some(executed) = self.local.borrow().as_ref().map(|local| local.executed.clone()) else {
            return Ok(());
        };
        let in_sync = self.seen.borrow().lock.leader.clone().unwrap_or_default().in_sync;
        for member in self.registry.members(self.me()).await? {
            let held = executed.includes(&member.position.executed);
            if !member.live && held && !in_sync.contains_key(&member.position.server) {
                self.registry.forget(&member.name).await?;
            }
        }
        Ok(())
    }
}
