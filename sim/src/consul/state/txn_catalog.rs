//! What a transaction does to nodes, services and checks.
//!
//! The row an operation names also carries the index it is to have, for the verbs that compare it: 0 for
//! one that is not to exist. A real server forgets why it could not write a node or a check with `cas`, and goes
//! on with the next operation; so does this one.

use std::rc::Rc;

use super::catalog::{Check, Node, Service};
use super::txn::Done;
use super::{State, rules};

type Outcome = Result<(), String>;

/// Whether a row is as an operation expects it.
fn expected(wanted: u64, current: Option<u64>) -> bool {
    current.unwrap_or(0) == wanted
}

impl State {
    fn node_named(&self, node: &Node) -> Result<Option<Rc<Node>>, String> {
        let catalog = self.catalogs.current();
        if node.id.is_empty() {
            return Ok(catalog.node(&node.name).cloned());
        }
        rules::uuid(&node.id)
            .map_err(|why| format!("node lookup by ID failed, wrong UUID: {why} for '{}'", node.id))?;
        Ok(catalog.node_by_id(&node.id).cloned())
    }

    pub(super) fn operate_node(
        &mut self,
        index: u64,
        verb: &str,
        node: &Node,
        done: &mut Vec<Done>,
    ) -> Outcome {
        let name = &node.name;
        let current = self.catalogs.current().node(name).map(|node| node.modify_index);
        let as_expected = expected(node.modify_index, current);
        match verb {
            "get" => {
                let found = self.node_named(node)?.ok_or_else(|| format!("node {name:?} doesn't exist"))?;
                done.push(Done::Node(found));
                return Ok(());
            }
            "cas" if !as_expected => return Err(format!("failed to set node {name:?}, index is stale")),
            "set" => self.node_put(index, node.clone())?,
            // What keeps it from being written is not told to whoever named the right index.
            "cas" => drop(self.node_put(index, node.clone())),
            "delete-cas" if current.is_none() || !as_expected => {
                return Err(format!("failed to delete node {name:?}, index is stale"));
            }
            "delete" | "delete-cas" => {
                self.node_remove(index, name);
                return Ok(());
            }
            verb => return Err(format!("unknown Node verb {verb:?}")),
        }
        done.extend(self.node_named(node)?.map(Done::Node));
        Ok(())
    }

    pub(super) fn operate_service(
        &mut self,
        index: u64,
        verb: &str,
        service: &Service,
        done: &mut Vec<Done>,
    ) -> Outcome {
        let (node, id) = (&service.node, &service.id);
        let current = self.catalogs.current().service(node, id).cloned();
        let as_expected =
            expected(service.modify_index, current.as_ref().map(|service| service.modify_index));
        match verb {
            "get" => {
                let found =
                    current.ok_or_else(|| format!("service {id:?} on node {node:?} doesn't exist"))?;
                done.push(Done::Service(found));
                return Ok(());
            }
            "cas" if !as_expected => {
                return Err(format!("failed to set service {id:?} on node {node:?}, index is stale"));
            }
            "set" | "cas" => self.service_put(index, service.clone())?,
            "delete-cas" if current.is_none() || !as_expected => {
                return Err(format!("failed to delete service {id:?} on node {node:?}, index is stale"));
            }
            "delete" | "delete-cas" => {
                self.service_remove(index, node, id);
                return Ok(());
            }
            verb => return Err(format!("unknown Service verb {verb:?}")),
        }
        done.extend(self.catalogs.current().service(node, id).cloned().map(Done::Service));
        Ok(())
    }

    pub(super) fn operate_check(
        &mut self,
        index: u64,
        verb: &str,
        check: &Check,
        done: &mut Vec<Done>,
    ) -> Outcome {
        let (node, id) = (&check.node, &check.id);
        let current = self.catalogs.current().check(node, id).cloned();
        let as_expected = expected(check.modify_index, current.as_ref().map(|check| check.modify_index));
        match verb {
            "get" => {
                let found = current.ok_or_else(|| format!("check {id:?} on node {node:?} doesn't exist"))?;
                done.push(Done::Check(found));
                return Ok(());
            }
            "cas" if !as_expected => {
                return Err(format!("failed to set check {id:?} on node {node:?}, index is stale"));
            }
            "set" => self.check_put(index, check.clone())?,
            "cas" => drop(self.check_put(index, check.clone())),
            "delete-cas" if current.is_none() || !as_expected => {
                return Err(format!("failed to delete check {id:?} on node {node:?}, index is stale"));
            }
            "delete" | "delete-cas" => {
                self.check_remove(index, node, id);
                return Ok(());
            }
            verb => return Err(format!("unknown Check verb {verb:?}")),
        }
        done.extend(self.catalogs.current().check(node, id).cloned().map(Done::Check));
        Ok(())
    }
}
