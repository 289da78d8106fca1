//! The shell, over streams that never leave the process and a clock that skips what nobody does.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, ready};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use ironbird_agent::host::{Command, Exit, Host, Listener, Process, Signal};
use ironbird_agent::journal::Entry;
use rand_chacha::ChaCha8Rng;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::Instant;

use super::{Exchange, Observer, Shared, Shell, serve};
use crate::consul::Happened;
use crate::consul::{Consul, ConsulConfig};
use crate::record::ConsulEvent;
use crate::seed::Seed;

const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

/// A machine that has a clock and can be connected to, and nothing else.
#[derive(Clone)]
struct Bench {
    began: Instant,
    dial: mpsc::UnboundedSender<DuplexStream>,
    calls: Rc<RefCell<Option<mpsc::UnboundedReceiver<DuplexStream>>>>,
    /// Whether whatever it connects to is there.
    reaches: Rc<Cell<bool>>,
}

struct Calls(mpsc::UnboundedReceiver<DuplexStream>);

impl Listener for Calls {
    type Stream = DuplexStream;

    async fn accept(&mut self) -> io::Result<(DuplexStream, SocketAddr)> {
        match self.0.recv().await {
            Some(stream) => Ok((stream, SocketAddr::new(CLIENT, 40000))),
            None => pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddr::new(SERVER, 8500))
    }
}

struct NoProcess;

impl Process for NoProcess {
    fn pid(&self) -> u32 {
        0
    }

    async fn wait(&mut self) -> Exit {
        pending().await
    }

    fn signal(&self, _: Signal) {}

    fn detach(self) {}
}

fn unsupported<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

impl Host for Bench {
    type Stream = DuplexStream;
    type Listener = Calls;
    type Process = NoProcess;

    fn hostname(&self) -> &str {
        "bench"
    }

    fn address(&self) -> IpAddr {
        SERVER
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn unix_time(&self) -> Duration {
        self.now()
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static {
        tokio::time::sleep(duration)
    }

    fn random(&self, purpose: &str) -> ChaCha8Rng {
        Seed(1).stream(purpose, "bench")
    }

    fn connect(&self, _: SocketAddr) -> impl Future<Output = io::Result<DuplexStream>> + 'static {
        // Nothing is said on it, which is all it takes to be there.
        let (near, far) = tokio::io::duplex(64);
        drop(far);
        ready(if self.reaches.get() { Ok(near) } else { Err(io::ErrorKind::ConnectionRefused.into()) })
    }

    fn listen(&self, _: SocketAddr) -> impl Future<Output = io::Result<Calls>> {
        let calls = self.calls.borrow_mut().take();
        async { calls.map(Calls).ok_or_else(|| io::ErrorKind::AddrInUse.into()) }
    }

    fn spawn(&self, _: &Command) -> io::Result<NoProcess> {
        unsupported()
    }

    fn pid(&self) -> u32 {
        1
    }

    fn kill(&self, _: u32, _: Signal) -> io::Result<()> {
        unsupported()
    }

    fn signal(&self) -> impl Future<Output = Signal> + 'static {
        pending()
    }

    fn read_file(&self, _: &Path) -> impl Future<Output = io::Result<Vec<u8>>> + 'static {
        ready(unsupported())
    }

    fn write_file(&self, _: &Path, _: Vec<u8>) -> impl Future<Output = io::Result<()>> + 'static {
        ready(unsupported())
    }

    fn remove(&self, _: &Path) -> impl Future<Output = io::Result<()>> + 'static {
        ready(unsupported())
    }

    fn exists(&self, _: &Path) -> impl Future<Output = bool> + 'static {
        ready(false)
    }

    fn journal(&self, _: Entry) {}
}

/// What an observer was told, a line each.
#[derive(Default)]
struct Log(RefCell<Vec<String>>);

impl Observer for Log {
    fn exchange(&self, exchange: &Exchange<'_>) {
        let Exchange { client, method, path, status, took, stale } = exchange;
        let stale = if *stale { " stale" } else { "" };
        self.0.borrow_mut().push(format!("{client} {method} {path} {status} {}s{stale}", took.as_secs()));
    }

    fn event(&self, Happened { at, event, .. }: Happened) {
        let name = match event {
            ConsulEvent::SessionCreated { name, .. } => format!("created {name}"),
            ConsulEvent::SessionInvalidated { why, .. } => why,
            other => format!("{other:?}"),
        };
        self.0.borrow_mut().push(format!("{}s {name}", at.as_secs()));
    }
}

type Sender = http1::SendRequest<Full<Bytes>>;

/// Opens a connection.
async fn dial(bench: &Bench) -> Sender {
    let (near, far) = tokio::io::duplex(64 * 1024);
    bench.dial.send(far).expect("a server");
    let (sender, connection) = http1::handshake(TokioIo::new(near)).await.expect("a handshake");
    spawn_local(async { connection.await.ok() });
    sender
}

async fn ask(sender: &mut Sender, line: &str) -> Response<Bytes> {
    let (request, body) = line.split_once(" | ").unwrap_or((line, ""));
    let (method, path) = request.split_once(' ').expect("a method and a path");
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "consul")
        .body(Full::from(body.to_owned()))
        .expect("a request");
    let (head, body) = sender.send_request(request).await.expect("an answer").into_parts();
    Response::from_parts(head, body.collect().await.expect("a body").to_bytes())
}

/// Runs `client` against a server on a bench, and returns what the server's observer was told.
fn run<F: Future<Output = ()> + 'static>(client: impl FnOnce(Bench, Shared, Rc<Log>) -> F) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let log = Rc::new(Log::default());
    LocalSet::new().block_on(&runtime, async {
        let (dial, calls) = mpsc::unbounded_channel();
        let bench = Bench {
            began: Instant::now(),
            dial,
            calls: Rc::new(RefCell::new(Some(calls))),
            reaches: Rc::default(),
        };
        let consul = Consul::new(ConsulConfig::new("consul-1", SERVER), bench.random("consul"));
        let shared = Shared::new(consul);
        let address = SocketAddr::new(SERVER, 8500);
        let client = client(bench.clone(), shared.clone(), Rc::clone(&log));
        tokio::select! {
            biased;
            ended = serve(Shell::new(bench, shared, Rc::clone(&log)), address) => panic!("{ended:?}"),
            () = client => {}
        }
    });
    log.0.take()
}

#[test]
fn a_watch_on_one_connection_is_answered_when_another_writes() {
    let told = run(|bench, _, _| async move {
        let (mut one, mut other) = (dial(&bench).await, dial(&bench).await);
        let watching = spawn_local(async move {
            let answer = ask(&mut one, "GET /v1/kv/k?index=1&wait=60s").await;
            (answer, one)
        });
        bench.sleep(Duration::from_secs(7)).await;
        assert_eq!(ask(&mut other, "PUT /v1/kv/k | x").await.body(), "true");
        let (answer, mut one) = watching.await.expect("an answer");
        assert_eq!(answer.status(), 200);
        assert!(answer.headers().get("date").is_none());
        // The connection is kept, and nothing is waited for any more.
        assert_eq!(ask(&mut one, "GET /v1/kv/k?raw").await.body(), "x");
        assert_eq!(bench.now().as_secs(), 7);
    });
    assert_eq!(
        told,
        [
            "10.0.0.2 PUT /v1/kv/k 200 0s",
            "10.0.0.2 GET /v1/kv/k?index=1&wait=60s 200 7s",
            "10.0.0.2 GET /v1/kv/k?raw 200 0s",
        ]
    );
}

#[test]
fn a_watch_is_answered_at_its_deadline() {
    run(|bench, _, _| async move {
        let mut sender = dial(&bench).await;
        let answer = ask(&mut sender, "GET /v1/kv/k?index=1&wait=16s").await;
        assert_eq!(answer.status(), 404);
        assert_eq!(bench.now().as_secs(), 16);
    });
}

#[test]
fn a_session_expires_with_nobody_asking_and_wakes_who_watches() {
    let told = run(|bench, _, _| async move {
        let mut sender = dial(&bench).await;
        ask(&mut sender, r#"PUT /v1/session/create | {"Name":"s","TTL":"10s"}"#).await;
        let answer = ask(&mut sender, "GET /v1/session/list?index=8&wait=60s").await;
        assert_eq!(answer.body(), "[]");
        assert_eq!(bench.now().as_secs(), 20);
    });
    assert_eq!(
        told,
        [
            "0s created s",
            "10.0.0.2 PUT /v1/session/create 200 0s",
            "20s expired",
            "10.0.0.2 GET /v1/session/list?index=8&wait=60s 200 20s",
        ]
    );
}

#[test]
fn a_server_that_goes_takes_its_check_and_its_session_with_it() {
    run(|bench, _, _| async move {
        let mut sender = dial(&bench).await;
        bench.reaches.set(true);
        let service = r#"{"Name":"web","Check":{"CheckID":"c","TCP":"10.0.0.3:80","Interval":"10s"}}"#;
        ask(&mut sender, &format!("PUT /v1/agent/service/register | {service}")).await;
        bench.sleep(Duration::from_secs(11)).await;
        let passing = ask(&mut sender, "GET /v1/health/service/web?passing&filter=Service.ID==web").await;
        assert_ne!(passing.body(), "[]");
        let session =
            r#"PUT /v1/session/create | {"Checks":["serfHealth","c"],"NodeChecks":["serfHealth","c"]}"#;
        assert_eq!(ask(&mut sender, session).await.status(), 200);
        bench.sleep(Duration::from_secs(30)).await;
        assert_ne!(ask(&mut sender, "GET /v1/session/list").await.body(), "[]");
        bench.reaches.set(false);
        bench.sleep(Duration::from_secs(11)).await;
        assert_eq!(ask(&mut sender, "GET /v1/health/service/web?passing").await.body(), "[]");
        assert_eq!(ask(&mut sender, "GET /v1/session/list").await.body(), "[]");
    });
}

#[test]
fn a_lag_that_ends_wakes_who_lagged() {
    run(|bench, shared, log| async move {
        let mut sender = dial(&bench).await;
        let lag = |delay| {
            let now = bench.now();
            shared.update(now, 0, &*log, |consul| consul.set_catalog_lag(now, CLIENT, delay));
        };
        lag(Some(Duration::from_secs(600)));
        bench.sleep(Duration::from_secs(10)).await;
        ask(&mut sender, r#"PUT /v1/agent/service/register | {"Name":"web"}"#).await;
        let watching =
            spawn_local(async move { ask(&mut sender, "GET /v1/catalog/services?index=7&wait=90s").await });
        bench.sleep(Duration::from_secs(20)).await;
        assert!(!watching.is_finished());
        lag(None);
        let answer = watching.await.expect("an answer");
        assert_eq!(answer.body(), r#"{"consul":[],"web":[]}"#);
        assert_eq!(bench.now().as_secs(), 30);
    });
}

#[test]
fn an_answer_is_stale_when_the_catalog_would_give_another_by_now() {
    let told = run(|bench, shared, log| async move {
        let mut sender = dial(&bench).await;
        let now = bench.now();
        let lag = Some(Duration::from_secs(60));
        shared.update(now, 0, &*log, |consul| consul.set_catalog_lag(now, CLIENT, lag));
        ask(&mut sender, "GET /v1/catalog/services").await;
        bench.sleep(Duration::from_secs(1)).await;
        ask(&mut sender, r#"PUT /v1/agent/service/register | {"Name":"web"}"#).await;
        // The one shows what is not so any more, the others what is.
        for path in ["catalog/services", "health/service/db", "agent/services", "kv/web"] {
            ask(&mut sender, &format!("GET /v1/{path}")).await;
        }
        bench.sleep(Duration::from_secs(60)).await;
        ask(&mut sender, "GET /v1/catalog/services").await;
    });
    let answered: Vec<_> =
        told.iter().filter_map(|line| line.split_once(" GET /v1/").map(|(_, rest)| rest)).collect();
    assert_eq!(
        answered,
        [
            "catalog/services 200 0s",
            "catalog/services 200 0s stale",
            "health/service/db 200 0s",
            "agent/services 200 0s",
            "kv/web 404 0s",
            "catalog/services 200 0s",
        ]
    );
}

#[test]
fn a_client_that_goes_away_is_not_waited_for() {
    let told = run(|bench, shared, _| async move {
        let mut sender = dial(&bench).await;
        let watching = spawn_local(async move { ask(&mut sender, "GET /v1/kv/k?index=1&wait=60s").await });
        bench.sleep(Duration::from_secs(1)).await;
        assert_eq!(shared.waiting(), 1);
        watching.abort();
        bench.sleep(Duration::from_secs(1)).await;
        assert_eq!(shared.waiting(), 0);
    });
    assert!(told.is_empty(), "{told:?}");
}

#[test]
fn a_body_too_great_for_any_endpoint_is_refused() {
    let told = run(|bench, _, _| async move {
        let mut sender = dial(&bench).await;
        for (size, status, stored) in
            [(512 * 1024, 200, 200), (512 * 1024 + 1, 413, 404), (2 * 1024 * 1024, 413, 404)]
        {
            let key = format!("/v1/kv/{size}");
            let answer = ask(&mut sender, &format!("PUT {key} | {}", "x".repeat(size))).await;
            assert_eq!(answer.status(), status, "{size}");
            sender = dial(&bench).await;
            assert_eq!(ask(&mut sender, &format!("GET {key}?raw")).await.status(), stored, "{size}");
        }
    });
    assert_eq!(told.len(), 6);
}
