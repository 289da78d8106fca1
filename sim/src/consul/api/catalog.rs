//! `/v1/catalog/`: what there is.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use http::{Response, StatusCode};
use serde::Serialize;

use super::access::May;
use super::filtering::Filtering;
use super::narrow::{self, Narrow};
use super::params::Form;
use super::reply::{self, Failure};
use super::shown::{Joined, ShownNode, ShownService};
use super::{Call, Outcome};
use crate::consul::Consul;
use crate::consul::blocking::Seen;
use crate::consul::filter::Kind;
use crate::consul::state::catalog::{Catalog, Node, Service};

/// What of the catalog is read.
#[derive(Debug)]
pub(in crate::consul) enum Read {
    /// Nodes.
    Nodes(Narrow),
    /// Services' names and tags, on nodes with this metadata.
    Services(BTreeMap<String, String>),
    /// The instances of a service.
    Service(Instances),
    /// A node and what is on it, by id.
    Node(String, Filtering),
    /// A node and what is on it, in a list.
    NodeServices(String, Filtering),
}

/// Instances of a service.
#[derive(Debug)]
pub(in crate::consul) struct Instances {
    pub(super) name: String,
    /// Those through which it is reached with Connect.
    pub(super) connect: bool,
    /// Only those that have all these tags.
    pub(super) tags: Option<Vec<String>>,
    pub(super) narrow: Narrow,
}

pub(super) fn nodes(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    let narrow = Narrow::of(consul, call, Kind::Node)?;
    Ok(Outcome::Read(super::Read::Catalog(Read::Nodes(narrow))))
}

pub(super) fn services(_: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    Ok(Outcome::Read(super::Read::Catalog(Read::Services(narrow::node_meta(call)))))
}

pub(super) fn service(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    let instances = Instances::of(consul, call, false, Kind::ServiceNode)?;
    Ok(Outcome::Read(super::Read::Catalog(Read::Service(instances))))
}

pub(super) fn connect(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    let instances = Instances::of(consul, call, true, Kind::ServiceNode)?;
    Ok(Outcome::Read(super::Read::Catalog(Read::Service(instances))))
}

pub(super) fn node(_: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    let name = named(call, "Missing node name")?;
    let filtering = Filtering::of(call, Kind::NodeService).map_err(Failure::of_query)?;
    Ok(Outcome::Read(super::Read::Catalog(Read::Node(name, filtering))))
}

pub(super) fn node_services(_: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    let name = named(call, "Missing node name")?;
    let filtering = Filtering::of(call, Kind::NodeService).map_err(Failure::of_query)?;
    Ok(Outcome::Read(super::Read::Catalog(Read::NodeServices(name, filtering))))
}

/// What the path names.
pub(super) fn named(call: &Call<'_>, missing: &str) -> Result<String, Failure> {
    match call.rest {
        "" => Err(Failure::bad(missing)),
        name => Ok(name.to_owned()),
    }
}

impl Instances {
    /// # Errors
    /// When the path names no service, or the filter is none.
    pub(super) fn of(consul: &Consul, call: &Call<'_>, connect: bool, kind: Kind) -> Result<Self, Failure> {
        let name = named(call, "Missing service name")?;
        // Tags do not narrow what is reached with Connect.
        let tags = call.params.has("tag") && !connect;
        Ok(Self {
            name,
            connect,
            tags: tags.then(|| call.params.all("tag").map(str::to_owned).collect()),
            narrow: Narrow::of(consul, call, kind)?,
        })
    }

    /// What an index looks up, before anything is narrowed.
    pub(super) fn all<'a>(&'a self, catalog: &'a Catalog) -> impl Iterator<Item = &'a Service> {
        let (connect, name) = (self.connect, self.name.as_str());
        let plain = (!connect).then(|| catalog.instances(name)).into_iter().flatten();
        let connected = connect.then(|| catalog.connected(name)).into_iter().flatten();
        plain.chain(connected).map(|service| &**service)
    }

    /// Those with the tags, each with its node.
    pub(super) fn tagged<'a>(
        &'a self,
        catalog: &'a Catalog,
    ) -> impl Iterator<Item = (&'a Node, &'a Service)> {
        self.all(catalog)
            .filter(|service| self.tags.iter().flatten().all(|tag| tagged(service, tag)))
            .filter_map(|service| Some((&**catalog.node(&service.node)?, service)))
    }

    /// Whether an instance may be shown. What is reached with Connect is asked for by another's name.
    pub(super) fn readable(&self, service: &Service, may: &May) -> bool {
        may.reads(service) && (!self.connect || may.allows(|token| token.service_read(&self.name)))
    }

    /// When what an index looks up was last written.
    pub(super) fn rows_written(&self, catalog: &Catalog) -> u64 {
        match self.connect {
            true => catalog.connected_written(&self.name),
            false => catalog.instances_written(&self.name),
        }
    }

    /// What tells one read from another that a cache serves.
    pub(super) fn key(&self) -> String {
        format!("{self:?}")
    }

    fn seen(&self, catalog: &Catalog) -> (u64, u64) {
        let exists = self.all(catalog).next().is_some();
        let nodes = self.tagged(catalog).map(|(node, _)| catalog.node_written(&node.name)).max();
        let written = self.rows_written(catalog).max(nodes.unwrap_or(0));
        (catalog.index_of_service(&self.name, exists, false), written)
    }
}

/// Whether an instance has a tag, whatever its case.
fn tagged(service: &Service, wanted: &str) -> bool {
    service.tags.iter().any(|tag| tag.eq_ignore_ascii_case(wanted))
}

impl Read {
    pub(super) fn seen(&self, catalog: &Catalog) -> Seen {
        let (index, written) = match self {
            Self::Nodes(narrow) if narrow.by_meta() => (catalog.nodes_index(), narrow.meta_written(catalog)),
            Self::Nodes(_) => (catalog.nodes_index(), catalog.nodes_index()),
            Self::Services(meta) if meta.is_empty() => (catalog.services_index(), catalog.services_written()),
            Self::Services(meta) => {
                let on = catalog.nodes().filter(|node| node.has_meta(meta));
                let services = on.map(|node| catalog.services_on_written(&node.name)).max();
                let written = narrow::meta_written(meta, catalog).max(services.unwrap_or(0));
                (catalog.services_index().max(catalog.nodes_index()), written)
            }
            Self::Service(instances) => instances.seen(catalog),
            Self::Node(name, _) | Self::NodeServices(name, _) => match catalog.node_or_id(name) {
                Some(node) => {
                    let (own, on) =
                        (catalog.node_written(&node.name), catalog.services_on_written(&node.name));
                    (catalog.nodes_index().max(catalog.services_index()), own.max(on))
                }
                None => (0, catalog.node_written(name)),
            },
        };
        Seen { index, written, hash: None }
    }

    pub(super) fn answer(&self, catalog: &Catalog, form: &Form) -> Result<Response<Bytes>, Failure> {
        Ok(match self {
            Self::Nodes(narrow) => {
                let readable = |node: &str| form.may.allows(|token| token.node_read(node));
                let nodes = catalog.nodes().filter(|node| narrow.admits(node) && readable(&node.name));
                let nodes = nodes.map(|node| ShownNode::new(node)).collect();
                let nodes = narrow.arranged(catalog, nodes, ShownNode::name)?;
                reply::json(StatusCode::OK, &nodes, form.pretty)
            }
            Self::Services(meta) => {
                let mut services: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
                let readable = |name: &str| form.may.allows(|token| token.service_read(name));
                for service in catalog.services().filter(|service| readable(&service.name)) {
                    if meta.is_empty() || catalog.node(&service.node).is_some_and(|node| node.has_meta(meta))
                    {
                        services
                            .entry(&service.name)
                            .or_default()
                            .extend(service.tags.iter().map(String::as_str));
                    }
                }
                reply::json(StatusCode::OK, &services, form.pretty)
            }
            Self::Service(instances) => {
                let joined = instances
                    .tagged(catalog)
                    .filter(|(node, service)| {
                        instances.narrow.admits(node) && instances.readable(service, &form.may)
                    })
                    .map(|(node, service)| Joined::new(node, service))
                    .collect();
                let joined = instances.narrow.arranged(catalog, joined, Joined::node)?;
                reply::json(StatusCode::OK, &joined, form.pretty)
            }
            Self::Node(name, filtering) => {
                let Some(node) = readable_node(catalog, name, &form.may) else {
                    return Ok(reply::json(StatusCode::OK, &(), form.pretty));
                };
                let services = filtering.filtered(shown_on(catalog, node, &form.may))?;
                let services = services.into_iter().map(|service| (service.id(), service)).collect();
                let shown = NodeAndServices::<BTreeMap<_, _>> { node: Some(ShownNode::new(node)), services };
                reply::json(StatusCode::OK, &shown, form.pretty)
            }
            Self::NodeServices(name, filtering) => {
                let node = readable_node(catalog, name, &form.may);
                let services = match node {
                    Some(node) => Some(filtering.filtered(shown_on(catalog, node, &form.may))?),
                    None => None,
                };
                // An empty list is none, unless it is a filter's doing.
                let services = services.filter(|services| !services.is_empty() || !filtering.is_empty());
                let shown = NodeAndServices { node: node.map(ShownNode::new), services };
                reply::json(StatusCode::OK, &shown, form.pretty)
            }
        })
    }

    /// What tells it from other reads that a cache serves; nothing, for one that is never served from one.
    pub(super) fn cache_key(&self) -> Option<String> {
        match self {
            Self::Services(meta) => Some(format!("catalog services {meta:?}")),
            Self::Service(instances) => Some(format!("catalog {}", instances.key())),
            Self::Nodes(_) | Self::Node(..) | Self::NodeServices(..) => None,
        }
    }
}

fn readable_node<'a>(catalog: &'a Catalog, name: &str, may: &May) -> Option<&'a Node> {
    let node = &**catalog.node_or_id(name)?;
    may.allows(|token| token.node_read(&node.name)).then_some(node)
}

fn shown_on<'a>(catalog: &'a Catalog, node: &Node, may: &May) -> Vec<ShownService<'a>> {
    let services = catalog.services_on(&node.name);
    let services = services.filter(|service| may.allows(|token| token.service_read(&service.name)));
    services.map(|service| ShownService::new(service)).collect()
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct NodeAndServices<'a, T> {
    node: Option<ShownNode<'a>>,
    services: T,
}
