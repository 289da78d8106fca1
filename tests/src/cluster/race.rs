//! Answers that come of a race.
//!
//! When a server dies, the requests on their way to it end in one of several ways: one was on a connection
//! that is closed now, one waited for somebody else's attempt to connect, one tried to connect itself; and
//! whoever sends on for others may find it out in their place, which wraps the same words once more. Which
//! request meets which end is decided within microseconds, and two clusters need not decide alike.
//!
//! The rule a change must keep: only a request of which the model knows more than one such end races. One
//! that ends in a single way on the model ends so everywhere.

use std::collections::BTreeMap;

/// What a server adds to an error of one it called.
const HOP: &str = "rpc error making call: ";
/// The ends only a race decides on.
const FLEETING: [&str; 5] = [
    "EOF",
    "lead thread didn't get connection",
    "connection reset by peer",
    "broken pipe",
    "session shutdown",
];
/// The end that is left when the race is over.
const LASTING: &str = "connection refused";

/// Whether a cluster that was asked the same as another may never have given this answer of the other's, by
/// what it did give (`instead`), and by what the model knows of the request.
pub fn may_be_missing(
    answer: &str,
    instead: &BTreeMap<String, usize>,
    model: &BTreeMap<String, usize>,
) -> bool {
    let (status, hops, end) = parts(answer);
    if !FLEETING.iter().any(|race| end.ends_with(race)) {
        return false;
    }
    let is_racing = model.keys().filter(|known| is_end(parts(known).2)).count() > 1;
    is_racing
        && instead.keys().any(|other| {
            let (other_status, other_hops, other_end) = parts(other);
            other_status == status && is_end(other_end) && hops.abs_diff(other_hops) <= 1
        })
}

fn is_end(text: &str) -> bool {
    text.ends_with(LASTING) || FLEETING.iter().any(|race| text.ends_with(race))
}

/// The status, how many servers passed it on, and what they passed on.
fn parts(answer: &str) -> (&str, usize, &str) {
    let (status, mut end) = answer.split_once(' ').unwrap_or((answer, ""));
    let mut hops = 0;
    while let Some(inner) = end.strip_prefix(HOP) {
        (hops, end) = (hops + 1, inner);
    }
    (status, hops, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_apart() {
        assert_eq!(parts("500 rpc error making call: rpc error making call: EOF"), ("500", 2, "EOF"));
        assert_eq!(parts("200"), ("200", 0, ""));
    }
}
