//! The fake Consul and a real one, given the same requests, answer the same.
//!
//! Both play one script, line by line, and every answer is compared byte for byte: status, headers that
//! mean something, and body. What cannot be the same is replaced first: ids by the order they were given
//! out in, and raft indexes by their rank among all indexes seen so far, so that order is compared and
//! size is not. A real agent tells its server of changes a moment later, so reads of the catalog are
//! given a moment.
//!
//! Needs `consul` on the path; `IRONBIRD_REQUIRE_CONSUL` makes its absence a failure.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use ironbird_sim::consul::{Consul, ConsulConfig, Reply};
use ironbird_sim::seed::Seed;

/// The headers that mean something to a client.
const HEADERS: [&str; 13] = [
    "age",
    "allow",
    "content-security-policy",
    "content-type",
    "location",
    "vary",
    "x-cache",
    "x-content-type-options",
    "x-consul-contenthash",
    "x-consul-effective-consistency",
    "x-consul-knownleader",
    "x-consul-lastcontact",
    "x-consul-reason",
];

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const NODE: &str = "parity";

#[test]
fn the_fakes_catalog_answers_as_the_real_one_does() {
    play(include_str!("parity/catalog.txt"));
}

#[test]
fn the_fake_filters_as_the_real_one_does() {
    play(include_str!("parity/filter.txt"));
}

#[test]
fn the_fakes_agent_answers_as_the_real_one_does() {
    play(include_str!("parity/agent.txt"));
}

/// Plays a script to both, a request a line: method, path, and a body after a bar.
///
/// `{s1}` is the first session created, `{i}` the last index reported.
///
/// A real agent tells its servers what it knows when it gets to it, and on a busy machine that can be between two
/// lines: a difference counts when it shows again on servers that are fresh.
fn play(script: &str) {
    let Some(first) = differences(script).filter(|first| !first.is_empty()) else {
        return;
    };
    tell_again(&first);
    let again = differences(script).unwrap_or_default();
    assert!(again.is_empty(), "{again}");
}

/// What the two answer differently; `None` where there is no real one.
fn differences(script: &str) -> Option<String> {
    let real = Real::start()?;
    let mut fake = Fake::new(&real);
    let (mut on_real, mut on_fake) = (Side::default(), Side::default());
    on_real.learn_node(&real.send("GET", "/v1/agent/self", ""));
    on_fake.learn_node(&fake.send("GET", "/v1/agent/self", ""));
    let mut different = String::new();
    for line in script.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (request, body) = line.split_once(" | ").unwrap_or((line, ""));
        let (method, path) = request.split_once(' ').expect("a method and a path");
        let answer = fake.send(method, &on_fake.fill(path), &on_fake.fill(body));
        let (seen_by_fake, fakes) = on_fake.normalise(&answer);
        // What an agent's cache says of itself changes with every request.
        let later = ["/catalog/", "/health/", "/event/list"].iter().any(|part| path.contains(part));
        let attempts = if later && method == "GET" && !path.contains("cached") { 100 } else { 1 };
        let mut outcome = None;
        for _ in 0..attempts {
            let answer = real.send(method, &on_real.fill(path), &on_real.fill(body));
            let (seen_by_real, reals) = on_real.normalise(&answer);
            let same = reals == fakes;
            outcome = Some((answer, seen_by_real, reals));
            if same {
                break;
            }
            pause();
        }
        let (real_answer, seen_by_real, reals) = outcome.expect("at least one attempt");
        if reals != fakes {
            let _ = write!(different, "\n\n{line}\n--- real\n{reals}\n--- fake\n{fakes}");
        }
        on_real.accept(path, &real_answer, seen_by_real);
        on_fake.accept(path, &answer, seen_by_fake);
    }
    Some(different)
}

/// An answer, with header names in small letters.
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// What one of the two has given out so far.
#[derive(Default)]
struct Side {
    node_id: String,
    sessions: Vec<String>,
    last_index: String,
    indexes: BTreeSet<u64>,
}

impl Side {
    fn learn_node(&mut self, answer: &Answer) {
        let body: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON of an agent");
        self.node_id = body["Config"]["NodeID"].as_str().expect("a node's id").to_owned();
    }

    fn fill(&self, text: &str) -> String {
        let mut text = text.replace("{i}", &self.last_index);
        for (number, session) in self.sessions.iter().enumerate() {
            text = text.replace(&format!("{{s{}}}", number + 1), session);
        }
        text
    }

    fn accept(&mut self, path: &str, answer: &Answer, seen: BTreeSet<u64>) {
        self.indexes = seen;
        if let Some(index) = answer.header("x-consul-index") {
            index.clone_into(&mut self.last_index);
        }
        if path.starts_with("/v1/session/create")
            && let Some(id) = new_session(&answer.body)
        {
            self.sessions.push(id.to_owned());
        }
    }

    fn normalise(&self, answer: &Answer) -> (BTreeSet<u64>, String) {
        let mut text = format!("{}\n", answer.status);
        for name in HEADERS {
            if let Some(value) = answer.header(name) {
                let _ = writeln!(text, "{name}: {value}");
            }
        }
        // What stands for the index of events is made of their ids.
        let events = answer.body.contains("\"LTime\":");
        if let Some(index) = answer.header("x-consul-index").filter(|_| !events) {
            let _ = writeln!(text, "\"ConsulIndex\":{index}");
        }
        text.push_str(&if events { without_ids(&answer.body) } else { selected(&answer.body) });
        if let Some(hash) = answer.header("x-consul-contenthash") {
            text = text.replace(hash, "HASH");
        }
        text = text.replace(&self.node_id, "NODE-ID");
        for (number, session) in self.sessions.iter().enumerate() {
            text = text.replace(session, &format!("SESSION-{}", number + 1));
        }
        if let Some(id) = new_session(&answer.body) {
            text = text.replace(id, "SESSION");
        }
        self.rank(&text)
    }

    /// Replaces every raft index by its rank among all seen.
    fn rank(&self, text: &str) -> (BTreeSet<u64>, String) {
        const MARKS: [&str; 5] = [
            "\"CreateIndex\":",
            "\"ModifyIndex\":",
            "\"CreateIndex\": ",
            "\"ModifyIndex\": ",
            "modify index ",
        ];
        let mut seen = self.indexes.clone();
        let mut pieces: Vec<Result<&str, u64>> = Vec::new();
        let mut rest = text;
        loop {
            let next = MARKS
                .iter()
                .chain(&["\"ConsulIndex\":"])
                .filter_map(|mark| Some(rest.find(mark)? + mark.len()))
                .filter(|at| rest[*at..].starts_with(|c: char| c.is_ascii_digit()))
                .min();
            let Some(at) = next else {
                break;
            };
            let digits = rest[at..].find(|c: char| !c.is_ascii_digit()).map_or(rest.len(), |end| at + end);
            let index = rest[at..digits].parse().expect("digits");
            seen.insert(index);
            pieces.push(Ok(&rest[..at]));
            pieces.push(Err(index));
            rest = &rest[digits..];
        }
        pieces.push(Ok(rest));
        let mut ranked = String::new();
        for piece in pieces {
            match piece {
                Ok(text) => ranked.push_str(text),
                Err(index) => {
                    let _ = write!(ranked, "#{}", seen.range(..index).count());
                }
            }
        }
        (seen, ranked)
    }
}

/// A text without what stands after `"ID":`.
fn without_ids(body: &str) -> String {
    let mut parts = body.split("\"ID\":");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str("\"ID\":");
        text.push_str(part.split_once(',').map_or(part, |(_, rest)| rest));
    }
    text
}

/// The id in an answer that gives out a session.
fn new_session(body: &str) -> Option<&str> {
    let id = body.strip_prefix("{\"ID\":\"")?.strip_suffix("\"}")?;
    (id.len() == 36).then_some(id)
}

/// Of an agent's long description of itself, what clients use.
fn selected(body: &str) -> String {
    match serde_json::from_str::<serde_json::Value>(body) {
        Ok(value) if value.get("DebugConfig").is_some() => {
            format!("{}\n{}", value["Config"], value["Member"])
        }
        _ => body.to_owned(),
    }
}

/// A real server, stopped when dropped.
struct Real {
    child: Child,
    http: SocketAddr,
    server_port: u16,
    serf_port: u16,
    _data: tempfile::TempDir,
}

impl Drop for Real {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Real {
    fn start() -> Option<Self> {
        let data = tempfile::tempdir().expect("a folder");
        let [http, server_port, serf_port] = free_ports();
        let config = serde_json::json!({
            "ports": {
                "dns": -1, "http": http, "https": -1, "grpc": -1,
                "serf_lan": serf_port, "serf_wan": -1, "server": server_port,
            },
            "performance": { "raft_multiplier": 1 },
            "disable_update_check": true,
        });
        let file = data.path().join("config.json");
        std::fs::write(&file, config.to_string()).expect("a file in our own folder");
        let Some(child) = launch(data.path(), &file) else {
            let required = std::env::var_os("IRONBIRD_REQUIRE_CONSUL").is_some();
            assert!(!required, "IRONBIRD_REQUIRE_CONSUL is set, and there is no consul on PATH");
            skipped();
            return None;
        };
        let real =
            Self { child, http: SocketAddr::new(LOCALHOST, http), server_port, serf_port, _data: data };
        for _ in 0..1500 {
            let up = TcpStream::connect(real.http).is_ok()
                && real.send("GET", "/v1/catalog/nodes", "").body.contains("lan_ipv4");
            if up {
                return Some(real);
            }
            pause();
        }
        panic!("the real Consul elected no leader");
    }

    fn send(&self, method: &str, path: &str, body: &str) -> Answer {
        let mut stream = TcpStream::connect(self.http).expect("the real Consul listens");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: consul\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("the real Consul reads");
        // One that has said no to a body's length may not read it.
        stream.write_all(body.as_bytes()).ok();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok();
        parse(&answer)
    }
}

#[expect(clippy::print_stderr, reason = "a difference that does not show again is worth a look")]
fn tell_again(first: &str) {
    eprintln!("played again, for it differed:{first}");
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

fn parse(answer: &[u8]) -> Answer {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a whole head");
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let body = &answer[end + 4..];
    let chunked = headers.iter().any(|(name, _)| name == "transfer-encoding");
    let body = if chunked { unchunk(body) } else { body.to_vec() };
    Answer { status: status.expect("a status"), headers, body: String::from_utf8_lossy(&body).into_owned() }
}

fn unchunk(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(end) = body.windows(2).position(|window| window == b"\r\n") {
        let size = std::str::from_utf8(&body[..end]).expect("a chunk's size");
        let size = usize::from_str_radix(size, 16).expect("a chunk's size");
        if size == 0 {
            break;
        }
        whole.extend_from_slice(&body[end + 2..end + 2 + size]);
        body = &body[end + size + 4..];
    }
    whole
}

fn free_ports<const N: usize>() -> [u16; N] {
    let listeners: [TcpListener; N] =
        std::array::from_fn(|_| TcpListener::bind((LOCALHOST, 0)).expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("an address").port())
}

#[expect(clippy::disallowed_methods, reason = "a real process is waited for")]
fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}

/// The fake, on a clock that moves a millisecond a request.
struct Fake {
    consul: Consul,
    now: Duration,
}

impl Fake {
    fn new(real: &Real) -> Self {
        let mut config = ConsulConfig::new(NODE, LOCALHOST);
        config.server_port = real.server_port;
        config.serf_port = real.serf_port;
        Self { consul: Consul::new(config, Seed(1).stream("consul", NODE)), now: Duration::ZERO }
    }

    fn send(&mut self, method: &str, path: &str, body: &str) -> Answer {
        self.now += Duration::from_millis(1);
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .body(Bytes::copy_from_slice(body.as_bytes()))
            .expect("a request");
        let response = match self.consul.request(self.now, LOCALHOST, &request) {
            Reply::Pending(_) => unreachable!("a server that is alone keeps nobody waiting"),
            Reply::Now(response) => response,
            Reply::Blocked(mut blocked) => {
                self.now = blocked.deadline();
                self.consul.poll(self.now, &mut blocked).expect("an answer at the deadline")
            }
        };
        Answer {
            status: response.status().as_u16(),
            headers: response
                .headers()
                .iter()
                .map(|(name, value)| {
                    (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
                })
                .collect(),
            body: match method {
                "HEAD" => String::new(),
                _ => String::from_utf8_lossy(response.body()).into_owned(),
            },
        }
    }
}
