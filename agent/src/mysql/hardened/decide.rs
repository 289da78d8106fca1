//! The state machine of a role: what an instance should do next, given everything it knows. Pure.
//!
//! It is asked again after every change, so nothing depends on an event not being missed: the [`View`] is
//! the input, whole, each time; the [`State`] is derived from it and kept nowhere; the [`Action`] is the
//! effect. Of the rows of a state the first that fits counts, and the first state that fits is the state.
//!
//! | state | what it is |
//! |---|---|
//! | deposed | the database takes writes, and the lease is over or the lock is not ours |
//! | unsworn | the database acknowledges, and the lease is over or the primary's set does not name us |
//! | revenant | we hold the lock, and somebody has known a later term than its value says |
//! | holder | we hold the lock, and the lease is valid |
//! | follower | somebody else holds it, and nobody has known a later term |
//! | candidate | nobody holds it, and the lease is valid |
//! | idle | anything else: no lease, nothing readable, or a term that is over |
//!
//! | state | input | effect |
//! |---|---|---|
//! | deposed | | [`Action::Demote`] |
//! | unsworn | | [`Action::Silence`] |
//! | revenant | | [`Action::Release`] |
//! | holder | the database is read-only | [`Action::Promote`] |
//! | holder | nothing is published under this session | [`Action::Publish`] |
//! | holder | a replica holds all from before this term, and fewer than two stand by | [`Action::Enlist`] |
//! | holder | one of the set is gone, and another one acknowledges | [`Action::Dismiss`] |
//! | follower | the primary still sets up its database | [`Action::Wait`] |
//! | follower | our data holds what the primary never had, or cannot be continued | [`Action::Reclone`] |
//! | follower | replication is not set up, and received transactions of the primary's are unapplied | [`Action::Apply`] |
//! | follower | replication is not set up | [`Action::Follow`] |
//! | follower | what is published is not what is so | [`Action::Publish`] |
//! | follower | named in the set, the word is given, and not acknowledging | [`Action::Vouch`] |
//! | candidate | a primary that stopped in order left something we are about to receive | [`Action::Wait`] |
//! | candidate | still receiving, or not published for this term | [`Action::Prepare`] |
//! | candidate | received transactions are unapplied | [`Action::Apply`] |
//! | candidate | first of those that hold all that was acknowledged, or first of all when patience ended | [`Action::Acquire`] |
//! | idle | with a lease, and nothing published under it | [`Action::Publish`] |
//! | any | anything else | [`Action::Wait`] |
//!
//! Why that is safe:
//!
//! - *Never two writable.* Only `Promote` makes a database writable; it needs the lock and a valid lease,
//!   and a lease ends a quarter of the TTL before Consul could give the lock to anybody else.
//! - *Nothing acknowledged is lost.* A replica acknowledges between `Vouch` and the next `Silence`,
//!   `Prepare` or `Follow` only, which needs a lease and its name in the primary's set; see [`Leader`] and
//!   the head of `election.rs` for why an election then finds what was acknowledged.
//! - *An old primary speaks for nobody.* One that was stopped in the middle (a paused machine) and goes on
//!   before its agent does can commit, but nobody acknowledges: whoever elected its successor stopped
//!   receiving from it first. Its clients are never told, and its data is replaced when it comes back.

pub use super::view::{Action, Claim, Database, Leader, Lock, Member, Position, View};

use super::election::elect;
use crate::mysql::{Gtid, GtidSet};
use crate::planted::{self, Bug};

/// How many members of the in-sync set, the primary included, are enough. With more, an election has to
/// hear more of them.
const IN_SYNC_ENOUGH: usize = 3;

/// What an instance is, see the [module](self).
#[derive(Debug, Clone, PartialEq)]
pub enum State<'a> {
    /// Writable without the right to be.
    Deposed(&'static str),
    /// Acknowledging without the right to.
    Unsworn(&'static str),
    /// Holder of a lock whose term is over.
    Revenant,
    /// Holder of the lock.
    Holder(&'a Leader),
    /// Subject of another's.
    Follower(&'a Leader),
    /// In an election.
    Candidate,
    /// None of that.
    Idle,
}

impl<'a> State<'a> {
    /// The state `view` shows.
    pub fn of(view: &'a View) -> Self {
        let View { lease, lock, database, .. } = view;
        let deposed = deposed(lease.as_deref(), lock);
        let for_ever = planted::is(Bug::LeadershipForEver);
        if let (true, Some(why)) = (database.writable && !for_ever, deposed) {
            return Self::Deposed(why);
        }
        if database.acknowledging
            && let Some(why) = unsworn(lease.as_deref(), lock, view.published.as_ref())
        {
            return Self::Unsworn(why);
        }
        let later = |leader: &Leader| view.reign().is_some_and(|reign| reign.term > leader.term);
        match (&lock.session, &lock.leader) {
            (None, _) if lease.is_some() => Self::Candidate,
            (Some(_), Some(leader)) if deposed.is_none() => {
                if later(leader) {
                    Self::Revenant
                } else {
                    Self::Holder(leader)
                }
            }
            // Held by a former life of ours: it can neither be used nor followed.
            (Some(_), Some(leader)) if leader.holder != view.me && !later(leader) => Self::Follower(leader),
            _ => Self::Idle,
        }
    }
}

/// Why an instance with this lease must not be writable; `None` when it may.
pub(super) fn deposed(lease: Option<&str>, lock: &Lock) -> Option<&'static str> {
    match lease {
        None => Some("the lease ran out"),
        Some(session) if lock.session.as_deref() != Some(session) => Some("the lock is not ours"),
        Some(_) => None,
    }
}

/// Why a database must not acknowledge what it receives, after `published`; `None` when it may.
pub(super) fn unsworn(
    lease: Option<&str>,
    lock: &Lock,
    published: Option<&Position>,
) -> Option<&'static str> {
    let Some(Position { server, acknowledges: term, .. }) = published.filter(|_| lease.is_some()) else {
        return Some("the lease ran out");
    };
    match (&lock.session, &lock.leader) {
        // What it acknowledges until it prepares for the election counts in that.
        (None, _) => None,
        (Some(_), Some(leader)) if leader.term == *term && leader.in_sync.contains_key(server) => None,
        _ => Some("the primary does not count on this one"),
    }
}

/// What to do next.
pub fn decide(view: &View) -> Action {
    let action = match State::of(view) {
        State::Deposed(why) => Action::Demote { why },
        State::Unsworn(why) => Action::Silence { why },
        State::Revenant => Action::Release { why: "a later term is known" },
        State::Holder(leader) => hold(view, leader),
        State::Follower(leader) => follow(view, leader),
        State::Candidate => elect(view),
        State::Idle if view.lease.is_some() && view.published.is_none() => {
            Action::Publish { follows: 0, acknowledges: 0 }
        }
        State::Idle => Action::Wait,
    };
    match action {
        // An empty database has no position to tell of.
        Action::Publish { .. } if view.database.executed.is_empty() => Action::Wait,
        action => action,
    }
}

fn hold(view: &View, leader: &Leader) -> Action {
    if !view.database.writable {
        return Action::Promote { term: leader.term };
    }
    if view.published.is_none() {
        return Action::Publish { follows: leader.term, acknowledges: 0 };
    }
    if leader.copies < 2 {
        return Action::Wait;
    }
    let standing_by =
        || view.members.iter().filter(|member| member.live && member.position.follows == leader.term);
    let named = |member: &&Member| leader.in_sync.contains_key(&member.position.server);
    if standing_by().filter(named).count() + 1 < IN_SYNC_ENOUGH
        && let Some(member) = standing_by().find(|member| !named(member))
    {
        return Action::Enlist { name: member.name.clone(), server: member.position.server.clone() };
    }
    let is_gone = |(server, _): &(&String, &String)| {
        let lives = |member: &Member| member.live && member.position.server == **server;
        **server != view.database.server && !view.members.iter().any(lives)
    };
    let has_heir = standing_by().filter(named).any(|member| member.position.acknowledges == leader.term);
    match leader.in_sync.iter().find(is_gone) {
        Some((server, name)) if has_heir => Action::Dismiss { name: name.clone(), server: server.clone() },
        _ => Action::Wait,
    }
}

fn follow(view: &View, leader: &Leader) -> Action {
    let database = &view.database;
    if leader.server.is_empty() {
        return Action::Wait;
    }
    // What the primary itself committed since is on its way here, or was here first by replication.
    let primary_had = |ours: &GtidSet| {
        let mut known = leader.executed.clone();
        let own = ours.last(&leader.server);
        if own > 0 {
            known.insert(&Gtid { server: leader.server.clone(), number: own });
        }
        known.includes(ours)
    };
    if !primary_had(&database.executed) && !planted::is(Bug::RejoinUnchecked) {
        return Action::Reclone { why: "the database holds transactions the primary never had" };
    }
    let follows = database.source.as_deref() == Some(leader.address.as_str());
    if follows && !database.applying && !database.applier_error.is_empty() {
        return Action::Reclone { why: "replication cannot apply what it received" };
    }
    if follows && database.receiver_error.contains("1236") {
        return Action::Reclone { why: "the primary no longer has what is missing here" };
    }
    if !follows || !database.receiving {
        // Setting up replication drops what is received and unapplied. What the primary never had is
        // better dropped than applied.
        return match (database.is_drained() || !primary_had(&database.retrieved), database.applying) {
            (true, _) => Action::Follow { address: leader.address.clone() },
            (false, false) => Action::Apply,
            (false, true) => Action::Wait,
        };
    }
    if !database.applying {
        return Action::Apply;
    }
    if view.lease.is_none() {
        return Action::Wait;
    }
    let published = view.published.clone().unwrap_or_default();
    let caught_up = database.connected && database.position().includes(&leader.executed);
    let follows = if caught_up { leader.term } else { published.follows };
    let named = leader.copies > 1 && leader.in_sync.contains_key(&database.server);
    let acknowledges = if named { leader.term } else { 0 };
    let told = (published.follows, published.acknowledges, published.prepared_for);
    if view.published.is_none() || told != (follows, acknowledges, 0) {
        return Action::Publish { follows, acknowledges };
    }
    if named && !database.acknowledging {
        return Action::Vouch { term: leader.term };
    }
    Action::Wait
}
