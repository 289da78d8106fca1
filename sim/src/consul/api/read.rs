//! Reads: what one finds, whether it may, and whether it has to wait first.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};

use super::access::{Denied, May};
use super::cached::Cached;
use super::params::Form;
use super::reply::{self, Failure};
use super::{agent, catalog, coordinate, event, health, kv, session, txn};
use crate::consul::blocking::{Blocked, Seen, Until};
use crate::consul::state::catalog::Catalog;
use crate::consul::{Consul, Reply};

/// A mark on an answer: its reader is shown an older catalog than its server has, and that would have given another.
#[derive(Debug, Clone, Copy)]
pub(in crate::consul) struct Stale;

/// Something that can be read, at once or when it has changed.
#[derive(Debug)]
pub(in crate::consul) enum Read {
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
    pub(in crate::consul) fn seen(&self, consul: &Consul, reader: IpAddr) -> Seen {
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
    pub(in crate::consul) fn answer(
        &self,
        consul: &Consul,
        reader: IpAddr,
        form: &Form,
        index: u64,
    ) -> Response<Bytes> {
        let catalogs = &consul.state.catalogs;
        let (shown, current) = (catalogs.seen_by(reader, consul.now), catalogs.current());
        let mut response = self.answer_from(shown, consul, form, index);
        if !std::ptr::eq(shown, current) {
            let now = self.answer_from(current, consul, form, index);
            if (now.status(), now.body()) != (response.status(), response.body()) {
                response.extensions_mut().insert(Stale);
            }
        }
        response
    }

    /// What that is where `catalog` is shown.
    fn answer_from(&self, catalog: &Catalog, consul: &Consul, form: &Form, index: u64) -> Response<Bytes> {
        let (mut response, consistency) = match self {
            Self::Kv(read) => (read.answer(consul, form), None),
            Self::Session(read) => (read.answer(consul, form), None),
            Self::Catalog(read) => match read.answer(catalog, form) {
                Ok(response) => (response, Some(form.consistency)),
                Err(failure) => return failure.into_response(),
            },
            Self::Health(read) => match read.answer(catalog, form) {
                Ok(response) => (response, Some(form.consistency)),
                Err(failure) => return failure.into_response(),
            },
            Self::Coordinate(read) => {
                let response = read.answer(catalog, form);
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

/// Answers a read, or has it wait.
pub(in crate::consul) fn respond(consul: &mut Consul, reader: IpAddr, read: Read, mut form: Form) -> Reply {
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
