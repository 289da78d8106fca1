//! Sessions: what a lock belongs to, and all the ways one ends.
//!
//! A session lives until it is destroyed, until twice its TTL after it was last created or renewed, or
//! until a check it is bound to turns critical or goes away. Whatever ends it goes through
//! [`Consul::invalidate`], in the same raft index as its cause: its locks are released or their keys
//! deleted, and their lock-delay begins. Only invalidation starts a lock-delay; releasing or deleting a
//! key does not.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;

use super::duration::{micros, positive};
use super::kv::Write;
use super::timers::{Due, Key};
use super::{Consul, catalog};
use crate::record::ConsulEvent;

/// A session's TTL counts twice: a holder must stop after one, nobody else starts before two.
const TTL_MULTIPLIER: u32 = 2;
const LOCK_DELAY_MAX: Duration = Duration::from_secs(60);
const TTL_MIN: i64 = 10_000_000_000;
const TTL_MAX: i64 = 86_400_000_000_000;

/// What becomes of a session's keys when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Behavior {
    Release,
    Delete,
}

/// A service check a session is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct ServiceCheck {
    #[serde(rename = "ID")]
    pub(super) id: String,
    #[serde(rename = "Namespace")]
    pub(super) namespace: String,
}

/// What a client asks for when it creates a session.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) name: String,
    pub(super) node: String,
    pub(super) lock_delay_nanos: i64,
    pub(super) behavior: String,
    pub(super) ttl: String,
    pub(super) node_checks: Option<Vec<String>>,
    pub(super) service_checks: Option<Vec<ServiceCheck>>,
    pub(super) checks: Option<Vec<String>>,
}

/// A session, as it is shown.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Session {
    #[serde(rename = "ID")]
    pub(super) id: Rc<str>,
    pub(super) name: String,
    pub(super) node: String,
    #[serde(rename = "LockDelay")]
    lock_delay_nanos: i64,
    behavior: Behavior,
    #[serde(rename = "TTL")]
    ttl_text: String,
    node_checks: Option<Vec<String>>,
    service_checks: Option<Vec<ServiceCheck>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checks: Option<Vec<String>>,
    pub(super) create_index: u64,
    modify_index: u64,
    #[serde(skip)]
    ttl: Duration,
    #[serde(skip)]
    expiry: Option<Key>,
}

impl Session {
    fn bound(&self) -> impl Iterator<Item = &str> {
        let plain = self.checks.iter().chain(&self.node_checks).flatten();
        let service = self.service_checks.iter().flatten();
        plain.map(String::as_str).chain(service.map(|check| check.id.as_str()))
    }
}

/// All sessions.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    by_id: BTreeMap<Rc<str>, Session>,
    index: u64,
}

impl Sessions {
    /// The session `id`, whatever the case of its letters.
    ///
    /// # Errors
    /// Consul's text when `id` cannot be a session's.
    pub(super) fn find(&self, id: &str) -> Result<Option<&Session>, String> {
        validate(id)?;
        Ok(self.by_id.get(&*id.to_ascii_lowercase()))
    }

    /// All, by id.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Session> {
        self.by_id.values()
    }

    /// The newest index of the table.
    pub(super) fn index(&self) -> u64 {
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

impl Consul {
    /// Creates a session and returns its id.
    ///
    /// # Errors
    /// Consul's text for what is wrong with it.
    pub(super) fn session_create(&mut self, request: Request) -> Result<Rc<str>, String> {
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
            text => {
                super::duration::parse(text).map_err(|why| format!("Session TTL '{text}' invalid: {why}"))?
            }
        };
        if ttl != 0 && !(TTL_MIN..=TTL_MAX).contains(&ttl) {
            return Err(format!("Invalid Session TTL '{ttl}', must be between [10s=24h0m0s]"));
        }
        let id: Rc<str> = self.draw_uuid().into();
        let index = self.next_index();
        let session = Session {
            id: Rc::clone(&id),
            name: request.name,
            node: request.node,
            lock_delay_nanos: request.lock_delay_nanos,
            behavior,
            ttl_text: request.ttl,
            node_checks: request.node_checks,
            service_checks: request.service_checks,
            checks: request.checks,
            create_index: index,
            modify_index: index,
            ttl: positive(ttl),
            expiry: None,
        };
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
        self.event(ConsulEvent::SessionCreated {
            session: id.to_string(),
            name: session.name.clone(),
            ttl_us: micros(session.ttl),
            lock_delay_us: micros(positive(session.lock_delay_nanos).min(LOCK_DELAY_MAX)),
        });
        self.sessions.index = index;
        self.sessions.by_id.insert(Rc::clone(&id), session);
        self.session_arm(&id);
        self.changed();
        Ok(id)
    }

    /// Starts a session's TTL again. This writes nothing: no index moves and nobody is woken.
    ///
    /// # Errors
    /// Consul's text when `id` cannot be a session's.
    pub(super) fn session_renew(&mut self, id: &str) -> Result<Option<&Session>, String> {
        let Some(session) = self.sessions.find(id)? else {
            return Ok(None);
        };
        let id = Rc::clone(&session.id);
        self.session_arm(&id);
        self.event(ConsulEvent::SessionRenewed { session: id.to_string() });
        Ok(self.sessions.by_id.get(&id))
    }

    /// Ends a session on request. Ending one that is not there is fine.
    ///
    /// # Errors
    /// Consul's text when `id` cannot be a session's.
    pub(super) fn session_destroy(&mut self, id: &str) -> Result<(), String> {
        let Some(session) = self.sessions.find(id)? else {
            return Ok(());
        };
        let id = Rc::clone(&session.id);
        let index = self.next_index();
        self.invalidate(index, &id, "destroyed");
        Ok(())
    }

    /// Ends a session whose TTL ran out.
    pub(super) fn session_expire(&mut self, id: &str) {
        let index = self.next_index();
        self.invalidate(index, id, "expired");
    }

    /// Ends, at `index`, every session of `node` that is bound to `check`.
    pub(super) fn invalidate_bound(&mut self, index: u64, node: &str, check: &str, why: &str) {
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

    fn invalidate(&mut self, index: u64, id: &str, why: &str) {
        let Some(session) = self.sessions.by_id.remove(id) else {
            return;
        };
        self.sessions.index = index;
        self.timers.cancel(session.expiry);
        self.event(ConsulEvent::SessionInvalidated { session: id.to_owned(), why: why.to_owned() });
        let delay = positive(session.lock_delay_nanos).min(LOCK_DELAY_MAX);
        for key in self.kv.held_by(id) {
            let delay_until = self.now + delay;
            match session.behavior {
                Behavior::Release => {
                    if let Some(entry) = self.kv.get(&key).cloned() {
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

    fn session_arm(&mut self, id: &Rc<str>) {
        let Some(session) = self.sessions.by_id.get_mut(id) else {
            return;
        };
        if session.ttl.is_zero() {
            return;
        }
        self.timers.cancel(session.expiry.take());
        let at = self.now + session.ttl * TTL_MULTIPLIER;
        session.expiry = Some(self.timers.arm(at, Due::SessionExpiry(Rc::clone(id))));
    }
}
