//! A node's side of the network between Consul's nodes.
//!
//! A node that asks another something, or has entries of the log for it, makes a connection for that and
//! says with the first byte what it is for, as the real ones do. What was asked for comes back over the
//! connection it was asked on, so a call and its answer share their fate: when the connection ends, the one
//! side knows that no answer comes, the other that nobody waits for one. Every message is acknowledged, by a
//! frame with nothing in it; a connection on which nothing is for too long is given up and made anew.
//!
//! Servers that agree on a log say something to each other twenty times a second, most of it nothing new. A
//! stream would double every word of it with its acknowledgements, so once two servers have a connection, what
//! is short goes beside it as datagrams: raft says again what was lost, after the time TCP would. That the
//! other one has gone is still learned from the connection.
//!
//! The rule a change must keep: nothing that waits for an answer is left waiting when none can come. A call
//! whose answer was lost while its connection lives would wait for ever, and all that its node does with it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use ironbird_agent::host::{Host, Listener, within};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use turmoil_net::shim::tokio::net::UdpSocket;

use super::super::observer::NodeObserver;
use crate::consul::Consul;
use crate::consul::cluster::{Lost, Message, Outgoing, Track, Way};
use crate::consul::server::{Posted, Shared};
use crate::machine::SimHost;

/// Servers call each other here.
const SERVER_PORT: u16 = 8300;
/// Everybody gossips here.
const SERF_PORT: u16 = 8301;
/// The greatest message.
const FRAME_MAX: u32 = 16 * 1024 * 1024;
/// A datagram as large as one can be.
const DATAGRAM_MAX: usize = 65_507;
/// The greatest message about the log that goes as a datagram: what fits into one packet.
const SHORT: usize = 1_400;
/// How many messages wait for a connection; more are lost, as they are when a real one's buffers are full.
const QUEUE: usize = 1024;
/// How long connecting is tried.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// The byte a connection is announced with: Consul's own.
fn byte(track: Track) -> u8 {
    match track {
        Track::Calls => 0,
        Track::Log => 1,
    }
}

fn track(announced: u8) -> Option<Track> {
    [Track::Calls, Track::Log].into_iter().find(|track| byte(*track) == announced)
}

/// How long a connection may be without an acknowledgement. What is called has to be given up by then.
fn patience(track: Track) -> Duration {
    match track {
        Track::Calls => Duration::from_secs(30),
        Track::Log => Duration::from_secs(10),
    }
}

/// A node's side of the network between the nodes.
#[derive(Clone)]
pub(super) struct Peers {
    host: SimHost,
    shared: Shared,
    observer: Rc<NodeObserver>,
    nodes: Rc<[IpAddr]>,
    callers: Rc<RefCell<BTreeMap<usize, Caller>>>,
}

/// A node that asked this one something, over the last connection it made.
struct Caller {
    /// What is to go back: as much as was asked for.
    answers: mpsc::UnboundedSender<Vec<u8>>,
    /// Notified when the node has made another connection.
    superseded: Rc<Notify>,
}

/// What goes to a node over one connection after another.
struct Sender {
    frames: mpsc::Sender<Vec<u8>>,
    /// Whether there is a connection at this moment.
    connected: Rc<Cell<bool>>,
    task: AbortHandle,
}

fn connected(senders: &BTreeMap<(usize, Track), Sender>, node: usize) -> bool {
    senders.get(&(node, Track::Log)).is_some_and(|sender| sender.connected.get())
}

impl Peers {
    pub(super) fn new(host: SimHost, shared: Shared, observer: Rc<NodeObserver>, nodes: Vec<IpAddr>) -> Self {
        Self { host, shared, observer, nodes: nodes.into(), callers: Rc::default() }
    }

    /// Carries messages for as long as it is polled.
    pub(super) async fn run(self) -> io::Result<()> {
        let here = |port| SocketAddr::new(self.host.address(), port);
        let mut calls = self.host.listen(here(SERVER_PORT)).await?;
        let mut exchanges = self.host.listen(here(SERF_PORT)).await?;
        let gossip = Rc::new(UdpSocket::bind(here(SERF_PORT)).await?);
        let mut senders: BTreeMap<(usize, Track), Sender> = BTreeMap::new();
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
                    tasks.spawn_local(self.clone().take_exchange(stream, from.ip()));
                }
                received = gossip.recv_from(&mut datagram) => {
                    let (length, from) = received?;
                    if let Some(node) = self.node_at(from.ip()) {
                        self.take(node, &datagram[..length]);
                    }
                }
                posted = self.shared.posted() => for posted in posted {
                    let Outgoing { to, message, way } = match posted {
                        Posted::Message(outgoing) => *outgoing,
                        Posted::GivenUp(node) => {
                            if let Some(sender) = senders.remove(&(node, Track::Calls)) {
                                sender.task.abort();
                            }
                            continue;
                        }
                    };
                    let Ok(frame) = serde_json::to_vec(&message) else { continue };
                    let Some(address) = self.nodes.get(to).copied() else { continue };
                    let track = match way {
                        Way::Exchange { until } => {
                            tasks.spawn_local(self.clone().exchange(address, frame, until));
                            continue;
                        }
                        Way::Back => {
                            if let Some(caller) = self.callers.borrow().get(&to) {
                                caller.answers.send(frame).ok();
                            }
                            continue;
                        }
                        Way::Over(track)
                            if track == Track::Calls || frame.len() > SHORT || !connected(&senders, to) =>
                        {
                            track
                        }
                        // What does not fit, or has no way to go, is lost: that is what datagrams are.
                        Way::Over(_) | Way::Datagram => {
                            drop(gossip.send_to(&frame, SocketAddr::new(address, SERF_PORT)).await);
                            continue;
                        }
                    };
                    let sender = senders.entry((to, track)).or_insert_with(|| {
                        let (sender, frames) = mpsc::channel(QUEUE);
                        let connected = Rc::new(Cell::new(false));
                        let sending = self.clone().send(to, track, frames, Rc::clone(&connected));
                        Sender { frames: sender, connected, task: tasks.spawn_local(sending) }
                    });
                    sender.frames.try_send(frame).ok();
                },
            }
        }
    }

    fn node_at(&self, address: IpAddr) -> Option<usize> {
        self.nodes.iter().position(|other| *other == address)
    }

    /// Takes in a message from a node; what is none is passed over.
    fn take(&self, node: usize, frame: &[u8]) {
        if let Ok(message) = serde_json::from_slice::<Message>(frame) {
            self.tell(|consul, now| consul.receive(now, node, message));
        }
    }

    fn tell(&self, tell: impl FnOnce(&mut Consul, Duration)) {
        let now = self.host.now();
        self.shared.update(now, 0, &*self.observer, |consul| tell(consul, now));
    }

    /// Takes in what comes over a connection, acknowledges every message, and sends answers back.
    async fn listen(self, stream: impl AsyncRead + AsyncWrite + Unpin, from: IpAddr) {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let Ok(announced) = reader.read_u8().await else { return };
        let (Some(node), Some(track)) = (self.node_at(from), track(announced)) else { return };
        let (back, mut frames) = mpsc::unbounded_channel();
        let superseded = Rc::new(Notify::new());
        if track == Track::Calls {
            self.enter(node, Caller { answers: back.clone(), superseded: Rc::clone(&superseded) });
        }
        let reading = async {
            while let Ok(frame) = read_frame(&mut reader).await {
                self.take(node, &frame);
                back.send(Vec::new()).ok();
            }
        };
        let writing = async {
            while let Some(frame) = frames.recv().await {
                if write_frame(&mut writer, &frame).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            biased;
            () = superseded.notified() => return,
            () = reading => {}
            () = writing => {}
        }
        if track == Track::Calls {
            self.callers.borrow_mut().remove(&node);
            self.tell(|consul, _| consul.caller_gone(node));
        }
    }

    /// A node that makes a connection has none any more, whatever became of the last.
    fn enter(&self, node: usize, caller: Caller) {
        let before = self.callers.borrow_mut().insert(node, caller);
        if let Some(before) = before {
            before.superseded.notify_one();
            self.tell(|consul, _| consul.caller_gone(node));
        }
    }

    /// Takes in what comes over a connection made for it, and acknowledges it.
    async fn take_exchange(self, mut stream: impl AsyncRead + AsyncWrite + Unpin, from: IpAddr) {
        let Some(node) = self.node_at(from) else { return };
        while let Ok(frame) = read_frame(&mut stream).await {
            self.take(node, &frame);
            if write_frame(&mut stream, &[]).await.is_err() {
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
            read_frame(&mut stream).await
        });
        if let Some(Err(error)) = sent.await
            && error.kind() == io::ErrorKind::ConnectionRefused
            && let Some(node) = self.node_at(to)
        {
            self.tell(|consul, now| consul.lost(now, node, Lost::Refused));
        }
    }

    /// Sends messages in order, over one connection after another.
    async fn send(
        self,
        node: usize,
        track: Track,
        mut frames: mpsc::Receiver<Vec<u8>>,
        connected: Rc<Cell<bool>>,
    ) {
        let address = SocketAddr::new(self.nodes[node], SERVER_PORT);
        while let Some(first) = frames.recv().await {
            let lost = match within(&self.host, CONNECT_DEADLINE, self.host.connect(address)).await {
                Some(Ok(stream)) => {
                    connected.set(true);
                    self.converse(stream, node, track, first, &mut frames).await
                }
                Some(Err(_)) => Lost::Refused,
                None => Lost::Silent,
            };
            connected.set(false);
            // What waited for this connection does not wait for another.
            while frames.try_recv().is_ok() {}
            self.tell(|consul, now| consul.lost(now, node, lost));
        }
    }

    /// Sends messages over a connection, and takes in what comes back, until it is lost.
    async fn converse(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        node: usize,
        track: Track,
        first: Vec<u8>,
        frames: &mut mpsc::Receiver<Vec<u8>>,
    ) -> Lost {
        let (mut reader, mut writer) = tokio::io::split(stream);
        if writer.write_u8(byte(track)).await.is_err() || write_frame(&mut writer, &first).await.is_err() {
            return Lost::Closed;
        }
        let owed = Cell::new(1_u32);
        let heard = Notify::new();
        let mut reading = pin!(async {
            while let Ok(frame) = read_frame(&mut reader).await {
                if frame.is_empty() {
                    owed.set(owed.get().saturating_sub(1));
                } else {
                    self.take(node, &frame);
                }
                heard.notify_one();
            }
        });
        let mut deadline = pin!(self.host.sleep(patience(track)));
        loop {
            tokio::select! {
                biased;
                () = &mut reading => return Lost::Closed,
                () = heard.notified() => deadline.set(self.host.sleep(patience(track))),
                frame = frames.recv() => {
                    let Some(frame) = frame else { return Lost::Closed };
                    if owed.get() == 0 {
                        deadline.set(self.host.sleep(patience(track)));
                    }
                    owed.set(owed.get() + 1);
                    if write_frame(&mut writer, &frame).await.is_err() {
                        return Lost::Closed;
                    }
                }
                () = &mut deadline, if owed.get() > 0 => return Lost::Closed,
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
