//! `/v1/operator/`: who the servers are and how they keep house.

use std::net::SocketAddr;

use http::StatusCode;
use serde::Serialize;

use super::reply::{self, Failure};
use super::{Call, Outcome};
use crate::consul::Consul;
use crate::consul::acl::Authorizer;

/// The index at which a fresh leader has written autopilot's defaults.
const AUTOPILOT_INDEX: u64 = 4;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Configuration<'a> {
    servers: Vec<Server<'a>>,
    index: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Server<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    node: &'a str,
    address: String,
    leader: bool,
    protocol_version: &'static str,
    voter: bool,
}

pub(super) fn raft_configuration(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    call.need(Authorizer::operator_read)?;
    let leader = consul.leader_address();
    let servers = consul.servers();
    let servers = servers
        .iter()
        .map(|(id, config)| {
            let address = SocketAddr::new(config.address, config.server_port);
            Server {
                id,
                node: &config.node,
                address: address.to_string(),
                leader: leader == Some(address),
                protocol_version: "3",
                voter: true,
            }
        })
        .collect();
    Ok(call.json(&Configuration { servers, index: 0 }))
}

pub(super) fn raft_peer(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    let refused = |why| Err(Failure::bad(format!("Bad request: {why}")));
    let (id, address) = (call.params.get("id"), call.params.get("address"));
    let (known, what, given) = match (id, address) {
        (None, None) => {
            return refused(
                "Must specify either ?id with the server's ID or ?address with IP:port of peer to remove",
            );
        }
        (Some(_), Some(_)) => return refused("Must specify only one of ?id or ?address"),
        (Some(id), None) => (consul.servers().iter().any(|(known, _)| known == id), "id", id),
        (None, Some(address)) => {
            let known = consul.server_addresses().iter().any(|known| known.to_string() == address);
            (known, "address", address)
        }
    };
    call.need(Authorizer::operator_write)?;
    Err(Failure::internal(match known {
        true => "need at least one voter in configuration: {[]}".to_owned(),
        false => format!("{what} {given:?} was not found in the Raft configuration"),
    }))
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Autopilot {
    cleanup_dead_servers: bool,
    last_contact_threshold: &'static str,
    max_trailing_logs: u64,
    min_quorum: u64,
    server_stabilization_time: &'static str,
    redundancy_zone_tag: &'static str,
    disable_upgrade_migration: bool,
    upgrade_version_tag: &'static str,
    create_index: u64,
    modify_index: u64,
}

/// Autopilot's defaults; nothing here changes them.
pub(super) fn autopilot_configuration(_: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    call.need(Authorizer::operator_read)?;
    Ok(Outcome::Answer(reply::json(
        StatusCode::OK,
        &Autopilot {
            cleanup_dead_servers: true,
            last_contact_threshold: "200ms",
            max_trailing_logs: 250,
            min_quorum: 0,
            server_stabilization_time: "10s",
            redundancy_zone_tag: "",
            disable_upgrade_migration: false,
            upgrade_version_tag: "",
            create_index: AUTOPILOT_INDEX,
            modify_index: AUTOPILOT_INDEX,
        },
        call.form.pretty,
    )))
}
