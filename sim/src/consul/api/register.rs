//! `PUT /v1/catalog/register` and `/v1/catalog/deregister`: the catalog written past any agent.

use serde_json::Value;

use super::reply::Failure;
use super::rows::{self, Decoder};
use super::{Call, Outcome, carried_out, decode};
use crate::consul::Consul;
use crate::consul::leader::Proposal;
use crate::consul::state::{Command, Deregistration, NodeUpdate, Registration};

pub(super) fn register(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    let mut registration =
        decode::parse(call.body).and_then(|body| registration(&body)).map_err(undecoded)?;
    if let Some(update) = &mut registration.node {
        in_datacenter(consul, &mut update.node.datacenter)?;
    }
    let command = Command::Register(Box::new(registration));
    Ok(Outcome::Write(Proposal::Command(command), carried_out))
}

pub(super) fn deregister(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    let (deregistration, mut datacenter) =
        decode::parse(call.body).and_then(|body| deregistration(&body)).map_err(undecoded)?;
    in_datacenter(consul, &mut datacenter)?;
    let command = Command::Deregister(deregistration);
    Ok(Outcome::Write(Proposal::Command(command), carried_out))
}

fn undecoded(why: String) -> Failure {
    let namespaced = why.contains("unknown field \"Namespace\"");
    let hint = if namespaced { " - Namespaces are a Consul Enterprise feature" } else { "" };
    Failure::bad(format!("Request decode failed: {why}{hint}"))
}

/// A write without a datacenter is for this one.
fn in_datacenter(consul: &Consul, datacenter: &mut String) -> Result<(), Failure> {
    if datacenter.is_empty() {
        datacenter.clone_from(&consul.config.datacenter);
    }
    match *datacenter == consul.config.datacenter {
        true => Ok(()),
        false => Err(Failure::internal("No path to datacenter")),
    }
}

fn registration(value: &Value) -> decode::Result<Registration> {
    let mut update = NodeUpdate::default();
    let mut registration = Registration::default();
    let mut check = None;
    let node = &mut update.node;
    for (field, name, value) in decode::fields(value, "structs.RegisterRequest")? {
        match field.as_str() {
            "datacenter" => node.datacenter = decode::text(value, "RegisterRequest.Datacenter")?,
            "id" => node.id = decode::text(value, "RegisterRequest.ID")?,
            "node" => node.name = decode::text(value, "RegisterRequest.Node")?,
            "address" => node.address = decode::text(value, "RegisterRequest.Address")?,
            "taggedaddresses" => {
                node.tagged_addresses = decode::text_map(value, "RegisterRequest.TaggedAddresses")?;
            }
            "nodemeta" => node.meta = decode::text_map(value, "RegisterRequest.NodeMeta")?,
            "service" if value.is_null() => registration.service = None,
            "service" => {
                registration.service = Some(rows::service(value, "NodeService.Service", Decoder::Structs)?);
            }
            "check" if value.is_null() => check = None,
            "check" => check = Some(rows::check(value, "HealthCheck.Check", Decoder::Structs)?),
            "checks" => {
                let items = decode::items_of(value, "RegisterRequest.Checks", "structs.HealthChecks")?;
                let items = items.iter().filter(|item| !item.is_null());
                registration.checks = items
                    .map(|item| rows::check(item, "HealthCheck.Checks", Decoder::Structs))
                    .collect::<decode::Result<_>>()?;
            }
            "skipnodeupdate" => {
                update.only_if_missing = decode::boolean(value, "RegisterRequest.SkipNodeUpdate")?;
            }
            "token" => drop(decode::text(value, "RegisterRequest.Token")?),
            "createindex" | "modifyindex" => drop(decode::unsigned(value, "RegisterRequest.CreateIndex")?),
            _ => return decode::unknown(name),
        }
    }
    registration.checks.extend(check);
    registration.node = Some(update);
    Ok(registration)
}

fn deregistration(value: &Value) -> decode::Result<(Deregistration, String)> {
    let mut deregistration = Deregistration::default();
    let mut datacenter = String::new();
    for (field, name, value) in decode::fields(value, "struct { Address string; *structs.Alias }")? {
        match field.as_str() {
            "datacenter" => datacenter = decode::text(value, ".Datacenter")?,
            "node" => deregistration.node = decode::text(value, ".Node")?,
            "serviceid" => deregistration.service = decode::text(value, ".ServiceID")?,
            "checkid" => deregistration.check = decode::text(value, ".CheckID")?,
            "address" | "token" => drop(decode::text(value, &format!(".{name}"))?),
            _ => return decode::unknown(name),
        }
    }
    Ok((deregistration, datacenter))
}
