//! The catalog: nodes, services and checks, the index each of them reports, and what wakes its readers.
//!
//! The index a read reports and the changes that wake it are not the same thing, and clients see the
//! difference: a check's change moves the index of its service without waking those who watch the
//! service's instances. Indexes are therefore kept as Consul keeps them (`*_index`), and what wakes a
//! reader beside them (`*_written`). The whole catalog is one cheaply cloned value: a version of it can
//! be kept and shown later.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

pub(in crate::consul) use super::definition::Definition;

/// The status of a check that fails.
pub(in crate::consul) const CRITICAL: &str = "critical";
/// The status of a check that is fine.
pub(in crate::consul) const PASSING: &str = "passing";
/// The status of a check that is neither.
pub(in crate::consul) const WARNING: &str = "warning";
/// The check that says whether the agent of a node is alive.
pub(in crate::consul) const SERF_HEALTH: &str = "serfHealth";

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::consul) struct Node {
    pub(in crate::consul) id: String,
    pub(in crate::consul) name: String,
    pub(in crate::consul) address: String,
    pub(in crate::consul) datacenter: String,
    pub(in crate::consul) tagged_addresses: Option<BTreeMap<String, String>>,
    pub(in crate::consul) meta: Option<BTreeMap<String, String>>,
    pub(in crate::consul) create_index: u64,
    pub(in crate::consul) modify_index: u64,
}

/// An address and its port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::consul) struct ServiceAddress {
    pub(in crate::consul) address: String,
    pub(in crate::consul) port: i64,
}

/// How much traffic an instance is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::consul) struct Weights {
    pub(in crate::consul) passing: i64,
    pub(in crate::consul) warning: i64,
}

/// An instance of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::consul) struct Service {
    pub(in crate::consul) node: String,
    pub(in crate::consul) id: String,
    pub(in crate::consul) name: String,
    pub(in crate::consul) tags: Vec<String>,
    pub(in crate::consul) address: String,
    pub(in crate::consul) tagged_addresses: BTreeMap<String, ServiceAddress>,
    pub(in crate::consul) meta: Option<BTreeMap<String, String>>,
    pub(in crate::consul) port: i64,
    pub(in crate::consul) weights: Weights,
    pub(in crate::consul) enable_tag_override: bool,
    pub(in crate::consul) create_index: u64,
    pub(in crate::consul) modify_index: u64,
}

/// A check, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::consul) struct Check {
    pub(in crate::consul) node: String,
    #[serde(rename = "CheckID")]
    pub(in crate::consul) id: String,
    pub(in crate::consul) name: String,
    pub(in crate::consul) status: String,
    pub(in crate::consul) notes: String,
    pub(in crate::consul) output: String,
    #[serde(rename = "ServiceID")]
    pub(in crate::consul) service_id: String,
    pub(in crate::consul) service_name: String,
    pub(in crate::consul) service_tags: Vec<String>,
    #[serde(rename = "Type")]
    pub(in crate::consul) kind: String,
    pub(in crate::consul) definition: Definition,
    pub(in crate::consul) create_index: u64,
    pub(in crate::consul) modify_index: u64,
}

type RowKey = (Rc<str>, Rc<str>);

/// All of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(in crate::consul) struct Catalog {
    nodes: BTreeMap<Rc<str>, Rc<Node>>,
    #[serde(with = "super::pairs")]
    services: BTreeMap<RowKey, Rc<Service>>,
    #[serde(with = "super::pairs")]
    checks: BTreeMap<RowKey, Rc<Check>>,
    nodes_index: u64,
    services_index: u64,
    checks_index: u64,
    service_index: BTreeMap<Rc<str>, u64>,
    extinction_index: Option<u64>,
    node_written: BTreeMap<Rc<str>, u64>,
    services_written: BTreeMap<Rc<str>, u64>,
    checks_written: BTreeMap<Rc<str>, u64>,
}

/// Names are compared without regard to case.
fn fold(name: &str) -> Rc<str> {
    name.to_lowercase().into()
}

fn row(node: &str, id: &str) -> RowKey {
    (fold(node), fold(id))
}

impl Catalog {
    /// The node of that name.
    pub(in crate::consul) fn node(&self, name: &str) -> Option<&Rc<Node>> {
        self.nodes.get(&fold(name))
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

    /// One instance.
    pub(in crate::consul) fn service(&self, node: &str, id: &str) -> Option<&Rc<Service>> {
        self.services.get(&row(node, id))
    }

    /// The instances on a node.
    pub(in crate::consul) fn services_on<'a>(
        &'a self,
        node: &'a str,
    ) -> impl Iterator<Item = &'a Rc<Service>> {
        self.services.values().filter(move |service| service.node.eq_ignore_ascii_case(node))
    }

    /// All checks, by node and id.
    pub(in crate::consul) fn checks(&self) -> impl Iterator<Item = &Rc<Check>> {
        self.checks.values()
    }

    /// One check.
    pub(in crate::consul) fn check(&self, node: &str, id: &str) -> Option<&Rc<Check>> {
        self.checks.get(&row(node, id))
    }

    /// The checks of one instance, or of the node itself when `service` is empty.
    pub(in crate::consul) fn checks_of<'a>(
        &'a self,
        node: &'a str,
        service: &'a str,
    ) -> impl Iterator<Item = &'a Rc<Check>> {
        self.checks
            .values()
            .filter(move |check| check.node.eq_ignore_ascii_case(node) && check.service_id == service)
    }

    /// The newest index of the nodes, the services or the checks.
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

    /// What a read of one service reports, with its checks or without.
    pub(in crate::consul) fn index_of_service(&self, name: &str, with_checks: bool) -> u64 {
        let exists = self.instances(name).next().is_some();
        let known = if exists { self.service_index.get(&fold(name)).copied() } else { self.extinction_index };
        known.unwrap_or_else(|| {
            let tables = self.nodes_index.max(self.services_index);
            if with_checks { tables.max(self.checks_index) } else { tables }
        })
    }

    /// When what a read of a service and its health watches was last written.
    pub(in crate::consul) fn health_written(&self, name: &str) -> u64 {
        self.service_index.get(&fold(name)).copied().max(self.extinction_index).unwrap_or(0)
    }

    /// When the instances of a service were last written.
    pub(in crate::consul) fn instances_written(&self, name: &str) -> u64 {
        let written = self.services_written.get(&fold(name)).copied();
        if self.instances(name).next().is_some() {
            written.unwrap_or(0)
        } else {
            written.max(self.extinction_index).unwrap_or(0)
        }
    }

    /// When the checks of a service were last written.
    pub(in crate::consul) fn checks_written(&self, name: &str) -> u64 {
        self.checks_written.get(&fold(name)).copied().unwrap_or(0)
    }

    /// When a node or one of its services was last written.
    pub(in crate::consul) fn node_written(&self, name: &str) -> u64 {
        self.node_written.get(&fold(name)).copied().unwrap_or(0)
    }

    /// Enters a node, or changes it. Returns whether anything changed.
    pub(in crate::consul) fn put_node(&mut self, index: u64, mut node: Node) -> bool {
        let key = fold(&node.name);
        node.create_index = index;
        node.modify_index = index;
        if let Some(existing) = self.nodes.get(&key) {
            node.create_index = existing.create_index;
            node.modify_index = existing.modify_index;
            if **existing == node {
                return false;
            }
            node.modify_index = index;
        }
        self.nodes_index = index;
        self.node_written.insert(Rc::clone(&key), index);
        self.write_services_of(index, &node.name);
        self.nodes.insert(key, Rc::new(node));
        true
    }

    /// Enters an instance, or changes it. Returns whether anything changed.
    pub(in crate::consul) fn put_service(&mut self, index: u64, mut service: Service) -> bool {
        let key = row(&service.node, &service.id);
        service.create_index = index;
        service.modify_index = index;
        if let Some(existing) = self.services.get(&key) {
            service.create_index = existing.create_index;
            service.modify_index = existing.modify_index;
            if **existing == service {
                return false;
            }
            service.modify_index = index;
        }
        let name = fold(&service.name);
        self.services_index = index;
        self.node_written.insert(Rc::clone(&key.0), index);
        self.services_written.insert(Rc::clone(&name), index);
        self.service_index.insert(name, index);
        self.services.insert(key, Rc::new(service));
        true
    }

    /// Enters a check, or changes it, and returns the status it had before.
    ///
    /// The table's index moves even when nothing changed.
    pub(in crate::consul) fn put_check(&mut self, index: u64, mut check: Check) -> Option<String> {
        if !check.service_id.is_empty()
            && let Some(service) = self.service(&check.node, &check.service_id)
        {
            check.service_name.clone_from(&service.name);
            check.service_tags.clone_from(&service.tags);
        }
        let key = row(&check.node, &check.id);
        check.create_index = index;
        check.modify_index = index;
        let existing = self.checks.get(&key);
        let before = existing.map(|existing| existing.status.clone());
        let mut same = false;
        if let Some(existing) = existing {
            check.create_index = existing.create_index;
            check.modify_index = existing.modify_index;
            same = **existing == check;
            if !same {
                check.modify_index = index;
            }
        }
        self.checks_index = index;
        self.write_checks_of(index, &check, !same);
        self.checks.insert(key, Rc::new(check));
        before
    }

    /// Removes a check.
    pub(in crate::consul) fn remove_check(&mut self, index: u64, node: &str, id: &str) -> Option<Rc<Check>> {
        let check = self.checks.remove(&row(node, id))?;
        self.checks_index = index;
        self.write_checks_of(index, &check, true);
        Some(check)
    }

    /// Removes an instance; its checks are the caller's to remove first.
    pub(in crate::consul) fn remove_service(
        &mut self,
        index: u64,
        node: &str,
        id: &str,
    ) -> Option<Rc<Service>> {
        let service = self.services.remove(&row(node, id))?;
        let name = fold(&service.name);
        self.services_index = index;
        self.node_written.insert(fold(node), index);
        if self.instances(&service.name).next().is_some() {
            self.service_index.insert(Rc::clone(&name), index);
        } else {
            self.service_index.remove(&name);
            self.extinction_index = Some(index);
        }
        self.services_written.insert(name, index);
        Some(service)
    }

    /// Removes a node; what is on it is the caller's to remove first.
    pub(in crate::consul) fn remove_node(&mut self, index: u64, name: &str) -> Option<Rc<Node>> {
        let node = self.nodes.remove(&fold(name))?;
        self.nodes_index = index;
        self.node_written.insert(fold(name), index);
        Some(node)
    }

    fn write_checks_of(&mut self, index: u64, check: &Check, changed: bool) {
        if check.service_id.is_empty() {
            if changed {
                self.write_services_of(index, &check.node);
            }
        } else {
            let name = fold(&check.service_name);
            if changed {
                self.service_index.insert(Rc::clone(&name), index);
            }
            self.checks_written.insert(name, index);
        }
    }

    fn write_services_of(&mut self, index: u64, node: &str) {
        let names: Vec<_> = self.services_on(node).map(|service| fold(&service.name)).collect();
        for name in names {
            self.service_index.insert(name, index);
        }
    }
}
