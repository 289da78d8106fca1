//! How a check gets its status: reported in time, found out by a probe, or taken from a service's others.
//!
//! A change of status goes to the catalog at once; a change of nothing but the output waits. What a probe
//! finds counts only when it was found often enough in a row, except the first time.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::probe::Target;
use super::{Local, OUTPUT_MAX};
use crate::consul::Consul;
use crate::consul::state::catalog::{CRITICAL, Check, PASSING, WARNING};
use crate::consul::timers::{Due, Key};

const CHECK_UPDATE_INTERVAL: Duration = Duration::from_secs(5 * 60);
const REAP_INTERVAL: Duration = Duration::from_secs(30);
const ALIAS_REFRESH: Duration = Duration::from_secs(60);

/// A check to be registered.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(in crate::consul) struct CheckRequest {
    pub(in crate::consul) id: String,
    pub(in crate::consul) name: String,
    pub(in crate::consul) status: String,
    pub(in crate::consul) notes: String,
    pub(in crate::consul) service_id: String,
    pub(in crate::consul) kind: CheckKind,
    /// The most of an output that is kept.
    pub(in crate::consul) output_max: Option<usize>,
    /// How long it may be critical before its service is dropped; zero for ever.
    pub(in crate::consul) deregister_after: Duration,
    /// How often in a row a probe must go well, or fail, before the status says so.
    pub(in crate::consul) success_before_passing: u64,
    pub(in crate::consul) failures_before_critical: u64,
}

/// Where a check's status comes from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::consul) enum CheckKind {
    /// Its owner reports it at least this often.
    Ttl(Duration),
    /// The agent tries this every `interval`.
    Probe { target: Target, interval: Duration },
    /// It mirrors the service of this id.
    Alias(String),
    /// It stays as it is for as long as it is there.
    Maintenance,
}

impl Default for CheckKind {
    fn default() -> Self {
        Self::Ttl(Duration::ZERO)
    }
}

impl CheckKind {
    /// What it is called in a check's `Type`.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Ttl(_) => "ttl",
            Self::Probe { target: Target::Http(_), .. } => "http",
            Self::Probe { target: Target::Tcp { .. }, .. } => "tcp",
            Self::Alias(_) => "alias",
            Self::Maintenance => "maintenance",
        }
    }
}

/// How often in a row a probe went well or failed.
#[derive(Debug)]
pub(super) struct Counts {
    success_before_passing: u64,
    failures_before_critical: u64,
    successes: u64,
    failures: u64,
}

impl LocalCheck {
    /// What it would be registered with to be as it is.
    pub(super) fn request(&self) -> CheckRequest {
        let Check { id, name, status, notes, service_id, .. } = &self.check;
        CheckRequest {
            id: id.clone(),
            name: name.clone(),
            // What a probe found out has to be found out again.
            status: match self.kind {
                CheckKind::Probe { .. } => CRITICAL.to_owned(),
                _ => status.clone(),
            },
            notes: notes.clone(),
            service_id: service_id.clone(),
            kind: self.kind.clone(),
            output_max: Some(self.output_max),
            deregister_after: self.deregister_after,
            success_before_passing: self.counts.success_before_passing,
            failures_before_critical: self.counts.failures_before_critical,
        }
    }
}

impl Counts {
    /// The first result counts, whatever it is.
    pub(super) fn new(success_before_passing: u64, failures_before_critical: u64) -> Self {
        Self {
            success_before_passing,
            failures_before_critical,
            successes: success_before_passing,
            failures: failures_before_critical,
        }
    }

    /// Counts one more, and says whether the status is to follow.
    pub(super) fn follow(&mut self, status: &str) -> bool {
        if status == CRITICAL {
            self.failures += 1;
            self.successes = 0;
            self.failures >= self.failures_before_critical
        } else {
            self.successes += 1;
            self.failures = 0;
            self.successes >= self.success_before_passing
        }
    }
}

#[derive(Debug)]
pub(super) struct LocalCheck {
    pub(super) check: Check,
    pub(super) kind: CheckKind,
    pub(super) counts: Counts,
    pub(super) last_output: String,
    pub(super) output_max: usize,
    pub(super) deregister_after: Duration,
    pub(super) critical_since: Option<Duration>,
    /// Its TTL's end, or when it is next carried out or looked at.
    pub(super) next: Option<Key>,
    pub(super) push: Option<Key>,
    pub(super) reap: Option<Key>,
    /// Tells this registration from one before it, of which a probe may still be under way.
    pub(super) run: u64,
    pub(super) version: u64,
    pub(super) in_sync: bool,
}

impl Consul {
    /// Reports a check's status, which starts its TTL again.
    ///
    /// # Errors
    /// Consul's text when there is no such check.
    pub(in crate::consul) fn agent_update_check(
        &mut self,
        id: &str,
        status: &str,
        output: &str,
    ) -> Result<(), String> {
        let known = self.agent.checks.get_mut(id).and_then(|local| match local.kind {
            CheckKind::Ttl(ttl) => Some((local, ttl)),
            _ => None,
        });
        let Some((local, ttl)) = known else {
            return Err(format!("CheckID {id:?} does not have associated TTL"));
        };
        let output = capped(output, local.output_max);
        local.last_output.clone_from(&output);
        self.timers.cancel(local.next.take());
        local.next = Some(self.timers.arm(self.now + ttl, Due::CheckTtl(id.to_owned())));
        self.check_set(id, status, output);
        Ok(())
    }

    /// Turns a check critical that was not updated in time.
    pub(in crate::consul) fn check_expire(&mut self, id: &str) {
        let Some(local) = self.agent.checks.get_mut(id) else {
            return;
        };
        local.next = None;
        let output = match local.last_output.as_str() {
            "" => "TTL expired".to_owned(),
            last => format!("TTL expired (last output before timeout follows): {last}"),
        };
        self.check_set(id, CRITICAL, output);
    }

    /// Brings a check's output that was held back to the catalog.
    pub(in crate::consul) fn check_push(&mut self, id: &str) {
        self.check_out_of_sync(id);
        self.push();
    }

    /// Deregisters the service of a check that has been critical for too long.
    pub(in crate::consul) fn check_reap(&mut self, id: &str) {
        let Some(local) = self.agent.checks.get_mut(id) else {
            return;
        };
        local.reap = None;
        let service = local.check.service_id.clone();
        self.agent_remove_service(&service);
    }

    /// Looks again at what a check mirrors.
    pub(in crate::consul) fn check_alias(&mut self, id: &str) {
        let service = self.alias_refresh(id);
        if let Some(service) = service {
            self.aliases_follow(&service);
        }
        self.push();
    }

    /// Gives a check its status, with all that follows.
    pub(super) fn check_set(&mut self, id: &str, status: &str, output: String) {
        if let Some(service) = self.check_change(id, status, output) {
            self.aliases_follow(&service);
        }
        self.push();
    }

    /// Gives a check its status. Returns its service if anything changed.
    fn check_change(&mut self, id: &str, status: &str, output: String) -> Option<String> {
        let local = self.agent.checks.get_mut(id)?;
        if status != CRITICAL {
            local.critical_since = None;
            self.timers.cancel(local.reap.take());
        } else if local.critical_since.is_none() {
            local.critical_since = Some(self.now);
            self.reap_arm(id);
        }
        let local = self.agent.checks.get_mut(id)?;
        let same_output = local.check.output == output;
        local.check.output = output;
        if local.check.status != status {
            status.clone_into(&mut local.check.status);
            self.check_out_of_sync(id);
        } else if same_output {
            return None;
        } else if local.push.is_none() {
            let wait = CHECK_UPDATE_INTERVAL / 2 + self.draw_below(CHECK_UPDATE_INTERVAL);
            let key = self.timers.arm(self.now + wait, Due::CheckOutput(id.to_owned()));
            self.agent.checks.get_mut(id)?.push = Some(key);
        }
        self.agent.checks.get(id).map(|local| local.check.service_id.clone())
    }

    fn check_out_of_sync(&mut self, id: &str) {
        let version = self.agent.count();
        if let Some(local) = self.agent.checks.get_mut(id) {
            self.timers.cancel(local.push.take());
            local.version = version;
            local.in_sync = false;
        }
    }

    /// The agent looks for services to drop at fixed times, not when one becomes due.
    pub(super) fn reap_arm(&mut self, id: &str) {
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

    /// Looks at what a check mirrors, if it mirrors anything, now and again after a while. Returns its
    /// service if that changed it.
    pub(super) fn alias_refresh(&mut self, id: &str) -> Option<String> {
        let local = self.agent.checks.get_mut(id)?;
        let CheckKind::Alias(of) = &local.kind else {
            return None;
        };
        let of = of.clone();
        self.timers.cancel(local.next.take());
        local.next = Some(self.timers.arm(self.now + ALIAS_REFRESH, Due::CheckAlias(id.to_owned())));
        let (status, output) = self.agent.mirrored(&of);
        self.check_change(id, status, output)
    }

    /// Lets the checks that mirror `service` follow it, and those that mirror theirs. Each follows once:
    /// two that mirror one another's services would never come to an end.
    pub(super) fn aliases_follow(&mut self, service: &str) {
        if self.agent.aliases.is_empty() {
            return;
        }
        let mut followed = BTreeSet::new();
        let mut changed = VecDeque::from([service.to_owned()]);
        while let Some(service) = changed.pop_front() {
            for id in self.agent.aliases_of(&service) {
                if followed.insert(id.clone()) {
                    changed.extend(self.alias_refresh(&id));
                }
            }
        }
    }
}

impl Local {
    fn aliases_of(&self, service: &str) -> Vec<String> {
        let mirrors = |id: &&String| {
            let kind = self.checks.get(*id).map(|local| &local.kind);
            !service.is_empty() && matches!(kind, Some(CheckKind::Alias(of)) if of == service)
        };
        self.aliases.iter().filter(mirrors).cloned().collect()
    }

    /// What a check that mirrors `service` says. The node's own checks count, and among them the very
    /// check that asks: one that was critical when it was registered on the node stays so.
    fn mirrored(&self, service: &str) -> (&'static str, String) {
        let (mut status, mut output) = (PASSING, "No checks found.".to_owned());
        let mut found = self.services.contains_key(service);
        for check in self.checks_that_concern(service) {
            found |= check.service_id == service;
            if check.status == PASSING {
                if status == PASSING {
                    "All checks passing.".clone_into(&mut output);
                }
                continue;
            }
            status = if check.status == CRITICAL { CRITICAL } else { WARNING };
            output = capped(&format!("Aliased check {:?} failing: {}", check.name, check.output), OUTPUT_MAX);
            if status == CRITICAL {
                break;
            }
        }
        if !found {
            return (CRITICAL, format!("Service {service} could not be found on node "));
        }
        (status, output)
    }
}

/// As much of an output as is kept, from its beginning.
fn capped(output: &str, max: usize) -> String {
    if output.len() <= max {
        return output.to_owned();
    }
    let kept = (0..=max).rev().find(|end| output.is_char_boundary(*end)).unwrap_or(0);
    format!("{} ... (captured {max} of {} bytes)", &output[..kept], output.len())
}
