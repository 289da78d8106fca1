//! Scripts in a file: a section for every endpoint and behaviour.
//!
//! ```text
//! ## kv: check-and-set
//! PUT /v1/kv/{k}a?cas=0 | x
//! ```
//!
//! Lines follow each other in one play until a line `---`; what comes after it starts from nothing.
//! A section that says `~ differs: why` is a play of its own that is known not to be the same, and
//! must not be. One that says `~ may differ: how`, `~ elsewhere: which test` or `~ not covered: why` has no
//! requests.

use super::Step;

/// What is known of a section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Both answer the same.
    Same,
    /// They do not, because of this.
    Differs(String),
    /// They may differ, and both are right: this is how.
    MayDiffer(String),
    /// They do the same, as this shows.
    Elsewhere(String),
    /// Nothing is known, because of this.
    NotCovered(String),
}

/// A section.
#[derive(Debug)]
pub struct Section {
    /// What it is about: `kv`, `session`.
    pub endpoint: String,
    /// What of it.
    pub behaviour: String,
    /// What is known of it.
    pub verdict: Verdict,
    /// Its requests.
    pub steps: Vec<Step>,
    /// Whether it starts from nothing.
    pub fresh: bool,
}

/// Reads a file.
///
/// # Panics
/// When it is not sound.
#[must_use]
pub fn parse(text: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let mut fresh = true;
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(title) = line.strip_prefix("## ") {
            let (endpoint, behaviour) =
                title.split_once(": ").unwrap_or_else(|| panic!("no behaviour in {line:?}"));
            sections.push(Section {
                endpoint: endpoint.to_owned(),
                behaviour: behaviour.to_owned(),
                verdict: Verdict::Same,
                steps: Vec::new(),
                fresh: std::mem::take(&mut fresh),
            });
            continue;
        }
        if line == "---" {
            fresh = true;
            continue;
        }
        let section = sections.last_mut().unwrap_or_else(|| panic!("{line:?} belongs to no section"));
        if let Some(why) = line.strip_prefix("~ differs: ") {
            section.verdict = Verdict::Differs(why.to_owned());
        } else if let Some(how) = line.strip_prefix("~ may differ: ") {
            section.verdict = Verdict::MayDiffer(how.to_owned());
        } else if let Some(place) = line.strip_prefix("~ elsewhere: ") {
            section.verdict = Verdict::Elsewhere(place.to_owned());
        } else if let Some(why) = line.strip_prefix("~ not covered: ") {
            section.verdict = Verdict::NotCovered(why.to_owned());
        } else if !line.starts_with('#') {
            section.steps.push(Step::parse(line));
        }
    }
    sections
}

/// The plays the sections make up: sections that follow each other share one.
#[must_use]
pub fn plays(sections: &[Section]) -> Vec<&[Section]> {
    sections.chunk_by(|_, next| !next.fresh).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_share_a_play_until_a_line_parts_them() {
        let sections =
            parse("## a: b\nGET /\n## a: c\nGET /\nGET /\n---\n## d: e\n~ differs: it does\nGET /\n");
        let lengths: Vec<_> = plays(&sections).iter().map(|play| play.len()).collect();
        assert_eq!(lengths, [2, 1]);
        assert_eq!(sections[1].steps.len(), 2);
        assert_eq!(sections[2].verdict, Verdict::Differs("it does".to_owned()));
    }
}
