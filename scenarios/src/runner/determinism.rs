//! Compares two runs of the same seed: the first event that differs is where something other than the seed
//! had a say.

use std::fmt;

use ironbird_sim::run::Run;
use serde::Serialize;

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
    /// Both sides, a line each.
    pub fn lines(&self) -> Vec<String> {
        vec![format!("first   {}", self.first), format!("second  {}", self.second)]
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
