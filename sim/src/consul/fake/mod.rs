//! A Consul for other people's tests: the same fake, on real TCP in real time, or on any stream at all.
//!
//! [`FakeConsul`] runs on a thread of its own and can be used from any runtime. [`LocalConsul`] runs where
//! it was made, in a `LocalSet`, on the streams it is given: a pipe, a TLS session, a simulated network.
//!
//! ```
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! use ironbird_sim::consul::fake::FakeConsul;
//!
//! let consul = FakeConsul::builder().node("test").start().await?;
//! assert!(consul.url().starts_with("http://127.0.0.1:"));
//! consul.chaos().set_leaderless(true);
//! consul.shutdown().await;
//! # std::io::Result::Ok(())
//! # }).unwrap();
//! ```

mod builder;
mod listen;
mod log;
#[cfg(test)]
mod tests;
mod tls;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};

pub use self::builder::Builder;
use self::log::{Log, TokioClock};
pub use self::tls::{Tls, TlsError};
use super::chaos::{Census, Chaos, ChaosPlan};
use super::mesh::Mesh;
use super::server::{Clock, Fleet, Shell};
use crate::seed::Seed;

/// How often to look whether a cluster has a leader yet.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A fake Consul on a thread of its own. It ends when this is dropped.
#[derive(Debug)]
pub struct FakeConsul {
    addresses: Vec<SocketAddr>,
    scheme: &'static str,
    census: Census,
    chaos: Chaos,
    orders: mpsc::UnboundedSender<Order>,
    ended: oneshot::Receiver<()>,
}

/// Something to be done on the server's thread.
type Order = Box<dyn FnOnce(&LocalConsul) + Send>;

impl FakeConsul {
    /// A server to be described.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Where it listens; its first node, if it has several.
    pub fn addr(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Where it listens, as clients want it in `CONSUL_HTTP_ADDR`; its first node, if it has several.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.addr())
    }

    /// Where every node listens, servers first.
    pub fn urls(&self) -> Vec<String> {
        self.addresses.iter().map(|address| format!("{}://{address}", self.scheme)).collect()
    }

    /// What the nodes of a cluster are called, in the same order.
    pub fn nodes(&self) -> Vec<String> {
        (0..self.addresses.len()).map(|node| self.census.name(node)).collect()
    }

    /// What is wrong with it, to be changed.
    pub fn chaos(&self) -> &Chaos {
        &self.chaos
    }

    /// How many blocking queries wait; none when it has ended.
    pub async fn waiting(&self) -> usize {
        self.on_its_thread(|consul| consul.waiting()).await
    }

    /// How many connections are open; none when it has ended.
    pub async fn connections(&self) -> usize {
        self.on_its_thread(|consul| consul.connections()).await
    }

    /// What a lone server holds, to be given to [`Builder::data`]; none from a cluster, or one that has ended.
    pub async fn dump(&self) -> Option<Vec<u8>> {
        self.on_its_thread(|consul| {
            consul.shells[0].shared().read(|fleet| match fleet {
                Fleet::One(consul) => consul.dump().ok(),
                Fleet::Mesh(_) => None,
            })
        })
        .await
    }

    /// Lets a lone server go on from what [`Self::dump`] gave. What it held before is gone.
    ///
    /// # Errors
    /// When it cannot be gone on from, and when this is a cluster or has ended; nothing has changed then.
    pub async fn load(&self, dump: Vec<u8>) -> Result<(), String> {
        let loaded = self.on_its_thread(move |consul| Some(consul.load(&dump)));
        loaded.await.unwrap_or_else(|| Err("it has ended".to_owned()))
    }

    async fn on_its_thread<T: Default + Send + 'static>(
        &self,
        ask: impl FnOnce(&LocalConsul) -> T + Send + 'static,
    ) -> T {
        let (answer, answered) = oneshot::channel();
        let order: Order = Box::new(move |consul| {
            // Whoever asked may have gone.
            answer.send(ask(consul)).ok();
        });
        self.orders.send(order).ok();
        answered.await.unwrap_or_default()
    }

    /// Ends it: every connection is closed, and its port is free when this returns.
    pub async fn shutdown(self) {
        drop(self.orders);
        // It has ended too when it cannot say so.
        self.ended.await.ok();
    }
}

/// A fake Consul on the thread that made it. Cloning shares it.
#[derive(Debug, Clone)]
pub struct LocalConsul {
    /// One for the clients of each node.
    shells: Vec<Shell<TokioClock, Log>>,
    chaos: Chaos,
    plan: ChaosPlan,
    seed: Seed,
    waits: bool,
}

impl LocalConsul {
    /// What is wrong with it, to be changed.
    pub fn chaos(&self) -> &Chaos {
        &self.chaos
    }

    /// How many requests wait.
    fn waiting(&self) -> usize {
        self.shells[0].waiting()
    }

    /// How many connections are open, to all nodes.
    fn connections(&self) -> usize {
        self.shells.iter().map(Shell::connections).sum()
    }

    /// Speaks HTTP with a client at `peer` on `stream` until one of them ends it. [`Self::run`] must run
    /// beside it.
    pub async fn serve_stream<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S, peer: IpAddr) {
        self.serve_stream_on(0, stream, peer).await;
    }

    /// The same for a client of a node of a cluster, counted from 0, servers first. With a node that does
    /// not run, or that there is not, the stream ends.
    pub async fn serve_stream_on<S>(&self, node: usize, stream: S, peer: IpAddr)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if let Some(shell) = self.shells.get(node) {
            shell.serve_stream(stream, peer).await;
        }
    }

    /// Returns when a cluster has a leader that every running node knows. [`Self::run`] must run beside it.
    pub async fn until_ready(&self) {
        let shell = &self.shells[0];
        while !shell.shared().read(|fleet| fleet.mesh().is_none_or(Mesh::is_ready)) {
            shell.clock().sleep(LOOK_AGAIN).await;
        }
    }

    fn load(&self, dump: &[u8]) -> Result<(), String> {
        let shell = &self.shells[0];
        let now = shell.clock().now();
        shell.shared().update_all(now, &Log, |fleet| match fleet {
            Fleet::One(consul) => consul.load(now, dump).map_err(|error| error.to_string()),
            Fleet::Mesh(_) => Err("a dump is of a lone server, and loaded into one".to_owned()),
        })
    }

    /// Carries out what the checks of its agents try, over the network of this process.
    async fn carry_out_probes(&self) {
        let shell = &self.shells[0];
        match shell.carry_out_probes(shell.clock().clone()).await {}
    }

    /// Lets everything happen when it is due: sessions expire, watches end, the plan is played. It never
    /// returns; dropping it stops the clock.
    pub async fn run(&self) {
        let planned = async {
            if self.waits {
                self.until_ready().await;
            }
            let mut dice = self.seed.stream("chaos", "plan");
            self.plan.play(&self.chaos, self.shells[0].clock(), &mut dice).await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            () = planned => {}
            never = self.shells[0].keep_time() => match never {},
        }
    }
}
