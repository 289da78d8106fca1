//! Clusters, seen from outside: requests, faults and time in, answers out.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};

use super::{Cluster, ClusterConfig, Pace, gossip, joining};
use crate::consul::api::Stale;
use crate::consul::mesh::Mesh;
use crate::consul::{ConsulConfig, Reply};
use crate::seed::Seed;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 1, 1));

/// A cluster and the time it is.
struct World {
    mesh: Mesh,
    now: Duration,
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

impl World {
    fn new(seed: u64, servers: usize, agents: usize, raft_multiplier: u32) -> Self {
        let pace = Pace { raft_multiplier, ..Pace::default() };
        Self::with(seed, servers, agents, pace, |config| config)
    }

    fn with(
        seed: u64,
        servers: usize,
        agents: usize,
        pace: Pace,
        configured: impl Fn(ConsulConfig) -> ConsulConfig,
    ) -> Self {
        let nodes = (0..servers + agents)
            .map(|number| {
                let name = match number < servers {
                    true => format!("server-{}", number + 1),
                    false => format!("agent-{}", number + 1 - servers),
                };
                let last = u8::try_from(number + 1).expect("a small cluster");
                configured(ConsulConfig::new(name, IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))))
            })
            .collect();
        let config = ClusterConfig { nodes, servers, pace };
        Self { mesh: Mesh::new(config, Seed(seed).stream("mesh", "")), now: Duration::ZERO }
    }

    /// A cluster that has been up for a while.
    fn settled(seed: u64, servers: usize, agents: usize, raft_multiplier: u32) -> Self {
        let mut world = Self::new(seed, servers, agents, raft_multiplier);
        world.pass(60.0);
        world.mesh.leader().expect("a leader after a minute");
        world
    }

    fn pass(&mut self, for_seconds: f64) {
        self.now += seconds(for_seconds);
        self.mesh.advance(self.now);
    }

    fn leader(&self) -> usize {
        self.mesh.leader().expect("a leader")
    }

    fn follower(&self) -> usize {
        (0..3).find(|node| Some(*node) != self.mesh.leader()).expect("a follower")
    }

    fn send(&mut self, node: usize, line: &str) -> Reply {
        let (request, body) = line.split_once(" | ").unwrap_or((line, ""));
        let (method, path) = request.split_once(' ').expect("a method and a path");
        let request = Request::builder().method(method).uri(path);
        let request = request.body(Bytes::copy_from_slice(body.as_bytes())).expect("a request");
        self.mesh.request(self.now, node, CLIENT, &request).expect("a node that runs")
    }

    /// The answer, and how long it took in seconds.
    fn answer(&mut self, node: usize, line: &str) -> (Response<Bytes>, f64) {
        let began = self.now;
        let ticket = match self.send(node, line) {
            Reply::Now(response) => return (response, 0.0),
            Reply::Pending(ticket) => ticket,
            Reply::Blocked(_) => panic!("clusters answer by ticket"),
        };
        while self.now < began + seconds(900.0) {
            self.now = self.mesh.next_deadline().expect("a cluster never rests").max(self.now);
            self.mesh.advance(self.now);
            let ours = |(from, other, _): &(usize, _, _)| *from == node && *other == ticket;
            if let Some((.., response)) = self.mesh.answers().into_iter().find(ours) {
                return (response, (self.now - began).as_secs_f64());
            }
        }
        panic!("{line}: no answer in fifteen minutes");
    }

    /// Status and body.
    fn ask(&mut self, node: usize, line: &str) -> (u16, String) {
        let (response, _) = self.answer(node, line);
        (response.status().as_u16(), String::from_utf8_lossy(response.body()).into_owned())
    }

    fn session(&mut self, node: usize, body: &str) -> String {
        let (status, answer) = self.ask(node, &format!("PUT /v1/session/create | {body}"));
        assert_eq!(status, 200, "{answer}");
        let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
        answer["ID"].as_str().expect("an id").to_owned()
    }
}

#[test]
fn a_cluster_elects_one_leader_and_takes_writes_anywhere() {
    let mut world = World::settled(1, 3, 1, 1);
    for node in 0..4 {
        let put = world.ask(node, &format!("PUT /v1/kv/k{node} | v"));
        assert_eq!(put, (200, "true".to_owned()), "{node}");
        assert_eq!(world.ask((node + 1) % 4, &format!("GET /v1/kv/k{node}?raw")), (200, "v".to_owned()));
    }
    let leader = world.leader();
    let expected = format!("\"10.0.0.{}:8300\"", leader + 1);
    for node in 0..4 {
        assert_eq!(world.ask(node, "GET /v1/status/leader"), (200, expected.clone()));
    }
    let nodes: serde_json::Value =
        serde_json::from_str(&world.ask(3, "GET /v1/catalog/nodes").1).expect("JSON");
    assert_eq!(nodes.as_array().map(Vec::len), Some(4), "{nodes}");
}

#[test]
fn every_hop_puts_its_words_before_an_error() {
    let mut world = World::settled(2, 3, 1, 1);
    let line = "PUT /v1/session/create | {\"TTL\": \"1s\"}";
    let (leader, follower) = (world.leader(), world.follower());
    let (status, text) = world.ask(leader, line);
    assert_eq!(status, 500);
    assert_eq!(world.ask(follower, line), (500, format!("rpc error making call: {text}")));
    let (status, through_agent) = world.ask(3, line);
    assert_eq!(status, 500);
    assert!(through_agent.starts_with("rpc error making call: "), "{through_agent}");
    assert!(through_agent.ends_with(&text), "{through_agent}");
}

#[test]
fn a_session_has_all_of_its_time_again_under_a_new_leader() {
    let mut world = World::settled(3, 3, 0, 1);
    let (leader, follower) = (world.leader(), world.follower());
    let node = format!("server-{}", follower + 1);
    let body = format!("{{\"TTL\": \"10s\", \"Node\": \"{node}\", \"Checks\": []}}");
    let session = world.session(follower, &body);
    world.pass(8.0);
    world.mesh.kill(world.now, leader);
    while world.mesh.leader().is_none() {
        world.pass(0.1);
    }
    let elected = world.now;
    let follower = world.follower();
    while world.ask(follower, &format!("GET /v1/session/info/{session}")).1 != "[]" {
        world.pass(0.1);
    }
    let lived = (world.now - elected).as_secs_f64();
    assert!((19.8..20.6).contains(&lived), "{lived}");
}

#[test]
fn a_lock_delay_survives_a_failover() {
    let mut world = World::settled(4, 3, 0, 1);
    let (leader, follower) = (world.leader(), world.follower());
    let node = format!("server-{}", follower + 1);
    let body = format!("{{\"LockDelay\": \"30s\", \"Node\": \"{node}\", \"Checks\": []}}");
    let [first, second] = [(); 2].map(|()| world.session(follower, &body));
    assert_eq!(world.ask(follower, &format!("PUT /v1/kv/lock?acquire={first}")).1, "true");
    assert_eq!(world.ask(follower, &format!("PUT /v1/session/destroy/{first}")).1, "true");
    let destroyed = world.now;
    world.pass(1.0);
    world.mesh.kill(world.now, leader);
    world.pass(10.0);
    let follower = (0..3).find(|node| *node != leader).expect("another");
    while world.ask(follower, &format!("PUT /v1/kv/lock?acquire={second}")).1 != "true" {
        world.pass(0.1);
    }
    let took = (world.now - destroyed).as_secs_f64();
    assert!((29.9..30.5).contains(&took), "{took}");
}

#[test]
fn without_a_leader_requests_wait_and_then_fail() {
    let mut world = World::settled(5, 3, 0, 1);
    let leader = world.leader();
    let others: Vec<_> = (0..3).filter(|node| *node != leader).collect();
    assert_eq!(world.ask(others[0], "PUT /v1/kv/k | v").1, "true");
    // A follower of an idle leader hears a little later what is committed.
    world.pass(0.5);
    world.mesh.kill(world.now, leader);
    world.mesh.kill(world.now, others[1]);
    world.pass(20.0);
    let (response, took) = world.answer(others[0], "GET /v1/kv/k");
    assert_eq!((response.status().as_u16(), &response.body()[..]), (500, &b"No cluster leader"[..]));
    assert!((7.0..7.5).contains(&took), "{took}");
    assert_eq!(world.ask(others[0], "GET /v1/status/leader"), (200, "\"\"".to_owned()));
    let (stale, took) = world.answer(others[0], "GET /v1/kv/k?stale&raw");
    assert_eq!(&stale.body()[..], b"v");
    assert_eq!(took, 0.0);
    assert_eq!(stale.headers()["x-consul-knownleader"], "false");
    let contact: u64 = stale.headers()["x-consul-lastcontact"].to_str().unwrap().parse().unwrap();
    assert!(contact > 15_000, "{contact}");
}

/// How long nobody could write after a leader was killed, in seconds.
fn outages(raft_multiplier: u32) -> Vec<f64> {
    let mut outages: Vec<f64> = (0..60)
        .map(|seed| {
            let mut world = World::settled(seed, 3, 0, raft_multiplier);
            let (leader, follower) = (world.leader(), world.follower());
            world.mesh.kill(world.now, leader);
            let began = world.now;
            while world.ask(follower, "PUT /v1/kv/k | v").1 != "true" {
                world.pass(0.05);
            }
            (world.now - began).as_secs_f64()
        })
        .collect();
    outages.sort_by(f64::total_cmp);
    outages
}

#[test]
fn a_killed_leader_is_missed_for_as_long_as_in_a_real_cluster() {
    let fast = outages(1);
    assert!(fast[0] > 1.0 && fast[30] > 2.0 && fast[30] < 3.6 && fast[54] < 5.5, "{fast:?}");
    let slow = outages(5);
    assert!(slow[0] > 5.0 && slow[30] > 9.0 && slow[30] < 17.0, "{slow:?}");
}

#[test]
fn an_isolated_agent_loses_its_sessions_to_serf_health() {
    let mut detected = Vec::new();
    for seed in 0..30 {
        let mut world = World::settled(seed, 3, 1, 1);
        let session = world.session(3, "{}");
        let leader = world.leader();
        world.mesh.isolate(world.now, 3);
        let cut = world.now;
        while world.ask(leader, &format!("GET /v1/session/info/{session}")).1 != "[]" {
            world.pass(0.1);
            assert!(world.now - cut < seconds(30.0), "never");
        }
        detected.push((world.now - cut).as_secs_f64());
        let checks = world.ask(leader, "GET /v1/health/node/agent-1").1;
        assert!(checks.contains("Agent not live or unreachable"), "{checks}");
        world.mesh.heal(world.now);
        let healed = world.now;
        while !world.ask(leader, "GET /v1/health/node/agent-1").1.contains("Agent alive and reachable") {
            world.pass(0.1);
            assert!(world.now - healed < seconds(70.0), "never back");
        }
    }
    detected.sort_by(f64::total_cmp);
    assert!(
        detected[0] > 3.5 && detected[15] > 4.5 && detected[15] < 8.0 && detected[29] < 12.0,
        "{detected:?}"
    );
}

#[test]
fn a_leader_cut_off_stops_answering_when_its_lease_ends() {
    let mut world = World::settled(6, 3, 0, 5);
    let leader = world.leader();
    world.mesh.isolate(world.now, leader);
    let cut = world.now;
    let mut last_good = 0.0;
    while world.now - cut < seconds(4.0) {
        if let Reply::Now(response) = world.send(leader, "GET /v1/status/leader")
            && response.body().len() > 4
        {
            last_good = (world.now - cut).as_secs_f64();
        }
        world.pass(0.05);
    }
    assert!((1.9..3.1).contains(&last_good), "{last_good}");
}

#[test]
fn a_write_without_a_quorum_has_no_known_outcome() {
    let mut world = World::settled(7, 3, 0, 1);
    let leader = world.leader();
    world.mesh.isolate(world.now, leader);
    let (response, took) = world.answer(leader, "PUT /v1/kv/k | v");
    assert_eq!(response.status(), 500);
    assert_eq!(&response.body()[..], b"leadership lost while committing log");
    assert!(took < 1.5, "{took}");
}

#[test]
fn an_agent_answers_ok_and_tells_the_catalog_later() {
    let mut world = World::settled(8, 3, 1, 1);
    let leader = world.leader();
    world.mesh.isolate(world.now, 3);
    let (response, took) = world.answer(3, "PUT /v1/agent/service/register | {\"Name\": \"web\"}");
    assert_eq!(response.status(), 200);
    assert!(took > 5.0 && took < 41.0, "{took}");
    assert_eq!(world.ask(leader, "GET /v1/catalog/service/web").1, "[]");
    world.mesh.heal(world.now);
    let healed = world.now;
    while world.ask(leader, "GET /v1/catalog/service/web").1 == "[]" {
        world.pass(0.5);
        assert!(world.now - healed < seconds(180.0), "never");
    }
}

#[test]
fn a_server_that_comes_back_catches_up() {
    let mut world = World::settled(9, 3, 0, 1);
    let (leader, follower) = (world.leader(), world.follower());
    world.mesh.kill(world.now, follower);
    for number in 0..50 {
        assert_eq!(world.ask(leader, &format!("PUT /v1/kv/k{number} | v")).1, "true");
    }
    world.mesh.start(world.now, follower);
    world.pass(10.0);
    assert_eq!(world.ask(follower, "GET /v1/kv/k49?stale&raw"), (200, "v".to_owned()));
    world.mesh.kill(world.now, leader);
    world.pass(10.0);
    assert_eq!(world.ask(follower, "GET /v1/kv/k0?raw"), (200, "v".to_owned()));
}

#[test]
fn a_server_that_starts_while_it_is_cut_off_joins_the_others_later() {
    let mut world = World::settled(9, 3, 0, 1);
    let follower = world.follower();
    world.mesh.isolate(world.now, follower);
    // Autopilot tells the others that it has left, and nobody looks for it any more.
    world.pass(30.0);
    world.mesh.kill(world.now, follower);
    world.mesh.start(world.now, follower);
    world.pass(60.0);
    assert_eq!(world.ask(follower, "GET /v1/kv/k").0, 500);
    world.mesh.heal(world.now);
    // A peer that does not answer is given up after 10 s, and it waits 30 s after the last.
    world.pass(30.0 + 2.0 * 10.0);
    assert_eq!(world.ask(follower, "GET /v1/kv/k").0, 404);
}

/// Somebody who had not heard that a server is back says that it left: see `gossip::members`.
#[test]
fn a_server_that_is_taken_for_leaving_is_asked_all_the_same() {
    let mut world = World::settled(9, 1, 2, 1);
    let (server, other, agent) = (0, 1, 2);
    let server_of = |cluster: &Cluster| {
        cluster.gossip.members().find(|member| *member.name == *"server-1").cloned().expect("a member")
    };
    let known = server_of(world.mesh.node(agent).unwrap().cluster.as_ref().unwrap());
    let left = gossip::State {
        ltime: known.ltime + 1,
        ltimes: BTreeMap::from([(Rc::clone(&known.name), known.ltime)]),
        left: vec![known.name],
        ..gossip::State::default()
    };
    let told = gossip::Message::PushPull { request: 1, state: Box::new(left) };
    let (now, from) = (
        world.now,
        joining::others(&world.mesh.node(agent).unwrap().cluster.as_ref().unwrap().config, agent)[other],
    );
    world.mesh.with(now, agent, |consul| consul.cluster.as_mut().unwrap().gossip.receive(now, from, told));
    let known = server_of(world.mesh.node(agent).unwrap().cluster.as_ref().unwrap());
    assert_eq!(known.status, gossip::Status::Leaving);
    assert_eq!(world.ask(agent, "GET /v1/kv/k").0, 404);
    world.mesh.kill(world.now, server);
    world.pass(20.0);
    assert_eq!(world.ask(agent, "GET /v1/kv/k"), (500, "No known Consul servers".to_owned()));
}

#[test]
fn the_same_seed_is_the_same_cluster() {
    let run = || {
        let mut world = World::settled(10, 5, 2, 1);
        let leader = world.leader();
        world.mesh.kill(world.now, leader);
        world.pass(10.0);
        let agents = [5, 6].map(|node| world.ask(node, "PUT /v1/session/create"));
        (world.mesh.leader(), agents, world.mesh.next_deadline())
    };
    assert_eq!(run(), run());
}

#[test]
fn an_agent_that_leaves_is_deregistered_at_once() {
    let mut world = World::settled(11, 3, 1, 1);
    let leader = world.leader();
    let session = world.session(3, "{}");
    let began = world.now;
    world.mesh.with(world.now, 3, |consul| consul.leave(began)).expect("it runs");
    while !world.mesh.node(3).expect("it runs").has_left() {
        world.pass(0.1);
    }
    let took = (world.now - began).as_secs_f64();
    assert!(took < 6.0, "{took}");
    assert_eq!(world.ask(leader, "GET /v1/catalog/node/agent-1").1, "null");
    assert_eq!(world.ask(leader, &format!("GET /v1/session/info/{session}")).1, "[]");
}

#[test]
fn a_node_back_without_its_data_before_it_was_missed_registers_nothing() {
    let mut world = World::settled(11, 3, 1, 1);
    let leader = world.leader();
    let web = "PUT /v1/agent/service/register | {\"Name\":\"web\"}";
    let listed = |world: &mut World| world.ask(leader, "GET /v1/catalog/service/web").1.contains("web");
    assert_eq!(world.ask(3, web).0, 200);
    assert!(listed(&mut world));
    world.mesh.kill(world.now, 3);
    world.mesh.wipe(3);
    world.mesh.start(world.now, 3);
    world.pass(5.0);
    assert_eq!(world.ask(3, web).0, 200);
    world.pass(300.0);
    assert!(!listed(&mut world));
    let node = world.ask(leader, "GET /v1/catalog/node/agent-1").1;
    let index =
        serde_json::from_str::<serde_json::Value>(&node).expect("JSON")["Node"]["ModifyIndex"].clone();
    let forget = format!(
        "PUT /v1/txn | [{{\"Node\":{{\"Verb\":\"delete-cas\",\"Node\":{{\"Node\":\"agent-1\",\"ModifyIndex\":{index}}}}}}}]"
    );
    let own = world.ask(3, "GET /v1/agent/self").1;
    let own = serde_json::from_str::<serde_json::Value>(&own).expect("JSON")["Config"]["NodeID"].to_string();
    assert!(!node.contains(&own), "{node}");
    assert_eq!(world.ask(3, &forget), (200, "{\"Results\":[],\"Errors\":null}".to_owned()));
    // It has tried in vain, and tries again before long.
    world.pass(30.0);
    assert!(listed(&mut world));
    assert!(world.ask(leader, "GET /v1/catalog/node/agent-1").1.contains(&own));
}

#[test]
fn the_catalog_learns_where_every_node_is() {
    let mut world = World::settled(4, 3, 1, 1);
    let read = "GET /v1/coordinate/nodes";
    let known = |world: &mut World| {
        let (response, _) = world.answer(3, read);
        let list: Vec<serde_json::Value> = serde_json::from_slice(response.body()).expect("JSON");
        list.iter().map(|item| item["Node"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(known(&mut world), ["agent-1", "server-1", "server-2", "server-3"]);
    // And each again within 30 s: the least it waits, and as much again.
    let before = world.answer(3, read).0.body().clone();
    world.pass(31.0);
    assert_ne!(before, world.answer(3, read).0.body());
}

/// Where an agent's stale reads are answered shows in how far what they say is behind: only a leader never is. A
/// follower that has just heard of the leader may not be, so it is asked twice.
#[test]
fn an_agent_turns_to_another_server_every_two_to_three_minutes() {
    for (every, least, most) in [(120, 15, 60), (0, 0, 0)] {
        let pace = Pace { raft_multiplier: 1, rebalance: seconds(f64::from(every)), ..Pace::default() };
        let mut world = World::with(31, 3, 1, pace, |config| config);
        world.pass(60.0);
        let (mut turns, mut before) = (0, None);
        for _ in 0..360 {
            world.pass(30.0);
            let by_leader = (0..2).all(|_| {
                world.pass(0.017);
                world.answer(3, "GET /v1/kv/k?stale").0.headers()["x-consul-lastcontact"] == "0"
            });
            turns += u32::from(before.replace(by_leader).is_some_and(|before| before != by_leader));
        }
        // Three hours are some 70 turns, of which four in nine are to or from the leader.
        assert!((least..=most).contains(&turns), "every {every} s: {turns} turns");
    }
}

#[test]
fn an_agent_that_is_told_to_turns_to_another_server_at_once() {
    let mut world = World::with(32, 3, 1, Pace { rebalance: Duration::ZERO, ..Pace::default() }, |it| it);
    world.pass(60.0);
    let mut by_leader = std::collections::BTreeSet::new();
    for _ in 0..20 {
        world.pass(1.0);
        let now = world.now;
        world.mesh.with(now, 3, |agent| agent.rebalance(now));
        let (answer, _) = world.answer(3, "GET /v1/kv/k?stale");
        by_leader.insert(answer.headers()["x-consul-lastcontact"] == "0");
    }
    assert_eq!(by_leader.len(), 2, "both the leader and its followers");
}

/// A token that is taken away is still good for what an agent does by itself, and for nothing else.
#[test]
fn an_agent_remembers_what_a_token_may_do_for_a_while() {
    let acl = || -> crate::consul::AclConfig {
        toml::from_str("default_policy = 'deny'\ntokens = { master = 'root' }").expect("a configuration")
    };
    let with_acl = |config: ConsulConfig| config.with_acl(acl()).expect("good rules");
    let mut world = World::with(33, 3, 1, Pace { raft_multiplier: 1, ..Pace::default() }, with_acl);
    world.pass(60.0);
    let local = "GET /v1/agent/self?token=root";
    let remote = "PUT /v1/kv/k?token=root | v";
    let told = |world: &mut World, revoked| {
        let now = world.now;
        for node in 0..4 {
            world.mesh.with(now, node, |consul| consul.revoke_tokens(now, revoked));
        }
    };
    assert_eq!((world.ask(3, local).0, world.ask(3, remote).0), (200, 200));
    told(&mut world, true);
    assert_eq!(
        (world.ask(3, local).0, world.ask(3, remote).0),
        (200, 403),
        "the servers know, the agent not"
    );
    world.pass(29.0);
    assert_eq!(world.ask(3, local).0, 200);
    world.pass(2.0);
    assert_eq!(world.ask(3, local), (403, "ACL not found".to_owned()));
    told(&mut world, false);
    assert_eq!(
        (world.ask(3, local).0, world.ask(3, remote).0),
        (403, 200),
        "that there is none, it remembers too"
    );
    world.pass(31.0);
    assert_eq!(world.ask(3, local).0, 200);
}

#[test]
fn an_answer_of_an_old_catalog_is_known_for_one_when_it_was_asked_through_others() {
    let mut world = World::settled(17, 3, 1, 1);
    let (follower, now) = (world.follower(), world.now);
    let shows = |world: &mut World, node| {
        let (response, _) = world.answer(node, "GET /v1/catalog/services");
        let body = String::from_utf8_lossy(response.body()).into_owned();
        (body.contains("web"), response.extensions().get::<Stale>().is_some())
    };
    for node in 0..3 {
        let lag = Some(seconds(600.0));
        world.mesh.with(now, node, |consul| consul.set_catalog_lag(now, CLIENT, lag)).expect("it runs");
    }
    for node in [follower, 3] {
        assert_eq!(shows(&mut world, node), (false, false), "nothing has changed yet");
    }
    world.pass(1.0);
    let web = r#"PUT /v1/catalog/register | {"Node":"n","Address":"10.9.9.9","Service":{"Service":"web"}}"#;
    assert_eq!(world.ask(3, web).0, 200);
    world.pass(1.0);
    for node in [follower, 3] {
        assert_eq!(shows(&mut world, node), (false, true), "asked of node {node}");
    }
    let now = world.now;
    for node in 0..3 {
        world.mesh.with(now, node, |consul| consul.set_catalog_lag(now, CLIENT, None)).expect("it runs");
    }
    for node in [follower, 3] {
        assert_eq!(shows(&mut world, node), (true, false), "asked of node {node}");
    }
}
