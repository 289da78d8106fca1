//! What a plan may be, and what stays of it through files and draws.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn read(fault: &str) -> Result<Fault, String> {
    toml::from_str(&format!("at = \"10s\"\n{fault}")).map_err(|error| error.message().to_owned())
}

#[test]
fn only_instances_run_in_containers() {
    for kind in ["remove", "replace", "roll", "full-disk"] {
        for target in ["store", "clients", "client-1", "everything"] {
            let fault = match kind {
                "roll" => "every = \"1m\"",
                "full-disk" => "for = \"1m\"",
                _ => "",
            };
            let error = read(&format!("kind = \"{kind}\"\ntarget = \"{target}\"\n{fault}")).unwrap_err();
            assert_eq!(error, format!("a `{kind}` fault needs an instance for its `target`, not `{target}`"));
        }
    }
    for kind in ["kill", "power-loss", "stop", "remove", "replace"] {
        for target in ["leader", "replica", "replicas", "instances", "unhealthy", "mysql-2"] {
            read(&format!("kind = \"{kind}\"\ntarget = \"{target}\"")).unwrap();
        }
    }
}

#[test]
fn a_node_of_consul_comes_back() {
    for target in ["consul", "consul-leader", "consul-follower", "consul-2", "agent-1"] {
        for kind in ["kill", "power-loss", "stop", "lose-disk"] {
            let fault = format!("kind = \"{kind}\"\ntarget = \"{target}\"");
            assert_eq!(read(&fault).unwrap_err(), format!("a `{kind}` fault needs `for`"));
            let fault = format!("{fault}\nfor = \"30s\"");
            assert_eq!(read(&fault).unwrap().lasting, Lasting::For(Duration::from_secs(30)));
            let ever = read(&fault.replace("30s", "ever")).unwrap_err();
            assert_eq!(ever, format!("a `{kind}` fault of Consul ends: `for` says when the node comes back"));
        }
    }
    assert_eq!(
        read("kind = \"lose-disk\"\ntarget = \"leader\"\nfor = \"1s\"").unwrap_err(),
        "a `lose-disk` fault needs a node of Consul or the store for its `target`, not `leader`"
    );
}

#[test]
fn what_is_written_reads_back() {
    for fault in [
        "kind = \"errors\"\ntarget = \"consul\"\nfor = \"1m\"\nrate = 0.5\nstatus = 429",
        "kind = \"index-reset\"\ntarget = \"consul-2\"",
        "kind = \"kill\"\ntarget = \"consul-leader\"\nfor = \"30s\"",
    ] {
        let fault = read(fault).unwrap();
        let text = toml::to_string(&fault).unwrap();
        assert_eq!(toml::from_str::<Fault>(&text).unwrap(), fault, "{text}");
    }
}

#[test]
fn a_fault_that_could_do_nothing_is_refused() {
    for target in ["leader", "replica", "consul", "store", "mysql-1", "client-1"] {
        let own = format!("kind = \"cut\"\nfor = \"1s\"\ntarget = \"{target}\"\npeer = \"{target}\"");
        assert_eq!(read(&own).unwrap_err(), "a `cut` fault needs a `peer` that is not its own `target`");
    }
    read("kind = \"cut\"\nfor = \"1s\"\ntarget = \"instances\"\npeer = \"instances\"").unwrap();
    let lag = "kind = \"catalog-lag\"\nfor = \"1s\"\ndelay = \"1s\"\ntarget = \"consul\"";
    assert_eq!(
        read(lag).unwrap_err(),
        "a `catalog-lag` fault needs a `target` that asks Consul, not `consul`"
    );
}

#[test]
fn a_condition_to_live_with_counts_from_its_start() {
    let cut = read("kind = \"cut\"\nfor = \"ever\"\ntarget = \"leader\"\npeer = \"consul\"").unwrap();
    assert_eq!(FaultPlan { faults: vec![cut] }.quiet_at(), Duration::from_secs(10));
}

#[test]
fn whoever_is_no_container_comes_back() {
    for target in ["store", "clients", "client-1", "[\"store\", \"consul-1\"]"] {
        let target = if target.starts_with('[') { target.to_owned() } else { format!("\"{target}\"") };
        let fault = format!("kind = \"kill\"\ntarget = {target}");
        assert_eq!(read(&fault).unwrap_err(), "a `kill` fault needs `for`");
        read(&format!("{fault}\nfor = \"1s\"")).unwrap();
    }
    // A container is replaced, or comes back.
    read("kind = \"kill\"\ntarget = \"leader\"").unwrap();
    read("kind = \"power-loss\"\ntarget = \"leader\"\nfor = \"1s\"").unwrap();
    for target in ["[\"leader\", \"store\"]", "\"everything\""] {
        let mixed = read(&format!("kind = \"kill\"\ntarget = {target}\nfor = \"1s\"")).unwrap_err();
        assert!(mixed.starts_with("a `kill` fault needs either instances or other machines"), "{mixed}");
    }
    for fault in ["kind = \"kill\"\ntarget = \"leader\"", "kind = \"restart\"\ntarget = \"leader\""] {
        let name = if fault.contains("restart") { "restart" } else { "kill" };
        let ever = read(&format!("{fault}\nfor = \"ever\"")).unwrap_err();
        assert_eq!(ever, format!("a `{name}` fault ends: `for` says when"));
    }
}

#[test]
fn the_names_of_kinds_and_fields_are_complete() {
    for name in FaultKind::NAMES {
        let error = read(&format!("kind = \"{name}\"\ntarget = \"leader\"")).err().unwrap_or_default();
        assert!(!error.contains("is no kind of fault"), "{name}");
    }
    let unknown = read("kind = \"kil\"\ntarget = \"leader\"").unwrap_err();
    assert!(unknown.starts_with("`kil` is no kind of fault: one of kill, power-loss"), "{unknown}");
    let field = read("kind = \"kill\"\ntarget = \"leader\"\nuntil = \"1s\"").unwrap_err();
    for name in Fault::FIELDS {
        assert!(field.contains(&format!("`{name}`")), "{name}: {field}");
    }
}

#[test]
fn names_are_the_faults_own() {
    let plan: FaultPlan = toml::from_str(
        r#"
        fault = [
            { at = "1s", kind = "kill", target = "leader" },
            { at = "1s", kind = "kill", target = "leader", id = "mine" },
            { at = "1s", kind = "kill", target = ["leader", "oldest"] },
            { at = "1s", kind = "kill", target = "leader" },
            { at = "1s", kind = "kill", target = "leader", id = "kill leader 2" },
            { at = "1s", kind = "kill", target = "leader", id = "mine" },
        ]"#,
    )
    .unwrap();
    assert_eq!(
        plan.ids(),
        ["kill leader", "mine", "kill leader and oldest", "kill leader 3", "kill leader 2", "mine 2"]
    );
}

/// Any fault that can stand in a file, made from what a file may say.
fn any_fault() -> impl Strategy<Value = Fault> {
    let word = |words: &'static [&'static str]| proptest::sample::select(words);
    let targets = word(&[
        "\"leader\"",
        "\"primary\"",
        "\"replica\"",
        "\"most-advanced-replica\"",
        "\"anyone\"",
        "\"newest\"",
        "\"instances\"",
        "[\"mysql-1\", \"mysql-2\"]",
        "\"consul\"",
        "\"consul-leader\"",
        "\"store\"",
        "\"clients\"",
        "\"everything\"",
        "[\"store\", \"leader\"]",
    ]);
    let fields = (
        0_u64..600_000,
        0_u64..60_000,
        proptest::sample::select(&FaultKind::NAMES[..]),
        targets.clone(),
        targets,
        proptest::option::of(0_u64..600_000),
        (0.0_f64..1.0, 1_u64..100_000, word(&["", "id = \"a fault\""]), word(&COMMANDS)),
    );
    fields.prop_filter_map("no such fault", |(at, more, kind, target, peer, length, rest)| {
        let (rate, delay, id, command) = rest;
        let head = format!(
            "{id}\nat = \"{at}ms..{}ms\"\nkind = \"{kind}\"\ntarget = {target}\n{}",
            at + more,
            length.map_or(String::new(), |length| format!("for = \"{length}ms\"\n"))
        );
        // Whichever of these fields the kind takes.
        let fields = [
            format!("peer = {peer}"),
            format!("delay = \"{delay}ms\""),
            format!("rate = {rate}"),
            "status = 503".to_owned(),
            "step = \"-5s\"".to_owned(),
            format!("command = \"{command}\""),
            "wipe = true".to_owned(),
            "instances = 2".to_owned(),
            "every = \"30s\"".to_owned(),
        ];
        let sets = (0..1_u32 << fields.len()).filter(|set| set.count_ones() <= 2);
        sets.map(|set| {
            let chosen = fields.iter().enumerate().filter(|(index, _)| set & (1 << index) != 0);
            chosen.fold(head.clone(), |text, (_, field)| format!("{text}{field}\n"))
        })
        .find_map(|text| toml::from_str::<Fault>(&text).ok())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_plan_reads_back_from_both_its_languages(faults in proptest::collection::vec(any_fault(), 0..6)) {
        let plan = FaultPlan { faults };
        let text = toml::to_string(&plan).unwrap();
        prop_assert_eq!(&toml::from_str::<FaultPlan>(&text).unwrap(), &plan, "{}", text);
        let text = serde_json::to_string(&plan).unwrap();
        prop_assert_eq!(&serde_json::from_str::<FaultPlan>(&text).unwrap(), &plan, "{}", text);
        for fault in &plan.faults {
            prop_assert_eq!(fault.check(), Ok(()));
            prop_assert!(fault.to_string().starts_with(fault.kind.name()));
        }
    }

    #[test]
    fn a_fault_left_out_of_a_settled_plan_takes_nothing_with_it(
        faults in proptest::collection::vec(any_fault(), 1..8),
        seed: u64,
        out: proptest::sample::Index,
    ) {
        let settled = FaultPlan { faults }.draw(Seed(seed));
        prop_assert_eq!(&settled.draw(Seed(seed)), &settled, "drawn twice is drawn once");
        prop_assert!(settled.faults.is_sorted_by_key(|fault| fault.at.from));
        prop_assert!(settled.faults.iter().all(|fault| fault.at.from == fault.at.to));
        let mut less = settled.clone();
        less.faults.remove(out.index(less.faults.len()));
        prop_assert_eq!(less.draw(Seed(seed)), less.clone());
        prop_assert_eq!(less.ids(), less.faults.iter().map(|fault| fault.id.clone().unwrap()).collect::<Vec<_>>());
    }

    #[test]
    fn a_fault_left_out_of_a_scenario_moves_no_other(
        faults in proptest::collection::vec(any_fault(), 1..8),
        seed: u64,
        out: proptest::sample::Index,
    ) {
        let mut plan = FaultPlan { faults };
        // Of several like it each is known by its number; a name of its own is what a scenario would give it.
        for (number, fault) in plan.faults.iter_mut().enumerate() {
            fault.id = Some(format!("fault {number}"));
        }
        let mut all = plan.draw(Seed(seed)).faults;
        let gone = format!("fault {}", out.index(plan.faults.len()));
        let is_gone = |fault: &Fault| fault.id.as_ref() == Some(&gone);
        all.retain(|fault| !is_gone(fault));
        plan.faults.retain(|fault| !is_gone(fault));
        prop_assert_eq!(plan.draw(Seed(seed)).faults, all);
    }
}
