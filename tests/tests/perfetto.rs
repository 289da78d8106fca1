//! Traces, as Perfetto's own trace processor reads them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ironbird_reports::perfetto;
use ironbird_sim::record::{ConsulEvent, What};
use ironbird_sim::run::Run;
use ironbird_tests::perfetto::Perfetto;
use ironbird_tests::variant;
use serde_json::Value;

/// Slices with the thread and the process they are in.
const SLICES: &str = "slice s join thread_track on s.track_id = thread_track.id
    join thread t using (utid) join process p using (upid)";

fn opened(run: &Run) -> Option<Perfetto> {
    Perfetto::open(perfetto(&run.record, &run.violations))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

fn number(value: &Value) -> u64 {
    value.as_f64().map(|number| number as u64).unwrap_or_else(|| panic!("{value} is no number"))
}

/// The trace itself: by process and thread, how many slices and instants there are.
fn written(run: &Run) -> BTreeMap<(String, String), u64> {
    let trace: Value = serde_json::from_str(&perfetto(&run.record, &run.violations)).expect("JSON");
    let events = trace["traceEvents"].as_array().expect("a list");
    let named = |what: &str, id: &str| -> BTreeMap<u64, String> {
        let names = events.iter().filter(|event| event["name"] == what);
        names.map(|event| (number(&event[id]), text(&event["args"]["name"]).to_owned())).collect()
    };
    let (processes, threads) = (named("process_name", "pid"), named("thread_name", "tid"));
    let mut slices = BTreeMap::new();
    for event in events.iter().filter(|event| event["ph"] == "X" || event["s"] == "t") {
        let place = (processes[&number(&event["pid"])].clone(), threads[&number(&event["tid"])].clone());
        *slices.entry(place).or_default() += 1;
    }
    slices
}

#[test]
fn a_trace_processor_reads_every_slice_and_flow_and_drops_nothing() {
    let run = variant("leader-kill/published").fly(17);
    let Some(perfetto) = opened(&run) else { return };

    let lost = "select name, value from stats where severity in ('error', 'data_loss') and value > 0";
    assert_eq!(perfetto.query(lost, &["name", "value"]), Vec::<Vec<Value>>::new());

    let processes = perfetto.query("select name from process where name is not null", &["name"]);
    let processes: BTreeSet<_> = processes.iter().map(|row| text(&row[0])).collect();
    let hosts = run.record.events.iter().map(|event| event.host.as_str()).filter(|host| *host != "-");
    assert_eq!(processes, hosts.chain(["run"]).collect());

    let sql = format!(
        "select p.name process, t.name thread, count(*) slices, min(s.dur) shortest, max(s.depth) depth
         from {SLICES} group by p.upid, t.utid"
    );
    let rows = perfetto.query(&sql, &["process", "thread", "slices", "shortest", "depth"]);
    let read: BTreeMap<_, _> = rows
        .iter()
        .map(|row| ((text(&row[0]).to_owned(), text(&row[1]).to_owned()), number(&row[2])))
        .collect();
    assert_eq!(rows.len(), read.len(), "threads of one process have names of their own");
    assert_eq!(read, written(&run));
    for row in &rows {
        assert!(row[3].as_f64() >= Some(0.0), "a slice without an end: {row:?}");
        // Instants of one moment are stacked; whatever lasts is not.
        assert!(text(&row[1]) == "events" || row[4].as_f64() == Some(0.0), "slices overlap: {row:?}");
    }

    // An arrow a message, from one machine to another, forwards in time.
    let flows = "select count(*) n, min(b.ts - a.ts) least, sum(ta.upid = tb.upid) inside from flow f
        join slice a on f.slice_out = a.id join thread_track ka on a.track_id = ka.id join thread ta on ka.utid = ta.utid
        join slice b on f.slice_in = b.id join thread_track kb on b.track_id = kb.id join thread tb on kb.utid = tb.utid";
    let flows = perfetto.query(flows, &["n", "least", "inside"]);
    let requests = run.record.events.iter().filter(|event| matches!(event.what, What::Http { .. })).count();
    assert!(number(&flows[0][0]) > requests as u64, "{flows:?}");
    assert_eq!(flows[0][1..], [Value::from(0), Value::from(0)], "{flows:?}");

    if let Some(folder) = std::env::var_os("IRONBIRD_SCREENSHOTS") {
        let picture = STANDARD.decode(perfetto.screenshot()).expect("base 64");
        std::fs::write(Path::new(&folder).join("perfetto.png"), picture).expect("the folder is there");
    }
}

#[test]
fn a_trace_answers_what_a_person_asks_of_a_failure() {
    let run = variant("leader-kill/published").fly(17);
    let Some(perfetto) = opened(&run) else { return };

    let violations =
        perfetto.query("select ts, name from slice where category = 'violation'", &["ts", "name"]);
    let told: Vec<_> =
        violations.iter().map(|row| (number(&row[0]) / 1_000, text(&row[1]).to_owned())).collect();
    let mut expected: Vec<_> = run
        .violations
        .iter()
        .map(|one| (one.at.as_micros() as u64, format!("{}: {}", one.property, one.detail)))
        .collect();
    expected.sort();
    assert_eq!(told, expected);

    // Who took writes and followed nobody when a property broke: two.
    let sql = format!(
        "select distinct p.name name from {SLICES}, slice v where t.name = 'database' and s.category in ('primary', 'stuck-writable')
         and v.category = 'violation' and s.ts <= v.ts and v.ts < s.ts + s.dur"
    );
    let primaries = perfetto.query(&sql, &["name"]);
    assert!(primaries.len() >= 2, "{primaries:?}");

    // Who held the lock, in turn.
    let sql = format!(
        "select s.name name from {SLICES} where t.name like 'lock %' and s.category = 'held' order by s.ts"
    );
    let held = perfetto.query(&sql, &["name"]);
    let taken = run.record.events.iter();
    let taken =
        taken.filter(|event| matches!(event.what, What::Consul(ConsulEvent::LockAcquired { .. }))).count();
    assert_eq!(held.len(), taken, "{held:?}");
}
