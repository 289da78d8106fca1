//! Delta debugging: a small part of a list that still does what the whole does.
//!
//! Zeller and Hildebrandt's `ddmin`. It knows nothing of faults: what a part does is asked of its caller,
//! several parts at a time, so that they can be tried in parallel.

/// A part of `0..count` that does what is asked of it and is 1-minimal: without any one of its elements it
/// does not. The whole must do it.
///
/// `first` is given parts in the order they should be tried and names the first that does it. A caller
/// whose patience is at its end names none; what has been found by then is returned.
pub fn ddmin(count: usize, mut first: impl FnMut(&[Vec<usize>]) -> Option<usize>) -> Vec<usize> {
    let mut part: Vec<usize> = (0..count).collect();
    if part.is_empty() || first(&[Vec::new()]).is_some() {
        return Vec::new();
    }
    let mut pieces = 2;
    while part.len() > 1 {
        pieces = pieces.min(part.len());
        let subsets = split(&part, pieces);
        let complements: Vec<Vec<usize>> = if pieces == 2 {
            // Of two pieces, each is the other's complement.
            Vec::new()
        } else {
            subsets.iter().map(|subset| without(&part, subset)).collect()
        };
        let of_subsets = subsets.len();
        let candidates: Vec<_> = subsets.into_iter().chain(complements).collect();
        match first(&candidates) {
            Some(index) if index < of_subsets => {
                part.clone_from(&candidates[index]);
                pieces = 2;
            }
            Some(index) => {
                part.clone_from(&candidates[index]);
                pieces = (pieces - 1).max(2);
            }
            None if pieces == part.len() => break,
            None => pieces *= 2,
        }
    }
    part
}

fn split(part: &[usize], pieces: usize) -> Vec<Vec<usize>> {
    let mut rest = part;
    (0..pieces)
        .map(|done| {
            let (piece, others) = rest.split_at(rest.len() / (pieces - done));
            rest = others;
            piece.to_vec()
        })
        .collect()
}

fn without(part: &[usize], subset: &[usize]) -> Vec<usize> {
    part.iter().copied().filter(|one| !subset.contains(one)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::ddmin;

    /// What is found of `count` when `fails` says what a part does, and how many parts were tried.
    fn found(count: usize, fails: impl Fn(&[usize]) -> bool) -> (Vec<usize>, usize) {
        let mut tried = 0;
        let part = ddmin(count, |parts| {
            let index = parts.iter().position(|part| fails(part));
            tried += index.map_or(parts.len(), |index| index + 1);
            index
        });
        (part, tried)
    }

    #[test]
    fn known_causes_are_found() {
        for (count, cause) in [
            (0, &[][..]),
            (1, &[0]),
            (9, &[]),
            (8, &[0]),
            (8, &[7]),
            (8, &[0, 7]),
            (8, &[3, 4]),
            (100, &[17, 18, 80]),
            (5, &[0, 1, 2, 3, 4]),
        ] {
            let (part, _) = found(count, |part| cause.iter().all(|one| part.contains(one)));
            assert_eq!(part, cause, "of {count}");
        }
    }

    #[test]
    fn one_of_two_causes_is_enough() {
        let (part, _) = found(64, |part| part.contains(&40) || (part.contains(&3) && part.contains(&60)));
        assert!(part == [40] || part == [3, 60], "{part:?}");
    }

    #[test]
    fn a_single_cause_takes_a_logarithm_of_runs() {
        let (part, tried) = found(1_024, |part| part.contains(&700));
        assert_eq!(part, [700]);
        assert!(tried <= 2 * 10 + 1, "{tried}");
    }

    proptest! {
        #[test]
        fn whatever_is_found_fails_and_nothing_of_it_can_go(
            count in 1_usize..40,
            causes in prop::collection::vec(prop::collection::btree_set(0_usize..40, 0..4), 1..4),
        ) {
            let inside = |cause: &BTreeSet<usize>| cause.iter().all(|one| *one < count);
            prop_assume!(causes.iter().any(inside));
            let fails = |part: &[usize]| causes.iter().any(|cause| cause.iter().all(|one| part.contains(one)));
            let (part, _) = found(count, fails);
            prop_assert!(fails(&part));
            for leave_out in &part {
                let rest: Vec<_> = part.iter().copied().filter(|one| one != leave_out).collect();
                prop_assert!(!fails(&rest), "{} can go from {:?}", leave_out, part);
            }
        }
    }
}
