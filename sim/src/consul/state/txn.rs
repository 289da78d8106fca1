//! Transactions: several operations on keys, all of them or none.
//!
//! Every operation is tried even after one has failed, so that a client learns of all that stood in its
//! way; when any did, the whole state is put back as it was.

use std::rc::Rc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::State;
use super::kv::{Entry, Write};
use super::lock::Held;

/// One operation, as asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::consul) struct Operation {
    pub(in crate::consul) verb: String,
    pub(in crate::consul) key: String,
    #[serde(with = "super::base64")]
    pub(in crate::consul) value: Bytes,
    pub(in crate::consul) flags: u64,
    pub(in crate::consul) index: u64,
    pub(in crate::consul) session: String,
}

impl Operation {
    /// Whether it can change anything.
    pub(in crate::consul) fn writes(&self) -> bool {
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
            if let Err(why) = self.operate(index, operation, &mut done) {
                refusals.push(Refusal { operation: number, why });
            }
        }
        if refusals.is_empty() {
            return Ok(done);
        }
        *self = Self { index, ..before };
        Err(refusals)
    }

    /// What is looked at before a transaction is let near the state.
    ///
    /// # Errors
    /// Every operation that is refused.
    pub(in crate::consul) fn precheck(&mut self, operations: &[Operation]) -> Result<(), Vec<Refusal>> {
        let mut refusals = Vec::new();
        for (number, operation) in operations.iter().enumerate() {
            if operation.key.is_empty() && operation.verb != "delete-tree" {
                refusals.push(Refusal { operation: number, why: "Must provide key".to_owned() });
            } else if operation.verb == "lock" && self.lock_delay(&operation.key) {
                let why = format!("failed to lock key {:?} due to lock delay", operation.key);
                refusals.push(Refusal { operation: number, why });
            }
        }
        if refusals.is_empty() { Ok(()) } else { Err(refusals) }
    }

    fn operate(&mut self, index: u64, operation: &Operation, done: &mut Vec<Done>) -> Result<(), String> {
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
