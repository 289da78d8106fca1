//! A machine in memory for unit tests: scripted processes, a scripted HTTP server, signals by hand, and
//! the clock of a paused tokio runtime.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tokio::io::DuplexStream;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::host::{Command, Exit, Host, Listener, Process, Signal};
use crate::journal::Entry;

/// What the HTTP server behind every address answers: status, headers, body.
pub(crate) type Answer = (u16, Vec<(&'static str, String)>, Vec<u8>);
/// The HTTP server: method, path with query, body.
pub(crate) type Server = Rc<dyn Fn(String, String, Vec<u8>) -> Pin<Box<dyn Future<Output = Answer>>>>;

/// How a scripted program behaves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Script {
    /// It ends by itself after this long.
    pub(crate) lasts: Option<Duration>,
    /// The exit code then.
    pub(crate) code: i32,
    /// How it answers SIGTERM: after this long with this code; not at all without.
    pub(crate) on_term: Option<(Duration, i32)>,
}

impl Script {
    pub(crate) fn ends(after: Duration, code: i32) -> Self {
        Self { lasts: Some(after), code, on_term: Some((Duration::ZERO, 0)) }
    }

    pub(crate) fn serves() -> Self {
        Self { lasts: None, code: 0, on_term: Some((Duration::from_millis(100), 0)) }
    }
}

#[derive(Clone)]
pub(crate) struct MemoryHost(Rc<State>);

struct State {
    start: Instant,
    server: RefCell<Option<Server>>,
    programs: RefCell<BTreeMap<String, Script>>,
    running: RefCell<BTreeMap<u32, Rc<Running>>>,
    last_pid: Cell<u32>,
    signals: RefCell<VecDeque<Signal>>,
    signalled: Notify,
    files: RefCell<BTreeMap<PathBuf, Vec<u8>>>,
    journal: RefCell<Vec<String>>,
    connections: Cell<usize>,
    deaf: RefCell<Option<Vec<DuplexStream>>>,
}

struct Running {
    name: String,
    code: i32,
    on_term: Option<(Duration, i32)>,
    ends_at: Cell<Option<Instant>>,
    ends_with: RefCell<Exit>,
    changed: Notify,
}

impl MemoryHost {
    pub(crate) fn new() -> Self {
        Self(Rc::new(State {
            start: Instant::now(),
            server: RefCell::default(),
            programs: RefCell::default(),
            running: RefCell::default(),
            last_pid: Cell::new(1),
            signals: RefCell::default(),
            signalled: Notify::new(),
            files: RefCell::default(),
            journal: RefCell::default(),
            connections: Cell::default(),
            deaf: RefCell::default(),
        }))
    }

    /// Puts `server` behind every address.
    pub(crate) fn serve<F, A>(&self, server: F)
    where
        F: Fn(String, String, Vec<u8>) -> A + 'static,
        A: Future<Output = Answer> + 'static,
    {
        self.0.server.replace(Some(Rc::new(move |method, path, body| Box::pin(server(method, path, body)))));
    }

    /// Makes `name` a program, or changes how it behaves from its next start.
    pub(crate) fn program(&self, name: &str, script: Script) {
        self.0.programs.borrow_mut().insert(name.to_owned(), script);
    }

    pub(crate) fn send(&self, signal: Signal) {
        self.0.signals.borrow_mut().push_back(signal);
        self.0.signalled.notify_one();
    }

    pub(crate) fn file(&self, path: &str, content: &str) {
        self.0.files.borrow_mut().insert(path.into(), content.as_bytes().to_vec());
    }

    /// From now on nobody reads from a new connection. Answers the far ends of those there were.
    pub(crate) fn deafen(&self) -> Vec<DuplexStream> {
        self.0.deaf.replace(Some(Vec::new())).unwrap_or_default()
    }

    /// How many connections were opened.
    pub(crate) fn connections(&self) -> usize {
        self.0.connections.get()
    }

    /// The programs that run.
    pub(crate) fn running(&self) -> Vec<String> {
        self.0.running.borrow().values().map(|running| running.name.clone()).collect()
    }

    /// The journal so far, each line with its second.
    pub(crate) fn journal_lines(&self) -> Vec<String> {
        self.0.journal.borrow().clone()
    }

    pub(crate) fn note(&self, line: &str) {
        let at = self.now().as_secs_f64();
        self.0.journal.borrow_mut().push(format!("{at:.1} {line}"));
    }
}

pub(crate) struct MemoryProcess {
    pid: u32,
    host: MemoryHost,
    running: Rc<Running>,
}

impl Running {
    fn end(&self, after: Duration, exit: Exit) {
        let at = Instant::now() + after;
        if self.ends_at.get().is_none_or(|already| at < already) {
            self.ends_at.set(Some(at));
            self.ends_with.replace(exit);
            self.changed.notify_waiters();
        }
    }

    fn signal(&self, signal: Signal) {
        match (signal, self.on_term) {
            (Signal::Kill, _) => self.end(Duration::ZERO, Exit::default()),
            (Signal::Term, Some((after, code))) => self.end(after, Exit::code(code)),
            _ => {}
        }
    }
}

impl Process for MemoryProcess {
    fn pid(&self) -> u32 {
        self.pid
    }

    async fn wait(&mut self) -> Exit {
        loop {
            let changed = self.running.changed.notified();
            match self.running.ends_at.get() {
                None => changed.await,
                Some(at) => tokio::select! {
                    biased;
                    () = tokio::time::sleep_until(at) => {
                        self.host.0.running.borrow_mut().remove(&self.pid);
                        return self.running.ends_with.borrow().clone();
                    }
                    () = changed => {}
                },
            }
        }
    }

    fn signal(&self, signal: Signal) {
        self.running.signal(signal);
    }

    fn detach(self) {
        // It stays in the table of running ones, and nothing kills it there.
        std::mem::forget(self);
    }
}

impl Drop for MemoryProcess {
    fn drop(&mut self) {
        if self.host.0.running.borrow_mut().remove(&self.pid).is_some() {
            self.host.note(&format!("{} killed by drop", self.running.name));
        }
    }
}

pub(crate) struct NoListener;

impl Listener for NoListener {
    type Stream = DuplexStream;

    async fn accept(&mut self) -> io::Result<(DuplexStream, SocketAddr)> {
        std::future::pending().await
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl Host for MemoryHost {
    type Stream = DuplexStream;
    type Listener = NoListener;
    type Process = MemoryProcess;

    fn hostname(&self) -> &str {
        "h1"
    }

    fn address(&self) -> IpAddr {
        IpAddr::from([10, 0, 0, 1])
    }

    fn now(&self) -> Duration {
        self.0.start.elapsed()
    }

    fn unix_time(&self) -> Duration {
        Duration::from_secs(1_460_000_000) + self.now()
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static {
        tokio::time::sleep(duration)
    }

    fn random(&self, purpose: &str) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(purpose.len() as u64)
    }

    fn connect(&self, _: SocketAddr) -> impl Future<Output = io::Result<DuplexStream>> + 'static {
        let host = self.clone();
        async move {
            let Some(server) = host.0.server.borrow().clone() else {
                return Err(io::ErrorKind::ConnectionRefused.into());
            };
            host.0.connections.set(host.0.connections.get() + 1);
            let (near, far) = tokio::io::duplex(64 << 10);
            if let Some(deaf) = host.0.deaf.borrow_mut().as_mut() {
                deaf.push(far);
                return Ok(near);
            }
            tokio::task::spawn_local(async move {
                let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                    let server = Rc::clone(&server);
                    async move {
                        let method = request.method().to_string();
                        let path = request.uri().to_string();
                        let body = request.into_body().collect().await.unwrap().to_bytes().to_vec();
                        let (status, headers, body) = server(method, path, body).await;
                        let mut response = http::Response::builder().status(status);
                        for (name, value) in headers {
                            response = response.header(name, value);
                        }
                        Ok::<_, Infallible>(response.body(Full::new(Bytes::from(body))).unwrap())
                    }
                });
                let _ = http1::Builder::new().serve_connection(TokioIo::new(far), service).await;
            });
            Ok(near)
        }
    }

    fn listen(&self, _: SocketAddr) -> impl Future<Output = io::Result<NoListener>> {
        std::future::ready(Ok(NoListener))
    }

    fn spawn(&self, command: &Command) -> io::Result<MemoryProcess> {
        let Some(script) = self.0.programs.borrow().get(&command.program).copied() else {
            return Err(io::ErrorKind::NotFound.into());
        };
        self.0.last_pid.set(self.0.last_pid.get() + 1);
        let pid = self.0.last_pid.get();
        let running = Rc::new(Running {
            name: command.program.clone(),
            code: script.code,
            on_term: script.on_term,
            ends_at: Cell::new(None),
            ends_with: RefCell::default(),
            changed: Notify::new(),
        });
        if let Some(lasts) = script.lasts {
            running.end(lasts, Exit::code(running.code));
        }
        for (name, value) in &command.env {
            self.note(&format!("{} got {name}={value}", command.program));
        }
        self.0.running.borrow_mut().insert(pid, Rc::clone(&running));
        Ok(MemoryProcess { pid, host: self.clone(), running })
    }

    fn pid(&self) -> u32 {
        1
    }

    fn kill(&self, pid: u32, signal: Signal) -> io::Result<()> {
        let running = self.0.running.borrow().get(&pid).cloned();
        running.map(|running| running.signal(signal)).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn signal(&self) -> impl Future<Output = Signal> + 'static {
        let host = self.clone();
        async move {
            loop {
                let next = host.0.signals.borrow_mut().pop_front();
                match next {
                    Some(signal) => return signal,
                    None => host.0.signalled.notified().await,
                }
            }
        }
    }

    fn read_file(&self, path: &Path) -> impl Future<Output = io::Result<Vec<u8>>> + 'static {
        let content = self.0.files.borrow().get(path).cloned();
        std::future::ready(content.ok_or_else(|| io::ErrorKind::NotFound.into()))
    }

    fn write_file(&self, path: &Path, content: Vec<u8>) -> impl Future<Output = io::Result<()>> + 'static {
        self.0.files.borrow_mut().insert(path.to_owned(), content);
        std::future::ready(Ok(()))
    }

    fn remove(&self, path: &Path) -> impl Future<Output = io::Result<()>> + 'static {
        self.0.files.borrow_mut().remove(path);
        std::future::ready(Ok(()))
    }

    fn exists(&self, path: &Path) -> impl Future<Output = bool> + 'static {
        std::future::ready(self.0.files.borrow().contains_key(path))
    }

    fn journal(&self, entry: Entry) {
        self.note(&entry.to_string());
    }
}

/// Runs a test on a paused runtime, as the agent runs: one thread, a local set.
pub(crate) fn fly<F: Future>(test: impl FnOnce(MemoryHost) -> F) -> F::Output {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async { test(MemoryHost::new()).await })
}
