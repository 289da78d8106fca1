//! What goes into a view: the lock and the members as Consul tells them, the database as it tells of
//! itself. Watches keep it up to date and wake whoever decides.

use std::time::Duration;

use super::decide::{self, Member, View};
use super::registry::Registry;
use super::{Role, TURN};
use crate::host::Host;
use crate::journal::Level;
use crate::mysql::{Config, DatabaseError, GtidSet};
use crate::planted::{self, Bug};

/// How long a blocking query waits.
const WATCH: Duration = Duration::from_secs(30);

/// What the database is asked about itself.
const STATUS: &str = "SELECT @@GLOBAL.gtid_executed, @@GLOBAL.super_read_only, @@GLOBAL.server_uuid, \
                      @@GLOBAL.rpl_semi_sync_slave_enabled; SHOW SLAVE STATUS\\G";

impl<H: Host> Role<H> {
    /// Follows the primary's lock. Never ends.
    pub(super) async fn watch_lock(&self) {
        let mut random = self.host.random("watch-lock");
        let mut index = 0;
        loop {
            match self.registry.consul().kv().get_blocking(Config::PRIMARY_KEY, index, WATCH).await {
                Ok(answer) if planted::is(Bug::IndexOnlyGrows) && answer.index < index => {}
                Ok(answer) => {
                    index = answer.next_index(index);
                    self.see_lock(answer.value.as_ref());
                }
                Err(error) => {
                    // Who answers next may know less; to wait for more than it has would be to miss it.
                    index = if planted::is(Bug::IndexOnlyGrows) { index } else { 0 };
                    self.log(Level::Debug, error.to_string());
                    self.rest(&mut random, TURN * 2).await;
                }
            }
        }
    }

    /// Follows what the others publish, while this instance holds the lock. Never ends.
    pub(super) async fn watch_members(&self) {
        let mut random = self.host.random("watch-members");
        let mut index = 0;
        loop {
            let changed = self.changed.notified();
            if !self.is_ours() {
                self.seen.borrow_mut().members = None;
                index = 0;
                changed.await;
                continue;
            }
            match self.registry.members_after(self.me(), index, WATCH).await {
                Ok(answer) => {
                    index = answer.next_index(index);
                    let news = self.seen.borrow().members.as_ref() != Some(&answer.value);
                    self.seen.borrow_mut().members = Some(answer.value);
                    if news {
                        self.changed.notify_waiters();
                    }
                }
                Err(error) => {
                    // Who answers next may know less; to wait for more than it has would be to miss it.
                    index = 0;
                    self.log(Level::Debug, error.to_string());
                    self.rest(&mut random, TURN * 2).await;
                }
            }
        }
    }

    /// Follows the record of the last snapshot, while this instance holds the lock. Never ends.
    pub(super) async fn watch_snapshot(&self) {
        let mut random = self.host.random("watch-snapshot");
        let mut index = 0;
        loop {
            let changed = self.changed.notified();
            if !self.is_ours() {
                index = 0;
                changed.await;
                continue;
            }
            match self.registry.has_snapshot_after(index, WATCH).await {
                Ok(answer) => {
                    index = answer.next_index(index);
                    let discarded = !answer.value;
                    if std::mem::replace(&mut self.seen.borrow_mut().discarded, discarded) != discarded {
                        self.changed.notify_waiters();
                    }
                }
                Err(error) => {
                    index = 0;
                    self.log(Level::Debug, error.to_string());
                    self.rest(&mut random, TURN * 2).await;
                }
            }
        }
    }

    pub(super) fn see_lock(&self, entry: Option<&crate::consul::KvEntry>) {
        let lock = Registry::<H>::lock(entry);
        let mut seen = self.seen.borrow_mut();
        if planted::is(Bug::FirstEdgeMissed) && !seen.known && entry.is_none() {
            return;
        }
        // A Consul that began anew may come to the same index with something else.
        if seen.known && seen.lock == lock {
            return;
        }
        seen.free_since = match (&lock.session, seen.free_since) {
            (Some(_), _) => None,
            (None, Some(since)) => Some(since),
            (None, None) => Some(self.host.now()),
        };
        let beat = |lock: &decide::Lock| lock.leader.as_ref().map(|leader| (leader.term, leader.beat));
        if !seen.known || (lock.leader.is_some() && beat(&lock) != beat(&seen.lock)) {
            seen.heard_at = self.host.now();
        }
        seen.lock = lock;
        seen.known = true;
        drop(seen);
        self.changed.notify_waiters();
    }

    /// Reads the lock now, rather than when the watch tells.
    pub(super) async fn read_lock(&self) -> Result<(), crate::consul::Error> {
        let entry = self.registry.consul().kv().get(Config::PRIMARY_KEY).await?;
        self.see_lock(entry.as_ref());
        Ok(())
    }

    /// Whether this instance holds the lock under its present lease.
    pub(super) fn is_ours(&self) -> bool {
        decide::deposed(self.lease.valid().as_deref(), &self.seen.borrow().lock).is_none()
    }

    /// Asks the database about itself.
    pub(super) async fn look(&self) -> Result<decide::Database, DatabaseError> {
        let parsed = self.database.query(STATUS).await.and_then(|rows| parse(&rows));
        if let Ok(database) = &parsed {
            self.writable.set(self.writable.get() || database.writable);
            self.acknowledging.set(self.acknowledging.get() || database.acknowledging);
        }
        let mut local = self.local.borrow_mut();
        let news = match (&*local, &parsed) {
            (Some(before), Ok(now)) => !before.same_but_position(now),
            (None, Err(_)) => false,
            _ => true,
        };
        *local = parsed.as_ref().ok().cloned();
        drop(local);
        if news {
            self.changed.notify_waiters();
        }
        parsed
    }

    /// Everything known, to decide on.
    pub(super) fn view(&self, database: decide::Database, members: Vec<Member>) -> View {
        let seen = self.seen.borrow();
        let lease = self.lease.valid();
        let published = self.published.borrow();
        View {
            me: self.me().to_owned(),
            copies: self.config.copies,
            published: published
                .as_ref()
                .filter(|(session, _)| lease.as_deref() == Some(session))
                .map(|(_, position)| position.clone()),
            lease,
            lock: seen.lock.clone(),
            remembered: self.notes.borrow().reign.clone(),
            database,
            members,
            free_for: seen.free_since.map_or(Duration::ZERO, |since| self.host.now().saturating_sub(since)),
            hearing_for: self.lease.age(),
            quiet_for: self.host.now().saturating_sub(seen.heard_at),
            lease_length: self.lease.length(),
            patience: self.config.patience(),
        }
    }
}

/// Reads the answer to [`STATUS`]: a row of variables, then one `name: value` a row where there is a source.
fn parse(rows: &[String]) -> Result<decide::Database, DatabaseError> {
    let unexpected =
        || DatabaseError::Unexpected { statement: "status".to_owned(), answer: rows.join(" | ") };
    let (head, status) = rows.split_first().ok_or_else(unexpected)?;
    let mut fields = head.split('\t');
    let mut next = || fields.next().ok_or_else(unexpected);
    let executed: GtidSet = next()?.parse().map_err(|_| unexpected())?;
    let writable = next()? == "0";
    let server = next()?.to_owned();
    let acknowledging = next()? == "1";
    let get = |name: &str| {
        status
            .iter()
            .find_map(|row| row.trim_start().strip_prefix(name)?.strip_prefix(": "))
            .unwrap_or_default()
    };
    let receiver = get("Slave_IO_Running");
    let retrieved: GtidSet = get("Retrieved_Gtid_Set").parse().map_err(|_| unexpected())?;
    Ok(decide::Database {
        retrieved,
        executed,
        server,
        writable,
        acknowledging,
        source: Some(get("Master_Host")).filter(|host| !host.is_empty()).map(str::to_owned),
        receiving: matches!(receiver, "Yes" | "Connecting"),
        connected: receiver == "Yes",
        applying: get("Slave_SQL_Running") == "Yes",
        receiver_error: get("Last_IO_Error").to_owned(),
        applier_error: get("Last_SQL_Error").to_owned(),
    })
}

/// The database's state in a few words.
pub(super) fn describe(database: &decide::Database) -> String {
    let yes = |yes| if yes { "yes" } else { "no" };
    format!(
        "writable {}, receiving {}, applying {}, errors `{}` and `{}`",
        yes(database.writable),
        yes(database.connected),
        yes(database.applying),
        database.receiver_error,
        database.applier_error
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_status_is_read_as_mysql_prints_it() {
        let database = parse(&rows(
            "a:1-5,b:1\t1\tserver-b\t1\n\
             *************************** 1. row ***************************\n\
             \x20              Slave_IO_State: Waiting for master to send event\n\
             \x20                 Master_Host: 10.0.0.1\n\
             \x20            Slave_IO_Running: Yes\n\
             \x20           Slave_SQL_Running: No\n\
             \x20              Last_SQL_Error: Error 'Duplicate entry' on query\n\
             \x20          Retrieved_Gtid_Set: a:1-7",
        ))
        .unwrap();
        assert_eq!(database.executed, "a:1-5,b:1".parse().unwrap());
        assert_eq!(database.retrieved, "a:1-7".parse().unwrap());
        assert_eq!(database.source.as_deref(), Some("10.0.0.1"));
        assert!(database.acknowledging && database.receiving && database.connected);
        assert!(!database.writable && !database.applying);
        assert_eq!(database.applier_error, "Error 'Duplicate entry' on query");
    }

    #[test]
    fn an_answer_that_makes_no_sense_is_an_error_and_not_an_empty_database() {
        for text in ["", "a:1-5", "a:x\t1\tserver-b\t1", "a:1\t1"] {
            assert!(parse(&rows(text)).is_err(), "{text}");
        }
    }
}
