//! What the catalog holds: nodes, service instances and checks, with every field Consul keeps of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::consul::duration;

/// The kind of an instance that is a sidecar of another.
pub(in crate::consul) const CONNECT_PROXY: &str = "connect-proxy";

/// A node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::consul) struct Node {
    pub(in crate::consul) id: String,
    pub(in crate::consul) name: String,
    pub(in crate::consul) address: String,
    pub(in crate::consul) datacenter: String,
    pub(in crate::consul) tagged_addresses: Option<BTreeMap<String, String>>,
    pub(in crate::consul) meta: Option<BTreeMap<String, String>>,
    pub(in crate::consul) create_index: u64,
    pub(in crate::consul) modify_index: u64,
}

impl Node {
    /// Whether its metadata has all these pairs.
    pub(in crate::consul) fn has_meta(&self, pairs: &BTreeMap<String, String>) -> bool {
        let own = |key: &String| self.meta.as_ref().and_then(|meta| meta.get(key));
        pairs.iter().all(|(key, value)| own(key) == Some(value))
    }
}

/// An address and its port.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::consul) struct ServiceAddress {
    pub(in crate::consul) address: String,
    pub(in crate::consul) port: i64,
}

/// How much traffic an instance is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::consul) struct Weights {
    pub(in crate::consul) passing: i64,
    pub(in crate::consul) warning: i64,
}

impl Weights {
    /// # Errors
    /// Consul's text when they cannot be an instance's.
    pub(in crate::consul) fn validate(self) -> Result<(), &'static str> {
        if self.passing < 1 {
            return Err("Passing must be greater than 0");
        }
        if self.warning < 0 {
            return Err("Warning must be greater or equal than 0");
        }
        if self.passing > 65535 || self.warning > 65535 {
            return Err("DNS Weight must be between 0 and 65535");
        }
        Ok(())
    }
}

impl Default for Weights {
    fn default() -> Self {
        Self { passing: 1, warning: 1 }
    }
}

/// An instance of a service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::consul) struct Service {
    pub(in crate::consul) node: String,
    pub(in crate::consul) id: String,
    pub(in crate::consul) name: String,
    pub(in crate::consul) tags: Vec<String>,
    /// Whether it was given a list of tags, if only an empty one: Consul shows both alike, and takes one for
    /// a change of the other.
    #[serde(default)]
    pub(in crate::consul) lists_tags: bool,
    pub(in crate::consul) address: String,
    pub(in crate::consul) tagged_addresses: BTreeMap<String, ServiceAddress>,
    pub(in crate::consul) meta: Option<BTreeMap<String, String>>,
    pub(in crate::consul) port: i64,
    pub(in crate::consul) weights: Weights,
    pub(in crate::consul) enable_tag_override: bool,
    /// Nothing for an ordinary one; `connect-proxy` for a sidecar.
    pub(in crate::consul) kind: String,
    pub(in crate::consul) proxy: Proxy,
    /// Whether it speaks Connect by itself.
    pub(in crate::consul) native: bool,
    pub(in crate::consul) create_index: u64,
    pub(in crate::consul) modify_index: u64,
}

impl Service {
    /// The service it can be reached as through Connect, if any.
    pub(in crate::consul) fn connects_to(&self) -> Option<&str> {
        if self.kind == CONNECT_PROXY {
            Some(&self.proxy.destination_service_name)
        } else if self.native {
            Some(&self.name)
        } else {
            None
        }
    }
}

/// What a sidecar stands before, kept and shown as it was given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(in crate::consul) struct Proxy {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(in crate::consul) destination_service_name: String,
    #[serde(rename = "DestinationServiceID", skip_serializing_if = "String::is_empty")]
    pub(in crate::consul) destination_service_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(in crate::consul) local_service_address: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub(in crate::consul) local_service_port: i64,
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub(in crate::consul) config: Map<String, Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::consul) upstreams: Vec<Upstream>,
    pub(in crate::consul) mesh_gateway: MeshGateway,
    pub(in crate::consul) expose: Expose,
}

/// What a sidecar lets its service reach.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(in crate::consul) struct Upstream {
    pub(in crate::consul) destination_type: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(in crate::consul) destination_namespace: String,
    pub(in crate::consul) destination_name: String,
    pub(in crate::consul) datacenter: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(in crate::consul) local_bind_address: String,
    pub(in crate::consul) local_bind_port: i64,
    pub(in crate::consul) config: Option<Map<String, Value>>,
    pub(in crate::consul) mesh_gateway: MeshGateway,
}

/// How a sidecar uses mesh gateways.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(in crate::consul) struct MeshGateway {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(in crate::consul) mode: String,
}

/// What a sidecar shows without Connect.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(in crate::consul) struct Expose {
    #[serde(skip_serializing_if = "is_false")]
    pub(in crate::consul) checks: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::consul) paths: Vec<ExposedPath>,
}

/// One of those paths.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(in crate::consul) struct ExposedPath {
    #[serde(skip_serializing_if = "is_zero")]
    pub(in crate::consul) listener_port: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(in crate::consul) path: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub(in crate::consul) local_path_port: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(in crate::consul) protocol: String,
    pub(in crate::consul) parsed_from_check: bool,
}

/// A check, as it is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::consul) struct Check {
    pub(in crate::consul) node: String,
    #[serde(rename = "CheckID")]
    pub(in crate::consul) id: String,
    pub(in crate::consul) name: String,
    pub(in crate::consul) status: String,
    pub(in crate::consul) notes: String,
    pub(in crate::consul) output: String,
    #[serde(rename = "ServiceID")]
    pub(in crate::consul) service_id: String,
    pub(in crate::consul) service_name: String,
    pub(in crate::consul) service_tags: Vec<String>,
    #[serde(rename = "Type")]
    pub(in crate::consul) kind: String,
    pub(in crate::consul) definition: Definition,
    pub(in crate::consul) create_index: u64,
    pub(in crate::consul) modify_index: u64,
}

/// What a check does; nothing, for one whose status is reported. Times are in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(in crate::consul) struct Definition {
    #[serde(with = "spelled", skip_serializing_if = "is_zero")]
    pub(in crate::consul) interval: i64,
    #[serde(skip_serializing_if = "is_none_at_all")]
    pub(in crate::consul) output_max_size: u64,
    #[serde(with = "spelled", skip_serializing_if = "is_zero")]
    pub(in crate::consul) timeout: i64,
    #[serde(with = "spelled", skip_serializing_if = "is_zero")]
    pub(in crate::consul) deregister_critical_service_after: i64,
    #[serde(rename = "HTTP", skip_serializing_if = "String::is_empty")]
    pub(in crate::consul) http: String,
    #[serde(rename = "TLSSkipVerify", skip_serializing_if = "is_false")]
    pub(in crate::consul) tls_skip_verify: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(in crate::consul) header: BTreeMap<String, Vec<String>>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(in crate::consul) method: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(in crate::consul) body: String,
    #[serde(rename = "TCP", skip_serializing_if = "String::is_empty")]
    pub(in crate::consul) tcp: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::consul) script_args: Vec<String>,
    #[serde(rename = "DockerContainerID", skip_serializing_if = "String::is_empty")]
    pub(in crate::consul) docker_container_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(in crate::consul) shell: String,
    #[serde(rename = "GRPC", skip_serializing_if = "String::is_empty")]
    pub(in crate::consul) grpc: String,
    #[serde(rename = "GRPCUseTLS", skip_serializing_if = "is_false")]
    pub(in crate::consul) grpc_use_tls: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(in crate::consul) alias_node: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(in crate::consul) alias_service: String,
    #[serde(rename = "TTL", skip_serializing_if = "is_zero")]
    pub(in crate::consul) ttl: i64,
}

impl Definition {
    /// The type of check this makes.
    pub(in crate::consul) fn kind(&self) -> &'static str {
        let run = self.interval > 0;
        let script = !self.script_args.is_empty();
        if run && !self.grpc.is_empty() {
            "grpc"
        } else if run && !self.http.is_empty() {
            "http"
        } else if self.ttl > 0 {
            "ttl"
        } else if run && !self.tcp.is_empty() {
            "tcp"
        } else if !self.alias_node.is_empty() || !self.alias_service.is_empty() {
            "alias"
        } else if run && script && !self.docker_container_id.is_empty() {
            "docker"
        } else if script {
            "script"
        } else {
            ""
        }
    }
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

fn is_none_at_all(number: &u64) -> bool {
    *number == 0
}

fn is_false(boolean: &bool) -> bool {
    !boolean
}

/// Nanoseconds, written in words.
mod spelled {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use super::duration;

    pub(super) fn serialize<S: Serializer>(nanos: &i64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&duration::text(*nanos))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
        let text = String::deserialize(deserializer)?;
        duration::parse(&text).map_err(de::Error::custom)
    }
}
