//! The pilot against a Consul agent in memory that keeps services and checks and forgets on demand.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::*;
use crate::memory::{Answer, MemoryHost, Script, fly};

mod order;
mod service;
mod watch;

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
    /// How long it takes over every request.
    slow: Cell<Option<Duration>>,
    /// What was asked while it hung.
    unanswered: RefCell<Vec<String>>,
    /// The node as the catalog has it, with its services.
    node: RefCell<String>,
    /// Why transactions are refused.
    refusal: Cell<&'static str>,
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
            let (agent, clock) = (server.clone(), clock.clone());
            async move {
                if let Some(slow) = agent.0.slow.get() {
                    clock.sleep(slow).await;
                }
                agent.answer(clock.now().as_secs_f64(), &path, &body).await
            }
        });
        agent
    }

    async fn answer(&self, at: f64, path: &str, body: &[u8]) -> Answer {
        if self.0.hangs.get() {
            self.0.unanswered.borrow_mut().push(format!("{at:.1} {path}"));
            std::future::pending::<()>().await;
        }
        let json: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
        let mut checks = self.0.checks.borrow_mut();
        let (status, line) = if path == "/v1/agent/service/register" {
            let status = json["Check"]["Status"].as_str().unwrap_or("critical").to_owned();
            let line = format!("register {} at {}:{} {status}", text("ID"), text("Address"), json["Port"]);
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
        } else if path == "/v1/agent/self" {
            let itself = r#"{"Config":{"NodeName":"n","NodeID":"new"},"Member":{"Addr":"10.0.0.7"}}"#;
            return (200, Vec::new(), itself.into());
        } else if path == "/v1/catalog/node/n" {
            self.0.log.borrow_mut().push(format!("{at:.1} look"));
            return (200, Vec::new(), self.0.node.borrow().clone().into());
        } else if path == "/v1/txn" {
            let node = &json[1]["Node"];
            let line = format!("{} {}", node["Verb"], node["Node"]);
            self.0.log.borrow_mut().push(format!("{at:.1} {line}"));
            let refusal = self.0.refusal.get();
            return (if refusal.is_empty() { 200 } else { 409 }, Vec::new(), format!("{{{refusal}}}").into());
        } else {
            drop(checks);
            return self.health(path).await;
        };
        self.0.log.borrow_mut().push(format!("{at:.1} {line}"));
        (status, Vec::new(), b"{}".to_vec())
    }

    async fn health(&self, path: &str) -> Answer {
        let asked: u64 =
            path.split_once("index=").and_then(|(_, rest)| rest.split('&').next()?.parse().ok()).unwrap_or(0);
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
        checks.iter().map(|(id, status)| format!("{id} {status}")).collect()
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
