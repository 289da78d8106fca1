//! What the fake brings to a shell: the runtime's clock, and a log of what happens.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::consul::Happened;
use crate::consul::probe::Network;
use crate::consul::server::{Clock, Exchange, Observer};

/// The clock of the runtime it is used on.
#[derive(Debug, Clone)]
pub(super) struct TokioClock {
    began: Instant,
    has_date: bool,
}

impl TokioClock {
    /// A clock that begins now; whether answers carry a date is its caller's to say.
    pub(super) fn new(has_date: bool) -> Self {
        Self { began: Instant::now(), has_date }
    }
}

/// Checks reach what the process reaches.
impl Network for TokioClock {
    type Stream = TcpStream;

    fn now(&self) -> Duration {
        Clock::now(self)
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static {
        tokio::time::sleep(duration)
    }

    fn connect(&self, address: SocketAddr) -> impl Future<Output = io::Result<TcpStream>> + 'static {
        TcpStream::connect(address)
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static {
        tokio::time::sleep(duration)
    }

    #[expect(clippy::disallowed_types, reason = "a real server in real time says the real date")]
    fn wall(&self) -> Option<Duration> {
        let now = std::time::SystemTime::now();
        self.has_date.then(|| now.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default())
    }
}

/// Tells what happens to whoever listens to `tracing`, without the tokens of those who ask.
#[derive(Debug)]
pub(super) struct Log;

impl Observer for Log {
    fn exchange(&self, exchange: &Exchange<'_>) {
        let Exchange { client, method, path, status, took, stale } = exchange;
        tracing::debug!(
            target: "ironbird",
            "{client} {method} {} {status} {:.1}ms{}",
            without_token(path),
            took.as_secs_f64() * 1000.0,
            if *stale { ", of an old catalog" } else { "" }
        );
    }

    fn event(&self, happened: Happened) {
        tracing::trace!(target: "ironbird", "{:?}", happened.event);
    }
}

/// The path with the values of its tokens left out.
pub(super) fn without_token(path: &str) -> String {
    let Some((path, query)) = path.split_once('?') else {
        return path.to_owned();
    };
    let shown: Vec<&str> = query
        .split(['&', ';'])
        .map(|pair| {
            let name = pair.split('=').next().unwrap_or_default();
            let decoded = percent_encoding::percent_decode_str(name).decode_utf8_lossy();
            if decoded.eq_ignore_ascii_case("token") { "token=hidden" } else { pair }
        })
        .collect();
    format!("{path}?{}", shown.join("&"))
}
