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
        let number = number.parse().map_err(|_| format!("`{text}` is not a GTID"))?;
        Ok(Self { server: server.to_owned(), number })
    }
}

/// A set of transactions: of each server, all from 1 to a number. Servers commit and replicate in
/// order, so their sets have no gaps.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GtidSet(BTreeMap<String, u64>);

impl GtidSet {
    /// Whether a transaction is in the set.
    pub fn contains(&self, gtid: &Gtid) -> bool {
        self.last(&gtid.server) >= gtid.number
    }

    /// Whether all of `other` is in the set.
    pub fn includes(&self, other: &Self) -> bool {
        other.0.iter().all(|(server, number)| self.last(server) >= *number)
    }

    /// The number of a server's last transaction in the set; 0 for none.
    pub fn last(&self, server: &str) -> u64 {
        self.0.get(server).copied().unwrap_or(0)
    }

    /// Whether nothing is in the set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many transactions are in the set.
    pub fn len(&self) -> u64 {
        self.0.values().sum()
    }

    /// All that is in this set or in `other`.
    #[must_use]
    pub fn union(mut self, other: &Self) -> Self {
        for (server, number) in &other.0 {
            let last = self.0.entry(server.clone()).or_default();
            *last = (*last).max(*number);
        }
        self
    }

    /// Adds a transaction, and with it all that came before it on its server.
    pub fn insert(&mut self, gtid: &Gtid) {
        let last = self.0.entry(gtid.server.clone()).or_default();
        *last = (*last).max(gtid.number);
    }
}

impl fmt::Display for GtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (server, number)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match number {
                1 => write!(f, "{comma}{server}:1")?,
                _ => write!(f, "{comma}{server}:1-{number}")?,
            }
        }
        Ok(())
    }
}

impl FromStr for GtidSet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(|part| {
                let (server, range) =
                    part.split_once(':').ok_or_else(|| format!("`{part}` is not a GTID set"))?;
                let last = range.rsplit('-').next().unwrap_or(range);
                Ok((server.to_owned(), last.parse().map_err(|_| format!("`{part}` is not a GTID set"))?))
            })
            .collect::<Result<_, String>>()
            .map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_read_as_they_write() {
        for text in ["", "a:1", "a:1-5,b:1-2"] {
            assert_eq!(text.parse::<GtidSet>().unwrap().to_string(), text);
        }
        assert!("a".parse::<GtidSet>().is_err());
        assert!("a:x".parse::<GtidSet>().is_err());
    }

    #[test]
    fn a_union_holds_both() {
        let set = |text: &str| text.parse::<GtidSet>().unwrap();
        assert_eq!(set("a:1-5,b:1").union(&set("a:1-4,b:1-3,c:1")), set("a:1-5,b:1-3,c:1"));
    }

    #[test]
    fn inclusion_is_by_server() {
        let set = |text: &str| text.parse::<GtidSet>().unwrap();
        assert!(set("a:1-5,b:1").includes(&set("a:1-4")));
        assert!(!set("a:1-5").includes(&set("a:1-4,b:1")));
        assert!(set("a:1").includes(&set("")));
        assert!(set("a:1-5").contains(&"a:5".parse().unwrap()));
        assert!(!set("a:1-5").contains(&"a:6".parse().unwrap()));
    }
}
