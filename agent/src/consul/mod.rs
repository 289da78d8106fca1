//! A client for the Consul HTTP API: the part of it that a pilot, a lock holder and their handlers use.
//!
//! [`Consul`] is the handle; [`Consul::kv`], [`Consul::session`], [`Consul::agent`], [`Consul::catalog`] and
//! [`Consul::health`] group the calls as Consul's own documentation does, and [`Consul::txn`] is the
//! transaction endpoint. Every call is one request to one agent with a deadline; nothing is retried here,
//! because only the caller knows whether doing something twice is harmless. What an answer means where
//! Consul's own words are ambiguous (`false` from an acquire, 404 from a renewal, an index that went
//! back) is told at each call.
//!
//! The rule a change must keep: an error says whether the request may have taken effect
//! ([`Error::outcome_unknown`]), and an answer of "no" is never an error.

use std::borrow::Cow;
use std::fmt;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use ::http::header::{HeaderName, HeaderValue};
use ::http::{Method, Uri};
use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::host::Host;

mod agent;
mod catalog;
mod error;
mod health;
pub mod http;
mod kv;
mod session;
#[cfg(test)]
mod tests;
mod txn;

pub use self::agent::{Agent, AgentCheck, AgentNode, AgentService, CheckSpec, ServiceSpec, Status};
pub use self::catalog::{Catalog, CatalogNode};
pub use self::error::{Cause, Error, Result};
pub use self::health::{Health, ServiceCheck, ServiceInstance};
pub use self::kv::{Kv, KvEntry};
pub use self::session::{Behavior, Session, SessionChecks, SessionInfo, SessionSpec};
pub use self::txn::{TxnConflict, TxnError, TxnOp};

/// How long a call that does not block may take, unless the handle was told otherwise.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// What stays as it is in a path: the unreserved characters of RFC 3986 and the separator of keys.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// What stays as it is in the value of a query.
const QUERY: &AsciiSet = &PATH.add(b'/');

static TOKEN: HeaderName = HeaderName::from_static("x-consul-token");
const INDEX: &str = "x-consul-index";

/// How fresh a read must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Consistency {
    /// The leader answers from what it has; one that lost its majority a moment ago still does.
    #[default]
    Default,
    /// The leader asks a majority first.
    Consistent,
    /// Any server answers from what it has, however old.
    Stale,
}

/// What a query answered, and the index to wait on for the next answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Indexed<T> {
    /// Consul's index of this answer; 0 when it gave none.
    pub index: u64,
    /// The answer.
    pub value: T,
}

impl<T> Indexed<T> {
    /// The index to give to the next blocking query after one that was given `previous`.
    ///
    /// An index may go back (a restored snapshot, a reaped tombstone, another server); waiting on the
    /// higher one would block although the data changed, so the next query starts afresh. An index of 0
    /// would not block at all, and turn a watch into a busy loop. (Consul docs, "Blocking Queries".)
    pub fn next_index(&self, previous: u64) -> u64 {
        if self.index < previous { 0 } else { self.index.max(1) }
    }
}

/// A handle to one Consul agent. Cloning it is cheap and shares the connections.
pub struct Consul<H: Host> {
    client: http::Client<H>,
    address: SocketAddr,
    token: Option<HeaderValue>,
    consistency: Consistency,
    timeout: Duration,
}

impl<H: Host> Clone for Consul<H> {
    fn clone(&self) -> Self {
        Self {
            client: self.client.clone(),
            address: self.address,
            token: self.token.clone(),
            consistency: self.consistency,
            timeout: self.timeout,
        }
    }
}

impl<H: Host> fmt::Debug for Consul<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consul")
            .field("address", &self.address)
            .field("consistency", &self.consistency)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl<H: Host> Consul<H> {
    /// A handle to the agent at `address`. Nothing is sent yet.
    pub fn new(host: H, address: SocketAddr) -> Self {
        Self::with_client(http::Client::new(host), address)
    }

    /// As [`Consul::new`], on the connections of `client`.
    pub fn with_client(client: http::Client<H>, address: SocketAddr) -> Self {
        Self { client, address, token: None, consistency: Consistency::Default, timeout: REQUEST_TIMEOUT }
    }

    /// The same agent, asked with an ACL token. A token that cannot be a header's value is refused by
    /// Consul, not here.
    #[must_use]
    pub fn token(mut self, token: Option<&str>) -> Self {
        self.token = token.map(|token| {
            let mut value =
                HeaderValue::from_str(token).unwrap_or_else(|_| HeaderValue::from_static("invalid-token"));
            value.set_sensitive(true);
            value
        });
        self
    }

    /// The same agent, read with another consistency.
    #[must_use]
    pub fn consistency(mut self, consistency: Consistency) -> Self {
        self.consistency = consistency;
        self
    }

    /// The same agent with another deadline for calls that do not block.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The host this handle talks through.
    pub fn host(&self) -> &H {
        self.client.host()
    }

    /// Where the agent is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Keys and values.
    pub fn kv(&self) -> Kv<'_, H> {
        Kv(self)
    }

    /// Sessions.
    pub fn session(&self) -> Session<'_, H> {
        Session(self)
    }

    /// What the agent itself knows: the services and checks registered with it.
    pub fn agent(&self) -> Agent<'_, H> {
        Agent(self)
    }

    /// What the cluster knows of nodes.
    pub fn catalog(&self) -> Catalog<'_, H> {
        Catalog(self)
    }

    /// What the cluster knows about the health of services.
    pub fn health(&self) -> Health<'_, H> {
        Health(self)
    }

    async fn call(&self, method: Method, path: Path, body: Bytes) -> Result<Answer> {
        self.call_within(method, path, body, self.timeout).await
    }

    async fn call_within(
        &self,
        method: Method,
        path: Path,
        body: Bytes,
        deadline: Duration,
    ) -> Result<Answer> {
        let uri = match Uri::try_from(path.text) {
            Ok(uri) => uri,
            Err(error) => {
                return Err(Error::new(method, "", Cause::Protocol(error.to_string())));
            }
        };
        let token = self.token.as_ref().map(|token| (&TOKEN, token));
        match self.client.send(self.address, method.clone(), uri.clone(), token, body, deadline).await {
            Ok(response) => Ok(Answer { method, uri, response }),
            Err(failure) => Err(Error::new(method, uri.path(), failure.into())),
        }
    }

    /// A read, with this handle's consistency and, where asked for, blocking.
    async fn read(&self, mut path: Path, block: Option<Block>) -> Result<Answer> {
        match self.consistency {
            Consistency::Default => {}
            Consistency::Consistent => path.flag("consistent"),
            Consistency::Stale => path.flag("stale"),
        }
        let mut deadline = self.timeout;
        if let Some(Block { index, wait }) = block
            && index > 0
        {
            path.pair("index", index);
            path.pair("wait", go_duration(wait));
            // Consul adds up to a sixteenth of the wait, so that watchers do not wake together.
            deadline += wait + wait / 16;
        }
        self.call_within(Method::GET, path, Bytes::new(), deadline).await
    }

    async fn put<B: Serialize>(&self, path: Path, body: &B) -> Result<Answer> {
        match serde_json::to_vec(body) {
            Ok(body) => self.call(Method::PUT, path, body.into()).await,
            Err(error) => Err(Error::new(Method::PUT, &path.text, Cause::Protocol(error.to_string()))),
        }
    }
}

/// The parameters of a blocking query.
#[derive(Debug, Clone, Copy)]
struct Block {
    index: u64,
    wait: Duration,
}

/// A path and its query in the making.
struct Path {
    text: String,
    has_query: bool,
}

impl Path {
    /// `base` as it is, then `rest` encoded.
    fn new(base: &str, rest: &str) -> Self {
        let mut text = String::with_capacity(base.len() + rest.len() + 16);
        text.push_str(base);
        text.extend(utf8_percent_encode(rest, PATH));
        Self { text, has_query: false }
    }

    fn separate(&mut self) {
        self.text.push(if self.has_query { '&' } else { '?' });
        self.has_query = true;
    }

    fn flag(&mut self, name: &str) {
        self.separate();
        self.text.push_str(name);
    }

    fn pair(&mut self, name: &str, value: impl fmt::Display) {
        self.flag(name);
        // Writing to a string cannot fail.
        let _ = write!(self.text, "={value}");
    }

    fn text_pair(&mut self, name: &str, value: &str) {
        self.pair(name, utf8_percent_encode(value, QUERY));
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.text_pair(name, value);
        self
    }
}

/// A response with what is needed to tell what it answers.
struct Answer {
    method: Method,
    uri: Uri,
    response: http::Response,
}

impl Answer {
    fn status(&self) -> u16 {
        self.response.status
    }

    /// The index Consul gave with the answer, 0 when none.
    fn index(&self) -> u64 {
        self.response
            .headers
            .get(INDEX)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.parse().ok())
            .unwrap_or(0)
    }

    fn error(&self, cause: Cause) -> Error {
        Error::new(self.method.clone(), self.uri.path(), cause)
    }

    fn status_error(&self) -> Error {
        self.error(Cause::Status {
            status: self.status(),
            body: String::from_utf8_lossy(&self.response.body).trim_end().to_owned(),
        })
    }

    fn ok(self) -> Result<Self> {
        if self.response.is_success() { Ok(self) } else { Err(self.status_error()) }
    }

    fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.response.body).map_err(|error| {
            let body = String::from_utf8_lossy(&self.response.body);
            let shown: String = body.chars().take(200).collect();
            self.error(Cause::Protocol(format!("{error} in `{shown}`")))
        })
    }

    fn yes_or_no(self) -> Result<bool> {
        self.ok()?.json()
    }

    fn indexed<T>(&self, value: T) -> Indexed<T> {
        Indexed { index: self.index(), value }
    }
}

/// A duration as Go writes and reads it.
fn go_duration(duration: Duration) -> Cow<'static, str> {
    match (duration.as_secs(), duration.subsec_nanos()) {
        (0, 0) => Cow::Borrowed("0s"),
        (seconds, 0) => Cow::Owned(format!("{seconds}s")),
        (_, nanos) if nanos % 1_000_000 == 0 => Cow::Owned(format!("{}ms", duration.as_millis())),
        _ => Cow::Owned(format!("{}ns", duration.as_nanos())),
    }
}

/// Consul writes an empty list as `null` in many places.
fn null_as_default<'de, D, T>(deserializer: D) -> std::result::Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + serde::Deserialize<'de>,
{
    Ok(<Option<T> as serde::Deserialize>::deserialize(deserializer)?.unwrap_or_default())
}
