//! Transactions: several operations on keys, nodes, services and checks, all of them or none.
//!
//! Every operation is tried even after one has failed, so that a client learns of all that stood in its
//! way; when any did, the whole state is put back as it was.

use std::rc::Rc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::catalog::{Check, Node, Service};
use super::kv::{Entry, Write};
use super::lock::Held;
use super::{State, rules};

/// One operation, as asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::consul) enum Operation {
    /// On a key.
    Kv(KvOperation),
    /// On a row of the catalog, by this verb. The index it is to have is in the row.
    Node(String, Box<Node>),
    /// See [`Self::Node`].
    Service(String, Box<Service>),
    /// See [`Self::Node`].
    Check(String, Box<Check>),
}

impl Operation {
    /// Whether it can change anything.
    pub(in crate::consul) fn writes(&self) -> bool {
        match self {
            Self::Kv(operation) => operation.writes(),
            Self::Node(verb, _) | Self::Service(verb, _) | Self::Check(verb, _) => verb != "get",
        }
    }
}

/// An operation on a key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::consul) struct KvOperation {
    pub(in crate::consul) verb: String,
    pub(in crate::consul) key: String,
    #[serde(with = "super::base64")]
    pub(in crate::consul) value: Bytes,
    pub(in crate::consul) flags: u64,
    pub(in crate::consul) index: u64,
    pub(in crate::consul) session: String,
}

impl KvOperation {
    fn writes(&self) -> bool {
        matches!(
            self.verb.as_str(),
            "set" | "cas" | "lock" | "unlock" | "delete" | "delete-cas" | "delete-tree"
        )
    }

    fn write(&self) -> Write {
        Write { key: self.key.as_str().into(), value: self.value.clone(), flags: self.flags }
    }
}

/// What an operation that went well has to show.
#[derive(Debug)]
pub(in crate::consul) enum Done {
    /// An entry it wrote or compared.
    Wrote(Rc<Entry>),
    /// An entry it read.
    Read(Rc<Entry>),
    /// A row of the catalog, as it is now.
    Node(Rc<Node>),
    /// See [`Self::Node`].
    Service(Rc<Service>),
    /// See [`Self::Node`].
    Check(Rc<Check>),
}

/// An operation that did not go well.
#[derive(Debug)]
pub(in crate::consul) struct Refusal {
    pub(in crate::consul) operation: usize,
    pub(in crate::consul) why: String,
}

impl State {
    /// Applies all operations, or none.
    ///
    /// # Errors
    /// Every operation that was refused.
    pub(in crate::consul) fn transact(
        &mut self,
        index: u64,
        operations: &[Operation],
    ) -> Result<Vec<Done>, Vec<Refusal>> {
        let before = self.clone();
        let mut refusals = Vec::new();
        let mut done = Vec::new();
        for (number, operation) in operations.iter().enumerate() {
            let outcome = match operation {
                Operation::Kv(operation) => self.operate(index, operation, &mut done),
                Operation::Node(verb, node) => self.operate_node(index, verb, node, &mut done),
                Operation::Service(verb, service) => self.operate_service(index, verb, service, &mut done),
                Operation::Check(verb, check) => self.operate_check(index, verb, check, &mut done),
            };
            if let Err(why) = outcome {
                refusals.push(Refusal { operation: number, why });
            }
        }
        if refusals.is_empty() {
            return Ok(done);
        }
        *self = Self { index, ..before };
        Err(refusals)
    }

    /// Settles what a transaction leaves open, before it is let near the state. Of its operations, some may
    /// be `denied` already.
    ///
    /// # Errors
    /// Every operation that is refused.
    pub(in crate::consul) fn precheck(
        &mut self,
        operations: &mut [Operation],
        denied: Vec<Refusal>,
    ) -> Result<(), Vec<Refusal>> {
        let mut refusals = denied;
        for (number, operation) in operations.iter_mut().enumerate() {
            let outcome = match operation {
                Operation::Kv(operation) => self.precheck_kv(operation),
                Operation::Node(verb, node) if verb != "get" => rules::named(node),
                Operation::Service(verb, service) if verb != "get" => rules::settle_service(service),
                Operation::Check(verb, check) if verb != "get" => {
                    rules::settle_check(check);
                    Ok(())
                }
                Operation::Node(..) | Operation::Service(..) | Operation::Check(..) => Ok(()),
            };
            if let Err(why) = outcome
                && refusals.iter().all(|refusal| refusal.operation != number)
            {
                refusals.push(Refusal { operation: number, why });
            }
        }
        refusals.sort_by_key(|refusal| refusal.operation);
        if refusals.is_empty() { Ok(()) } else { Err(refusals) }
    }

    fn precheck_kv(&mut self, operation: &KvOperation) -> Result<(), String> {
        if operation.key.is_empty() && operation.verb != "delete-tree" {
            return Err("Must provide key".to_owned());
        }
        if operation.verb == "lock" && self.lock_delay(&operation.key) {
            return Err(format!("failed to lock key {:?} due to lock delay", operation.key));
        }
        Ok(())
    }

    fn operate(&mut self, index: u64, operation: &KvOperation, done: &mut Vec<Done>) -> Result<(), String> {
        let key = operation.key.as_str();
        let wrote = match operation.verb.as_str() {
            "set" => self.kv_set(index, operation.write()),
            "cas" => match self.kv_set_cas(index, operation.write(), operation.index) {
                Some(entry) => entry,
                None => return Err(format!("failed to set key {key:?}, index is stale")),
            },
            "lock" => match self.kv_lock(index, operation.write(), &operation.session)? {
                Ok(entry) => entry,
                Err(Held) => return Err(format!("failed to lock key {key:?}, lock is already held")),
            },
            "unlock" => match self.kv_unlock(index, operation.write(), &operation.session)? {
                Some(entry) => entry,
                None => {
                    return Err(format!(
                        "failed to unlock key {key:?}, lock isn't held, or is held by another session"
                    ));
                }
            },
            "get" => match self.kv.get(key) {
                Some(entry) => {
                    done.push(Done::Read(Rc::clone(entry)));
                    return Ok(());
                }
                None => return Err(format!("key {key:?} doesn't exist")),
            },
            "get-tree" => {
                done.extend(self.kv.under(key).cloned().map(Done::Read));
                return Ok(());
            }
            "check-index" => match self.kv.get(key) {
                None => return Err(format!("failed to check index, key {key:?} doesn't exist")),
                Some(entry) if entry.modify_index != operation.index => {
                    return Err(format!(
                        "failed index check for key {key:?}, current modify index {} != {}",
                        entry.modify_index, operation.index
                    ));
                }
                Some(entry) => Rc::clone(entry),
            },
            "check-session" => match self.kv.get(key) {
                None => return Err(format!("failed to check session, key {key:?} doesn't exist")),
                Some(entry) => {
                    let current = entry.session.as_deref().unwrap_or_default();
                    if current != operation.session {
                        return Err(format!(
                            "failed session check for key {key:?}, current session {current:?} != {:?}",
                            operation.session
                        ));
                    }
                    Rc::clone(entry)
                }
            },
            "check-not-exists" => {
                return match self.kv.get(key) {
                    Some(_) => Err(format!("key {key:?} exists")),
                    None => Ok(()),
                };
            }
            "delete" => {
                self.kv_delete(index, key);
                return Ok(());
            }
            "delete-cas" => {
                return match self.kv_delete_cas(index, key, operation.index) {
                    true => Ok(()),
                    false => Err(format!("failed to delete key {key:?}, index is stale")),
                };
            }
            "delete-tree" => {
                self.kv_delete_tree(index, key);
                return Ok(());
            }
            verb => return Err(format!("unknown KV verb {verb:?}")),
        };
        done.push(Done::Wrote(wrote));
        Ok(())
    }
}
