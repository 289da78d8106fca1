//! What an instance should do next, given everything it knows: a pure function.
//!
//! It is asked again after every change, so nothing depends on an event not being missed. In order of
//! precedence:
//!
//! | lock | lease | database | action |
//! |---|---|---|---|
//! | any | not valid | writable | [`Action::Demote`] |
//! | not ours | any | writable | [`Action::Demote`] |
//! | ours | valid | read-only | [`Action::Promote`] |
//! | another's | any | holds what the primary never had, or cannot apply | [`Action::Reclone`] |
//! | another's | any | follows somebody else or nobody | [`Action::Follow`] |
//! | free | valid | still receives, or its position is not published | [`Action::Prepare`] |
//! | free | valid | most advanced of all live members | [`Action::Acquire`] |
//! | anything else | | | [`Action::Wait`] |
//!
//! The safety of it: a database is writable only between a `Promote` and the next `Demote`; a `Promote`
//! needs the lock and a valid lease; and a lease stops being valid a quarter of the TTL before Consul
//! could give the lock to anybody else.

use std::time::Duration;

use crate::mysql::GtidSet;

/// What an instance knows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct View {
    /// Its own name.
    pub me: String,
    /// Its session, while the lease on it is valid.
    pub lease: Option<String>,
    /// The primary's lock.
    pub lock: Lock,
    /// The local database.
    pub database: Database,
    /// The term this instance's published position is for; 0 when none is published.
    pub prepared_for: u64,
    /// All members that published a position, without this one.
    pub members: Vec<Member>,
    /// Since when the lock has been free.
    pub free_for: Duration,
    /// How long to wait for members that are ahead, or have not published yet.
    pub patience: Duration,
}

/// The primary's lock.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Lock {
    /// The session that holds it.
    pub session: Option<String>,
    /// Who took it last.
    pub leader: Option<Leader>,
}

/// Who took the lock, as the lock's value says.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Leader {
    /// Its name.
    pub holder: String,
    /// Its address.
    pub address: String,
    /// The fencing term: one more than that of the holder before.
    pub term: u64,
    /// What its database held when it took the lock.
    pub executed: GtidSet,
    /// Under which name its database commits.
    pub server: String,
}

/// The local database.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Database {
    /// What it holds.
    pub executed: GtidSet,
    /// What it has received, applied or not.
    pub retrieved: GtidSet,
    /// Under which name it commits.
    pub server: String,
    /// Whether it takes writes.
    pub writable: bool,
    /// Whom it is set up to follow.
    pub source: Option<String>,
    /// Whether the receiver runs, connected or trying.
    pub receiving: bool,
    /// Whether it is connected.
    pub connected: bool,
    /// Whether the applier runs.
    pub applying: bool,
    /// The receiver's last error. One that is over, or that waiting mends, says nothing about the data.
    pub receiver_error: String,
    /// What stopped the applier.
    pub applier_error: String,
}

impl Database {
    /// Where it stands in an election: what it has received counts, for it applies that before it acts.
    pub fn position(&self) -> GtidSet {
        self.executed.clone().union(&self.retrieved)
    }

    /// Whether nothing but the position differs.
    pub fn same_but_position(&self, other: &Self) -> bool {
        let Self {
            executed: _,
            retrieved: _,
            server,
            writable,
            source,
            receiving,
            connected,
            applying,
            receiver_error,
            applier_error,
        } = self;
        *server == other.server
            && *writable == other.writable
            && *source == other.source
            && *receiving == other.receiving
            && *connected == other.connected
            && *applying == other.applying
            && *receiver_error == other.receiver_error
            && *applier_error == other.applier_error
    }
}

/// Another instance's published position.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Whether its session lives.
    pub live: bool,
    /// What its database holds.
    pub executed: GtidSet,
    /// The term it is prepared for.
    pub prepared_for: u64,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make the database read-only, now.
    Demote {
        /// Why.
        why: &'static str,
    },
    /// Make the database the primary of this term.
    Promote {
        /// The term.
        term: u64,
    },
    /// Replicate from this address.
    Follow {
        /// The address.
        address: String,
    },
    /// Stop receiving and publish the position for the election of this term.
    Prepare {
        /// The term.
        term: u64,
    },
    /// Try to take the lock.
    Acquire {
        /// The term.
        term: u64,
    },
    /// The data cannot become part of the cluster's again: start over from a snapshot.
    Reclone {
        /// Why.
        why: &'static str,
    },
    /// Nothing to do.
    Wait,
}

/// Why an instance with this lease must not be writable; `None` when it may.
pub(super) fn deposed(lease: Option<&str>, lock: &Lock) -> Option<&'static str> {
    match lease {
        None => Some("the lease ran out"),
        Some(session) if lock.session.as_deref() != Some(session) => Some("the lock is not ours"),
        Some(_) => None,
    }
}

/// What to do next.
pub fn decide(view: &View) -> Action {
    let View { lease, lock, database, .. } = view;
    let deposed = deposed(lease.as_deref(), lock);
    if let (true, Some(why)) = (database.writable, deposed) {
        return Action::Demote { why };
    }
    let ours = deposed.is_none();
    match (&lock.session, &lock.leader) {
        (Some(_), Some(leader)) if ours => {
            if database.writable {
                Action::Wait
            } else {
                Action::Promote { term: leader.term }
            }
        }
        // Our lock, but no longer our lease: it is not given up, and not acted on.
        (Some(_), Some(leader)) if leader.holder == view.me => Action::Wait,
        (Some(_), Some(leader)) => follow(database, leader),
        // A lock without a readable value tells nothing.
        (Some(_), None) => Action::Wait,
        (None, leader) if lease.is_some() => elect(view, leader.as_ref().map_or(0, |leader| leader.term) + 1),
        (None, _) => Action::Wait,
    }
}

fn follow(database: &Database, leader: &Leader) -> Action {
    if leader.server.is_empty() {
        // The primary is still setting up its database.
        return Action::Wait;
    }
    // What the primary itself committed since is on its way here, or was here first by replication.
    let mut known = leader.executed.clone();
    let own = database.executed.last(&leader.server);
    if own > 0 {
        known.insert(&crate::mysql::Gtid { server: leader.server.clone(), number: own });
    }
    if !known.includes(&database.executed) {
        return Action::Reclone { why: "the database holds transactions the primary never had" };
    }
    let follows = database.source.as_deref() == Some(leader.address.as_str());
    if follows && !database.applying && !database.applier_error.is_empty() {
        return Action::Reclone { why: "replication cannot apply what it received" };
    }
    if follows && database.receiver_error.contains("1236") {
        return Action::Reclone { why: "the primary no longer has what is missing here" };
    }
    if follows && database.receiving {
        Action::Wait
    } else {
        Action::Follow { address: leader.address.clone() }
    }
}

fn elect(view: &View, term: u64) -> Action {
    let View { database, members, .. } = view;
    if database.receiving || view.prepared_for != term {
        return Action::Prepare { term };
    }
    // Everything received counts, so everything received is applied first.
    if !database.executed.includes(&database.retrieved) {
        return Action::Wait;
    }
    if view.free_for >= view.patience {
        return Action::Acquire { term };
    }
    let live = || members.iter().filter(|member| member.live && !member.executed.is_empty());
    let all_published = live().all(|member| member.prepared_for >= term);
    let mine = (database.executed.len(), &view.me);
    let best = live().all(|member| (member.executed.len(), &member.name) < mine);
    // Whoever was ahead and is gone may be back in a moment.
    let nobody_ahead =
        members.iter().all(|member| member.live || database.executed.includes(&member.executed));
    if all_published && best && nobody_ahead { Action::Acquire { term } } else { Action::Wait }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> GtidSet {
        text.parse().unwrap()
    }

    fn leader() -> Leader {
        Leader {
            holder: "mysql-1".into(),
            address: "10.0.0.1".into(),
            term: 3,
            executed: set("a:1-10"),
            server: "one".into(),
        }
    }

    /// A replica of mysql-1 in its third term.
    fn replica() -> View {
        View {
            me: "mysql-2".into(),
            lease: Some("ours".into()),
            lock: Lock { session: Some("theirs".into()), leader: Some(leader()) },
            database: Database {
                executed: set("a:1-10,one:1-5"),
                retrieved: set("a:1-10,one:1-5"),
                server: "two".into(),
                source: Some("10.0.0.1".into()),
                receiving: true,
                connected: true,
                applying: true,
                ..Database::default()
            },
            patience: Duration::from_secs(60),
            ..View::default()
        }
    }

    fn member(name: &str, executed: &str, prepared_for: u64, live: bool) -> Member {
        Member { name: name.into(), live, executed: set(executed), prepared_for }
    }

    /// The same replica after the primary's session ended, prepared for the fourth term.
    fn candidate() -> View {
        let mut view = replica();
        view.lock.session = None;
        view.database.receiving = false;
        view.database.connected = false;
        view.prepared_for = 4;
        view
    }

    fn with(mut view: View, change: impl FnOnce(&mut View)) -> View {
        change(&mut view);
        view
    }

    #[test]
    fn a_table_of_cases() {
        let lease_ran_out = Action::Demote { why: "the lease ran out" };
        let not_ours = Action::Demote { why: "the lock is not ours" };
        let primary = with(replica(), |view| {
            view.lock.session = Some("ours".into());
            view.database.writable = true;
        });
        let cases: Vec<(&str, View, Action)> = vec![
            ("a replica that replicates", replica(), Action::Wait),
            ("a primary with lock and lease", primary.clone(), Action::Wait),
            ("a primary whose lease ran out", with(primary.clone(), |v| v.lease = None), lease_ran_out),
            (
                "a primary whose lock was taken",
                with(primary.clone(), |v| v.lock.session = Some("theirs".into())),
                not_ours.clone(),
            ),
            ("a primary whose lock is free", with(primary.clone(), |v| v.lock.session = None), not_ours),
            (
                "the holder of the lock, still read-only",
                with(primary, |v| v.database.writable = false),
                Action::Promote { term: 3 },
            ),
            (
                "a replica of somebody else",
                with(replica(), |v| v.database.source = Some("10.0.0.9".into())),
                Action::Follow { address: "10.0.0.1".into() },
            ),
            (
                "a replica that does not receive",
                with(replica(), |v| v.database.receiving = false),
                Action::Follow { address: "10.0.0.1".into() },
            ),
            (
                "a former primary with a transaction nobody else has",
                with(replica(), |v| v.database.executed = set("a:1-11")),
                Action::Reclone { why: "the database holds transactions the primary never had" },
            ),
            (
                "a replica stopped while it could not reach its source",
                with(replica(), |v| {
                    v.database.receiving = false;
                    v.database.applying = false;
                    v.database.receiver_error = "Lost connection".into();
                }),
                Action::Follow { address: "10.0.0.1".into() },
            ),
            (
                "a replica with a duplicate key",
                with(replica(), |v| {
                    v.database.applying = false;
                    v.database.applier_error = "Error 1062".into();
                }),
                Action::Reclone { why: "replication cannot apply what it received" },
            ),
            ("a free lock", with(replica(), |v| v.lock.session = None), Action::Prepare { term: 4 }),
            ("a free lock without a lease", with(candidate(), |v| v.lease = None), Action::Wait),
            ("the only candidate", candidate(), Action::Acquire { term: 4 }),
            (
                "a candidate with a better one",
                with(candidate(), |v| v.members = vec![member("mysql-3", "a:1-10,one:1-6", 4, true)]),
                Action::Wait,
            ),
            (
                "a candidate with a worse one",
                with(candidate(), |v| v.members = vec![member("mysql-3", "a:1-10,one:1-4", 4, true)]),
                Action::Acquire { term: 4 },
            ),
            (
                "a candidate that does not know all positions yet",
                with(candidate(), |v| v.members = vec![member("mysql-3", "a:1-10", 3, true)]),
                Action::Wait,
            ),
            (
                "a candidate behind a member that is away",
                with(candidate(), |v| v.members = vec![member("mysql-3", "a:1-10,one:1-6", 3, false)]),
                Action::Wait,
            ),
            (
                "a candidate whose patience is over",
                with(candidate(), |v| {
                    v.members = vec![member("mysql-3", "a:1-10,one:1-6", 4, true)];
                    v.free_for = v.patience;
                }),
                Action::Acquire { term: 4 },
            ),
            (
                "a candidate with transactions to apply",
                with(candidate(), |v| v.database.retrieved = set("a:1-10,one:1-6")),
                Action::Wait,
            ),
        ];
        for (name, view, want) in cases {
            assert_eq!(decide(&view), want, "{name}");
        }
    }

    #[test]
    fn what_is_received_and_not_yet_applied_is_part_of_a_position() {
        let database = with(candidate(), |v| v.database.retrieved = set("one:1-6")).database;
        assert_eq!(database.position(), set("a:1-10,one:1-6"));
    }

    #[test]
    fn of_two_equal_candidates_exactly_one_goes_first() {
        let view = |me: &str, other: &str| {
            with(candidate(), |v| {
                v.me = me.into();
                v.members = vec![member(other, "a:1-10,one:1-5", 4, true)];
            })
        };
        let actions = [decide(&view("mysql-2", "mysql-3")), decide(&view("mysql-3", "mysql-2"))];
        assert_eq!(actions, [Action::Wait, Action::Acquire { term: 4 }]);
    }

    mod safety {
        use proptest::prelude::*;

        use super::*;

        fn views() -> impl Strategy<Value = View> {
            let session =
                || prop_oneof![Just(None), Just(Some("ours".to_owned())), Just(Some("theirs".to_owned()))];
            let gtids = || {
                prop_oneof![Just(""), Just("a:1-10"), Just("a:1-10,one:1-5"), Just("a:1-11")].prop_map(set)
            };
            (
                (
                    session(),
                    session(),
                    any::<bool>(),
                    any::<bool>(),
                    any::<bool>(),
                    any::<bool>(),
                    any::<bool>(),
                ),
                (gtids(), gtids(), 0_u64..6, 0_u64..90, any::<bool>(), gtids(), any::<bool>()),
            )
                .prop_map(
                    |((lease, lock, has_leader, writable, receiving, applying, follows), rest)| {
                        let (executed, retrieved, prepared_for, free_s, live, theirs, with_member) = rest;
                        View {
                            me: "mysql-2".into(),
                            lease: lease.filter(|lease| lease == "ours"),
                            lock: Lock { session: lock, leader: has_leader.then(leader) },
                            database: Database {
                                executed,
                                retrieved,
                                server: "two".into(),
                                writable,
                                source: follows.then(|| "10.0.0.1".into()),
                                receiving,
                                connected: receiving,
                                applying,
                                receiver_error: String::new(),
                                applier_error: String::new(),
                            },
                            prepared_for,
                            members: with_member
                                .then(|| Member {
                                    name: "mysql-3".into(),
                                    live,
                                    executed: theirs,
                                    prepared_for: 4,
                                })
                                .into_iter()
                                .collect(),
                            free_for: Duration::from_secs(free_s),
                            patience: Duration::from_secs(60),
                        }
                    },
                )
        }

        proptest! {
            #[test]
            fn writable_only_with_lock_and_lease(view in views()) {
                let ours = view.lease.is_some() && view.lock.session == view.lease;
                let action = decide(&view);
                if view.database.writable && !ours {
                    let demoted = matches!(action, Action::Demote { .. });
                    prop_assert!(demoted, "{:?}", action);
                }
                if matches!(action, Action::Promote { .. }) {
                    prop_assert!(ours);
                }
                if matches!(action, Action::Acquire { .. }) {
                    prop_assert!(view.lock.session.is_none() && view.lease.is_some() && !view.database.receiving);
                }
            }
        }
    }
}
