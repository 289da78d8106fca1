//! A real Consul server, started for a test and stopped after it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::client::Client;
use super::{Answer, NODE, Request};

/// Where it listens.
pub const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// How many connections requests are sent on in turn.
const CLIENTS: usize = 3;

/// A real server, stopped when dropped.
#[derive(Debug)]
pub struct Real {
    child: Child,
    http: SocketAddr,
    clients: Vec<Client>,
    turn: usize,
    /// The port of its RPC.
    pub server_port: u16,
    /// The port of its gossip.
    pub serf_port: u16,
    _data: tempfile::TempDir,
}

impl Drop for Real {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// How often a server is started for one that begins like others do.
const STARTS: usize = 5;

impl Real {
    /// Starts a server on free ports, with `extra` on top of its configuration, and waits until it leads.
    ///
    /// `None` when there is no `consul` on the path.
    ///
    /// # Panics
    /// When it does not become leader, or when it is missing although `IRONBIRD_REQUIRE_CONSUL` is set.
    #[must_use]
    pub fn start(extra: &Value) -> Option<Self> {
        for _ in 0..STARTS {
            let mut real = Self::started(extra)?;
            if real.entered_its_node_first() {
                return Some(real);
            }
        }
        panic!("the real Consul's agent came before its leader {STARTS} times");
    }

    /// Whether the leader has entered the node and the agent has completed the entry, as the fake has it. On a machine
    /// that is busy the agent may come first, and enters all of it at once.
    fn entered_its_node_first(&mut self) -> bool {
        let nodes = self.send(&Request::get("/v1/catalog/nodes")).body;
        let nodes: Value = serde_json::from_str(&nodes).unwrap_or_default();
        nodes[0]["CreateIndex"] != nodes[0]["ModifyIndex"]
    }

    fn started(extra: &Value) -> Option<Self> {
        // A server syncs every write to its disk; on one that is memory this costs nothing.
        let memory = Path::new("/dev/shm");
        let data = match memory.is_dir() {
            true => tempfile::tempdir_in(memory),
            false => tempfile::tempdir(),
        };
        let data = data.expect("a folder");
        let [http, server_port, serf_port] = free_ports();
        let mut config = json!({
            "ports": {
                "dns": -1, "http": http, "https": -1, "grpc": -1,
                "serf_lan": serf_port, "serf_wan": -1, "server": server_port,
            },
            "performance": { "raft_multiplier": 1 },
            "limits": { "http_max_conns_per_client": 10_000 },
            "disable_update_check": true,
        });
        if let (Some(config), Some(extra)) = (config.as_object_mut(), extra.as_object()) {
            config.extend(extra.clone());
        }
        let file = data.path().join("config.json");
        std::fs::write(&file, config.to_string()).expect("a file in our own folder");
        let Some(child) = launch(data.path(), &file) else {
            assert!(!required(), "IRONBIRD_REQUIRE_CONSUL is set, and there is no consul on PATH");
            skipped();
            return None;
        };
        let http = SocketAddr::new(LOCALHOST, http);
        let clients = (0..CLIENTS).map(|_| Client::new(http)).collect();
        let mut real = Self { child, http, clients, turn: 0, server_port, serf_port, _data: data };
        for _ in 0..1500 {
            if TcpStream::connect(http).is_ok()
                && real.send(&Request::get("/v1/catalog/nodes")).body.contains("lan_ipv4")
            {
                return Some(real);
            }
            pause(Duration::from_millis(20));
        }
        panic!("the real Consul elected no leader");
    }

    /// Sends a request, on one connection after the other, and waits for its answer.
    pub fn send(&mut self, request: &Request) -> Answer {
        self.turn = (self.turn + 1) % CLIENTS;
        self.clients[self.turn].send(request)
    }

    /// A connection of its own.
    #[must_use]
    pub fn connect(&self) -> Client {
        Client::new(self.http)
    }
}

/// Whether a real Consul must be there.
#[must_use]
pub fn required() -> bool {
    std::env::var_os("IRONBIRD_REQUIRE_CONSUL").is_some()
}

#[expect(clippy::print_stderr, reason = "a test that proves nothing says so")]
fn skipped() {
    eprintln!("skipped: no consul on PATH");
}

fn launch(data: &Path, config: &Path) -> Option<Child> {
    let log = std::fs::File::create(data.join("log")).expect("a file in our own folder");
    Command::new("consul")
        .args(["agent", "-server", "-bootstrap", "-bind", "127.0.0.1", "-client", "127.0.0.1"])
        .args(["-node", NODE, "-data-dir"])
        .arg(data.join("data"))
        .arg("-config-file")
        .arg(config)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(Stdio::null())
        .spawn()
        .ok()
}

fn free_ports<const N: usize>() -> [u16; N] {
    let listeners: [TcpListener; N] =
        std::array::from_fn(|_| TcpListener::bind((LOCALHOST, 0)).expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("an address").port())
}

/// Gives a real process time.
#[expect(clippy::disallowed_methods, reason = "a real process is waited for")]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}
