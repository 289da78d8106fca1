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
use crate::consul::agent::sync::SyncOp;
use crate::consul::state::member::full_node;
use crate::consul::state::{Command, NodeUpdate, Registration};
use crate::consul::timers::{Due, Key};

/// An agent that was started, or sees a server come up, compares within this time.
const SOON: Duration = Duration::from_secs(3);

/// What an agent's call was for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// To say who the node is.
    Node,
    /// To push this.
    Push(SyncOp),
    /// To learn what the catalog holds.
    Compare,
    /// To say where the node is.
    Coordinate,
}

/// How far the agent of a node has got.
#[derive(Debug, Default)]
pub(super) struct Sync {
    /// Whether the catalog knows who the node is.
    introduced: bool,
    /// Whether it has a call under way.
    busy: bool,
    /// Whether what it is at began with a comparison.
    full: bool,
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

    /// Brings what has changed to the catalog.
    pub(in crate::consul) fn sync_push(&mut self) {
        if !self.keeps_to_itself() && self.cluster.as_ref().is_some_and(|cluster| !cluster.sync.busy) {
            self.sync_next();
        }
    }

    /// It is time to compare.
    pub(in crate::consul) fn sync_due(&mut self) {
        let to_itself = self.keeps_to_itself();
        let Some(cluster) = &mut self.cluster else { return };
        cluster.sync.next = None;
        if cluster.sync.busy || to_itself {
            let again = self.now + cluster.config.pace.anti_entropy_retry;
            return self.sync_at(again);
        }
        cluster.sync.busy = true;
        let node = self.config.node.clone();
        self.call_for_agent(Step::Compare, Call::View(node));
        self.settle_cluster();
    }

    fn sync_next(&mut self) {
        if self.keeps_to_itself() {
            return self.sync_over(false);
        }
        let Some(cluster) = &mut self.cluster else { return };
        let introduced = cluster.sync.introduced;
        let node = full_node(&self.config, &self.node_id);
        let next = self.agent.unsynced().into_iter().find_map(|operation| {
            let command = self.agent.sync_command(&node, introduced, &operation)?;
            Some((Step::Push(operation), command))
        });
        // Who the node is goes along with the first of its services, or by itself where it has none.
        let next = next.or_else(|| {
            let node = Some(NodeUpdate { node, only_if_missing: false });
            let command = Command::Register(Box::new(Registration { node, ..Registration::default() }));
            (!introduced).then_some((Step::Node, command))
        });
        match next {
            Some((step, command)) => {
                cluster.sync.busy = true;
                self.call_for_agent(step, Call::Write(Box::new(command)));
            }
            None => self.sync_over(true),
        }
    }

    /// An agent's call is over.
    pub(super) fn sync_step(&mut self, step: Step, answer: Answer) {
        let Some(cluster) = &mut self.cluster else { return };
        match (step, answer) {
            (Step::Node, Answer::Written) => {
                cluster.sync.introduced = true;
                self.sync_next();
            }
            (Step::Push(operation), Answer::Written) => {
                cluster.sync.introduced |=
                    matches!(operation, SyncOp::PutService { .. } | SyncOp::PutCheck(_));
                self.agent.synced(&operation);
                self.sync_next();
            }
            (Step::Compare, Answer::View { node, services, checks }) => {
                cluster.sync.full = true;
                let own = full_node(&self.config, &self.node_id);
                cluster.sync.introduced &= node.is_some_and(|known| {
                    (&known.id, &known.tagged_addresses, &known.meta)
                        == (&own.id, &own.tagged_addresses, &own.meta)
                });
                self.agent.full_sync(&services, &checks);
                self.sync_next();
            }
            (Step::Compare, _) => {
                cluster.sync.full = true;
                self.sync_over(false);
            }
            (Step::Node | Step::Push(_), _) => self.sync_over(false),
            (Step::Coordinate, _) => {}
        }
    }

    /// The agent can do other things again, having brought all it knows to the catalog or not. After a comparison
    /// the next one is due: sooner where not all of it came to be known.
    fn sync_over(&mut self, well: bool) {
        let Some(cluster) = &mut self.cluster else { return };
        let pace = &cluster.config.pace;
        let pause = if well { pace.anti_entropy } else { pace.anti_entropy_retry };
        cluster.sync.busy = false;
        if std::mem::take(&mut cluster.sync.full) {
            let at = self.now + pause + self.draw_below(pause);
            self.sync_at(at);
        }
        let Some(cluster) = &mut self.cluster else { return };
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
}
