//! What holds of any view, also of those that never come to be.

use proptest::prelude::*;

use super::super::decide::{State, decide, deposed};
use super::*;

fn leaders() -> impl Strategy<Value = Option<Leader>> {
    let sets = prop_oneof![Just("mysql-1"), Just("mysql-1 mysql-2"), Just(ALL)].prop_map(names);
    let some = (0_u64..6, 0_u64..3, sets, any::<bool>(), prop_oneof![Just("mysql-1"), Just("mysql-2")]);
    proptest::option::of(some.prop_map(|(term, revision, in_sync, founding, holder)| Leader {
        holder: holder.into(),
        term,
        revision,
        in_sync,
        founding,
        ..leader()
    }))
}

fn gtids() -> impl Strategy<Value = GtidSet> {
    prop_oneof![Just(""), Just("a:1-10"), Just("a:1-10,one:1-5"), Just("a:1-11")].prop_map(set)
}

fn views() -> impl Strategy<Value = View> {
    let session = || prop_oneof![Just(None), Just(Some("ours".to_owned())), Just(Some("theirs".to_owned()))];
    let flags = || (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let database = (flags(), any::<bool>(), gtids(), gtids()).prop_map(
        |((writable, acknowledging, receiving, connected, applying), follows, executed, retrieved)| {
            Database {
                executed,
                retrieved,
                server: server("mysql-2"),
                writable,
                acknowledging,
                source: follows.then(|| "10.0.0.1".into()),
                receiving,
                connected: connected && receiving,
                applying,
                ..Database::default()
            }
        },
    );
    let position = || {
        (gtids(), 0_u64..7, 0_u64..6, 0_u64..6, leaders()).prop_map(
            |(executed, prepared_for, follows, acknowledges, remembered)| Position {
                server: server("mysql-2"),
                executed,
                prepared_for,
                follows,
                acknowledges,
                remembered,
            },
        )
    };
    let member = (prop_oneof![Just("mysql-1"), Just("mysql-3")], any::<bool>(), position()).prop_map(
        |(name, live, position)| {
            let position = Position { server: server(name), ..position };
            Member { name: name.into(), live, position, index: 7 }
        },
    );
    let consul = (session(), session(), leaders(), leaders());
    let rest =
        (proptest::option::of(position()), proptest::collection::vec(member, 0..3), 0_u64..90, 0_u64..90);
    (consul, database, rest).prop_map(|((lease, holder, told, remembered), database, rest)| {
        let (published, members, free_s, hearing_s) = rest;
        View {
            me: "mysql-2".into(),
            copies: 2,
            lease: lease.filter(|lease| lease == "ours"),
            lock: Lock { session: holder, leader: told, index: 7 },
            remembered,
            database,
            published,
            members,
            free_for: Duration::from_secs(free_s),
            hearing_for: Duration::from_secs(hearing_s),
            quiet_for: Duration::from_secs(free_s),
            lease_length: Duration::from_secs(45),
            patience: Some(Duration::from_secs(60)),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_right_is_used_only_while_it_is_had(view in views()) {
        let ours = view.lease.is_some() && view.lock.session == view.lease;
        let action = decide(&view);
        if view.database.writable && !ours {
            let demoted = matches!(action, Action::Demote { .. });
            prop_assert!(demoted, "{:?}", action);
        }
        match action {
            Action::Promote { term } => {
                prop_assert!(ours);
                prop_assert!(view.reign().is_none_or(|reign| reign.term <= term));
            }
            Action::Enlist { .. } | Action::Dismiss { .. } => {
                prop_assert!(ours && view.database.writable);
            }
            Action::Vouch { term } => {
                let leader = view.lock.leader.as_ref().unwrap();
                prop_assert!(view.lease.is_some() && leader.in_sync.contains_key(&view.database.server));
                prop_assert_eq!(view.published.as_ref().unwrap().acknowledges, term);
            }
            Action::Acquire { claim } => {
                prop_assert!(view.lock.session.is_none() && view.lease.is_some());
                prop_assert!(!view.database.receiving && !view.database.acknowledging);
                prop_assert!(view.database.executed.includes(&view.database.retrieved));
                prop_assert!(view.reign().is_none_or(|reign| reign.term < claim.term));
                prop_assert!(claim.in_sync.contains_key(&view.database.server));
            }
            Action::Follow { .. } => {
                let leader = view.lock.leader.as_ref().unwrap();
                prop_assert!(view.reign().is_none_or(|reign| reign.term <= leader.term));
                prop_assert!(leader.executed.includes(&view.database.executed)
                    || view.database.executed.last(&leader.server) > 0);
            }
            _ => {}
        }
    }

    #[test]
    fn the_same_view_is_always_in_the_same_one_state(view in views()) {
        let again = view.clone();
        prop_assert_eq!(State::of(&view), State::of(&again));
        if let State::Holder(_) = State::of(&view) {
            prop_assert_eq!(deposed(view.lease.as_deref(), &view.lock), None);
        }
    }
}
