//! The pilot as a program: the first process of a container.
//!
//! What is around the main process is what the pilot's configuration says: commands, or with `--mysql FILE`
//! the built-in role of a MySQL instance, whose own configuration that file is. `ironbird-agent
//! published-mysql` is the handlers of 2016 as the program their hooks start.
//!
//! Exit codes: the main process's own; that of a `pre-start` that failed; 127 when a program could not be
//! started; 130, 143 or 137 when SIGINT, SIGTERM or SIGKILL ended it; 2 when the configuration or the
//! command line is no good; 70 when this machine cannot be used at all.

#![warn(clippy::unwrap_used, clippy::expect_used)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use ironbird_agent::host::Host;
use ironbird_agent::linux::LinuxHost;
use ironbird_agent::mysql;
use ironbird_agent::pilot::{Advertisement, CommandHooks, Config, Pilot};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

const BAD_CONFIGURATION: u8 = 2;
const BAD_MACHINE: u8 = 70;

/// Starts a service, registers it in Consul, keeps its health known and reacts to what it depends on.
#[derive(Debug, Parser)]
#[command(name = "ironbird-agent", version, args_conflicts_with_subcommands = false)]
struct Arguments {
    /// The configuration file; SIGHUP reads it again.
    #[arg(long, short, value_name = "FILE", global = true)]
    config: Option<PathBuf>,

    /// Take part in a MySQL cluster: elect a primary, follow it, replace it. FILE is the configuration of
    /// that, next to the pilot's; hooks named there are not run.
    #[arg(long, value_name = "FILE", global = true)]
    mysql: Option<PathBuf>,

    /// How much to tell on standard error: error, warn, info, debug or trace. RUST_LOG goes further.
    #[arg(long, value_name = "LEVEL", default_value = "info", global = true)]
    log_level: LevelFilter,

    #[command(subcommand)]
    command: Option<Task>,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Only reads the configuration and says whether it is good.
    Check,
    /// Runs a MySQL handler of 2016, bug for bug, as its hooks do: without an argument before the database
    /// starts, else `health`, `on_change` or `create_snapshot`. For comparison, never for data of value.
    PublishedMysql {
        /// Which.
        #[arg(value_parser = ["health", "on_change", "create_snapshot"])]
        hook: Option<String>,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(Task::PublishedMysql { hook }) = arguments.command {
        return fly(arguments.log_level, async move {
            let host = LinuxHost::new(None)?;
            let exit = mysql::published::main(host, hook.into_iter().collect()).await;
            Ok(exit.code.unwrap_or(ironbird_agent::pilot::KILLED))
        });
    }
    let Some(file) = arguments.config else {
        complain(&"--config FILE is needed");
        return BAD_CONFIGURATION.into();
    };
    let config = match std::fs::read_to_string(&file) {
        Ok(text) => Config::parse(&text, &file).map_err(|error| error.to_string()),
        Err(error) => Err(format!("{}: {error}", file.display())),
    };
    let config = match config {
        Ok(config) => config,
        Err(error) => {
            complain(&error);
            return BAD_CONFIGURATION.into();
        }
    };
    let role = match arguments.mysql.as_deref().map(read_role).transpose() {
        Ok(role) => role,
        Err(error) => {
            complain(&error);
            return BAD_CONFIGURATION.into();
        }
    };
    if let Some(Task::Check) = arguments.command {
        for file in [Some(&file), arguments.mysql.as_ref()].into_iter().flatten() {
            let _ = writeln!(std::io::stdout(), "{}: good", file.display());
        }
        return ExitCode::SUCCESS;
    }
    fly(arguments.log_level, async move {
        let address = config.service.as_ref().and_then(|service| service.address);
        let host = LinuxHost::new(address)?;
        Ok(match role {
            Some(role) => with_role(host, config, file, role).await,
            None => {
                let hooks = CommandHooks::new(host.clone(), &config);
                Pilot::new(host, config, hooks).config_file(file).run().await
            }
        })
    })
}

fn complain(message: &dyn std::fmt::Display) {
    // Nowhere is left to complain about a broken standard error.
    let _ = writeln!(std::io::stderr(), "ironbird-agent: {message}");
}

fn read_role(file: &Path) -> Result<mysql::Config, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    mysql::Config::parse(&text, file).map_err(|error| error.to_string())
}

/// Flies with the built-in role of a MySQL instance.
async fn with_role<H: Host>(host: H, config: Config, file: PathBuf, role: mysql::Config) -> i32 {
    let advertisement = Advertisement::new(None);
    let role = mysql::hardened::Role::new(host.clone(), role, advertisement.clone());
    Pilot::new(host, config, role).config_file(file).with_advertisement(advertisement).run().await
}

/// Runs `flight` to its exit code, telling on standard error.
fn fly(log_level: LevelFilter, flight: impl Future<Output = std::io::Result<i32>>) -> ExitCode {
    let filter = EnvFilter::builder().with_default_directive(log_level.into()).from_env_lossy();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .init();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&error);
            return BAD_MACHINE.into();
        }
    };
    match tokio::task::LocalSet::new().block_on(&runtime, flight) {
        // An exit code is a byte, whatever a program or a platform makes of it.
        Ok(code) => ExitCode::from((code & 0xff) as u8),
        Err(error) => {
            complain(&error);
            BAD_MACHINE.into()
        }
    }
}
