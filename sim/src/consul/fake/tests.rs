//! The fake on real sockets and in its own time.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use http::StatusCode;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::Instant;

use super::log::without_token;
use super::{FakeConsul, LocalConsul};
use crate::consul::chaos::{ChaosPlan, Unfit, Whom};
use crate::consul::server::CONNECTIONS_MAX;
use crate::plan::Span;

/// The answers to requests sent at once, to the end of the connection.
async fn talk(mut stream: impl AsyncRead + AsyncWrite + Unpin, text: &str) -> String {
    stream.write_all(text.as_bytes()).await.ok();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok();
    String::from_utf8_lossy(&answer).into_owned()
}

fn request(line: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
}

fn client(number: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + u32::try_from(number).expect("a small number")))
}

/// Opens a connection of `client` to `consul`.
fn dial(consul: &LocalConsul, client: IpAddr) -> DuplexStream {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let consul = consul.clone();
    spawn_local(async move { consul.serve_stream(far, client).await });
    near
}

async fn ask(consul: &LocalConsul, line: &str) -> String {
    talk(dial(consul, client(1)), &request(line)).await
}

async fn put(consul: &LocalConsul, path: &str, body: &str) -> String {
    let length = body.len();
    let head =
        format!("PUT {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
    talk(dial(consul, client(1)), &format!("{head}{body}")).await
}

/// Runs `test` with a fake on a clock that skips what nobody does.
fn locally<F: Future<Output = ()>>(plan: &str, test: impl FnOnce(LocalConsul) -> F) {
    let plan: ChaosPlan = toml::from_str(plan).expect("a plan");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    LocalSet::new().block_on(&runtime, async {
        let consul = FakeConsul::builder().plan(plan).local();
        let clock = consul.clone();
        spawn_local(async move { clock.run().await });
        test(consul).await;
    });
}

fn sleep(seconds: u64) -> tokio::time::Sleep {
    tokio::time::sleep(Duration::from_secs(seconds))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_serves_from_any_runtime_and_ends_when_told() {
    let consul = FakeConsul::builder().node("here").datacenter("dc9").start().await.expect("a server");
    let address = consul.addr();
    let answer =
        talk(TcpStream::connect(address).await.expect("a connection"), &request("GET /v1/catalog/nodes"))
            .await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("\r\nDate: "), "{answer}");
    assert!(answer.contains(r#""Node":"here","#) && answer.contains("dc9"), "{answer}");
    assert_eq!(consul.url(), format!("http://{address}"));

    let watching = TcpStream::connect(address).await.expect("a connection");
    let watching = talk(watching, "GET /v1/kv/k?index=1&wait=60s HTTP/1.1\r\nHost: x\r\n\r\n");
    let watching = async move {
        let ended = watching.await;
        assert_eq!(ended, "", "no answer");
    };
    let shutdown = async {
        while consul.waiting().await == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(consul.connections().await, 1);
        consul.shutdown().await;
    };
    tokio::join!(watching, shutdown);
    assert!(TcpStream::connect(address).await.is_err(), "the port is free again");
    let again = FakeConsul::builder().listen(address).start().await.expect("the same port");
    let taken = FakeConsul::builder().listen(address).start().await;
    assert!(taken.is_err(), "a port that is taken is an error");
    drop(again);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusing_server_has_no_port_until_it_takes_connections_again() {
    let consul = FakeConsul::builder().start().await.expect("a server");
    let open = TcpStream::connect(consul.addr()).await.expect("a connection");
    consul.chaos().set_refusing(true);
    assert_eq!(talk(open, "").await, "", "the open connection ends");
    assert!(TcpStream::connect(consul.addr()).await.is_err());
    consul.chaos().set_refusing(false);
    while TcpStream::connect(consul.addr()).await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_thousand_watches_are_answered_and_none_is_left() {
    locally("", |consul| async move {
        let watches: Vec<_> = (0..1000)
            .map(|number| {
                let stream = dial(&consul, client(number / 100));
                spawn_local(async move { talk(stream, &request("GET /v1/kv/k?index=1&wait=300s&raw")).await })
            })
            .collect();
        sleep(1).await;
        assert_eq!((consul.waiting(), consul.connections()), (1000, 1000));
        let put = "PUT /v1/kv/k HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\n\r\n!";
        talk(dial(&consul, client(999)), put).await;
        for watch in watches {
            assert!(watch.await.expect("an answer").ends_with("\r\n\r\n!"));
        }
        sleep(1).await;
        assert_eq!((consul.waiting(), consul.connections()), (0, 0));
    });
}

#[test]
fn clients_that_come_and_go_leave_nothing_behind() {
    locally("", |consul| async move {
        for round in 0..500 {
            let mut streams: Vec<_> = (0..4).map(|number| dial(&consul, client(number))).collect();
            for stream in &mut streams {
                let text = request("GET /v1/health/state/any?index=900&wait=300s");
                // Some go in the middle of what they say.
                let end = if round % 3 == 0 { text.len() / 2 } else { text.len() };
                stream.write_all(&text.as_bytes()[..end]).await.expect("it is read");
            }
            tokio::task::yield_now().await;
            drop(streams);
        }
        sleep(1).await;
        // Whoever has only said all it had to say may still want its answer, and cannot be told from the others.
        assert_eq!((consul.waiting(), consul.connections()), (800, 800));
        sleep(320).await;
        assert_eq!((consul.waiting(), consul.connections()), (0, 0));
    });
}

#[test]
fn one_connection_too_many_is_hung_up_on_without_a_word() {
    locally("", |consul| async move {
        let mut held: Vec<_> = (0..CONNECTIONS_MAX).map(|_| dial(&consul, client(1))).collect();
        sleep(1).await;
        assert_eq!(ask(&consul, "GET /v1/status/leader").await, "");
        assert!(talk(dial(&consul, client(2)), &request("GET /v1/status/leader")).await.contains("200 OK"));
        held.pop();
        sleep(1).await;
        assert!(ask(&consul, "GET /v1/status/leader").await.contains("200 OK"));
    });
}

#[test]
fn a_client_that_does_not_read_holds_up_only_itself() {
    locally("", |consul| async move {
        let value = "x".repeat(500_000);
        let put =
            format!("PUT /v1/kv/k HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{value}", value.len());
        let mut slow = dial(&consul, client(1));
        slow.write_all(put.as_bytes()).await.expect("it is read");
        slow.write_all(request("GET /v1/kv/k?raw").as_bytes()).await.expect("it is read");
        sleep(60).await;
        assert!(ask(&consul, "GET /v1/status/leader").await.contains("200 OK"));
        assert!(talk(slow, "").await.ends_with(&value), "and has its answer when it reads");
    });
}

#[test]
fn requests_that_come_at_once_are_answered_in_order() {
    locally("", |consul| async move {
        let text = "PUT /v1/kv/k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n\
                    GET /v1/kv/k?raw HTTP/1.1\r\nHost: x\r\n\r\nHEAD /v1/kv/k HTTP/1.0\r\n\r\nignored";
        let answers = talk(dial(&consul, client(1)), text).await;
        let starts: Vec<_> = answers.split("HTTP/1.").skip(1).map(|answer| &answer[..5]).collect();
        assert_eq!(starts, ["1 200", "1 200", "0 405"], "{answers}");
    });
}

#[test]
fn a_body_is_asked_for_only_where_somebody_wants_it() {
    locally("", |consul| async move {
        let head = |line: &str| {
            format!(
                "{line} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
            )
        };
        let mut stream = dial(&consul, client(1));
        stream.write_all(head("PUT /v1/kv/k").as_bytes()).await.expect("it is read");
        let mut asked = [0; 25];
        stream.read_exact(&mut asked).await.expect("an answer");
        assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
        assert!(talk(stream, "body").await.ends_with("true"));
        let answer = talk(dial(&consul, client(1)), &head("GET /v1/kv/k?raw")).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("body"), "{answer}");
    });
}

#[test]
fn without_a_leader_requests_are_held_and_fail_and_stale_reads_go_on() {
    locally("", |consul| async move {
        let began = Instant::now();
        consul.chaos().set_leaderless(true);
        let answer = ask(&consul, "GET /v1/kv/k").await;
        assert!(answer.starts_with("HTTP/1.1 500") && answer.ends_with("No cluster leader"), "{answer}");
        let held = began.elapsed().as_millis();
        assert!((7000..=7450).contains(&held), "{held} ms");
        assert!(ask(&consul, "GET /v1/status/leader").await.ends_with("\r\n\r\n\"\""));
        assert!(ask(&consul, "GET /v1/agent/services").await.ends_with("{}"), "the agent needs nobody");
        let stale = ask(&consul, "GET /v1/kv/k?stale").await;
        assert!(
            stale.contains("X-Consul-Knownleader: false") && !stale.contains("Lastcontact: 0\r"),
            "{stale}"
        );
        // A leader that comes in time answers what was held.
        let held = ask(&consul, "PUT /v1/kv/k");
        let back = async {
            sleep(3).await;
            consul.chaos().set_leaderless(false);
        };
        assert!(tokio::join!(held, back).0.ends_with("true"));
        assert!(!ask(&consul, "GET /v1/status/leader").await.ends_with("\"\""));
    });
}

#[test]
fn without_a_leader_no_session_expires_and_then_each_has_all_of_its_time_again() {
    locally("", |consul| async move {
        let made = put(&consul, "/v1/session/create", "{\"TTL\":\"10s\",\"Checks\":[]}").await;
        let id = made.rsplit('"').nth(1).expect("an id").to_owned();
        let info = format!("GET /v1/session/info/{id}?stale");
        sleep(15).await;
        consul.chaos().set_leaderless(true);
        sleep(30).await;
        assert!(ask(&consul, &info).await.contains(&id), "nobody ends it");
        consul.chaos().set_leaderless(false);
        sleep(19).await;
        assert!(ask(&consul, &info).await.contains(&id), "it has twice its TTL from the new leader");
        sleep(2).await;
        assert!(!ask(&consul, &info).await.contains(&id));
    });
}

#[test]
fn without_a_leader_a_registration_is_taken_and_told_later() {
    locally("", |consul| async move {
        consul.chaos().set_leaderless(true);
        let taken = put(&consul, "/v1/agent/service/register", "{\"Name\":\"web\"}").await;
        assert!(taken.starts_with("HTTP/1.1 200"), "{taken}");
        assert!(ask(&consul, "GET /v1/catalog/service/web?stale").await.ends_with("[]"));
        consul.chaos().set_leaderless(false);
        assert!(ask(&consul, "GET /v1/catalog/service/web").await.contains("\"ServiceName\":\"web\""));
    });
}

#[test]
fn a_share_of_requests_fails() {
    locally("", |consul| async move {
        consul.chaos().fail_with(StatusCode::TOO_MANY_REQUESTS, 0.25);
        let mut failed = 0;
        for _ in 0..200 {
            failed += u32::from(ask(&consul, "GET /v1/status/leader").await.starts_with("HTTP/1.1 429"));
        }
        assert!((30..=70).contains(&failed), "{failed} of 200");
        consul.chaos().calm();
        assert!(ask(&consul, "GET /v1/status/leader").await.starts_with("HTTP/1.1 200"));
    });
}

#[test]
fn a_slow_server_takes_its_time_and_a_hanging_one_all_of_it() {
    locally("", |consul| async move {
        consul.chaos().set_latency(Some(Span::millis(2000, 3000)));
        let began = Instant::now();
        ask(&consul, "GET /v1/status/leader").await;
        assert!((2000..=3001).contains(&began.elapsed().as_millis()));
        consul.chaos().calm();
        consul.chaos().set_hanging(true);
        let began = Instant::now();
        let end = async {
            sleep(100).await;
            consul.chaos().set_hanging(false);
        };
        let (answer, ()) = tokio::join!(ask(&consul, "GET /v1/status/leader"), end);
        assert!(answer.contains("200 OK"));
        assert_eq!(began.elapsed().as_secs(), 100);
    });
}

#[test]
fn a_stale_server_shows_the_catalog_of_before_and_then_the_present() {
    locally("", |consul| async move {
        sleep(60).await;
        ask(&consul, "GET /v1/catalog/services").await;
        consul.chaos().set_stale(Some(Duration::from_secs(30)));
        sleep(1).await;
        let put = "PUT /v1/agent/service/register HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 14\r\n\r\n{\"Name\":\"web\"}";
        assert!(talk(dial(&consul, client(1)), put).await.contains("200 OK"));
        assert!(!ask(&consul, "GET /v1/catalog/services").await.contains("web"));
        assert!(ask(&consul, "GET /v1/agent/services").await.contains("web"), "the agent knows");
        sleep(31).await;
        assert!(ask(&consul, "GET /v1/catalog/services").await.contains("web"));
    });
}

#[test]
fn indexes_start_over_and_an_index_from_before_waits_to_the_end() {
    locally("", |consul| async move {
        let put = "PUT /v1/kv/k HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\n\r\n!";
        let index = |answer: &str| -> u64 {
            let (_, rest) = answer.split_once("X-Consul-Index: ").expect("an index");
            rest.split("\r\n").next().and_then(|number| number.parse().ok()).expect("a number")
        };
        talk(dial(&consul, client(1)), put).await;
        let before = index(&ask(&consul, "GET /v1/kv/k").await);
        assert!(before > 1);
        consul.chaos().reset_indexes();
        assert_eq!(index(&ask(&consul, "GET /v1/kv/k").await), 1);
        // A watch with the new index is woken by a write; one with the old index is not.
        let (new, old) =
            ("GET /v1/kv/k?index=1&wait=60s", format!("GET /v1/kv/k?index={}&wait=60s", before + 9));
        let began = Instant::now();
        let write = async {
            sleep(5).await;
            talk(dial(&consul, client(1)), &put.replace('!', "?")).await;
        };
        let woken = async { (index(&ask(&consul, new).await), began.elapsed().as_secs()) };
        let late = async { (index(&ask(&consul, &old).await), began.elapsed().as_secs()) };
        let (woken, late, ()) = tokio::join!(woken, late, write);
        assert_eq!(woken, (2, 5));
        assert!(late.0 <= 2 && late.1 >= 60, "{late:?}");
    });
}

#[test]
fn a_plan_is_played_when_it_says() {
    let plan = "[[fault]]\nat='10s'\nfor='5s'\nkind='errors'\nstatus=503\n\
                [[fault]]\nat='15s'\nfor='5s'\nkind='leaderless'";
    locally(plan, |consul| async move {
        let mut seen = Vec::new();
        for _ in 0..5 {
            sleep(4).await;
            seen.push(
                ask(&consul, "GET /v1/status/leader").await[9..12].to_owned()
                    + if consul.chaos.now().is_leaderless() { "!" } else { "" },
            );
        }
        assert_eq!(seen, ["200", "200", "503", "200!", "200"]);
    });
}

/// Runs `test` with a cluster of three servers and an agent on a clock that skips what nobody does.
fn clustered<F: Future<Output = ()>>(test: impl FnOnce(LocalConsul) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    LocalSet::new().block_on(&runtime, async {
        let consul = FakeConsul::builder().servers(3).agents(1).local();
        let clock = consul.clone();
        spawn_local(async move { clock.run().await });
        consul.until_ready().await;
        test(consul).await;
    });
}

async fn ask_node(consul: &LocalConsul, node: usize, line: &str) -> String {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let consul = consul.clone();
    spawn_local(async move { consul.serve_stream_on(node, far, client(1)).await });
    talk(near, &request(line)).await
}

/// The number of the server that leads, as another says.
async fn leader(consul: &LocalConsul) -> usize {
    let answer = ask_node(consul, 3, "GET /v1/status/leader").await;
    (0..3).find(|node| answer.ends_with(&format!(":{}\"", 8300 + node * 10))).expect("a leader")
}

#[test]
fn every_node_of_a_cluster_answers() {
    clustered(|consul| async move {
        for node in 0..4 {
            assert!(ask_node(&consul, node, "PUT /v1/kv/k").await.ends_with("true"), "{node}");
        }
        assert_eq!(ask_node(&consul, 4, "GET /v1/kv/k").await, "", "there is no such node");
    });
}

#[test]
fn a_killed_node_hangs_up_on_those_who_wait_and_comes_back() {
    clustered(|consul| async move {
        let leads = leader(&consul).await;
        let waiting = ask_node(&consul, leads, "GET /v1/kv/k?index=1000&wait=300s");
        let killing = async {
            sleep(1).await;
            consul.chaos().kill(Whom::Leader).expect("it fits");
            sleep(1).await;
            assert_eq!(consul.waiting(), 0);
        };
        let began = Instant::now();
        let (answer, ()) = tokio::join!(waiting, killing);
        assert_eq!((answer.as_str(), began.elapsed().as_secs()), ("", 2));
        assert_eq!(ask_node(&consul, leads, "GET /v1/agent/services").await, "", "it does not run");
        // Until another leads, a follower still asks the one that is gone.
        let mut tries = 0;
        while !ask_node(&consul, (leads + 1) % 3, "PUT /v1/kv/k").await.ends_with("true") {
            tries += 1;
            assert!(tries < 20, "nobody else leads");
            sleep(1).await;
        }
        consul.chaos().restart();
        sleep(10).await;
        assert!(ask_node(&consul, leads, "GET /v1/kv/k").await.contains("200 OK"));
    });
}

#[test]
fn a_paused_node_answers_when_it_goes_on() {
    clustered(|consul| async move {
        consul.chaos().pause(Whom::Agent(1)).expect("it fits");
        let end = async {
            sleep(2).await;
            consul.chaos().resume();
        };
        let began = Instant::now();
        let (answer, ()) = tokio::join!(ask_node(&consul, 3, "GET /v1/agent/services"), end);
        assert!(answer.contains("200 OK") && began.elapsed().as_secs() == 2, "{answer}");
    });
}

#[test]
fn an_isolated_leader_is_replaced() {
    clustered(|consul| async move {
        let before = leader(&consul).await;
        consul.chaos().isolate(Whom::Leader).expect("it fits");
        sleep(15).await;
        assert_ne!(leader(&consul).await, before);
        consul.chaos().calm();
        sleep(15).await;
        assert!(ask_node(&consul, before, "PUT /v1/kv/k").await.ends_with("true"));
    });
}

#[test]
fn a_lone_server_cannot_be_struck() {
    locally("", |consul| async move {
        assert_eq!(consul.chaos().kill(Whom::Leader), Err(Unfit::Lone));
    });
    clustered(|consul| async move {
        assert!(consul.chaos().isolate(Whom::Server(4)).is_err());
    });
}

#[test]
fn a_log_never_shows_a_token() {
    for (path, shown) in [
        ("/v1/kv/k", "/v1/kv/k"),
        ("/v1/kv/k?token=secret&raw", "/v1/kv/k?token=hidden&raw"),
        ("/v1/kv/k?raw&%74oken=secret", "/v1/kv/k?raw&token=hidden"),
        ("/v1/kv/k?TOKEN=secret;token=secret", "/v1/kv/k?token=hidden&token=hidden"),
    ] {
        assert_eq!(without_token(path), shown);
    }
}
