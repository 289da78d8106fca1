//! Whether this machine kept time while something was measured on it.
//!
//! A cluster of processes that are not scheduled for a good part of a second elects leaders nobody killed.
//! What is measured meanwhile says something of the machine and nothing of Consul. A thread that wants to
//! wake every few milliseconds says how late it was.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
#[expect(clippy::disallowed_types, reason = "it measures real time")]
use std::time::Instant;

/// How often it wakes.
const EVERY: Duration = Duration::from_millis(5);

/// Measures from its start to its end.
#[derive(Debug)]
pub struct Watchdog {
    over: Arc<AtomicBool>,
    latest_us: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Starts measuring.
    ///
    /// # Panics
    /// When there is no thread to be had.
    #[expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "it measures real time")]
    pub fn start() -> Self {
        let (over, latest_us) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let shared = (over.clone(), latest_us.clone());
        let measure = move || {
            while !shared.0.load(Ordering::Relaxed) {
                let before = Instant::now();
                std::thread::sleep(EVERY);
                let late = before.elapsed().saturating_sub(EVERY);
                let late = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
                shared.1.fetch_max(late, Ordering::Relaxed);
            }
        };
        let thread = std::thread::Builder::new().spawn(measure).expect("a thread");
        Self { over, latest_us, thread: Some(thread) }
    }

    /// How late this machine was at most, since the last time somebody asked.
    pub fn latest(&self) -> Duration {
        Duration::from_micros(self.latest_us.swap(0, Ordering::Relaxed))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}
