//! The service's health and its registration in Consul: two loops that share a verdict.
//!
//! One loop checks the health, on its grid and when the advertised name changes. The other, the
//! *registrar*, is the only one that talks to Consul about this service, one request after the other, so
//! that a heartbeat never overtakes a deregistration. It compares what Consul may hold with what should
//! be there and closes the gap, until it is closed.
//!
//! The rule a change must keep: [`Registration`] says what Consul *may* hold, and is written before the
//! request that makes it so. What was asked for and never answered is still deregistered at the end.

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use rand::RngExt as _;

use super::advertisement::Advertisement;
use super::config::ServiceConfig;
use super::hooks::{Hook, Hooks};
use super::log::Log;
use super::ticker::Ticker;
use crate::consul::{CheckSpec, Consul, Result, ServiceSpec, Status};
use crate::host::Host;
use crate::journal::{Entry, Level};
use crate::planted::{self, Bug};

/// How long a deregistration may hold up a stop.
pub(super) const DEREGISTER_TIMEOUT: Duration = Duration::from_secs(3);

/// The longest a heartbeat waits for its answer.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(10);

/// The pause before a failed deregistration is repeated; up to as much again is added at random.
const RETRY: Duration = Duration::from_millis(500);

/// What Consul may hold about this service. Outlives the loops.
#[derive(Debug, Default)]
pub(super) struct Registration {
    held: RefCell<Option<Held>>,
    healthy: RefCell<Option<bool>>,
}

#[derive(Debug, Clone)]
struct Held {
    name: String,
    id: String,
    /// Consul said so, and it has not been put in doubt since.
    confirmed: bool,
}

impl Registration {
    /// Makes the next passing check register again, with what is then configured.
    pub(super) fn doubt(&self) {
        if let Some(held) = self.held.borrow_mut().as_mut() {
            held.confirmed = false;
        }
    }

    fn held(&self) -> Option<Held> {
        self.held.borrow().clone()
    }

    /// Takes what Consul may hold out of it. Once; whether it worked is seen by what is still held.
    pub(super) async fn withdraw<H: Host>(&self, consul: &Consul<H>) -> Result<()> {
        let Some(held) = self.held() else { return Ok(()) };
        consul.clone().timeout(DEREGISTER_TIMEOUT).agent().deregister_service(&held.id).await?;
        self.held.replace(None);
        consul.host().journal(Entry::Deregistered { id: held.id });
        Ok(())
    }
}

/// What a health check found.
struct Verdict {
    /// The advertisement's generation when the check began.
    generation: u64,
    /// What to tell people when it failed.
    outcome: std::result::Result<(), String>,
}

/// The two loops.
pub(super) struct Service<H: Host, K> {
    pub(super) log: Rc<Log<H>>,
    pub(super) hooks: Rc<K>,
    pub(super) consul: Consul<H>,
    pub(super) config: ServiceConfig,
    pub(super) health_timeout: Option<Duration>,
    pub(super) advertisement: Advertisement,
    pub(super) registration: Rc<Registration>,
}

impl<H: Host, K: Hooks<H>> Service<H, K> {
    pub(super) async fn run(self) -> Infallible {
        let verdict = RefCell::new(None);
        tokio::select! {
            biased;
            never = self.register(&verdict) => never,
            never = self.check(&verdict) => never,
        }
    }

    async fn check(&self, verdict: &RefCell<Option<Verdict>>) -> Infallible {
        let host = &self.log.host;
        let mut ticker = Ticker::new(host, self.config.interval);
        let timeout = self.health_timeout.unwrap_or(self.config.interval);
        loop {
            tokio::select! {
                biased;
                () = self.advertisement.check_due() => {}
                () = ticker.tick(host) => {}
            }
            let generation = self.advertisement.generation();
            let outcome = if self.hooks.handles(Hook::Health) {
                self.log.bounded(Some(timeout), self.hooks.health()).await
            } else {
                Ok(())
            };
            let outcome = outcome.map_err(|error| error.to_string());
            if let Err(outcome) = &outcome {
                host.journal(Entry::HookFinished {
                    hook: Hook::Health.to_string(),
                    ok: false,
                    outcome: outcome.clone(),
                });
            }
            let passing = outcome.is_ok();
            if self.registration.healthy.replace(Some(passing)) != Some(passing) {
                let name = self.advertisement.name();
                host.journal(Entry::Health {
                    name: name.unwrap_or_else(|| self.config.name.clone()),
                    passing,
                });
            }
            verdict.replace(Some(Verdict { generation, outcome }));
            self.advertisement.wake_registrar();
        }
    }

    async fn register(&self, verdict: &RefCell<Option<Verdict>>) -> Infallible {
        let host = &self.log.host;
        let mut random = host.random("registrar");
        loop {
            let wanted = self.advertisement.name();
            let held = self.registration.held();
            if held.is_some() && held.as_ref().map(|held| &held.name) != wanted.as_ref() {
                if let Err(error) = self.registration.withdraw(&self.consul).await {
                    self.say(Level::Warn, format!("not deregistered, will try again: {error}"));
                    host.sleep(RETRY.mul_f64(1.0 + random.random::<f64>())).await;
                }
                continue;
            }
            let found = verdict.borrow_mut().take();
            match (wanted, found) {
                (Some(name), Some(found)) if found.generation == self.advertisement.generation() => {
                    match found.outcome {
                        Ok(()) => self.report_passing(&name, found.generation).await,
                        Err(outcome) => self.report_failing(&outcome).await,
                    }
                }
                (_, Some(_)) => {}
                (_, None) => self.advertisement.register_due().await,
            }
        }
    }

    async fn report_passing(&self, name: &str, generation: u64) {
        let instance = self.config.instance.as_deref().unwrap_or(self.log.host.hostname());
        let id = format!("{name}-{instance}");
        let check = format!("service:{id}");
        let consul = self.heartbeat_consul();
        if self.registration.held().is_some_and(|held| held.confirmed) {
            match consul.agent().update_check(&check, Status::Passing, "ok").await {
                Ok(()) => return,
                Err(error)
                    if matches!(error.status(), Some(404 | 500)) && !planted::is(Bug::NotRegisteredAgain) =>
                {
                    self.say(
                        Level::Warn,
                        format!("Consul forgot the service, registering it again: {error}"),
                    );
                }
                Err(error) => return self.say(Level::Warn, format!("heartbeat failed: {error}")),
            }
            // The name may have changed while Consul answered; the old one must not come back.
            if self.advertisement.generation() != generation {
                return;
            }
        }
        self.registration.held.replace(Some(Held {
            name: name.to_owned(),
            id: id.clone(),
            confirmed: false,
        }));
        if let Err(error) = consul.agent().register_service(&self.spec(name, &id)).await {
            return self.say(Level::Warn, format!("not registered, will try again: {error}"));
        }
        // An agent that knew the check keeps the status it had, whatever the registration says.
        if let Err(error) = consul.agent().update_check(&check, Status::Passing, "ok").await {
            return self.say(Level::Warn, format!("registered, but not passing yet: {error}"));
        }
        self.registration.held.replace(Some(Held { name: name.to_owned(), id: id.clone(), confirmed: true }));
        self.log.host.journal(Entry::Registered { name: name.to_owned(), id });
    }

    async fn report_failing(&self, outcome: &str) {
        let Some(held) = self.registration.held() else {
            return;
        };
        if !self.config.report_failure {
            return;
        }
        let check = format!("service:{}", held.id);
        let consul = self.heartbeat_consul();
        if let Err(error) = consul.agent().update_check(&check, Status::Critical, outcome).await {
            if matches!(error.status(), Some(404 | 500)) {
                self.registration.doubt();
            }
            self.say(Level::Warn, format!("failed check not reported: {error}"));
        }
    }

    fn heartbeat_consul(&self) -> Consul<H> {
        let timeout = self.config.interval.min(HEARTBEAT_TIMEOUT);
        self.consul.clone().timeout(timeout)
    }

    fn spec(&self, name: &str, id: &str) -> ServiceSpec {
        let mut check = CheckSpec::ttl(self.config.ttl);
        check.status = Some(Status::Passing);
        check.notes = format!("kept by ironbird-agent, checked every {}", {
            humantime::format_duration(self.config.interval)
        });
        check.deregister_critical_after = self.config.deregister_critical_after;
        ServiceSpec {
            id: id.to_owned(),
            name: name.to_owned(),
            address: Some(self.config.address.unwrap_or_else(|| self.log.host.address())),
            port: self.config.port,
            tags: self.config.tags.clone(),
            check: Some(check),
        }
    }

    fn say(&self, level: Level, message: String) {
        self.log.say(level, message);
    }
}
