//! How hooks are run: bounded by a deadline, and journalled from start to end, also when they are
//! cancelled half-way.

use std::cell::RefCell;
use std::future::Future;
use std::time::Duration;

use super::hooks::{Hook, HookError};
use crate::host::{Host, within};
use crate::journal::{Entry, Level};

/// The host's journal, and which hooks run.
pub(super) struct Log<H> {
    pub(super) host: H,
    running: RefCell<Vec<String>>,
}

impl<H: Host> Log<H> {
    pub(super) fn new(host: H) -> Self {
        Self { host, running: RefCell::default() }
    }

    pub(super) fn say(&self, level: Level, message: impl Into<String>) {
        self.host.journal(Entry::log(level, "pilot", message));
    }

    /// Runs a hook to its end or deadline. At the deadline its future is dropped, and with it the
    /// processes it holds.
    pub(super) async fn bounded(
        &self,
        limit: Option<Duration>,
        hook: impl Future<Output = Result<(), HookError>>,
    ) -> Result<(), HookError> {
        match limit {
            None => hook.await,
            Some(limit) => within(&self.host, limit, hook).await.unwrap_or(Err(HookError::TimedOut(limit))),
        }
    }

    /// As [`Log::bounded`], with its start and end in the journal.
    pub(super) async fn journalled(
        &self,
        hook: Hook<'_>,
        limit: Option<Duration>,
        future: impl Future<Output = Result<(), HookError>>,
    ) -> Result<(), HookError> {
        let name = hook.to_string();
        self.host.journal(Entry::HookStarted { hook: name.clone() });
        self.running.borrow_mut().push(name.clone());
        let result = self.bounded(limit, future).await;
        self.running.borrow_mut().retain(|running| *running != name);
        self.host.journal(Entry::HookFinished {
            hook: name,
            ok: result.is_ok(),
            outcome: match &result {
                Ok(()) => "done".to_owned(),
                Err(error) => error.to_string(),
            },
        });
        result
    }

    /// Journals the end of hooks whose futures were dropped while they ran. This is not left to their
    /// drop, because a machine that loses power journals nothing.
    pub(super) fn cancelled(&self, why: &str) {
        for hook in self.running.take() {
            self.host.journal(Entry::HookFinished { hook, ok: false, outcome: format!("cancelled: {why}") });
        }
    }
}
