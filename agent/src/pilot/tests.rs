//! The pilot against a Consul agent in memory that keeps services and checks and forgets on demand.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::*;
use crate::consul::ServiceInstance;
use crate::memory::{Answer, MemoryHost, Script, fly};

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A Consul agent: what is registered, what is asked, and what a watched service looks like.
#[derive(Clone, Default)]
struct Agent(Rc<AgentState>);

#[derive(Default)]
struct AgentState {
    /// Check id to status.
    checks: RefCell<BTreeMap<String, String>>,
    log: RefCell<Vec<String>>,
    hangs: Cell<bool>,
    instances: RefCell<Vec<u8>>,
    index: Cell<u64>,
    changed: tokio::sync::Notify,
}

impl Agent {
    fn serve(host: &MemoryHost) -> Self {
        let agent = Self::default();
        agent.0.index.set(1);
        let server = agent.clone();
        let clock = host.clone();
        host.serve(move |_, path, body| {
            let (agent, at) = (server.clone(), clock.now().as_secs_f64());
            async move { agent.answer(at, &path, &body).await }
        });
        agent
    }

    async fn answer(&self, at: f64, path: &str, body: &[u8]) -> Answer {
        if self.0.hangs.get() {
            std::future::pending::<()>().await;
        }
        let json: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
        let mut checks = self.0.checks.borrow_mut();
        let (status, line) = if path == "/v1/agent/service/register" {
            let status = json["Check"]["Status"].as_str().unwrap_or("critical").to_owned();
            let line = format!(
                "register {} at {}:{} {status}",
                text("ID"),
                text("Address"),
                json["Port"]
            );
            checks.entry(format!("service:{}", text("ID"))).or_insert(status);
            (200, line)
        } else if let Some(id) = path.strip_prefix("/v1/agent/service/deregister/") {
            checks.remove(&format!("service:{id}"));
            (200, format!("deregister {id}"))
        } else if let Some(id) = path.strip_prefix("/v1/agent/check/update/") {
            let id = id.replace("%3A", ":");
            match checks.get_mut(&id) {
                Some(status) => {
                    *status = text("Status");
                    (200, format!("{} {id}", text("Status")))
                }
                None => (500, format!("unknown {id}")),
            }
        } else {
            drop(checks);
            return self.health(path).await;
        };
        self.0.log.borrow_mut().push(format!("{at:.1} {line}"));
        (status, Vec::new(), Vec::new())
    }

    async fn health(&self, path: &str) -> Answer {
        let asked: u64 = path
            .split_once("index=")
            .and_then(|(_, rest)| rest.split('&').next()?.parse().ok())
            .unwrap_or(0);
        while asked >= self.0.index.get() {
            self.0.changed.notified().await;
        }
        let instances: Vec<String> = self
            .0
            .instances
            .borrow()
            .iter()
            .map(|nth| {
                format!(
                    r#"{{"Node":{{"Node":"n","Address":"10.0.0.{nth}"}},"Service":{{"ID":"db-{nth}","Service":"db","Port":3306}},"Checks":[]}}"#
                )
            })
            .collect();
        let index = vec![("x-consul-index", self.0.index.get().to_string())];
        (200, index, format!("[{}]", instances.join(",")).into_bytes())
    }

    /// The watched service's instances are now these.
    fn set_instances(&self, instances: &[u8]) {
        self.0.instances.replace(instances.to_vec());
        self.0.index.set(self.0.index.get() + 1);
        self.0.changed.notify_waiters();
    }

    fn log(&self) -> Vec<String> {
        self.0.log.borrow().clone()
    }

    fn checks(&self) -> Vec<String> {
        let checks = self.0.checks.borrow();
        checks
            .iter()
            .map(|(id, status)| format!("{id} {status}"))
            .collect()
    }
}

const CONFIG: &str = r#"
[main]
command = ["main"]
stop-timeout = "5s"
[service]
name = "web"
port = 80
interval = "10s"
ttl = "25s"
[hooks]
pre-start = { command = ["pre-start"] }
health = { command = ["health"], timeout = "5s" }
pre-stop = { command = ["pre-stop"] }
post-stop = { command = ["post-stop"] }
"#;

/// A machine with programs for every hook, a Consul agent, and the configuration in `pilot.toml`.
fn machine(host: &MemoryHost, config: &str) -> Agent {
    for hook in ["pre-start", "health", "pre-stop", "post-stop", "follow"] {
        host.program(hook, Script::ends(s(1), 0));
    }
    host.program("main", Script::serves());
    host.file("pilot.toml", config);
    Agent::serve(host)
}

fn take_off(host: &MemoryHost, config: &str) -> JoinHandle<i32> {
    let config = Config::parse(config, std::path::Path::new("pilot.toml")).unwrap();
    let hooks = CommandHooks::new(host.clone(), &config);
    let pilot = Pilot::new(host.clone(), config, hooks).config_file("pilot.toml");
    tokio::task::spawn_local(pilot.run())
}

#[test]
fn hooks_run_in_order_around_the_main_process() {
    fly(|host| async move {
        let agent = machine(&host, CONFIG);
        let flight = take_off(&host, CONFIG);
        host.sleep(s(45)).await;
        assert_eq!(agent.checks(), ["service:web-h1 passing"]);
        host.send(Signal::Term);
        assert_eq!(flight.await.unwrap(), 0);
        assert_eq!(
            host.journal_lines(),
            [
                "0.0 preStart started",
                "1.0 preStart succeeded",
                "1.0 main process started: main",
                "12.0 web is healthy",
                "12.0 registered in Consul as web (web-h1)",
                "45.0 pilot info: SIGTERM: stopping",
                "45.0 deregistered web-h1 from Consul",
                "45.0 preStop started",
                "46.0 preStop succeeded",
                "46.1 main process ended: exit code 0",
                "46.1 postStop started",
                "47.1 postStop succeeded",
            ]
        );
        assert_eq!(
            agent.log(),
            [
                "12.0 register web-h1 at 10.0.0.1:80 passing",
                "12.0 passing service:web-h1",
                "22.0 passing service:web-h1",
                "32.0 passing service:web-h1",
                "42.0 passing service:web-h1",
                "45.0 deregister web-h1",
            ]
        );
        assert!(host.running().is_empty());
    });
}

#[test]
fn a_main_process_that_ends_takes_the_service_out_and_gives_its_code() {
    fly(|host| async move {
        let agent = machine(&host, CONFIG);
        host.program("main", Script::ends(s(20), 3));
        assert_eq!(take_off(&host, CONFIG).await.unwrap(), 3);
        assert_eq!(agent.log().last().unwrap(), "21.0 deregister web-h1");
        let journal = host.journal_lines();
        assert_eq!(journal.last().unwrap(), "22.0 postStop succeeded");
        assert!(
            !journal.iter().any(|line| line.contains("preStop")),
            "{journal:?}"
        );
    });
}

#[test]
fn a_failed_pre_start_is_the_end_and_main_never_starts() {
    for (script, code) in [(Some(Script::ends(s(1), 7)), 7), (None, NOT_STARTED)] {
        fly(|host| async move {
            machine(&host, CONFIG);
            let config = match script {
                Some(script) => {
                    host.program("pre-start", script);
                    CONFIG.to_owned()
                }
                None => CONFIG.replace("[\"pre-start\"]", "[\"nowhere\"]"),
            };
            assert_eq!(take_off(&host, &config).await.unwrap(), code);
            let journal = host.journal_lines();
            assert!(
                !journal.iter().any(|line| line.contains("main process")),
                "{journal:?}"
            );
        });
    }
}

#[test]
fn a_signal_stops_a_pre_start_that_hangs() {
    for (signal, code) in [(Signal::Term, TERMINATED), (Signal::Int, INTERRUPTED)] {
        fly(|host| async move {
            machine(&host, CONFIG);
            host.program("pre-start", Script::serves());
            let flight = take_off(&host, CONFIG);
            host.sleep(s(100)).await;
            host.send(signal);
            assert_eq!(flight.await.unwrap(), code);
            let journal = host.journal_lines();
            assert!(
                journal.contains(&"100.0 pre-start killed by drop".to_owned()),
                "{journal:?}"
            );
            assert!(
                !journal.iter().any(|line| line.contains("main process")),
                "{journal:?}"
            );
            assert!(host.running().is_empty());
        });
    }
}

#[test]
fn a_main_process_that_ignores_sigterm_is_killed_after_its_time() {
    fly(|host| async move {
        machine(&host, CONFIG);
        host.program(
            "main",
            Script {
                lasts: None,
                code: 0,
                on_term: None,
            },
        );
        let flight = take_off(&host, CONFIG);
        host.sleep(s(15)).await;
        host.send(Signal::Term);
        assert_eq!(flight.await.unwrap(), KILLED);
        // One second of preStop, five of grace, one of postStop.
        assert_eq!(host.now(), s(15 + 1 + 5 + 1));
    });
}

#[test]
fn hooks_that_hang_and_a_consul_that_hangs_hold_up_no_stop() {
    fly(|host| async move {
        let agent = machine(&host, CONFIG);
        let config = format!("{CONFIG}{}", watch("edge", "1h"));
        for hook in ["follow", "pre-stop", "post-stop"] {
            host.program(hook, Script::serves());
        }
        let flight = take_off(&host, &config);
        agent.set_instances(&[1]);
        host.sleep(s(30)).await;
        assert!(host.running().contains(&"follow".to_owned()));
        agent.0.hangs.set(true);
        host.send(Signal::Term);
        assert_eq!(flight.await.unwrap(), 0);
        // Twice three seconds for Consul, twice a minute for the hooks.
        assert_eq!(host.now().as_secs(), 30 + 3 + 60 + 60 + 3);
        let journal = host.journal_lines();
        let cancelled = "30.0 onChange db failed: cancelled: the pilot stops".to_owned();
        assert!(journal.contains(&cancelled), "{journal:#?}");
        assert!(host.running().is_empty());
    });
}

#[test]
fn a_failed_check_is_reported_at_once_or_left_to_the_ttl() {
    for (report, expected) in [
        (
            true,
            vec!["22.0 critical service:web-h1", "32.0 critical service:web-h1"],
        ),
        (false, vec![]),
    ] {
        fly(|host| async move {
            let config = CONFIG.replace("port = 80", &format!("port = 80\nreport-failure = {report}"));
            let agent = machine(&host, &config);
            let flight = take_off(&host, &config);
            host.sleep(s(15)).await;
            host.program("health", Script::ends(s(1), 1));
            host.sleep(s(20)).await;
            assert_eq!(agent.log()[2..], expected);
            host.program("health", Script::ends(s(1), 0));
            host.sleep(s(10)).await;
            assert_eq!(agent.checks(), ["service:web-h1 passing"]);
            let health: Vec<String> = host
                .journal_lines()
                .into_iter()
                .filter(|line| line.contains("health"))
                .collect();
            assert_eq!(
                health,
                [
                    "12.0 web is healthy",
                    "22.0 health failed: exit code 1",
                    "22.0 web is not healthy",
                    "32.0 health failed: exit code 1",
                    "42.0 web is healthy",
                ]
            );
            flight.abort();
        });
    }
}

#[test]
fn a_check_that_never_passed_registers_nothing_and_one_that_hangs_is_killed() {
    fly(|host| async move {
        let agent = machine(&host, CONFIG);
        host.program("health", Script::serves());
        let flight = take_off(&host, CONFIG);
        host.sleep(s(30)).await;
        assert!(agent.log().is_empty());
        let journal = host.journal_lines();
        assert!(
            journal.contains(&"16.0 health failed: killed after 5s".to_owned()),
            "{journal:?}"
        );
        assert_eq!(
            journal
                .iter()
                .filter(|line| line.contains("health killed by drop"))
                .count(),
            2
        );
        flight.abort();
    });
}

#[test]
fn a_consul_that_forgot_the_service_is_told_again() {
    fly(|host| async move {
        let agent = machine(&host, CONFIG);
        let flight = take_off(&host, CONFIG);
        host.sleep(s(15)).await;
        agent.0.checks.borrow_mut().clear();
        host.sleep(s(10)).await;
        assert_eq!(agent.checks(), ["service:web-h1 passing"]);
        assert_eq!(
            agent.log()[2..],
            [
                "22.0 unknown service:web-h1",
                "22.0 register web-h1 at 10.0.0.1:80 passing",
                "22.0 passing service:web-h1",
            ]
        );
        flight.abort();
    });
}

#[test]
fn a_check_left_critical_by_an_earlier_life_is_passed() {
    fly(|host| async move {
        let agent = machine(&host, CONFIG);
        agent
            .0
            .checks
            .borrow_mut()
            .insert("service:web-h1".into(), "critical".into());
        let flight = take_off(&host, CONFIG);
        host.sleep(s(15)).await;
        assert_eq!(agent.checks(), ["service:web-h1 passing"]);
        flight.abort();
    });
}

#[test]
fn sighup_with_a_new_name_moves_the_registration_and_leaves_main_alone() {
    fly(|host| async move {
        let agent = machine(&host, CONFIG);
        let flight = take_off(&host, CONFIG);
        host.sleep(s(15)).await;
        host.file("pilot.toml", &CONFIG.replace("\"web\"", "\"shop\""));
        host.send(Signal::Hup);
        host.sleep(s(5)).await;
        assert_eq!(
            agent.log()[2..],
            [
                "15.0 deregister web-h1",
                "16.0 register shop-h1 at 10.0.0.1:80 passing",
                "16.0 passing service:shop-h1",
            ]
        );
        assert_eq!(host.running(), ["main"]);

        host.file("pilot.toml", &CONFIG.replace("port", "prot"));
        host.send(Signal::Hup);
        host.sleep(s(10)).await;
        let journal = host.journal_lines();
        assert!(
            journal.iter().any(|line| line.contains("did you mean `port`?")),
            "{journal:?}"
        );
        assert_eq!(agent.checks(), ["service:shop-h1 passing"]);
        let started = journal
            .iter()
            .filter(|line| line.contains("main process started"));
        assert_eq!(started.count(), 1);
        flight.abort();
    });
}

fn watch(trigger: &str, timeout: &str) -> String {
    format!(
        r#"
[[watch]]
service = "db"
trigger = "{trigger}"
interval = "7s"
on-change = {{ command = ["follow"], timeout = "{timeout}" }}
"#
    )
}

fn changes(host: &MemoryHost) -> Vec<String> {
    host.journal_lines()
        .into_iter()
        .filter(|line| line.contains("db") && !line.contains("WATCH") || line.contains("INSTANCES"))
        .collect()
}

#[test]
fn an_edge_fires_once_a_change_and_never_again() {
    fly(|host| async move {
        let config = format!("{CONFIG}{}", watch("edge", "1m")).replace("[\"pre-start\"]", "[\"post-stop\"]");
        let agent = machine(&host, &config);
        host.program("follow", Script::ends(s(1), 1));
        let flight = take_off(&host, &config);
        agent.set_instances(&[2, 1]);
        host.sleep(s(40)).await;
        // Gone and back between two polls: nobody saw it.
        agent.set_instances(&[]);
        agent.set_instances(&[1, 2]);
        host.sleep(s(20)).await;
        agent.set_instances(&[]);
        host.sleep(s(7)).await;
        assert_eq!(
            changes(&host),
            [
                "8.0 db changed: db-1 10.0.0.1:3306, db-2 10.0.0.2:3306",
                "8.0 onChange db started",
                "8.0 follow got IRONBIRD_INSTANCES=10.0.0.1:3306,10.0.0.2:3306",
                "9.0 onChange db failed: exit code 1",
                "64.0 db changed: no passing instance",
                "64.0 onChange db started",
                "64.0 follow got IRONBIRD_INSTANCES=",
                "65.0 onChange db failed: exit code 1",
            ]
            .map(str::to_owned)
        );
        flight.abort();
    });
}

#[test]
fn a_level_is_handled_at_once_and_until_it_works() {
    fly(|host| async move {
        let config = format!("{CONFIG}{}", watch("level", "1m"));
        let agent = machine(&host, &config);
        agent.set_instances(&[1]);
        host.program("follow", Script::ends(s(1), 1));
        let flight = take_off(&host, &config);
        host.sleep(s(10)).await;
        let failures = |lines: &[String]| lines.iter().filter(|line| line.contains("failed")).count();
        assert!(failures(&changes(&host)) >= 3, "{:#?}", changes(&host));
        host.program("follow", Script::ends(s(1), 0));
        host.sleep(s(20)).await;
        let handled = changes(&host);
        assert_eq!(
            handled.last().unwrap().split_once(' ').unwrap().1,
            "onChange db succeeded"
        );
        host.sleep(s(20)).await;
        assert_eq!(changes(&host), handled, "what was handled is left alone");
        agent.set_instances(&[1]);
        host.sleep(s(1)).await;
        assert_eq!(changes(&host), handled, "an index that moved is no change");

        agent.set_instances(&[2]);
        host.sleep(s(2)).await;
        assert_eq!(
            changes(&host)[handled.len()..],
            [
                "51.0 db changed: db-2 10.0.0.2:3306",
                "51.0 onChange db started",
                "51.0 follow got IRONBIRD_INSTANCES=10.0.0.2:3306",
                "52.0 onChange db succeeded",
            ]
        );
        flight.abort();
    });
}

/// A role that takes another name ten seconds after its main process started, and none at forty.
struct Role {
    host: MemoryHost,
    advertisement: Advertisement,
}

impl Hooks<MemoryHost> for Role {
    async fn pre_start(&self) -> Result<(), HookError> {
        Ok(())
    }
    async fn health(&self) -> Result<(), HookError> {
        self.host.sleep(s(1)).await;
        Ok(())
    }
    async fn on_change(&self, _: &str, _: &[ServiceInstance]) -> Result<(), HookError> {
        Ok(())
    }
    async fn pre_stop(&self) -> Result<(), HookError> {
        Ok(())
    }
    async fn post_stop(&self) -> Result<(), HookError> {
        Ok(())
    }
    async fn run(&self) {
        self.host.sleep(s(15)).await;
        self.advertisement.advertise(Some("web-primary"));
        self.host.sleep(s(15)).await;
        self.advertisement.advertise(None);
    }
}

#[test]
fn a_role_changes_and_withdraws_what_is_advertised() {
    fly(|host| async move {
        let agent = machine(&host, CONFIG);
        let config = Config::parse(CONFIG, std::path::Path::new("pilot.toml")).unwrap();
        let advertisement = Advertisement::new(Some("web"));
        let role = Role {
            host: host.clone(),
            advertisement: advertisement.clone(),
        };
        let pilot = Pilot::new(host.clone(), config, role).with_advertisement(advertisement);
        let flight = tokio::task::spawn_local(pilot.run());
        host.sleep(s(60)).await;
        assert_eq!(
            agent.log(),
            [
                "11.0 register web-h1 at 10.0.0.1:80 passing",
                "11.0 passing service:web-h1",
                "15.0 deregister web-h1",
                "16.0 register web-primary-h1 at 10.0.0.1:80 passing",
                "16.0 passing service:web-primary-h1",
                "21.0 passing service:web-primary-h1",
                "30.0 deregister web-primary-h1",
            ]
        );
        host.send(Signal::Term);
        assert_eq!(flight.await.unwrap(), 0);
        assert_eq!(agent.log().len(), 7, "nothing is deregistered twice");
    });
}
