//! What a person is told about a file that is no sound scenario, case by case, and that no file whatever
//! makes the reader panic.

use std::fmt::Write;

use ironbird::format::parse;
use proptest::prelude::*;

const HEAD: &str = "name = \"storm\"\ntitle = \"A storm\"\nwhy = \"Because\"\n";
const PASS: &str = "[variant.calm]\nexpect = \"pass\"\n";

/// Each case: what is wrong, and the text after [`HEAD`].
const CASES: &[(&str, &str)] = &[
    ("not TOML", "[cluster\n"),
    ("a key twice", "seeds = 1\nseeds = 2\n"),
    ("an unknown table", "[clutser]\ninstances = 3\n[variant.calm]\nexpect = \"pass\"\n"),
    ("an unknown field", "[cluster]\ninstnces = 3\n[variant.calm]\nexpect = \"pass\"\n"),
    ("an unknown field like no other", "[cluster]\nwings = 2\n[variant.calm]\nexpect = \"pass\"\n"),
    (
        "an unknown field in a variant",
        "[variant.calm]\nexpect = \"pass\"\ncluster = { session-tll = \"60s\" }\n",
    ),
    (
        "an unknown field that a variant writes over",
        "[cluster]\nwings = 2\n[variant.calm]\nexpect = \"pass\"\ncluster = { wings = 3 }\n",
    ),
    ("an unknown table in a variant", "[variant.calm]\nexpected = \"pass\"\n"),
    ("a duration without its unit", "[cluster]\nsession-ttl = 60\n[variant.calm]\nexpect = \"pass\"\n"),
    (
        "a duration in a unit that is none",
        "[cluster]\nsession-ttl = \"60 parsecs\"\n[variant.calm]\nexpect = \"pass\"\n",
    ),
    ("a span without its unit", "[network]\nlatency = 4\n[variant.calm]\nexpect = \"pass\"\n"),
    ("a range back to front", "[network]\nlatency = \"9ms..2ms\"\n[variant.calm]\nexpect = \"pass\"\n"),
    ("a number of the wrong type", "[cluster]\ninstances = \"three\"\n[variant.calm]\nexpect = \"pass\"\n"),
    ("a negative number", "[cluster]\ninstances = -1\n[variant.calm]\nexpect = \"pass\"\n"),
    ("an unknown value", "[cluster]\nhandlers = \"hardend\"\n[variant.calm]\nexpect = \"pass\"\n"),
    ("a table that is none", "cluster = 3\n[variant.calm]\nexpect = \"pass\"\n"),
    ("too many instances", "[cluster]\ninstances = 8\n[variant.calm]\nexpect = \"pass\"\n"),
    ("a TTL Consul refuses", "[cluster]\nsession-ttl = \"9s\"\n[variant.calm]\nexpect = \"pass\"\n"),
    (
        "a lock-delay Consul refuses",
        "[variant.calm]\nexpect = \"pass\"\n[variant.calm.cluster]\nlock-delay = \"61s\"\n",
    ),
    ("a loss of everything", "[network]\nloss = 1.0\n[variant.calm]\nexpect = \"pass\"\n"),
    ("a loss that is no number", "[network]\nloss = nan\n[variant.calm]\nexpect = \"pass\"\n"),
    ("clients that never rest", "[workload]\ninterval = \"0s\"\n[variant.calm]\nexpect = \"pass\"\n"),
    (
        "an unknown kind of fault",
        "[[fault]]\nat = \"1s\"\nkind = \"kil\"\ntarget = \"leader\"\n[variant.calm]\nexpect = \"pass\"\n",
    ),
    (
        "an unknown target",
        "[[fault]]\nat = \"1s\"\nkind = \"kill\"\ntarget = \"leadr\"\n[variant.calm]\nexpect = \"pass\"\n",
    ),
    (
        "a machine there is not",
        "[[fault]]\nat = \"1s\"\nkind = \"pause\"\nfor = \"1s\"\ntarget = \"mysql-99\"\n[variant.calm]\nexpect = \"pass\"\n",
    ),
    (
        "a kill of what runs in no container",
        "[[fault]]\nat = \"1s\"\nkind = \"kill\"\ntarget = \"consul\"\n[variant.calm]\nexpect = \"pass\"\n",
    ),
    (
        "a cut between a machine and itself",
        "[[fault]]\nat = \"1s\"\nkind = \"cut\"\nfor = \"1s\"\ntarget = \"consul\"\npeer = \"consul\"\n[variant.calm]\nexpect = \"pass\"\n",
    ),
    (
        "an unknown field of a fault",
        "[[fault]]\nat = \"1s\"\nkind = \"kill\"\ntarget = \"leader\"\nuntil = \"2s\"\n[variant.calm]\nexpect = \"pass\"\n",
    ),
    (
        "a fault without its time",
        "[[fault]]\nkind = \"kill\"\ntarget = \"leader\"\n[variant.calm]\nexpect = \"pass\"\n",
    ),
    (
        "a fault without its peer",
        "[[fault]]\nat = \"1s\"\nkind = \"cut\"\ntarget = \"leader\"\nfor = \"5s\"\n[variant.calm]\nexpect = \"pass\"\n",
    ),
    (
        "a fault with a field of another kind",
        "[[fault]]\nat = \"1s\"\nkind = \"kill\"\ntarget = \"leader\"\nrate = 0.5\n[variant.calm]\nexpect = \"pass\"\n",
    ),
    (
        "a fault that lasts too long",
        "[[fault]]\nat = \"1s\"\nkind = \"pause\"\ntarget = \"leader\"\nfor = \"2days\"\n[variant.calm]\nexpect = \"pass\"\n",
    ),
    (
        "a rate that is none",
        "[[fault]]\nat = \"1s\"\nkind = \"loss\"\ntarget = \"leader\"\npeer = \"consul\"\nfor = \"ever\"\nrate = 2.0\n[variant.calm]\nexpect = \"pass\"\n",
    ),
    (
        "an unknown target in a list",
        "[[fault]]\nat = \"1s\"\nkind = \"pause\"\nfor = \"1s\"\ntarget = [\"mysql-1\", \"stor\"]\n[variant.calm]\nexpect = \"pass\"\n",
    ),
    (
        "an empty list of targets",
        "[[fault]]\nat = \"1s\"\nkind = \"pause\"\nfor = \"1s\"\ntarget = []\n[variant.calm]\nexpect = \"pass\"\n",
    ),
    (
        "a machine there is not in a list",
        "[[fault]]\nat = \"1s\"\nkind = \"pause\"\nfor = \"1s\"\ntarget = [\"mysql-1\", \"mysql-77\"]\n[variant.calm]\nexpect = \"pass\"\n",
    ),
    (
        "an unknown command",
        "[[fault]]\nat = \"1s\"\nkind = \"hang-command\"\nfor = \"1s\"\ntarget = \"leader\"\ncommand = \"innobackup\"\n[variant.calm]\nexpect = \"pass\"\n",
    ),
    (
        "a clock set by nothing",
        "[[fault]]\nat = \"1s\"\nkind = \"clock-step\"\ntarget = \"leader\"\nstep = \"5\"\n[variant.calm]\nexpect = \"pass\"\n",
    ),
    (
        "a clock that runs backwards",
        "[[fault]]\nat = \"1s\"\nkind = \"clock-rate\"\nfor = \"1s\"\ntarget = \"leader\"\nrate = -1.0\n[variant.calm]\nexpect = \"pass\"\n",
    ),
    (
        "a scale beyond what there can be",
        "[[fault]]\nat = \"1s\"\nkind = \"scale\"\ntarget = \"newest\"\ninstances = 9\n[variant.calm]\nexpect = \"pass\"\n",
    ),
    (
        "an upgrade in no time",
        "[[fault]]\nat = \"1s\"\nkind = \"roll\"\ntarget = \"instances\"\nevery = \"0s\"\n[variant.calm]\nexpect = \"pass\"\n",
    ),
    (
        "an upgrade of what is no container",
        "[[fault]]\nat = \"1s\"\nkind = \"attrition\"\nfor = \"1m\"\ntarget = \"store\"\n[variant.calm]\nexpect = \"pass\"\n",
    ),
    (
        "a range where one time is meant",
        "[[fault]]\nat = \"1s\"\nkind = \"latency\"\nfor = \"1s\"\ntarget = \"leader\"\npeer = \"consul\"\ndelay = \"1s..2s\"\n[variant.calm]\nexpect = \"pass\"\n",
    ),
    (
        "a duplicate of a stream",
        "[[fault]]\nat = \"1s\"\nkind = \"duplicate\"\nfor = \"1s\"\ntarget = \"leader\"\npeer = \"consul\"\nrate = 0.5\n[variant.calm]\nexpect = \"pass\"\n",
    ),
    (
        "two faults of one name",
        "[[fault]]\nid = \"a\"\nat = \"1s\"\nkind = \"kill\"\ntarget = \"leader\"\n[[fault]]\nid = \"a\"\nat = \"2s\"\nkind = \"kill\"\ntarget = \"leader\"\n[variant.calm]\nexpect = \"pass\"\n",
    ),
    (
        "a name that is none",
        "[[fault]]\nat = \"1s\"\nkind = \"kill\"\ntarget = \"leader\"\nid = 3\n[variant.calm]\nexpect = \"pass\"\n",
    ),
    ("faults that are no list", "fault = \"kill\"\n[variant.calm]\nexpect = \"pass\"\n"),
    ("no variant", ""),
    ("no expectation", "[variant.calm]\n"),
    ("an expectation that is none", "[variant.calm]\nexpect = \"fail\"\n"),
    ("a property as the expectation", "[variant.calm]\nexpect = \"lock-delay\"\n"),
    ("an unknown property", "[variant.calm]\nexpect = { violates = \"one-writeable-primary\" }\n"),
    ("an unknown property in a list", "[variant.calm]\nexpect = { violates = [\"lock-delay\", \"ttl\"] }\n"),
    ("an empty list of properties", "[variant.calm]\nexpect = { violates = [] }\n"),
    ("an expectation without a property", "[variant.calm]\nexpect = { log = \"help\" }\n"),
    (
        "an unknown part of an expectation",
        "[variant.calm]\nexpect = { violates = \"lock-delay\", shar = 0.5 }\n",
    ),
    ("a share of more than all", "[variant.calm]\nexpect = { violates = \"lock-delay\", share = 95 }\n"),
    ("no seeds", "seeds = 0\n[variant.calm]\nexpect = \"pass\"\n"),
    ("a variant's name", "[variant.\"Big Storm\"]\nexpect = \"pass\"\n"),
    (
        "several things at once",
        "seeds = \"many\"\n[cluster]\ninstances = 9\n[variant.calm]\nexpect = \"pas\"\n[variant.wild]\nnetwork = { latencyy = \"1s\" }\nexpect = \"pass\"\n",
    ),
    ("a character the terminal would obey", "[variant.calm]\nexpect = \"pass\"\n\"\\u001b[31m\" = 1\n"),
];

#[test]
fn every_complaint_points_at_what_to_change() {
    let mut told = String::new();
    for (what, rest) in CASES {
        let rejected =
            parse("storms/storm.toml", &format!("{HEAD}{rest}")).expect_err(&format!("{what}: accepted"));
        writeln!(told, "## {what}\n\n{rejected}").unwrap();
    }
    for (what, file, source) in [
        ("nothing at all", "storm.toml", String::new()),
        ("another file's name", "gale.toml", format!("{HEAD}{PASS}")),
        ("a name in capitals", "Storm.toml", format!("{HEAD}{PASS}").replace("storm", "Storm")),
        ("a title of nothing", "storm.toml", format!("{HEAD}{PASS}").replace("A storm", " ")),
        ("too many faults", "storm.toml", {
            let fault = "[[fault]]\nat=\"1s\"\nkind=\"kill\"\ntarget=\"leader\"\n";
            format!("{HEAD}{}{PASS}", fault.repeat(10_001))
        }),
        ("too long a file", "storm.toml", "# rain\n".repeat(200_000)),
    ] {
        let rejected = parse(file, &source).expect_err(&format!("{what}: accepted"));
        writeln!(told, "## {what}\n\n{rejected}").unwrap();
    }
    insta::assert_snapshot!(told);
}

#[test]
fn the_values_at_their_limits_are_accepted() {
    for rest in [
        "[cluster]\ninstances = 7\nsession-ttl = \"10s\"\nlock-delay = \"60s\"\n",
        "[cluster]\ninstances = 1\nsession-ttl = \"24h\"\nlock-delay = \"0s\"\n",
        "[network]\nloss = 0.0\nlatency = \"0s\"\n",
        "seeds = 1_000_000\n",
    ] {
        if let Err(rejected) = parse("storm.toml", &format!("{HEAD}{rest}{PASS}")) {
            panic!("{rest}\n{rejected}");
        }
    }
}

#[test]
fn depth_and_length_are_survived() {
    for (what, text) in [
        ("brackets", "a = ".to_owned() + &"[".repeat(100_000)),
        ("braces", "a = ".to_owned() + &"{a=".repeat(100_000)),
        ("a dotted key", "a.".repeat(100_000) + "a = 1"),
        ("a dotted table", "[".to_owned() + &"a.".repeat(100_000) + "a]"),
        ("a long word", format!("{HEAD}{} = 1", "a".repeat(500_000))),
        ("many variants", (0..20_000).map(|n| format!("[variant.v{n}]\n")).collect()),
        ("many faults times many variants", {
            let variants: String = (0..64).map(|n| format!("[variant.v{n}]\n")).collect();
            format!("{HEAD}fault = [{}]\n{variants}", "{},".repeat(10_000))
        }),
    ] {
        let rejected = parse("storm.toml", &text).expect_err(what);
        assert!(rejected.render(true).len() < 4_000_000, "{what}");
    }
}

/// A sound file that uses everything.
const SOUND: &str = include_str!("../failover/lagging-catalog.toml");

/// Pieces that mean something to the reader.
const PIECES: &[&str] = &[
    "\"",
    "\"\"\"",
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "=",
    ".",
    "..",
    "\n",
    "\r",
    "\0",
    "\u{1b}",
    "é",
    "\u{202e}",
    "0",
    "-1",
    "1e999",
    "nan",
    "inf",
    "99999999999999999999",
    "\"99999999999999999999s\"",
    "true",
    "1979-05-27T07:32:00Z",
    "\"ever\"",
    "\"9s..1s\"",
    "for",
    "kind",
    "[variant.x]",
    "[[fault]]",
    "expect = \"pass\"\n",
    "violates",
    "share = 0",
    "\\u0000",
    "'",
    "#",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_file_makes_the_reader_panic(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..40_usize, prop::sample::select(PIECES)), 1..6),
    ) {
        let mut text: Vec<char> = SOUND.chars().collect();
        for (at, removed, piece) in edits {
            let from = at.index(text.len());
            let to = (from + removed).min(text.len() - 1).max(from);
            text.splice(from..to, piece.chars());
        }
        let text: String = text.into_iter().collect();
        if let Err(rejected) = parse("lagging-catalog.toml", &text) {
            prop_assert!(!rejected.diagnostics.is_empty());
            for color in [false, true] {
                prop_assert!(!rejected.render(color).is_empty());
            }
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,200}") {
        if let Err(rejected) = parse("any.toml", &text) {
            prop_assert!(!rejected.render(true).is_empty());
        }
    }
}

/// What is said of the text after [`HEAD`], without its place.
fn said(rest: &str) -> Vec<String> {
    let rejected = parse("storm.toml", &format!("{HEAD}{rest}\n{PASS}")).map(drop);
    let diagnostics = rejected.err().map(|rejected| rejected.diagnostics).unwrap_or_default();
    diagnostics.into_iter().map(|diagnostic| diagnostic.message).collect()
}

#[test]
fn a_file_may_fix_its_seed_and_say_what_it_must_reach() {
    for (rest, expected) in [
        ("seed = 17", ""),
        ("seed = 0x11", ""),
        ("seed = 1\nseeds = 2", "`seed` and `seeds` do not go together"),
        ("seed = -1", "`seed` is a whole number below 2^64"),
        ("seed = \"17\"", "`seed` is a whole number below 2^64"),
        ("[sometimes]\nrequire = [\"failover\", \"demotion\"]", ""),
        ("[sometimes]\nrequire = []", ""),
        ("[sometimes]", "`sometimes` does not say what to `require`"),
        ("sometimes = 3", "`sometimes` is a table"),
        ("[sometimes]\nrequire = \"failover\"", "`require` is a list of names"),
        ("[sometimes]\nrequire = [\"failower\"]", "`failower` is no name of something to reach"),
        ("[sometimes]\nrequire = [3]", "`` is no name of something to reach"),
        ("[sometimes]\nrequire = [\"race\", \"race\"]", "`race` is required twice"),
        ("[sometimes]\nrequire = []\nforbid = []", "`forbid` is no field of `sometimes`"),
    ] {
        assert_eq!(said(rest).join("; "), expected, "{rest}");
    }
}

#[test]
fn a_signature_that_is_none_is_refused() {
    let with = |signature: &str| {
        let text = format!(
            "{HEAD}[variant.calm]\nexpect = {{ violates = \"lock-delay\", signature = \"{signature}\" }}\n"
        );
        parse("storm.toml", &text).map(drop).map_err(|error| error.diagnostics[0].message.clone())
    };
    assert_eq!(with("lock-delay@instance: locked too early"), Ok(()));
    assert_eq!(with("lock-delay"), Err("a signature reads `property@role: words`".to_owned()));
}
