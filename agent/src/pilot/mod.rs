//! The pilot: one main process, and around it the hooks that make it take part in a cluster.
//!
//! `preStart` runs to its end before anything else. Then the main process starts, together with the
//! health checks and the watches, none of which ever runs twice at once. A stop goes the other way round:
//! checks, watches and whatever hook they are in are dropped; the service leaves Consul; `preStop` runs;
//! the main process is asked to end and at last made to; `postStop` runs. The pilot's exit code is the
//! main process's.
//!
//! The rule a change must keep: nothing on the way out waits without a bound, and a hook that hangs holds
//! up neither a stop nor a reload.

use std::convert::Infallible;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join_all;

use crate::consul::{Consul, http};
use crate::host::{Exit, Host, Process, Signal, within};
use crate::journal::{Entry, Level};

mod advertisement;
mod config;
mod hooks;
mod log;
mod lookup;
mod registrar;
mod service;
#[cfg(test)]
mod tests;
mod ticker;
mod watch;

pub use self::advertisement::Advertisement;
pub(crate) use self::config::checked_instance;
pub use self::config::{
    Config, ConfigError, ConsulConfig, HookConfig, HooksConfig, MainConfig, ServiceConfig, Trigger,
    WatchConfig,
};
pub use self::hooks::{CommandHooks, Hook, HookError, Hooks};

use self::config::to_command;
use self::log::Log;
use self::registrar::Registration;
use self::service::Service;
use self::watch::{Memory, Watch};

/// The exit code of a process ended by SIGKILL, or by a signal nobody knows.
pub const KILLED: i32 = 128 + 9;
/// The exit code of a process ended by SIGTERM.
pub const TERMINATED: i32 = 128 + 15;
/// The exit code of a process ended by SIGINT.
pub const INTERRUPTED: i32 = 128 + 2;
/// The exit code when a program could not be started.
pub const NOT_STARTED: i32 = 127;

/// How long `preStop` and `postStop` may take unless their configuration says otherwise.
const STOP_HOOK_TIMEOUT: Duration = Duration::from_secs(60);

/// How long the end of a killed process is waited for.
const KILL_WAIT: Duration = Duration::from_secs(10);

/// Health checks, registration and watches: dropped as one.
type Pollers = Pin<Box<dyn Future<Output = Infallible>>>;

/// Supervises one main process. See the [module](self).
pub struct Pilot<H: Host, K> {
    log: Rc<Log<H>>,
    client: http::Client<H>,
    config: Config,
    config_file: Option<PathBuf>,
    hooks: Rc<K>,
    advertisement: Advertisement,
    registration: Rc<Registration>,
    memory: Rc<Memory>,
}

/// Why the main process is no longer flown.
enum Ended {
    Main(Exit),
    Signal,
}

impl<H: Host, K: Hooks<H>> Pilot<H, K> {
    /// A pilot on `host`. Nothing is started yet.
    pub fn new(host: H, config: Config, hooks: K) -> Self {
        let name = config.service.as_ref().map(|service| service.name.as_str());
        Self {
            advertisement: Advertisement::new(name),
            client: http::Client::new(host.clone()),
            log: Rc::new(Log::new(host)),
            config,
            config_file: None,
            hooks: Rc::new(hooks),
            registration: Rc::default(),
            memory: Rc::default(),
        }
    }

    /// Reads the configuration from `file` again at each SIGHUP. Without one SIGHUP only says so.
    #[must_use]
    pub fn config_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.config_file = Some(file.into());
        self
    }

    /// Advertises what `advertisement` says instead of the configured name; the role keeps a clone.
    #[must_use]
    pub fn with_advertisement(mut self, advertisement: Advertisement) -> Self {
        self.advertisement = advertisement;
        self
    }

    /// What the pilot advertises, and the way to change it.
    pub fn advertisement(&self) -> Advertisement {
        self.advertisement.clone()
    }

    /// Flies the main process until it ends or the pilot is told to stop, and answers the exit code:
    /// the main process's own; that of a `preStart` that failed; [`NOT_STARTED`] when there is no such
    /// program; [`TERMINATED`], [`INTERRUPTED`] or [`KILLED`] when a signal ended it.
    pub async fn run(mut self) -> i32 {
        let mut signals = Signals::new(self.log.host.clone());
        if let Err(code) = self.pre_start(&mut signals).await {
            return code;
        }
        // Checked when the configuration was read; one made in a program may still name nothing.
        let Some(command) = to_command(&self.config.main.command) else {
            self.log.say(Level::Error, "no main command");
            return NOT_STARTED;
        };
        let mut main = match self.log.host.spawn(&command) {
            Ok(main) => main,
            Err(error) => {
                self.log.say(Level::Error, format!("`{command}` not started: {error}"));
                self.post_stop().await;
                return NOT_STARTED;
            }
        };
        self.log.host.journal(Entry::MainStarted { command: command.to_string() });
        self.hooks.main_started(main.pid());

        let (exit, by_signal) = match self.fly(&mut main, &mut signals).await {
            Ended::Main(exit) => {
                self.withdraw().await;
                (exit, KILLED)
            }
            Ended::Signal => {
                self.withdraw().await;
                self.pre_stop().await;
                self.stop(&mut main).await
            }
        };
        self.log.host.journal(Entry::MainExited { outcome: exit.to_string() });
        // What is left of its group ends with it.
        drop(main);
        self.post_stop().await;
        self.withdraw().await;
        exit.code.unwrap_or(by_signal)
    }

    async fn pre_start(&mut self, signals: &mut Signals<H>) -> Result<(), i32> {
        if !self.hooks.handles(Hook::PreStart) {
            return Ok(());
        }
        let limit = self.config.hooks.pre_start.as_ref().and_then(|hook| hook.timeout);
        let (log, hooks) = (Rc::clone(&self.log), Rc::clone(&self.hooks));
        let mut hook =
            Box::pin(async move { log.journalled(Hook::PreStart, limit, hooks.pre_start()).await });
        loop {
            tokio::select! {
                biased;
                signal = signals.next() => match signal {
                    // What it reads is in force when the main process starts.
                    Signal::Hup => {
                        self.reload().await;
                    }
                    Signal::Term | Signal::Int | Signal::Kill => {
                        drop(hook);
                        self.log.cancelled(&signal.to_string());
                        // A role may hold something from its preStart that it would rather give back.
                        self.post_stop().await;
                        return Err(if signal == Signal::Int { INTERRUPTED } else { TERMINATED });
                    }
                },
                result = &mut hook => return result.map_err(|error| error.exit_code()),
            }
        }
    }

    /// Keeps everything going beside the main process, until it ends or a signal says stop. When this
    /// returns, nothing beside it goes on.
    async fn fly(&mut self, main: &mut H::Process, signals: &mut Signals<H>) -> Ended {
        let hooks = Rc::clone(&self.hooks);
        let mut role = Box::pin(async move {
            hooks.run().await;
            std::future::pending::<Infallible>().await
        });
        let mut pollers = self.pollers();
        let ended = loop {
            tokio::select! {
                biased;
                signal = signals.next() => match signal {
                    Signal::Hup => if let Some(old) = self.reload().await {
                        drop(pollers);
                        self.log.cancelled("the configuration was read again");
                        self.adopt(&old).await;
                        pollers = self.pollers();
                    },
                    Signal::Term | Signal::Int | Signal::Kill => {
                        self.log.say(Level::Info, format!("{signal}: stopping"));
                        break Ended::Signal;
                    }
                },
                exit = main.wait() => break Ended::Main(exit),
                never = &mut role => match never {},
                never = &mut pollers => match never {},
            }
        };
        drop(pollers);
        drop(role);
        self.log.cancelled("the pilot stops");
        ended
    }

    fn consul(&self, config: &Config) -> Consul<H> {
        Consul::with_client(self.client.clone(), config.consul.address).token(config.consul.token.as_deref())
    }

    fn pollers(&self) -> Pollers {
        let consul = self.consul(&self.config);
        let service = self.config.service.as_ref().map(|config| Service {
            log: Rc::clone(&self.log),
            hooks: Rc::clone(&self.hooks),
            consul: consul.clone(),
            config: config.clone(),
            health_timeout: self.config.hooks.health.as_ref().and_then(|hook| hook.timeout),
            advertisement: self.advertisement.clone(),
            registration: Rc::clone(&self.registration),
        });
        let watches = join_all(self.config.watches.iter().map(|config| {
            Watch {
                log: Rc::clone(&self.log),
                hooks: Rc::clone(&self.hooks),
                consul: consul.clone(),
                config: config.clone(),
                memory: Rc::clone(&self.memory),
            }
            .run()
        }));
        Box::pin(async move {
            let service = async move {
                match service {
                    Some(service) => service.run().await,
                    None => std::future::pending().await,
                }
            };
            let watches = async move {
                watches.await;
                std::future::pending::<Infallible>().await
            };
            tokio::select! {
                biased;
                never = service => never,
                never = watches => never,
            }
        })
    }

    /// Reads the configuration again. Answers the old one when there is a new one, and keeps the old one
    /// when the new one is no good.
    async fn reload(&mut self) -> Option<Config> {
        let Some(file) = self.config_file.clone() else {
            self.log.say(Level::Warn, "no configuration file to read again");
            return None;
        };
        let read = match self.log.host.read_file(&file).await {
            Ok(content) => {
                Config::parse(&String::from_utf8_lossy(&content), &file).map_err(|error| error.to_string())
            }
            Err(error) => Err(format!("{}: {error}", file.display())),
        };
        match read {
            Ok(config) => {
                self.log.say(Level::Info, "configuration read again");
                self.hooks.reload(&config);
                let old = std::mem::replace(&mut self.config, config);
                // A name that a role chose is the role's to change.
                let name = |config: &Config| config.service.as_ref().map(|service| service.name.clone());
                if self.advertisement.name() == name(&old) {
                    self.advertisement.advertise(name(&self.config).as_deref());
                }
                Some(old)
            }
            Err(error) => {
                self.log.say(Level::Error, format!("keeping the old configuration: {error}"));
                None
            }
        }
    }

    /// Brings Consul from what `old` said to what is said now, as far as the registrar does not.
    async fn adopt(&self, old: &Config) {
        if self.config.service.is_none() || self.config.consul != old.consul {
            if let Err(error) = self.registration.withdraw(&self.consul(old)).await {
                self.log.say(Level::Warn, format!("not deregistered: {error}"));
            }
        } else if self.config.service != old.service {
            self.registration.doubt();
        }
    }

    async fn withdraw(&self) {
        if let Err(error) = self.registration.withdraw(&self.consul(&self.config)).await {
            self.log.say(Level::Warn, format!("not deregistered: {error}"));
        }
    }

    async fn pre_stop(&self) {
        if self.hooks.handles(Hook::PreStop) {
            let limit = self.config.hooks.pre_stop.as_ref().and_then(|hook| hook.timeout);
            let limit = Some(limit.unwrap_or(STOP_HOOK_TIMEOUT));
            // A failure is in the journal; the stop goes on.
            let _ = self.log.journalled(Hook::PreStop, limit, self.hooks.pre_stop()).await;
        }
    }

    async fn post_stop(&self) {
        if self.hooks.handles(Hook::PostStop) {
            let limit = self.config.hooks.post_stop.as_ref().and_then(|hook| hook.timeout);
            let limit = Some(limit.unwrap_or(STOP_HOOK_TIMEOUT));
            let _ = self.log.journalled(Hook::PostStop, limit, self.hooks.post_stop()).await;
        }
    }

    /// Ends the main process: how it ended, and the exit code if that was by a signal.
    async fn stop(&self, main: &mut H::Process) -> (Exit, i32) {
        let host = &self.log.host;
        // The process alone, not its group: how its children end in order is its own business.
        if let Err(error) = host.kill(main.pid(), Signal::Term) {
            self.log.say(Level::Debug, format!("SIGTERM not sent: {error}"));
        }
        if let Some(exit) = within(host, self.config.main.stop_timeout, main.wait()).await {
            return (exit, TERMINATED);
        }
        self.log.say(
            Level::Warn,
            format!(
                "main process still there after {}: killing it",
                humantime::format_duration(self.config.main.stop_timeout)
            ),
        );
        main.signal(Signal::Kill);
        let exit = within(host, KILL_WAIT, main.wait()).await;
        (exit.unwrap_or_default(), KILLED)
    }
}

/// The signals of a host, one after the other, without losing one to a cancelled wait.
struct Signals<H: Host> {
    host: H,
    next: Pin<Box<dyn Future<Output = Signal>>>,
}

impl<H: Host> Signals<H> {
    fn new(host: H) -> Self {
        Self { next: Box::pin(host.signal()), host }
    }

    async fn next(&mut self) -> Signal {
        let signal = self.next.as_mut().await;
        self.next = Box::pin(self.host.signal());
        signal
    }
}
