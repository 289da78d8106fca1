//! How nodes, service instances and checks are shown.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::consul::state::catalog::{Check, Definition, Node, Proxy, Service, ServiceAddress, Weights};

/// A node.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ShownNode<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    node: &'a str,
    address: &'a str,
    datacenter: &'a str,
    tagged_addresses: &'a Option<BTreeMap<String, String>>,
    meta: &'a Option<BTreeMap<String, String>>,
    create_index: u64,
    modify_index: u64,
}

impl<'a> ShownNode<'a> {
    pub(super) fn new(node: &'a Node) -> Self {
        Self {
            id: &node.id,
            node: &node.name,
            address: &node.address,
            datacenter: &node.datacenter,
            tagged_addresses: &node.tagged_addresses,
            meta: &node.meta,
            create_index: node.create_index,
            modify_index: node.modify_index,
        }
    }

    pub(super) fn name(&self) -> &str {
        self.node
    }
}

/// Whether an instance speaks Connect by itself.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Connect {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    native: bool,
}

/// A service instance, as health and node queries show it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ShownService<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    kind: &'a str,
    #[serde(rename = "ID")]
    id: &'a str,
    service: &'a str,
    tags: Option<&'a [String]>,
    address: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tagged_addresses: &'a BTreeMap<String, ServiceAddress>,
    meta: &'a Option<BTreeMap<String, String>>,
    port: i64,
    weights: Weights,
    enable_tag_override: bool,
    proxy: &'a Proxy,
    connect: Connect,
    create_index: u64,
    modify_index: u64,
}

impl<'a> ShownService<'a> {
    pub(super) fn new(service: &'a Service) -> Self {
        Self {
            kind: &service.kind,
            id: &service.id,
            service: &service.name,
            tags: Some(&service.tags),
            address: &service.address,
            tagged_addresses: &service.tagged_addresses,
            meta: &service.meta,
            port: service.port,
            weights: service.weights,
            enable_tag_override: service.enable_tag_override,
            proxy: &service.proxy,
            connect: Connect { native: service.native },
            create_index: service.create_index,
            modify_index: service.modify_index,
        }
    }

    pub(super) fn id(&self) -> &'a str {
        self.id
    }

    /// As it is kept: no tags are no list.
    pub(super) fn as_kept(service: &'a Service) -> Self {
        Self { tags: given(&service.tags), ..Self::new(service) }
    }
}

/// A service instance and its node in one, as the catalog shows it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Joined<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    node: &'a str,
    address: &'a str,
    datacenter: &'a str,
    tagged_addresses: &'a Option<BTreeMap<String, String>>,
    node_meta: &'a Option<BTreeMap<String, String>>,
    service_kind: &'a str,
    #[serde(rename = "ServiceID")]
    service_id: &'a str,
    service_name: &'a str,
    service_tags: &'a [String],
    service_address: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    service_tagged_addresses: &'a BTreeMap<String, ServiceAddress>,
    service_weights: Weights,
    service_meta: BTreeMap<&'a str, &'a str>,
    service_port: i64,
    service_enable_tag_override: bool,
    service_proxy: &'a Proxy,
    service_connect: Connect,
    create_index: u64,
    modify_index: u64,
}

impl<'a> Joined<'a> {
    pub(super) fn new(node: &'a Node, service: &'a Service) -> Self {
        let meta = service.meta.iter().flatten();
        Self {
            id: &node.id,
            node: &service.node,
            address: &node.address,
            datacenter: &node.datacenter,
            tagged_addresses: &node.tagged_addresses,
            node_meta: &node.meta,
            service_kind: &service.kind,
            service_id: &service.id,
            service_name: &service.name,
            service_tags: &service.tags,
            service_address: &service.address,
            service_tagged_addresses: &service.tagged_addresses,
            service_weights: service.weights,
            service_meta: meta.map(|(key, value)| (key.as_str(), value.as_str())).collect(),
            service_port: service.port,
            service_enable_tag_override: service.enable_tag_override,
            service_proxy: &service.proxy,
            service_connect: Connect { native: service.native },
            create_index: service.create_index,
            modify_index: service.modify_index,
        }
    }

    pub(super) fn node(&self) -> &str {
        self.node
    }
}

/// A check as it is kept: no tags are no list.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct KeptCheck<'a> {
    node: &'a str,
    #[serde(rename = "CheckID")]
    id: &'a str,
    name: &'a str,
    status: &'a str,
    notes: &'a str,
    output: &'a str,
    #[serde(rename = "ServiceID")]
    service_id: &'a str,
    service_name: &'a str,
    service_tags: Option<&'a [String]>,
    #[serde(rename = "Type")]
    kind: &'a str,
    definition: &'a Definition,
    create_index: u64,
    modify_index: u64,
}

impl<'a> KeptCheck<'a> {
    pub(super) fn new(check: &'a Check) -> Self {
        Self {
            node: &check.node,
            id: &check.id,
            name: &check.name,
            status: &check.status,
            notes: &check.notes,
            output: &check.output,
            service_id: &check.service_id,
            service_name: &check.service_name,
            service_tags: given(&check.service_tags),
            kind: &check.kind,
            definition: &check.definition,
            create_index: check.create_index,
            modify_index: check.modify_index,
        }
    }
}

fn given(tags: &[String]) -> Option<&[String]> {
    (!tags.is_empty()).then_some(tags)
}
