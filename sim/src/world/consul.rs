//! Consul in the world: a lone server, or a cluster of servers and agents on machines of their own.
//!
//! Nodes of a cluster talk over the simulated network, as real ones do: calls and the servers' log over a
//! TCP connection each way, gossip in datagrams and over connections of its own. So whatever a fault does
//! to a link or a machine, it does to Consul too. A connection on which nothing is acknowledged for too
//! long is given up and made anew, as the real ones are.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use ironbird_agent::host::{Exit, Host, Listener, within};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use turmoil_net::shim::tokio::net::UdpSocket;

use super::CONSUL_PORT;
use super::observer::NodeObserver;
use crate::consul::chaos::Chaos;
use crate::consul::cluster::{ClusterConfig, Disk, Lost, Message, Outgoing, Way};
use crate::consul::server::{Fleet, Shared, Shell, serve};
use crate::consul::{Consul, ConsulConfig};
use crate::machine::SimHost;
use crate::seed::Seed;

/// Servers call each other here.
const SERVER_PORT: u16 = 8300;
/// Everybody gossips here.
const SERF_PORT: u16 = 8301;
/// The greatest message.
const FRAME_MAX: u32 = 16 * 1024 * 1024;
/// A datagram as large as one can be.
const DATAGRAM_MAX: usize = 65_507;
/// How many messages wait for a connection; more are lost, as they are when a real one's buffers are full.
const QUEUE: usize = 1024;
/// How long connecting is tried.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// How long the log's connection may be without an acknowledgement.
const LOG_PATIENCE: Duration = Duration::from_secs(10);
/// How long the one for calls may be: what is called has to be given up by then.
const CALL_PATIENCE: Duration = Duration::from_secs(30);

/// What a world's Consul is made of.
#[derive(Debug)]
pub(super) enum Plan {
    /// One server and nothing else.
    Lone,
    /// Several nodes, or one that may be restarted.
    Cluster(ClusterConfig),
}

/// One node, between the lives its machine gives it.
#[derive(Debug)]
pub(super) struct Node {
    plan: Rc<Plan>,
    number: usize,
    seed: Seed,
    lives: u64,
    runs: bool,
    shared: Option<Shared>,
    observer: Rc<NodeObserver>,
    /// What can be wrong with it, if anything will be.
    chaos: Option<Chaos>,
}

impl Node {
    pub(super) fn new(
        plan: Rc<Plan>,
        number: usize,
        seed: Seed,
        observer: NodeObserver,
        chaos: Option<Chaos>,
    ) -> Self {
        Self { plan, number, seed, lives: 0, runs: false, shared: None, observer: Rc::new(observer), chaos }
    }

    /// What is wrong with it, to be changed.
    pub(super) fn chaos(&self) -> Option<&Chaos> {
        self.chaos.as_ref()
    }

    /// Starts it on a machine that has just been started, with the disk of its last life.
    pub(super) fn start(&mut self, host: SimHost, wiped: bool) -> impl Future<Output = Exit> + 'static {
        let disk = match (&self.shared, wiped) {
            (Some(shared), false) => shared.read(|fleet| match fleet {
                Fleet::One(consul) => consul.disk(),
                Fleet::Mesh(_) => Disk::default(),
            }),
            _ => Disk::default(),
        };
        self.lives += 1;
        self.runs = true;
        let (consul, cluster) = match &*self.plan {
            Plan::Lone => {
                let config = ConsulConfig::new(host.hostname(), host.address());
                (Consul::new(config, self.seed.stream("consul", "")), None)
            }
            Plan::Cluster(config) => {
                let purpose = format!("{}/{}", host.hostname(), self.lives);
                let stream = self.seed.stream("consul", &purpose);
                let consul = Consul::member(config.clone(), self.number, stream, host.now(), disk);
                (consul, Some(config.nodes.iter().map(|node| node.address).collect::<Vec<_>>()))
            }
        };
        let shared = Shared::new(consul);
        self.shared = Some(shared.clone());
        let observer = Rc::clone(&self.observer);
        let mut shell = Shell::new(host.clone(), shared.clone(), Rc::clone(&observer));
        if let Some(chaos) = &self.chaos {
            let dice = self.seed.stream("chaos", &format!("{}/{}", host.hostname(), self.lives));
            shell = shell.with_chaos(chaos.clone(), dice);
        }
        async move {
            let clients = serve(shell, SocketAddr::new(host.address(), CONSUL_PORT));
            let peers = async {
                match cluster {
                    None => std::future::pending().await,
                    Some(nodes) => Peers { host, shared, observer, nodes: nodes.into() }.run().await,
                }
            };
            // It serves until its machine ends.
            tokio::select! {
                biased;
                _ = clients => {}
                _ = peers => {}
            }
            Exit::code(1)
        }
    }

    /// Notes that its machine has ended it.
    pub(super) fn ended(&mut self) {
        self.runs = false;
    }

    fn running(&self) -> Option<&Shared> {
        self.shared.as_ref().filter(|_| self.runs)
    }

    /// Changes it, if it runs.
    pub(super) fn update(&self, now: Duration, change: impl FnOnce(&mut Consul)) {
        if let Some(shared) = self.running() {
            shared.update(now, 0, &*self.observer, change);
        }
    }

    /// Whether it believes to lead.
    pub(super) fn leads(&self) -> bool {
        self.running().is_some_and(|shared| {
            shared.read(|fleet| match fleet {
                Fleet::One(consul) => consul.leads(),
                Fleet::Mesh(_) => false,
            })
        })
    }
}

/// A node's side of the network between the nodes.
#[derive(Clone)]
struct Peers {
    host: SimHost,
    shared: Shared,
    observer: Rc<NodeObserver>,
    nodes: Rc<[IpAddr]>,
}

impl Peers {
    async fn run(self) -> io::Result<()> {
        let here = |port| SocketAddr::new(self.host.address(), port);
        let mut calls = self.host.listen(here(SERVER_PORT)).await?;
        let mut exchanges = self.host.listen(here(SERF_PORT)).await?;
        let gossip = Rc::new(UdpSocket::bind(here(SERF_PORT)).await?);
        let mut senders: BTreeMap<(usize, bool), mpsc::Sender<Vec<u8>>> = BTreeMap::new();
        let mut tasks = JoinSet::new();
        let mut datagram = vec![0; DATAGRAM_MAX];
        loop {
            tokio::select! {
                biased;
                Some(_) = tasks.join_next() => {}
                accepted = calls.accept() => {
                    let (stream, from) = accepted?;
                    tasks.spawn_local(self.clone().listen(stream, from.ip()));
                }
                accepted = exchanges.accept() => {
                    let (stream, from) = accepted?;
                    tasks.spawn_local(self.clone().listen(stream, from.ip()));
                }
                received = gossip.recv_from(&mut datagram) => {
                    let (length, from) = received?;
                    self.take(from.ip(), &datagram[..length]);
                }
                outgoing = self.shared.posted() => for Outgoing { to, message, way } in outgoing {
                    let Ok(frame) = serde_json::to_vec(&message) else { continue };
                    let Some(address) = self.nodes.get(to).copied() else { continue };
                    match way {
                        // What does not fit, or has no way to go, is lost: that is what datagrams are.
                        Way::Datagram => drop(gossip.send_to(&frame, SocketAddr::new(address, SERF_PORT)).await),
                        Way::Exchange { until } => {
                            tasks.spawn_local(self.clone().exchange(address, frame, until));
                        }
                        Way::Connection | Way::Log => {
                            let log = way == Way::Log;
                            let sender = senders.entry((to, log)).or_insert_with(|| {
                                let (sender, frames) = mpsc::channel(QUEUE);
                                tasks.spawn_local(self.clone().send(to, log, frames));
                                sender
                            });
                            sender.try_send(frame).ok();
                        }
                    }
                },
            }
        }
    }

    /// Takes in a message from the node at `from`; what is none comes from nobody.
    fn take(&self, from: IpAddr, frame: &[u8]) {
        let node = self.nodes.iter().position(|address| *address == from);
        if let (Some(node), Ok(message)) = (node, serde_json::from_slice::<Message>(frame)) {
            self.tell(|consul, now| consul.receive(now, node, message));
        }
    }

    fn tell(&self, tell: impl FnOnce(&mut Consul, Duration)) {
        let now = self.host.now();
        self.shared.update(now, 0, &*self.observer, |consul| tell(consul, now));
    }

    /// Takes in what comes over a connection, and acknowledges every message.
    async fn listen(self, mut stream: impl AsyncRead + AsyncWrite + Unpin, from: IpAddr) {
        while let Ok(frame) = read_frame(&mut stream).await {
            self.take(from, &frame);
            if stream.write_all(&[1]).await.is_err() {
                return;
            }
        }
    }

    /// Sends one message over a connection of its own.
    async fn exchange(self, to: IpAddr, frame: Vec<u8>, until: Duration) {
        let left = until.saturating_sub(self.host.now());
        let sent = within(&self.host, left, async {
            let mut stream = self.host.connect(SocketAddr::new(to, SERF_PORT)).await?;
            write_frame(&mut stream, &frame).await?;
            stream.read_u8().await
        });
        if let Some(Err(error)) = sent.await
            && error.kind() == io::ErrorKind::ConnectionRefused
            && let Some(node) = self.nodes.iter().position(|address| *address == to)
        {
            self.tell(|consul, now| consul.lost(now, node, Lost::Refused));
        }
    }

    /// Sends messages in order, over one connection after another.
    async fn send(self, node: usize, log: bool, mut frames: mpsc::Receiver<Vec<u8>>) {
        let patience = if log { LOG_PATIENCE } else { CALL_PATIENCE };
        let address = SocketAddr::new(self.nodes[node], SERVER_PORT);
        while let Some(first) = frames.recv().await {
            let lost = match within(&self.host, CONNECT_DEADLINE, self.host.connect(address)).await {
                Some(Ok(stream)) => self.converse(stream, first, &mut frames, patience).await,
                Some(Err(_)) => Lost::Refused,
                None => Lost::Silent,
            };
            // What waited for this connection does not wait for another.
            while frames.try_recv().is_ok() {}
            self.tell(|consul, now| consul.lost(now, node, lost));
        }
    }

    async fn converse(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        first: Vec<u8>,
        frames: &mut mpsc::Receiver<Vec<u8>>,
        patience: Duration,
    ) -> Lost {
        let (mut reader, mut writer) = tokio::io::split(stream);
        if write_frame(&mut writer, &first).await.is_err() {
            return Lost::Closed;
        }
        let mut owed = 1_u32;
        let mut deadline = Box::pin(self.host.sleep(patience));
        loop {
            tokio::select! {
                biased;
                acknowledged = reader.read_u8() => {
                    if acknowledged.is_err() {
                        return Lost::Closed;
                    }
                    owed = owed.saturating_sub(1);
                    deadline.set(self.host.sleep(patience));
                }
                frame = frames.recv() => {
                    let Some(frame) = frame else { return Lost::Closed };
                    if owed == 0 {
                        deadline.set(self.host.sleep(patience));
                    }
                    owed += 1;
                    if write_frame(&mut writer, &frame).await.is_err() {
                        return Lost::Closed;
                    }
                }
                () = &mut deadline, if owed > 0 => return Lost::Closed,
            }
        }
    }
}

async fn read_frame(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let length = stream.read_u32().await?;
    if length > FRAME_MAX {
        return Err(io::Error::from(io::ErrorKind::InvalidData));
    }
    let mut frame = vec![0; length as usize];
    stream.read_exact(&mut frame).await?;
    Ok(frame)
}

async fn write_frame(stream: &mut (impl AsyncWrite + Unpin), frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    let mut whole = Vec::with_capacity(frame.len() + 4);
    whole.extend_from_slice(&length.to_be_bytes());
    whole.extend_from_slice(frame);
    stream.write_all(&whole).await
}
