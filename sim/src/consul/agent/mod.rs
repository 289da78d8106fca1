//! What one agent knows by itself: the services and checks registered with it, and what becomes of them.
//!
//! The agent's view leads and the catalog follows ([`sync`]): whatever changes here is pushed at once,
//! except the output of a check whose status stays the same, which waits for a while so that chatty
//! checks do not wake every watcher. How a check gets its status is in [`check`], how one is carried out
//! in [`probe`], and the user events an agent hears of in [`events`].
//!
//! The rule a change must keep: a service or check that changes is out of sync from then on, and one that
//! goes leaves a tombstone, until the catalog is known to have taken it.

mod check;
pub(super) mod events;
pub(super) mod probe;
pub(super) mod sync;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(super) use self::check::{CheckKind, CheckRequest};
use self::check::{Counts, LocalCheck};
use self::probe::Probe;
use super::Consul;
use super::state::catalog::{CRITICAL, Check, Definition, Service};
use super::timers::Due;

const REAP_AFTER_MIN: Duration = Duration::from_secs(60);
const OUTPUT_MAX: usize = 4096;
/// The check that says a node is in maintenance.
pub(super) const NODE_MAINTENANCE: &str = "_node_maintenance";
/// What the check that says so of a service is called, before the service's id.
pub(super) const SERVICE_MAINTENANCE: &str = "_service_maintenance:";

#[derive(Debug)]
struct LocalService {
    service: Service,
    /// Grows with every change, so that what was sent can be told from what is.
    version: u64,
    in_sync: bool,
}

/// What an agent finds again in its data directory: its services and checks. A check whose status its
/// owner reports has the status it had, and all of its time again; one the agent finds out about has to
/// be tried first.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Saved {
    services: Vec<Service>,
    checks: Vec<CheckRequest>,
}

/// Everything registered with the agent.
#[derive(Debug, Default)]
pub(super) struct Local {
    services: BTreeMap<String, LocalService>,
    checks: BTreeMap<String, LocalCheck>,
    /// The checks that mirror a service.
    aliases: BTreeSet<String>,
    /// Services that are gone, as the catalog does not know yet.
    gone_services: BTreeSet<String>,
    /// The same of checks, each with the service it was of.
    gone_checks: BTreeMap<String, String>,
    /// Probes that are due and not taken yet.
    due: Vec<Probe>,
    /// Counts versions and runs.
    counted: u64,
    /// The user events heard of.
    pub(super) events: events::Buffer,
    /// Whether the agent was told to leave.
    pub(super) left: bool,
}

impl Local {
    /// What its data directory holds.
    pub(super) fn saved(&self) -> Saved {
        Saved {
            services: self.services().cloned().collect(),
            checks: self.checks.values().map(LocalCheck::request).collect(),
        }
    }

    /// The services, by id.
    pub(super) fn services(&self) -> impl Iterator<Item = &Service> {
        self.services.values().map(|local| &local.service)
    }

    /// One service.
    pub(super) fn service(&self, id: &str) -> Option<&Service> {
        self.services.get(id).map(|local| &local.service)
    }

    /// The checks, by id.
    pub(super) fn checks(&self) -> impl Iterator<Item = &Check> {
        self.checks.values().map(|local| &local.check)
    }

    /// One check.
    pub(super) fn check(&self, id: &str) -> Option<&Check> {
        self.checks.get(id).map(|local| &local.check)
    }

    /// The checks of a service and of the node it is on.
    pub(super) fn checks_that_concern<'a>(&'a self, service: &'a str) -> impl Iterator<Item = &'a Check> {
        self.checks().filter(move |check| check.service_id.is_empty() || check.service_id == service)
    }

    /// How many checks wait for their owner's reports.
    pub(super) fn ttl_checks(&self) -> usize {
        self.checks.values().filter(|local| matches!(local.kind, CheckKind::Ttl(_))).count()
    }

    fn count(&mut self) -> u64 {
        self.counted += 1;
        self.counted
    }
}

impl Consul {
    /// Takes back what the agent had before its node was started again. Nothing is pushed yet.
    pub(super) fn agent_restore(&mut self, saved: Saved) {
        for service in saved.services {
            let local = LocalService { service, version: self.agent.count(), in_sync: false };
            self.agent.services.insert(local.service.id.clone(), local);
        }
        for check in saved.checks {
            self.local_put_check(check);
        }
    }

    /// Registers a service with its checks. Checks it had and are not named again stay, unless `replace`.
    pub(super) fn agent_put_service(&mut self, service: Service, checks: Vec<CheckRequest>, replace: bool) {
        let stale: Vec<_> = self
            .agent
            .checks()
            .filter(|check| replace && check.service_id == service.id)
            .filter(|check| checks.iter().all(|new| new.id != check.id))
            .map(|check| check.id.clone())
            .collect();
        let id = service.id.clone();
        let version = self.agent.count();
        self.agent.gone_services.remove(&id);
        self.agent.services.insert(id.clone(), LocalService { service, version, in_sync: false });
        for check in checks {
            self.local_put_check(check);
        }
        for check in stale {
            self.local_remove_check(&check);
        }
        self.aliases_follow(&id);
        self.push();
    }

    /// Deregisters a service and its checks. Deregistering what is not there is fine.
    pub(super) fn agent_remove_service(&mut self, id: &str) {
        if self.agent.services.remove(id).is_none() {
            return;
        }
        self.agent.gone_services.insert(id.to_owned());
        let checks: Vec<_> = self
            .agent
            .checks()
            .filter(|check| check.service_id == id)
            .map(|check| check.id.clone())
            .collect();
        for check in checks {
            self.local_remove_check(&check);
        }
        self.push();
    }

    /// Registers a check.
    pub(super) fn agent_put_check(&mut self, request: CheckRequest) {
        let service = request.service_id.clone();
        self.local_put_check(request);
        self.aliases_follow(&service);
        self.push();
    }

    /// Deregisters a check. Deregistering what is not there is fine.
    pub(super) fn agent_remove_check(&mut self, id: &str) {
        if let Some(service) = self.local_remove_check(id) {
            self.aliases_follow(&service);
            self.push();
        }
    }

    /// Puts a service, or the whole node, into maintenance. One that is in it already stays as it is.
    pub(super) fn maintenance_begin(&mut self, service: Option<&str>, reason: &str) {
        let (id, name, what) = match service {
            Some(service) => (maintenance_of(service), "Service Maintenance Mode", "service"),
            None => (NODE_MAINTENANCE.to_owned(), "Node Maintenance Mode", "node"),
        };
        if self.agent.checks.contains_key(&id) {
            return;
        }
        let notes = match reason {
            "" => format!(
                "Maintenance mode is enabled for this {what}, but no reason was provided. \
                 This is a default message."
            ),
            reason => reason.to_owned(),
        };
        self.agent_put_check(CheckRequest {
            id,
            name: name.to_owned(),
            status: CRITICAL.to_owned(),
            notes,
            service_id: service.unwrap_or_default().to_owned(),
            kind: CheckKind::Maintenance,
            ..CheckRequest::default()
        });
    }

    /// Ends it.
    pub(super) fn maintenance_end(&mut self, service: Option<&str>) {
        let id = service.map_or_else(|| NODE_MAINTENANCE.to_owned(), maintenance_of);
        self.agent_remove_check(&id);
    }

    /// A check that is registered again keeps its status and output, whatever the request says of them.
    fn local_put_check(&mut self, request: CheckRequest) {
        let service = self.agent.service(&request.service_id);
        let mut check = Check {
            node: self.config.node.clone(),
            id: request.id,
            name: request.name,
            status: request.status,
            notes: request.notes,
            output: String::new(),
            service_name: service.map(|service| service.name.clone()).unwrap_or_default(),
            service_tags: service.map(|service| service.tags.clone()).unwrap_or_default(),
            service_id: request.service_id,
            kind: request.kind.name().to_owned(),
            definition: Definition::default(),
            create_index: 0,
            modify_index: 0,
        };
        if check.status.is_empty() {
            CRITICAL.clone_into(&mut check.status);
        }
        let id = check.id.clone();
        let mut critical_since = None;
        if let Some(existing) = self.local_take_check(&id) {
            check.status = existing.check.status;
            check.output = existing.check.output;
            critical_since = (check.status == CRITICAL).then_some(self.now);
        }
        let deregister_after = match request.deregister_after {
            Duration::ZERO => Duration::ZERO,
            after => after.max(REAP_AFTER_MIN),
        };
        let next = match &request.kind {
            CheckKind::Ttl(ttl) => Some(self.timers.arm(self.now + *ttl, Due::CheckTtl(id.clone()))),
            CheckKind::Probe { interval, .. } => {
                let wait = self.draw_below(*interval);
                Some(self.timers.arm(self.now + wait, Due::CheckProbe(id.clone())))
            }
            CheckKind::Alias(_) => {
                self.agent.aliases.insert(id.clone());
                None
            }
            CheckKind::Maintenance => None,
        };
        let local = LocalCheck {
            check,
            counts: Counts::new(request.success_before_passing, request.failures_before_critical),
            kind: request.kind,
            last_output: String::new(),
            output_max: request.output_max.unwrap_or(OUTPUT_MAX),
            deregister_after,
            critical_since,
            next,
            push: None,
            reap: None,
            run: self.agent.count(),
            version: self.agent.count(),
            in_sync: false,
        };
        self.agent.gone_checks.remove(&id);
        self.agent.checks.insert(id.clone(), local);
        self.reap_arm(&id);
        self.alias_refresh(&id);
    }

    /// Removes a check, and says of which service it was.
    fn local_remove_check(&mut self, id: &str) -> Option<String> {
        let service = self.local_take_check(id)?.check.service_id;
        self.agent.gone_checks.insert(id.to_owned(), service.clone());
        Some(service)
    }

    /// Takes a check out, with everything that would still happen to it.
    fn local_take_check(&mut self, id: &str) -> Option<LocalCheck> {
        let local = self.agent.checks.remove(id)?;
        for timer in [local.next, local.push, local.reap] {
            self.timers.cancel(timer);
        }
        self.agent.aliases.remove(id);
        self.agent.due.retain(|probe| !probe.is_of(id));
        Some(local)
    }
}

fn maintenance_of(service: &str) -> String {
    format!("{SERVICE_MAINTENANCE}{service}")
}
