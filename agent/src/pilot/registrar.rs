//! The service's registration in Consul.
//!
//! The *registrar* is the only one that talks to Consul about this service, one request after the other, so
//! that a heartbeat never overtakes a deregistration. It compares what Consul may hold with what should be
//! there and closes the gap, until it is closed.
//!
//! An agent that can tell its servers only slowly has its clients wait in a queue, and goes on with what
//! they have given up. Where many of them register at once (a primary has died, and every instance has a new
//! role) each attempt that is given up too early makes the queue longer for all: they would keep each other
//! out for good, long after what had brought them there. So a registration that was not answered in time is
//! given twice as long the next time, and meanwhile asks for nothing more.
//!
//! The rule a change must keep: [`Registration`] says what Consul *may* hold, and is written before the
//! request that makes it so. What was asked for and never answered is still deregistered at the end.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::time::Duration;

use rand::RngExt as _;

use super::advertisement::Advertisement;
use super::config::ServiceConfig;
use super::log::Log;
use super::lookup::Found;
use super::service::Verdict;
use crate::consul::{AgentNode, Cause, CheckSpec, Consul, Error, Result, ServiceSpec, Status};
use crate::host::{Host, within};
use crate::journal::{Entry, Level};
use crate::planted::{self, Bug};

/// How long a deregistration may hold up a stop.
const DEREGISTER_TIMEOUT: Duration = Duration::from_secs(3);

/// The longest an answer is waited for.
const TIMEOUT_MAX: Duration = Duration::from_secs(10);

/// How long after it was taken a registration has got into the catalog.
const SOON: Duration = Duration::from_secs(10);

/// The pause before a failed deregistration is repeated; up to as much again is added at random.
const RETRY: Duration = Duration::from_millis(500);

/// What Consul may hold about this service. Outlives the loops.
#[derive(Debug, Default)]
pub(super) struct Registration {
    held: RefCell<Option<Held>>,
    /// Whether the last health check passed.
    healthy: Cell<Option<bool>>,
}

#[derive(Debug, Clone)]
struct Held {
    name: String,
    id: String,
    /// Consul said so, and it has not been put in doubt since.
    confirmed: bool,
}

impl Registration {
    /// Takes in what a health check found. Whether that is news.
    pub(super) fn turned(&self, passing: bool) -> bool {
        self.healthy.replace(Some(passing)) != Some(passing)
    }

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

/// Tells Consul what health checks find.
pub(super) struct Registrar<'a, H: Host> {
    log: &'a Log<H>,
    consul: &'a Consul<H>,
    config: &'a ServiceConfig,
    advertisement: &'a Advertisement,
    registration: &'a Registration,
    /// How long the next registration may take.
    patience: Cell<Duration>,
    /// When the catalog is next asked whether it lists the service.
    look_at: Cell<Duration>,
    /// Whether it did not when it was asked last.
    amiss: Cell<bool>,
}

impl<'a, H: Host> Registrar<'a, H> {
    pub(super) fn new(
        log: &'a Log<H>,
        consul: &'a Consul<H>,
        config: &'a ServiceConfig,
        advertisement: &'a Advertisement,
        registration: &'a Registration,
    ) -> Self {
        let patience = Cell::new(usual_timeout(config));
        let look_at = Cell::new(log.host.now() + SOON);
        let amiss = Cell::new(false);
        Self { log, consul, config, advertisement, registration, patience, look_at, amiss }
    }

    pub(super) async fn run(&self, verdict: &RefCell<Option<Verdict>>) -> Infallible {
        let host = &self.log.host;
        let mut random = host.random("registrar");
        loop {
            let wanted = self.advertisement.name();
            let held = self.registration.held();
            if held.is_some() && held.as_ref().map(|held| &held.name) != wanted.as_ref() {
                if let Err(error) = self.registration.withdraw(self.consul).await {
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
        if self.registration.held().is_some_and(|held| held.confirmed) {
            match self.heartbeat_consul().agent().update_check(&check, Status::Passing, "ok").await {
                Ok(()) => return self.look_in_catalog(&id).await,
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
        let consul = self.consul.clone().timeout(self.patience.get());
        if let Err(error) = consul.agent().register_service(&self.spec(name, &id)).await {
            self.be_patient(&error);
            return self.say(Level::Warn, format!("not registered, will try again: {error}"));
        }
        if self.advertisement.generation() != generation {
            return;
        }
        // An agent that knew the check keeps the status it had, whatever the registration says.
        if let Err(error) = consul.agent().update_check(&check, Status::Passing, "ok").await {
            self.be_patient(&error);
            return self.say(Level::Warn, format!("registered, but not passing yet: {error}"));
        }
        self.patience.set(usual_timeout(self.config));
        // What did not help a moment ago is not done again and again.
        if !self.amiss.get() {
            self.look_at.set(self.log.host.now() + SOON);
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

    /// After a registration that was not answered in time. The check's TTL is no bound: whoever is not registered
    /// has no heartbeat that could be late.
    fn be_patient(&self, error: &Error) {
        if matches!(error.cause, Cause::TimedOut(_)) {
            self.patience.set((self.patience.get() * 2).min(TIMEOUT_MAX));
        }
    }

    /// When it is time to, sees whether what this agent was told has got into the catalog, and to it that it does.
    async fn look_in_catalog(&self, id: &str) {
        let host = &self.log.host;
        let Some(every) = self.config.catalog_check.filter(|_| host.now() >= self.look_at.get()) else {
            return;
        };
        self.look_at.set(host.now() + every);
        // No longer than a heartbeat, which waits for this.
        let found = match within(host, usual_timeout(self.config), Found::look(self.consul, id)).await {
            Some(Ok(found)) => found,
            Some(Err(error)) => return self.say(Level::Debug, format!("not looked up: {error}")),
            None => return self.say(Level::Debug, "not looked up: no answer in time".to_owned()),
        };
        self.amiss.set(!matches!(found, Found::Listed));
        match found {
            Found::Listed => {}
            Found::Missing => {
                self.say(Level::Warn, format!("{id} is not in the catalog, registering it again"));
                self.registration.doubt();
            }
            Found::Reserved { agent, holder } if holder.address != agent.address => {
                let AgentNode { name, .. } = &agent;
                self.say(Level::Warn, format!("another node, at {}, is called {name}", holder.address));
            }
            Found::Reserved { agent, holder } => {
                let AgentNode { name, .. } = &agent;
                self.say(Level::Warn, format!("{name} has lost its data, and Consul takes nothing from it"));
                self.registration.doubt();
                match self.consul.catalog().replace_node(&agent, holder.modify_index).await {
                    Ok(Ok(())) => {}
                    Ok(Err(conflict)) => self.say(Level::Warn, format!("{name} is not replaced: {conflict}")),
                    Err(error) => self.say(Level::Warn, format!("{name} may not be replaced: {error}")),
                }
            }
        }
    }

    fn heartbeat_consul(&self) -> Consul<H> {
        self.consul.clone().timeout(usual_timeout(self.config))
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

/// How long a heartbeat waits for its answer, and a registration at first.
fn usual_timeout(config: &ServiceConfig) -> Duration {
    config.interval.min(TIMEOUT_MAX)
}
