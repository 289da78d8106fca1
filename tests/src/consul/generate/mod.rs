//! Draws sequences of requests: valid and not, over small alphabets so that they meet.
//!
//! Each [`Feature`] is a kind of request. One line, or a few that belong together, is a template with
//! pieces drawn from lists (`words`); earlier pieces and fewer of them are simpler, which is where
//! shrinking goes. To add an endpoint, add a line to [`FEATURES`] and a function that draws it. One
//! that is not the same on both yet is switched off there, with what it waits for.

mod agent;
mod catalog;
mod event;
mod http;
mod kv;
mod register;
mod session;
mod txn;
mod watch;
mod words;

use proptest::prelude::*;
use proptest::strategy::Union;

use super::Step;

/// How many requests, or groups of them, a sequence has at most.
const LENGTH: usize = 40;

/// A kind of request.
#[derive(Debug, Clone, Copy)]
pub struct Feature {
    /// What it is.
    pub name: &'static str,
    /// How often it is drawn, relative to the others.
    pub weight: u32,
    /// Draws it, as lines of a script.
    draw: fn() -> BoxedStrategy<String>,
    /// Why it is not drawn.
    pub off: Option<&'static str>,
}

const fn on(name: &'static str, weight: u32, draw: fn() -> BoxedStrategy<String>) -> Feature {
    Feature { name, weight, draw, off: None }
}

const fn off(
    name: &'static str,
    weight: u32,
    draw: fn() -> BoxedStrategy<String>,
    why: &'static str,
) -> Feature {
    Feature { name, weight, draw, off: Some(why) }
}

/// Everything that can be drawn.
pub const FEATURES: &[Feature] = &[
    on("kv: write", 14, kv::write),
    on("kv: read", 12, kv::read),
    on("kv: delete", 6, kv::delete),
    on("kv: acquire and release", 14, kv::lock),
    on("kv: read, then check-and-set", 5, kv::check_and_set),
    on("session: create", 10, session::create),
    on("session: create with what is wrong", 3, session::create_wrong),
    on("session: renew, destroy, info, node, list", 9, session::other),
    on("txn", 8, txn::any),
    on("txn: what is wrong", 3, txn::wrong),
    on("agent: services", 8, agent::service),
    on("agent: services with what is wrong", 3, agent::service_wrong),
    on("agent: checks", 8, agent::check),
    off(
        "agent: checks of the node, registered again",
        4,
        agent::check_register,
        "a real agent may show a check as critical for a moment when it is registered again, and end its sessions",
    ),
    on("agent: checks with what is wrong", 3, agent::check_wrong),
    off(
        "agent: deregistration",
        5,
        agent::deregister,
        "a service's deregistration moves the index of the checks, a node's check's that of the services",
    ),
    on("agent: reads", 4, agent::read),
    on("catalog and status: reads", 5, catalog::catalog),
    on("health: reads", 6, catalog::health),
    on("catalog: register", 6, register::register),
    on("catalog: register with what is wrong", 2, register::register_wrong),
    on("catalog: deregister", 3, register::deregister),
    on("catalog: reads of what was registered", 6, register::read),
    on("filter expressions", 5, register::filter),
    on("txn: nodes, services and checks", 5, txn::catalog),
    on("events: fire", 2, event::fire),
    on("events: list", 1, event::list),
    on("agent: maintenance", 3, event::maintenance),
    on("tokens where there are no ACLs", 4, event::tokens),
    on("blocking: already over, or over soon", 5, watch::soon),
    on("blocking: left waiting", 6, watch::left),
    on("http: methods and paths", 4, http::odd),
];

/// Draws a sequence; with `all`, also of what is switched off.
pub fn sequence(all: bool) -> impl Strategy<Value = Vec<Step>> {
    let features = FEATURES.iter().filter(|feature| all || feature.off.is_none());
    let step = Union::new_weighted(features.map(|feature| (feature.weight, (feature.draw)())).collect());
    proptest::collection::vec(step, 1..=LENGTH)
        .prop_map(|lines| lines.iter().flat_map(|lines| lines.lines()).map(Step::parse).collect())
}
