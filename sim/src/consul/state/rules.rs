//! What can be said against a write of the catalog, in Consul's words.
//!
//! The leader says some of it before a write enters the log ([`settle`] and what it is made of); the rest
//! depends on what is in the catalog by then, and is said when the write is applied.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;

use super::Registration;
use super::catalog::{CONNECT_PROXY, CRITICAL, Catalog, Check, Node, SERF_HEALTH, Service, Upstream};

const NO_KEY: &str = "object missing primary index";
const META_MAX_PAIRS: usize = 64;
const META_KEY_MAX: usize = 128;
const META_VALUE_MAX: usize = 512;
const META_RESERVED_PREFIX: &str = "consul-";

/// Fills in what a registration leaves open.
///
/// # Errors
/// Consul's text for what a leader refuses.
pub(in crate::consul) fn settle(registration: &mut Registration) -> Result<(), String> {
    let Some(update) = &registration.node else {
        return Ok(());
    };
    named(&update.node)?;
    if update.node.address.is_empty() && !update.only_if_missing {
        return Err("Must provide address if SkipNodeUpdate is not set".to_owned());
    }
    let node = update.node.name.clone();
    if let Some(service) = &mut registration.service {
        service.node.clone_from(&node);
        settle_service(service)?;
    }
    for check in &mut registration.checks {
        if check.node.is_empty() {
            check.node.clone_from(&node);
        }
        settle_check(check);
        if check.kind.is_empty() {
            check.definition.kind().clone_into(&mut check.kind);
        }
    }
    Ok(())
}

/// # Errors
/// Consul's text for a node without a name, or with an id that is none.
pub(super) fn named(node: &Node) -> Result<(), String> {
    if node.name.is_empty() {
        return Err("Must provide node".to_owned());
    }
    if !node.id.is_empty() {
        uuid(&node.id).map_err(|why| format!("Bad node ID: {why}"))?;
    }
    Ok(())
}

/// Names an instance after its service when it has no id of its own.
///
/// # Errors
/// Consul's text for what a leader refuses.
pub(super) fn settle_service(service: &mut Service) -> Result<(), String> {
    proxy(service)?;
    if service.id.is_empty() {
        service.id.clone_from(&service.name);
    }
    if !service.id.is_empty() && service.name.is_empty() {
        return Err("Must provide service name with ID".to_owned());
    }
    let bare = service.address.trim_start_matches('[').trim_end_matches(']');
    if bare.parse().is_ok_and(|address: IpAddr| address.is_unspecified()) {
        return Err("Invalid service address".to_owned());
    }
    Ok(())
}

/// Names a check when it has no id of its own.
pub(super) fn settle_check(check: &mut Check) {
    if check.id.is_empty() {
        check.id.clone_from(&check.name);
    }
}

/// All that stands in the way of a registration, `new_node` being what it writes of the node.
pub(super) fn registration(
    catalog: &Catalog,
    new_node: Option<&Node>,
    registration: &Registration,
) -> Result<(), String> {
    let failed = |what: &str, why: String| format!("failed inserting {what}: {why}");
    let mut renamed = false;
    if let Some(new) = new_node {
        let known_as = node(catalog, new).map_err(|why| failed("node", why))?;
        renamed = known_as.is_some_and(|known_as| known_as.name != new.name);
    }
    // What a node that is renamed had goes with its old name.
    let gone = |name: &str| {
        renamed && new_node.is_some_and(|new| catalog.node_by_id(&new.id).is_some_and(|old| old.name == name))
    };
    if let Some(service) = &registration.service {
        let node_exists = new_node.is_some() || catalog.node(&service.node).is_some();
        instance(service, node_exists).map_err(|why| failed("service", why))?;
    }
    let node_name = registration.node.as_ref().map(|update| update.node.name.as_str());
    for check in &registration.checks {
        if let Some(node) = node_name.filter(|node| *node != check.node) {
            return Err(format!("check node {:?} does not match node {node:?}", check.node));
        }
        let node_exists = new_node.is_some() || catalog.node(&check.node).is_some();
        let registered = registration.service.as_ref();
        let service_exists = registered
            .is_some_and(|service| service.id.eq_ignore_ascii_case(&check.service_id))
            || catalog.service(&check.node, &check.service_id).is_some_and(|service| !gone(&service.node));
        about(check, node_exists, service_exists)
            .map_err(|why| failed("check", format!("{why} on node {:?}", check.node)))?;
    }
    Ok(())
}

/// The node whose row another takes over, by its id.
///
/// # Errors
/// Consul's text when a node that lives goes by the name.
pub(super) fn node(catalog: &Catalog, node: &Node) -> Result<Option<Rc<Node>>, String> {
    if node.id.is_empty() {
        return Ok(None);
    }
    let Some(known_as) = catalog.node_by_id(&node.id) else {
        clash(catalog, node, true)
            .map_err(|why| format!("Error while renaming Node ID: {:?}: {why}", node.id))?;
        return Ok(None);
    };
    if known_as.name != node.name {
        clash(catalog, node, false).map_err(|why| {
            format!("Error while renaming Node ID: {:?} ({}): {why}", node.id, node.address)
        })?;
    }
    Ok(Some(Rc::clone(known_as)))
}

/// A name is free when nobody has it, or who has it is not known to live.
fn clash(catalog: &Catalog, node: &Node, may_take_nameless: bool) -> Result<(), String> {
    let Some(other) = catalog.node(&node.name).filter(|other| other.id != node.id) else {
        return Ok(());
    };
    let lives = catalog.check(&other.name, SERF_HEALTH).is_some_and(|check| check.status != CRITICAL);
    if lives && !(other.id.is_empty() && may_take_nameless) {
        return Err(format!(
            "Node name {} is reserved by node {} with name {} ({})",
            node.name, other.id, other.name, other.address
        ));
    }
    Ok(())
}

/// # Errors
/// Consul's text when an instance cannot be one, or its node is missing.
pub(super) fn service(catalog: &Catalog, service: &Service) -> Result<(), String> {
    instance(service, catalog.node(&service.node).is_some())
}

fn instance(service: &Service, node_exists: bool) -> Result<(), String> {
    if let Some(meta) = &service.meta {
        metadata(meta).map_err(|why| {
            format!("Invalid Service Meta for node {} and serviceID {}: {why}", service.node, service.id)
        })?;
    }
    if !node_exists {
        return Err("Missing node registration".to_owned());
    }
    if service.id.is_empty() {
        return Err(format!("failed inserting service: {NO_KEY}"));
    }
    Ok(())
}

/// # Errors
/// Consul's text when what a check is about is missing.
pub(super) fn check(catalog: &Catalog, check: &Check) -> Result<(), String> {
    let service_exists = catalog.service(&check.node, &check.service_id).is_some();
    about(check, catalog.node(&check.node).is_some(), service_exists)
}

fn about(check: &Check, node_exists: bool, service_exists: bool) -> Result<(), String> {
    if !node_exists {
        return Err("Missing node registration".to_owned());
    }
    if !check.service_id.is_empty() && !service_exists {
        return Err("Missing service registration".to_owned());
    }
    if check.id.is_empty() {
        return Err(format!("failed inserting check: {NO_KEY}"));
    }
    Ok(())
}

/// # Errors
/// Consul's text when these cannot be an instance's metadata.
pub(in crate::consul) fn metadata(meta: &BTreeMap<String, String>) -> Result<(), String> {
    if meta.len() > META_MAX_PAIRS {
        return Err(format!("Node metadata cannot contain more than {META_MAX_PAIRS} key/value pairs"));
    }
    for (key, value) in meta {
        let why = if key.is_empty() {
            "Key cannot be blank".to_owned()
        } else if !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
            "Key contains invalid characters".to_owned()
        } else if key.len() > META_KEY_MAX {
            format!("Key is too long (limit: {META_KEY_MAX} characters)")
        } else if key.starts_with(META_RESERVED_PREFIX) {
            format!("Key prefix '{META_RESERVED_PREFIX}' is reserved for internal use")
        } else if value.len() > META_VALUE_MAX {
            format!("Value is too long (limit: {META_VALUE_MAX} characters)")
        } else {
            continue;
        };
        return Err(format!("Couldn't load metadata pair ('{key}', '{value}'): {why}"));
    }
    Ok(())
}

/// # Errors
/// Go's text for what is not a UUID.
pub(super) fn uuid(id: &str) -> Result<(), String> {
    if id.len() != 36 {
        return Err("uuid string is wrong length".to_owned());
    }
    if [8, 13, 18, 23].iter().any(|at| id.as_bytes()[*at] != b'-') {
        return Err("uuid is improperly formatted".to_owned());
    }
    let bytes = id.bytes().enumerate().filter(|(at, _)| ![8, 13, 18, 23].contains(at));
    match bytes.map(|(_, byte)| byte).find(|byte| !byte.is_ascii_hexdigit()) {
        Some(byte) => {
            let shown = char::from(byte);
            Err(format!("encoding/hex: invalid byte: U+{byte:04X} {shown:?}"))
        }
        None => Ok(()),
    }
}

/// All that is wrong with a sidecar.
fn proxy(service: &Service) -> Result<(), String> {
    if service.kind != CONNECT_PROXY {
        return Ok(());
    }
    let mut wrong = Vec::new();
    if service.proxy.destination_service_name.trim().is_empty() {
        wrong.push("Proxy.DestinationServiceName must be non-empty for Connect proxy services".to_owned());
    }
    if service.port == 0 {
        wrong.push("Port must be set for a Connect proxy".to_owned());
    }
    if service.native {
        wrong.push("A Proxy cannot also be Connect Native, only typical services".to_owned());
    }
    wrong.extend(service.proxy.upstreams.iter().filter_map(upstream));
    if wrong.is_empty() {
        return Ok(());
    }
    let errors = if wrong.len() == 1 { "error" } else { "errors" };
    let list: Vec<_> = wrong.iter().map(|why| format!("\t* {why}")).collect();
    Err(format!("{} {errors} occurred:\n{}\n\n", wrong.len(), list.join("\n")))
}

fn upstream(upstream: &Upstream) -> Option<String> {
    if !["", "service", "prepared_query"].contains(&upstream.destination_type.as_str()) {
        return Some(format!("unknown upstream destination type: {:?}", upstream.destination_type));
    }
    if upstream.destination_name.is_empty() {
        return Some("upstream destination name cannot be empty".to_owned());
    }
    (upstream.local_bind_port == 0).then(|| "upstream local bind port cannot be zero".to_owned())
}
