//! The fake Consul and a real one, given the same requests, answer the same.
//!
//! The requests are in `consul_parity.txt`, in sections by endpoint and behaviour; what a line means is said in
//! `consul::step` and `consul::section`, what of an answer is compared in `consul::normalise`. The page
//! `docs/consul-parity.md` says what the sections say; `IRONBIRD_UPDATE_DOCS` writes it anew.
//!
//! Needs `consul` on the path; `IRONBIRD_REQUIRE_CONSUL` makes its absence a failure.

use std::fmt::Write as _;
use std::path::Path;

use ironbird_tests::consul::parity::Script;
use ironbird_tests::consul::section::{Section, Verdict, parse, plays};
use ironbird_tests::consul::{Pair, Step, parity};

/// What `consul_scripts.rs` and `consul_acl.rs` play.
fn scripts() -> [Script; 4] {
    let acl = include_str!("consul_acl.txt").split_once("\n---\n").map_or("", |(_, lines)| lines);
    [
        Script { file: "parity/agent.txt", text: include_str!("parity/agent.txt") },
        Script { file: "parity/catalog.txt", text: include_str!("parity/catalog.txt") },
        Script { file: "parity/filter.txt", text: include_str!("parity/filter.txt") },
        Script { file: "consul_acl.txt", text: acl },
    ]
}

fn sections() -> Vec<Section> {
    parse(include_str!("consul_parity.txt"))
}

#[test]
fn the_fake_answers_as_the_real_one_does() {
    let Some(mut pair) = Pair::start() else {
        return;
    };
    let mut wrong = String::new();
    for play in plays(&sections()) {
        let steps: Vec<Step> = play.iter().flat_map(|section| section.steps.clone()).collect();
        let titles: Vec<_> =
            play.iter().map(|section| format!("{}: {}", section.endpoint, section.behaviour)).collect();
        let title = titles.join(", ");
        let known = play.iter().any(|section| matches!(section.verdict, Verdict::Differs(_)));
        match pair.play(&steps) {
            Err(difference) if !known => {
                let _ = write!(wrong, "\n\n## {title}\nat request {}: {difference}", difference.at + 1);
            }
            Ok(()) if known => {
                let _ = write!(wrong, "\n\n## {title}\nis the same now: take the mark away");
            }
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// There is nothing nobody has looked at.
#[test]
fn everything_is_covered() {
    let open = |section: &&Section| matches!(section.verdict, Verdict::NotCovered(_));
    let open: Vec<_> = sections().iter().filter(open).map(|section| section.behaviour.clone()).collect();
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn a_section_that_differs_is_a_play_of_its_own() {
    for play in plays(&sections()) {
        let marked = play.iter().any(|section| section.verdict != Verdict::Same);
        assert!(!marked || play.len() == 1, "{:?}", play[0].behaviour);
    }
}

#[test]
fn the_page_says_what_the_sections_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/consul-parity.md");
    let page = parity::page(&sections(), &scripts());
    if std::env::var_os("IRONBIRD_UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(&path, &page).expect("a page that can be written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == page, "docs/consul-parity.md is out of date: run this with IRONBIRD_UPDATE_DOCS=1");
}
