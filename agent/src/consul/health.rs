//! Health as the cluster knows it (`/v1/health`).

use std::net::IpAddr;
use std::time::Duration;

use serde::Deserialize;

use super::{Block, Consul, Indexed, Path, Result, Status, null_as_default};
use crate::host::Host;

/// The calls on health of a [`Consul`].
pub struct Health<'a, H: Host>(pub(super) &'a Consul<H>);

/// One instance of a service, with its checks and those of its node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceInstance {
    /// The node it is registered on.
    pub node: String,
    /// Where it is reached: its own address, or its node's when it has none. As text, because a
    /// registration may hold a name.
    pub address: String,
    /// The instance's id.
    pub id: String,
    /// The service's name.
    pub name: String,
    /// The port.
    pub port: u16,
    /// Tags.
    pub tags: Vec<String>,
    /// The checks that decide about it: its own and its node's.
    pub checks: Vec<ServiceCheck>,
}

impl ServiceInstance {
    /// The address, when it is one and not a name.
    pub fn ip(&self) -> Option<IpAddr> {
        self.address.parse().ok()
    }

    /// Whether every one of its checks passes.
    pub fn is_passing(&self) -> bool {
        self.checks.iter().all(|check| check.status == Status::Passing)
    }
}

/// A check of an instance or its node.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ServiceCheck {
    /// The check's id.
    #[serde(rename = "CheckID")]
    pub id: String,
    /// Its status.
    pub status: Status,
    /// What it last said.
    #[serde(default)]
    pub output: String,
    /// The service it belongs to; empty for a check of the node.
    #[serde(rename = "ServiceID", default)]
    pub service_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Raw {
    node: RawNode,
    service: RawService,
    #[serde(default, deserialize_with = "null_as_default")]
    checks: Vec<ServiceCheck>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawNode {
    node: String,
    #[serde(default)]
    address: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawService {
    #[serde(rename = "ID")]
    id: String,
    service: String,
    #[serde(default)]
    address: String,
    #[serde(default)]
    port: u16,
    #[serde(default, deserialize_with = "null_as_default")]
    tags: Vec<String>,
}

impl From<Raw> for ServiceInstance {
    fn from(raw: Raw) -> Self {
        Self {
            node: raw.node.node,
            address: if raw.service.address.is_empty() { raw.node.address } else { raw.service.address },
            id: raw.service.id,
            name: raw.service.service,
            port: raw.service.port,
            tags: raw.service.tags,
            checks: raw.checks,
        }
    }
}

impl<H: Host> Health<'_, H> {
    /// The instances of service `name`; with `passing` only those with no check in another status, and
    /// with `tag` only those that have it.
    ///
    /// # Errors
    /// When there is no usable answer.
    pub async fn service(
        &self,
        name: &str,
        passing: bool,
        tag: Option<&str>,
    ) -> Result<Vec<ServiceInstance>> {
        Ok(self.read(name, passing, tag, None).await?.value)
    }

    /// As [`Health::service`], and answers only when the index is no longer `index`, or after `wait`. An
    /// index of 0 does not block. An answer is no proof of a change: compare.
    ///
    /// # Errors
    /// When there is no usable answer.
    pub async fn service_blocking(
        &self,
        name: &str,
        passing: bool,
        tag: Option<&str>,
        index: u64,
        wait: Duration,
    ) -> Result<Indexed<Vec<ServiceInstance>>> {
        self.read(name, passing, tag, Some(Block { index, wait })).await
    }

    async fn read(
        &self,
        name: &str,
        passing: bool,
        tag: Option<&str>,
        block: Option<Block>,
    ) -> Result<Indexed<Vec<ServiceInstance>>> {
        let mut path = Path::new("/v1/health/service/", name);
        if passing {
            path.pair("passing", 1);
        }
        if let Some(tag) = tag {
            path.text_pair("tag", tag);
        }
        let answer = self.0.read(path, block).await?.ok()?;
        let instances: Vec<Raw> = answer.json()?;
        Ok(answer.indexed(instances.into_iter().map(Into::into).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_without_an_address_has_its_nodes() {
        let text = r#"[{"Node":{"ID":"","Node":"n1","Address":"10.0.0.1","Datacenter":"dc1"},
            "Service":{"ID":"db-h1","Service":"db","Tags":null,"Address":"","Port":3306},
            "Checks":[{"Node":"n1","CheckID":"serfHealth","Name":"x","Status":"passing","Output":"","ServiceID":""}]},
            {"Node":{"Node":"n2","Address":"10.0.0.2"},
            "Service":{"ID":"db-h2","Service":"db","Tags":["a"],"Address":"10.1.0.2","Port":3306},
            "Checks":[{"CheckID":"service:db-h2","Status":"warning","ServiceID":"db-h2"}]}]"#;
        let raw: Vec<Raw> = serde_json::from_str(text).unwrap();
        let instances: Vec<ServiceInstance> = raw.into_iter().map(Into::into).collect();
        assert_eq!(instances[0].ip(), Some(IpAddr::from([10, 0, 0, 1])));
        assert!(instances[0].is_passing());
        assert_eq!(instances[1].ip(), Some(IpAddr::from([10, 1, 0, 2])));
        assert!(!instances[1].is_passing());
    }
}
