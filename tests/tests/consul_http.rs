//! The fake speaks HTTP as Consul does, byte for byte: what is malformed, what is too much, what is kept
//! alive, and how an answer is laid out.
//!
//! Both get the same bytes on connections of their own, whose sending side is then closed, so that each
//! sends all it has to say. Only what cannot be the same is replaced: the date, indexes, and how gzip packs
//! the same text. What differs on purpose is not asked: a path longer than 64 KiB, and a body longer than
//! 64 MiB.
//!
//! Needs `consul` on the path; `IRONBIRD_REQUIRE_CONSUL` makes its absence a failure.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use flate2::read::GzDecoder;
use ironbird_sim::consul::fake::FakeConsul;

const PATIENCE: Duration = Duration::from_secs(30);

/// A request a line, `|` for the end of a line on the wire; `{N}` is N times `x`.
const REQUESTS: &str = r#"
PUT /v1/kv/a HTTP/1.1|Host: x|Content-Length: 1||x
GET / HTTP/1.1|Host: x||
GET /v1/kv/a HTTP/1.1|Host: x||
GET /v1/kv/a?raw HTTP/1.1|Host: x||
GET /v1/kv/none HTTP/1.1|Host: x||
GET /v1/kv/ HTTP/1.1|Host: x||
GET /nope HTTP/1.1|Host: x||
GET /v1/kv/a HTTP/1.1||
GET /v1/kv/a HTTP/1.1|Host: a|Host: b||
GET /v1/kv/a HTTP/1.1|Host: a b||
garbage||
F(O /v1/kv/a HTTP/1.1|Host: x||
GET /v1/kv/a HTTP/9.9|Host: x||
GET /v1/kv/a HTTP/1.2|Host: x||
GET /v1/kv/a FOO/1.1|Host: x||
PRI * HTTP/2.0||SM||
GET /v1/kv/a HTTP/1.0||
GET /v1/kv/a HTTP/1.0|Connection: keep-alive||
GET /v1/kv/a HTTP/1.1|Host: x|Connection: close||
GET /v1/kv/a HTTP/1.1|Host: x|Connection: Close, foo||
HEAD /v1/kv/a HTTP/1.1|Host: x||
HEAD / HTTP/1.1|Host: x||
HEAD /nope HTTP/1.1|Host: x||
OPTIONS /v1/kv/a HTTP/1.1|Host: x||
OPTIONS * HTTP/1.1|Host: x||
OPTIONS /nope HTTP/1.1|Host: x||
POST /v1/kv/a HTTP/1.1|Host: x|Content-Length: 3||abc
FOO /v1/kv/a HTTP/1.1|Host: x||
get /v1/kv/a HTTP/1.1|Host: x||
CONNECT foo:80 HTTP/1.1|Host: x||
GET /v1/kv/a?raw HTTP/1.1|Host: x||GET /v1/kv/b?raw HTTP/1.1|Host: x||
PUT /v1/kv/a HTTP/1.1|Host: x|Content-Length: 1||yGET /v1/kv/a?raw HTTP/1.1|Host: x||
PUT /v1/kv/a HTTP/1.1|Host: x|Transfer-Encoding: chunked||3|abc|2;x=y|de|0||GET /v1/kv/a?raw HTTP/1.1|Host: x||
PUT /v1/kv/a HTTP/1.1|Host: x|Content-Length: 9|Transfer-Encoding: chunked||3|abc|0||
PUT /v1/kv/a HTTP/1.1|Host: x|Transfer-Encoding: chunked|Trailer: X||1|a|0|X: y||
PUT /v1/kv/a HTTP/1.1|Host: x|Transfer-Encoding: chunked||zz|abc|0||
PUT /v1/kv/a HTTP/1.1|Host: x|Transfer-Encoding: gzip||3|abc|0||
PUT /v1/kv/a HTTP/1.1|Host: x|Transfer-Encoding: identity||
PUT /v1/kv/a HTTP/1.1|Host: x|Content-Length: abc||
PUT /v1/kv/a HTTP/1.1|Host: x|Content-Length: -1||
PUT /v1/kv/a HTTP/1.1|Host: x|Content-Length: 1|Content-Length: 2||ab
PUT /v1/kv/a HTTP/1.1|Host: x|Content-Length: 1|Content-Length: 1||a
PUT /v1/kv/a HTTP/1.1|Host: x|Content-Length: 1|Expect: 100-continue||z
PUT /v1/kv/a HTTP/1.1|Host: x|Content-Length: 0|Expect: 100-continue||
PUT /v1/kv/a HTTP/1.0|Host: x|Content-Length: 1|Expect: 100-continue||z
PUT /v1/kv/a HTTP/1.1|Host: x|Content-Length: 1|Expect: foo||z
GET /nope HTTP/1.1|Host: x|Content-Length: 1|Expect: 100-continue||z
GET /v1/kv/a?raw HTTP/1.1|Host: x|Content-Length: 3||abcGET /v1/kv/a?raw HTTP/1.1|Host: x||
GET /v1/kv/a HTTP/1.1|Host: x|foo||
GET /v1/kv/a HTTP/1.1|Host: x|f o: x||
GET /v1/kv/a HTTP/1.1|Host: x|foo : x||
GET /v1/kv/a HTTP/1.1|Host: x|foo: a| b||
GET http://foo/v1/kv/a?raw HTTP/1.1|Host: x||
GET /v1/kv/%zz HTTP/1.1|Host: x||
GET /v1/kv/a%01 HTTP/1.1|Host: x||
GET /v1/kv/é HTTP/1.1|Host: x||
GET /v1/kv/a b HTTP/1.1|Host: x||
GET  HTTP/1.1|Host: x||
GET foo HTTP/1.1|Host: x||
GET /v1/kv/a?raw#frag HTTP/1.1|Host: x||
GET /v1/kv/a?raw HTTP/1.1|Host: x|X: {1048576}||
GET /v1/kv/a?raw HTTP/1.1|Host: x|X: {1060000}||
GET /v1/kv/{1100000} HTTP/1.1|Host: x||
GET /v1/kv/{40000} HTTP/1.1|Host: x||
PUT /v1/kv/big HTTP/1.1|Host: x|Content-Length: 524288||{524288}
PUT /v1/kv/big HTTP/1.1|Host: x|Content-Length: 524289||{524289}
PUT /v1/kv/big HTTP/1.1|Host: x|Content-Length: 2000000||{2000000}
PUT /v1/kv/big?cas=zz HTTP/1.1|Host: x|Content-Length: 524289||{524289}
PUT /v1/kv/big?cas=1&acquire=x HTTP/1.1|Host: x|Content-Length: 524289||{524289}
PUT /v1/kv/ HTTP/1.1|Host: x|Content-Length: 524289||{524289}
PUT /v1/kv/a?cas=zz HTTP/1.1|Host: x|Content-Length: 262143||{262143}
PUT /v1/kv/a?cas=zz HTTP/1.1|Host: x|Content-Length: 262144||{262144}
PUT /v1/kv/chunk HTTP/1.1|Host: x|Transfer-Encoding: chunked||80000|{524288}|0||
PUT /v1/kv/chunk HTTP/1.1|Host: x|Transfer-Encoding: chunked||80001|{524289}|0||
GET /v1/kv/chunk?raw HTTP/1.1|Host: x||
PUT /v1/kv/chunk HTTP/1.1|Host: x|Transfer-Encoding: chunked||80001|{524289}|80001|{524289}|80001|{524289}|0||
GET /v1/kv/chunk?raw HTTP/1.1|Host: x||
PUT /v1/txn HTTP/1.1|Host: x|Content-Length: 524290||[]{524288}
PUT /v1/txn HTTP/1.1|Host: x|Transfer-Encoding: chunked||2|[]|80000|{524288}|0||
PUT /v1/txn HTTP/1.1|Host: x|Transfer-Encoding: chunked||1|[|80000|{524288}|0||
PUT /v1/txn HTTP/1.1|Host: x|Transfer-Encoding: chunked||2|["|80000|{524288}|2|"]|0||
PUT /v1/session/create HTTP/1.1|Host: x|Transfer-Encoding: chunked||2|zz|0||
PUT /v1/session/create HTTP/1.1|Host: x|Content-Length: 2||zz
PUT /v1/event/fire/x?node=none HTTP/1.1|Host: x|Transfer-Encoding: chunked||3|abc|0||
PUT /v1/agent/check/update/none HTTP/1.1|Host: x|Transfer-Encoding: chunked||2|zz|0||
PUT /v1/session/renew/abc HTTP/1.1|Host: x|Content-Length: 262143||{262143}
PUT /v1/session/renew/abc HTTP/1.1|Host: x|Content-Length: 262144||{262144}
PUT /v1/session/renew/abc HTTP/1.1|Host: x|Transfer-Encoding: chunked||40000|{262144}|0||
PUT /v1/session/renew/abc HTTP/1.1|Host: x|Transfer-Encoding: chunked||40001|{262145}|0||
PUT /v1/nope HTTP/1.1|Host: x|Content-Length: 2000000||{2000000}
GET /v1/kv/watched?index=1000000&wait=300ms HTTP/1.1|Host: x||
GET /v1/kv/watched?index=1000000&wait=300ms HTTP/1.1|Host: x||GET /v1/kv/a?raw HTTP/1.1|Host: x||
GET /v1/kv/big HTTP/1.0||
GET /v1/kv/big?raw HTTP/1.1|Host: x||
GET /v1/kv/big HTTP/1.1|Host: x||
GET /v1/kv/a?raw HTTP/1.1|Host: x|Content-Length: 300000||{300000}
GET /v1/kv/a?raw HTTP/1.1|Host: x|Accept-Encoding: gzip||
GET /v1/kv/a HTTP/1.0|Accept-Encoding: gzip||
GET /v1/kv/a HTTP/1.1|Host: x|Accept-Encoding: deflate, gzip;q=0.5||
GET /v1/kv/a HTTP/1.1|Host: x|Accept-Encoding: gzip;q=0||
GET /v1/kv/a HTTP/1.1|Host: x|Accept-Encoding: gzip;q=zz||
GET /v1/kv/a HTTP/1.1|Host: x|Accept-Encoding: gzip;q=2||
GET /v1/kv/a HTTP/1.1|Host: x|Accept-Encoding: GZIP||
GET /v1/kv/a HTTP/1.1|Host: x|Accept-Encoding: *||
GET /v1/kv/a HTTP/1.1|Host: x|Accept-Encoding: gzip, *;q=0||
GET /v1/kv/a HTTP/1.1|Host: x|Accept-Encoding: br|Accept-Encoding: gzip||
GET /v1/kv/none HTTP/1.1|Host: x|Accept-Encoding: gzip||
GET /v1/kv/ HTTP/1.1|Host: x|Accept-Encoding: gzip||
GET /nope HTTP/1.1|Host: x|Accept-Encoding: gzip||
GET / HTTP/1.1|Host: x|Accept-Encoding: gzip||
POST /v1/kv/a HTTP/1.1|Host: x|Accept-Encoding: gzip||
GET /v1/kv/a HTTP/1.1|Host: x|Connection: Upgrade|Upgrade: h2c||
GET /v1/kv
"#;

#[test]
fn the_fake_speaks_http_as_the_real_one_does() {
    let Some(real) = Real::start() else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let fake = runtime.block_on(FakeConsul::builder().start()).expect("a port");
    let mut different = String::new();
    for line in REQUESTS.trim().lines() {
        let bytes = expand(line);
        let [reals, fakes] = [real.http, fake.addr()].map(|address| normal(&say(address, &bytes)));
        if reals != fakes {
            let _ = write!(different, "\n\n{line}\n--- real\n{reals}\n--- fake\n{fakes}");
        }
    }
    assert!(different.is_empty(), "{different}");
}

fn expand(line: &str) -> Vec<u8> {
    let mut text = line.replace('|', "\r\n");
    while let Some((start, rest)) = text.split_once('{') {
        let (count, end) = rest.split_once('}').expect("a count");
        text = format!("{start}{}{end}", "x".repeat(count.parse().expect("a count")));
    }
    text.into_bytes()
}

/// Everything that is answered to `bytes`, as far as it could be read.
fn say(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    // One that has said no may not read on.
    stream.write_all(bytes).ok();
    stream.shutdown(Shutdown::Write).ok();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok();
    answer
}

/// The answers without what cannot be the same.
fn normal(answer: &[u8]) -> String {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").map_or(answer.len(), |end| end + 4);
    let (head, body) = answer.split_at(end);
    let mut text = String::from_utf8_lossy(head).into_owned();
    if text.contains("Content-Encoding: gzip") && !body.is_empty() {
        let mut unpacked = String::new();
        GzDecoder::new(body).read_to_string(&mut unpacked).expect("gzip");
        text += &unpacked;
        text = without_value(&text, "Content-Length: ");
    } else {
        text += &String::from_utf8_lossy(body);
    }
    for name in ["Date: ", "X-Consul-Index: ", "\"CreateIndex\":", "\"ModifyIndex\":", "{\"ID\":\""] {
        text = without_value(&text, name);
    }
    if text.len() > 4000 {
        // Enough to compare, little enough to read.
        text = format!("{} ... {} bytes", text.chars().take(400).collect::<String>(), text.len());
    }
    text
}

fn without_value(text: &str, name: &str) -> String {
    let mut parts = text.split(name);
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(['\r', ',', '}']).unwrap_or(part.len());
        kept += name;
        // A date has a comma in it.
        kept += if name == "Date: " {
            part.split_once("GMT").map_or(part, |(_, rest)| rest)
        } else {
            &part[end..]
        };
    }
    kept
}

struct Real {
    child: Child,
    http: SocketAddr,
    _data: tempfile::TempDir,
}

impl Real {
    #[expect(clippy::print_stderr, reason = "a test that proves nothing says so")]
    fn start() -> Option<Self> {
        let data = tempfile::tempdir().expect("a folder");
        let free: Vec<_> =
            (0..3).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port")).collect();
        let ports: Vec<_> = free.iter().map(|socket| socket.local_addr().expect("a port").port()).collect();
        drop(free);
        let config = format!(
            r#"{{"ports": {{"dns": -1, "grpc": -1, "serf_wan": -1, "http": {}, "server": {}, "serf_lan": {}}},
                "performance": {{"raft_multiplier": 1}}, "disable_update_check": true}}"#,
            ports[0], ports[1], ports[2]
        );
        let file = data.path().join("config.json");
        std::fs::write(&file, config).expect("a file in our own folder");
        let child = Command::new("consul")
            .args(["agent", "-server", "-bootstrap", "-bind=127.0.0.1", "-client=127.0.0.1", "-data-dir"])
            .arg(data.path().join("data"))
            .arg("-config-file")
            .arg(file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(child) = child else {
            let required = std::env::var_os("IRONBIRD_REQUIRE_CONSUL").is_some();
            assert!(!required, "IRONBIRD_REQUIRE_CONSUL is set, and there is no consul on PATH");
            eprintln!("skipped: no consul on PATH");
            return None;
        };
        let http = SocketAddr::from((Ipv4Addr::LOCALHOST, ports[0]));
        let real = Self { child, http, _data: data };
        for _ in 0..1500 {
            let nodes = b"GET /v1/catalog/nodes HTTP/1.0\r\n\r\n";
            if TcpStream::connect(http).is_ok()
                && String::from_utf8_lossy(&say(http, nodes)).contains("lan_ipv4")
            {
                return Some(real);
            }
            pause();
        }
        panic!("the real Consul elected no leader");
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[expect(clippy::disallowed_methods, reason = "a real server takes its real time")]
fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}
