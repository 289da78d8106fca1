//! A real Consul server and a real agent, each ended with its handle.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// Long enough for any machine; reached only when something is wrong.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `condition` holds.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A `consul agent -dev` on free ports of the loopback.
pub(crate) struct ConsulServer {
    process: Child,
    address: SocketAddr,
}

impl ConsulServer {
    /// A server with a leader; `None` when there is no `consul` here and none is required.
    pub(crate) fn start() -> Option<Self> {
        if Command::new("consul").arg("version").stdout(Stdio::null()).status().is_err() {
            assert!(
                std::env::var_os("IRONBIRD_REQUIRE_CONSUL").is_none(),
                "no consul on PATH, and IRONBIRD_REQUIRE_CONSUL is set"
            );
            eprintln!("skipped: no consul on PATH");
            return None;
        }
        // Between finding a free port and using it somebody else may take it.
        (0..5).find_map(|_| Self::try_start()).or_else(|| panic!("consul does not start"))
    }

    fn try_start() -> Option<Self> {
        let free: Vec<TcpListener> = (0..4).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<u16> = free.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
        drop(free);
        let process = Command::new("consul")
            .args(["agent", "-dev", "-bind=127.0.0.1", "-client=127.0.0.1", "-dns-port=-1", "-grpc-port=-1"])
            .arg(format!("-http-port={}", ports[0]))
            .arg(format!("-server-port={}", ports[1]))
            .arg(format!("-serf-lan-port={}", ports[2]))
            .arg(format!("-serf-wan-port={}", ports[3]))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut server = Self { process, address: SocketAddr::from(([127, 0, 0, 1], ports[0])) };
        let start = Instant::now();
        while server.process.try_wait().unwrap().is_none() && start.elapsed() < PATIENCE {
            // A catalog that answers has a leader, and this node in it.
            let ready = server
                .request("GET", "/v1/catalog/nodes")
                .is_some_and(|(status, body)| status == 200 && body.contains("\"Node\""));
            if ready {
                return Some(server);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        None
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        let (status, body) = self.request("GET", path).expect("consul answers");
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    pub(crate) fn put(&self, path: &str) {
        let (status, body) = self.request("PUT", path).expect("consul answers");
        assert_eq!(status, 200, "{path}: {body}");
    }

    pub(crate) fn check(&self, id: &str) -> Option<Value> {
        self.get("/v1/agent/checks").get(id).cloned()
    }

    fn request(&self, verb: &str, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        // HTTP/1.0, so that the answer is neither kept alive nor cut in pieces.
        write!(stream, "{verb} {path} HTTP/1.0\r\nHost: test\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }
}

impl Drop for ConsulServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A running `ironbird-agent`.
pub(crate) struct Flight(Child);

impl Flight {
    pub(crate) fn start(config: &str) -> Self {
        let agent =
            Command::new(env!("CARGO_BIN_EXE_ironbird-agent")).args(["--config", config]).spawn().unwrap();
        Self(agent)
    }

    /// The id under which the agent registers the service `name`.
    pub(crate) fn service_id(&self, name: &str) -> String {
        let hostname = nix::unistd::gethostname().unwrap().into_string().unwrap();
        format!("{name}-{hostname}")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.0.id()).unwrap()), signal).unwrap();
    }

    /// Waits for the agent's end.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        until("the agent ends", || self.0.try_wait().unwrap().is_some());
        self.0.wait().unwrap().code()
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        // In order where it still runs, so that nothing it started is left when a test fails.
        if self.0.try_wait().is_ok_and(|status| status.is_none()) {
            self.signal(Signal::SIGTERM);
            let start = Instant::now();
            while self.0.try_wait().is_ok_and(|status| status.is_none()) {
                if start.elapsed() > PATIENCE {
                    let _ = self.0.kill();
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        let _ = self.0.wait();
    }
}
