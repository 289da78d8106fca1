//! A state and those who wait for it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use tokio::sync::{Notify, oneshot};

use super::{Fleet, Observer};
use crate::consul::cluster::{Outgoing, Ticket};
use crate::consul::latest::Latest;
use crate::consul::mesh::Life;
use crate::consul::{Blocked, Consul, Reply};

/// A state and those who wait for it, to be shared by a server and whoever else acts on the state.
#[derive(Debug, Clone)]
pub struct Shared(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    fleet: RefCell<Fleet>,
    /// How its nodes are.
    lives: Latest<Vec<Life>>,
    waiting: RefCell<BTreeMap<u64, Waiting>>,
    arrived: Cell<u64>,
    /// The revision those who wait have been asked about.
    settled: Cell<u64>,
    /// Until when the clock's keeper sleeps.
    asleep_until: Cell<Duration>,
    /// Wakes it when something is due before that.
    rescheduled: Notify,
    outbox: RefCell<VecDeque<Posted>>,
    posted: Notify,
    /// Wakes who carries probes out when there are any.
    probing: Notify,
}

/// What a node wants of the network between the nodes.
#[derive(Debug)]
pub enum Posted {
    /// This message sent.
    Message(Box<Outgoing>),
    /// Its connection for calls to this node closed, and what it still holds with it.
    GivenUp(usize),
}

#[derive(Debug)]
struct Waiting {
    node: usize,
    what: Awaited,
    answer: oneshot::Sender<Response<Bytes>>,
}

#[derive(Debug)]
enum Awaited {
    /// To be asked when something has changed.
    Change(Box<Blocked>),
    /// To be handed out.
    Answer(Ticket),
}

impl Shared {
    /// Shares a node or a cluster.
    pub fn new(fleet: impl Into<Fleet>) -> Self {
        let fleet = fleet.into();
        Self(Rc::new(Inner {
            lives: Latest::new(fleet.lives()),
            fleet: RefCell::new(fleet),
            waiting: RefCell::default(),
            arrived: Cell::new(0),
            settled: Cell::new(0),
            asleep_until: Cell::new(Duration::ZERO),
            rescheduled: Notify::new(),
            outbox: RefCell::default(),
            posted: Notify::new(),
            probing: Notify::new(),
        }))
    }

    /// Reads the state.
    ///
    /// # Panics
    /// When called from within [`Self::update`].
    pub fn read<T>(&self, read: impl FnOnce(&Fleet) -> T) -> T {
        read(&self.0.fleet.borrow())
    }

    /// How many requests wait.
    pub fn waiting(&self) -> usize {
        self.0.waiting.borrow().len()
    }

    /// Changes a node at `now`, tells `observer` what that led to, and answers who waited for it. None when
    /// the node does not run.
    ///
    /// # Panics
    /// When called from within itself.
    pub fn update<T>(
        &self,
        now: Duration,
        node: usize,
        observer: &impl Observer,
        update: impl FnOnce(&mut Consul) -> T,
    ) -> Option<T> {
        self.update_all(now, observer, |fleet| fleet.with(now, node, update))
    }

    /// Changes all there is at `now`, tells `observer` what that led to, and answers who waited for it.
    ///
    /// # Panics
    /// When called from within itself.
    pub fn update_all<T>(
        &self,
        now: Duration,
        observer: &impl Observer,
        update: impl FnOnce(&mut Fleet) -> T,
    ) -> T {
        let mut fleet = self.0.fleet.borrow_mut();
        fleet.advance(now);
        let result = update(&mut fleet);
        for happened in fleet.drain_events() {
            observer.event(happened);
        }
        self.bury(fleet.lives());
        self.settle(now, &mut fleet);
        let given_up = fleet.given_up().into_iter().map(Posted::GivenUp);
        let posted: Vec<_> =
            given_up.chain(fleet.outgoing().into_iter().map(Box::new).map(Posted::Message)).collect();
        if !posted.is_empty() {
            self.0.outbox.borrow_mut().extend(posted);
            self.0.posted.notify_one();
        }
        if fleet.has_probes() {
            self.0.probing.notify_one();
        }
        if let Some(deadline) = fleet.next_deadline() {
            self.reschedule(deadline);
        }
        result
    }

    /// Returns when a node has been stopped since, or does not run at all.
    pub(super) async fn stopped(&self, node: usize) {
        let lives = &self.0.lives;
        let first = lives.now().get(node).map(|life| life.ended);
        lives
            .until(|lives| lives.get(node).is_some_and(|life| !life.running || Some(life.ended) != first))
            .await;
    }

    /// Returns when a node runs.
    pub(super) async fn running(&self, node: usize) {
        self.until(node, |life| life.running).await;
    }

    /// Returns when a node is not paused.
    pub(super) async fn awake(&self, node: usize) {
        self.until(node, |life| !life.paused).await;
    }

    async fn until(&self, node: usize, holds: impl Fn(&Life) -> bool) {
        self.0.lives.until(|lives| lives.get(node).is_none_or(&holds)).await;
    }

    /// Lets go of those who wait for a node that was stopped, and tells its connections.
    fn bury(&self, lives: Vec<Life>) {
        let before = self.0.lives.now();
        if *before == lives {
            return;
        }
        let same = |node: usize| {
            let ended = |lives: &[Life]| lives.get(node).map(|life| life.ended);
            ended(&before) == ended(&lives)
        };
        // Its next life gives out the same tickets again.
        self.0.waiting.borrow_mut().retain(|_, waiting| same(waiting.node));
        drop(before);
        self.0.lives.change(|before| *before = lives);
    }

    /// Lets everything happen that is due by `now`, and says when to call again.
    pub(super) fn advance(&self, now: Duration, observer: &impl Observer) -> Option<Duration> {
        self.update_all(now, observer, |_| ());
        let blocked = self.0.waiting.borrow().values().filter_map(Waiting::deadline).min();
        let due = self.0.fleet.borrow().next_deadline();
        let deadline = [blocked, due].into_iter().flatten().min();
        self.0.asleep_until.set(deadline.unwrap_or(Duration::MAX));
        deadline
    }

    /// Completes when something is due before [`Self::advance`] said so.
    pub(super) async fn rescheduled(&self) {
        self.0.rescheduled.notified().await;
    }

    /// Takes what is to be done about other nodes, in order, once there is something.
    pub async fn posted(&self) -> Vec<Posted> {
        loop {
            let posted = std::mem::take(&mut *self.0.outbox.borrow_mut());
            if !posted.is_empty() {
                return posted.into();
            }
            self.0.posted.notified().await;
        }
    }

    /// Completes when there are probes to be carried out.
    pub(super) async fn probing(&self) {
        self.0.probing.notified().await;
    }

    /// Answers a client's request to a node, when there is an answer. A node that does not run never answers:
    /// its connections end.
    pub(super) async fn ask(
        &self,
        now: Duration,
        node: usize,
        observer: &impl Observer,
        client: IpAddr,
        request: &Request<Bytes>,
    ) -> Response<Bytes> {
        let reply = self.update_all(now, observer, |fleet| fleet.request(now, node, client, request));
        let what = match reply {
            Some(Reply::Now(response)) => return response,
            Some(Reply::Blocked(blocked)) => {
                self.reschedule(blocked.deadline());
                Awaited::Change(Box::new(blocked))
            }
            Some(Reply::Pending(ticket)) => Awaited::Answer(ticket),
            None => return std::future::pending().await,
        };
        let (answer, receiver) = oneshot::channel();
        let number = self.0.arrived.get();
        self.0.arrived.set(number + 1);
        self.0.waiting.borrow_mut().insert(number, Waiting { node, what, answer });
        let _leave = Leave { shared: self, number };
        match receiver.await {
            Ok(response) => response,
            // Its node was stopped.
            Err(_) => std::future::pending().await,
        }
    }

    fn reschedule(&self, deadline: Duration) {
        if deadline < self.0.asleep_until.get() {
            self.0.asleep_until.set(deadline);
            self.0.rescheduled.notify_one();
        }
    }

    fn settle(&self, now: Duration, fleet: &mut Fleet) {
        let mut waiting = self.0.waiting.borrow_mut();
        let answers = fleet.answers();
        if !answers.is_empty() {
            let mut answers: BTreeMap<(usize, Ticket), Response<Bytes>> =
                answers.into_iter().map(|(node, ticket, answer)| ((node, ticket), answer)).collect();
            let ready: Vec<u64> = waiting
                .iter()
                .filter(|(_, waiting)| waiting.ticket().is_some_and(|ticket| answers.contains_key(&ticket)))
                .map(|(number, _)| *number)
                .collect();
            for number in ready {
                let Some(waiting) = waiting.remove(&number) else { continue };
                if let Some(answer) = waiting.ticket().and_then(|ticket| answers.remove(&ticket)) {
                    // A client that has gone since does not want it.
                    drop(waiting.answer.send(answer));
                }
            }
        }
        let moved = self.0.settled.replace(fleet.revision()) != fleet.revision();
        let over = waiting.extract_if(.., |_, waiting| {
            waiting.answer.is_closed() || waiting.deadline().is_some_and(|at| moved || at <= now)
        });
        let mut kept = Vec::new();
        for (number, mut waiting) in over {
            if waiting.answer.is_closed() {
                continue;
            }
            let Awaited::Change(blocked) = &mut waiting.what else { continue };
            match fleet.poll(now, waiting.node, blocked) {
                // A client that has gone since does not want it.
                Some(response) => drop(waiting.answer.send(response)),
                None => kept.push((number, waiting)),
            }
        }
        waiting.extend(kept);
    }
}

impl Waiting {
    fn deadline(&self) -> Option<Duration> {
        match &self.what {
            Awaited::Change(blocked) => Some(blocked.deadline()),
            Awaited::Answer(_) => None,
        }
    }

    fn ticket(&self) -> Option<(usize, Ticket)> {
        match &self.what {
            Awaited::Change(_) => None,
            Awaited::Answer(ticket) => Some((self.node, *ticket)),
        }
    }
}

/// Stops waiting when the client goes away.
struct Leave<'a> {
    shared: &'a Shared,
    number: u64,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        let waiting = self.shared.0.waiting.borrow_mut().remove(&self.number);
        // Its node may be on the way to answer; it need not.
        if let Some((node, ticket)) = waiting.as_ref().and_then(Waiting::ticket)
            && let Ok(mut fleet) = self.shared.0.fleet.try_borrow_mut()
        {
            fleet.forget(node, ticket);
        }
    }
}
