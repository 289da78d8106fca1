//! The shell: puts a [`Consul`](super::Consul) on a network.
//!
//! A [`Shell`] speaks HTTP/1.1 on any byte stream, as Go's server does on the wire (`request`, `chunked`,
//! `response`, `gzip`), and watches the clock beside that. [`serve`] listens for it on a [`Host`]. Whatever
//! changes the state goes through [`Shared::update`], which hands every event to the observer at once and
//! answers those blocking queries that are over, in the order they came.
//!
//! The rule a change must keep: nothing here borrows the state across an await.

mod chunked;
mod clients;
mod connection;
mod fleet;
mod gzip;
mod probes;
mod request;
mod response;
mod shared;
mod strikes;
#[cfg(test)]
mod tests;
mod weather;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use ironbird_agent::host::{Host, Listener};
use rand_chacha::ChaCha8Rng;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;

pub use self::clients::CONNECTIONS_MAX;
use self::clients::Clients;
pub use self::fleet::Fleet;
pub use self::shared::{Posted, Shared};
use self::weather::Weather;
use super::Happened;
use super::api::Stale;
use super::chaos::Chaos;
use super::probe::Network;

/// One answered request.
#[derive(Debug)]
pub struct Exchange<'a> {
    /// Who asked.
    pub client: IpAddr,
    /// The method.
    pub method: &'a str,
    /// Path and query as sent.
    pub path: &'a str,
    /// The status.
    pub status: u16,
    /// From request to answer, on the server's clock.
    pub took: Duration,
    /// Whether the client was shown an older catalog than the server has, and would have got another answer from that:
    /// see [`Consul::set_catalog_lag`](super::Consul::set_catalog_lag).
    pub stale: bool,
}

/// Who is told what happens in a server, when it happens.
pub trait Observer: 'static {
    /// A request was answered.
    fn exchange(&self, exchange: &Exchange<'_>);
    /// The state changed.
    fn event(&self, happened: Happened);
}

/// What a shell asks of the machine it runs on: every [`Host`] has it.
pub trait Clock: Clone + 'static {
    /// Monotonic time since an arbitrary start.
    fn now(&self) -> Duration;

    /// Completes when `duration` has passed.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static;

    /// Time since the Unix epoch, for the `Date` of an answer; `None` where answers carry none.
    fn wall(&self) -> Option<Duration>;
}

impl<H: Host> Clock for H {
    fn now(&self) -> Duration {
        Host::now(self)
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static {
        Host::sleep(self, duration)
    }

    /// A date would make a record depend on the day it was made.
    fn wall(&self) -> Option<Duration> {
        None
    }
}

/// A state, a clock, and who is told: everything a connection needs. Cloning shares it.
#[derive(Debug)]
pub struct Shell<C, O> {
    clock: C,
    shared: Shared,
    node: usize,
    observer: Rc<O>,
    clients: Clients,
    weather: Option<Rc<Weather>>,
    half_closed_waits: bool,
}

impl<C: Clone, O> Clone for Shell<C, O> {
    fn clone(&self) -> Self {
        Self {
            clock: self.clock.clone(),
            shared: self.shared.clone(),
            node: self.node,
            observer: Rc::clone(&self.observer),
            clients: self.clients.clone(),
            weather: self.weather.clone(),
            half_closed_waits: self.half_closed_waits,
        }
    }
}

impl<C: Clock, O: Observer> Shell<C, O> {
    /// Shares `shared` with clients, in fair weather.
    pub fn new(clock: C, shared: Shared, observer: Rc<O>) -> Self {
        Self {
            clock,
            shared,
            node: 0,
            observer,
            clients: Clients::default(),
            weather: None,
            half_closed_waits: false,
        }
    }

    /// The same for clients that may close their side of a connection and still want their answer, as they
    /// may with a real server. One that is gone altogether then keeps its place until its answer is there.
    #[must_use]
    pub fn with_half_closed_clients(mut self) -> Self {
        self.half_closed_waits = true;
        self
    }

    /// The same under what `chaos` says, with its dice.
    #[must_use]
    pub fn with_chaos(mut self, chaos: Chaos, dice: ChaCha8Rng) -> Self {
        self.weather = Some(Rc::new(Weather::new(chaos, dice)));
        self
    }

    /// The same for clients of another node, with connections of its own.
    #[must_use]
    pub fn on_node(mut self, node: usize) -> Self {
        self.node = node;
        self.clients = Clients::default();
        self
    }

    /// The clock it goes by.
    pub fn clock(&self) -> &C {
        &self.clock
    }

    /// How many blocking queries wait.
    pub fn waiting(&self) -> usize {
        self.shared.waiting()
    }

    /// The connections that are open.
    pub fn connections(&self) -> usize {
        self.clients.count()
    }

    /// What it serves.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Returns when its node is stopped, or does not run at all.
    pub async fn stopped(&self) {
        self.shared.stopped(self.node).await;
    }

    /// Returns when its node runs.
    pub async fn running(&self) {
        self.shared.running(self.node).await;
    }

    /// Speaks HTTP/1 with `client` on `stream` until one of them ends it.
    ///
    /// A client that has as many connections as Consul allows is hung up on without a word.
    pub async fn serve_stream<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S, client: IpAddr) {
        let Some(_place) = self.clients.admit(client) else {
            return;
        };
        let stopped = self.shared.stopped(self.node);
        let refused = async {
            match &self.weather {
                Some(weather) => weather.refusing().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = refused => {}
            () = stopped => {}
            // How a connection ends is its client's business.
            _ = connection::run(self, stream, client) => {}
        }
    }

    /// Carries out from `host` what the checks of its agents try. None of them is ever tried unless this runs.
    pub async fn carry_out_probes(&self, host: impl Network) -> Infallible {
        let (shared, observer) = (self.shared.clone(), Rc::clone(&self.observer));
        probes::keep(self.clock.clone(), host, shared, observer).await
    }

    /// Lets everything happen when it is due. Nothing expires unless this runs.
    pub async fn keep_time(&self) -> Infallible {
        let weather = async {
            match &self.weather {
                Some(weather) => weather.blow(self).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            never = weather => never,
            never = self.keep_deadlines() => never,
        }
    }

    async fn keep_deadlines(&self) -> Infallible {
        let Self { clock, shared, observer, .. } = self;
        loop {
            let now = clock.now();
            let deadline = shared.advance(now, &**observer);
            let rescheduled = shared.rescheduled();
            match deadline {
                Some(deadline) => tokio::select! {
                    biased;
                    () = rescheduled => {}
                    () = clock.sleep(deadline.saturating_sub(now)) => {}
                },
                None => rescheduled.await,
            }
        }
    }

    /// Answers a request, when there is an answer.
    async fn answer(&self, client: IpAddr, request: &Request<Bytes>) -> Response<Bytes> {
        match &self.weather {
            None => self.ask(client, request).await,
            Some(weather) => weather.answer(self, client, request).await,
        }
    }

    /// Answers a request as Consul does.
    async fn ask(&self, client: IpAddr, request: &Request<Bytes>) -> Response<Bytes> {
        self.shared.awake(self.node).await;
        self.shared.ask(self.clock.now(), self.node, &*self.observer, client, request).await
    }

    /// Tells the observer of an answered request.
    fn tell(&self, client: IpAddr, request: &Request<Bytes>, response: &Response<Bytes>, began: Duration) {
        self.observer.exchange(&Exchange {
            client,
            method: request.method().as_str(),
            path: request.uri().path_and_query().map_or("/", |path| path.as_str()),
            status: response.status().as_u16(),
            took: self.clock.now().saturating_sub(began),
            stale: response.extensions().get::<Stale>().is_some(),
        });
    }
}

/// Serves a shell's state on `address` of its host until the future is dropped, and every connection with
/// it.
///
/// # Errors
/// When it cannot listen there, or no longer accept.
pub async fn serve<H: Host, O: Observer>(shell: Shell<H, O>, address: SocketAddr) -> io::Result<Infallible> {
    let mut listener = shell.clock.listen(address).await?;
    let mut prober = std::pin::pin!(shell.carry_out_probes(shell.clock.clone()));
    let mut connections = JoinSet::new();
    let mut clock = std::pin::pin!(shell.keep_time());
    loop {
        tokio::select! {
            biased;
            never = &mut clock => match never {},
            never = &mut prober => match never {},
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                let (stream, client) = accepted?;
                let shell = shell.clone();
                connections.spawn_local(async move { shell.serve_stream(stream, client.ip()).await });
            }
        }
    }
}
