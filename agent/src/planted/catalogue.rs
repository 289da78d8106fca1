//! The catalogue: what each planted defect is, where it is, and who is expected to notice.

/// Declares the catalogue. What is said of a bug is compiled in only where bugs are.
macro_rules! catalogue {
    ($($bug:ident $room:ident $id:literal caught by $property:literal: $what:literal, as in $mirrors:literal;)*) => {
        /// A planted defect.
        #[derive(Clone, Copy, PartialEq, Eq)]
        #[cfg_attr(feature = "planted-bugs", derive(Debug, PartialOrd, Ord, Hash))]
        pub enum Bug {
            $(#[doc = concat!("In `", stringify!($room), "`: ", $what, ".")] $bug,)*
        }

        #[cfg(feature = "planted-bugs")]
        impl Bug {
            /// All of them, room by room.
            pub const ALL: &'static [Self] = &[$(Self::$bug),*];

            /// What there is to say of it.
            pub const fn facts(self) -> Facts {
                match self {
                    $(Self::$bug => Facts {
                        id: $id,
                        room: Room::$room,
                        what: $what,
                        mirrors: $mirrors,
                        property: $property,
                    },)*
                }
            }
        }
    };
}

/// What there is to say of a planted defect.
#[cfg(feature = "planted-bugs")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Its name on the command line and in reports.
    pub id: &'static str,
    /// Where it is.
    pub room: Room,
    /// What it does.
    pub what: &'static str,
    /// The defect somebody made, that it is like.
    pub mirrors: &'static str,
    /// The property that is expected to be violated.
    pub property: &'static str,
}

/// Where a planted defect is.
#[cfg(feature = "planted-bugs")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Room {
    /// The session and the lease on it.
    Lease,
    /// Who succeeds.
    Election,
    /// What the holder of the lock does.
    Primary,
    /// What everybody else does.
    Replica,
    /// The pilot around the role.
    Pilot,
    /// Consul, where it is one that is made for tests.
    Consul,
}

#[cfg(feature = "planted-bugs")]
impl Room {
    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lease => "lease",
            Self::Election => "election",
            Self::Primary => "primary",
            Self::Replica => "replica",
            Self::Pilot => "pilot",
            Self::Consul => "consul",
        }
    }
}

#[cfg(feature = "planted-bugs")]
impl Bug {
    /// The one called `id`.
    pub fn of(id: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|bug| bug.facts().id == id)
    }
}

catalogue! {
    FailedRenewalCounts Lease "failed-renewal-counts" caught by "one-writable-primary":
        "a renewal that failed extends the lease like one that did not",
        as in "an error that is logged and then ignored, so that a holder without Consul goes on for ever";
    RenewalGivenUp Lease "renewal-given-up" caught by "cluster-converges":
        "after a failed renewal nobody renews any more",
        as in "a keep-alive task that ends with its first error, and nobody looks at the task";
    DeadSessionKept Lease "dead-session-kept" caught by "cluster-converges":
        "a session that is gone is renewed all the same, and no new one is made",
        as in "a session's id kept in a file, and every renewal after its end answered 404 (autopilotpattern/mysql issues 76 and 91)";
    BackOffWithoutCap Lease "back-off-without-cap" caught by "cluster-converges":
        "a renewal that failed is repeated after as long again as it has failed already",
        as in "exponential back-off without a greatest pause: an hour's outage takes two";
    LateDemotion Lease "late-demotion" caught by "one-writable-primary":
        "a holder counts on its lock until the end of the lock-delay",
        as in "a holder that takes the lock-delay for time of its own";
    WallClockLease Lease "wall-clock-lease" caught by "one-writable-primary":
        "the lease is counted by the wall clock",
        as in "a deadline in calendar time, and a clock that NTP sets back";
    PositionsIgnored Election "positions-ignored" caught by "acknowledged-writes-survive":
        "whoever has the last name takes over, whatever its database holds",
        as in "whoever asks first becomes primary (autopilotpattern/mysql issue 39)";
    UnappliedPromoted Election "unapplied-promoted" caught by "acknowledged-writes-survive":
        "a replica is promoted before it has applied what it received",
        as in "RESET SLAVE before the relay log was drained";
    QuorumOneShort Election "quorum-one-short" caught by "acknowledged-writes-survive":
        "an election hears one instance fewer than it has to",
        as in "a majority counted as n / 2";
    UnpreparedHeard Election "unprepared-heard" caught by "acknowledged-writes-survive":
        "an election counts positions of instances that may still be receiving",
        as in "a position read once and taken for the last word";
    ImpatientTakeover Election "impatient-takeover" caught by "acknowledged-writes-survive":
        "an election does not wait for those that may hold more",
        as in "a failover that prefers being available to being right, and does not say so";
    TakeoverInsideLease Election "takeover-inside-lease" caught by "one-writable-primary":
        "a successor does not wait for the end of the last holder's lease",
        as in "a lock that is free taken for a holder that has stopped";
    ReignForgotten Election "reign-forgotten" caught by "one-writable-primary":
        "an instance knows of no reign but the one the lock's value tells of",
        as in "terms that start over when the store that counts them is wiped";
    LeadershipForEver Primary "leadership-for-ever" caught by "one-writable-primary":
        "who was given the lock once is primary from then on",
        as in "a lock that is taken and never looked at again";
    DemotionNotEnforced Primary "demotion-not-enforced" caught by "one-writable-primary":
        "a database that does not answer when it is to become read-only is left alone",
        as in "SET GLOBAL read_only waiting for commits under way, and whoever waits for it giving up";
    ReleasedFirst Primary "released-first" caught by "one-writable-primary":
        "a primary that stops gives its lock up before it is read-only",
        as in "an unlock in a defer that runs before the one that stops the work";
    SemiSyncFallsBack Primary "semi-sync-falls-back" caught by "acknowledged-writes-survive":
        "a primary that gets no acknowledgement for ten seconds goes on without",
        as in "rpl_semi_sync_master_timeout left at what it is by default";
    StartsWritable Primary "starts-writable" caught by "one-writable-primary":
        "a database takes writes from its start until the role has looked at it",
        as in "read_only set by a hook after the start, and not in my.cnf";
    RejoinUnchecked Replica "rejoin-unchecked" caught by "replicas-agree":
        "a database is set up to follow whatever it holds that the primary never had",
        as in "CHANGE MASTER without comparing GTID sets";
    RestoredUntold Replica "restored-untold" caught by "cluster-converges":
        "a restored database is not told which transactions its snapshot holds",
        as in "xtrabackup_binlog_info that nobody reads (autopilotpattern/mysql issues 71 and 102)";
    VouchedInWordOnly Replica "vouched-in-word-only" caught by "writes-go-on":
        "a replica that is counted on to acknowledge is set to and does not connect anew",
        as in "rpl_semi_sync_slave_enabled set while the receiver runs, which says how the next one connects";
    FirstEdgeMissed Replica "first-edge-missed" caught by "cluster-converges":
        "what a watch finds when it begins is no news",
        as in "a watch that tells of changes, and takes what it finds first for the base line";
    IndexOnlyGrows Replica "index-only-grows" caught by "cluster-converges":
        "an answer with a smaller index than the last is old and thrown away",
        as in "an index taken for monotonic: Consul's goes back when its data do";
    NotRegisteredAgain Pilot "not-registered-again" caught by "cluster-converges":
        "a service that Consul does not know any more is not registered again",
        as in "registration at the start, heart-beats from then on, and a Consul that lost its data";
    LockDelayNotKept Consul "lock-delay-not-kept" caught by "lock-delay":
        "nobody is kept from a lock by its lock-delay",
        as in "a lock service without one";
    EndedSessionHolds Consul "ended-session-holds" caught by "cluster-converges":
        "a session that ends does not let go of its locks",
        as in "sessions and locks in two tables, and one of them forgotten";
    RenewalNotCounted Consul "renewal-not-counted" caught by "session-ttl":
        "a renewal is answered and starts no TTL again",
        as in "a timer that is made anew and never armed";
    NewLeaderForgetsTtls Consul "new-leader-forgets-ttls" caught by "session-ttl":
        "a new leader keeps no session's time",
        as in "timers in the memory of a leader that is gone";
    LockTakenFromHolder Consul "lock-taken-from-holder" caught by "one-holder":
        "a lock is given to whoever asks",
        as in "a check of the wrong session";
    WakeUpMissed Consul "wake-up-missed" caught by "watches-wake":
        "a blocking query sleeps to the end of its wait, whatever is written",
        as in "a watch that is set up after the check and not before";
    ReleaseKeepsIndex Consul "release-keeps-index" caught by "watches-wake":
        "letting go of a lock leaves the key's index as it is",
        as in "a write that does not count as one, and nobody is woken";
    LeaderLeaseEndless Consul "leader-lease-endless" caught by "one-leader":
        "a leader that is cut off from the other servers goes on leading",
        as in "a leader without a lease";
}
