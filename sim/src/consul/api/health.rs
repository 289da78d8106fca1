//! `/v1/health/`.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde::Serialize;

use super::catalog::{ShownNode, ShownService, named, tagged};
use super::params::Form;
use super::reply::{self, Failure};
use super::{Call, Outcome};
use crate::consul::Consul;
use crate::consul::blocking::Seen;
use crate::consul::state::catalog::{Catalog, Check, PASSING};

/// Whose health is read.
#[derive(Debug)]
pub(in crate::consul) enum Read {
    /// The instances of a service, each with its checks and its node's.
    Service {
        /// Its name.
        name: String,
        /// Tags an instance must have.
        tags: Vec<String>,
        /// Whether all its checks must pass.
        passing: bool,
    },
    /// The checks of a service.
    Checks(String),
    /// The checks of a node and of what is on it.
    Node(String),
    /// The checks in a state; in any for `any`.
    State(String),
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Instance<'a> {
    node: ShownNode<'a>,
    service: ShownService<'a>,
    checks: Vec<&'a Check>,
}

pub(super) fn service(_: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    let name = named(call, "Missing service name")?;
    let passing = match call.params.get("passing") {
        None => false,
        Some("" | "1" | "t" | "T" | "TRUE" | "true" | "True") => true,
        Some("0" | "f" | "F" | "FALSE" | "false" | "False") => false,
        Some(_) => return Err(Failure::bad("Invalid value for ?passing")),
    };
    let tags = call.params.all("tag").map(str::to_owned).collect();
    Ok(Outcome::Read(super::Read::Health(Read::Service { name, tags, passing })))
}

pub(super) fn checks(_: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    let name = named(call, "Missing service name")?;
    Ok(Outcome::Read(super::Read::Health(Read::Checks(name))))
}

pub(super) fn node(_: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    let name = named(call, "Missing node name")?;
    Ok(Outcome::Read(super::Read::Health(Read::Node(name))))
}

pub(super) fn state(_: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    let state = named(call, "Missing check state")?;
    Ok(Outcome::Read(super::Read::Health(Read::State(state))))
}

impl Read {
    pub(super) fn seen(&self, catalog: &Catalog) -> Seen {
        let (index, written) = match self {
            Self::Service { name, .. } => {
                (catalog.index_of_service(name, true), catalog.health_written(name))
            }
            Self::Checks(name) => (catalog.checks_index(), catalog.checks_written(name)),
            Self::Node(_) | Self::State(_) => (catalog.checks_index(), catalog.checks_index()),
        };
        Seen { index, written, hash: None }
    }

    pub(super) fn answer(&self, catalog: &Catalog, form: &Form) -> Response<Bytes> {
        if let Self::Service { name, tags, passing } = self {
            let instances: Vec<_> = catalog
                .instances(name)
                .filter(|service| tagged(service, tags))
                .filter_map(|service| {
                    let of_node = catalog.checks_of(&service.node, "");
                    let own = catalog.checks_of(&service.node, &service.id);
                    let checks: Vec<_> = of_node.chain(own).map(|check| &**check).collect();
                    let shown = !passing || checks.iter().all(|check| check.status == PASSING);
                    let node = catalog.node(&service.node).filter(|_| shown)?;
                    Some(Instance { node: ShownNode::new(node), service: ShownService::new(service), checks })
                })
                .collect();
            return reply::json(StatusCode::OK, &instances, form.pretty);
        }
        let checks: Vec<&Check> = catalog
            .checks()
            .map(|check| &**check)
            .filter(|check| match self {
                Self::Checks(name) => {
                    !check.service_name.is_empty() && check.service_name.eq_ignore_ascii_case(name)
                }
                Self::Node(name) => check.node.eq_ignore_ascii_case(name),
                Self::State(state) => state == "any" || check.status == *state,
                Self::Service { .. } => false,
            })
            .collect();
        reply::json(StatusCode::OK, &checks, form.pretty)
    }
}
