//! `/v1/agent/services`, `checks` and `service/<id>`: the agent's own view.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::HeaderValue;
use http::{Response, StatusCode};
use serde::Serialize;

use super::access::May;
use super::filtering::Filtering;
use super::params::Form;
use super::reply::{self, Failure};
use super::{Call, Outcome};
use crate::consul::Consul;
use crate::consul::blocking::Seen;
use crate::consul::filter::Kind;
use crate::consul::state::catalog::{Check, Service, ServiceAddress, Weights};

/// A service of the agent, which can be waited for by the hash of its content.
#[derive(Debug)]
pub(in crate::consul) struct ServiceRead {
    id: String,
    hash: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Shown<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    service: &'a str,
    tags: &'a [String],
    meta: BTreeMap<&'a str, &'a str>,
    port: i64,
    address: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tagged_addresses: &'a BTreeMap<String, ServiceAddress>,
    weights: Weights,
    enable_tag_override: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_hash: Option<String>,
}

impl<'a> Shown<'a> {
    pub(super) fn new(service: &'a Service) -> Self {
        let meta = service.meta.iter().flatten();
        Self {
            id: &service.id,
            service: &service.name,
            tags: &service.tags,
            meta: meta.map(|(key, value)| (key.as_str(), value.as_str())).collect(),
            port: service.port,
            address: &service.address,
            tagged_addresses: &service.tagged_addresses,
            weights: service.weights,
            enable_tag_override: service.enable_tag_override,
            content_hash: None,
        }
    }
}

pub(super) fn services(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    call.form.may.known()?;
    let readable = |service: &&Service| call.form.may.allows(|token| token.service_read(&service.name));
    let services = consul.agent.services().filter(readable).map(Shown::new).collect();
    let services = Filtering::of(call, Kind::AgentService)?.filtered(services)?;
    let services: BTreeMap<_, _> = services.into_iter().map(|service| (service.id, service)).collect();
    Ok(call.json(&services))
}

pub(super) fn checks(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    call.form.may.known()?;
    let checks: Vec<&Check> =
        consul.agent.checks().filter(|check| reads_own_check(&call.form.may, check)).collect();
    let checks = Filtering::of(call, Kind::AgentCheck)?.filtered(checks)?;
    let checks: BTreeMap<_, _> = checks.into_iter().map(|check| (&check.id, check)).collect();
    Ok(call.json(&checks))
}

/// Of its own checks an agent asks either, where its servers ask for both.
fn reads_own_check(may: &May, check: &Check) -> bool {
    may.allows(|token| match check.service_name.as_str() {
        "" => token.node_read(&check.node),
        service => token.service_read(service),
    })
}

pub(super) fn service(_: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    let hash = call.params.get("hash").filter(|hash| !hash.is_empty());
    Ok(Outcome::Read(super::Read::AgentService(ServiceRead {
        id: call.rest.to_owned(),
        hash: hash.map(str::to_owned),
    })))
}

impl ServiceRead {
    /// The content this read waits for to change.
    pub(super) fn hash(&self) -> Option<&str> {
        self.hash.as_deref()
    }

    pub(super) fn seen(&self, consul: &Consul) -> Seen {
        Seen { index: 0, written: 0, hash: consul.agent.service(&self.id).map(content_hash) }
    }

    pub(super) fn answer(&self, consul: &Consul, form: &Form) -> Response<Bytes> {
        let Some(service) = consul.agent.service(&self.id) else {
            let text = format!("unknown service ID: {}", self.id);
            return Failure::new(StatusCode::NOT_FOUND, text).into_response();
        };
        if let Err(denied) = form.may.need(|token| token.service_read(&service.name)) {
            return Failure::from(denied).into_response();
        }
        let hash = content_hash(service);
        let header = HeaderValue::from_str(&hash);
        let mut shown = Shown::new(service);
        shown.content_hash = Some(hash);
        let mut response = reply::json(StatusCode::OK, &shown, form.pretty);
        if let Ok(header) = header {
            response.headers_mut().insert(reply::CONTENT_HASH, header);
        }
        response
    }
}

/// Sixteen digits that are the same when the content is; Consul's own are others.
fn content_hash(service: &Service) -> String {
    let mut hasher = blake3::Hasher::new();
    serde_json::to_writer(&mut hasher, &Shown::new(service)).ok();
    hasher.finalize().to_hex()[..16].to_owned()
}
