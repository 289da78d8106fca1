//! Watches: what runs when the passing instances of another service change.
//!
//! [`Trigger::Edge`] is what ContainerPilot 2 does: poll on a grid, compare with the last poll, run the
//! hook once for a difference, whatever becomes of it. [`Trigger::Level`] compares with the state that
//! was last *handled with success*, and repeats until that is the present one.
//!
//! The rule a change must keep: what a watch has handled outlives a reload, and belongs to service, tag
//! and trigger together, so that two watches on one service never overwrite each other's.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use super::config::{Trigger, WatchConfig};
use super::hooks::{Hook, Hooks};
use super::log::Log;
use super::ticker::Ticker;
use crate::consul::{Consul, ServiceInstance};
use crate::host::Host;
use crate::journal::{Entry, Level};

/// How long a level-triggered watch lets Consul hold its question.
const WAIT: Duration = Duration::from_secs(60);

/// The first pause after a failure; it doubles up to the watch's interval.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// How long a hook may take unless its configuration says otherwise.
const HOOK_TIMEOUT: Duration = Duration::from_secs(300);

/// What makes one state differ from another: id, address and port of each passing instance, sorted.
type State = Vec<(String, String, u16)>;

/// What each watch has last seen (edge) or handled (level). Outlives the loops.
#[derive(Debug, Default)]
pub(super) struct Memory(RefCell<BTreeMap<(Trigger, String), State>>);

/// One watch.
pub(super) struct Watch<H: Host, K> {
    pub(super) log: Rc<Log<H>>,
    pub(super) hooks: Rc<K>,
    pub(super) consul: Consul<H>,
    pub(super) config: WatchConfig,
    pub(super) memory: Rc<Memory>,
}

impl<H: Host, K: Hooks<H>> Watch<H, K> {
    pub(super) async fn run(self) -> Infallible {
        match self.config.trigger {
            Trigger::Edge => self.edge().await,
            Trigger::Level => self.level().await,
        }
    }

    async fn edge(&self) -> Infallible {
        let host = &self.log.host;
        let mut ticker = Ticker::new(host, self.config.interval);
        loop {
            ticker.tick(host).await;
            let found =
                self.consul.health().service(&self.config.service, true, self.config.tag.as_deref()).await;
            match found {
                Err(error) => self.say(Level::Warn, format!("not polled: {error}")),
                Ok(mut instances) => {
                    let state = state_of(&mut instances);
                    // Before the first poll nothing was there; so a first answer of nothing is no change.
                    if self.remembered().unwrap_or_default() != state {
                        self.remember(state);
                        // Not repeated when it fails: the next change is the next chance.
                        let _ = self.handle(&instances).await;
                    }
                }
            }
        }
    }

    async fn level(&self) -> Infallible {
        let host = &self.log.host;
        let mut pauses = Pauses {
            next: FIRST_PAUSE,
            longest: self.config.interval,
            random: host.random(&format!("watch {}", self.config.key())),
        };
        let mut index = 0;
        loop {
            let found = self
                .consul
                .health()
                .service_blocking(&self.config.service, true, self.config.tag.as_deref(), index, WAIT)
                .await;
            let failed = match found {
                Err(error) => {
                    self.say(Level::Warn, format!("not watched: {error}"));
                    true
                }
                Ok(mut answer) => {
                    // Something between here and Consul keeps the index to itself: without it nothing
                    // blocks, and only a pause keeps this from spinning.
                    let unblocked = answer.index == 0;
                    index = answer.next_index(index);
                    let state = state_of(&mut answer.value);
                    if self.remembered().as_ref() == Some(&state) {
                        unblocked
                    } else if self.handle(&answer.value).await {
                        self.remember(state);
                        false
                    } else {
                        true
                    }
                }
            };
            if failed {
                // Ask for the present state then, not for one that is newer still.
                index = 0;
                host.sleep(pauses.next()).await;
            } else {
                pauses.next = FIRST_PAUSE;
            }
        }
    }

    async fn handle(&self, instances: &[ServiceInstance]) -> bool {
        let key = self.config.key();
        self.log.host.journal(Entry::Changed {
            name: key.clone(),
            instances: instances
                .iter()
                .map(|instance| format!("{} {}:{}", instance.id, instance.address, instance.port))
                .collect(),
        });
        let hook = Hook::OnChange(&key);
        if !self.hooks.handles(hook) {
            return true;
        }
        let timeout = self.config.on_change.as_ref().and_then(|hook| hook.timeout);
        self.log
            .journalled(hook, Some(timeout.unwrap_or(HOOK_TIMEOUT)), self.hooks.on_change(&key, instances))
            .await
            .is_ok()
    }

    fn memory_key(&self) -> (Trigger, String) {
        (self.config.trigger, self.config.key())
    }

    fn remembered(&self) -> Option<State> {
        self.memory.0.borrow().get(&self.memory_key()).cloned()
    }

    fn remember(&self, state: State) {
        self.memory.0.borrow_mut().insert(self.memory_key(), state);
    }

    fn say(&self, level: Level, message: String) {
        let message = format!("watch {}: {message}", self.config.key());
        self.log.say(level, message);
    }
}

/// Growing pauses, each with up to half as much again at random so that watchers do not march in step.
struct Pauses {
    next: Duration,
    longest: Duration,
    random: ChaCha8Rng,
}

impl Pauses {
    fn next(&mut self) -> Duration {
        let pause = self.next.min(self.longest);
        self.next = (pause * 2).min(self.longest);
        pause.mul_f64(1.0 + 0.5 * self.random.random::<f64>())
    }
}

/// Sorts the instances by id and answers what a change is told by.
fn state_of(instances: &mut [ServiceInstance]) -> State {
    let key = |instance: &ServiceInstance| (instance.id.clone(), instance.address.clone(), instance.port);
    instances.sort_by_cached_key(key);
    instances.iter().map(key).collect()
}
