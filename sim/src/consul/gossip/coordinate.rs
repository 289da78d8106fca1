//! Where nodes are among each other: coordinates whose distances are round-trip times.
//!
//! Vivaldi: every measured round-trip time pulls a node nearer to, or pushes it away from, the other one.
//! A height stands for the access link that every packet crosses, an adjustment for what the space cannot
//! express, and a weak pull to the origin keeps all coordinates from drifting away together.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

const DIMENSIONS: usize = 8;
const ERROR_MAX: f64 = 1.5;
const ERROR_GAIN: f64 = 0.25;
const FORCE_GAIN: f64 = 0.25;
const ADJUSTMENT_WINDOW: usize = 20;
const HEIGHT_MIN: f64 = 10.0e-6;
const LATENCY_FILTER: usize = 3;
const GRAVITY: f64 = 150.0;
const ZERO: f64 = 1.0e-6;
const RTT_MAX: Duration = Duration::from_secs(10);

/// A place. All parts but the error are in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(in crate::consul) struct Coordinate {
    /// The place in the space.
    pub(in crate::consul) vec: [f64; DIMENSIONS],
    /// How little it is trusted.
    pub(in crate::consul) error: f64,
    /// What distances are off by, on average.
    pub(in crate::consul) adjustment: f64,
    /// The way to the space.
    pub(in crate::consul) height: f64,
}

impl Default for Coordinate {
    fn default() -> Self {
        Self { vec: [0.0; DIMENSIONS], error: ERROR_MAX, adjustment: 0.0, height: HEIGHT_MIN }
    }
}

impl Coordinate {
    /// The round-trip time there should be between the two.
    #[cfg(test)]
    pub(in crate::consul) fn distance(&self, other: &Self) -> Duration {
        Duration::try_from_secs_f64(self.distance_s(other)).unwrap_or_default()
    }

    fn distance_s(&self, other: &Self) -> f64 {
        let raw = self.raw_distance_s(other);
        let adjusted = raw + self.adjustment + other.adjustment;
        if adjusted > 0.0 { adjusted } else { raw }
    }

    fn raw_distance_s(&self, other: &Self) -> f64 {
        magnitude(&difference(&self.vec, &other.vec)) + self.height + other.height
    }

    fn is_valid(&self) -> bool {
        self.vec.iter().chain([&self.error, &self.adjustment, &self.height]).all(|part| part.is_finite())
    }

    /// Moves it away from `other`, or towards it if `force` is negative.
    fn push(&mut self, force: f64, other: &Self, stream: &mut ChaCha8Rng) {
        let (direction, magnitude) = direction(&self.vec, &other.vec, stream);
        for (part, direction) in self.vec.iter_mut().zip(direction) {
            *part += direction * force;
        }
        if magnitude > ZERO {
            self.height = ((self.height + other.height) * force / magnitude + self.height).max(HEIGHT_MIN);
        }
    }
}

/// A node's own coordinate, and what it was made from.
#[derive(Debug, Default)]
pub(super) struct Vivaldi {
    coordinate: Coordinate,
    /// How far the last distances were off.
    off: VecDeque<f64>,
    /// The last round-trip times to each node; their median counts, so that one slow packet does not.
    latencies: BTreeMap<Rc<str>, VecDeque<f64>>,
}

impl Vivaldi {
    pub(super) fn coordinate(&self) -> &Coordinate {
        &self.coordinate
    }

    /// Takes in that `node`, which says it is at `other`, answered after `rtt`.
    pub(super) fn measured(
        &mut self,
        node: &Rc<str>,
        other: &Coordinate,
        rtt: Duration,
        stream: &mut ChaCha8Rng,
    ) {
        if !other.is_valid() || rtt > RTT_MAX {
            return;
        }
        let rtt_s = self.filter(node, rtt.as_secs_f64());
        self.attract(other, rtt_s, stream);
        self.adjust(other, rtt_s);
        let origin = Coordinate::default();
        let gravity = -(origin.distance_s(&self.coordinate) / GRAVITY).powi(2);
        self.coordinate.push(gravity, &origin, stream);
        if !self.coordinate.is_valid() {
            self.coordinate = Coordinate::default();
        }
    }

    /// Forgets what was measured to `node`.
    pub(super) fn forget(&mut self, node: &str) {
        self.latencies.remove(node);
    }

    fn filter(&mut self, node: &Rc<str>, rtt_s: f64) -> f64 {
        let latencies = self.latencies.entry(Rc::clone(node)).or_default();
        latencies.push_back(rtt_s);
        if latencies.len() > LATENCY_FILTER {
            latencies.pop_front();
        }
        let mut sorted: Vec<f64> = latencies.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    }

    fn attract(&mut self, other: &Coordinate, rtt_s: f64, stream: &mut ChaCha8Rng) {
        let own = &mut self.coordinate;
        let distance = own.distance_s(other);
        let rtt_s = rtt_s.max(ZERO);
        let wrongness = (distance - rtt_s).abs() / rtt_s;
        let weight = own.error / (own.error + other.error).max(ZERO);
        own.error =
            (ERROR_GAIN * weight * wrongness + own.error * (1.0 - ERROR_GAIN * weight)).min(ERROR_MAX);
        own.push(FORCE_GAIN * weight * (rtt_s - distance), other, stream);
    }

    fn adjust(&mut self, other: &Coordinate, rtt_s: f64) {
        self.off.push_back(rtt_s - self.coordinate.raw_distance_s(other));
        if self.off.len() > ADJUSTMENT_WINDOW {
            self.off.pop_front();
        }
        // A window that is not full yet counts as filled with zeros; half is the other node's share.
        self.coordinate.adjustment = self.off.iter().sum::<f64>() / (2.0 * ADJUSTMENT_WINDOW as f64);
    }
}

fn difference(one: &[f64; DIMENSIONS], other: &[f64; DIMENSIONS]) -> [f64; DIMENSIONS] {
    std::array::from_fn(|at| one[at] - other[at])
}

fn magnitude(vec: &[f64; DIMENSIONS]) -> f64 {
    vec.iter().map(|part| part * part).sum::<f64>().sqrt()
}

/// The direction from `other` to `one`, and how far they are apart. Two at the same place are driven apart
/// in a random one.
fn direction(
    one: &[f64; DIMENSIONS],
    other: &[f64; DIMENSIONS],
    stream: &mut ChaCha8Rng,
) -> ([f64; DIMENSIONS], f64) {
    let between = difference(one, other);
    let far = magnitude(&between);
    if far > ZERO {
        return (between.map(|part| part / far), far);
    }
    let random: [f64; DIMENSIONS] = std::array::from_fn(|_| stream.next_u64() as f64 / u64::MAX as f64 - 0.5);
    let length = magnitude(&random);
    if length > ZERO {
        return (random.map(|part| part / length), 0.0);
    }
    (std::array::from_fn(|at| if at == 0 { 1.0 } else { 0.0 }), 0.0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::{Coordinate, Vivaldi};

    #[test]
    fn two_nodes_find_their_distance() {
        let mut stream = ChaCha8Rng::seed_from_u64(1);
        let (mut one, mut other) = (Vivaldi::default(), Vivaldi::default());
        let rtt = Duration::from_millis(40);
        for _ in 0..200 {
            let seen = *other.coordinate();
            one.measured(&"other".into(), &seen, rtt, &mut stream);
            let seen = *one.coordinate();
            other.measured(&"one".into(), &seen, rtt, &mut stream);
        }
        let distance = one.coordinate().distance(other.coordinate());
        assert!(distance.abs_diff(rtt) < rtt / 20, "{distance:?}");
        assert_eq!(distance, other.coordinate().distance(one.coordinate()));
    }

    #[test]
    fn nonsense_is_not_taken_in() {
        let mut stream = ChaCha8Rng::seed_from_u64(1);
        let mut one = Vivaldi::default();
        let wrong = Coordinate { height: f64::NAN, ..Coordinate::default() };
        one.measured(&"a".into(), &wrong, Duration::from_millis(1), &mut stream);
        one.measured(&"a".into(), &Coordinate::default(), Duration::from_secs(11), &mut stream);
        assert_eq!(*one.coordinate(), Coordinate::default());
        let far = Coordinate { vec: [f64::MAX; 8], ..Coordinate::default() };
        one.measured(&"a".into(), &far, Duration::from_millis(1), &mut stream);
        assert!(one.coordinate().is_valid());
        one.coordinate().distance(&far);
    }
}
