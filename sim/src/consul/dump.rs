//! A lone server's state as a file: written when it stops, read when it starts again.
//!
//! What only lives in a leader's memory is not in it: every session has all of its time again, and a
//! lock-delay is over.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Consul;
use super::agent::Saved;
use super::state::State;

/// The version of the format.
const VERSION: u32 = 1;
/// An index this great has no successor worth the name, and comes from no server.
const INDEX_MAX: u64 = u64::MAX / 2;

/// Why a dump cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It is not one, or damaged.
    #[error("no dump of a fake Consul: {0}")]
    Malformed(#[from] serde_json::Error),
    /// It was written by another version.
    #[error("a dump of version {0}; this reads version {VERSION}")]
    Version(u32),
    /// It is of another datacenter.
    #[error("a dump of datacenter `{0}`, not of `{1}`")]
    Datacenter(String, String),
    /// It says what cannot be.
    #[error("an index of {0} is none a server comes to")]
    Index(u64),
}

#[derive(Serialize, Deserialize)]
struct Head {
    #[serde(rename = "ironbird-consul")]
    version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Dump {
    #[serde(rename = "ironbird-consul")]
    version: u32,
    datacenter: String,
    node_id: String,
    state: State,
    agent: Saved,
}

impl Consul {
    /// What the server holds, as JSON.
    ///
    /// # Errors
    /// Those of the encoder; a state holds nothing that it cannot say.
    pub fn dump(&self) -> serde_json::Result<Vec<u8>> {
        let mut text = serde_json::to_vec_pretty(&Dump {
            version: VERSION,
            datacenter: self.config.datacenter.clone(),
            node_id: self.node_id.clone(),
            state: self.state.clone(),
            agent: self.agent.saved(),
        })?;
        text.push(b'\n');
        Ok(text)
    }

    /// Goes on from what [`Self::dump`] wrote, at `now`. What the server held before is gone.
    ///
    /// # Errors
    /// When it cannot be gone on from; the server is as it was.
    pub fn load(&mut self, now: Duration, dump: &[u8]) -> Result<(), LoadError> {
        let head: Head = serde_json::from_slice(dump)?;
        if head.version != VERSION {
            return Err(LoadError::Version(head.version));
        }
        let Dump { datacenter, node_id, mut state, agent, .. } = serde_json::from_slice(dump)?;
        if datacenter != self.config.datacenter {
            return Err(LoadError::Datacenter(datacenter, self.config.datacenter.clone()));
        }
        if let Some(index) = state.indexes().find(|index| *index > INDEX_MAX) {
            return Err(LoadError::Index(index));
        }
        self.advance(now);
        state.now = self.now;
        self.state = state;
        self.node_id = node_id;
        self.leader_start(self.state.index);
        self.agent_restore(agent);
        self.push();
        self.changed();
        Ok(())
    }
}
