//! `/v1/agent/check/`: reports on a check's status; and deregistration, of checks and of services.

use super::reply::Failure;
use super::{Call, Outcome, decode};
use crate::consul::Consul;
use crate::consul::state::catalog::{CRITICAL, PASSING, WARNING};

pub(super) fn service_deregister(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    if call.rest.is_empty() {
        return Err(Failure::internal("ServiceID missing"));
    }
    call.may_change_service(consul, call.rest)?;
    consul.agent_remove_service(call.rest);
    Ok(call.done())
}

pub(super) fn check_deregister(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    if call.rest.is_empty() {
        return Err(Failure::internal("CheckID missing"));
    }
    call.may_change_check(consul, call.rest)?;
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
    call.may_change_check(consul, call.rest)?;
    consul.agent_update_check(call.rest, status, note).map_err(Failure::internal)?;
    Ok(call.done())
}

pub(super) fn check_update(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    let (status, output) =
        update(call.body).map_err(|why| Failure::bad(format!("Request decode failed: {why}")))?;
    if ![PASSING, WARNING, CRITICAL].contains(&status.as_str()) {
        return Err(Failure::bad(format!("Invalid check status: '{status}'")));
    }
    call.may_change_check(consul, call.rest)?;
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
