//! Checks the agent carries out: what to try, and what is made of how it went.
//!
//! Nothing here touches a network. [`Consul::take_probes`] says what is due; whoever carries a probe out
//! tells [`Consul::probed`] how it went, and the check's interval counts from then.
//!
//! The rule a caller must keep: every probe taken is answered, with a failure if nothing else; a check
//! whose probe is never answered is never tried again.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::check::CheckKind;
use crate::consul::Consul;
use crate::consul::state::catalog::{CRITICAL, PASSING, WARNING};
use crate::consul::timers::Due;

/// Something to be tried now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Names it to [`Consul::probed`].
    pub id: ProbeId,
    /// What to try.
    pub target: Target,
}

/// Names a probe: the check, and which registration of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeId {
    check: String,
    run: u64,
}

impl Probe {
    pub(super) fn is_of(&self, check: &str) -> bool {
        self.id.check == check
    }
}

/// What a check tries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// A request, and the answer's status says how it went.
    Http(Box<HttpTarget>),
    /// A connection that is closed again at once.
    Tcp {
        /// Host and port, as registered.
        address: String,
        /// When it has failed.
        timeout: Duration,
    },
}

/// The request of an HTTP check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpTarget {
    /// Its method.
    pub method: String,
    /// Where it goes, as registered.
    pub url: String,
    /// Its headers, as registered.
    pub header: BTreeMap<String, Vec<String>>,
    /// Its body.
    pub body: String,
    /// When it has failed.
    pub timeout: Duration,
}

impl HttpTarget {
    /// What a check says when its request brought no answer.
    pub fn failed(&self, why: &str) -> String {
        let mut letters = self.method.chars();
        let method: String =
            letters.next().into_iter().chain(letters.map(|c| c.to_ascii_lowercase())).collect();
        format!("{method} {:?}: {why}", self.url)
    }
}

/// How a probe went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeResult {
    /// There was an answer.
    Response {
        /// Its status.
        status: u16,
        /// The words after it.
        reason: String,
        /// Its body.
        body: Vec<u8>,
    },
    /// There was a connection.
    Connected,
    /// There was neither; this says why.
    Failed(String),
}

impl Consul {
    /// Whether there are probes that are due.
    pub fn has_probes(&self) -> bool {
        !self.agent.due.is_empty()
    }

    /// Takes the probes that are due. Each is to be answered with [`Self::probed`].
    pub fn take_probes(&mut self) -> Vec<Probe> {
        std::mem::take(&mut self.agent.due)
    }

    /// Says how a probe went. A check that was registered anew meanwhile does not hear of it.
    pub fn probed(&mut self, now: Duration, id: &ProbeId, result: ProbeResult) {
        self.advance(now);
        let Some(local) = self.agent.checks.get_mut(&id.check).filter(|local| local.run == id.run) else {
            return;
        };
        let CheckKind::Probe { target, interval } = &local.kind else {
            return;
        };
        let (status, output) = judge(target, result, local.output_max);
        let due = Due::CheckProbe(id.check.clone());
        self.timers.cancel(local.next.take());
        local.next = Some(self.timers.arm(self.now + *interval, due));
        if local.counts.follow(status) {
            self.check_set(&id.check, status, output);
        }
    }

    /// Makes a check's probe due.
    pub(in crate::consul) fn check_probe(&mut self, id: &str) {
        let Some(local) = self.agent.checks.get_mut(id) else {
            return;
        };
        local.next = None;
        if let CheckKind::Probe { target, .. } = &local.kind {
            let id = ProbeId { check: id.to_owned(), run: local.run };
            self.agent.due.push(Probe { id, target: target.clone() });
        }
    }
}

/// The status and the output that come of it.
fn judge(target: &Target, result: ProbeResult, output_max: usize) -> (&'static str, String) {
    match (target, result) {
        (Target::Http(http), ProbeResult::Response { status, reason, body }) => {
            let verdict = match status {
                200..=299 => PASSING,
                429 => WARNING,
                _ => CRITICAL,
            };
            // Of a long body the end is kept, unlike of what is reported.
            let kept = String::from_utf8_lossy(&body[body.len().saturating_sub(output_max)..]);
            let HttpTarget { method, url, .. } = &**http;
            (verdict, format!("HTTP {method} {url}: {status} {reason} Output: {kept}"))
        }
        (Target::Tcp { address, .. }, ProbeResult::Connected | ProbeResult::Response { .. }) => {
            (PASSING, format!("TCP connect {address}: Success"))
        }
        (Target::Http(http), ProbeResult::Connected) => (CRITICAL, http.failed("EOF")),
        (_, ProbeResult::Failed(why)) => (CRITICAL, why),
    }
}
