//! What Consul tells the world: every exchange and every change goes into the record, and what faults
//! aim at (who holds the lock, whose checks pass) is kept at hand.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use ironbird_agent::mysql::Config;

use crate::consul::Happened;
use crate::consul::server::{Exchange, Observer};
use crate::record::{ConsulEvent, What, lock_holder};
use crate::recorder::Recorder;

/// Consul's observer.
#[derive(Debug)]
pub(super) struct WorldObserver {
    recorder: Recorder,
    names: Rc<BTreeMap<String, String>>,
    leader: RefCell<Option<String>>,
    passing: RefCell<BTreeSet<String>>,
    /// Up to which index of Consul's log it was told what happened, and by which of its nodes.
    reported: Cell<(u64, (usize, u64))>,
}

/// The world's observer at one of Consul's nodes.
#[derive(Debug, Clone)]
pub(super) struct NodeObserver {
    world: Rc<WorldObserver>,
    node: usize,
    /// In which of its lives the node is: what a former one told, this one sees again in the log.
    life: Cell<u64>,
}

impl NodeObserver {
    pub(super) fn new(world: Rc<WorldObserver>, node: usize) -> Self {
        Self { world, node, life: Cell::new(0) }
    }

    /// The node begins another life.
    pub(super) fn begin(&self) {
        self.life.set(self.life.get() + 1);
    }
}

impl Observer for NodeObserver {
    fn exchange(&self, exchange: &Exchange<'_>) {
        self.world.exchange(exchange);
    }

    fn event(&self, Happened { index, event, .. }: Happened) {
        // Every server sees what is in the log; the first to see it tells.
        let (reported, by) = self.world.reported.get();
        let this = (self.node, self.life.get());
        if matches!(event, ConsulEvent::Emptied { .. }) {
            // A log that begins anew counts from 1.
            self.world.reported.set((0, this));
        } else if index > reported {
            self.world.reported.set((index, this));
        } else if index > 0 && (index, this) != (reported, by) {
            return;
        }
        self.world.event(event);
    }
}

impl WorldObserver {
    pub(super) fn new(recorder: Recorder, names: Rc<BTreeMap<String, String>>) -> Self {
        Self {
            recorder,
            names,
            leader: RefCell::default(),
            passing: RefCell::default(),
            reported: Cell::default(),
        }
    }

    /// Who holds the primary's lock.
    pub(super) fn leader(&self) -> Option<String> {
        self.leader.borrow().clone()
    }

    /// Whether a service check of this instance passes.
    pub(super) fn is_passing(&self, hostname: &str) -> bool {
        let suffix = format!("-{hostname}");
        self.passing.borrow().iter().any(|service| service.ends_with(&suffix))
    }
}

impl WorldObserver {
    fn exchange(&self, exchange: &Exchange<'_>) {
        let client = exchange.client.to_string();
        let client = self.names.get(&client).map_or(client.as_str(), String::as_str);
        self.recorder.write(
            client,
            What::Http {
                method: exchange.method.to_owned(),
                path: exchange.path.to_owned(),
                status: exchange.status,
                took_us: u64::try_from(exchange.took.as_micros()).unwrap_or(u64::MAX),
                stale: exchange.stale,
            },
        );
    }

    fn event(&self, event: ConsulEvent) {
        match &event {
            ConsulEvent::LockAcquired { key, value, .. } if key == Config::PRIMARY_KEY => {
                *self.leader.borrow_mut() = lock_holder(value);
            }
            ConsulEvent::LockReleased { key, .. } if key == Config::PRIMARY_KEY => {
                *self.leader.borrow_mut() = None;
            }
            ConsulEvent::CheckStatus { service, status, .. } if !service.is_empty() => {
                let mut passing = self.passing.borrow_mut();
                if status == "passing" {
                    passing.insert(service.clone());
                } else {
                    passing.remove(service);
                }
            }
            ConsulEvent::Emptied { .. } => {
                *self.leader.borrow_mut() = None;
                self.passing.borrow_mut().clear();
            }
            ConsulEvent::ServiceDeregistered { id } => {
                self.passing.borrow_mut().remove(id);
            }
            _ => {}
        }
        self.recorder.write("consul", What::Consul(event));
    }
}
