//! What the hardened cluster promises, under faults that the stories do not tell.

use std::collections::BTreeSet;
use std::time::Duration;

use ironbird_sim::plan::{Fault, FaultKind, Lasting, Span, Target};
use ironbird_sim::properties::Property;
use ironbird_sim::record::What;
use ironbird_sim::run::run;
use ironbird_sim::seed::Seed;
use ironbird_sim::spec::Spec;

/// A cluster of three that has long been whole when the first fault begins.
fn spec(faults: Vec<Fault>) -> Spec {
    let mut spec = Spec { faults, ..Spec::default() };
    spec.cluster.start_interval = Duration::from_secs(60);
    spec
}

fn fault(at: (u64, u64), target: Target, kind: FaultKind, lasting: Lasting) -> Fault {
    let [from, to] = [at.0, at.1].map(Duration::from_secs);
    Fault::new(Span { from, to }, kind, target, lasting)
}

fn seconds(seconds: u64) -> Lasting {
    Lasting::For(Duration::from_secs(seconds))
}

/// The properties that some seed violates.
fn violated(spec: &Spec, seeds: std::ops::Range<u64>) -> BTreeSet<Property> {
    seeds
        .flat_map(|seed| run(spec, "test", Seed(seed), &spec.plan().draw(Seed(seed))).violations)
        .map(|violation| violation.property)
        .collect()
}

#[test]
fn a_primary_that_cannot_reach_consul_stops_taking_writes_before_another_one_starts() {
    let cut = FaultKind::Cut { peer: Target::Consul.into() };
    let spec = spec(vec![fault((180, 200), Target::Leader, cut, seconds(300))]);
    assert_eq!(violated(&spec, 16..32), BTreeSet::new());
}

#[test]
fn a_container_ends_once_and_is_replaced_once() {
    let kill = |at, target| fault((at, at), target, FaultKind::Kill, Lasting::Moment);
    let spec = spec(vec![
        fault((90, 90), Target::Instances, FaultKind::PowerLoss, Lasting::Moment),
        kill(200, Target::Host("mysql-7".to_owned())),
        kill(201, Target::Host("mysql-7".to_owned())),
        kill(260, Target::Instances),
    ]);
    let record = run(&spec, "test", Seed(0), &spec.plan().draw(Seed(0))).record;
    let mut running = BTreeSet::new();
    for event in &record.events {
        match &event.what {
            What::Launched { .. } => assert!(running.insert(&event.host), "{} runs already", event.host),
            What::Ended { .. } => assert!(running.remove(&event.host), "{} does not run", event.host),
            _ => {}
        }
        assert!(running.len() <= spec.cluster.instances, "{} run at {:?}", running.len(), event.at);
    }
    assert_eq!(running.len(), spec.cluster.instances);
}
