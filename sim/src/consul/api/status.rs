//! `/v1/status/`, and which datacenters there are.

use super::cached::Cached;
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

pub(super) fn datacenters(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    let mut outcome = call.json(&[&consul.config.datacenter]);
    if call.form.cached
        && let Outcome::Answer(response) = &mut outcome
    {
        let fetched = consul.cache.ask("datacenters".to_owned(), consul.now);
        fetched.map_or(Cached::Miss, Cached::Hit).tell(response);
    }
    // What is wrong is said, and then what was asked for.
    if let Some(wrong) = &call.wrong
        && let Outcome::Answer(response) = &mut outcome
    {
        let mut both = wrong.clone().into_response();
        *both.body_mut() = [both.body().as_ref(), response.body()].concat().into();
        *response = both;
    }
    Ok(outcome)
}
