//! Network coordinates: points whose distance is the round trip between two nodes, in seconds.

use serde::{Deserialize, Serialize};

const DIMENSIONS: usize = 8;

/// Where a node is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::consul) struct Point {
    pub(in crate::consul) vec: Vec<f64>,
    pub(in crate::consul) error: f64,
    pub(in crate::consul) adjustment: f64,
    pub(in crate::consul) height: f64,
}

/// A node's point in one segment of the network.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::consul) struct Coordinate {
    pub(in crate::consul) node: String,
    pub(in crate::consul) segment: String,
    #[serde(rename = "Coord")]
    pub(in crate::consul) point: Point,
}

impl Point {
    /// # Errors
    /// Consul's text for a point that cannot be compared with others.
    pub(in crate::consul) fn validate(&self) -> Result<(), &'static str> {
        let rest = [self.error, self.adjustment, self.height];
        if !self.vec.iter().chain(&rest).all(|number| number.is_finite()) {
            return Err("invalid coordinate");
        }
        if self.vec.len() != DIMENSIONS {
            return Err("incompatible coordinate");
        }
        Ok(())
    }

    /// The round trip to another point, to the nanosecond as Consul compares them.
    pub(in crate::consul) fn distance_nanos(&self, other: &Self) -> i64 {
        let squares = self.vec.iter().zip(&other.vec).map(|(one, another)| (one - another).powi(2));
        let raw = squares.sum::<f64>().sqrt() + self.height + other.height;
        let adjusted = raw + self.adjustment + other.adjustment;
        let seconds = if adjusted > 0.0 { adjusted } else { raw };
        (seconds * 1e9) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::Point;

    fn point(x: f64, adjustment: f64) -> Point {
        let mut vec = vec![0.0; 8];
        vec[0] = x;
        Point { vec, error: 1.5, adjustment, height: 0.000_01 }
    }

    #[test]
    fn a_distance_counts_heights_and_adjustments_unless_they_eat_it_up() {
        assert_eq!(point(0.0, 0.0).distance_nanos(&point(0.003, 0.0)), 3_020_000);
        assert_eq!(point(0.0, 0.001).distance_nanos(&point(0.003, -0.002)), 2_020_000);
        assert_eq!(point(0.0, -1.0).distance_nanos(&point(0.003, 0.0)), 3_020_000);
    }

    #[test]
    fn a_point_of_another_space_is_refused() {
        assert_eq!(point(0.0, 0.0).validate(), Ok(()));
        assert_eq!(Point::default().validate(), Err("incompatible coordinate"));
        assert_eq!(point(f64::INFINITY, 0.0).validate(), Err("invalid coordinate"));
    }
}
