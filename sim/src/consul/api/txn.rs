//! `/v1/txn`.

use bytes::Bytes;
use http::header::HeaderValue;
use http::{Response, StatusCode};
use serde::Serialize;
use serde_json::Value;

use super::kv::{self, Shown};
use super::params::Form;
use super::reply::{self, Failure};
use super::{Call, Outcome, carried_out, decode};
use crate::consul::Consul;
use crate::consul::leader::Proposal;
use crate::consul::state::txn::{Done, Operation, Refusal};
use crate::consul::state::{Applied, Command};

const OPERATIONS_MAX: usize = 64;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Answer<'a> {
    results: Option<Vec<OneResult<'a>>>,
    errors: Option<Vec<Error>>,
    #[serde(flatten)]
    read: Option<ReadOnly>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ReadOnly {
    index: u64,
    last_contact: u64,
    known_leader: bool,
    consistency_level: &'static str,
}

#[derive(Serialize)]
struct OneResult<'a> {
    #[serde(rename = "KV")]
    kv: Shown<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Error {
    op_index: usize,
    what: String,
}

pub(super) fn endpoint(_: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    kv::check_size(call.body, "txn_max_req_len")?;
    let operations = decode::parse(call.body)
        .and_then(|body| operations(&body))
        .map_err(|why| Failure::bad(format!("Failed to parse body: {why}")))?;
    if operations.len() > OPERATIONS_MAX {
        return Err(Failure::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("Transaction contains too many operations ({} > {OPERATIONS_MAX})", operations.len()),
        ));
    }
    Ok(match operations.iter().any(Operation::writes) {
        true => Outcome::Write(Proposal::Command(Command::Txn(operations)), finish),
        false => Outcome::Read(super::Read::Txn(Read(operations))),
    })
}

/// A transaction that only reads, which is answered without the log.
#[derive(Debug)]
pub(in crate::consul) struct Read(Vec<Operation>);

impl Read {
    pub(super) fn answer(&self, consul: &Consul, form: &Form) -> Response<Bytes> {
        let mut state = consul.state.clone();
        let outcome = state.precheck(&self.0).and_then(|()| state.transact(state.index, &self.0));
        let read = ReadOnly { index: 0, last_contact: 0, known_leader: true, consistency_level: "" };
        let mut response = answer(&outcome, Some(read), form);
        let headers = response.headers_mut();
        headers.insert(reply::KNOWN_LEADER, HeaderValue::from_static("true"));
        headers.insert(reply::LAST_CONTACT, HeaderValue::from_static("0"));
        response
    }
}

fn finish(applied: Applied, form: &Form) -> Result<Response<Bytes>, Failure> {
    match applied {
        Applied::Txn(outcome) => Ok(answer(&outcome, None, form)),
        other => carried_out(other, form),
    }
}

fn answer(outcome: &Result<Vec<Done>, Vec<Refusal>>, read: Option<ReadOnly>, form: &Form) -> Response<Bytes> {
    let (status, results, errors) = match outcome {
        Ok(done) => (StatusCode::OK, Some(done.iter().map(shown).collect()), None),
        Err(refusals) => (StatusCode::CONFLICT, None, Some(refusals.iter().map(error).collect())),
    };
    reply::json(status, &Answer { results, errors, read }, form.pretty)
}

fn shown(done: &Done) -> OneResult<'_> {
    OneResult {
        kv: match done {
            Done::Wrote(entry) => Shown::without_value(entry),
            Done::Read(entry) => Shown::new(entry),
        },
    }
}

fn error(refusal: &Refusal) -> Error {
    Error { op_index: refusal.operation, what: refusal.why.clone() }
}

fn operations(body: &Value) -> decode::Result<Vec<Operation>> {
    let items = match body {
        Value::Array(items) => items.as_slice(),
        Value::Null => &[],
        other => {
            decode::fields(other, "api.TxnOps")?;
            return Err("json: cannot unmarshal object into Go value of type api.TxnOps".to_owned());
        }
    };
    let mut operations = Vec::with_capacity(items.len());
    for item in items {
        for (kind, name, value) in decode::fields(item, "api.TxnOp")? {
            match kind.as_str() {
                "kv" if value.is_null() => {}
                "kv" => operations.push(operation(value)?),
                "node" | "service" | "check" | "intention" if value.is_null() => {}
                "node" | "service" | "check" | "intention" => {
                    return Err(format!("{name} operations are not simulated"));
                }
                _ => return decode::unknown(name),
            }
        }
    }
    Ok(operations)
}

fn operation(value: &Value) -> decode::Result<Operation> {
    let mut operation = Operation {
        verb: String::new(),
        key: String::new(),
        value: Bytes::new(),
        flags: 0,
        index: 0,
        session: String::new(),
    };
    for (field, name, value) in decode::fields(value, "api.KVTxnOp")? {
        match field.as_str() {
            "verb" => operation.verb = decode::text(value, "KVTxnOp.KV.Verb")?,
            "key" => operation.key = decode::text(value, "KVTxnOp.KV.Key")?,
            "value" => {
                operation.value = match value {
                    Value::Null => Bytes::new(),
                    Value::String(text) => kv::from_base64(text)?,
                    other => return decode::mismatch(other, "KVTxnOp.KV.Value", "[]uint8"),
                }
            }
            "flags" => operation.flags = decode::unsigned(value, "KVTxnOp.KV.Flags")?,
            "index" => operation.index = decode::unsigned(value, "KVTxnOp.KV.Index")?,
            "session" => operation.session = decode::text(value, "KVTxnOp.KV.Session")?,
            "namespace" => {}
            _ => return decode::unknown(name),
        }
    }
    Ok(operation)
}
