//! Links between machines: what happens to a segment between leaving one kernel and reaching another.
//!
//! Pure: told the time and the segment, it says when the segment arrives. Every directed pair of machines
//! has a link with its own random stream; every directed TCP flow on it keeps its order, because the
//! simulated kernel, like a strict one, drops what arrives out of order.
//!
//! The kernel's own retransmission is switched off (it counts calls, not time). A segment that is lost, or
//! meets a cut or a dead machine, waits at the head of its flow and is tried again after a backed-off
//! retransmission timeout, with all that was sent after it behind it. A flow that gets nothing through
//! for its user timeout is reset. A *held* link has no such timeouts: it keeps everything and lets it go
//! when the hold ends, as a switch with a deep buffer does.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use turmoil_net::{Packet, Transport};

use crate::plan::Span;
use crate::seed::Seed;

/// The first retransmission timeout; doubled at every try.
const RTO_MIN: Duration = Duration::from_millis(200);
/// The longest pause between two tries.
const RTO_MAX: Duration = Duration::from_secs(120);
/// How long a connection attempt is retried: six doublings, as Linux does by default.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(127);
/// How long data is retried: about fifteen tries, as Linux does by default.
const USER_TIMEOUT: Duration = Duration::from_secs(924);
/// Flows at rest are forgotten each time this many segments have passed.
const SWEEP_EVERY: u32 = 4096;

/// A machine's number in the world.
pub type HostIndex = usize;

/// Directed endpoints of one flow of segments.
pub(super) type FlowKey = (SocketAddr, SocketAddr);

/// What a fault does to a link while it lasts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Impairment {
    /// Nothing passes.
    Cut,
    /// Everything is kept until the end.
    Hold,
    /// Everything takes longer.
    Delay(Duration),
    /// Everything takes longer, each time by another time up to this.
    Jitter(Duration),
    /// A share is lost and sent again.
    Loss(f64),
    /// A share of datagrams arrives twice. Segments do not: a kernel drops what it has had.
    Duplicate(f64),
}

/// The state of one directed link.
#[derive(Debug, Default)]
struct Link {
    impairments: Vec<Impairment>,
    /// Since when it is held; of several holds, the first.
    held_since: Duration,
    stream: Option<ChaCha8Rng>,
    /// What impairments draw comes from here, so that the rest of the link's draws stay what they are.
    dice: Option<ChaCha8Rng>,
}

impl Link {
    fn has(&self, kind: fn(&Impairment) -> bool) -> bool {
        self.impairments.iter().any(kind)
    }

    fn is_held(&self) -> bool {
        self.has(|impairment| *impairment == Impairment::Hold)
    }
}

/// The segments of one direction of one connection.
#[derive(Debug, Default)]
struct Flow {
    /// Nothing sent later may arrive before this.
    last_arrival: Duration,
    /// What waits to be sent again, in order; empty when the flow runs.
    waiting: VecDeque<Packet>,
    /// Since when the first of `waiting` has been trying.
    since: Duration,
    /// How often it has been tried.
    tries: u32,
    /// The try that is due next; one that was due before has been overtaken.
    due: Option<Try>,
}

/// One try to send what waits: no two are the same.
pub(super) type Try = u64;

/// What becomes of a segment.
#[derive(Debug)]
pub(super) enum Fate {
    /// It reaches the other kernel then.
    Arrives(Duration, Packet),
    /// It does, and then again.
    Twice([Duration; 2], Packet),
    /// Its flow is looked at again then.
    Retry(Duration, FlowKey, Try),
    /// It waits behind another, or for the end of a hold; or, a datagram, it is lost.
    Waits,
    /// The connection is given up: both kernels are told.
    Reset(FlowKey),
}

/// All links of a world.
#[derive(Debug)]
pub(super) struct Links {
    seed: Seed,
    names: Vec<String>,
    by_ip: BTreeMap<IpAddr, HostIndex>,
    links: Vec<Link>,
    latency: Span,
    loss: f64,
    dark: Vec<bool>,
    flows: BTreeMap<FlowKey, Flow>,
    tries: Try,
    until_sweep: u32,
}

impl Links {
    pub(super) fn new(seed: Seed, latency: Span, loss: f64, hosts: &[(String, IpAddr)]) -> Self {
        Self {
            seed,
            names: hosts.iter().map(|(name, _)| name.clone()).collect(),
            by_ip: hosts.iter().enumerate().map(|(index, (_, ip))| (*ip, index)).collect(),
            links: std::iter::repeat_with(Link::default).take(hosts.len() * hosts.len()).collect(),
            latency,
            loss,
            dark: vec![false; hosts.len()],
            flows: BTreeMap::new(),
            tries: 0,
            until_sweep: SWEEP_EVERY,
        }
    }

    /// Makes a machine answer nothing at all, or again.
    pub(super) fn set_dark(&mut self, host: HostIndex, dark: bool) {
        self.dark[host] = dark;
    }

    /// Puts `impairment` on the link from one machine to another.
    pub(super) fn impair(&mut self, now: Duration, from: HostIndex, to: HostIndex, impairment: Impairment) {
        let link = self.link(from, to);
        if impairment == Impairment::Hold && !link.is_held() {
            link.held_since = now;
        }
        link.impairments.push(impairment);
    }

    /// Takes `impairment` off again and says what was held and now arrives.
    pub(super) fn repair(
        &mut self,
        now: Duration,
        from: HostIndex,
        to: HostIndex,
        impairment: Impairment,
    ) -> Vec<Fate> {
        let impairments = &mut self.link(from, to).impairments;
        if let Some(place) = impairments.iter().position(|known| *known == impairment) {
            impairments.remove(place);
        }
        if impairment != Impairment::Hold || self.link(from, to).is_held() {
            return Vec::new();
        }
        let held_since = self.link(from, to).held_since;
        let held: Vec<FlowKey> = self
            .flows
            .iter()
            .filter(|((source, sink), flow)| {
                !flow.waiting.is_empty()
                    && self.by_ip.get(&source.ip()) == Some(&from)
                    && self.by_ip.get(&sink.ip()) == Some(&to)
            })
            .map(|(key, _)| *key)
            .collect();
        let mut fates = Vec::new();
        for key in held {
            if let Some(flow) = self.flows.get_mut(&key) {
                // A hold has no timeouts: the time it took counts for nobody's.
                flow.since += now.saturating_sub(held_since.max(flow.since));
            }
            fates.extend(self.attempt(now, key));
        }
        fates
    }

    /// Forgets every segment that a machine which lost its memory would have sent again.
    pub(super) fn forget(&mut self, ip: IpAddr) {
        self.flows.retain(|(source, _), _| source.ip() != ip);
    }

    /// Puts segments of one flow that were under way, in their order, before those that wait: there is
    /// nobody any more to take them.
    pub(super) fn lose(&mut self, now: Duration, packets: Vec<Packet>) -> Vec<Fate> {
        let mut touched = Vec::new();
        for packet in packets.into_iter().rev() {
            // A datagram is just lost.
            let Some(key) = flow_key(&packet) else { continue };
            let flow = self.flows.entry(key).or_default();
            if flow.waiting.is_empty() {
                flow.since = now;
                flow.tries = 0;
            }
            flow.waiting.push_front(packet);
            touched.push(key);
        }
        touched.reverse();
        let mut fates = Vec::new();
        for key in touched {
            let due = self.next_try();
            let Some(flow) = self.flows.get_mut(&key) else { continue };
            if flow.due.is_none() {
                flow.due = Some(due);
                fates.push(Fate::Retry(now + RTO_MIN, key, due));
            }
        }
        fates
    }

    fn next_try(&mut self) -> Try {
        self.tries += 1;
        self.tries
    }

    /// Says what becomes of a segment that leaves its machine now.
    pub(super) fn send(&mut self, now: Duration, packet: Packet) -> Fate {
        self.sweep(now);
        let Some(key) = flow_key(&packet) else {
            return self.datagram(now, packet);
        };
        let (Some(&from), Some(&to)) = (self.by_ip.get(&packet.src), self.by_ip.get(&packet.dst)) else {
            return Fate::Reset(key);
        };
        if self.dark[from] {
            return Fate::Waits;
        }
        let passes = self.passes(from, to);
        let latency = self.latency(from, to);
        let held = self.link(from, to).is_held();
        let due = self.next_try();
        let flow = self.flows.entry(key).or_default();
        if !flow.waiting.is_empty() {
            flow.waiting.push_back(packet);
            return Fate::Waits;
        }
        if passes {
            flow.last_arrival = flow.last_arrival.max(now + latency);
            return Fate::Arrives(flow.last_arrival, packet);
        }
        flow.waiting.push_back(packet);
        flow.since = now;
        flow.tries = 0;
        if held {
            return Fate::Waits;
        }
        flow.due = Some(due);
        Fate::Retry(now + RTO_MIN, key, due)
    }

    /// A datagram arrives after its latency, or never: nobody sends it again, and nothing keeps its place.
    fn datagram(&mut self, now: Duration, packet: Packet) -> Fate {
        let (Some(&from), Some(&to)) = (self.by_ip.get(&packet.src), self.by_ip.get(&packet.dst)) else {
            return Fate::Waits;
        };
        if !self.passes(from, to) {
            return Fate::Waits;
        }
        let at = now + self.latency(from, to);
        let mut once = 1.0;
        for impairment in &self.link(from, to).impairments {
            if let Impairment::Duplicate(rate) = impairment {
                once *= 1.0 - rate;
            }
        }
        if once < 1.0 && !self.dice(from, to).random_bool(once.clamp(0.0, 1.0)) {
            return Fate::Twice([at, now + self.latency(from, to)], packet);
        }
        Fate::Arrives(at, packet)
    }

    /// Tries again to send what waits in a flow, if this try has not been overtaken.
    pub(super) fn retry(&mut self, now: Duration, key: FlowKey, due: Try) -> Vec<Fate> {
        if self.flows.get(&key).is_some_and(|flow| flow.due == Some(due)) {
            return self.attempt(now, key);
        }
        Vec::new()
    }

    fn attempt(&mut self, now: Duration, key: FlowKey) -> Vec<Fate> {
        let (source, sink) = key;
        let (Some(&from), Some(&to)) = (self.by_ip.get(&source.ip()), self.by_ip.get(&sink.ip())) else {
            return Vec::new();
        };
        let passes = self.passes(from, to);
        let latency = self.latency(from, to);
        let held = self.link(from, to).is_held();
        let due = self.next_try();
        let Some(flow) = self.flows.get_mut(&key) else {
            return Vec::new();
        };
        flow.due = None;
        let Some(first) = flow.waiting.front() else {
            return Vec::new();
        };
        if passes {
            flow.last_arrival = flow.last_arrival.max(now + latency);
            let at = flow.last_arrival;
            return flow.waiting.drain(..).map(|packet| Fate::Arrives(at, packet)).collect();
        }
        if held {
            return Vec::new();
        }
        let limit = if is_connect(first) { CONNECT_TIMEOUT } else { USER_TIMEOUT };
        if now.saturating_sub(flow.since) >= limit {
            self.flows.remove(&key);
            self.flows.remove(&(sink, source));
            return vec![Fate::Reset(key)];
        }
        flow.tries += 1;
        flow.due = Some(due);
        let pause = RTO_MIN.saturating_mul(1 << flow.tries.min(16)).min(RTO_MAX);
        vec![Fate::Retry(now + pause, key, due)]
    }

    fn link(&mut self, from: HostIndex, to: HostIndex) -> &mut Link {
        let index = from * self.names.len() + to;
        &mut self.links[index]
    }

    /// Whether a segment sent now gets through.
    fn passes(&mut self, from: HostIndex, to: HostIndex) -> bool {
        let base_loss = self.loss;
        if self.dark[from] || self.dark[to] {
            return false;
        }
        let link = self.link(from, to);
        if link.has(|i| matches!(i, Impairment::Cut | Impairment::Hold)) {
            return false;
        }
        let kept: f64 = link.impairments.iter().fold(1.0, |kept, impairment| match impairment {
            Impairment::Loss(rate) => kept * (1.0 - rate),
            _ => kept,
        });
        let base = base_loss <= 0.0 || self.stream(from, to).random_bool((1.0 - base_loss).clamp(0.0, 1.0));
        let fault = kept >= 1.0 || self.dice(from, to).random_bool(kept.clamp(0.0, 1.0));
        base && fault
    }

    fn latency(&mut self, from: HostIndex, to: HostIndex) -> Duration {
        let base = self.latency;
        let mut sum = base.sample(self.stream(from, to));
        for number in 0..self.link(from, to).impairments.len() {
            sum += match self.link(from, to).impairments[number] {
                Impairment::Delay(extra) => extra,
                Impairment::Jitter(most) => {
                    Span { from: Duration::ZERO, to: most }.sample(self.dice(from, to))
                }
                Impairment::Cut | Impairment::Hold | Impairment::Loss(_) | Impairment::Duplicate(_) => {
                    Duration::ZERO
                }
            };
        }
        sum
    }

    /// Draws everything from now on from another seed.
    pub(super) fn turn(&mut self, seed: Seed) {
        self.seed = seed;
        for link in &mut self.links {
            link.stream = None;
        }
    }

    fn stream(&mut self, from: HostIndex, to: HostIndex) -> &mut ChaCha8Rng {
        let seed = self.seed;
        let entity = (from * self.names.len() + to, &self.names[from], &self.names[to]);
        let link = &mut self.links[entity.0];
        link.stream.get_or_insert_with(|| seed.stream("network", &format!("{}>{}", entity.1, entity.2)))
    }

    fn dice(&mut self, from: HostIndex, to: HostIndex) -> &mut ChaCha8Rng {
        let seed = self.seed;
        let entity = (from * self.names.len() + to, &self.names[from], &self.names[to]);
        let link = &mut self.links[entity.0];
        link.dice.get_or_insert_with(|| seed.stream("impairment", &format!("{}>{}", entity.1, entity.2)))
    }

    fn sweep(&mut self, now: Duration) {
        self.until_sweep -= 1;
        if self.until_sweep == 0 {
            self.until_sweep = SWEEP_EVERY;
            self.flows.retain(|_, flow| flow.last_arrival > now || !flow.waiting.is_empty());
        }
    }
}

fn flow_key(packet: &Packet) -> Option<FlowKey> {
    match &packet.payload {
        Transport::Tcp(segment) => Some((
            SocketAddr::new(packet.src, segment.src_port),
            SocketAddr::new(packet.dst, segment.dst_port),
        )),
        Transport::Udp(_) => None,
    }
}

fn is_connect(packet: &Packet) -> bool {
    matches!(&packet.payload, Transport::Tcp(segment) if segment.flags.syn)
}
