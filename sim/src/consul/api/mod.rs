//! The HTTP API: which endpoint a request is for, and what each of them does.
//!
//! An endpoint that reads returns a [`Read`]: what to read, apart from doing so, because a blocking query
//! does it again whenever something it watches changes. [`routes`] knows the endpoints' paths.

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
mod read;
mod register;
mod reply;
mod routes;
mod rows;
mod session;
mod shown;
mod status;
mod syntax;
mod txn;

use std::borrow::Cow;
use std::net::IpAddr;
use std::rc::Rc;

use bytes::Bytes;
use http::header::TRANSFER_ENCODING;
use http::{Method, Request, Response, StatusCode};
use percent_encoding::percent_decode_str;

use self::access::Denied;
use self::params::{Asks, Params};
use self::routes::{lacks_slash, leaves, queries, route};
use super::acl::{Acl, token_of};
use super::leader::{Finish, Proposal};
use super::state::Applied;
use super::{Consul, Reply};

pub(super) use self::access::May;
pub(super) use self::body::{Fate, fate, left_of};
pub(super) use self::cached::Cache;
pub(super) use self::params::Form;
pub(super) use self::read::{Read, Stale, respond};
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

/// What is said of a datacenter nobody knows.
const NO_PATH: &str = "No path to datacenter";

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

/// What comes of asking where there is no way to: whatever the agent finds wrong before, or that.
fn elsewhere(tail: &str, asked: Result<Outcome, Failure>) -> Failure {
    match asked {
        Err(failure) if !failure.is_of_servers(tail.starts_with("kv/")) => failure,
        _ if queries(tail) => Failure::internal(NO_PATH).of_query(),
        _ => Failure::internal(NO_PATH),
    }
}

/// The answer to what is no request at all.
pub(super) fn bad_request() -> Response<Bytes> {
    reply::bare(StatusCode::BAD_REQUEST)
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
