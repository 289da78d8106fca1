//! Transactions: several operations on keys, all of them or none.
//!
//! Every operation is tried even after one has failed, so that a client learns of all that stood in its
//! way; when any did, the table, the timers and the events are put back as they were.

use std::rc::Rc;

use bytes::Bytes;

use super::Consul;
use super::kv::{Entry, Write};
use super::lock::Refused;

/// One operation, as asked for.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    pub(super) verb: String,
    pub(super) key: String,
    pub(super) value: Bytes,
    pub(super) flags: u64,
    pub(super) index: u64,
    pub(super) session: String,
}

impl Operation {
    /// Whether it can change anything.
    pub(super) fn writes(&self) -> bool {
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
pub(super) enum Done {
    /// An entry it wrote or compared.
    Wrote(Rc<Entry>),
    /// An entry it read.
    Read(Rc<Entry>),
}

/// An operation that did not go well.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) operation: usize,
    pub(super) why: String,
}

impl Consul {
    /// Applies all operations, or none.
    ///
    /// # Errors
    /// Every operation that was refused.
    pub(super) fn transact(
        &mut self,
        operations: &[Operation],
        read_only: bool,
    ) -> Result<Vec<Done>, Vec<Refusal>> {
        let mut refusals = Vec::new();
        for (number, operation) in operations.iter().enumerate() {
            if let Err(why) = self.precheck(operation) {
                refusals.push(Refusal { operation: number, why });
            }
        }
        if !refusals.is_empty() {
            return Err(refusals);
        }
        let before = (!read_only).then(|| (self.kv.clone(), self.timers.mark(), self.events.len()));
        let index = if read_only { self.index } else { self.next_index() };
        let mut done = Vec::new();
        for (number, operation) in operations.iter().enumerate() {
            if let Err(why) = self.operate(index, operation, &mut done) {
                refusals.push(Refusal { operation: number, why });
            }
        }
        if refusals.is_empty() {
            return Ok(done);
        }
        if let Some((kv, timers, events)) = before {
            self.kv = kv;
            self.timers.undo(timers);
            self.events.truncate(events);
        }
        Err(refusals)
    }

    /// What the leader looks at before it lets the others see a transaction.
    fn precheck(&mut self, operation: &Operation) -> Result<(), String> {
        if operation.key.is_empty() && operation.verb != "delete-tree" {
            return Err("Must provide key".to_owned());
        }
        if operation.verb == "lock" && self.lock_delay(&operation.key) {
            return Err(format!("failed to lock key {:?} due to lock delay", operation.key));
        }
        Ok(())
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
                Err(Refused::Held) => {
                    return Err(format!("failed to lock key {key:?}, lock is already held"));
                }
                Err(Refused::LockDelay) => {
                    return Err(format!("failed to lock key {key:?} due to lock delay"));
                }
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
