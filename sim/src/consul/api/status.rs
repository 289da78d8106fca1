//! `/v1/status/`.

use super::reply::Failure;
use super::{Call, Outcome};
use crate::consul::Consul;

pub(super) fn leader(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    let leader = consul.leader_address().map(|address| address.to_string());
    Ok(call.json(&leader.unwrap_or_default()))
}

pub(super) fn peers(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    Ok(call.json(&consul.server_addresses()))
}
