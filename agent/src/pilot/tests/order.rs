//! What runs in which order, what a stop waits for, and the exit code.

use super::*;

#[test]
fn hooks_run_in_order_around_the_main_process() {
    fly(|host| async move {
        let agent = machine(&host, CONFIG);
        let flight = take_off(&host, CONFIG);
        host.sleep(s(45)).await;
        assert_eq!(agent.checks(), ["service:web-h1 passing"]);
        host.send(Signal::Term);
        assert_eq!(flight.await.unwrap(), 0);
        assert_eq!(
            host.journal_lines(),
            [
                "0.0 preStart started",
                "1.0 preStart succeeded",
                "1.0 main process started: main",
                "12.0 web is healthy",
                "12.0 registered in Consul as web (web-h1)",
                "45.0 pilot info: SIGTERM: stopping",
                "45.0 deregistered web-h1 from Consul",
                "45.0 preStop started",
                "46.0 preStop succeeded",
                "46.1 main process ended: exit code 0",
                "46.1 postStop started",
                "47.1 postStop succeeded",
            ]
        );
        assert_eq!(
            agent.log(),
            [
                "12.0 register web-h1 at 10.0.0.1:80 passing",
                "12.0 passing service:web-h1",
                "22.0 passing service:web-h1",
                "32.0 passing service:web-h1",
                "42.0 passing service:web-h1",
                "45.0 deregister web-h1",
            ]
        );
        assert!(host.running().is_empty());
    });
}

#[test]
fn a_main_process_that_ends_takes_the_service_out_and_gives_its_code() {
    fly(|host| async move {
        let agent = machine(&host, CONFIG);
        host.program("main", Script::ends(s(20), 3));
        assert_eq!(take_off(&host, CONFIG).await.unwrap(), 3);
        assert_eq!(agent.log().last().unwrap(), "21.0 deregister web-h1");
        let journal = host.journal_lines();
        assert_eq!(journal.last().unwrap(), "22.0 postStop succeeded");
        assert!(!journal.iter().any(|line| line.contains("preStop")), "{journal:?}");
    });
}

#[test]
fn a_failed_pre_start_is_the_end_and_main_never_starts() {
    for (script, code) in [(Some(Script::ends(s(1), 7)), 7), (None, NOT_STARTED)] {
        fly(|host| async move {
            machine(&host, CONFIG);
            let config = match script {
                Some(script) => {
                    host.program("pre-start", script);
                    CONFIG.to_owned()
                }
                None => CONFIG.replace("[\"pre-start\"]", "[\"nowhere\"]"),
            };
            assert_eq!(take_off(&host, &config).await.unwrap(), code);
            let journal = host.journal_lines();
            assert!(!journal.iter().any(|line| line.contains("main process")), "{journal:?}");
        });
    }
}

#[test]
fn a_signal_stops_a_pre_start_that_hangs() {
    for (signal, code) in [(Signal::Term, TERMINATED), (Signal::Int, INTERRUPTED)] {
        fly(|host| async move {
            machine(&host, CONFIG);
            host.program("pre-start", Script::serves());
            let flight = take_off(&host, CONFIG);
            host.sleep(s(100)).await;
            host.send(signal);
            assert_eq!(flight.await.unwrap(), code);
            let journal = host.journal_lines();
            assert!(journal.contains(&"100.0 pre-start killed by drop".to_owned()), "{journal:?}");
            assert!(!journal.iter().any(|line| line.contains("main process")), "{journal:?}");
            assert!(host.running().is_empty());
        });
    }
}

#[test]
fn a_main_process_that_ignores_sigterm_is_killed_after_its_time() {
    fly(|host| async move {
        machine(&host, CONFIG);
        host.program("main", Script { lasts: None, code: 0, on_term: None });
        let flight = take_off(&host, CONFIG);
        host.sleep(s(15)).await;
        host.send(Signal::Term);
        assert_eq!(flight.await.unwrap(), KILLED);
        // One second of preStop, five of grace, one of postStop.
        assert_eq!(host.now(), s(15 + 1 + 5 + 1));
    });
}

#[test]
fn hooks_that_hang_and_a_consul_that_hangs_hold_up_no_stop() {
    fly(|host| async move {
        let agent = machine(&host, CONFIG);
        let config = format!("{CONFIG}{}", watch("edge", "1h"));
        for hook in ["follow", "pre-stop", "post-stop"] {
            host.program(hook, Script::serves());
        }
        let flight = take_off(&host, &config);
        agent.set_instances(&[1]);
        host.sleep(s(30)).await;
        assert!(host.running().contains(&"follow".to_owned()));
        agent.0.hangs.set(true);
        host.send(Signal::Term);
        assert_eq!(flight.await.unwrap(), 0);
        // Twice three seconds for Consul, twice a minute for the hooks.
        assert_eq!(host.now().as_secs(), 30 + 3 + 60 + 60 + 3);
        let journal = host.journal_lines();
        let cancelled = "30.0 onChange db failed: cancelled: the pilot stops".to_owned();
        assert!(journal.contains(&cancelled), "{journal:#?}");
        assert!(host.running().is_empty());
    });
}

#[test]
fn a_main_process_that_is_not_there_still_ends_in_order() {
    fly(|host| async move {
        let config = CONFIG.replace("[\"main\"]", "[\"nowhere\"]");
        machine(&host, &config);
        assert_eq!(take_off(&host, &config).await.unwrap(), NOT_STARTED);
        assert_eq!(host.journal_lines().last().unwrap(), "2.0 postStop succeeded");
    });
}
