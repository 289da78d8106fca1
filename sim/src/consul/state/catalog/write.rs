//! Writes of single rows. What belongs together is the caller's to write together.

use std::rc::Rc;

use super::{Catalog, Check, Coordinate, Node, Service, fold, instance, pair, row};

impl Catalog {
    /// Enters a node, or changes it. Returns whether anything changed.
    ///
    /// `known_as` is the row it takes over, when that is not the one of its name.
    pub(in crate::consul) fn put_node(
        &mut self,
        index: u64,
        mut node: Node,
        known_as: Option<&Node>,
    ) -> bool {
        let key = fold(&node.name);
        node.create_index = index;
        node.modify_index = index;
        let before = self.nodes.get(&key).cloned();
        if let Some(existing) = known_as.or(before.as_deref()) {
            node.create_index = existing.create_index;
            node.modify_index = existing.modify_index;
            if *existing == node {
                return false;
            }
            node.modify_index = index;
        }
        self.nodes_index = index;
        self.written.node.wrote(Rc::clone(&key), index);
        self.move_services_on(index, &node.name);
        let node = Rc::new(node);
        self.nodes.insert(key, Rc::clone(&node));
        if let Some(before) = before {
            self.lost_meta(index, &before);
        }
        for (key, value) in node.meta.iter().flatten() {
            self.written.node_meta.wrote(pair(key, value), index);
        }
        true
    }

    /// Removes a node; what is on it is the caller's to remove first.
    pub(in crate::consul) fn remove_node(&mut self, index: u64, name: &str) -> Option<Rc<Node>> {
        let key = fold(name);
        let node = self.nodes.remove(&key)?;
        self.nodes_index = index;
        self.written.node.removed(key, index, false);
        self.lost_meta(index, &node);
        Some(node)
    }

    fn lost_meta(&mut self, index: u64, node: &Node) {
        for (key, value) in node.meta.iter().flatten() {
            let left = self.nodes.values().any(|node| {
                node.meta.as_ref().and_then(|meta| meta.get(key)).is_some_and(|other| other == value)
            });
            self.written.node_meta.removed(pair(key, value), index, left);
        }
    }

    /// Enters an instance, or changes it. Returns whether anything changed.
    pub(in crate::consul) fn put_service(&mut self, index: u64, mut service: Service) -> bool {
        let key = row(&service.node, &service.id);
        service.create_index = index;
        service.modify_index = index;
        let before = self.services.get(&key).cloned();
        if let Some(existing) = &before {
            service.create_index = existing.create_index;
            service.modify_index = existing.modify_index;
            if **existing == service {
                return false;
            }
            service.modify_index = index;
        }
        let name = fold(&service.name);
        self.services_index = index;
        self.written.services = index;
        self.written.on_node.wrote(Rc::clone(&key.0), index);
        let service = Rc::new(service);
        self.services.insert(key, Rc::clone(&service));
        if let Some(before) = before {
            self.left_service(index, &before);
        }
        self.written.service.wrote(Rc::clone(&name), index);
        if let Some(to) = service.connects_to() {
            self.written.connect.wrote(fold(to), index);
        }
        self.service_index.insert(name, index);
        true
    }

    /// Removes an instance; its checks are the caller's to remove first.
    pub(in crate::consul) fn remove_service(
        &mut self,
        index: u64,
        node: &str,
        id: &str,
    ) -> Option<Rc<Service>> {
        let service = self.services.remove(&row(node, id))?;
        self.checks_index = index;
        self.services_index = index;
        self.written.services = index;
        let left = self.services_on(node).next().is_some();
        self.written.on_node.removed(fold(node), index, left);
        self.left_service(index, &service);
        let name = fold(&service.name);
        if self.instances(&service.name).next().is_some() {
            self.service_index.insert(name, index);
        } else {
            self.service_index.remove(&name);
            self.extinction_index = Some(index);
        }
        Some(service)
    }

    /// Notes that a row no longer says what it said.
    fn left_service(&mut self, index: u64, service: &Service) {
        let left = self.instances(&service.name).next().is_some();
        self.written.service.removed(fold(&service.name), index, left);
        if let Some(to) = service.connects_to() {
            let left = self.connected(to).next().is_some();
            self.written.connect.removed(fold(to), index, left);
        }
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
        let before = self.checks.get(&key).cloned();
        let mut same = false;
        if let Some(existing) = &before {
            check.create_index = existing.create_index;
            check.modify_index = existing.modify_index;
            // What type of check it is does not count.
            let kind = std::mem::take(&mut check.kind);
            same = Check { kind: String::new(), ..Check::clone(existing) } == check;
            check.kind = kind;
            if !same {
                check.modify_index = index;
            }
        }
        if !same {
            self.move_service_of(index, &check);
        }
        let check = Rc::new(check);
        self.checks.insert(key, Rc::clone(&check));
        let status = before.as_ref().map(|before| before.status.clone());
        if let Some(before) = before {
            self.left_check(index, &before);
        }
        self.checks_index = index;
        self.written.checks = index;
        self.written.checks_of_node.wrote(fold(&check.node), index);
        self.written.checks_of_instance.wrote(instance(&check.node, &check.service_id), index);
        self.written.checks_in_state.wrote(Rc::from(check.status.as_str()), index);
        if !check.service_name.is_empty() {
            self.written.checks_of_service.wrote(fold(&check.service_name), index);
        }
        status
    }

    /// Removes a check.
    pub(in crate::consul) fn remove_check(&mut self, index: u64, node: &str, id: &str) -> Option<Rc<Check>> {
        let check = self.checks.remove(&row(node, id))?;
        self.checks_index = index;
        self.written.checks = index;
        if check.service_id.is_empty() {
            self.services_index = index;
        }
        self.move_service_of(index, &check);
        self.left_check(index, &check);
        Some(check)
    }

    /// Notes that a row no longer says what it said.
    fn left_check(&mut self, index: u64, check: &Check) {
        let left = self.checks_on(&check.node).next().is_some();
        self.written.checks_of_node.removed(fold(&check.node), index, left);
        let left = self.checks_of(&check.node, &check.service_id).next().is_some();
        self.written.checks_of_instance.removed(instance(&check.node, &check.service_id), index, left);
        let left = self.checks().any(|other| other.status == check.status);
        self.written.checks_in_state.removed(Rc::from(check.status.as_str()), index, left);
        if !check.service_name.is_empty() {
            let left =
                self.checks().any(|other| other.service_name.eq_ignore_ascii_case(&check.service_name));
            self.written.checks_of_service.removed(fold(&check.service_name), index, left);
        }
    }

    /// Enters or changes where nodes are. Nodes nobody knows are passed over.
    pub(in crate::consul) fn put_coordinates(&mut self, index: u64, coordinates: &[Coordinate]) {
        for coordinate in coordinates {
            if self.node(&coordinate.node).is_some() {
                let key = row(&coordinate.node, &coordinate.segment);
                self.written.coordinates_of.wrote(Rc::clone(&key.0), index);
                self.coordinates.insert(key, Rc::new(coordinate.clone()));
            }
        }
        self.coordinates_index = index;
    }

    /// Forgets where a node is.
    pub(in crate::consul) fn remove_coordinates(&mut self, index: u64, node: &str) {
        let keys: Vec<_> =
            self.coordinates_of(node).map(|coordinate| row(node, &coordinate.segment)).collect();
        for key in keys {
            self.coordinates.remove(&key);
            self.coordinates_index = index;
            self.written.coordinates_of.removed(key.0, index, false);
        }
    }

    /// Moves the index of the service a check is about: of all on its node, when it is about the node.
    fn move_service_of(&mut self, index: u64, check: &Check) {
        if check.service_id.is_empty() {
            self.move_services_on(index, &check.node);
        } else {
            self.service_index.insert(fold(&check.service_name), index);
        }
    }

    fn move_services_on(&mut self, index: u64, node: &str) {
        let names: Vec<_> = self.services_on(node).map(|service| fold(&service.name)).collect();
        for name in names {
            self.service_index.insert(name, index);
        }
    }
}
