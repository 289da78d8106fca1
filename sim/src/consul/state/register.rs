//! Writes of the catalog, with what follows from them: events, and the end of sessions.
//!
//! A registration is carried out whole or not at all, so all that can be said against it is said before
//! anything is written.

use super::catalog::{CRITICAL, Check, Coordinate, Node, Service};
use super::{Deregistration, Registration, State, rules};
use crate::record::ConsulEvent;

impl State {
    /// Enters what is registered, all at one index.
    ///
    /// # Errors
    /// Consul's text when something it belongs to is missing or in its way.
    pub(super) fn register(&mut self, index: u64, registration: &Registration) -> Result<(), String> {
        let catalog = self.catalogs.current();
        let changed_node = registration.node.as_ref().filter(|update| update.applies_to(catalog));
        let node = changed_node.map(|update| &update.node);
        rules::registration(catalog, node, registration)?;
        if let Some(node) = node {
            self.node_put(index, node.clone())?;
        }
        if let Some(service) = &registration.service {
            self.service_put(index, service.clone())?;
        }
        for check in &registration.checks {
            self.check_put(index, check.clone())?;
        }
        Ok(())
    }

    /// Removes what is deregistered, and what belongs to it.
    pub(super) fn deregister(&mut self, index: u64, deregistration: &Deregistration) {
        let Deregistration { node, service, check } = deregistration;
        if !service.is_empty() {
            self.service_remove(index, node, service);
        } else if !check.is_empty() {
            self.check_remove(index, node, check);
        } else {
            self.node_remove(index, node);
        }
    }

    /// Enters or changes a node. One with the id of another takes its place.
    ///
    /// # Errors
    /// Consul's text when another node goes by its name.
    pub(super) fn node_put(&mut self, index: u64, node: Node) -> Result<(), String> {
        let known_as = rules::node(self.catalogs.current(), &node)?;
        if let Some(known_as) = &known_as
            && known_as.name != node.name
        {
            self.node_remove(index, &known_as.name);
        }
        if self.catalogs.write(self.now).put_node(index, node, known_as.as_deref()) {
            self.changed();
        }
        Ok(())
    }

    /// Removes a node, what is on it, and the sessions that live there.
    pub(super) fn node_remove(&mut self, index: u64, name: &str) {
        let catalog = self.catalogs.current();
        if catalog.node(name).is_none() {
            return;
        }
        let services: Vec<_> = catalog.services_on(name).map(|service| service.id.clone()).collect();
        for service in services {
            self.service_remove(index, name, &service);
        }
        let checks: Vec<_> = self.catalogs.current().checks_on(name).map(|check| check.id.clone()).collect();
        for check in checks {
            self.check_remove(index, name, &check);
        }
        let catalog = self.catalogs.write(self.now);
        catalog.remove_coordinates(index, name);
        catalog.remove_node(index, name);
        self.invalidate_on(index, name, "node deregistered");
        self.changed();
    }

    /// Enters or changes a service instance.
    ///
    /// # Errors
    /// Consul's text when it cannot be one, or its node is missing.
    pub(super) fn service_put(&mut self, index: u64, service: Service) -> Result<(), String> {
        rules::service(self.catalogs.current(), &service)?;
        let event = ConsulEvent::ServiceRegistered {
            id: service.id.clone(),
            name: service.name.clone(),
            address: service.address.clone(),
            node: service.node.clone(),
        };
        if self.catalogs.write(self.now).put_service(index, service) {
            self.event(event);
        }
        self.changed();
        Ok(())
    }

    /// Enters or changes a check; one that is critical ends the sessions bound to it.
    ///
    /// # Errors
    /// Consul's text when what it is about is missing.
    pub(super) fn check_put(&mut self, index: u64, mut check: Check) -> Result<(), String> {
        if check.status.is_empty() {
            CRITICAL.clone_into(&mut check.status);
        }
        rules::check(self.catalogs.current(), &check)?;
        let (node, id) = (check.node.clone(), check.id.clone());
        let (service, status) = (check.service_id.clone(), check.status.clone());
        let before = self.catalogs.write(self.now).put_check(index, check);
        if before.as_ref() != Some(&status) {
            self.event(ConsulEvent::CheckStatus {
                check: id.clone(),
                service,
                status: status.clone(),
                node: node.clone(),
            });
        }
        if status == CRITICAL {
            self.invalidate_bound(index, &node, &id, "check critical");
        }
        self.changed();
        Ok(())
    }

    /// Removes a check of something that stays, and ends the sessions bound to it.
    pub(super) fn check_remove(&mut self, index: u64, node: &str, id: &str) {
        if let Some(check) = self.catalogs.current().check(node, id) {
            let event = ConsulEvent::CheckRemoved {
                check: check.id.clone(),
                service: check.service_id.clone(),
                node: check.node.clone(),
            };
            self.check_drop(index, node, id);
            self.event(event);
        }
    }

    /// Removes a check without a word of it, and ends the sessions bound to it.
    fn check_drop(&mut self, index: u64, node: &str, id: &str) {
        // Nothing is written, and so no version kept, for what is not there.
        if self.catalogs.current().check(node, id).is_some() {
            self.catalogs.write(self.now).remove_check(index, node, id);
            self.invalidate_bound(index, node, id, "check deregistered");
            self.changed();
        }
    }

    /// Removes a service instance and its checks.
    pub(super) fn service_remove(&mut self, index: u64, node: &str, id: &str) {
        let Some(service) = self.catalogs.current().service(node, id) else {
            return;
        };
        let id = service.id.clone();
        let checks: Vec<_> =
            self.catalogs.current().checks_of(node, &id).map(|check| check.id.clone()).collect();
        for check in checks {
            self.check_drop(index, node, &check);
        }
        self.catalogs.write(self.now).remove_service(index, node, &id);
        self.event(ConsulEvent::ServiceDeregistered { id });
        self.changed();
    }

    /// Enters where nodes are.
    pub(super) fn coordinates_put(&mut self, index: u64, coordinates: &[Coordinate]) {
        self.catalogs.write(self.now).put_coordinates(index, coordinates);
        self.changed();
    }
}
