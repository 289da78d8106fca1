//! What can be wrong with a fake Consul on purpose, while others are tested against it.
//!
//! [`Chaos`] says what is wrong right now. Whoever holds a clone changes it, from any thread; the shell that
//! serves the requests looks at it before each of them. [`ChaosPlan`] is the same on a schedule. It all
//! happens before the state is asked: nothing here knows what a request means, beyond whether it needs a
//! leader.
//!
//! The rule a change must keep: in fair weather an answer is exactly what the state says.

mod plan;
mod whom;

use std::sync::{Arc, RwLockReadGuard};
use std::time::Duration;

use http::StatusCode;

pub use self::plan::{ChaosFault, ChaosPlan};
pub use self::whom::{Census, Unfit, Whom};
use crate::consul::latest::Latest;
use crate::plan::Span;

/// One thing that is wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Trouble {
    /// Catalog and health queries show the catalog of this much earlier.
    Stale {
        /// How much earlier.
        delay: Duration,
    },
    /// Reads that ask for no consistency of their own are answered as if they had asked for `stale`: by
    /// whatever node is asked, from what it knows.
    StaleReads,
    /// Every answer takes longer.
    Slow {
        /// By a time drawn from this.
        latency: Span,
    },
    /// There is no leader. What needs one is held as long as a real server holds it and then fails with
    /// `No cluster leader`; stale reads go on. Nothing expires meanwhile, and when there is a leader again every
    /// session has all of its time again.
    Leaderless,
    /// Blocking queries are also woken by what is written beside what they watch, and answered as before with
    /// a greater index.
    SpuriousWakes {
        /// By this share of it, 0 to 1.
        share: f64,
    },
    /// Nobody has a token any more, but for the anonymous one and the agents' own. Servers know at once, agents
    /// remember for a while.
    RevokeTokens,
    /// Some requests fail.
    Errors {
        /// With this status; 429 comes without a body, as from a rate limit.
        status: StatusCode,
        /// This share of them, 0 to 1.
        share: f64,
    },
    /// Connections are refused, and those that are open end.
    Refuse,
    /// Connections are taken, and requests are held.
    Hang,
    /// `X-Consul-Index` starts over from 1, as after a restored snapshot. Happens once. Indexes in bodies
    /// stay what they were.
    IndexReset,
    /// A node of a cluster is killed, and started again when this ends.
    Kill {
        /// Which.
        whom: Whom,
        /// Whether it loses what it has on disk.
        wipe: bool,
    },
    /// A node of a cluster stands still: what is sent to it waits.
    Pause {
        /// Which.
        whom: Whom,
    },
    /// A node of a cluster hears nothing of the others, nor they of it. Its clients still reach it.
    Isolate {
        /// Which.
        whom: Whom,
    },
}

impl Trouble {
    /// Every name, for messages.
    pub const NAMES: [&'static str; 14] = [
        "stale",
        "stale-reads",
        "slow",
        "leaderless",
        "spurious-wakes",
        "revoke-tokens",
        "errors",
        "refuse",
        "hang",
        "index-reset",
        "kill-server",
        "kill-leader",
        "pause-server",
        "isolate",
    ];

    /// Its name in plans.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Stale { .. } => "stale",
            Self::StaleReads => "stale-reads",
            Self::Slow { .. } => "slow",
            Self::Leaderless => "leaderless",
            Self::SpuriousWakes { .. } => "spurious-wakes",
            Self::RevokeTokens => "revoke-tokens",
            Self::Errors { .. } => "errors",
            Self::Refuse => "refuse",
            Self::Hang => "hang",
            Self::IndexReset => "index-reset",
            Self::Kill { whom: Whom::Leader, .. } => "kill-leader",
            Self::Kill { .. } => "kill-server",
            Self::Pause { .. } => "pause-server",
            Self::Isolate { .. } => "isolate",
        }
    }

    /// The node of a cluster it hits; none where it hits no node as such.
    pub fn whom(&self) -> Option<Whom> {
        match self {
            Self::Kill { whom, .. } | Self::Pause { whom } | Self::Isolate { whom } => Some(*whom),
            _ => None,
        }
    }
}

/// Who began a trouble, and so ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// A caller, with the method for a kind of that name.
    Caller(&'static str),
    /// The plan's fault of that number.
    Plan(usize),
}

/// A trouble that has begun and not ended.
#[derive(Debug, Clone, Copy)]
struct Begun {
    source: Source,
    /// Which one this is of all that ever began.
    number: u64,
    trouble: Trouble,
}

/// Everything that is wrong now.
#[derive(Debug, Clone, Default)]
pub(super) struct Troubles {
    list: Vec<Begun>,
    /// How many ever began.
    begun: u64,
    census: Census,
    /// How often indexes started over.
    resets: u64,
}

impl Troubles {
    fn add(&mut self, source: Source, trouble: Trouble) {
        self.list.push(Begun { source, number: self.begun, trouble });
        self.begun += 1;
    }

    fn all(&self) -> impl Iterator<Item = Trouble> {
        self.list.iter().map(|begun| begun.trouble)
    }

    fn has(&self, trouble: Trouble) -> bool {
        self.all().any(|other| other == trouble)
    }

    pub(super) fn stale(&self) -> Option<Duration> {
        self.all()
            .filter_map(|trouble| if let Trouble::Stale { delay } = trouble { Some(delay) } else { None })
            .max()
    }

    pub(super) fn has_stale_reads(&self) -> bool {
        self.has(Trouble::StaleReads)
    }

    pub(super) fn latencies(&self) -> impl Iterator<Item = Span> {
        self.all()
            .filter_map(|trouble| if let Trouble::Slow { latency } = trouble { Some(latency) } else { None })
    }

    pub(super) fn errors(&self) -> impl Iterator<Item = (StatusCode, f64)> {
        self.all().filter_map(|trouble| match trouble {
            Trouble::Errors { status, share } => Some((status, share)),
            _ => None,
        })
    }

    pub(super) fn spurious_wakes(&self) -> Option<f64> {
        let shares = self.all().filter_map(|trouble| match trouble {
            Trouble::SpuriousWakes { share } => Some(share),
            _ => None,
        });
        shares.reduce(f64::max)
    }

    pub(super) fn are_tokens_revoked(&self) -> bool {
        self.has(Trouble::RevokeTokens)
    }

    pub(super) fn is_leaderless(&self) -> bool {
        self.has(Trouble::Leaderless)
    }

    pub(super) fn is_refusing(&self) -> bool {
        self.has(Trouble::Refuse)
    }

    pub(super) fn is_hanging(&self) -> bool {
        self.has(Trouble::Hang)
    }

    /// What hits single nodes, each with its number among all that ever began, in that order.
    pub(super) fn strikes(&self) -> impl Iterator<Item = (u64, Trouble)> {
        self.list
            .iter()
            .filter(|begun| begun.trouble.whom().is_some())
            .map(|begun| (begun.number, begun.trouble))
    }

    pub(super) fn resets(&self) -> u64 {
        self.resets
    }
}

/// What is wrong with a server, to be changed while it serves. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Chaos(Arc<Latest<Troubles>>);

impl Default for Chaos {
    fn default() -> Self {
        Self(Arc::new(Latest::new(Troubles::default())))
    }
}

impl Chaos {
    /// Nothing wrong.
    pub fn new() -> Self {
        Self::default()
    }

    /// Shows catalog and health queries the catalog of `delay` earlier from now on; `None` shows them the
    /// present.
    pub fn set_stale(&self, delay: Option<Duration>) {
        self.set("stale", delay.map(|delay| Trouble::Stale { delay }));
    }

    /// Delays every answer by a time drawn from `latency`; `None` by none.
    pub fn set_latency(&self, latency: Option<Span>) {
        self.set("slow", latency.map(|latency| Trouble::Slow { latency }));
    }

    /// Takes the leader away, or gives it back.
    pub fn set_leaderless(&self, leaderless: bool) {
        self.set("leaderless", leaderless.then_some(Trouble::Leaderless));
    }

    /// Wakes a share of those who wait for something whenever what is beside it is written, 0 to 1; a share of 0
    /// ends that.
    pub fn set_spurious_wakes(&self, share: f64) {
        self.set("spurious-wakes", (share > 0.0).then_some(Trouble::SpuriousWakes { share }));
    }

    /// Takes every token away, or gives them back.
    pub fn set_tokens_revoked(&self, revoked: bool) {
        self.set("revoke-tokens", revoked.then_some(Trouble::RevokeTokens));
    }

    /// Fails a share of all requests, 0 to 1, with `status`; a share of 0 ends that.
    pub fn fail_with(&self, status: StatusCode, share: f64) {
        self.set("errors", (share > 0.0).then_some(Trouble::Errors { status, share }));
    }

    /// Refuses connections and ends those that are open, or takes them again.
    pub fn set_refusing(&self, refusing: bool) {
        self.set("refuse", refusing.then_some(Trouble::Refuse));
    }

    /// Holds every request from now on, or lets them go.
    pub fn set_hanging(&self, hanging: bool) {
        self.set("hang", hanging.then_some(Trouble::Hang));
    }

    /// Lets the indexes of answers start over from 1.
    pub fn reset_indexes(&self) {
        self.begin(Source::Caller("index-reset"), Trouble::IndexReset);
    }

    /// Kills a node of a cluster: its connections end, and its port is closed. Its disk stays.
    ///
    /// # Errors
    /// When there is, and will be, no such node.
    pub fn kill(&self, whom: Whom) -> Result<(), Unfit> {
        self.strike("kill", Trouble::Kill { whom, wipe: false })
    }

    /// Kills a node of a cluster, and its disk with it.
    ///
    /// # Errors
    /// When there is, and will be, no such node.
    pub fn kill_and_wipe(&self, whom: Whom) -> Result<(), Unfit> {
        self.strike("kill", Trouble::Kill { whom, wipe: true })
    }

    /// Starts every node again that a caller killed.
    pub fn restart(&self) {
        self.end(Source::Caller("kill"));
    }

    /// Lets a node of a cluster stand still.
    ///
    /// # Errors
    /// When there is, and will be, no such node.
    pub fn pause(&self, whom: Whom) -> Result<(), Unfit> {
        self.strike("pause", Trouble::Pause { whom })
    }

    /// Lets every node go on that a caller paused.
    pub fn resume(&self) {
        self.end(Source::Caller("pause"));
    }

    /// Cuts a node of a cluster off from all others.
    ///
    /// # Errors
    /// When there is, and will be, no such node.
    pub fn isolate(&self, whom: Whom) -> Result<(), Unfit> {
        self.strike("isolate", Trouble::Isolate { whom })
    }

    /// Joins every node again that a caller isolated.
    pub fn heal(&self) {
        self.end(Source::Caller("isolate"));
    }

    /// Ends all that a caller began; what a plan began goes on.
    pub fn calm(&self) {
        self.0.change(|troubles| troubles.list.retain(|begun| matches!(begun.source, Source::Plan(_))));
    }

    /// Says what nodes there are.
    pub(super) fn set_census(&self, census: Census) {
        self.0.change(|troubles| troubles.census = census);
    }

    /// Begins what hits one node; unlike other troubles, there can be several of a kind.
    fn strike(&self, name: &'static str, trouble: Trouble) -> Result<(), Unfit> {
        if let Some(whom) = trouble.whom() {
            self.0.now().census.fits(whom)?;
        }
        self.0.change(|troubles| troubles.add(Source::Caller(name), trouble));
        Ok(())
    }

    /// Begins a trouble that number `number` of some plan brings.
    pub fn begin_planned(&self, number: usize, trouble: Trouble) {
        self.begin(Source::Plan(number), trouble);
    }

    /// Ends it.
    pub fn end_planned(&self, number: usize) {
        self.end(Source::Plan(number));
    }

    fn set(&self, name: &'static str, trouble: Option<Trouble>) {
        let source = Source::Caller(name);
        match trouble {
            Some(trouble) => self.begin(source, trouble),
            None => self.end(source),
        }
    }

    fn begin(&self, source: Source, trouble: Trouble) {
        self.0.change(|troubles| {
            if trouble == Trouble::IndexReset {
                troubles.resets += 1;
                return;
            }
            troubles.list.retain(|begun| begun.source != source);
            troubles.add(source, trouble);
        });
    }

    fn end(&self, source: Source) {
        self.0.change(|troubles| troubles.list.retain(|begun| begun.source != source));
    }

    pub(super) fn now(&self) -> RwLockReadGuard<'_, Troubles> {
        self.0.now()
    }

    /// How often anything has changed, for [`Self::changed_since`].
    pub(super) fn changes(&self) -> u64 {
        self.0.changes()
    }

    /// Returns once more has changed than that.
    pub(super) async fn changed_since(&self, changes: u64) {
        self.0.changed_since(changes).await;
    }

    /// Returns once `holds` does.
    pub(super) async fn until(&self, holds: impl FnMut(&Troubles) -> bool) {
        self.0.until(holds).await;
    }
}
