//! The fake with ACLs says to every token what a real server said: `consul_acl.txt` holds the answers of a
//! real one, and how they were recorded.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use ironbird_sim::consul::{AclConfig, Consul, ConsulConfig, Reply};
use ironbird_sim::seed::Seed;

const TABLE: &str = include_str!("consul_acl.txt");

/// What the fake has nothing of, with or without ACLs: their own API, snapshots, keys of gossip, metrics.
const NOT_THERE: [&str; 4] = ["/v1/acl/", "/v1/snapshot", "/v1/operator/keyring", "/v1/agent/metrics"];

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

#[test]
fn every_token_is_answered_as_by_a_real_server() {
    let (head, lines) = TABLE.split_once("\n---\n").expect("a configuration, three dashes, and lines");
    let mut config: toml::Table = head.parse().expect("a configuration");
    let names = config.remove("names").expect("names");
    let acl: AclConfig = config.try_into().expect("a configuration of ACLs");
    let config = ConsulConfig::new("golden", LOCALHOST).with_acl(acl).expect("good rules");
    let mut consul = Consul::new(config, Seed(1).stream("consul", ""));
    let mut sessions = BTreeMap::new();
    let (mut asked, mut different) = (0, String::new());
    for line in lines.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (question, theirs) = line.split_once(" => ").expect("an answer");
        let (request, body) = question.split_once(" | ").unwrap_or((question, ""));
        let [token, method, path] = request.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}: a token, a method and a path");
        };
        if NOT_THERE.iter().any(|there| path.starts_with(there)) {
            continue;
        }
        let fill = |text: &str| {
            sessions
                .iter()
                .fold(text.to_owned(), |text, (name, id): (&String, &String)| text.replace(name, id))
        };
        let mut request = Request::builder().method(method).uri(fill(path));
        if token != "-" {
            let secret = names.get(token).map_or(token, |secret| secret.as_str().expect("a secret"));
            request = request.header("X-Consul-Token", secret);
        }
        let request = request.body(Bytes::from(fill(body))).expect("a request");
        let Reply::Now(response) = consul.request(Duration::ZERO, LOCALHOST, &request) else {
            panic!("{line} blocks");
        };
        let mut body = String::from_utf8_lossy(response.body()).into_owned();
        if path.starts_with("/v1/session/create") && response.status() == 200 {
            let id: serde_json::Value = serde_json::from_str(&body).expect("JSON of a session");
            let name = format!("{{s{}}}", sessions.len() + 1);
            sessions.insert(name, id["ID"].as_str().expect("an id").to_owned());
        }
        for (name, id) in &sessions {
            body = body.replace(id, name);
        }
        let ours =
            format!("{} | {}", response.status().as_u16(), comparable(&body.trim_end().replace('\n', "\\n")));
        asked += 1;
        if ours != comparable(theirs) {
            let _ = write!(different, "\n{question}\n  real {theirs}\n  ours {ours}");
        }
    }
    assert!(different.is_empty(), "{different}");
    assert!(asked > 250, "{asked} lines are too few to have read the table");
}

/// An answer with every raft index 0, and without the hash of a content, which is of our own making.
fn comparable(body: &str) -> String {
    let mut out = String::new();
    let mut rest = body;
    while let Some(at) = rest.find("Index\":") {
        let (before, after) = rest.split_at(at + "Index\":".len());
        out += before;
        out.push('0');
        rest = after.trim_start_matches(|next: char| next.is_ascii_digit());
    }
    out += rest;
    match out.split_once(",\"ContentHash\":\"") {
        Some((before, after)) => format!("{before}{}", after.split_once('"').map_or("", |(_, after)| after)),
        None => out,
    }
}
