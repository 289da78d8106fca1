//! The fake Consul in a plain `turmoil::Sim`: two candidates elect a leader through it, the leader is cut
//! off, and the other takes over. The candidates speak HTTP with hyper, as they would in production.
//!
//! `cargo run -p ironbird-sim --example turmoil`

#![expect(clippy::print_stdout, reason = "it is what an example is for")]

use std::cell::RefCell;
use std::error::Error;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use ironbird_sim::consul::fake::FakeConsul;
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use turmoil::net::{TcpListener, TcpStream};

const PORT: u16 = 8500;
const TTL: Duration = Duration::from_secs(10);

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Who led when, in seconds: `a leads` begins a reign, `a stops` ends it.
type Reigns = Rc<RefCell<Vec<(u64, String)>>>;

pub(crate) fn main() {
    let reigns = Reigns::default();
    let mut sim = turmoil::Builder::new()
        .simulation_duration(Duration::from_secs(90))
        .tick_duration(Duration::from_millis(10))
        .build();

    sim.host("consul", || async {
        let consul = FakeConsul::builder().node("consul").seed(7).local();
        let clock = consul.clone();
        spawn_local(async move { clock.run().await });
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).await?;
        loop {
            let (stream, peer) = listener.accept().await?;
            let consul = consul.clone();
            spawn_local(async move { consul.serve_stream(stream, peer.ip()).await });
        }
    });
    for name in ["a", "b"] {
        let reigns = Rc::clone(&reigns);
        sim.host(name, move || candidate(name, Rc::clone(&reigns)));
    }
    let seen = Rc::clone(&reigns);
    sim.client("operator", async move {
        sleep(Duration::from_secs(20)).await;
        let leader = seen.borrow().last().map(|(_, line)| line[..1].to_owned()).ok_or("nobody leads")?;
        turmoil::partition(leader.as_str(), "consul");
        sleep(Duration::from_secs(60)).await;
        turmoil::repair(leader.as_str(), "consul");
        sleep(Duration::from_secs(5)).await;
        Ok(())
    });
    sim.run().expect("every host does its work");

    let reigns = reigns.borrow();
    for (second, line) in reigns.iter() {
        println!("{second:3} s  {line}");
    }
    let lines: Vec<_> = reigns.iter().map(|(_, line)| line.as_str()).collect();
    let handover = [["a leads", "a stops", "b leads"], ["b leads", "b stops", "a leads"]];
    assert!(handover.iter().any(|expected| lines == *expected), "{lines:?}");
    // The old leader stops within its TTL; Consul gives the lock away after twice that and the lock-delay.
    assert!(reigns[1].0 <= 20 + TTL.as_secs() && reigns[2].0 >= 20 + 15, "{reigns:?}");
}

/// Wants to lead for as long as it lives, and leads only while Consul has just said so.
async fn candidate(name: &'static str, reigns: Reigns) -> Outcome {
    let began = Instant::now();
    let tell = |what: &str| reigns.borrow_mut().push((began.elapsed().as_secs(), format!("{name} {what}")));
    let body = format!(r#"{{"Name":"{name}","TTL":"{}s","NodeChecks":[]}}"#, TTL.as_secs());
    loop {
        let Ok((StatusCode::OK, answer)) = ask(Method::PUT, "/v1/session/create", body.clone()).await else {
            sleep(Duration::from_secs(1)).await;
            continue;
        };
        let Some(session) = answer.split('"').nth(3) else {
            continue;
        };
        let (acquire, renew) =
            (format!("/v1/kv/leader?acquire={session}"), format!("/v1/session/renew/{session}"));
        let mut leads = false;
        let mut valid_until = Instant::now() + TTL;
        while Instant::now() < valid_until {
            let asked = Instant::now();
            match timeout_at(valid_until, ask(Method::PUT, &renew, String::new())).await {
                Ok(Ok((StatusCode::OK, _))) => valid_until = asked + TTL,
                Ok(Ok((StatusCode::NOT_FOUND, _))) => break,
                _ => {}
            }
            if !leads
                && let Ok(Ok((_, answer))) =
                    timeout_at(valid_until, ask(Method::PUT, &acquire, name.to_owned())).await
                && answer == "true"
            {
                leads = true;
                tell("leads");
            }
            timeout_at(valid_until, sleep(Duration::from_secs(2))).await.ok();
        }
        if leads {
            tell("stops");
        }
    }
}

/// One request on a connection of its own.
async fn ask(method: Method, path: &str, body: String) -> Outcome<(StatusCode, String)> {
    timeout(Duration::from_secs(3), async {
        let stream = TcpStream::connect(("consul", PORT)).await?;
        let (mut client, connection) = http1::handshake(TokioIo::new(stream)).await?;
        spawn_local(async { connection.await.ok() });
        let request = Request::builder().method(method).uri(path).header("host", "consul").body(Full::<
            Bytes,
        >::from(
            body
        ))?;
        let answer = client.send_request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    })
    .await?
}
