//! Writes of the catalog, with what follows from them: events, and the end of sessions.

use super::catalog::{CRITICAL, Check, Service};
use super::{Deregistration, Registration, State};
use crate::record::ConsulEvent;

impl State {
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
        } else {
            self.catalog_remove_node(index, node);
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

    /// Removes a node, what is on it, and its sessions.
    fn catalog_remove_node(&mut self, index: u64, node: &str) {
        let catalog = self.catalogs.current();
        let services: Vec<_> = catalog.services_on(node).map(|service| service.id.clone()).collect();
        for service in services {
            self.catalog_remove_service(index, node, &service);
        }
        let catalog = self.catalogs.current();
        let checks: Vec<_> = catalog.checks_of(node, "").map(|check| check.id.clone()).collect();
        for check in checks {
            self.catalog_remove_check(index, node, &check);
        }
        self.invalidate_node(index, node);
        self.catalogs.write(self.now).remove_node(index, node);
        self.changed();
    }
}
