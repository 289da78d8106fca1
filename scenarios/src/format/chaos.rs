//! Chaos plans: what goes wrong when in a fake Consul that others are tested against.
//!
//! A plan is a TOML file with a list `fault`; [`ironbird_sim::consul::chaos::ChaosPlan`] says what a fault
//! can be. As with scenarios, every field is read on its own first, so that a complaint points at the word
//! that is wrong.

use ironbird_sim::consul::chaos::{ChaosFault, ChaosPlan, Trouble, Whom};
use ironbird_sim::plan::Span;
use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::complaints::Complaints;
use super::faults::{Length, list, one_of, reads_as, unfit};
use super::{MAX_FILE_BYTES, Rejected};

/// Reads a plan. `file` is what the user calls it.
///
/// # Errors
/// Everything that is wrong with it, as far as it could be read.
pub fn parse_chaos(file: &str, source: &str) -> Result<ChaosPlan, Rejected> {
    if source.len() as u64 > MAX_FILE_BYTES {
        return Err(Rejected::whole(file, format!("a chaos plan has at most {MAX_FILE_BYTES} bytes")));
    }
    let mut complaints = Complaints::about(source);
    let plan = read(source, &mut complaints);
    if complaints.is_empty() {
        return Ok(plan);
    }
    Err(Rejected { file: file.to_owned(), source: source.to_owned(), diagnostics: complaints.into_list() })
}

fn read(source: &str, complaints: &mut Complaints<'_>) -> ChaosPlan {
    let (root, errors) = DeTable::parse_recoverable(source);
    for error in &errors {
        complaints.toml(error, 0..0);
    }
    let mut plan = ChaosPlan::default();
    if !errors.is_empty() {
        return plan;
    }
    for (key, value) in root.get_ref() {
        match key.get_ref().as_ref() {
            "fault" => {
                let faults = list(value, complaints).unwrap_or_default();
                plan.faults = faults.iter().filter_map(|fault| one(fault, complaints)).collect();
            }
            word => complaints.unknown(key.span(), "field of a chaos plan", word, ["fault"]),
        }
    }
    if !root.get_ref().contains_key("fault") {
        complaints.add(0..0, "the plan has no fault", Some("write each as `[[fault]]`".to_owned()));
    }
    plan
}

fn one(fault: &Spanned<DeValue<'_>>, complaints: &mut Complaints<'_>) -> Option<ChaosFault> {
    let DeValue::Table(table) = fault.get_ref() else {
        complaints.add(fault.span(), "a fault is a table", None);
        return None;
    };
    if !fields_are_sound(table, complaints) {
        return None;
    }
    // What is left are fields that do not go together.
    ChaosFault::deserialize(ValueDeserializer::from(fault.clone()))
        .map_err(|error| unfit(fault, table, &error, complaints))
        .ok()
}

fn fields_are_sound(table: &DeTable<'_>, complaints: &mut Complaints<'_>) -> bool {
    let mut sound = true;
    for (key, value) in table {
        sound &= match key.get_ref().as_ref() {
            "at" | "latency" => reads_as::<Span>(value, complaints),
            "kind" => one_of(value, "kind of fault", Trouble::NAMES, complaints),
            "for" if value.get_ref().as_str() == Some("ever") => true,
            "for" | "delay" => reads_as::<Length>(value, complaints),
            "status" => reads_as::<u16>(value, complaints),
            "share" => reads_as::<f64>(value, complaints),
            "target" => reads_as::<Whom>(value, complaints),
            "wipe" => reads_as::<bool>(value, complaints),
            other => {
                complaints.unknown(key.span(), "field of a fault", other, ChaosFault::FIELDS);
                false
            }
        };
    }
    sound
}

#[cfg(test)]
mod tests {
    use super::parse_chaos;

    #[test]
    fn a_sound_plan_is_read_whole() {
        let plan = parse_chaos(
            "plan.toml",
            "[[fault]]\nat = \"10s..20s\"\nfor = \"5s\"\nkind = \"stale\"\ndelay = \"3s\"\n\
             [[fault]]\nat = \"1m\"\nkind = \"index-reset\"\n",
        );
        let plan = plan.expect("a sound plan");
        assert_eq!(plan.faults.len(), 2);
        assert_eq!(plan.faults[1].trouble.name(), "index-reset");
    }

    #[test]
    fn complaints_point_at_the_word_and_name_the_nearest() {
        for (source, place, message, help) in [
            (
                "[[fault]]\nat = \"1s\"\nkind = \"leaderles\"",
                (3, 8),
                "`leaderles` is no kind of fault",
                "did you mean `leaderless`?",
            ),
            (
                "[[fault]]\nat = \"1s\"\nkind = \"hang\"\nstatsu = 500",
                (4, 1),
                "`statsu` is no field of a fault",
                "did you mean `status`?",
            ),
            (
                "[[fualt]]\nat = \"1s\"",
                (1, 3),
                "`fualt` is no field of a chaos plan",
                "did you mean `fault`?",
            ),
            (
                "[[fault]]\nat = \"1s\"\nfor = \"1s\"\nkind = \"hang\"\nshare = 0.5",
                (5, 1),
                "a `hang` fault takes no `share`",
                "",
            ),
            (
                "[[fault]]\nat = \"1s\"\nfor = \"1s\"\nkind = \"errors\"\nstatus = 200",
                (5, 1),
                "`status` 200 is no error: 400 to 599",
                "",
            ),
            (
                "[[fault]]\nat = \"1s\"\nfor = \"1s\"\nkind = \"isolate\"\ntarget = \"server-0\"",
                (5, 10),
                "`server-0` is no target",
                "",
            ),
            ("[[fault]]\nat = 1\nkind = \"refuse\"", (2, 6), "invalid type", ""),
            ("", (1, 1), "the plan has no fault", "write each as `[[fault]]`"),
            ("[[fault]", (1, 9), "", ""),
        ] {
            let rejected = parse_chaos("plan.toml", source).expect_err(source);
            let found = rejected.diagnostics.iter().any(|diagnostic| {
                let at = diagnostic.place.as_ref().map(|place| (place.line, place.column));
                at == Some(place)
                    && diagnostic.message.contains(message)
                    && diagnostic.help.as_deref().unwrap_or_default().contains(help)
            });
            assert!(found, "{:?}", rejected.diagnostics);
        }
    }

    #[test]
    fn a_plan_has_limits() {
        assert!(parse_chaos("plan.toml", &"#".repeat(2 << 20)).is_err());
        let many = "[[fault]]\nat='1s'\nkind='index-reset'\n".repeat(10_001);
        assert!(parse_chaos("plan.toml", &many).is_err());
    }
}
