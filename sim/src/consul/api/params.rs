//! The query of a request, and the parts of it every endpoint reads.

use std::borrow::Cow;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::access::May;
use super::cached::Cached;
use super::reply::Failure;
use crate::consul::duration;

/// What Go's encoder leaves as it is.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The parameters, in the order they were sent.
#[derive(Debug, Default)]
pub(super) struct Params<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Params<'a> {
    pub(super) fn parse(query: &'a str) -> Self {
        let parts = query.split(['&', ';']).filter(|part| !part.is_empty());
        Self(
            parts
                .map(|part| {
                    let (name, value) = part.split_once('=').unwrap_or((part, ""));
                    (unescape(name), unescape(value))
                })
                .collect(),
        )
    }

    /// Whether everything in a query is escaped as it should be.
    pub(super) fn is_whole(query: &str) -> bool {
        let bytes = query.as_bytes();
        let is_hex = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
        bytes.iter().enumerate().all(|(at, byte)| *byte != b'%' || (is_hex(at + 1) && is_hex(at + 2)))
    }

    /// Whether the parameter is there, with a value or without.
    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Its first value.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Its values.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_ref())
    }

    /// Its value as a number, as Go reads one.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Failure> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let why = if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit()) {
            "invalid syntax"
        } else if let Ok(number) = value.parse() {
            return Ok(Some(number));
        } else {
            "value out of range"
        };
        Err(Failure::internal(format!("strconv.ParseUint: parsing {value:?}: {why}")))
    }

    /// # Errors
    /// When more than one of these is there.
    pub(super) fn only_one_of(&self, names: &[&str]) -> Result<(), Failure> {
        if names.iter().filter(|name| self.has(name)).count() < 2 {
            return Ok(());
        }
        let mut pairs: Vec<_> = self.0.iter().collect();
        pairs.sort_by(|one, other| one.0.cmp(&other.0));
        let encoded: Vec<_> =
            pairs.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect();
        Err(Failure::bad(format!("Conflicting flags: {}", encoded.join("&"))))
    }
}

/// A word that says yes or no, as Go reads one.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// How a read is to be answered.
#[derive(Debug, Clone, Default)]
pub(in crate::consul) struct Form {
    /// Indented.
    pub(in crate::consul) pretty: bool,
    /// How long it may block; zero when the client does not say.
    pub(in crate::consul) wait: Duration,
    /// Past which index it is to be answered; 0 for at once.
    pub(in crate::consul) index: u64,
    /// What it was asked of: `leader`, `consistent` or `stale`.
    pub(in crate::consul) consistency: &'static str,
    /// Whether the agent's cache may serve it.
    pub(in crate::consul) cached: bool,
    /// The token it comes with, or that the agent uses for those that have none; asked for only where the
    /// cache may serve it.
    pub(in crate::consul) token: String,
    /// What the agent's cache made of it.
    pub(in crate::consul) served: Option<Cached>,
    /// What it may do.
    pub(in crate::consul) may: May,
    /// Whether what is refused is answered as a query all the same.
    pub(in crate::consul) of_query: bool,
    /// Whether it is of a datacenter there is no way to.
    pub(in crate::consul) elsewhere: bool,
}

/// Which of the parameters that many queries share an endpoint looks at; it ignores the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asks {
    /// How fresh its answer must be, how long it may block, and, if told, in which namespace.
    Read {
        /// Whether it looks at the namespace, to refuse it.
        namespace: bool,
    },
    /// How fresh its answer must be.
    Consistency,
    /// How long it may block.
    Wait,
    /// The namespace, to refuse it.
    Namespace,
    /// None of them.
    Nothing,
}

impl Asks {
    /// What the endpoint of a path after `/v1/` looks at.
    pub(super) fn of(tail: &str) -> Self {
        match tail {
            "agent/self" | "agent/members" | "agent/maintenance" | "agent/reload" | "agent/leave" => {
                Self::Nothing
            }
            "catalog/datacenters" => Self::Consistency,
            "event/list" => Self::Wait,
            "session/create" | "catalog/register" | "catalog/deregister" => Self::Namespace,
            _ => match tail.split_once('/').map_or(tail, |(group, _)| group) {
                "agent" if of_members(tail) => Self::Nothing,
                "agent" => Self::Namespace,
                "session" if tail.starts_with("session/destroy/") => Self::Namespace,
                "kv" | "session" | "health" | "catalog" => Self::Read { namespace: true },
                "coordinate" if tail == "coordinate/datacenters" => Self::Nothing,
                "coordinate" | "operator" | "status" | "txn" => Self::Read { namespace: false },
                _ => Self::Nothing,
            },
        }
    }

    fn consistency(self) -> bool {
        matches!(self, Self::Read { .. } | Self::Consistency)
    }

    fn wait(self) -> bool {
        matches!(self, Self::Read { .. } | Self::Wait)
    }

    fn namespace(self) -> bool {
        matches!(self, Self::Read { namespace: true } | Self::Namespace)
    }
}

/// Whether an endpoint of the agent is about its place among the others, which has no namespaces.
fn of_members(tail: &str) -> bool {
    ["agent/join/", "agent/force-leave/", "agent/token/"].iter().any(|start| tail.starts_with(start))
}

impl Form {
    /// Reads what many queries share, as far as it is asked for; with the first thing that is wrong with it.
    pub(super) fn parse(params: &Params<'_>, asks: Asks, datacenter: &str) -> (Self, Option<Failure>) {
        let mut form = Self {
            pretty: params.has("pretty"),
            consistency: "leader",
            elsewhere: params.get("dc").is_some_and(|wanted| !wanted.is_empty() && wanted != datacenter),
            ..Self::default()
        };
        let wrong = form.read(params, asks).err();
        (form, wrong)
    }

    fn read(&mut self, params: &Params<'_>, asks: Asks) -> Result<(), Failure> {
        if asks.consistency() {
            self.read_consistency(params)?;
        }
        if asks.wait() {
            self.read_wait(params)?;
        }
        if asks.namespace() && params.get("ns").is_some_and(|namespace| !namespace.is_empty()) {
            return Err(Failure::bad(
                "Bad request: Invalid query parameter: \"ns\" - Namespaces are a Consul Enterprise feature",
            ));
        }
        Ok(())
    }

    fn read_consistency(&mut self, params: &Params<'_>) -> Result<(), Failure> {
        let mut stale = params.has("stale");
        if let Some(text) = params.get("max_stale").filter(|text| !text.is_empty()) {
            let max_stale = duration::parse(text)
                .map_err(|_| Failure::bad(format!("Invalid max_stale value {text:?}")))?;
            stale |= max_stale > 0;
        }
        let consistent = params.has("consistent");
        self.cached = params.has("cached");
        for (name, given) in [("stale", stale), ("cached", self.cached)] {
            if consistent && given {
                return Err(Failure::bad(format!(
                    "Cannot specify ?{name} with ?consistent, conflicting semantics."
                )));
            }
        }
        self.consistency = match (consistent, stale) {
            (true, _) => "consistent",
            (_, true) => "stale",
            _ => "leader",
        };
        Ok(())
    }

    fn read_wait(&mut self, params: &Params<'_>) -> Result<(), Failure> {
        let wait = match params.get("wait") {
            None | Some("") => 0,
            Some(text) => duration::parse(text).map_err(|_| Failure::bad("Invalid wait time"))?,
        };
        self.wait = duration::positive(wait);
        self.index = match params.get("index") {
            None | Some("") => 0,
            Some(text) => text.parse().map_err(|_| Failure::bad("Invalid index"))?,
        };
        Ok(())
    }
}

/// Undoes percent-encoding; in a query a plus is a space.
fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let spaced = text.replace('+', " ");
    Cow::Owned(percent_decode_str(&spaced).decode_utf8_lossy().into_owned())
}

fn escape(text: &str) -> String {
    utf8_percent_encode(text, KEPT).to_string().replace("%20", "+")
}
