//! What many reads of the catalog are narrowed to and ordered by: metadata of nodes, nearness, filters.

use std::collections::BTreeMap;

use super::Call;
use super::filtering::Filtering;
use super::reply::Failure;
use crate::consul::Consul;
use crate::consul::filter::Kind;
use crate::consul::state::catalog::{Catalog, Node};

/// `?near=` this agent's own node.
const AGENT: &str = "_agent";

/// What a request says of it.
#[derive(Debug, Clone)]
pub(in crate::consul) struct Narrow {
    node_meta: BTreeMap<String, String>,
    near: String,
    pub(super) filtering: Filtering,
}

impl Narrow {
    /// # Errors
    /// When its filter is none.
    pub(super) fn of(consul: &Consul, call: &Call<'_>, kind: Kind) -> Result<Self, Failure> {
        let near = match call.params.get("near") {
            Some(AGENT) => &consul.config.node,
            near => near.unwrap_or_default(),
        };
        let filtering = Filtering::of(call, kind).map_err(Failure::of_query)?;
        Ok(Self { node_meta: node_meta(call), near: near.to_owned(), filtering })
    }

    /// Whether only nodes with some metadata count.
    pub(super) fn by_meta(&self) -> bool {
        !self.node_meta.is_empty()
    }

    /// Whether a node counts.
    pub(super) fn admits(&self, node: &Node) -> bool {
        node.has_meta(&self.node_meta)
    }

    /// When the nodes it is narrowed to were last written.
    pub(super) fn meta_written(&self, catalog: &Catalog) -> u64 {
        meta_written(&self.node_meta, catalog)
    }

    /// Filters records and orders them by nearness. What is nowhere comes last, in the order it had.
    ///
    /// # Errors
    /// What a filter can meet in a record.
    pub(super) fn arranged<T: serde::Serialize>(
        &self,
        catalog: &Catalog,
        records: Vec<T>,
        node: impl Fn(&T) -> &str,
    ) -> Result<Vec<T>, Failure> {
        let mut records = self.filtering.filtered(records)?;
        if !self.near.is_empty() {
            records.sort_by_cached_key(|record| {
                catalog.distance_nanos(&self.near, node(record)).map_or((true, 0), |nanos| (false, nanos))
            });
        }
        Ok(records)
    }
}

/// The pairs of `?node-meta=`.
pub(super) fn node_meta(call: &Call<'_>) -> BTreeMap<String, String> {
    let pairs = call.params.all("node-meta");
    pairs
        .map(|pair| pair.split_once(':').unwrap_or((pair, "")))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// When the nodes with these pairs were last written: one pair is looked up and watched.
pub(super) fn meta_written(pairs: &BTreeMap<String, String>, catalog: &Catalog) -> u64 {
    pairs.first_key_value().map_or(0, |(key, value)| catalog.node_meta_written(key, value))
}
