//! Puts what was found on the real cluster beside what was found on the model.

use std::fmt::Write as _;

use super::findings::Findings;
use super::race;

/// How far a real figure may lie outside of all the model's, in seconds: a model answers in no time, and a
/// machine that is busy is late.
pub const SLACK: f64 = 1.0;
/// How far besides, as a part of the figure.
pub const SLACK_PART: f64 = 0.15;
/// How far besides, as a part of what lies between the model's least and its most. The most of 30 drawn is
/// surpassed by every 31st; by half of the whole spread more, hardly ever.
pub const SLACK_SPREAD: f64 = 0.5;
/// From how many figures on their median says more than their extremes do.
const MANY: usize = 5;
/// What only the real one says, by what it is of and how it ends: the model does not have this.
const KNOWN: [(&str, &str); 1] = [
    // A stream to the new leader that was kept from before the cut.
    ("healed, write through the one that was cut off", "EOF"),
];
/// An answer the model gives in this part of its runs must have been seen on the real one.
const USUAL: f64 = 0.99;

/// What differs, each in a line.
pub fn differences(real: &Findings, model: &Findings) -> Vec<String> {
    let mut different = Vec::new();
    for (name, values) in &real.figures {
        match model.figures.get(name) {
            Some(modelled) => different.extend(figure(name, values, modelled)),
            None => different.push(format!("{name}: the model has no such figure")),
        }
    }
    for (name, seen) in &real.answers {
        let Some(modelled) = model.answers.get(name) else {
            different.push(format!("{name}: the model has no such answers"));
            continue;
        };
        let known = |answer: &str| KNOWN.iter().any(|(of, end)| name.ends_with(of) && answer.ends_with(end));
        for answer in seen.keys().filter(|answer| !modelled.contains_key(*answer)) {
            if !known(answer) && !race::may_be_missing(answer, modelled, modelled) {
                different.push(format!("{name}: only the real one says {answer:?}"));
            }
        }
        let runs = model.runs.get(name).copied().unwrap_or(1) as f64;
        let usual = modelled.iter().filter(|(_, count)| **count as f64 >= USUAL * runs);
        for (answer, _) in usual.filter(|(answer, _)| !seen.contains_key(*answer)) {
            if !race::may_be_missing(answer, seen, modelled) {
                different.push(format!("{name}: only the model says {answer:?}"));
            }
        }
    }
    different
}

/// What differs in one figure: it lies too far outside of the model's, or there are many and they lie
/// around something else.
fn figure(name: &str, values: &[f64], modelled: &[f64]) -> Vec<String> {
    let mut different = Vec::new();
    let ([least, middle, most], [low, median, high]) = (spread(values), spread(modelled));
    // What happens or does not is not late.
    let is_flag = name.ends_with("(0 or 1)");
    let slack = |value: f64| if is_flag { 0.0 } else { SLACK + SLACK_PART * value };
    let beyond = SLACK_SPREAD * (high - low);
    if least < low - slack(low) - beyond || most > high + slack(high) + beyond {
        different.push(format!("{name}: real {least:.3} to {most:.3}, model {low:.3} to {high:.3}"));
    }
    let reach = (high - low) / (values.len() as f64).sqrt();
    if values.len() >= MANY && (middle - median).abs() > reach + slack(median) {
        different.push(format!("{name}: median real {middle:.3}, model {median:.3}"));
    }
    different
}

/// Both, as tables.
pub fn table(real: &Findings, model: &Findings) -> String {
    let mut text = String::from(
        "| what | real: n | min / median / max | model: n | min / median / max |\n|---|--:|---|--:|---|\n",
    );
    let names =
        real.figures.keys().chain(model.figures.keys().filter(|name| !real.figures.contains_key(*name)));
    for name in names {
        let cells = [real, model].map(|findings| match findings.figures.get(name) {
            Some(values) => {
                let [least, median, most] = spread(values);
                format!("{} | {least:.2} / {median:.2} / {most:.2}", values.len())
            }
            None => "0 | -".to_owned(),
        });
        writeln!(text, "| {name} | {} | {} |", cells[0], cells[1]).expect("a string takes all");
    }
    text.push_str("\n| what | answer | real | model |\n|---|---|--:|--:|\n");
    for (name, modelled) in &model.answers {
        let empty = std::collections::BTreeMap::new();
        let seen = real.answers.get(name).unwrap_or(&empty);
        let only_real = seen.keys().filter(|answer| !modelled.contains_key(*answer));
        for answer in modelled.keys().chain(only_real) {
            let count =
                |counts: &std::collections::BTreeMap<String, usize>| counts.get(answer).copied().unwrap_or(0);
            writeln!(text, "| {name} | `{answer}` | {} | {} |", count(seen), count(modelled))
                .expect("a string takes all");
        }
    }
    text
}

/// The least, the median and the most.
fn spread(values: &[f64]) -> [f64; 3] {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    match values.as_slice() {
        [] => [0.0; 3],
        [least, ..] => [*least, values[values.len() / 2], values[values.len() - 1]],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSED: &str = "500 rpc error getting client: failed to get conn: dial tcp ADDRESS->ADDRESS: \
                           connect: connection refused";
    const EOF: &str = "500 rpc error making call: EOF";

    fn figures(values: &[f64]) -> Findings {
        figures_of("a time", values)
    }

    fn figures_of(name: &str, values: &[f64]) -> Findings {
        let mut findings = Findings::default();
        for value in values {
            findings.figure(name, *value);
        }
        findings
    }

    /// Of one request: answers, and in how many of 30 runs they were given.
    fn answers(counts: &[(&str, usize)]) -> Findings {
        let mut findings = Findings::default();
        findings.runs.insert("a request".to_owned(), 30);
        let counts = counts.iter().map(|(answer, count)| ((*answer).to_owned(), *count));
        findings.answers.insert("a request".to_owned(), counts.collect());
        findings
    }

    #[test]
    fn a_figure_far_outside_of_the_models_is_a_difference() {
        let model = figures(&[2.0, 3.0, 4.0]);
        // 4 and what a machine may be late, and half of what lies between 2 and 4.
        assert_eq!(differences(&figures(&[6.5]), &model), Vec::<String>::new());
        assert_eq!(
            differences(&figures(&[6.7]), &model),
            ["a time: real 6.700 to 6.700, model 2.000 to 4.000"]
        );
        assert_eq!(differences(&figures(&[-0.4]), &model).len(), 1);
    }

    #[test]
    fn the_median_of_many_must_be_near_and_that_of_few_is_not_asked_for() {
        let model = figures(&[0.0, 10.0, 11.0, 12.0, 40.0]);
        assert_eq!(differences(&figures(&[39.0; 4]), &model), Vec::<String>::new());
        let different = differences(&figures(&[39.0; 9]), &model);
        assert_eq!(different, ["a time: median real 39.000, model 11.000"]);
    }

    #[test]
    fn what_always_happens_in_the_model_happens_on_the_real_one() {
        let name = "its session alive (0 or 1)";
        let (model, real) = (figures_of(name, &[1.0; 30]), figures_of(name, &[0.0]));
        assert_eq!(differences(&real, &model).len(), 1);
        assert!(differences(&model, &model).is_empty());
    }

    #[test]
    fn a_figure_or_a_request_the_model_does_not_know_is_a_difference() {
        let different = differences(&figures(&[1.0]), &Findings::default());
        assert_eq!(different, ["a time: the model has no such figure"]);
        let different = differences(&answers(&[("200 true", 1)]), &Findings::default());
        assert_eq!(different, ["a request: the model has no such answers"]);
    }

    #[test]
    fn a_race_may_be_lost_by_either() {
        let deeper = "500 rpc error making call: rpc error making call: EOF";
        let lead = "500 rpc error getting client: failed to get conn: rpc error: lead thread didn't get \
                    connection";
        let model = answers(&[(REFUSED, 30), (EOF, 9), (lead, 30)]);
        assert_eq!(differences(&answers(&[(REFUSED, 2)]), &model), Vec::<String>::new());
        assert_eq!(differences(&answers(&[(REFUSED, 2), (deeper, 1)]), &model), Vec::<String>::new());
    }

    #[test]
    fn what_is_no_race_of_that_request_is_a_difference() {
        let known = answers(&[(REFUSED, 30), (EOF, 9)]);
        let too_deep = EOF.replace("EOF", "rpc error making call: rpc error making call: EOF");
        for answer in [too_deep.as_str(), "500 no such thing", "200 true", "503 rpc error making call: EOF"] {
            let different = differences(&answers(&[(REFUSED, 1), (answer, 1)]), &known);
            assert_eq!(different, [format!("a request: only the real one says {answer:?}")]);
        }
        // Nobody raced: it always ends the same way.
        let different = differences(&answers(&[(REFUSED, 1), (EOF, 1)]), &answers(&[(REFUSED, 30)]));
        assert_eq!(different, [format!("a request: only the real one says {EOF:?}")]);
    }

    #[test]
    fn what_the_model_always_says_must_have_been_said() {
        let model = answers(&[("500 No cluster leader", 30), ("200 rarely", 20)]);
        let different = differences(&answers(&[("200 rarely", 1)]), &model);
        assert_eq!(different, ["a request: only the model says \"500 No cluster leader\""]);
    }

    #[test]
    fn both_are_in_the_table() {
        let mut real = figures(&[1.0, 2.0, 4.0]);
        real.absorb(answers(&[(EOF, 1)]));
        let table = table(&real, &answers(&[("200 true", 30)]));
        assert!(table.contains("| a time | 3 | 1.00 / 2.00 / 4.00 | 0 | - |"), "{table}");
        assert!(table.contains("| a request | `500 rpc error making call: EOF` | 1 | 0 |"), "{table}");
    }
}
