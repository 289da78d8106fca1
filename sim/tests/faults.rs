//! Every kind of fault does what it says, as the record shows it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ironbird_agent::journal::Entry;
use ironbird_sim::plan::{COMMANDS, FaultKind, FaultPlan, Target};
use ironbird_sim::record::{ConsulEvent, Event, MysqlEvent, Record, What};
use ironbird_sim::run::run;
use ironbird_sim::seed::Seed;
use ironbird_sim::spec::{Handlers, Spec};

/// A cluster of three that is whole at 120 s, under the faults of a plan in TOML.
fn fly(plan: &str) -> Record {
    fly_with(|_| {}, plan)
}

fn fly_with(change: impl FnOnce(&mut Spec), plan: &str) -> Record {
    let mut spec = Spec::default();
    spec.cluster.start_interval = Duration::from_secs(20);
    spec.cluster.session_ttl = Duration::from_secs(20);
    change(&mut spec);
    let plan: FaultPlan = toml::from_str(plan).unwrap();
    run(&spec, "test", Seed(3), &plan.draw(Seed(3))).record
}

fn events(record: &Record, from: u64, to: u64) -> impl Iterator<Item = &Event> {
    let [from, to] = [from, to].map(Duration::from_secs);
    record.events.iter().filter(move |event| from <= event.at && event.at < to)
}

const END: u64 = 1 << 40;

/// Where the fault of a number began.
fn hit(record: &Record, fault: usize) -> Vec<&str> {
    let began = record
        .events
        .iter()
        .filter(|event| matches!(&event.what, What::FaultBegan { number, .. } if *number == fault));
    began.map(|event| event.host.as_str()).collect()
}

fn when(record: &Record, on: &str, is: impl Fn(&What) -> bool) -> Vec<u64> {
    let own = record.events.iter().filter(|event| event.host == on && is(&event.what));
    own.map(|event| u64::try_from(event.at.as_millis()).unwrap()).collect()
}

fn running(record: &Record) -> BTreeSet<&str> {
    let mut running = BTreeSet::new();
    for event in &record.events {
        match &event.what {
            What::Launched { .. } => assert!(running.insert(event.host.as_str()), "{} runs", event.host),
            What::Ended { .. } => assert!(running.remove(event.host.as_str()), "{} does not", event.host),
            _ => {}
        }
    }
    running
}

#[test]
fn a_container_that_is_restarted_or_replaced_in_place_keeps_its_machine() {
    for (fault, at, kept) in [
        ("kind = \"restart\"\nfor = \"30s\"", 180_000, true),
        ("kind = \"restart\"\nfor = \"30s\"\nwipe = true", 180_000, false),
        ("kind = \"kill\"\nfor = \"30s\"", 180_000, true),
        ("kind = \"power-loss\"\nfor = \"30s\"", 180_000, true),
        ("kind = \"replace\"", 0, true),
        ("kind = \"replace\"\nwipe = true", 0, false),
    ] {
        let record = fly(&format!("[[fault]]\nat = \"150s\"\ntarget = \"leader\"\n{fault}"));
        let [host] = hit(&record, 0)[..] else { panic!("{fault}: one leader") };
        assert_eq!(running(&record), BTreeSet::from(["mysql-1", "mysql-2", "mysql-3"]), "{fault}");
        let launches = when(&record, host, |what| matches!(what, What::Launched { .. }));
        assert_eq!(launches.len(), 2, "{fault}");
        if at > 0 {
            assert_eq!(launches[1], at, "{fault}");
        } else {
            assert!((155_000..170_000).contains(&launches[1]), "{fault}: {launches:?}");
        }
        let is_set_up = |what: &What| matches!(what, What::Mysql(MysqlEvent::DataDirectory { .. }));
        let again = when(&record, host, is_set_up).iter().any(|at| *at > launches[1]);
        assert_eq!(!again, kept, "{fault}");
    }
}

#[test]
fn what_has_not_stopped_when_a_restart_is_over_is_killed() {
    let record = fly("[[fault]]\nat = \"150s\"\ntarget = \"mysql-2\"\nkind = \"restart\"\nfor = \"30s\"\n\
         [[fault]]\nat = \"149s\"\ntarget = \"mysql-2\"\nkind = \"pause\"\nfor = \"60s\"");
    let how = |what: &What| matches!(what, What::Ended { how } if how.starts_with("killed"));
    assert_eq!(when(&record, "mysql-2", how), [180_000]);
    assert_eq!(when(&record, "mysql-2", |what| matches!(what, What::Launched { .. }))[1..], [180_000]);
    // The machine stands still, whatever is started on it.
    let speaks = |what: &What| matches!(what, What::Agent(_));
    assert!(when(&record, "mysql-2", speaks).iter().all(|at| !(149_001..209_000).contains(at)));
}

#[test]
fn the_scheduler_keeps_as_many_as_it_is_told() {
    let record = fly("[[fault]]\nat = \"150s\"\ntarget = \"leader\"\nkind = \"scale\"\ninstances = 1");
    assert_eq!(record.header.instances, 1);
    assert_eq!(running(&record).len(), 1);
    let leader = fly("[[fault]]\nat = \"150s\"\ntarget = \"leader\"\nkind = \"remove\"");
    assert!(!running(&record).contains(hit(&leader, 0)[0]), "the leader went first");
    let record = fly("[[fault]]\nat = \"150s\"\ntarget = \"newest\"\nkind = \"scale\"\ninstances = 5\n\
         [[fault]]\nat = \"200s\"\ntarget = \"oldest\"\nkind = \"kill\"");
    assert_eq!(record.header.instances, 5);
    assert_eq!(running(&record).len(), 5);
    let gone = fly("[[fault]]\nat = \"150s\"\ntarget = \"instances\"\nkind = \"kill\"\n\
         [[fault]]\nat = \"151s\"\ntarget = \"anyone\"\nkind = \"scale\"\ninstances = 2");
    assert_eq!(running(&gone).len(), 2, "what is on its way counts");
}

#[test]
fn a_rolling_upgrade_ends_one_at_a_time_the_oldest_first() {
    let record = fly("[[fault]]\nat = \"150s\"\ntarget = \"instances\"\nkind = \"roll\"\nevery = \"120s\"");
    assert_eq!(hit(&record, 0), ["mysql-1", "mysql-2", "mysql-3"]);
    let mut alive = 0;
    for event in events(&record, 0, END) {
        match &event.what {
            What::Launched { .. } => alive += 1,
            What::Ended { .. } => alive -= 1,
            _ => {}
        }
        assert!(event.at < Duration::from_secs(150) || alive >= 2, "{:?}", event.at);
    }
    assert!(running(&record).is_disjoint(&BTreeSet::from(["mysql-1", "mysql-2", "mysql-3"])));
    assert_eq!(running(&record).len(), 3);
}

#[test]
fn attrition_ends_everyone_within_its_time() {
    let record = fly("[[fault]]\nat = \"150s\"\nfor = \"5m\"\ntarget = \"instances\"\nkind = \"attrition\"");
    for host in ["mysql-1", "mysql-2", "mysql-3"] {
        let ended = when(&record, host, |what| matches!(what, What::Ended { .. }));
        assert!(matches!(ended[..], [at] if (150_000..=450_000).contains(&at)), "{host}: {ended:?}");
    }
    assert_eq!(running(&record).len(), 3);
}

#[test]
fn a_pause_of_all_instances_is_one_of_those_to_come_too() {
    let record = fly("[[fault]]\nat = \"150s\"\ntarget = \"leader\"\nkind = \"kill\"\n\
         [[fault]]\nat = \"151s\"\nfor = \"2m\"\ntarget = \"instances\"\nkind = \"pause\"");
    let launched = events(&record, 151, 271).filter(|event| matches!(event.what, What::Launched { .. }));
    assert_eq!(launched.count(), 1, "the scheduler does its work");
    assert!(events(&record, 152, 271).all(|event| !matches!(event.what, What::Agent(_) | What::Mysql(_))));
    assert_eq!(running(&record).len(), 3);
}

#[test]
fn clients_and_store_come_back_and_no_id_is_used_twice() {
    let record = fly_with(
        |spec| spec.workload.clients = 2,
        "[[fault]]\nat = \"150s\"\nfor = \"30s\"\ntarget = \"clients\"\nkind = \"kill\"\n\
         [[fault]]\nat = \"200s\"\nfor = \"30s\"\ntarget = \"store\"\nkind = \"kill\"\n\
         [[fault]]\nat = \"210s\"\ntarget = \"mysql-1\"\nkind = \"replace\"\nwipe = true",
    );
    let is_write = |event: &&Event| matches!(event.what, What::Write { .. });
    assert_eq!(events(&record, 150, 180).filter(is_write).count(), 0);
    let mut ids = BTreeSet::new();
    for event in &record.events {
        if let What::Write { id, .. } = event.what {
            assert!(ids.insert(id), "{id} twice");
        }
    }
    assert!(events(&record, 180, END).filter(is_write).count() > 10);
    // What the store held it still holds.
    let got = events(&record, 230, END)
        .filter(|event| matches!(&event.what, What::Store { method, status: 200, .. } if method == "GET"));
    assert!(got.count() > 0);
}

#[test]
fn a_store_fails_refuses_and_hangs() {
    let with = |fault: &str| {
        fly(&format!(
            "[[fault]]\nat = \"0s\"\nfor = \"100s\"\ntarget = \"store\"\n{fault}\n\
             [[fault]]\nat = \"160s\"\ntarget = \"replica\"\nkind = \"kill\""
        ))
    };
    let statuses = |record: &Record, from, to| -> BTreeMap<u16, usize> {
        let mut statuses = BTreeMap::new();
        for event in events(record, from, to) {
            if let What::Store { status, .. } = event.what {
                *statuses.entry(status).or_default() += 1;
            }
        }
        statuses
    };
    let record = with("kind = \"errors\"\nstatus = 503\nrate = 1.0");
    assert_eq!(statuses(&record, 0, 100).into_keys().collect::<Vec<_>>(), [503]);
    for kind in ["refuse", "hang"] {
        let record = with(&format!("kind = \"{kind}\""));
        assert_eq!(statuses(&record, 0, 100), BTreeMap::new(), "{kind}");
        assert!(statuses(&record, 100, END).contains_key(&200), "{kind}");
    }
}

#[test]
fn a_lag_of_the_catalog_outlives_the_node_that_keeps_it() {
    let faults = |lag: &str| {
        format!(
            "{lag}\n[[fault]]\nat = \"160s\"\nfor = \"5s\"\ntarget = \"consul\"\nkind = \"kill\"\n\
             [[fault]]\nat = \"200s\"\ntarget = \"leader\"\nkind = \"kill\""
        )
    };
    let lag = "[[fault]]\nat = \"150s\"\nfor = \"ever\"\ntarget = \"clients\"\nkind = \"catalog-lag\"\ndelay = \"20m\"";
    let acknowledged = |record: &Record| {
        let is = |event: &&Event| format!("{:?}", event.what).contains("Acknowledged");
        events(record, 202, END).filter(is).count()
    };
    assert!(acknowledged(&fly(&faults(""))) > 0);
    assert_eq!(acknowledged(&fly(&faults(lag))), 0, "clients are sent to the old primary for ever");
}

#[test]
fn a_stalled_agent_tells_the_catalog_nothing_and_then_everything() {
    let record =
        fly("[[fault]]\nat = \"150s\"\nfor = \"30s\"\ntarget = \"consul\"\nkind = \"stall-anti-entropy\"\n\
         [[fault]]\nat = \"151s\"\ntarget = \"replica\"\nkind = \"stop\"");
    let is_catalogs = |event: &&Event| {
        matches!(
            event.what,
            What::Consul(
                ConsulEvent::ServiceRegistered { .. }
                    | ConsulEvent::ServiceDeregistered { .. }
                    | ConsulEvent::CheckStatus { .. }
            )
        )
    };
    assert_eq!(events(&record, 150, 180).filter(is_catalogs).count(), 0);
    assert!(events(&record, 180, 181).filter(is_catalogs).count() > 0);
}

#[test]
fn a_store_that_refused_serves_again_though_a_dead_client_has_not_noticed() {
    let record = fly("[[fault]]\nat = \"150s\"\ntarget = \"leader\"\nkind = \"power-loss\"\n\
         [[fault]]\nat = \"170s\"\nfor = \"20s\"\ntarget = \"store\"\nkind = \"refuse\"\n\
         [[fault]]\nat = \"230s\"\ntarget = \"replica\"\nkind = \"kill\"");
    let given = |what: &What| matches!(what, What::Store { method, status: 200, .. } if method == "GET");
    let at = when(&record, "store", given);
    assert!(at.iter().any(|at| *at > 230_000), "{at:?}");
}

#[test]
fn while_a_node_is_in_maintenance_no_service_on_it_passes() {
    // Published replicas watch the primary's service.
    let published = |spec: &mut Spec| spec.cluster.handlers = Handlers::Published;
    let plan = "[[fault]]\nat = \"150s\"\nfor = \"30s\"\ntarget = \"consul\"\nkind = \"maintenance\"";
    let record = fly_with(published, plan);
    let watched = |from: u64, to: u64| {
        let seen = events(&record, from, to).filter_map(|event| match &event.what {
            What::Agent(Entry::Changed { name, instances }) if name == "mysql-primary" => {
                Some(instances.len())
            }
            _ => None,
        });
        seen.collect::<Vec<_>>()
    };
    assert!(watched(150, 170).contains(&0), "whoever asks for what passes is told of nobody");
    assert!(watched(180, 200).contains(&1), "and of somebody again");
}

#[test]
fn consul_without_a_leader_says_so_and_is_back_at_the_end() {
    let record = fly("[[fault]]\nat = \"150s\"\nfor = \"90s\"\ntarget = \"consul\"\nkind = \"leaderless\"");
    let deposed = |what: &What| matches!(what, What::Consul(ConsulEvent::LeaderDeposed { .. }));
    let back = |what: &What| matches!(what, What::Consul(ConsulEvent::LeaderEstablished { .. }));
    assert_eq!((when(&record, "consul", deposed).len(), when(&record, "consul", back).len()), (1, 1));
    let ended = |event: &&Event| matches!(&event.what, What::Consul(ConsulEvent::SessionInvalidated { why, .. }) if why == "expired");
    assert_eq!(events(&record, 150, 240).filter(ended).count(), 0, "nobody expires anything");
}

#[test]
fn a_server_that_led_when_it_ended_is_said_to_lead_no_more() {
    for kind in ["kill", "power-loss", "lose-disk"] {
        let plan =
            format!("[[fault]]\nat = \"150s\"\nfor = \"60s\"\ntarget = \"consul-leader\"\nkind = \"{kind}\"");
        let record = fly_with(|spec| spec.consul.servers = 3, &plan);
        let led = hit(&record, 0)[0];
        let deposed = record.events.iter().find_map(|event| match &event.what {
            What::Consul(ConsulEvent::LeaderDeposed { server }) => {
                Some((event.at.as_secs(), server.as_str()))
            }
            _ => None,
        });
        assert_eq!(deposed, Some((150, led)), "{kind}");
    }
    // One that is told to leave leads until it is stopped, where nobody can take over.
    let record = fly("[[fault]]\nat = \"150s\"\nfor = \"60s\"\ntarget = \"consul\"\nkind = \"stop\"");
    let deposed = |what: &What| matches!(what, What::Consul(ConsulEvent::LeaderDeposed { .. }));
    assert_eq!(when(&record, "consul", deposed), [155_000]);
}

#[test]
fn a_fast_clock_makes_everything_on_its_machine_happen_sooner() {
    let renewals = |rate: &str| {
        let record = fly(&format!(
            "[[fault]]\nat = \"150s\"\nfor = \"100s\"\ntarget = \"instances\"\nkind = \"clock-rate\"\nrate = {rate}"
        ));
        let renewed = |what: &What| matches!(what, What::Consul(ConsulEvent::SessionRenewed { .. }));
        let all = when(&record, "consul", renewed);
        all.into_iter().filter(|at| (150_000..250_000).contains(at)).count()
    };
    let (right, fast, slow) = (renewals("1.0"), renewals("2.0"), renewals("0.5"));
    assert!((1.8..=2.2).contains(&(fast as f64 / right as f64)), "{fast} and {right}");
    assert!((1.8..=2.2).contains(&(right as f64 / slow as f64)), "{right} and {slow}");
}

#[test]
fn a_step_of_the_wall_clock_is_nothing_to_whoever_waits_by_the_other() {
    let step = |step: &str| {
        let fault = "[[fault]]\nat = \"150s\"\nfor = \"20s\"\ntarget = \"everything\"\nkind = \"clock-step\"";
        fly(&format!("{fault}\nstep = \"{step}\""))
    };
    let others = |record: Record| -> Vec<(Duration, What)> {
        let is_fault = |what: &What| matches!(what, What::FaultBegan { .. } | What::FaultEnded { .. });
        record
            .events
            .into_iter()
            .filter(|event| !is_fault(&event.what))
            .map(|event| (event.at, event.what))
            .collect()
    };
    assert_eq!(others(step("-1h")), others(step("-1ms")));
}

#[test]
fn a_swizzle_parts_in_its_first_half_and_joins_in_its_second() {
    let record = fly(
        "[[fault]]\nat = \"150s\"\nfor = \"60s\"\ntarget = \"everything\"\npeer = \"everything\"\nkind = \"swizzle\"",
    );
    let (mut parted, mut joined) = (BTreeSet::new(), BTreeSet::new());
    for event in &record.events {
        let seconds = event.at.as_secs_f64();
        match event.what {
            What::FaultBegan { .. } => {
                assert!((150.0..=180.0).contains(&seconds) && parted.insert(&event.host));
            }
            What::FaultEnded { .. } => {
                assert!((180.0..=210.0).contains(&seconds) && joined.insert(&event.host));
            }
            _ => {}
        }
    }
    assert!(!parted.is_empty());
    assert_eq!(parted, joined);
}

/// The object that says that the cluster was set up once; it comes before any snapshot.
const MARK: &str = "mysql-cluster";

#[test]
fn commands_are_slow_fail_and_hang() {
    let first_backup = |fault: &str| {
        let record = fly(fault);
        let put = record
            .events
            .iter()
            .find(|event| matches!(&event.what, What::Store { method, object, status: 200 } if method == "PUT" && object != MARK));
        put.map_or(u64::MAX, |event| event.at.as_secs())
    };
    let usual = first_backup("");
    let ail = |kind: &str| {
        first_backup(&format!(
            "[[fault]]\nat = \"0s\"\nfor = \"100s\"\ntarget = \"instances\"\ncommand = \"innobackupex\"\n{kind}"
        ))
    };
    assert!(usual < 60, "{usual}");
    assert!(ail("kind = \"slow-command\"\ndelay = \"30s\"") >= usual + 30);
    assert!(ail("kind = \"fail-command\"") >= 100);
    assert!(ail("kind = \"hang-command\"") > usual);
}

#[test]
fn a_program_is_killed_and_not_its_container() {
    let record =
        fly("[[fault]]\nat = \"150s\"\ntarget = \"replica\"\nkind = \"kill-command\"\ncommand = \"mysqld\"");
    let [host] = hit(&record, 0)[..] else { panic!("one replica") };
    let up = |what: &What| matches!(what, What::Mysql(MysqlEvent::Up { .. }));
    let ended = when(&record, host, |what| matches!(what, What::Ended { .. }));
    let again = when(&record, host, up).into_iter().any(|at| at > 150_000);
    assert!(again || ended.iter().any(|at| *at > 150_000), "somebody notices");
}

#[test]
fn roles_are_those_of_the_moment() {
    let pause = |target: &str| {
        fly(&format!("[[fault]]\nat = \"150s\"\nfor = \"1s\"\ntarget = \"{target}\"\nkind = \"pause\""))
    };
    let [leader, primary, oldest, newest, advanced] =
        ["leader", "primary", "oldest", "newest", "most-advanced-replica"].map(|target| {
            let record = pause(target);
            let hosts = hit(&record, 0);
            assert_eq!(hosts.len(), 1, "{target}: {hosts:?}");
            hosts[0].to_owned()
        });
    assert_eq!(primary, leader);
    assert_eq!([oldest.as_str(), newest.as_str()], ["mysql-1", "mysql-3"]);
    assert_ne!(advanced, leader);
    // Nobody has a role before there is anybody.
    let record = fly("[[fault]]\nat = \"0s\"\nfor = \"1s\"\ntarget = \"primary\"\nkind = \"pause\"");
    assert_eq!(hit(&record, 0), ["-"]);
}

#[test]
fn the_guide_names_every_kind_role_and_command() {
    let guide = include_str!("../../docs/faults.md");
    let words = FaultKind::NAMES.into_iter().chain(Target::roles()).chain(COMMANDS);
    for word in words {
        assert!(guide.contains(&format!("`{word}`")), "{word}");
    }
}
