//! Requests under way in a cluster: who asked, and what the answer waits for.
//!
//! A request is parsed where it arrives, and whatever is wrong with it as such is said there. What it
//! then needs decides where it goes: an agent answers for itself, any server answers what may be stale,
//! and everything else is the leader's. A node that cannot answer sends the request on whole, and the
//! next one parses it again. Every hop that has to report a failure puts its own words in front of it.
//!
//! The rule a change must keep: whatever a job waits for has an end, and a job that ends is removed.

mod calls;

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};

use crate::consul::api::{self, Failure, Form, Outcome};
use crate::consul::blocking::Blocked;
use crate::consul::cluster::message::{Answer, Body, Call, Forwarded, Message, Outgoing, Track, Way};
use crate::consul::cluster::{Cluster, sync};
use crate::consul::leader::{Finish, Proposal};
use crate::consul::raft::VerifyToken;
use crate::consul::state::Applied;
use crate::consul::timers::{Due, Key};
use crate::consul::{Consul, Reply};

/// Names a request that is answered later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// Names a job.
pub(in crate::consul) type JobId = u64;

/// Of the time a request waits for a leader, what passes at most between two looks.
const LOOKS: u32 = 16;
/// What an agent answers by itself, one thing at a time.
const AGENT: [&str; 2] = ["/v1/agent/", "/v1/event/"];
const NO_LEADER: &str = "No cluster leader";
const NO_SERVERS: &str = "No known Consul servers";
const NOT_READY: &str = "Not ready to serve consistent reads";

/// Who is to be told.
#[derive(Debug)]
enum Asker {
    /// A client of this node.
    Client(Ticket),
    /// Another node.
    Node { node: usize, call: u64 },
    /// This node's own agent, which brings the catalog up to date.
    Agent(sync::Step),
}

/// What is to be done.
#[derive(Debug)]
enum Task {
    Http(Forwarded),
    Other(Call),
}

/// What it waits for.
#[derive(Debug)]
enum Phase {
    /// Nothing but its timer: it is looked at again.
    Look,
    /// Something to change.
    Changes(Box<Blocked>),
    /// Its entry in the log.
    Commit(Finish, Form),
    /// A proof of leadership.
    Proof,
    /// An answer of another node.
    Call,
}

#[derive(Debug)]
pub(super) struct Job {
    asker: Asker,
    task: Task,
    /// When it was first found that there was nobody to ask.
    since: Option<Duration>,
    phase: Phase,
    timer: Option<Key>,
    /// It leads, and a quorum said so.
    proven: bool,
}

impl Cluster {
    fn open(&mut self, asker: Asker, task: Task) -> JobId {
        let id = self.next_job;
        self.next_job += 1;
        let job = Job { asker, task, since: None, phase: Phase::Look, timer: None, proven: false };
        self.jobs.insert(id, job);
        id
    }

    pub(super) fn jobs_deadline(&self) -> Option<Duration> {
        let blocked = self.jobs.values().filter_map(|job| match &job.phase {
            Phase::Changes(blocked) => Some(blocked.deadline()),
            _ => None,
        });
        blocked.min()
    }

    fn send(&mut self, to: usize, body: Body) {
        let way = match body {
            Body::Answer(..) => Way::Back,
            _ => Way::Over(Track::Calls),
        };
        self.outgoing.push(Outgoing { to, message: Message(body), way });
    }
}

impl Consul {
    /// Takes a client's request.
    pub(in crate::consul) fn cluster_request(&mut self, reader: IpAddr, request: &Request<Bytes>) -> Reply {
        let agent = self.config.node.clone();
        let Some(cluster) = &mut self.cluster else {
            return Reply::Now(Failure::internal(NO_SERVERS).into_response());
        };
        let ticket = Ticket(cluster.next_job);
        let task = Task::Http(Forwarded::new(&agent, reader, request));
        let job = cluster.open(Asker::Client(ticket), task);
        self.attempt(job);
        self.settle_cluster();
        // What could be answered at once is.
        let Some(cluster) = &mut self.cluster else { return Reply::Pending(ticket) };
        match cluster.answers.iter().position(|(other, _)| *other == ticket) {
            Some(place) => Reply::Now(cluster.answers.remove(place).1),
            None => Reply::Pending(ticket),
        }
    }

    /// Takes a client's request, but looks at it only when told to: [`Self::look_at`].
    pub(in crate::consul) fn keep(&mut self, reader: IpAddr, request: &Request<Bytes>) -> Option<Ticket> {
        let agent = self.config.node.clone();
        let cluster = self.cluster.as_mut()?;
        let ticket = Ticket(cluster.next_job);
        cluster.open(Asker::Client(ticket), Task::Http(Forwarded::new(&agent, reader, request)));
        Some(ticket)
    }

    /// Looks at a request that was kept, by the time this node last knew.
    pub(in crate::consul) fn look_at(&mut self, ticket: Ticket) {
        self.attempt(ticket.0);
        self.settle_cluster();
    }

    /// Nobody waits for this answer any more.
    pub fn forget(&mut self, ticket: Ticket) {
        if let Some(cluster) = &mut self.cluster {
            self.timers.cancel(cluster.jobs.remove(&ticket.0).and_then(|job| job.timer));
        }
    }

    /// The connection over which node `peer` asked has gone: nobody waits for what it asked for. What has been
    /// proposed stays proposed.
    pub fn caller_gone(&mut self, peer: usize) {
        let Some(cluster) = &mut self.cluster else { return };
        let gone = |job: &mut Job| matches!(job.asker, Asker::Node { node, .. } if node == peer);
        let timers: Vec<_> =
            cluster.jobs.extract_if(.., |_, job| gone(job)).map(|(_, job)| job.timer).collect();
        for timer in timers {
            self.timers.cancel(timer);
        }
    }

    /// How many requests wait to be answered.
    pub fn waiting(&self) -> usize {
        self.cluster.as_ref().map_or(0, |cluster| cluster.jobs.len())
    }

    /// Another node asks for something.
    pub(super) fn called(&mut self, node: usize, call: u64, request: Call) {
        let Some(cluster) = &mut self.cluster else { return };
        let task = match request {
            Call::Http(forwarded) => Task::Http(forwarded),
            other => Task::Other(other),
        };
        let job = cluster.open(Asker::Node { node, call }, task);
        self.attempt(job);
    }

    /// This node's agent has something to bring to the catalog, or to learn from it.
    pub(super) fn call_for_agent(&mut self, step: sync::Step, call: Call) {
        let Some(cluster) = &mut self.cluster else { return };
        let job = cluster.open(Asker::Agent(step), Task::Other(call));
        self.attempt(job);
    }

    /// Looks whether a job can be done, here or elsewhere.
    pub(super) fn attempt(&mut self, id: JobId) {
        let Some(job) = self.cluster.as_mut().and_then(|cluster| cluster.jobs.get_mut(&id)) else {
            return;
        };
        self.timers.cancel(job.timer.take());
        match &job.task {
            Task::Http(forwarded) => {
                let forwarded = forwarded.clone();
                self.attempt_http(id, &forwarded);
            }
            Task::Other(call) => {
                let call = call.clone();
                self.attempt_call(id, call);
            }
        }
    }

    fn attempt_http(&mut self, id: JobId, forwarded: &Forwarded) {
        let Some(request) = forwarded.request() else {
            return self.answer(id, api::bad_request());
        };
        let of_agent = AGENT.iter().any(|path| request.uri().path().starts_with(path));
        if let Some(cluster) = self.cluster.as_mut().filter(|cluster| of_agent && cluster.sync.is_busy()) {
            return cluster.sync.queue(id);
        }
        let (outcome, form) = match api::parse(self, &forwarded.agent, &request) {
            Ok(parsed) => parsed,
            Err(response) => return self.answer(id, *response),
        };
        if of_agent && self.agent.left {
            let now = self.now;
            if let Some(cluster) = &mut self.cluster {
                cluster.gossip.leave(now);
            }
        }
        if let Outcome::Answer(response) = outcome {
            if !of_agent && self.cluster.as_ref().is_some_and(|cluster| !cluster.is_server()) {
                return self.ask_server(id);
            }
            return match self.cluster.as_mut().filter(|cluster| of_agent && cluster.sync.is_busy()) {
                Some(cluster) => cluster.sync.hold(id, response),
                None => self.answer(id, response),
            };
        }
        if outcome.is_local() {
            return self.read(id, forwarded.reader, outcome, form);
        }
        let Some(cluster) = &mut self.cluster else { return };
        if !cluster.is_server() {
            return self.ask_server(id);
        }
        let stale = form.consistency == "stale" && matches!(outcome, Outcome::Read(_));
        if stale && (cluster.leader().is_some() || self.state.index > 0) {
            return self.read(id, forwarded.reader, outcome, form);
        }
        if !cluster.leads() {
            return self.ask_leader(id);
        }
        match outcome {
            Outcome::Write(proposal, finish) => self.commit(id, proposal, finish, form),
            Outcome::Renew(session) => {
                let response = api::renewed(self, &session, &form);
                self.answer(id, response.unwrap_or_else(Failure::into_response));
            }
            Outcome::Read(_) if form.consistency == "consistent" && !self.proven(id) => self.prove(id),
            other => self.read(id, forwarded.reader, other, form),
        }
    }

    fn attempt_call(&mut self, id: JobId, call: Call) {
        let Some(cluster) = &mut self.cluster else { return };
        if !cluster.is_server() {
            return self.ask_server(id);
        }
        match call {
            Call::View(node) => {
                let catalog = self.state.catalogs.current();
                let services = catalog.services_on(&node).map(|service| (**service).clone()).collect();
                let checks = catalog.checks().filter(|check| check.node.eq_ignore_ascii_case(&node));
                let checks = checks.map(|check| (**check).clone()).collect();
                let node = catalog.node(&node).map(|node| (**node).clone());
                self.end(id, Answer::View { node, services, checks });
            }
            _ if !cluster.leads() => self.ask_leader(id),
            Call::Write(command) => {
                let written: Finish = |applied, _| match applied {
                    Applied::Failed(why) | Applied::Denied(why) => Err(Failure::internal(why)),
                    _ => Ok(Response::default()),
                };
                self.commit(id, Proposal::Command(*command), written, Form::default());
            }
            Call::Http(forwarded) => self.attempt_http(id, &forwarded),
        }
    }

    /// Answers from what this node holds, at once or when it has changed.
    fn read(&mut self, id: JobId, reader: IpAddr, outcome: Outcome, form: Form) {
        let Outcome::Read(read) = outcome else { return };
        match api::respond(self, reader, read, form) {
            Reply::Now(response) => self.answer(id, response),
            Reply::Blocked(blocked) => self.wait(id, Phase::Changes(Box::new(blocked))),
            Reply::Pending(_) => {}
        }
    }

    fn wait(&mut self, id: JobId, phase: Phase) {
        if let Some(job) = self.cluster.as_mut().and_then(|cluster| cluster.jobs.get_mut(&id)) {
            job.phase = phase;
        }
    }

    fn commit(&mut self, id: JobId, proposal: Proposal, finish: Finish, form: Form) {
        let now = self.now;
        let command = match self.settle(proposal, &form.may) {
            Ok(command) => command,
            Err(refused) => {
                let response = finish(refused, &form).unwrap_or_else(Failure::into_response);
                return self.answer(id, response);
            }
        };
        let Some(cluster) = &mut self.cluster else { return };
        match cluster.raft.as_mut().map(|raft| raft.propose(now, command)) {
            Some(Ok(index)) => {
                cluster.commits.insert(index, id);
                self.wait(id, Phase::Commit(finish, form));
            }
            Some(Err(_)) | None => self.fail(id, "node is not the leader"),
        }
    }

    pub(super) fn finish_write(&mut self, id: JobId, applied: Applied) {
        let Some(job) = self.cluster.as_mut().and_then(|cluster| cluster.jobs.get_mut(&id)) else {
            return;
        };
        if let Phase::Commit(finish, form) = std::mem::replace(&mut job.phase, Phase::Look) {
            let response = finish(applied, &form).unwrap_or_else(Failure::into_response);
            self.answer(id, response);
        }
    }

    fn proven(&self, id: JobId) -> bool {
        self.cluster.as_ref().and_then(|cluster| cluster.jobs.get(&id)).is_some_and(|job| job.proven)
    }

    fn prove(&mut self, id: JobId) {
        let now = self.now;
        let Some(cluster) = &mut self.cluster else { return };
        if !cluster.established {
            return self.hold(id, NOT_READY);
        }
        match cluster.raft.as_mut().map(|raft| raft.verify(now)) {
            Some(Ok(token)) => {
                cluster.verifies.insert(token, id);
                self.wait(id, Phase::Proof);
            }
            Some(Err(_)) | None => self.fail(id, "node is not the leader"),
        }
    }

    /// A quorum has spoken.
    pub(super) fn verified(&mut self, token: VerifyToken, leads: bool) {
        let Some(cluster) = &mut self.cluster else { return };
        let Some(id) = cluster.verifies.remove(&token) else { return };
        if !leads {
            return self.fail(id, "leadership lost while committing log");
        }
        if let Some(job) = cluster.jobs.get_mut(&id) {
            job.proven = true;
            self.attempt(id);
        }
    }

    /// Looks again in a while, or fails with `why` when there was enough of that.
    fn hold(&mut self, id: JobId, why: &str) {
        let (now, Some(cluster)) = (self.now, &mut self.cluster) else { return };
        let limit = cluster.config.pace.rpc_hold;
        let Some(job) = cluster.jobs.get_mut(&id) else { return };
        let since = *job.since.get_or_insert(now);
        job.phase = Phase::Look;
        if now.saturating_sub(since) >= limit {
            return self.fail(id, why);
        }
        let at = now + self.draw_below(limit / LOOKS);
        let key = self.timers.arm(at, Due::Look(id));
        if let Some(job) = self.cluster.as_mut().and_then(|cluster| cluster.jobs.get_mut(&id)) {
            job.timer = Some(key);
        }
    }

    /// It is time to look again.
    pub(in crate::consul) fn look_again(&mut self, id: JobId) {
        self.attempt(id);
        self.settle_cluster();
    }

    /// The job comes to nothing.
    pub(super) fn fail(&mut self, id: JobId, why: &str) {
        let is_http = self
            .cluster
            .as_ref()
            .and_then(|cluster| cluster.jobs.get(&id))
            .is_some_and(|job| matches!(job.task, Task::Http(_)));
        match is_http {
            true => self.answer(id, Failure::internal(why).into_response()),
            false => self.end(id, Answer::Failed(why.to_owned())),
        }
    }

    /// Ends a job with what a client is to be told.
    pub(super) fn answer(&mut self, id: JobId, response: Response<Bytes>) {
        let Some(job) = self.cluster.as_mut().and_then(|cluster| cluster.jobs.get(&id)) else { return };
        if let Task::Other(_) = job.task {
            let answer = match response.status() {
                StatusCode::OK => Answer::Written,
                _ => Answer::Failed(String::from_utf8_lossy(response.body()).into_owned()),
            };
            return self.end(id, answer);
        }
        let Some(cluster) = &mut self.cluster else { return };
        let Some(job) = cluster.jobs.remove(&id) else { return };
        self.timers.cancel(job.timer);
        match job.asker {
            Asker::Client(ticket) => cluster.answers.push((ticket, response)),
            Asker::Node { node, call } => cluster.send(node, Body::Answer(call, Answer::of(&response))),
            Asker::Agent(_) => {}
        }
    }

    /// Ends a job that no client waits for.
    fn end(&mut self, id: JobId, answer: Answer) {
        let Some(cluster) = &mut self.cluster else { return };
        let Some(job) = cluster.jobs.remove(&id) else { return };
        self.timers.cancel(job.timer);
        match job.asker {
            Asker::Client(_) => {}
            Asker::Node { node, call } => cluster.send(node, Body::Answer(call, answer)),
            Asker::Agent(step) => self.sync_step(step, answer),
        }
    }

    /// Answers the blocking queries that are over. Says whether there were any.
    pub(super) fn jobs_settle(&mut self) -> bool {
        let revision = self.revision();
        let now = self.now;
        let Some(cluster) = &mut self.cluster else { return false };
        let moved = std::mem::replace(&mut cluster.settled, revision) != revision;
        let due: Vec<JobId> = cluster
            .jobs
            .iter()
            .filter(|(_, job)| match &job.phase {
                Phase::Changes(blocked) => moved || blocked.deadline() <= now,
                _ => false,
            })
            .map(|(id, _)| *id)
            .collect();
        let mut any = false;
        for id in due {
            let job = self.cluster.as_mut().and_then(|cluster| cluster.jobs.get_mut(&id));
            let Some(Phase::Changes(mut blocked)) =
                job.map(|job| std::mem::replace(&mut job.phase, Phase::Look))
            else {
                continue;
            };
            match blocked.poll(self) {
                Some(response) => {
                    self.answer(id, response);
                    any = true;
                }
                None => self.wait(id, Phase::Changes(blocked)),
            }
        }
        any
    }
}
