//! The hardened handlers: one role, one writer, derived again and again from what is.
//!
//! A [`Role`] is the agent's built-in set of [`Hooks`](crate::pilot::Hooks). Its parts:
//!
//! - [`mod@decide`]: what to do next, the pure state machine with its table; `view` is what goes in and
//!   comes out, `election` its part that says who succeeds;
//! - `looking`: what of Consul and the database goes into a view, kept up to date;
//! - `turns`: look, decide, do, and drop all that when a right is lost meanwhile;
//! - `promotion`, `duties`: how each thing is done;
//! - `provision`: an empty instance's way to data, before the database starts;
//! - `notes`: what an instance must still know after a crash;
//! - `lease`: the agent's session in Consul and until when it can be relied on;
//! - `registry`: what instances tell each other through Consul's keys;
//! - `hooks`: what the pilot calls.
//!
//! The database always starts read-only and acknowledging nothing. Only [`Promote`](decide::Action::Promote) makes it
//! writable, and whatever the role is doing when its lease ends is dropped at once in favour of
//! [`Demote`](decide::Action::Demote); where the database does not answer to that, its process is killed.
//!
//! What is still lost, and how: see the head of `election.rs` and [`Takeover`](super::Takeover). Two gaps
//! are left open knowingly. A replica whose machine stands still for longer than its session lives, wakes
//! up with its old connection and confirms a write before its agent has looked around once, may confirm
//! what an election right then does not know to ask it for. And a Consul that lost everything at the same
//! moment as the primary died can only be told of the in-sync set as the survivors remember it.

pub mod decide;
mod duties;
mod election;
mod hooks;
mod lease;
mod looking;
#[cfg(test)]
mod model;
mod notes;
mod promotion;
mod provision;
mod registry;
#[cfg(test)]
mod table;
mod turns;
mod view;

pub use self::hooks::pilot_config;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{Mutex, Notify};

use self::decide::{Lock, Member, Position};
use self::lease::Lease;
use self::notes::Notes;
use self::registry::{Registry, Snapshot};
use super::snapshots::Snapshots;
use super::{Config, Database};
use crate::consul::{Consistency, Consul};
use crate::host::Host;
use crate::journal::{Entry, Level};
use crate::pilot::Advertisement;

/// How often things are looked at again while something is to be decided.
const TURN: Duration = Duration::from_secs(1);

/// What the role last saw of Consul's side.
#[derive(Debug, Default)]
struct Seen {
    lock: Lock,
    /// Since when the lock has been free; `None` while it is held or unknown.
    free_since: Option<Duration>,
    /// When its last holder was last heard of.
    heard_at: Duration,
    /// Whether the lock was read at all.
    known: bool,
    /// All others, while this instance holds the lock; `None` until they were read.
    members: Option<Vec<Member>>,
    /// Whether somebody took the record of the last snapshot out since it was written.
    discarded: bool,
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
    notes: RefCell<Notes>,
    seen: RefCell<Seen>,
    /// What the database last said of itself.
    local: RefCell<Option<decide::Database>>,
    /// What is published, and under which session.
    published: RefCell<Option<(String, Position)>>,
    role: RefCell<&'static str>,
    /// Whether the database may take writes: from before it is told to until it is known not to.
    writable: Cell<bool>,
    /// It was told to, and has not answered: it may do so at any later time.
    unanswered: Cell<bool>,
    /// Whether the database may acknowledge: from before it is told to until it is known not to.
    acknowledging: Cell<bool>,
    main_pid: Cell<Option<u32>>,
    /// Held by whoever changes the lock's value.
    reigning: Mutex<()>,
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
                format!("mysql {}", config.instance.as_deref().unwrap_or(host.hostname())),
                config.session_ttl,
                config.lock_delay,
                Rc::clone(&changed),
            ),
            registry: Registry::new(consul),
            snapshots: Snapshots::new(host.clone(), config.store),
            database: Database::new(host.clone(), "root", ""),
            notes: RefCell::default(),
            seen: RefCell::default(),
            local: RefCell::default(),
            published: RefCell::default(),
            role: RefCell::new("none"),
            writable: Cell::new(false),
            unanswered: Cell::new(false),
            acknowledging: Cell::new(false),
            main_pid: Cell::new(None),
            reigning: Mutex::new(()),
            changed,
            host,
            config,
            advertisement,
        }
    }

    fn log(&self, level: Level, message: impl Into<String>) {
        self.host.journal(Entry::log(level, "role", message));
    }

    /// What this instance calls itself.
    fn me(&self) -> &str {
        self.config.instance.as_deref().unwrap_or(self.host.hostname())
    }

    /// The term of the reign the lock tells of.
    fn term(&self) -> u64 {
        self.seen.borrow().lock.leader.as_ref().map_or(0, |leader| leader.term)
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
            self.host.journal(Entry::Role {
                from: from.to_owned(),
                to: to.to_owned(),
                term: self.term(),
                why: why.to_owned(),
            });
            self.changed.notify_waiters();
        }
    }

    /// A pause around `about`, so that those who wait for the same thing do not all come at once.
    async fn rest(&self, random: &mut impl rand::Rng, about: Duration) {
        use rand::RngExt as _;
        self.host.sleep(about.mul_f64(random.random_range(0.5..1.0))).await;
    }
}

fn say(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
impl<H: Host> Role<H> {
    /// One that has not begun, with Consul and the object store on its own machine.
    fn of_tests(host: H) -> Self {
        let config = r#"
consul = "127.0.0.1:8500"
store = "127.0.0.1:9000"
repl-user = "r"
repl-password = "r"
app-user = "a"
app-password = "a"
database = "app"
session-ttl = "60s"
lock-delay = "15s"
health-ttl = "25s"
snapshot-deadline = "5m"
"#;
        Self::new(host, toml::from_str(config).unwrap(), Advertisement::new(None))
    }
}
