//! Anti-entropy: how what an agent knows gets into the catalog.
//!
//! What changes is pushed at once, one thing after the other, and whoever asked for the change is answered
//! when the pushing has come to an end, well or not. What could not be pushed waits for the next change,
//! or for the next time the agent compares all it knows with the catalog. While it pushes, the agent can
//! do nothing else: with its servers out of reach, its own endpoints hang with it.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use http::Response;

use super::jobs::JobId;
use super::message::{Answer, Call};
use crate::consul::Consul;
use crate::consul::state::catalog::{Check, Node, SERF_HEALTH, Service};
use crate::consul::state::member::full_node;
use crate::consul::state::{Command, Deregistration, Registration};
use crate::consul::timers::{Due, Key};

/// An agent that was started, or sees a server come up, compares within this time.
const SOON: Duration = Duration::from_secs(3);

/// What an agent's call was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// To push what is first in line.
    Push,
    /// To learn what the catalog holds.
    Compare,
}

/// How far the agent of a node has got.
#[derive(Debug, Default)]
pub(super) struct Sync {
    /// What the catalog has not been told.
    unsynced: VecDeque<Command>,
    /// Whether it has a call under way.
    busy: bool,
    /// The next comparison.
    next: Option<Key>,
    /// Who is to be answered when it is done.
    held: Vec<(JobId, Response<Bytes>)>,
    /// Who is to be looked at when it is done.
    queue: VecDeque<JobId>,
}

impl Sync {
    /// Whether the agent can do nothing else.
    pub(super) fn is_busy(&self) -> bool {
        self.busy
    }

    /// Has a request wait for its turn.
    pub(super) fn queue(&mut self, job: JobId) {
        self.queue.push_back(job);
    }

    /// Keeps an answer until the catalog was told.
    pub(super) fn hold(&mut self, job: JobId, response: Response<Bytes>) {
        self.held.push((job, response));
    }
}

/// What of a node the catalog holds.
#[derive(Debug)]
pub(super) struct View {
    pub(super) node: Option<Node>,
    pub(super) services: Vec<Service>,
    pub(super) checks: Vec<Check>,
}

impl Consul {
    /// A node has started: its agent compares what it knows a little later.
    pub(super) fn sync_begin(&mut self) {
        let at = self.now + self.draw_below(SOON);
        self.sync_at(at);
    }

    /// A server is there that was not: what it could not be told before it is told soon.
    pub(super) fn sync_soon(&mut self) {
        let at = self.now + self.draw_below(SOON);
        let next = self.cluster.as_ref().and_then(|cluster| cluster.sync.next);
        if next.is_some_and(|(next, _)| next > at) {
            self.sync_at(at);
        }
    }

    fn sync_at(&mut self, at: Duration) {
        let Some(cluster) = &mut self.cluster else { return };
        self.timers.cancel(cluster.sync.next.take());
        cluster.sync.next = Some(self.timers.arm(at, Due::AntiEntropy));
    }

    /// Brings a change of the agent's to the catalog.
    pub(in crate::consul) fn sync_push(&mut self, command: Command) {
        let Some(cluster) = &mut self.cluster else { return };
        cluster.sync.unsynced.push_back(command);
        if !cluster.sync.busy {
            self.sync_next();
        }
    }

    /// It is time to compare.
    pub(in crate::consul) fn sync_due(&mut self) {
        let Some(cluster) = &mut self.cluster else { return };
        cluster.sync.next = None;
        if cluster.sync.busy {
            let again = self.now + cluster.config.pace.anti_entropy_retry;
            return self.sync_at(again);
        }
        cluster.sync.busy = true;
        let node = self.config.node.clone();
        self.call_for_agent(Step::Compare, Call::View(node));
        self.settle_cluster();
    }

    fn sync_next(&mut self) {
        let Some(cluster) = &mut self.cluster else { return };
        match cluster.sync.unsynced.front().cloned() {
            Some(command) => {
                cluster.sync.busy = true;
                self.call_for_agent(Step::Push, Call::Write(Box::new(command)));
            }
            None => self.sync_over(),
        }
    }

    /// An agent's call is over.
    pub(super) fn sync_step(&mut self, step: Step, answer: Answer) {
        let Some(cluster) = &mut self.cluster else { return };
        let pace = &cluster.config.pace;
        let (usual, retry) = (pace.anti_entropy, pace.anti_entropy_retry);
        match (step, answer) {
            (Step::Push, Answer::Written) => {
                cluster.sync.unsynced.pop_front();
                self.sync_next();
            }
            (Step::Compare, Answer::View { node, services, checks }) => {
                let changes = self.sync_compare(&View { node, services, checks });
                if let Some(cluster) = &mut self.cluster {
                    cluster.sync.unsynced = changes;
                }
                let at = self.now + usual + self.draw_below(usual);
                self.sync_at(at);
                self.sync_next();
            }
            (Step::Compare, _) => {
                let at = self.now + retry + self.draw_below(retry);
                self.sync_at(at);
                self.sync_over();
            }
            (Step::Push, _) => self.sync_over(),
        }
    }

    /// The agent can do other things again.
    fn sync_over(&mut self) {
        let Some(cluster) = &mut self.cluster else { return };
        cluster.sync.busy = false;
        for (job, response) in std::mem::take(&mut cluster.sync.held) {
            self.answer(job, response);
        }
        while let Some(cluster) = &mut self.cluster
            && !cluster.sync.busy
            && let Some(job) = cluster.sync.queue.pop_front()
        {
            self.attempt(job);
        }
    }

    /// What the catalog has to be told to hold what the agent knows, and nothing else.
    fn sync_compare(&self, view: &View) -> VecDeque<Command> {
        let mut changes = VecDeque::new();
        let node = &self.config.node;
        let register =
            |node, service, checks| Command::Register(Box::new(Registration { node, service, checks }));
        let full = full_node(&self.config, &self.node_id);
        if view.node.as_ref().is_none_or(|known| known.tagged_addresses != full.tagged_addresses) {
            changes.push_back(register(Some(full), None, Vec::new()));
        }
        for known in &view.services {
            if known.id != "consul" && !self.agent.services().contains_key(&known.id) {
                let (node, service) = (node.clone(), known.id.clone());
                changes.push_back(Command::Deregister(Deregistration {
                    node,
                    service,
                    check: String::new(),
                }));
            }
        }
        for known in &view.checks {
            if known.id != SERF_HEALTH && self.agent.checks().all(|check| check.id != known.id) {
                let (node, check) = (node.clone(), known.id.clone());
                changes.push_back(Command::Deregister(Deregistration {
                    node,
                    service: String::new(),
                    check,
                }));
            }
        }
        for (id, service) in self.agent.services() {
            let same = |known: &&Service| {
                let mut known = (*known).clone();
                (known.create_index, known.modify_index) = (service.create_index, service.modify_index);
                known == *service
            };
            if !view.services.iter().filter(|known| known.id == *id).any(|known| same(&known)) {
                changes.push_back(register(None, Some(service.clone()), Vec::new()));
            }
        }
        for check in self.agent.checks() {
            let same = |known: &Check| known.status == check.status && known.output == check.output;
            if !view.checks.iter().filter(|known| known.id == check.id).any(same) {
                changes.push_back(register(None, None, vec![check.clone()]));
            }
        }
        changes
    }
}
