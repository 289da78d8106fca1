//! Which endpoint a path is for, and what else its path says of a request.

use http::StatusCode;

use super::reply::{self, Failure};
use super::{
    Call, Endpoint, Outcome, agent, agent_admin, agent_check, agent_health, agent_register, agent_self,
    catalog, coordinate, event, health, kv, operator, register, session, status, txn,
};
use crate::consul::Consul;

const GET: &str = "OPTIONS,GET";
const PUT: &str = "OPTIONS,PUT";

/// The endpoint of a path after `/v1/`, the methods it takes, and the rest of the path.
pub(super) fn route(path: &str) -> Option<(Endpoint, &'static str, &str)> {
    let (group, tail) = path.split_once('/').unwrap_or((path, ""));
    let (name, rest) = tail.split_once('/').map_or((tail, None), |(name, rest)| (name, Some(rest)));
    let (endpoint, methods): (Endpoint, _) = match (group, name, rest) {
        ("kv", _, _) if path.len() > 2 => return Some((kv::endpoint, "OPTIONS,GET,PUT,DELETE", tail)),
        ("txn", "", None) if path == "txn" => (txn::endpoint, PUT),
        ("session", "create", None) => (session::create, PUT),
        ("session", "renew", Some(_)) => (session::renew, PUT),
        ("session", "destroy", Some(_)) => (session::destroy, PUT),
        ("session", "info", Some(_)) => (session::info, GET),
        ("session", "node", Some(_)) => (session::node, GET),
        ("session", "list", None) => (session::list, GET),
        ("agent", _, _) => return agent_route(tail),
        ("event", "fire", Some(_)) => (event::fire, PUT),
        ("event", "list", None) => (event::list, GET),
        ("catalog", "register", None) => (register::register, PUT),
        ("catalog", "deregister", None) => (register::deregister, PUT),
        ("catalog", "datacenters", None) => (status::datacenters, GET),
        ("catalog", "nodes", None) => (catalog::nodes, GET),
        ("catalog", "services", None) => (catalog::services, GET),
        ("catalog", "service", Some(_)) => (catalog::service, GET),
        ("catalog", "connect", Some(_)) => (catalog::connect, GET),
        ("catalog", "node", Some(_)) => (catalog::node, GET),
        ("catalog", "node-services", Some(_)) => (catalog::node_services, GET),
        ("health", "service", Some(_)) => (health::service, GET),
        ("health", "connect", Some(_)) => (health::connect, GET),
        ("health", "checks", Some(_)) => (health::checks, GET),
        ("health", "node", Some(_)) => (health::node, GET),
        ("health", "state", Some(_)) => (health::state, GET),
        ("coordinate", "datacenters", None) => (coordinate::datacenters, GET),
        ("coordinate", "nodes", None) => (coordinate::nodes, GET),
        ("coordinate", "node", Some(_)) => (coordinate::node, GET),
        ("coordinate", "update", None) => (coordinate::update, PUT),
        ("operator", "raft", Some("configuration")) => (operator::raft_configuration, GET),
        ("operator", "raft", Some("peer")) => (operator::raft_peer, "OPTIONS,DELETE"),
        ("operator", "autopilot", Some("configuration")) => (operator::autopilot_configuration, GET),
        ("acl", _, _) => return acl_route(tail),
        ("status", "leader", None) => (status::leader, GET),
        ("status", "peers", None) => (status::peers, GET),
        _ => return None,
    };
    Some((endpoint, methods, rest.unwrap_or_default()))
}

/// The endpoint of a path after `/v1/agent/`.
fn agent_route(path: &str) -> Option<(Endpoint, &'static str, &str)> {
    let (endpoint, methods): (Endpoint, _) = match path {
        "self" => (agent_self::itself, GET),
        "members" => (agent_self::members, GET),
        "services" => (agent::services, GET),
        "checks" => (agent::checks, GET),
        "maintenance" => (agent_admin::node_maintenance, PUT),
        "reload" => (agent_admin::reload, PUT),
        "leave" => (agent_admin::leave, PUT),
        "service/register" => (agent_register::service, PUT),
        "check/register" => (agent_register::check, PUT),
        "connect/ca/roots" => (agent_admin::connect, GET),
        _ => {
            // The longest comes first of those that begin alike.
            const TREES: [(&str, Endpoint, &str); 14] = [
                ("service/deregister/", agent_check::service_deregister, PUT),
                ("service/maintenance/", agent_admin::service_maintenance, PUT),
                ("service/", agent::service, GET),
                ("check/deregister/", agent_check::check_deregister, PUT),
                ("check/pass/", agent_check::check_pass, PUT),
                ("check/warn/", agent_check::check_warn, PUT),
                ("check/fail/", agent_check::check_fail, PUT),
                ("check/update/", agent_check::check_update, PUT),
                ("health/service/id/", agent_health::by_id, GET),
                ("health/service/name/", agent_health::by_name, GET),
                ("join/", agent_admin::join, PUT),
                ("force-leave/", agent_admin::force_leave, PUT),
                ("token/", agent_admin::token, PUT),
                ("connect/ca/leaf/", agent_admin::connect, GET),
            ];
            // A path that is a whole tree without its last slash is no part of a greater one.
            if TREES.iter().any(|(tree, ..)| tree.strip_suffix('/') == Some(path)) {
                return None;
            }
            return TREES
                .iter()
                .find_map(|(tree, endpoint, methods)| Some((*endpoint, *methods, path.strip_prefix(tree)?)));
        }
    };
    Some((endpoint, methods, ""))
}

/// The endpoint of a path after `/v1/acl/`.
fn acl_route(path: &str) -> Option<(Endpoint, &'static str, &str)> {
    const ALL: &str = "OPTIONS,GET,PUT,DELETE";
    const POST: &str = "OPTIONS,POST";
    let methods = match path {
        "replication" | "policies" | "roles" | "binding-rules" | "auth-methods" | "tokens" | "token/self"
        | "list" => GET,
        "bootstrap" | "policy" | "role" | "binding-rule" | "auth-method" | "token" | "create" | "update" => {
            PUT
        }
        "login" | "logout" | "rules/translate" => POST,
        _ => {
            // The longest comes first of those that begin alike.
            const TREES: [(&str, &str); 11] = [
                ("policy/name/", GET),
                ("policy/", ALL),
                ("role/name/", GET),
                ("role/", ALL),
                ("binding-rule/", ALL),
                ("auth-method/", ALL),
                ("token/", ALL),
                ("rules/translate/", GET),
                ("destroy/", PUT),
                ("info/", GET),
                ("clone/", PUT),
            ];
            if TREES.iter().any(|(tree, _)| tree.strip_suffix('/') == Some(path)) {
                return None;
            }
            TREES.iter().find(|(tree, _)| path.starts_with(tree))?.1
        }
    };
    Some((acl_disabled, methods, ""))
}

/// Nothing of `/v1/acl/` is modelled but that it is off; where it is on it is as unknown as other paths.
fn acl_disabled(consul: &mut Consul, _: &Call<'_>) -> Result<Outcome, Failure> {
    Ok(Outcome::Answer(match consul.acl {
        None => reply::text(StatusCode::UNAUTHORIZED, "ACL support disabled"),
        Some(_) => reply::unknown(),
    }))
}

/// Whether a path after `/v1/` only lacks the slash before an empty rest.
pub(super) fn lacks_slash(tail: &str) -> bool {
    route(tail).is_none() && matches!(route(&format!("{tail}/")), Some((.., "")))
}

/// Whether what is asked for in another datacenter is asked there, and not just here.
pub(super) fn leaves(tail: &str) -> bool {
    let here = ["catalog/datacenters", "catalog/register", "catalog/deregister", "coordinate/datacenters"];
    !here.contains(&tail) && !["agent/", "event/list", "acl/"].iter().any(|start| tail.starts_with(start))
}

/// Whether what a server refuses on this path is answered as a query all the same.
pub(super) fn queries(tail: &str) -> bool {
    ["catalog/", "health/", "coordinate/node", "session/info/", "session/node/", "session/list"]
        .iter()
        .any(|prefix| tail.starts_with(prefix))
}
