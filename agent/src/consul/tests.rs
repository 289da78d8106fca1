//! The client against a scripted server: what is asked, how answers are read, what connections do.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use super::*;
use crate::memory::{Answer, MemoryHost, fly};

fn address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8500))
}

fn answer(status: u16, body: &str) -> Answer {
    (status, vec![("x-consul-index", "7".to_owned())], body.as_bytes().to_vec())
}

/// Answers every request with what it was asked.
fn echo(host: &MemoryHost) {
    host.serve(|method, path, body| async move {
        let text = format!("{method} {path} {}", String::from_utf8_lossy(&body));
        (400, Vec::new(), text.into_bytes())
    });
}

#[test]
fn requests_are_asked_as_documented() {
    fly(|host| async move {
        echo(&host);
        let consul = Consul::new(host, address());
        let said = |result: Error| match result.cause {
            Cause::Status { status: 400, body } => body,
            other => panic!("{other}"),
        };
        let consistent = consul.clone().consistency(Consistency::Consistent);
        let minute = Duration::from_secs(60);
        let health = consul.health();
        assert_eq!(
            [
                said(consul.kv().get("a b").await.unwrap_err()),
                said(consistent.kv().get_blocking("a", 5, minute).await.unwrap_err()),
                said(consul.kv().get_blocking("a", 0, minute).await.unwrap_err()),
                said(consul.kv().list("p/").await.unwrap_err()),
                said(consul.kv().put("k", "v").await.unwrap_err()),
                said(consul.kv().cas("k", 0, "v").await.unwrap_err()),
                said(consul.kv().acquire("k", "s", "v").await.unwrap_err()),
                said(consul.kv().release("k", "s", "").await.unwrap_err()),
                said(consul.kv().delete("k").await.unwrap_err()),
                said(consul.session().renew("s").await.unwrap_err()),
                said(consul.session().destroy("s").await.unwrap_err()),
                said(consul.agent().node().await.unwrap_err()),
                said(consul.agent().pass_check("c").await.unwrap_err()),
                said(consul.agent().update_check("c", Status::Critical, "no").await.unwrap_err()),
                said(consul.catalog().node("n 1").await.unwrap_err()),
                said(health.service("db", true, Some("x y")).await.unwrap_err()),
                said(health.service_blocking("db", false, None, 3, minute).await.unwrap_err()),
            ],
            [
                "GET /v1/kv/a%20b",
                "GET /v1/kv/a?consistent&index=5&wait=60s",
                "GET /v1/kv/a",
                "GET /v1/kv/p/?recurse",
                "PUT /v1/kv/k v",
                "PUT /v1/kv/k?cas=0 v",
                "PUT /v1/kv/k?acquire=s v",
                "PUT /v1/kv/k?release=s",
                "DELETE /v1/kv/k",
                "PUT /v1/session/renew/s",
                "PUT /v1/session/destroy/s",
                "GET /v1/agent/self",
                "PUT /v1/agent/check/pass/c?note=ok",
                "PUT /v1/agent/check/update/c {\"Status\":\"critical\",\"Output\":\"no\"}",
                "GET /v1/catalog/node/n%201",
                "GET /v1/health/service/db?passing=1&tag=x%20y",
                "GET /v1/health/service/db?index=3&wait=60s",
            ]
        );
    });
}

#[test]
fn a_no_is_an_answer_and_not_an_error() {
    fly(|host| async move {
        host.serve(|method, path, _| async move {
            match (method.as_str(), path.as_str()) {
                ("GET", "/v1/kv/none") => answer(404, ""),
                ("PUT", "/v1/session/renew/gone") => answer(404, "Session id 'gone' not found"),
                ("PUT", "/v1/kv/held?acquire=s") => answer(200, "false\n"),
                ("GET", "/v1/session/info/gone") => answer(200, "[]"),
                ("PUT", "/v1/agent/service/deregister/gone") => answer(404, "Unknown service"),
                ("PUT", "/v1/txn") => {
                    answer(409, r#"{"Results":null,"Errors":[{"OpIndex":0,"What":"stale"}]}"#)
                }
                _ => answer(500, &format!("unexpected {method} {path}")),
            }
        });
        let consul = Consul::new(host, address());
        let none = consul.kv().get_blocking("none", 0, Duration::from_secs(1)).await.unwrap();
        assert_eq!((none.index, none.value), (7, None));
        assert!(!consul.session().renew("gone").await.unwrap());
        assert!(!consul.kv().acquire("held", "s", "").await.unwrap());
        assert_eq!(consul.session().info("gone").await.unwrap(), None);
        consul.agent().deregister_service("gone").await.unwrap();
        let conflict = consul.txn(&[TxnOp::Get { key: "k".into() }]).await.unwrap().unwrap_err();
        assert_eq!(conflict.errors[0].what, "stale");
    });
}

#[test]
fn one_connection_serves_one_request_after_another_and_is_opened_again_when_closed() {
    fly(|host| async move {
        host.serve(|_, path, _| async move {
            let headers = match path.as_str() {
                "/close" => vec![("connection", "close".to_owned())],
                _ => Vec::new(),
            };
            (200, headers, Vec::new())
        });
        let client = http::Client::new(host.clone());
        for (path, connections) in [("/a", 1), ("/b", 1), ("/close", 1), ("/c", 2), ("/d", 2)] {
            let response = client.request(address(), Method::PUT, path, "x", REQUEST_TIMEOUT).await.unwrap();
            assert_eq!((response.status, host.connections()), (200, connections), "{path}");
        }
    });
}

#[test]
fn a_request_ends_at_its_deadline_and_its_connection_with_it() {
    fly(|host| async move {
        let slow = Rc::new(Cell::new(true));
        let server_slow = Rc::clone(&slow);
        host.serve(move |_, _, _| {
            let slow = server_slow.get();
            async move {
                if slow {
                    tokio::time::sleep(Duration::from_secs(3600)).await;
                }
                answer(200, "true")
            }
        });
        let consul = Consul::new(host.clone(), address());
        let error = consul.kv().put("k", "v").await.unwrap_err();
        assert_eq!(error.to_string(), "PUT /v1/kv/k: no answer within 10s");
        assert!(error.outcome_unknown());
        assert_eq!(host.now().as_secs(), 10);
        slow.set(false);
        assert!(consul.kv().put("k", "v").await.unwrap());
        assert_eq!(host.connections(), 2, "the half-used connection must not be used again");

        // A blocking query gets its wait, Consul's sixteenth and the usual ten seconds.
        slow.set(true);
        let before = host.now();
        let wait = Duration::from_secs(160);
        consul.kv().get_blocking("k", 1, wait).await.unwrap_err();
        assert_eq!((host.now() - before).as_secs(), 180);
    });
}

#[test]
fn nobody_there_and_too_much_said_are_told_apart() {
    fly(|host| async move {
        let consul = Consul::new(host.clone(), address());
        let error = consul.kv().get("k").await.unwrap_err();
        assert!(matches!(error.cause, Cause::Unreachable(_)), "{error}");
        assert!(!error.outcome_unknown());

        host.serve(|_, _, _| async { (200, Vec::new(), vec![b'x'; 2000]) });
        let small = http::Client::with_response_limit(host.clone(), 1999);
        let failure = small.request(address(), Method::GET, "/", "", REQUEST_TIMEOUT).await.unwrap_err();
        assert!(matches!(failure, http::Failure::Protocol(_)), "{failure}");
        let error = consul.kv().get("k").await.unwrap_err();
        assert!(matches!(error.cause, Cause::Protocol(_)), "{error}");
    });
}

#[test]
fn durations_are_written_as_go_reads_them() {
    for (duration, text) in [
        (Duration::ZERO, "0s"),
        (Duration::from_secs(90), "90s"),
        (Duration::from_millis(1500), "1500ms"),
        (Duration::from_micros(1), "1000ns"),
    ] {
        assert_eq!(go_duration(duration), text);
    }
}

#[test]
fn paths_keep_slashes_and_encode_the_rest() {
    let mut path = Path::new("/v1/kv/", "a b/ü?x#%");
    path.flag("raw");
    path.pair("cas", 7);
    path.text_pair("tag", "x/y&z=1");
    assert_eq!(path.text, "/v1/kv/a%20b/%C3%BC%3Fx%23%25?raw&cas=7&tag=x%2Fy%26z%3D1");
}

#[test]
fn an_index_that_went_back_starts_afresh_and_none_never_spins() {
    for (answered, previous, next) in [(5, 3, 5), (5, 5, 5), (2, 5, 0), (0, 0, 1), (0, 5, 0)] {
        let indexed = Indexed { index: answered, value: () };
        assert_eq!(indexed.next_index(previous), next, "{answered} after {previous}");
    }
}

#[test]
fn a_machine_that_loses_power_takes_its_connections_with_it() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let local = tokio::task::LocalSet::new();
    // One request done and its connection idle, one under way, and the client held outside.
    let client = local.block_on(&runtime, async {
        let host = MemoryHost::new();
        host.serve(|_, path, _| async move {
            if path == "/slow" {
                std::future::pending::<()>().await;
            }
            answer(200, "")
        });
        let client = http::Client::new(host.clone());
        let done = client.request(address(), Method::GET, "/", "", REQUEST_TIMEOUT).await.unwrap();
        assert!(done.is_success());
        let slow = client.clone();
        tokio::task::spawn_local(async move {
            slow.request(address(), Method::GET, "/slow", "", REQUEST_TIMEOUT).await
        });
        host.sleep(Duration::from_secs(1)).await;
        client
    });
    drop(local);
    drop(client);
}

#[test]
fn a_request_that_timed_out_sends_nothing_more() {
    use tokio::io::AsyncReadExt as _;
    fly(|host| async move {
        host.serve(|_, _, _| async { answer(200, "true") });
        host.deafen();
        let client = http::Client::new(host.clone());
        let large = vec![b'x'; 1 << 20];
        let failure =
            client.request(address(), Method::PUT, "/backup", large, REQUEST_TIMEOUT).await.unwrap_err();
        assert!(matches!(failure, http::Failure::TimedOut(_)), "{failure}");
        // Whoever listens again long after finds what was in flight, and then the end.
        let mut arrived = Vec::new();
        host.deafen()[0].read_to_end(&mut arrived).await.unwrap();
        assert!(arrived.len() <= 64 << 10, "{} bytes arrived", arrived.len());
    });
}
