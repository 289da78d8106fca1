//! What a check is said to do.
//!
//! The catalog shows a definition as it was registered there. An agent tells the catalog only what came of
//! its checks, so what comes from an agent is empty.

use std::collections::BTreeMap;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::consul::duration;

/// What a check does; what is empty is not shown. Times are in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(in crate::consul) struct Definition {
    #[serde(skip_serializing_if = "none", serialize_with = "in_words", deserialize_with = "from_words")]
    pub(in crate::consul) interval: i64,
    #[serde(skip_serializing_if = "none", serialize_with = "in_words", deserialize_with = "from_words")]
    pub(in crate::consul) timeout: i64,
    #[serde(skip_serializing_if = "none", serialize_with = "in_words", deserialize_with = "from_words")]
    pub(in crate::consul) deregister_critical_service_after: i64,
    #[serde(rename = "HTTP", skip_serializing_if = "String::is_empty")]
    pub(in crate::consul) http: String,
    #[serde(rename = "TLSSkipVerify", skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::consul) tls_skip_verify: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(in crate::consul) header: BTreeMap<String, Vec<String>>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(in crate::consul) method: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(in crate::consul) body: String,
    #[serde(rename = "TCP", skip_serializing_if = "String::is_empty")]
    pub(in crate::consul) tcp: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
fn none(nanos: &i64) -> bool {
    *nanos == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
fn in_words<S: Serializer>(nanos: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&duration::show(*nanos))
}

fn from_words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    duration::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::Definition;

    #[test]
    fn only_what_is_said_is_shown() {
        let empty = serde_json::to_string(&Definition::default()).expect("JSON");
        assert_eq!(empty, "{}");
        let definition = Definition {
            interval: 10_000_000_000,
            deregister_critical_service_after: 60_000_000_000,
            http: "http://x".to_owned(),
            tls_skip_verify: true,
            ..Definition::default()
        };
        let shown = serde_json::to_string(&definition).expect("JSON");
        assert_eq!(
            shown,
            "{\"Interval\":\"10s\",\"DeregisterCriticalServiceAfter\":\"1m0s\",\"HTTP\":\"http://x\",\
             \"TLSSkipVerify\":true}"
        );
        assert_eq!(serde_json::from_str::<Definition>(&shown).expect("what was shown"), definition);
    }
}
