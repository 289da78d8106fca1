//! The pages, as a person uses them: in a real browser, from a disk.
//!
//! With `IRONBIRD_SCREENSHOTS=FOLDER` every page is also left there as a picture, at three sizes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ironbird_agent::journal::{Entry, Level};
use ironbird_reports::html::{Extras, RunPage, compare, file_name, heat, run, suite};
use ironbird_reports::map::Section;
use ironbird_reports::suite::{FailureReport, Outcome, RunRow, SuiteReport, VariantReport};
use ironbird_sim::record::{Event, Record, What};
use ironbird_sim::recovery::{Example, Instance, Lock, Passage, RecoveryMap, Row, View};
use ironbird_tests::browser::Browser;
use ironbird_tests::variants;
use serde_json::Value;

/// What a machine that is busy with other things may need for what takes a good one less than a third of
/// it: 2 s to open, a step that nobody sees, 5 s for a suite.
const OPEN_MS: f64 = 6_000.0;
const STEP_MS: f64 = 50.0;
const SUITE_MS: f64 = 15_000.0;

const WIDE: (u32, u32) = (1440, 1000);
const SIZES: [(&str, (u32, u32)); 3] = [("wide", WIDE), ("middle", (1000, 800)), ("narrow", (500, 900))];

/// A run that fails as published.
fn failing() -> ironbird_sim::run::Run {
    let variant = variants().into_iter().find(|variant| variant.name == "leader-kill/published");
    variant.expect("a scenario of the program").fly(17)
}

fn page(run_of: &ironbird_sim::run::Run, folder: &Path) -> PathBuf {
    let html = run(&RunPage {
        record: &run_of.record,
        violations: &run_of.violations,
        replay: "ironbird replay leader-kill/published --seed 17",
        home: Some("index.html"),
        skipped: 0,
    });
    written(folder, &file_name(&run_of.record), &html)
}

fn written(folder: &Path, name: &str, html: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, html).expect("a temporary folder takes a page");
    path
}

fn assert_calm(browser: &Browser) {
    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "{complaints:#?}");
    let ready = browser.run("return document.documentElement.dataset.ready");
    assert!(ready.is_string(), "the page's script did not come to its end");
}

/// Everything that can be pressed or looked at has a name for whoever hears the page, and ids are unique.
fn assert_speaks(browser: &Browser) {
    let mute = browser.run(
        "const named = (e) => (e.getAttribute('aria-label') || e.getAttribute('aria-labelledby') || e.title
           || (e.tagName !== 'TABLE' && e.tagName !== 'svg' && e.textContent)
           || (e.labels && [...e.labels].map((l) => l.textContent).join('')) || '').trim();
         const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);
         return [...document.querySelectorAll('button, a[href], input, summary, [role=img], [role=grid], [role=listbox], section[aria-label], table, svg')]
           .filter((e) => !e.closest('[aria-hidden=true]') && !named(e)).map((e) => e.outerHTML.slice(0, 200))
           .concat(ids.filter((id, index) => ids.indexOf(id) !== index).map((id) => `twice: ${id}`),
             document.querySelectorAll('h1').length ? [] : ['no heading'], document.documentElement.lang ? [] : ['no language'])",
    );
    assert_eq!(mute, serde_json::json!([]));
}

fn text(browser: &Browser, id: &str) -> String {
    let text = browser.run(&format!("return document.getElementById('{id}').textContent"));
    text.as_str().unwrap_or_default().to_owned()
}

fn pictured(browser: &Browser, name: &str) {
    if let Some(folder) = std::env::var_os("IRONBIRD_SCREENSHOTS") {
        let picture = STANDARD.decode(browser.screenshot()).expect("base 64");
        fs::write(Path::new(&folder).join(format!("{name}.png")), picture).expect("the folder is there");
    }
}

#[test]
fn the_page_of_a_run_is_searched_stepped_through_and_linked_into() {
    let Some(browser) = Browser::start() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let run = failing();
    let file = page(&run, folder.path());
    for (name, size) in SIZES {
        browser.open(&file, "", size);
        assert_calm(&browser);
        pictured(&browser, &format!("run-{name}"));
        let over = browser.run("return document.documentElement.scrollWidth > innerWidth + 1");
        assert_eq!(over, Value::Bool(false), "the page is wider than a {name} window");
    }

    assert_speaks(&browser);

    // What led to the first violation stands below it, and leads there.
    assert!(text(&browser, "violations").contains("events that decide it"));
    browser.run("document.querySelector('.decisive a').click()");
    assert!(text(&browser, "spoken").starts_with("Event "));

    // A deep link lands.
    let violation = &run.violations[0];
    browser.open(&file, &format!("e{}", violation.step), WIDE);
    assert_calm(&browser);
    assert!(text(&browser, "detail").contains(&violation.detail), "{}", text(&browser, "detail"));
    assert!(text(&browser, "spoken").contains(&format!("Event {},", violation.step)));
    pictured(&browser, "run-link");

    // Keys step, and the address follows.
    browser.press("\u{e014}");
    assert_eq!(browser.run("return location.hash"), format!("#e{}", violation.step + 1));
    browser.press("\u{e012}\u{e012}");
    assert_eq!(browser.run("return location.hash"), format!("#e{}", violation.step - 1));
    browser.press("v");
    assert_eq!(browser.run("return location.hash"), format!("#e{}", violation.step));

    // Search finds, and says how much.
    browser.press("/");
    browser.press("session-created");
    browser.run("return new Promise((done) => setTimeout(done, 300))");
    let created = run.record.events.iter().filter(|event| {
        serde_json::to_string(&event.what).is_ok_and(|what| what.contains("session-created"))
    });
    let shown = text(&browser, "shown");
    assert!(shown.starts_with(&format!("{} of ", created.count())), "{shown}");
    // Enter goes to what was found.
    browser.press("\u{e007}");
    assert!(text(&browser, "detail").contains("created"), "{}", text(&browser, "detail"));

    // A machine is taken out of sight.
    browser.open(&file, "", WIDE);
    browser.run("document.querySelector('#hosts button').click()");
    assert!(text(&browser, "shown").contains(" of "));
    assert_calm(&browser);
}

#[test]
fn what_a_record_says_is_shown_and_not_obeyed() {
    let Some(browser) = Browser::start() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let hostile = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">\u{2028}";
    let mut run = failing();
    run.record.header.scenario = hostile.to_owned();
    for event in run.record.events.iter_mut().step_by(7) {
        event.host = hostile.to_owned();
        event.what = What::Agent(Entry::log(Level::Error, hostile, hostile));
    }
    for violation in &mut run.violations {
        violation.detail = hostile.to_owned();
        violation.host = hostile.to_owned();
    }
    for (file, fragment) in [
        (page(&run, folder.path()), "e7"),
        (written(folder.path(), "compare.html", &compare(&run.record, &failing().record)), ""),
        (written(folder.path(), "index.html", &hostile_suite(hostile)), ""),
    ] {
        browser.open(&file, fragment, WIDE);
        assert_calm(&browser);
        assert_ne!(browser.run("return document.title"), "owned");
        assert_eq!(browser.run("return document.images.length"), 0);
        let body = browser.run("return document.body.textContent");
        assert!(body.as_str().is_some_and(|body| body.contains("<img src=x")));
    }
}

/// The page of a sweep in which every text is `hostile`.
fn hostile_suite(hostile: &str) -> String {
    let failure = FailureReport {
        seed: 1,
        hash: hostile.to_owned(),
        reason: hostile.to_owned(),
        replay: hostile.to_owned(),
        page: Some("javascript:document.title='owned'".to_owned()),
        decisive: vec![hostile.to_owned()],
        ..FailureReport::default()
    };
    let variant = VariantReport {
        name: hostile.to_owned(),
        file: hostile.to_owned(),
        expectation: hostile.to_owned(),
        runs: 1,
        recovery: vec![Duration::from_secs(1)],
        vacuous: vec![hostile.to_owned()],
        failures: vec![failure.clone()],
        example: Some(failure),
        ..VariantReport::default()
    };
    let extras = Extras { maps: vec![heat(&section(hostile), |_| None)], plots: Vec::new() };
    suite(&SuiteReport { variants: vec![variant] }, &extras)
}

/// A map of three runs, of which one did not come back.
fn section(text: &str) -> Section {
    let row = |instances: &[Instance], lock| Row {
        instances: Some(instances.to_vec()),
        lock: Some(lock),
        backup: None,
        catalog: None,
        consul: None,
    };
    let mut map = RecoveryMap::new(View { instances: true, lock: true, ..View::NOTHING });
    for (seed, back) in [(0, Some(20)), (1, Some(31)), (2, None)] {
        let back = back.map(Duration::from_secs);
        let faults = |faults: &[&str]| faults.iter().map(|fault| ((*fault).to_owned(), back)).collect();
        let ways_back = [
            (row(&[Instance::Replica, Instance::Absent], Lock::HeldByDead), faults(&[text, "pause"])),
            (row(&[Instance::Primary, Instance::Replica], Lock::Held), faults(&[text])),
        ];
        let replay = format!("ironbird replay {text} --seed {seed}");
        let example = Example { variant: text.to_owned(), seed, replay };
        map.add_passage(&example, &Passage { ways_back: ways_back.into(), recovered: back.is_some() });
    }
    Section { title: text.to_owned(), map, variants: 1, must_recover: true }
}

#[test]
fn a_recovery_map_is_walked_with_arrows_and_names_its_runs() {
    let Some(browser) = Browser::start() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let page = |example: &Example| (example.seed == 2).then(|| "run-kill-2.html".to_owned());
    let extras = Extras { maps: vec![heat(&section("kill"), page)], plots: Vec::new() };
    let file = written(folder.path(), "index.html", &suite(&SuiteReport::default(), &extras));
    browser.open(&file, "", WIDE);
    assert_calm(&browser);
    assert_speaks(&browser);
    assert_eq!(browser.run("return document.querySelectorAll('.map button[tabindex=\"0\"]').length"), 1);
    let at = |browser: &Browser| browser.run("return document.activeElement.ariaLabel");
    browser.run("document.querySelector('.map button').focus()");
    assert!(
        at(&browser)
            .as_str()
            .is_some_and(|label| label.contains("whatever the fault: 2 of 3 runs came back"))
    );
    // Right, over a cell where no run was if there is one, and activated.
    browser.press("\u{e014}\u{e007}");
    assert!(at(&browser).as_str().is_some_and(|label| label.contains(", after kill")), "{}", at(&browser));
    let told = browser.run("return document.querySelector('.told').textContent");
    let told = told.as_str().unwrap_or_default();
    assert!(told.contains("2 of 3 runs came back, 20.0 s at the median, 31.0 s at most"), "{told}");
    assert!(
        told.contains("Did not come back: kill, seed 2") && told.contains("Took longest: kill, seed 1"),
        "{told}"
    );
    // A run that has a page is a click away, the other one a command.
    assert_eq!(
        browser.run("return document.querySelector('.told a').getAttribute('href')"),
        "run-kill-2.html"
    );
    assert_eq!(browser.run("return document.querySelectorAll('.told .command').length"), 2);
    // Below the cell there may be none: the focus stays where it is.
    browser.press("\u{e015}\u{e015}\u{e015}\u{e013}\u{e013}\u{e013}");
    assert!(at(&browser).is_string());
    // In seconds.
    browser.run("document.querySelectorAll('.choice')[1].click()");
    assert_eq!(browser.run("return document.querySelector('.map .cell').textContent"), "20");
    // What was never seen is said so.
    assert!(text(&browser, "sometimes-verdict").contains("never seen"));
    assert_calm(&browser);
}

#[test]
fn two_runs_stand_side_by_side_from_where_they_differ() {
    let Some(browser) = Browser::start() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let other = variants().into_iter().find(|variant| variant.name == "lagging-catalog/published");
    let other = other.expect("a scenario of the program").fly(17);
    let file = written(folder.path(), "compare.html", &compare(&failing().record, &other.record));
    for (name, size) in SIZES {
        browser.open(&file, "", size);
        assert_calm(&browser);
        pictured(&browser, &format!("compare-{name}"));
    }
    assert_speaks(&browser);
    assert!(text(&browser, "verdict").starts_with("first at"));
    browser.run("document.getElementById('next').click()");
    assert!(text(&browser, "spoken").contains("only on the"));
}

/// A record of this many events, most of which repeat.
fn long(events: usize) -> Record {
    let run = failing();
    let span = run.record.duration() + Duration::from_secs(1);
    let all = (0_u32..).flat_map(|round| {
        run.record.events.iter().filter(|event| event.what != What::Finished).map(move |event| (round, event))
    });
    let events = (0..).zip(all.take(events)).map(|(step, (round, event))| Event {
        step,
        at: event.at + span * round,
        ..event.clone()
    });
    Record { header: run.record.header.clone(), events: events.collect() }
}

#[test]
#[expect(clippy::print_stderr, reason = "the figures are for whoever measures")]
fn a_hundred_thousand_events_open_and_are_stepped_through() {
    let Some(browser) = Browser::start() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let record = long(100_000);
    let run = ironbird_sim::run::Run { record, violations: Vec::new(), recovery: None };
    let file = page(&run, folder.path());
    let bytes = fs::metadata(&file).expect("it is there").len();
    browser.open(&file, "", WIDE);
    assert_calm(&browser);
    let opened = browser.run("return performance.getEntriesByType('navigation')[0].loadEventEnd");
    browser.open(&file, "e50000", WIDE);
    let stepped = browser.run(
        "const times = []; for (let i = 0; i < 50; i += 1) { const before = performance.now();
         document.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowRight' }));
         times.push(performance.now() - before); } return times.sort((a, b) => a - b)[25]",
    );
    assert_eq!(browser.run("return location.hash"), "#e50050");
    assert_calm(&browser);
    assert!(opened.as_f64().is_some_and(|opened| opened < OPEN_MS), "opened in {opened} ms");
    assert!(stepped.as_f64().is_some_and(|stepped| stepped < STEP_MS), "a step took {stepped} ms");
    eprintln!("100,000 events, {bytes} bytes: opened in {opened} ms, a step takes {stepped} ms");
}

#[test]
#[expect(clippy::print_stderr, reason = "the figures are for whoever measures")]
#[expect(clippy::disallowed_types, reason = "how long a person waits is real time")]
fn a_sweep_of_ten_thousand_runs_is_one_page() {
    let Some(browser) = Browser::start() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let variants = (0..10).map(|number| VariantReport {
        name: format!("scenario-{number}/hardened"),
        file: format!("failover/scenario-{number}.toml"),
        line: Some(20),
        expectation: "pass".to_owned(),
        as_expected: number != 3,
        runs: 1_000,
        recovery: (0..1_000).map(|run| Duration::from_millis(60_000 + run * 37 % 41_000)).collect(),
        each: (0..1_000)
            .map(|seed| RunRow {
                seed,
                outcome: if number == 3 && seed == 700 { Outcome::Unexpected } else { Outcome::Held },
                recovery: Some(Duration::from_secs(60)),
            })
            .collect(),
        ..VariantReport::default()
    });
    let report = SuiteReport { variants: variants.collect() };
    let rendering = std::time::Instant::now();
    let html = suite(&report, &Extras::default());
    let rendered = rendering.elapsed().as_secs_f64() * 1_000.0;
    let file = written(folder.path(), "index.html", &html);
    for (name, size) in SIZES {
        for (theme, dark) in [("", false), ("-dark", true)] {
            browser.prefer_dark(dark);
            browser.open(&file, "", size);
            assert_calm(&browser);
            pictured(&browser, &format!("suite-{name}{theme}"));
        }
    }
    assert!(text(&browser, "verdict").contains("1 not as expected"));
    assert_speaks(&browser);
    let opened = browser.run("return performance.getEntriesByType('navigation')[0].loadEventEnd");
    let both = rendered + opened.as_f64().unwrap_or(f64::MAX);
    assert!(both < SUITE_MS, "rendered in {rendered} ms, opened in {opened} ms");
    eprintln!("10,000 runs, {} bytes: rendered in {rendered:.0} ms, opened in {opened} ms", html.len());
}
