//! `shrink`, `enumerate`, `explain`, `corpus` and what `run` makes of a corpus, from the command line.

mod made_up;

use std::fs;
use std::path::Path;

use ironbird::cli::{Console, execute};
use ironbird::exit_code::Exit;
use ironbird::runner::RunFn;
use ironbird_sim::plan::FaultPlan;
use ironbird_sim::properties::Property;
use ironbird_sim::run::Run;
use ironbird_sim::seed::Seed;
use ironbird_sim::spec::Spec;

struct Said {
    exit: Exit,
    out: String,
    err: String,
}

fn ironbird(run: &RunFn<'_>, words: &[&str]) -> Said {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let words = ["ironbird"].iter().chain(words);
    let exit = execute(words, run, &mut Console::new(&mut out, &mut err));
    Said { exit, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
}

/// Fails whenever something is killed or cut off.
fn fragile(spec: &Spec, name: &str, seed: Seed, plan: &FaultPlan) -> Run {
    let run = made_up::changing(spec, name, seed, plan);
    let hurts = |name: &str| name == "kill" || name.starts_with("cut");
    if plan.faults.iter().any(|fault| hurts(fault.kind.name())) {
        made_up::violating(run, Property::OneWritablePrimary)
    } else {
        run
    }
}

const STORM: &str = "name = \"storm\"\ntitle = \"A storm\"\nwhy = \"Because\"\n\n[cluster]\ninstances = 5\n\n\
[[fault]]\nat = \"10s..20s\"\nkind = \"kill\"\ntarget = \"instances\"\n\n\
[[fault]]\nat = \"30s\"\nkind = \"pause\"\ntarget = \"leader\"\nfor = \"9s\"\n\n\
[variant.calm]\nexpect = \"pass\"\n";

fn storm(folder: &Path) -> String {
    let path = folder.join("storm.toml");
    fs::write(&path, STORM).unwrap();
    path.display().to_string()
}

/// The scenario files in `folder`, `storm.toml` apart.
fn found(folder: &Path) -> Vec<String> {
    let mut found: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().display().to_string())
        .filter(|path| path.ends_with(".toml") && !path.ends_with("storm.toml"))
        .collect();
    found.sort();
    found
}

#[test]
fn a_shrunk_failure_is_a_file_that_shows_it() {
    let folder = tempfile::tempdir().unwrap();
    let (storm, out) = (storm(folder.path()), folder.path().display().to_string());
    let words = ["shrink", &storm, "--seed", "18446744073709551615", "--out", &out];
    let said = ironbird(&fragile, &words);
    assert_eq!(said.exit, Exit::AsExpected, "{}{}", said.out, said.err);
    assert!(said.out.contains("\n1 of 2 faults, 1 of 5 instances, after "), "{}", said.out);
    assert!(
        said.err.contains("fewer faults\n") && said.err.contains(" runs  1 of 2 faults\n"),
        "{}",
        said.err
    );
    let files = found(folder.path());
    let [file] = &files[..] else { panic!("{files:?}") };
    let text = fs::read_to_string(file).unwrap();
    assert!(said.out.contains(text.trim_end()), "what is written is what is shown");
    assert!(said.out.ends_with(&format!("\nironbird run {file}\n")), "{}", said.out);
    let again = ironbird(&fragile, &["run", file]);
    assert_eq!(again.exit, Exit::AsExpected, "{}{}", again.out, again.err);
    assert!(again.out.contains("1 of 1 variant as expected. 1 run: "), "{}", again.out);
    let mended = ironbird(&made_up::calm, &["run", file]);
    assert_eq!(mended.exit, Exit::Failures, "and says when it no longer does");
}

#[test]
fn what_a_swarm_found_is_shrunk_and_kept_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let (storm, out) = (storm(folder.path()), folder.path().display().to_string());
    let swept = ironbird(&fragile, &["run", &storm, "--swarm", "--seeds", "20"]);
    assert_eq!(swept.exit, Exit::Failures, "{}{}", swept.out, swept.err);
    let (_, command) = swept.out.split_once("ironbird replay ").expect("a command that repeats it");
    let words: Vec<_> = command.lines().next().unwrap().split_whitespace().collect();
    let [_, "--seed", _, "--swarm"] = words[..] else { panic!("{words:?}") };
    let said = ironbird(&fragile, &[&["shrink"], &words[..], &["--out", &out]].concat());
    assert_eq!(said.exit, Exit::AsExpected, "{}{}", said.out, said.err);
    assert!(said.out.contains("\n1 of "), "{}", said.out);
    let [file] = &found(folder.path())[..] else { panic!("one file") };
    let shown = ironbird(&fragile, &["run", file]);
    assert_eq!(shown.exit, Exit::AsExpected, "{}", shown.out);
    let corpus = folder.path().join("corpus");
    let kept = [&["corpus", "add"], &words[..], &["--dir", corpus.to_str().unwrap()]].concat();
    assert_eq!(ironbird(&fragile, &kept).exit, Exit::AsExpected);
    for (run, held) in [(&fragile as &RunFn<'_>, "0 of 1 hold"), (&made_up::calm, "1 of 1 hold")] {
        let replayed = ironbird(run, &["run", &storm, "--seeds", "1"]);
        assert!(replayed.out.contains(held), "{}", replayed.out);
    }
}

#[test]
fn what_a_swarm_came_to_is_merged_as_a_swarm() {
    let folder = tempfile::tempdir().unwrap();
    let storm = storm(folder.path());
    let half = |number: u32| folder.path().join(format!("{number}.jsonl")).display().to_string();
    for number in [1, 2] {
        let (slice, results) = (format!("slice:{number}/2"), half(number));
        let words = ["run", &storm, "--swarm", "--seeds", "20", "--partition", &slice, "--results", &results];
        ironbird(&fragile, &words);
    }
    let whole = ironbird(&fragile, &["run", &storm, "--swarm", "--seeds", "20", "--json", "-"]);
    let merged = ironbird(&fragile, &["merge", &half(1), &half(2), "--json", "-"]);
    assert_eq!(merged.exit, Exit::Failures, "{}{}", merged.out, merged.err);
    // What it took on the clock is the only thing a merge does not know.
    let untimed = |text: &str| {
        let lines = text.lines().filter(|line| !line.contains("elapsed") && !line.contains("speed"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(untimed(&merged.out), untimed(&whole.out));
    let refused = ironbird(&fragile, &["run", &storm, "--seeds", "20", "--results", &half(1)]);
    assert_eq!(refused.exit, Exit::Usage, "{}", refused.out);
    assert!(refused.err.contains("its faults were drawn"), "{}", refused.err);
}

#[test]
fn what_does_not_fail_is_not_shrunk_explained_or_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (storm, out) = (storm(folder.path()), folder.path().display().to_string());
    for (run, words, exit, part) in [
        (
            &made_up::calm as &RunFn<'_>,
            &["shrink", &storm, "--seed", "1"][..],
            Exit::NothingSelected,
            "violates nothing",
        ),
        (&made_up::calm, &["explain", &storm, "--seed", "1"], Exit::NothingSelected, "violates nothing"),
        (
            &made_up::calm,
            &["corpus", "add", &storm, "--seed", "1", "--dir", &out],
            Exit::NothingSelected,
            "violates nothing",
        ),
        (&fragile, &["shrink", &storm], Exit::Usage, "fixes no seed: say which with --seed"),
        (
            &fragile,
            &["shrink", &storm, "--seed", "1", "--signature", "00000000"],
            Exit::NothingSelected,
            "does not show 00000000, only\n",
        ),
        (
            &fragile,
            &["shrink", "leader-kill", "--seed", "1"],
            Exit::Usage,
            "choose one of leader-kill/published",
        ),
        (
            &fragile,
            &["enumerate", &storm, "--kinds", "kil"],
            Exit::Usage,
            "`kil` is no kind of fault to enumerate",
        ),
        (
            &fragile,
            &["corpus", "add", &storm, "--seed", "1", "--dir", &out, "--title", " "],
            Exit::Usage,
            "`title` is empty",
        ),
    ] {
        let said = ironbird(run, words);
        assert_eq!(said.exit, exit, "{words:?}: {}{}", said.out, said.err);
        assert!(said.err.contains(part), "{words:?}: {}", said.err);
        assert_eq!(found(folder.path()), [""; 0], "{words:?}");
    }
}

#[test]
fn an_enumeration_states_what_it_covered() {
    let folder = tempfile::tempdir().unwrap();
    let (storm, out) = (storm(folder.path()), folder.path().display().to_string());
    let words = ["enumerate", &storm, "--seed", "7", "--clean", "--out", &out];
    let calm = ironbird(&made_up::changing, &words);
    assert_eq!(calm.exit, Exit::AsExpected, "{}{}", calm.out, calm.err);
    assert!(calm.out.ends_with(" single-fault points of storm/calm recover\n"), "{}", calm.out);
    assert!(calm.out.contains("\nall "), "{}", calm.out);
    let pauses = ironbird(&fragile, &[&words[..], &["--kinds", "pause"]].concat());
    assert_eq!(pauses.exit, Exit::AsExpected, "{}", pauses.out);
    let failing = ironbird(&fragile, &words);
    assert_eq!(failing.exit, Exit::Failures);
    assert!(failing.out.ends_with(" fail, in one way\n"), "{}", failing.out);
    let files = found(folder.path());
    let [file] = &files[..] else { panic!("{files:?}") };
    assert!(failing.out.contains(&format!("  ironbird run {file}\n")), "{}", failing.out);
    assert_eq!(ironbird(&fragile, &["run", file]).exit, Exit::AsExpected);
}

#[test]
fn an_enumeration_goes_on_from_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let (storm, out) = (storm(folder.path()), folder.path().display().to_string());
    let state = folder.path().join("state.jsonl").display().to_string();
    let words = ["enumerate", &storm, "--clean", "--seed", "7", "--out", &out, "--state", &state];
    let first = ironbird(&fragile, &words);
    let whole = fs::read_to_string(&state).unwrap();
    // As if it had been killed in the middle of a line.
    fs::write(&state, &whole[..whole.len() / 2]).unwrap();
    let second = ironbird(&fragile, &words);
    assert_eq!((second.exit, &second.out), (first.exit, &first.out));
    assert_eq!(fs::read_to_string(&state).unwrap(), whole);
    let never = |_: &Spec, _: &str, _: Seed, _: &FaultPlan| -> Run { panic!("ran") };
    assert_eq!(ironbird(&never, &words).exit, Exit::Failures, "the undisturbed run itself panics");
    let third = ironbird(&fragile, &words);
    assert_eq!(third.out, first.out);
    let other = ironbird(&fragile, &[&words[..], &["--limit", "3"]].concat());
    assert_eq!(other.exit, Exit::Io);
    assert!(other.err.contains("it is of another scenario, seed or set of points"), "{}", other.err);
}

#[test]
fn an_explanation_names_the_faults_it_took() {
    let folder = tempfile::tempdir().unwrap();
    let storm = storm(folder.path());
    let said = ironbird(&fragile, &["explain", &storm, "--seed", "7", "--runs", "4"]);
    assert_eq!(said.exit, Exit::AsExpected, "{}{}", said.out, said.err);
    for part in [
        "  needed, and enough: ",
        "  not needed: ",
        "it was as likely as not from the start",
        "no run with other dice does not fail like this",
        "\nthe story\n",
    ] {
        assert!(said.out.contains(part), "no {part:?} in {}", said.out);
    }
}

#[test]
fn a_corpus_is_replayed_before_everything_else() {
    let folder = tempfile::tempdir().unwrap();
    let storm = storm(folder.path());
    let corpus = folder.path().join("corpus");
    let dir = corpus.display().to_string();
    let kept = ironbird(
        &fragile,
        &["corpus", "add", &storm, "--seed", "7", "--dir", &dir, "--title", "All at once"],
    );
    assert_eq!(kept.exit, Exit::AsExpected, "{}{}", kept.out, kept.err);
    let files = found(&corpus);
    let [file] = &files[..] else { panic!("{files:?}") };
    assert!(kept.out.ends_with(&format!("kept in {file}\n")), "{}", kept.out);

    // It is beside the scenario's file, so nobody has to name it.
    let failing = ironbird(&fragile, &["run", &storm, "--seeds", "1"]);
    assert_eq!(failing.exit, Exit::Failures);
    let first = failing.out.lines().next().unwrap_or_default();
    assert_eq!(first, format!("fails  {file}  All at once"), "{}", failing.out);
    assert!(failing.out.contains(&format!("corpus {dir}: 0 of 1 hold\n")), "{}", failing.out);
    let mended = ironbird(&made_up::calm, &["run", &storm, "--seeds", "1"]);
    assert_eq!(mended.exit, Exit::AsExpected, "{}", mended.out);
    assert!(mended.out.starts_with(&format!("corpus {dir}: 1 of 1 hold\n")), "{}", mended.out);
    let idle = ironbird(&made_up::nobody_struck, &["run", &storm, "--seeds", "1", "--corpus", &dir]);
    assert_eq!(idle.exit, Exit::Failures, "a corpus that tries nothing does not pass in silence");
    assert!(idle.out.starts_with("no longer applies  "), "{}", idle.out);
    let nowhere = ironbird(&made_up::calm, &["run", &storm, "--corpus", "/no/such/folder"]);
    assert_eq!(nowhere.exit, Exit::Usage);
    assert!(nowhere.err.contains("cannot read /no/such/folder"), "{}", nowhere.err);
}

#[test]
fn what_a_sweep_never_saw_is_said_and_can_be_demanded() {
    // A scenario that demands nothing by itself.
    let words = ["run", "node-check/hardened", "--seeds", "4"];
    let said = ironbird(&made_up::failing_over, &words);
    assert_eq!(said.exit, Exit::AsExpected, "{}", said.out);
    let last = said.out.lines().last().unwrap_or_default();
    assert!(last.starts_with("Never seen: ") && !last.contains("failover"), "{last}");
    let demanded = ironbird(&made_up::failing_over, &[&words[..], &["--require-sometimes"]].concat());
    assert_eq!(demanded.exit, Exit::Failures);
}
