//! What an instance must still know after a crash: one small file in the data directory.
//!
//! How far the data directory has come is a [`Phase`], written *before* anything of the phase happens. Up
//! to [`Phase::Restored`] and [`Phase::Installed`] a crash leaves something half done, which is removed and
//! begun again; from there on every step can be repeated on what is there.
//!
//! The newest reign the instance knew of is written before anything is done on account of it. So terms go
//! on growing where Consul lost everything, and an election still knows whom to hear.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::view::Leader;
use super::{Role, say};
use crate::host::Host;
use crate::mysql::Config;

/// Where the notes are.
const FILE: &str = "/var/lib/mysql/ironbird.json";

/// How far the data directory has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Phase {
    /// Nothing is there that could be kept.
    #[default]
    None,
    /// A snapshot is being put there.
    Restoring,
    /// A snapshot is there, complete.
    Restored,
    /// An empty database is being set up.
    Installing,
    /// An empty database is there; users and schema are not, or not all.
    Installed,
    /// It has been part of the cluster.
    Joined,
}

impl Phase {
    /// Whether a database can be started on it.
    pub(super) fn is_complete(self) -> bool {
        matches!(self, Self::Restored | Self::Installed | Self::Joined)
    }
}

/// The notes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Notes {
    pub(super) phase: Phase,
    /// The newest reign.
    pub(super) reign: Option<Leader>,
}

impl<H: Host> Role<H> {
    /// Reads the notes. None, or unreadable ones, are those of an empty instance: what cannot be told to
    /// be complete is not.
    pub(super) async fn read_notes(&self) {
        let content = self.host.read_file(Path::new(FILE)).await.unwrap_or_default();
        self.notes.replace(serde_json::from_slice(&content).unwrap_or_default());
    }

    async fn write_notes(&self, notes: Notes) -> Result<(), String> {
        if *self.notes.borrow() != notes {
            let content = serde_json::to_vec(&notes).map_err(say)?;
            self.host.write_file(Path::new(FILE), content).await.map_err(say)?;
            self.notes.replace(notes);
        }
        Ok(())
    }

    pub(super) async fn enter_phase(&self, phase: Phase) -> Result<(), String> {
        let notes = Notes { phase, ..self.notes.borrow().clone() };
        self.write_notes(notes).await
    }

    /// Remembers a reign, unless a newer one is known.
    pub(super) async fn remember(&self, reign: Option<&Leader>) -> Result<(), String> {
        let notes = self.notes.borrow().clone();
        match reign {
            Some(reign) if notes.reign.as_ref().is_none_or(|known| known.age() < reign.age()) => {
                self.write_notes(Notes { reign: Some(reign.clone()), ..notes }).await
            }
            _ => Ok(()),
        }
    }

    /// Removes the data directory, but not the memory, and enters `phase`.
    pub(super) async fn wipe(&self, phase: Phase) -> Result<(), String> {
        self.host.remove(Path::new(Config::DATA_DIRECTORY)).await.map_err(say)?;
        let Notes { reign, .. } = self.notes.take();
        self.write_notes(Notes { phase, reign }).await
    }
}
