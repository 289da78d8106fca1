//! The shell: puts a [`Consul`] on a host's network.
//!
//! One task accepts connections, one per connection speaks HTTP/1.1 on it, and the clock is watched beside
//! them. Whatever changes the state goes through [`Shared::update`], which hands every event to the
//! observer at once and answers those blocking queries that are over, in the order they came.
//!
//! The rule a change must keep: nothing here borrows the state across an await.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use ironbird_agent::host::{Host, Listener};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;

use super::{Blocked, Consul, Reply};
use crate::record::ConsulEvent;

/// The most a request's body can hold. It is more than any endpoint takes, so that the endpoint says so.
const BODY_MAX: usize = 1024 * 1024;
const HEADERS_MAX: usize = 64;
const HEADER_BYTES_MAX: usize = 64 * 1024;

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
}

/// Who is told what happens in a server, when it happens.
pub trait Observer: 'static {
    /// A request was answered.
    fn exchange(&self, exchange: &Exchange<'_>);
    /// The state changed, at this time on the server's clock.
    fn event(&self, at: Duration, event: ConsulEvent);
}

/// A state and those who wait for it, to be shared by a server and whoever else acts on the state.
#[derive(Debug, Clone)]
pub struct Shared(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    consul: RefCell<Consul>,
    waiting: RefCell<BTreeMap<u64, Waiting>>,
    arrived: Cell<u64>,
    /// The revision those who wait have been asked about.
    settled: Cell<u64>,
    /// Until when the clock's keeper sleeps.
    asleep_until: Cell<Duration>,
    /// Wakes it when something is due before that.
    rescheduled: Notify,
}

#[derive(Debug)]
struct Waiting {
    blocked: Blocked,
    answer: oneshot::Sender<Response<Bytes>>,
}

impl Shared {
    /// Shares `consul`.
    pub fn new(consul: Consul) -> Self {
        Self(Rc::new(Inner {
            consul: RefCell::new(consul),
            waiting: RefCell::default(),
            arrived: Cell::new(0),
            settled: Cell::new(0),
            asleep_until: Cell::new(Duration::ZERO),
            rescheduled: Notify::new(),
        }))
    }

    /// Reads the state.
    ///
    /// # Panics
    /// When called from within [`Self::update`].
    pub fn read<T>(&self, read: impl FnOnce(&Consul) -> T) -> T {
        read(&self.0.consul.borrow())
    }

    /// How many blocking queries wait.
    pub fn waiting(&self) -> usize {
        self.0.waiting.borrow().len()
    }

    /// Changes the state at `now`, tells `observer` what that led to, and answers who waited for it.
    ///
    /// # Panics
    /// When called from within itself.
    pub fn update<T>(
        &self,
        now: Duration,
        observer: &impl Observer,
        update: impl FnOnce(&mut Consul) -> T,
    ) -> T {
        let mut consul = self.0.consul.borrow_mut();
        consul.advance(now);
        let result = update(&mut consul);
        for (at, event) in consul.drain_events() {
            observer.event(at, event);
        }
        self.settle(now, &mut consul);
        if let Some(deadline) = consul.next_deadline() {
            self.reschedule(deadline);
        }
        result
    }

    fn reschedule(&self, deadline: Duration) {
        if deadline < self.0.asleep_until.get() {
            self.0.asleep_until.set(deadline);
            self.0.rescheduled.notify_one();
        }
    }

    fn settle(&self, now: Duration, consul: &mut Consul) {
        let mut waiting = self.0.waiting.borrow_mut();
        let moved = self.0.settled.replace(consul.revision()) != consul.revision();
        let over = waiting.extract_if(.., |_, waiting| {
            waiting.answer.is_closed() || moved || waiting.blocked.deadline() <= now
        });
        let mut kept = Vec::new();
        for (number, mut waiting) in over {
            if waiting.answer.is_closed() {
                continue;
            }
            match consul.poll(now, &mut waiting.blocked) {
                // A client that has gone since does not want it.
                Some(response) => drop(waiting.answer.send(response)),
                None => kept.push((number, waiting)),
            }
        }
        waiting.extend(kept);
    }

    fn next_deadline(&self) -> Option<Duration> {
        let waiting = self.0.waiting.borrow();
        let blocked = waiting.values().map(|waiting| waiting.blocked.deadline()).min();
        let due = self.0.consul.borrow().next_deadline();
        [blocked, due].into_iter().flatten().min()
    }

    fn wait(&self, blocked: Blocked) -> (u64, oneshot::Receiver<Response<Bytes>>) {
        let (answer, receiver) = oneshot::channel();
        let number = self.0.arrived.get();
        self.0.arrived.set(number + 1);
        self.reschedule(blocked.deadline());
        self.0.waiting.borrow_mut().insert(number, Waiting { blocked, answer });
        (number, receiver)
    }
}

/// Serves `shared` on `address` of `host` until the future is dropped, and every connection with it.
///
/// # Errors
/// When it cannot listen there, or no longer accept.
pub async fn serve<H: Host>(
    host: H,
    shared: Shared,
    address: SocketAddr,
    observer: Rc<impl Observer>,
) -> io::Result<Infallible> {
    let mut listener = host.listen(address).await?;
    let mut connections = JoinSet::new();
    let mut clock = std::pin::pin!(keep_time(host.clone(), shared.clone(), Rc::clone(&observer)));
    loop {
        tokio::select! {
            biased;
            never = &mut clock => match never {},
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                let (stream, client) = accepted?;
                connections.spawn_local(connection(
                    host.clone(),
                    shared.clone(),
                    Rc::clone(&observer),
                    stream,
                    client.ip(),
                ));
            }
        }
    }
}

/// Lets everything happen when it is due.
async fn keep_time<H: Host>(host: H, shared: Shared, observer: Rc<impl Observer>) -> Infallible {
    loop {
        let now = host.now();
        shared.update(now, &*observer, |_| ());
        let deadline = shared.next_deadline();
        shared.0.asleep_until.set(deadline.unwrap_or(Duration::MAX));
        let rescheduled = shared.0.rescheduled.notified();
        match deadline {
            Some(deadline) => tokio::select! {
                biased;
                () = rescheduled => {}
                () = host.sleep(deadline.saturating_sub(now)) => {}
            },
            None => rescheduled.await,
        }
    }
}

async fn connection<H: Host>(
    host: H,
    shared: Shared,
    observer: Rc<impl Observer>,
    stream: H::Stream,
    client: IpAddr,
) {
    let service = service_fn(|request| exchange(&host, &shared, &*observer, client, request));
    // How a connection ends is its client's business.
    http1::Builder::new()
        .title_case_headers(true)
        .auto_date_header(false)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .await
        .ok();
}

async fn exchange<H: Host>(
    host: &H,
    shared: &Shared,
    observer: &impl Observer,
    client: IpAddr,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Box<dyn std::error::Error + Send + Sync>> {
    let began = host.now();
    let (head, body) = request.into_parts();
    let body = match Limited::new(body, BODY_MAX).collect().await {
        Ok(body) => Some(body.to_bytes()),
        Err(why) if why.is::<LengthLimitError>() => None,
        Err(why) => return Err(why),
    };
    let request = Request::from_parts(head, body.clone().unwrap_or_default());
    let now = host.now();
    let reply = match body {
        Some(_) => shared.update(now, observer, |consul| consul.request(now, client, &request)),
        None => {
            let mut response = Response::new(Bytes::new());
            *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
            Reply::Now(response)
        }
    };
    let response = match reply {
        Reply::Now(response) => response,
        // A server that is alone keeps nobody waiting.
        Reply::Pending(_) => Response::default(),
        Reply::Blocked(blocked) => {
            let (number, answer) = shared.wait(blocked);
            let _leave = Leave { shared, number };
            answer.await.unwrap_or_default()
        }
    };
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    observer.exchange(&Exchange {
        client,
        method: request.method().as_str(),
        path,
        status: response.status().as_u16(),
        took: host.now().saturating_sub(began),
    });
    Ok(response.map(Full::new))
}

/// Stops waiting when the client goes away.
struct Leave<'a> {
    shared: &'a Shared,
    number: u64,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.shared.0.waiting.borrow_mut().remove(&self.number);
    }
}
