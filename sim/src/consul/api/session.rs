//! `/v1/session/`.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde::Serialize;
use serde_json::Value;

use super::params::Form;
use super::reply::{self, Failure};
use super::{Call, Outcome, carried_out, decode};
use crate::consul::Consul;
use crate::consul::blocking::Seen;
use crate::consul::leader::Proposal;
use crate::consul::state::catalog::SERF_HEALTH;
use crate::consul::state::session::{Request, ServiceCheck};
use crate::consul::state::{Applied, Command};

const LOCK_DELAY_DEFAULT: i64 = 15_000_000_000;
/// A number below this is of seconds, and of nanoseconds from it on.
const LOCK_DELAY_SECONDS_BELOW: i64 = 1000;
const CHECK_IDS: &str = "[]types.CheckID";
const BEHAVIOR: &str = "structs.SessionBehavior";
const SERVICE_CHECK: &str = "structs.ServiceCheck";
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

pub(super) fn create(_: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    let mut request = Request {
        name: String::new(),
        node: call.agent.to_owned(),
        lock_delay_nanos: LOCK_DELAY_DEFAULT,
        behavior: String::new(),
        ttl: String::new(),
        node_checks: Some(vec![SERF_HEALTH.to_owned()]),
        service_checks: None,
        checks: Some(vec![SERF_HEALTH.to_owned()]),
    };
    // A body that says no length is none to it.
    if !call.body.is_empty() && !call.chunked {
        decode::parse(call.body)
            .and_then(|body| read(&body, &mut request))
            .map_err(|why| Failure::bad(format!("Request decode failed: {why}")))?;
    }
    reconcile(&mut request);
    Ok(Outcome::Write(Proposal::Session(request), created))
}

fn created(applied: Applied, form: &Form) -> Result<Response<Bytes>, Failure> {
    match applied {
        Applied::Session(id) => Ok(reply::json(StatusCode::OK, &Created { id: &id }, form.pretty)),
        other => carried_out(other, form),
    }
}

fn read(body: &Value, request: &mut Request) -> decode::Result<()> {
    for (name, _, value) in decode::fields(body, GO_TYPE)? {
        match name.as_str() {
            "nodechecks" => request.node_checks = decode::texts(value, ".NodeChecks")?,
            "servicechecks" => request.service_checks = service_checks(value)?,
            "checks" => request.checks = decode::texts_as(value, ".Checks", CHECK_IDS)?,
            // Null empties a list, and leaves everything else as it is.
            _ if value.is_null() => {}
            "name" => request.name = decode::text(value, ".Name")?,
            "node" => request.node = decode::text(value, ".Node")?,
            "lockdelay" => request.lock_delay_nanos = lock_delay(value)?,
            "behavior" => request.behavior = decode::text_as(value, ".Behavior", BEHAVIOR)?,
            "ttl" => request.ttl = decode::text(value, ".TTL")?,
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
                for (name, _, value) in decode::fields_at(item, ".ServiceChecks", SERVICE_CHECK)? {
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

pub(super) fn renew(_: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    Ok(Outcome::Renew(id(call)?.to_owned()))
}

/// Renews a session, which writes nothing, so the leader alone knows of it.
pub(in crate::consul) fn renewed(
    consul: &mut Consul,
    id: &str,
    form: &Form,
) -> Result<Response<Bytes>, Failure> {
    if let Some(session) = consul.state.sessions.find(id).map_err(Failure::internal)? {
        form.may.need(|token| token.session_write(&session.node))?;
    }
    match consul.session_renew(id).map_err(Failure::internal)? {
        Some(session) => Ok(reply::json(StatusCode::OK, &[session], form.pretty)),
        None => Err(Failure::new(StatusCode::NOT_FOUND, format!("Session id '{id}' not found"))),
    }
}

pub(super) fn destroy(_: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    let command = Command::SessionDestroy(id(call)?.to_owned(), "destroyed".to_owned());
    Ok(Outcome::Write(Proposal::Command(command), carried_out))
}

pub(super) fn info(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    let id = id(call)?;
    consul.state.sessions.find(id).map_err(|why| Failure::internal(why).of_query())?;
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
        let index = consul.state.sessions.index();
        let written = match self {
            Self::One(id) => match consul.state.sessions.find(id) {
                Ok(Some(session)) => session.create_index,
                _ => index,
            },
            Self::All | Self::Node(_) => index,
        };
        Seen { index, written, hash: None }
    }

    pub(super) fn answer(&self, consul: &Consul, form: &Form) -> Response<Bytes> {
        let mut sessions: Vec<_> = match self {
            Self::One(id) => consul.state.sessions.find(id).ok().flatten().into_iter().collect(),
            Self::All => consul.state.sessions.iter().collect(),
            Self::Node(node) => consul
                .state
                .sessions
                .iter()
                .filter(|session| session.node.eq_ignore_ascii_case(node))
                .collect(),
        };
        sessions.retain(|session| form.may.allows(|token| token.session_read(&session.node)));
        reply::json(StatusCode::OK, &sessions, form.pretty)
    }
}
