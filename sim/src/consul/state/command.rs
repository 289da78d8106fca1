//! The commands of the log, and what each comes to.

use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::State;
use super::catalog::{Catalog, Check, Coordinate, Node, Service};
use super::kv::Write;
use super::session::New;
use super::txn::{Done, Operation, Refusal};

/// One write, as the log carries it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::consul) enum Command {
    /// Writes a key.
    Set(Write),
    /// Writes a key that has not changed since an index.
    SetCas(Write, u64),
    /// Locks a key for a session and writes it.
    Lock(Write, String),
    /// Writes a key and gives up the session's lock of it.
    Unlock(Write, String),
    /// Deletes a key.
    Delete(String),
    /// Deletes a key that has not changed since an index.
    DeleteCas(String, u64),
    /// Deletes every key under a prefix.
    DeleteTree(String),
    /// All of these, or none.
    Txn(Vec<Operation>),
    /// Begins a session.
    SessionCreate(New),
    /// Ends a session; the text says why.
    SessionDestroy(String, String),
    /// Enters or changes a node, an instance on it and checks.
    Register(Box<Registration>),
    /// Removes one of them.
    Deregister(Deregistration),
    /// Enters where nodes are.
    Coordinates(Vec<Coordinate>),
    /// Forgets the tombstones up to an index.
    Reap(u64),
}

/// What is entered into the catalog in one go.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(in crate::consul) struct Registration {
    pub(in crate::consul) node: Option<NodeUpdate>,
    pub(in crate::consul) service: Option<Service>,
    pub(in crate::consul) checks: Vec<Check>,
}

/// A node, and what to do when it is there already.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(in crate::consul) struct NodeUpdate {
    pub(in crate::consul) node: Node,
    /// Leaves a node that is there as it is.
    pub(in crate::consul) only_if_missing: bool,
}

impl NodeUpdate {
    /// Whether there is anything for it to change.
    pub(super) fn applies_to(&self, catalog: &Catalog) -> bool {
        !self.only_if_missing || catalog.node(&self.node.name).is_none()
    }
}

/// What is removed from the catalog: an instance, or else a check, or else the whole node.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(in crate::consul) struct Deregistration {
    pub(in crate::consul) node: String,
    pub(in crate::consul) service: String,
    pub(in crate::consul) check: String,
}

/// What a command came to.
#[derive(Debug)]
pub(in crate::consul) enum Applied {
    /// It went well, and there is no more to say.
    Done,
    /// Whether it found what it asked for and was carried out.
    If(bool),
    /// The session it began.
    Session(Rc<str>),
    /// The results of a transaction, or all that stood in its way.
    Txn(Result<Vec<Done>, Vec<Refusal>>),
    /// It could not be carried out; Consul's text says why.
    Failed(String),
    /// Whoever asked may not; Consul's text says so.
    Denied(String),
}

impl Command {
    pub(super) fn apply(&self, state: &mut State, index: u64) -> Applied {
        match self {
            Self::Set(write) => {
                state.kv_set(index, write.clone());
                Applied::If(true)
            }
            Self::SetCas(write, cas) => Applied::If(state.kv_set_cas(index, write.clone(), *cas).is_some()),
            Self::Lock(write, session) => match state.kv_lock(index, write.clone(), session) {
                Ok(outcome) => Applied::If(outcome.is_ok()),
                Err(why) => Applied::Failed(why),
            },
            Self::Unlock(write, session) => match state.kv_unlock(index, write.clone(), session) {
                Ok(entry) => Applied::If(entry.is_some()),
                Err(why) => Applied::Failed(why),
            },
            Self::Delete(key) => {
                state.kv_delete(index, key);
                Applied::If(true)
            }
            Self::DeleteCas(key, cas) => Applied::If(state.kv_delete_cas(index, key, *cas)),
            Self::DeleteTree(prefix) => {
                state.kv_delete_tree(index, prefix);
                Applied::If(true)
            }
            Self::Txn(operations) => Applied::Txn(state.transact(index, operations)),
            Self::SessionCreate(new) => match state.session_create(index, new) {
                Ok(id) => Applied::Session(id),
                Err(why) => Applied::Failed(why),
            },
            Self::SessionDestroy(id, why) => match state.session_end(index, id, why) {
                Ok(()) => Applied::If(true),
                Err(why) => Applied::Failed(why),
            },
            Self::Register(registration) => match state.register(index, registration) {
                Ok(()) => Applied::If(true),
                Err(why) => Applied::Failed(why),
            },
            Self::Deregister(deregistration) => {
                state.deregister(index, deregistration);
                Applied::If(true)
            }
            Self::Coordinates(coordinates) => {
                state.coordinates_put(index, coordinates);
                Applied::Done
            }
            Self::Reap(upto) => {
                state.kv.reap(*upto);
                Applied::Done
            }
        }
    }
}
