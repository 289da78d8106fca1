//! The object store: `PUT /name` keeps an object, `GET /name` returns it.
//!
//! What it holds is the world's, not the machine's: [`Objects`] outlives a store that is killed, and is where
//! faults say what is wrong with it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use ironbird_agent::host::{Exit, Host, Listener};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::consul::chaos::Trouble;
use crate::machine::SimHost;
use crate::plan::Span;
use crate::record::What;

/// The largest object.
const OBJECT_MAX: usize = 32 << 20;
/// How many versions of an object are kept, for readers who are shown old ones.
const VERSIONS: usize = 16;

/// What a fault does to the store.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Ill {
    /// What can be wrong with any server.
    Trouble(Trouble),
    /// Only the first half of an upload is kept.
    Truncates,
}

/// An object as it was from a time on.
#[derive(Debug)]
struct Version {
    since: Duration,
    content: Bytes,
}

/// What the store holds, and what is wrong with it.
#[derive(Debug, Default)]
pub(super) struct Objects {
    /// Versions by name, the oldest first.
    versions: RefCell<BTreeMap<String, Vec<Version>>>,
    /// By the number of the fault.
    ills: RefCell<BTreeMap<usize, Ill>>,
    changed: Notify,
}

impl Objects {
    /// Begins what fault `number` brings.
    pub(super) fn begin(&self, number: usize, ill: Ill) {
        self.ills.borrow_mut().insert(number, ill);
        self.changed.notify_waiters();
    }

    /// Ends it.
    pub(super) fn end(&self, number: usize) {
        self.ills.borrow_mut().remove(&number);
        self.changed.notify_waiters();
    }

    /// Loses everything it holds.
    pub(super) fn wipe(&self) {
        self.versions.borrow_mut().clear();
    }

    fn ills(&self) -> Vec<Ill> {
        self.ills.borrow().values().copied().collect()
    }

    fn has(&self, ill: Ill) -> bool {
        self.ills.borrow().values().any(|own| *own == ill)
    }

    async fn until(&self, ill: Ill, there: bool) {
        loop {
            let changed = self.changed.notified();
            if self.has(ill) == there {
                return;
            }
            changed.await;
        }
    }

    fn put(&self, now: Duration, name: String, mut content: Bytes) {
        if self.has(Ill::Truncates) {
            content.truncate(content.len() / 2);
        }
        let mut objects = self.versions.borrow_mut();
        let versions = objects.entry(name).or_default();
        if versions.len() == VERSIONS {
            versions.remove(0);
        }
        versions.push(Version { since: now, content });
    }

    /// The object as it is shown at `now`.
    fn get(&self, now: Duration, name: &str) -> Option<Bytes> {
        let lags = self.ills().into_iter().filter_map(|ill| match ill {
            Ill::Trouble(Trouble::Stale { delay }) => Some(delay),
            _ => None,
        });
        let shown = now.checked_sub(lags.max().unwrap_or_default())?;
        let objects = self.versions.borrow();
        let version = objects.get(name)?.iter().rev().find(|version| version.since <= shown)?;
        Some(version.content.clone())
    }
}

struct Store {
    host: SimHost,
    latency: Span,
    random: RefCell<ChaCha8Rng>,
    /// What is wrong is drawn from here, so that the store's own draws stay what they are.
    dice: RefCell<ChaCha8Rng>,
    objects: Rc<Objects>,
}

/// Serves until its machine ends.
pub(super) async fn serve(host: SimHost, port: u16, latency: Span, objects: Rc<Objects>) -> Exit {
    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
    let store = Rc::new(Store {
        random: RefCell::new(host.random("store")),
        dice: RefCell::new(host.random("store-troubles")),
        host,
        latency,
        objects: Rc::clone(&objects),
    });
    let refuses = Ill::Trouble(Trouble::Refuse);
    loop {
        objects.until(refuses, false).await;
        let Ok(mut listener) = store.host.listen(address).await else {
            return Exit::code(1);
        };
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = objects.until(refuses, true) => break,
                Some(_) = connections.join_next() => {}
                accepted = listener.accept() => {
                    let Ok((stream, _)) = accepted else { return Exit::code(1) };
                    let store = Rc::clone(&store);
                    connections.spawn_local(async move {
                        let answer = service_fn(move |request| answer(Rc::clone(&store), request));
                        // A client that goes away ends its own connection and nothing else.
                        http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await.ok();
                    });
                }
            }
        }
    }
}

impl Store {
    /// How long an answer takes.
    fn pause(&self) -> Duration {
        let usual = self.latency.sample(&mut *self.random.borrow_mut());
        let more = self.objects.ills().into_iter().map(|ill| match ill {
            Ill::Trouble(Trouble::Slow { latency }) => latency.sample(&mut *self.dice.borrow_mut()),
            _ => Duration::ZERO,
        });
        usual + more.sum::<Duration>()
    }

    /// The error it answers with, if it does.
    fn error(&self) -> Option<StatusCode> {
        self.objects.ills().into_iter().find_map(|ill| match ill {
            Ill::Trouble(Trouble::Errors { status, share }) => {
                self.dice.borrow_mut().random_bool(share.clamp(0.0, 1.0)).then_some(status)
            }
            _ => None,
        })
    }
}

async fn answer(store: Rc<Store>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let object = parts.uri.path().trim_start_matches('/').to_owned();
    store.objects.until(Ill::Trouble(Trouble::Hang), false).await;
    let (pause, error) = (store.pause(), store.error());
    let outcome = match (parts.method.clone(), error) {
        (_, Some(error)) => {
            store.host.sleep(pause).await;
            (error, Bytes::new())
        }
        (Method::PUT, None) => match Limited::new(body, OBJECT_MAX).collect().await {
            Ok(content) => {
                store.host.sleep(pause).await;
                store.objects.put(store.host.now(), object.clone(), content.to_bytes());
                (StatusCode::OK, Bytes::new())
            }
            Err(_) => (StatusCode::PAYLOAD_TOO_LARGE, Bytes::new()),
        },
        (Method::GET, None) => {
            store.host.sleep(pause).await;
            match store.objects.get(store.host.now(), &object) {
                Some(content) => (StatusCode::OK, content),
                None => (StatusCode::NOT_FOUND, Bytes::new()),
            }
        }
        _ => (StatusCode::METHOD_NOT_ALLOWED, Bytes::new()),
    };
    store.host.record(What::Store { method: parts.method.to_string(), object, status: outcome.0.as_u16() });
    let mut response = Response::new(Full::new(outcome.1));
    *response.status_mut() = outcome.0;
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_stale_store_shows_what_was() {
        let objects = Objects::default();
        objects.put(s(10), "a".to_owned(), Bytes::from_static(b"old"));
        objects.put(s(20), "a".to_owned(), Bytes::from_static(b"new"));
        objects.begin(0, Ill::Trouble(Trouble::Stale { delay: s(5) }));
        assert_eq!(objects.get(s(24), "a"), Some(Bytes::from_static(b"old")));
        assert_eq!(objects.get(s(25), "a"), Some(Bytes::from_static(b"new")));
        assert_eq!(objects.get(s(12), "a"), None);
        assert_eq!(objects.get(s(1), "a"), None);
        objects.end(0);
        assert_eq!(objects.get(s(20), "a"), Some(Bytes::from_static(b"new")));
    }

    #[test]
    fn a_truncated_upload_is_half_of_one() {
        let objects = Objects::default();
        objects.begin(7, Ill::Truncates);
        objects.put(s(1), "a".to_owned(), Bytes::from_static(b"abcd"));
        objects.end(7);
        objects.put(s(1), "b".to_owned(), Bytes::from_static(b"abcd"));
        assert_eq!(objects.get(s(1), "a"), Some(Bytes::from_static(b"ab")));
        assert_eq!(objects.get(s(1), "b"), Some(Bytes::from_static(b"abcd")));
        objects.wipe();
        assert_eq!(objects.get(s(2), "b"), None);
    }

    #[test]
    fn only_so_many_versions_are_kept() {
        let objects = Objects::default();
        for second in 0..100 {
            objects.put(s(second), "a".to_owned(), Bytes::new());
        }
        assert_eq!(objects.versions.borrow()["a"].len(), VERSIONS);
    }
}
