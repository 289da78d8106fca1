//! The record of a run: one stream of events, and the single source of every property and report.
//!
//! As JSON Lines a record is a [`Header`] line followed by one line per [`Event`]. [`Record::hash`] is
//! taken over exactly those bytes, so two records are the same when and only when their hashes are.
//! [`Record::read`] takes such lines back in, from anybody; [`schema`](schema()) says what they look like.
//!
//! The rule a change must keep: a kind or field that is added raises [`VERSION`]'s minor number, one that
//! goes away or changes its meaning the major one; `docs/record.schema.json` follows from the types.

use std::io::{self, Write};
use std::time::Duration;

use ironbird_agent::journal::Entry;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::plan::FaultPlan;

mod read;
mod schema;
mod version;

pub use read::{MAX_BYTES, MAX_LINE_BYTES, ReadError, Reading, Reason};
pub use schema::schema;
pub use version::Version;

/// The version of the format that is written.
pub const VERSION: Version = Version { major: 1, minor: 1 };

/// What a record says before its events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Header {
    /// The format's version.
    pub version: Version,
    /// `file/variant`.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// The faults as executed.
    #[schemars(schema_with = "schema::plan")]
    pub plan: FaultPlan,
    /// Instances the cluster should have.
    pub instances: usize,
    /// When the last fault had ended.
    #[schemars(with = "u64")]
    #[serde(with = "micros", rename = "quiet_us")]
    pub quiet_at: Duration,
    /// How long after that the cluster may take to be whole.
    #[schemars(with = "u64")]
    #[serde(with = "micros", rename = "bound_us")]
    pub bound: Duration,
    /// How long it must have been whole for its run to end before that time is over.
    #[schemars(with = "u64")]
    #[serde(with = "micros", rename = "steady_us")]
    pub steady: Duration,
}

/// Everything that happened in one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// What was run.
    pub header: Header,
    /// What happened, in order.
    pub events: Vec<Event>,
}

impl Record {
    /// Writes the record as JSON Lines.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_to(&self, mut out: impl Write) -> io::Result<()> {
        serde_json::to_writer(&mut out, &self.header)?;
        out.write_all(b"\n")?;
        for event in &self.events {
            serde_json::to_writer(&mut out, event)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    }

    /// The hash of the record's bytes.
    pub fn hash(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        // A hasher takes every byte it is given.
        self.write_to(io::BufWriter::with_capacity(1 << 16, &mut hasher)).ok();
        hasher.finalize()
    }

    /// Whether the run came to its end: a record without [`What::Finished`] was cut off between two events.
    pub fn is_complete(&self) -> bool {
        self.events.last().is_some_and(|event| event.what == What::Finished)
    }

    /// Simulated time from the start to the last event.
    pub fn duration(&self) -> Duration {
        self.events.last().map_or(Duration::ZERO, |event| event.at)
    }
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Its number in the record, from 0.
    pub step: u64,
    /// When, from the start of the run.
    #[schemars(with = "u64")]
    #[serde(with = "micros", rename = "us")]
    pub at: Duration,
    /// On which machine.
    pub host: String,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum What {
    /// A fault of the plan began; `host` is its target, `-` when it happened to nobody or to the scheduler.
    FaultBegan {
        /// The fault's kind and details, in words.
        fault: String,
        /// Its place in the header's plan.
        number: usize,
    },
    /// A fault of the plan ended.
    FaultEnded {
        /// The fault's kind and details, in words.
        fault: String,
        /// Its place in the header's plan.
        number: usize,
    },
    /// The scheduler started a container here.
    Launched {
        /// `start`, `replacement of mysql-1`.
        why: String,
    },
    /// The container here ended.
    Ended {
        /// `killed`, `lost power`, `exit code 0`.
        how: String,
    },
    /// The agent or one of its handlers says something.
    Agent(Entry),
    /// Consul answered a request; `host` is who asked.
    Http {
        /// The method.
        method: String,
        /// Path and query as sent.
        path: String,
        /// The status.
        status: u16,
        /// From request to answer, in microseconds of simulated time.
        took_us: u64,
        /// Whether whoever asked was shown an older catalog than the server had, by a fault (`catalog-lag`), and
        /// would have got another answer from that.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        stale: bool,
    },
    /// Consul's own state changed.
    Consul(ConsulEvent),
    /// The database's state changed.
    Mysql(MysqlEvent),
    /// The object store took or gave an object.
    Store {
        /// The method.
        method: String,
        /// The object's name.
        object: String,
        /// The status.
        status: u16,
    },
    /// The run is over: the last event of a complete record. Without it nobody could tell a quiet end from
    /// a record that was cut off.
    Finished,
    /// A client's write ended.
    Write {
        /// The write's own identifier.
        id: u64,
        /// How it ended.
        #[serde(flatten)]
        outcome: WriteOutcome,
    },
    /// A client looked for its last acknowledged write on a replica.
    Read {
        /// The write's identifier.
        id: u64,
        /// Which instance was asked.
        by: String,
        /// Whether it was there; if not, the replica is behind.
        found: bool,
    },
}

impl What {
    /// The kind of a fault that began or ended, as [`FaultKind::name`] has it.
    ///
    /// [`FaultKind::name`]: crate::plan::FaultKind::name
    pub fn fault_kind(&self) -> Option<&str> {
        match self {
            Self::FaultBegan { fault, .. } | Self::FaultEnded { fault, .. } => fault.split(' ').next(),
            _ => None,
        }
    }
}

/// How a client's write ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum WriteOutcome {
    /// The database said it is committed.
    Acknowledged {
        /// Which instance.
        by: String,
    },
    /// It was refused, or never sent.
    Refused {
        /// Why.
        why: String,
    },
    /// Sent, and no answer came: it may or may not be committed.
    Unknown {
        /// Why.
        why: String,
    },
}

/// A change of Consul's own state: the truth, whatever anybody is shown of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "consul", rename_all = "kebab-case")]
pub enum ConsulEvent {
    /// A server leads and knows nothing of before: whatever there was in Consul is gone.
    Emptied {
        /// Its name.
        server: String,
    },
    /// A server of a cluster leads, and has given every session all of its time again.
    LeaderEstablished {
        /// Its name.
        server: String,
    },
    /// A server that led does no more: it has noticed, or it has ended.
    LeaderDeposed {
        /// Its name.
        server: String,
    },
    /// A session was created.
    SessionCreated {
        /// Its id.
        session: String,
        /// Its name.
        name: String,
        /// Its TTL in microseconds; 0 when it has none.
        ttl_us: u64,
        /// Its lock-delay in microseconds.
        lock_delay_us: u64,
    },
    /// A session was renewed.
    SessionRenewed {
        /// Its id.
        session: String,
    },
    /// A session is gone.
    SessionInvalidated {
        /// Its id.
        session: String,
        /// `expired`, `destroyed`, `check critical`, `node deregistered`.
        why: String,
    },
    /// A key was locked by a session that did not hold it.
    LockAcquired {
        /// The key.
        key: String,
        /// The session.
        session: String,
        /// The key's value.
        value: String,
    },
    /// A key is no longer locked.
    LockReleased {
        /// The key.
        key: String,
        /// The session that held it.
        session: String,
        /// Until when nobody can lock it, in microseconds from the start; 0 when at once.
        delay_until_us: u64,
    },
    /// A session was refused a lock.
    LockRefused {
        /// The key.
        key: String,
        /// The session.
        session: String,
        /// `held`, `lock-delay`.
        why: String,
    },
    /// A service instance entered the catalog or changed there.
    ServiceRegistered {
        /// Its id.
        id: String,
        /// Its name.
        name: String,
        /// Its address.
        address: String,
        /// The node of Consul it is registered with.
        node: String,
    },
    /// A service instance left the catalog.
    ServiceDeregistered {
        /// Its id.
        id: String,
    },
    /// A check's status changed.
    CheckStatus {
        /// The check's id.
        check: String,
        /// The service instance it belongs to; empty for a node's.
        service: String,
        /// `passing`, `warning`, `critical`.
        status: String,
        /// The node of Consul it is registered with.
        node: String,
    },
    /// A check left the catalog, and the service instance it belonged to did not.
    CheckRemoved {
        /// The check's id.
        check: String,
        /// The service instance it belonged to; empty for a node's.
        service: String,
        /// The node of Consul it was registered with.
        node: String,
    },
}

/// A change of one database's state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "mysql", rename_all = "kebab-case")]
pub enum MysqlEvent {
    /// The server accepts connections; `networking` is false for one that only its own machine reaches.
    Up {
        /// Whether other machines can connect.
        networking: bool,
    },
    /// The server is gone.
    Down,
    /// The server takes writes, or not.
    Writable {
        /// Whether it does.
        writable: bool,
    },
    /// What the replication threads do.
    Replication {
        /// The source they are set up for; empty for none.
        source: String,
        /// Whether the receiver is connected.
        receiving: bool,
        /// Whether the applier runs.
        applying: bool,
        /// The last error; empty for none.
        error: String,
    },
    /// A transaction is durable here.
    Committed {
        /// The transaction.
        gtid: String,
        /// The client's write it carries; 0 when it carries none.
        write: u64,
    },
    /// A transaction of another server is durable in the relay log here.
    Received {
        /// The transaction.
        gtid: String,
        /// The client's write it carries; 0 when it carries none.
        write: u64,
    },
    /// A tool that works on the data directory for a while began or ended.
    Tool {
        /// Which.
        tool: Tool,
        /// Whether it runs now.
        running: bool,
    },
    /// The data directory was set up: `installed` empty, or `restored` from a snapshot. Or it was `recovered`
    /// by a server whose logs need not have everything that was written to them.
    DataDirectory {
        /// Which.
        how: String,
        /// The client's writes it holds.
        writes: Vec<u64>,
    },
}

/// Who the value of the primary's lock says holds it: a plain text is a name, as published; an object may
/// have one as `holder`.
pub fn lock_holder(value: &str) -> Option<String> {
    match serde_json::from_str(value) {
        Ok(serde_json::Value::Object(object)) => object.get("holder")?.as_str().map(str::to_owned),
        _ => Some(value.to_owned()).filter(|name| !name.is_empty()),
    }
}

/// A tool that works on a data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Tool {
    /// Sets up an empty one.
    Install,
    /// Takes a snapshot of it.
    Backup,
    /// Puts a snapshot in its place.
    Restore,
}

/// Times as whole microseconds.
mod micros {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(value.as_micros()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_micros)
    }
}
