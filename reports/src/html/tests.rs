use ironbird_sim::record::Record;
use ironbird_sim::recovery::Example;
use serde_json::Value;

use super::{Extras, RunPage, compare, heat, run, suite};
use crate::specimens::{HOSTILE, hostile, hostile_suite, leader_kill, leader_kill_violations, section};

fn page_of(record: &Record) -> String {
    run(&RunPage {
        record,
        violations: &leader_kill_violations(),
        replay: "ironbird replay pause/published --seed 17",
        home: Some("index.html"),
        skipped: 0,
    })
}

/// The data in a page, as a browser finds it: from its tag to the first end tag.
fn data(page: &str) -> Value {
    let (_, rest) =
        page.split_once("<script type=\"application/json\" id=\"data\">").expect("a block of data");
    let (json, _) = rest.split_once("</script>").expect("its end");
    serde_json::from_str(json).expect("it is JSON")
}

#[test]
fn what_the_page_of_a_run_reads() {
    let data = data(&page_of(&leader_kill()));
    insta::assert_snapshot!(serde_json::to_string_pretty(&data).expect("JSON"));
}

#[test]
fn what_the_page_of_two_runs_reads() {
    let mut other = leader_kill();
    other.header.seed = 18;
    other.events.remove(30);
    other.events.truncate(60);
    let data = data(&compare(&leader_kill(), &other));
    insta::assert_snapshot!(serde_json::to_string_pretty(&data).expect("JSON"));
}

#[test]
fn two_runs_that_are_the_same_have_no_first_difference() {
    let data = data(&compare(&leader_kill(), &leader_kill()));
    assert_eq!(data["first"], Value::Null);
    assert_eq!(data["header"], serde_json::json!([]));
}

#[test]
fn what_the_page_of_a_sweep_reads() {
    let page = |example: &Example| (example.seed == 3).then(|| "run-kill-3.html".to_owned());
    let extras = Extras { maps: vec![heat(&section("kill"), page)], plots: Vec::new() };
    insta::assert_snapshot!(
        serde_json::to_string_pretty(&data(&suite(&crate::specimens::suite(), &extras))).expect("JSON")
    );
}

#[test]
fn hostile_text_stays_text_in_every_page() {
    let (record, violations) = hostile();
    let pages = [
        run(&RunPage {
            record: &record,
            violations: &violations,
            replay: HOSTILE,
            home: Some(HOSTILE),
            skipped: 1,
        }),
        compare(&record, &leader_kill()),
        suite(
            &hostile_suite(),
            &Extras { maps: vec![heat(&section(HOSTILE), |_| Some(HOSTILE.to_owned()))], plots: Vec::new() },
        ),
    ];
    let own = page_of(&leader_kill());
    let own_scripts = own.matches("<script").count();
    for page in pages {
        // The tags of the frame and not one more, whatever the text says.
        assert_eq!(page.matches("<script").count(), own_scripts);
        assert_eq!(page.matches("</script").count(), own_scripts);
        assert!(!page.contains("alert(\"1\")</"));
        let treacherous = |character: char| character != '\n' && crate::text::is_treacherous(character);
        assert!(!page.contains(treacherous));
        // And it reads back as it was.
        assert!(data(&page).to_string().contains("forged"));
    }
}

#[test]
fn a_page_allows_its_own_two_blocks_and_nothing_else() {
    let page = page_of(&leader_kill());
    assert!(page.contains("default-src 'none'"));
    assert!(page.contains("style-src 'sha256-") && page.contains("script-src 'sha256-"));
    for outside in ["http://", "https://", "src=\"", "@import", "url(", "style=\"", "onclick=\"", "innerHTML"]
    {
        // Namespaces are names; only in plots do they look like addresses.
        assert!(!page.contains(outside), "{outside}");
    }
}
