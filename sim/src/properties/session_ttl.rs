//! `session-ttl`: a session lives at least its TTL after its creation or last renewal, and is gone by twice
//! its TTL.
//!
//! That is what Consul promises: the TTL is the least a holder can count on, and the server doubles it
//! before it acts. "Gone" has any cause; only an expiry can be too early, for a session may be destroyed or
//! lose its check at any time. A session that is overdue is reported once, at the first event after its
//! time, or at the end of the record.
//!
//! Two things move the later bound, for Consul cannot expire anything while it does not run. What falls
//! due while Consul stands still is due when it goes on. When its container starts again, all timers start
//! again, as they do when a real server becomes leader. The earlier bound never moves.
//!
//! Of several servers only one that leads expires anything. While none does nothing is due, a new one
//! gives every session all of its time again, and one that was cut off may take a lease to notice.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{CONSUL, Property, Violation, is_pause, moment, silences};
use crate::record::{ConsulEvent, Event, What};

/// How late an expiry may be: timers round up to the next millisecond, and the work they wake takes its
/// turn within another.
const SLACK: Duration = Duration::from_millis(2);
/// How late it may be where servers have to agree on it: the longest lease of a leader.
const CLUSTER_SLACK: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(super) struct SessionTtl {
    sessions: BTreeMap<String, Session>,
    /// The earliest due time of any, so that most events cost one comparison.
    next_due: Option<Duration>,
    /// Consul stands still or is gone.
    stopped: bool,
    /// The server that leads, where there are several.
    leader: Option<String>,
    /// The server that led and was stopped.
    silenced: Option<String>,
    clustered: bool,
}

#[derive(Debug)]
struct Session {
    ttl: Duration,
    renewed: Duration,
    due: Duration,
    overdue: bool,
}

impl Session {
    fn renew(&mut self, at: Duration) {
        self.renewed = at;
        self.due = at + 2 * self.ttl;
        self.overdue = false;
    }
}

impl SessionTtl {
    /// Takes in one event.
    pub(super) fn see(&mut self, event: &Event, out: &mut Vec<Violation>) {
        self.report_overdue(event, out);
        match &event.what {
            What::Consul(ConsulEvent::SessionCreated { session, ttl_us, .. }) if *ttl_us > 0 => {
                let ttl = Duration::from_micros(*ttl_us);
                let mut new = Session { ttl, renewed: event.at, due: event.at, overdue: false };
                new.renew(event.at);
                self.sessions.insert(session.clone(), new);
            }
            What::Consul(ConsulEvent::SessionRenewed { session }) => {
                if let Some(session) = self.sessions.get_mut(session) {
                    session.renew(event.at);
                }
            }
            What::Consul(ConsulEvent::SessionInvalidated { session: id, why }) => {
                let Some(session) = self.sessions.remove(id) else {
                    return;
                };
                if why == "expired" && event.at < session.renewed + session.ttl {
                    out.push(Violation::at(
                        event,
                        Property::SessionTtl,
                        format!(
                            "session {id} expired at {}, before its TTL of {} after {} had passed",
                            moment(event.at),
                            moment(session.ttl),
                            moment(session.renewed),
                        ),
                    ));
                }
            }
            What::Consul(ConsulEvent::Emptied { .. }) => self.sessions.clear(),
            What::Consul(ConsulEvent::LeaderEstablished { server }) => {
                self.leader = Some(server.clone());
                self.clustered = true;
                for session in self.sessions.values_mut() {
                    session.due = session.due.max(event.at + 2 * session.ttl);
                }
            }
            // A server that is alone says so only when it acts as if there were no leader.
            What::Consul(ConsulEvent::LeaderDeposed { server }) => {
                // One that stood still and was ended does not go on.
                self.silenced.take_if(|silenced| silenced == server);
                if self.leader.as_ref().is_none_or(|leader| leader == server) {
                    self.leader = None;
                    self.clustered = true;
                }
            }
            // A leader that is about to be ended, or stands still, expires nothing.
            What::FaultBegan { fault, .. }
                if self.leader.as_ref() == Some(&event.host) && silences(fault) =>
            {
                self.silenced = self.leader.take();
            }
            // One that goes on leads on, unless it says otherwise, or another does.
            What::FaultEnded { fault, .. }
                if self.silenced.as_ref() == Some(&event.host) && is_pause(fault) =>
            {
                let back = self.silenced.take();
                if self.leader.is_none() {
                    self.leader = back;
                }
                for session in self.sessions.values_mut() {
                    session.due = session.due.max(event.at);
                }
            }
            _ if event.host == CONSUL => self.see_server(event),
            _ => return,
        }
        self.next_due =
            self.sessions.values().filter(|session| !session.overdue).map(|session| session.due).min();
    }

    fn see_server(&mut self, event: &Event) {
        match &event.what {
            What::FaultBegan { fault, .. } if is_pause(fault) => self.stopped = true,
            What::FaultEnded { fault, .. } if is_pause(fault) => {
                self.stopped = false;
                for session in self.sessions.values_mut() {
                    session.due = session.due.max(event.at);
                }
            }
            What::Ended { .. } => self.stopped = true,
            What::Launched { .. } => {
                self.stopped = false;
                for session in self.sessions.values_mut() {
                    session.due = session.due.max(event.at + 2 * session.ttl);
                }
            }
            _ => {}
        }
    }

    fn report_overdue(&mut self, event: &Event, out: &mut Vec<Violation>) {
        let slack = if self.clustered { CLUSTER_SLACK } else { SLACK };
        let is_late = |due: Duration| event.at > due + slack;
        let leaderless = self.clustered && self.leader.is_none();
        if self.stopped || leaderless || !self.next_due.is_some_and(is_late) {
            return;
        }
        for (id, session) in &mut self.sessions {
            if !session.overdue && is_late(session.due) {
                session.overdue = true;
                out.push(Violation::at(
                    event,
                    Property::SessionTtl,
                    format!(
                        "session {id} is still there at {}, last renewed at {} with a TTL of {}",
                        moment(event.at),
                        moment(session.renewed),
                        moment(session.ttl),
                    ),
                ));
            }
        }
        self.next_due =
            self.sessions.values().filter(|session| !session.overdue).map(|session| session.due).min();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Property;
    use super::super::testing::{Script, violated};
    use super::ConsulEvent;

    /// In milliseconds.
    const TTL: u64 = 10_000;

    fn found(script: &Script) -> Vec<(u64, String)> {
        violated(script, Property::SessionTtl)
            .into_iter()
            .map(|violation| (violation.step, violation.detail))
            .collect()
    }

    #[test]
    fn an_expiry_is_neither_early_nor_late() {
        let cases =
            [(9_999, 1), (10_000, 0), (15_000, 0), (20_000, 0), (20_002, 0), (20_003, 1), (60_000, 1)];
        for (expired_at, violations) in cases {
            let mut script = Script::new();
            script
                .session_created("s", TTL)
                .at(expired_at)
                .session_gone("s", "expired")
                .at(90_000)
                .finished();
            assert_eq!(found(&script).len(), violations, "expired after {expired_at} ms");
        }
    }

    #[test]
    fn a_renewal_counts_from_when_it_was() {
        for (expired_at, violations) in [(18_999, 1), (19_000, 0), (29_002, 0), (29_003, 1)] {
            let mut script = Script::new();
            script.session_created("s", TTL).at(9_000).session_renewed("s");
            script.at(expired_at).session_gone("s", "expired");
            assert_eq!(found(&script).len(), violations, "expired at {expired_at} ms");
        }
    }

    #[test]
    fn other_ends_are_free_until_the_session_is_overdue() {
        for (why, at, violations) in [
            ("destroyed", 1, 0),
            ("check critical", 9_000, 0),
            ("node deregistered", 20_000, 0),
            ("destroyed", 20_003, 1),
        ] {
            let mut script = Script::new();
            script.session_created("s", TTL).at(at).session_gone("s", why);
            assert_eq!(found(&script).len(), violations, "{why} at {at} ms");
        }
    }

    #[test]
    fn a_session_still_there_is_reported_once_at_the_first_event_after_its_time() {
        let mut script = Script::new();
        script.session_created("s", TTL).at(20_001).log("mysql-1", "still fine");
        let step = script.at(20_003).log("mysql-1", "late").last_step();
        script.at(30_000).finished();
        assert_eq!(
            found(&script),
            [(
                step,
                "session s is still there at 20.003 s, last renewed at 0.000 s with a TTL of 10.000 s"
                    .to_owned()
            )],
        );
    }

    #[test]
    fn a_session_still_there_at_the_end_is_too_late() {
        let mut script = Script::new();
        script.session_created("s", TTL).at(20_003).finished();
        assert_eq!(found(&script).len(), 1);
    }

    #[test]
    fn a_session_without_ttl_lives_as_long_as_it_likes() {
        let mut script = Script::new();
        script.session_created("s", 0).at(1_000_000).finished();
        assert!(found(&script).is_empty());
    }

    #[test]
    fn the_earlier_sessions_do_not_hide_the_later_ones() {
        let mut script = Script::new();
        script.session_created("a", TTL).at(5_000).session_created("b", TTL);
        script.at(20_000).session_gone("a", "expired");
        script.at(25_003).finished();
        assert_eq!(found(&script).len(), 1);
    }

    #[test]
    fn nothing_is_due_while_consul_stands_still() {
        for (expired_at, violations) in [(40_000, 0), (40_002, 0), (40_003, 1)] {
            let mut script = Script::new();
            script.session_created("s", TTL).at(15_000).fault_began("consul", "pause consul for 25s");
            script.at(30_000).log("mysql-1", "no answer");
            script.at(40_000).fault_ended("consul", "pause consul for 25s");
            script.at(expired_at).session_gone("s", "expired");
            assert_eq!(found(&script).len(), violations, "expired at {expired_at} ms");
        }
    }

    #[test]
    fn nothing_is_due_while_a_lone_server_acts_without_a_leader() {
        let deposed = ConsulEvent::LeaderDeposed { server: "consul".to_owned() };
        let established = ConsulEvent::LeaderEstablished { server: "consul".to_owned() };
        for (expired_at, violations) in [(40_000, 0), (60_000, 0), (65_001, 1)] {
            let mut script = Script::new();
            script.session_created("s", TTL).at(15_000).consul(deposed.clone());
            script.at(30_000).log("mysql-1", "no answer").at(40_000).consul(established.clone());
            script.at(expired_at).session_gone("s", "expired");
            assert_eq!(found(&script).len(), violations, "expired at {expired_at} ms");
        }
    }

    #[test]
    fn a_leader_that_is_ended_while_it_stands_still_does_not_go_on() {
        let mut script = Script::new();
        script.leader_established("consul-1").session_created("s", TTL);
        script.at(5_000).fault_began("consul-1", "pause consul-leader for 20s");
        script.at(6_000).fault_began("consul-1", "kill consul-1 for 60s").leader_deposed("consul-1");
        script.at(25_000).fault_ended("consul-1", "pause consul-leader for 20s");
        script.at(60_000).log("mysql-1", "no answer").finished();
        assert!(found(&script).is_empty());
    }

    #[test]
    fn an_instance_that_stands_still_excuses_nothing() {
        let mut script = Script::new();
        script
            .session_created("s", TTL)
            .fault_began("mysql-1", "pause mysql-1 for 60s")
            .at(20_003)
            .finished();
        assert_eq!(found(&script).len(), 1);
    }

    #[test]
    fn a_consul_that_starts_again_starts_its_timers_again() {
        for (expired_at, violations) in [(35_000, 0), (55_002, 0), (55_003, 1)] {
            let mut script = Script::new();
            script.session_created("s", TTL).at(5_000).ended("consul");
            script.at(35_000).launched("consul").at(expired_at).session_gone("s", "expired");
            assert_eq!(found(&script).len(), violations, "expired at {expired_at} ms");
        }
    }

    proptest! {
        /// Any history of renewals within the TTL and an expiry in the allowed window holds; moved out
        /// of the window it does not.
        #[test]
        fn the_window_is_all_that_matters(
            renewals in prop::collection::vec(1..TTL, 0..20),
            in_window in TTL..=2 * TTL,
            early in 1..TTL,
            late in 3..TTL,
        ) {
            for (after, violations) in [(in_window, 0), (TTL - early, 1), (2 * TTL + late, 1)] {
                let mut script = Script::new();
                script.at(77).session_created("s", TTL);
                let mut now = 77;
                for pause in &renewals {
                    now += pause;
                    script.at(now).session_renewed("s");
                }
                script.at(now + after).session_gone("s", "expired");
                prop_assert_eq!(found(&script).len(), violations);
            }
        }
    }
}
