//! What an experiment found: figures with a name, and the answers that were seen.

use std::collections::{BTreeMap, BTreeSet};

use super::Answer;

/// Figures and answers, by what they are of.
#[derive(Debug, Default)]
pub struct Findings {
    /// Seconds, mostly.
    pub figures: BTreeMap<String, Vec<f64>>,
    /// How many runs saw which answers.
    pub answers: BTreeMap<String, BTreeMap<String, usize>>,
    /// How many runs there were, by what was asked.
    pub runs: BTreeMap<String, usize>,
}

impl Findings {
    /// Adds a figure.
    pub fn figure(&mut self, name: impl Into<String>, value: f64) {
        self.figures.entry(name.into()).or_default().push(value);
    }

    /// Adds what one run was answered, without what differs from cluster to cluster.
    pub fn answers<'a>(&mut self, name: impl Into<String>, answers: impl IntoIterator<Item = &'a Answer>) {
        let name = name.into();
        let distinct: BTreeSet<String> = answers.into_iter().map(plain).collect();
        *self.runs.entry(name.clone()).or_default() += 1;
        let seen = self.answers.entry(name).or_default();
        for answer in distinct {
            *seen.entry(answer).or_default() += 1;
        }
    }

    /// Adds what another run found.
    pub fn absorb(&mut self, other: Self) {
        for (name, mut values) in other.figures {
            self.figures.entry(name).or_default().append(&mut values);
        }
        for (name, runs) in other.runs {
            *self.runs.entry(name).or_default() += runs;
        }
        for (name, seen) in other.answers {
            let ours = self.answers.entry(name).or_default();
            for (answer, count) in seen {
                *ours.entry(answer).or_default() += count;
            }
        }
    }
}

/// An answer with its addresses and ids replaced.
///
/// A connection that was closed is an `EOF` or a `stream closed`, by whether it was in use: that is a
/// matter of what else a process did a moment ago, and the two count as one.
fn plain(answer: &Answer) -> String {
    let is_part = |character: char| character.is_ascii_hexdigit() || matches!(character, '.' | ':' | '-');
    let mut text = format!("{} ", answer.status);
    let mut rest = answer.body.as_str();
    while let Some(start) = rest.find(is_part) {
        let (before, from) = rest.split_at(start);
        let end = from.find(|character| !is_part(character)).unwrap_or(from.len());
        let word = &from[..end];
        text.push_str(before);
        let core = word.trim_end_matches([':', '-', '.']);
        match (core.matches('.').count(), core.matches('-').count()) {
            (3, _) => text.push_str("ADDRESS"),
            (_, 4) => text.push_str("ID"),
            _ => text.push_str(core),
        }
        text.push_str(&word[core.len()..]);
        rest = &from[end..];
    }
    text.push_str(rest);
    text.trim_end().replace("stream closed", "EOF")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_ids_are_replaced() {
        let body = "dial tcp 10.0.0.1:0->10.0.0.2:8300: connect: no, Session id \
                    'a3f4b5c6-0000-1111-2222-333344445555' not found at \"1.2.3.4:8300\"";
        let answer = Answer { sent: 0.0, at: 0.0, status: 500, body: body.to_owned() };
        let expected = "500 dial tcp ADDRESS->ADDRESS: connect: no, Session id 'ID' not found at \"ADDRESS\"";
        assert_eq!(plain(&answer), expected);
    }
}
