//! Calls of one node to another on behalf of a job: whom is asked, and what becomes of a call whose answer
//! says that it failed, or that never comes.

use rand::Rng;

use super::{JobId, NO_LEADER, NO_SERVERS, Phase, Task};
use crate::consul::Consul;
use crate::consul::cluster::message::{Answer, Body, Call, Lost, response};
use crate::consul::timers::Due;

const STREAM_CLOSED: &str = "rpc error making call: stream closed";
const NOT_CONNECTED: &str =
    "rpc error getting client: failed to get conn: rpc error: lead thread didn't get connection";
/// What a failed call is reported with by whoever made it.
const CALL_FAILED: &str = "rpc error making call: ";

impl Consul {
    pub(super) fn ask_leader(&mut self, id: JobId) {
        // Whom gossip takes for dead cannot be asked, whatever raft says.
        let leader = self
            .cluster
            .as_ref()
            .and_then(|cluster| cluster.leader().filter(|leader| cluster.live_servers().contains(leader)));
        match leader {
            Some(leader) => self.call(id, leader),
            None => self.hold(id, NO_LEADER),
        }
    }

    pub(super) fn ask_server(&mut self, id: JobId) {
        let Some(cluster) = &mut self.cluster else { return };
        let live = cluster.live_servers();
        let next = live.range(cluster.preferred..).next().or(live.first()).copied();
        match next {
            Some(server) => {
                cluster.preferred = server;
                // An agent's patience counts from its first question, however long that took.
                if let Some(job) = cluster.jobs.get_mut(&id) {
                    job.since.get_or_insert(self.now);
                }
                self.call(id, server);
            }
            None => self.fail(id, NO_SERVERS),
        }
    }

    fn call(&mut self, id: JobId, node: usize) {
        let Some(cluster) = &mut self.cluster else { return };
        // A stream that was kept from earlier finds out upon use that its connection was closed.
        let closed = cluster.called.insert(node, false) == Some(true);
        if closed && self.stream.next_u64().is_multiple_of(2) {
            self.turn_from(node);
            return self.fail(id, STREAM_CLOSED);
        }
        let Some(cluster) = &mut self.cluster else { return };
        let Some(job) = cluster.jobs.get_mut(&id) else { return };
        let call = cluster.next_call;
        cluster.next_call += 1;
        job.phase = Phase::Call;
        let request = match &job.task {
            Task::Http(forwarded) => Call::Http(forwarded.clone()),
            Task::Other(call) => call.clone(),
        };
        cluster.calls.insert((node, call), id);
        cluster.send(node, Body::Call(call, request));
        self.watch(node);
    }

    /// Sees to it that a machine that never answers is given up.
    fn watch(&mut self, node: usize) {
        let Some(cluster) = &self.cluster else { return };
        if cluster.hangs.contains_key(&node) {
            return;
        }
        let (least, most) = cluster.config.pace.rpc_hang;
        let at = self.now + least + self.draw_below(most.saturating_sub(least));
        let key = self.timers.arm(at, Due::CallHangs(node));
        if let Some(cluster) = &mut self.cluster {
            cluster.hangs.insert(node, key);
        }
    }

    /// A machine has said nothing for too long.
    pub(in crate::consul) fn call_hangs(&mut self, node: usize) {
        if let Some(cluster) = &mut self.cluster {
            cluster.hangs.remove(&node);
            cluster.given_up.push(node);
        }
        self.hang_up(node, Lost::Closed);
        self.settle_cluster();
    }

    /// An answer to a call.
    pub(in crate::consul::cluster) fn answered(&mut self, node: usize, call: u64, answer: Answer) {
        let Some(cluster) = &mut self.cluster else { return };
        // A machine that speaks is there; blocking queries may keep it busy for as long as they like.
        let key = cluster.hangs.remove(&node);
        let owes = cluster.calls.range((node, 0)..=(node, u64::MAX)).any(|((_, other), _)| *other != call);
        let waiting = cluster.calls.remove(&(node, call));
        self.timers.cancel(key);
        if owes {
            self.watch(node);
        }
        let Some(id) = waiting else { return };
        let failed = match &answer {
            Answer::Failed(_) => true,
            Answer::Http { status, .. } => matches!(status, 403 | 500),
            _ => false,
        };
        if failed {
            self.turn_from(node);
        }
        match answer {
            Answer::Failed(why) => self.call_failed(id, format!("{CALL_FAILED}{why}"), why == NO_LEADER),
            Answer::Http { status, headers, body, stale } => {
                let text = String::from_utf8_lossy(&body);
                if failed && text.contains(NO_LEADER) {
                    return self.call_failed(id, format!("{CALL_FAILED}{text}"), true);
                }
                let body = if failed { format!("{CALL_FAILED}{text}").into() } else { body.clone() };
                match response(status, &headers, body, stale) {
                    Some(response) => self.answer(id, response),
                    None => self.fail(id, "unexpected EOF"),
                }
            }
            other => self.end(id, other),
        }
    }

    /// An agent asks another server than one that just failed it, whatever it was that failed.
    fn turn_from(&mut self, node: usize) {
        if let Some(cluster) = self.cluster.as_mut().filter(|cluster| cluster.preferred == node) {
            cluster.preferred = (node + 1) % cluster.config.servers;
        }
    }

    /// Every call to a node comes to nothing.
    pub(in crate::consul::cluster) fn hang_up(&mut self, node: usize, how: Lost) {
        let Some(cluster) = &mut self.cluster else { return };
        let calls: Vec<_> =
            cluster.calls.range((node, 0)..=(node, u64::MAX)).map(|(key, id)| (*key, *id)).collect();
        let own = &cluster.config.nodes[cluster.me];
        let theirs = &cluster.config.nodes[node];
        let text = match how {
            Lost::Closed => format!("{CALL_FAILED}EOF"),
            Lost::Refused | Lost::Silent => {
                let why = if how == Lost::Refused { "connect: connection refused" } else { "i/o timeout" };
                format!(
                    "rpc error getting client: failed to get conn: dial tcp {}:0->{}:{}: {why}",
                    own.address, theirs.address, theirs.server_port
                )
            }
        };
        if let Some(closed) = cluster.called.get_mut(&node).filter(|_| how == Lost::Closed) {
            *closed = true;
        }
        let key = cluster.hangs.remove(&node);
        for (call, _) in &calls {
            cluster.calls.remove(call);
        }
        self.timers.cancel(key);
        self.turn_from(node);
        // One of them tried to make the connection, the others waited for it to.
        let maker = usize::try_from(self.stream.next_u64()).unwrap_or(0) % calls.len().max(1);
        for (number, (_, id)) in calls.into_iter().enumerate() {
            if how != Lost::Closed {
                let text = if number == maker { text.as_str() } else { NOT_CONNECTED };
                self.call_failed(id, text.to_owned(), false);
            } else if self.stream.next_u64().is_multiple_of(2) {
                self.call_failed(id, text.clone(), self.is_read(id));
            } else {
                // What came upon a stream that was kept from earlier is not tried again, even a read.
                self.call_failed(id, STREAM_CLOSED.to_owned(), false);
            }
        }
    }

    fn is_read(&self, id: JobId) -> bool {
        let job = self.cluster.as_ref().and_then(|cluster| cluster.jobs.get(&id));
        job.is_some_and(|job| match &job.task {
            Task::Http(forwarded) => forwarded.is_read(),
            Task::Other(call) => call.is_read(),
        })
    }

    fn call_failed(&mut self, id: JobId, text: String, again: bool) {
        if again {
            self.hold(id, &text);
        } else {
            self.fail(id, &text);
        }
    }
}
