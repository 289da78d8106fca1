//! What an operator asks of an agent: maintenance, joining, leaving, reloading, and what needs ACLs or
//! Connect, which this server answers as one on which they are off.

use std::net::{IpAddr, SocketAddr};

use http::StatusCode;
use serde_json::Value;

use super::reply::Failure;
use super::{Call, Outcome, decode, params};
use crate::consul::Consul;
use crate::consul::acl::Authorizer;

const CONNECT_OFF: &str = "Connect must be enabled in order to use this endpoint";

pub(super) fn node_maintenance(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    maintain(consul, call, None)
}

pub(super) fn service_maintenance(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    if call.rest.is_empty() {
        return Err(Failure::bad("Missing service ID"));
    }
    maintain(consul, call, Some(call.rest))
}

fn maintain(consul: &mut Consul, call: &Call<'_>, service: Option<&str>) -> Result<Outcome, Failure> {
    let enable = call.params.get("enable").ok_or_else(|| Failure::bad("Missing value for enable"))?;
    let enable = params::boolean(enable)
        .ok_or_else(|| Failure::bad(format!("Invalid value for enable: {enable:?}")))?;
    match service {
        Some(id) => call.may_change_service(consul, id)?,
        None => call.need(|token| token.node_write(&consul.config.node))?,
    }
    if let Some(id) = service
        && consul.agent.service(id).is_none()
    {
        let why = format!("No service registered with ID {id:?}");
        return Err(Failure::new(StatusCode::NOT_FOUND, why));
    }
    if enable {
        consul.maintenance_begin(service, call.params.get("reason").unwrap_or_default());
    } else {
        consul.maintenance_end(service);
    }
    Ok(call.done())
}

/// There is nothing to read again.
pub(super) fn reload(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    call.need(|token| token.agent_write(&consul.config.node))?;
    Ok(call.done())
}

pub(super) fn leave(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    call.need(|token| token.agent_write(&consul.config.node))?;
    consul.agent.left = true;
    Ok(call.done())
}

/// There is nobody to throw out but those who never were here.
pub(super) fn force_leave(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    call.need(Authorizer::operator_write)?;
    if call.rest == consul.config.node {
        return Ok(call.done());
    }
    Err(Failure::internal(format!("agent: No node found with name '{}'", call.rest)))
}

/// The only one to join is the server itself.
pub(super) fn join(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    call.need(|token| token.agent_write(&consul.config.node))?;
    if call.params.get("wan").is_some_and(|wan| !wan.is_empty()) {
        return Err(Failure::internal("WAN Federation is disabled"));
    }
    let failed = |why: String| Failure::internal(format!("1 error occurred:\n\t* {why}\n\n"));
    let own = SocketAddr::new(consul.config.address, consul.config.serf_port);
    let address = call.rest.parse::<SocketAddr>();
    let address = address.or_else(|_| {
        call.rest.parse::<IpAddr>().map(|address| SocketAddr::new(address, consul.config.serf_port))
    });
    match address {
        Ok(address) if address == own => Ok(call.done()),
        Ok(address) => Err(failed(format!(
            "Failed to join {}: dial tcp {address}: connect: connection refused",
            address.ip()
        ))),
        Err(_) => {
            let name = call.rest;
            Err(failed(format!("Failed to resolve {name}: lookup {name}: no such host")))
        }
    }
}

/// Sets a token of the agent's own.
pub(super) fn token(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    let node = &consul.config.node;
    let Some(acl) = &mut consul.acl else {
        return Err(Failure::new(StatusCode::UNAUTHORIZED, "ACL support disabled"));
    };
    call.need(|token| token.agent_write(node))?;
    let secret = decode::parse(call.body)
        .and_then(|body| secret(&body))
        .map_err(|why| Failure::bad(format!("Request decode failed: {why}")))?;
    if !acl.set(call.rest, &secret, node) {
        return Err(Failure::new(StatusCode::NOT_FOUND, format!("Token {:?} is unknown", call.rest)));
    }
    Ok(call.done())
}

fn secret(body: &Value) -> decode::Result<String> {
    let mut secret = String::new();
    for (field, name, value) in decode::fields(body, "api.AgentToken")? {
        match field.as_str() {
            "token" => secret = decode::text(value, "AgentToken.Token")?,
            _ => return decode::unknown(name),
        }
    }
    Ok(secret)
}

/// The certificates of a service mesh.
pub(super) fn connect(_: &mut Consul, _: &Call<'_>) -> Result<Outcome, Failure> {
    Err(Failure::internal(CONNECT_OFF))
}
