//! Keeps a run that panics from ending the sweep it is part of.
//!
//! A panic in a world is a bug, in the world or in the agent, and the seed that finds it is worth as much
//! as one that violates a property. [`capture_panics`] makes the place of the panic part of what is told
//! and keeps thousands of copies of it off the terminal.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    static IN_RUN: Cell<bool> = const { Cell::new(false) };
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Installs the panic hook for the whole process: silent inside a run, what it was anywhere else. For
/// programs; a library that uses the runner decides about its own hook.
pub fn capture_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let elsewhere = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if IN_RUN.get() {
                let place = info.location().map(ToString::to_string);
                PLACE.with_borrow_mut(|there| *there = place);
            } else {
                elsewhere(info);
            }
        }));
    });
}

/// What `run` returns, or what it said when it panicked.
pub(crate) fn catch<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    let before = IN_RUN.replace(true);
    // What a panicking run leaves half done is its own world, which is gone with it.
    let result = panic::catch_unwind(AssertUnwindSafe(run));
    IN_RUN.set(before);
    let place = PLACE.take();
    result.map_err(|payload| {
        let message = message(payload.as_ref());
        match place {
            Some(place) => format!("the run panicked at {place}: {message}"),
            None => format!("the run panicked: {message}"),
        }
    })
}

fn message(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
