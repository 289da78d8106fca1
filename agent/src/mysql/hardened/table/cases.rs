//! One case after the other.

use super::super::decide::decide;
use super::super::election::found;
use super::*;

#[test]
fn whoever_lost_a_right_gives_it_up_first() {
    let ran_out = Action::Demote { why: "the lease ran out" };
    let not_ours = Action::Demote { why: "the lock is not ours" };
    let no_lease = Action::Silence { why: "the lease ran out" };
    let not_counted = Action::Silence { why: "the primary does not count on this one" };
    let reign = |view: &mut View, change: fn(&mut Leader)| change(view.lock.leader.as_mut().unwrap());
    let cases: Vec<(&str, View, Action)> = vec![
        ("a primary without a lease", with(primary(), |v| v.lease = None), ran_out),
        (
            "a primary whose lock was taken",
            with(primary(), |v| v.lock.session = Some("theirs".into())),
            not_ours.clone(),
        ),
        ("a primary whose lock is free", with(primary(), |v| v.lock.session = None), not_ours.clone()),
        ("a primary in a Consul that forgot", with(primary(), |v| v.lock = Lock::default()), not_ours),
        ("a replica without a lease", with(replica(), |v| v.lease = None), no_lease.clone()),
        ("a replica with a new session", with(replica(), |v| v.published = None), no_lease),
        (
            "a replica that is no longer named",
            with(replica(), |v| reign(v, |leader| leader.in_sync = names("mysql-1 mysql-3"))),
            not_counted.clone(),
        ),
        (
            "a replica of a term that is over",
            with(replica(), |v| reign(v, |leader| leader.term = 4)),
            not_counted,
        ),
        (
            "a holder of a term that is over",
            with(primary(), |v| {
                v.database.writable = false;
                v.remembered.as_mut().unwrap().term = 5;
            }),
            Action::Release { why: "a later term is known" },
        ),
    ];
    for (name, view, want) in cases {
        assert_eq!(decide(&view), want, "{name}");
    }
}

#[test]
fn a_holder_promotes_and_then_keeps_its_set() {
    let enlist = |name: &str| Action::Enlist { name: name.into(), server: server(name) };
    let dismiss = |name: &str| Action::Dismiss { name: name.into(), server: server(name) };
    let publish = Action::Publish { follows: 3, acknowledges: 0 };
    let in_sync = |view: &mut View, set: &str| view.lock.leader.as_mut().unwrap().in_sync = names(set);
    let cases: Vec<(&str, View, Action)> = vec![
        ("all well", primary(), Action::Wait),
        ("read-only", with(primary(), |v| v.database.writable = false), Action::Promote { term: 3 }),
        ("nothing published", with(primary(), |v| v.published = None), publish),
        ("a replica to enlist", with(primary(), |v| in_sync(v, "mysql-2")), enlist("mysql-1")),
        (
            "a replica that is not there yet",
            with(primary(), |v| {
                in_sync(v, "mysql-2 mysql-3");
                v.members = vec![standing_by("mysql-1", 2, 0), standing_by("mysql-3", 3, 3)];
            }),
            Action::Wait,
        ),
        (
            "a replica more than needed",
            with(primary(), |v| v.members.push(standing_by("mysql-4", 3, 0))),
            Action::Wait,
        ),
        (
            "a member gone, another acknowledges",
            with(primary(), |v| v.members[0].live = false),
            dismiss("mysql-1"),
        ),
        ("a member forgotten", with(primary(), |v| drop(v.members.remove(0))), dismiss("mysql-1")),
        (
            "a member gone, the other does not acknowledge yet",
            with(primary(), |v| {
                v.members[0].live = false;
                v.members[1].position.acknowledges = 2;
            }),
            Action::Wait,
        ),
        ("all members gone", with(primary(), |v| v.members.clear()), Action::Wait),
        (
            "a member gone, and a replica to take its place",
            with(primary(), |v| {
                v.members[0].live = false;
                v.members.push(standing_by("mysql-4", 3, 0));
            }),
            enlist("mysql-4"),
        ),
        (
            "one copy is enough",
            with(primary(), |v| {
                in_sync(v, "mysql-2");
                v.lock.leader.as_mut().unwrap().copies = 1;
            }),
            Action::Wait,
        ),
    ];
    for (name, view, want) in cases {
        assert_eq!(decide(&view), want, "{name}");
    }
}

#[test]
fn a_follower_follows_and_says_so() {
    let follow = Action::Follow { address: "10.0.0.1".into() };
    let publish = |follows, acknowledges| Action::Publish { follows, acknowledges };
    let never_had = Action::Reclone { why: "the database holds transactions the primary never had" };
    let reign = |view: &mut View, change: fn(&mut Leader)| change(view.lock.leader.as_mut().unwrap());
    let quiet = |view: &mut View| view.database.acknowledging = false;
    let cases: Vec<(&str, View, Action)> = vec![
        ("all well", replica(), Action::Wait),
        ("its primary is setting up", with(replica(), |v| reign(v, |l| l.server.clear())), Action::Wait),
        (
            "somebody else's replica",
            with(replica(), |v| v.database.source = Some("10.0.0.9".into())),
            follow.clone(),
        ),
        ("not receiving", with(replica(), |v| v.database.receiving = false), follow.clone()),
        (
            "not receiving, with something received to apply",
            with(replica(), |v| {
                v.database.receiving = false;
                v.database.retrieved = set("a:1-10,one:1-6");
            }),
            Action::Wait,
        ),
        (
            "not receiving nor applying, with something received to apply",
            with(replica(), |v| {
                v.database.receiving = false;
                v.database.applying = false;
                v.database.retrieved = set("a:1-10,one:1-6");
            }),
            Action::Apply,
        ),
        (
            "with something received that the primary never had",
            with(replica(), |v| {
                v.database.receiving = false;
                v.database.retrieved = set("a:1-11,one:1-5");
            }),
            follow,
        ),
        ("an errant transaction", with(replica(), |v| v.database.executed = set("a:1-11")), never_had),
        (
            "a duplicate key",
            with(replica(), |v| {
                v.database.applying = false;
                v.database.applier_error = "Error 1062".into();
            }),
            Action::Reclone { why: "replication cannot apply what it received" },
        ),
        (
            "purged binary logs",
            with(replica(), |v| v.database.receiver_error = "ERROR 1236".into()),
            Action::Reclone { why: "the primary no longer has what is missing here" },
        ),
        ("an applier that stands still", with(replica(), |v| v.database.applying = false), Action::Apply),
        (
            "caught up",
            with(replica(), |v| {
                quiet(v);
                reign(v, |l| l.in_sync = names("mysql-1"));
                v.published = None;
            }),
            publish(3, 0),
        ),
        (
            "not caught up",
            with(replica(), |v| {
                quiet(v);
                reign(v, |l| l.in_sync = names("mysql-1"));
                v.database.executed = set("a:1-9");
                v.database.retrieved = set("a:1-9");
                v.published = Some(Position { prepared_for: 3, ..Position::default() });
            }),
            publish(0, 0),
        ),
        (
            "named, and has not given its word",
            with(replica(), |v| {
                quiet(v);
                v.published = Some(word(3, 0));
            }),
            publish(3, 3),
        ),
        ("named, and has given its word", with(replica(), quiet), Action::Vouch { term: 3 }),
        (
            "no lease to give its word under",
            with(replica(), |v| {
                quiet(v);
                v.lease = None;
                v.published = None;
            }),
            Action::Wait,
        ),
        (
            "a primary of a term that is over",
            with(replica(), |v| {
                quiet(v);
                v.database.receiving = false;
                v.remembered.as_mut().unwrap().term = 4;
            }),
            Action::Wait,
        ),
        (
            "a lock of its own former life",
            with(replica(), |v| {
                quiet(v);
                reign(v, |l| l.holder = "mysql-2".into());
            }),
            Action::Wait,
        ),
    ];
    for (name, view, want) in cases {
        assert_eq!(decide(&view), want, "{name}");
    }
}

#[test]
fn a_candidate_takes_over_once_nothing_acknowledged_can_be_overlooked() {
    let third = |executed| heard("mysql-3", executed, 4);
    let same = "a:1-10,one:1-5";
    let more = "a:1-10,one:1-6";
    let cases: Vec<(&str, View, Action)> = vec![
        ("still receiving", with(candidate(), |v| v.database.receiving = true), Action::Prepare { term: 4 }),
        ("not published", with(candidate(), |v| v.published = None), Action::Prepare { term: 4 }),
        ("no lease", with(candidate(), |v| v.lease = None), Action::Wait),
        ("alone", candidate(), Action::Wait),
        (
            "alone, and patience is over",
            with(candidate(), |v| v.free_for = v.patience.unwrap()),
            acquire("mysql-2"),
        ),
        (
            "alone, and could not hear anybody for most of the time",
            with(candidate(), |v| {
                v.free_for = v.patience.unwrap();
                v.hearing_for = v.patience.unwrap() - Duration::from_millis(1);
            }),
            Action::Wait,
        ),
        (
            "alone, and waits for ever",
            with(candidate(), |v| {
                v.patience = None;
                v.free_for = Duration::from_secs(86_400);
            }),
            Action::Wait,
        ),
        ("with the other, behind it", with(candidate(), |v| v.members = vec![third("a:1-10")]), acquire(ALL)),
        ("with the other, ahead of it", with(candidate(), |v| v.members = vec![third(more)]), Action::Wait),
        (
            "with its equal, whose name is greater",
            with(candidate(), |v| v.members = vec![third(same)]),
            Action::Wait,
        ),
        (
            "with the old primary, behind it",
            with(candidate(), |v| v.members = vec![heard("mysql-1", "a:1-10", 4)]),
            acquire(ALL),
        ),
        (
            "with one outside the set, behind it",
            with(candidate(), |v| v.members = vec![heard("mysql-4", "a:1-10", 4)]),
            Action::Wait,
        ),
        (
            "with one that has published for the term before",
            with(candidate(), |v| v.members = vec![heard("mysql-3", "a:1-10", 3)]),
            Action::Wait,
        ),
        (
            "with one that was heard and is gone, behind it",
            with(candidate(), |v| v.members = vec![dead(third("a:1-10"))]),
            acquire(ALL),
        ),
        (
            "with one that was heard and is gone, ahead of it",
            with(candidate(), |v| v.members = vec![dead(third(more))]),
            Action::Wait,
        ),
        (
            "after a session that Consul ended early",
            with(candidate(), |v| {
                v.members = vec![third("a:1-10")];
                v.quiet_for = Duration::from_secs(44);
            }),
            Action::Wait,
        ),
        (
            "after a primary that said it was over",
            with(candidate(), |v| {
                v.members = vec![third("a:1-10")];
                v.quiet_for = Duration::from_secs(1);
                v.lock.leader = Some(Leader { revision: 3, over: true, ..leader() });
            }),
            acquire(ALL),
        ),
        (
            "with enough, and one more alive and not heard, at first",
            with(candidate(), |v| {
                v.members = vec![third("a:1-10"), heard("mysql-1", "a:1-10", 0)];
                v.free_for = Duration::from_secs(1);
            }),
            Action::Wait,
        ),
        (
            "with enough, and one more alive and not heard, later",
            with(candidate(), |v| v.members = vec![third("a:1-10"), heard("mysql-1", "a:1-10", 0)]),
            acquire(ALL),
        ),
        (
            "holding what a primary that stopped in order left",
            with(candidate(), |v| {
                v.lock.leader = Some(Leader { revision: 3, legacy: Some(set(same)), ..leader() })
            }),
            acquire(ALL),
        ),
        (
            "not holding it",
            with(candidate(), |v| {
                v.lock.leader = Some(Leader { revision: 3, legacy: Some(set(more)), ..leader() })
            }),
            Action::Wait,
        ),
        (
            "about to receive it",
            with(candidate(), |v| {
                v.lock.leader = Some(Leader { revision: 3, legacy: Some(set(more)), ..leader() });
                v.database.receiving = true;
                v.database.connected = true;
                v.free_for = Duration::from_secs(1);
            }),
            Action::Wait,
        ),
        (
            "with transactions to apply",
            with(candidate(), |v| {
                v.database.retrieved = set(more);
                v.members = vec![third("a:1-10")];
            }),
            Action::Wait,
        ),
        (
            "a Consul that forgot everything, and one that remembers",
            with(candidate(), |v| {
                v.lock = Lock::default();
                v.remembered = None;
                let mut other = third("a:1-10");
                other.position.remembered = Some(leader());
                v.members = vec![other];
            }),
            acquire(ALL),
        ),
        (
            "one that remembers a later term",
            with(candidate(), |v| {
                let mut other = third("a:1-10");
                other.position.remembered = Some(Leader { term: 9, ..leader() });
                v.members = vec![other];
            }),
            Action::Prepare { term: 10 },
        ),
    ];
    for (name, view, want) in cases {
        assert_eq!(decide(&view), want, "{name}");
    }
}

#[test]
fn an_instance_without_data_begins_only_where_nothing_was() {
    let empty = || View {
        me: "mysql-4".into(),
        copies: 2,
        lease: Some("ours".into()),
        hearing_for: Duration::from_secs(3_600),
        patience: Some(Duration::from_secs(60)),
        ..View::default()
    };
    let founding = Leader { founding: true, in_sync: names("mysql-1"), ..leader() };
    let free = |leader: Leader| Lock { session: None, leader: Some(leader), index: 7 };
    let cases: Vec<(&str, View, bool, Option<u64>)> = vec![
        ("a new cluster", empty(), false, Some(1)),
        ("a Consul that forgot", empty(), true, None),
        (
            "a Consul that forgot, and patience is over",
            with(empty(), |v| v.free_for = Duration::from_secs(60)),
            true,
            Some(1),
        ),
        (
            "a Consul that was out of reach, and forgot",
            with(empty(), |v| {
                v.free_for = Duration::from_secs(60);
                v.hearing_for = Duration::from_secs(5);
            }),
            true,
            None,
        ),
        ("a cluster between two primaries", with(empty(), |v| v.lock = free(leader())), true, None),
        ("a member with data", with(empty(), |v| v.members = vec![heard("mysql-2", "a:1", 0)]), false, None),
        (
            "a member with data alive, and patience is over",
            with(empty(), |v| {
                v.members = vec![heard("mysql-2", "a:1", 0)];
                v.free_for = Duration::from_secs(60);
            }),
            true,
            None,
        ),
        (
            "one that began and had acknowledged nothing",
            with(empty(), |v| v.lock = free(founding)),
            true,
            Some(4),
        ),
    ];
    for (name, view, marked, want) in cases {
        assert_eq!(found(&view, marked).map(|claim| claim.term), want, "{name}");
    }
}

#[test]
fn of_two_equal_candidates_exactly_one_goes_first() {
    let view = |me: &str, other: &str| {
        with(candidate(), |v| {
            v.me = me.into();
            v.database.server = server(me);
            v.members = vec![heard(other, "a:1-10,one:1-5", 4)];
        })
    };
    let actions = [decide(&view("mysql-2", "mysql-3")), decide(&view("mysql-3", "mysql-2"))];
    assert_eq!(actions, [Action::Wait, acquire(ALL)]);
}
