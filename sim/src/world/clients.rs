//! Clients: each is an application that finds the primary, keeps connections to it, writes, and may read its
//! own writes back from replicas.
//!
//! A write's outcome is what the client knows: acknowledged, refused, or unknown because the answer never
//! came. A write is its key, and the table takes a key once. So a write can be tried again under the same
//! key: finding it there already means that an earlier try was committed. A write that was refused after a
//! try whose outcome is unknown is unknown too.
//!
//! Connections are used in turn. One that fails is closed, and who the primary is asked anew for the next
//! one; the others stay open, to whomever they lead. A fenced client closes those too that lead to an earlier
//! term than it has seen.

mod find;
mod pool;

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use ironbird_agent::consul::Consul;
use ironbird_agent::host::{Exit, Host, within};
use rand::RngExt;

use self::find::{Finder, Primary};
use self::pool::Pool;
use super::container::{APP_PASSWORD, APP_USER};
use crate::machine::SimHost;
use crate::mysql::{Client, QueryError};
use crate::record::{What, WriteOutcome};
use crate::spec::Workload;

/// How long a client waits for a connection.
const CONNECT_DEADLINE: Duration = Duration::from_secs(2);
/// How long it waits for an answer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);
/// How long it waits before it tries again.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// The key is there already.
const DUPLICATE: u16 = 1062;
/// The statement was interrupted: it may be committed.
const INTERRUPTED: u16 = 1317;

/// Writes until the machine ends. Of all clients each uses every so-many-th id from its own `next` on, which
/// outlives it: ids that no other one uses, in this life or another.
pub(super) async fn live(host: SimHost, consul: SocketAddr, workload: Workload, next: Rc<Cell<u64>>) -> Exit {
    let finder = Finder::new(Consul::new(host.clone(), consul), workload.mode);
    let mut application =
        Application { host: host.clone(), finder, pool: Pool::new(workload.pool), acknowledged: None };
    let (mut writes, mut reads) = (host.random("workload"), host.random("reads"));
    loop {
        host.sleep(workload.interval.sample(&mut writes).max(Duration::from_millis(1))).await;
        let id = next.replace(next.get() + workload.clients as u64);
        let outcome = application.write(id, workload.retries).await;
        if matches!(outcome, WriteOutcome::Acknowledged { .. }) {
            application.acknowledged = Some(id);
        }
        host.record(What::Write { id, outcome });
        if workload.reads > 0.0 && reads.random_bool(workload.reads) {
            application.read(&mut reads).await;
        }
    }
}

struct Application {
    host: SimHost,
    finder: Finder,
    pool: Pool<Client>,
    /// The last write it was told is committed.
    acknowledged: Option<u64>,
}

impl Application {
    /// Writes, and tries again as often as it may.
    async fn write(&mut self, id: u64, retries: usize) -> WriteOutcome {
        // A try without an answer may have been committed, whatever the next ones come to.
        let mut unknown = None;
        for retry in 0.. {
            let outcome = match self.try_write(id).await {
                // The first try finds nothing of its own.
                Tried::Duplicate { by, .. } if retry > 0 => WriteOutcome::Acknowledged { by },
                Tried::Duplicate { why, .. } => WriteOutcome::Refused { why },
                Tried::Done(outcome) => outcome,
            };
            match outcome {
                WriteOutcome::Acknowledged { .. } => return outcome,
                WriteOutcome::Unknown { .. } => unknown = Some(outcome),
                WriteOutcome::Refused { .. } if retry >= retries => return unknown.unwrap_or(outcome),
                WriteOutcome::Refused { .. } => {}
            }
            if retry >= retries {
                break;
            }
            self.host.sleep(RETRY_PAUSE).await;
        }
        unknown.unwrap_or_else(|| WriteOutcome::Refused { why: "never tried".to_owned() })
    }

    async fn try_write(&mut self, id: u64) -> Tried {
        let (mut client, primary) = match self.connection().await {
            Ok(connected) => connected,
            Err(why) => return Tried::Done(WriteOutcome::Refused { why }),
        };
        let statement = format!("INSERT INTO ledger (id) VALUES ({id})");
        let by = primary.name.clone();
        Tried::Done(match within(&self.host, ANSWER_DEADLINE, client.query(&statement)).await {
            Some(Ok(_)) => {
                self.pool.put(client, primary);
                WriteOutcome::Acknowledged { by }
            }
            Some(Err(error @ QueryError::Server { code: DUPLICATE, .. })) => {
                self.pool.put(client, primary);
                return Tried::Duplicate { by, why: error.to_string() };
            }
            Some(Err(QueryError::Server { code: INTERRUPTED, text })) => WriteOutcome::Unknown { why: text },
            Some(Err(error @ QueryError::Server { .. })) => WriteOutcome::Refused { why: error.to_string() },
            Some(Err(error @ QueryError::Lost(_))) => WriteOutcome::Unknown { why: error.to_string() },
            None => WriteOutcome::Unknown { why: "no answer in time".to_owned() },
        })
    }

    /// The next connection of the pool, or a new one while the pool is not full.
    async fn connection(&mut self) -> Result<(Client, Primary), String> {
        if let Some(connected) = self.pool.take(self.finder.term()) {
            return Ok(connected);
        }
        let primary = self.finder.primary(&self.host).await?;
        let client = connect(&self.host, primary.address).await?;
        Ok((client, primary))
    }

    /// Looks for the last acknowledged write on a replica.
    async fn read(&self, random: &mut impl rand::Rng) {
        let Some(id) = self.acknowledged else { return };
        // Where there is no replica to be read from, nothing is read.
        let Ok(Some((name, address))) = self.finder.replica(&self.host, random).await else { return };
        let Ok(mut client) = connect(&self.host, address).await else { return };
        let statement = format!("SELECT id FROM ledger WHERE id = {id}");
        if let Some(Ok(rows)) = within(&self.host, ANSWER_DEADLINE, client.query(&statement)).await {
            self.host.record(What::Read { id, by: name, found: !rows.is_empty() });
        }
    }
}

/// What became of one try.
enum Tried {
    Done(WriteOutcome),
    /// The key is there.
    Duplicate {
        by: String,
        why: String,
    },
}

async fn connect(host: &SimHost, address: SocketAddr) -> Result<Client, String> {
    let connect = Client::connect(host, address, APP_USER, APP_PASSWORD);
    match within(host, CONNECT_DEADLINE, connect).await {
        Some(connected) => connected.map_err(|error| error.to_string()),
        None => Err(format!("{}: no connection in time", address.ip())),
    }
}
