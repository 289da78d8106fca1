//! One server, message by message, and what a cluster makes of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::super::{
    Compaction, Entry, Message, NotLeader, Output, Persistent, Raft, Record, Role, ServerId, Snapshot, Timing,
};
use super::cluster::{Cluster, ms};

const A: ServerId = ServerId(0);
const B: ServerId = ServerId(1);
const C: ServerId = ServerId(2);

fn boot(disk: Persistent<u32>) -> Raft<u32> {
    Raft::new(A, vec![A, B, C], Timing::multiplied(1), ChaCha8Rng::seed_from_u64(1), Duration::ZERO, disk)
}

fn records(terms: &[u64]) -> Vec<Record<u32>> {
    terms.iter().map(|&term| Record { term, entry: Entry::Command(term as u32 * 100) }).collect()
}

fn append(term: u64, previous: (u64, u64), commit: u64, terms: &[u64]) -> Message<u32> {
    let records = records(terms);
    Message::Append { term, call: 1, previous_index: previous.0, previous_term: previous.1, commit, records }
}

/// What the server answers, and what else comes out.
fn tell(
    raft: &mut Raft<u32>,
    from: ServerId,
    message: Message<u32>,
) -> (Option<Message<u32>>, Vec<Output<u32>>) {
    raft.drain();
    raft.receive(ms(10), from, message);
    let (sent, rest): (Vec<_>, Vec<_>) =
        raft.drain().into_iter().partition(|output| matches!(output, Output::Send { .. }));
    let answer = sent.into_iter().next().map(|output| match output {
        Output::Send { to, message } => {
            assert_eq!(to, from);
            message
        }
        other => panic!("{other:?}"),
    });
    (answer, rest)
}

fn took(answer: Option<Message<u32>>) -> bool {
    matches!(answer, Some(Message::Appended { success: true, .. }))
}

fn terms(raft: &Raft<u32>) -> Vec<u64> {
    let log = &raft.persistent().log;
    (1..=log.last().0).filter_map(|index| log.get(index)).map(|record| record.term).collect()
}

/// A follower of nobody whose log has the terms 1, 2, 2.
fn third_term() -> Raft<u32> {
    let mut raft = boot(Persistent::default());
    assert!(took(tell(&mut raft, B, append(2, (1, 1), 0, &[2, 2])).0));
    let mut disk = raft.persistent().clone();
    disk.term = 3;
    boot(disk)
}

#[test]
fn votes_go_to_whom_they_should() {
    let ask = |term, last_index, last_term| Message::Vote { term, last_index, last_term };
    let beat = |term| Message::Heartbeat { term, call: 1 };
    let cases = [
        ("a log as good as its own", vec![], ask(4, 3, 2), true, 4),
        ("a shorter log of a newer term", vec![], ask(4, 1, 3), true, 4),
        ("its own term, no vote given yet", vec![], ask(3, 3, 2), true, 3),
        ("an older term", vec![], ask(2, 9, 9), false, 3),
        ("a shorter log, whose term counts", vec![], ask(4, 2, 2), false, 4),
        ("a longer log of an older term", vec![], ask(4, 9, 1), false, 4),
        ("one who asks again", vec![(B, ask(4, 3, 2))], ask(4, 3, 2), true, 4),
        ("the second to ask", vec![(C, ask(4, 3, 2))], ask(4, 3, 2), false, 4),
        ("the second to ask, in a later election", vec![(C, ask(4, 3, 2))], ask(5, 3, 2), true, 5),
        ("a rival of the leader, whose term counts for nothing", vec![(C, beat(3))], ask(9, 9, 9), false, 3),
        ("the leader itself", vec![(B, beat(3))], ask(4, 3, 2), true, 4),
    ];
    for (case, before, question, expected, term) in cases {
        let mut raft = third_term();
        for (from, message) in before {
            raft.receive(ms(1), from, message);
        }
        let (answer, _) = tell(&mut raft, B, question);
        let Some(Message::Voted { granted, .. }) = answer else { panic!("{case}: {answer:?}") };
        assert_eq!((granted, raft.term()), (expected, term), "{case}");
        assert_eq!(granted, raft.persistent().vote == Some((term, B)), "{case}");
    }
}

#[test]
fn a_vote_survives_a_restart() {
    let mut raft = third_term();
    let ask = Message::Vote { term: 4, last_index: 3, last_term: 2 };
    assert!(matches!(tell(&mut raft, B, ask.clone()).0, Some(Message::Voted { granted: true, .. })));
    let mut raft = boot(raft.persistent().clone());
    assert!(matches!(tell(&mut raft, C, ask).0, Some(Message::Voted { granted: false, .. })));
}

#[test]
fn records_are_taken_where_the_logs_agree() {
    let cases = [
        ("after the end", append(3, (3, 2), 0, &[3]), true, vec![1, 2, 2, 3]),
        ("nothing but a commit index", append(3, (3, 2), 3, &[]), true, vec![1, 2, 2]),
        ("what it has already", append(3, (1, 1), 0, &[2]), true, vec![1, 2, 2]),
        ("in place of what differs", append(3, (2, 2), 0, &[3]), true, vec![1, 2, 3]),
        ("in place of all that differs", append(3, (1, 1), 0, &[3]), true, vec![1, 3]),
        ("past the end", append(3, (4, 2), 0, &[3]), false, vec![1, 2, 2]),
        ("after another term", append(3, (3, 3), 0, &[3]), false, vec![1, 2, 2]),
        ("from an old leader", append(2, (3, 2), 0, &[2]), false, vec![1, 2, 2]),
    ];
    for (case, message, success, log) in cases {
        let mut raft = third_term();
        assert_eq!(took(tell(&mut raft, B, message).0), success, "{case}");
        assert_eq!(terms(&raft), log, "{case}");
    }
}

#[test]
fn a_follower_commits_no_further_than_it_was_told_records() {
    let mut raft = third_term();
    let (answer, outputs) = tell(&mut raft, B, append(3, (2, 2), 9, &[]));
    assert!(took(answer));
    assert_eq!(raft.commit_index(), 2);
    let indices: Vec<u64> = outputs
        .iter()
        .filter_map(|output| match output {
            Output::Committed { index, .. } => Some(*index),
            _ => None,
        })
        .collect();
    assert_eq!(indices, [1, 2]);
}

#[test]
fn what_is_committed_is_never_overwritten() {
    let mut raft = third_term();
    assert!(took(tell(&mut raft, B, append(3, (3, 2), 3, &[])).0));
    assert!(!took(tell(&mut raft, B, append(4, (1, 1), 3, &[4, 4, 4])).0));
    assert_eq!(terms(&raft), [1, 2, 2]);
}

#[test]
fn heartbeats_tell_nothing_of_the_commit_index_but_count_as_contact() {
    let mut raft = third_term();
    assert_eq!(raft.last_contact(ms(500)), None);
    let (answer, outputs) = tell(&mut raft, B, Message::Heartbeat { term: 3, call: 7 });
    assert_eq!(answer, Some(Message::Beat { term: 3, call: 7, success: true }));
    assert_eq!(outputs, [Output::LeaderChanged { leader: Some(B) }]);
    assert_eq!(raft.commit_index(), 0);
    assert_eq!(raft.last_contact(ms(500)), Some(ms(490)));
    let (answer, _) = tell(&mut raft, C, Message::Heartbeat { term: 2, call: 8 });
    assert_eq!(answer, Some(Message::Beat { term: 3, call: 8, success: false }));
    assert_eq!(raft.leader(), Some(B));
}

#[test]
fn a_snapshot_replaces_a_log_that_does_not_continue_it_and_outlives_a_restart() {
    let snapshot = Snapshot { index: 9, term: 3, bytes: Arc::from([7, 7]) };
    let installed = Output::InstallSnapshot { index: 9, bytes: snapshot.bytes.clone() };
    let mut raft = third_term();
    let message = Message::Install { term: 3, call: 1, snapshot };
    let (answer, outputs) = tell(&mut raft, B, message.clone());
    assert!(matches!(answer, Some(Message::Appended { success: true, matched: 9, .. })));
    assert!(outputs.contains(&installed));
    assert_eq!((raft.last_index(), raft.applied(), terms(&raft)), (9, 9, vec![]));
    let (answer, outputs) = tell(&mut raft, B, message);
    assert!(took(answer) && outputs.is_empty(), "a second time it is no news");
    assert!(took(tell(&mut raft, B, append(3, (9, 3), 9, &[3])).0));

    let mut raft = boot(raft.persistent().clone());
    assert_eq!(raft.drain(), [installed]);
    assert!(took(tell(&mut raft, B, append(3, (9, 3), 10, &[3])).0));
    assert_eq!((raft.last_index(), raft.applied()), (10, 10));
}

#[test]
fn a_snapshot_of_its_own_keeps_the_last_entries() {
    let mut raft = third_term().with_compaction(Compaction { threshold: 6, trailing: 2 });
    assert!(took(tell(&mut raft, B, append(3, (3, 2), 5, &[3, 3, 3])).0));
    assert!(raft.snapshot_due());
    raft.take_snapshot(Arc::from([1]));
    assert!(!raft.snapshot_due());
    assert_eq!(
        raft.persistent().log.snapshot().map(|snapshot| (snapshot.index, snapshot.term)),
        Some((5, 3))
    );
    assert_eq!((terms(&raft).len(), raft.last_index()), (2, 6));
}

#[test]
fn strangers_and_late_answers_change_nothing() {
    let mut raft = third_term();
    assert_eq!(tell(&mut raft, ServerId(9), Message::Heartbeat { term: 9, call: 1 }), (None, vec![]));
    assert_eq!(tell(&mut raft, A, Message::Heartbeat { term: 9, call: 1 }), (None, vec![]));
    assert_eq!(tell(&mut raft, B, Message::Voted { term: 9, election: 3, granted: true }), (None, vec![]));
    assert_eq!((raft.term(), raft.leader(), raft.role()), (3, None, Role::Follower));
    assert_eq!(raft.propose(ms(20), 1), Err(NotLeader));
    assert_eq!(raft.verify(ms(20)), Err(NotLeader));
}

#[test]
fn a_leader_stopped_for_a_minute_wakes_once_and_steps_down() {
    let mut raft = third_term();
    raft.advance(ms(2_500));
    assert_eq!(raft.role(), Role::Candidate);
    raft.receive(ms(2_500), B, Message::Voted { term: 4, election: 3, granted: true });
    assert_eq!(raft.role(), Role::Candidate, "a vote of another election");
    raft.receive(ms(2_500), B, Message::Voted { term: 4, election: 4, granted: true });
    assert_eq!(raft.role(), Role::Leader);
    raft.propose(ms(2_600), 1).expect("it leads");
    let token = raft.verify(ms(2_600)).expect("it leads");
    raft.drain();
    raft.advance(ms(60_000));
    assert_eq!(
        raft.drain(),
        [Output::VerifyFailed { token }, Output::SteppedDown, Output::LeaderChanged { leader: None }]
    );
    assert_eq!(raft.last_contact(ms(60_001)), Some(ms(1)));
}

#[test]
fn pauses_double_to_a_limit() {
    let timing = Timing::multiplied(1);
    for (failures, millis) in
        [(1, 10), (2, 10), (3, 20), (4, 40), (12, 10_240), (13, 10_240), (u32::MAX, 10_240)]
    {
        assert_eq!(timing.backoff(failures), ms(millis), "after {failures}");
    }
}

/// What TCP does for the real one, who sends over a connection what is a datagram here.
#[test]
fn what_was_lost_is_said_again_after_twice_as_long_each_time() {
    let mut raft = third_term();
    raft.advance(ms(2_500));
    raft.receive(ms(2_500), B, Message::Voted { term: 4, election: 4, granted: true });
    let mut said = Vec::new();
    let answer = |message: &Message<u32>| match *message {
        Message::Heartbeat { call, .. } => Some(Message::Beat { term: 4, call, success: true }),
        Message::Append { call, previous_index, ref records, .. } => {
            let matched = previous_index + records.len() as u64;
            Some(Message::Appended { term: 4, call, success: true, matched, last_index: 3, at_once: false })
        }
        _ => None,
    };
    let number = |message: &Message<u32>| match *message {
        Message::Append { call, .. } => Some(call),
        _ => None,
    };
    let mut last = None;
    for at in (2_500..5_000).map(ms) {
        raft.advance(at);
        for output in raft.drain() {
            match output {
                // Without it the leader would lead no more.
                Output::Send { to: C, message } => {
                    answer(&message).into_iter().for_each(|answer| raft.receive(at, C, answer));
                }
                Output::Send { message: message @ Message::Append { .. }, .. } => {
                    said.push((at, message.clone()));
                    last = Some(message);
                }
                _ => {}
            }
        }
    }
    let times: Vec<_> = said.iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [0, 200, 600, 1_400].map(|after| ms(2_500 + after)));
    let said: BTreeSet<_> = said.iter().map(|(_, message)| number(message)).collect();
    assert_eq!(said.len(), 1, "the same call: {said:?}");
    raft.receive(ms(5_000), B, answer(&last.unwrap()).unwrap());
    // It still leads, and has the commit index to tell.
    raft.advance(ms(5_200));
    let told = raft.drain().into_iter().filter_map(|output| match output {
        Output::Send { to: B, message } => number(&message),
        _ => None,
    });
    let later: BTreeSet<_> = told.map(Some).collect();
    assert!(!later.is_empty() && later.is_disjoint(&said), "{later:?}");
}

#[test]
fn messages_survive_the_wire() {
    let snapshot = Snapshot { index: 9, term: 3, bytes: Arc::from([7, 7]) };
    for message in [append(3, (3, 2), 3, &[3, 4]), Message::Install { term: 3, call: 1, snapshot }] {
        let text = serde_json::to_string(&message).expect("it serialises");
        assert_eq!(serde_json::from_str::<Message<u32>>(&text).expect("it parses"), message);
    }
}

#[test]
fn what_an_isolated_leader_wrote_is_given_up() {
    let mut cluster = Cluster::new(3, Timing::multiplied(1), 5);
    let old = cluster.elect();
    cluster.run(ms(500));
    cluster.isolate(old);
    let lost = cluster.propose(old, 666).expect("it still leads");
    cluster.run(ms(600));
    assert_eq!(
        cluster.events.last(),
        Some(&(cluster.events.last().expect("some").0, old, Output::LeaderChanged { leader: None }))
    );
    assert!(cluster.events.iter().any(|event| event.1 == old && event.2 == Output::SteppedDown));
    cluster.run(ms(10_000));
    let new = cluster.leader().expect("the others elect one");
    assert_ne!(new, old);
    for command in 0..10 {
        cluster.propose(new, command);
    }
    cluster.run(ms(500));
    cluster.cut.clear();
    cluster.run(ms(30_000));
    assert_eq!(cluster.log(old), cluster.log(new));
    assert!(cluster.log(old).iter().all(|record| record.2 != Entry::Command(666)));
    assert!(cluster.server(old).applied() > lost);
}

#[test]
fn a_follower_far_behind_gets_a_snapshot_and_one_a_little_behind_the_entries() {
    for (many, installs) in [(3, 0), (40, 1)] {
        let mut cluster = Cluster::new(3, Timing::multiplied(1), 6);
        let leader = cluster.elect();
        let late = (leader + 1) % 3;
        cluster.run(ms(500));
        cluster.kill(late);
        for command in 0..many {
            cluster.propose(leader, command);
        }
        cluster.run(ms(500));
        cluster.snapshot(leader);
        cluster.events.clear();
        cluster.start(late);
        cluster.run(ms(30_000));
        let installed =
            |event: &&(Duration, usize, Output<u32>)| matches!(event.2, Output::InstallSnapshot { .. });
        assert_eq!(cluster.events.iter().filter(installed).count(), installs, "{many} behind");
        let applied: Vec<u64> = (0..3).map(|server| cluster.server(server).applied()).collect();
        assert!(applied.iter().all(|index| *index > u64::from(many) && *index == applied[0]), "{applied:?}");
    }
}

#[test]
fn a_leader_is_verified_within_a_round_trip_or_not_at_all() {
    let mut cluster = Cluster::new(3, Timing::multiplied(5), 9);
    let leader = cluster.elect();
    cluster.run(ms(1_000));
    let count = |cluster: &Cluster| {
        let verified =
            cluster.events.iter().filter(|event| matches!(event.2, Output::Verified { .. })).count();
        let failed =
            cluster.events.iter().filter(|event| matches!(event.2, Output::VerifyFailed { .. })).count();
        (verified, failed)
    };
    assert!(cluster.verify(leader));
    assert_eq!(count(&cluster), (0, 0));
    cluster.run(ms(4));
    assert_eq!(count(&cluster), (1, 0));
    cluster.isolate(leader);
    cluster.run(ms(100));
    assert!(cluster.verify(leader));
    cluster.run(ms(2_200));
    assert_eq!(count(&cluster), (1, 0), "it waits for as long as the lease lasts");
    cluster.run(ms(400));
    assert_eq!(count(&cluster), (1, 1));
}

#[test]
fn a_leader_commits_what_came_before_only_with_an_entry_of_its_own() {
    let mut raft = third_term();
    raft.advance(ms(2_500));
    raft.receive(ms(2_500), B, Message::Voted { term: 4, election: 4, granted: true });
    assert_eq!((raft.role(), raft.last_index()), (Role::Leader, 4));
    for (matched, committed) in [(3, 0), (4, 4)] {
        let call = 99;
        let answer =
            Message::Appended { term: 4, call, success: true, matched, last_index: 4, at_once: true };
        raft.receive(ms(2_500), B, answer);
        assert_eq!(raft.commit_index(), committed, "a quorum has {matched}");
    }
}
