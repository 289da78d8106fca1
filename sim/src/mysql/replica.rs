//! The receiver of a replica: connects to the source, takes what it lacks, and acknowledges what is durable
//! if it was told to when it connected. As with MySQL's plugin, `rpl_semi_sync_slave_enabled` says how the next
//! connection is made, and changes nothing about the one there is.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use ironbird_agent::host::{Host, within};

use super::data::{Source, Transaction};
use super::dump::SEMI_SYNC;
use super::server::Server;
use super::wire::{Client, QueryError};

/// A source that says nothing for this long is taken for dead.
const NET_TIMEOUT: Duration = Duration::from_secs(60);

/// Receives for as long as the server runs.
pub(super) async fn receive(server: Rc<Server>) {
    loop {
        let (source, start) = wanted(&server).await;
        tokio::select! {
            biased;
            () = unwanted(&server, start) => {}
            error = stream(&server, &source) => {
                server.replicate(|replication| {
                    replication.connected = false;
                    replication.error = error.to_string();
                });
                // A source that refuses for good is not asked again.
                if matches!(error, QueryError::Server { code: 1236, .. }) {
                    server.replicate(|replication| replication.receiver = false);
                }
                tokio::select! {
                    biased;
                    () = unwanted(&server, start) => {}
                    () = server.host.sleep(Duration::from_secs(source.connect_retry_s)) => {}
                }
            }
        }
    }
}

/// Waits until there is a source to receive from, and returns the number of the start, too.
async fn wanted(server: &Server) -> (Source, u64) {
    loop {
        let changed = server.changed.notified();
        {
            let replication = &server.state.borrow().replication;
            if let (true, Some(source)) = (replication.receiver, &replication.source) {
                return (source.clone(), replication.starts);
            }
        }
        changed.await;
    }
}

/// Waits until what was started then is no longer to run: it was stopped, and perhaps started again since,
/// from the same source even, but with another log.
async fn unwanted(server: &Server, start: u64) {
    loop {
        let changed = server.changed.notified();
        {
            let replication = &server.state.borrow().replication;
            if !replication.receiver || replication.starts != start {
                return;
            }
        }
        changed.await;
    }
}

/// Receives until something goes wrong, and says what.
async fn stream(server: &Server, source: &Source) -> QueryError {
    match receive_all(server, source).await {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

async fn receive_all(server: &Server, source: &Source) -> Result<std::convert::Infallible, QueryError> {
    let unreachable = || QueryError::Lost(std::io::ErrorKind::HostUnreachable.into());
    let address: SocketAddr =
        format!("{}:{}", source.host, source.port).parse().map_err(|_| unreachable())?;
    let silence = || QueryError::Lost(std::io::ErrorKind::TimedOut.into());
    let host = &server.host;
    let connect = Client::connect(host, address, &source.user, &source.password);
    let mut client = within(host, NET_TIMEOUT, connect).await.ok_or_else(silence)??;
    let (acknowledges, request) = {
        let state = server.state.borrow();
        let mut request = format!("DUMP\t{}\t{}", state.uuid, state.relay.retrieved());
        if state.acknowledges {
            request.extend(["\t", SEMI_SYNC]);
        }
        (state.acknowledges, request)
    };
    within(host, NET_TIMEOUT, client.query(&request)).await.ok_or_else(silence)??;
    server.replicate(|replication| {
        replication.connected = true;
        replication.error.clear();
    });
    loop {
        let line = within(host, NET_TIMEOUT, client.receive()).await.ok_or_else(silence)??;
        let Some(transaction) = Transaction::from_line(&line) else {
            continue;
        };
        let ack = format!("ACK\t{}", transaction.gtid);
        server.receive(transaction).await;
        if acknowledges {
            client.send(&ack).await?;
        }
    }
}
