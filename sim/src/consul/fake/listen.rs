//! The fake on a real socket: listens, takes connections, and stops listening while it refuses them.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::{LocalConsul, Order, Tls};

/// How long to wait when no more connections can be taken, or the port is not free again yet.
const PAUSE: Duration = Duration::from_millis(20);

/// Serves until nobody can give orders any more. Says where it listens when it is ready.
pub(super) async fn run(
    consul: LocalConsul,
    addresses: &[SocketAddr],
    tls: Option<Tls>,
    report: oneshot::Sender<io::Result<Vec<SocketAddr>>>,
    mut orders: mpsc::UnboundedReceiver<Order>,
) {
    let (addresses, listeners) = match bind(addresses).await {
        Ok(bound) => bound,
        Err(error) => return drop(report.send(Err(error))),
    };
    let obey = async {
        while let Some(order) = orders.recv().await {
            order(&consul);
        }
    };
    let announce = async {
        if consul.waits {
            consul.until_ready().await;
        }
        // Whoever asked may have gone; then there are no orders either.
        report.send(Ok(addresses.clone())).ok();
        std::future::pending::<()>().await;
    };
    let mut nodes = JoinSet::new();
    for (node, (listener, address)) in listeners.into_iter().zip(&addresses).enumerate() {
        nodes.spawn_local(accept(consul.clone(), node, listener, *address, tls.clone()));
    }
    tokio::select! {
        biased;
        () = obey => {}
        () = announce => {}
        () = consul.run() => {}
        () = consul.carry_out_probes() => {}
    }
}

async fn bind(addresses: &[SocketAddr]) -> io::Result<(Vec<SocketAddr>, Vec<TcpListener>)> {
    let (mut bound, mut listeners) = (Vec::new(), Vec::new());
    for address in addresses {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))?;
        bound.push(listener.local_addr()?);
        listeners.push(listener);
    }
    Ok((bound, listeners))
}

async fn accept(
    consul: LocalConsul,
    node: usize,
    mut listener: TcpListener,
    address: SocketAddr,
    tls: Option<Tls>,
) -> Infallible {
    let mut connections = JoinSet::new();
    let chaos = consul.chaos().clone();
    let shell = &consul.shells[node];
    loop {
        tokio::select! {
            biased;
            () = chaos.until(|troubles| troubles.is_refusing()) => {
                drop(listener);
                chaos.until(|troubles| !troubles.is_refusing()).await;
                listener = bind_again(address).await;
            }
            () = shell.stopped() => {
                drop(listener);
                shell.running().await;
                listener = bind_again(address).await;
            }
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    connections.spawn_local(serve(consul.clone(), node, stream, peer, tls.clone()));
                }
                // Too many files are open: some will be closed.
                Err(_) => tokio::time::sleep(PAUSE).await,
            },
        }
    }
}

async fn bind_again(address: SocketAddr) -> TcpListener {
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn serve(consul: LocalConsul, node: usize, stream: TcpStream, peer: SocketAddr, tls: Option<Tls>) {
    // An answer is one write; without this it would wait for the client's acknowledgement of the last.
    stream.set_nodelay(true).ok();
    let ip = peer.ip().to_canonical();
    match tls {
        None => consul.serve_stream_on(node, stream, ip).await,
        Some(tls) => match tls.accept(stream).await {
            Ok(stream) => consul.serve_stream_on(node, stream, ip).await,
            Err(error) => tracing::debug!(target: "ironbird", "{ip}: no TLS session: {error}"),
        },
    }
}
