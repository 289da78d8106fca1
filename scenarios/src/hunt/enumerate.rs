//! Every single fault at every moment that matters, each in a run of its own.
//!
//! What comes out is a statement: of so many points, all recover, or these do not. A point is a moment of
//! the undisturbed run, a machine that is up then, and a kind of fault, which begins one tick of the
//! simulation's clock later. The undisturbed run has the scenario's own faults; a point fails when it shows
//! a failure that run does not show.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::str::FromStr;
use std::time::Duration;

use ironbird_sim::plan::Fault;
use ironbird_sim::record::{Record, What};
use ironbird_sim::run::machines;
use ironbird_sim::signature::Signature;
use ironbird_sim::spec::Spec;
use rand::RngExt;
use toml::{Table, Value};

use super::moments::{Moments, moments};
use super::{Case, Lab};

/// The clock's grain: a fault that begins with an event would begin before what follows from it.
const TICK: Duration = Duration::from_millis(1);
/// How long a node of Consul that is killed stays away.
const AWAY: Duration = Duration::from_secs(30);
/// Points a thread takes from one batch.
const POINTS_PER_JOB: usize = 16;

/// A kind of fault to try everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// `kill -9`.
    Kill,
    /// It stands still until its session has surely expired.
    Pause,
    /// For as long, it does not reach Consul; a node of Consul, not the others.
    CutConsul,
    /// For as long, it does not reach the instances.
    CutPeers,
}

impl Cause {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Kill, Self::Pause, Self::CutConsul, Self::CutPeers];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Pause => "pause",
            Self::CutConsul => "cut-consul",
            Self::CutPeers => "cut-peers",
        }
    }

    /// The fault that does this to `host`, if anything can.
    fn fault(self, spec: &Spec, host: &str, at: Duration) -> Option<Fault> {
        let is_instance = host.starts_with("mysql");
        // A session is gone by twice its TTL.
        let beyond = 2 * spec.cluster.session_ttl + Duration::from_secs(1);
        let (kind, peer, lasting) = match self {
            Self::Kill if is_instance => ("kill", None, None),
            Self::Kill => ("kill", None, Some(AWAY)),
            Self::Pause => ("pause", None, Some(beyond)),
            Self::CutConsul => ("cut", Some("consul"), Some(beyond)),
            Self::CutPeers => ("cut", Some("instances"), Some(beyond)),
        };
        // Alone, a node of Consul has no others to be cut from.
        if host == "consul" && peer == Some("consul") {
            return None;
        }
        let time = |length| Value::String(humantime::format_duration(length).to_string());
        let text = |word: &str| Value::String(word.to_owned());
        let fields = [
            ("at", Some(time(at))),
            ("kind", Some(text(kind))),
            ("target", Some(text(host))),
            ("peer", peer.map(text)),
            ("for", lasting.map(time)),
        ];
        let table: Table =
            fields.into_iter().filter_map(|(field, value)| Some((field.to_owned(), value?))).collect();
        table.try_into().ok()
    }
}

impl FromStr for Cause {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|cause| cause.name() == text).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.into_iter().map(Self::name).collect();
            format!("`{text}` is no kind of fault to enumerate: one of {}", names.join(", "))
        })
    }
}

/// One run to make: a fault, or a pair of them, each after its moment.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultPoint {
    /// The faults, in the order of time.
    pub faults: Vec<Fault>,
    /// What each follows on.
    pub after: Vec<String>,
}

/// All runs to make.
#[derive(Debug, Clone, PartialEq)]
pub struct Points {
    /// The undisturbed run's moments.
    pub moments: Moments,
    /// What the undisturbed run itself shows.
    pub base: Vec<Signature>,
    /// The points there are.
    pub total: usize,
    /// Machine and kind together that no fault can be made of.
    pub impossible: usize,
    /// The points that are tried.
    pub tried: Vec<FaultPoint>,
    /// Whether they are pairs.
    pub pairs: bool,
}

/// The points of `case`: single faults of `causes`, or that many `pairs` of them, drawn; of these at most
/// `limit`, spread evenly.
///
/// # Errors
/// When the undisturbed run panics: where, and what it said.
pub fn points(
    lab: &Lab<'_>,
    case: &Case,
    causes: &[Cause],
    pairs: Option<usize>,
    limit: Option<usize>,
) -> Result<Points, String> {
    let run = lab.fly(case)?;
    let found = moments(&run.record);
    let mut impossible = 0;
    let mut singles = Vec::new();
    for (at, said) in &found.kept {
        for host in hosts(case, &run.record, *at) {
            for cause in causes {
                match cause.fault(&case.spec, &host, *at + TICK) {
                    Some(fault) => singles.push((fault, said)),
                    None => impossible += 1,
                }
            }
        }
    }
    let (total, tried) = match pairs {
        None => (singles.len(), spread(singles.len(), limit).map(|one| vec![one]).collect()),
        Some(count) => (
            singles.len().saturating_mul(singles.len().saturating_sub(1)) / 2,
            drawn_pairs(case, singles.len(), limit.map_or(count, |limit| limit.min(count))),
        ),
    };
    let point = |of: Vec<usize>| {
        let picked = of.iter().filter_map(|index| singles.get(*index));
        let (faults, after) = picked.map(|(fault, said)| (fault.clone(), (*said).clone())).unzip();
        FaultPoint { faults, after }
    };
    let tried = tried.into_iter().map(point).collect();
    let base = Signature::of_all(&run.record, &run.violations);
    Ok(Points { moments: found, base, total, impossible, tried, pairs: pairs.is_some() })
}

/// The machines that are up right after `at`, clients apart: nothing depends on them.
fn hosts(case: &Case, record: &Record, at: Duration) -> Vec<String> {
    let mut running = BTreeSet::new();
    for event in record.events.iter().take_while(|event| event.at <= at) {
        match event.what {
            What::Launched { .. } => running.insert(event.host.as_str()),
            What::Ended { .. } => running.remove(event.host.as_str()),
            _ => continue,
        };
    }
    let is_up = |host: &String| {
        !host.starts_with("client-") && (!host.starts_with("mysql") || running.contains(host.as_str()))
    };
    machines(&case.spec, &case.plan()).into_iter().filter(is_up).collect()
}

/// At most `limit` of `0..count`, evenly spread.
fn spread(count: usize, limit: Option<usize>) -> impl Iterator<Item = usize> {
    let taken = limit.map_or(count, |limit| limit.min(count));
    (0..taken).map(move |number| number * count / taken)
}

/// `count` different pairs out of `singles`, drawn with the case's own seed.
fn drawn_pairs(case: &Case, singles: usize, count: usize) -> Vec<Vec<usize>> {
    let there_are = singles.saturating_mul(singles.saturating_sub(1)) / 2;
    let count = count.min(there_are);
    let mut stream = case.seed.stream("pairs", &case.name);
    let mut known = BTreeSet::new();
    let mut drawn = Vec::new();
    while drawn.len() < count {
        let [one, other] = [0, 0].map(|_| stream.random_range(0..singles));
        let pair = (one.min(other), one.max(other));
        if one != other && known.insert(pair) {
            drawn.push(vec![pair.0, pair.1]);
        }
    }
    drawn
}

impl FaultPoint {
    /// `case` with the faults of this point.
    pub fn case(&self, case: &Case) -> Case {
        let mut faults = case.spec.faults.clone();
        faults.extend(self.faults.iter().cloned());
        faults.sort_by_key(|fault| fault.at.from);
        Case { spec: Spec { faults, ..case.spec.clone() }, ..case.clone() }
    }
}

/// What the points came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Enumeration {
    /// Points tried.
    pub tried: usize,
    /// Points there are.
    pub total: usize,
    /// Whether they are pairs.
    pub pairs: bool,
    /// The failures, each with its points.
    pub found: BTreeMap<Signature, Found>,
    /// Points that show a failure the undisturbed run does not show.
    pub failing: usize,
}

/// A failure and where it shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// The numbers of the points, in their order.
    pub points: Vec<usize>,
}

/// Tries all of `points` but those in `done`, whose failures are known, and hands each new one to `keep`, in
/// order.
///
/// # Errors
/// Those of `keep`, which ends everything.
pub fn enumerate(
    lab: &Lab<'_>,
    case: &Case,
    points: &Points,
    done: &BTreeMap<usize, Vec<Signature>>,
    keep: &mut dyn FnMut(usize, &[Signature]) -> io::Result<()>,
) -> io::Result<Enumeration> {
    let mut all = done.clone();
    let left: Vec<usize> = (0..points.tried.len()).filter(|index| !done.contains_key(index)).collect();
    for batch in left.chunks(POINTS_PER_JOB * lab.jobs()) {
        let shown = lab.each(batch, |index| {
            points.tried.get(*index).map(|point| lab.signatures(&point.case(case))).unwrap_or_default()
        });
        for (index, shown) in batch.iter().zip(shown) {
            keep(*index, &shown)?;
            all.insert(*index, shown);
        }
    }
    let mut found: BTreeMap<Signature, Found> = BTreeMap::new();
    let mut failing = 0;
    for (index, shown) in all.into_iter().filter(|(index, _)| *index < points.tried.len()) {
        let mut new = shown.into_iter().filter(|one| !points.base.contains(one)).peekable();
        failing += usize::from(new.peek().is_some());
        for signature in new {
            found.entry(signature).or_default().points.push(index);
        }
    }
    Ok(Enumeration { tried: points.tried.len(), total: points.total, pairs: points.pairs, found, failing })
}

impl Enumeration {
    /// What is known now, in a sentence about `name`.
    pub fn statement(&self, name: &str) -> String {
        let what = if self.pairs { "pairs of faults" } else { "single-fault points" };
        let of = if self.tried == self.total {
            format!("{} {what}", thousands(self.total))
        } else {
            format!("{} tried of {} {what}", thousands(self.tried), thousands(self.total))
        };
        if self.failing == 0 {
            return format!("all {of} of {name} recover");
        }
        let ways = self.found.len();
        let ways = if ways == 1 { "one way".to_owned() } else { format!("{ways} ways") };
        format!("{} of {of} of {name} fail, in {ways}", thousands(self.failing))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// `4,212`.
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{spread, thousands};

    #[test]
    fn a_limit_takes_from_all_over() {
        for (count, limit, expected) in [
            (3, None, &[0, 1, 2][..]),
            (3, Some(5), &[0, 1, 2]),
            (10, Some(4), &[0, 2, 5, 7]),
            (10, Some(1), &[0]),
            (10, Some(0), &[]),
            (0, Some(3), &[]),
        ] {
            assert_eq!(spread(count, limit).collect::<Vec<_>>(), expected, "{limit:?} of {count}");
        }
    }

    #[test]
    fn numbers_are_grouped() {
        for (number, expected) in [(0, "0"), (999, "999"), (4_212, "4,212"), (1_000_000, "1,000,000")] {
            assert_eq!(thousands(number), expected);
        }
    }
}
