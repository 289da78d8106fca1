//! A whole cluster in one place: its nodes, and the network between them.
//!
//! Pure like the nodes themselves: the time and requests go in, answers come out. What one node sends
//! another arrives after a latency drawn from the mesh's own stream; links can be cut and nodes stopped,
//! paused and started. It is what a cluster outside a simulation runs on, and what the tests of clusters
//! run on; in a simulation every node is on a machine of its own instead.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::cluster::{ClusterConfig, Disk, Lost, Message, Outgoing, Ticket, Track, Way};
use super::{Consul, Happened, Reply};

/// What a connection over a cut link keeps at most.
const KEPT_MAX: usize = 4096;

/// How long it takes to find that there is no way to a machine.
const NO_ROUTE: Duration = Duration::from_secs(3);

/// A cluster and its network.
#[derive(Debug)]
pub struct Mesh {
    config: ClusterConfig,
    nodes: Vec<Node>,
    /// What is under way, by when it arrives.
    traffic: BTreeMap<(Duration, u64), Parcel>,
    sent: u64,
    /// When the last message on a connection arrives: nothing overtakes.
    order: BTreeMap<(usize, usize), Duration>,
    /// What connections keep while their link is cut.
    kept: BTreeMap<(usize, usize), VecDeque<Message>>,
    /// Between whom there is a connection for calls, both ways.
    connected: BTreeSet<(usize, usize)>,
    cut: BTreeSet<(usize, usize)>,
    latency: (Duration, Duration),
    stream: ChaCha8Rng,
    /// The index up to which it was told what happened.
    reported: u64,
    now: Duration,
}

/// Which of its lives a node is in, and how it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// How many lives of it have ended.
    pub ended: u64,
    /// Whether it runs, paused or not.
    pub running: bool,
    /// Whether its clock stands still.
    pub paused: bool,
}

#[derive(Debug)]
struct Node {
    consul: Option<Consul>,
    disk: Disk,
    /// When it next has something to do.
    deadline: Option<Duration>,
    /// How many of its lives have ended.
    ended: u64,
    paused: bool,
    /// What arrived while it was paused.
    inbox: VecDeque<(usize, Arrival)>,
    /// Which clients' requests did.
    asked: Vec<Ticket>,
}

#[derive(Debug)]
enum Arrival {
    Message(Box<Message>),
    Lost(Lost),
}

#[derive(Debug)]
struct Parcel {
    from: usize,
    to: usize,
    arrival: Arrival,
}

impl Mesh {
    /// A cluster whose nodes are all started at time 0, with all chance drawn from `stream`.
    pub fn new(config: ClusterConfig, stream: ChaCha8Rng) -> Self {
        let count = config.nodes.len();
        let nodes = std::iter::repeat_with(|| Node {
            consul: None,
            disk: Disk::default(),
            deadline: None,
            ended: 0,
            paused: false,
            inbox: VecDeque::new(),
            asked: Vec::new(),
        });
        let mut mesh = Self {
            config,
            nodes: nodes.take(count).collect(),
            traffic: BTreeMap::new(),
            sent: 0,
            order: BTreeMap::new(),
            kept: BTreeMap::new(),
            connected: BTreeSet::new(),
            cut: BTreeSet::new(),
            latency: (Duration::from_micros(200), Duration::from_micros(800)),
            stream,
            reported: 0,
            now: Duration::ZERO,
        };
        for node in 0..count {
            mesh.start(Duration::ZERO, node);
        }
        mesh
    }

    /// How many nodes there are, running or not.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// A running node.
    pub fn node(&self, node: usize) -> Option<&Consul> {
        self.nodes.get(node)?.consul.as_ref()
    }

    /// The server that leads, if there is one, and only one, that believes so. One that is paused believes
    /// nothing.
    pub fn leader(&self) -> Option<usize> {
        let servers = self.running().filter(|(node, _)| *node < self.config.servers);
        let mut leaders =
            servers.filter(|(_, slot)| slot.consul.as_ref().is_some_and(Consul::leads)).map(|(node, _)| node);
        leaders.next().filter(|_| leaders.next().is_none())
    }

    /// How many of the nodes, from the first, are servers.
    pub fn servers(&self) -> usize {
        self.config.servers
    }

    /// How a node is.
    pub fn life(&self, node: usize) -> Option<Life> {
        let slot = self.nodes.get(node)?;
        Some(Life { ended: slot.ended, running: slot.consul.is_some(), paused: slot.paused })
    }

    /// Whether there is a leader, and every node that runs can have a request answered by it.
    pub fn is_ready(&self) -> bool {
        self.leader().is_some()
            && self.running().all(|(_, slot)| slot.consul.as_ref().is_some_and(Consul::is_ready))
    }

    /// Sets how long a message takes, from, to.
    pub fn set_latency(&mut self, least: Duration, most: Duration) {
        self.latency = (least, most.max(least));
    }

    /// Starts a node that does not run, with what is on its disk.
    pub fn start(&mut self, now: Duration, node: usize) {
        self.advance(now);
        let Some(slot) = self.nodes.get_mut(node).filter(|slot| slot.consul.is_none()) else { return };
        let mut seed = [0; 32];
        self.stream.fill_bytes(&mut seed);
        let disk = std::mem::take(&mut slot.disk);
        let stream = ChaCha8Rng::from_seed(seed);
        slot.consul = Some(Consul::member(self.config.clone(), node, stream, self.now, disk));
        self.collect(node);
    }

    /// Ends a node without a word to it. Its disk stays; so do, for the others, its closed connections.
    pub fn kill(&mut self, now: Duration, node: usize) {
        self.advance(now);
        let Some(slot) = self.nodes.get_mut(node) else { return };
        let Some(consul) = slot.consul.take() else { return };
        slot.disk = consul.disk();
        slot.ended += 1;
        slot.paused = false;
        slot.inbox.clear();
        slot.asked.clear();
        self.connected.retain(|(from, to)| *from != node && *to != node);
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            self.post(node, other, Arrival::Lost(Lost::Closed));
        }
    }

    /// Forgets what is on the disk of a node that does not run.
    pub fn wipe(&mut self, node: usize) {
        if let Some(slot) = self.nodes.get_mut(node).filter(|slot| slot.consul.is_none()) {
            slot.disk = Disk::default();
        }
    }

    /// Stops a node's clock. What is sent to it waits.
    pub fn pause(&mut self, now: Duration, node: usize) {
        self.advance(now);
        if let Some(slot) = self.nodes.get_mut(node).filter(|slot| slot.consul.is_some()) {
            slot.paused = true;
        }
    }

    /// Lets it go on. Some of the requests that waited are looked at before it knows how late it is: for a
    /// moment it takes itself for what it was. Others it looks at when it has heard what waited, too.
    pub fn resume(&mut self, now: Duration, node: usize) {
        self.advance(now);
        let Some(slot) = self.nodes.get_mut(node).filter(|slot| slot.paused) else { return };
        slot.paused = false;
        let inbox = std::mem::take(&mut slot.inbox);
        let mut asked = std::mem::take(&mut slot.asked);
        let early = match self.stream.next_u64() % 2 {
            0 => 0,
            _ => usize::try_from(self.stream.next_u64()).unwrap_or(0) % (asked.len() + 1),
        };
        let late = asked.split_off(early);
        let (late, last): (Vec<_>, Vec<_>) =
            late.into_iter().partition(|_| self.stream.next_u64().is_multiple_of(2));
        self.look_at(node, asked);
        self.wake(node);
        self.look_at(node, late);
        for (from, arrival) in inbox {
            self.deliver(from, node, arrival);
        }
        self.wake(node);
        self.look_at(node, last);
    }

    fn look_at(&mut self, node: usize, asked: Vec<Ticket>) {
        if let Some(consul) = &mut self.nodes[node].consul {
            asked.into_iter().for_each(|ticket| consul.look_at(ticket));
            self.collect(node);
        }
    }

    /// Lets nothing pass from one node to another.
    pub fn cut(&mut self, now: Duration, from: usize, to: usize) {
        self.advance(now);
        self.cut.insert((from, to));
    }

    /// Cuts a node off from all others, both ways.
    pub fn isolate(&mut self, now: Duration, node: usize) {
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            self.cut(now, node, other);
            self.cut(now, other, node);
        }
    }

    /// Lets everything pass again. What connections kept arrives, unless they were given up.
    pub fn heal(&mut self, now: Duration) {
        self.advance(now);
        self.cut.clear();
        for ((from, to), kept) in std::mem::take(&mut self.kept) {
            for message in kept {
                self.post(from, to, Arrival::Message(Box::new(message)));
            }
        }
    }

    /// A client's request to a node. None when the node does not run, or is paused.
    pub fn request(
        &mut self,
        now: Duration,
        node: usize,
        client: IpAddr,
        request: &Request<Bytes>,
    ) -> Option<Reply> {
        self.advance(now);
        let slot = self.nodes.get_mut(node)?;
        let consul = slot.consul.as_mut()?;
        if slot.paused {
            let ticket = consul.keep(client, request)?;
            slot.asked.push(ticket);
            return Some(Reply::Pending(ticket));
        }
        let reply = consul.request(now, client, request);
        self.collect(node);
        Some(reply)
    }

    /// Changes or asks a node. None when it does not run, or is paused.
    pub fn with<T>(&mut self, now: Duration, node: usize, act: impl FnOnce(&mut Consul) -> T) -> Option<T> {
        self.advance(now);
        let slot = self.nodes.get_mut(node).filter(|slot| !slot.paused)?;
        let result = act(slot.consul.as_mut()?);
        self.collect(node);
        Some(result)
    }

    /// Nobody waits for this answer of a node any more.
    pub fn forget(&mut self, node: usize, ticket: Ticket) {
        if let Some(consul) = self.nodes.get_mut(node).and_then(|slot| slot.consul.as_mut()) {
            consul.forget(ticket);
        }
    }

    /// Takes the answers that are ready, each with the node that gives it.
    pub fn answers(&mut self) -> Vec<(usize, Ticket, Response<Bytes>)> {
        let nodes = self.nodes.iter_mut().enumerate();
        let running = nodes.filter(|(_, slot)| !slot.paused);
        let answers = running.filter_map(|(node, slot)| Some((node, slot.consul.as_mut()?.answers())));
        answers
            .flat_map(|(node, answers)| {
                answers.into_iter().map(move |(ticket, response)| (node, ticket, response))
            })
            .collect()
    }

    /// Takes what happened since the last time. What every server sees is told once, when the first does.
    pub fn drain_events(&mut self) -> Vec<Happened> {
        let mut events = Vec::new();
        for slot in &mut self.nodes {
            let Some(consul) = &mut slot.consul else { continue };
            let reported = self.reported;
            let news = consul.drain_events().into_iter();
            let news = news.filter(|happened| happened.index == 0 || happened.index > reported);
            for happened in news {
                self.reported = self.reported.max(happened.index);
                events.push(happened);
            }
        }
        events
    }

    /// When [`Self::advance`] next has something to do.
    pub fn next_deadline(&self) -> Option<Duration> {
        let traffic = self.traffic.first_key_value().map(|((at, _), _)| *at);
        traffic.into_iter().chain(self.running().filter_map(|(_, slot)| slot.deadline)).min()
    }

    fn running(&self) -> impl Iterator<Item = (usize, &Node)> {
        self.nodes.iter().enumerate().filter(|(_, slot)| !slot.paused && slot.consul.is_some())
    }

    /// Lets everything happen that is due by `now`, in order.
    pub fn advance(&mut self, now: Duration) {
        while let Some(at) = self.next_deadline().filter(|at| *at <= now) {
            self.now = self.now.max(at);
            if let Some(entry) = self.traffic.first_entry().filter(|entry| entry.key().0 <= at) {
                let Parcel { from, to, arrival } = entry.remove();
                self.deliver(from, to, arrival);
                continue;
            }
            let due: Vec<usize> = self
                .running()
                .filter(|(_, slot)| slot.deadline.is_some_and(|deadline| deadline <= at))
                .map(|(node, _)| node)
                .collect();
            for node in due {
                self.wake(node);
            }
        }
        self.now = self.now.max(now);
    }

    fn wake(&mut self, node: usize) {
        let now = self.now;
        if let Some(consul) = &mut self.nodes[node].consul {
            consul.advance(now);
            self.collect(node);
        }
    }

    fn deliver(&mut self, from: usize, to: usize, arrival: Arrival) {
        let now = self.now;
        let slot = &mut self.nodes[to];
        if slot.paused {
            slot.inbox.push_back((from, arrival));
            return;
        }
        let Some(consul) = &mut slot.consul else { return };
        match arrival {
            Arrival::Message(message) => {
                consul.receive(now, from, *message);
            }
            Arrival::Lost(how) => {
                if how == Lost::Closed {
                    consul.caller_gone(from);
                }
                consul.lost(now, from, how);
            }
        }
        self.collect(to);
    }

    /// Takes what a node has to send.
    fn collect(&mut self, from: usize) {
        let slot = &mut self.nodes[from];
        let Some(consul) = &mut slot.consul else { return };
        slot.deadline = consul.next_deadline();
        for peer in consul.given_up() {
            for link in [(from, peer), (peer, from)] {
                self.kept.remove(&link);
                self.connected.remove(&link);
            }
        }
        for Outgoing { to, message, way } in consul.outgoing() {
            if self.nodes.get(to).is_none_or(|slot| slot.consul.is_none()) {
                // Whoever asks a machine where nothing listens is told so.
                if matches!(way, Way::Over(_)) {
                    self.post(to, from, Arrival::Lost(Lost::Refused));
                }
            } else if !self.cut.contains(&(from, to)) {
                if way == Way::Over(Track::Calls) {
                    self.connected.extend([(from, to), (to, from)]);
                }
                self.post(from, to, Arrival::Message(Box::new(message)));
            } else if matches!(way, Way::Over(Track::Calls) | Way::Back) {
                self.keep(from, to, message, way);
            }
        }
    }

    fn keep(&mut self, from: usize, to: usize, message: Message, way: Way) {
        if !self.connected.contains(&(from, to)) {
            if way == Way::Back {
                return;
            }
            // None can be made.
            self.sent += 1;
            let lost = Parcel { from: to, to: from, arrival: Arrival::Lost(Lost::Silent) };
            self.traffic.insert((self.now + NO_ROUTE, self.sent), lost);
            return;
        }
        let kept = self.kept.entry((from, to)).or_default();
        if kept.len() < KEPT_MAX {
            kept.push_back(message);
        }
    }

    fn draw(&mut self, least: Duration, most: Duration) -> Duration {
        let spread = u64::try_from(most.saturating_sub(least).as_nanos()).unwrap_or(u64::MAX).max(1);
        least + Duration::from_nanos(self.stream.next_u64() % spread)
    }

    fn post(&mut self, from: usize, to: usize, arrival: Arrival) {
        let (least, most) = self.latency;
        let latency = self.draw(least, most);
        let at = (self.now + latency).max(self.order.get(&(from, to)).copied().unwrap_or_default());
        self.order.insert((from, to), at);
        self.sent += 1;
        self.traffic.insert((at, self.sent), Parcel { from, to, arrival });
    }
}
