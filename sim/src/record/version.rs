//! Which version of the format a record is in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A version, written `1.0`.
///
/// A greater minor number means that there is more to know: new kinds of events, new fields. A greater
/// major number means that something old no longer means what it did, so that who does not know it must
/// not guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version {
    /// What is incompatible.
    pub major: u32,
    /// What is only more.
    pub minor: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |digits: &str| {
            // What would be written in another way, or has a sign, is no version.
            digits.parse::<u32>().ok().filter(|number| number.to_string() == digits)
        };
        text.split_once('.')
            .and_then(|(major, minor)| Some(Self { major: number(major)?, minor: number(minor)? }))
            .ok_or_else(|| "a version is two numbers like \"1.0\"".to_owned())
    }
}

impl TryFrom<String> for Version {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::Version;

    #[test]
    fn a_version_is_two_numbers() {
        assert_eq!("1.20".parse(), Ok(Version { major: 1, minor: 20 }));
        assert_eq!(Version { major: 3, minor: 0 }.to_string(), "3.0");
        for text in ["", "1", "1.", ".1", "1.0.0", "01.0", "+1.0", "1.-1", "1.99999999999", "v1.0", "1.0 "] {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
    }
}
