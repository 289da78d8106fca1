//! The `ironbird` program.

use std::process::ExitCode;

use ironbird::cli::{Console, execute};

/// A run is mostly short-lived small allocations; this allocator makes a sweep about a tenth faster.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ironbird::runner::capture_panics();
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    let mut console = Console::of_process(&mut out, &mut err);
    execute(std::env::args_os(), &ironbird_sim::run::run, &mut console).into()
}
