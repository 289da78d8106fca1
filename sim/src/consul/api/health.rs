//! `/v1/health/`: how it is.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde::Serialize;

use super::access::May;
use super::catalog::{Instances, named};
use super::filtering::Filtering;
use super::narrow::Narrow;
use super::params::Form;
use super::reply::{self, Failure};
use super::shown::{ShownNode, ShownService};
use super::{Call, Outcome};
use crate::consul::Consul;
use crate::consul::blocking::Seen;
use crate::consul::filter::Kind;
use crate::consul::state::catalog::{Catalog, Check, PASSING};

/// Checks in whatever state.
const ANY: &str = "any";

/// Whose health is read.
#[derive(Debug)]
pub(in crate::consul) enum Read {
    /// The instances of a service, each with its checks and its node's.
    Service {
        /// Which.
        instances: Instances,
        /// Whether all its checks must pass.
        passing: bool,
    },
    /// The checks of a service.
    Checks(String, Narrow),
    /// The checks of a node and of what is on it.
    Node(String, Filtering),
    /// The checks in a state; in any for `any`.
    State(String, Narrow),
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Instance<'a> {
    node: ShownNode<'a>,
    service: ShownService<'a>,
    checks: Vec<&'a Check>,
}

pub(super) fn service(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    instances(consul, call, false)
}

pub(super) fn connect(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    instances(consul, call, true)
}

fn instances(consul: &Consul, call: &Call<'_>, connect: bool) -> Result<Outcome, Failure> {
    let instances = Instances::of(consul, call, connect, Kind::CheckServiceNode)?;
    let passing = match call.params.get("passing") {
        None => false,
        Some("" | "1" | "t" | "T" | "TRUE" | "true" | "True") => true,
        Some("0" | "f" | "F" | "FALSE" | "false" | "False") => false,
        // It is looked at when the servers have answered, which those that are not there do not.
        Some(_) if call.form.elsewhere => false,
        Some(_) => return Err(Failure::bad("Invalid value for ?passing")),
    };
    Ok(Outcome::Read(super::Read::Health(Read::Service { instances, passing })))
}

pub(super) fn checks(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    let name = named(call, "Missing service name")?;
    let narrow = Narrow::of(consul, call, Kind::HealthCheck)?;
    Ok(Outcome::Read(super::Read::Health(Read::Checks(name, narrow))))
}

pub(super) fn node(_: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    let name = named(call, "Missing node name")?;
    let filtering = Filtering::of(call, Kind::HealthCheck).map_err(Failure::of_query)?;
    Ok(Outcome::Read(super::Read::Health(Read::Node(name, filtering))))
}

pub(super) fn state(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    let state = named(call, "Missing check state")?;
    let narrow = Narrow::of(consul, call, Kind::HealthCheck)?;
    Ok(Outcome::Read(super::Read::Health(Read::State(state, narrow))))
}

/// The index of a service's health, and when what its readers watch was last written.
///
/// While there are instances nothing is watched but their services' indexes, which move with anything
/// about them. A reader who wants tags watches every row it touches instead.
fn instances_seen(instances: &Instances, catalog: &Catalog) -> (u64, u64) {
    let rows = instances.rows_written(catalog);
    let names = instances.all(catalog).map(|service| service.name.as_str());
    if instances.connect {
        let of = |name| (catalog.index_of_service(name, true, true), catalog.service_moved(name));
        let newest = names.map(of).reduce(|one, other| (one.0.max(other.0), one.1.max(other.1)));
        let none = || (catalog.index_of_service(&instances.name, false, true), 0);
        let (index, moved) = newest.unwrap_or_else(none);
        return (index, moved.max(rows));
    }
    let exists = names.count() > 0;
    let index = catalog.index_of_service(&instances.name, exists, true);
    let written = if instances.tags.is_some() {
        let touched = instances.tagged(catalog).map(|(node, service)| {
            let checks = catalog.checks_of_written(&node.name, &service.id);
            checks.max(catalog.checks_of_written(&node.name, "")).max(catalog.node_written(&node.name))
        });
        touched.max().unwrap_or(0).max(rows)
    } else if exists {
        catalog.service_moved(&instances.name)
    } else {
        rows
    };
    (index, written)
}

impl Read {
    pub(super) fn seen(&self, catalog: &Catalog) -> Seen {
        let index = catalog.checks_index();
        let (index, written) = match self {
            Self::Service { instances, .. } => instances_seen(instances, catalog),
            Self::Checks(name, narrow) => {
                let written = catalog.checks_written(name);
                if narrow.by_meta() {
                    let index = catalog.index_of_service(name, true, true);
                    (index, written.max(self.nodes_written(catalog)))
                } else {
                    (index, written)
                }
            }
            Self::Node(name, _) => (index, catalog.checks_on_written(name)),
            Self::State(state, narrow) => {
                let written = match state.as_str() {
                    ANY => catalog.all_checks_written(),
                    state => catalog.state_written(state),
                };
                let nodes = if narrow.by_meta() { self.nodes_written(catalog) } else { 0 };
                (index, written.max(nodes))
            }
        };
        Seen { index, written, hash: None }
    }

    /// When the nodes of the checks that are looked at were last written.
    fn nodes_written(&self, catalog: &Catalog) -> u64 {
        self.found(catalog).map(|check| catalog.node_written(&check.node)).max().unwrap_or(0)
    }

    /// The checks that are looked at, before they are narrowed down.
    fn found<'a>(&'a self, catalog: &'a Catalog) -> impl Iterator<Item = &'a Check> {
        catalog.checks().map(|check| &**check).filter(move |check| match self {
            Self::Checks(name, _) => {
                !check.service_name.is_empty() && check.service_name.eq_ignore_ascii_case(name)
            }
            Self::Node(name, _) => check.node.eq_ignore_ascii_case(name),
            Self::State(state, _) => state == ANY || check.status == *state,
            Self::Service { .. } => false,
        })
    }

    pub(super) fn answer(&self, catalog: &Catalog, form: &Form) -> Result<Response<Bytes>, Failure> {
        let (narrow, filtering) = match self {
            Self::Service { instances, passing } => {
                let found = self.instances(instances, *passing, catalog, &form.may)?;
                return Ok(reply::json(StatusCode::OK, &found, form.pretty));
            }
            Self::Checks(_, narrow) | Self::State(_, narrow) => (Some(narrow), &narrow.filtering),
            Self::Node(_, filtering) => (None, filtering),
        };
        let admitted = |check: &&Check| {
            narrow.is_none_or(|narrow| {
                !narrow.by_meta() || catalog.node(&check.node).is_some_and(|node| narrow.admits(node))
            })
        };
        let checks: Vec<_> =
            self.found(catalog).filter(admitted).filter(|check| form.may.reads_check(check)).collect();
        let checks = match narrow {
            Some(narrow) => narrow.arranged(catalog, checks, |check| &check.node)?,
            None => filtering.filtered(checks)?,
        };
        Ok(reply::json(StatusCode::OK, &checks, form.pretty))
    }

    fn instances<'a>(
        &self,
        instances: &'a Instances,
        passing: bool,
        catalog: &'a Catalog,
        may: &May,
    ) -> Result<Vec<Instance<'a>>, Failure> {
        let found = instances
            .tagged(catalog)
            .filter(|(node, service)| instances.narrow.admits(node) && instances.readable(service, may))
            .map(|(node, service)| {
                let of_node = catalog.checks_of(&service.node, "");
                let own = catalog.checks_of(&service.node, &service.id);
                let checks = of_node.chain(own).map(|check| &**check).collect();
                Instance { node: ShownNode::new(node), service: ShownService::new(service), checks }
            })
            .collect();
        let mut found = instances.narrow.arranged(catalog, found, |instance| instance.node.name())?;
        if passing {
            // What does not pass makes place for the last, which changes the order.
            let mut at = 0;
            while at < found.len() {
                if found[at].checks.iter().all(|check| check.status == PASSING) {
                    at += 1;
                } else {
                    found.swap_remove(at);
                }
            }
        }
        Ok(found)
    }

    /// What tells it from other reads that a cache serves; nothing, for one that is never served from one.
    pub(super) fn cache_key(&self) -> Option<String> {
        match self {
            Self::Service { instances, .. } => Some(format!("health {}", instances.key())),
            Self::Checks(..) | Self::Node(..) | Self::State(..) => None,
        }
    }
}
