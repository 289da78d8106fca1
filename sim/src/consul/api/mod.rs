//! The HTTP API: which endpoint a request is for, and what each of them does.
//!
//! An endpoint that reads returns a [`Read`]: what to read, apart from doing so, because a blocking query
//! does it again whenever something it watches changes.

mod access;
mod agent;
mod agent_admin;
mod agent_check;
mod agent_check_definition;
mod agent_health;
mod agent_register;
mod agent_self;
mod body;
mod cached;
mod catalog;
mod coordinate;
mod decode;
mod event;
mod filtering;
mod health;
mod kv;
mod narrow;
mod operator;
mod params;
mod register;
mod reply;
mod rows;
mod session;
mod shown;
mod status;
mod syntax;
mod txn;

use std::borrow::Cow;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::header::TRANSFER_ENCODING;
use http::{Method, Request, Response, StatusCode};
use percent_encoding::percent_decode_str;

use self::access::Denied;
use self::cached::Cached;
use self::params::{Asks, Params};
use super::acl::{Acl, token_of};
use super::blocking::{Blocked, Seen, Until};
use super::leader::{Finish, Proposal};
use super::state::Applied;
use super::{Consul, Reply};

pub(super) use self::access::May;
pub(super) use self::body::{Fate, fate, left_of};
pub(super) use self::cached::Cache;
pub(super) use self::params::Form;
pub(super) use self::reply::{Contact, Failure};
pub(super) use self::session::renewed;

/// What an endpoint makes of a request.
pub(super) enum Outcome {
    /// It is answered.
    Answer(Response<Bytes>),
    /// It reads this, and may wait for it.
    Read(Read),
    /// It writes this, and answers with what comes of it.
    Write(Proposal, Finish),
    /// It renews this session.
    Renew(String),
}

type Endpoint = fn(&mut Consul, &Call<'_>) -> Result<Outcome, Failure>;

/// One request, taken apart.
struct Call<'a> {
    method: &'a Method,
    /// What the path says after the endpoint's own part.
    rest: &'a str,
    params: Params<'a>,
    form: Form,
    /// What is wrong with the parameters many queries share, where the endpoint decides what that means.
    wrong: Option<Failure>,
    body: &'a Bytes,
    /// Whether the body came without its length.
    chunked: bool,
    /// The node whose agent took it.
    agent: &'a str,
}

impl Outcome {
    /// Whether the node's own agent can say.
    pub(super) fn is_local(&self) -> bool {
        matches!(self, Self::Answer(_) | Self::Read(Read::AgentService(_) | Read::Events(_)))
    }
}

/// The answer that says whether a write was carried out.
fn carried_out(applied: Applied, form: &Form) -> Result<Response<Bytes>, Failure> {
    match applied {
        Applied::If(it_was) => Ok(reply::json(StatusCode::OK, &it_was, form.pretty)),
        Applied::Failed(why) => Err(Failure::internal(why)),
        Applied::Denied(why) => Err(Denied(why).into()),
        Applied::Done | Applied::Session(_) | Applied::Txn(_) => Ok(reply::empty(StatusCode::OK)),
    }
}

impl Call<'_> {
    fn json<T: serde::Serialize + ?Sized>(&self, value: &T) -> Outcome {
        Outcome::Answer(reply::json(StatusCode::OK, value, self.form.pretty))
    }

    /// # Errors
    /// When it is of a datacenter there is no way to.
    fn stays(&self) -> Result<(), Failure> {
        match self.form.elsewhere {
            true => Err(Failure::internal(NO_PATH)),
            false => Ok(()),
        }
    }

    fn done(&self) -> Outcome {
        Outcome::Answer(reply::empty(StatusCode::OK))
    }
}

/// Something that can be read, at once or when it has changed.
#[derive(Debug)]
pub(super) enum Read {
    Kv(kv::Read),
    Session(session::Read),
    Catalog(catalog::Read),
    Health(health::Read),
    Coordinate(coordinate::Read),
    Txn(txn::Read),
    AgentService(agent::ServiceRead),
    Events(event::Read),
}

impl Read {
    /// The index it would report to `reader`, and when what it watches was last written.
    pub(super) fn seen(&self, consul: &Consul, reader: IpAddr) -> Seen {
        match self {
            Self::Kv(read) => read.seen(consul),
            Self::Session(read) => read.seen(consul),
            Self::Catalog(read) => read.seen(consul.state.catalogs.seen_by(reader, consul.now)),
            Self::Health(read) => read.seen(consul.state.catalogs.seen_by(reader, consul.now)),
            Self::Coordinate(read) => read.seen(consul.state.catalogs.seen_by(reader, consul.now)),
            Self::Txn(_) => Seen { index: 0, written: 0, hash: None },
            Self::AgentService(read) => read.seen(consul),
            Self::Events(read) => read.seen(consul),
        }
    }

    /// The answer to `reader`, reporting `index`.
    pub(super) fn answer(&self, consul: &Consul, reader: IpAddr, form: &Form, index: u64) -> Response<Bytes> {
        let (mut response, consistency) = match self {
            Self::Kv(read) => (read.answer(consul, form), None),
            Self::Session(read) => (read.answer(consul, form), None),
            Self::Catalog(read) => {
                let seen = consul.state.catalogs.seen_by(reader, consul.now);
                match read.answer(seen, form) {
                    Ok(response) => (response, Some(form.consistency)),
                    Err(failure) => return failure.into_response(),
                }
            }
            Self::Health(read) => {
                let seen = consul.state.catalogs.seen_by(reader, consul.now);
                match read.answer(seen, form) {
                    Ok(response) => (response, Some(form.consistency)),
                    Err(failure) => return failure.into_response(),
                }
            }
            Self::Coordinate(read) => {
                let response = read.answer(consul.state.catalogs.seen_by(reader, consul.now), form);
                if response.status() == StatusCode::NOT_FOUND {
                    return response;
                }
                (response, None)
            }
            Self::Txn(read) => return read.answer(consul, form),
            Self::AgentService(read) => return read.answer(consul, form),
            Self::Events(read) => return read.answer(consul, form, index),
        };
        reply::query_headers(&mut response, index, consistency, consul.contact());
        if let Some(served) = form.served {
            served.tell(&mut response);
        }
        response
    }

    /// # Errors
    /// When it may not be read at all; of what is found, more may be left out.
    fn permitted(&self, may: &May) -> Result<(), Denied> {
        match self {
            Self::Kv(read) => read.permitted(may),
            Self::Coordinate(read) => read.permitted(may),
            _ => may.known(),
        }
    }

    /// What tells it from other reads that the agent's cache serves, if it does.
    fn cache_key(&self) -> Option<String> {
        match self {
            Self::Catalog(read) => read.cache_key(),
            Self::Health(read) => read.cache_key(),
            _ => None,
        }
    }
}

/// What is said of a datacenter nobody knows.
const NO_PATH: &str = "No path to datacenter";
const GET: &str = "OPTIONS,GET";
const PUT: &str = "OPTIONS,PUT";

/// The endpoint of a path after `/v1/`, the methods it takes, and the rest of the path.
fn route(path: &str) -> Option<(Endpoint, &'static str, &str)> {
    let (group, tail) = path.split_once('/').unwrap_or((path, ""));
    let (name, rest) = tail.split_once('/').map_or((tail, None), |(name, rest)| (name, Some(rest)));
    let (endpoint, methods): (Endpoint, _) = match (group, name, rest) {
        ("kv", _, _) if path.len() > 2 => return Some((kv::endpoint, "OPTIONS,GET,PUT,DELETE", tail)),
        ("txn", "", None) if path == "txn" => (txn::endpoint, PUT),
        ("session", "create", None) => (session::create, PUT),
        ("session", "renew", Some(_)) => (session::renew, PUT),
        ("session", "destroy", Some(_)) => (session::destroy, PUT),
        ("session", "info", Some(_)) => (session::info, GET),
        ("session", "node", Some(_)) => (session::node, GET),
        ("session", "list", None) => (session::list, GET),
        ("agent", _, _) => return agent_route(tail),
        ("event", "fire", Some(_)) => (event::fire, PUT),
        ("event", "list", None) => (event::list, GET),
        ("catalog", "register", None) => (register::register, PUT),
        ("catalog", "deregister", None) => (register::deregister, PUT),
        ("catalog", "datacenters", None) => (status::datacenters, GET),
        ("catalog", "nodes", None) => (catalog::nodes, GET),
        ("catalog", "services", None) => (catalog::services, GET),
        ("catalog", "service", Some(_)) => (catalog::service, GET),
        ("catalog", "connect", Some(_)) => (catalog::connect, GET),
        ("catalog", "node", Some(_)) => (catalog::node, GET),
        ("catalog", "node-services", Some(_)) => (catalog::node_services, GET),
        ("health", "service", Some(_)) => (health::service, GET),
        ("health", "connect", Some(_)) => (health::connect, GET),
        ("health", "checks", Some(_)) => (health::checks, GET),
        ("health", "node", Some(_)) => (health::node, GET),
        ("health", "state", Some(_)) => (health::state, GET),
        ("coordinate", "datacenters", None) => (coordinate::datacenters, GET),
        ("coordinate", "nodes", None) => (coordinate::nodes, GET),
        ("coordinate", "node", Some(_)) => (coordinate::node, GET),
        ("coordinate", "update", None) => (coordinate::update, PUT),
        ("operator", "raft", Some("configuration")) => (operator::raft_configuration, GET),
        ("operator", "raft", Some("peer")) => (operator::raft_peer, "OPTIONS,DELETE"),
        ("operator", "autopilot", Some("configuration")) => (operator::autopilot_configuration, GET),
        ("acl", _, _) => return acl_route(tail),
        ("status", "leader", None) => (status::leader, GET),
        ("status", "peers", None) => (status::peers, GET),
        _ => return None,
    };
    Some((endpoint, methods, rest.unwrap_or_default()))
}

/// The endpoint of a path after `/v1/agent/`.
fn agent_route(path: &str) -> Option<(Endpoint, &'static str, &str)> {
    let (endpoint, methods): (Endpoint, _) = match path {
        "self" => (agent_self::itself, GET),
        "members" => (agent_self::members, GET),
        "services" => (agent::services, GET),
        "checks" => (agent::checks, GET),
        "maintenance" => (agent_admin::node_maintenance, PUT),
        "reload" => (agent_admin::reload, PUT),
        "leave" => (agent_admin::leave, PUT),
        "service/register" => (agent_register::service, PUT),
        "check/register" => (agent_register::check, PUT),
        "connect/ca/roots" => (agent_admin::connect, GET),
        _ => {
            // The longest comes first of those that begin alike.
            const TREES: [(&str, Endpoint, &str); 14] = [
                ("service/deregister/", agent_check::service_deregister, PUT),
                ("service/maintenance/", agent_admin::service_maintenance, PUT),
                ("service/", agent::service, GET),
                ("check/deregister/", agent_check::check_deregister, PUT),
                ("check/pass/", agent_check::check_pass, PUT),
                ("check/warn/", agent_check::check_warn, PUT),
                ("check/fail/", agent_check::check_fail, PUT),
                ("check/update/", agent_check::check_update, PUT),
                ("health/service/id/", agent_health::by_id, GET),
                ("health/service/name/", agent_health::by_name, GET),
                ("join/", agent_admin::join, PUT),
                ("force-leave/", agent_admin::force_leave, PUT),
                ("token/", agent_admin::token, PUT),
                ("connect/ca/leaf/", agent_admin::connect, GET),
            ];
            // A path that is a whole tree without its last slash is no part of a greater one.
            if TREES.iter().any(|(tree, ..)| tree.strip_suffix('/') == Some(path)) {
                return None;
            }
            return TREES
                .iter()
                .find_map(|(tree, endpoint, methods)| Some((*endpoint, *methods, path.strip_prefix(tree)?)));
        }
    };
    Some((endpoint, methods, ""))
}

/// The endpoint of a path after `/v1/acl/`.
fn acl_route(path: &str) -> Option<(Endpoint, &'static str, &str)> {
    const ALL: &str = "OPTIONS,GET,PUT,DELETE";
    const POST: &str = "OPTIONS,POST";
    let methods = match path {
        "replication" | "policies" | "roles" | "binding-rules" | "auth-methods" | "tokens" | "token/self"
        | "list" => GET,
        "bootstrap" | "policy" | "role" | "binding-rule" | "auth-method" | "token" | "create" | "update" => {
            PUT
        }
        "login" | "logout" | "rules/translate" => POST,
        _ => {
            // The longest comes first of those that begin alike.
            const TREES: [(&str, &str); 11] = [
                ("policy/name/", GET),
                ("policy/", ALL),
                ("role/name/", GET),
                ("role/", ALL),
                ("binding-rule/", ALL),
                ("auth-method/", ALL),
                ("token/", ALL),
                ("rules/translate/", GET),
                ("destroy/", PUT),
                ("info/", GET),
                ("clone/", PUT),
            ];
            if TREES.iter().any(|(tree, _)| tree.strip_suffix('/') == Some(path)) {
                return None;
            }
            TREES.iter().find(|(tree, _)| path.starts_with(tree))?.1
        }
    };
    Some((acl_disabled, methods, ""))
}

/// Nothing of `/v1/acl/` is modelled but that it is off; where it is on it is as unknown as other paths.
fn acl_disabled(consul: &mut Consul, _: &Call<'_>) -> Result<Outcome, Failure> {
    Ok(Outcome::Answer(match consul.acl {
        None => reply::text(StatusCode::UNAUTHORIZED, "ACL support disabled"),
        Some(_) => reply::unknown(),
    }))
}

/// Answers one request, on a server that is alone.
pub(super) fn answer(consul: &mut Consul, reader: IpAddr, request: &Request<Bytes>) -> Reply {
    let agent = consul.config.node.clone();
    let (outcome, form) = match parse(consul, &agent, request) {
        Ok(parsed) => parsed,
        Err(response) => return Reply::Now(*response),
    };
    let answer = match outcome {
        Outcome::Answer(response) => Ok(response),
        Outcome::Read(read) => return respond(consul, reader, read, form),
        Outcome::Write(proposal, finish) => {
            let applied = consul.propose(proposal, &form.may);
            finish(applied, &form)
        }
        Outcome::Renew(id) => renewed(consul, &id, &form),
    };
    Reply::Now(answer.unwrap_or_else(Failure::into_response))
}

/// Finds the endpoint of a request that `agent` took, and what it asks for; or says what is wrong with it.
pub(super) fn parse(
    consul: &mut Consul,
    agent: &str,
    request: &Request<Bytes>,
) -> Result<(Outcome, Form), Box<Response<Bytes>>> {
    let uri = request.uri();
    let Ok(path) = percent_decode_str(uri.path()).decode_utf8() else {
        return Err(bad_request().into());
    };
    if path.contains(char::is_control) {
        return Err(bad_request().into());
    }
    if let Some(mut cleaned) = clean(&path) {
        if cleaned.strip_prefix("/v1/").is_some_and(lacks_slash) {
            cleaned.push('/');
        }
        return Err(moved(&cleaned, uri.query(), request.method()).into());
    }
    if path == "/" {
        let mut response = reply::text(StatusCode::OK, "Consul Agent");
        response.headers_mut().remove(http::header::VARY);
        return Err(response.into());
    }
    let Some(tail) = path.strip_prefix("/v1/") else {
        return Err(reply::unknown().into());
    };
    let Some((endpoint, methods, rest)) = route(tail) else {
        return Err(Box::new(match lacks_slash(tail) {
            true => moved(&format!("{path}/"), uri.query(), request.method()),
            false => reply::unknown(),
        }));
    };
    let method = request.method();
    let query = uri.query().unwrap_or_default();
    if !Params::is_whole(query) {
        return Err(reply::empty(StatusCode::INTERNAL_SERVER_ERROR).into());
    }
    if method == Method::OPTIONS {
        return Err(reply::options(methods).into());
    }
    if !methods.split(',').any(|name| name == method.as_str()) {
        return Err(reply::not_allowed(method.as_str(), methods).into());
    }
    let params = Params::parse(query);
    // Whether there are ACLs is asked before anything else is looked at.
    let (mut form, wrong) = match tail.starts_with("acl/") {
        true => (Form::default(), None),
        false => Form::parse(&params, Asks::of(tail), &consul.config.datacenter),
    };
    // What a transaction may ask depends on what it does, and one endpoint answers all the same.
    let endpoints_own = matches!(tail, "txn" | "catalog/datacenters");
    if let Some(wrong) = wrong.as_ref().filter(|_| !endpoints_own) {
        return Err(Box::new(wrong.clone().into_response()));
    }
    form.of_query = queries(tail);
    let token = token_of(params.get("token"), request.headers());
    if form.cached {
        let default = consul.acl.as_ref().and_then(Acl::default_token);
        form.token = token.filter(|token| !token.is_empty()).or(default).unwrap_or_default().to_owned();
    }
    // An agent asks its servers what a token may do to it; whatever else it is for, they look by themselves.
    let remembers = consul.token_ttl().filter(|_| tail.starts_with("agent/"));
    if let Some(acl) = &mut consul.acl {
        let known = match remembers {
            Some(ttl) => acl.recall(token, consul.now, ttl),
            None => acl.resolve(token).map(Rc::clone),
        };
        form.may = known.map_or(May::Nothing, May::Token);
    }
    let chunked = request.headers().contains_key(TRANSFER_ENCODING);
    let call = Call { method, rest, params, form, wrong, body: request.body(), chunked, agent };
    let asked = endpoint(consul, &call);
    let outcome = match call.form.elsewhere && leaves(tail) {
        true => Err(elsewhere(tail, asked)),
        false => asked,
    };
    let outcome = outcome.map_err(|failure| Box::new(failure.into_response()))?;
    Ok((outcome, call.form))
}

/// Whether what is asked for in another datacenter is asked there, and not just here.
fn leaves(tail: &str) -> bool {
    let here = ["catalog/datacenters", "catalog/register", "catalog/deregister", "coordinate/datacenters"];
    !here.contains(&tail) && !["agent/", "event/list", "acl/"].iter().any(|start| tail.starts_with(start))
}

/// What comes of asking where there is no way to: whatever the agent finds wrong before, or that.
fn elsewhere(tail: &str, asked: Result<Outcome, Failure>) -> Failure {
    match asked {
        Err(failure) if !failure.is_of_servers(tail.starts_with("kv/")) => failure,
        _ if queries(tail) => Failure::internal(NO_PATH).of_query(),
        _ => Failure::internal(NO_PATH),
    }
}

/// Whether a path after `/v1/` only lacks the slash before an empty rest.
fn lacks_slash(tail: &str) -> bool {
    route(tail).is_none() && matches!(route(&format!("{tail}/")), Some((.., "")))
}

/// The answer to what is no request at all.
pub(super) fn bad_request() -> Response<Bytes> {
    reply::bare(StatusCode::BAD_REQUEST)
}

/// Whether what a server refuses on this path is answered as a query all the same.
fn queries(tail: &str) -> bool {
    ["catalog/", "health/", "coordinate/node", "session/info/", "session/node/", "session/list"]
        .iter()
        .any(|prefix| tail.starts_with(prefix))
}

/// Answers a read, or has it wait.
pub(super) fn respond(consul: &mut Consul, reader: IpAddr, read: Read, mut form: Form) -> Reply {
    if let Err(denied) = read.permitted(&form.may) {
        let failure = Failure::from(denied);
        let failure = if form.of_query { failure.of_query() } else { failure };
        return Reply::Now(failure.into_response());
    }
    let remembered = read.cache_key().filter(|_| form.cached).map(|key| {
        form.served = Some(Cached::Miss);
        // Two tokens may see different things.
        consul.cache.ask(format!("{} {key}", form.token), consul.now).is_some()
    });
    let until = match &read {
        Read::Txn(_) => None,
        Read::AgentService(read) => read.hash().map(|hash| Until::Not(hash.to_owned())),
        Read::Events(_) => (form.index > 0).then(|| Until::Not(form.index.to_string())),
        _ if form.index > 0 => Some(Until::Past(form.index)),
        _ => None,
    };
    if let Some(until) = until {
        let seen = read.seen(consul, reader);
        if !until.reached(&seen) {
            return Reply::Blocked(Blocked::new(consul, reader, read, form, until, seen));
        }
        form.served = served(remembered);
        return Reply::Now(read.answer(consul, reader, &form, seen.index));
    }
    let index = read.seen(consul, reader).index;
    form.served = served(remembered);
    Reply::Now(read.answer(consul, reader, &form, index))
}

/// What the agent's cache makes of a read it remembers or not. It watches what it remembers, so that is
/// never old.
fn served(remembered: Option<bool>) -> Option<Cached> {
    remembered.map(|remembered| if remembered { Cached::Hit(Duration::ZERO) } else { Cached::Miss })
}

fn moved(path: &str, query: Option<&str>, method: &Method) -> Response<Bytes> {
    let query = query.filter(|query| !query.is_empty()).map(|query| format!("?{query}")).unwrap_or_default();
    reply::moved(&format!("{path}{query}"), method)
}

/// The path without empty, `.` and `..` parts, when it has any.
fn clean(path: &str) -> Option<String> {
    let mut parts = path.split('/').skip(1).peekable();
    let mut dirty = false;
    let mut kept = Vec::new();
    let mut directory = false;
    while let Some(part) = parts.next() {
        directory = false;
        match part {
            "" if parts.peek().is_none() => directory = true,
            "" | "." => {
                dirty = true;
                directory = parts.peek().is_none();
            }
            ".." => {
                dirty = true;
                kept.pop();
            }
            part => kept.push(Cow::Borrowed(part)),
        }
    }
    dirty.then(|| {
        let slash = if directory && !kept.is_empty() { "/" } else { "" };
        format!("/{}{slash}", kept.join("/"))
    })
}
