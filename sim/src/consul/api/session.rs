//! `/v1/session/`.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde::Serialize;
use serde_json::Value;

use super::params::Form;
use super::reply::{self, Failure};
use super::{Call, Outcome, decode};
use crate::consul::Consul;
use crate::consul::blocking::Seen;
use crate::consul::catalog::SERF_HEALTH;
use crate::consul::session::{Request, ServiceCheck};

const LOCK_DELAY_DEFAULT: i64 = 15_000_000_000;
/// A number below this is of seconds, and of nanoseconds from it on.
const LOCK_DELAY_SECONDS_BELOW: i64 = 1000;
const CHECK_IDS: &str = "[]types.CheckID";
const GO_TYPE: &str = "struct { LockDelay interface {}; *structs.Alias }";

/// Which sessions are read.
#[derive(Debug)]
pub(in crate::consul) enum Read {
    /// One; none when it is gone.
    One(String),
    /// All.
    All,
    /// Those of a node.
    Node(String),
}

#[derive(Serialize)]
struct Created<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
}

pub(super) fn create(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    let mut request = Request {
        name: String::new(),
        node: consul.config.node.clone(),
        lock_delay_nanos: LOCK_DELAY_DEFAULT,
        behavior: String::new(),
        ttl: String::new(),
        node_checks: Some(vec![SERF_HEALTH.to_owned()]),
        service_checks: None,
        checks: Some(vec![SERF_HEALTH.to_owned()]),
    };
    if !call.body.is_empty() {
        decode::parse(call.body)
            .and_then(|body| read(&body, &mut request))
            .map_err(|why| Failure::bad(format!("Request decode failed: {why}")))?;
    }
    reconcile(&mut request);
    let id = consul.session_create(request).map_err(Failure::internal)?;
    Ok(call.json(&Created { id: &id }))
}

fn read(body: &Value, request: &mut Request) -> decode::Result<()> {
    for (name, _, value) in decode::fields(body, GO_TYPE)? {
        match name.as_str() {
            "name" => request.name = decode::text(value, ".Name")?,
            "node" => request.node = decode::text(value, ".Node")?,
            "lockdelay" => request.lock_delay_nanos = lock_delay(value)?,
            "behavior" => request.behavior = decode::text(value, ".Behavior")?,
            "ttl" => request.ttl = decode::text(value, ".TTL")?,
            "nodechecks" => request.node_checks = decode::texts(value, ".NodeChecks")?,
            "servicechecks" => request.service_checks = service_checks(value)?,
            "checks" => request.checks = decode::texts_as(value, ".Checks", CHECK_IDS)?,
            _ => {}
        }
    }
    Ok(())
}

/// Checks are named in an old field or in the one that replaced it: emptying either empties both, and the
/// default in the old one is no more than that.
fn reconcile(request: &mut Request) {
    let given = request.checks.as_deref().unwrap_or_default();
    if given.is_empty() {
        request.node_checks = Some(Vec::new());
        request.checks = None;
    } else if request.node_checks.as_ref().is_none_or(Vec::is_empty) || given == [SERF_HEALTH] {
        request.checks = None;
    }
}

fn lock_delay(value: &Value) -> decode::Result<i64> {
    let nanos = decode::nanos(value)?;
    Ok(if value.is_number() && nanos < LOCK_DELAY_SECONDS_BELOW {
        nanos.saturating_mul(1_000_000_000)
    } else {
        nanos
    })
}

fn service_checks(value: &Value) -> decode::Result<Option<Vec<ServiceCheck>>> {
    match value {
        Value::Null => Ok(None),
        Value::Array(items) => items
            .iter()
            .map(|item| {
                let mut check = ServiceCheck { id: String::new(), namespace: String::new() };
                for (name, _, value) in decode::fields(item, "structs.ServiceCheck")? {
                    match name.as_str() {
                        "id" => check.id = decode::text(value, "ServiceCheck.ServiceChecks.ID")?,
                        "namespace" => {
                            check.namespace = decode::text(value, "ServiceCheck.ServiceChecks.Namespace")?
                        }
                        _ => {}
                    }
                }
                Ok(check)
            })
            .collect::<decode::Result<_>>()
            .map(Some),
        other => decode::mismatch(other, ".ServiceChecks", "[]structs.ServiceCheck"),
    }
}

pub(super) fn renew(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    let id = id(call)?;
    match consul.session_renew(id).map_err(Failure::internal)? {
        Some(session) => Ok(call.json(&[session])),
        None => Err(Failure::new(StatusCode::NOT_FOUND, format!("Session id '{id}' not found"))),
    }
}

pub(super) fn destroy(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    consul.session_destroy(id(call)?).map_err(Failure::internal)?;
    Ok(call.json(&true))
}

pub(super) fn info(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    let id = id(call)?;
    consul.sessions.find(id).map_err(Failure::internal)?;
    Ok(Outcome::Read(super::Read::Session(Read::One(id.to_owned()))))
}

pub(super) fn list(_: &mut Consul, _: &Call<'_>) -> Result<Outcome, Failure> {
    Ok(Outcome::Read(super::Read::Session(Read::All)))
}

pub(super) fn node(_: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    match call.rest {
        "" => Err(Failure::bad("Missing node name")),
        node => Ok(Outcome::Read(super::Read::Session(Read::Node(node.to_owned())))),
    }
}

fn id<'a>(call: &Call<'a>) -> Result<&'a str, Failure> {
    match call.rest {
        "" => Err(Failure::bad("Missing session")),
        id => Ok(id),
    }
}

impl Read {
    pub(super) fn seen(&self, consul: &Consul) -> Seen {
        let index = consul.sessions.index();
        let written = match self {
            Self::One(id) => match consul.sessions.find(id) {
                Ok(Some(session)) => session.create_index,
                _ => index,
            },
            Self::All | Self::Node(_) => index,
        };
        Seen { index, written, hash: None }
    }

    pub(super) fn answer(&self, consul: &Consul, form: &Form) -> Response<Bytes> {
        let sessions: Vec<_> = match self {
            Self::One(id) => consul.sessions.find(id).ok().flatten().into_iter().collect(),
            Self::All => consul.sessions.iter().collect(),
            Self::Node(node) => {
                consul.sessions.iter().filter(|session| session.node.eq_ignore_ascii_case(node)).collect()
            }
        };
        reply::json(StatusCode::OK, &sessions, form.pretty)
    }
}
