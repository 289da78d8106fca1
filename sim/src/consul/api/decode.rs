//! JSON bodies as Go's decoder reads them: field names without regard to case, and its messages.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::syntax;
use crate::consul::duration;

/// Why a body could not be read, in Go's words.
pub(super) type Result<T> = std::result::Result<T, String>;

/// What is said of a body that Go can read and we cannot: one that is very deep, or a number too great for
/// any machine.
const UNREADABLE: &str = "unexpected EOF";

/// Reads a body.
pub(super) fn parse(body: &[u8]) -> Result<Value> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err("EOF".to_owned());
    }
    let mut values = serde_json::Deserializer::from_slice(body).into_iter();
    match values.next() {
        Some(Ok(value)) => Ok(value),
        _ => Err(syntax::complaint(body).unwrap_or_else(|| UNREADABLE.to_owned())),
    }
}

/// The fields of an object, each with its name in small letters; null is an object without any.
pub(super) fn fields<'a>(value: &'a Value, go_type: &str) -> Result<Vec<(String, &'a str, &'a Value)>> {
    match value {
        Value::Object(map) => Ok(entries(map)),
        Value::Null => Ok(Vec::new()),
        other => Err(format!("json: cannot unmarshal {} into Go value of type {go_type}", kind(other))),
    }
}

/// The fields of an object that is a field itself.
pub(super) fn fields_at<'a>(
    value: &'a Value,
    path: &str,
    go_type: &str,
) -> Result<Vec<(String, &'a str, &'a Value)>> {
    match value {
        Value::Object(_) | Value::Null => fields(value, go_type),
        other => mismatch(other, path, go_type),
    }
}

/// The entries of a map, whose names are nobody's fields.
pub(super) fn entries_of<'a>(
    value: &'a Value,
    field: &str,
    go_type: &str,
) -> Result<impl Iterator<Item = (&'a String, &'a Value)> + use<'a>> {
    match value {
        Value::Null => Ok(None.into_iter().flatten()),
        Value::Object(map) => Ok(Some(map).into_iter().flatten()),
        other => mismatch(other, field, go_type),
    }
}

/// The items of a list.
pub(super) fn items_of<'a>(value: &'a Value, field: &str, go_type: &str) -> Result<&'a [Value]> {
    match value {
        Value::Null => Ok(&[]),
        Value::Array(items) => Ok(items),
        other => mismatch(other, field, go_type),
    }
}

/// A number that may have a fraction.
pub(super) fn float(value: &Value, field: &str) -> Result<f64> {
    match value {
        Value::Null => Ok(0.0),
        Value::Number(number) => Ok(number.as_f64().unwrap_or(0.0)),
        other => mismatch(other, field, "float64"),
    }
}

fn entries(map: &Map<String, Value>) -> Vec<(String, &str, &Value)> {
    map.iter().map(|(name, value)| (name.to_ascii_lowercase(), name.as_str(), value)).collect()
}

/// A field nobody knows.
pub(super) fn unknown<T>(name: &str) -> Result<T> {
    Err(format!("json: unknown field {name:?}"))
}

pub(super) fn text(value: &Value, field: &str) -> Result<String> {
    text_as(value, field, "string")
}

/// A text that has a type of its own.
pub(super) fn text_as(value: &Value, field: &str, go_type: &str) -> Result<String> {
    match value {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text.clone()),
        other => mismatch(other, field, go_type),
    }
}

pub(super) fn integer(value: &Value, field: &str) -> Result<i64> {
    match value {
        Value::Null => Ok(0),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => Ok(integer),
            None => Err(format!(
                "json: cannot unmarshal number {number} into Go struct field {field} of type int"
            )),
        },
        other => mismatch(other, field, "int"),
    }
}

pub(super) fn unsigned(value: &Value, field: &str) -> Result<u64> {
    match value {
        Value::Null => Ok(0),
        Value::Number(number) => match number.as_u64() {
            Some(integer) => Ok(integer),
            None => Err(format!(
                "json: cannot unmarshal number {number} into Go struct field {field} of type uint64"
            )),
        },
        other => mismatch(other, field, "uint64"),
    }
}

pub(super) fn boolean(value: &Value, field: &str) -> Result<bool> {
    match value {
        Value::Null => Ok(false),
        Value::Bool(boolean) => Ok(*boolean),
        other => mismatch(other, field, "bool"),
    }
}

pub(super) fn texts(value: &Value, field: &str) -> Result<Option<Vec<String>>> {
    texts_as(value, field, "[]string")
}

/// Texts that have a type of their own.
pub(super) fn texts_as(value: &Value, field: &str, go_type: &str) -> Result<Option<Vec<String>>> {
    match value {
        Value::Null => Ok(None),
        Value::Array(items) => {
            items.iter().map(|item| text_as(item, field, item_type(go_type))).collect::<Result<_>>().map(Some)
        }
        other => mismatch(other, field, go_type),
    }
}

/// The type of the items of a list type.
fn item_type(go_type: &str) -> &str {
    go_type.strip_prefix("[]").unwrap_or(go_type)
}

pub(super) fn text_map(value: &Value, field: &str) -> Result<Option<BTreeMap<String, String>>> {
    match value {
        Value::Null => Ok(None),
        Value::Object(map) => map
            .iter()
            .map(|(key, item)| Ok((key.clone(), text(item, field)?)))
            .collect::<Result<_>>()
            .map(Some),
        other => mismatch(other, field, "map[string]string"),
    }
}

/// Lists of texts by name.
pub(super) fn text_lists(value: &Value, field: &str) -> Result<BTreeMap<String, Vec<String>>> {
    match value {
        Value::Null => Ok(BTreeMap::new()),
        Value::Object(map) => {
            map.iter().map(|(key, item)| Ok((key.clone(), texts(item, field)?.unwrap_or_default()))).collect()
        }
        other => mismatch(other, field, "map[string][]string"),
    }
}

/// A duration in nanoseconds: in words, or as a number of them.
pub(super) fn nanos(value: &Value) -> Result<i64> {
    match value {
        Value::String(text) if text.is_empty() => Ok(0),
        Value::String(text) => duration::parse(text),
        Value::Number(number) => Ok(number.as_f64().unwrap_or(0.0) as i64),
        _ => Ok(0),
    }
}

pub(super) fn mismatch<T>(value: &Value, field: &str, go_type: &str) -> Result<T> {
    Err(format!("json: cannot unmarshal {} into Go struct field {field} of type {go_type}", kind(value)))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
