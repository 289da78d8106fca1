//! Keys and values, and the locks on them (`/v1/kv`).

use std::time::Duration;

use ::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, de};

use super::{Answer, Block, Consul, Indexed, Path, Result};
use crate::host::Host;

const BASE: &str = "/v1/kv/";

/// The calls on keys and values of a [`Consul`].
pub struct Kv<'a, H: Host>(pub(super) &'a Consul<H>);

/// A key with its value.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct KvEntry {
    /// The key.
    pub key: String,
    /// The value. Consul does not tell an empty one from none.
    #[serde(default, deserialize_with = "from_base64")]
    pub value: Vec<u8>,
    /// A number the writer chose.
    #[serde(default)]
    pub flags: u64,
    /// The session that holds the lock.
    #[serde(default)]
    pub session: Option<String>,
    /// How often the lock was acquired. A plain write of the key resets it, so it fences nothing unless
    /// every writer goes through the lock; [`KvEntry::modify_index`] only ever grows.
    #[serde(default)]
    pub lock_index: u64,
    /// The index at which the key was created.
    pub create_index: u64,
    /// The index at which it was last written.
    pub modify_index: u64,
}

pub(super) fn from_base64<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Vec<u8>, D::Error> {
    match Option::<std::borrow::Cow<'de, str>>::deserialize(deserializer)? {
        None => Ok(Vec::new()),
        Some(text) => STANDARD
            .decode(text.as_bytes())
            .map_err(|error| de::Error::custom(format!("value is not base64: {error}"))),
    }
}

pub(super) fn to_base64(value: &[u8]) -> String {
    STANDARD.encode(value)
}

impl<H: Host> Kv<'_, H> {
    /// The entry of `key`, or `None` when there is none.
    ///
    /// # Errors
    /// When there is no usable answer.
    pub async fn get(&self, key: &str) -> Result<Option<KvEntry>> {
        Ok(self.read_one(key, None).await?.value)
    }

    /// As [`Kv::get`], and answers only when the index is no longer `index`, or after `wait`. An index of
    /// 0 does not block. An answer is no proof of a change: compare.
    ///
    /// # Errors
    /// When there is no usable answer.
    pub async fn get_blocking(
        &self,
        key: &str,
        index: u64,
        wait: Duration,
    ) -> Result<Indexed<Option<KvEntry>>> {
        self.read_one(key, Some(Block { index, wait })).await
    }

    async fn read_one(&self, key: &str, block: Option<Block>) -> Result<Indexed<Option<KvEntry>>> {
        let answer = self.0.read(Path::new(BASE, key), block).await?;
        let entries = entries(&answer)?;
        Ok(answer.indexed(entries.into_iter().next()))
    }

    /// All entries whose keys begin with `prefix`, in the order of their keys.
    ///
    /// # Errors
    /// When there is no usable answer.
    pub async fn list(&self, prefix: &str) -> Result<Vec<KvEntry>> {
        let mut path = Path::new(BASE, prefix);
        path.flag("recurse");
        entries(&self.0.read(path, None).await?)
    }

    /// As [`Kv::list`], and answers only when the index is no longer `index`, or after `wait`; see
    /// [`Kv::get_blocking`].
    ///
    /// # Errors
    /// When there is no usable answer.
    pub async fn list_blocking(
        &self,
        prefix: &str,
        index: u64,
        wait: Duration,
    ) -> Result<Indexed<Vec<KvEntry>>> {
        let mut path = Path::new(BASE, prefix);
        path.flag("recurse");
        let answer = self.0.read(path, Some(Block { index, wait })).await?;
        let entries = entries(&answer)?;
        Ok(answer.indexed(entries))
    }

    /// Writes `value`, whoever holds the key's lock. `false` is not an answer Consul gives today.
    ///
    /// # Errors
    /// When there is no usable answer; see [`super::Error::outcome_unknown`].
    pub async fn put(&self, key: &str, value: impl Into<Bytes>) -> Result<bool> {
        self.write(Path::new(BASE, key), value.into()).await
    }

    /// Writes `value` if the key's modify index is `index`, or with 0 if there is no such key.
    ///
    /// # Errors
    /// When there is no usable answer; see [`super::Error::outcome_unknown`].
    pub async fn cas(&self, key: &str, index: u64, value: impl Into<Bytes>) -> Result<bool> {
        let mut path = Path::new(BASE, key);
        path.pair("cas", index);
        self.write(path, value.into()).await
    }

    /// Writes `value` and takes the key's lock for `session`, or keeps it if the session has it already.
    /// `false`: another session has it, or it was lost less than a lock-delay ago; a read tells which.
    ///
    /// # Errors
    /// When there is no usable answer; status 500 naming the session when there is no such session.
    /// After an unknown outcome, asking again with the same session is harmless.
    pub async fn acquire(&self, key: &str, session: &str, value: impl Into<Bytes>) -> Result<bool> {
        self.write(Path::new(BASE, key).with("acquire", session), value.into()).await
    }

    /// Writes `value` and gives the key's lock up. `false`: `session` does not hold it.
    ///
    /// # Errors
    /// When there is no usable answer; see [`super::Error::outcome_unknown`].
    pub async fn release(&self, key: &str, session: &str, value: impl Into<Bytes>) -> Result<bool> {
        self.write(Path::new(BASE, key).with("release", session), value.into()).await
    }

    /// Removes a key. Removing what is not there is fine.
    ///
    /// # Errors
    /// When there is no usable answer; see [`super::Error::outcome_unknown`].
    pub async fn delete(&self, key: &str) -> Result<()> {
        self.0.call(Method::DELETE, Path::new(BASE, key), Bytes::new()).await?.ok().map(drop)
    }

    /// Removes every key that begins with `prefix`.
    ///
    /// # Errors
    /// When there is no usable answer; see [`super::Error::outcome_unknown`].
    pub async fn delete_prefix(&self, prefix: &str) -> Result<()> {
        let mut path = Path::new(BASE, prefix);
        path.flag("recurse");
        self.0.call(Method::DELETE, path, Bytes::new()).await?.ok().map(drop)
    }

    async fn write(&self, path: Path, value: Bytes) -> Result<bool> {
        self.0.call(Method::PUT, path, value).await?.yes_or_no()
    }
}

fn entries(answer: &Answer) -> Result<Vec<KvEntry>> {
    match answer.status() {
        404 if answer.response.body.is_empty() => Ok(Vec::new()),
        200 => answer.json(),
        _ => Err(answer.status_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_as_consul_writes_them() {
        let text = r#"[
            {"LockIndex":1,"Key":"a/b","Flags":42,"Value":"aGVsbG8=","Session":"s","CreateIndex":15,"ModifyIndex":16},
            {"LockIndex":0,"Key":"c","Flags":0,"Value":null,"CreateIndex":2,"ModifyIndex":2}
        ]"#;
        let entries: Vec<KvEntry> = serde_json::from_str(text).unwrap();
        assert_eq!(
            entries,
            [
                KvEntry {
                    key: "a/b".into(),
                    value: b"hello".to_vec(),
                    flags: 42,
                    session: Some("s".into()),
                    lock_index: 1,
                    create_index: 15,
                    modify_index: 16,
                },
                KvEntry {
                    key: "c".into(),
                    value: Vec::new(),
                    flags: 0,
                    session: None,
                    lock_index: 0,
                    create_index: 2,
                    modify_index: 2,
                },
            ]
        );
    }

    #[test]
    fn a_value_that_is_not_base64_is_refused() {
        let text = r#"{"Key":"c","Value":"?","CreateIndex":2,"ModifyIndex":2}"#;
        let error = serde_json::from_str::<KvEntry>(text).unwrap_err().to_string();
        assert!(error.contains("not base64"), "{error}");
    }
}
