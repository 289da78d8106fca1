//! What strangers' bytes reach, as functions that take any bytes at all.
//!
//! `fuzz/` hands them to libFuzzer, `tests/fuzz.rs` to proptest. Each panics when what it found must not be;
//! besides, nothing may panic, hang or overflow on its own.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::blocking::Blocked;
use super::fake::FakeConsul;
use super::filter::{Filter, Kind};
use super::{Consul, ConsulConfig, Reply, duration as go};
use crate::seed::Seed;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// The longest wait there is, with its jitter, and a second.
const WAIT_OVER: Duration = Duration::from_secs(640);
const REQUESTS_MAX: usize = 64;
const KINDS: [Kind; 7] = [
    Kind::Node,
    Kind::ServiceNode,
    Kind::NodeService,
    Kind::CheckServiceNode,
    Kind::HealthCheck,
    Kind::AgentService,
    Kind::AgentCheck,
];

/// Reads `input` as one client's connection, to the end of its last answer.
///
/// # Panics
/// When what comes back does not begin as an answer does, or the server never ends the connection.
pub fn connection(input: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let answered = runtime.expect("a runtime").block_on(async {
        let consul = FakeConsul::builder().local();
        let (mut client, server) = tokio::io::duplex(64 * 1024);
        let talk = async {
            let (mut from, mut to) = tokio::io::split(&mut client);
            let sent = async {
                // The first byte says how much is sent at a time. The server may hang up at any point.
                let (size, rest) = input.split_first().unwrap_or((&0, &[]));
                for part in rest.chunks(usize::from(*size) + 1) {
                    if to.write_all(part).await.is_err() {
                        break;
                    }
                }
                to.shutdown().await.ok();
            };
            let mut answered = Vec::new();
            let received = async { from.read_to_end(&mut answered).await.ok() };
            let served = consul.serve_stream(server, CLIENT);
            tokio::join!(biased; sent, received, served);
            answered
        };
        let whole = async {
            tokio::select! {
                biased;
                answered = talk => answered,
                () = consul.run() => Vec::new(),
            }
        };
        let limit = WAIT_OVER * u32::try_from(input.len() + 1).unwrap_or(u32::MAX);
        tokio::time::timeout(limit, whole).await.expect("the connection ends")
    });
    assert!(answered.is_empty() || answered.starts_with(b"HTTP/1."), "{answered:?}");
}

/// Plays `input` as requests to one server: they are set apart by 0 bytes; each is a character that says how
/// long after the last, method, space, target, line feed, body. `{id}` stands for the last id answered.
///
/// # Panics
/// When a query is still blocked after the longest wait, or an answer says an index of 0.
pub fn request(input: &[u8]) {
    let mut consul = Consul::new(ConsulConfig::new("fuzz", CLIENT), Seed(0).stream("consul", "fuzz"));
    let mut now = Duration::ZERO;
    let mut id = String::new();
    let mut blocked: Vec<Blocked> = Vec::new();
    for one in input.split(|byte| *byte == 0).take(REQUESTS_MAX) {
        let Some((pause, request)) = read_request(one, &id) else { continue };
        now += pause;
        match consul.request(now, CLIENT, &request) {
            Reply::Now(response) => {
                sound(&response);
                if let Some(new) = last_id(response.body()) {
                    id = new;
                }
            }
            Reply::Blocked(query) => blocked.push(query),
            Reply::Pending(_) => panic!("a server alone asks nobody"),
        }
        blocked.retain_mut(|query| consul.poll(now, query).is_none());
    }
    now += WAIT_OVER;
    for mut query in blocked {
        sound(&consul.poll(now, &mut query).expect("no query waits longer than the longest wait"));
    }
    consul.advance(now + Duration::from_secs(100_000));
}

fn read_request(text: &[u8], id: &str) -> Option<(Duration, Request<Bytes>)> {
    let (pause, text) = text.split_first()?;
    let text = String::from_utf8_lossy(text).replace("{id}", id);
    let (line, body) = text.split_once('\n').unwrap_or((&text, ""));
    let (method, target) = line.split_once(' ')?;
    let request = Request::builder().method(method).uri(target).body(Bytes::copy_from_slice(body.as_bytes()));
    // Up to 25 seconds: enough for a session to expire or not.
    Some((Duration::from_millis(u64::from(*pause) * 100), request.ok()?))
}

fn last_id(body: &[u8]) -> Option<String> {
    let (_, rest) = std::str::from_utf8(body).ok()?.rsplit_once("\"ID\":\"")?;
    rest.get(..36).map(str::to_owned)
}

fn sound(response: &http::Response<Bytes>) {
    let index = response.headers().get("x-consul-index");
    assert!(index.is_none_or(|index| index != "0"), "{response:?}");
}

/// Reads `input` as a filter of every kind of record, and asks it of a record and of none at all.
///
/// # Panics
/// When a filter is another one after it was written and read again.
pub fn filter(input: &str) {
    let records = [
        Value::Null,
        serde_json::json!({}),
        serde_json::json!({
            "ID": "a", "Node": "n", "Address": "", "Meta": {"k": "v"}, "TaggedAddresses": null,
            "Service": {"ID": "s", "Service": "web", "Tags": ["a", "b"], "Port": 80, "Meta": {}},
            "Checks": [{"CheckID": "c", "Status": "passing", "ServiceTags": []}],
        }),
    ];
    for kind in KINDS {
        let Ok(filter) = Filter::parse(input, kind) else { continue };
        let written = filter.to_string();
        let again = Filter::parse(&written, kind).map(|filter| filter.to_string());
        assert_eq!(again.as_ref(), Ok(&written), "{input:?}");
        for record in &records {
            // What a record is missing is an answer, too.
            drop(filter.matches(record));
        }
    }
}

/// Reads `input` as a duration.
///
/// # Panics
/// When it is another one after it was written and read again.
pub fn duration(input: &str) {
    let Ok(nanos) = go::parse(input) else { return };
    let written = go::text(nanos);
    let again = go::parse(&written).unwrap_or_else(|why| panic!("{input:?} is {written:?}: {why}"));
    // Both readings add up floats, which hold 53 bits.
    let slack = (nanos.unsigned_abs() >> 50) + 2;
    assert!(nanos.abs_diff(again) <= slack, "{input:?} is {nanos}, {written:?} is {again}");
}
