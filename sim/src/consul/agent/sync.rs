//! Anti-entropy: how the catalog comes to say of this node what its agent knows.
//!
//! What is out of sync is a list of [`SyncOp`]s; whoever carries one out says so with
//! [`Local::synced`]. An operation names the version it was made of, so that a change made while it was
//! under way is not taken for sent. [`Local::full_sync`] finds out what is out of sync without anybody
//! having said so: what the catalog has and the agent has not, what it lacks, and what differs.

use super::Local;
use crate::consul::Consul;
use crate::consul::state::catalog::{Check, Node, SERF_HEALTH, Service};
use crate::consul::state::member::full_node;
use crate::consul::state::{Applied, Command, Deregistration, NodeUpdate, Registration};

/// The service every server registers of itself, which no agent knows of.
const CONSUL_SERVICE: &str = "consul";

/// A check and the version of it that is meant.
type Versioned = (String, u64);

/// One thing to tell the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::consul) enum SyncOp {
    /// A service is as it is now, and with it those of its checks that are out of sync.
    PutService { service: Versioned, checks: Vec<Versioned> },
    /// A check is as it is now.
    PutCheck(Versioned),
    /// A service is gone, with its checks.
    DropService(String),
    /// A check is gone.
    DropCheck(String),
}

impl Local {
    /// What the catalog has to be told, in the order to tell it.
    pub(in crate::consul) fn unsynced(&self) -> Vec<SyncOp> {
        let mut operations: Vec<_> = self.gone_services.iter().cloned().map(SyncOp::DropService).collect();
        let stale = |service: &str| -> Vec<Versioned> {
            let checks = self.checks.iter().filter(|(_, local)| !local.in_sync);
            let checks = checks.filter(|(_, local)| local.check.service_id == service);
            checks.map(|(id, local)| (id.clone(), local.version)).collect()
        };
        for (id, local) in self.services.iter().filter(|(_, local)| !local.in_sync) {
            operations.push(SyncOp::PutService { service: (id.clone(), local.version), checks: stale(id) });
        }
        operations.extend(self.gone_checks.keys().cloned().map(SyncOp::DropCheck));
        let alone = |service: &str| self.services.get(service).is_none_or(|local| local.in_sync);
        let checks = self.checks.iter().filter(|(_, local)| !local.in_sync);
        for (id, local) in checks.filter(|(_, local)| alone(&local.check.service_id)) {
            operations.push(SyncOp::PutCheck((id.clone(), local.version)));
        }
        operations
    }

    /// The command that tells the catalog of this node, `own`, and who it is unless that is `known`; nothing, when
    /// there is no more to tell.
    pub(in crate::consul) fn sync_command(
        &self,
        own: &Node,
        known: bool,
        operation: &SyncOp,
    ) -> Option<Command> {
        let gone = |service: &str, check: &str| {
            Command::Deregister(Deregistration {
                node: own.name.clone(),
                service: service.to_owned(),
                check: check.to_owned(),
            })
        };
        let put = |service: Option<Service>, checks: Vec<Check>| {
            let node = Some(NodeUpdate { node: own.clone(), only_if_missing: known });
            Command::Register(Box::new(Registration { node, service, checks }))
        };
        match operation {
            SyncOp::PutService { service: (id, _), checks } => {
                let service = self.services.get(id)?.service.clone();
                let checks = checks.iter().filter_map(|(id, _)| self.checks.get(id));
                Some(put(Some(service), checks.map(|local| local.check.clone()).collect()))
            }
            SyncOp::PutCheck((id, _)) => {
                // The service goes along: the catalog takes no check of one it does not know.
                let check = self.checks.get(id)?.check.clone();
                Some(put(self.service(&check.service_id).cloned(), vec![check]))
            }
            SyncOp::DropService(id) => self.gone_services.contains(id).then(|| gone(id, "")),
            SyncOp::DropCheck(id) => self.gone_checks.contains_key(id).then(|| gone("", id)),
        }
    }

    /// The catalog took it.
    pub(in crate::consul) fn synced(&mut self, operation: &SyncOp) {
        match operation {
            SyncOp::PutService { service: (id, version), checks } => {
                if let Some(local) = self.services.get_mut(id).filter(|local| local.version == *version) {
                    local.in_sync = true;
                }
                for check in checks {
                    self.check_synced(check);
                }
            }
            SyncOp::PutCheck(check) => self.check_synced(check),
            SyncOp::DropService(id) => {
                self.gone_services.remove(id);
                self.gone_checks.retain(|_, service| service != id);
            }
            SyncOp::DropCheck(id) => drop(self.gone_checks.remove(id)),
        }
    }

    fn check_synced(&mut self, (id, version): &Versioned) {
        if let Some(local) = self.checks.get_mut(id).filter(|local| local.version == *version) {
            local.in_sync = true;
        }
    }

    /// Compares what the agent knows with what the catalog says of its node, and marks what differs. A
    /// service whose tags may be overridden takes them over.
    pub(in crate::consul) fn full_sync<'a>(
        &mut self,
        services: impl IntoIterator<Item = &'a Service>,
        checks: impl IntoIterator<Item = &'a Check>,
    ) {
        let mut missing: std::collections::BTreeSet<_> = self.services.keys().cloned().collect();
        for theirs in services {
            missing.remove(&theirs.id);
            match self.services.get_mut(&theirs.id) {
                Some(local) => {
                    if local.service.enable_tag_override {
                        local.service.tags.clone_from(&theirs.tags);
                        local.service.lists_tags = theirs.lists_tags;
                    }
                    local.in_sync = same_service(&local.service, theirs);
                }
                None if theirs.id == CONSUL_SERVICE => {}
                None => drop(self.gone_services.insert(theirs.id.clone())),
            }
        }
        for id in missing {
            if let Some(local) = self.services.get_mut(&id) {
                local.in_sync = false;
            }
        }
        let mut missing: std::collections::BTreeSet<_> = self.checks.keys().cloned().collect();
        for theirs in checks {
            missing.remove(&theirs.id);
            match self.checks.get_mut(&theirs.id) {
                // An output that is held back is not what makes them differ.
                Some(local) => local.in_sync = same_check(&local.check, theirs, local.push.is_some()),
                None if theirs.id == SERF_HEALTH => {}
                None => drop(self.gone_checks.insert(theirs.id.clone(), theirs.service_id.clone())),
            }
        }
        for id in missing {
            if let Some(local) = self.checks.get_mut(&id) {
                local.in_sync = false;
            }
        }
    }
}

fn same_service(ours: &Service, theirs: &Service) -> bool {
    let mut theirs = theirs.clone();
    theirs.node.clone_from(&ours.node);
    (theirs.create_index, theirs.modify_index) = (ours.create_index, ours.modify_index);
    // The catalog has nothing to tell an empty map from none.
    let meta = |service: &Service| service.meta.clone().unwrap_or_default();
    let same_meta = meta(ours) == meta(&theirs);
    theirs.meta.clone_from(&ours.meta);
    same_meta && *ours == theirs
}

fn same_check(ours: &Check, theirs: &Check, but_output: bool) -> bool {
    let mut theirs = theirs.clone();
    (theirs.create_index, theirs.modify_index) = (ours.create_index, ours.modify_index);
    theirs.node.clone_from(&ours.node);
    theirs.kind.clone_from(&ours.kind);
    if but_output {
        theirs.output.clone_from(&ours.output);
    }
    *ours == theirs
}

impl Consul {
    /// Brings the catalog up to date.
    pub(in crate::consul) fn push(&mut self) {
        if self.cluster.is_some() {
            return self.sync_push();
        }
        if self.keeps_to_itself() {
            return;
        }
        let own = full_node(&self.config, &self.node_id);
        for operation in self.agent.unsynced() {
            let Some(command) = self.agent.sync_command(&own, true, &operation) else {
                continue;
            };
            // What the catalog refuses stays out of sync, and is tried again with the next change.
            if !matches!(self.apply(&command), Applied::Failed(_)) {
                self.agent.synced(&operation);
            }
        }
    }
}
