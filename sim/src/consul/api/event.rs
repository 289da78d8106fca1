//! `/v1/event/`: user events.
//!
//! Their index is no index: it is made of the newest event's id, and a reader waits until it is another.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Response, StatusCode};
use serde::Serialize;

use super::access::May;
use super::params::Form;
use super::reply::{self, Failure};
use super::{Call, Outcome};
use crate::consul::Consul;
use crate::consul::agent::events::{UserEvent, VERSION};
use crate::consul::blocking::Seen;

/// The events an agent heard of, or those of one name.
#[derive(Debug)]
pub(in crate::consul) struct Read {
    name: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shown<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    name: &'a str,
    payload: Option<String>,
    node_filter: &'a str,
    service_filter: &'a str,
    tag_filter: &'a str,
    version: u8,
    #[serde(rename = "LTime")]
    time: u64,
}

impl<'a> Shown<'a> {
    fn new(event: &'a UserEvent) -> Self {
        Self {
            id: &event.id,
            name: &event.name,
            payload: (!event.payload.is_empty()).then(|| STANDARD.encode(&event.payload)),
            node_filter: &event.node_filter,
            service_filter: &event.service_filter,
            tag_filter: &event.tag_filter,
            version: VERSION,
            time: event.time,
        }
    }
}

pub(super) fn fire(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    if call.rest.is_empty() {
        return Err(Failure::bad("Missing name"));
    }
    call.stays()?;
    let filter = |name| call.params.get(name).unwrap_or_default().to_owned();
    let event = UserEvent {
        id: consul.draw_uuid(),
        name: call.rest.to_owned(),
        // One that says no length is none.
        payload: if call.chunked { Vec::new() } else { call.body.to_vec() },
        node_filter: filter("node"),
        service_filter: filter("service"),
        tag_filter: filter("tag"),
        time: 0,
    };
    event.validate(&consul.agent.events).map_err(Failure::internal)?;
    call.form.may.known().map_err(|why| Failure::internal(why.0))?;
    call.need(|token| token.event_write(&event.name))?;
    let answer = call.json(&Shown::new(&event));
    consul.event_fire(event);
    Ok(answer)
}

/// Of what the client asks only the name selects anything.
pub(super) fn list(_: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    let name = call.params.get("name").filter(|name| !name.is_empty());
    Ok(Outcome::Read(super::Read::Events(Read { name: name.map(str::to_owned) })))
}

impl Read {
    fn events<'a>(
        &'a self,
        consul: &'a Consul,
        may: &'a May,
    ) -> impl DoubleEndedIterator<Item = &'a UserEvent> {
        let readable = |event: &UserEvent| may.allows(|token| token.event_read(&event.name));
        let wanted = move |event: &&UserEvent| {
            self.name.as_ref().is_none_or(|name| *name == event.name) && readable(event)
        };
        consul.agent.events.iter().filter(wanted)
    }

    pub(super) fn seen(&self, consul: &Consul) -> Seen {
        let index = self.events(consul, &May::Everything).next_back().map_or(1, |event| index_of(&event.id));
        Seen { index, written: 0, hash: Some(index.to_string()) }
    }

    pub(super) fn answer(&self, consul: &Consul, form: &Form, index: u64) -> Response<Bytes> {
        let events: Vec<_> = self.events(consul, &form.may).map(Shown::new).collect();
        let mut response = reply::json(StatusCode::OK, &events, form.pretty);
        response.headers_mut().insert(reply::INDEX, index.into());
        response
    }
}

/// The two halves of an id, as numbers, one upon the other.
fn index_of(id: &str) -> u64 {
    let digits: String = id.chars().filter(char::is_ascii_hexdigit).collect();
    let half = |at| digits.get(at).and_then(|half| u64::from_str_radix(half, 16).ok()).unwrap_or(0);
    half(0..16) ^ half(16..32)
}

#[cfg(test)]
mod tests {
    use super::index_of;

    #[test]
    fn an_index_is_the_halves_of_an_id() {
        assert_eq!(index_of("73d14250-94e2-e4a8-8c2f-4a1efa602ad3"), 18_446_190_256_710_667_899);
    }
}
