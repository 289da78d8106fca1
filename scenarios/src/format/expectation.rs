//! What a variant's runs must come to.

use std::fmt;

use ironbird_agent::journal::Entry;
use ironbird_sim::properties::Property;
use ironbird_sim::record::What;
use ironbird_sim::run::Run;
use ironbird_sim::signature::Signature;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::complaints::Complaints;
use super::{limits, nearest, property_names};

/// What a variant's runs must come to.
#[derive(Debug, Clone, PartialEq)]
pub enum Expectation {
    /// Nothing is violated, ever.
    Pass,
    /// The runs show a symptom.
    Violates(Symptom),
}

/// How a known weakness shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Symptom {
    /// At least one of these is violated. Never empty.
    pub properties: Vec<Property>,
    /// Some agent said a line that contains this.
    pub log: Option<String>,
    /// It is this very failure.
    pub signature: Option<Signature>,
    /// The least share of runs that must show it, above 0 and up to 1.
    pub share: f64,
}

impl Expectation {
    /// Why `run` is not what is expected of a run, or `None` when it is.
    pub fn objection(&self, run: &Run) -> Option<String> {
        let Self::Violates(symptom) = self else {
            return (!run.violations.is_empty()).then(|| {
                let mut names: Vec<_> = run.violations.iter().map(|v| v.property.name()).collect();
                names.sort_unstable();
                names.dedup();
                format!("violates {}, expected to pass", names.join(" and "))
            });
        };
        let violated =
            run.violations.iter().any(|violation| symptom.properties.contains(&violation.property));
        if !violated {
            return Some(format!("does not violate {}", symptom.names()));
        }
        if let Some(signature) = &symptom.signature {
            let shown = Signature::of_all(&run.record, &run.violations);
            if !shown.contains(signature) {
                let shown: Vec<_> = shown.iter().map(|one| format!("\"{one}\"")).collect();
                return Some(format!("does not show \"{signature}\" but {}", shown.join(" and ")));
            }
        }
        let text = symptom.log.as_deref()?;
        (!says(run, text)).then(|| format!("violates {}, but no agent says \"{text}\"", symptom.names()))
    }

    /// How many of `runs` runs may be other than expected.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "numbers of runs are far below 2^52"
    )]
    pub fn tolerated(&self, runs: u64) -> u64 {
        match self {
            Self::Pass => 0,
            // A share is written in decimal: 0.95 of 200 is 190, whatever binary makes of it.
            Self::Violates(symptom) => runs - (runs as f64 * symptom.share - 1e-9).ceil().max(0.0) as u64,
        }
    }
}

impl Symptom {
    fn names(&self) -> String {
        let names: Vec<_> = self.properties.iter().map(|property| property.name()).collect();
        names.join(" or ")
    }
}

/// In words; with `{:#}` also what must be said in the log.
impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Violates(symptom) = self else {
            return f.write_str("pass");
        };
        write!(f, "violates {}", symptom.names())?;
        if symptom.share < 1.0 {
            write!(f, " in at least {} % of runs", symptom.share * 100.0)?;
        }
        if f.alternate()
            && let Some(signature) = &symptom.signature
        {
            write!(f, ", as {}", signature.id())?;
        }
        if f.alternate()
            && let Some(log) = &symptom.log
        {
            write!(f, ", saying \"{log}\"")?;
        }
        Ok(())
    }
}

fn says(run: &Run, text: &str) -> bool {
    run.record
        .events
        .iter()
        .any(|event| matches!(&event.what, What::Agent(Entry::Log { message, .. }) if message.contains(text)))
}

/// Reads the value of `expect`.
pub(super) fn read(value: &Spanned<DeValue<'_>>, complaints: &mut Complaints<'_>) -> Option<Expectation> {
    match value.get_ref() {
        DeValue::String(word) if word == "pass" => Some(Expectation::Pass),
        DeValue::Table(table) => symptom(table, value.span(), complaints).map(Expectation::Violates),
        other => {
            let help = match other.as_str() {
                Some(word) if property_names().any(|name| name == word) => {
                    format!("write `expect = {{ violates = \"{word}\" }}`")
                }
                Some(word) if nearest(word, ["pass"]).is_some() => "did you mean `pass`?".to_owned(),
                _ => "write `\"pass\"` or `{ violates = \"one-writable-primary\" }`".to_owned(),
            };
            complaints.add(value.span(), "this is no expectation", Some(help));
            None
        }
    }
}

fn symptom(
    table: &DeTable<'_>,
    whole: std::ops::Range<usize>,
    complaints: &mut Complaints<'_>,
) -> Option<Symptom> {
    let (mut properties, mut log, mut share, mut signature) = (Vec::new(), None, 1.0, None);
    for (key, value) in table {
        match (key.get_ref().as_ref(), value.get_ref()) {
            ("violates", DeValue::String(_)) => properties.extend(property(value, complaints)),
            ("violates", DeValue::Array(list)) if list.is_empty() => {
                complaints.add(value.span(), "the list names no property", None);
            }
            ("violates", DeValue::Array(list)) => {
                properties.extend(list.iter().filter_map(|value| property(value, complaints)));
            }
            ("violates", _) => {
                complaints.add(value.span(), "expected a property or a list of properties", None);
            }
            ("log", DeValue::String(text)) => {
                limits::text("log", text, value.span(), complaints);
                log = Some(text.to_string());
            }
            ("log", _) => complaints.add(value.span(), "expected the text of a log line", None),
            ("signature", text) => match text.as_str().unwrap_or_default().parse::<Signature>() {
                Ok(known) => signature = Some(known),
                Err(error) => complaints.add(value.span(), error, None),
            },
            ("share", number) => match share_of_runs(number) {
                Some(number) => share = number,
                None => complaints.add(value.span(), "a share of runs is a number above 0 and up to 1", None),
            },
            (other, _) => {
                let parts = ["violates", "log", "share", "signature"];
                complaints.unknown(key.span(), "part of an expectation", other, parts);
            }
        }
    }
    if !table.contains_key("violates") {
        complaints.add(
            whole,
            "an expectation other than \"pass\" names what is violated",
            Some(super::suggest::hint("", property_names())),
        );
    }
    (!properties.is_empty()).then_some(Symptom { properties, log, signature, share })
}

fn property(value: &Spanned<DeValue<'_>>, complaints: &mut Complaints<'_>) -> Option<Property> {
    let Some(word) = value.get_ref().as_str() else {
        complaints.add(value.span(), "expected the name of a property", None);
        return None;
    };
    let found = Property::ALL.into_iter().find(|property| property.name() == word);
    if found.is_none() {
        complaints.unknown(value.span(), "property", word, property_names());
    }
    found
}

fn share_of_runs(value: &DeValue<'_>) -> Option<f64> {
    let text = match value {
        DeValue::Float(number) => number.as_str(),
        DeValue::Integer(number) => number.as_str(),
        _ => return None,
    };
    text.parse().ok().filter(|share| *share > 0.0 && *share <= 1.0)
}
