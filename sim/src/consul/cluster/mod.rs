//! A node among others: what makes one Consul out of several.
//!
//! Every node runs an agent and gossips; servers also hold the state, and agree on it by raft. A request
//! that a node cannot answer itself goes to one that can: from an agent to a server, from a server to the
//! leader (`jobs`). Nodes talk in [`Message`]s, which the node's owner carries: [`Consul::outgoing`]
//! and [`Consul::receive`].
//!
//! A server that is its cluster's only node has no `Cluster`: it applies what it is asked to at once.

mod config;
mod coordinates;
mod jobs;
mod joining;
mod leading;
mod message;
mod rebalance;
mod sync;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use rand_chacha::ChaCha8Rng;

pub use self::config::{ClusterConfig, Pace};
pub use self::jobs::Ticket;
use self::jobs::{Job, JobId};
use self::message::Body;
pub use self::message::{Lost, Message, Outgoing, Track, Way};
use super::agent::Saved;
use super::agent::events::UserEvent;
use super::api::Contact;
use super::gossip::{self, Gossip, Identity};
use super::raft::{self, Raft, Role, ServerId};
use super::state::{Command, State};
use super::{Consul, ConsulConfig};

/// What a node finds again when it is started again with its data directory.
#[derive(Debug, Default)]
pub struct Disk {
    node_id: Option<String>,
    raft: raft::Persistent<Command>,
    gossip: Option<gossip::Snapshot>,
    agent: Saved,
}

/// What a node knows of the others.
#[derive(Debug)]
pub(super) struct Cluster {
    config: Rc<ClusterConfig>,
    me: usize,
    raft: Option<Raft<Command>>,
    gossip: Gossip,
    /// The index of the entry by which this leader knows of all that came before it.
    barrier: Option<u64>,
    /// Whether that entry was applied, and the sessions' time is kept.
    established: bool,
    jobs: BTreeMap<JobId, Job>,
    next_job: u64,
    next_call: u64,
    /// Who waits for an entry of the log.
    commits: BTreeMap<u64, JobId>,
    /// Who waits for a leader's proof that it is one.
    verifies: BTreeMap<raft::VerifyToken, JobId>,
    /// Who waits for an answer from whom.
    calls: BTreeMap<(usize, u64), JobId>,
    /// When a machine that owes answers is given up.
    hangs: BTreeMap<usize, super::timers::Key>,
    /// Which server an agent asks.
    preferred: usize,
    /// The nodes it called, and whether the connection was closed since.
    called: BTreeMap<usize, bool>,
    /// Whose connection was given up.
    given_up: Vec<usize>,
    answers: Vec<(Ticket, Response<Bytes>)>,
    outgoing: Vec<Outgoing>,
    sync: sync::Sync,
    settled: u64,
    left: bool,
}

impl Cluster {
    fn is_server(&self) -> bool {
        self.me < self.config.servers
    }

    fn leads(&self) -> bool {
        self.raft.as_ref().is_some_and(|raft| raft.role() == Role::Leader)
    }

    /// The server that leads, as far as this one knows.
    fn leader(&self) -> Option<usize> {
        self.raft.as_ref().and_then(Raft::leader).map(|id| usize::from(id.0))
    }

    fn serf_address(&self, node: usize) -> SocketAddr {
        let node = &self.config.nodes[node];
        SocketAddr::new(node.address, node.serf_port)
    }

    fn server_address(&self, node: usize) -> SocketAddr {
        let node = &self.config.nodes[node];
        SocketAddr::new(node.address, node.server_port)
    }

    fn node_at(&self, serf: SocketAddr) -> Option<usize> {
        (0..self.config.nodes.len()).find(|node| self.serf_address(*node) == serf)
    }

    fn named(&self, name: &str) -> Option<usize> {
        self.config.nodes.iter().position(|node| node.node == name)
    }

    /// The servers that can be asked, this node's own view: all that joined and are not known to be gone. One
    /// that is about to leave still answers, and one that is back may be seen as leaving for good.
    fn live_servers(&self) -> BTreeSet<usize> {
        self.gossip
            .members()
            .filter(|member| matches!(member.status, gossip::Status::Alive | gossip::Status::Leaving))
            .filter_map(|member| self.named(&member.name))
            .filter(|node| *node < self.config.servers)
            .collect()
    }
}

impl Consul {
    /// Node `me` of a cluster, started at `now` with what it finds on its `disk`.
    ///
    /// # Panics
    /// When the cluster has no such node, or no server.
    pub fn member(
        config: ClusterConfig,
        me: usize,
        mut stream: ChaCha8Rng,
        now: Duration,
        disk: Disk,
    ) -> Self {
        assert!((1..=config.nodes.len().min(7)).contains(&config.servers), "1 to 7 servers");
        let mut consul = Self::blank(config.nodes[me].clone(), fork(&mut stream));
        consul.node_id = disk.node_id.unwrap_or_else(|| consul.draw_uuid());
        consul.set_time(now);
        consul.agent_restore(disk.agent);
        let raft = (me < config.servers).then(|| {
            let id = |number: usize| ServerId(u8::try_from(number).unwrap_or(u8::MAX));
            let timing = raft::Timing::multiplied(config.pace.raft_multiplier);
            let servers = (0..config.servers).map(id).collect();
            Raft::new(id(me), servers, timing, fork(&mut stream), now, disk.raft)
        });
        let own = &config.nodes[me];
        let identity = Identity {
            name: own.node.as_str().into(),
            address: SocketAddr::new(own.address, own.serf_port),
            tags: message::tags(own, &consul.node_id, me < config.servers, config.servers),
        };
        let mut gossip = Gossip::new(identity, gossip::Timing::lan(), fork(&mut stream), now);
        gossip.join(now, joining::others(&config, me));
        if let Some(snapshot) = disk.gossip {
            gossip.restore(now, snapshot);
        }
        consul.cluster = Some(Box::new(Cluster {
            me,
            raft,
            gossip,
            barrier: None,
            established: false,
            jobs: BTreeMap::new(),
            next_job: 0,
            next_call: 0,
            commits: BTreeMap::new(),
            verifies: BTreeMap::new(),
            calls: BTreeMap::new(),
            hangs: BTreeMap::new(),
            preferred: me % config.servers,
            called: BTreeMap::new(),
            given_up: Vec::new(),
            answers: Vec::new(),
            outgoing: Vec::new(),
            sync: sync::Sync::default(),
            settled: 0,
            left: false,
            config: Rc::new(config),
        }));
        consul.sync_begin();
        consul.coordinate_begin();
        consul.rebalance_begin();
        consul.settle_cluster();
        consul
    }

    /// What would be found on its disk if it stopped now.
    pub fn disk(&self) -> Disk {
        let raft = self.cluster.as_ref().and_then(|cluster| cluster.raft.as_ref());
        Disk {
            node_id: Some(self.node_id.clone()),
            raft: raft.map(|raft| raft.persistent().clone()).unwrap_or_default(),
            gossip: self.cluster.as_ref().map(|cluster| cluster.gossip.snapshot()),
            agent: self.agent.saved(),
        }
    }

    /// What it knows of the leader.
    pub(super) fn contact(&self) -> Contact {
        let raft = self.cluster.as_ref().and_then(|cluster| cluster.raft.as_ref());
        let Some(raft) = raft else { return Contact { known_leader: true, millis: 0 } };
        let since = raft.last_contact(self.now).map_or(0, |since| since.as_millis());
        Contact { known_leader: raft.leader().is_some(), millis: u64::try_from(since).unwrap_or(u64::MAX) }
    }

    /// Whether it is a server, and not an agent only.
    pub fn is_server(&self) -> bool {
        self.cluster.as_ref().is_none_or(|cluster| cluster.is_server())
    }

    /// Whether it leads its cluster.
    pub fn leads(&self) -> bool {
        self.cluster.as_ref().is_none_or(|cluster| cluster.leads())
    }

    /// How long it remembers what a token may do, if it has to ask its servers at all.
    pub(super) fn token_ttl(&self) -> Option<Duration> {
        let agent = self.cluster.as_ref().filter(|cluster| !cluster.is_server());
        agent.map(|cluster| cluster.config.pace.acl_token_ttl)
    }

    /// Whether it is the one that keeps the sessions' time.
    pub(super) fn keeps_time(&self) -> bool {
        self.cluster.as_ref().is_none_or(|cluster| cluster.established)
    }

    /// Whether requests can be answered at once, as far as this node knows.
    pub fn is_ready(&self) -> bool {
        self.cluster.as_ref().is_none_or(|cluster| match cluster.is_server() {
            true if cluster.leads() => cluster.established,
            true => cluster.leader().is_some(),
            false => !cluster.live_servers().is_empty(),
        })
    }

    /// Where servers reach the one that leads, as far as this one knows.
    pub(super) fn leader_address(&self) -> Option<SocketAddr> {
        let own = SocketAddr::new(self.config.address, self.config.server_port);
        match &self.cluster {
            None => Some(own),
            Some(cluster) => cluster.leader().map(|leader| cluster.server_address(leader)),
        }
    }

    /// The servers, each with its node's id, as far as gossip has told this one.
    pub(super) fn servers(&self) -> Vec<(String, &ConsulConfig)> {
        let Some(cluster) = &self.cluster else { return vec![(self.node_id.clone(), &self.config)] };
        let id = |name: &str| {
            let member = cluster.gossip.members().find(|member| &*member.name == name);
            member.and_then(|member| member.tags.get("id").cloned()).unwrap_or_default()
        };
        let servers = cluster.config.nodes[..cluster.config.servers].iter();
        servers.map(|config| (id(&config.node), config)).collect()
    }

    /// Where servers reach each other.
    pub(super) fn server_addresses(&self) -> Vec<SocketAddr> {
        match &self.cluster {
            None => vec![SocketAddr::new(self.config.address, self.config.server_port)],
            Some(cluster) => (0..cluster.config.servers).map(|node| cluster.server_address(node)).collect(),
        }
    }

    /// Takes what is to be sent to other nodes.
    pub fn outgoing(&mut self) -> Vec<Outgoing> {
        self.cluster.as_mut().map(|cluster| std::mem::take(&mut cluster.outgoing)).unwrap_or_default()
    }

    /// Takes the nodes that were given up: whatever a connection to one still holds is lost.
    pub fn given_up(&mut self) -> Vec<usize> {
        self.cluster.as_mut().map(|cluster| std::mem::take(&mut cluster.given_up)).unwrap_or_default()
    }

    /// Takes the answers that are ready to those who wait for them.
    pub fn answers(&mut self) -> Vec<(Ticket, Response<Bytes>)> {
        self.cluster.as_mut().map(|cluster| std::mem::take(&mut cluster.answers)).unwrap_or_default()
    }

    /// Takes in what node `from` says.
    pub fn receive(&mut self, now: Duration, from: usize, message: Message) {
        self.advance(now);
        let Some(cluster) = &mut self.cluster else { return };
        if from >= cluster.config.nodes.len() || from == cluster.me {
            return;
        }
        match message.0 {
            Body::Raft(message) => {
                if let Some(raft) = &mut cluster.raft {
                    raft.receive(now, ServerId(u8::try_from(from).unwrap_or(u8::MAX)), message);
                }
            }
            Body::Gossip(message) => {
                let from = cluster.serf_address(from);
                cluster.gossip.receive(now, from, message);
            }
            Body::Call(call, request) => self.called(from, call, request),
            Body::Answer(call, answer) => self.answered(from, call, answer),
        }
        self.settle_cluster();
    }

    /// Hears that nothing more comes from node `peer` on the connection there was.
    pub fn lost(&mut self, now: Duration, peer: usize, how: Lost) {
        self.advance(now);
        let Some(cluster) = &mut self.cluster else { return };
        if let Some(raft) = &mut cluster.raft
            && peer < cluster.config.servers
        {
            raft.disconnected(now, ServerId(u8::try_from(peer).unwrap_or(u8::MAX)));
        }
        if how == Lost::Refused {
            let address = cluster.serf_address(peer);
            cluster.gossip.refused(now, address);
        }
        self.hang_up(peer, how);
        self.settle_cluster();
    }

    /// Tells the others that it is about to stop. [`Self::has_left`] says when it may.
    pub fn leave(&mut self, now: Duration) {
        self.advance(now);
        if let Some(cluster) = &mut self.cluster {
            cluster.gossip.leave(now);
        }
        self.settle_cluster();
    }

    /// Whether it was told to leave, and has told the others that it is gone: it may be stopped.
    pub fn has_left(&self) -> bool {
        self.cluster.as_ref().map_or(self.agent.left, |cluster| cluster.left)
    }

    /// Everybody there is, as gossip has it; none where there is no gossip.
    pub(super) fn members(&self) -> Option<Vec<gossip::Member>> {
        self.cluster.as_ref().map(|cluster| cluster.gossip.members().cloned().collect())
    }

    /// Sends an event to every agent of a cluster, this one included. Says whether there is one.
    pub(super) fn gossip_event(&mut self, event: &UserEvent) -> bool {
        let now = self.now;
        let Some(cluster) = &mut self.cluster else { return false };
        let event = event.clone();
        cluster.gossip.fire(
            now,
            gossip::UserEvent {
                id: event.id,
                name: event.name,
                payload: event.payload,
                node_filter: event.node_filter,
                service_filter: event.service_filter,
                tag_filter: event.tag_filter,
                ltime: event.time,
            },
        );
        true
    }

    pub(super) fn cluster_advance(&mut self, now: Duration) {
        let Some(cluster) = &mut self.cluster else { return };
        if let Some(raft) = &mut cluster.raft {
            raft.advance(now);
        }
        cluster.gossip.advance(now);
        self.settle_cluster();
    }

    pub(super) fn cluster_deadline(&self) -> Option<Duration> {
        let cluster = self.cluster.as_ref()?;
        let raft = cluster.raft.as_ref().and_then(Raft::next_deadline);
        [raft, cluster.gossip.next_deadline(), cluster.jobs_deadline()].into_iter().flatten().min()
    }

    /// Carries out what came of the last input, until nothing more comes of it.
    pub(super) fn settle_cluster(&mut self) {
        loop {
            let Some(cluster) = &mut self.cluster else { return };
            let from_raft = cluster.raft.as_mut().map(Raft::drain).unwrap_or_default();
            let from_gossip = cluster.gossip.drain();
            let quiet = from_raft.is_empty() && from_gossip.is_empty();
            for output in from_raft {
                self.raft_says(output);
            }
            for output in from_gossip {
                self.gossip_says(output);
            }
            if quiet && !self.jobs_settle() {
                return;
            }
        }
    }

    fn raft_says(&mut self, output: raft::Output<Command>) {
        let Some(cluster) = &mut self.cluster else { return };
        match output {
            raft::Output::Send { to, message } => cluster.outgoing.push(Outgoing {
                to: usize::from(to.0),
                way: if message.is_answer() { Way::Datagram } else { Way::Over(Track::Log) },
                message: Message(Body::Raft(message)),
            }),
            raft::Output::Committed { index, entry, .. } => self.committed(index, entry),
            raft::Output::InstallSnapshot { index, bytes } => self.install(index, &bytes),
            raft::Output::Verified { token } => self.verified(token, true),
            raft::Output::VerifyFailed { token } => self.verified(token, false),
            raft::Output::BecameLeader { .. } => self.elected(),
            raft::Output::SteppedDown => self.deposed(),
            raft::Output::LeaderChanged { .. } => self.changed(),
        }
    }

    fn gossip_says(&mut self, output: gossip::Output) {
        let Some(cluster) = &mut self.cluster else { return };
        match output {
            gossip::Output::Send { to, message, delivery } => {
                let Some(to) = cluster.node_at(to) else { return };
                let way = match delivery {
                    gossip::Delivery::Datagram => Way::Datagram,
                    gossip::Delivery::Stream { until } => Way::Exchange { until },
                };
                cluster.outgoing.push(Outgoing { to, message: Message(Body::Gossip(message)), way });
            }
            gossip::Output::Joined(member) => {
                let server = cluster.named(&member.name).is_some_and(|node| node < cluster.config.servers);
                self.member_changed(&member);
                if server {
                    self.sync_soon();
                }
            }
            gossip::Output::Failed(member)
            | gossip::Output::Left(member)
            | gossip::Output::Reaped(member)
            | gossip::Output::Updated(member) => self.member_changed(&member),
            gossip::Output::User(event) => self.event_received(UserEvent {
                id: event.id.clone(),
                name: event.name.clone(),
                payload: event.payload.clone(),
                node_filter: event.node_filter.clone(),
                service_filter: event.service_filter.clone(),
                tag_filter: event.tag_filter.clone(),
                time: event.ltime,
            }),
            gossip::Output::LeaveEnded { .. } => cluster.left = true,
            gossip::Output::JoinEnded { contacted } => self.join_ended(contacted),
        }
    }

    fn install(&mut self, index: u64, bytes: &[u8]) {
        // A snapshot that is not one comes from no server of ours; the log has what it stands for.
        let Ok(mut state) = serde_json::from_slice::<State>(bytes) else { return };
        state.now = self.now;
        state.index = index;
        self.state = state;
        self.changed();
    }
}

fn fork(stream: &mut ChaCha8Rng) -> ChaCha8Rng {
    use rand::{Rng, SeedableRng};
    let mut seed = [0; 32];
    stream.fill_bytes(&mut seed);
    ChaCha8Rng::from_seed(seed)
}
