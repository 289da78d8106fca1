//! What the instances of a cluster tell each other through Consul.
//!
//! | key | value | locked by |
//! |---|---|---|
//! | `mysql-primary` | [`Leader`] | the primary's session |
//! | `mysql/members/<name>` | a position and the term it is for | the member's session |
//! | `mysql/snapshot` | [`Snapshot`] | nobody; written in one transaction with a check of the primary's lock |
//!
//! Every read here asks the Consul leader to confirm itself first: nothing is decided on a stale answer.

use serde::{Deserialize, Serialize};

use super::decide::{Leader, Lock, Member};
use crate::consul::{Consistency, Consul, Error, KvEntry, TxnOp};
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
}

#[derive(Debug, Serialize, Deserialize)]
struct Position {
    executed: GtidSet,
    prepared_for: u64,
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

    /// The primary's lock and the index to wait on or write against; 0 when the key does not exist.
    pub(super) fn lock(entry: Option<&KvEntry>) -> (Lock, u64) {
        let Some(entry) = entry else {
            return (Lock::default(), 0);
        };
        let leader = serde_json::from_slice(&entry.value).ok();
        (Lock { session: entry.session.clone(), leader }, entry.modify_index)
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

    /// Writes the value of the primary's lock, which `session` holds already. Whether it does.
    pub(super) async fn rewrite(&self, session: &str, leader: &Leader) -> Result<bool, Error> {
        self.consul.kv().acquire(Config::PRIMARY_KEY, session, to_json(leader)).await
    }

    /// Gives the primary's lock up.
    pub(super) async fn release(&self, session: &str, leader: &Leader) -> Result<bool, Error> {
        self.consul.kv().release(Config::PRIMARY_KEY, session, to_json(leader)).await
    }

    /// Publishes a position. Whether it worked: right after the end of a former session it does not.
    pub(super) async fn publish(
        &self,
        name: &str,
        session: &str,
        executed: &GtidSet,
        prepared_for: u64,
    ) -> Result<bool, Error> {
        let position = Position { executed: executed.clone(), prepared_for };
        self.consul.kv().acquire(&format!("{MEMBERS}{name}"), session, to_json(&position)).await
    }

    /// All published positions but that of `me`.
    pub(super) async fn members(&self, me: &str) -> Result<Vec<Member>, Error> {
        let entries = self.consul.kv().list(MEMBERS).await?;
        Ok(entries
            .into_iter()
            .filter_map(|entry| {
                let name = entry.key.strip_prefix(MEMBERS)?;
                let Position { executed, prepared_for } = serde_json::from_slice(&entry.value).ok()?;
                Some(Member { name: name.to_owned(), live: entry.session.is_some(), executed, prepared_for })
            })
            .filter(|member| member.name != me)
            .collect())
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

fn to_json(value: &impl Serialize) -> Vec<u8> {
    // Strings, numbers and maps of both: there is nothing in these types that JSON cannot say.
    serde_json::to_vec(value).unwrap_or_default()
}
