//! `mysqld`: starts on a data directory, accepts connections, ends in order on `SIGTERM`.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use ironbird_agent::host::{Exit, Host, Listener, Signal};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::data::{self, Source, Tables, Transaction};
use super::sql::Change;
use super::wire::SOCKET;
use super::{PORT, replica, session};
use crate::machine::SimHost;
use crate::plan::Span;
use crate::record::{MysqlEvent, What};
use ironbird_agent::mysql::{Gtid, GtidSet};

/// How often, a second apart, a starting server tries to lock a data directory another one still uses.
const LOCK_TRIES: u32 = 100;
/// How long an orderly shutdown takes.
const SHUTDOWN: Duration = Duration::from_millis(500);

/// What replication does here, as `SHOW SLAVE STATUS` would say.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Replication {
    pub(super) source: Option<Source>,
    /// Whether the receiver should run.
    pub(super) receiver: bool,
    /// How often it was told to stop: one that is started again at once is a new one all the same.
    pub(super) stops: u64,
    /// Whether it is connected.
    pub(super) connected: bool,
    /// Whether the applier should run.
    pub(super) applier: bool,
    /// The receiver's last error.
    pub(super) error: String,
    /// What stopped the applier.
    pub(super) applier_error: String,
}

/// A running server's state.
pub(super) struct State {
    pub(super) uuid: String,
    pub(super) tables: Tables,
    /// Transactions since the base, oldest first.
    pub(super) log: Vec<Transaction>,
    /// What the base was made of: no longer in the log.
    pub(super) purged: GtidSet,
    /// Received, not yet applied.
    pub(super) relay: Vec<Transaction>,
    /// What has been received, applied or not.
    pub(super) retrieved: GtidSet,
    pub(super) super_read_only: bool,
    pub(super) semi_sync: bool,
    /// Whether its receiver asks a source to count on it when it connects.
    pub(super) semi_sync_slave: bool,
    /// The last own transaction some replica has acknowledged.
    pub(super) acknowledged: u64,
    pub(super) replication: Replication,
}

/// A running server, shared by its connections and threads.
pub(super) struct Server {
    pub(super) host: SimHost,
    pub(super) state: RefCell<State>,
    /// The log grew, an acknowledgement came, a setting changed.
    pub(super) changed: Notify,
    /// What the record last heard of replication here.
    told: RefCell<Option<MysqlEvent>>,
    networking: bool,
}

impl Server {
    fn open(host: SimHost, args: &[String], networking: bool) -> Option<Rc<Self>> {
        let machine = Rc::clone(host.machine());
        let mut disk = machine.disk().borrow_mut();
        let mut tables: Tables = serde_json::from_slice(disk.read(&data::file(data::BASE))?).ok()?;
        let purged = tables.executed.clone();
        let lines = |content: Option<&[u8]>| -> Vec<Transaction> {
            String::from_utf8_lossy(content.unwrap_or_default())
                .lines()
                .filter_map(Transaction::from_line)
                .collect()
        };
        let log = lines(disk.read(&data::file(data::BINARY_LOG)));
        for transaction in &log {
            // What is in the log was made once already.
            tables.change(&transaction.change).ok();
            tables.executed.insert(&transaction.gtid);
        }
        let mut retrieved = tables.executed.clone();
        let relay: Vec<_> = lines(disk.read(&data::file(data::RELAY_LOG)))
            .into_iter()
            .filter(|transaction| !tables.executed.contains(&transaction.gtid))
            .collect();
        relay.iter().for_each(|transaction| retrieved.insert(&transaction.gtid));
        let uuid = match disk.read(&data::file(data::UUID)) {
            Some(uuid) => String::from_utf8_lossy(uuid).into_owned(),
            None => {
                let uuid =
                    uuid::Builder::from_random_bytes(rand::RngExt::random(&mut host.random("server-uuid")))
                        .into_uuid()
                        .to_string();
                disk.write(&data::file(data::UUID), uuid.clone().into_bytes()).ok()?;
                uuid
            }
        };
        let source: Option<Source> =
            disk.read(&data::file(data::SOURCE)).and_then(|content| serde_json::from_slice(content).ok());
        drop(disk);
        let option = |name: &str| args.iter().any(|arg| arg == name);
        let start_replica = source.is_some() && !option("--skip-slave-start");
        let replication = Replication {
            source,
            receiver: start_replica,
            stops: 0,
            applier: start_replica,
            connected: false,
            error: String::new(),
            applier_error: String::new(),
        };
        let acknowledged = tables.executed.last(&uuid);
        let state = State {
            uuid,
            tables,
            log,
            purged,
            relay,
            retrieved,
            super_read_only: option("--super-read-only=ON"),
            semi_sync: false,
            semi_sync_slave: false,
            acknowledged,
            replication,
        };
        Some(Rc::new(Self {
            host,
            state: RefCell::new(state),
            changed: Notify::new(),
            told: RefCell::default(),
            networking,
        }))
    }

    pub(super) fn event(&self, event: MysqlEvent) {
        self.host.record(What::Mysql(event));
    }

    /// Commits a change of a client's and returns its number on this server.
    ///
    /// # Errors
    /// The server's code and text.
    pub(super) fn commit(&self, change: Change) -> Result<u64, (u16, String)> {
        let mut state = self.state.borrow_mut();
        if state.super_read_only {
            return Err((
                1290,
                "The MySQL server is running with the --super-read-only option so it cannot execute this statement"
                    .to_owned(),
            ));
        }
        state.tables.change(&change)?;
        let number = state.tables.executed.last(&state.uuid) + 1;
        let gtid = Gtid { server: state.uuid.clone(), number };
        self.append(&mut state, Transaction { gtid, change });
        Ok(number)
    }

    /// Makes a transaction durable in the log and tells everybody.
    fn append(&self, state: &mut State, transaction: Transaction) {
        let mut line = transaction.to_line();
        line.push('\n');
        let written =
            self.host.machine().disk().borrow_mut().append(&data::file(data::BINARY_LOG), line.as_bytes());
        if written.is_err() {
            // A server that cannot write its log stops taking writes.
            state.super_read_only = true;
        }
        state.tables.executed.insert(&transaction.gtid);
        state.retrieved.insert(&transaction.gtid);
        self.event(MysqlEvent::Committed { gtid: transaction.gtid.to_string(), write: transaction.write() });
        state.log.push(transaction);
        self.changed.notify_waiters();
    }

    /// Takes a transaction from the source into the relay log.
    pub(super) fn receive(&self, transaction: Transaction) {
        let mut state = self.state.borrow_mut();
        if state.retrieved.contains(&transaction.gtid) {
            return;
        }
        let mut line = transaction.to_line();
        line.push('\n');
        if self
            .host
            .machine()
            .disk()
            .borrow_mut()
            .append(&data::file(data::RELAY_LOG), line.as_bytes())
            .is_err()
        {
            return;
        }
        state.retrieved.insert(&transaction.gtid);
        self.event(MysqlEvent::Received { gtid: transaction.gtid.to_string(), write: transaction.write() });
        state.relay.push(transaction);
        drop(state);
        self.apply();
    }

    /// Applies what waits in the relay log, while the applier runs.
    pub(super) fn apply(&self) {
        let mut state = self.state.borrow_mut();
        if !state.replication.applier {
            return;
        }
        for transaction in std::mem::take(&mut state.relay) {
            if !state.replication.applier {
                state.relay.push(transaction);
                continue;
            }
            if let Err((code, text)) = state.tables.change(&transaction.change) {
                state.replication.applier = false;
                state.replication.applier_error = format!(
                    "Error {code} '{text}' on query: '{}' ({})",
                    transaction.change, transaction.gtid
                );
                state.relay.push(transaction);
                continue;
            }
            self.append(&mut state, transaction);
        }
        if state.relay.is_empty() {
            self.host.machine().disk().borrow_mut().remove(&data::file(data::RELAY_LOG));
        }
        drop(state);
        self.tell_replication();
    }

    /// Changes what replication does, and tells when that shows.
    pub(super) fn replicate(&self, change: impl FnOnce(&mut Replication)) {
        change(&mut self.state.borrow_mut().replication);
        self.changed.notify_waiters();
        self.tell_replication();
    }

    fn tell_replication(&self) {
        let event = self.replication_event();
        let mut told = self.told.borrow_mut();
        if told.as_ref() != Some(&event) {
            self.event(event.clone());
            *told = Some(event);
        }
    }

    fn replication_event(&self) -> MysqlEvent {
        let state = self.state.borrow();
        let Replication { source, connected, applier, error, applier_error, .. } = &state.replication;
        let error = if applier_error.is_empty() { error } else { applier_error };
        let source =
            source.as_ref().map_or_else(String::new, |source| self.host.machine().name_of(&source.host));
        MysqlEvent::Replication { source, receiving: *connected, applying: *applier, error: error.clone() }
    }

    /// Makes the server take writes, or none.
    pub(super) fn set_super_read_only(&self, on: bool) {
        let mut state = self.state.borrow_mut();
        if state.super_read_only != on {
            state.super_read_only = on;
            self.event(MysqlEvent::Writable { writable: !on });
            self.changed.notify_waiters();
        }
    }
}

/// Says that a server is gone, however it went.
struct UpGuard(SimHost);

impl Drop for UpGuard {
    fn drop(&mut self) {
        self.0.record(What::Mysql(MysqlEvent::Down));
    }
}

/// The program.
pub(super) async fn mysqld(host: SimHost, args: Vec<String>, startup: Span) -> Exit {
    // Until it is up, a signal ends it; a data directory is locked from the beginning.
    let mut tries = 0;
    let _lock = loop {
        if let Some(lock) = host.machine().lock(super::DATA_DIRECTORY) {
            break lock;
        }
        tries += 1;
        if tries == LOCK_TRIES {
            return Exit::code(1);
        }
        host.sleep(Duration::from_secs(1)).await;
    };
    host.sleep(startup.sample(&mut host.random("mysqld"))).await;
    let networking = !args.iter().any(|arg| arg == "--skip-networking");
    let Some(server) = Server::open(host.clone(), &args, networking) else {
        return Exit::code(1);
    };
    let Ok(mut local) = host.machine().local_listen(SOCKET) else {
        return Exit::code(1);
    };
    let mut listener = None;
    if networking {
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), PORT);
        match host.listen(address).await {
            Ok(bound) => listener = Some(bound),
            Err(_) => return Exit::code(1),
        }
    }
    let _up = UpGuard(host.clone());
    server.event(MysqlEvent::Up { networking: server.networking });
    server.tell_replication();
    server.event(MysqlEvent::Writable { writable: !server.state.borrow().super_read_only });
    server.apply();

    let mut tasks = JoinSet::new();
    tasks.spawn_local(replica::receive(Rc::clone(&server)));
    loop {
        tokio::select! {
            biased;
            signal = host.signal() => match signal {
                Signal::Hup => {}
                Signal::Term | Signal::Int | Signal::Kill => break,
            },
            stream = local.accept() => {
                tasks.spawn_local(session::serve(Rc::clone(&server), stream));
            }
            Ok((stream, _)) = accept(&mut listener) => {
                tasks.spawn_local(session::serve(Rc::clone(&server), stream));
            }
            Some(_) = tasks.join_next() => {}
        }
    }
    drop((local, listener));
    tasks.shutdown().await;
    host.sleep(SHUTDOWN).await;
    Exit::code(0)
}

/// The next connection from the network, where there is one.
async fn accept<L: Listener>(listener: &mut Option<L>) -> std::io::Result<(L::Stream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}
