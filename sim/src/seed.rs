//! Keyed random streams: one per (seed, purpose, entity).
//!
//! Every draw of a run comes from the stream of the thing that draws, so removing a fault or a host does
//! not shift anybody else's numbers. Purposes and entities are names, never positions.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

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
