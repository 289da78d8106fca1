//! `/v1/txn`.

use bytes::Bytes;
use http::header::HeaderValue;
use http::{Response, StatusCode};
use serde::Serialize;
use serde_json::Value;

use super::kv::{self, Shown};
use super::params::Form;
use super::reply::{self, Failure};
use super::rows::{self, Decoder};
use super::shown::{KeptCheck, ShownNode, ShownService};
use super::{Call, Outcome, carried_out, decode};
use crate::consul::Consul;
use crate::consul::leader::Proposal;
use crate::consul::state::catalog::Service;
use crate::consul::state::txn::{Done, KvOperation, Operation, Refusal};
use crate::consul::state::{Applied, Command};

const OPERATIONS_MAX: usize = 64;
/// The option that says how long a transaction may be.
pub(super) const LIMIT: &str = "txn_max_req_len";

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
enum OneResult<'a> {
    #[serde(rename = "KV")]
    Kv(Shown<'a>),
    Node(ShownNode<'a>),
    Service(ShownService<'a>),
    Check(KeptCheck<'a>),
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Error {
    op_index: usize,
    what: String,
}

pub(super) fn endpoint(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    kv::check_size(call, LIMIT)?;
    // A body that comes without its length is read up to the limit, and so may be cut short.
    let body = &call.body[..call.body.len().min(kv::SIZE_MAX)];
    let (given, mut operations) = match decode::parse(body) {
        Err(why) if body.len() < call.body.len() && why.ends_with("EOF") => return Err(cut_short()),
        parsed => parsed
            .and_then(|body| operations(&body))
            .map_err(|why| Failure::bad(format!("Failed to parse body: {why}")))?,
    };
    if given > OPERATIONS_MAX {
        return Err(Failure::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("Transaction contains too many operations ({given} > {OPERATIONS_MAX})"),
        ));
    }
    for operation in &mut operations {
        if let Operation::Node(_, node) = operation
            && node.datacenter.is_empty()
        {
            node.datacenter.clone_from(&consul.config.datacenter);
        }
    }
    if operations.iter().any(Operation::writes) {
        return Ok(Outcome::Write(Proposal::Command(Command::Txn(operations)), finish));
    }
    // How fresh an answer must be is asked only of one that reads.
    match &call.wrong {
        Some(wrong) => Err(wrong.clone()),
        None => Ok(Outcome::Read(super::Read::Txn(Read(operations)))),
    }
}

fn cut_short() -> Failure {
    let max = kv::SIZE_MAX;
    let text = format!("Request body too large, max size: {max} bytes. See {}{LIMIT}.", kv::OPTIONS);
    Failure::new(StatusCode::PAYLOAD_TOO_LARGE, text).closing()
}

/// A transaction that only reads, which is answered without the log.
#[derive(Debug)]
pub(in crate::consul) struct Read(Vec<Operation>);

impl Read {
    pub(super) fn answer(&self, consul: &Consul, form: &Form) -> Response<Bytes> {
        let mut state = consul.state.clone();
        let mut operations = self.0.clone();
        let outcome = state
            .precheck(&mut operations, form.may.refusals(&self.0))
            .and_then(|()| state.transact(state.index, &operations));
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
        Ok(done) => {
            (StatusCode::OK, Some(done.iter().filter(|done| form.may.sees(done)).map(shown).collect()), None)
        }
        Err(refusals) => (StatusCode::CONFLICT, None, Some(refusals.iter().map(error).collect())),
    };
    reply::json(status, &Answer { results, errors, read }, form.pretty)
}

fn shown(done: &Done) -> OneResult<'_> {
    match done {
        Done::Wrote(entry) => OneResult::Kv(Shown::without_value(entry)),
        Done::Read(entry) => OneResult::Kv(Shown::new(entry)),
        Done::Node(node) => OneResult::Node(ShownNode::new(node)),
        Done::Service(service) => OneResult::Service(ShownService::as_kept(service)),
        Done::Check(check) => OneResult::Check(KeptCheck::new(check)),
    }
}

fn error(refusal: &Refusal) -> Error {
    Error { op_index: refusal.operation, what: refusal.why.clone() }
}

/// How many operations a body holds, and those that say what to do.
fn operations(body: &Value) -> decode::Result<(usize, Vec<Operation>)> {
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
        // Of several in one, the first of these counts.
        let (mut kv, mut node, mut service, mut check) = (None, None, None, None);
        for (kind, name, value) in decode::fields(item, "api.TxnOp")? {
            match kind.as_str() {
                "kv" | "node" | "service" | "check" if value.is_null() => {}
                "kv" => kv = Some(Operation::Kv(kv_operation(value)?)),
                "node" => node = Some(node_operation(value)?),
                "service" => service = Some(service_operation(value)?),
                "check" => check = Some(check_operation(value)?),
                _ => return decode::unknown(name),
            }
        }
        operations.extend(kv.or(node).or(service).or(check));
    }
    Ok((items.len(), operations))
}

fn node_operation(value: &Value) -> decode::Result<Operation> {
    let (mut verb, mut node) = (String::new(), Box::default());
    for (field, name, value) in decode::fields(value, "api.NodeTxnOp")? {
        match field.as_str() {
            "verb" => verb = decode::text_as(value, "NodeTxnOp.Node.Verb", "api.NodeOp")?,
            "node" if value.is_object() || value.is_null() => {
                node = Box::new(rows::node(value, "Node.Node.Node")?);
            }
            "node" => return decode::mismatch(value, "NodeTxnOp.Node.Node", "api.Node"),
            _ => return decode::unknown(name),
        }
    }
    Ok(Operation::Node(verb, node))
}

fn service_operation(value: &Value) -> decode::Result<Operation> {
    let (mut verb, mut node, mut service) = (String::new(), String::new(), Service::default());
    for (field, name, value) in decode::fields(value, "api.ServiceTxnOp")? {
        match field.as_str() {
            "verb" => verb = decode::text_as(value, "ServiceTxnOp.Service.Verb", "api.ServiceOp")?,
            "node" => node = decode::text(value, "ServiceTxnOp.Service.Node")?,
            "service" if value.is_object() || value.is_null() => {
                service = rows::service(value, "AgentService.Service.Service", Decoder::Api)?;
            }
            "service" => {
                return decode::mismatch(value, "ServiceTxnOp.Service.Service", "api.AgentService");
            }
            _ => return decode::unknown(name),
        }
    }
    service.node = node;
    Ok(Operation::Service(verb, Box::new(service)))
}

fn check_operation(value: &Value) -> decode::Result<Operation> {
    let (mut verb, mut check) = (String::new(), Box::default());
    for (field, name, value) in decode::fields(value, "api.CheckTxnOp")? {
        match field.as_str() {
            "verb" => verb = decode::text_as(value, "CheckTxnOp.Check.Verb", "api.CheckOp")?,
            "check" if value.is_object() || value.is_null() => {
                check = Box::new(rows::check(value, "HealthCheck.Check.Check", Decoder::Api)?);
            }
            "check" => return decode::mismatch(value, "CheckTxnOp.Check.Check", "api.HealthCheck"),
            _ => return decode::unknown(name),
        }
    }
    Ok(Operation::Check(verb, check))
}

fn kv_operation(value: &Value) -> decode::Result<KvOperation> {
    let mut operation = KvOperation {
        verb: String::new(),
        key: String::new(),
        value: Bytes::new(),
        flags: 0,
        index: 0,
        session: String::new(),
    };
    for (field, name, value) in decode::fields(value, "api.KVTxnOp")? {
        match field.as_str() {
            "verb" => operation.verb = decode::text_as(value, "KVTxnOp.KV.Verb", "api.KVOp")?,
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
