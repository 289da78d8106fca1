//! Writes of the catalog, with what follows from them: events, and the end of sessions.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::catalog::{CRITICAL, Check, Definition, Node, PASSING, SERF_HEALTH, Service, Weights};
use super::{Deregistration, Registration, State};
use crate::consul::ConsulConfig;
use crate::record::ConsulEvent;

/// The index at which a fresh server has registered itself, and the one at which its agent has completed
/// the entry.
const BOOTSTRAP_INDEX: u64 = 5;
const NODE_SYNC_INDEX: u64 = 7;

impl State {
    /// Enters the server itself, as it does on its first election.
    pub(in crate::consul) fn bootstrap(&mut self, config: &ConsulConfig, node_id: &str) {
        let name = config.node.clone();
        let mut node = Node {
            id: node_id.to_owned(),
            name: name.clone(),
            address: config.address.to_string(),
            datacenter: config.datacenter.clone(),
            tagged_addresses: None,
            meta: None,
            create_index: 0,
            modify_index: 0,
        };
        let meta = [
            ("non_voter", "false"),
            ("raft_version", "3"),
            ("serf_protocol_current", "2"),
            ("serf_protocol_max", "5"),
            ("serf_protocol_min", "1"),
            ("version", "1.8.7"),
        ];
        let service = Service {
            node: name.clone(),
            id: "consul".to_owned(),
            name: "consul".to_owned(),
            tags: Vec::new(),
            address: String::new(),
            tagged_addresses: BTreeMap::new(),
            meta: Some(meta.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
            port: config.server_port.into(),
            weights: Weights { passing: 1, warning: 1 },
            enable_tag_override: false,
            create_index: 0,
            modify_index: 0,
        };
        let check = Check {
            node: name,
            id: SERF_HEALTH.to_owned(),
            name: "Serf Health Status".to_owned(),
            status: PASSING.to_owned(),
            notes: String::new(),
            output: "Agent alive and reachable".to_owned(),
            service_id: String::new(),
            service_name: String::new(),
            service_tags: Vec::new(),
            kind: String::new(),
            definition: Definition::default(),
            create_index: 0,
            modify_index: 0,
        };
        let catalog = self.catalogs.write(self.now);
        catalog.put_node(BOOTSTRAP_INDEX, node.clone());
        catalog.put_service(BOOTSTRAP_INDEX, service);
        catalog.put_check(BOOTSTRAP_INDEX, check);
        node.tagged_addresses = Some(tagged(config.address));
        node.meta = Some([("consul-network-segment".to_owned(), String::new())].into());
        catalog.put_node(NODE_SYNC_INDEX, node);
        self.index = NODE_SYNC_INDEX;
    }

    /// Enters what is registered, all at one index.
    ///
    /// # Errors
    /// Consul's text when something it belongs to is missing.
    pub(super) fn register(&mut self, index: u64, registration: &Registration) -> Result<(), String> {
        if let Some(node) = &registration.node
            && self.catalogs.write(self.now).put_node(index, node.clone())
        {
            self.changed();
        }
        if let Some(service) = &registration.service {
            self.catalog_put_service(index, service.clone());
        }
        for check in &registration.checks {
            self.catalog_put_check(index, check.clone());
        }
        Ok(())
    }

    /// Removes what is deregistered, and what belongs to it.
    pub(super) fn deregister(&mut self, index: u64, deregistration: &Deregistration) {
        let Deregistration { node, service, check } = deregistration;
        if !service.is_empty() {
            self.catalog_remove_service(index, node, service);
        } else if !check.is_empty() {
            self.catalog_remove_check(index, node, check);
        }
    }

    /// Enters or changes a service instance.
    fn catalog_put_service(&mut self, index: u64, service: Service) {
        let event = ConsulEvent::ServiceRegistered {
            id: service.id.clone(),
            name: service.name.clone(),
            address: service.address.clone(),
        };
        if self.catalogs.write(self.now).put_service(index, service) {
            self.event(event);
        }
        self.changed();
    }

    /// Enters or changes a check; one that is critical ends the sessions bound to it.
    fn catalog_put_check(&mut self, index: u64, check: Check) {
        let (node, id) = (check.node.clone(), check.id.clone());
        let (service, status) = (check.service_id.clone(), check.status.clone());
        let before = self.catalogs.write(self.now).put_check(index, check);
        if before.as_ref() != Some(&status) {
            self.event(ConsulEvent::CheckStatus { check: id.clone(), service, status: status.clone() });
        }
        if status == CRITICAL {
            self.invalidate_bound(index, &node, &id, "check critical");
        }
        self.changed();
    }

    /// Removes a check, and ends the sessions bound to it.
    fn catalog_remove_check(&mut self, index: u64, node: &str, id: &str) {
        if self.catalogs.write(self.now).remove_check(index, node, id).is_some() {
            self.invalidate_bound(index, node, id, "check deregistered");
            self.changed();
        }
    }

    /// Removes a service instance and its checks.
    fn catalog_remove_service(&mut self, index: u64, node: &str, id: &str) {
        let Some(service) = self.catalogs.current().service(node, id) else {
            return;
        };
        let id = service.id.clone();
        let checks: Vec<_> =
            self.catalogs.current().checks_of(node, &id).map(|check| check.id.clone()).collect();
        for check in checks {
            self.catalog_remove_check(index, node, &check);
        }
        self.catalogs.write(self.now).remove_service(index, node, &id);
        self.event(ConsulEvent::ServiceDeregistered { id });
        self.changed();
    }
}

fn tagged(address: IpAddr) -> BTreeMap<String, String> {
    let family = if address.is_ipv4() { "ipv4" } else { "ipv6" };
    ["lan".to_owned(), "wan".to_owned(), format!("lan_{family}"), format!("wan_{family}")]
        .map(|name| (name, address.to_string()))
        .into()
}
