//! What the instances of a cluster tell each other through Consul.
//!
//! | key | value | locked by |
//! |---|---|---|
//! | `mysql-primary` | [`Leader`] | the primary's session |
//! | `mysql/members/<name>` | [`Position`] | the member's session |
//! | `mysql/snapshot` | [`Snapshot`] | nobody; written in one transaction with a check of the primary's lock, and taken out by whoever cannot use it |
//!
//! Every read here asks the Consul leader to confirm itself first: nothing is decided on a stale answer.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::view::{Leader, Lock, Member, Position};
use crate::consul::{Consistency, Consul, Error, Indexed, KvEntry, TxnOp};
use crate::host::Host;
use crate::mysql::{Config, GtidSet};

const MEMBERS: &str = "mysql/members/";
const SNAPSHOT: &str = "mysql/snapshot";

/// The last usable snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Snapshot {
    /// Its name in the object store.
    pub(super) id: String,
    /// What it holds at least.
    pub(super) executed: GtidSet,
    /// The term of the primary that took it.
    pub(super) term: u64,
    /// What was uploaded, as BLAKE3 has it in hexadecimal digits. A store may keep less than it was given.
    #[serde(default)]
    pub(super) hash: Option<String>,
}

impl Snapshot {
    /// What stands for `content`.
    pub(super) fn hash(content: &[u8]) -> Option<String> {
        Some(blake3::hash(content).to_hex().to_string())
    }

    /// Whether `content` is what was uploaded, as far as is known.
    pub(super) fn is(&self, content: &[u8]) -> bool {
        self.hash.is_none() || self.hash == Self::hash(content)
    }
}

/// The cluster's keys.
#[derive(Clone)]
pub(super) struct Registry<H: Host> {
    consul: Consul<H>,
}

impl<H: Host> Registry<H> {
    pub(super) fn new(consul: Consul<H>) -> Self {
        Self { consul: consul.consistency(Consistency::Consistent) }
    }

    pub(super) fn consul(&self) -> &Consul<H> {
        &self.consul
    }

    /// The primary's lock, from its key.
    pub(super) fn lock(entry: Option<&KvEntry>) -> Lock {
        entry.map_or_else(Lock::default, |entry| Lock {
            session: entry.session.clone(),
            leader: serde_json::from_slice(&entry.value).ok(),
            index: entry.modify_index,
        })
    }

    /// Takes the primary's lock, if it is as it was at `index`. Whether it worked.
    pub(super) async fn acquire(
        &self,
        index: u64,
        session: &str,
        leader: &Leader,
    ) -> Result<Result<(), String>, Error> {
        let key = Config::PRIMARY_KEY.to_owned();
        let unchanged = match index {
            0 => TxnOp::CheckNotExists { key: key.clone() },
            index => TxnOp::CheckIndex { key: key.clone(), index },
        };
        let lock = TxnOp::Lock { key, session: session.to_owned(), value: to_json(leader) };
        let outcome = self.consul.txn(&[unchanged, lock]).await?;
        Ok(outcome.map(drop).map_err(|conflict| conflict.to_string()))
    }

    /// Gives the primary's lock up.
    pub(super) async fn release(&self, session: &str, leader: &Leader) -> Result<bool, Error> {
        self.consul.kv().release(Config::PRIMARY_KEY, session, to_json(leader)).await
    }

    /// Writes the value of the primary's lock, which `session` holds, if it is as it was at `index` and the
    /// member `witness` has published nothing since. If it worked, as what it stands there now.
    pub(super) async fn change(
        &self,
        index: u64,
        session: &str,
        leader: &Leader,
        witness: Option<(&str, u64)>,
    ) -> Result<Result<KvEntry, String>, Error> {
        let key = Config::PRIMARY_KEY.to_owned();
        let mut ops = vec![
            TxnOp::CheckIndex { key: key.clone(), index },
            TxnOp::CheckSession { key: key.clone(), session: session.to_owned() },
        ];
        if let Some((name, index)) = witness {
            let key = format!("{MEMBERS}{name}");
            ops.push(match index {
                0 => TxnOp::CheckNotExists { key },
                index => TxnOp::CheckIndex { key, index },
            });
        }
        let value = to_json(leader);
        ops.push(TxnOp::Lock { key, session: session.to_owned(), value: value.clone() });
        let outcome = self.consul.txn(&ops).await?;
        Ok(outcome.map_err(|conflict| conflict.to_string()).and_then(|mut entries| {
            let entry = entries.pop().ok_or("Consul does not say what it has written")?;
            Ok(KvEntry { value, ..entry })
        }))
    }

    /// Publishes a position. Whether it worked: right after the end of a former session it does not.
    pub(super) async fn publish(
        &self,
        name: &str,
        session: &str,
        position: &Position,
    ) -> Result<bool, Error> {
        self.consul.kv().acquire(&format!("{MEMBERS}{name}"), session, to_json(position)).await
    }

    /// What all published but `me`.
    pub(super) async fn members(&self, me: &str) -> Result<Vec<Member>, Error> {
        Ok(members(self.consul.kv().list(MEMBERS).await?, me))
    }

    /// As [`Registry::members`], when something has changed since `index`.
    pub(super) async fn members_after(
        &self,
        me: &str,
        index: u64,
        wait: Duration,
    ) -> Result<Indexed<Vec<Member>>, Error> {
        let answer = self.consul.kv().list_blocking(MEMBERS, index, wait).await?;
        Ok(Indexed { index: answer.index, value: members(answer.value, me) })
    }

    /// Forgets a member that is gone and held nothing that is not held elsewhere.
    pub(super) async fn forget(&self, name: &str) -> Result<(), Error> {
        self.consul.kv().delete(&format!("{MEMBERS}{name}")).await
    }

    /// The last usable snapshot and its index, 0 for none.
    pub(super) async fn snapshot(&self) -> Result<(Option<Snapshot>, u64), Error> {
        let entry = self.consul.kv().get(SNAPSHOT).await?;
        let index = entry.as_ref().map_or(0, |entry| entry.modify_index);
        Ok((entry.and_then(|entry| serde_json::from_slice(&entry.value).ok()), index))
    }

    /// As [`Registry::snapshot`], when something has changed since `index`. Whether there is any.
    pub(super) async fn has_snapshot_after(
        &self,
        index: u64,
        wait: Duration,
    ) -> Result<Indexed<bool>, Error> {
        let answer = self.consul.kv().get_blocking(SNAPSHOT, index, wait).await?;
        Ok(Indexed { index: answer.index, value: answer.value.is_some() })
    }

    /// Takes the record of a snapshot out that cannot be used, if it is as it was at `index`.
    pub(super) async fn discard_snapshot(&self, index: u64) -> Result<Result<(), String>, Error> {
        let key = SNAPSHOT.to_owned();
        let ops = [TxnOp::CheckIndex { key: key.clone(), index }, TxnOp::Delete { key }];
        Ok(self.consul.txn(&ops).await?.map(drop).map_err(|conflict| conflict.to_string()))
    }

    /// Records a snapshot, if `session` is still the primary's and nobody else recorded one since.
    pub(super) async fn record_snapshot(
        &self,
        session: &str,
        index: u64,
        snapshot: &Snapshot,
    ) -> Result<Result<(), String>, Error> {
        let fence = TxnOp::CheckSession { key: Config::PRIMARY_KEY.to_owned(), session: session.to_owned() };
        let write = TxnOp::Cas { key: SNAPSHOT.to_owned(), index, value: to_json(snapshot) };
        let outcome = self.consul.txn(&[fence, write]).await?;
        Ok(outcome.map(drop).map_err(|conflict| conflict.to_string()))
    }
}

fn members(entries: Vec<KvEntry>, me: &str) -> Vec<Member> {
    entries
        .into_iter()
        .filter_map(|entry| {
            let name = entry.key.strip_prefix(MEMBERS)?.to_owned();
            let position = serde_json::from_slice(&entry.value).ok()?;
            Some(Member { name, live: entry.session.is_some(), position, index: entry.modify_index })
        })
        .filter(|member| member.name != me)
        .collect()
}

fn to_json(value: &impl Serialize) -> Vec<u8> {
    // Strings, numbers and maps of both: there is nothing in these types that JSON cannot say.
    serde_json::to_vec(value).unwrap_or_default()
}
