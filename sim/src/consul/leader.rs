//! What only a leader does: settles what a write leaves open, keeps the sessions' time, and tells the log
//! to forget.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use ironbird_agent::planted::{self, Bug};

use super::Consul;
use super::api::{Failure, Form, May};
use super::state::session::{New, Request, Session};
use super::state::{Applied, Command, Effect, rules};
use super::timers::{Due, Key};
use crate::record::ConsulEvent;

/// A session's TTL counts twice: a holder must stop after one, nobody else starts before two.
const TTL_MULTIPLIER: u32 = 2;
const TOMBSTONE_TTL: Duration = Duration::from_secs(15 * 60);
const TOMBSTONE_GRANULARITY: Duration = Duration::from_secs(30);

/// A write, as an endpoint asks for it.
#[derive(Debug, Clone)]
pub(super) enum Proposal {
    /// There is nothing left to settle.
    Command(Command),
    /// A session, which is yet to be given an id.
    Session(Request),
}

/// Makes an answer of what a write came to.
pub(super) type Finish = fn(Applied, &Form) -> Result<Response<Bytes>, Failure>;

/// What a leader keeps in memory, and a new one starts afresh.
#[derive(Debug, Default)]
pub(super) struct Leader {
    expiries: BTreeMap<Rc<str>, Key>,
    others: BTreeSet<Key>,
    /// When tombstones are forgotten, and up to which index.
    buried: BTreeMap<Duration, u64>,
}

impl Consul {
    /// Carries out a write.
    pub(super) fn propose(&mut self, proposal: Proposal, may: &May) -> Applied {
        match self.settle(proposal, may) {
            Ok(command) => self.apply(&command),
            Err(refused) => refused,
        }
    }

    /// Makes a command of a proposal, or says at once what it comes to.
    pub(super) fn settle(&mut self, mut proposal: Proposal, may: &May) -> Result<Command, Applied> {
        // What is wrong with a registration is said before who may make it.
        match &mut proposal {
            Proposal::Command(Command::Register(registration)) => {
                rules::settle(registration).map_err(Applied::Failed)?;
            }
            Proposal::Command(Command::Deregister(gone)) if gone.node.is_empty() => {
                return Err(Applied::Failed("Must provide node".to_owned()));
            }
            Proposal::Session(request) if !request.node.is_empty() => {
                may.need(|token| token.session_write(&request.node))?;
            }
            _ => {}
        }
        if let Proposal::Command(command) = &proposal {
            self.vet(command, may)?;
        }
        match proposal {
            Proposal::Session(request) => {
                let id = self.draw_uuid().into();
                New::of(request, id).map(Command::SessionCreate).map_err(Applied::Failed)
            }
            Proposal::Command(Command::Lock(write, session)) => {
                if self.state.refuses_lock(&write.key, &session) {
                    return Err(Applied::If(false));
                }
                Ok(Command::Lock(write, session))
            }
            Proposal::Command(Command::Txn(mut operations)) => {
                let denied = may.refusals(&operations);
                match self.state.precheck(&mut operations, denied) {
                    Ok(()) => Ok(Command::Txn(operations)),
                    Err(refusals) => Err(Applied::Txn(Err(refusals))),
                }
            }
            Proposal::Command(Command::Coordinates(coordinates)) => {
                let valid = coordinates.iter().try_for_each(|coordinate| coordinate.point.validate());
                valid.map_err(|why| Applied::Failed(why.to_owned()))?;
                Ok(Command::Coordinates(coordinates))
            }
            Proposal::Command(command) => Ok(command),
        }
    }

    /// Applies a command at the next index, and sees to what follows.
    pub(super) fn apply(&mut self, command: &Command) -> Applied {
        let applied = self.state.apply(self.state.index + 1, command);
        self.leader_effects();
        applied
    }

    /// Writes what nobody waits for.
    fn write(&mut self, command: Command) {
        match self.cluster {
            None => drop(self.apply(&command)),
            Some(_) => self.propose_alone(command),
        }
    }

    /// Sees to what follows from what was applied.
    pub(super) fn leader_effects(&mut self) {
        for effect in self.state.drain_effects() {
            match effect {
                Effect::SessionBegan { id, ttl } => self.session_arm(id, ttl),
                Effect::SessionEnded(id) => {
                    let key = self.leader.expiries.remove(&id);
                    self.timers.cancel(key);
                }
                Effect::Buried(index) => self.bury(index),
            }
        }
    }

    /// Takes over: every session has all of its time again, and what is deleted by now is forgotten in time.
    pub(super) fn leader_start(&mut self, index: u64) {
        self.leader_stop();
        if !planted::is(Bug::NewLeaderForgetsTtls) {
            self.sessions_arm();
        }
        self.bury(index);
    }

    /// Hands over to whoever leads next.
    pub(super) fn leader_stop(&mut self) {
        let Leader { expiries, others, .. } = std::mem::take(&mut self.leader);
        for key in expiries.into_values().chain(others) {
            self.timers.cancel(Some(key));
        }
    }

    /// Keeps no session's time any more, if it leads.
    pub(super) fn leader_gone(&mut self) {
        for key in std::mem::take(&mut self.leader.expiries).into_values() {
            self.timers.cancel(Some(key));
        }
        if self.keeps_time() {
            self.state.unlogged(ConsulEvent::LeaderDeposed { server: self.config.node.clone() });
        }
    }

    /// Gives every session all of its time again, if it leads, and tells the catalog what it was not told.
    pub(super) fn leader_back(&mut self) {
        if self.keeps_time() {
            self.sessions_arm();
            self.state.unlogged(ConsulEvent::LeaderEstablished { server: self.config.node.clone() });
        }
        self.push();
    }

    fn sessions_arm(&mut self) {
        let sessions: Vec<_> =
            self.state.sessions.iter().map(|session| (Rc::clone(&session.id), session.ttl())).collect();
        for (id, ttl) in sessions {
            self.session_arm(id, ttl);
        }
    }

    /// Makes something happen in a while, unless another leads by then.
    pub(super) fn leader_tick(&mut self, after: Duration, due: Due) {
        let key = self.timers.arm(self.now + after, due);
        self.leader.others.insert(key);
        let now = self.now;
        self.leader.others.retain(|(at, _)| *at >= now);
    }

    fn bury(&mut self, index: u64) {
        let after = self.now + TOMBSTONE_TTL;
        let granule = TOMBSTONE_GRANULARITY.as_secs();
        let at = Duration::from_secs((after.as_secs() / granule + 1) * granule);
        // One timer, and one write, for all that are forgotten together.
        if self.leader.buried.insert(at, index).is_none() {
            self.leader_tick(at - self.now, Due::Tombstones);
        }
    }

    /// Forgets the deletes that are old enough.
    pub(super) fn tombstones_due(&mut self) {
        if let Some((_, index)) = self.leader.buried.pop_first() {
            self.write(Command::Reap(index));
        }
    }

    /// Starts a session's TTL again. This writes nothing: no index moves and nobody is woken.
    ///
    /// # Errors
    /// Consul's text when `id` cannot be a session's.
    pub(super) fn session_renew(&mut self, id: &str) -> Result<Option<&Session>, String> {
        let Some(session) = self.state.sessions.find(id)? else {
            return Ok(None);
        };
        let (id, ttl) = (Rc::clone(&session.id), session.ttl());
        self.state.unlogged(ConsulEvent::SessionRenewed { session: id.to_string() });
        if !planted::is(Bug::RenewalNotCounted) {
            self.session_arm(Rc::clone(&id), ttl);
        }
        self.state.sessions.find(&id)
    }

    /// Ends a session whose TTL ran out.
    pub(super) fn session_expire(&mut self, id: &str) {
        self.leader.expiries.remove(id);
        self.write(Command::SessionDestroy(id.to_owned(), "expired".to_owned()));
    }

    fn session_arm(&mut self, id: Rc<str>, ttl: Duration) {
        if ttl.is_zero() || self.leaderless {
            return;
        }
        let key = self.leader.expiries.remove(&id);
        self.timers.cancel(key);
        let key = self.timers.arm(self.now + ttl * TTL_MULTIPLIER, Due::SessionExpiry(Rc::clone(&id)));
        self.leader.expiries.insert(id, key);
    }
}
