//! What a real Consul says, written down for tests that must not need one.
//!
//! Each recorder reads its table's questions from the file itself, asks a server started for it as the
//! head of the file says, and writes the answers back; a question is added by adding a line without one.
//! What it writes is to be read before it is committed.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

#[test]
#[ignore = "rewrites a table; needs a server of its own"]
fn record_filters() {
    let file = root().join("sim/src/consul/filter/golden.txt");
    let table = std::fs::read_to_string(&file).expect("the table");
    for (path, body) in filtered_world() {
        let answer = send("PUT", path, &[], &body.to_string()).expect("an answer");
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    }
    settle();
    let mut recorded = String::new();
    let mut section = None;
    for line in table.lines() {
        if let Some(head) = line.strip_prefix("@ ") {
            let mut words = head.split(' ');
            let (kind, path) = (words.next().expect("a kind"), words.next().expect("a path"));
            let body = send("GET", path, &[], "").expect("an answer").body;
            let records = records(&body);
            let _ = writeln!(recorded, "@ {kind} {path} {}", json!(records));
            section = Some((path, records));
        } else if line.is_empty() || line.starts_with('#') {
            let _ = writeln!(recorded, "{line}");
        } else {
            let (path, records) = section.as_ref().expect("a section");
            let question = line.split('\t').next().unwrap_or_default();
            let expression: String = serde_json::from_str(question).expect("an expression");
            let path = format!("{path}?filter={}", escaped(&expression));
            let answer = match send("GET", &path, &[], "") {
                None => "closed".to_owned(),
                Some(answer) if answer.status == 200 => {
                    let selected = self::records(&answer.body);
                    let places: Vec<_> =
                        selected.iter().map(|one| records.iter().position(|record| record == one)).collect();
                    format!("200 {}", json!(places))
                }
                Some(answer) => format!("{} {}", answer.status, json!(answer.body)),
            };
            let _ = writeln!(recorded, "{question}\t{answer}");
        }
    }
    std::fs::write(&file, recorded).expect("the table");
}

/// Makes the policies and tokens of the table's configuration, then plays its lines one after another.
#[test]
#[ignore = "rewrites a table; needs a server of its own"]
fn record_acl() {
    let file = root().join("tests/tests/consul_acl.txt");
    let table = std::fs::read_to_string(&file).expect("the table");
    let (head, lines) = table.split_once("\n---\n").expect("a configuration, three dashes, and lines");
    let config: toml::Table = head.parse().expect("a configuration");
    let master = config["tokens"]["master"].as_str().expect("a master token");
    let put = |path: &str, body: Value| {
        let answer = send("PUT", path, &[("X-Consul-Token", master)], &body.to_string()).expect("an answer");
        assert_eq!(answer.status, 200, "{body}: {}", answer.body);
    };
    for (name, rules) in config["policies"].as_table().expect("policies") {
        put("/v1/acl/policy", json!({"Name": name, "Rules": rules.as_str()}));
    }
    for (secret, token) in config["token"].as_table().expect("tokens") {
        let names = token["policies"].as_array().expect("names").iter();
        let policies: Vec<_> = names.map(|name| json!({"Name": name.as_str()})).collect();
        put("/v1/acl/token", json!({"SecretID": secret, "Policies": policies}));
    }
    let names = config["names"].as_table().expect("names");
    let mut sessions: Vec<String> = Vec::new();
    let mut recorded = format!("{head}\n---\n");
    for line in lines.lines() {
        let question = line.split(" => ").next().unwrap_or_default();
        if question.is_empty() || question.starts_with('#') {
            let _ = writeln!(recorded, "{line}");
            continue;
        }
        let (request, body) = question.split_once(" | ").unwrap_or((question, ""));
        let words: Vec<_> = request.split(' ').collect();
        let [token, method, path] = words[..] else {
            panic!("{line}: a token, a method and a path");
        };
        let fill = |text: &str| {
            let numbered = sessions.iter().enumerate();
            numbered.fold(text.to_owned(), |text, (at, id)| text.replace(&format!("{{s{}}}", at + 1), id))
        };
        let secret = names.get(token).map_or(token, |secret| secret.as_str().expect("a secret"));
        let headers = [("X-Consul-Token", secret)];
        let headers = if token == "-" { &[][..] } else { &headers[..] };
        let answer = send(method, &fill(path), headers, &fill(body)).expect("an answer");
        if path.starts_with("/v1/session/create") && answer.status == 200 {
            let body: Value = serde_json::from_str(&answer.body).expect("JSON of a session");
            sessions.push(body["ID"].as_str().expect("an id").to_owned());
        }
        let numbered = sessions.iter().enumerate();
        let shown = numbered
            .fold(answer.body, |body, (at, id)| body.replace(id.as_str(), &format!("{{s{}}}", at + 1)));
        let _ = writeln!(
            recorded,
            "{question} => {} | {}",
            answer.status,
            without_indexes(&shown.trim_end().replace('\n', "\\n"))
        );
    }
    std::fs::write(&file, recorded).expect("the table");
}

/// Every raft index is 0.
fn without_indexes(body: &str) -> String {
    let mut out = String::new();
    let mut rest = body;
    while let Some(at) = rest.find("Index\":") {
        let (before, after) = rest.split_at(at + "Index\":".len());
        let _ = write!(out, "{before}0");
        rest = after.trim_start_matches(|next: char| next.is_ascii_digit());
    }
    out + rest
}

/// The records of an answer, those of a map in the order of its keys.
fn records(body: &str) -> Vec<Value> {
    match serde_json::from_str(body).expect("JSON") {
        Value::Array(records) => records,
        Value::Object(mut map) => match map.remove("Services") {
            Some(Value::Array(services)) => services,
            Some(other) => panic!("{other} are no services"),
            None => {
                let mut records: Vec<_> = map.into_iter().collect();
                records.sort_by(|one, other| one.0.cmp(&other.0));
                records.into_iter().map(|(_, record)| record).collect()
            }
        },
        other => panic!("{other} has no records"),
    }
}

/// What the filters are to select from.
fn filtered_world() -> Vec<(&'static str, Value)> {
    const SERVICE: &str = "/v1/agent/service/register";
    vec![
        (
            SERVICE,
            json!({
                "Name": "web", "ID": "web1", "Tags": ["v1", "primary"], "Port": 80, "Address": "10.0.0.1",
                "Meta": {"team": "a", "version": "1.2.3"}, "Weights": {"Passing": 10, "Warning": 2},
                "Check": {
                    "CheckID": "web1-ttl", "Name": "web alive", "TTL": "1h", "Status": "passing",
                    "Notes": "some notes",
                },
            }),
        ),
        (
            SERVICE,
            json!({
                "Name": "web", "ID": "web2", "Tags": ["v2"], "Meta": {"team": "b"}, "Port": 8080,
                "EnableTagOverride": true,
                "TaggedAddresses": {
                    "lan": {"address": "10.1.1.1", "port": 81}, "wan": {"address": "1.2.3.4", "port": 82},
                },
                "Check": {"CheckID": "web2-ttl", "Name": "web alive", "TTL": "1h", "Status": "warning"},
            }),
        ),
        (SERVICE, json!({"Name": "web", "ID": "web3", "Tags": []})),
        (
            SERVICE,
            json!({
                "Name": "db", "ID": "db1", "Tags": ["master", "V1"], "Meta": {"team": "A"}, "Port": 5432,
                "Checks": [
                    {"CheckID": "db1-a", "Name": "a", "TTL": "1h", "Status": "critical"},
                    {"CheckID": "db1-b", "Name": "b", "TTL": "1h", "Status": "passing"},
                ],
            }),
        ),
        (
            SERVICE,
            json!({
                "Name": "proxy", "ID": "proxy1", "Kind": "connect-proxy", "Port": 2000,
                "Proxy": {
                    "DestinationServiceName": "web", "DestinationServiceID": "web1",
                    "LocalServiceAddress": "127.0.0.1", "LocalServicePort": 80,
                    "Upstreams": [
                        {"DestinationName": "db", "LocalBindPort": 9191, "Datacenter": "dc1"},
                        {
                            "DestinationName": "cache", "LocalBindPort": 9192,
                            "LocalBindAddress": "127.0.0.2", "MeshGateway": {"Mode": "local"},
                        },
                    ],
                    "MeshGateway": {"Mode": "remote"},
                    "Expose": {
                        "Checks": true,
                        "Paths": [{
                            "Path": "/x", "LocalPathPort": 8080, "ListenerPort": 21500, "Protocol": "http",
                        }],
                    },
                },
            }),
        ),
        (
            SERVICE,
            json!({
                "Name": "native", "ID": "native1", "Tags": ["café", "x y"], "Port": 3000,
                "Connect": {"Native": true},
            }),
        ),
        (
            "/v1/agent/check/register",
            json!({"Name": "disk", "ID": "disk", "TTL": "1h", "Status": "passing", "Notes": "n"}),
        ),
        (
            "/v1/catalog/register",
            json!({
                "Node": "ext", "Address": "192.168.0.9", "NodeMeta": {"external": "yes", "rack": "r1"},
                "TaggedAddresses": {"lan": "192.168.0.9", "wan": "8.8.8.8"},
                "Service": {"Service": "web", "ID": "web-ext", "Tags": ["v1", "ext"], "Port": 8000},
                "Checks": [{
                    "Node": "ext", "CheckID": "c1", "Name": "ping", "Status": "critical",
                    "ServiceID": "web-ext", "Output": "line1\nline2",
                }],
            }),
        ),
    ]
}

struct Answer {
    status: u16,
    body: String,
}

/// Asks the server at `CONSUL_HTTP_ADDR`; it may close the connection without a word.
fn send(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Option<Answer> {
    let address = std::env::var("CONSUL_HTTP_ADDR").expect("CONSUL_HTTP_ADDR");
    let mut stream = TcpStream::connect(address).expect("a server");
    let mut head = format!("{method} {path} HTTP/1.0\r\nHost: consul\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    stream.write_all(format!("{head}\r\n{body}").as_bytes()).expect("it reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok();
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, body: body.to_owned() })
}

fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut escaped, byte| {
        let _ = write!(escaped, "%{byte:02X}");
        escaped
    })
}

/// The agent tells its server of what was registered.
#[expect(clippy::disallowed_methods, reason = "a real process is waited for")]
fn settle() {
    std::thread::sleep(Duration::from_secs(2));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
