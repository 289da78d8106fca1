//! Puts what was found on the real cluster beside what was found on the model.

use std::fmt::Write as _;

use super::findings::Findings;

/// How far a real figure may lie outside of all the model's, in seconds: a model answers in no time, and a
/// machine that is busy is late.
pub const SLACK: f64 = 1.0;
/// How far besides, as a part of the figure.
pub const SLACK_PART: f64 = 0.15;
/// Which of several requests tries to connect, and which finds a connection that was just closed, is a race
/// that two clusters need not run alike; an answer with this in it may be missing on the real one.
const RACES: [&str; 2] = ["lead thread didn't get connection", "EOF"];
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
        let Some(modelled) = model.figures.get(name) else {
            different.push(format!("{name}: the model has no such figure"));
            continue;
        };
        let ([least, _, most], [low, median, high]) = (spread(values), spread(modelled));
        let slack = |value: f64| SLACK + SLACK_PART * value;
        if least < low - slack(low) || most > high + slack(high) {
            different.push(format!("{name}: real {least:.3} to {most:.3}, model {low:.3} to {high:.3}"));
        }
        let [_, middle, _] = spread(values);
        // The median of few is anywhere in between; of many it says something.
        let reach = (high - low) / (values.len() as f64).sqrt();
        if (middle - median).abs() > reach + slack(median) {
            different.push(format!("{name}: median real {middle:.3}, model {median:.3}"));
        }
    }
    for (name, seen) in &real.answers {
        let Some(modelled) = model.answers.get(name) else {
            different.push(format!("{name}: the model has no such answers"));
            continue;
        };
        for answer in seen.keys().filter(|answer| !modelled.contains_key(*answer)) {
            if KNOWN.iter().any(|(of, end)| name.ends_with(of) && answer.ends_with(end)) {
                continue;
            }
            different.push(format!("{name}: only the real one says {answer:?}"));
        }
    }
    for (name, modelled) in &model.answers {
        let Some(seen) = real.answers.get(name) else { continue };
        let runs = model.runs.get(name).copied().unwrap_or(1) as f64;
        let usual = modelled.iter().filter(|(_, count)| **count as f64 >= USUAL * runs);
        for (answer, _) in usual.filter(|(answer, _)| !seen.contains_key(*answer)) {
            if RACES.iter().any(|race| answer.contains(race)) {
                continue;
            }
            different.push(format!("{name}: only the model says {answer:?}"));
        }
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
