//! The `ironbird` program.

use std::process::ExitCode;

use ironbird::cli::{Console, execute};

fn main() -> ExitCode {
    ironbird::runner::capture_panics();
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    let mut console = Console::of_process(&mut out, &mut err);
    execute(std::env::args_os(), &ironbird_sim::run::run, &mut console).into()
}
