//! `/v1/agent/service/register` and `/v1/agent/check/register`.
//!
//! What a check is, is read in [`agent_check_definition`](super::agent_check_definition). A service that
//! is part of a mesh is refused, and not pretended to be.

use std::collections::BTreeMap;

use serde_json::Value;

use super::agent_check_definition::{Definition, Flavour, check_definition, empty};
use super::reply::Failure;
use super::{Call, Outcome, decode};
use crate::consul::Consul;
use crate::consul::state::catalog::{CRITICAL, PASSING, Service, ServiceAddress, WARNING, Weights};

const SERVICE_TYPE: &str = "struct { EnableTagOverrideSnake bool \"json:\\\"enable_tag_override\\\"\"; \
                            TaggedAddressesSnake map[string]structs.ServiceAddress \
                            \"json:\\\"tagged_addresses\\\"\"; *structs.Alias }";

#[derive(Debug)]
struct ServiceDefinition {
    service: Service,
    weights: Option<Weights>,
    check: Definition,
    checks: Vec<Definition>,
}

pub(super) fn service(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    let ServiceDefinition { mut service, weights, check, mut checks } = decode::parse(call.body)
        .and_then(|body| service_definition(&body))
        .map_err(|why| Failure::bad(format!("Request decode failed: {why}")))?;
    consul.config.node.clone_into(&mut service.node);
    if service.name.is_empty() {
        return Err(Failure::bad("Missing service name"));
    }
    if matches!(service.address.as_str(), "0.0.0.0" | "::" | "[::]") {
        return Err(Failure::bad("Invalid service address"));
    }
    if service.id.is_empty() {
        service.id.clone_from(&service.name);
    }
    for (key, value) in service.meta.iter().flatten() {
        meta_pair(key, value).map_err(|why| Failure::bad(format!("Invalid Service Meta: {why}")))?;
    }
    if let Some(weights) = weights {
        valid(weights).map_err(|why| Failure::bad(format!("Invalid Weights: {why}")))?;
        service.weights = weights;
    }
    if check.given {
        checks.insert(0, check);
    }
    for check in &checks {
        check.validate().map_err(|why| Failure::bad(format!("Invalid check: {why}")))?;
    }
    for check in &checks {
        if !valid_status(&check.request.status) {
            return Err(Failure::bad("Status for checks must 'passing', 'warning', 'critical'"));
        }
        check.refuse()?;
    }
    call.may_register(consul, &service.id, &service.name)?;
    add_default_addresses(&mut service);
    let several = checks.len() > 1;
    let checks = checks
        .into_iter()
        .enumerate()
        .map(|(position, check)| {
            let mut request = check.into_request();
            service.id.clone_into(&mut request.service_id);
            if request.id.is_empty() {
                request.id = match several {
                    true => format!("service:{}:{}", service.id, position + 1),
                    false => format!("service:{}", service.id),
                };
            }
            if request.name.is_empty() {
                request.name = format!("Service '{}' check", service.name);
            }
            request
        })
        .collect();
    let replace = matches!(call.params.get("replace-existing-checks"), Some("" | "true"));
    consul.agent_put_service(service, checks, replace);
    Ok(call.done())
}

pub(super) fn check(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    let check = decode::parse(call.body)
        .and_then(|body| check_definition(&body, Flavour::Alone))
        .map_err(|why| Failure::bad(format!("Request decode failed: {why}")))?;
    if check.request.name.is_empty() {
        return Err(Failure::bad("Missing check name"));
    }
    if !valid_status(&check.request.status) {
        return Err(Failure::bad("Bad check status"));
    }
    check.validate().map_err(|why| Failure::bad(format!("Invalid check: {why}")))?;
    check.refuse()?;
    let mut request = check.into_request();
    if request.id.is_empty() {
        request.id.clone_from(&request.name);
    }
    let service = consul.agent.service(&request.service_id).map(|service| service.name.as_str());
    call.may_write_checks_of(consul, service.unwrap_or_default())?;
    if let Some(existing) = consul.agent.check(&request.id) {
        call.may_write_checks_of(consul, &existing.service_name)?;
    }
    if !request.service_id.is_empty() && consul.agent.service(&request.service_id).is_none() {
        return Err(Failure::internal(format!("ServiceID {:?} does not exist", request.service_id)));
    }
    consul.agent_put_check(request);
    Ok(call.done())
}

fn service_definition(value: &Value) -> decode::Result<ServiceDefinition> {
    let mut definition = ServiceDefinition {
        service: Service {
            node: String::new(),
            id: String::new(),
            name: String::new(),
            tags: Vec::new(),
            address: String::new(),
            tagged_addresses: BTreeMap::new(),
            meta: None,
            port: 0,
            weights: Weights { passing: 1, warning: 1 },
            enable_tag_override: false,
            ..Service::default()
        },
        weights: None,
        check: Definition::default(),
        checks: Vec::new(),
    };
    let service = &mut definition.service;
    for (field, name, value) in decode::fields(value, SERVICE_TYPE)? {
        match field.as_str() {
            "id" => service.id = decode::text(value, ".ID")?,
            "name" => service.name = decode::text(value, ".Name")?,
            "tags" => {
                service.lists_tags = !value.is_null();
                service.tags = decode::texts(value, ".Tags")?.unwrap_or_default();
            }
            "address" => service.address = decode::text(value, ".Address")?,
            "taggedaddresses" | "tagged_addresses" => service.tagged_addresses = addresses(value)?,
            "meta" => service.meta = decode::text_map(value, ".Meta")?,
            "port" => service.port = decode::integer(value, ".Port")?,
            "check" => definition.check = check_definition(value, Flavour::OfService(".Check"))?,
            "checks" => {
                definition.checks = match value {
                    Value::Null => Vec::new(),
                    Value::Array(items) => items
                        .iter()
                        .map(|item| check_definition(item, Flavour::OfService(".Checks")))
                        .collect::<decode::Result<_>>()?,
                    other => return decode::mismatch(other, ".Checks", "structs.CheckTypes"),
                }
            }
            "weights" if value.is_null() => {}
            "weights" => definition.weights = Some(weights(value)?),
            "enabletagoverride" | "enable_tag_override" => {
                service.enable_tag_override = decode::boolean(value, ".EnableTagOverride")?;
            }
            "kind" | "proxy" | "connect" if !empty(value) => {
                return Err(format!("{name} is not simulated"));
            }
            "kind" | "proxy" | "connect" | "token" => {}
            _ => return decode::unknown(name),
        }
    }
    Ok(definition)
}

fn addresses(value: &Value) -> decode::Result<BTreeMap<String, ServiceAddress>> {
    let Value::Object(map) = value else {
        return match value {
            Value::Null => Ok(BTreeMap::new()),
            other => decode::mismatch(other, ".TaggedAddresses", "map[string]structs.ServiceAddress"),
        };
    };
    map.iter()
        .map(|(tag, value)| {
            let mut address = ServiceAddress { address: String::new(), port: 0 };
            for (field, name, value) in decode::fields(value, "structs.ServiceAddress")? {
                match field.as_str() {
                    "address" => {
                        address.address = decode::text(value, "ServiceAddress.TaggedAddresses.Address")?
                    }
                    "port" => address.port = decode::integer(value, "ServiceAddress.TaggedAddresses.Port")?,
                    _ => return decode::unknown(name),
                }
            }
            Ok((tag.clone(), address))
        })
        .collect()
}

fn weights(value: &Value) -> decode::Result<Weights> {
    let mut weights = Weights { passing: 0, warning: 0 };
    for (field, name, value) in decode::fields(value, "structs.Weights")? {
        match field.as_str() {
            "passing" => weights.passing = decode::integer(value, "Weights.Weights.Passing")?,
            "warning" => weights.warning = decode::integer(value, "Weights.Weights.Warning")?,
            _ => return decode::unknown(name),
        }
    }
    Ok(weights)
}

fn valid(weights: Weights) -> Result<(), &'static str> {
    if weights.passing < 1 {
        return Err("Passing must be greater than 0");
    }
    if weights.warning < 0 {
        return Err("Warning must be greater or equal than 0");
    }
    if weights.passing > 65535 || weights.warning > 65535 {
        return Err("DNS Weight must be between 0 and 65535");
    }
    Ok(())
}

fn valid_status(status: &str) -> bool {
    ["", PASSING, WARNING, CRITICAL].contains(&status)
}

fn meta_pair(key: &str, value: &str) -> Result<(), String> {
    let failed = |why: &str| Err(format!("Couldn't load metadata pair ('{key}', '{value}'): {why}"));
    if key.is_empty() {
        return failed("Key cannot be blank");
    }
    if !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
        return failed("Key contains invalid characters");
    }
    if key.len() > 128 {
        return failed("Key is too long (limit: 128 characters)");
    }
    if value.len() > 512 {
        return failed("Value is too long (limit: 512 characters)");
    }
    Ok(())
}

/// A service with an IP address is reachable there from near and far.
fn add_default_addresses(service: &mut Service) {
    let Ok(address) = service.address.parse::<std::net::IpAddr>() else {
        return;
    };
    let family = if address.is_ipv4() { "ipv4" } else { "ipv6" };
    for side in ["lan", "wan"] {
        service
            .tagged_addresses
            .entry(format!("{side}_{family}"))
            .or_insert_with(|| ServiceAddress { address: service.address.clone(), port: service.port });
    }
}
