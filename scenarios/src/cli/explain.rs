//! `ironbird explain`.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use ironbird_reports::plot::{self, Labels, Line};
use ironbird_reports::story;
use ironbird_sim::record::Record;
use ironbird_sim::signature::Signature;

use super::run::{is_stdout, write};
use super::suspect::{Suspect, SuspectArgs, lab};
use super::{Console, Stop, one_variant, selected};
use crate::exit_code::Exit;
use crate::hunt::{Case, Curve, Explanation, Knobs, Lab, Reading, explain as look_into, shrink};
use crate::runner::RunFn;

pub(super) const EXAMPLES: &str = "\
Examples:
  ironbird explain leader-kill/published --seed 17
  ironbird explain leader-kill/published --seed 17 --plot chance.svg
  ironbird explain storm.toml/hardened --seed 4711 --runs 20 --times 12";

/// Events shown where the chance rises.
const SHOWN: usize = 8;
/// The width of a full bar.
const BAR: u64 = 40;

#[derive(Debug, clap::Args)]
pub(super) struct ExplainArgs {
    #[command(flatten)]
    suspect: SuspectArgs,
    /// Runs with other dice from each time
    #[arg(long, value_name = "N", default_value_t = Knobs::default().runs, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    runs: u64,
    /// Times from which to go on with other dice
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(2..=1_000))]
    times: u16,
    /// Runs to spend on shrinking the story that is told; 0 for the story as it is
    #[arg(long, value_name = "RUNS", default_value_t = 400)]
    budget: u64,
    /// Write the chance of failing over time as a picture, in SVG; `-` for standard output
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

pub(super) fn explain(args: &ExplainArgs, run: &RunFn<'_>, console: &mut Console<'_>) -> Result<Exit, Stop> {
    let selections = selected(std::slice::from_ref(&args.suspect.scenario), console)?;
    let one = one_variant(&selections, "an explanation is", console)?;
    let lab = lab(run, args.suspect.jobs)?;
    let suspect = args.suspect.find(&lab, one, console)?;
    let knobs = Knobs { runs: args.runs, times: usize::from(args.times) };
    let found = match look_into(&lab, &suspect.case, &suspect.signature, knobs) {
        Ok(found) => found,
        Err(why) => {
            console.complain(&format!("error: {why}\n"))?;
            return Ok(Exit::Failures);
        }
    };
    let mut text = String::new();
    // Writing to a string does not fail.
    tell(&suspect.case, &found, &mut text).ok();
    // Standard output is for a picture then.
    let for_a_program = args.plot.as_deref().is_some_and(is_stdout);
    let mut say = |text: &str| if for_a_program { console.complain(text) } else { console.print(text) };
    say(&text)?;
    let decisive = story_of(&lab, &suspect, args.budget)?;
    say(&format!("\nthe story\n{decisive}\n{} runs\n", found.runs))?;
    if let Some(path) = &args.plot {
        write(path, &drawn(&suspect.case, &found.curve), console)?;
    }
    Ok(Exit::AsExpected)
}

/// The curve as a picture.
fn drawn(case: &Case, curve: &Curve) -> String {
    let title = format!("{}, seed {}: the chance of failing like this", case.scenario(), case.seed);
    // Runs are far fewer than a float can count.
    let share = |reading: &Reading| reading.failed as f64 / reading.of.max(1) as f64;
    let points = curve.readings.iter().map(|reading| (reading.at.as_secs_f64(), share(reading))).collect();
    let labels = Labels { title: &title, x: "seconds, other dice from then on", y: "share of runs" };
    plot::on_paper(&plot::share(labels, &[Line { name: String::new(), points }]))
}

fn tell(case: &Case, found: &Explanation, out: &mut String) -> std::fmt::Result {
    writeln!(out, "\nfaults")?;
    for (fault, is) in case.spec.faults.iter().zip(&found.faults) {
        let is = match (is.needed, is.enough) {
            (true, true) => "needed, and enough",
            (true, false) => "needed",
            (false, true) => "enough, but others are as well",
            (false, false) => "not needed",
        };
        let fault = toml::to_string(fault).unwrap_or_default();
        writeln!(out, "  {is}: {}", fault.trim().replace('\n', ", "))?;
    }
    if case.spec.faults.is_empty() {
        writeln!(out, "  none: it fails by itself")?;
    }
    curve(&found.curve, found, out)?;
    let Some(nearest) = &found.nearest else {
        return writeln!(out, "\nno run with other dice does not fail like this");
    };
    writeln!(
        out,
        "\nthe nearest run that does not fail like this has other dice from {} (seed {}), and parts at event {}",
        seconds(nearest.turn.at),
        nearest.turn.seed,
        nearest.step
    )?;
    writeln!(out, "  this   {}", event(&found.run.record, nearest.step))?;
    writeln!(out, "  other  {}", event(&nearest.other.record, nearest.step))
}

fn curve(curve: &Curve, found: &Explanation, out: &mut String) -> std::fmt::Result {
    writeln!(out, "\nthe chance of failing like this, with other dice from then on")?;
    for reading in &curve.readings {
        let share = |whole: u64| (whole * reading.failed).checked_div(reading.of).unwrap_or_default();
        let bar = "#".repeat(usize::try_from(share(BAR)).unwrap_or_default());
        writeln!(out, "  {:>12}  {:>3} %  {bar}", seconds(reading.at), share(100))?;
    }
    let between = |(before, after): (Reading, Reading)| {
        format!("between {} and {}", seconds(before.at), seconds(after.at))
    };
    match curve.half() {
        Some(half) => writeln!(out, "it became as likely as not {}", between(half))?,
        None => writeln!(out, "it was as likely as not from the start: these faults lead to it")?,
    }
    let Some((before, after)) = curve.inevitable() else {
        return Ok(());
    };
    writeln!(out, "it became inevitable {}, when this happened:", between((before, after)))?;
    let there = |at: Duration| at >= before.at && at < after.at;
    let events: Vec<_> = found.run.record.events.iter().filter(|event| there(event.at)).collect();
    for event in events.iter().take(SHOWN) {
        writeln!(out, "  {}", story::line(event))?;
    }
    match events.len().saturating_sub(SHOWN) {
        0 if events.is_empty() => writeln!(out, "  nothing that is recorded: what was on its way was drawn"),
        0 => Ok(()),
        more => writeln!(out, "  and {more} more"),
    }
}

/// The events that decide the failure, of a run as small as `budget` runs can make it.
fn story_of(lab: &Lab<'_>, suspect: &Suspect, budget: u64) -> Result<String, Stop> {
    let Suspect { case, signature } = suspect;
    let small = shrink(lab, case.clone(), signature, budget, &mut |_| Ok(()))?.case;
    let Ok(run) = lab.fly(&small) else {
        return Ok(String::new());
    };
    let shows = |one: &&_| Signature::of_all(&run.record, std::slice::from_ref(*one)).contains(signature);
    let lines = run.violations.iter().find(shows).map(|one| story::decisive(&run.record, one));
    Ok(lines.unwrap_or_default().iter().map(|line| format!("  {line}\n")).collect())
}

fn event(record: &Record, step: usize) -> String {
    record.events.get(step).map_or_else(|| "the run is over".to_owned(), story::line)
}

/// `128.417 s`.
fn seconds(at: Duration) -> String {
    format!("{}.{:03} s", at.as_secs(), at.subsec_millis())
}
