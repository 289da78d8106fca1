//! Many clients, and rude ones, on real TCP. Not part of a plain `cargo test`: it wants some thousand open
//! files (`ulimit -n 8192`), and tells memory by this process alone.
//!
//! `cargo test --release -p ironbird-sim --test crowd -- --ignored --nocapture --test-threads 1`

#![cfg(target_os = "linux")]
#![expect(clippy::print_stdout, reason = "the figures are what it is run for")]

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use ironbird_sim::consul::fake::FakeConsul;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

/// One connection.
struct Client(BufReader<TcpStream>);

struct Answer {
    status: u16,
    index: u64,
    body: String,
}

impl Client {
    /// From 127.0.0.`last`, because one client has no more than 200 connections.
    async fn connect(server: SocketAddr, last: u8) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(Ipv4Addr::new(127, 0, 0, last).into(), 0))?;
        Ok(Self(BufReader::new(socket.connect(server).await?)))
    }

    async fn send(&mut self, method: &str, path: &str, body: &str) -> io::Result<()> {
        let length = body.len();
        let text = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}");
        self.0.write_all(text.as_bytes()).await
    }

    async fn answer(&mut self) -> io::Result<Answer> {
        let (mut status, mut index, mut length) = (0, 0, 0);
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            if let Some(rest) = line.strip_prefix("HTTP/1.1 ") {
                status = rest[..3].parse().expect("a status");
            }
            match line.split_once(": ") {
                Some(("Content-Length", value)) => length = value.parse().expect("a length"),
                Some(("X-Consul-Index", value)) => index = value.parse().expect("an index"),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await?;
        Ok(Answer { status, index, body: String::from_utf8_lossy(&body).into_owned() })
    }

    async fn ask(&mut self, method: &str, path: &str, body: &str) -> io::Result<Answer> {
        self.send(method, path, body).await?;
        self.answer().await
    }
}

/// This process's memory, in kilobytes.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("the kernel tells");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it tells of memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

async fn until_waiting(consul: &FakeConsul, count: usize) {
    while consul.waiting().await != count {
        tokio::task::yield_now().await;
    }
}

async fn until_connected(consul: &FakeConsul, count: usize) {
    while consul.connections().await != count {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
#[ignore = "wants 2,000 open files"]
async fn a_thousand_blocking_queries_are_answered_by_one_write() {
    let consul = FakeConsul::builder().start().await.expect("it starts");
    let mut writer = Client::connect(consul.addr(), 1).await.expect("a connection");
    writer.ask("PUT", "/v1/kv/k", "0").await.expect("an answer");
    let index = writer.ask("GET", "/v1/kv/k", "").await.expect("an answer").index;
    let mut queries = JoinSet::new();
    for number in 0..1000_u16 {
        let last = 2 + u8::try_from(number / 200).expect("five clients");
        let mut client = Client::connect(consul.addr(), last).await.expect("a connection");
        client.send("GET", &format!("/v1/kv/k?index={index}&wait=10m"), "").await.expect("it is sent");
        queries.spawn(async move { client.answer().await });
    }
    until_waiting(&consul, 1000).await;
    println!("1,000 blocking queries wait: {} kB", memory());
    writer.ask("PUT", "/v1/kv/k", "1").await.expect("an answer");
    for answer in queries.join_all().await {
        let answer = answer.expect("an answer");
        assert_eq!((answer.status, answer.index > index), (200, true), "{}", answer.body);
    }
    until_waiting(&consul, 0).await;
    until_connected(&consul, 1).await;
    consul.shutdown().await;
}

#[tokio::test]
#[ignore = "tells memory by this process, and takes a while"]
async fn sessions_and_watches_that_come_and_go_leave_nothing() {
    const ROUNDS: u32 = 5_000;
    let consul = FakeConsul::builder().start().await.expect("it starts");
    let mut client = Client::connect(consul.addr(), 1).await.expect("a connection");
    let mut grown = Vec::new();
    for _ in 0..4 {
        let before = memory();
        for round in 0..ROUNDS {
            let made = client.ask("PUT", "/v1/session/create", r#"{"TTL":"10s","LockDelay":"0s"}"#).await;
            let made = made.expect("an answer");
            let id = made.body.split('"').nth(3).expect("an id").to_owned();
            let held = client.ask("PUT", &format!("/v1/kv/c?acquire={id}"), "mine").await.expect("an answer");
            assert_eq!(held.body.trim(), "true");
            let index = client.ask("GET", "/v1/kv/c", "").await.expect("an answer").index;
            let mut watch = Client::connect(consul.addr(), 2).await.expect("a connection");
            watch.send("GET", &format!("/v1/kv/c?index={index}&wait=10m"), "").await.expect("it is sent");
            until_waiting(&consul, 1).await;
            if round % 3 == 0 {
                // The watcher goes without a word, which it may also do to say that it has none left: so
                // its place is kept until there is an answer, and no longer.
                drop(watch);
                client.ask("PUT", &format!("/v1/session/destroy/{id}"), "").await.expect("an answer");
                until_waiting(&consul, 0).await;
            } else {
                client.ask("PUT", &format!("/v1/session/destroy/{id}"), "").await.expect("an answer");
                assert_eq!(watch.answer().await.expect("an answer").status, 200);
            }
        }
        let after = memory();
        println!("{ROUNDS} rounds: {before} kB, then {after} kB");
        grown.push(after.saturating_sub(before));
    }
    until_connected(&consul, 1).await;
    let leaked = grown.last().copied().unwrap_or_default();
    assert!(leaked < 1_000, "the last {ROUNDS} rounds cost {leaked} kB");
    consul.shutdown().await;
}

#[tokio::test]
#[ignore = "wants 400 open files"]
async fn who_never_ends_a_request_keeps_nobody_else_waiting() {
    let consul = FakeConsul::builder().start().await.expect("it starts");
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut client = Client::connect(consul.addr(), 9).await.expect("a connection");
        client.0.write_all(b"GET /v1/kv/k HTTP/1.1\r\nHo").await.expect("it is sent");
        slow.push(client);
    }
    until_connected(&consul, 200).await;
    let mut other = Client::connect(consul.addr(), 1).await.expect("a connection");
    assert_eq!(other.ask("GET", "/v1/status/leader", "").await.expect("an answer").status, 200);
    let mut one_more = Client::connect(consul.addr(), 9).await.expect("a connection");
    assert!(one_more.ask("GET", "/v1/status/leader", "").await.is_err(), "200 are all it may have");
    slow[7].0.write_all(b"st: a\r\n\r\n").await.expect("it is sent");
    assert_eq!(slow[7].answer().await.expect("an answer").status, 404);
    drop(slow);
    until_connected(&consul, 1).await;
    consul.shutdown().await;
}

#[tokio::test]
#[ignore = "wants 400 open files"]
async fn who_never_reads_its_answers_keeps_nobody_else_waiting() {
    const VALUE: usize = 512 * 1024;
    let consul = FakeConsul::builder().start().await.expect("it starts");
    let mut writer = Client::connect(consul.addr(), 1).await.expect("a connection");
    let value = "x".repeat(VALUE);
    assert_eq!(writer.ask("PUT", "/v1/kv/big", &value).await.expect("an answer").status, 200);
    let before = memory();
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut client = Client::connect(consul.addr(), 9).await.expect("a connection");
        // Far more than the kernel keeps for somebody who does not read.
        for _ in 0..16 {
            client.send("GET", "/v1/kv/big?raw", "").await.expect("it is sent");
        }
        slow.push(client);
    }
    until_connected(&consul, 201).await;
    for round in 0..100 {
        let answer = writer.ask("PUT", "/v1/kv/small", &round.to_string()).await.expect("an answer");
        assert_eq!(answer.status, 200);
    }
    let grown = memory().saturating_sub(before);
    println!("200 clients that do not read 8 MB each: {grown} kB");
    // An answer at a time for each, on this side and on its way.
    assert!(grown < 200 * 2 * 1024, "{grown} kB");
    assert_eq!(
        slow[7].answer().await.expect("an answer").body.len(),
        VALUE,
        "who reads after all has it all"
    );
    drop(slow);
    until_connected(&consul, 1).await;
    consul.shutdown().await;
}
