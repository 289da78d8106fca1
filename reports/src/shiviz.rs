//! A run as a log with vector clocks, for ShiViz and whatever else reads such logs.
//!
//! Two lines an event: what happened, then the machine and its clock. ShiViz reads them with its default
//! expression, `(?<event>.*)\n(?<host>\S*) (?<clock>{.*})`.
//!
//! A clock takes in another one where something was told: a change of Consul's state knows what the
//! machine knew that asked for it, an answer of Consul tells what Consul knew, a replica knows what its
//! source knew at the commit, a client what the instance knew that acknowledged its write. The rule a
//! change must keep: a clock only ever grows.

use std::collections::BTreeMap;
use std::fmt::Write;

use ironbird_sim::record::{MysqlEvent, Record, What, WriteOutcome};

use crate::story::words;
use crate::text::{moment, name};
use crate::timeline::{Timeline, causes};

/// How often every machine did something, as far as one of them can know.
type Clock = BTreeMap<usize, u64>;

/// `record` as a ShiViz log.
pub fn shiviz(record: &Record) -> String {
    let timeline = Timeline::of(record);
    let hosts = &timeline.hosts;
    let names: Vec<_> = hosts.iter().map(|(_, host, _)| one_word(host)).collect();
    let asked = asked(record);
    let mut clocks: Vec<Clock> = vec![Clock::new(); names.len()];
    let mut commits: BTreeMap<&str, Clock> = BTreeMap::new();
    let mut out = String::new();
    for event in &record.events {
        let Some(host) = hosts.index(&event.host) else { continue };
        let told = match &event.what {
            What::Consul(_) => {
                asked.get(&event.step).and_then(|asker| hosts.index(asker)).map(|asker| clocks[asker].clone())
            }
            What::Http { .. } => hosts.consul().map(|consul| clocks[consul].clone()),
            What::Mysql(MysqlEvent::Received { gtid, .. }) => commits.get(gtid.as_str()).cloned(),
            What::Write { outcome: WriteOutcome::Acknowledged { by }, .. } => {
                hosts.index(by).map(|by| clocks[by].clone())
            }
            _ => None,
        };
        let clock = &mut clocks[host];
        for (other, ticks) in told.into_iter().flatten() {
            let known = clock.entry(other).or_default();
            *known = (*known).max(ticks);
        }
        *clock.entry(host).or_default() += 1;
        if let What::Mysql(MysqlEvent::Committed { gtid, .. }) = &event.what {
            commits.entry(gtid).or_insert_with(|| clock.clone());
        }
        let clock: BTreeMap<_, _> =
            clock.iter().map(|(host, ticks)| (names[*host].as_str(), ticks)).collect();
        let clock = serde_json::to_string(&clock).expect("names and numbers serialise");
        // Writing to a string cannot fail.
        writeln!(out, "{} {}\n{} {clock}", moment(event.at), words(&event.what), names[host]).ok();
    }
    out
}

/// Which machine asked for a change of Consul's state, by the change's step.
fn asked(record: &Record) -> BTreeMap<u64, &str> {
    let requests: BTreeMap<u64, &str> = record
        .events
        .iter()
        .filter(|event| matches!(event.what, What::Http { .. }))
        .map(|event| (event.step, event.host.as_str()))
        .collect();
    causes(record).into_iter().filter_map(|(cause, effect)| Some((effect, *requests.get(&cause)?))).collect()
}

/// A machine's name without blanks, which would end it.
fn one_word(host: &str) -> String {
    let word: String = name(host).chars().map(|c| if c.is_whitespace() { '_' } else { c }).collect();
    if word.is_empty() { "_".to_owned() } else { word }
}
