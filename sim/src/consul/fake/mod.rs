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

mod listen;
#[cfg(test)]
mod tests;
mod tls;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;
use tokio::time::Instant;

pub use self::tls::{Tls, TlsError};
use super::chaos::{Chaos, ChaosPlan};
use super::server::{Clock, Exchange, Observer, Shared, Shell};
use super::{Consul, ConsulConfig};
use crate::record::ConsulEvent;
use crate::seed::Seed;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// What a fake Consul is to be.
#[derive(Debug, Clone)]
pub struct Builder {
    listen: SocketAddr,
    config: ConsulConfig,
    seed: Seed,
    chaos: Chaos,
    plan: ChaosPlan,
    tls: Option<Tls>,
}

impl Builder {
    fn new() -> Self {
        Self {
            listen: SocketAddr::new(LOOPBACK, 0),
            config: ConsulConfig::new("ironbird", LOOPBACK),
            seed: Seed(0),
            chaos: Chaos::new(),
            plan: ChaosPlan::default(),
            tls: None,
        }
    }

    /// The name of its node; `ironbird` if not said.
    #[must_use]
    pub fn node(mut self, node: impl Into<String>) -> Self {
        self.config.node = node.into();
        self
    }

    /// Its datacenter; `dc1` if not said.
    #[must_use]
    pub fn datacenter(mut self, datacenter: impl Into<String>) -> Self {
        self.config.datacenter = datacenter.into();
        self
    }

    /// The address of its node in the catalog; 127.0.0.1 if not said.
    #[must_use]
    pub fn address(mut self, address: IpAddr) -> Self {
        self.config.address = address;
        self
    }

    /// What its ids, its jitter and its chaos are drawn from; 0 if not said.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Seed(seed);
        self
    }

    /// Where [`Self::start`] listens; a free port of the loopback if not said.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// Speaks HTTPS where [`Self::start`] listens.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// What goes wrong when, from the start on.
    #[must_use]
    pub fn plan(mut self, plan: ChaosPlan) -> Self {
        self.plan = plan;
        self
    }

    /// Makes it here, for streams of the caller's.
    ///
    /// Its time is the tokio runtime's, paused or not, and its answers carry no date.
    ///
    /// # Panics
    /// Outside of a tokio runtime with time.
    pub fn local(self) -> LocalConsul {
        self.on(TokioClock { began: Instant::now(), has_date: false })
    }

    fn on(self, clock: TokioClock) -> LocalConsul {
        let consul = Consul::new(self.config, self.seed.stream("consul", ""));
        let shell = Shell::new(clock, Shared::new(consul), Rc::new(Log))
            .with_chaos(self.chaos.clone(), self.seed.stream("chaos", "requests"));
        LocalConsul { shell, chaos: self.chaos, plan: self.plan, seed: self.seed }
    }

    /// Starts it on a thread of its own; it serves when this returns.
    ///
    /// # Errors
    /// When it cannot listen where it should, or there can be no thread.
    pub async fn start(self) -> io::Result<FakeConsul> {
        let (orders, ordered) = mpsc::unbounded_channel();
        let (report, started) = oneshot::channel();
        let (ending, ended) = oneshot::channel();
        let (address, tls, chaos) = (self.listen, self.tls.clone(), self.chaos.clone());
        let scheme = if tls.is_some() { "https" } else { "http" };
        // Nothing of a simulation comes here: this is the fake in the real world.
        std::thread::Builder::new().name("fake-consul".to_owned()).spawn(move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(report.send(Err(error))),
            };
            LocalSet::new().block_on(&runtime, async {
                let consul = self.on(TokioClock { began: Instant::now(), has_date: true });
                listen::run(consul, address, tls, report, ordered).await;
            });
            ending.send(()).ok();
        })?;
        let address = started.await.map_err(|_| io::Error::other("the server ended at once"))??;
        Ok(FakeConsul { address, scheme, chaos, orders, ended })
    }
}

/// A fake Consul on a thread of its own. It ends when this is dropped.
#[derive(Debug)]
pub struct FakeConsul {
    address: SocketAddr,
    scheme: &'static str,
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

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens, as clients want it in `CONSUL_HTTP_ADDR`.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// What is wrong with it, to be changed.
    pub fn chaos(&self) -> &Chaos {
        &self.chaos
    }

    /// How many blocking queries wait; none when it has ended.
    pub async fn waiting(&self) -> usize {
        self.on_its_thread(|consul| consul.shell.waiting()).await
    }

    /// How many connections are open; none when it has ended.
    pub async fn connections(&self) -> usize {
        self.on_its_thread(|consul| consul.shell.connections()).await
    }

    async fn on_its_thread(&self, ask: impl FnOnce(&LocalConsul) -> usize + Send + 'static) -> usize {
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
    shell: Shell<TokioClock, Log>,
    chaos: Chaos,
    plan: ChaosPlan,
    seed: Seed,
}

impl LocalConsul {
    /// What is wrong with it, to be changed.
    pub fn chaos(&self) -> &Chaos {
        &self.chaos
    }

    /// Speaks HTTP with a client at `peer` on `stream` until one of them ends it. [`Self::run`] must run
    /// beside it.
    pub async fn serve_stream<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S, peer: IpAddr) {
        self.shell.serve_stream(stream, peer).await;
    }

    /// Lets everything happen when it is due: sessions expire, watches end, the plan is played. It never
    /// returns; dropping it stops the clock.
    pub async fn run(&self) {
        let planned = async {
            let mut dice = self.seed.stream("chaos", "plan");
            self.plan.play(&self.chaos, self.shell.clock(), &mut dice).await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            () = planned => {}
            never = self.shell.keep_time() => match never {},
        }
    }
}

/// The clock of the runtime it is used on.
#[derive(Debug, Clone)]
struct TokioClock {
    began: Instant,
    has_date: bool,
}

impl Clock for TokioClock {
    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static {
        tokio::time::sleep(duration)
    }

    #[expect(clippy::disallowed_types, reason = "a real server in real time says the real date")]
    fn wall(&self) -> Option<Duration> {
        let now = std::time::SystemTime::now();
        self.has_date.then(|| now.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default())
    }
}

/// Tells what happens to whoever listens to `tracing`, without the tokens of those who ask.
#[derive(Debug)]
struct Log;

impl Observer for Log {
    fn exchange(&self, exchange: &Exchange<'_>) {
        let Exchange { client, method, path, status, took } = exchange;
        tracing::debug!(
            target: "ironbird",
            "{client} {method} {} {status} {:.1}ms",
            without_token(path),
            took.as_secs_f64() * 1000.0
        );
    }

    fn event(&self, _: Duration, event: ConsulEvent) {
        tracing::trace!(target: "ironbird", "{event:?}");
    }
}

/// The path with the values of its tokens left out.
fn without_token(path: &str) -> String {
    let Some((path, query)) = path.split_once('?') else {
        return path.to_owned();
    };
    let shown: Vec<&str> = query
        .split(['&', ';'])
        .map(|pair| {
            let name = pair.split('=').next().unwrap_or_default();
            let decoded = percent_encoding::percent_decode_str(name).decode_utf8_lossy();
            if decoded.eq_ignore_ascii_case("token") { "token=hidden" } else { pair }
        })
        .collect();
    format!("{path}?{}", shown.join("&"))
}
