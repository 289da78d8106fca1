//! What went from one machine to another.

use std::time::Duration;

use ironbird_sim::record::{MysqlEvent, Record, What, WriteOutcome};

use super::Hosts;

/// A request and its answer, a transaction on its way, a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Message {
    /// The event that tells of it.
    pub(crate) step: u64,
    /// Who sent it.
    pub(crate) from: usize,
    /// Who got it.
    pub(crate) to: usize,
    /// When it was sent, as far as is known.
    pub(crate) sent: Duration,
    /// When it was there, or its answer back.
    pub(crate) done: Duration,
}

/// Every message of `record`, in the order of its events.
pub(crate) fn messages(record: &Record, hosts: &Hosts) -> Vec<Message> {
    let consul = hosts.consul();
    let store = hosts.index("store");
    let mut committed: std::collections::BTreeMap<&str, (usize, Duration)> =
        std::collections::BTreeMap::new();
    let mut messages = Vec::new();
    for event in &record.events {
        let Some(host) = hosts.index(&event.host) else { continue };
        let (from, to, sent) = match &event.what {
            What::Http { took_us, .. } => {
                let Some(consul) = consul else { continue };
                (host, consul, event.at.saturating_sub(Duration::from_micros(*took_us)))
            }
            What::Store { .. } => {
                let Some(store) = store else { continue };
                (host, store, event.at)
            }
            What::Mysql(MysqlEvent::Committed { gtid, .. }) => {
                // A replica commits what it received again; the first to commit is where it came from.
                committed.entry(gtid).or_insert((host, event.at));
                continue;
            }
            What::Mysql(MysqlEvent::Received { gtid, .. }) => {
                let Some((source, at)) = committed.get(gtid.as_str()) else { continue };
                (*source, host, *at)
            }
            What::Write { outcome: WriteOutcome::Acknowledged { by }, .. } => {
                let Some(by) = hosts.index(by) else { continue };
                (host, by, event.at)
            }
            _ => continue,
        };
        if from != to {
            messages.push(Message { step: event.step, from, to, sent, done: event.at });
        }
    }
    messages
}
