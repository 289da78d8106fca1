//! What the cluster knows of nodes (`/v1/catalog`): what the agents have told it.

use std::collections::BTreeMap;

use ::http::Method;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{AgentNode, Consul, Path, Result, TxnConflict, TxnOp, null_as_default};
use crate::host::Host;

/// The calls on the catalog of a [`Consul`].
pub struct Catalog<'a, H: Host>(pub(super) &'a Consul<H>);

/// A node as the catalog has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogNode {
    /// The id it drew when its data directory was made; empty for one that no agent registered.
    pub id: String,
    /// Its address.
    pub address: String,
    /// The index to give to [`Catalog::replace_node`].
    pub modify_index: u64,
    /// The ids of its services.
    pub services: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Raw {
    node: RawNode,
    #[serde(default, deserialize_with = "null_as_default")]
    services: BTreeMap<String, IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawNode {
    #[serde(rename = "ID", default)]
    id: String,
    #[serde(default)]
    address: String,
    #[serde(default)]
    modify_index: u64,
}

impl From<Raw> for CatalogNode {
    fn from(Raw { node: RawNode { id, address, modify_index }, services }: Raw) -> Self {
        Self { id, address, modify_index, services: services.into_keys().collect() }
    }
}

impl<H: Host> Catalog<'_, H> {
    /// The node called `name` and what runs on it; `None` when there is none.
    ///
    /// # Errors
    /// When there is no usable answer.
    pub async fn node(&self, name: &str) -> Result<Option<CatalogNode>> {
        let answer = self.0.call(Method::GET, Path::new("/v1/catalog/node/", name), Bytes::new()).await?;
        let found: Option<Raw> = answer.ok()?.json()?;
        Ok(found.map(Into::into))
    }

    /// Gives the name of `agent`'s node to that agent, if who has it is as it was at `index`. Consul lets nobody
    /// have the name of a node that is healthy, so that is taken for ill for as long as the transaction takes:
    /// sessions that depend on its health end. Other sessions, services and checks stay.
    ///
    /// # Errors
    /// The outer one when there is no usable answer, see [`super::Error::outcome_unknown`]; the inner one when it
    /// is no longer as it was, or the token has no `node:write`.
    pub async fn replace_node(
        &self,
        agent: &AgentNode,
        index: u64,
    ) -> Result<std::result::Result<(), TxnConflict>> {
        let health = |passing| TxnOp::SetNodeHealth { node: agent.name.clone(), passing };
        let replace = TxnOp::CasNode { node: agent.clone(), index };
        Ok(self.0.txn(&[health(false), replace, health(true)]).await?.map(drop))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_read_as_consul_writes_it() {
        let text = r#"{"Node":{"ID":"6f74","Node":"n1","Address":"10.0.0.1","Datacenter":"dc1",
            "TaggedAddresses":{},"Meta":null,"CreateIndex":5,"ModifyIndex":11},
            "Services":{"web-1":{"ID":"web-1","Service":"web"},"web-2":{"ID":"web-2","Service":"web"}}}"#;
        let raw: Option<Raw> = serde_json::from_str(text).unwrap();
        let node = CatalogNode::from(raw.unwrap());
        assert_eq!((node.id.as_str(), node.address.as_str(), node.modify_index), ("6f74", "10.0.0.1", 11));
        assert_eq!(node.services, ["web-1", "web-2"]);
        let none: Option<Raw> = serde_json::from_str("null").unwrap();
        assert!(none.is_none());
        let external = r#"{"Node":{"Node":"n2","Address":"10.0.0.2","ModifyIndex":3},"Services":null}"#;
        let external: Raw = serde_json::from_str(external).unwrap();
        assert_eq!(CatalogNode::from(external).services, [""; 0]);
    }
}
