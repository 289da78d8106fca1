//! Transactions (`/v1/txn`) over keys, and over nodes as far as the name of one is to be given to another: all of
//! the operations, or none. With [`TxnOp::CheckSession`] first they are the way to write only while still holding a lock.

use serde::{Deserialize, Serialize};

use super::kv::{KvEntry, to_base64};
use super::{AgentNode, Consul, Path, Result, Status, null_as_default};
use crate::host::Host;

/// One operation of a transaction. Consul takes at most 64 at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TxnOp {
    /// Writes a value.
    Set {
        /// The key.
        key: String,
        /// The value.
        value: Vec<u8>,
    },
    /// Writes a value if the key's modify index is `index`, or with 0 if there is no such key.
    Cas {
        /// The key.
        key: String,
        /// The modify index it must have.
        index: u64,
        /// The value.
        value: Vec<u8>,
    },
    /// Writes a value and takes the key's lock, which must be free or the session's own.
    Lock {
        /// The key.
        key: String,
        /// The session.
        session: String,
        /// The value.
        value: Vec<u8>,
    },
    /// Writes a value and gives up the key's lock, which the session must hold.
    Unlock {
        /// The key.
        key: String,
        /// The session.
        session: String,
        /// The value.
        value: Vec<u8>,
    },
    /// Reads a key, which must be there.
    Get {
        /// The key.
        key: String,
    },
    /// Fails unless the key's modify index is `index`.
    CheckIndex {
        /// The key.
        key: String,
        /// The modify index it must have.
        index: u64,
    },
    /// Fails unless `session` holds the key's lock.
    CheckSession {
        /// The key.
        key: String,
        /// The session.
        session: String,
    },
    /// Fails if there is such a key.
    CheckNotExists {
        /// The key.
        key: String,
    },
    /// Removes a key; removing what is not there is fine.
    Delete {
        /// The key.
        key: String,
    },
    /// Writes a node, if the modify index of the one that has its name is `index`.
    CasNode {
        /// The node.
        node: AgentNode,
        /// The modify index it must have.
        index: u64,
    },
    /// Says whether gossip takes a node for alive.
    SetNodeHealth {
        /// What the node is called.
        node: String,
        /// Whether it does.
        passing: bool,
    },
}

/// Why a transaction was not carried out. Nothing of it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TxnConflict {
    /// What each failed operation met.
    pub errors: Vec<TxnError>,
}

impl std::fmt::Display for TxnConflict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("transaction rolled back")?;
        self.errors.iter().enumerate().try_for_each(|(nth, error)| {
            let separator = if nth == 0 { ": " } else { "; " };
            write!(f, "{separator}operation {}: {}", error.op_index, error.what)
        })
    }
}

/// What one operation met.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TxnError {
    /// Which operation, from 0.
    pub op_index: usize,
    /// Consul's words.
    pub what: String,
}

#[derive(Serialize)]
enum Wrapped<'a> {
    #[serde(rename = "KV")]
    Kv(RawOp<'a>),
    Node(RawNodeOp<'a>),
    Check(RawCheckOp<'a>),
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RawNodeOp<'a> {
    verb: &'static str,
    node: RawNode<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RawNode<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    node: &'a str,
    address: &'a str,
    modify_index: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RawCheckOp<'a> {
    verb: &'static str,
    check: RawCheck<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RawCheck<'a> {
    node: &'a str,
    #[serde(rename = "CheckID")]
    id: &'static str,
    name: &'static str,
    status: Status,
    output: &'static str,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "PascalCase")]
struct RawOp<'a> {
    verb: &'static str,
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<&'a str>,
}

impl TxnOp {
    fn raw(&self) -> Wrapped<'_> {
        let mut op = RawOp::default();
        match self {
            Self::Set { key, value } => {
                op.verb = "set";
                op.key = key;
                op.value = Some(to_base64(value));
            }
            Self::Cas { key, index, value } => {
                op.verb = "cas";
                op.key = key;
                op.value = Some(to_base64(value));
                op.index = Some(*index);
            }
            Self::Lock { key, session, value } => {
                op.verb = "lock";
                op.key = key;
                op.value = Some(to_base64(value));
                op.session = Some(session);
            }
            Self::Unlock { key, session, value } => {
                op.verb = "unlock";
                op.key = key;
                op.value = Some(to_base64(value));
                op.session = Some(session);
            }
            Self::Get { key } => {
                op.verb = "get";
                op.key = key;
            }
            Self::CheckIndex { key, index } => {
                op.verb = "check-index";
                op.key = key;
                op.index = Some(*index);
            }
            Self::CheckSession { key, session } => {
                op.verb = "check-session";
                op.key = key;
                op.session = Some(session);
            }
            Self::CheckNotExists { key } => {
                op.verb = "check-not-exists";
                op.key = key;
            }
            Self::Delete { key } => {
                op.verb = "delete";
                op.key = key;
            }
            Self::CasNode { node: AgentNode { name, id, address }, index } => {
                let node = RawNode { id, node: name, address, modify_index: *index };
                return Wrapped::Node(RawNodeOp { verb: "cas", node });
            }
            Self::SetNodeHealth { node, passing } => {
                // In a leader's own words, so that it finds nothing to put right.
                let (status, output) = match passing {
                    true => (Status::Passing, "Agent alive and reachable"),
                    false => (Status::Critical, "Agent not live or unreachable"),
                };
                let check = RawCheck { node, id: "serfHealth", name: "Serf Health Status", status, output };
                return Wrapped::Check(RawCheckOp { verb: "set", check });
            }
        }
        Wrapped::Kv(op)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Outcome {
    #[serde(default, deserialize_with = "null_as_default")]
    results: Vec<RawResult>,
    #[serde(default, deserialize_with = "null_as_default")]
    errors: Vec<TxnError>,
}

#[derive(Deserialize)]
struct RawResult {
    /// Nothing for an operation on something else.
    #[serde(rename = "KV")]
    kv: Option<KvEntry>,
}

impl<H: Host> Consul<H> {
    /// Carries out all of `ops`, in order, or none. Answers one entry for each that writes or reads a
    /// key, with its value only for [`TxnOp::Get`].
    ///
    /// # Errors
    /// The outer one when there is no usable answer, see [`super::Error::outcome_unknown`]; the inner one
    /// when an operation could not be done and so nothing was.
    pub async fn txn(&self, ops: &[TxnOp]) -> Result<std::result::Result<Vec<KvEntry>, TxnConflict>> {
        let body: Vec<Wrapped<'_>> = ops.iter().map(TxnOp::raw).collect();
        let answer = self.put(Path::new("/v1/txn", ""), &body).await?;
        if answer.status() == 409 {
            let outcome: Outcome = answer.json()?;
            return Ok(Err(TxnConflict { errors: outcome.errors }));
        }
        let outcome: Outcome = answer.ok()?.json()?;
        Ok(Ok(outcome.results.into_iter().filter_map(|result| result.kv).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_written_as_consul_reads_them() {
        let (key, session) = ("k".to_owned(), "s".to_owned());
        let ops = [
            TxnOp::CheckSession { key: key.clone(), session: session.clone() },
            TxnOp::Cas { key: key.clone(), index: 0, value: b"v".to_vec() },
            TxnOp::Unlock { key: key.clone(), session, value: Vec::new() },
            TxnOp::CheckNotExists { key },
            TxnOp::SetNodeHealth { node: "n".to_owned(), passing: false },
            TxnOp::CasNode {
                node: AgentNode { name: "n".into(), id: "i".into(), address: "a".into() },
                index: 11,
            },
        ];
        let raw: Vec<_> = ops.iter().map(TxnOp::raw).collect();
        assert_eq!(
            serde_json::to_string(&raw).unwrap(),
            concat!(
                r#"[{"KV":{"Verb":"check-session","Key":"k","Session":"s"}},"#,
                r#"{"KV":{"Verb":"cas","Key":"k","Value":"dg==","Index":0}},"#,
                r#"{"KV":{"Verb":"unlock","Key":"k","Value":"","Session":"s"}},"#,
                r#"{"KV":{"Verb":"check-not-exists","Key":"k"}},"#,
                r#"{"Check":{"Verb":"set","Check":{"Node":"n","CheckID":"serfHealth","Name":"Serf Health Status","#,
                r#""Status":"critical","Output":"Agent not live or unreachable"}}},"#,
                r#"{"Node":{"Verb":"cas","Node":{"ID":"i","Node":"n","Address":"a","ModifyIndex":11}}}]"#,
            )
        );
    }

    #[test]
    fn outcomes_are_read_as_consul_writes_them() {
        let done: Outcome = serde_json::from_str(
            r#"{"Results":[{"KV":{"LockIndex":0,"Key":"k","Flags":0,"Value":null,"CreateIndex":4,"ModifyIndex":9}}],"Errors":null}"#,
        )
        .unwrap();
        assert_eq!((done.results[0].kv.as_ref().unwrap().modify_index, done.errors.len()), (9, 0));
        let failed: Outcome =
            serde_json::from_str(r#"{"Results":null,"Errors":[{"OpIndex":1,"What":"no"}]}"#).unwrap();
        let conflict = TxnConflict { errors: failed.errors };
        assert_eq!(conflict.to_string(), "transaction rolled back: operation 1: no");
    }
}
