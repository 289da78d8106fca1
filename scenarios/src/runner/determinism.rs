//! Compares two runs of the same seed: the first event that differs is where something other than the seed
//! had a say.

use std::fmt;

use ironbird_sim::run::Run;
use serde::Serialize;

use super::{SHOWN, excerpt};

/// Bytes of a side that are shown before those that differ.
const SAME: usize = 1024;

/// Where two runs of the same seed part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The number of the event; `None` when the events agree and something around them does not.
    pub step: Option<usize>,
    /// What the first run has there, as it stands in its record.
    pub first: String,
    /// What the second has.
    pub second: String,
}

/// Where `first` and `second` part, if they do.
pub fn first_difference(first: &Run, second: &Run) -> Option<Difference> {
    let (one, two) = (&first.record, &second.record);
    if one.header != two.header {
        return Some(Difference { step: None, first: line(&one.header), second: line(&two.header) });
    }
    let step =
        one.events.iter().zip(&two.events).position(|(one, two)| one != two).or_else(|| {
            (one.events.len() != two.events.len()).then_some(one.events.len().min(two.events.len()))
        });
    if let Some(step) = step {
        let there =
            |run: &Run| run.record.events.get(step).map_or_else(|| "the run is over".to_owned(), line);
        return Some(Difference { step: Some(step), first: there(first), second: there(second) });
    }
    let verdict = |run: &Run| line(&(&run.violations, run.recovery));
    (verdict(first) != verdict(second)).then(|| Difference {
        step: None,
        first: verdict(first),
        second: verdict(second),
    })
}

impl Difference {
    /// Both sides, a line each: of long ones the part in which they differ.
    pub fn lines(&self) -> Vec<String> {
        let Self { first, second, .. } = self;
        let same = first.bytes().zip(second.bytes()).take_while(|(one, two)| one == two).count();
        let from = if first.len().max(second.len()) > SHOWN { same.saturating_sub(SAME) } else { 0 };
        vec![format!("first   {}", excerpt(first, from)), format!("second  {}", excerpt(second, from))]
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.step {
            Some(step) => write!(f, "the same seed ran differently from event {step} on"),
            None => f.write_str("the same seed ran differently"),
        }
    }
}

fn line(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| format!("not to be written: {error}"))
}

#[cfg(test)]
mod tests {
    use super::Difference;

    #[test]
    fn of_sides_that_are_long_the_difference_is_shown() {
        let side = |word: &str| format!("{}{word}{}", "\u{fc}".repeat(20_000), "x".repeat(40_000));
        let difference = Difference { step: None, first: side("one"), second: side("two") };
        let lines = difference.lines();
        assert!(lines[0].contains("one") && lines[1].contains("two"), "{lines:?}");
        assert!(lines.iter().all(|line| line.len() < 20_000 && line.contains("bytes more")), "{lines:?}");
        let short = Difference { step: None, first: "a1".to_owned(), second: "a2".to_owned() };
        assert_eq!(short.lines(), ["first   a1", "second  a2"]);
    }
}
