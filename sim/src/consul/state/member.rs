//! What the catalog holds of the cluster's own nodes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::State;
use super::catalog::{CRITICAL, Check, Node, PASSING, SERF_HEALTH, Service};
use crate::consul::ConsulConfig;

/// The index at which a fresh server has registered itself, and the one at which its agent has completed
/// the entry.
const BOOTSTRAP_INDEX: u64 = 5;
const NODE_SYNC_INDEX: u64 = 7;

impl State {
    /// Enters a server that is alone, as it does on its first election.
    pub(in crate::consul) fn bootstrap(&mut self, config: &ConsulConfig, node_id: &str) {
        let catalog = self.catalogs.write(self.now);
        catalog.put_node(BOOTSTRAP_INDEX, bare_node(config, node_id), None);
        catalog.put_service(BOOTSTRAP_INDEX, server_service(config));
        catalog.put_check(BOOTSTRAP_INDEX, serf_health(&config.node, true));
        catalog.put_node(NODE_SYNC_INDEX, full_node(config, node_id), None);
        self.index = NODE_SYNC_INDEX;
    }
}

/// A node, as a leader enters it when gossip first tells of it.
pub(in crate::consul) fn bare_node(config: &ConsulConfig, id: &str) -> Node {
    Node {
        id: id.to_owned(),
        name: config.node.clone(),
        address: config.address.to_string(),
        datacenter: config.datacenter.clone(),
        ..Node::default()
    }
}

/// A node, as its own agent completes the entry.
pub(in crate::consul) fn full_node(config: &ConsulConfig, id: &str) -> Node {
    Node {
        tagged_addresses: Some(tagged(config.address)),
        meta: Some([("consul-network-segment".to_owned(), String::new())].into()),
        ..bare_node(config, id)
    }
}

/// The service every server is an instance of.
pub(in crate::consul) fn server_service(config: &ConsulConfig) -> Service {
    let meta = [
        ("non_voter", "false"),
        ("raft_version", "3"),
        ("serf_protocol_current", "2"),
        ("serf_protocol_max", "5"),
        ("serf_protocol_min", "1"),
        ("version", "1.8.7"),
    ];
    Service {
        node: config.node.clone(),
        id: "consul".to_owned(),
        name: "consul".to_owned(),
        meta: Some(meta.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
        port: config.server_port.into(),
        ..Service::default()
    }
}

/// The check that says whether gossip takes a node for alive.
pub(in crate::consul) fn serf_health(node: &str, alive: bool) -> Check {
    let (status, output) = match alive {
        true => (PASSING, "Agent alive and reachable"),
        false => (CRITICAL, "Agent not live or unreachable"),
    };
    Check {
        node: node.to_owned(),
        id: SERF_HEALTH.to_owned(),
        name: "Serf Health Status".to_owned(),
        status: status.to_owned(),
        output: output.to_owned(),
        ..Check::default()
    }
}

fn tagged(address: IpAddr) -> BTreeMap<String, String> {
    let family = if address.is_ipv4() { "ipv4" } else { "ipv6" };
    ["lan".to_owned(), "wan".to_owned(), format!("lan_{family}"), format!("wan_{family}")]
        .map(|name| (name, address.to_string()))
        .into()
}
