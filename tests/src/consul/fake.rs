//! The fake, without a network, on a clock that moves a millisecond a request.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use ironbird_sim::consul::{Blocked, Consul, ConsulConfig, Reply};
use ironbird_sim::seed::Seed;

use super::real::LOCALHOST;
use super::{Answer, NODE, Request};

const TICK: Duration = Duration::from_millis(1);

/// The fake and its clock.
#[derive(Debug)]
pub struct Fake {
    consul: Consul,
    now: Duration,
}

/// What became of a request that may wait.
#[derive(Debug)]
pub enum Sent {
    /// It was answered.
    Answered(Answer),
    /// It waits.
    Waiting(Box<Waiting>),
}

/// A request that waits.
#[derive(Debug)]
pub struct Waiting {
    blocked: Blocked,
}

impl Fake {
    /// A fake that says it is reached at these ports.
    #[must_use]
    pub fn new(server_port: u16, serf_port: u16) -> Self {
        let mut config = ConsulConfig::new(NODE, LOCALHOST);
        config.server_port = server_port;
        config.serf_port = serf_port;
        Self { consul: Consul::new(config, Seed(1).stream("consul", NODE)), now: Duration::ZERO }
    }

    /// What its clock says.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.now
    }

    /// Lets time pass.
    pub fn pass(&mut self, time: Duration) {
        self.now += time;
        self.consul.advance(self.now);
    }

    /// Sends a request and, if it waits, lets the time pass that it waits.
    ///
    /// # Panics
    /// When the request cannot be written down as HTTP.
    pub fn send(&mut self, request: &Request) -> Answer {
        match self.start(request) {
            Sent::Answered(answer) => answer,
            Sent::Waiting(mut waiting) => {
                self.now = waiting.blocked.deadline();
                self.poll(&mut waiting).expect("an answer at the deadline")
            }
        }
    }

    /// Sends a request that may be left waiting.
    ///
    /// # Panics
    /// When the request cannot be written down as HTTP.
    pub fn start(&mut self, request: &Request) -> Sent {
        self.now += TICK;
        let mut builder = http::Request::builder().method(request.method.as_str()).uri(&request.path);
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        let body = Bytes::copy_from_slice(request.body.as_bytes());
        let request = builder.body(body).expect("a request");
        match self.consul.request(self.now, LOCALHOST, &request) {
            Reply::Now(response) => Sent::Answered(answer(&response, request.method() == "HEAD")),
            Reply::Blocked(blocked) => Sent::Waiting(Box::new(Waiting { blocked })),
            Reply::Pending(_) => unreachable!("a server that is alone keeps nobody waiting"),
        }
    }

    /// The answer to a request that waited, if it is due.
    pub fn poll(&mut self, waiting: &mut Waiting) -> Option<Answer> {
        let response = self.consul.poll(self.now, &mut waiting.blocked)?;
        Some(answer(&response, false))
    }
}

fn answer(response: &Response<Bytes>, bodiless: bool) -> Answer {
    let headers = response
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    let body = if bodiless { &[][..] } else { response.body() };
    Answer::new(response.status().as_u16(), headers, body)
}
