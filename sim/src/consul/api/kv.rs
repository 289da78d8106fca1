//! `/v1/kv/`.

use base64::Engine;
use base64::alphabet::STANDARD as STANDARD_ALPHABET;
use base64::display::Base64Display;
use base64::engine::general_purpose::{GeneralPurpose, PAD, STANDARD};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};
use serde::{Serialize, Serializer};

use super::access::{Denied, May};
use super::params::{Form, Params};
use super::reply::{self, Failure};
use super::{Call, Outcome, carried_out};
use crate::consul::Consul;
use crate::consul::blocking::Seen;
use crate::consul::leader::Proposal;
use crate::consul::state::Command;
use crate::consul::state::kv::{Entry, Write};

/// The option that says how long a value may be.
pub(super) const LIMIT: &str = "kv_max_value_size";
/// Where the texts of refusals send their readers.
pub(super) const OPTIONS: &str = "https://www.consul.io/docs/agent/options.html#";
/// The greatest value a key can have, and the greatest transaction, of those that say their length.
pub(super) const SIZE_MAX: usize = 512 * 1024;

/// Go does not mind bits that a last symbol has too many.
const LENIENT: GeneralPurpose =
    GeneralPurpose::new(&STANDARD_ALPHABET, PAD.with_decode_allow_trailing_bits(true));

/// What of the keys is read.
#[derive(Debug)]
pub(in crate::consul) enum Read {
    /// One key; raw for its value alone.
    Entry {
        /// Which.
        key: String,
        /// Whether the body is the value.
        raw: bool,
    },
    /// All keys under a prefix, with their values.
    Tree {
        /// Which.
        prefix: String,
    },
    /// The names of all keys under a prefix, up to the separator after it.
    Keys {
        /// Which.
        prefix: String,
        /// Empty for whole names.
        separator: String,
    },
}

pub(super) fn endpoint(_: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    if call.method == Method::GET {
        get(call)
    } else if call.method == Method::PUT {
        put(call)
    } else {
        delete(call)
    }
}

fn get(call: &Call<'_>) -> Result<Outcome, Failure> {
    let params = &call.params;
    let read = if params.has("keys") {
        let separator = params.get("separator").filter(|separator| !separator.is_empty());
        Read::Keys {
            prefix: call.rest.to_owned(),
            separator: separator.or(params.get("seperator")).unwrap_or_default().to_owned(),
        }
    } else if params.has("recurse") {
        Read::Tree { prefix: call.rest.to_owned() }
    } else {
        Read::Entry { key: key(call.rest)?.to_owned(), raw: params.has("raw") }
    };
    Ok(Outcome::Read(super::Read::Kv(read)))
}

fn put(call: &Call<'_>) -> Result<Outcome, Failure> {
    let key = key(call.rest)?;
    let params = &call.params;
    let (flags, cas) = numbers(params)?;
    check_size(call, LIMIT)?;
    let write = Write { key: key.into(), value: call.body.clone(), flags };
    let command = if let Some(session) = params.get("acquire") {
        Command::Lock(write, session.to_owned())
    } else if let Some(session) = params.get("release") {
        Command::Unlock(write, session.to_owned())
    } else if let Some(cas) = cas {
        Command::SetCas(write, cas)
    } else {
        Command::Set(write)
    };
    Ok(write_of(command))
}

fn write_of(command: Command) -> Outcome {
    Outcome::Write(Proposal::Command(command), carried_out)
}

fn delete(call: &Call<'_>) -> Result<Outcome, Failure> {
    let params = &call.params;
    params.only_one_of(&["recurse", "cas"])?;
    if params.has("recurse") {
        return Ok(write_of(Command::DeleteTree(call.rest.to_owned())));
    }
    let key = key(call.rest)?.to_owned();
    Ok(write_of(match params.number("cas")? {
        Some(cas) => Command::DeleteCas(key, cas),
        None => Command::Delete(key),
    }))
}

fn key(rest: &str) -> Result<&str, Failure> {
    match rest {
        "" => Err(Failure::bad("Missing key name")),
        key => Ok(key),
    }
}

/// The flags of a write, and the index it compares with.
fn numbers(params: &Params<'_>) -> Result<(u64, Option<u64>), Failure> {
    params.only_one_of(&["cas", "acquire", "release"])?;
    Ok((params.number("flags")?.unwrap_or(0), params.number("cas")?))
}

/// What is wrong with a write of a key, apart from its value.
///
/// # Errors
/// That.
pub(super) fn valueless(rest: &str, params: &Params<'_>) -> Result<(), Failure> {
    key(rest)?;
    numbers(params).map(drop)
}

/// # Errors
/// When a body is longer than Consul takes; `knob` is the option its text names. One that comes without its
/// length is not looked at.
pub(super) fn check_size(call: &Call<'_>, knob: &str) -> Result<(), Failure> {
    match call.body.len() {
        length if length <= SIZE_MAX || call.chunked => Ok(()),
        length => Err(too_long(length as u64, knob)),
    }
}

/// The refusal of a body of `length`.
pub(super) fn too_long(length: u64, knob: &str) -> Failure {
    Failure::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("Request body({length} bytes) too large, max size: {SIZE_MAX} bytes. See {OPTIONS}{knob}."),
    )
}

/// An entry, as it is shown.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Shown<'a> {
    lock_index: u64,
    key: &'a str,
    flags: u64,
    #[serde(serialize_with = "base64")]
    value: &'a [u8],
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<&'a str>,
    create_index: u64,
    modify_index: u64,
}

impl<'a> Shown<'a> {
    /// The whole entry.
    pub(super) fn new(entry: &'a Entry) -> Self {
        Self { value: &entry.value, ..Self::without_value(entry) }
    }

    /// The entry as a transaction shows what it wrote.
    pub(super) fn without_value(entry: &'a Entry) -> Self {
        Self {
            lock_index: entry.lock_index,
            key: &entry.key,
            flags: entry.flags,
            value: &[],
            session: entry.session.as_deref(),
            create_index: entry.create_index,
            modify_index: entry.modify_index,
        }
    }
}

fn base64<S: Serializer>(value: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        [] => serializer.serialize_none(),
        value => serializer.collect_str(&Base64Display::new(value, &STANDARD)),
    }
}

/// Reads a value as a transaction carries it.
pub(super) fn from_base64(text: &str) -> Result<Bytes, String> {
    LENIENT.decode(text).map(Bytes::from).map_err(|why| {
        let at = match why {
            base64::DecodeError::InvalidByte(at, _) => at,
            _ => text.len(),
        };
        format!("illegal base64 data at input byte {at}")
    })
}

impl Read {
    pub(super) fn permitted(&self, may: &May) -> Result<(), Denied> {
        match self {
            Self::Entry { key, .. } => may.need(|token| token.key_read(key)),
            Self::Tree { .. } | Self::Keys { .. } => may.known(),
        }
    }

    /// The entries under a prefix that may be read.
    fn found<'a>(consul: &'a Consul, prefix: &'a str, may: &'a May) -> impl Iterator<Item = &'a Entry> {
        let under = consul.state.kv.under(prefix).map(|entry| &**entry);
        under.filter(|entry| may.allows(|token| token.key_read(&entry.key)))
    }

    pub(super) fn seen(&self, consul: &Consul) -> Seen {
        let kv = &consul.state.kv;
        let (index, written) = match self {
            Self::Entry { key, .. } => {
                (kv.get(key).map_or(kv.index(), |entry| entry.modify_index), kv.written_at(key))
            }
            Self::Tree { prefix } | Self::Keys { prefix, .. } => {
                (kv.index_under(prefix), kv.written_under(prefix))
            }
        };
        Seen { index, written, hash: None }
    }

    pub(super) fn answer(&self, consul: &Consul, form: &Form) -> Response<Bytes> {
        match self {
            Self::Entry { key, raw } => match consul.state.kv.get(key) {
                None => reply::empty(StatusCode::NOT_FOUND),
                Some(entry) if *raw => raw_value(entry),
                Some(entry) => reply::json(StatusCode::OK, &[Shown::new(entry)], form.pretty),
            },
            Self::Tree { prefix } => {
                let entries: Vec<_> = Self::found(consul, prefix, &form.may).map(Shown::new).collect();
                if entries.is_empty() {
                    return reply::empty(StatusCode::NOT_FOUND);
                }
                reply::json(StatusCode::OK, &entries, form.pretty)
            }
            Self::Keys { prefix, separator } => {
                let keys = Self::found(consul, prefix, &form.may);
                let mut keys: Vec<&str> = keys.map(|entry| up_to(&entry.key, prefix, separator)).collect();
                keys.dedup();
                if keys.is_empty() && !prefix.is_empty() {
                    return reply::empty(StatusCode::NOT_FOUND);
                }
                reply::json(StatusCode::OK, &keys, form.pretty)
            }
        }
    }
}

fn up_to<'a>(key: &'a str, prefix: &str, separator: &str) -> &'a str {
    if separator.is_empty() {
        return key;
    }
    match key[prefix.len()..].find(separator) {
        Some(at) => &key[..prefix.len() + at + separator.len()],
        None => key,
    }
}

fn raw_value(entry: &Entry) -> Response<Bytes> {
    let mut response = reply::empty(StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    headers.insert(HeaderName::from_static("content-security-policy"), HeaderValue::from_static("sandbox"));
    *response.body_mut() = entry.value.clone();
    response
}
