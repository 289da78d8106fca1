//! `/v1/status/`.

use super::reply::Failure;
use super::{Call, Outcome};
use crate::consul::Consul;

pub(super) fn leader(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    Ok(call.json(&address(consul)))
}

pub(super) fn peers(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    Ok(call.json(&[address(consul)]))
}

/// Where servers reach this one.
pub(super) fn address(consul: &Consul) -> String {
    std::net::SocketAddr::new(consul.config.address, consul.config.server_port).to_string()
}
