//! `/v1/agent/self` and `/v1/agent/members`: who the agent is, and whom it knows.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::OnceLock;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::reply::Failure;
use super::{Call, Outcome};
use crate::consul::{Consul, gossip};

const VERSION: &str = "1.8.7";

/// What the configuration of a server says that was told nothing, apart from who it is.
const DEBUG_CONFIG: &str = include_str!("debug_config.json");

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Itself<'a> {
    config: Config<'a>,
    debug_config: Map<String, Value>,
    coord: Coordinate,
    member: Member<'a>,
    stats: BTreeMap<&'static str, BTreeMap<&'static str, String>>,
    meta: BTreeMap<&'static str, &'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Config<'a> {
    datacenter: &'a str,
    node_name: &'a str,
    #[serde(rename = "NodeID")]
    node_id: &'a str,
    revision: &'static str,
    server: bool,
    version: &'static str,
}

/// Where the node is, as far as round trips tell: nowhere yet.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Coordinate {
    vec: [u8; 8],
    error: f64,
    adjustment: u8,
    height: f64,
}

pub(super) fn itself(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    let config = &consul.config;
    call.need(|token| token.agent_read(&config.node))?;
    Ok(call.json(&Itself {
        config: Config {
            datacenter: &config.datacenter,
            node_name: &config.node,
            node_id: &consul.node_id,
            revision: "",
            server: consul.is_server(),
            version: VERSION,
        },
        debug_config: debug_config(consul),
        coord: Coordinate { vec: [0; 8], error: 1.5, adjustment: 0, height: 0.00001 },
        member: member(consul),
        stats: stats(consul),
        meta: [("consul-network-segment", "")].into(),
    }))
}

fn debug_config(consul: &Consul) -> Map<String, Value> {
    static DEFAULTS: OnceLock<Map<String, Value>> = OnceLock::new();
    let mut shown = DEFAULTS.get_or_init(|| serde_json::from_str(DEBUG_CONFIG).unwrap_or_default()).clone();
    let config = &consul.config;
    let (address, family) = (config.address, if config.address.is_ipv4() { "ipv4" } else { "ipv6" });
    let at = |port| format!("tcp://{}", SocketAddr::new(address, port));
    let tagged: BTreeMap<_, _> =
        ["lan".to_owned(), "wan".to_owned(), format!("lan_{family}"), format!("wan_{family}")]
            .map(|name| (name, address))
            .into();
    let own = json!({
        "ACLDatacenter": config.datacenter,
        "AdvertiseAddrLAN": address,
        "AdvertiseAddrWAN": address,
        "BindAddr": address,
        "Datacenter": config.datacenter,
        "NodeID": consul.node_id,
        "NodeName": config.node,
        "PrimaryDatacenter": config.datacenter,
        "RPCAdvertiseAddr": at(config.server_port),
        "RPCBindAddr": at(config.server_port),
        "SerfAdvertiseAddrLAN": at(config.serf_port),
        "SerfBindAddrLAN": at(config.serf_port),
        "SerfPortLAN": config.serf_port,
        "ServerPort": config.server_port,
        "TaggedAddresses": tagged,
    });
    if let Value::Object(own) = own {
        shown.extend(own);
    }
    shown
}

fn stats(consul: &Consul) -> BTreeMap<&'static str, BTreeMap<&'static str, String>> {
    let group = |entries: &[(&'static str, &str)]| -> BTreeMap<&'static str, String> {
        entries.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
    };
    let index = consul.state.index.to_string();
    let leader = consul.leader_address().map(|address| address.to_string()).unwrap_or_default();
    let voters = format!("[{{Suffrage:Voter ID:{} Address:{leader}}}]", consul.node_id);
    let agent = &consul.agent;
    [
        (
            "agent",
            group(&[
                ("check_monitors", "0"),
                ("check_ttls", &agent.ttl_checks().to_string()),
                ("checks", &agent.checks().count().to_string()),
                ("services", &agent.services().count().to_string()),
            ]),
        ),
        ("build", group(&[("prerelease", ""), ("revision", ""), ("version", VERSION)])),
        (
            "consul",
            group(&[
                ("acl", if consul.acl.is_some() { "enabled" } else { "disabled" }),
                ("bootstrap", "true"),
                ("known_datacenters", "1"),
                ("leader", "true"),
                ("leader_addr", &leader),
                ("server", "true"),
            ]),
        ),
        (
            "raft",
            group(&[
                ("applied_index", &index),
                ("commit_index", &index),
                ("fsm_pending", "0"),
                ("last_contact", "0"),
                ("last_log_index", &index),
                ("last_log_term", "2"),
                ("last_snapshot_index", "0"),
                ("last_snapshot_term", "0"),
                ("latest_configuration", &voters),
                ("latest_configuration_index", "0"),
                ("num_peers", "0"),
                ("protocol_version", "3"),
                ("protocol_version_max", "3"),
                ("protocol_version_min", "0"),
                ("snapshot_version_max", "1"),
                ("snapshot_version_min", "0"),
                ("state", "Leader"),
                ("term", "2"),
            ]),
        ),
        (
            "runtime",
            group(&[
                ("arch", "amd64"),
                ("cpu_count", "1"),
                ("goroutines", "1"),
                ("max_procs", "1"),
                ("os", "linux"),
                ("version", "go1.15.9"),
            ]),
        ),
        (
            "serf_lan",
            group(&[
                ("coordinate_resets", "0"),
                ("encrypted", "false"),
                ("event_queue", "1"),
                ("event_time", &agent.events.clock().to_string()),
                ("failed", "0"),
                ("health_score", "0"),
                ("intent_queue", "0"),
                ("left", "0"),
                ("member_time", "1"),
                ("members", "1"),
                ("query_queue", "0"),
                ("query_time", "1"),
            ]),
        ),
    ]
    .into()
}

/// The members of the cluster. Of a wider one this server knows nothing.
pub(super) fn members(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    call.form.may.known()?;
    match call.params.get("segment") {
        None | Some("" | "_all") => {
            let wide = call.params.get("wan").is_some_and(|wan| !wan.is_empty());
            let known = consul.members();
            let mut members: Vec<_> = match &known {
                Some(known) => known.iter().map(Member::of).collect(),
                None => vec![member(consul)],
            };
            members.retain(|member| call.form.may.allows(|token| token.node_read(member.name)));
            Ok(call.json(&(!wide).then_some(members)))
        }
        Some(_) => Err(Failure::internal("Network segments are not supported in this version of Consul")),
    }
}

/// The server, as gossip knows it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Member<'a> {
    name: &'a str,
    addr: IpAddr,
    port: u16,
    tags: Value,
    status: u8,
    protocol_min: u8,
    protocol_max: u8,
    protocol_cur: u8,
    delegate_min: u8,
    delegate_max: u8,
    delegate_cur: u8,
}

impl<'a> Member<'a> {
    /// One of a cluster.
    fn of(member: &'a gossip::Member) -> Self {
        Self {
            name: &member.name,
            addr: member.address.ip(),
            port: member.address.port(),
            tags: json!(member.tags),
            status: member.status as u8,
            ..UNNAMED
        }
    }
}

const UNNAMED: Member<'static> = Member {
    name: "",
    addr: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    port: 0,
    tags: Value::Null,
    status: 1,
    protocol_min: 1,
    protocol_max: 5,
    protocol_cur: 2,
    delegate_min: 2,
    delegate_max: 5,
    delegate_cur: 4,
};

fn member(consul: &Consul) -> Member<'_> {
    let config = &consul.config;
    Member {
        name: &config.node,
        addr: config.address,
        port: config.serf_port,
        tags: json!({
            "acls": "0",
            "bootstrap": "1",
            "build": format!("{VERSION}:"),
            "dc": config.datacenter,
            "ft_fs": "1",
            "id": consul.node_id,
            "port": config.server_port.to_string(),
            "raft_vsn": "3",
            "role": "consul",
            "segment": "",
            "vsn": "2",
            "vsn_max": "3",
            "vsn_min": "2",
        }),
        ..UNNAMED
    }
}
