//! Keyed random streams: one per (seed, purpose, entity).
//!
//! Every draw of a run comes from the stream of the thing that draws, so removing a fault or a host does
//! not shift anybody else's numbers. Purposes and entities are names, never positions.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The seed of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seed(pub u64);

impl Seed {
    /// The stream of `entity` for `purpose`, always the same for the same three.
    pub fn stream(self, purpose: &str, entity: &str) -> ChaCha8Rng {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.0.to_le_bytes());
        // Lengths keep ("ab", "c") and ("a", "bc") apart.
        for part in [purpose, entity] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        ChaCha8Rng::from_seed(*hasher.finalize().as_bytes())
    }

    /// The seed `entity` has for `purpose`: for what draws from streams of its own.
    #[must_use]
    pub fn derive(self, purpose: &str, entity: &str) -> Self {
        Self(self.stream(purpose, entity).next_u64())
    }
}

/// A change of dice in the middle of a run: what is drawn from `at` on comes from another seed.
///
/// Up to then the run is the one of its own seed, to the byte. So a run can be taken back to a moment and
/// let go from there many times, each time another way. What turns is the network, the order machines run
/// in, the scheduler's pauses, and every stream that an agent, a tool or a client asks its machine for from
/// then on. Consul's own ids and timers keep the dice they began with, and so does the plan: whom a fault
/// happens to is part of what is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// From when on.
    pub at: Duration,
    /// The other seed.
    pub seed: Seed,
}

impl Turn {
    /// The seed that counts at `now` in a run of `seed` that may have a turn.
    pub(crate) fn seed_at(turn: Option<Self>, seed: Seed, now: Duration) -> Seed {
        turn.filter(|turn| now >= turn.at).map_or(seed, |turn| turn.seed)
    }
}

impl std::fmt::Display for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::Seed;

    #[test]
    fn a_stream_is_fixed_by_seed_purpose_and_entity() {
        let draw = |seed, purpose, entity| Seed(seed).stream(purpose, entity).next_u64();
        assert_eq!(draw(1, "network", "a"), draw(1, "network", "a"));
        for other in
            [draw(2, "network", "a"), draw(1, "plan", "a"), draw(1, "network", "b"), draw(1, "networ", "ka")]
        {
            assert_ne!(draw(1, "network", "a"), other);
        }
    }
}
