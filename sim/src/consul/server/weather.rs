//! What [`Chaos`] does to a request before the state is asked, and to the answer after.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, VARY};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;

use super::connection::said;
use super::strikes::Strikes;
use super::{Clock, Observer, Shell};
use crate::consul::Consul;
use crate::consul::chaos::Chaos;

/// How long a server waits for a leader before it gives up, and at most how much longer.
const HOLD: Duration = Duration::from_secs(7);
const HOLD_JITTER_MS: u64 = 440;
/// How often to look whether there is now somebody whom a trouble can hit.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Whom catalogs are kept for.
const READERS_MAX: usize = 4096;
const LOOPBACKS: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
const INDEX: &str = "x-consul-index";

/// The troubles of a server and what they have done so far.
#[derive(Debug)]
pub(super) struct Weather {
    chaos: Chaos,
    dice: RefCell<ChaCha8Rng>,
    /// Who would see an old catalog: who has ever asked, and who is sure to.
    readers: RefCell<BTreeSet<IpAddr>>,
    lag: Cell<Option<Duration>>,
    leader_lost: Cell<Option<Duration>>,
    wakes: Cell<Option<f64>>,
    revoked: Cell<bool>,
    /// How often indexes started over, and what is taken from them since.
    resets: Cell<u64>,
    taken: Cell<u64>,
    /// The greatest index a client was told of, as the state counts.
    told: Cell<u64>,
    strikes: Strikes,
}

impl Weather {
    pub(super) fn new(chaos: Chaos, dice: ChaCha8Rng) -> Self {
        Self {
            chaos,
            dice: RefCell::new(dice),
            readers: RefCell::new(LOOPBACKS.into()),
            lag: Cell::default(),
            leader_lost: Cell::default(),
            wakes: Cell::default(),
            revoked: Cell::default(),
            resets: Cell::default(),
            taken: Cell::default(),
            told: Cell::default(),
            strikes: Strikes::default(),
        }
    }

    /// Returns when connections are refused.
    pub(super) async fn refusing(&self) {
        self.chaos.until(|troubles| troubles.is_refusing()).await;
    }

    /// Brings about what changes without a request.
    pub(super) async fn blow<C: Clock, O: Observer>(&self, shell: &Shell<C, O>) -> Infallible {
        loop {
            let changes = self.chaos.changes();
            self.change(shell);
            let changed = self.chaos.changed_since(changes);
            match self.strikes.is_pending() {
                false => changed.await,
                true => tokio::select! {
                    biased;
                    () = changed => {}
                    () = shell.clock.sleep(LOOK_AGAIN) => {}
                },
            }
        }
    }

    fn change<C: Clock, O: Observer>(&self, shell: &Shell<C, O>) {
        let (stale, leaderless, resets, wakes, revoked) = {
            let now = self.chaos.now();
            (now.stale(), now.is_leaderless(), now.resets(), now.spurious_wakes(), now.are_tokens_revoked())
        };
        let now = shell.clock.now();
        if self.lag.replace(stale) != stale {
            let readers = self.readers.borrow();
            for reader in readers.iter() {
                self.show(shell, *reader, stale);
            }
        }
        if leaderless != self.leader_lost.get().is_some() {
            self.leader_lost.set(leaderless.then_some(now));
            self.every_node(shell, |consul| consul.set_leaderless(now, leaderless));
        }
        if self.revoked.replace(revoked) != revoked {
            self.every_node(shell, |consul| consul.revoke_tokens(now, revoked));
        }
        if self.wakes.replace(wakes) != wakes {
            self.every_node(shell, |consul| consul.set_spurious_wakes(wakes));
        }
        if self.resets.replace(resets) != resets {
            self.taken.set(self.told.get().saturating_sub(1));
        }
        let strikes: Vec<_> = self.chaos.now().strikes().collect();
        if self.strikes.differ(&strikes) {
            shell.shared.update_all(now, &*shell.observer, |fleet| {
                self.draw(|dice| self.strikes.follow(now, fleet, &strikes, dice));
            });
        }
    }

    fn every_node<C: Clock, O: Observer>(&self, shell: &Shell<C, O>, mut tell: impl FnMut(&mut Consul)) {
        let now = shell.clock.now();
        shell.shared.update_all(now, &*shell.observer, |fleet| {
            for node in 0..fleet.len() {
                fleet.with(now, node, &mut tell);
            }
        });
    }

    /// Whether `client` asks for the first time.
    fn meet(&self, client: IpAddr) -> bool {
        let mut readers = self.readers.borrow_mut();
        readers.len() < READERS_MAX && readers.insert(client)
    }

    fn show<C: Clock, O: Observer>(&self, shell: &Shell<C, O>, reader: IpAddr, lag: Option<Duration>) {
        let now = shell.clock.now();
        self.every_node(shell, |consul| consul.set_catalog_lag(now, reader, lag));
    }

    /// Answers a request as the weather allows.
    pub(super) async fn answer<C: Clock, O: Observer>(
        &self,
        shell: &Shell<C, O>,
        client: IpAddr,
        request: &Request<Bytes>,
    ) -> Response<Bytes> {
        if self.chaos.now().is_hanging() {
            self.chaos.until(|troubles| !troubles.is_hanging()).await;
        }
        let delay: Duration =
            self.draw(|dice| self.chaos.now().latencies().map(|span| span.sample(dice)).sum());
        if !delay.is_zero() {
            shell.clock.sleep(delay).await;
        }
        let failed = self.draw(|dice| {
            let share = |share| dice.random_bool(f64::clamp(share, 0.0, 1.0));
            let mut share = share;
            self.chaos.now().errors().find(|(_, of)| share(*of)).map(|(status, _)| status)
        });
        if let Some(status) = failed {
            return failure(status);
        }
        // Whatever changed a moment ago counts for this request too.
        self.change(shell);
        let served_stale = self.chaos.now().has_stale_reads().then(|| made_stale(request)).flatten();
        let request = served_stale.as_ref().unwrap_or(request);
        let is_stale = request.method() == Method::GET && has_parameter(request.uri(), "stale");
        if self.leader_lost.get().is_some() {
            if request.uri().path() == "/v1/status/leader" && request.method() == Method::GET {
                return no_leader();
            }
            if needs_leader(request.uri().path()) && !is_stale && !self.leader_returns(shell).await {
                return failure_text(StatusCode::INTERNAL_SERVER_ERROR, "No cluster leader");
            }
        }
        if self.meet(client)
            && let Some(lag) = self.lag.get()
        {
            self.show(shell, client, Some(lag));
        }
        let mut response = match self.taken.get() {
            0 => shell.ask(client, request).await,
            taken => shell.ask(client, &with_index_moved(request, taken)).await,
        };
        self.headers(shell.clock.now(), is_stale, &mut response);
        response
    }

    fn draw<T>(&self, draw: impl FnOnce(&mut ChaCha8Rng) -> T) -> T {
        draw(&mut self.dice.borrow_mut())
    }

    /// Holds a request; true when there is a leader again before that is too long.
    async fn leader_returns<C: Clock, O: Observer>(&self, shell: &Shell<C, O>) -> bool {
        let jitter = self.draw(|dice| Duration::from_millis(dice.next_u64() % (HOLD_JITTER_MS + 1)));
        tokio::select! {
            biased;
            () = self.chaos.until(|troubles| !troubles.is_leaderless()) => true,
            () = shell.clock.sleep(HOLD + jitter) => false,
        }
    }

    fn headers(&self, now: Duration, is_stale: bool, response: &mut Response<Bytes>) {
        let Some(index) =
            response.headers().get(INDEX).and_then(|value| value.to_str().ok()?.parse::<u64>().ok())
        else {
            return;
        };
        self.told.set(self.told.get().max(index));
        let headers = response.headers_mut();
        if self.taken.get() > 0 {
            headers.insert(INDEX, index.saturating_sub(self.taken.get()).max(1).into());
        }
        if let Some(since) = self.leader_lost.get().filter(|_| is_stale) {
            let millis = u64::try_from(now.saturating_sub(since).as_millis()).unwrap_or(u64::MAX);
            headers.insert("x-consul-knownleader", HeaderValue::from_static("false"));
            headers.insert("x-consul-lastcontact", millis.into());
        }
    }
}

/// Whether a server without a leader cannot answer it alone.
fn needs_leader(path: &str) -> bool {
    let group = path.strip_prefix("/v1/").and_then(|rest| rest.split('/').next());
    matches!(
        group,
        Some(
            "kv" | "txn"
                | "session"
                | "catalog"
                | "health"
                | "coordinate"
                | "acl"
                | "query"
                | "config"
                | "operator"
        )
    ) && path != "/v1/catalog/datacenters"
}

fn parameters(uri: &Uri) -> impl Iterator<Item = (&str, &str)> {
    let pairs = uri.query().unwrap_or_default().split('&');
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

fn has_parameter(uri: &Uri, name: &str) -> bool {
    parameters(uri).any(|(other, _)| other == name)
}

/// The same request asking for `stale`, if it is a read that says nothing of the kind itself.
fn made_stale(request: &Request<Bytes>) -> Option<Request<Bytes>> {
    let uri = request.uri();
    let reads = request.method() == Method::GET && needs_leader(uri.path());
    let chooses = ["stale", "consistent", "cached"].into_iter().any(|mode| has_parameter(uri, mode));
    if !reads || chooses {
        return None;
    }
    let query = uri.query().map_or_else(|| "stale".to_owned(), |query| format!("{query}&stale"));
    let mut stale = request.clone();
    *stale.uri_mut() = format!("{}?{query}", uri.path()).parse().ok()?;
    Some(stale)
}

/// The same request with its index as the state counts.
fn with_index_moved(request: &Request<Bytes>, by: u64) -> Request<Bytes> {
    let mut moved = request.clone();
    if !has_parameter(request.uri(), "index") {
        return moved;
    }
    let query: Vec<String> = parameters(request.uri())
        .map(|(name, value)| match (name, value.parse::<u64>()) {
            ("index", Ok(index)) if index > 0 => format!("index={}", index.saturating_add(by)),
            _ => format!("{name}={value}"),
        })
        .collect();
    if let Ok(uri) = format!("{}?{}", request.uri().path(), query.join("&")).parse() {
        *moved.uri_mut() = uri;
    }
    moved
}

fn failure(status: StatusCode) -> Response<Bytes> {
    match status {
        StatusCode::TOO_MANY_REQUESTS => failure_text(status, ""),
        StatusCode::INTERNAL_SERVER_ERROR => failure_text(status, "rpc error making call: EOF"),
        status => failure_text(status, status.canonical_reason().unwrap_or_default()),
    }
}

fn failure_text(status: StatusCode, text: &str) -> Response<Bytes> {
    said(status, text.to_owned())
}

/// What `status/leader` says without one.
fn no_leader() -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(b"\"\""));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    response
}
