//! Records written by hand, for the tests of properties: one call an event, in the order of the run.

use std::time::Duration;

use ironbird_agent::journal::{Entry, Level};

use super::{Property, Violation, check};
use crate::plan::FaultPlan;
use crate::record::{ConsulEvent, Event, Header, MysqlEvent, Record, VERSION, What, WriteOutcome};

/// When the faults of every script are over, in milliseconds.
pub(crate) const QUIET_AT: u64 = 60_000;

/// How long the cluster may take then, in milliseconds.
pub(crate) const BOUND: u64 = 100_000;

/// How long it must be whole for its run to end before that, in milliseconds.
pub(crate) const STEADY: u64 = 60_000;

/// A record in the making. Times are milliseconds and stay until they are set anew.
#[derive(Debug, Default)]
pub(crate) struct Script {
    now: Duration,
    events: Vec<Event>,
}

/// The violations of `property` in `script`.
pub(crate) fn violated(script: &Script, property: Property) -> Vec<Violation> {
    let mut violations = check(&script.record());
    violations.retain(|violation| violation.property == property);
    violations
}

impl Script {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Three instances should run.
    pub(crate) fn record(&self) -> Record {
        Record {
            header: Header {
                version: VERSION,
                scenario: "script".to_owned(),
                seed: 0,
                plan: FaultPlan::default(),
                instances: 3,
                quiet_at: Duration::from_millis(QUIET_AT),
                bound: Duration::from_millis(BOUND),
                steady: Duration::from_millis(STEADY),
            },
            events: self.events.clone(),
        }
    }

    pub(crate) fn last_step(&self) -> u64 {
        self.events.last().expect("an event").step
    }

    pub(crate) fn at(&mut self, millis: u64) -> &mut Self {
        self.now = Duration::from_millis(millis);
        self
    }

    fn push(&mut self, host: &str, what: What) -> &mut Self {
        self.events.push(Event { step: self.events.len() as u64, at: self.now, host: host.to_owned(), what });
        self
    }

    pub(crate) fn consul(&mut self, event: ConsulEvent) -> &mut Self {
        self.push("consul", What::Consul(event))
    }

    fn mysql(&mut self, host: &str, event: MysqlEvent) -> &mut Self {
        self.push(host, What::Mysql(event))
    }

    pub(crate) fn finished(&mut self) -> &mut Self {
        self.push("world", What::Finished)
    }

    pub(crate) fn fault_began(&mut self, host: &str, fault: &str) -> &mut Self {
        let fault = fault.to_owned();
        self.push(host, What::FaultBegan { fault, number: 0 })
    }

    pub(crate) fn fault_ended(&mut self, host: &str, fault: &str) -> &mut Self {
        let fault = fault.to_owned();
        self.push(host, What::FaultEnded { fault, number: 0 })
    }

    /// A pause ended.
    pub(crate) fn resumed(&mut self, host: &str) -> &mut Self {
        self.fault_ended(host, "pause leader for 5s")
    }

    pub(crate) fn launched(&mut self, host: &str) -> &mut Self {
        let why = "start".to_owned();
        self.push(host, What::Launched { why })
    }

    /// A container on `host` takes the place of the one that was on `before`.
    pub(crate) fn replaced(&mut self, before: &str, host: &str) -> &mut Self {
        let why = format!("replacement of {before}");
        self.push(host, What::Launched { why })
    }

    /// A container starts again where it was.
    pub(crate) fn started_again(&mut self, host: &str) -> &mut Self {
        let why = "started again".to_owned();
        self.push(host, What::Launched { why })
    }

    pub(crate) fn ended(&mut self, host: &str) -> &mut Self {
        let how = "killed".to_owned();
        self.push(host, What::Ended { how })
    }

    /// The container ended by itself.
    pub(crate) fn exited(&mut self, host: &str) -> &mut Self {
        let how = "exit code 1".to_owned();
        self.push(host, What::Ended { how })
    }

    pub(crate) fn log(&mut self, host: &str, message: &str) -> &mut Self {
        self.push(host, What::Agent(Entry::log(Level::Info, "pilot", message)))
    }

    pub(crate) fn role(&mut self, host: &str, to: &str) -> &mut Self {
        let (from, to, why) = (String::new(), to.to_owned(), String::new());
        self.push(host, What::Agent(Entry::Role { from, to, term: 0, why }))
    }

    pub(crate) fn up(&mut self, host: &str, networking: bool) -> &mut Self {
        self.mysql(host, MysqlEvent::Up { networking })
    }

    pub(crate) fn down(&mut self, host: &str) -> &mut Self {
        self.mysql(host, MysqlEvent::Down)
    }

    pub(crate) fn writable(&mut self, host: &str, writable: bool) -> &mut Self {
        self.mysql(host, MysqlEvent::Writable { writable })
    }

    pub(crate) fn replication(
        &mut self,
        host: &str,
        source: &str,
        receiving: bool,
        applying: bool,
    ) -> &mut Self {
        self.mysql(
            host,
            MysqlEvent::Replication { source: source.to_owned(), receiving, applying, error: String::new() },
        )
    }

    pub(crate) fn replication_error(&mut self, host: &str, source: &str, error: &str) -> &mut Self {
        self.mysql(
            host,
            MysqlEvent::Replication {
                source: source.to_owned(),
                receiving: true,
                applying: false,
                error: error.to_owned(),
            },
        )
    }

    /// A server that comes up, takes writes and follows nobody.
    pub(crate) fn primary_server(&mut self, host: &str) -> &mut Self {
        self.up(host, true).replication(host, "", false, false).writable(host, true)
    }

    /// A container with one.
    pub(crate) fn primary(&mut self, host: &str) -> &mut Self {
        self.launched(host).primary_server(host)
    }

    /// A container with one that passes in the catalog.
    pub(crate) fn healthy_primary(&mut self, host: &str) -> &mut Self {
        let id = format!("mysql-primary-{host}");
        self.primary(host).registered(&id, "mysql-primary", host).check(&id, "passing")
    }

    /// A container with a replica that passes in the catalog.
    pub(crate) fn healthy_replica(&mut self, host: &str, source: &str) -> &mut Self {
        let id = format!("mysql-{host}");
        self.launched(host).up(host, true).writable(host, false);
        self.replication(host, source, true, true);
        self.registered(&id, "mysql", host).check(&id, "passing")
    }

    pub(crate) fn address(host: &str) -> String {
        format!("address of {host}")
    }

    pub(crate) fn registered(&mut self, id: &str, name: &str, host: &str) -> &mut Self {
        self.consul(ConsulEvent::ServiceRegistered {
            id: id.to_owned(),
            name: name.to_owned(),
            address: Self::address(host),
            node: "consul".to_owned(),
        })
    }

    pub(crate) fn deregistered(&mut self, id: &str) -> &mut Self {
        self.consul(ConsulEvent::ServiceDeregistered { id: id.to_owned() })
    }

    pub(crate) fn check(&mut self, service: &str, status: &str) -> &mut Self {
        self.check_of(service, service, status)
    }

    /// `service` is empty for a check of the node.
    pub(crate) fn check_of(&mut self, service: &str, check: &str, status: &str) -> &mut Self {
        self.consul(ConsulEvent::CheckStatus {
            check: check.to_owned(),
            service: service.to_owned(),
            status: status.to_owned(),
            node: "consul".to_owned(),
        })
    }

    /// `service` is empty for a check of the node.
    pub(crate) fn check_removed(&mut self, service: &str, check: &str) -> &mut Self {
        self.consul(ConsulEvent::CheckRemoved {
            check: check.to_owned(),
            service: service.to_owned(),
            node: "consul".to_owned(),
        })
    }

    /// Consul answered a request of `host` that took so long.
    pub(crate) fn answered(&mut self, host: &str, path: &str, took_millis: u64) -> &mut Self {
        let (method, path) = ("PUT".to_owned(), path.to_owned());
        self.push(host, What::Http { method, path, status: 200, took_us: 1_000 * took_millis, stale: false })
    }

    /// Consul answered a request of `host` from a catalog that was old.
    pub(crate) fn answered_of_old(&mut self, host: &str, path: &str) -> &mut Self {
        let (method, path) = ("GET".to_owned(), path.to_owned());
        self.push(host, What::Http { method, path, status: 200, took_us: 1_000, stale: true })
    }

    pub(crate) fn session_created(&mut self, session: &str, ttl_millis: u64) -> &mut Self {
        self.consul(ConsulEvent::SessionCreated {
            session: session.to_owned(),
            name: "mysql-primary".to_owned(),
            ttl_us: ttl_millis * 1_000,
            lock_delay_us: 15_000_000,
        })
    }

    pub(crate) fn session_renewed(&mut self, session: &str) -> &mut Self {
        self.consul(ConsulEvent::SessionRenewed { session: session.to_owned() })
    }

    pub(crate) fn session_gone(&mut self, session: &str, why: &str) -> &mut Self {
        self.consul(ConsulEvent::SessionInvalidated { session: session.to_owned(), why: why.to_owned() })
    }

    pub(crate) fn lock_acquired(&mut self, key: &str, session: &str, value: &str) -> &mut Self {
        self.consul(ConsulEvent::LockAcquired {
            key: key.to_owned(),
            session: session.to_owned(),
            value: value.to_owned(),
        })
    }

    pub(crate) fn lock_released(&mut self, key: &str, session: &str, until_millis: u64) -> &mut Self {
        self.consul(ConsulEvent::LockReleased {
            key: key.to_owned(),
            session: session.to_owned(),
            delay_until_us: until_millis * 1_000,
        })
    }

    pub(crate) fn lock_refused(&mut self, key: &str, session: &str, why: &str) -> &mut Self {
        self.consul(ConsulEvent::LockRefused {
            key: key.to_owned(),
            session: session.to_owned(),
            why: why.to_owned(),
        })
    }

    pub(crate) fn leader_deposed(&mut self, server: &str) -> &mut Self {
        self.consul(ConsulEvent::LeaderDeposed { server: server.to_owned() })
    }

    pub(crate) fn leader_established(&mut self, server: &str) -> &mut Self {
        self.consul(ConsulEvent::LeaderEstablished { server: server.to_owned() })
    }

    /// Consul answered `host` that it is well, after so long.
    pub(crate) fn http(&mut self, host: &str, path: &str, took_millis: u64) -> &mut Self {
        self.push(
            host,
            What::Http {
                method: "GET".to_owned(),
                path: path.to_owned(),
                status: 200,
                took_us: took_millis * 1_000,
                stale: false,
            },
        )
    }

    pub(crate) fn committed(&mut self, host: &str, write: u64) -> &mut Self {
        self.transaction(host, &format!("g:{write}"), write)
    }

    pub(crate) fn transaction(&mut self, host: &str, gtid: &str, write: u64) -> &mut Self {
        self.mysql(host, MysqlEvent::Committed { gtid: gtid.to_owned(), write })
    }

    pub(crate) fn received(&mut self, host: &str, write: u64) -> &mut Self {
        self.mysql(host, MysqlEvent::Received { gtid: format!("g:{write}"), write })
    }

    pub(crate) fn data_directory(&mut self, host: &str, how: &str, writes: &[u64]) -> &mut Self {
        self.mysql(host, MysqlEvent::DataDirectory { how: how.to_owned(), writes: writes.to_vec() })
    }

    fn write(&mut self, id: u64, outcome: WriteOutcome) -> &mut Self {
        self.push("client-1", What::Write { id, outcome })
    }

    pub(crate) fn acknowledged(&mut self, id: u64, by: &str) -> &mut Self {
        self.write(id, WriteOutcome::Acknowledged { by: by.to_owned() })
    }

    pub(crate) fn refused(&mut self, id: u64) -> &mut Self {
        let why = "read-only".to_owned();
        self.write(id, WriteOutcome::Refused { why })
    }

    pub(crate) fn unknown(&mut self, id: u64) -> &mut Self {
        let why = "connection reset".to_owned();
        self.write(id, WriteOutcome::Unknown { why })
    }
}
