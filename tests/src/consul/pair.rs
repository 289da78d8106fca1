//! A real server and the fake, side by side.
//!
//! Both live through one history. A play starts with nothing but the servers themselves in it, because
//! the play before was tidied up on both, with the same requests. What time decides is kept out of plays
//! or made certain:
//!
//! - A real agent tells the catalog of a change a moment later. After whatever writes to the agent, the
//!   real catalog is read until it shows what the fake's does; only then does the play go on.
//! - The cache of a real agent hears of a change a moment later too. What it answers from there is asked for
//!   until it is what the fake says.
//! - Once in a minute or two, when it likes, a real agent compares the whole catalog with what it knows and
//!   writes again what it takes to be different. So a difference counts only if it shows every time; one that
//!   does not is kept as [`Pair::intermittent`], for there must not be many.
//! - A lock-delay outlives its play, by key. The keys of every play start with a word of their own.
//! - A `WATCH` must be answered on the real side when the fake answers it. One that the real side answers
//!   and the fake does not is a difference, but for one session, and keys and services that are not there:
//!   a real server wakes those who watch for one when something nearby in its tree changes, which depends
//!   on the ids it drew, and which its documentation allows. It may be woken by that and answered no
//!   sooner than the fake, which waits for the thing itself; then the real one is asked again, as clients
//!   do. A watch of a node, or of a service's instances, may also reach it only after the next request has
//!   moved its index; its answer is then compared with what the fake says at that moment.
//! - A play takes less than a second, the fake's clock moves a millisecond a request. So TTLs and
//!   lock-delays in a play are either none or seconds long, and waits of a query are a few milliseconds.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use serde_json::Value;

use super::client::Client;
use super::fake::{Fake, Sent, Waiting};
use super::normalise::{Seen, Side};
use super::real::{Real, pause};
use super::{Answer, NODE, Request, Step};

/// How long the real side may take for what the fake has done.
const PATIENCE: Duration = Duration::from_millis(500);
const MOMENT: Duration = Duration::from_micros(100);
/// How often a difference must show to be one.
const TRIES: usize = 5;
/// From which try on both are started anew: a real agent's cache can be behind for as long as it likes.
const FRESH: usize = 3;

/// The two.
#[derive(Debug)]
pub struct Pair {
    real: Real,
    fake: Fake,
    real_self: Answer,
    fake_self: Answer,
    plays: usize,
    intermittent: Vec<Difference>,
}

/// Where the two differ first.
#[derive(Debug, Clone)]
pub struct Difference {
    /// Which step, from 0.
    pub at: usize,
    /// The request, blanks and all.
    pub line: String,
    /// What the real one answered.
    pub real: String,
    /// What the fake answered.
    pub fake: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n--- real\n{}\n--- fake\n{}", self.line, self.real, self.fake)
    }
}

/// A query left waiting on both.
#[derive(Debug)]
struct Watch {
    at: usize,
    step: Step,
    /// What the real side was asked.
    asked: Request,
    real: Client,
    fake: Waiting,
}

/// One play.
struct Play<'a> {
    pair: &'a mut Pair,
    on_real: Side,
    on_fake: Side,
    watches: Vec<Watch>,
}

impl Pair {
    /// Starts both; nothing when there is no real Consul.
    #[must_use]
    pub fn start() -> Option<Self> {
        let mut real = Real::start(&Value::Null)?;
        let mut fake = Fake::new(real.server_port, real.serf_port);
        let itself = Request::get("/v1/agent/self");
        let (real_self, fake_self) = (real.send(&itself), fake.send(&itself));
        let mut pair = Self { real, fake, real_self, fake_self, plays: 0, intermittent: Vec::new() };
        // Small numbers in a play must be in the past on both.
        for _ in 0..20 {
            pair.floor();
        }
        Some(pair)
    }

    /// How many plays there have been.
    #[must_use]
    pub fn plays(&self) -> usize {
        self.plays
    }

    /// The differences that did not show again when the same was played again.
    #[must_use]
    pub fn intermittent(&self) -> &[Difference] {
        &self.intermittent
    }

    /// Both started anew, with what was found so far.
    ///
    /// # Panics
    /// When there is no real Consul any more.
    pub fn restart(&mut self) {
        let intermittent = std::mem::take(&mut self.intermittent);
        *self = Self::start().expect("a real Consul, as before");
        self.intermittent = intermittent;
    }

    /// Plays the steps to both and tidies up; again if they differ, and from a point on with both started anew.
    ///
    /// # Errors
    /// The first difference, if there was one every time.
    ///
    /// # Panics
    /// When the real server stops answering.
    pub fn play(&mut self, steps: &[Step]) -> Result<(), Box<Difference>> {
        let Err(first) = self.once(steps) else { return Ok(()) };
        for again in 1..TRIES {
            if again >= FRESH {
                self.restart();
            }
            if self.once(steps).is_ok() {
                self.intermittent.push(*first);
                return Ok(());
            }
        }
        Err(first)
    }

    fn once(&mut self, steps: &[Step]) -> Result<(), Box<Difference>> {
        self.plays += 1;
        let keys = format!("k{}/", self.plays);
        let (real, fake) = self.floor();
        let on_real = Side::new(&self.real_self, &keys, real);
        let on_fake = Side::new(&self.fake_self, &keys, fake);
        let mut play = Play { pair: self, on_real, on_fake, watches: Vec::new() };
        let outcome = play.all(steps);
        self.tidy();
        let left = self.left_behind();
        if left.is_some() {
            self.restart();
        }
        outcome.and(left.map_or(Ok(()), |what| {
            let line = "(everything was removed again, and then) GET /v1/health/node/ and /v1/catalog/node/"
                .to_owned();
            Err(Box::new(Difference { at: steps.len(), line, real: "(nothing)".to_owned(), fake: what }))
        }))
    }

    fn both(&mut self, request: &Request) -> (Answer, Answer) {
        (self.real.send(request), self.fake.send(request))
    }

    /// Removes everything a play can have left, and waits until the real catalog knows.
    fn tidy(&mut self) {
        for (list, remove) in [
            ("/v1/session/list", "/v1/session/destroy/"),
            ("/v1/agent/services", "/v1/agent/service/deregister/"),
            ("/v1/agent/checks", "/v1/agent/check/deregister/"),
            ("/v1/kv/?keys", ""),
            ("/v1/catalog/nodes", "/v1/catalog/deregister"),
        ] {
            let (real, fake) = self.both(&Request::get(list));
            let names: BTreeSet<_> = names(&real).into_iter().chain(names(&fake)).collect();
            if names.is_empty() {
                continue;
            }
            if remove.is_empty() {
                self.both(&Request::new("DELETE", "/v1/kv/?recurse", ""));
                continue;
            }
            for name in names {
                if remove == "/v1/catalog/deregister" {
                    if !name.eq_ignore_ascii_case(NODE) {
                        let body = serde_json::json!({ "Node": name }).to_string();
                        self.both(&Request::new("PUT", remove, &body));
                    }
                } else {
                    let name =
                        percent_encoding::utf8_percent_encode(&name, percent_encoding::NON_ALPHANUMERIC);
                    self.both(&Request::new("PUT", &format!("{remove}{name}"), ""));
                    if remove.starts_with("/v1/agent/") {
                        self.settle();
                    }
                }
            }
        }
    }

    /// What the fake's catalog has of an agent that has given everything up.
    fn left_behind(&mut self) -> Option<String> {
        let mut send = |path: &str| self.fake.send(&Request::get(&format!("{path}{NODE}"))).body;
        let (services, checks) = (send("/v1/catalog/node/"), send("/v1/health/node/"));
        let clean =
            services.matches("\"Service\":").count() == 1 && checks.matches("\"CheckID\":").count() == 1;
        (!clean).then(|| format!("{services}\n{checks}"))
    }

    /// Waits until the real catalog has as many services and checks of the agent as the fake's.
    fn settle(&mut self) {
        for (path, mark) in [("/v1/catalog/node/", "\"Service\":"), ("/v1/health/node/", "\"CheckID\":")] {
            let request = Request::get(&format!("{path}{NODE}"));
            let wanted = self.fake.send(&request).body.matches(mark).count();
            for _ in 0..1_000 {
                if self.real.send(&request).body.matches(mark).count() == wanted {
                    break;
                }
                pause(MOMENT);
            }
        }
    }

    /// The newest index of each: everything a play does is after it.
    fn floor(&mut self) -> (u64, u64) {
        self.both(&Request::new("PUT", "/v1/kv/floor", "x"));
        self.both(&Request::new("DELETE", "/v1/kv/floor", ""));
        let (real, fake) = self.both(&Request::get("/v1/kv/floor"));
        let index = |answer: &Answer| answer.header("x-consul-index").and_then(|index| index.parse().ok());
        (index(&real).expect("an index"), index(&fake).expect("an index"))
    }
}

/// The names in a list of the API, whatever kind of list it is.
fn names(list: &Answer) -> Vec<String> {
    let name = |item: &Value| -> Option<String> {
        let name = item.as_str().or(item["ID"].as_str()).or(item["Node"].as_str());
        // A node has an id too, but goes by its name.
        Some(item["Node"].as_str().filter(|_| item["Address"].is_string()).or(name)?.to_owned())
    };
    match serde_json::from_str(&list.body) {
        Ok(Value::Array(items)) => items.iter().filter_map(name).collect(),
        Ok(Value::Object(items)) => items.keys().cloned().collect(),
        _ => Vec::new(),
    }
}

/// Whether a watch so answered may have been woken by something nearby.
fn is_nearby(path: &str, answer: &Answer) -> bool {
    answer.status == 404 || answer.body.trim_end() == "[]" || path.starts_with("/v1/session/info/")
}

impl Play<'_> {
    fn all(&mut self, steps: &[Step]) -> Result<(), Box<Difference>> {
        for (at, step) in steps.iter().enumerate() {
            self.one(at, step)?;
            self.woken(at, Duration::ZERO)?;
        }
        if !self.watches.is_empty() {
            self.woken(steps.len(), Duration::from_millis(2))?;
        }
        Ok(())
    }

    fn one(&mut self, at: usize, step: &Step) -> Result<(), Box<Difference>> {
        let for_real = self.on_real.fill(&step.request);
        let for_fake = self.on_fake.fill(&step.request);
        if !step.watch {
            let fakes = self.pair.fake.send(&for_fake);
            let reals = self.pair.real.send(&for_real);
            let reals = self.when_refreshed(&for_real, reals, &fakes);
            self.compare(at, step, &reals, &fakes)?;
            if step.request.writes_to_agent() {
                // The indexes that deregistration moves are known to differ: see `generate`.
                match step.request.path.contains("/deregister/") {
                    true => self.pair.settle(),
                    false => self.wait_for_sync(at, step)?,
                }
            }
            return Ok(());
        }
        let mut client = self.pair.real.connect();
        client.start(&for_real);
        match self.pair.fake.start(&for_fake) {
            Sent::Answered(fakes) => match client.receive(PATIENCE) {
                Some(reals) => self.compare(at, step, &reals, &fakes),
                None => Err(self.only_fake(at, step, &fakes)),
            },
            Sent::Waiting(fake) => {
                let (step, asked) = (step.clone(), for_real);
                self.watches.push(Watch { at, step, asked, real: client, fake: *fake });
                Ok(())
            }
        }
    }

    /// What a real agent's cache says when it has heard of what its server knows, which takes it a moment.
    fn when_refreshed(&mut self, request: &Request, mut reals: Answer, fakes: &Answer) -> Answer {
        for _ in 0..1_000 {
            let is_kept = reals.header("x-cache") == Some("HIT");
            if !is_kept || self.on_real.normalise(&reals).text == self.on_fake.normalise(fakes).text {
                break;
            }
            pause(MOMENT);
            reals = self.pair.real.send(request);
        }
        reals
    }

    /// Compares the watches that a step has woken.
    fn woken(&mut self, at: usize, patience: Duration) -> Result<(), Box<Difference>> {
        let mut waiting = Vec::new();
        for mut watch in std::mem::take(&mut self.watches) {
            let line =
                || format!("{}\n(woken by step {} while waiting since {})", watch.step, at + 1, watch.at + 1);
            if let Some(fakes) = self.pair.fake.poll(&mut watch.fake) {
                match watch.real.receive(PATIENCE) {
                    Some(mut reals) => {
                        // What something nearby had woken before is asked again, as clients do.
                        let told = self.on_real.normalise(&reals).text;
                        let same = told == self.on_fake.normalise(&fakes).text;
                        if !same && is_nearby(&watch.asked.path, &reals) {
                            watch.real.start(&watch.asked);
                            reals = watch.real.receive(PATIENCE).unwrap_or(reals);
                        }
                        self.compare(at, &watch.step, &reals, &fakes).map_err(|mut difference| {
                            difference.line = line();
                            difference
                        })?
                    }
                    None => {
                        let mut difference = self.only_fake(at, &watch.step, &fakes);
                        difference.line = line();
                        return Err(difference);
                    }
                }
            } else if let Some(reals) = watch.real.receive(patience) {
                let path = &watch.step.request.path;
                if !is_nearby(path, &reals) && !self.was_late(path, &reals) {
                    let real = self.on_real.normalise(&reals).text;
                    let fake = "(still waits)".to_owned();
                    return Err(Box::new(Difference { at, line: line(), real, fake }));
                }
            } else {
                waiting.push(watch);
            }
        }
        self.watches = waiting;
        Ok(())
    }

    /// Whether the real side took a watch of a node or of a service's instances only after the index it watches
    /// had moved. That of a node moves with everybody's services or checks, that of instances with the checks
    /// of their node, so that nothing else has changed in what it says.
    fn was_late(&mut self, path: &str, reals: &Answer) -> bool {
        let moves = ["/v1/catalog/node/", "/v1/health/node/", "/v1/catalog/service/"];
        let moves = moves.iter().any(|start| path.starts_with(start));
        let Some((now, _)) = path.split_once('?').filter(|_| moves) else { return false };
        let fakes = self.pair.fake.send(&Request::get(now));
        self.on_real.normalise(reals).text == self.on_fake.normalise(&fakes).text
    }

    fn only_fake(&self, at: usize, step: &Step, fakes: &Answer) -> Box<Difference> {
        let fake = self.on_fake.normalise(fakes).text;
        Box::new(Difference { at, line: step.to_string(), real: "(still waits)".to_owned(), fake })
    }

    fn compare(
        &mut self,
        at: usize,
        step: &Step,
        reals: &Answer,
        fakes: &Answer,
    ) -> Result<(), Box<Difference>> {
        let real = self.on_real.normalise(reals);
        let fake = self.on_fake.normalise(fakes);
        if real.text != fake.text {
            return Err(differ(at, step.to_string(), real, fake));
        }
        self.on_real.accept(&step.request, reals, real);
        self.on_fake.accept(&step.request, fakes, fake);
        Ok(())
    }

    /// Waits until the real agent has told the catalog what the fake's knows already.
    fn wait_for_sync(&mut self, at: usize, step: &Step) -> Result<(), Box<Difference>> {
        for path in [format!("/v1/catalog/node/{NODE}"), format!("/v1/health/node/{NODE}")] {
            let request = Request::get(&path);
            let fakes = self.pair.fake.send(&request);
            let mut last = None;
            for _ in 0..1_000 {
                let reals = self.pair.real.send(&request);
                let (real, fake) = (self.on_real.normalise(&reals), self.on_fake.normalise(&fakes));
                if real.text == fake.text {
                    self.on_real.accept_indexes(real);
                    self.on_fake.accept_indexes(fake);
                    last = None;
                    break;
                }
                last = Some((real, fake));
                pause(MOMENT);
            }
            if let Some((real, fake)) = last {
                return Err(differ(at, format!("{step}\n(and then GET {path})"), real, fake));
            }
        }
        Ok(())
    }
}

fn differ(at: usize, line: String, real: Seen, fake: Seen) -> Box<Difference> {
    Box::new(Difference { at, line, real: real.text, fake: fake.text })
}
