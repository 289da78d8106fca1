//! The handlers of April 2016, as a program that hooks start: `triton-mysql [health | on_change |
//! create_snapshot]`, without an argument the preStart hook.
//!
//! This is the state machine of `autopilotpattern/mysql` r1.0.0, the code the article ran, with everything
//! that is wrong with it. It is kept for the record: each defect below is one that can be shown. It
//! must not be mended; [`hardened`](super::hardened) is the mended one.
//!
//! - An instance that loses the race for the lock runs the bootstrap again and then *falls through* and
//!   goes on as primary (`run_as_primary`).
//! - A replica that finds no snapshot initialises an empty database, cannot log in to it, swallows the
//!   error and reports success (`run_replica`). Its data directory exists from then on, so nothing ever
//!   tries again (autopilotpattern/mysql issues 22, 29 and 38).
//! - Whether there is a holder is asked before the lock is taken, and whoever finds none initialises.
//! - The session's id lives in a file. One is created for every attempt while the lock-delay lasts.
//! - Nothing ever makes a database read-only; a primary that lost its lock keeps writing.
//! - A restored replica does not tell its database which transactions the snapshot holds. Whether that
//!   matters is up to `innobackupex`: one that sets `gtid_purged` by itself hides it (issue 71).
//! - Every try to find the primary waits half a minute for the catalog to call it healthy, and ends in
//!   "Tried replication setup, but primary is set and not healthy." (issue 23).

mod consul;
mod pilot;
mod snapshots;

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use super::snapshots::Snapshots;
use super::{Config, Database};
use crate::consul::Consul;
use crate::host::{Command, Exit, Host, Process, Signal};
use crate::journal::{Entry, Level};

pub use self::pilot::{PILOT_CONFIG_PATH, pilot_config};

/// Where the handlers' configuration is.
pub const CONFIG_PATH: &str = "/etc/triton-mysql.toml";
/// The program's name.
pub const PROGRAM: &str = "triton-mysql";

const BACKUP_FILE: &str = "/tmp/backup.tar";
const LAST_BACKUP_KEY: &str = "mysql-last-backup";
const LAST_BINLOG_KEY: &str = "mysql-last-binlog";
const SECOND: Duration = Duration::from_secs(1);
/// Python gives up at 1,000 frames; a lost race takes three.
const RECURSION_LIMIT: u32 = 330;

/// What a raised exception says.
type Raised<T> = Result<T, String>;
type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// The program.
pub async fn main<H: Host>(host: H, args: Vec<String>) -> Exit {
    let config = match load(&host).await {
        Ok(config) => config,
        Err(error) => {
            host.journal(Entry::log(Level::Error, PROGRAM, error));
            return Exit::code(1);
        }
    };
    let mut node = Node {
        consul: Consul::new(host.clone(), config.consul),
        snapshots: Snapshots::new(host.clone(), config.store),
        root: Database::new(host.clone(), "root", ""),
        repl: Database::new(host.clone(), &config.repl_user, &config.repl_password),
        is_primary: false,
        host,
        config,
    };
    let outcome = match args.first().map(String::as_str) {
        None => node.on_start(0).await,
        Some("health") => node.health().await,
        Some("on_change") => node.on_change().await,
        Some("create_snapshot") => node.create_snapshot().await,
        Some(other) => Err(format!("Invalid command {other}")),
    };
    match outcome {
        Ok(()) => Exit::code(0),
        Err(error) => {
            node.log(Level::Error, error);
            Exit::code(1)
        }
    }
}

async fn load<H: Host>(host: &H) -> Raised<Config> {
    let content = host.read_file(Path::new(CONFIG_PATH)).await.map_err(|e| format!("{CONFIG_PATH}: {e}"))?;
    toml::from_str(&String::from_utf8_lossy(&content)).map_err(|e| format!("{CONFIG_PATH}: {e}"))
}

struct Node<H: Host> {
    host: H,
    config: Config,
    consul: Consul<H>,
    snapshots: Snapshots<H>,
    root: Database<H>,
    repl: Database<H>,
    is_primary: bool,
}

impl<H: Host> Node<H> {
    fn log(&self, level: Level, message: impl Into<String>) {
        self.host.journal(Entry::log(level, PROGRAM, message));
    }

    // The hooks.

    /// preStart: become the primary if nobody is, else a replica.
    fn on_start(&mut self, depth: u32) -> Boxed<'_, Raised<()>> {
        Box::pin(async move {
            if depth > RECURSION_LIMIT {
                return Err("RuntimeError: maximum recursion depth exceeded".to_owned());
            }
            let name = format!("mysql-{}", self.host.hostname());
            match self.primary_node().await? {
                // The value is a host name and the comparison is with another form of it: never equal.
                Some(primary) if primary != name => {
                    self.run_as_replica().await;
                    Ok(())
                }
                _ => self.run_as_primary(depth).await,
            }
        })
    }

    /// health: reload when the role changed, keep the session alive, take the first snapshot.
    async fn health(&mut self) -> Raised<()> {
        if self.update().await? {
            return self.reload();
        }
        wait_for_connection(&self.host, &self.repl, self.config.health_ttl).await?;
        if self.is_primary {
            let session = self.cached_session().await?;
            if !self.consul.session().renew(&session).await.map_err(say)? {
                return Err(format!("NotFound: Session id '{session}' not found"));
            }
            if self.binlog_is_stale().await? || self.is_time_for_snapshot().await? {
                self.fork_snapshot().await;
            }
        }
        self.repl.query("SELECT 1").await.map_err(say).map(drop)
    }

    /// onChange: take the lock if it is free, else follow whoever holds it.
    async fn on_change(&mut self) -> Raised<()> {
        self.update().await?;
        if self.is_primary {
            return Ok(());
        }
        wait_for_connection(&self.host, &self.repl, self.config.health_ttl).await?;
        // Replication stops whether this becomes the primary or not.
        self.repl.query("STOP SLAVE").await.map_err(say)?;
        loop {
            match self.elect_or_follow().await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) => self.log(Level::Debug, error),
            }
            self.host.sleep(SECOND).await;
        }
    }

    /// One turn of [`Node::on_change`]'s loop; `true` ends it.
    async fn elect_or_follow(&mut self) -> Raised<bool> {
        let Some(primary) = self.primary_node().await? else {
            let session = self.create_session().await?;
            if !self.mark_with_session(&session).await? {
                self.log(Level::Debug, "could not lock session");
                return Ok(false);
            }
            self.is_primary = true;
            if self.update().await? {
                self.reload()?;
            }
            return Ok(true);
        };
        let address = self.primary_host(&primary).await?;
        if address == self.host.address().to_string() {
            if self.update().await? {
                self.reload()?;
            }
            return Ok(true);
        }
        self.follow(&address).await?;
        Ok(true)
    }

    /// Copies the database to the object store. Runs by itself; the hook that started it does not wait.
    async fn create_snapshot(&mut self) -> Raised<()> {
        let id = format!("mysql-backup-{}", stamp(self.host.unix_time()));
        let content = self.repl.backup(None).await.map_err(say)?;
        self.snapshots.put(&id, content).await.map_err(say)?;
        self.consul.kv().put(LAST_BACKUP_KEY, id).await.map_err(say)?;
        wait_for_connection(&self.host, &self.repl, Duration::from_secs(30)).await?;
        // Read after the upload: a log rotated meanwhile counts as covered.
        let binlog = self.binlog_file().await?;
        self.consul.kv().put(LAST_BINLOG_KEY, binlog).await.map_err(say)?;
        Ok(())
    }

    // Roles.

    async fn run_as_primary(&mut self, depth: u32) -> Raised<()> {
        self.mark_as_primary(depth).await?;
        let existing = self.host.exists(&Path::new(Config::DATA_DIRECTORY).join("mysql")).await;
        let temporary;
        if existing {
            temporary = self.start_temporary_database()?;
            wait_for_connection(&self.host, &self.root, Duration::from_secs(30)).await?;
            self.root.query("STOP SLAVE").await.map_err(say)?;
        } else {
            if !self.initialize_database().await {
                self.log(Level::Info, "Skipping database setup.");
                return Ok(());
            }
            self.log(Level::Info, "Continuing database setup.");
            temporary = self.start_temporary_database()?;
            wait_for_connection(&self.host, &self.root, Duration::from_secs(30)).await?;
            let Config { database, app_user, app_password, repl_user, repl_password, .. } = &self.config;
            let setup = format!(
                "CREATE DATABASE IF NOT EXISTS `{database}`; \
                 CREATE USER `{app_user}`@`%` IDENTIFIED BY '{app_password}'; \
                 GRANT ALL ON `{database}`.* TO `{app_user}`@`%`; \
                 CREATE USER `{repl_user}`@`%` IDENTIFIED BY '{repl_password}'; \
                 GRANT SUPER, REPLICATION SLAVE, RELOAD, LOCK TABLES, REPLICATION CLIENT ON *.* \
                 TO `{repl_user}`@`%`; \
                 FLUSH PRIVILEGES"
            );
            self.root.query(&setup).await.map_err(say)?;
        }
        temporary.end();
        Ok(())
    }

    /// Takes the lock; whoever does not get it starts over, and then goes on as if it had.
    async fn mark_as_primary(&mut self, depth: u32) -> Raised<()> {
        let session = self.session().await?;
        if !self.mark_with_session(&session).await? {
            self.log(
                Level::Error,
                "Tried to mark node primary but primary exists, restarting bootstrap process.",
            );
            self.on_start(depth + 1).await?;
        }
        self.is_primary = true;
        Ok(())
    }

    /// Every error ends here.
    async fn run_as_replica(&mut self) {
        let mut temporary = None;
        if let Err(error) = self.run_replica(&mut temporary).await {
            self.log(Level::Error, error);
        }
        if let Some(temporary) = temporary {
            temporary.end();
        }
    }

    async fn run_replica(&mut self, temporary: &mut Option<Temporary<H>>) -> Raised<()> {
        self.log(Level::Info, "Setting up replication.");
        match self.get(LAST_BACKUP_KEY).await? {
            Some(backup) => {
                let content = self.snapshots.get(&backup).await.map_err(say)?;
                let file = Path::new(BACKUP_FILE);
                self.host.write_file(file, content).await.map_err(say)?;
                self.repl.restore(file, None).await.map_err(say)?;
            }
            None => {
                self.log(Level::Info, "Initializing as replica.");
                self.initialize_database().await;
            }
        }
        *temporary = Some(self.start_temporary_database()?);
        wait_for_connection(&self.host, &self.repl, Duration::from_secs(30)).await?;
        let Some(primary) = self.primary_node().await? else {
            return Err("Tried replication setup but could not find primary.".to_owned());
        };
        let address = self.primary_host(&primary).await?;
        self.follow(&address).await
    }

    async fn follow(&self, address: &str) -> Raised<()> {
        let Config { repl_user, repl_password, .. } = &self.config;
        let statements = format!(
            "CHANGE MASTER TO MASTER_HOST = '{address}', MASTER_USER = '{repl_user}', \
             MASTER_PASSWORD = '{repl_password}', MASTER_PORT = {}, MASTER_CONNECT_RETRY = 60, \
             MASTER_AUTO_POSITION = 1, MASTER_SSL = 0; START SLAVE",
            Config::PORT
        );
        self.repl.query(&statements).await.map_err(say).map(drop)
    }

    async fn initialize_database(&self) -> bool {
        self.log(Level::Info, "Initializing database...");
        match self.root.install(None).await {
            Ok(()) => self.log(Level::Info, "Database initialized."),
            Err(_) => self.log(Level::Warn, "Database was previously initialized."),
        }
        true
    }

    /// A server nobody else reaches, for setting up.
    fn start_temporary_database(&self) -> Raised<Temporary<H>> {
        let command = Command::new("mysqld").args([
            "--user=mysql",
            "--datadir=/var/lib/mysql",
            "--skip-networking",
            "--skip-slave-start",
            "--gtid-mode=ON",
            "--enforce-gtid-consistency=ON",
            "--log-bin=mysql-bin",
            "--log_slave_updates=ON",
        ]);
        let process = self.host.spawn(&command).map_err(say)?;
        self.log(Level::Info, format!("Running temporary bootstrap mysqld (PID {})", process.pid()));
        Ok(Temporary { process })
    }
}

/// A temporary server.
struct Temporary<H: Host> {
    process: H::Process,
}

impl<H: Host> Temporary<H> {
    /// Tells it to end, and does not wait.
    fn end(self) {
        self.process.signal(Signal::Term);
        self.process.detach();
    }
}

/// Tries to log in once a second.
async fn wait_for_connection<H: Host>(host: &H, database: &Database<H>, timeout: Duration) -> Raised<()> {
    let mut last = String::new();
    for _ in 0..timeout.as_secs().max(1) {
        match database.query("").await {
            Ok(_) => return Ok(()),
            Err(error) => last = error.to_string(),
        }
        host.sleep(SECOND).await;
    }
    Err(last)
}

fn say(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// A time as it stands in a snapshot's name: `2016-04-28T10-00-00Z`.
fn stamp(since_epoch: Duration) -> String {
    let time = std::time::UNIX_EPOCH + since_epoch;
    humantime::format_rfc3339_seconds(time).to_string().replace(':', "-")
}
