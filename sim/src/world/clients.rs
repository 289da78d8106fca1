//! Clients: each finds the primary through Consul, as applications do, and writes.
//!
//! A write's outcome is what the client knows: acknowledged, refused, or unknown because the answer never
//! came. An unknown write is not repeated; whether it happened is for the record to tell.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use ironbird_agent::consul::Consul;
use ironbird_agent::host::{Exit, Host, within};
use ironbird_agent::mysql::Config;

use super::container::{APP_PASSWORD, APP_USER};
use crate::machine::SimHost;
use crate::mysql::{Client, PORT, QueryError};
use crate::plan::Span;
use crate::record::{What, WriteOutcome};

/// How long a client waits for a connection.
const CONNECT_DEADLINE: Duration = Duration::from_secs(2);
/// How long it waits for a write.
const WRITE_DEADLINE: Duration = Duration::from_secs(5);
/// The statement was interrupted: it may be committed.
const INTERRUPTED: u16 = 1317;

/// Writes until the machine ends. Of `clients` clients each uses every so-many-th id from its own `next` on,
/// which outlives it: ids that no other one uses, in this life or another.
pub(super) async fn write_forever(
    host: SimHost,
    consul: SocketAddr,
    interval: Span,
    next: Rc<Cell<u64>>,
    clients: u64,
) -> Exit {
    let consul = Consul::new(host.clone(), consul);
    let mut random = host.random("workload");
    let mut connection: Option<(Client, String)> = None;
    loop {
        host.sleep(interval.sample(&mut random).max(Duration::from_millis(1))).await;
        let id = next.replace(next.get() + clients);
        let outcome = write(&host, &consul, &mut connection, id).await;
        host.record(What::Write { id, outcome });
    }
}

async fn write(
    host: &SimHost,
    consul: &Consul<SimHost>,
    connection: &mut Option<(Client, String)>,
    id: u64,
) -> WriteOutcome {
    let (mut client, by) = match connection.take() {
        Some(connected) => connected,
        None => match connect(host, consul).await {
            Ok(connected) => connected,
            Err(why) => return WriteOutcome::Refused { why },
        },
    };
    let statement = format!("INSERT INTO ledger (id) VALUES ({id})");
    match within(host, WRITE_DEADLINE, client.query(&statement)).await {
        Some(Ok(_)) => {
            *connection = Some((client, by.clone()));
            WriteOutcome::Acknowledged { by }
        }
        Some(Err(QueryError::Server { code: INTERRUPTED, text })) => WriteOutcome::Unknown { why: text },
        Some(Err(error @ QueryError::Server { .. })) => WriteOutcome::Refused { why: error.to_string() },
        Some(Err(error @ QueryError::Lost(_))) => WriteOutcome::Unknown { why: error.to_string() },
        None => WriteOutcome::Unknown { why: "no answer in time".to_owned() },
    }
}

async fn connect(host: &SimHost, consul: &Consul<SimHost>) -> Result<(Client, String), String> {
    let instances =
        consul.health().service(Config::PRIMARY, true, None).await.map_err(|error| error.to_string())?;
    let instance = instances.first().ok_or("no primary in the catalog")?;
    let ip = instance.ip().ok_or_else(|| format!("`{}` is not an address", instance.address))?;
    let connect = Client::connect(host, SocketAddr::new(ip, PORT), APP_USER, APP_PASSWORD);
    match within(host, CONNECT_DEADLINE, connect).await {
        Some(Ok(client)) => Ok((client, host.machine().name_of(&instance.address))),
        Some(Err(error)) => Err(error.to_string()),
        None => Err(format!("{ip}: no connection in time")),
    }
}
