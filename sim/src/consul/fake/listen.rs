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

/// Serves until nobody can give orders any more.
pub(super) async fn run(
    consul: LocalConsul,
    address: SocketAddr,
    tls: Option<Tls>,
    report: oneshot::Sender<io::Result<SocketAddr>>,
    mut orders: mpsc::UnboundedReceiver<Order>,
) {
    let bound = async {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        io::Result::Ok((listener, address))
    };
    let (listener, address) = match bound.await {
        Ok(bound) => bound,
        Err(error) => return drop(report.send(Err(error))),
    };
    // Whoever asked may have gone; then there are no orders either.
    report.send(Ok(address)).ok();
    let obey = async {
        while let Some(order) = orders.recv().await {
            order(&consul);
        }
    };
    tokio::select! {
        biased;
        () = obey => {}
        () = consul.run() => {}
        never = accept(&consul, listener, address, tls) => match never {},
    }
}

async fn accept(
    consul: &LocalConsul,
    mut listener: TcpListener,
    address: SocketAddr,
    tls: Option<Tls>,
) -> Infallible {
    let mut connections = JoinSet::new();
    let chaos = consul.chaos().clone();
    loop {
        tokio::select! {
            biased;
            () = chaos.until(|troubles| troubles.is_refusing()) => {
                drop(listener);
                chaos.until(|troubles| !troubles.is_refusing()).await;
                listener = bind_again(address).await;
            }
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    connections.spawn_local(serve(consul.clone(), stream, peer, tls.clone()));
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

async fn serve(consul: LocalConsul, stream: TcpStream, peer: SocketAddr, tls: Option<Tls>) {
    // An answer is one write; without this it would wait for the client's acknowledgement of the last.
    stream.set_nodelay(true).ok();
    let ip = peer.ip().to_canonical();
    match tls {
        None => consul.serve_stream(stream, ip).await,
        Some(tls) => match tls.accept(stream).await {
            Ok(stream) => consul.serve_stream(stream, ip).await,
            Err(error) => tracing::debug!(target: "ironbird", "{ip}: no TLS session: {error}"),
        },
    }
}
