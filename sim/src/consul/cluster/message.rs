//! What nodes say to each other.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::TRANSFER_ENCODING;
use http::{Method, Request, Response, StatusCode, Uri};
use serde::{Deserialize, Serialize};

use crate::consul::api::Stale;
use crate::consul::state::catalog::{Check, Node, Service};
use crate::consul::state::{Command, base64};
use crate::consul::{ConsulConfig, gossip, raft};

/// One message from a node to another.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Message(pub(super) Body);

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Body {
    /// A server's, to agree with the others.
    Raft(raft::Message<Command>),
    /// Of who is there.
    Gossip(gossip::Message),
    /// Asks for something; the number names the call.
    Call(u64, Call),
    /// The answer to a call.
    Answer(u64, Answer),
}

/// How a message wants to travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// In order, over the connection to that node on this track.
    Over(Track),
    /// In order, back over the connection that node made for its calls. Where that has gone, so has whoever
    /// waited.
    Back,
    /// By itself; it may get lost.
    Datagram,
    /// Over a connection of its own.
    Exchange {
        /// When that connection is given up.
        until: Duration,
    },
}

/// What a connection between two nodes is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Track {
    /// What one asks the other to do.
    Calls,
    /// What servers agree by: raft's messages.
    Log,
}

/// A message on its way out.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// The number of the node it is for.
    pub to: usize,
    /// The message.
    pub message: Message,
    /// How it travels.
    pub way: Way,
}

/// How a connection to a node came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// It was there, and was closed.
    Closed,
    /// Nobody listens there.
    Refused,
    /// Nothing answers there.
    Silent,
}

/// What a node asks another for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Call {
    /// To answer a client.
    Http(Forwarded),
    /// To write what an agent knows into the catalog.
    Write(Box<Command>),
    /// To say what the catalog holds of a node.
    View(String),
}

impl Call {
    /// Whether asking twice does no harm.
    pub(super) fn is_read(&self) -> bool {
        match self {
            Self::Http(forwarded) => forwarded.is_read(),
            Self::Write(_) => false,
            Self::View(_) => true,
        }
    }
}

/// A client's request, sent on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Forwarded {
    /// The node whose agent took it.
    pub(super) agent: String,
    /// The client.
    pub(super) reader: IpAddr,
    method: String,
    uri: String,
    token: Option<String>,
    #[serde(with = "base64")]
    body: Bytes,
    /// Whether the body came without its length, which some endpoints mind.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    chunked: bool,
}

const TOKEN: &str = "x-consul-token";

impl Forwarded {
    pub(super) fn new(agent: &str, reader: IpAddr, request: &Request<Bytes>) -> Self {
        let token = request.headers().get(TOKEN).or(request.headers().get(http::header::AUTHORIZATION));
        let token = token.and_then(|value| value.to_str().ok());
        Self {
            agent: agent.to_owned(),
            reader,
            method: request.method().as_str().to_owned(),
            uri: request.uri().to_string(),
            token: token.map(|token| token.trim_start_matches("Bearer ").to_owned()),
            body: request.body().clone(),
            chunked: request.headers().contains_key(TRANSFER_ENCODING),
        }
    }

    pub(super) fn is_read(&self) -> bool {
        self.method == Method::GET.as_str()
    }

    /// The request; none when no client could have made it.
    pub(super) fn request(&self) -> Option<Request<Bytes>> {
        let method: Method = self.method.parse().ok()?;
        let uri: Uri = self.uri.parse().ok()?;
        let mut request = Request::builder().method(method).uri(uri);
        if let Some(token) = &self.token {
            request = request.header(TOKEN, token);
        }
        if self.chunked {
            request = request.header(TRANSFER_ENCODING, "chunked");
        }
        request.body(self.body.clone()).ok()
    }
}

/// What came of a call.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Answer {
    /// What a client is answered.
    Http {
        status: u16,
        headers: Vec<(String, String)>,
        #[serde(with = "base64")]
        body: Bytes,
        /// Whether it is marked so: see [`Stale`].
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        stale: bool,
    },
    /// It was written.
    Written,
    /// What the catalog holds.
    View { node: Option<Node>, services: Vec<Service>, checks: Vec<Check> },
    /// It could not be done; Consul's text says why.
    Failed(String),
}

impl Answer {
    pub(super) fn of(response: &Response<Bytes>) -> Self {
        let headers = response.headers().iter();
        let headers = headers
            .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())));
        Self::Http {
            status: response.status().as_u16(),
            headers: headers.collect(),
            body: response.body().clone(),
            stale: response.extensions().get::<Stale>().is_some(),
        }
    }
}

/// The response an answer stands for; none when it is not one.
pub(super) fn response(
    status: u16,
    headers: &[(String, String)],
    body: Bytes,
    stale: bool,
) -> Option<Response<Bytes>> {
    let mut response = Response::builder().status(StatusCode::from_u16(status).ok()?);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    if stale {
        response = response.extension(Stale);
    }
    response.body(body).ok()
}

/// What a node tells of itself by gossip.
pub(super) fn tags(node: &ConsulConfig, id: &str, server: bool, servers: usize) -> gossip::Tags {
    let common = [
        ("build", "1.8.7:".to_owned()),
        ("dc", node.datacenter.clone()),
        ("id", id.to_owned()),
        ("segment", String::new()),
        ("vsn", "2".to_owned()),
        ("vsn_max", "3".to_owned()),
        ("vsn_min", "2".to_owned()),
        ("acls", "0".to_owned()),
    ];
    let own = match server {
        true => vec![
            ("role", "consul".to_owned()),
            ("port", node.server_port.to_string()),
            ("raft_vsn", "3".to_owned()),
            ("ft_fs", "1".to_owned()),
            if servers == 1 { ("bootstrap", "1".to_owned()) } else { ("expect", servers.to_string()) },
        ],
        false => vec![("role", "node".to_owned())],
    };
    common.into_iter().chain(own).map(|(name, value)| (name.to_owned(), value)).collect()
}
