//! The engine: many machines on one thread, and a clock that skips to whatever happens next.
//!
//! All machines live on one paused `current_thread` tokio runtime. Each has its own
//! [`LocalSet`], polled inside `turmoil_net::set_current`, so whatever a machine's
//! tasks spawn with `spawn_local` keeps its machine; a crash is dropping the set, a pause is not polling
//! it. The engine is the one future the runtime blocks on: it polls the machines that were woken,
//! collects the segments they sent, asks the links when each arrives, hands over those that are due,
//! tells the [`Director`] what is due, and rests until the next of all these. While it rests, tokio's
//! paused clock jumps to the earliest timer of any machine or of the engine itself; so idle time is free.
//!
//! Time has the grain of tokio's timers: one millisecond. Things due in the same millisecond happen in
//! a fixed order: segments in the order they were sent, machines in the order the seed's `schedule`
//! stream draws, the director last.
//!
//! The rule a change must keep: nothing here may depend on anything but the director's calls and the
//! seed; sockets are created, polled and dropped only while their machine is current.

mod link;
#[cfg(test)]
mod tests;
mod wake;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use tokio::task::LocalSet;
use tokio::time::{Instant, Sleep};
use turmoil_net::{
    EnterGuard, HostId, KernelConfig, Net, NetstatState, Packet, TcpFlags, TcpSegment, Transport,
};

use link::{Fate, FlowKey, Links, Try};
pub use link::{HostIndex, Impairment};
use wake::{EngineWaker, HostWaker};

use crate::plan::Span;
use crate::seed::{Seed, Turn};

/// Decides what happens to machines, and when.
pub trait Director {
    /// When the director next has something to do; `None` ends the run when nothing else is left.
    fn next(&self) -> Option<Duration>;

    /// Does everything that is due at `now`. Called also after machines ran, so that a machine's end
    /// can be noticed.
    fn direct(&mut self, now: Duration, engine: &mut Engine);

    /// Whether the run is over.
    fn done(&self) -> bool;
}

/// A future that is one machine's life.
pub type Life = Pin<Box<dyn Future<Output = ()>>>;

/// One machine's place in the engine.
struct Slot {
    name: String,
    ip: IpAddr,
    id: HostId,
    tasks: Option<LocalSet>,
    flag: Arc<HostWaker>,
    waker: Waker,
    /// How many pauses it is under.
    pauses: u32,
}

/// What those on a machine can ask of the engine.
#[derive(Debug, Clone, Default)]
pub struct Wire(Rc<RefCell<Vec<FlowKey>>>);

impl Wire {
    /// Gives up the connections of a port that were closed there while the other side has not noticed: it may
    /// be dark or cut off, and turmoil-net lets nobody listen on a port until it has. A real kernel lets
    /// servers, which all ask it to (`SO_REUSEADDR`). They are gone a millisecond later.
    pub fn give_up_closing(&self, address: SocketAddr) {
        let closing =
            [NetstatState::FinWait1, NetstatState::FinWait2, NetstatState::Closing, NetstatState::LastAck];
        let given_up = turmoil_net::netstat(address.ip()).entries.into_iter().filter_map(|entry| {
            let closes = entry.state.is_some_and(|state| closing.contains(&state));
            entry
                .peer
                .filter(|_| closes && entry.local.port() == address.port())
                .map(|peer| (entry.local, peer))
        });
        self.0.borrow_mut().extend(given_up);
    }
}

/// Something of the engine's own that is due at a time.
enum Due {
    Deliver(Packet),
    Retry(FlowKey, Try),
}

/// Machines, links and time.
pub struct Engine {
    origin: Instant,
    slots: Vec<Slot>,
    links: Links,
    due: BTreeMap<(Duration, u64), Due>,
    sequence: u64,
    egress: Vec<Packet>,
    schedule: ChaCha8Rng,
    turn: Option<Turn>,
    order: Vec<HostIndex>,
    engine_waker: Arc<EngineWaker>,
    wire: Wire,
    // Last: sockets are gone before the network they live in.
    net: EnterGuard,
}

impl Engine {
    /// Builds machines with the given names and addresses and runs `direct`ed life on them to its end.
    ///
    /// `prepare` is called once inside the runtime, before time begins, and returns the director.
    ///
    /// # Panics
    /// When the runtime cannot be built, or another world already runs on this thread.
    pub fn run<D: Director>(
        seed: Seed,
        latency: Span,
        loss: f64,
        hosts: &[(String, IpAddr)],
        prepare: impl FnOnce(&mut Self) -> D,
    ) -> D {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a current-thread runtime without I/O needs nothing that could fail");
        let mut net = Net::with_config(KernelConfig::default().retx_threshold(u32::MAX));
        let engine_waker = Arc::new(EngineWaker::default());
        let slots = hosts
            .iter()
            .map(|(name, ip)| {
                let flag = HostWaker::new(&engine_waker);
                Slot {
                    name: name.clone(),
                    ip: *ip,
                    id: net.add_host(*ip),
                    tasks: None,
                    waker: Waker::from(Arc::clone(&flag)),
                    flag,
                    pauses: 0,
                }
            })
            .collect();
        runtime.block_on(async {
            let mut engine = Self {
                origin: Instant::now(),
                slots,
                links: Links::new(seed, latency, loss, hosts),
                due: BTreeMap::new(),
                sequence: 0,
                egress: Vec::with_capacity(64),
                schedule: seed.stream("schedule", ""),
                turn: None,
                order: Vec::new(),
                engine_waker,
                wire: Wire::default(),
                net: net.enter(),
            };
            let mut director = prepare(&mut engine);
            let mut alarm = Box::pin(tokio::time::sleep(Duration::ZERO));
            poll_fn(|cx| {
                engine.engine_waker.enter(cx.waker());
                let poll = engine.poll(&mut director, alarm.as_mut(), cx);
                engine.engine_waker.leave();
                poll
            })
            .await;
            for host in 0..engine.slots.len() {
                engine.drop_tasks(host);
            }
            director
        })
    }

    /// Time since the start of the run.
    pub fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    /// What those on its machines can ask of it.
    pub fn wire(&self) -> Wire {
        self.wire.clone()
    }

    /// When the run began, on the runtime's clock.
    pub fn origin(&self) -> Instant {
        self.origin
    }

    /// Starts `life` on a machine that has none. One that is paused lives when it goes on.
    ///
    /// # Panics
    /// When the machine already lives.
    pub fn start(&mut self, host: HostIndex, life: Life) {
        let slot = &self.slots[host];
        assert!(slot.tasks.is_none(), "{} already runs", slot.name);
        self.purge(host);
        let slot = &mut self.slots[host];
        let tasks = LocalSet::new();
        tasks.spawn_local(life);
        slot.tasks = Some(tasks);
        self.links.set_dark(host, false);
        self.slots[host].waker.wake_by_ref();
    }

    /// Has everything that is drawn from a time on come from another seed.
    pub fn turn(&mut self, turn: Turn) {
        self.turn = Some(turn);
    }

    /// Whether a machine lives.
    pub fn lives(&self, host: HostIndex) -> bool {
        self.slots[host].tasks.is_some()
    }

    /// Ends all of a machine's tasks at once; its kernel closes their sockets.
    pub fn kill(&mut self, host: HostIndex) {
        self.drop_tasks(host);
        self.collect(self.now());
    }

    /// Ends a machine without a word on any wire.
    pub fn power_off(&mut self, host: HostIndex) {
        self.collect(self.now());
        self.links.set_dark(host, true);
        self.drop_tasks(host);
        self.collect(self.now());
        self.purge(host);
        let ip = self.slots[host].ip;
        self.links.forget(ip);
        // What was under way to it is tried again by whoever sent it.
        let mut lost = Vec::new();
        self.due.retain(|_, due| match due {
            Due::Deliver(packet) if packet.dst == ip => {
                lost.push(packet.clone());
                false
            }
            _ => true,
        });
        for fate in self.links.lose(self.now(), lost) {
            self.settle(fate);
        }
    }

    /// Stops polling a machine; what is sent to it piles up in its kernel. Each pause ends by itself: a
    /// machine under two of them goes on when both are over.
    pub fn pause(&mut self, host: HostIndex) {
        self.slots[host].pauses += 1;
    }

    /// Ends a pause.
    pub fn resume(&mut self, host: HostIndex) {
        let slot = &mut self.slots[host];
        slot.pauses = slot.pauses.saturating_sub(1);
        slot.waker.wake_by_ref();
    }

    /// Puts an impairment on the way from one machine to another.
    pub fn impair(&mut self, from: HostIndex, to: HostIndex, impairment: Impairment) {
        self.links.impair(self.now(), from, to, impairment);
    }

    /// Takes it off again.
    pub fn repair(&mut self, from: HostIndex, to: HostIndex, impairment: Impairment) {
        for fate in self.links.repair(self.now(), from, to, impairment) {
            self.settle(fate);
        }
    }

    fn poll<D: Director>(
        &mut self,
        director: &mut D,
        mut alarm: Pin<&mut Sleep>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        loop {
            let now = self.now();
            if let Some(turn) = self.turn.take_if(|turn| now >= turn.at) {
                self.links.turn(turn.seed);
                self.schedule = turn.seed.stream("schedule", "");
            }
            let delivered = self.deliver_due(now);
            let ran = self.run_woken();
            for (local, peer) in std::mem::take(&mut *self.wire.0.borrow_mut()) {
                self.reset(local, peer);
            }
            // Also without a machine that ran: a kernel answers much by itself.
            if ran || delivered {
                self.collect(now);
            }
            director.direct(now, self);
            if director.done() {
                return Poll::Ready(());
            }
            if ran || delivered || self.anyone_woken() {
                continue;
            }
            let own = self.due.keys().next().map(|(at, _)| *at);
            let Some(next) = own.into_iter().chain(director.next()).min() else {
                // Only the machines' own timers are left; they wake whom they concern.
                return Poll::Pending;
            };
            alarm.as_mut().reset(self.origin + next);
            if alarm.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Polls every machine that was woken, in an order the seed draws.
    fn run_woken(&mut self) -> bool {
        self.order.clear();
        for (index, slot) in self.slots.iter().enumerate() {
            if slot.pauses == 0 && slot.flag.take() && slot.tasks.is_some() {
                self.order.push(index);
            }
        }
        if self.order.len() > 1 {
            self.order.shuffle(&mut self.schedule);
        }
        let now = self.now();
        for index in std::mem::take(&mut self.order) {
            let slot = &mut self.slots[index];
            if let Some(tasks) = &mut slot.tasks {
                // Whatever is logged on the way, by us or by a library, says when and where.
                let _here = tracing::debug_span!("on", host = slot.name, at = ?now).entered();
                turmoil_net::set_current(slot.id);
                let mut cx = Context::from_waker(&slot.waker);
                // A set whose tasks have all ended is kept: the machine is up, it only does nothing.
                let _ = Pin::new(tasks).poll(&mut cx);
            }
            self.order.push(index);
        }
        !self.order.is_empty()
    }

    fn anyone_woken(&self) -> bool {
        // A paused machine keeps its flag, and is not asked before it resumes.
        self.slots.iter().any(|slot| slot.pauses == 0 && slot.tasks.is_some() && slot.flag.is_set())
    }

    /// Takes what all kernels have to send and settles each segment's fate.
    fn collect(&mut self, now: Duration) {
        let mut egress = std::mem::take(&mut self.egress);
        self.net.egress_all(&mut egress);
        for packet in egress.drain(..) {
            let fate = self.links.send(now, packet);
            self.settle(fate);
        }
        self.egress = egress;
    }

    fn settle(&mut self, fate: Fate) {
        match fate {
            Fate::Arrives(at, packet) => self.schedule_at(at, Due::Deliver(packet)),
            Fate::Twice([first, second], packet) => {
                self.schedule_at(first, Due::Deliver(packet.clone()));
                self.schedule_at(second, Due::Deliver(packet));
            }
            Fate::Retry(at, key, due) => self.schedule_at(at, Due::Retry(key, due)),
            Fate::Waits => {}
            Fate::Reset((source, sink)) => {
                self.reset(source, sink);
                self.reset(sink, source);
            }
        }
    }

    fn schedule_at(&mut self, at: Duration, due: Due) {
        self.due.insert((at, self.sequence), due);
        self.sequence += 1;
    }

    fn deliver_due(&mut self, now: Duration) -> bool {
        let mut any = false;
        while let Some(entry) = self.due.first_entry() {
            if entry.key().0 > now {
                break;
            }
            match entry.remove() {
                Due::Deliver(packet) => {
                    any = true;
                    if !resets_half_open(&packet) {
                        self.net.deliver(packet);
                    }
                }
                Due::Retry(key, due) => {
                    for fate in self.links.retry(now, key, due) {
                        self.settle(fate);
                    }
                }
            }
        }
        any
    }

    fn drop_tasks(&mut self, host: HostIndex) {
        let slot = &mut self.slots[host];
        turmoil_net::set_current(slot.id);
        slot.tasks = None;
        slot.flag.take();
    }

    /// Clears what is left in a dead machine's kernel, so that its next life starts with a clean one.
    fn purge(&mut self, host: HostIndex) {
        let ip = self.slots[host].ip;
        let left: Vec<_> = turmoil_net::netstat(ip)
            .entries
            .into_iter()
            .filter_map(|entry| Some((entry.local, entry.peer?)))
            .collect();
        for (local, peer) in left {
            self.reset(local, peer);
        }
        // Answers to those resets go nowhere: the connections are unknown by now. What other machines have
        // to send is no part of this.
        let now = self.now();
        let mut egress = std::mem::take(&mut self.egress);
        self.net.egress_all(&mut egress);
        for packet in egress.drain(..).filter(|packet| packet.src != ip) {
            let fate = self.links.send(now, packet);
            self.settle(fate);
        }
        self.egress = egress;
    }

    /// Tells the kernel at `local` that `peer` has reset their connection.
    fn reset(&self, local: SocketAddr, peer: SocketAddr) {
        let segment = TcpSegment {
            src_port: peer.port(),
            dst_port: local.port(),
            seq: 0,
            ack: 0,
            flags: TcpFlags { rst: true, ..TcpFlags::default() },
            window: 0,
            payload: Bytes::new(),
        };
        let packet = Packet { src: peer.ip(), dst: local.ip(), ttl: 64, payload: Transport::Tcp(segment) };
        if !resets_half_open(&packet) {
            self.net.deliver(packet);
        }
    }
}

/// Whether a segment resets a connection that its listener has not been given yet.
///
/// turmoil-net keeps the socket of such a connection for good, and with it the port, which nobody can
/// listen on again. One that is not told goes with its listener.
fn resets_half_open(packet: &Packet) -> bool {
    let Transport::Tcp(segment) = &packet.payload else { return false };
    let local = SocketAddr::new(packet.dst, segment.dst_port);
    let peer = SocketAddr::new(packet.src, segment.src_port);
    segment.flags.rst
        && turmoil_net::netstat(packet.dst).entries.iter().any(|entry| {
            entry.local == local && entry.peer == Some(peer) && entry.state == Some(NetstatState::SynReceived)
        })
}
