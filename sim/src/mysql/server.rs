//! A running server: its state, what commits, what is received, what is applied.
//!
//! Every change goes through [`Server::append`], which makes it durable, tells the record, and then makes
//! it in the tables. A disk that has no room refuses it (the client is told, the applier stops, the receiver
//! waits for room); a disk that fails ends the server, as `binlog_error_action = ABORT_SERVER` does.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use ironbird_agent::host::Host;
use ironbird_agent::mysql::{Gtid, GtidSet};
use rand_chacha::ChaCha8Rng;
use tokio::sync::Notify;

use super::data::{Refusal, Source, Tables, Transaction};
use super::relay::Relay;
use super::semi_sync::SemiSync;
use super::sql::Change;
use super::storage::{Base, Found, Storage};
use crate::machine::SimHost;
use crate::record::{MysqlEvent, What};
use crate::spec::Mysql;

/// How long an insert waits for another one of the same key.
const LOCK_WAIT: Duration = Duration::from_secs(50);
/// How often a receiver whose disk is full looks for room.
const ROOM_WAIT: Duration = Duration::from_secs(60);
/// How long the kernel keeps what is not synced.
const WRITE_BACK: Duration = Duration::from_secs(1);

/// What replication does here, as `SHOW SLAVE STATUS` would say.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Replication {
    pub(super) source: Option<Source>,
    /// Whether the receiver should run.
    pub(super) receiver: bool,
    /// How often it was started: what it received before it was stopped is another stream's.
    pub(super) starts: u64,
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
    pub(super) executed: GtidSet,
    /// Transactions since what was purged, oldest first.
    pub(super) log: VecDeque<Transaction>,
    /// How many were purged from the log since the server started: the place of its first.
    pub(super) first: u64,
    /// What is no longer in the log.
    pub(super) purged: GtidSet,
    /// By connection, how far each replica was sent the log: what it has not got is not purged.
    pub(super) dumps: BTreeMap<u64, u64>,
    pub(super) relay: Relay,
    pub(super) super_read_only: bool,
    pub(super) semi_sync: SemiSync,
    /// Whether the receiver, when it connects, says that it will acknowledge.
    pub(super) acknowledges: bool,
    pub(super) replication: Replication,
}

impl State {
    fn base(&self) -> Base {
        Base { tables: self.tables.clone(), purged: self.purged.clone() }
    }

    /// The place after the log's last.
    pub(super) fn end(&self) -> u64 {
        self.first + self.log.len() as u64
    }
}

/// A running server, shared by its connections and threads.
pub(super) struct Server {
    pub(super) host: SimHost,
    pub(super) state: RefCell<State>,
    /// The log grew, an acknowledgement came, a setting changed.
    pub(super) changed: Notify,
    storage: RefCell<Storage>,
    spec: Rc<Mysql>,
    random: RefCell<ChaCha8Rng>,
    /// Why it cannot go on.
    aborted: Cell<bool>,
    /// What the record last heard of replication here.
    told: RefCell<Option<MysqlEvent>>,
    next_dump: Cell<u64>,
}

impl Server {
    /// A server on what a data directory holds.
    pub(super) fn open(
        host: &SimHost,
        args: &[String],
        spec: Rc<Mysql>,
        storage: Storage,
    ) -> io::Result<Rc<Self>> {
        let Found { tables, purged, executed, log, relay, source } = storage.open()?;
        let uuid = storage.uuid(host)?;
        let option = |name: &str| args.iter().any(|arg| arg == name);
        let start_replica = source.is_some() && !option("--skip-slave-start");
        let replication =
            Replication { source, receiver: start_replica, applier: start_replica, ..Replication::default() };
        if !spec.sync_binlog {
            // Something may have been lost that the record believes to be here.
            let record = |event| host.record(What::Mysql(event));
            record(MysqlEvent::DataDirectory { how: "recovered".to_owned(), writes: tables.writes() });
            for transaction in &relay {
                let (gtid, write) = (transaction.gtid.to_string(), transaction.write());
                record(MysqlEvent::Received { gtid, write });
            }
        }
        let state = State {
            uuid,
            tables,
            relay: Relay::new(executed.clone(), relay, host.now()),
            executed,
            log: log.into(),
            first: 0,
            purged,
            dumps: BTreeMap::new(),
            super_read_only: option("--super-read-only=ON"),
            semi_sync: SemiSync::default(),
            acknowledges: option("--rpl-semi-sync-slave-enabled=ON"),
            replication,
        };
        Ok(Rc::new(Self {
            host: host.clone(),
            state: RefCell::new(state),
            changed: Notify::new(),
            storage: RefCell::new(storage),
            random: RefCell::new(host.random("applier")),
            spec,
            aborted: Cell::new(false),
            told: RefCell::default(),
            next_dump: Cell::new(0),
        }))
    }

    pub(super) fn event(&self, event: MysqlEvent) {
        self.host.record(What::Mysql(event));
    }

    /// Waits as long as the disk makes a sync wait.
    async fn sync_delay(&self) {
        let slow = self.host.machine().disk().borrow().slow();
        if let Some(delay) = slow {
            self.host.sleep(delay).await;
        }
    }

    /// Commits a change of a client's and returns its number on this server.
    ///
    /// # Errors
    /// The server's code and text.
    pub(super) async fn commit(&self, change: Change) -> Result<u64, Refusal> {
        self.sync_delay().await;
        if let Change::Insert { id } = change {
            self.row_lock(id).await?;
        }
        let mut state = self.state.borrow_mut();
        if state.super_read_only {
            return Err((
                1290,
                "The MySQL server is running with the --super-read-only option so it cannot execute this statement"
                    .to_owned(),
            ));
        }
        state.tables.check(&change)?;
        let number = state.executed.last(&state.uuid) + 1;
        let gtid = Gtid { server: state.uuid.clone(), number };
        let transaction = Transaction { gtid, change };
        let write = transaction.write();
        self.append(&mut state, transaction)?;
        state.semi_sync.commit(number, write);
        Ok(number)
    }

    /// Waits until no transaction that inserts this key waits for replicas.
    async fn row_lock(&self, id: u64) -> Result<(), Refusal> {
        let mut patience = std::pin::pin!(self.host.sleep(LOCK_WAIT));
        loop {
            let changed = self.changed.notified();
            if !self.state.borrow().semi_sync.hides(id) {
                return Ok(());
            }
            tokio::select! {
                biased;
                () = changed => {}
                () = &mut patience => {
                    return Err((1205, "Lock wait timeout exceeded; try restarting transaction".to_owned()));
                }
            }
        }
    }

    /// Makes a transaction durable in the log and tells everybody.
    fn append(&self, state: &mut State, transaction: Transaction) -> Result<(), Refusal> {
        let mut storage = self.storage.borrow_mut();
        storage.append(&transaction).map_err(|error| self.disk_error(&error))?;
        state.executed.add(&transaction.gtid);
        state.relay.executed(&transaction);
        state.tables.make(&transaction.change);
        self.event(MysqlEvent::Committed { gtid: transaction.gtid.to_string(), write: transaction.write() });
        state.log.push_back(transaction);
        let keep = self.spec.keep_binlog;
        if keep > 0 && state.log.len() as u64 >= 2 * keep {
            let down_to = state.end() - keep;
            self.purge(state, &mut storage, down_to);
        }
        // What it cannot write now it writes next time.
        storage.checkpoint_if_due(|| state.base()).ok();
        self.changed.notify_waiters();
        Ok(())
    }

    /// What a server answers that could not write, and whether it goes on at all.
    fn disk_error(&self, error: &io::Error) -> Refusal {
        if error.kind() == io::ErrorKind::StorageFull {
            return (1114, "The table 'ledger' is full".to_owned());
        }
        self.aborted.set(true);
        self.changed.notify_waiters();
        (1598, format!("Binary logging not possible. Message: {error}, aborting the server"))
    }

    /// Completes when the server cannot go on.
    pub(super) async fn aborted(&self) {
        loop {
            let changed = self.changed.notified();
            if self.aborted.get() {
                return;
            }
            changed.await;
        }
    }

    /// Purges the log up to a place, and no further than replicas have read.
    fn purge(&self, state: &mut State, storage: &mut Storage, up_to: u64) {
        let read = state.dumps.values().min().copied().unwrap_or(u64::MAX);
        let up_to = up_to.min(read).min(state.end());
        while state.first < up_to
            && let Some(transaction) = state.log.pop_front()
        {
            state.purged.add(&transaction.gtid);
            state.first += 1;
        }
        // Tables that hold more than was purged do no harm: what is in the log is not made twice.
        if let Err(error) = storage.rewrite(&state.base(), state.log.iter()) {
            self.disk_error(&error);
        }
    }

    /// `PURGE BINARY LOGS`: all of them but what replicas still read.
    pub(super) fn purge_all(&self) {
        let mut state = self.state.borrow_mut();
        let end = state.end();
        self.purge(&mut state, &mut self.storage.borrow_mut(), end);
    }

    /// `RESET MASTER`: forgets the log and every transaction, and keeps the tables.
    pub(super) fn reset_master(&self) -> Result<(), Refusal> {
        self.begin_anew(GtidSet::default())
    }

    /// `SET GLOBAL gtid_purged`: the tables hold these transactions.
    pub(super) fn set_purged(&self, purged: GtidSet) -> Result<(), Refusal> {
        if !self.state.borrow().executed.is_empty() {
            return Err((
                1840,
                "@@GLOBAL.GTID_PURGED can only be set when @@GLOBAL.GTID_EXECUTED is empty.".to_owned(),
            ));
        }
        self.begin_anew(purged)
    }

    fn begin_anew(&self, purged: GtidSet) -> Result<(), Refusal> {
        let mut state = self.state.borrow_mut();
        let base = Base { tables: state.tables.clone(), purged: purged.clone() };
        let rewritten = self.storage.borrow_mut().rewrite(&base, std::iter::empty());
        rewritten.map_err(|error| self.disk_error(&error))?;
        state.first = state.end();
        state.log.clear();
        state.executed = purged.clone();
        state.purged = purged;
        let waiting: Vec<_> = state.relay.waiting().cloned().collect();
        state.relay = Relay::new(state.executed.clone(), waiting, self.host.now());
        state.semi_sync.forget();
        self.changed.notify_waiters();
        Ok(())
    }

    /// Notes how far a replica was sent the log, and returns the note's number.
    pub(super) fn begin_dump(&self, state: &mut State) -> u64 {
        let number = self.next_dump.get();
        self.next_dump.set(number + 1);
        let first = state.first;
        state.dumps.insert(number, first);
        number
    }

    /// Takes a transaction from the source into the relay log, once there is room.
    pub(super) async fn receive(&self, transaction: Transaction) {
        self.sync_delay().await;
        loop {
            {
                let mut state = self.state.borrow_mut();
                if state.relay.retrieved().contains(&transaction.gtid) {
                    return;
                }
                let received = self.storage.borrow_mut().receive(&transaction);
                match received {
                    Ok(()) => {
                        let (gtid, write) = (transaction.gtid.to_string(), transaction.write());
                        state.relay.receive(transaction, self.host.now());
                        self.event(MysqlEvent::Received { gtid, write });
                        self.changed.notify_waiters();
                        return;
                    }
                    Err(error) => _ = self.disk_error(&error),
                }
            }
            self.host.sleep(ROOM_WAIT).await;
        }
    }

    /// Applies what waits in the relay log, while the applier runs.
    pub(super) async fn apply_forever(self: Rc<Self>) {
        loop {
            let changed = self.changed.notified();
            let Some(pause) = self.applier_pause() else {
                changed.await;
                continue;
            };
            self.host.sleep(pause).await;
            self.sync_delay().await;
            self.apply_next();
        }
    }

    /// How long the applier takes for the next transaction; `None` when there is none to apply.
    fn applier_pause(&self) -> Option<Duration> {
        let state = self.state.borrow();
        let (_, received) = state.relay.next().filter(|_| state.replication.applier)?;
        let random = &mut *self.random.borrow_mut();
        let held_back = received + self.spec.apply_lag.sample(random);
        Some(held_back.saturating_sub(self.host.now()) + self.spec.apply.sample(random))
    }

    fn apply_next(&self) {
        let mut state = self.state.borrow_mut();
        // It may have been stopped, or its log dropped, meanwhile.
        let next = state.relay.next().map(|(transaction, _)| transaction.clone());
        let Some(transaction) = next.filter(|_| state.replication.applier) else {
            return;
        };
        if !state.executed.contains(&transaction.gtid) {
            let checked = state.tables.check(&transaction.change);
            if let Err((code, text)) = checked.and_then(|()| self.append(&mut state, transaction.clone())) {
                state.replication.applier = false;
                state.replication.applier_error = format!(
                    "Error {code} '{text}' on query: '{}' ({})",
                    transaction.change, transaction.gtid
                );
                drop(state);
                self.changed.notify_waiters();
                self.tell_replication();
                return;
            }
        }
        if state.relay.applied() {
            self.storage.borrow().clear_relay();
        }
    }

    /// Changes what replication does, and tells when that shows.
    pub(super) fn replicate(&self, change: impl FnOnce(&mut Replication)) {
        change(&mut self.state.borrow_mut().replication);
        self.changed.notify_waiters();
        self.tell_replication();
    }

    /// Follows another source, or none: what was received and not applied is dropped.
    pub(super) fn set_source(&self, source: Option<Source>) -> Result<(), Refusal> {
        let written = self.storage.borrow().set_source(source.as_ref());
        written.map_err(|error| (1201, format!("Could not initialize master info structure: {error}")))?;
        {
            let mut state = self.state.borrow_mut();
            let executed = state.executed.clone();
            state.relay.clear(&executed);
            self.storage.borrow().clear_relay();
        }
        self.replicate(|replication| {
            replication.source = source;
            replication.error.clear();
            replication.applier_error.clear();
        });
        Ok(())
    }

    pub(super) fn tell_replication(&self) {
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

    /// Syncs the logs a while after they were written, where that is left to the kernel.
    pub(super) async fn write_back(self: Rc<Self>) {
        loop {
            let changed = self.changed.notified();
            if !self.storage.borrow().is_unsynced() {
                changed.await;
                continue;
            }
            self.host.sleep(WRITE_BACK).await;
            self.storage.borrow_mut().sync();
        }
    }

    /// Leaves nothing to be looked at again.
    pub(super) fn shut_down(&self) {
        let mut storage = self.storage.borrow_mut();
        storage.sync();
        // A disk without room, or without sense, leaves it to the next start.
        storage.checkpoint(|| self.state.borrow().base()).ok();
    }
}
