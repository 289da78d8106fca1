//! Taking the lock and giving it up; making the database writable, and making sure that it is not.
//!
//! A promotion goes in steps that can all be repeated, and the database takes writes as the last of them,
//! after the lock was written once more. The statement that does it may be dropped on the way, with its
//! client: the server may still carry it out, at any time. From then on only the end of the server proves
//! that it will not, so a demotion after an unanswered promotion is the end of the server.

use std::time::Duration;

use super::decide::{self, Claim, Leader, View};
use super::notes::Phase;
use super::{Role, TURN, say};
use crate::host::{Host, Signal, within};
use crate::journal::Level;
use crate::mysql::Config;
use crate::planted::{self, Bug};

/// How long a database has to become read-only, or to stop acknowledging, before it is killed. A server
/// waits with `super_read_only` for commits under way; one whose commits wait for an acknowledgement that
/// does not come is killed, and that tells their clients the truth: nobody knows.
const DEMOTE_DEADLINE: Duration = Duration::from_millis(500);
/// How long a stopping primary waits for a successor.
const HANDOVER: Duration = Duration::from_secs(10);

/// Never give up waiting for an acknowledgement: the longest the variable takes, 49 days.
const WAIT_FOR_REPLICAS: &str = "SET GLOBAL rpl_semi_sync_master_timeout = 4294967295; \
                                 SET GLOBAL rpl_semi_sync_master_enabled = ON";

impl<H: Host> Role<H> {
    /// Takes the lock, if it and the lease still are what the claim was decided on: meanwhile somebody may have
    /// held it and gone, and a claim from before that would repeat their term.
    pub(super) async fn acquire(&self, claim: &Claim, view: &View) -> Result<(), String> {
        let Some(session) = self.lease.valid().filter(|session| view.lease.as_ref() == Some(session)) else {
            return Ok(());
        };
        let leader = self.leader(claim, &view.database);
        match self.registry.acquire(view.lock.index, &session, &leader).await.map_err(say)? {
            Ok(()) => self.log(Level::Info, format!("took the lock for term {}", claim.term)),
            Err(conflict) => self.log(Level::Debug, conflict),
        }
        self.read_lock().await.map_err(say)
    }

    /// The lock's value under this instance.
    pub(super) fn leader(&self, claim: &Claim, database: &decide::Database) -> Leader {
        Leader {
            holder: self.me().to_owned(),
            address: self.host.address().to_string(),
            term: claim.term,
            revision: 0,
            beat: 0,
            over: false,
            executed: database.executed.clone(),
            server: database.server.clone(),
            in_sync: claim.in_sync.clone(),
            copies: self.config.copies,
            founding: claim.founding,
            legacy: None,
        }
    }

    pub(super) async fn promote(&self, term: u64) -> Result<(), String> {
        let fresh = self.notes.borrow().phase == Phase::Installed;
        self.name_server().await?;
        if !fresh {
            self.database
                .query("STOP SLAVE; RESET SLAVE ALL; SET GLOBAL rpl_semi_sync_slave_enabled = OFF")
                .await
                .map_err(say)?;
            self.acknowledging.set(false);
            self.await_replicas().await?;
        }
        // Proves that the lock is ours, and has all others count from here on for how long that is so.
        self.change_reign(None, |leader| leader.beat += 1).await?;
        if !self.is_ours() || self.term() != term {
            return Err("the lock was lost before the promotion".to_owned());
        }
        self.writable.set(true);
        self.unanswered.set(true);
        self.changed.notify_waiters();
        let opened = self.database.query("SET GLOBAL super_read_only = OFF").await.map_err(say);
        self.unanswered.set(opened.is_err());
        let done = match opened {
            Ok(_) if fresh => self.set_up().await,
            other => other.map(drop),
        };
        match done {
            Ok(()) => self.become_role("primary", "took the lock"),
            // To be tried again from the beginning.
            Err(_) => self.demote("the promotion failed").await,
        }
        done
    }

    /// Creates what a new cluster begins with. Nobody is told of this primary yet, and its users are the
    /// first that could log in; that it waits for no replica meanwhile is as it must be, for no replica
    /// can log in either.
    async fn set_up(&self) -> Result<(), String> {
        let Config { database, app_user, app_password, repl_user, repl_password, .. } = &self.config;
        let statements = format!(
            "CREATE DATABASE IF NOT EXISTS `{database}`; \
             CREATE USER IF NOT EXISTS `{repl_user}`@`%` IDENTIFIED BY '{repl_password}'; \
             GRANT REPLICATION SLAVE ON *.* TO `{repl_user}`@`%`; \
             CREATE USER IF NOT EXISTS `{app_user}`@`%` IDENTIFIED BY '{app_password}'; \
             GRANT ALL ON `{database}`.* TO `{app_user}`@`%`"
        );
        self.database.query(&statements).await.map_err(say)?;
        self.await_replicas().await?;
        self.enter_phase(Phase::Joined).await
    }

    /// From here on, where there is to be more than one copy, a commit waits for an acknowledgement.
    async fn await_replicas(&self) -> Result<(), String> {
        let statements = match self.config.copies {
            1 => "SET GLOBAL rpl_semi_sync_master_enabled = OFF",
            _ if planted::is(Bug::SemiSyncFallsBack) => "SET GLOBAL rpl_semi_sync_master_enabled = ON",
            _ => WAIT_FOR_REPLICAS,
        };
        self.database.query(statements).await.map_err(say).map(drop)
    }

    /// Writes into the held lock what replicas need to know of its holder's database, if the lock was taken
    /// before there was one; and marks the cluster as one that exists: from here on no empty instance may
    /// begin another.
    async fn name_server(&self) -> Result<(), String> {
        let database = self.look().await.map_err(say)?;
        if self.seen.borrow().lock.leader.as_ref().is_some_and(|leader| leader.server == database.server) {
            return Ok(());
        }
        self.change_reign(None, |leader| {
            leader.server.clone_from(&database.server);
            leader.executed.clone_from(&database.executed);
            leader.in_sync.insert(database.server.clone(), leader.holder.clone());
            // From here on a write may be acknowledged where one copy is enough; and what was restored
            // was acknowledged once.
            leader.revision += 1;
            leader.founding &= self.config.copies > 1 && database.executed.is_empty();
        })
        .await?;
        self.mark().await
    }

    /// Gives up a lock that cannot be used.
    pub(super) async fn release(&self, why: &str) -> Result<(), String> {
        let session = self.lease.valid().ok_or("no lease")?;
        let leader = self.seen.borrow().lock.leader.clone().unwrap_or_default();
        self.log(Level::Warn, format!("giving up the lock: {why}"));
        self.registry.release(&session, &leader).await.map_err(say)?;
        self.read_lock().await.map_err(say)
    }

    /// Makes the database read-only, or ends it.
    pub(super) async fn demote(&self, why: &str) {
        if self.unanswered.get() {
            self.kill_database();
        } else {
            let statement = self.database.query("SET GLOBAL super_read_only = ON");
            match within(&self.host, DEMOTE_DEADLINE, statement).await {
                Some(Ok(_)) => {}
                _ if planted::is(Bug::DemotionNotEnforced) => {}
                _ => self.kill_database(),
            }
        }
        self.unanswered.set(false);
        self.writable.set(false);
        self.become_role("demoted", why);
    }

    /// Makes the database acknowledge nothing, or ends it. It goes on receiving.
    pub(super) async fn silence(&self, why: &str) {
        let statement = self.database.query(
            "STOP SLAVE IO_THREAD; SET GLOBAL rpl_semi_sync_slave_enabled = OFF; START SLAVE IO_THREAD",
        );
        match within(&self.host, DEMOTE_DEADLINE, statement).await {
            Some(Ok(_)) => self.log(Level::Info, format!("no longer acknowledging: {why}")),
            // What is not set up for any source receives nothing.
            _ if self.local.borrow().as_ref().is_some_and(|local| local.source.is_none()) => {}
            _ => self.kill_database(),
        }
        self.acknowledging.set(false);
    }

    pub(super) fn kill_database(&self) {
        if let Some(pid) = self.main_pid.get()
            && let Err(error) = self.host.kill(pid, Signal::Kill)
        {
            self.log(Level::Error, format!("cannot kill the database: {error}"));
        }
    }

    /// Stops being whatever this instance is: read-only first; then, if it holds the lock, leaves word of
    /// all there is, gives the lock up, and stays for those who still have to receive it.
    pub(super) async fn resign(&self) -> Result<(), String> {
        // Whatever became of the lease, nothing is written from here on.
        if self.writable.get() && !planted::is(Bug::ReleasedFirst) {
            self.demote("stopping").await;
        }
        if !self.is_ours() {
            return Ok(());
        }
        let session = self.lease.valid().ok_or("no lease")?;
        let Some(mut leader) = self.seen.borrow().lock.leader.clone() else {
            return Ok(());
        };
        // Without an answer there is no word to leave, and an election does without.
        if let Ok(database) = self.look().await
            && !database.writable
        {
            leader.legacy = Some(database.executed);
        }
        leader.revision += 1;
        leader.over = true;
        // Released, not lost: no lock-delay keeps a successor waiting.
        self.registry.release(&session, &leader).await.map_err(say)?;
        within(&self.host, HANDOVER, self.succeeded(&session)).await;
        if planted::is(Bug::ReleasedFirst) && self.writable.get() {
            self.demote("stopping").await;
        }
        Ok(())
    }

    /// After the end of the database: nobody has to wait for the lease, the session or the lock-delay.
    pub(super) async fn retire(&self) {
        let leader = self.seen.borrow().lock.leader.clone();
        if let (true, Some(session), Some(mut leader)) = (self.is_ours(), self.lease.valid(), leader) {
            leader.revision += 1;
            leader.over = true;
            if let Err(error) = self.registry.release(&session, &leader).await {
                self.log(Level::Warn, error.to_string());
            }
        }
        self.lease.destroy().await;
    }

    /// Completes when somebody holds the lock, or nobody is there who could.
    async fn succeeded(&self, session: &str) {
        let mut random = self.host.random("handover");
        loop {
            let heirs = self.registry.members(self.me()).await;
            if heirs.is_ok_and(|heirs| !heirs.iter().any(|heir| heir.live)) {
                return;
            }
            if self.read_lock().await.is_ok()
                && self.seen.borrow().lock.session.as_deref().is_some_and(|holder| holder != session)
            {
                return;
            }
            self.rest(&mut random, TURN / 2).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::collections::BTreeMap;
    use std::rc::Rc;

    use super::*;
    use crate::memory::fly;

    /// A Consul with one session and a lock at some index, which says yes to every transaction and keeps it.
    #[test]
    fn a_lock_is_taken_as_it_was_when_that_was_decided() {
        fly(|host| async move {
            let index = Rc::new(Cell::new(7));
            let taken = Rc::new(RefCell::new(Vec::new()));
            let (served, kept) = (Rc::clone(&index), Rc::clone(&taken));
            host.serve(move |_, path, body| {
                let answer = match path.split('?').next() {
                    Some("/v1/session/create") => r#"{"ID":"s"}"#.to_owned(),
                    Some("/v1/kv/mysql-primary") => {
                        format!(r#"[{{"Key":"mysql-primary","Value":null,"LockIndex":0,"Flags":0,"CreateIndex":1,"ModifyIndex":{}}}]"#, served.get())
                    }
                    Some("/v1/txn") => {
                        kept.borrow_mut().push(String::from_utf8_lossy(&body).into_owned());
                        r#"{"Results":null,"Errors":null}"#.to_owned()
                    }
                    other => panic!("{other:?}"),
                };
                async move { (200, Vec::new(), answer.into_bytes()) }
            });
            let role = Role::of_tests(host.clone());
            let life = async {
                while role.lease.valid().is_none() {
                    host.sleep(Duration::from_millis(10)).await;
                }
                role.read_lock().await.unwrap();
                let view = role.view(decide::Database::default(), Vec::new());
                let claim = Claim { term: 1, in_sync: BTreeMap::new(), founding: true };
                // Meanwhile somebody took it and gave it up.
                index.set(9);
                role.read_lock().await.unwrap();
                role.acquire(&claim, &view).await.unwrap();
                let as_seen = role.view(decide::Database::default(), Vec::new());
                role.acquire(&claim, &as_seen).await.unwrap();
                let another = View { lease: Some("before".to_owned()), ..as_seen };
                role.acquire(&claim, &another).await.unwrap();
            };
            tokio::select! {
                biased;
                () = role.lease.keep(|_| async { Ok(()) }) => {}
                () = life => {}
            }
            let taken = taken.borrow();
            let of = |index| {
                format!(r#"[{{"KV":{{"Verb":"check-index","Key":"mysql-primary","Index":{index}}}}},"#)
            };
            assert_eq!(taken.len(), 2, "not under another lease");
            assert!(taken[0].starts_with(&of(7)) && taken[1].starts_with(&of(9)), "{taken:?}");
        });
    }
}
