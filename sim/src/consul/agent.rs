//! What the server's own agent knows: the services and checks registered with it, and their timers.
//!
//! The agent's view leads and the catalog follows: whatever changes here is pushed at once, except the
//! output of a check whose status stays the same, which waits for a while so that chatty checks do not
//! wake every watcher.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Consul;
use super::state::catalog::{CRITICAL, Check, Definition, Service};
use super::state::{Command, Deregistration, Registration};
use super::timers::{Due, Key};

const CHECK_UPDATE_INTERVAL: Duration = Duration::from_secs(5 * 60);
const REAP_INTERVAL: Duration = Duration::from_secs(30);
const REAP_AFTER_MIN: Duration = Duration::from_secs(60);
const OUTPUT_MAX: usize = 4096;

/// A check to be registered. Its status is reported by its owner at least once every `ttl`.
#[derive(Debug, Clone, Default)]
pub(super) struct CheckRequest {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) status: String,
    pub(super) notes: String,
    pub(super) service_id: String,
    pub(super) ttl: Duration,
    pub(super) output_max: Option<usize>,
    pub(super) deregister_after: Duration,
}

#[derive(Debug)]
struct LocalCheck {
    check: Check,
    ttl: Duration,
    last_output: String,
    output_max: usize,
    deregister_after: Duration,
    critical_since: Option<Duration>,
    expiry: Option<Key>,
    push: Option<Key>,
    reap: Option<Key>,
}

/// Everything registered with the agent.
#[derive(Debug, Default)]
pub(super) struct Local {
    services: BTreeMap<String, Service>,
    checks: BTreeMap<String, LocalCheck>,
}

impl Local {
    /// The services, by id.
    pub(super) fn services(&self) -> &BTreeMap<String, Service> {
        &self.services
    }

    /// Takes back the services it had before its node was started again.
    pub(super) fn restore(&mut self, services: BTreeMap<String, Service>) {
        self.services = services;
    }

    /// The checks, by id.
    pub(super) fn checks(&self) -> impl Iterator<Item = &Check> {
        self.checks.values().map(|local| &local.check)
    }
}

impl Consul {
    /// Registers a service with its checks. Checks it had and are not named again stay, unless `replace`.
    pub(super) fn agent_put_service(&mut self, service: Service, checks: Vec<CheckRequest>, replace: bool) {
        let stale: Vec<_> = self
            .agent
            .checks()
            .filter(|check| replace && check.service_id == service.id)
            .filter(|check| checks.iter().all(|new| new.id != check.id))
            .map(|check| check.id.clone())
            .collect();
        self.agent.services.insert(service.id.clone(), service.clone());
        let checks = checks.into_iter().map(|check| self.local_put_check(check)).collect();
        self.push(Command::Register(Box::new(Registration { node: None, service: Some(service), checks })));
        for id in stale {
            self.agent_remove_check(&id);
        }
    }

    /// Deregisters a service and its checks. Deregistering what is not there is fine.
    pub(super) fn agent_remove_service(&mut self, id: &str) {
        if self.agent.services.remove(id).is_none() {
            return;
        }
        let checks: Vec<_> = self
            .agent
            .checks()
            .filter(|check| check.service_id == id)
            .map(|check| check.id.clone())
            .collect();
        for check in checks {
            self.local_remove_check(&check);
        }
        self.push(Command::Deregister(Deregistration {
            node: self.config.node.clone(),
            service: id.to_owned(),
            check: String::new(),
        }));
    }

    /// Registers a check.
    pub(super) fn agent_put_check(&mut self, request: CheckRequest) {
        let check = self.local_put_check(request);
        self.push_check(check);
    }

    /// Deregisters a check. Deregistering what is not there is fine.
    pub(super) fn agent_remove_check(&mut self, id: &str) {
        if self.local_remove_check(id) {
            self.push(Command::Deregister(Deregistration {
                node: self.config.node.clone(),
                service: String::new(),
                check: id.to_owned(),
            }));
        }
    }

    /// Reports a check's status, which starts its TTL again.
    ///
    /// # Errors
    /// Consul's text when there is no such check.
    pub(super) fn agent_update_check(&mut self, id: &str, status: &str, output: &str) -> Result<(), String> {
        let Some(local) = self.agent.checks.get_mut(id) else {
            return Err(format!("CheckID {id:?} does not have associated TTL"));
        };
        let output = capped(output, local.output_max);
        local.last_output.clone_from(&output);
        self.timers.cancel(local.expiry.take());
        local.expiry = Some(self.timers.arm(self.now + local.ttl, Due::CheckTtl(id.to_owned())));
        self.check_set(id, status, output);
        Ok(())
    }

    /// Turns a check critical that was not updated in time.
    pub(super) fn check_expire(&mut self, id: &str) {
        let Some(local) = self.agent.checks.get_mut(id) else {
            return;
        };
        local.expiry = None;
        let output = match local.last_output.as_str() {
            "" => "TTL expired".to_owned(),
            last => format!("TTL expired (last output before timeout follows): {last}"),
        };
        self.check_set(id, CRITICAL, output);
    }

    /// Brings a check in the catalog up to date.
    pub(super) fn check_push(&mut self, id: &str) {
        let Some(local) = self.agent.checks.get_mut(id) else {
            return;
        };
        self.timers.cancel(local.push.take());
        let check = local.check.clone();
        self.push_check(check);
    }

    /// Deregisters the service of a check that has been critical for too long.
    pub(super) fn check_reap(&mut self, id: &str) {
        let Some(local) = self.agent.checks.get_mut(id) else {
            return;
        };
        local.reap = None;
        let service = local.check.service_id.clone();
        self.agent_remove_service(&service);
    }

    fn check_set(&mut self, id: &str, status: &str, output: String) {
        let Some(local) = self.agent.checks.get_mut(id) else {
            return;
        };
        if status != CRITICAL {
            local.critical_since = None;
            self.timers.cancel(local.reap.take());
        } else if local.critical_since.is_none() {
            local.critical_since = Some(self.now);
            self.reap_arm(id);
        }
        let Some(local) = self.agent.checks.get_mut(id) else {
            return;
        };
        let same_output = local.check.output == output;
        local.check.output = output;
        if local.check.status != status {
            status.clone_into(&mut local.check.status);
            self.check_push(id);
        } else if !same_output && local.push.is_none() {
            let wait = CHECK_UPDATE_INTERVAL / 2 + self.draw_below(CHECK_UPDATE_INTERVAL);
            let key = self.timers.arm(self.now + wait, Due::CheckOutput(id.to_owned()));
            if let Some(local) = self.agent.checks.get_mut(id) {
                local.push = Some(key);
            }
        }
    }

    /// The agent looks for services to drop at fixed times, not when one becomes due.
    fn reap_arm(&mut self, id: &str) {
        let Some(local) = self.agent.checks.get_mut(id) else {
            return;
        };
        self.timers.cancel(local.reap.take());
        if let Some(since) = local.critical_since
            && !local.deregister_after.is_zero()
            && !local.check.service_id.is_empty()
        {
            let due = (since + local.deregister_after).as_nanos();
            let ticks = due / REAP_INTERVAL.as_nanos() + 1;
            let at = REAP_INTERVAL * u32::try_from(ticks).unwrap_or(u32::MAX);
            local.reap = Some(self.timers.arm(at, Due::CriticalReap(id.to_owned())));
        }
    }

    /// A check that is registered again keeps its status and output, whatever the request says of them.
    fn local_put_check(&mut self, request: CheckRequest) -> Check {
        let service = self.agent.services.get(&request.service_id);
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
            kind: "ttl".to_owned(),
            definition: Definition {},
            create_index: 0,
            modify_index: 0,
        };
        if check.status.is_empty() {
            CRITICAL.clone_into(&mut check.status);
        }
        let id = check.id.clone();
        let mut critical_since = None;
        if let Some(existing) = self.agent.checks.remove(&id) {
            for timer in [existing.expiry, existing.push, existing.reap] {
                self.timers.cancel(timer);
            }
            check.status = existing.check.status;
            check.output = existing.check.output;
            critical_since = (check.status == CRITICAL).then_some(self.now);
        }
        let expiry = self.timers.arm(self.now + request.ttl, Due::CheckTtl(id.clone()));
        let deregister_after = match request.deregister_after {
            Duration::ZERO => Duration::ZERO,
            after => after.max(REAP_AFTER_MIN),
        };
        let local = LocalCheck {
            check: check.clone(),
            ttl: request.ttl,
            last_output: String::new(),
            output_max: request.output_max.unwrap_or(OUTPUT_MAX),
            deregister_after,
            critical_since,
            expiry: Some(expiry),
            push: None,
            reap: None,
        };
        self.agent.checks.insert(id.clone(), local);
        self.reap_arm(&id);
        check
    }

    /// Brings the catalog up to date.
    fn push(&mut self, command: Command) {
        match self.cluster {
            None => drop(self.apply(&command)),
            Some(_) => self.sync_push(command),
        }
    }

    fn push_check(&mut self, check: Check) {
        self.push(Command::Register(Box::new(Registration {
            node: None,
            service: None,
            checks: vec![check],
        })));
    }

    fn local_remove_check(&mut self, id: &str) -> bool {
        let Some(local) = self.agent.checks.remove(id) else {
            return false;
        };
        for timer in [local.expiry, local.push, local.reap] {
            self.timers.cancel(timer);
        }
        true
    }
}

fn capped(output: &str, max: usize) -> String {
    if output.len() <= max {
        return output.to_owned();
    }
    let kept = (0..=max).rev().find(|end| output.is_char_boundary(*end)).unwrap_or(0);
    format!("{} ... (captured {max} of {} bytes)", &output[..kept], output.len())
}
