//! Who succeeds: pure functions of what is published.
//!
//! An election of term *t* hears instances that are *prepared* for *t*: they have stopped receiving, so
//! what they published is all they ever acknowledged of earlier terms. Everything acknowledged is on
//! `copies` members of the in-sync set, so as soon as all but `copies - 1` of its members have been heard,
//! one of them holds any given write. Whoever includes everything those published has lost nothing, and of
//! all who do, exactly one goes first.
//!
//! Fewer may be heard: members of the set may be dead, or alive and cut off from Consul, which nobody can
//! tell. Then everybody waits, for as long as [`View::patience`] says. When that is over, the most advanced
//! of those that are heard takes over, and what only the silent ones hold is lost: that is the one way in
//! which an acknowledged write can be, and it takes as many silent members as there are copies. Silence while
//! one could not have heard anybody says nothing: patience begins anew when Consul was out of reach.
//!
//! A primary that stopped in order leaves behind what it held, and who holds that need hear nobody.
//!
//! The next in-sync set begins as the last one with the new primary in it: the writes that are on `copies`
//! of the old one are on as many of this one. After a patience that ended it begins with the primary alone,
//! for that is who holds what there still is.

use std::collections::BTreeMap;
use std::time::Duration;

use super::view::{Action, Claim, Leader, View};
use crate::mysql::GtidSet;
use crate::planted::{self, Bug};

/// For how long those who are alive and have not published yet are waited for, though it would do without.
const GRACE: Duration = Duration::from_secs(5);
/// For how long a replica that is still connected goes on receiving what a primary left behind.
const INHERITING: Duration = Duration::from_secs(5);

/// An instance that can be heard, by its name, its database's, and what it published.
struct Heard<'a> {
    name: &'a str,
    server: &'a str,
    live: bool,
    position: &'a GtidSet,
}

/// What an instance with a valid lease does while the lock is free.
pub(super) fn elect(view: &View) -> Action {
    let reign = view.reign();
    let term = reign.map_or(0, |reign| reign.term) + 1;
    let mine = view.database.position();
    let legacy = reign.and_then(|reign| reign.legacy.as_ref());
    if let Some(legacy) = legacy
        && view.database.connected
        && view.free_for < INHERITING
        && !mine.includes(legacy)
    {
        return Action::Wait;
    }
    if view.database.receiving || view.database.acknowledging || view.prepared_for() < term {
        return Action::Prepare { term };
    }
    // Everything received counts, so everything received is applied first.
    if !view.database.is_drained() && !planted::is(Bug::UnappliedPromoted) {
        return if view.database.applying { Action::Wait } else { Action::Apply };
    }
    let me = Heard { name: &view.me, server: &view.database.server, live: true, position: &mine };
    let heard: Vec<_> = view
        .members
        .iter()
        .filter(|member| member.position.prepared_for >= term || planted::is(Bug::UnpreparedHeard))
        .map(|member| Heard {
            name: &member.name,
            server: &member.position.server,
            live: member.live,
            position: &member.position.executed,
        })
        .chain([me])
        .collect();
    let claim = match claim(view, reign, term, &heard) {
        Some(claim) => claim,
        None => return Action::Wait,
    };
    if !is_over(view, reign) {
        return Action::Wait;
    }
    let unheard = || view.members.iter().any(|member| member.live && member.position.prepared_for < term);
    if view.free_for < GRACE && unheard() {
        return Action::Wait;
    }
    Action::Acquire { claim }
}

/// Whether the last holder writes no more. Consul can end a session early (its node left, or all of Consul
/// was lost), while the holder, cut off, still counts on it.
fn is_over(view: &View, reign: Option<&Leader>) -> bool {
    if planted::is(Bug::TakeoverInsideLease) {
        return true;
    }
    reign.is_none_or(|reign| {
        reign.over || reign.server == view.database.server || view.quiet_for >= view.lease_length
    })
}

/// What this instance may claim now; `None` while it may not, or somebody else goes first.
fn claim(view: &View, reign: Option<&Leader>, term: u64, heard: &[Heard<'_>]) -> Option<Claim> {
    let blind = planted::is(Bug::PositionsIgnored);
    let complete =
        |position: &GtidSet| blind || reign.is_none_or(|reign| is_complete(reign, heard, position));
    let first = |entitled: &dyn Fn(&GtidSet) -> bool| {
        let best = heard
            .iter()
            .filter(|heard| heard.live && entitled(heard.position))
            .max_by_key(|heard| (if blind { 0 } else { heard.position.len() }, heard.name));
        best.map(|best| best.name)
    };
    if let Some(first) = first(&complete) {
        return (first == view.me).then(|| Claim {
            term,
            in_sync: successors(view, reign),
            founding: view.copies > 1 && reign.is_some_and(|reign| reign.founding),
        });
    }
    let over = is_out_of_patience(view) || planted::is(Bug::ImpatientTakeover);
    (over && first(&|_| true) == Some(view.me.as_str())).then(|| Claim {
        term,
        in_sync: alone(view),
        founding: false,
    })
}

/// Whether everything that was acknowledged is in `position`, as far as `heard` can tell.
fn is_complete(reign: &Leader, heard: &[Heard<'_>], position: &GtidSet) -> bool {
    if reign.legacy.as_ref().is_some_and(|legacy| position.includes(legacy)) {
        return true;
    }
    let mut members = heard.iter().filter(|heard| reign.in_sync.contains_key(heard.server));
    members.clone().count() >= reign.quorum() && members.all(|member| position.includes(member.position))
}

/// Whether who is silent now has been for long enough.
fn is_out_of_patience(view: &View) -> bool {
    view.patience.is_some_and(|patience| view.free_for.min(view.hearing_for) >= patience)
}

fn alone(view: &View) -> BTreeMap<String, String> {
    BTreeMap::from([(view.database.server.clone(), view.me.clone())])
}

fn successors(view: &View, reign: Option<&Leader>) -> BTreeMap<String, String> {
    let mut successors = alone(view);
    if let Some(reign) = reign
        && view.copies > 1
        && !reign.founding
    {
        successors.extend(reign.in_sync.clone());
    }
    successors
}

/// Whether an instance without data may set up an empty database, and under which claim.
///
/// `marked` is whether the object store remembers that the cluster was ever set up: Consul's memory can be
/// lost, and then a cluster with data looks new.
pub(super) fn found(view: &View, marked: bool) -> Option<Claim> {
    let with_data = |live_only: bool| {
        view.members.iter().any(|member| !member.position.executed.is_empty() && (member.live || !live_only))
    };
    let reign = view.reign();
    if !is_over(view, reign) {
        return None;
    }
    let new = !marked && reign.is_none() && !with_data(false);
    // Somebody began, and nothing had been acknowledged when it ended.
    let begun = reign.is_some_and(|reign| reign.founding) && !with_data(true);
    let over = is_out_of_patience(view) && !with_data(true);
    (new || begun || over).then(|| Claim {
        term: reign.map_or(0, |reign| reign.term) + 1,
        // There is no database yet that could be named.
        in_sync: BTreeMap::new(),
        founding: true,
    })
}
