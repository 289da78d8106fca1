//! Clients that ask the same thing again and again.

use super::{Answer, Cluster, Token};

/// How long a client rests between an answer and its next request, in seconds.
const REST: f64 = 0.05;
/// How closely clients are looked after, in seconds.
const STEP: f64 = 0.02;

/// One such client, and what it was told.
#[derive(Debug)]
pub struct Probe {
    node: usize,
    line: String,
    patience: f64,
    waiting: Option<(Token, f64)>,
    next: f64,
    /// Its answers, in order.
    pub answers: Vec<Answer>,
}

impl Probe {
    /// A client that waits for every answer as long as it takes.
    pub fn new(node: usize, line: impl Into<String>) -> Self {
        let line = line.into();
        Self { node, line, patience: f64::INFINITY, waiting: None, next: 0.0, answers: Vec::new() }
    }

    /// A client that asks anew when it had no answer for so many seconds.
    #[must_use]
    pub fn with_patience(mut self, seconds: f64) -> Self {
        self.patience = seconds;
        self
    }

    fn step(&mut self, cluster: &mut dyn Cluster) {
        let now = cluster.now();
        if let Some((token, sent)) = self.waiting {
            if let Some(answer) = cluster.take(token) {
                self.next = now.max(answer.at + REST);
                self.answers.push(answer);
                self.waiting = None;
            } else if now - sent > self.patience {
                self.waiting = None;
            }
        }
        if self.waiting.is_none() && now >= self.next {
            self.waiting = Some((cluster.send(self.node, &self.line), now));
        }
    }

    /// The first answer with a 200.
    pub fn first_good(&self) -> Option<&Answer> {
        self.answers.iter().find(|answer| answer.status == 200)
    }

    /// The first answer that is no 200.
    pub fn first_bad(&self) -> Option<&Answer> {
        self.answers.iter().find(|answer| answer.status != 200)
    }

    /// The last answer with a 200 before the first without.
    pub fn last_good(&self) -> Option<&Answer> {
        self.answers.iter().take_while(|answer| answer.status == 200).last()
    }

    /// The answers that are no 200.
    pub fn bad(&self) -> impl Iterator<Item = &Answer> {
        self.answers.iter().filter(|answer| answer.status != 200)
    }
}

/// Lets clients ask until `done`, or for so many seconds. Says whether it was done.
pub fn watch(
    cluster: &mut dyn Cluster,
    probes: &mut [Probe],
    seconds: f64,
    mut done: impl FnMut(&[Probe]) -> bool,
) -> bool {
    let end = cluster.now() + seconds;
    while cluster.now() < end {
        for probe in &mut *probes {
            probe.step(cluster);
        }
        if done(probes) {
            return true;
        }
        cluster.pass(STEP);
    }
    false
}
