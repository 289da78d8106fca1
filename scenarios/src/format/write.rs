//! A scenario file made by the program: one variant, one seed, and of the spec only what is not as usual.
//!
//! The rule a change must keep: what is written reads back as the same spec and the same expectation.

use std::fmt::Write;

use ironbird_sim::spec::Spec;
use toml::{Table, Value};

use super::{Expectation, Rejected, Scenario, parse};

/// A scenario file in the making.
#[derive(Debug, Clone)]
pub struct Draft<'a> {
    /// The file's stem: lower-case letters and digits joined by dashes.
    pub name: String,
    /// What happens, in a line.
    pub title: String,
    /// Where it comes from.
    pub why: String,
    /// The one seed.
    pub seed: u64,
    /// The variant's name.
    pub variant: &'a str,
    /// What is run.
    pub spec: &'a Spec,
    /// What must come out.
    pub expect: &'a Expectation,
}

impl Draft<'_> {
    /// The file's text.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for (field, text) in [("name", &self.name), ("title", &self.title), ("why", &self.why)] {
            line(&mut out, field, &Value::String(text.trim().to_owned()));
        }
        line_raw(&mut out, "seed", &self.seed.to_string());
        for (name, table) in &unusual(self.spec) {
            section(&mut out, &format!("[{name}]"), table);
        }
        for fault in &self.spec.faults {
            out += "\n[[fault]]\n";
            // A fault is texts and numbers, which TOML can hold.
            out += &toml::to_string(fault).unwrap_or_default();
        }
        let mut variant = Table::new();
        variant.insert("expect".to_owned(), expectation(self.expect));
        section(&mut out, &format!("[variant.{}]", self.variant), &variant);
        out
    }

    /// The scenario this file is.
    ///
    /// # Errors
    /// When it is no sound one.
    pub fn read(&self) -> Result<Scenario, Rejected> {
        parse(&format!("{}.toml", self.name), &self.text())
    }
}

/// The parts of `spec` that are not as usual, its faults apart.
fn unusual(spec: &Spec) -> Vec<(String, Table)> {
    let [written, usual] = [spec, &Spec::default()].map(as_table);
    let tables = written.into_iter().filter_map(|(name, value)| {
        let Value::Table(mut table) = value else { return None };
        let usual = usual.get(&name);
        table.retain(|field, value| usual.and_then(|usual| usual.get(field)) != Some(value));
        (!table.is_empty()).then_some((name, table))
    });
    tables.collect()
}

/// `spec` as its file has it, faults and all.
pub(crate) fn as_table(spec: &Spec) -> Table {
    // A spec is written to tables and texts, which TOML can hold.
    Table::try_from(spec).unwrap_or_default()
}

fn expectation(expect: &Expectation) -> Value {
    let Expectation::Violates(symptom) = expect else {
        return Value::String("pass".to_owned());
    };
    let mut table = Table::new();
    let names: Vec<_> = symptom.properties.iter().map(|one| Value::String(one.name().to_owned())).collect();
    let violates = match &names[..] {
        [one] => one.clone(),
        _ => Value::Array(names),
    };
    table.insert("violates".to_owned(), violates);
    if let Some(log) = &symptom.log {
        table.insert("log".to_owned(), Value::String(log.clone()));
    }
    if let Some(signature) = &symptom.signature {
        table.insert("signature".to_owned(), Value::String(signature.to_string()));
    }
    if symptom.share < 1.0 {
        table.insert("share".to_owned(), Value::Float(symptom.share));
    }
    Value::Table(table)
}

/// A table's head and its lines; what is a table in it stands on one line.
fn section(out: &mut String, head: &str, table: &Table) {
    // Writing to a string does not fail.
    writeln!(out, "\n{head}").ok();
    for (field, value) in table {
        line(out, field, value);
    }
}

fn line(out: &mut String, field: &str, value: &Value) {
    line_raw(out, field, &value.to_string());
}

fn line_raw(out: &mut String, field: &str, value: &str) {
    writeln!(out, "{field} = {value}").ok();
}

#[cfg(test)]
mod tests {
    use ironbird_sim::plan::{Fault, Span};
    use ironbird_sim::properties::Property;
    use ironbird_sim::spec::{Handlers, Spec};

    use super::Draft;
    use crate::format::{Expectation, Symptom};

    #[test]
    fn what_is_written_reads_back() {
        let mut spec = Spec::default();
        spec.cluster.instances = 5;
        spec.cluster.handlers = Handlers::Published;
        spec.network.latency = Span::millis(2, 9);
        spec.network.loss = 0.25;
        let fault =
            "at = \"3m 3s 17ms\"\nkind = \"cut\"\ntarget = \"leader\"\npeer = \"consul\"\nfor = \"30s\"";
        spec.faults.push(toml::from_str::<Fault>(fault).unwrap());
        for expect in [
            Expectation::Pass,
            Expectation::Violates(Symptom {
                properties: vec![Property::LockDelay, Property::SessionTtl],
                log: Some("a \"quoted\" line".to_owned()),
                signature: Some("lock-delay@replica: N is no N".parse().unwrap()),
                share: 0.5,
            }),
        ] {
            let draft = Draft {
                name: "found-1".to_owned(),
                title: "A cut".to_owned(),
                why: "Found by \"chance\".\nTwice.".to_owned(),
                seed: u64::MAX,
                variant: "published",
                spec: &spec,
                expect: &expect,
            };
            let read = draft.read().unwrap_or_else(|error| panic!("{error}\n{}", draft.text()));
            assert_eq!((read.seed, read.seeds), (Some(u64::MAX), 1));
            assert_eq!(read.why, draft.why);
            assert_eq!(read.variants[0].spec, spec, "{}", draft.text());
            assert_eq!(read.variants[0].expect, expect);
        }
    }

    #[test]
    fn what_is_as_usual_is_not_written() {
        let spec = Spec::default();
        let draft = Draft {
            name: "calm".to_owned(),
            title: "Calm".to_owned(),
            why: "Because".to_owned(),
            seed: 7,
            variant: "calm",
            spec: &spec,
            expect: &Expectation::Pass,
        };
        let expected = "name = \"calm\"\ntitle = \"Calm\"\nwhy = \"Because\"\nseed = 7\n\n[variant.calm]\nexpect = \"pass\"\n";
        assert_eq!(draft.text(), expected);
    }
}
