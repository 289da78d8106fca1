//! What led to what.
//!
//! A record has no causes in it, but most of what happens names what it is about: a session, a key, a
//! service, a write, a transaction. An event's causes are the last ones before it that it could not have
//! happened without. The rule a change must keep: a link is something that follows from the protocol or
//! the program, not from two events being near to each other.

use std::collections::BTreeMap;
use std::time::Duration;

use ironbird_agent::journal::Entry;
use ironbird_sim::record::{ConsulEvent, Event, MysqlEvent, Record, What, WriteOutcome, lock_holder};

/// The steps of a cause and of its effect, in the order of the effects.
pub(crate) fn causes(record: &Record) -> Vec<(u64, u64)> {
    let mut last = Last::default();
    let mut links = Vec::new();
    for event in &record.events {
        let mut found = last.causes(event);
        found.sort_unstable();
        found.dedup();
        links.extend(found.into_iter().map(|cause| (cause, event.step)));
        links.extend(last.answers(event).into_iter().map(|effect| (event.step, effect)));
        last.apply(event);
    }
    links
}

/// The last event of each sort, by what it is about.
#[derive(Default)]
struct Last<'a> {
    steps: BTreeMap<(Topic, &'a str, &'a str), u64>,
    /// What Consul changed since it last answered: what the request asked for.
    unanswered: Vec<(u64, &'a ConsulEvent, Duration)>,
    /// The first commit of every client's write.
    commits: BTreeMap<u64, u64>,
    /// Who took a lock last, by the name in its value.
    holders: BTreeMap<String, u64>,
    /// The names of services in the catalog, by id.
    names: BTreeMap<&'a str, &'a str>,
}

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Topic {
    /// A fault, by machine and words.
    Fault,
    /// Any fault that ends a container, by machine.
    Fatal,
    /// A container's start or end, by machine.
    Container,
    /// A session's creation or renewal.
    Alive,
    /// A session's end.
    Gone,
    /// A key's lock taken.
    Taken,
    /// A key's lock let go.
    Free,
    /// A service's entry in the catalog, or its checks'.
    Service,
    /// A hook's start, by machine and name.
    Hook,
    /// The main process, by machine.
    Main,
    /// A transaction's first commit.
    Transaction,
    /// The role, by machine.
    Role,
    /// Whatever a watch of a service tells, by machine and name.
    Watch,
}

impl<'a> Last<'a> {
    fn get(&self, topic: Topic, of: &'a str, and: &'a str) -> Option<u64> {
        self.steps.get(&(topic, of, and)).copied()
    }

    fn set(&mut self, topic: Topic, of: &'a str, and: &'a str, event: &Event) {
        self.steps.insert((topic, of, and), event.step);
    }

    fn causes(&self, event: &'a Event) -> Vec<u64> {
        let host = event.host.as_str();
        let found: [Option<u64>; 3] = match &event.what {
            What::FaultEnded { fault, .. } => [self.get(Topic::Fault, host, fault), None, None],
            What::Ended { .. } => {
                [self.get(Topic::Fatal, host, ""), self.get(Topic::Container, host, ""), None]
            }
            What::Launched { why } => {
                let before = why.strip_prefix("replacement of ").unwrap_or(host);
                [self.get(Topic::Container, before, ""), None, None]
            }
            What::Agent(entry) => match entry {
                Entry::HookStarted { hook } => {
                    let watched = hook.rsplit(' ').next().unwrap_or_default();
                    [self.get(Topic::Watch, host, watched), None, None]
                }
                Entry::HookFinished { hook, .. } => [self.get(Topic::Hook, host, hook), None, None],
                Entry::Changed { name, .. } => [self.get(Topic::Service, "", name), None, None],
                Entry::Role { to, .. } if to == "primary" => [self.holders.get(host).copied(), None, None],
                Entry::MainExited { .. } => [self.get(Topic::Main, host, ""), None, None],
                _ => [None; 3],
            },
            What::Consul(change) => self.of_consul(change),
            What::Mysql(change) => match change {
                MysqlEvent::Up { .. } => [self.get(Topic::Main, host, ""), None, None],
                MysqlEvent::Writable { .. } => [self.get(Topic::Role, host, ""), None, None],
                MysqlEvent::Committed { gtid, .. } | MysqlEvent::Received { gtid, .. } => {
                    [self.get(Topic::Transaction, gtid, ""), None, None]
                }
                _ => [None; 3],
            },
            What::Write { id, outcome: WriteOutcome::Acknowledged { .. } } => {
                [self.commits.get(id).copied(), None, None]
            }
            _ => [None; 3],
        };
        found.into_iter().flatten().collect()
    }

    fn of_consul(&self, change: &'a ConsulEvent) -> [Option<u64>; 3] {
        match change {
            ConsulEvent::SessionRenewed { session } => [self.get(Topic::Alive, session, ""), None, None],
            ConsulEvent::SessionInvalidated { session, .. } => {
                [self.get(Topic::Alive, session, ""), None, None]
            }
            ConsulEvent::LockAcquired { key, session, .. } => {
                [self.get(Topic::Alive, session, ""), self.get(Topic::Free, key, ""), None]
            }
            ConsulEvent::LockReleased { key, session, .. } => {
                [self.get(Topic::Gone, session, ""), self.get(Topic::Taken, key, ""), None]
            }
            ConsulEvent::LockRefused { key, why, .. } => match why.as_str() {
                "lock-delay" => [self.get(Topic::Free, key, ""), None, None],
                _ => [self.get(Topic::Taken, key, ""), None, None],
            },
            ConsulEvent::CheckStatus { service, .. } | ConsulEvent::CheckRemoved { service, .. } => {
                [self.get(Topic::Service, service, ""), None, None]
            }
            ConsulEvent::ServiceDeregistered { id } => [self.get(Topic::Service, id, ""), None, None],
            _ => [None; 3],
        }
    }

    /// What the answer to a request had changed just before.
    fn answers(&self, event: &Event) -> Vec<u64> {
        let What::Http { method, path, .. } = &event.what else { return Vec::new() };
        if method == "GET" {
            return Vec::new();
        }
        let same_time = self.unanswered.iter().filter(|(_, _, at)| *at == event.at);
        same_time.filter(|(_, change, _)| asks_for(path, change)).map(|(step, _, _)| *step).collect()
    }

    fn apply(&mut self, event: &'a Event) {
        let host = event.host.as_str();
        match &event.what {
            What::FaultBegan { fault, .. } => {
                self.set(Topic::Fault, host, fault, event);
                self.set(Topic::Fatal, host, "", event);
            }
            What::Launched { .. } | What::Ended { .. } => self.set(Topic::Container, host, "", event),
            What::Agent(entry) => match entry {
                Entry::HookStarted { hook } => self.set(Topic::Hook, host, hook, event),
                Entry::Changed { name, .. } => self.set(Topic::Watch, host, name, event),
                Entry::MainStarted { .. } => self.set(Topic::Main, host, "", event),
                Entry::Role { .. } => self.set(Topic::Role, host, "", event),
                _ => {}
            },
            What::Http { .. } => self.unanswered.clear(),
            What::Consul(change) => {
                self.unanswered.push((event.step, change, event.at));
                match change {
                    ConsulEvent::SessionCreated { session, .. } | ConsulEvent::SessionRenewed { session } => {
                        self.set(Topic::Alive, session, "", event);
                    }
                    ConsulEvent::SessionInvalidated { session, .. } => {
                        self.set(Topic::Gone, session, "", event)
                    }
                    ConsulEvent::LockAcquired { key, value, .. } => {
                        self.set(Topic::Taken, key, "", event);
                        self.holders.insert(lock_holder(value).unwrap_or_default(), event.step);
                    }
                    ConsulEvent::LockReleased { key, .. } => self.set(Topic::Free, key, "", event),
                    ConsulEvent::ServiceRegistered { id, name, .. } => {
                        self.names.insert(id, name);
                        self.set(Topic::Service, id, "", event);
                        self.set(Topic::Service, "", name, event);
                    }
                    ConsulEvent::ServiceDeregistered { id }
                    | ConsulEvent::CheckStatus { service: id, .. }
                    | ConsulEvent::CheckRemoved { service: id, .. } => {
                        self.set(Topic::Service, id, "", event);
                        if let Some(name) = self.names.get(id.as_str()).copied() {
                            self.set(Topic::Service, "", name, event);
                        }
                    }
                    _ => {}
                }
            }
            What::Mysql(MysqlEvent::Committed { gtid, write }) => {
                self.steps.entry((Topic::Transaction, gtid, "")).or_insert(event.step);
                self.commits.entry(*write).or_insert(event.step);
            }
            _ => {}
        }
    }
}

/// Whether a request with this path can have made `change`.
fn asks_for(path: &str, change: &ConsulEvent) -> bool {
    match change {
        ConsulEvent::SessionCreated { .. } => path.starts_with("/v1/session/create"),
        ConsulEvent::SessionRenewed { session } | ConsulEvent::SessionInvalidated { session, .. } => {
            path.contains(session.as_str())
        }
        ConsulEvent::LockAcquired { session, .. } | ConsulEvent::LockRefused { session, .. } => {
            path.starts_with("/v1/txn") || path.contains(session.as_str())
        }
        ConsulEvent::LockReleased { session, .. } => path.contains(session.as_str()),
        ConsulEvent::ServiceRegistered { .. } => path.contains("/register"),
        ConsulEvent::ServiceDeregistered { .. } | ConsulEvent::CheckRemoved { .. } => {
            path.contains("/deregister")
        }
        ConsulEvent::CheckStatus { check, .. } => {
            path.contains("/register") || path.contains("/check/") && path.contains(last_word(check))
        }
        _ => false,
    }
}

/// `mysql-primary-mysql-1` of `service:mysql-primary-mysql-1`, whose colon a path may have escaped.
fn last_word(check: &str) -> &str {
    check.rsplit(':').next().unwrap_or(check)
}
