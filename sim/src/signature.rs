//! What makes two failures the same failure.
//!
//! Ten thousand runs fail in a handful of ways. A [`Signature`] is what a violation keeps when everything
//! that differs from run to run is taken out of it: the property, what the machine was just before, and the
//! words of what was seen, without machines, ids, numbers and times. Runs are counted by it, a plan is
//! shrunk as long as it stays the same, and a stored failure is known by it.
//!
//! It reads `one-writable-primary@replica: instance takes writes and follows nobody, and so does instance`,
//! and reads back. The rule a change must keep: it is a pure function of the record, and it does not depend
//! on how many machines there are; otherwise the same failure in a smaller cluster would be another one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::properties::state::State;
use crate::properties::{CLUSTER, Property, Violation};
use crate::record::Record;

/// What a run that panicked has in place of a property.
const PANIC: &str = "panic";
/// The longest text of a signature, in bytes.
const LONGEST: usize = 400;
/// Digits of [`Signature::id`].
const ID_DIGITS: usize = 8;

/// What a failure has in common with all others like it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Signature {
    what: What,
    role: Role,
    words: String,
}

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum What {
    Panic,
    Violation(Property),
}

/// What a machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// It takes writes and follows nobody.
    Primary,
    /// It receives and applies from its source.
    Replica,
    /// It is an instance of the cluster, and at that moment neither.
    Instance,
    /// It is a node of Consul.
    Consul,
    /// It is a client.
    Client,
    /// It is the object store.
    Store,
    /// It is no machine: what is wrong is wrong with all of them.
    Cluster,
}

impl Role {
    const ALL: [Self; 7] = [
        Self::Primary,
        Self::Replica,
        Self::Instance,
        Self::Consul,
        Self::Client,
        Self::Store,
        Self::Cluster,
    ];

    /// Its name in signatures.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Replica => "replica",
            Self::Instance => "instance",
            Self::Consul => "consul",
            Self::Client => "client",
            Self::Store => "store",
            Self::Cluster => CLUSTER,
        }
    }

    /// What `host` is when the events so far add up to `state`.
    fn of(host: &str, state: &State) -> Self {
        match stem(host) {
            "consul" | "agent" => Self::Consul,
            "client" => Self::Client,
            "store" => Self::Store,
            "mysql" if state.writable_primaries().any(|primary| primary == host) => Self::Primary,
            "mysql" if state.replicates(host) => Self::Replica,
            "mysql" => Self::Instance,
            _ => Self::Cluster,
        }
    }
}

impl Signature {
    /// The signatures of `violations` of `record`, each once, in the order of the violations.
    pub fn of_all(record: &Record, violations: &[Violation]) -> Vec<Self> {
        let mut sorted: Vec<_> = violations.iter().collect();
        sorted.sort_by_key(|violation| violation.step);
        let mut state = State::default();
        let mut events = record.events.iter().peekable();
        let mut found = Vec::new();
        for violation in sorted {
            // Up to the event before: what the machine was when it did what it did.
            while let Some(event) = events.next_if(|event| event.step < violation.step) {
                state.apply(event);
            }
            let signature = Self {
                what: What::Violation(violation.property),
                role: Role::of(&violation.host, &state),
                words: words(&violation.detail),
            };
            if !found.contains(&signature) {
                found.push(signature);
            }
        }
        found
    }

    /// The signature of a run that panicked and said `message`.
    pub fn of_panic(message: &str) -> Self {
        Self { what: What::Panic, role: Role::Cluster, words: words(message) }
    }

    /// The property that did not hold; none when the run panicked.
    pub fn property(&self) -> Option<Property> {
        match self.what {
            What::Violation(property) => Some(property),
            What::Panic => None,
        }
    }

    /// The name of that property, or `panic`.
    pub fn name(&self) -> &'static str {
        match self.what {
            What::Violation(property) => property.name(),
            What::Panic => PANIC,
        }
    }

    /// What the machine was.
    pub fn role(&self) -> Role {
        self.role
    }

    /// What was seen, without what differs from run to run.
    pub fn words(&self) -> &str {
        &self.words
    }

    /// A short name: the first digits of its hash.
    pub fn id(&self) -> String {
        let hash = blake3::hash(self.to_string().as_bytes()).to_hex();
        hash.chars().take(ID_DIGITS).collect()
    }

    /// Whether `text` is the signature or its id.
    pub fn answers_to(&self, text: &str) -> bool {
        let text = text.trim();
        text == self.id() || text == self.to_string()
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}: {}", self.name(), self.role.name(), self.words)
    }
}

impl FromStr for Signature {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || "a signature reads `property@role: words`".to_owned();
        let (head, seen) = text.split_once(": ").ok_or_else(form)?;
        let (what, role) = head.split_once('@').ok_or_else(form)?;
        let what = if what == PANIC {
            What::Panic
        } else {
            let property = Property::ALL.into_iter().find(|property| property.name() == what);
            What::Violation(property.ok_or_else(|| format!("`{what}` is no property"))?)
        };
        let role = Role::ALL
            .into_iter()
            .find(|known| known.name() == role)
            .ok_or_else(|| format!("`{role}` is no role of a machine"))?;
        if seen.is_empty() || words(seen) != seen {
            return Err("the words of a signature hold no machines, ids, numbers or times".to_owned());
        }
        Ok(Self { what, role, words: seen.to_owned() })
    }
}

impl TryFrom<String> for Signature {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Signature> for String {
    fn from(signature: Signature) -> Self {
        signature.to_string()
    }
}

/// `mysql-2` as `mysql`.
fn stem(host: &str) -> &str {
    host.split_once('-').map_or(host, |(stem, _)| stem)
}

/// How a list that has become one word may still tell how long it was.
const PLURALS: [(&str, &str); 2] =
    [("writes N more, the first", "write N"), ("writes N, the first", "write N")];

/// `detail` without what differs from run to run: clauses that then say the same are said once, and in an
/// order of their own.
fn words(detail: &str) -> String {
    let mut text: String = detail.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    // What was taken out can bring together what is then a list; once more settles it, for any sane text.
    for _ in 0..8 {
        let next = taken_out(&text);
        if next == text {
            break;
        }
        text = next;
    }
    text
}

fn taken_out(text: &str) -> String {
    let (head, tail) = match text.split_once(": ") {
        Some((head, tail)) if tail.contains("; ") => (Some(clause(head)), tail),
        _ => (None, text),
    };
    let mut clauses: Vec<_> = tail.split("; ").map(clause).filter(|clause| !clause.is_empty()).collect();
    if clauses.len() > 1 {
        clauses.sort_unstable();
        clauses.dedup();
    }
    let mut text = head.into_iter().chain([clauses.join("; ")]).collect::<Vec<_>>().join(": ");
    for (many, one) in PLURALS {
        text = text.replace(many, one);
    }
    let mut end = LONGEST.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    let text = text.trim();
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

/// One clause, word by word. A list of machines or numbers, however long, is one.
fn clause(text: &str) -> String {
    let mut out: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let word = bare(word);
        let joins = |word: &str| matches!(word, "and" | "or");
        // `N, N and N` is `N`, and so is the unit after a number of seconds.
        let length = out.len();
        let same = |other: &String| other.trim_end_matches(',') == word.trim_end_matches([',', ';', '.']);
        let is_place = is_placeholder(word.trim_end_matches([',', ';', '.']));
        if is_place && length > 1 && joins(&out[length - 1]) && same(&out[length - 2]) {
            out.truncate(length - 2);
        } else if is_place && length > 0 && out[length - 1].ends_with(',') && same(&out[length - 1]) {
            out.truncate(length - 1);
        }
        out.push(word);
    }
    out.join(" ")
}

/// Whether a word stands for what was taken out.
fn is_placeholder(word: &str) -> bool {
    matches!(word, "N" | "ID" | "instance" | "node" | "client")
}

/// One word without the machine, id or number in it.
fn bare(word: &str) -> String {
    let core = word.trim_matches(|c: char| c.is_ascii_punctuation() && c != '-');
    let Some(start) = word.find(core).filter(|_| !core.is_empty()) else {
        return word.to_owned();
    };
    let (before, after) = (&word[..start], &word[start + core.len()..]);
    let numbered =
        core.rsplit_once('-').filter(|(_, n)| !n.is_empty() && n.bytes().all(|c| c.is_ascii_digit()));
    let replaced = match numbered {
        Some(("mysql", _)) => "instance".to_owned(),
        Some(("client", _)) => "client".to_owned(),
        Some(("consul" | "agent" | "server", _)) => "node".to_owned(),
        // `ID:N` is a transaction's id: the server's, and its number there.
        _ => core
            .split(':')
            .map(|part| if is_id(part) { "ID".to_owned() } else { without_numbers(part) })
            .collect::<Vec<_>>()
            .join(":"),
    };
    format!("{before}{replaced}{after}")
}

/// Whether it is a UUID, or another long hexadecimal number.
fn is_id(word: &str) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_hexdigit).count();
    digits >= 8
        && word.bytes().any(|c| c.is_ascii_digit())
        && word.bytes().all(|c| c.is_ascii_hexdigit() || c == b'-')
}

/// Every run of digits as `N`; `128.417` is one number.
fn without_numbers(word: &str) -> String {
    let mut out = String::with_capacity(word.len());
    let mut in_number = false;
    for c in word.chars() {
        let of_number = c.is_ascii_digit() || (in_number && matches!(c, '.' | ','));
        if !of_number {
            out.push(c);
        } else if !in_number {
            out.push('N');
        }
        in_number = of_number;
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Role, Signature, words};
    use crate::properties::testing::Script;
    use crate::properties::{Property, check};

    #[test]
    fn what_differs_from_run_to_run_is_taken_out() {
        for (detail, expected) in [
            (
                "mysql-2 takes writes and follows nobody, and so does mysql-13",
                "instance takes writes and follows nobody, and so does instance",
            ),
            (
                "mysql-2 takes writes and follows nobody, and so does mysql-13, mysql-1",
                "instance takes writes and follows nobody, and so does instance",
            ),
            ("mysql-1 and mysql-2 and mysql-3 take writes", "instance take writes"),
            ("not whole at 451.000 s: 1 of 3 instances run", "not whole at N s: N of N instances run"),
            (
                "session 8b5f46bd-1d4e-4c1a-9d0a-3f0c7d1e2a5b expired at 3.500 s, before its TTL",
                "session ID expired at N s, before its TTL",
            ),
            (
                "mysql-2 is no replica of mysql-1: its replication failed (3f2a91bc-0001-4002-8003-0000000000a1:17)",
                "instance is no replica of instance: its replication failed (ID:N)",
            ),
            ("writes 7, 8, 9 and 3 more, the first, acknowledged", "write N, acknowledged"),
            ("writes 7, 8, the first, acknowledged", "write N, acknowledged"),
            ("write 7, acknowledged", "write N, acknowledged"),
            ("", "-"),
            ("\u{1b}[31m;", "[Nm;"),
        ] {
            assert_eq!(words(detail), expected, "{detail}");
        }
    }

    #[test]
    fn a_cluster_lacks_the_same_however_many_machines_lack_it() {
        let one = "not whole at 451.000 s: mysql-3 is no replica of mysql-1: its mysqld is down; 2 of 3 instances run";
        let two = "not whole at 99.000 s: mysql-3 is no replica of mysql-1: its mysqld is down; \
                   mysql-2 is no replica of mysql-1: its mysqld is down; 3 of 5 instances run";
        assert_eq!(words(one), words(two));
    }

    #[test]
    fn the_role_is_the_one_before() {
        let mut script = Script::new();
        script.at(1_000).healthy_primary("mysql-1").healthy_replica("mysql-2", "mysql-1");
        script.at(9_000).replication("mysql-2", "", false, false).writable("mysql-2", true);
        let record = script.record();
        let signatures = Signature::of_all(&record, &check(&record));
        let two = &signatures[0];
        assert_eq!((two.property(), two.role()), (Some(Property::OneWritablePrimary), Role::Instance));
        assert_eq!(
            two.to_string(),
            "one-writable-primary@instance: instance takes writes and follows nobody, and so does instance"
        );
    }

    #[test]
    fn what_is_no_signature_is_refused() {
        for (text, expected) in [
            ("one-writable-primary", "a signature reads `property@role: words`"),
            ("flat-earth@primary: x", "`flat-earth` is no property"),
            ("lock-delay@king: x", "`king` is no role of a machine"),
            (
                "lock-delay@primary: mysql-2",
                "the words of a signature hold no machines, ids, numbers or times",
            ),
            ("lock-delay@primary: ", "the words of a signature hold no machines, ids, numbers or times"),
        ] {
            assert_eq!(text.parse::<Signature>().unwrap_err(), expected);
        }
    }

    proptest! {
        #[test]
        fn taking_out_twice_is_taking_out_once(detail in "\\PC{0,120}") {
            let once = words(&detail);
            prop_assert_eq!(words(&once), once);
        }

        #[test]
        fn a_signature_reads_back(message in "\\PC{0,600}") {
            let signature = Signature::of_panic(&message);
            prop_assert_eq!(signature.to_string().parse::<Signature>(), Ok(signature.clone()));
            prop_assert!(signature.answers_to(&signature.id()) && signature.answers_to(&signature.to_string()));
        }
    }
}
