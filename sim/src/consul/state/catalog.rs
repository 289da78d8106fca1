//! The catalog: nodes, services and checks, the index each of them reports, and what wakes its readers.
//!
//! The index a read reports and the changes that wake it are not the same thing, and clients see the
//! difference: a check's change moves the index of its service without waking those who watch the
//! service's instances. Indexes are therefore kept as Consul keeps them (`*_index`), and what wakes a
//! reader beside them ([`Written`]). The whole catalog is one cheaply cloned value: a version of it can
//! be kept and shown later.

mod coordinate;
mod marks;
mod record;
mod write;

use std::collections::BTreeMap;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

pub(in crate::consul) use self::coordinate::{Coordinate, Point};
use self::marks::Marks;
pub(in crate::consul) use self::record::{
    CONNECT_PROXY, Check, Definition, Expose, ExposedPath, MeshGateway, Node, Proxy, Service, ServiceAddress,
    Upstream, Weights,
};

/// The status of a check that fails.
pub(in crate::consul) const CRITICAL: &str = "critical";
/// The status of a check that is fine.
pub(in crate::consul) const PASSING: &str = "passing";
/// The status of a check that is neither.
pub(in crate::consul) const WARNING: &str = "warning";
/// The check that says whether the agent of a node is alive.
pub(in crate::consul) const SERF_HEALTH: &str = "serfHealth";

/// The fewest letters of a node's id that name it.
const ID_PREFIX_MIN: usize = 2;

type RowKey = (Rc<str>, Rc<str>);

/// All of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(in crate::consul) struct Catalog {
    nodes: BTreeMap<Rc<str>, Rc<Node>>,
    #[serde(with = "super::pairs")]
    services: BTreeMap<RowKey, Rc<Service>>,
    #[serde(with = "super::pairs")]
    checks: BTreeMap<RowKey, Rc<Check>>,
    /// By node and segment.
    #[serde(with = "super::pairs")]
    coordinates: BTreeMap<RowKey, Rc<Coordinate>>,
    nodes_index: u64,
    services_index: u64,
    checks_index: u64,
    coordinates_index: u64,
    service_index: BTreeMap<Rc<str>, u64>,
    extinction_index: Option<u64>,
    written: Written,
}

/// When what a reader may watch was last written. Nodes and coordinates as a whole need no mark: their
/// tables' indexes move exactly when something in them is written.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Written {
    services: u64,
    checks: u64,
    node: Marks,
    node_meta: Marks,
    on_node: Marks,
    service: Marks,
    connect: Marks,
    checks_of_service: Marks,
    checks_of_node: Marks,
    checks_of_instance: Marks,
    checks_in_state: Marks,
    coordinates_of: Marks,
}

/// Names are compared without regard to case.
fn fold(name: &str) -> Rc<str> {
    name.to_lowercase().into()
}

fn row(node: &str, id: &str) -> RowKey {
    (fold(node), fold(id))
}

/// The name of the checks of one instance, or of a node itself when `service` is empty, among marks.
fn instance(node: &str, service: &str) -> Rc<str> {
    format!("{}\0{}", fold(node), fold(service)).into()
}

/// The name of a pair of metadata among marks.
fn pair(key: &str, value: &str) -> Rc<str> {
    format!("{key}\0{value}").into()
}

/// The rows of one node.
fn rows_of<'a, T>(table: &'a BTreeMap<RowKey, Rc<T>>, node: &str) -> impl Iterator<Item = &'a Rc<T>> {
    let node = fold(node);
    let first = (Rc::clone(&node), Rc::from(""));
    table.range(first..).take_while(move |(key, _)| key.0 == node).map(|(_, row)| row)
}

impl Catalog {
    /// The node of that name.
    pub(in crate::consul) fn node(&self, name: &str) -> Option<&Rc<Node>> {
        self.nodes.get(&fold(name))
    }

    /// The node of that name, or else the only one whose id begins like that.
    pub(in crate::consul) fn node_or_id(&self, name: &str) -> Option<&Rc<Node>> {
        if let Some(node) = self.node(name) {
            return Some(node);
        }
        if name.len() < ID_PREFIX_MIN || !name.is_ascii() {
            return None;
        }
        // Only whole bytes can be looked up.
        let even = &name[..name.len() - name.len() % 2];
        let wanted = even.replace('-', "").to_ascii_lowercase();
        if !wanted.len().is_multiple_of(2) || !wanted.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let matches = |node: &&Rc<Node>| {
            !node.id.is_empty() && node.id.replace('-', "").to_ascii_lowercase().starts_with(&wanted)
        };
        let mut found = self.nodes.values().filter(matches);
        found.next().filter(|_| found.next().is_none())
    }

    /// The node with that id.
    pub(in crate::consul) fn node_by_id(&self, id: &str) -> Option<&Rc<Node>> {
        self.nodes.values().find(|node| !node.id.is_empty() && node.id.eq_ignore_ascii_case(id))
    }

    /// All nodes, by name.
    pub(in crate::consul) fn nodes(&self) -> impl Iterator<Item = &Rc<Node>> {
        self.nodes.values()
    }

    /// All instances, by node and id.
    pub(in crate::consul) fn services(&self) -> impl Iterator<Item = &Rc<Service>> {
        self.services.values()
    }

    /// The instances of a service.
    pub(in crate::consul) fn instances<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Rc<Service>> {
        self.services.values().filter(move |service| service.name.eq_ignore_ascii_case(name))
    }

    /// The instances through which a service is reached with Connect.
    pub(in crate::consul) fn connected<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Rc<Service>> {
        self.services
            .values()
            .filter(move |service| service.connects_to().is_some_and(|to| to.eq_ignore_ascii_case(name)))
    }

    /// One instance.
    pub(in crate::consul) fn service(&self, node: &str, id: &str) -> Option<&Rc<Service>> {
        self.services.get(&row(node, id))
    }

    /// The instances on a node.
    pub(in crate::consul) fn services_on(&self, node: &str) -> impl Iterator<Item = &Rc<Service>> {
        rows_of(&self.services, node)
    }

    /// All checks, by node and id.
    pub(in crate::consul) fn checks(&self) -> impl Iterator<Item = &Rc<Check>> {
        self.checks.values()
    }

    /// One check.
    pub(in crate::consul) fn check(&self, node: &str, id: &str) -> Option<&Rc<Check>> {
        self.checks.get(&row(node, id))
    }

    /// The checks of a node and of what is on it.
    pub(in crate::consul) fn checks_on(&self, node: &str) -> impl Iterator<Item = &Rc<Check>> {
        rows_of(&self.checks, node)
    }

    /// The checks of one instance, or of the node itself when `service` is empty.
    pub(in crate::consul) fn checks_of<'a>(
        &'a self,
        node: &str,
        service: &'a str,
    ) -> impl Iterator<Item = &'a Rc<Check>> {
        self.checks_on(node).filter(move |check| check.service_id.eq_ignore_ascii_case(service))
    }

    /// All coordinates, by node and segment.
    pub(in crate::consul) fn coordinates(&self) -> impl Iterator<Item = &Rc<Coordinate>> {
        self.coordinates.values()
    }

    /// The coordinates of a node.
    pub(in crate::consul) fn coordinates_of(&self, node: &str) -> impl Iterator<Item = &Rc<Coordinate>> {
        rows_of(&self.coordinates, node)
    }

    /// The round trip between two nodes in nanoseconds, when both are known to be somewhere.
    pub(in crate::consul) fn distance_nanos(&self, from: &str, to: &str) -> Option<i64> {
        // A node in one segment only is compared there; one in several is compared in the default one.
        let segment = |node| {
            let mut points = self.coordinates_of(node);
            let first = points.next()?;
            Some(if points.next().is_none() { fold(&first.segment) } else { Rc::from("") })
        };
        let at = |node, segment| self.coordinates.get(&(fold(node), segment));
        let mine = at(from, segment(from)?)?;
        let other = at(to, segment(to)?)?;
        Some(mine.point.distance_nanos(&other.point))
    }

    /// The newest index of the nodes, the services, the checks or the coordinates.
    pub(in crate::consul) fn nodes_index(&self) -> u64 {
        self.nodes_index
    }

    /// See [`Self::nodes_index`].
    pub(in crate::consul) fn services_index(&self) -> u64 {
        self.services_index
    }

    /// See [`Self::nodes_index`].
    pub(in crate::consul) fn checks_index(&self) -> u64 {
        self.checks_index
    }

    /// See [`Self::nodes_index`].
    pub(in crate::consul) fn coordinates_index(&self) -> u64 {
        self.coordinates_index
    }

    /// What a read of one service reports, with its checks or without, when it finds it to exist or not.
    pub(in crate::consul) fn index_of_service(&self, name: &str, exists: bool, with_checks: bool) -> u64 {
        let extinct = if exists { None } else { self.extinction_index };
        extinct.or_else(|| self.service_index.get(&fold(name)).copied()).unwrap_or_else(|| {
            let tables = self.nodes_index.max(self.services_index);
            if with_checks { tables.max(self.checks_index) } else { tables }
        })
    }

    /// When any instance was last written.
    pub(in crate::consul) fn services_written(&self) -> u64 {
        self.written.services
    }

    /// When any check was last written.
    pub(in crate::consul) fn all_checks_written(&self) -> u64 {
        self.written.checks
    }

    /// When the index of a service was last moved, which is all that most watch who watch its health.
    pub(in crate::consul) fn service_moved(&self, name: &str) -> u64 {
        self.service_index.get(&fold(name)).copied().unwrap_or(0)
    }

    /// When an instance of a service was last written.
    pub(in crate::consul) fn instances_written(&self, name: &str) -> u64 {
        self.written.service.of(&fold(name))
    }

    /// When an instance through which a service is reached with Connect was last written.
    pub(in crate::consul) fn connected_written(&self, name: &str) -> u64 {
        self.written.connect.of(&fold(name))
    }

    /// When the checks of a service were last written.
    pub(in crate::consul) fn checks_written(&self, name: &str) -> u64 {
        self.written.checks_of_service.of(&fold(name))
    }

    /// When the checks on a node were last written.
    pub(in crate::consul) fn checks_on_written(&self, node: &str) -> u64 {
        self.written.checks_of_node.of(&fold(node))
    }

    /// When the checks of an instance, or of a node itself, were last written.
    pub(in crate::consul) fn checks_of_written(&self, node: &str, service: &str) -> u64 {
        self.written.checks_of_instance.of(&instance(node, service))
    }

    /// When a check in a state was last written, or left it.
    pub(in crate::consul) fn state_written(&self, state: &str) -> u64 {
        self.written.checks_in_state.of(state)
    }

    /// When a node itself was last written.
    pub(in crate::consul) fn node_written(&self, name: &str) -> u64 {
        self.written.node.of(&fold(name))
    }

    /// When a node with this in its metadata was last written, or lost it.
    pub(in crate::consul) fn node_meta_written(&self, key: &str, value: &str) -> u64 {
        self.written.node_meta.of(&pair(key, value))
    }

    /// When a service on a node was last written.
    pub(in crate::consul) fn services_on_written(&self, node: &str) -> u64 {
        self.written.on_node.of(&fold(node))
    }

    /// When a coordinate of a node was last written.
    pub(in crate::consul) fn coordinates_of_written(&self, node: &str) -> u64 {
        self.written.coordinates_of.of(&fold(node))
    }
}
