//! Global transaction identifiers.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The identifier of one transaction: the server it was first committed on, and its number there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Gtid {
    /// The server's UUID.
    pub server: String,
    /// From 1.
    pub number: u64,
}

impl fmt::Display for Gtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.server, self.number)
    }
}

impl FromStr for Gtid {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (server, number) = text.split_once(':').ok_or_else(|| format!("`{text}` is not a GTID"))?;
        let number: u64 = number.parse().map_err(|_| format!("`{text}` is not a GTID"))?;
        if number == 0 {
            return Err(format!("`{text}` is not a GTID: numbers begin at 1"));
        }
        Ok(Self { server: server.to_owned(), number })
    }
}

/// A set of transactions: of each server, ranges of numbers.
///
/// Servers commit and replicate in order, so most sets are one range a server, from 1. A set that a server
/// was told to take for purged, or what is left of a log that lost its end, may have gaps.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GtidSet(BTreeMap<String, Ranges>);

/// First and last numbers of ranges, in order; between two of them at least one number is missing.
type Ranges = Vec<(u64, u64)>;

impl GtidSet {
    /// Whether a transaction is in the set.
    pub fn contains(&self, gtid: &Gtid) -> bool {
        self.ranges(&gtid.server).iter().any(|(first, last)| (*first..=*last).contains(&gtid.number))
    }

    /// Whether all of `other` is in the set.
    pub fn includes(&self, other: &Self) -> bool {
        other.0.iter().all(|(server, theirs)| {
            let ours = self.ranges(server);
            theirs.iter().all(|(first, last)| ours.iter().any(|(from, to)| from <= first && last <= to))
        })
    }

    /// The greatest number of a server's transactions in the set; 0 for none.
    pub fn last(&self, server: &str) -> u64 {
        self.ranges(server).last().map_or(0, |(_, last)| *last)
    }

    /// Whether nothing is in the set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many transactions are in the set.
    pub fn len(&self) -> u64 {
        let ranges = self.0.values().flatten();
        ranges.fold(0, |sum: u64, (first, last)| sum.saturating_add((last - first).saturating_add(1)))
    }

    /// All that is in this set or in `other`.
    #[must_use]
    pub fn union(mut self, other: &Self) -> Self {
        for (server, ranges) in &other.0 {
            for (first, last) in ranges {
                self.add_range(server, *first, *last);
            }
        }
        self
    }

    /// Adds a transaction, and no other.
    pub fn add(&mut self, gtid: &Gtid) {
        self.add_range(&gtid.server, gtid.number, gtid.number);
    }

    /// Adds a transaction, and with it all that came before it on its server.
    pub fn insert(&mut self, gtid: &Gtid) {
        self.add_range(&gtid.server, 1, gtid.number);
    }

    fn ranges(&self, server: &str) -> &[(u64, u64)] {
        self.0.get(server).map_or(&[], Vec::as_slice)
    }

    fn add_range(&mut self, server: &str, first: u64, last: u64) {
        if first > last {
            return;
        }
        // A name is copied once, not with every transaction.
        if !self.0.contains_key(server) {
            self.0.insert(server.to_owned(), Vec::new());
        }
        let Some(ranges) = self.0.get_mut(server) else { return };
        // Those that meet the new one, or touch it, become part of it.
        let from = ranges.partition_point(|(_, end)| end.saturating_add(1) < first);
        let to = ranges.partition_point(|(start, _)| *start <= last.saturating_add(1));
        let met = &ranges[from..to];
        let first = met.first().map_or(first, |(start, _)| first.min(*start));
        let last = met.last().map_or(last, |(_, end)| last.max(*end));
        ranges.splice(from..to, [(first, last)]);
    }
}

impl fmt::Display for GtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (server, ranges)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{server}")?;
            for (first, last) in ranges {
                write!(f, ":{first}")?;
                if last > first {
                    write!(f, "-{last}")?;
                }
            }
        }
        Ok(())
    }
}

impl FromStr for GtidSet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut set = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let wrong = || format!("`{part}` is not a GTID set");
            let (server, ranges) = part.split_once(':').ok_or_else(wrong)?;
            for range in ranges.split(':') {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                let first: u64 = first.parse().map_err(|_| wrong())?;
                let last: u64 = last.parse().map_err(|_| wrong())?;
                if first == 0 || last < first {
                    return Err(wrong());
                }
                set.add_range(server, first, last);
            }
        }
        Ok(set)
    }
}

impl TryFrom<String> for GtidSet {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<GtidSet> for String {
    fn from(set: GtidSet) -> Self {
        set.to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sets_read_as_they_write() {
        for text in ["", "a:1", "a:1-5,b:1-2", "a:1-5:7:9-12"] {
            assert_eq!(text.parse::<GtidSet>().unwrap().to_string(), text);
        }
        for text in ["a", "a:x", "a:0", "a:0-3", "a:5-4", "a:1-", "a:"] {
            assert!(text.parse::<GtidSet>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_union_holds_both() {
        let set = |text: &str| text.parse::<GtidSet>().unwrap();
        assert_eq!(set("a:1-5,b:1").union(&set("a:1-4,b:1-3,c:1")), set("a:1-5,b:1-3,c:1"));
        assert_eq!(set("a:1-5").union(&set("a:7-8")).to_string(), "a:1-5:7-8");
        assert_eq!(set("a:1-5:7-8").union(&set("a:6")).to_string(), "a:1-8");
    }

    #[test]
    fn inclusion_is_by_server() {
        let set = |text: &str| text.parse::<GtidSet>().unwrap();
        assert!(set("a:1-5,b:1").includes(&set("a:1-4")));
        assert!(!set("a:1-5").includes(&set("a:1-4,b:1")));
        assert!(!set("a:1-5:7-9").includes(&set("a:5-7")));
        assert!(set("a:1").includes(&set("")));
        assert!(set("a:1-5").contains(&"a:5".parse().unwrap()));
        assert!(!set("a:1-5").contains(&"a:6".parse().unwrap()));
    }

    #[test]
    fn the_greatest_numbers_do_not_overflow() {
        let all: GtidSet = format!("a:1-{}", u64::MAX).parse().unwrap();
        assert!(all.includes(&format!("a:{}", u64::MAX).parse().unwrap()));
        assert_eq!(all.clone().union(&all).len(), u64::MAX);
    }

    type Plain = BTreeSet<(String, u64)>;

    fn built(ranges: &[(u8, u64, u64)]) -> (GtidSet, Plain) {
        let mut set = GtidSet::default();
        let mut plain = Plain::new();
        for (server, first, length) in ranges {
            let server = char::from(b'a' + server).to_string();
            for number in *first..first + length {
                set.add(&Gtid { server: server.clone(), number });
                plain.insert((server.clone(), number));
            }
        }
        (set, plain)
    }

    proptest! {
        /// Against a plain set of single transactions.
        #[test]
        fn sets_do_what_plain_sets_do(
            one in prop::collection::vec((0..3_u8, 1..20_u64, 1..6_u64), 0..8),
            two in prop::collection::vec((0..3_u8, 1..20_u64, 1..6_u64), 0..8),
            through in prop::option::of((0..3_u8, 1..20_u64)),
        ) {
            let (mut one, mut plain) = built(&one);
            let (two, plain_two) = built(&two);
            if let Some((server, number)) = through {
                let server = char::from(b'a' + server).to_string();
                one.insert(&Gtid { server: server.clone(), number });
                plain.extend((1..=number).map(|number| (server.clone(), number)));
            }
            prop_assert_eq!(one.len(), plain.len() as u64);
            prop_assert_eq!(one.is_empty(), plain.is_empty());
            prop_assert_eq!(one.includes(&two), plain.is_superset(&plain_two));
            for server in ["a", "b", "c"] {
                let last = plain.iter().filter(|(of, _)| of == server).map(|(_, number)| *number).max();
                prop_assert_eq!(one.last(server), last.unwrap_or(0));
                for number in 1..30 {
                    let gtid = Gtid { server: server.to_owned(), number };
                    prop_assert_eq!(one.contains(&gtid), plain.contains(&(server.to_owned(), number)));
                }
            }
            prop_assert_eq!(one.to_string().parse::<GtidSet>(), Ok(one.clone()));
            // Sets that hold the same are the same, however they came about.
            let both: Plain = plain.union(&plain_two).cloned().collect();
            let mut backwards = GtidSet::default();
            for (server, number) in both.iter().rev() {
                backwards.add(&Gtid { server: server.clone(), number: *number });
            }
            prop_assert_eq!(one.union(&two), backwards);
        }
    }
}
