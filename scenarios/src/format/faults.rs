//! Looks at every field of every fault on its own, so that a complaint points at the word that is wrong.
//!
//! [`ironbird_sim::plan::Fault`] checks itself when it is read, but as one value: its errors know only the
//! whole table. This goes first, and reads each field with the very type the fault will use.

use ironbird_sim::plan::{COMMANDS, Fault, FaultKind, Shift, Span, Target, Targets};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::complaints::Complaints;
use super::limits::MAX_FAULTS;

/// A duration as faults write it.
#[derive(Deserialize)]
pub(super) struct Length(
    #[serde(with = "ironbird_agent::duration")]
    #[expect(dead_code, reason = "read only to see whether it can be")]
    std::time::Duration,
);

/// Complains about what is wrong with the list `fault`.
pub(super) fn check(faults: &Spanned<DeValue<'_>>, complaints: &mut Complaints<'_>) {
    for fault in list(faults, complaints).unwrap_or_default() {
        match fault.get_ref() {
            DeValue::Table(table) => check_one(fault, table, complaints),
            _ => complaints.add(fault.span(), "a fault is a table", None),
        }
    }
}

/// The elements of a list of faults, or a complaint that it is none.
pub(super) fn list<'v, 'i>(
    faults: &'v Spanned<DeValue<'i>>,
    complaints: &mut Complaints<'_>,
) -> Option<&'v [Spanned<DeValue<'i>>]> {
    let Some(list) = faults.get_ref().as_array() else {
        complaints.add(
            faults.span(),
            "faults are a list of tables",
            Some("write each as `[[fault]]`".to_owned()),
        );
        return None;
    };
    if list.len() > MAX_FAULTS {
        complaints.add(faults.span(), format!("{} faults are more than {MAX_FAULTS}", list.len()), None);
        return None;
    }
    Some(list)
}

fn check_one(fault: &Spanned<DeValue<'_>>, table: &DeTable<'_>, complaints: &mut Complaints<'_>) {
    let mut sound = true;
    for (key, value) in table {
        sound &= match key.get_ref().as_ref() {
            "id" | "step" | "command" if value.get_ref().as_str().is_none() => {
                complaints.add(value.span(), format!("`{}` is a text", key.get_ref()), None);
                false
            }
            "id" => true,
            "at" | "delay" => reads_as::<Span>(value, complaints),
            "step" => reads_as::<Shift>(value, complaints),
            "command" => one_of(value, "command of an instance", COMMANDS, complaints),
            "wipe" => reads_as::<bool>(value, complaints),
            "instances" => reads_as::<usize>(value, complaints),
            "kind" => one_of(value, "kind of fault", FaultKind::NAMES, complaints),
            "target" | "peer" => are_targets(value, complaints),
            "for" if value.get_ref().as_str() == Some("ever") => true,
            "for" | "every" => reads_as::<Length>(value, complaints),
            "rate" => reads_as::<f64>(value, complaints),
            "status" => reads_as::<u16>(value, complaints),
            other => {
                complaints.unknown(key.span(), "field of a fault", other, Fault::FIELDS);
                false
            }
        };
    }
    if !sound {
        return;
    }
    // What is left are fields that do not go together.
    if let Err(error) = Fault::deserialize(ValueDeserializer::from(fault.clone())) {
        unfit(fault, table, &error, complaints);
    }
}

/// Complains that the fields of a fault, each of them sound, do not go together: at the field that the
/// error names, or at the kind.
pub(super) fn unfit(
    fault: &Spanned<DeValue<'_>>,
    table: &DeTable<'_>,
    error: &toml::de::Error,
    complaints: &mut Complaints<'_>,
) {
    let kind = table.get("kind").map(Spanned::span);
    let named = error.message().split('`').skip(1).step_by(2);
    let span = named
        .filter_map(|word| table.get_key_value(word))
        .map(|(key, _)| key.span())
        .next()
        .or(kind)
        .unwrap_or_else(|| fault.span());
    complaints.add(span, error.message().trim_end(), None);
}

pub(super) fn reads_as<T: DeserializeOwned>(
    value: &Spanned<DeValue<'_>>,
    complaints: &mut Complaints<'_>,
) -> bool {
    T::deserialize(ValueDeserializer::from(value.clone()))
        .map_err(|error| complaints.toml(&error, value.span()))
        .is_ok()
}

pub(super) fn one_of<const N: usize>(
    value: &Spanned<DeValue<'_>>,
    what: &str,
    names: [&str; N],
    complaints: &mut Complaints<'_>,
) -> bool {
    match value.get_ref().as_str() {
        Some(word) if names.contains(&word) => true,
        Some(word) => {
            complaints.unknown(value.span(), what, word, names);
            false
        }
        None => {
            complaints.add(value.span(), format!("expected the name of a {what}"), None);
            false
        }
    }
}

/// One target, or a list of them.
fn are_targets(value: &Spanned<DeValue<'_>>, complaints: &mut Complaints<'_>) -> bool {
    let Some(list) = value.get_ref().as_array() else {
        return is_target(value, complaints);
    };
    let mut sound = true;
    for target in list {
        sound &= is_target(target, complaints);
    }
    sound && reads_as::<Targets>(value, complaints)
}

fn is_target(value: &Spanned<DeValue<'_>>, complaints: &mut Complaints<'_>) -> bool {
    match value.get_ref().as_str() {
        Some(word) if word.parse::<Target>().is_ok() => true,
        Some(word) => {
            let roles = Target::roles().chain(["mysql-1", "client-1"]);
            complaints.unknown(value.span(), "target", word, roles);
            false
        }
        None => {
            complaints.add(value.span(), "expected the name of a target", None);
            false
        }
    }
}
