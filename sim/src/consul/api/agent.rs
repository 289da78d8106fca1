//! `/v1/agent/`: the agent's own view, reports on its checks, and deregistration.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bytes::Bytes;
use http::header::HeaderValue;
use http::{Response, StatusCode};
use serde::Serialize;
use serde_json::json;

use super::params::Form;
use super::reply::{self, Failure};
use super::{Call, Outcome, decode};
use crate::consul::Consul;
use crate::consul::blocking::Seen;
use crate::consul::state::catalog::{CRITICAL, Check, PASSING, Service, ServiceAddress, WARNING, Weights};

const VERSION: &str = "1.8.7";

/// A service of the agent, which can be waited for by the hash of its content.
#[derive(Debug)]
pub(in crate::consul) struct ServiceRead {
    id: String,
    hash: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shown<'a> {
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
    fn new(service: &'a Service) -> Self {
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

pub(super) fn itself(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    let config = &consul.config;
    Ok(call.json(&json!({
        "Config": {
            "Datacenter": config.datacenter,
            "NodeName": config.node,
            "NodeID": consul.node_id,
            "Revision": "",
            "Server": true,
            "Version": VERSION,
        },
        "DebugConfig": {
            "Bootstrap": true,
            "Datacenter": config.datacenter,
            "DevMode": false,
            "NodeID": consul.node_id,
            "NodeName": config.node,
            "ServerMode": true,
            "Version": VERSION,
        },
        "Coord": { "Vec": [0, 0, 0, 0, 0, 0, 0, 0], "Error": 1.5, "Adjustment": 0, "Height": 0.00001 },
        "Member": member(consul),
        "Stats": {
            "agent": {
                "checks": consul.agent.checks().count().to_string(),
                "services": consul.agent.services().len().to_string(),
            },
            "consul": {
                "acl": "disabled",
                "bootstrap": "true",
                "known_datacenters": "1",
                "leader": "true",
                "leader_addr": consul.leader_address().map(|address| address.to_string()).unwrap_or_default(),
                "server": "true",
            },
            "raft": { "last_log_index": consul.state.index.to_string(), "num_peers": "0", "state": "Leader" },
        },
        "Meta": { "consul-network-segment": "" },
    })))
}

pub(super) fn members(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    Ok(call.json(&[member(consul)]))
}

/// The server, as gossip knows it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Member<'a> {
    name: &'a str,
    addr: IpAddr,
    port: u16,
    tags: serde_json::Value,
    status: u8,
    protocol_min: u8,
    protocol_max: u8,
    protocol_cur: u8,
    delegate_min: u8,
    delegate_max: u8,
    delegate_cur: u8,
}

fn member(consul: &Consul) -> Member<'_> {
    let config = &consul.config;
    Member {
        name: &config.node,
        addr: config.address,
        port: config.serf_port,
        tags: json!({
            "acls": "0",
            "bootstrap": "1",
            "build": format!("{VERSION}:"),
            "dc": config.datacenter,
            "ft_fs": "1",
            "id": consul.node_id,
            "port": config.server_port.to_string(),
            "raft_vsn": "3",
            "role": "consul",
            "segment": "",
            "vsn": "2",
            "vsn_max": "3",
            "vsn_min": "2",
        }),
        status: 1,
        protocol_min: 1,
        protocol_max: 5,
        protocol_cur: 2,
        delegate_min: 2,
        delegate_max: 5,
        delegate_cur: 4,
    }
}

pub(super) fn services(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    let services: BTreeMap<_, _> =
        consul.agent.services().iter().map(|(id, service)| (id, Shown::new(service))).collect();
    Ok(call.json(&services))
}

pub(super) fn checks(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    let checks: BTreeMap<_, &Check> = consul.agent.checks().map(|check| (&check.id, check)).collect();
    Ok(call.json(&checks))
}

pub(super) fn service(_: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    let hash = call.params.get("hash").filter(|hash| !hash.is_empty());
    Ok(Outcome::Read(super::Read::AgentService(ServiceRead {
        id: call.rest.to_owned(),
        hash: hash.map(str::to_owned),
    })))
}

pub(super) fn service_deregister(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    if call.rest.is_empty() {
        return Err(Failure::internal("ServiceID missing"));
    }
    consul.agent_remove_service(call.rest);
    Ok(call.done())
}

pub(super) fn check_deregister(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    if call.rest.is_empty() {
        return Err(Failure::internal("CheckID missing"));
    }
    consul.agent_remove_check(call.rest);
    Ok(call.done())
}

pub(super) fn check_pass(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    report(consul, call, PASSING)
}

pub(super) fn check_warn(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    report(consul, call, WARNING)
}

pub(super) fn check_fail(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    report(consul, call, CRITICAL)
}

fn report(consul: &mut Consul, call: &Call<'_>, status: &str) -> Result<Outcome, Failure> {
    let note = call.params.get("note").unwrap_or_default();
    consul.agent_update_check(call.rest, status, note).map_err(Failure::internal)?;
    Ok(call.done())
}

pub(super) fn check_update(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    let (status, output) =
        update(call.body).map_err(|why| Failure::bad(format!("Request decode failed: {why}")))?;
    if ![PASSING, WARNING, CRITICAL].contains(&status.as_str()) {
        return Err(Failure::bad(format!("Invalid check status: '{status}'")));
    }
    consul.agent_update_check(call.rest, &status, &output).map_err(Failure::internal)?;
    Ok(call.done())
}

fn update(body: &[u8]) -> decode::Result<(String, String)> {
    let (mut status, mut output) = (String::new(), String::new());
    for (field, name, value) in decode::fields(&decode::parse(body)?, "agent.checkUpdate")? {
        match field.as_str() {
            "status" => status = decode::text(value, "checkUpdate.Status")?,
            "output" => output = decode::text(value, "checkUpdate.Output")?,
            _ => return decode::unknown(name),
        }
    }
    Ok((status, output))
}

impl ServiceRead {
    /// The content this read waits for to change.
    pub(super) fn hash(&self) -> Option<&str> {
        self.hash.as_deref()
    }

    pub(super) fn seen(&self, consul: &Consul) -> Seen {
        Seen { index: 0, written: 0, hash: consul.agent.services().get(&self.id).map(content_hash) }
    }

    pub(super) fn answer(&self, consul: &Consul, form: &Form) -> Response<Bytes> {
        let Some(service) = consul.agent.services().get(&self.id) else {
            let text = format!("unknown service ID: {}", self.id);
            return Failure::new(StatusCode::NOT_FOUND, text).into_response();
        };
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
