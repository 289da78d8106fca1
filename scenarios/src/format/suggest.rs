//! "Did you mean": the nearest of the words that would have been right.

/// The candidate that `word` most probably was meant to be, if any is near at all.
///
/// ```
/// # use ironbird::format::nearest;
/// assert_eq!(nearest("lock-dealy", ["session-ttl", "lock-delay"]), Some("lock-delay"));
/// assert_eq!(nearest("wings", ["session-ttl", "lock-delay"]), None);
/// ```
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Quadratic in the length; nothing anybody meant is that long.
    if word.chars().count() > 64 {
        return None;
    }
    let word = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&word, candidate), candidate))
        .filter(|(score, _)| *score > 0.8)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, candidate)| candidate)
}

/// A sentence that names the nearest of `candidates`, or all of them.
pub(super) fn hint<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    let candidates: Vec<_> = candidates.into_iter().collect();
    match nearest(word, candidates.iter().copied()) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None => format!("it can be {}", either(&candidates)),
    }
}

/// `` `a`, `b` or `c` ``.
pub(super) fn either(words: &[&str]) -> String {
    let mut text = String::new();
    for (index, word) in words.iter().enumerate() {
        let separator = match index {
            0 => "",
            index if index + 1 == words.len() => " or ",
            _ => ", ",
        };
        text += &format!("{separator}`{word}`");
    }
    text
}
