//! Ctrl-C: the first ends a sweep in order, with what it has; the second ends the process.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Set once somebody interrupts the program. Interruptions end it as ever until this is called.
pub(super) fn flag() -> &'static AtomicBool {
    static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    FLAG.get_or_init(|| {
        let interrupted = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first time it is not set yet, the second time it is. A system that takes no
            // handlers ends the process at once, as it does without.
            let again = flag::register_conditional_default(signal, Arc::clone(&interrupted));
            again.and_then(|_| flag::register(signal, Arc::clone(&interrupted))).ok();
        }
        interrupted
    })
}
