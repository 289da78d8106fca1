//! How a client finds the primary and the replicas.

use std::cell::Cell;
use std::net::SocketAddr;

use ironbird_agent::consul::{Consul, ServiceInstance};
use ironbird_agent::mysql::Config;
use rand::seq::IndexedRandom;
use serde::Deserialize;

use crate::machine::SimHost;
use crate::mysql::PORT;
use crate::spec::Mode;

/// A primary as a client found it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Primary {
    pub(super) name: String,
    pub(super) address: SocketAddr,
    /// The term it leads in; 0 where nothing says so.
    pub(super) term: u64,
}

/// What a client reads of the lock's value.
#[derive(Debug, Deserialize)]
struct Leader {
    holder: String,
    address: String,
    term: u64,
}

/// Asks Consul.
pub(super) struct Finder {
    consul: Consul<SimHost>,
    mode: Mode,
    /// The latest term seen.
    term: Cell<u64>,
}

impl Finder {
    pub(super) fn new(consul: Consul<SimHost>, mode: Mode) -> Self {
        Self { consul, mode, term: Cell::new(0) }
    }

    /// The latest term seen; 0 when terms say nothing.
    pub(super) fn term(&self) -> u64 {
        self.term.get()
    }

    /// The primary.
    pub(super) async fn primary(&self, host: &SimHost) -> Result<Primary, String> {
        match self.mode {
            Mode::Catalog => {
                let instances = self.passing(Config::PRIMARY).await?;
                let (name, address) = place(host, instances.first().ok_or("no primary in the catalog")?)?;
                Ok(Primary { name, address, term: 0 })
            }
            Mode::Fenced => self.holder().await,
        }
    }

    /// Who holds the lock, if not for an earlier term than was seen before.
    async fn holder(&self) -> Result<Primary, String> {
        let entry = self.consul.kv().get(Config::PRIMARY_KEY).await.map_err(|error| error.to_string())?;
        let entry = entry.filter(|entry| entry.session.is_some()).ok_or("nobody holds the primary's lock")?;
        let Leader { holder, address, term } =
            serde_json::from_slice(&entry.value).map_err(|_| "the primary's lock names no term")?;
        if term < self.term.get() {
            return Err(format!("the lock says term {term}, and {} has been seen", self.term.get()));
        }
        self.term.set(term);
        let ip = address.parse().map_err(|_| format!("`{address}` is not an address"))?;
        Ok(Primary { name: holder, address: SocketAddr::new(ip, PORT), term })
    }

    /// One of the replicas, drawn.
    pub(super) async fn replica(
        &self,
        host: &SimHost,
        random: &mut impl rand::Rng,
    ) -> Result<Option<(String, SocketAddr)>, String> {
        let instances = self.passing(Config::REPLICA).await?;
        instances.choose(random).map(|instance| place(host, instance)).transpose()
    }

    async fn passing(&self, service: &str) -> Result<Vec<ServiceInstance>, String> {
        self.consul.health().service(service, true, None).await.map_err(|error| error.to_string())
    }
}

/// An instance's name and where its database is.
fn place(host: &SimHost, instance: &ServiceInstance) -> Result<(String, SocketAddr), String> {
    let ip = instance.ip().ok_or_else(|| format!("`{}` is not an address", instance.address))?;
    Ok((host.machine().name_of(&instance.address), SocketAddr::new(ip, PORT)))
}
