//! What one Consul agent keeps itself (`/v1/agent`): the services and checks registered with it. The
//! agent pushes them to the servers, so an answer here is not yet known to the cluster.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use ::http::Method;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Answer, Consul, Path, Result, go_duration, null_as_default};
use crate::host::Host;

/// The calls on the agent itself of a [`Consul`].
pub struct Agent<'a, H: Host>(pub(super) &'a Consul<H>);

/// The status of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// All is well.
    Passing,
    /// Still in service for Consul's sessions, not for its `?passing` filter.
    Warning,
    /// Out of service.
    Critical,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passing => "passing",
            Self::Warning => "warning",
            Self::Critical => "critical",
        })
    }
}

/// A check that goes critical by itself when it is not updated within its TTL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckSpec {
    /// The check's id. A service's only check is `service:<service id>` when none is given.
    pub id: Option<String>,
    /// The check's name; Consul needs one for a check registered by itself.
    pub name: Option<String>,
    /// The service it belongs to, for a check registered by itself; none for a check of the node.
    pub service_id: Option<String>,
    /// How long an update lasts.
    pub ttl: Duration,
    /// The status before the first update; Consul's default is critical.
    pub status: Option<Status>,
    /// A line for people.
    pub notes: String,
    /// Consul removes the service after it was critical for this long (at least a minute).
    pub deregister_critical_after: Option<Duration>,
}

impl CheckSpec {
    /// A TTL check with Consul's defaults.
    pub fn ttl(ttl: Duration) -> Self {
        Self {
            id: None,
            name: None,
            service_id: None,
            ttl,
            status: None,
            notes: String::new(),
            deregister_critical_after: None,
        }
    }

    /// The body for a check in a service's registration.
    fn body(&self) -> CheckBody<'_> {
        CheckBody {
            id: None,
            check_id: self.id.as_deref(),
            name: self.name.as_deref(),
            service_id: self.service_id.as_deref(),
            ttl: go_duration(self.ttl).into_owned(),
            status: self.status,
            notes: &self.notes,
            deregister_critical_service_after: self
                .deregister_critical_after
                .map(|after| go_duration(after).into_owned()),
        }
    }
}

/// A check; its id has one name where it is registered by itself and another one inside a service.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CheckBody<'a> {
    #[serde(rename = "ID", skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(rename = "CheckID", skip_serializing_if = "Option::is_none")]
    check_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(rename = "ServiceID", skip_serializing_if = "Option::is_none")]
    service_id: Option<&'a str>,
    #[serde(rename = "TTL")]
    ttl: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    #[serde(skip_serializing_if = "str::is_empty")]
    notes: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    deregister_critical_service_after: Option<String>,
}

impl CheckBody<'_> {
    /// The same check, registered by itself.
    fn by_itself(mut self) -> Self {
        self.id = self.check_id.take();
        self
    }
}

/// A service to register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceSpec {
    /// The instance's id, unique on this agent.
    pub id: String,
    /// The service's name.
    pub name: String,
    /// Where it is reached; the node's own address when there is none.
    pub address: Option<IpAddr>,
    /// The port.
    pub port: u16,
    /// Tags.
    pub tags: Vec<String>,
    /// A check registered with it, so that there is never a moment of one without the other.
    pub check: Option<CheckSpec>,
}

impl ServiceSpec {
    fn body(&self) -> impl Serialize {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Body<'a> {
            #[serde(rename = "ID")]
            id: &'a str,
            name: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            address: Option<IpAddr>,
            port: u16,
            tags: &'a [String],
            #[serde(skip_serializing_if = "Option::is_none")]
            check: Option<CheckBody<'a>>,
        }
        Body {
            id: &self.id,
            name: &self.name,
            address: self.address,
            port: self.port,
            tags: &self.tags,
            check: self.check.as_ref().map(CheckSpec::body),
        }
    }
}

/// The agent itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentNode {
    /// What its node is called.
    pub name: String,
    /// The id it drew when its data directory was made.
    pub id: String,
    /// The address it tells others.
    pub address: String,
}

/// A check as the agent tells it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AgentCheck {
    /// The check's id.
    #[serde(rename = "CheckID")]
    pub id: String,
    /// The check's name.
    pub name: String,
    /// Its status.
    pub status: Status,
    /// What it last said.
    #[serde(default)]
    pub output: String,
    /// The service it belongs to; empty for a check of the node.
    #[serde(rename = "ServiceID", default)]
    pub service_id: String,
}

/// A service as the agent tells it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AgentService {
    /// The instance's id.
    #[serde(rename = "ID")]
    pub id: String,
    /// The service's name.
    #[serde(rename = "Service")]
    pub name: String,
    /// Where it is reached; empty for the node's own address.
    #[serde(default)]
    pub address: String,
    /// The port.
    #[serde(default)]
    pub port: u16,
    /// Tags.
    #[serde(default, deserialize_with = "null_as_default")]
    pub tags: Vec<String>,
}

impl<H: Host> Agent<'_, H> {
    /// Registers a service, or replaces the registration with the same id. A check that is already there
    /// keeps its status. The agent answers before the cluster knows.
    ///
    /// # Errors
    /// When there is no usable answer; see [`super::Error::outcome_unknown`].
    pub async fn register_service(&self, service: &ServiceSpec) -> Result<()> {
        self.0.put(Path::new("/v1/agent/service/register", ""), &service.body()).await?.ok().map(drop)
    }

    /// Removes a service and its checks. One that is not there is fine.
    ///
    /// # Errors
    /// When there is no usable answer; see [`super::Error::outcome_unknown`].
    pub async fn deregister_service(&self, id: &str) -> Result<()> {
        let answer =
            self.0.call(Method::PUT, Path::new("/v1/agent/service/deregister/", id), Bytes::new()).await?;
        // Consul up to 1.x answers 200 for an unknown id, later ones 404.
        if answer.status() == 404 {
            return Ok(());
        }
        answer.ok().map(drop)
    }

    /// Registers a check by itself.
    ///
    /// # Errors
    /// When there is no usable answer; see [`super::Error::outcome_unknown`].
    pub async fn register_check(&self, check: &CheckSpec) -> Result<()> {
        self.0.put(Path::new("/v1/agent/check/register", ""), &check.body().by_itself()).await?.ok().map(drop)
    }

    /// Sets the status of a TTL check and starts its TTL again.
    ///
    /// # Errors
    /// Status 500 or 404 when the agent has no such check: it was restarted without its data, or somebody
    /// removed the service. Otherwise when there is no usable answer.
    pub async fn update_check(&self, id: &str, status: Status, output: &str) -> Result<()> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Update<'a> {
            status: Status,
            output: &'a str,
        }
        self.0.put(Path::new("/v1/agent/check/update/", id), &Update { status, output }).await?.ok().map(drop)
    }

    /// Sets a TTL check to passing and starts its TTL again, as [`Agent::update_check`] by the older way.
    ///
    /// # Errors
    /// As [`Agent::update_check`].
    pub async fn pass_check(&self, id: &str) -> Result<()> {
        self.0
            .call(Method::PUT, Path::new("/v1/agent/check/pass/", id).with("note", "ok"), Bytes::new())
            .await?
            .ok()
            .map(drop)
    }

    /// Who the agent is.
    ///
    /// # Errors
    /// When there is no usable answer.
    pub async fn node(&self) -> Result<AgentNode> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Itself {
            config: Config,
            member: Member,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Config {
            node_name: String,
            #[serde(rename = "NodeID")]
            node_id: String,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Member {
            addr: String,
        }
        let Itself { config, member } = self.get("/v1/agent/self").await?.json()?;
        Ok(AgentNode { name: config.node_name, id: config.node_id, address: member.addr })
    }

    /// All checks of this agent, by id.
    ///
    /// # Errors
    /// When there is no usable answer.
    pub async fn checks(&self) -> Result<BTreeMap<String, AgentCheck>> {
        self.get("/v1/agent/checks").await?.json()
    }

    /// All services of this agent, by id.
    ///
    /// # Errors
    /// When there is no usable answer.
    pub async fn services(&self) -> Result<BTreeMap<String, AgentService>> {
        self.get("/v1/agent/services").await?.json()
    }

    async fn get(&self, path: &str) -> Result<Answer> {
        self.0.call(Method::GET, Path::new(path, ""), Bytes::new()).await?.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_and_its_check_are_written_as_consul_reads_them() {
        let mut check = CheckSpec::ttl(Duration::from_secs(25));
        check.status = Some(Status::Passing);
        check.notes = "TTL".to_owned();
        check.deregister_critical_after = Some(Duration::from_secs(90));
        let service = ServiceSpec {
            id: "web-h1".into(),
            name: "web".into(),
            address: Some(IpAddr::from([10, 0, 0, 1])),
            port: 80,
            tags: vec!["a".into()],
            check: Some(check),
        };
        assert_eq!(
            serde_json::to_string(&service.body()).unwrap(),
            r#"{"ID":"web-h1","Name":"web","Address":"10.0.0.1","Port":80,"Tags":["a"],"Check":{"TTL":"25s","Status":"passing","Notes":"TTL","DeregisterCriticalServiceAfter":"90s"}}"#
        );
    }

    #[test]
    fn a_check_by_itself_has_consuls_defaults() {
        let mut check = CheckSpec::ttl(Duration::from_millis(1500));
        check.id = Some("c".into());
        check.name = Some("n".into());
        check.service_id = Some("s".into());
        assert_eq!(
            serde_json::to_string(&check.body().by_itself()).unwrap(),
            r#"{"ID":"c","Name":"n","ServiceID":"s","TTL":"1500ms"}"#
        );
    }

    #[test]
    fn services_and_checks_are_read_as_consul_writes_them() {
        let services: BTreeMap<String, AgentService> = serde_json::from_str(
            r#"{"web-h1":{"ID":"web-h1","Service":"web","Tags":null,"Meta":{},"Port":80,"Address":"",
                "Weights":{"Passing":1,"Warning":1},"EnableTagOverride":false}}"#,
        )
        .unwrap();
        assert_eq!(services["web-h1"].name, "web");
        let checks: BTreeMap<String, AgentCheck> = serde_json::from_str(
            r#"{"service:web-h1":{"Node":"n","CheckID":"service:web-h1","Name":"Service 'web' check",
                "Status":"critical","Notes":"","Output":"TTL expired","ServiceID":"web-h1",
                "ServiceName":"web","ServiceTags":[],"Type":"ttl","Definition":{},"CreateIndex":0,"ModifyIndex":0}}"#,
        )
        .unwrap();
        assert_eq!(checks["service:web-h1"].status, Status::Critical);
    }
}
