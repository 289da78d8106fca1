//! What a request to the fake costs: CPU time of `GET /v1/kv/k` on one kept-alive connection, with hyper's
//! client, the fake's server and its state on one thread, over a pipe in place of a network.
//!
//! `cargo run --release -p ironbird-sim --example request_cost`

#![expect(clippy::print_stdout, reason = "it is what an example is for")]

use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use ironbird_sim::consul::fake::FakeConsul;
use tokio::task::{LocalSet, spawn_local};

const REQUESTS: u32 = 200_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O needs nothing that could fail");
    LocalSet::new().block_on(&runtime, async {
        let consul = FakeConsul::builder().local();
        let (near, far) = tokio::io::duplex(64 * 1024);
        let server = consul.clone();
        spawn_local(async move { server.run().await });
        spawn_local(async move { consul.serve_stream(far, IpAddr::V4(Ipv4Addr::LOCALHOST)).await });
        let (mut client, connection) = http1::handshake(TokioIo::new(near)).await.expect("a connection");
        spawn_local(connection);
        ask(&mut client, Method::PUT, "/v1/kv/k", "value").await;
        for (what, path) in [
            ("GET /v1/kv/k", "/v1/kv/k"),
            ("GET /v1/status/leader", "/v1/status/leader"),
            ("GET /v1/catalog/services", "/v1/catalog/services"),
        ] {
            for _ in 0..REQUESTS / 10 {
                ask(&mut client, Method::GET, path, "").await;
            }
            let before = cpu_micros();
            for _ in 0..REQUESTS {
                ask(&mut client, Method::GET, path, "").await;
            }
            let each = (cpu_micros() - before) / f64::from(REQUESTS);
            println!("{what}: {each:.2} us of CPU a request, {REQUESTS} requests");
        }
    });
}

async fn ask(client: &mut SendRequest<Full<Bytes>>, method: Method, path: &str, body: &'static str) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "consul")
        .body(Full::from(body))
        .expect("a request");
    client.ready().await.expect("a connection");
    let answer = client.send_request(request).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    answer.into_body().collect().await.expect("a body");
}

/// What this process has used of the CPU so far.
fn cpu_micros() -> f64 {
    // User and system time, in ticks of 10 ms, stand 14th and 15th; the name before them may hold anything.
    let stat = std::fs::read_to_string("/proc/self/stat").expect("a Linux system");
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: f64 =
        after_name.split_whitespace().skip(11).take(2).map(|word| word.parse().unwrap_or(0.0)).sum();
    ticks * 10_000.0
}
