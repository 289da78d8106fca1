//! Watches: when their hook runs, and when not.

use super::*;

fn changes(host: &MemoryHost) -> Vec<String> {
    host.journal_lines()
        .into_iter()
        .filter(|line| line.contains("db") && !line.contains("WATCH") || line.contains("INSTANCES"))
        .collect()
}

#[test]
fn an_edge_fires_once_a_change_and_never_again() {
    fly(|host| async move {
        let config = format!("{CONFIG}{}", watch("edge", "1m")).replace("[\"pre-start\"]", "[\"post-stop\"]");
        let agent = machine(&host, &config);
        host.program("follow", Script::ends(s(1), 1));
        let flight = take_off(&host, &config);
        agent.set_instances(&[2, 1]);
        host.sleep(s(40)).await;
        // Gone and back between two polls: nobody saw it.
        agent.set_instances(&[]);
        agent.set_instances(&[1, 2]);
        host.sleep(s(20)).await;
        agent.set_instances(&[]);
        host.sleep(s(7)).await;
        assert_eq!(
            changes(&host),
            [
                "8.0 db changed: db-1 10.0.0.1:3306, db-2 10.0.0.2:3306",
                "8.0 onChange db started",
                "8.0 follow got IRONBIRD_INSTANCES=10.0.0.1:3306,10.0.0.2:3306",
                "9.0 onChange db failed: exit code 1",
                "64.0 db changed: no passing instance",
                "64.0 onChange db started",
                "64.0 follow got IRONBIRD_INSTANCES=",
                "65.0 onChange db failed: exit code 1",
            ]
            .map(str::to_owned)
        );
        flight.abort();
    });
}

#[test]
fn a_level_is_handled_at_once_and_until_it_works() {
    fly(|host| async move {
        let config = format!("{CONFIG}{}", watch("level", "1m"));
        let agent = machine(&host, &config);
        agent.set_instances(&[1]);
        host.program("follow", Script::ends(s(1), 1));
        let flight = take_off(&host, &config);
        host.sleep(s(10)).await;
        let failures = |lines: &[String]| lines.iter().filter(|line| line.contains("failed")).count();
        assert!(failures(&changes(&host)) >= 3, "{:#?}", changes(&host));
        host.program("follow", Script::ends(s(1), 0));
        host.sleep(s(20)).await;
        let handled = changes(&host);
        assert_eq!(handled.last().unwrap().split_once(' ').unwrap().1, "onChange db succeeded");
        host.sleep(s(20)).await;
        assert_eq!(changes(&host), handled, "what was handled is left alone");
        agent.set_instances(&[1]);
        host.sleep(s(1)).await;
        assert_eq!(changes(&host), handled, "an index that moved is no change");

        agent.set_instances(&[2]);
        host.sleep(s(2)).await;
        assert_eq!(
            changes(&host)[handled.len()..],
            [
                "51.0 db changed: db-2 10.0.0.2:3306",
                "51.0 onChange db started",
                "51.0 follow got IRONBIRD_INSTANCES=10.0.0.2:3306",
                "52.0 onChange db succeeded",
            ]
        );
        flight.abort();
    });
}

#[test]
fn a_reload_forgets_neither_what_a_watch_has_seen_nor_what_pre_start_was_told() {
    fly(|host| async move {
        let config = format!("{CONFIG}{}", watch("edge", "1m"));
        let agent = machine(&host, &config);
        host.program("pre-start", Script::ends(s(20), 0));
        host.program("other-main", Script::serves());
        let flight = take_off(&host, &config);
        agent.set_instances(&[1]);
        host.sleep(s(10)).await;
        // Read while preStart runs: in force when the main process starts.
        host.file("pilot.toml", &config.replace("[\"main\"]", "[\"other-main\"]"));
        host.send(Signal::Hup);
        host.sleep(s(20)).await;
        assert!(host.running().contains(&"other-main".to_owned()), "{:?}", host.running());
        assert_eq!(changes(&host).first().unwrap(), "27.0 db changed: db-1 10.0.0.1:3306");
        let before = changes(&host);
        host.send(Signal::Hup);
        host.sleep(s(20)).await;
        assert_eq!(changes(&host), before, "what was seen is no change after a reload");
        flight.abort();
    });
}
