//! `/v1/catalog/`, and how nodes and service instances are shown.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use http::{Response, StatusCode};
use serde::Serialize;

use super::params::Form;
use super::reply::{self, Failure};
use super::{Call, Outcome};
use crate::consul::Consul;
use crate::consul::blocking::Seen;
use crate::consul::state::catalog::{Catalog, Node, Service, ServiceAddress, Weights};

/// What of the catalog is read.
#[derive(Debug)]
pub(in crate::consul) enum Read {
    /// All nodes.
    Nodes,
    /// All services' names and tags.
    Services,
    /// The instances of a service that have all these tags.
    Service {
        /// Its name.
        name: String,
        /// The tags.
        tags: Vec<String>,
    },
    /// A node and what is on it.
    Node(String),
}

pub(super) fn datacenters(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    Ok(call.json(&[&consul.config.datacenter]))
}

pub(super) fn nodes(_: &mut Consul, _: &Call<'_>) -> Result<Outcome, Failure> {
    Ok(Outcome::Read(super::Read::Catalog(Read::Nodes)))
}

pub(super) fn services(_: &mut Consul, _: &Call<'_>) -> Result<Outcome, Failure> {
    Ok(Outcome::Read(super::Read::Catalog(Read::Services)))
}

pub(super) fn service(_: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    let name = named(call, "Missing service name")?;
    let tags = call.params.all("tag").map(str::to_owned).collect();
    Ok(Outcome::Read(super::Read::Catalog(Read::Service { name, tags })))
}

pub(super) fn node(_: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    let name = named(call, "Missing node name")?;
    Ok(Outcome::Read(super::Read::Catalog(Read::Node(name))))
}

/// What the path names.
pub(super) fn named(call: &Call<'_>, missing: &str) -> Result<String, Failure> {
    match call.rest {
        "" => Err(Failure::bad(missing)),
        name => Ok(name.to_owned()),
    }
}

/// Whether an instance has all these tags, whatever their case.
pub(super) fn tagged(service: &Service, tags: &[String]) -> bool {
    tags.iter().all(|wanted| service.tags.iter().any(|tag| tag.eq_ignore_ascii_case(wanted)))
}

impl Read {
    pub(super) fn seen(&self, catalog: &Catalog) -> Seen {
        let (index, written) = match self {
            Self::Nodes => (catalog.nodes_index(), catalog.nodes_index()),
            Self::Services => (catalog.services_index(), catalog.services_index()),
            Self::Service { name, .. } => {
                (catalog.index_of_service(name, false), catalog.instances_written(name))
            }
            Self::Node(name) => match catalog.node(name) {
                Some(_) => (catalog.nodes_index().max(catalog.services_index()), catalog.node_written(name)),
                None => (0, catalog.node_written(name)),
            },
        };
        Seen { index, written, hash: None }
    }

    pub(super) fn answer(&self, catalog: &Catalog, form: &Form) -> Response<Bytes> {
        match self {
            Self::Nodes => {
                let nodes: Vec<_> = catalog.nodes().map(|node| ShownNode::new(node)).collect();
                reply::json(StatusCode::OK, &nodes, form.pretty)
            }
            Self::Services => {
                let mut services: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
                for service in catalog.services() {
                    services
                        .entry(&service.name)
                        .or_default()
                        .extend(service.tags.iter().map(String::as_str));
                }
                reply::json(StatusCode::OK, &services, form.pretty)
            }
            Self::Service { name, tags } => {
                let instances: Vec<_> = catalog
                    .instances(name)
                    .filter(|service| tagged(service, tags))
                    .filter_map(|service| Some(Joined::new(catalog.node(&service.node)?, service)))
                    .collect();
                reply::json(StatusCode::OK, &instances, form.pretty)
            }
            Self::Node(name) => {
                let shown = catalog.node(name).map(|node| NodeAndServices {
                    node: ShownNode::new(node),
                    services: catalog
                        .services_on(name)
                        .map(|service| (service.id.as_str(), ShownService::new(service)))
                        .collect(),
                });
                reply::json(StatusCode::OK, &shown, form.pretty)
            }
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct NodeAndServices<'a> {
    node: ShownNode<'a>,
    services: BTreeMap<&'a str, ShownService<'a>>,
}

/// A node, as it is shown.
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
}

/// What a service without sidecars has where Consul shows its proxy's settings.
#[derive(Serialize, Default)]
#[serde(rename_all = "PascalCase")]
struct NoProxy {
    mesh_gateway: Empty,
    expose: Empty,
}

#[derive(Serialize, Default)]
struct Empty {}

/// A service instance, as health and node queries show it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ShownService<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    service: &'a str,
    tags: &'a [String],
    address: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tagged_addresses: &'a BTreeMap<String, ServiceAddress>,
    meta: &'a Option<BTreeMap<String, String>>,
    port: i64,
    weights: Weights,
    enable_tag_override: bool,
    proxy: NoProxy,
    connect: Empty,
    create_index: u64,
    modify_index: u64,
}

impl<'a> ShownService<'a> {
    pub(super) fn new(service: &'a Service) -> Self {
        Self {
            id: &service.id,
            service: &service.name,
            tags: &service.tags,
            address: &service.address,
            tagged_addresses: &service.tagged_addresses,
            meta: &service.meta,
            port: service.port,
            weights: service.weights,
            enable_tag_override: service.enable_tag_override,
            proxy: NoProxy::default(),
            connect: Empty {},
            create_index: service.create_index,
            modify_index: service.modify_index,
        }
    }
}

/// A service instance and its node in one, as the catalog shows it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Joined<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    node: &'a str,
    address: &'a str,
    datacenter: &'a str,
    tagged_addresses: &'a Option<BTreeMap<String, String>>,
    node_meta: &'a Option<BTreeMap<String, String>>,
    service_kind: &'static str,
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
    service_proxy: NoProxy,
    service_connect: Empty,
    create_index: u64,
    modify_index: u64,
}

impl<'a> Joined<'a> {
    fn new(node: &'a Node, service: &'a Service) -> Self {
        let meta = service.meta.iter().flatten();
        Self {
            id: &node.id,
            node: &node.name,
            address: &node.address,
            datacenter: &node.datacenter,
            tagged_addresses: &node.tagged_addresses,
            node_meta: &node.meta,
            service_kind: "",
            service_id: &service.id,
            service_name: &service.name,
            service_tags: &service.tags,
            service_address: &service.address,
            service_tagged_addresses: &service.tagged_addresses,
            service_weights: service.weights,
            service_meta: meta.map(|(key, value)| (key.as_str(), value.as_str())).collect(),
            service_port: service.port,
            service_enable_tag_override: service.enable_tag_override,
            service_proxy: NoProxy::default(),
            service_connect: Empty {},
            create_index: service.create_index,
            modify_index: service.modify_index,
        }
    }
}
