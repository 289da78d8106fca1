//! Hooks: what is run around the main process, as commands of the user's or as a role built in here.
//!
//! The pilot calls them, bounds them by their deadlines, journals them and cancels them by dropping their
//! futures. A hook must therefore leave nothing running that outlives its future unnoticed; a command
//! does not, because a dropped process handle kills the whole group.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::time::Duration;

use super::config::{Config, HookConfig, to_command};
use crate::consul::ServiceInstance;
use crate::host::{Command, Exit, Host, Process as _};

/// Which hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook<'a> {
    /// Before the main process.
    PreStart,
    /// The health check.
    Health,
    /// A change of the watch with this key.
    OnChange(&'a str),
    /// Before the main process is told to stop.
    PreStop,
    /// After the main process has ended.
    PostStop,
}

impl std::fmt::Display for Hook<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::PreStart => f.write_str("preStart"),
            Self::Health => f.write_str("health"),
            Self::OnChange(watch) => write!(f, "onChange {watch}"),
            Self::PreStop => f.write_str("preStop"),
            Self::PostStop => f.write_str("postStop"),
        }
    }
}

/// How a hook failed.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// Its process ended with something else than 0.
    #[error("{0}")]
    Exit(Exit),
    /// It could not be started.
    #[error("not started: {0}")]
    NotStarted(#[source] io::Error),
    /// It was stopped at its deadline.
    #[error("killed after {}", humantime::format_duration(*.0))]
    TimedOut(Duration),
    /// A role's own words.
    #[error("{0}")]
    Failed(String),
}

impl HookError {
    /// The exit code a shell would give it.
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Exit(exit) => exit.code.unwrap_or(super::KILLED),
            Self::NotStarted(_) => super::NOT_STARTED,
            Self::TimedOut(_) => 124,
            Self::Failed(_) => 1,
        }
    }
}

/// What the pilot runs around the main process. All futures may be dropped at any point.
pub trait Hooks<H: Host>: 'static {
    /// Before the main process starts. Its failure ends the pilot.
    fn pre_start(&self) -> impl Future<Output = Result<(), HookError>>;

    /// Whether the service is well. Never runs twice at once.
    fn health(&self) -> impl Future<Output = Result<(), HookError>>;

    /// The passing instances of a watched service are now `instances`, sorted by id. `watch` is
    /// [`WatchConfig::key`](super::WatchConfig::key).
    fn on_change(
        &self,
        watch: &str,
        instances: &[ServiceInstance],
    ) -> impl Future<Output = Result<(), HookError>>;

    /// The service is out of Consul and the main process still runs.
    fn pre_stop(&self) -> impl Future<Output = Result<(), HookError>>;

    /// The main process has ended.
    fn post_stop(&self) -> impl Future<Output = Result<(), HookError>>;

    /// Whether there is anything behind `hook`. One without is neither run nor journalled.
    fn handles(&self, hook: Hook<'_>) -> bool {
        let _ = hook;
        true
    }

    /// The main process started with this identifier.
    fn main_started(&self, pid: u32) {
        let _ = pid;
    }

    /// The configuration was read again.
    fn reload(&self, config: &Config) {
        let _ = config;
    }

    /// What goes on beside the hooks while the main process runs: an election, a schedule. Dropped when
    /// the pilot stops, before anything is deregistered; survives a reload.
    fn run(&self) -> impl Future<Output = ()> {
        std::future::pending()
    }
}

/// Hooks that are commands of the configuration.
///
/// `on-change` finds the watch's key in `IRONBIRD_WATCH` and the passing instances in
/// `IRONBIRD_INSTANCES`, as `address:port` separated by commas.
pub struct CommandHooks<H> {
    host: H,
    config: RefCell<Config>,
}

impl<H: Host> CommandHooks<H> {
    /// The hooks of `config`.
    pub fn new(host: H, config: &Config) -> Self {
        Self { host, config: RefCell::new(config.clone()) }
    }

    fn command(&self, hook: Hook<'_>) -> Option<Command> {
        let config = self.config.borrow();
        let hooks = &config.hooks;
        match hook {
            Hook::PreStart => hooks.pre_start.as_ref(),
            Hook::Health => hooks.health.as_ref(),
            Hook::PreStop => hooks.pre_stop.as_ref(),
            Hook::PostStop => hooks.post_stop.as_ref(),
            Hook::OnChange(key) => config
                .watches
                .iter()
                .find(|watch| watch.key() == key)
                .and_then(|watch| watch.on_change.as_ref()),
        }
        .and_then(|hook: &HookConfig| to_command(&hook.command))
    }

    async fn execute(&self, command: Option<Command>) -> Result<(), HookError> {
        let Some(command) = command else { return Ok(()) };
        let mut process = self.host.spawn(&command).map_err(HookError::NotStarted)?;
        let exit = process.wait().await;
        if exit.success() { Ok(()) } else { Err(HookError::Exit(exit)) }
    }
}

impl<H: Host> Hooks<H> for CommandHooks<H> {
    async fn pre_start(&self) -> Result<(), HookError> {
        self.execute(self.command(Hook::PreStart)).await
    }

    async fn health(&self) -> Result<(), HookError> {
        self.execute(self.command(Hook::Health)).await
    }

    async fn on_change(&self, watch: &str, instances: &[ServiceInstance]) -> Result<(), HookError> {
        let command = self.command(Hook::OnChange(watch)).map(|mut command| {
            let list: Vec<String> =
                instances.iter().map(|instance| format!("{}:{}", instance.address, instance.port)).collect();
            command.env.insert("IRONBIRD_WATCH".to_owned(), watch.to_owned());
            command.env.insert("IRONBIRD_INSTANCES".to_owned(), list.join(","));
            command
        });
        self.execute(command).await
    }

    async fn pre_stop(&self) -> Result<(), HookError> {
        self.execute(self.command(Hook::PreStop)).await
    }

    async fn post_stop(&self) -> Result<(), HookError> {
        self.execute(self.command(Hook::PostStop)).await
    }

    fn handles(&self, hook: Hook<'_>) -> bool {
        self.command(hook).is_some()
    }

    fn reload(&self, config: &Config) {
        self.config.replace(config.clone());
    }
}
