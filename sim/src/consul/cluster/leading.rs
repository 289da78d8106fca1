//! What a leader does beside answering: it keeps the sessions' time, and the catalog in step with gossip.

use crate::consul::Consul;
use crate::consul::gossip::{Member, Status};
use crate::consul::raft::{self, Raft};
use crate::consul::state::catalog::{CRITICAL, PASSING, SERF_HEALTH};
use crate::consul::state::member::{self, serf_health};
use crate::consul::state::{Command, Deregistration, Happened, NodeUpdate, Registration};
use crate::consul::timers::Due;
use crate::record::ConsulEvent;

impl Consul {
    /// It won an election. Until its own first entry is applied it may not know all that is committed.
    pub(super) fn elected(&mut self) {
        let Some(cluster) = &mut self.cluster else { return };
        cluster.barrier = cluster.raft.as_ref().map(Raft::last_index);
        cluster.established = false;
        self.changed();
    }

    /// It leads no more.
    pub(super) fn deposed(&mut self) {
        let Some(cluster) = &mut self.cluster else { return };
        cluster.barrier = None;
        cluster.established = false;
        let waiting = std::mem::take(&mut cluster.commits);
        self.leader_stop();
        let server = self.config.node.clone();
        self.state.unlogged(ConsulEvent::LeaderDeposed { server });
        for job in waiting.into_values() {
            self.fail(job, "leadership lost while committing log");
        }
    }

    /// What it would say if it were told that it is ended where it stands: that it leads no more, if it does.
    pub(crate) fn last_word(&self) -> Option<Happened> {
        let leads = self.cluster.as_ref().is_some_and(|cluster| cluster.established) && !self.leaderless;
        let server = self.config.node.clone();
        leads.then_some(Happened { at: self.now, index: 0, event: ConsulEvent::LeaderDeposed { server } })
    }

    /// An entry of the log is committed.
    pub(super) fn committed(&mut self, index: u64, entry: raft::Entry<Command>) {
        let applied = match &entry {
            raft::Entry::Command(command) => Some(self.state.apply(index, command)),
            raft::Entry::Noop | raft::Entry::Configuration(_) => {
                self.state.index = index;
                None
            }
        };
        let Some(cluster) = &mut self.cluster else { return };
        if let Some(raft) = cluster.raft.as_mut().filter(|raft| raft.snapshot_due()) {
            // A state holds nothing that JSON cannot say.
            if let Ok(bytes) = serde_json::to_vec(&self.state) {
                raft.take_snapshot(bytes.into());
            }
        }
        let leads = cluster.leads();
        let waiting = cluster.commits.remove(&index);
        let establishes = leads && !cluster.established && cluster.barrier == Some(index);
        if leads && cluster.established {
            self.leader_effects();
        } else {
            self.state.drain_effects();
        }
        if establishes {
            self.establish(index);
        }
        if let (Some(job), Some(applied)) = (waiting, applied) {
            self.finish_write(job, applied);
        }
    }

    /// It knows all there is to know, and takes over what a leader has in memory only.
    fn establish(&mut self, index: u64) {
        let Some(cluster) = &mut self.cluster else { return };
        cluster.established = true;
        let (reconcile, autopilot) = (cluster.config.pace.reconcile, cluster.config.pace.autopilot);
        self.leader_start(index);
        let server = self.config.node.clone();
        if self.state.is_blank() {
            self.state.unlogged(ConsulEvent::Emptied { server: server.clone() });
        }
        self.state.unlogged(ConsulEvent::LeaderEstablished { server });
        if self.leaderless {
            self.leader_gone();
        }
        self.reconcile_all();
        self.leader_tick(reconcile, Due::Reconcile);
        if !autopilot.is_zero() {
            self.leader_tick(autopilot, Due::Autopilot);
        }
    }

    /// Compares every member with the catalog, now and again later.
    pub(in crate::consul) fn reconcile_due(&mut self) {
        let Some(every) = self.cluster.as_ref().filter(|cluster| cluster.established) else { return };
        let every = every.config.pace.reconcile;
        self.reconcile_all();
        self.leader_tick(every, Due::Reconcile);
        self.settle_cluster();
    }

    fn reconcile_all(&mut self) {
        let Some(cluster) = &self.cluster else { return };
        let members: Vec<Member> = cluster.gossip.members().cloned().collect();
        for member in &members {
            self.reconcile(member);
        }
        // A node that gossip was once told of and knows no more is gone.
        let gone: Vec<String> = self
            .state
            .catalogs
            .current()
            .nodes()
            .map(|node| node.name.clone())
            .filter(|name| self.state.catalogs.current().check(name, SERF_HEALTH).is_some())
            .filter(|name| members.iter().all(|member| !member.name.eq_ignore_ascii_case(name)))
            .collect();
        for node in gone {
            self.deregister_node(node);
        }
    }

    /// Servers that failed are forgotten while the others can do without them.
    pub(in crate::consul) fn autopilot_due(&mut self) {
        let Some(cluster) = self.cluster.as_ref().filter(|cluster| cluster.established) else { return };
        let every = cluster.config.pace.autopilot;
        let servers = cluster.config.servers;
        let failed: Vec<String> = cluster
            .gossip
            .members()
            .filter(|member| member.status == Status::Failed)
            .filter(|member| cluster.named(&member.name).is_some_and(|node| node < servers))
            .map(|member| member.name.to_string())
            .collect();
        if !failed.is_empty() && failed.len() <= (servers - 1) / 2 {
            let now = self.now;
            for node in failed {
                if let Some(cluster) = &mut self.cluster {
                    cluster.gossip.force_leave(now, &node, false);
                }
            }
        }
        self.leader_tick(every, Due::Autopilot);
        self.settle_cluster();
    }

    /// Gossip says something new of a member.
    pub(super) fn member_changed(&mut self, member: &Member) {
        self.changed();
        if self.cluster.as_ref().is_some_and(|cluster| cluster.established) {
            self.reconcile(member);
        }
    }

    fn reconcile(&mut self, member: &Member) {
        match member.status {
            Status::Alive => self.member_alive(member),
            Status::Failed => self.member_failed(member),
            Status::Leaving => {}
            Status::Left => self.deregister_node(member.name.to_string()),
        }
    }

    fn member_alive(&mut self, found: &Member) {
        let Some(cluster) = &self.cluster else { return };
        let Some(number) = cluster.named(&found.name) else { return };
        let config = &cluster.config.nodes[number];
        let catalog = self.state.catalogs.current();
        let service = (number < cluster.config.servers).then(|| member::server_service(config));
        let known = catalog.node(&found.name).is_some_and(|node| node.address == config.address.to_string())
            && catalog.check(&found.name, SERF_HEALTH).is_some_and(|check| check.status == PASSING)
            && service.as_ref().is_none_or(|service| catalog.service(&found.name, &service.id).is_some());
        if known {
            return;
        }
        let id = found.tags.get("id").cloned().unwrap_or_default();
        let node = Some(NodeUpdate { node: member::bare_node(config, &id), only_if_missing: true });
        let checks = vec![serf_health(&config.node, true)];
        self.propose_alone(Command::Register(Box::new(Registration { node, service, checks })));
    }

    fn member_failed(&mut self, member: &Member) {
        let catalog = self.state.catalogs.current();
        let known = catalog.node(&member.name).is_none()
            || catalog.check(&member.name, SERF_HEALTH).is_some_and(|check| check.status == CRITICAL);
        if known {
            return;
        }
        let checks = vec![serf_health(&member.name, false)];
        self.propose_alone(Command::Register(Box::new(Registration { node: None, service: None, checks })));
    }

    fn deregister_node(&mut self, node: String) {
        let own = node.eq_ignore_ascii_case(&self.config.node);
        if own || self.state.catalogs.current().node(&node).is_none() {
            return;
        }
        let whole = Deregistration { node, ..Deregistration::default() };
        self.propose_alone(Command::Deregister(whole));
    }

    /// Proposes what nobody waits for.
    pub(in crate::consul) fn propose_alone(&mut self, command: Command) {
        let now = self.now;
        if let Some(raft) = self.cluster.as_mut().and_then(|cluster| cluster.raft.as_mut()) {
            // One that leads no more leaves it to the next.
            raft.propose(now, command).ok();
        }
    }
}
