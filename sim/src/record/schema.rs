//! The JSON Schema of a record's lines, made from the types that are written.

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Event, Header, VERSION, Version};
use crate::plan::FaultKind;

/// A line of a record.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is of interest")]
enum Line {
    /// The first line.
    Header(Box<Header>),
    /// Every other line.
    Event(Box<Event>),
}

/// The JSON Schema (draft 2020-12) that every line of a record fulfils, with a line break at its end.
///
/// # Panics
/// Never: the schema is a JSON document.
pub fn schema() -> String {
    let generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let mut schema = generator.into_root_schema_for::<Line>().to_value();
    if let Value::Object(root) = &mut schema {
        root.insert("title".to_owned(), "A line of an Ironbird record".into());
        root.insert("version".to_owned(), VERSION.to_string().into());
    }
    let mut text = serde_json::to_string_pretty(&sorted(schema)).expect("a schema serialises");
    text.push('\n');
    text
}

/// The same document with its keys in order, whatever features of `serde_json` somebody turned on.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.into_iter().collect();
            entries.sort_by(|(left, _), (right, _)| left.cmp(right));
            Value::Object(entries.into_iter().map(|(key, value)| (key, sorted(value))).collect::<Map<_, _>>())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(sorted).collect()),
        other => other,
    }
}

/// A plan of faults, which reads and writes as in a scenario file.
pub(super) fn plan(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "properties": {
            "fault": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "at": { "type": "string", "description": "When it begins, as `60s`." },
                        "kind": { "enum": FaultKind::NAMES.as_slice() },
                        "target": { "type": ["string", "array"], "items": { "type": "string" } },
                        "for": { "type": "string", "description": "How long it lasts, as `30s` or `ever`." }
                    },
                    "required": ["at", "kind", "target"]
                }
            }
        },
        "required": ["fault"]
    })
}

impl JsonSchema for Version {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Version".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^(0|[1-9][0-9]*)\\.(0|[1-9][0-9]*)$",
            "description": "`major.minor`: a reader refuses a greater major number."
        })
    }
}

#[cfg(test)]
mod tests {
    /// The schema that is documented is the one of the types. `IRONBIRD_BLESS=1` writes it anew.
    #[test]
    fn the_documented_schema_is_that_of_the_types() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/record.schema.json");
        let made = super::schema();
        if std::env::var_os("IRONBIRD_BLESS").is_some() {
            std::fs::write(path, &made).expect("docs can be written");
        }
        let documented = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            documented == made,
            "docs/record.schema.json is not what the types say; run this test with IRONBIRD_BLESS=1 and raise VERSION",
        );
    }
}
