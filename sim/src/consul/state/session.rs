//! Sessions: what a lock belongs to, and all the ways one ends.
//!
//! A session lives until it is destroyed, until twice its TTL after it was last created or renewed, or
//! until a check it is bound to turns critical or goes away. When a TTL is over is the leader's to say.
//! Whatever ends it goes through [`State::invalidate`], in the same raft index as its cause: its locks are
//! released or their keys deleted, and their lock-delay begins. Only invalidation starts a lock-delay;
//! releasing or deleting a key does not.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use ironbird_agent::planted::{self, Bug};
use serde::{Deserialize, Serialize};

use super::kv::Write;
use super::{Effect, State, catalog};
use crate::consul::duration::{self, micros, positive};
use crate::record::ConsulEvent;

const LOCK_DELAY_MAX: Duration = Duration::from_secs(60);
const TTL_MIN: i64 = 10_000_000_000;
const TTL_MAX: i64 = 86_400_000_000_000;

/// What becomes of a session's keys when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::consul) enum Behavior {
    Release,
    Delete,
}

/// A service check a session is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::consul) struct ServiceCheck {
    #[serde(rename = "ID")]
    pub(in crate::consul) id: String,
    #[serde(rename = "Namespace")]
    pub(in crate::consul) namespace: String,
}

/// What a client asks for when it creates a session.
#[derive(Debug, Clone)]
pub(in crate::consul) struct Request {
    pub(in crate::consul) name: String,
    pub(in crate::consul) node: String,
    pub(in crate::consul) lock_delay_nanos: i64,
    pub(in crate::consul) behavior: String,
    pub(in crate::consul) ttl: String,
    pub(in crate::consul) node_checks: Option<Vec<String>>,
    pub(in crate::consul) service_checks: Option<Vec<ServiceCheck>>,
    pub(in crate::consul) checks: Option<Vec<String>>,
}

/// A session to be, with all a leader has to settle settled.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::consul) struct New(Session);

impl New {
    /// What `request` asks for, to be called `id`.
    ///
    /// # Errors
    /// Consul's text for what is wrong with it.
    pub(in crate::consul) fn of(request: Request, id: Rc<str>) -> Result<Self, String> {
        if request.node.is_empty() {
            return Err("Must provide Node".to_owned());
        }
        let behavior = match request.behavior.as_str() {
            "" | "release" => Behavior::Release,
            "delete" => Behavior::Delete,
            other => return Err(format!("Invalid Behavior setting '{other}'")),
        };
        let ttl = match request.ttl.as_str() {
            "" => 0,
            text => duration::parse(text).map_err(|why| format!("Session TTL '{text}' invalid: {why}"))?,
        };
        if ttl != 0 && !(TTL_MIN..=TTL_MAX).contains(&ttl) {
            return Err(format!("Invalid Session TTL '{ttl}', must be between [10s=24h0m0s]"));
        }
        Ok(Self(Session {
            id,
            name: request.name,
            node: request.node,
            lock_delay_nanos: request.lock_delay_nanos,
            behavior,
            ttl_text: request.ttl,
            node_checks: request.node_checks,
            service_checks: request.service_checks,
            checks: request.checks,
            create_index: 0,
            modify_index: 0,
        }))
    }
}

/// A session, as it is shown.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::consul) struct Session {
    #[serde(rename = "ID")]
    pub(in crate::consul) id: Rc<str>,
    pub(in crate::consul) name: String,
    pub(in crate::consul) node: String,
    #[serde(rename = "LockDelay")]
    lock_delay_nanos: i64,
    behavior: Behavior,
    #[serde(rename = "TTL")]
    ttl_text: String,
    node_checks: Option<Vec<String>>,
    service_checks: Option<Vec<ServiceCheck>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checks: Option<Vec<String>>,
    pub(in crate::consul) create_index: u64,
    modify_index: u64,
}

impl Session {
    /// Its TTL; zero for none.
    pub(in crate::consul) fn ttl(&self) -> Duration {
        duration::parse(&self.ttl_text).map_or(Duration::ZERO, positive)
    }

    fn bound(&self) -> impl Iterator<Item = &str> {
        let plain = self.checks.iter().chain(&self.node_checks).flatten();
        let service = self.service_checks.iter().flatten();
        plain.map(String::as_str).chain(service.map(|check| check.id.as_str()))
    }
}

/// All sessions.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(in crate::consul) struct Sessions {
    by_id: BTreeMap<Rc<str>, Session>,
    index: u64,
}

impl Sessions {
    /// The session `id`, whatever the case of its letters.
    ///
    /// # Errors
    /// Consul's text when `id` cannot be a session's.
    pub(in crate::consul) fn find(&self, id: &str) -> Result<Option<&Session>, String> {
        validate(id)?;
        Ok(self.by_id.get(&*id.to_ascii_lowercase()))
    }

    /// All, by id.
    pub(in crate::consul) fn iter(&self) -> impl Iterator<Item = &Session> {
        self.by_id.values()
    }

    /// The newest index of the table.
    pub(in crate::consul) fn index(&self) -> u64 {
        self.index
    }
}

fn validate(id: &str) -> Result<(), String> {
    let failed = |why: String| Err(format!("failed session lookup: index error: {why}"));
    if id.len() != 36 {
        return failed("UUID must be 36 characters".to_owned());
    }
    let hyphens = id.matches('-').count();
    if hyphens > 4 {
        return failed(format!("UUID should have maximum of 4 \"-\"; got {hyphens}"));
    }
    match id.chars().find(|c| !c.is_ascii_hexdigit() && *c != '-') {
        Some(c) => failed(format!("Invalid UUID: encoding/hex: invalid byte: U+{:04X} '{c}'", u32::from(c))),
        None => Ok(()),
    }
}

impl State {
    /// Begins a session and returns its id.
    ///
    /// # Errors
    /// Consul's text when what it is bound to is not there or not well.
    pub(super) fn session_create(&mut self, index: u64, new: &New) -> Result<Rc<str>, String> {
        let mut session = new.0.clone();
        session.create_index = index;
        session.modify_index = index;
        let catalog = self.catalogs.current();
        if catalog.node(&session.node).is_none() {
            return Err("Missing node registration".to_owned());
        }
        for check in session.bound() {
            match catalog.check(&session.node, check) {
                None => return Err(format!("Missing check '{check}' registration")),
                Some(check) if check.status == catalog::CRITICAL => {
                    return Err(format!("Check '{}' is in critical state", check.id));
                }
                Some(_) => {}
            }
        }
        let (id, ttl) = (Rc::clone(&session.id), session.ttl());
        self.event(ConsulEvent::SessionCreated {
            session: id.to_string(),
            name: session.name.clone(),
            ttl_us: micros(ttl),
            lock_delay_us: micros(positive(session.lock_delay_nanos).min(LOCK_DELAY_MAX)),
        });
        self.sessions.index = index;
        self.sessions.by_id.insert(Rc::clone(&id), session);
        self.effects.push(Effect::SessionBegan { id: Rc::clone(&id), ttl });
        self.changed();
        Ok(id)
    }

    /// Ends a session. Ending one that is not there is fine.
    ///
    /// # Errors
    /// Consul's text when `id` cannot be a session's.
    pub(super) fn session_end(&mut self, index: u64, id: &str, why: &str) -> Result<(), String> {
        if let Some(session) = self.sessions.find(id)? {
            let id = Rc::clone(&session.id);
            self.invalidate(index, &id, why);
        }
        Ok(())
    }

    /// Ends, at `index`, every session of `node` that is bound to `check`.
    pub(in crate::consul) fn invalidate_bound(&mut self, index: u64, node: &str, check: &str, why: &str) {
        let bound: Vec<_> = self
            .sessions
            .by_id
            .values()
            .filter(|session| {
                session.node.eq_ignore_ascii_case(node)
                    && session.bound().any(|name| name.eq_ignore_ascii_case(check))
            })
            .map(|session| Rc::clone(&session.id))
            .collect();
        for id in bound {
            self.invalidate(index, &id, why);
        }
    }

    /// Ends, at `index`, every session that lives on `node`.
    pub(in crate::consul) fn invalidate_on(&mut self, index: u64, node: &str, why: &str) {
        let there: Vec<_> = self
            .sessions
            .by_id
            .values()
            .filter(|session| session.node.eq_ignore_ascii_case(node))
            .map(|session| Rc::clone(&session.id))
            .collect();
        for id in there {
            self.invalidate(index, &id, why);
        }
    }

    fn invalidate(&mut self, index: u64, id: &str, why: &str) {
        let Some(session) = self.sessions.by_id.remove(id) else {
            return;
        };
        self.sessions.index = index;
        self.effects.push(Effect::SessionEnded(Rc::clone(&session.id)));
        self.event(ConsulEvent::SessionInvalidated { session: id.to_owned(), why: why.to_owned() });
        let delay = positive(session.lock_delay_nanos).min(LOCK_DELAY_MAX);
        for key in self.kv.held_by(id) {
            let delay_until = self.now + delay;
            match session.behavior {
                Behavior::Release => {
                    if let Some(entry) = self.kv.get(&key).cloned()
                        && !planted::is(Bug::EndedSessionHolds)
                    {
                        let write =
                            Write { key: Rc::clone(&key), value: entry.value.clone(), flags: entry.flags };
                        self.kv.put(index, write, None, entry.lock_index);
                    }
                }
                Behavior::Delete => {
                    self.kv.remove(index, &key);
                    self.bury(index);
                }
            }
            if !delay.is_zero() {
                self.lock_delays.insert(Rc::clone(&key), delay_until);
            }
            self.event(ConsulEvent::LockReleased {
                key: key.to_string(),
                session: id.to_owned(),
                delay_until_us: if delay.is_zero() { 0 } else { micros(delay_until) },
            });
        }
        self.changed();
    }
}
