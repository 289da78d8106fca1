//! Collects what is wrong with a file while it is read, and puts other crates' errors into our words.

use std::ops::Range;

use super::rejected::{Diagnostic, place};
use super::suggest;

/// More than anybody fixes in one go.
const MOST: usize = 20;

/// What is wrong so far.
pub(super) struct Complaints<'s> {
    source: &'s str,
    list: Vec<Diagnostic>,
}

impl<'s> Complaints<'s> {
    pub(super) fn about(source: &'s str) -> Self {
        Self { source, list: Vec::new() }
    }

    /// The line of the source that byte `at` is in, from 1.
    pub(super) fn line(&self, at: usize) -> u32 {
        let before = self.source.as_bytes().get(..at).unwrap_or_default();
        let ends = before.iter().filter(|byte| **byte == b'\n').count();
        u32::try_from(ends + 1).unwrap_or(u32::MAX)
    }

    pub(super) fn add(&mut self, span: Range<usize>, message: impl Into<String>, help: Option<String>) {
        // A list of faults could hold one complaint a line, for every variant.
        if self.list.len() < 8 * MOST {
            self.push(Diagnostic { message: message.into(), place: Some(place(self.source, span)), help });
        }
    }

    fn push(&mut self, diagnostic: Diagnostic) {
        // What the variants share is read once for each of them.
        if !self.list.contains(&diagnostic) {
            self.list.push(diagnostic);
        }
    }

    /// A word that is none of `candidates`.
    pub(super) fn unknown<'a>(
        &mut self,
        span: Range<usize>,
        what: &str,
        word: &str,
        candidates: impl IntoIterator<Item = &'a str>,
    ) {
        self.add(span, format!("`{word}` is no {what}"), Some(suggest::hint(word, candidates)));
    }

    /// An error of the TOML reader; `fallback` is where it is put when it names no place.
    pub(super) fn toml(&mut self, error: &toml::de::Error, fallback: Range<usize>) {
        let (message, help) = explain(error.message());
        self.add(error.span().unwrap_or(fallback), message, help);
    }

    /// An empty collection about the same file.
    pub(super) fn fork(&self) -> Self {
        Self::about(self.source)
    }

    /// Takes over what `other` collected.
    pub(super) fn join(&mut self, other: Self) {
        for diagnostic in other.list {
            self.push(diagnostic);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The first complaints in the order of the file.
    pub(super) fn into_list(mut self) -> Vec<Diagnostic> {
        self.list.sort_by_key(|diagnostic| diagnostic.place.as_ref().map(|place| place.span.start));
        self.list.truncate(MOST);
        self.list
    }
}

/// serde's own sentences say what would have been right, but not which of it was meant.
fn explain(message: &str) -> (String, Option<String>) {
    for (prefix, what) in [("unknown field `", "field here"), ("unknown variant `", "value here")] {
        let Some((word, expected)) = message.strip_prefix(prefix).and_then(|rest| rest.split_once('`'))
        else {
            continue;
        };
        // Odd pieces are what stood between backticks.
        let candidates: Vec<_> = expected.split('`').skip(1).step_by(2).collect();
        let help = (!candidates.is_empty()).then(|| suggest::hint(word, candidates));
        return (format!("`{word}` is no {what}"), help);
    }
    let message = in_words(message);
    let wants_text = message.ends_with("expected a string");
    let help = (message.starts_with("invalid type: ") && wants_text && !message.contains("map"))
        .then(|| "times are text with a unit, like \"60s\" or \"250ms\"".to_owned());
    (message, help)
}

/// Without the names our own types have in Rust.
fn in_words(message: &str) -> String {
    let mut message = message.trim_end().replace('\n', ", ");
    for (end, words) in [
        ("expected usize", "expected a whole number"),
        ("expected f64", "expected a number"),
        ("expected a sequence", "expected a list"),
    ] {
        if let Some(start) = message.strip_suffix(end) {
            message = format!("{start}{words}");
        }
    }
    if let Some(at) = message.find("expected struct ") {
        message.truncate(at);
        message += "expected a table";
    }
    message
}
