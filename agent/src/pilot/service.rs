//! The service's health, and with it what Consul is told: two loops that share a verdict.
//!
//! One loop checks the health, on its grid and when the advertised name changes; the other is the
//! [registrar](super::registrar).

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use super::advertisement::Advertisement;
use super::config::ServiceConfig;
use super::hooks::{Hook, Hooks};
use super::log::Log;
use super::registrar::{Registrar, Registration};
use super::ticker::Ticker;
use crate::consul::Consul;
use crate::host::Host;
use crate::journal::Entry;

/// What a health check found.
pub(super) struct Verdict {
    /// The advertisement's generation when the check began.
    pub(super) generation: u64,
    /// What to tell people when it failed.
    pub(super) outcome: Result<(), String>,
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
        let Self { log, consul, config, advertisement, registration, .. } = &self;
        let registrar = Registrar::new(log, consul, config, advertisement, registration);
        tokio::select! {
            biased;
            never = registrar.run(&verdict) => never,
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
            if self.registration.turned(passing) {
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
}
