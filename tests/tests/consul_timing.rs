//! TTLs, lock-delays and waits in real time: a real Consul and the fake on real TCP, side by side.
//!
//! Everything is carried out on both at once, and every figure must lie in a window that both share. A
//! window ends later by as much as this machine was late while it ran. It takes some 40 s, which is the
//! time a session of the shortest TTL lives that was renewed at the edge.
//!
//! Needs `consul` on the path; `IRONBIRD_REQUIRE_CONSUL` makes its absence a failure.

use std::time::Duration;
#[expect(clippy::disallowed_types, reason = "it measures real time")]
use std::time::Instant;

use ironbird_sim::consul::fake::FakeConsul;
use ironbird_tests::cluster::watchdog::Watchdog;
use ironbird_tests::consul::client::Client;
use ironbird_tests::consul::real::{Real, pause};
use ironbird_tests::consul::{Answer, Request};

/// What a busy machine may add to anything, in seconds, beside what it was measured to be late.
const SLACK: f64 = 1.0;
/// How often it is looked whether something has come to pass.
const LOOK: Duration = Duration::from_millis(50);
/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(45);

/// What was measured, and between what it must lie, in seconds.
struct Figure {
    what: &'static str,
    value: f64,
    least: f64,
    most: f64,
}

const fn figure(what: &'static str, value: f64, least: f64, most: f64) -> Figure {
    Figure { what, value, least, most }
}

type Experiment = fn(Client) -> Vec<Figure>;

const EXPERIMENTS: [Experiment; 6] = [expiry, renewal, lock_delay, wait, wake, ttl_check];

#[test]
fn a_real_server_and_the_fake_take_the_same_time() {
    let Some(real) = Real::start(&serde_json::Value::Null) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let fake = runtime.block_on(FakeConsul::builder().start()).expect("a fake");
    let address = fake.addr();
    let watchdog = Watchdog::start();
    let figures: Vec<(&str, Figure)> = std::thread::scope(|scope| {
        let both = |experiment: Experiment| {
            [("real", real.connect()), ("fake", Client::new(address))]
                .map(|(whose, client)| scope.spawn(move || (whose, experiment(client))))
        };
        let running: Vec<_> = EXPERIMENTS.into_iter().flat_map(both).collect();
        let ended = running.into_iter().map(|one| one.join().expect("an experiment that ends"));
        ended.flat_map(|(whose, figures)| figures.into_iter().map(move |figure| (whose, figure))).collect()
    });
    let late = watchdog.latest().as_secs_f64();
    let outside = figures
        .iter()
        .filter(|(_, figure)| !(figure.least..=figure.most + SLACK + late).contains(&figure.value));
    let outside: Vec<String> = outside
        .map(|(whose, figure)| {
            let Figure { what, value, least, most } = figure;
            format!("{whose}: {what}: {value:.3}, not {least:.3} to {most:.3} ({late:.3} late)")
        })
        .collect();
    assert!(outside.is_empty(), "{}", outside.join("\n"));
}

/// Seconds since.
#[expect(clippy::disallowed_types, reason = "it measures real time")]
struct Since(Instant);

impl Since {
    #[expect(clippy::disallowed_types, reason = "it measures real time")]
    fn now() -> Self {
        Self(Instant::now())
    }

    fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}

fn ask(client: &mut Client, method: &str, path: &str, body: &str) -> Answer {
    client.send(&Request::new(method, path, body))
}

/// Asks until the answer is as wanted; how long that took.
fn until(client: &mut Client, method: &str, path: &str, wanted: impl Fn(&Answer) -> bool) -> f64 {
    let since = Since::now();
    loop {
        let answer = ask(client, method, path, "");
        if wanted(&answer) {
            return since.seconds();
        }
        assert!(since.seconds() < LIMIT.as_secs_f64(), "{method} {path}: still {answer:?}");
        pause(LOOK);
    }
}

fn session(client: &mut Client, body: &str) -> String {
    let answer = ask(client, "PUT", "/v1/session/create", body);
    answer.body.split('"').nth(3).expect("a session").to_owned()
}

fn is_gone(answer: &Answer) -> bool {
    answer.body.trim_end() == "[]"
}

/// A session nobody renews lives for twice its TTL, and for its TTL at least.
fn expiry(mut client: Client) -> Vec<Figure> {
    let id = session(&mut client, "{\"TTL\":\"10s\",\"Checks\":[]}");
    let lived = until(&mut client, "GET", &format!("/v1/session/info/{id}"), is_gone);
    vec![figure("a session's life without a renewal", lived, 10.0, 20.0)]
}

/// One that is renewed between once and twice its TTL has all of its time again.
fn renewal(mut client: Client) -> Vec<Figure> {
    let id = session(&mut client, "{\"TTL\":\"10s\",\"Checks\":[]}");
    pause(Duration::from_secs(16));
    let renewed = ask(&mut client, "PUT", &format!("/v1/session/renew/{id}"), "");
    assert_eq!(renewed.status, 200, "renewed after 16 s: {renewed:?}");
    let lived = until(&mut client, "GET", &format!("/v1/session/info/{id}"), is_gone);
    vec![figure("a session's life after a renewal at the edge", lived, 10.0, 20.0)]
}

/// Nobody has the lock of one that was invalidated until its lock-delay is over.
fn lock_delay(mut client: Client) -> Vec<Figure> {
    let holder = session(&mut client, "{\"LockDelay\":\"2s\",\"Checks\":[]}");
    let heir = session(&mut client, "{\"Checks\":[]}");
    let held = ask(&mut client, "PUT", &format!("/v1/kv/lock?acquire={holder}"), "");
    assert_eq!(held.body.trim_end(), "true");
    ask(&mut client, "PUT", &format!("/v1/session/destroy/{holder}"), "");
    let path = format!("/v1/kv/lock?acquire={heir}");
    assert_eq!(ask(&mut client, "PUT", &path, "").body.trim_end(), "false", "within the lock-delay");
    let delay = until(&mut client, "PUT", &path, |answer| answer.body.trim_end() == "true");
    // A little of it was over before the first look.
    vec![figure("a lock-delay of 2 s", delay, 1.5, 2.0)]
}

/// A blocking query that nothing wakes waits for as long as it said, and up to a sixteenth longer.
fn wait(mut client: Client) -> Vec<Figure> {
    // No index is past this one.
    let path = "/v1/kv/nothing?index=1000000000&wait=1s";
    let waited = (0..8).map(|_| {
        let since = Since::now();
        client.start(&Request::get(path));
        client.receive(LIMIT).expect("an answer");
        figure("a wait of 1 s that nothing ends", since.seconds(), 0.999, 1.0 + 1.0 / 16.0)
    });
    waited.collect()
}

/// And one that a write wakes is answered then.
fn wake(mut client: Client) -> Vec<Figure> {
    ask(&mut client, "PUT", "/v1/kv/watched", "one");
    let index = ask(&mut client, "GET", "/v1/kv/watched", "").header("x-consul-index").map(str::to_owned);
    let index: u64 = index.and_then(|index| index.parse().ok()).expect("an index");
    let mut writer = client.beside();
    let since = Since::now();
    client.start(&Request::get(&format!("/v1/kv/watched?index={index}&wait=30s")));
    assert!(client.receive(Duration::from_millis(500)).is_none(), "nothing has changed");
    ask(&mut writer, "PUT", "/v1/kv/watched", "two");
    let answer = client.receive(LIMIT).expect("an answer");
    let new: u64 = answer.header("x-consul-index").and_then(|index| index.parse().ok()).expect("an index");
    assert!(new > index, "{new} after {index}");
    vec![figure("a watch that is woken after 0.5 s", since.seconds(), 0.5, 0.6)]
}

/// A TTL check that is not updated turns critical when its TTL is over.
fn ttl_check(mut client: Client) -> Vec<Figure> {
    let service = "{\"Name\":\"beats\",\"Check\":{\"TTL\":\"2s\",\"CheckID\":\"beat\"}}";
    ask(&mut client, "PUT", "/v1/agent/service/register", service);
    let passes = ask(&mut client, "PUT", "/v1/agent/check/pass/beat", "");
    assert_eq!(passes.status, 200, "{passes:?}");
    let turned = until(&mut client, "GET", "/v1/health/checks/beats", |answer| {
        answer.body.contains("\"Status\":\"critical\"") && answer.body.contains("TTL expired")
    });
    vec![figure("a TTL check of 2 s to critical", turned, 1.5, 2.0)]
}
