//! What the handlers ask of Consul.

use std::path::Path;

use super::{Node, Raised, SECOND, say};
use crate::consul::SessionSpec;
use crate::host::Host;
use crate::mysql::Config;

/// Where the session's id is kept between one hook and the next.
const SESSION_FILE: &str = "/tmp/mysql-session";

impl<H: Host> Node<H> {
    /// Who holds the primary's lock.
    pub(super) async fn primary_node(&self) -> Raised<Option<String>> {
        let mut last = String::new();
        for _ in 0..10 {
            match self.consul.kv().get(Config::PRIMARY_KEY).await {
                Ok(Some(entry)) if entry.session.is_some() => {
                    return Ok(Some(String::from_utf8_lossy(&entry.value).into_owned()));
                }
                Ok(_) => return Ok(None),
                Err(error) => last = error.to_string(),
            }
            self.host.sleep(SECOND).await;
        }
        Err(last)
    }

    /// Where the holder of the lock is, once the catalog calls it healthy.
    pub(super) async fn primary_host(&self, primary: &str) -> Raised<String> {
        for _ in 0..30 {
            let instances =
                self.consul.health().service(Config::PRIMARY, true, None).await.unwrap_or_default();
            if let Some(instance) = instances.into_iter().find(|instance| instance.id.ends_with(primary)) {
                return Ok(instance.address);
            }
            self.host.sleep(SECOND).await;
        }
        Err("Tried replication setup, but primary is set and not healthy.".to_owned())
    }

    pub(super) async fn mark_with_session(&self, session: &str) -> Raised<bool> {
        for _ in 0..10 {
            if let Ok(held) =
                self.consul.kv().acquire(Config::PRIMARY_KEY, session, self.host.hostname().to_owned()).await
            {
                return Ok(held);
            }
            self.host.sleep(SECOND).await;
        }
        Err("Could not reach Consul.".to_owned())
    }

    pub(super) async fn session(&self) -> Raised<String> {
        match self.cached_session().await {
            Ok(session) => Ok(session),
            Err(_) => self.create_session().await,
        }
    }

    pub(super) async fn cached_session(&self) -> Raised<String> {
        let content = self.host.read_file(Path::new(SESSION_FILE)).await.map_err(say)?;
        Ok(String::from_utf8_lossy(&content).into_owned())
    }

    pub(super) async fn create_session(&self) -> Raised<String> {
        let spec = SessionSpec {
            ttl: Some(self.config.session_ttl),
            lock_delay: self.config.lock_delay,
            ..SessionSpec::new("mysql-primary-lock")
        };
        let session = self.consul.session().create(&spec).await.map_err(say)?;
        self.host.write_file(Path::new(SESSION_FILE), session.clone().into_bytes()).await.map_err(say)?;
        Ok(session)
    }

    pub(super) async fn get(&self, key: &str) -> Raised<Option<String>> {
        let entry = self.consul.kv().get(key).await.map_err(say)?;
        Ok(entry.map(|entry| String::from_utf8_lossy(&entry.value).into_owned()))
    }
}
