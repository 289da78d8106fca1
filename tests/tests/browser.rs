//! The pages, as a person uses them: in a real browser, from a disk.
//!
//! With `IRONBIRD_SCREENSHOTS=FOLDER` every page is also left there as a picture, at three sizes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ironbird_agent::journal::{Entry, Level};
use ironbird_reports::html::{Extras, RunPage, compare, file_name, run, suite};
use ironbird_reports::suite::{Outcome, RunRow, SuiteReport, VariantReport};
use ironbird_sim::record::{Event, Record, What};
use ironbird_tests::browser::Browser;
use ironbird_tests::variants;
use serde_json::Value;

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
    ] {
        browser.open(&file, fragment, WIDE);
        assert_calm(&browser);
        assert_ne!(browser.run("return document.title"), "owned");
        assert_eq!(browser.run("return document.images.length"), 0);
        let body = browser.run("return document.body.textContent");
        assert!(body.as_str().is_some_and(|body| body.contains("<img src=x")));
    }
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
         times.push(performance.now() - before); } return Math.max(...times)",
    );
    assert_eq!(browser.run("return location.hash"), "#e50050");
    assert_calm(&browser);
    eprintln!(
        "100,000 events, {bytes} bytes: opened in {opened} ms, the slowest of 50 steps took {stepped} ms"
    );
}

#[test]
#[expect(clippy::print_stderr, reason = "the figures are for whoever measures")]
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
    let html = suite(&SuiteReport { variants: variants.collect() }, &Extras::default());
    let file = written(folder.path(), "index.html", &html);
    for (name, size) in SIZES {
        browser.open(&file, "", size);
        assert_calm(&browser);
        pictured(&browser, &format!("suite-{name}"));
    }
    assert!(text(&browser, "verdict").contains("1 not as expected"));
    let opened = browser.run("return performance.getEntriesByType('navigation')[0].loadEventEnd");
    eprintln!("10,000 runs, {} bytes: opened in {opened} ms", html.len());
}
