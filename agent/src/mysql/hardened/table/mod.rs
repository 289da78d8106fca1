//! The state machine's table, row by row in `cases`; what holds of any view whatever in `any_view`.

mod any_view;
mod cases;

use std::collections::BTreeMap;
use std::time::Duration;

use super::decide::{Action, Claim, Database, Leader, Lock, Member, Position, View};
use crate::mysql::GtidSet;

fn set(text: &str) -> GtidSet {
    text.parse().unwrap()
}

/// An in-sync set: instances by their databases, which are called the same with an `s`.
fn names(text: &str) -> BTreeMap<String, String> {
    text.split_whitespace().map(|name| (server(name), name.to_owned())).collect()
}

fn server(name: &str) -> String {
    format!("s-{name}")
}

/// mysql-1 in its third term, with both others in its set.
fn leader() -> Leader {
    Leader {
        holder: "mysql-1".into(),
        address: "10.0.0.1".into(),
        term: 3,
        revision: 2,
        beat: 5,
        over: false,
        executed: set("a:1-10"),
        server: "one".into(),
        in_sync: names("mysql-1 mysql-2 mysql-3"),
        copies: 2,
        founding: false,
        legacy: None,
    }
}

/// A replica of it that acknowledges.
fn replica() -> View {
    View {
        me: "mysql-2".into(),
        copies: 2,
        lease: Some("ours".into()),
        lock: Lock { session: Some("theirs".into()), leader: Some(leader()), index: 7 },
        remembered: Some(leader()),
        database: Database {
            executed: set("a:1-10,one:1-5"),
            retrieved: set("a:1-10,one:1-5"),
            server: server("mysql-2"),
            acknowledging: true,
            source: Some("10.0.0.1".into()),
            receiving: true,
            connected: true,
            applying: true,
            ..Database::default()
        },
        published: Some(word(3, 3)),
        quiet_for: Duration::from_secs(45),
        lease_length: Duration::from_secs(45),
        hearing_for: Duration::from_secs(3_600),
        patience: Some(Duration::from_secs(60)),
        ..View::default()
    }
}

fn heard(name: &str, executed: &str, prepared_for: u64) -> Member {
    let position =
        Position { server: server(name), executed: set(executed), prepared_for, ..Position::default() };
    Member { name: name.into(), live: true, position, index: 7 }
}

fn dead(member: Member) -> Member {
    Member { live: false, ..member }
}

fn standing_by(name: &str, follows: u64, acknowledges: u64) -> Member {
    let position = Position {
        server: server(name),
        executed: set("a:1-10"),
        follows,
        acknowledges,
        ..Position::default()
    };
    Member { name: name.into(), live: true, position, index: 7 }
}

/// What mysql-2 publishes of itself.
fn word(follows: u64, acknowledges: u64) -> Position {
    Position { server: server("mysql-2"), follows, acknowledges, ..Position::default() }
}

fn with(mut view: View, change: impl FnOnce(&mut View)) -> View {
    change(&mut view);
    view
}

/// The replica after the primary's session ended, prepared for the fourth term.
fn candidate() -> View {
    with(replica(), |view| {
        view.lock.session = None;
        view.database.receiving = false;
        view.database.connected = false;
        view.database.acknowledging = false;
        view.published = Some(Position { prepared_for: 4, ..Position::default() });
        view.free_for = Duration::from_secs(10);
    })
}

/// mysql-2 as the primary of the third term.
fn primary() -> View {
    with(replica(), |view| {
        view.lock.session = Some("ours".into());
        let leader = view.lock.leader.as_mut().unwrap();
        leader.holder = "mysql-2".into();
        leader.server = server("mysql-2");
        view.remembered = view.lock.leader.clone();
        view.database = Database { writable: true, ..view.database.clone() };
        view.database.acknowledging = false;
        view.published = Some(word(3, 0));
        view.members = vec![standing_by("mysql-1", 3, 3), standing_by("mysql-3", 3, 3)];
    })
}

fn acquire(in_sync: &str) -> Action {
    Action::Acquire { claim: Claim { term: 4, in_sync: names(in_sync), founding: false } }
}

const ALL: &str = "mysql-1 mysql-2 mysql-3";
