//! A cluster of processes of the real Consul.
//!
//! Their HTTP is on Unix sockets, which no cut network keeps a client from. They talk to each other on
//! loopback addresses of their own, or in [`super::namespaces`] when they are to be cut off.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;
#[expect(clippy::disallowed_types, reason = "real processes run in real time")]
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::namespaces::{self, Namespaces};
use super::{AGENT, Answer, Cluster, NODES, RETRY_JOIN, SERVERS, Setting, Token, name};

/// How long a client waits for an answer at most.
const PATIENCE: Duration = Duration::from_secs(90);

/// A running cluster; its end ends all processes.
#[derive(Debug)]
#[expect(clippy::disallowed_types, reason = "real processes run in real time")]
pub struct Real {
    began: Instant,
    folder: tempfile::TempDir,
    nodes: Vec<Option<Child>>,
    network: Option<Namespaces>,
    sent: u64,
    answered: BTreeMap<u64, Answer>,
    arriving: Receiver<(u64, Answer)>,
    arrivals: Sender<(u64, Answer)>,
}

/// Whether there is a Consul on the path.
pub fn present() -> bool {
    let version = Command::new("consul").arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

impl Real {
    /// Starts a cluster and waits until it has settled. The number tells it from others of this process.
    ///
    /// # Panics
    /// When it does not come up.
    #[expect(clippy::disallowed_types, reason = "real processes run in real time")]
    pub fn settled(number: usize, setting: Setting, network: Option<Namespaces>) -> Self {
        // In memory where that is possible: a disk that others keep busy holds up who writes a raft log.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder");
        let addresses: Vec<String> = (0..NODES)
            .map(|node| match &network {
                Some(_) => namespaces::address(node),
                None => loopback(number, node),
            })
            .collect();
        for node in 0..NODES {
            let config = configuration(folder.path(), node, &addresses, setting);
            std::fs::write(folder.path().join(format!("{node}.json")), config).expect("a file of our own");
        }
        let (arrivals, arriving) = channel();
        let nodes = (0..NODES).map(|_| None).collect();
        let began = Instant::now();
        let (sent, answered) = (0, BTreeMap::new());
        let mut real = Self { began, folder, nodes, network, sent, answered, arriving, arrivals };
        for node in 0..NODES {
            real.launch(node);
        }
        for node in 0..NODES {
            real.until(node, "GET /v1/status/leader", 0.2, 90.0, |answer| answer.body.len() > 2);
        }
        // Until an agent has told the catalog of itself once, its first comparison is still to come.
        real.until(0, "GET /v1/catalog/nodes", 0.2, 60.0, |answer| {
            answer.body.matches("lan_ipv4").count() >= NODES
        });
        real.settle();
        real
    }

    fn socket(&self, node: usize) -> PathBuf {
        self.folder.path().join(format!("{node}.sock"))
    }

    fn launch(&mut self, node: usize) {
        let folder = self.folder.path();
        let log = std::fs::File::options().create(true).append(true).open(folder.join(format!("{node}.log")));
        let mut command = match &self.network {
            // `ip` becomes what it starts, so that the process is ours by its id.
            Some(network) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", &network.of(node), "consul"]);
                command
            }
            None => Command::new("consul"),
        };
        let child = command
            .args(["agent", "-config-file"])
            .arg(folder.join(format!("{node}.json")))
            .stdin(Stdio::null())
            .stdout(log.expect("a file of our own"))
            .stderr(Stdio::null())
            .spawn();
        self.nodes[node] = Some(child.expect("consul starts"));
    }

    fn signal(&self, node: usize, signal: Signal) {
        let Some(child) = &self.nodes[node] else { return };
        let pid = i32::try_from(child.id()).expect("a process id");
        kill(Pid::from_raw(pid), signal).ok();
    }

    fn sort(&mut self) {
        self.answered.extend(self.arriving.try_iter());
        // A node that left ends by itself.
        for slot in &mut self.nodes {
            if slot.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(Some(_)))) {
                *slot = None;
            }
        }
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        for child in self.nodes.iter_mut().flatten() {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

impl Cluster for Real {
    fn now(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    #[expect(clippy::disallowed_methods, reason = "real processes run in real time")]
    fn pass(&mut self, seconds: f64) {
        std::thread::sleep(Duration::from_secs_f64(seconds));
        self.sort();
    }

    fn send(&mut self, node: usize, line: &str) -> Token {
        let (request, body) = line.split_once(" | ").unwrap_or((line, ""));
        let length = body.len();
        let text = format!(
            "{request} HTTP/1.1\r\nHost: consul\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        self.sent += 1;
        let (token, socket, began) = (self.sent, self.socket(node), self.began);
        let (arrivals, sent) = (self.arrivals.clone(), self.now());
        let client = move || {
            let (status, body) = exchange(&socket, &text).unwrap_or_default();
            let at = began.elapsed().as_secs_f64();
            arrivals.send((token, Answer { sent, at, status, body })).ok();
        };
        std::thread::Builder::new().spawn(client).expect("a thread");
        Token(token)
    }

    fn take(&mut self, token: Token) -> Option<Answer> {
        self.sort();
        self.answered.remove(&token.0)
    }

    fn wait(&mut self, token: Token, seconds: f64) -> Option<Answer> {
        let end = self.now() + seconds;
        loop {
            if let Some(answer) = self.answered.remove(&token.0) {
                return Some(answer);
            }
            let left = Duration::from_secs_f64((end - self.now()).max(0.0));
            let (token, answer) = self.arriving.recv_timeout(left).ok()?;
            self.answered.insert(token, answer);
        }
    }

    fn kill(&mut self, node: usize) {
        if let Some(mut child) = self.nodes[node].take() {
            child.kill().ok();
            child.wait().ok();
        }
    }

    fn start(&mut self, node: usize, forget: bool) {
        self.sort();
        assert!(self.nodes[node].is_none(), "{} runs", name(node));
        if forget {
            std::fs::remove_dir_all(self.folder.path().join(format!("{node}.data"))).ok();
        }
        self.launch(node);
    }

    fn pause(&mut self, node: usize) {
        self.signal(node, Signal::SIGSTOP);
    }

    fn resume(&mut self, node: usize) {
        self.signal(node, Signal::SIGCONT);
    }

    fn isolate(&mut self, node: usize) {
        self.network.as_ref().expect("a network that can be cut").plug(node, false);
    }

    fn heal(&mut self, node: usize) {
        self.network.as_ref().expect("a network that can be cut").plug(node, true);
    }

    fn leave(&mut self, node: usize) {
        self.signal(node, Signal::SIGTERM);
    }
}

/// An address of a node's own, the same for nobody else on this machine as long as luck holds.
#[expect(
    clippy::disallowed_methods,
    reason = "loopback addresses belong to the machine; the process tells them apart"
)]
fn loopback(number: usize, node: usize) -> String {
    let process = std::process::id();
    format!("127.{}.{}.{}", 16 + process % 200, number * 25 + process as usize / 200 % 25, node + 1)
}

fn configuration(folder: &Path, node: usize, addresses: &[String], setting: Setting) -> String {
    let socket = folder.join(format!("{node}.sock"));
    let mut config = serde_json::json!({
        "node_name": name(node),
        "server": node != AGENT,
        "bind_addr": addresses[node],
        "data_dir": folder.join(format!("{node}.data")),
        "addresses": { "http": format!("unix://{}", socket.display()) },
        "ports": { "dns": -1, "https": -1, "grpc": -1, "serf_wan": -1 },
        "performance": { "raft_multiplier": setting.raft_multiplier },
        "retry_join": addresses,
        "retry_interval": format!("{RETRY_JOIN}s"),
        "disable_update_check": true,
    });
    if node < SERVERS {
        config["bootstrap_expect"] = SERVERS.into();
        config["autopilot"] = serde_json::json!({ "cleanup_dead_servers": setting.cleanup });
    }
    config.to_string()
}

fn exchange(socket: &Path, request: &str) -> Option<(u16, String)> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    Some((status, if chunked { unchunk(body)? } else { body.to_owned() }))
}

fn unchunk(mut body: &str) -> Option<String> {
    let mut whole = String::new();
    loop {
        let (size, rest) = body.split_once("\r\n")?;
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            return Some(whole);
        }
        whole.push_str(rest.get(..size)?);
        body = rest.get(size + 2..)?;
    }
}
