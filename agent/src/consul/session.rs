//! Sessions (`/v1/session`): what holds locks, and loses them when it is not renewed.

use std::time::Duration;

use ::http::Method;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Consul, Path, Result, go_duration, null_as_default};
use crate::host::Host;

/// The calls on sessions of a [`Consul`].
pub struct Session<'a, H: Host>(pub(super) &'a Consul<H>);

/// What becomes of the keys a session holds when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Behavior {
    /// They stay, unlocked.
    #[default]
    Release,
    /// They are removed.
    Delete,
}

/// Which checks end a session when they become critical.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SessionChecks {
    /// The health of the agent's node as the cluster's gossip sees it: Consul's own default.
    #[default]
    SerfHealth,
    /// None: only its TTL and an explicit end.
    None,
    /// These checks of the agent's node, by id; `serfHealth` only if named.
    Of(Vec<String>),
}

/// A session to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionSpec {
    /// A name for people.
    pub name: String,
    /// It ends at the earliest this long after its last renewal, and in practice after twice this.
    /// `None`: it never expires.
    pub ttl: Option<Duration>,
    /// For how long nobody can take a lock that the session lost without releasing it.
    pub lock_delay: Duration,
    /// What becomes of its keys.
    pub behavior: Behavior,
    /// Which checks end it.
    pub checks: SessionChecks,
}

impl SessionSpec {
    /// A session as Consul makes it when nothing is said: no TTL, a lock-delay of 15 s, ended by
    /// `serfHealth`, releasing its keys.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ttl: None,
            lock_delay: Duration::from_secs(15),
            behavior: Behavior::Release,
            checks: SessionChecks::SerfHealth,
        }
    }

    fn body(&self) -> impl Serialize {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Body {
            name: String,
            #[serde(rename = "TTL", skip_serializing_if = "Option::is_none")]
            ttl: Option<String>,
            lock_delay: String,
            behavior: Behavior,
            #[serde(skip_serializing_if = "Option::is_none")]
            node_checks: Option<Vec<String>>,
        }
        Body {
            name: self.name.clone(),
            ttl: self.ttl.map(|ttl| go_duration(ttl).into_owned()),
            lock_delay: go_duration(self.lock_delay).into_owned(),
            behavior: self.behavior,
            node_checks: match &self.checks {
                SessionChecks::SerfHealth => None,
                SessionChecks::None => Some(Vec::new()),
                SessionChecks::Of(checks) => Some(checks.clone()),
            },
        }
    }
}

/// A session as Consul tells it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SessionInfo {
    /// Its id.
    #[serde(rename = "ID")]
    pub id: String,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// The node it belongs to.
    pub node: String,
    /// The lock-delay in nanoseconds.
    #[serde(default)]
    pub lock_delay: u64,
    /// The TTL as it was asked for; empty for none.
    #[serde(rename = "TTL", default)]
    pub ttl: String,
    /// What becomes of its keys.
    #[serde(default)]
    pub behavior: Behavior,
    /// The checks that end it.
    #[serde(default, deserialize_with = "null_as_default")]
    pub node_checks: Vec<String>,
    /// The index at which it was created.
    pub create_index: u64,
}

impl<H: Host> Session<'_, H> {
    /// Creates a session and answers its id.
    ///
    /// # Errors
    /// When there is no usable answer. After an unknown outcome a session may exist that nobody knows
    /// the id of; without a TTL it stays.
    pub async fn create(&self, spec: &SessionSpec) -> Result<String> {
        #[derive(Deserialize)]
        struct Created {
            #[serde(rename = "ID")]
            id: String,
        }
        let created: Created =
            self.0.put(Path::new("/v1/session/create", ""), &spec.body()).await?.ok()?.json()?;
        Ok(created.id)
    }

    /// Starts the session's TTL again. `false`: there is no such session any more, and with it went its
    /// locks. `true` does not say that it still holds any lock.
    ///
    /// # Errors
    /// When there is no usable answer: the session may well be alive.
    pub async fn renew(&self, id: &str) -> Result<bool> {
        let answer = self.0.call(Method::PUT, Path::new("/v1/session/renew/", id), Bytes::new()).await?;
        match answer.status() {
            404 => Ok(false),
            _ => answer.ok().map(|_| true),
        }
    }

    /// Ends a session. One that is already gone is fine. A lock it still holds is subject to its
    /// lock-delay: release first.
    ///
    /// # Errors
    /// When there is no usable answer; see [`super::Error::outcome_unknown`].
    pub async fn destroy(&self, id: &str) -> Result<()> {
        self.0.call(Method::PUT, Path::new("/v1/session/destroy/", id), Bytes::new()).await?.ok().map(drop)
    }

    /// The session, or `None` when there is none with this id.
    ///
    /// # Errors
    /// When there is no usable answer.
    pub async fn info(&self, id: &str) -> Result<Option<SessionInfo>> {
        let sessions: Option<Vec<SessionInfo>> =
            self.0.read(Path::new("/v1/session/info/", id), None).await?.ok()?.json()?;
        Ok(sessions.unwrap_or_default().into_iter().next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specs_are_written_as_consul_reads_them() {
        let mut spec = SessionSpec::new("lock");
        let json = |spec: &SessionSpec| serde_json::to_string(&spec.body()).unwrap();
        assert_eq!(json(&spec), r#"{"Name":"lock","LockDelay":"15s","Behavior":"release"}"#);
        spec.ttl = Some(Duration::from_secs(60));
        spec.lock_delay = Duration::ZERO;
        spec.behavior = Behavior::Delete;
        spec.checks = SessionChecks::None;
        assert_eq!(
            json(&spec),
            r#"{"Name":"lock","TTL":"60s","LockDelay":"0s","Behavior":"delete","NodeChecks":[]}"#
        );
    }

    #[test]
    fn sessions_are_read_as_consul_writes_them() {
        let text = r#"{"ID":"x","Name":"lock","Node":"n1","LockDelay":15000000000,"Behavior":"release",
            "TTL":"10s","NodeChecks":null,"ServiceChecks":null,"CreateIndex":9,"ModifyIndex":9}"#;
        let info: SessionInfo = serde_json::from_str(text).unwrap();
        assert_eq!(info.lock_delay, 15_000_000_000);
        assert_eq!((info.ttl.as_str(), info.node_checks.len()), ("10s", 0));
    }
}
