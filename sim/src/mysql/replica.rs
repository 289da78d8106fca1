//! The receiver of a replica: connects to the source, takes what it lacks, acknowledges what is durable.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use ironbird_agent::host::{Host, within};

use super::data::{Source, Transaction};
use super::server::Server;
use super::wire::{Client, QueryError};

/// A source that says nothing for this long is taken for dead.
const NET_TIMEOUT: Duration = Duration::from_secs(60);

/// Receives for as long as the server runs.
pub(super) async fn receive(server: Rc<Server>) {
    loop {
        let (source, stops) = wanted(&server).await;
        tokio::select! {
            biased;
            () = unwanted(&server, &source, stops) => {}
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
                    () = unwanted(&server, &source, stops) => {}
                    () = server.host.sleep(Duration::from_secs(source.connect_retry_s)) => {}
                }
            }
        }
    }
}

/// Waits until there is a source to receive from.
async fn wanted(server: &Server) -> (Source, u64) {
    loop {
        let changed = server.changed.notified();
        {
            let replication = &server.state.borrow().replication;
            if let (true, Some(source)) = (replication.receiver, &replication.source) {
                return (source.clone(), replication.stops);
            }
        }
        changed.await;
    }
}

/// Waits until this source is no longer to be received from, or by another receiver.
async fn unwanted(server: &Server, source: &Source, stops: u64) {
    loop {
        let changed = server.changed.notified();
        {
            let replication = &server.state.borrow().replication;
            let same = replication.stops == stops && replication.source.as_ref() == Some(source);
            if !replication.receiver || !same {
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
    // As with the real one, what the variable says when the receiver connects holds for that connection.
    let (has, acknowledges) = {
        let state = server.state.borrow();
        (state.retrieved.to_string(), state.semi_sync_slave)
    };
    within(host, NET_TIMEOUT, client.query(&format!("DUMP\t{has}"))).await.ok_or_else(silence)??;
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
        server.receive(transaction);
        if acknowledges {
            client.send(&ack).await?;
        }
    }
}
