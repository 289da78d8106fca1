//! A small HTTP/1.1 client over whatever streams the host gives.
//!
//! It keeps connections open and uses an idle one again, because a keep-alive round trip costs half of
//! a fresh one. Each connection is driven by a task of its own that notices when the peer closes it;
//! dropping the connection stops the task and with it the socket.
//!
//! The rule a change must keep: every request ends by its deadline on the host's clock, a request that
//! was cancelled or timed out never leaves a half-used connection behind, and nothing but a request of
//! which no byte was sent, or a GET, is ever sent twice.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::task::JoinHandle;

use crate::host::{Host, within};

/// How many bytes of body a response may have, unless the client was told otherwise.
pub const RESPONSE_LIMIT: usize = 8 << 20;

/// How many idle connections are kept for each address.
const IDLE_PER_ADDRESS: usize = 4;

/// An HTTP client. Cloning it shares its connections.
pub struct Client<H: Host> {
    shared: Rc<Shared<H>>,
}

struct Shared<H> {
    host: H,
    response_limit: usize,
    idle: RefCell<BTreeMap<SocketAddr, Vec<Connection>>>,
}

/// An open connection. Dropping it stops the task that drives it, and closes the socket.
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
    host_header: HeaderValue,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A response, whole.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Response {
    /// Whether the status is one of success.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No connection could be opened: nothing was sent.
    #[error("unreachable: {0}")]
    Unreachable(#[source] io::Error),
    /// The connection ended before the response did: whether the request took effect is unknown.
    #[error("connection lost: {0}")]
    Interrupted(String),
    /// The deadline passed first: whether the request took effect is unknown.
    #[error("no answer within {}", humantime::format_duration(*.0))]
    TimedOut(Duration),
    /// What was asked or answered is not HTTP as we speak it.
    #[error("protocol error: {0}")]
    Protocol(String),
}

impl<H: Host> Clone for Client<H> {
    fn clone(&self) -> Self {
        Self { shared: Rc::clone(&self.shared) }
    }
}

impl<H: Host> Client<H> {
    /// A client without any connection yet.
    pub fn new(host: H) -> Self {
        Self::with_response_limit(host, RESPONSE_LIMIT)
    }

    /// As [`Client::new`], refusing responses with a body of more than `response_limit` bytes.
    pub fn with_response_limit(host: H, response_limit: usize) -> Self {
        Self { shared: Rc::new(Shared { host, response_limit, idle: RefCell::default() }) }
    }

    /// The host this client talks through.
    pub fn host(&self) -> &H {
        &self.shared.host
    }

    /// Sends `body` to `path` (which may have a query) at `address` and waits for the whole response, at
    /// most until `deadline` from now.
    ///
    /// # Errors
    /// When there is no response. A response of any status is a response.
    pub async fn request(
        &self,
        address: SocketAddr,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
        deadline: Duration,
    ) -> Result<Response, Failure> {
        let uri = Uri::try_from(path).map_err(|error| Failure::Protocol(format!("`{path}`: {error}")))?;
        self.send(address, method, uri, None, body.into(), deadline).await
    }

    /// [`Client::request`] for an address already parsed, with one header more.
    pub(crate) async fn send(
        &self,
        address: SocketAddr,
        method: Method,
        uri: Uri,
        header: Option<(&HeaderName, &HeaderValue)>,
        body: Bytes,
        deadline: Duration,
    ) -> Result<Response, Failure> {
        let exchange = self.exchange(address, method, uri, header, body);
        match within(&self.shared.host, deadline, exchange).await {
            Some(outcome) => outcome,
            None => Err(Failure::TimedOut(deadline)),
        }
    }

    async fn exchange(
        &self,
        address: SocketAddr,
        method: Method,
        uri: Uri,
        header: Option<(&HeaderName, &HeaderValue)>,
        body: Bytes,
    ) -> Result<Response, Failure> {
        let build = |host_header: &HeaderValue| {
            let mut request = http::Request::new(Full::new(body.clone()));
            *request.method_mut() = method.clone();
            *request.uri_mut() = uri.clone();
            request.headers_mut().insert(HOST, host_header.clone());
            if let Some((name, value)) = header {
                request.headers_mut().insert(name.clone(), value.clone());
            }
            request
        };
        // A kept connection may turn out to be dead only when it is used. Each turn of this loop uses
        // one up, and the last one is fresh.
        loop {
            let (mut connection, fresh) = match self.take_idle(address) {
                Some(connection) => (connection, false),
                None => (self.open(address).await?, true),
            };
            if let Err(error) = connection.sender.ready().await {
                if fresh {
                    return Err(Failure::Interrupted(error.to_string()));
                }
                continue;
            }
            let request = build(&connection.host_header);
            let response = match connection.sender.try_send_request(request).await {
                Ok(response) => response,
                Err(mut error) => {
                    let unsent = error.take_message().is_some();
                    if !fresh && (unsent || method == Method::GET) {
                        continue;
                    }
                    return Err(failure(&error.into_error()));
                }
            };
            let (parts, incoming) = response.into_parts();
            let body = Limited::new(incoming, self.shared.response_limit)
                .collect()
                .await
                .map_err(|error| match error.downcast::<hyper::Error>() {
                    Ok(error) => failure(&error),
                    Err(error) => Failure::Protocol(error.to_string()),
                })?
                .to_bytes();
            self.keep(address, connection);
            return Ok(Response { status: parts.status.as_u16(), headers: parts.headers, body });
        }
    }

    fn take_idle(&self, address: SocketAddr) -> Option<Connection> {
        let mut idle = self.shared.idle.borrow_mut();
        let connections = idle.get_mut(&address)?;
        while let Some(connection) = connections.pop() {
            if !connection.sender.is_closed() {
                return Some(connection);
            }
        }
        None
    }

    fn keep(&self, address: SocketAddr, connection: Connection) {
        if connection.sender.is_closed() {
            return;
        }
        let mut idle = self.shared.idle.borrow_mut();
        let connections = idle.entry(address).or_default();
        if connections.len() < IDLE_PER_ADDRESS {
            connections.push(connection);
        }
    }

    async fn open(&self, address: SocketAddr) -> Result<Connection, Failure> {
        let stream = self.shared.host.connect(address).await.map_err(Failure::Unreachable)?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| failure(&error))?;
        let driver = tokio::task::spawn_local(async move {
            // How it ended is told to whoever waits for a response; an idle one has nobody to tell.
            let _ = connection.await;
        });
        let host_header = HeaderValue::try_from(address.to_string())
            .map_err(|error| Failure::Protocol(error.to_string()))?;
        Ok(Connection { sender, driver, host_header })
    }
}

fn failure(error: &hyper::Error) -> Failure {
    if error.is_parse() || error.is_user() {
        Failure::Protocol(error.to_string())
    } else {
        Failure::Interrupted(match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        })
    }
}
