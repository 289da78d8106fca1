//! Health, registration and what a role advertises.

use super::*;
use crate::consul::ServiceInstance;

#[test]
fn a_failed_check_is_reported_at_once_or_left_to_the_ttl() {
    for (report, expected) in
        [(true, vec!["22.0 critical service:web-h1", "32.0 critical service:web-h1"]), (false, vec![])]
    {
        fly(|host| async move {
            let config = CONFIG.replace("port = 80", &format!("port = 80\nreport-failure = {report}"));
            let agent = machine(&host, &config);
            let flight = take_off(&host, &config);
            host.sleep(s(15)).await;
            host.program("health", Script::ends(s(1), 1));
            host.sleep(s(20)).await;
            assert_eq!(agent.log()[2..], expected);
            host.program("health", Script::ends(s(1), 0));
            host.sleep(s(10)).await;
            assert_eq!(agent.checks(), ["service:web-h1 passing"]);
            let health: Vec<String> =
                host.journal_lines().into_iter().filter(|line| line.contains("health")).collect();
            assert_eq!(
                health,
                [
                    "12.0 web is healthy",
                    "22.0 health failed: exit code 1",
                    "22.0 web is not healthy",
                    "32.0 health failed: exit code 1",
                    "42.0 web is healthy",
                ]
            );
            flight.abort();
        });
    }
}

#[test]
fn a_check_that_never_passed_registers_nothing_and_one_that_hangs_is_killed() {
    fly(|host| async move {
        let agent = machine(&host, CONFIG);
        host.program("health", Script::serves());
        let flight = take_off(&host, CONFIG);
        host.sleep(s(30)).await;
        assert!(agent.log().is_empty());
        let journal = host.journal_lines();
        assert!(journal.contains(&"16.0 health failed: killed after 5s".to_owned()), "{journal:?}");
        assert_eq!(journal.iter().filter(|line| line.contains("health killed by drop")).count(), 2);
        flight.abort();
    });
}

#[test]
fn a_consul_that_forgot_the_service_is_told_again() {
    fly(|host| async move {
        let agent = machine(&host, CONFIG);
        let flight = take_off(&host, CONFIG);
        host.sleep(s(15)).await;
        agent.0.checks.borrow_mut().clear();
        host.sleep(s(10)).await;
        assert_eq!(agent.checks(), ["service:web-h1 passing"]);
        assert_eq!(
            agent.log()[2..],
            [
                "22.0 unknown service:web-h1",
                "22.0 register web-h1 at 10.0.0.1:80 passing",
                "22.0 passing service:web-h1",
            ]
        );
        flight.abort();
    });
}

#[test]
fn a_check_left_critical_by_an_earlier_life_is_passed() {
    fly(|host| async move {
        let agent = machine(&host, CONFIG);
        agent.0.checks.borrow_mut().insert("service:web-h1".into(), "critical".into());
        let flight = take_off(&host, CONFIG);
        host.sleep(s(15)).await;
        assert_eq!(agent.checks(), ["service:web-h1 passing"]);
        flight.abort();
    });
}

#[test]
fn sighup_with_a_new_name_moves_the_registration_and_leaves_main_alone() {
    fly(|host| async move {
        let agent = machine(&host, CONFIG);
        let flight = take_off(&host, CONFIG);
        host.sleep(s(15)).await;
        host.file("pilot.toml", &CONFIG.replace("\"web\"", "\"shop\""));
        host.send(Signal::Hup);
        host.sleep(s(5)).await;
        assert_eq!(
            agent.log()[2..],
            [
                "15.0 deregister web-h1",
                "16.0 register shop-h1 at 10.0.0.1:80 passing",
                "16.0 passing service:shop-h1",
            ]
        );
        assert_eq!(host.running(), ["main"]);

        host.file("pilot.toml", &CONFIG.replace("port", "prot"));
        host.send(Signal::Hup);
        host.sleep(s(10)).await;
        let journal = host.journal_lines();
        assert!(journal.iter().any(|line| line.contains("did you mean `port`?")), "{journal:?}");
        assert_eq!(agent.checks(), ["service:shop-h1 passing"]);
        let started = journal.iter().filter(|line| line.contains("main process started"));
        assert_eq!(started.count(), 1);
        flight.abort();
    });
}

#[test]
fn a_registration_that_was_never_answered_is_taken_out_all_the_same() {
    fly(|host| async move {
        let agent = machine(&host, CONFIG);
        let flight = take_off(&host, CONFIG);
        host.sleep(s(5)).await;
        agent.0.hangs.set(true);
        host.sleep(s(10)).await;
        agent.0.hangs.set(false);
        host.send(Signal::Term);
        assert_eq!(flight.await.unwrap(), 0);
        assert_eq!(agent.log(), ["15.0 deregister web-h1"]);
    });
}

#[test]
fn a_registration_without_an_answer_is_given_longer_the_next_time() {
    fly(|host| async move {
        let config = CONFIG.replace("\"10s\"", "\"2s\"");
        let agent = machine(&host, &config);
        agent.0.hangs.set(true);
        let flight = take_off(&host, &config);
        host.sleep(s(37)).await;
        agent.0.hangs.set(false);
        let asked = agent.0.unanswered.borrow().clone();
        let at: Vec<_> = asked.iter().map(|line| line.split_once(' ').unwrap()).collect();
        assert!(at.iter().all(|(_, path)| *path == "/v1/agent/service/register"), "{asked:?}");
        // They are given 2, 4, 8 and from then on 10 s.
        assert_eq!(at.iter().map(|(at, _)| *at).collect::<Vec<_>>(), ["4.0", "6.0", "10.0", "18.0", "28.0"]);
        host.sleep(s(4)).await;
        assert_eq!(agent.checks(), ["service:web-h1 passing"]);
        flight.abort();
    });
}

#[test]
fn what_keeps_the_service_out_of_the_catalog_is_put_right() {
    let listed = |id: &str, address: &str, service: &str| {
        format!(
            r#"{{"Node":{{"ID":"{id}","Node":"n","Address":"{address}","ModifyIndex":11}},"Services":{{"{service}":{{}}}}}}"#
        )
    };
    let again = ["register web-h1 at 10.0.0.1:80 passing", "passing service:web-h1"].as_slice();
    let heartbeat = &again[1..];
    let replace = r#""cas" {"Address":"10.0.0.7","ID":"new","ModifyIndex":11,"Node":"n"}"#;
    for (node, expected) in [
        // All is well.
        (listed("new", "10.0.0.7", "web-h1"), heartbeat),
        (listed("", "10.0.0.7", "web-h1"), heartbeat),
        // Somebody took it out, or the node.
        (listed("new", "10.0.0.7", "web-h2"), again),
        ("null".to_owned(), again),
        // The node lost its data.
        (listed("old", "10.0.0.7", "web-h1"), &[replace, again[0], again[1]]),
        // Two machines with one name: the other one is left alone.
        (listed("old", "10.0.0.8", "web-h1"), heartbeat),
    ] {
        fly(|host| async move {
            let config = CONFIG.replace("port = 80", "port = 80\ncatalog-check = \"20s\"");
            let agent = machine(&host, &config);
            agent.0.node.replace(node);
            let flight = take_off(&host, &config);
            host.sleep(s(39)).await;
            let log = agent.log();
            let done = log.iter().filter_map(|line| Some(line.split_once(' ')?.1));
            let since: Vec<_> = done.skip_while(|line| *line != "look").skip(1).collect();
            assert_eq!(since, expected, "{log:?}");
            flight.abort();
        });
    }
}

#[test]
fn what_cannot_be_put_right_is_said_and_tried_again_at_the_next_look_only() {
    fly(|host| async move {
        let config = CONFIG.replace("port = 80", "port = 80\ncatalog-check = \"40s\"");
        let agent = machine(&host, &config);
        let node = r#"{"Node":{"ID":"old","Node":"n","Address":"10.0.0.7","ModifyIndex":11},"Services":{}}"#;
        agent.0.node.replace(node.to_owned());
        agent.0.refusal.set(r#""Errors":[{"OpIndex":1,"What":"Permission denied"}]"#);
        let flight = take_off(&host, &config);
        host.sleep(s(109)).await;
        let looks = agent.log().into_iter().filter(|line| line.ends_with("look"));
        assert_eq!(looks.collect::<Vec<_>>(), ["22.0 look", "62.0 look", "102.0 look"]);
        let journal = host.journal_lines();
        let told =
            "22.0 pilot warn: n is not replaced: transaction rolled back: operation 1: Permission denied";
        assert!(journal.contains(&told.to_owned()), "{journal:?}");
        flight.abort();
    });
}

#[test]
fn a_name_given_up_while_it_is_registered_is_never_passing() {
    fly(|host| async move {
        let agent = machine(&host, CONFIG);
        agent.0.slow.set(Some(s(3)));
        let flight = play(&host, s(0), &[(11, Some("web-primary"))]);
        host.sleep(s(25)).await;
        let log = agent.log();
        assert_eq!(
            log[..2],
            ["13.0 register web-h1 at 10.0.0.1:80 passing", "16.0 deregister web-h1"],
            "{log:?}"
        );
        flight.abort();
    });
}

/// A role whose checks take a while, and that advertises other names, each after so many seconds more.
struct Role {
    host: MemoryHost,
    advertisement: Advertisement,
    check: Duration,
    names: &'static [(u64, Option<&'static str>)],
}

impl Hooks<MemoryHost> for Role {
    async fn pre_start(&self) -> Result<(), HookError> {
        Ok(())
    }
    async fn health(&self) -> Result<(), HookError> {
        self.host.sleep(self.check).await;
        Ok(())
    }
    async fn on_change(&self, _: &str, _: &[ServiceInstance]) -> Result<(), HookError> {
        Ok(())
    }
    async fn pre_stop(&self) -> Result<(), HookError> {
        Ok(())
    }
    async fn post_stop(&self) -> Result<(), HookError> {
        Ok(())
    }
    async fn run(&self) {
        for (after, name) in self.names {
            self.host.sleep(s(*after)).await;
            self.advertisement.advertise(*name);
        }
    }
}

fn play(
    host: &MemoryHost,
    check: Duration,
    names: &'static [(u64, Option<&'static str>)],
) -> JoinHandle<i32> {
    let config = Config::parse(CONFIG, std::path::Path::new("pilot.toml")).unwrap();
    let advertisement = Advertisement::new(Some("web"));
    let role = Role { host: host.clone(), advertisement: advertisement.clone(), check, names };
    let pilot = Pilot::new(host.clone(), config, role).with_advertisement(advertisement);
    tokio::task::spawn_local(pilot.run())
}

#[test]
fn a_role_changes_and_withdraws_what_is_advertised() {
    fly(|host| async move {
        let agent = machine(&host, CONFIG);
        let flight = play(&host, s(1), &[(15, Some("web-primary")), (15, None)]);
        host.sleep(s(60)).await;
        assert_eq!(
            agent.log(),
            [
                "11.0 register web-h1 at 10.0.0.1:80 passing",
                "11.0 passing service:web-h1",
                "15.0 deregister web-h1",
                "16.0 register web-primary-h1 at 10.0.0.1:80 passing",
                "16.0 passing service:web-primary-h1",
                "21.0 passing service:web-primary-h1",
                "30.0 deregister web-primary-h1",
            ]
        );
        host.send(Signal::Term);
        assert_eq!(flight.await.unwrap(), 0);
        assert_eq!(agent.log().len(), 7, "nothing is deregistered twice");
    });
}

#[test]
fn a_check_that_began_before_the_name_changed_does_not_register_the_new_one() {
    fly(|host| async move {
        let agent = machine(&host, CONFIG);
        // In the middle of the first check.
        let flight = play(&host, s(4), &[(12, Some("web-primary"))]);
        host.sleep(s(19)).await;
        assert_eq!(
            agent.log(),
            ["18.0 register web-primary-h1 at 10.0.0.1:80 passing", "18.0 passing service:web-primary-h1",]
        );
        flight.abort();
    });
}
