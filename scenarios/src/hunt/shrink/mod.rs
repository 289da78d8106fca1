//! A failing run, taken apart until nothing can be left out.
//!
//! First whole faults go ([`ddmin`]), then machines and what is unusual about them, then what is left is made
//! milder, then times rounder; and all over again, until a round changes nothing. The cluster comes before
//! the faults' harshness because a fault that is only just harsh enough is so for one cluster only, and
//! because runs of a small one are quick. A
//! candidate is taken when it shows *the same* failure and is smaller by [`Size`], which orders cases so
//! that every step goes down and there are only finitely many.
//!
//! The same failure can come about in other ways, and a cluster that is made simpler may find one of them
//! that needs no fault at all. So when it took faults to make the case fail, it must go on taking them: a
//! change of the cluster is refused if without its faults it fails alike.
//!
//! A candidate is only ever what a file can say: it is written, read and run as read. So what is found at
//! the end stands alone, and an impossible candidate (a fault of a machine that a smaller cluster does not
//! have) costs no run.

mod milder;
mod size;
mod smaller;

use std::collections::BTreeSet;
use std::io;

use ironbird_sim::plan::Fault;
use ironbird_sim::signature::Signature;
use ironbird_sim::spec::Spec;

pub use self::size::Size;
use super::{Case, Lab, ddmin, showing};

/// What is told while a case shrinks.
#[derive(Debug)]
pub enum Step<'a> {
    /// Another way of making it smaller is begun.
    Pass {
        /// Which, in a few words.
        what: &'static str,
    },
    /// It has become smaller.
    Smaller {
        /// What was changed.
        what: &'a str,
        /// What it is now: the smallest so far that shows the failure.
        best: &'a Case,
        /// Runs so far.
        runs: u64,
    },
}

/// What shrinking came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Shrunk {
    /// The smallest case that shows the failure.
    pub case: Case,
    /// Runs it took.
    pub runs: u64,
    /// Whether nothing can be left out; otherwise the budget was at its end.
    pub minimal: bool,
}

/// Makes `case`, which shows `wanted`, as small as `budget` runs can make it.
///
/// # Errors
/// Those of `tell`, which ends everything.
pub fn shrink(
    lab: &Lab<'_>,
    case: Case,
    wanted: &Signature,
    budget: u64,
    tell: &mut dyn FnMut(&Step<'_>) -> io::Result<()>,
) -> io::Result<Shrunk> {
    let mut work = Work {
        lab,
        wanted,
        budget,
        runs: 0,
        starved: false,
        tried: BTreeSet::new(),
        best: case,
        tell,
        failed: None,
    };
    loop {
        let before = work.best.clone();
        work.fewer_faults()?;
        work.pass("a smaller cluster, and less that is unusual", |work| {
            let guard = if work.best.spec.faults.is_empty() { Guard::None } else { Guard::FaultsMatter };
            while work.first(smaller::candidates(&work.best), guard).is_some() {}
        })?;
        work.pass("milder faults", Work::milder_faults)?;
        work.pass("rounder times", Work::rounder_times)?;
        if work.best == before || work.starved {
            break;
        }
    }
    Ok(Shrunk { case: work.best, runs: work.runs, minimal: !work.starved })
}

/// Something smaller to try.
struct Candidate {
    what: String,
    spec: Spec,
}

struct Work<'l, 'a> {
    lab: &'l Lab<'a>,
    wanted: &'l Signature,
    budget: u64,
    runs: u64,
    /// Whether there was something left to try and no run left to try it with.
    starved: bool,
    /// What has been tried, by the hash of its file. The same is never run twice.
    tried: BTreeSet<[u8; 32]>,
    best: Case,
    tell: &'l mut dyn FnMut(&Step<'_>) -> io::Result<()>,
    /// What telling failed with.
    failed: Option<io::Error>,
}

/// What else must hold of a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guard {
    /// Nothing.
    None,
    /// Without its faults it does not fail.
    FaultsMatter,
}

impl Work<'_, '_> {
    fn pass(&mut self, what: &'static str, work: impl FnOnce(&mut Self)) -> io::Result<()> {
        (self.tell)(&Step::Pass { what })?;
        work(self);
        self.failed.take().map_or(Ok(()), Err)
    }

    fn fewer_faults(&mut self) -> io::Result<()> {
        self.pass("fewer faults", |work| {
            let all = work.best.spec.faults.clone();
            let pick = |part: &[usize]| -> Vec<Fault> {
                part.iter().filter_map(|index| all.get(*index)).cloned().collect()
            };
            ddmin(all.len(), |parts| {
                let candidates = parts
                    .iter()
                    .map(|part| Candidate {
                        what: format!("{} of {} faults", part.len(), all.len()),
                        spec: Spec { faults: pick(part), ..work.best.spec.clone() },
                    })
                    .collect();
                work.first(candidates, Guard::None)
            });
        })
    }

    fn milder_faults(&mut self) {
        let mut index = 0;
        while index < self.best.spec.faults.len() {
            while self.try_each(milder::candidates(&self.best, index)) {}
            index += 1;
        }
    }

    fn rounder_times(&mut self) {
        let mut index = 0;
        while index < self.best.spec.faults.len() {
            while self.try_each(milder::rounder(&self.best, index)) {}
            index += 1;
        }
    }

    /// Takes the first candidate that is smaller and shows the failure, if there is one.
    fn try_each(&mut self, candidates: Vec<Candidate>) -> bool {
        self.first(candidates, Guard::None).is_some()
    }

    /// The same, and which it was.
    fn first(&mut self, candidates: Vec<Candidate>, guard: Guard) -> Option<usize> {
        if self.failed.is_some() {
            return None;
        }
        let guarded = guard == Guard::FaultsMatter;
        let size = Size::of(&self.best);
        let mut worth: Vec<(usize, [u8; 32], Case)> = Vec::new();
        for (index, candidate) in candidates.iter().enumerate() {
            let Some(case) = self.sound(&candidate.spec) else { continue };
            let hash = fingerprint(&case);
            let known = self.tried.contains(&hash) || worth.iter().any(|(_, other, _)| *other == hash);
            if !known && Size::of(&case) < size {
                worth.push((index, hash, case));
            }
        }
        let left = self.budget.saturating_sub(self.runs) / if guarded { 2 } else { 1 };
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        self.starved |= worth.len() > left;
        worth.truncate(left);
        // As if they had been run one after the other, however many are under way at the same time: what
        // comes after the first that will do is not counted.
        let (lab, wanted) = (self.lab, self.wanted);
        let shows = |case: &Case| lab.signatures(case).contains(wanted);
        for some in worth.chunks(lab.jobs()) {
            let shown = lab.each(some, |(_, _, case)| match shows(case) {
                true if guarded => (2, !shows(&without_faults(case))),
                will_do => (1, will_do),
            });
            for ((index, hash, case), (runs, will_do)) in some.iter().zip(shown) {
                self.runs += runs;
                self.tried.insert(*hash);
                if will_do {
                    self.best = case.clone();
                    self.say(&candidates.get(*index)?.what);
                    return Some(*index);
                }
            }
        }
        None
    }

    fn say(&mut self, what: &str) {
        let step = Step::Smaller { what, best: &self.best, runs: self.runs };
        if let Err(error) = (self.tell)(&step) {
            self.failed = Some(error);
        }
    }

    /// The case of `spec` as its file would have it, if it can be.
    fn sound(&self, spec: &Spec) -> Option<Case> {
        let candidate = Case { spec: spec.clone(), ..self.best.clone() };
        let expect = showing(self.wanted);
        let draft = candidate.draft("x".to_owned(), "x".to_owned(), "x".to_owned(), &expect);
        let read = draft.read().ok()?;
        let variant = read.variants.into_iter().next()?;
        Some(Case { spec: variant.spec, ..self.best.clone() })
    }
}

fn without_faults(case: &Case) -> Case {
    Case { spec: Spec { faults: Vec::new(), ..case.spec.clone() }, ..case.clone() }
}

fn fingerprint(case: &Case) -> [u8; 32] {
    let table = crate::format::as_table(&case.spec);
    *blake3::hash(table.to_string().as_bytes()).as_bytes()
}
