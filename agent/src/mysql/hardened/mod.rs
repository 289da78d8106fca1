//! The hardened handlers: one role, one writer, derived again and again from what is.
//!
//! A [`Role`] is the agent's built-in set of [`Hooks`]. Its parts:
//!
//! - `lease`: the agent's session in Consul and until when it can be relied on;
//! - `registry`: what instances tell each other through Consul's keys;
//! - [`mod@decide`]: what to do next, a pure function with its table of states;
//! - `provision`: an empty instance's way to data, before the database starts;
//! - this file: looking, deciding, doing, while the database runs.
//!
//! The database always starts read-only. Only [`Action::Promote`] makes it writable, and whatever the
//! role is doing when its lease ends is dropped at once in favour of [`Action::Demote`]; where the
//! database does not answer to that, its process is killed.

pub mod decide;
mod lease;
mod provision;
mod registry;

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use rand::RngExt;
use tokio::sync::Notify;

use self::decide::{Action, Leader, Lock, Member, View, decide};
use self::lease::Lease;
use self::registry::{Registry, Snapshot};
use super::published::Intervals;
use super::snapshots::Snapshots;
use super::{Config, Database, DatabaseError};
use crate::consul::{Consistency, Consul, ServiceInstance};
use crate::host::{Host, Signal, within};
use crate::journal::{Entry, Level};
use crate::pilot::{Advertisement, Hook, HookError, Hooks};

/// How long a blocking query on the lock waits.
const LOCK_WAIT: Duration = Duration::from_secs(30);
/// How often things are looked at again while something is to be decided.
const TURN: Duration = Duration::from_secs(1);
/// Pauses double this often, from half a [`TURN`] to eight of them.
const BACK_OFF_MAX: u32 = 5;
/// How long a primary's database has to become read-only before it is killed.
const DEMOTE_DEADLINE: Duration = Duration::from_millis(500);
/// How often a primary takes a new snapshot.
const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(3_600);

/// What is on no replica is not acknowledged, however long that takes: 49 days is the longest MySQL waits.
const SEMI_SYNC: &str =
    "SET GLOBAL rpl_semi_sync_master_timeout = 4294967295; SET GLOBAL rpl_semi_sync_master_enabled = ON";

/// The file that says a data directory is complete.
const READY_FILE: &str = "/var/lib/mysql/ironbird-ready";

/// What the role last saw of Consul's side.
#[derive(Debug, Default)]
struct Seen {
    lock: Lock,
    index: u64,
    /// Since when the lock has been free; `None` while it is held or unknown.
    free_since: Option<Duration>,
    /// Whether the lock was read at all.
    known: bool,
}

/// How to rest when there is nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// Everything is as it should be.
    UntilChange,
    /// Something is not there yet and may take its time.
    BackOff,
    /// Others are about to act.
    Turn,
}

/// The built-in role of a MySQL instance.
pub struct Role<H: Host> {
    host: H,
    config: Config,
    advertisement: Advertisement,
    registry: Registry<H>,
    lease: Lease<H>,
    snapshots: Snapshots<H>,
    database: Database<H>,
    seen: RefCell<Seen>,
    /// What the database last said of itself.
    local: RefCell<Option<decide::Database>>,
    /// The session under which, and the term for which, the position is published.
    published: RefCell<Option<(String, u64)>>,
    role: RefCell<&'static str>,
    /// Whether the database may take writes: from before it is told to until it is known not to.
    writable: Cell<bool>,
    main_pid: Cell<Option<u32>>,
    changed: Rc<Notify>,
}

impl<H: Host> Role<H> {
    /// A role that has not begun.
    pub fn new(host: H, config: Config, advertisement: Advertisement) -> Self {
        let consul = Consul::new(host.clone(), config.consul).consistency(Consistency::Consistent);
        let changed = Rc::new(Notify::new());
        Self {
            lease: Lease::new(
                host.clone(),
                consul.clone(),
                config.session_ttl,
                config.lock_delay,
                Rc::clone(&changed),
            ),
            registry: Registry::new(consul),
            snapshots: Snapshots::new(host.clone(), config.store),
            database: Database::new(host.clone(), "root", ""),
            seen: RefCell::default(),
            local: RefCell::default(),
            published: RefCell::default(),
            role: RefCell::new("none"),
            writable: Cell::new(false),
            main_pid: Cell::new(None),
            changed,
            host,
            config,
            advertisement,
        }
    }

    fn log(&self, level: Level, message: impl Into<String>) {
        self.host.journal(Entry::log(level, "role", message));
    }

    /// Tells of a new role, and advertises it.
    fn become_role(&self, to: &'static str, why: &str) {
        let from = self.role.replace(to);
        self.advertisement.advertise(match to {
            "primary" => Some(Config::PRIMARY),
            "replica" => Some(Config::REPLICA),
            _ => None,
        });
        if from != to {
            let term = self.seen.borrow().lock.leader.as_ref().map_or(0, |leader| leader.term);
            self.host.journal(Entry::Role {
                from: from.to_owned(),
                to: to.to_owned(),
                term,
                why: why.to_owned(),
            });
        }
    }

    // Looking.

    /// Follows the primary's lock. Never ends.
    async fn watch_lock(&self) {
        let mut index = 0;
        loop {
            match self.registry.consul().kv().get_blocking(Config::PRIMARY_KEY, index, LOCK_WAIT).await {
                Ok(answer) => {
                    index = answer.next_index(index);
                    self.see_lock(answer.value.as_ref());
                }
                Err(error) => {
                    self.log(Level::Debug, error.to_string());
                    self.host.sleep(TURN).await;
                }
            }
        }
    }

    fn see_lock(&self, entry: Option<&crate::consul::KvEntry>) {
        let (lock, index) = Registry::<H>::lock(entry);
        let mut seen = self.seen.borrow_mut();
        if seen.known && seen.index == index {
            return;
        }
        seen.free_since = match (&lock.session, seen.free_since) {
            (Some(_), _) => None,
            (None, Some(since)) => Some(since),
            (None, None) => Some(self.host.now()),
        };
        seen.lock = lock;
        seen.index = index;
        seen.known = true;
        drop(seen);
        self.changed.notify_waiters();
    }

    /// Reads the lock now, rather than when the watch tells.
    async fn read_lock(&self) -> Result<(), crate::consul::Error> {
        let entry = self.registry.consul().kv().get(Config::PRIMARY_KEY).await?;
        self.see_lock(entry.as_ref());
        Ok(())
    }

    /// Asks the database about itself.
    async fn look(&self) -> Result<decide::Database, DatabaseError> {
        let rows = self
            .database
            .query("SELECT @@GLOBAL.gtid_executed, @@GLOBAL.super_read_only, @@GLOBAL.server_uuid; SHOW SLAVE STATUS\\G")
            .await;
        let parsed = rows.and_then(|rows| parse_status(&rows));
        if parsed.as_ref().is_ok_and(|database| database.writable) {
            self.writable.set(true);
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

    fn view(&self, database: decide::Database, members: Vec<Member>) -> View {
        let seen = self.seen.borrow();
        let lease = self.lease.valid();
        let published = self.published.borrow();
        View {
            me: self.host.hostname().to_owned(),
            prepared_for: published
                .as_ref()
                .filter(|(session, _)| lease.as_deref() == Some(session))
                .map_or(0, |(_, term)| *term),
            lease,
            lock: seen.lock.clone(),
            database,
            members,
            free_for: seen.free_since.map_or(Duration::ZERO, |since| self.host.now().saturating_sub(since)),
            patience: 2 * self.config.session_ttl + self.config.lock_delay,
        }
    }

    // Doing.

    /// Looks, decides and does, for as long as the database runs; and drops all that when it must not be
    /// writable any more.
    async fn reconcile(&self) {
        let mut random = self.host.random("election");
        loop {
            tokio::select! {
                biased;
                why = self.deposed() => self.demote(why).await,
                never = self.take_turns(&mut random) => match never {},
            }
        }
    }

    /// Completes when the database may be writable and must not be. It does not ask the database, which
    /// may have no answer to give.
    async fn deposed(&self) -> &'static str {
        loop {
            let changed = self.changed.notified();
            if !self.writable.get() {
                changed.await;
                continue;
            }
            if let Some(why) = decide::deposed(self.lease.valid().as_deref(), &self.seen.borrow().lock) {
                return why;
            }
            tokio::select! {
                biased;
                () = self.lease.ended() => {}
                () = changed => {}
            }
        }
    }

    async fn take_turns(&self, random: &mut impl rand::Rng) -> Infallible {
        let mut waited: u32 = 0;
        loop {
            let changed = self.changed.notified();
            let pause = match self.turn().await {
                // Nothing to do until something changes; health checks look at the database meanwhile.
                Ok((Action::Wait, Rest::UntilChange)) => {
                    changed.await;
                    waited = 0;
                    continue;
                }
                Ok((Action::Wait, Rest::BackOff)) => {
                    waited = (waited + 1).min(BACK_OFF_MAX);
                    TURN / 4 * 2_u32.pow(waited)
                }
                Ok((Action::Wait | Action::Acquire { .. }, _)) => TURN,
                Ok(_) => {
                    waited = 0;
                    continue;
                }
                Err(error) => {
                    self.log(Level::Debug, error);
                    TURN / 2
                }
            };
            tokio::select! {
                biased;
                () = changed => waited = 0,
                () = self.host.sleep(pause.mul_f64(random.random_range(0.5..1.0))) => {}
            }
        }
    }

    /// One turn: the action taken, and how to rest after none.
    async fn turn(&self) -> Result<(Action, Rest), String> {
        let mut database = self.look().await.map_err(say)?;
        if database.executed.is_empty() && self.adopt_snapshot().await? {
            database = self.look().await.map_err(say)?;
        }
        if !self.seen.borrow().known && !database.writable {
            return Ok((Action::Wait, Rest::BackOff));
        }
        let free = self.seen.borrow().lock.session.is_none();
        let members = if free && !database.writable {
            self.registry.members(self.host.hostname()).await.map_err(say)?
        } else {
            Vec::new()
        };
        let action = decide(&self.view(database.clone(), members));
        match &action {
            Action::Wait => {
                let settled = self.settle(&database);
                let rest = match (free, settled && self.is_published()) {
                    (true, _) => Rest::Turn,
                    (false, true) => Rest::UntilChange,
                    (false, false) => Rest::BackOff,
                };
                return Ok((action, rest));
            }
            Action::Demote { why } => self.demote(why).await,
            // Whatever else it is doing, the end of the lease comes first.
            other => tokio::select! {
                biased;
                () = self.lease.ended(), if matches!(other, Action::Promote { .. }) => {
                    return Err("the lease ended".to_owned());
                }
                done = self.act(other, &database) => done?,
            },
        }
        Ok((action, Rest::Turn))
    }

    /// Says which role this is when nothing is left to be done about it; whether it has one.
    fn settle(&self, database: &decide::Database) -> bool {
        if database.writable {
            self.become_role("primary", "holds the lock");
        } else if database.connected && database.applying {
            self.become_role("replica", "replicates");
        } else {
            return false;
        }
        true
    }

    fn is_published(&self) -> bool {
        let lease = self.lease.valid();
        self.published.borrow().as_ref().map(|(session, _)| session) == lease.as_ref()
    }

    async fn act(&self, action: &Action, database: &decide::Database) -> Result<(), String> {
        match action {
            Action::Wait | Action::Demote { .. } => {}
            Action::Promote { term } => self.promote(*term, database).await?,
            Action::Follow { address } => {
                let Config { repl_user, repl_password, .. } = &self.config;
                self.database
                    .query(&format!(
                        "STOP SLAVE; CHANGE MASTER TO MASTER_HOST = '{address}', MASTER_PORT = {}, \
                         MASTER_USER = '{repl_user}', MASTER_PASSWORD = '{repl_password}', \
                         MASTER_CONNECT_RETRY = 1, MASTER_AUTO_POSITION = 1; START SLAVE",
                        Config::PORT
                    ))
                    .await
                    .map_err(say)?;
                self.log(Level::Info, format!("following {address}"));
            }
            Action::Prepare { term } => {
                self.become_role("candidate", "the lock is free");
                if database.source.is_some() {
                    self.database.query("STOP SLAVE IO_THREAD").await.map_err(say)?;
                }
                // What is published must be what is there after the receiver stopped.
                let position = self.look().await.map_err(say)?.position();
                self.publish(&position, *term).await?;
            }
            Action::Acquire { term } => self.acquire(*term, database).await?,
            Action::Reclone { why } => {
                self.become_role("stuck", why);
                self.host.remove(Path::new(Config::DATA_DIRECTORY)).await.map_err(say)?;
                self.kill_database();
            }
        }
        Ok(())
    }

    async fn publish(&self, executed: &super::GtidSet, term: u64) -> Result<(), String> {
        let Some(session) = self.lease.valid() else {
            return Err("no lease to publish under".to_owned());
        };
        if !self.registry.publish(self.host.hostname(), &session, executed, term).await.map_err(say)? {
            return Err("the position cannot be published yet".to_owned());
        }
        *self.published.borrow_mut() = Some((session, term));
        Ok(())
    }

    async fn acquire(&self, term: u64, database: &decide::Database) -> Result<(), String> {
        let Some(session) = self.lease.valid() else {
            return Ok(());
        };
        let index = self.seen.borrow().index;
        let leader = self.leader(term, database);
        match self.registry.acquire(index, &session, &leader).await.map_err(say)? {
            Ok(()) => self.log(Level::Info, format!("took the lock for term {term}")),
            Err(conflict) => self.log(Level::Debug, conflict),
        }
        self.read_lock().await.map_err(say)
    }

    async fn promote(&self, term: u64, database: &decide::Database) -> Result<(), String> {
        let fresh = database.executed.is_empty();
        let Config { database: name, app_user, app_password, repl_user, repl_password, .. } = &self.config;
        let statements = if fresh {
            // The lock was taken before the database had a name to commit under.
            self.name_server(term, database).await?;
            // Nobody can log in before the users exist, and nobody could acknowledge their creation.
            format!(
                "SET GLOBAL super_read_only = OFF; \
                 CREATE DATABASE IF NOT EXISTS `{name}`; \
                 CREATE USER `{repl_user}`@`%` IDENTIFIED BY '{repl_password}'; \
                 GRANT REPLICATION SLAVE ON *.* TO `{repl_user}`@`%`; \
                 CREATE USER `{app_user}`@`%` IDENTIFIED BY '{app_password}'; \
                 GRANT ALL ON `{name}`.* TO `{app_user}`@`%`; \
                 {SEMI_SYNC}"
            )
        } else {
            format!("STOP SLAVE; RESET SLAVE ALL; {SEMI_SYNC}; SET GLOBAL super_read_only = OFF")
        };
        self.writable.set(true);
        self.changed.notify_waiters();
        self.database.query(&statements).await.map_err(say)?;
        self.become_role("primary", "took the lock");
        Ok(())
    }

    /// Writes into the held lock what replicas need to know of its holder's database.
    async fn name_server(&self, term: u64, database: &decide::Database) -> Result<(), String> {
        let session = self.lease.valid().ok_or("no lease")?;
        let leader = self.leader(term, database);
        self.registry
            .rewrite(&session, &leader)
            .await
            .map_err(say)?
            .then_some(())
            .ok_or("the lock is not ours")?;
        self.read_lock().await.map_err(say)
    }

    fn leader(&self, term: u64, database: &decide::Database) -> Leader {
        Leader {
            holder: self.host.hostname().to_owned(),
            address: self.host.address().to_string(),
            term,
            executed: database.executed.clone(),
            server: database.server.clone(),
        }
    }

    /// Makes the database read-only, or ends it.
    async fn demote(&self, why: &str) {
        let statement = self.database.query("SET GLOBAL super_read_only = ON");
        match within(&self.host, DEMOTE_DEADLINE, statement).await {
            Some(Ok(_)) => {}
            _ => self.kill_database(),
        }
        self.writable.set(false);
        self.become_role("demoted", why);
    }

    fn kill_database(&self) {
        if let Some(pid) = self.main_pid.get()
            && let Err(error) = self.host.kill(pid, Signal::Kill)
        {
            self.log(Level::Error, format!("cannot kill the database: {error}"));
        }
    }

    /// Publishes where this instance stands whenever it has a new session. Never ends.
    async fn keep_published(&self) {
        loop {
            let changed = self.changed.notified();
            let executed = self.local.borrow().as_ref().map(|local| local.executed.clone());
            let pause = match executed {
                Some(executed) if self.lease.valid().is_some() && !self.is_published() => {
                    match self.publish(&executed, 0).await {
                        Ok(()) => {
                            self.changed.notify_waiters();
                            continue;
                        }
                        Err(error) => {
                            self.log(Level::Debug, error);
                            TURN
                        }
                    }
                }
                _ => Duration::MAX,
            };
            tokio::select! {
                biased;
                () = changed, if pause == Duration::MAX => {}
                () = self.host.sleep(pause), if pause < Duration::MAX => {}
            }
        }
    }

    /// Takes a snapshot whenever this is the primary and the last one is missing or old. Never ends.
    async fn keep_snapshot(&self) {
        let mut fresh_until = Duration::ZERO;
        loop {
            let changed = self.changed.notified();
            let now = self.host.now();
            if *self.role.borrow() != "primary" {
                changed.await;
                continue;
            }
            if now < fresh_until {
                tokio::select! {
                    biased;
                    () = changed => {}
                    () = self.host.sleep(fresh_until - now) => {}
                }
                continue;
            }
            match self.snapshot(fresh_until.is_zero()).await {
                Ok(()) => fresh_until = self.host.now() + SNAPSHOT_INTERVAL,
                Err(error) => {
                    self.log(Level::Warn, format!("no snapshot: {error}"));
                    self.host.sleep(TURN).await;
                }
            }
        }
    }

    /// Takes a snapshot; with `unless_known` only if there is none yet.
    async fn snapshot(&self, unless_known: bool) -> Result<(), String> {
        let (known, index) = self.registry.snapshot().await.map_err(say)?;
        if unless_known && known.is_some() {
            return Ok(());
        }
        let session = self.lease.valid().ok_or("no lease")?;
        let term = self.seen.borrow().lock.leader.as_ref().map_or(0, |leader| leader.term);
        let executed = self.look().await.map_err(say)?.executed;
        let content = self.database.backup().await.map_err(say)?;
        let id = format!("snapshot-{term}-{}", executed.len());
        self.snapshots.put(&id, content).await.map_err(say)?;
        let snapshot = Snapshot { id: id.clone(), executed, term };
        self.registry.record_snapshot(&session, index, &snapshot).await.map_err(say)??;
        self.log(Level::Info, format!("snapshot {id} is usable"));
        Ok(())
    }

    /// Once a primary, forgets members that are gone and whose data it holds.
    async fn tidy_members(&self) -> Result<(), crate::consul::Error> {
        let Some(executed) = self.local.borrow().as_ref().map(|local| local.executed.clone()) else {
            return Ok(());
        };
        for member in self.registry.members(self.host.hostname()).await? {
            if !member.live && executed.includes(&member.executed) {
                self.registry.forget(&member.name).await?;
            }
        }
        Ok(())
    }
}

impl<H: Host> Hooks<H> for Role<H> {
    async fn pre_start(&self) -> Result<(), HookError> {
        tokio::select! {
            biased;
            () = self.lease.keep() => Ok(()),
            () = self.watch_lock() => Ok(()),
            provisioned = self.provision() => provisioned.map_err(HookError::Failed),
        }
    }

    async fn health(&self) -> Result<(), HookError> {
        let local = self.look().await.map_err(|error| HookError::Failed(error.to_string()))?;
        let lease = self.lease.valid();
        let ours = lease.is_some() && self.seen.borrow().lock.session == lease;
        match *self.role.borrow() {
            "primary" if local.writable && ours => Ok(()),
            "replica" if local.connected && local.applying => Ok(()),
            role => Err(HookError::Failed(format!("{role}: {}", describe(&local)))),
        }
    }

    async fn on_change(&self, _watch: &str, _instances: &[ServiceInstance]) -> Result<(), HookError> {
        Ok(())
    }

    async fn pre_stop(&self) -> Result<(), HookError> {
        // The role no longer acts by now. Whatever became of the lease, nothing is written from here on.
        if self.local.borrow().as_ref().is_none_or(|local| local.writable) {
            self.demote("stopping").await;
        }
        let Some(session) = self.lease.valid() else { return Ok(()) };
        let lock = self.seen.borrow().lock.clone();
        if let (Some(holder), Some(leader)) = (lock.session, lock.leader)
            && holder == session
        {
            // Released, not lost: no lock-delay keeps a successor waiting.
            self.registry
                .release(&session, &leader)
                .await
                .map_err(|error| HookError::Failed(error.to_string()))?;
        }
        Ok(())
    }

    async fn post_stop(&self) -> Result<(), HookError> {
        // Also when the database ended by itself, or was never started: nobody has to wait for the TTL.
        self.lease.destroy().await;
        Ok(())
    }

    fn handles(&self, hook: Hook<'_>) -> bool {
        matches!(hook, Hook::PreStart | Hook::Health | Hook::PreStop | Hook::PostStop)
    }

    fn main_started(&self, pid: u32) {
        self.main_pid.set(Some(pid));
    }

    async fn run(&self) {
        let tidy = async {
            loop {
                let changed = self.changed.notified();
                if *self.role.borrow() == "primary" {
                    if let Err(error) = self.tidy_members().await {
                        self.log(Level::Debug, error.to_string());
                    }
                    self.host.sleep(self.config.session_ttl * 4).await;
                }
                changed.await;
            }
        };
        tokio::select! {
            biased;
            () = self.lease.keep() => {}
            () = self.reconcile() => {}
            () = self.watch_lock() => {}
            () = self.keep_published() => {}
            () = self.keep_snapshot() => {}
            () = tidy => {}
        }
    }
}

/// The pilot's configuration for an instance with this role.
pub fn pilot_config(consul: SocketAddr, intervals: &Intervals) -> String {
    let seconds = |duration: Duration| humantime::format_duration(duration).to_string();
    format!(
        r#"consul = {{ address = "{consul}" }}

[main]
command = ["mysqld", "--console", "--log-bin=mysql-bin", "--log_slave_updates=ON", "--gtid-mode=ON", "--enforce-gtid-consistency=ON", "--super-read-only=ON", "--skip-slave-start", "--rpl-semi-sync-slave-enabled=ON"]

[service]
name = "mysql"
port = 3306
interval = "{health}"
ttl = "{ttl}"

[hooks]
pre-start = {{ timeout = "1day" }}
"#,
        health = seconds(intervals.health),
        ttl = seconds(intervals.ttl),
    )
}

fn parse_status(rows: &[String]) -> Result<decide::Database, DatabaseError> {
    let unexpected =
        || DatabaseError::Unexpected { statement: "status".to_owned(), answer: rows.join(" | ") };
    let (head, status) = rows.split_first().ok_or_else(unexpected)?;
    let mut fields = head.split('\t');
    let mut next = || fields.next().ok_or_else(unexpected);
    let executed: super::GtidSet = next()?.parse().map_err(|_| unexpected())?;
    let writable = next()? == "0";
    let server = next()?.to_owned();
    let get = |name: &str| {
        status
            .iter()
            .find_map(|row| row.trim_start().strip_prefix(name)?.strip_prefix(": "))
            .unwrap_or_default()
    };
    let receiver = get("Slave_IO_Running");
    let retrieved: super::GtidSet = get("Retrieved_Gtid_Set").parse().map_err(|_| unexpected())?;
    Ok(decide::Database {
        retrieved,
        executed,
        server,
        writable,
        source: Some(get("Master_Host")).filter(|host| !host.is_empty()).map(str::to_owned),
        receiving: matches!(receiver, "Yes" | "Connecting"),
        connected: receiver == "Yes",
        applying: get("Slave_SQL_Running") == "Yes",
        receiver_error: get("Last_IO_Error").to_owned(),
        applier_error: get("Last_SQL_Error").to_owned(),
    })
}

fn describe(database: &decide::Database) -> String {
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

fn say(error: impl std::fmt::Display) -> String {
    error.to_string()
}
