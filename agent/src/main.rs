//! The pilot as a program: the first process of a container.
//!
//! Exit codes: the main process's own; that of a `pre-start` that failed; 127 when a program could not be
//! started; 130, 143 or 137 when SIGINT, SIGTERM or SIGKILL ended it; 2 when the configuration or the
//! command line is no good; 70 when this machine cannot be used at all.

#![warn(clippy::unwrap_used, clippy::expect_used)]

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use ironbird_agent::linux::LinuxHost;
use ironbird_agent::pilot::{CommandHooks, Config, Pilot};
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
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let complain = |message: &dyn std::fmt::Display| {
        // Nowhere is left to complain about a broken standard error.
        let _ = writeln!(std::io::stderr(), "ironbird-agent: {message}");
    };
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
    if let Some(Task::Check) = arguments.command {
        let _ = writeln!(std::io::stdout(), "{}: good", file.display());
        return ExitCode::SUCCESS;
    }
    let filter = EnvFilter::builder().with_default_directive(arguments.log_level.into()).from_env_lossy();
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
    let flight = async {
        let address = config.service.as_ref().and_then(|service| service.address);
        let host = LinuxHost::new(address)?;
        let hooks = CommandHooks::new(host.clone(), &config);
        let pilot = Pilot::new(host, config, hooks).config_file(file);
        Ok::<i32, std::io::Error>(pilot.run().await)
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
