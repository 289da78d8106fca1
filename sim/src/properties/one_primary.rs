//! `one-writable-primary`: never two instances that take writes and follow nobody.
//!
//! An instance counts while its `mysqld` is up and reachable from other machines, takes writes, and
//! neither receives nor applies. It does not matter whether anybody can reach it at that moment: a primary
//! behind a cut link goes on taking the writes of the clients on its side. A machine that stands still takes
//! none, and does not count. When it goes on it counts again from the first write that it commits and a client
//! is told of, and from one second on in any case: no agent can look around before it is awake, and what
//! matters is that nothing is acknowledged by then. One that still has a source counts from its first own transaction, when it passes as a primary, or once it has
//! stood still for a second: a replica that can be written to for the moment in which its replication is set
//! up anew has not become a primary by that.
//!
//! The violation is at the event by which the second became one. As long as there are two or more it is
//! the same violation, whoever joins or leaves; it takes a moment with fewer to begin another.

use super::state::State;
use super::{Property, Violation};
use crate::record::Event;

#[derive(Debug, Default)]
pub(super) struct OnePrimary {
    primaries: Vec<String>,
    revision: u64,
}

impl OnePrimary {
    /// Looks at `state`, which `event` has just changed.
    pub(super) fn see(&mut self, event: &Event, state: &State, out: &mut Vec<Violation>) {
        if self.revision == state.revision {
            return;
        }
        self.revision = state.revision;
        let primaries: Vec<_> = state.acting_primaries().map(str::to_owned).collect();
        if primaries.len() > 1 && self.primaries.len() < 2 {
            let newcomer = primaries.iter().find(|host| !self.primaries.contains(host));
            let newcomer = newcomer.unwrap_or(&event.host).clone();
            let others: Vec<_> =
                primaries.iter().map(String::as_str).filter(|host| *host != newcomer).collect();
            let detail =
                format!("{newcomer} takes writes and follows nobody, and so does {}", others.join(", "));
            out.push(Violation {
                host: newcomer,
                ..Violation::at(event, Property::OneWritablePrimary, detail)
            });
        }
        self.primaries = primaries;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{Script, violated};
    use super::super::{Property, check};

    const PROPERTY: Property = Property::OneWritablePrimary;

    fn steps(script: &Script) -> Vec<u64> {
        violated(script, PROPERTY).iter().map(|violation| violation.step).collect()
    }

    #[test]
    fn a_second_primary_is_seen_at_the_event_that_made_it_one() {
        let mut script = Script::new();
        script.primary("mysql-1");
        script.launched("mysql-2").up("mysql-2", true).replication("mysql-2", "", false, false);
        let step = script.writable("mysql-2", true).last_step();
        let found = violated(&script, PROPERTY);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].step, found[0].host.as_str()), (step, "mysql-2"));
        assert_eq!(found[0].detail, "mysql-2 takes writes and follows nobody, and so does mysql-1");
    }

    #[test]
    fn a_primary_stops_being_one() {
        type End = fn(&mut Script);
        let cases: [(&str, End); 8] = [
            ("down", |script| _ = script.down("mysql-1")),
            ("container ended", |script| _ = script.ended("mysql-1")),
            ("container replaced", |script| _ = script.launched("mysql-1")),
            ("read-only", |script| _ = script.writable("mysql-1", false)),
            ("receives", |script| _ = script.replication("mysql-1", "mysql-2", true, false)),
            ("applies", |script| _ = script.replication("mysql-1", "mysql-2", false, true)),
            ("restarted, nothing said yet", |script| _ = script.up("mysql-1", true)),
            ("restarted for itself", |script| {
                script
                    .up("mysql-1", false)
                    .writable("mysql-1", true)
                    .replication("mysql-1", "", false, false);
            }),
        ];
        for (name, end) in cases {
            let mut script = Script::new();
            script.primary("mysql-1");
            end(&mut script);
            script.primary("mysql-2");
            assert!(steps(&script).is_empty(), "{name}");
        }
    }

    #[test]
    fn a_primary_stays_one() {
        type Stay = fn(&mut Script);
        let cases: [(&str, Stay); 3] = [
            ("nothing happens", |_| {}),
            ("set up for a source but still writing", |script| {
                script.replication("mysql-1", "mysql-2", false, false).committed("mysql-1", 1);
            }),
            ("loses its lock", |script| _ = script.lock_released("mysql-primary", "s", 0)),
        ];
        for (name, stay) in cases {
            let mut script = Script::new();
            script.primary("mysql-1");
            stay(&mut script);
            script.primary("mysql-2");
            assert_eq!(steps(&script).len(), 1, "{name}");
        }
    }

    #[test]
    fn a_primary_that_stands_still_is_none_until_it_wakes_up() {
        type Then = fn(&mut Script);
        let cases: [(&str, Then, usize); 10] = [
            ("stands still", |s| _ = s.at(9_000).finished(), 0),
            ("wakes up and gives in", |s| _ = s.resumed("mysql-1").at(5_400).writable("mysql-1", false), 0),
            (
                "wakes up and gives in too late",
                |s| {
                    s.resumed("mysql-1").at(6_000).writable("mysql-1", false);
                },
                0,
            ),
            ("wakes up and stays", |s| _ = s.resumed("mysql-1").at(6_000).finished(), 1),
            ("wakes up and commits", |s| _ = s.resumed("mysql-1").committed("mysql-1", 7), 0),
            (
                "wakes up and acknowledges",
                |s| {
                    s.resumed("mysql-1").committed("mysql-1", 7).acknowledged(7, "mysql-1");
                },
                1,
            ),
            (
                "acknowledges what it committed before",
                |s| {
                    s.resumed("mysql-1").acknowledged(6, "mysql-1").at(5_500).writable("mysql-1", false);
                },
                0,
            ),
            (
                "is paused twice and wakes up once",
                |s| {
                    s.fault_began("mysql-1", "pause instances for 1s")
                        .resumed("mysql-1")
                        .at(9_000)
                        .finished();
                },
                0,
            ),
            (
                "another fault ends",
                |s| {
                    s.fault_ended("mysql-1", "cut mysql-1 - consul").at(9_000).finished();
                },
                0,
            ),
            (
                "ends and is replaced by a primary",
                |s| {
                    s.ended("mysql-1").at(6_000).primary("mysql-1");
                },
                1,
            ),
        ];
        for (name, then, count) in cases {
            let mut script = Script::new();
            script.primary("mysql-1").committed("mysql-1", 6).fault_began("mysql-1", "pause leader for 5s");
            script.primary("mysql-2").at(5_000);
            then(&mut script);
            assert_eq!(steps(&script).len(), count, "{name}");
        }
    }

    #[test]
    fn a_server_that_has_not_told_whom_it_follows_is_not_a_primary_yet() {
        let mut script = Script::new();
        script.primary("mysql-1");
        script.launched("mysql-2").up("mysql-2", true).writable("mysql-2", true);
        script.replication("mysql-2", "mysql-1", true, true);
        assert!(steps(&script).is_empty());
    }

    #[test]
    fn a_server_that_has_a_source_and_stands_still_is_a_primary_by_its_deeds() {
        type Deed = fn(&mut Script);
        let id = "mysql-primary-mysql-2";
        let cases: [(&str, Deed, bool); 6] = [
            ("none", |_| {}, false),
            ("commits", |script| _ = script.committed("mysql-2", 1), true),
            (
                "commits read-only",
                |script| {
                    script.writable("mysql-2", false).committed("mysql-2", 1);
                },
                false,
            ),
            ("receives what its source commits", |script| _ = script.received("mysql-2", 1), false),
            (
                "is registered as a primary",
                |script| {
                    script.registered("mysql-primary-mysql-2", "mysql-primary", "mysql-2");
                },
                false,
            ),
            (
                "passes as a primary",
                |script| {
                    let id = "mysql-primary-mysql-2";
                    script.registered(id, "mysql-primary", "mysql-2").check(id, "passing");
                },
                true,
            ),
        ];
        for (name, deed, primary) in cases {
            let mut script = Script::new();
            script.primary("mysql-1").launched("mysql-2").up("mysql-2", true).writable("mysql-2", true);
            script.replication("mysql-2", "mysql-1", true, true).committed("mysql-2", 7);
            script.replication("mysql-2", "mysql-1", false, false);
            deed(&mut script);
            let found = violated(&script, PROPERTY);
            assert_eq!(found.len(), usize::from(primary), "{name}");
            assert!(found.iter().all(|violation| violation.host == "mysql-2"), "{name}");
            // Whatever it did, it is forgiven when it follows again.
            script.replication("mysql-2", "mysql-1", true, true).deregistered(id);
            script.replication("mysql-2", "mysql-1", false, false);
            assert_eq!(violated(&script, PROPERTY).len(), usize::from(primary), "{name}");
        }
    }

    #[test]
    fn an_episode_is_one_violation_however_many_take_part() {
        let mut script = Script::new();
        script.primary("mysql-1").primary("mysql-2");
        script.primary("mysql-3").down("mysql-1").writable("mysql-2", true);
        assert_eq!(steps(&script).len(), 1);
        script.down("mysql-2").primary("mysql-2");
        assert_eq!(steps(&script).len(), 2);
    }

    proptest! {
        /// Against the definition, computed from scratch after every event.
        #[test]
        fn agrees_with_the_definition(moves in prop::collection::vec((0..3_usize, 0..6_u8), 0..60)) {
            let hosts = ["mysql-1", "mysql-2", "mysql-3"];
            // Up with networking, writable, follows.
            let mut model = [(None::<bool>, None::<bool>, None::<bool>); 3];
            let mut script = Script::new();
            let mut expected = Vec::new();
            let mut before = 0;
            for (index, kind) in moves {
                let (host, model_host) = (hosts[index], &mut model[index]);
                match kind {
                    0 | 1 => {
                        script.up(host, kind == 1);
                        *model_host = (Some(kind == 1), None, None);
                    }
                    2 => {
                        script.down(host);
                        *model_host = (None, None, None);
                    }
                    3 => {
                        script.writable(host, true);
                        model_host.1 = Some(true);
                    }
                    4 => {
                        script.replication(host, "x", true, false);
                        model_host.2 = Some(true);
                    }
                    _ => {
                        script.replication(host, "", false, false);
                        model_host.2 = Some(false);
                    }
                }
                if model_host.0.is_none() {
                    *model_host = (None, None, None);
                }
                let now = model.iter().filter(|host| **host == (Some(true), Some(true), Some(false))).count();
                if now > 1 && before <= 1 {
                    expected.push(script.last_step());
                }
                before = now;
            }
            let found: Vec<_> = check(&script.record())
                .into_iter()
                .filter(|violation| violation.property == PROPERTY)
                .map(|violation| violation.step)
                .collect();
            prop_assert_eq!(found, expected);
        }
    }
}
