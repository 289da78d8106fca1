//! What a fault happens to: machines by name, or whoever has a role when it begins.

use std::fmt;
use std::str::FromStr;

use serde::de::{SeqAccess, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The most targets of one side of a fault.
const MOST: usize = 64;

/// A machine by name, or whoever has a role at that moment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Target {
    /// The instance that holds the primary's lock; also written `lock-holder`.
    Leader,
    /// The instance that takes writes, whoever holds the lock; of several the first.
    Primary,
    /// One instance that does not hold the lock, drawn.
    Replica,
    /// Of the instances that do not hold the lock, the one that has received most.
    MostAdvancedReplica,
    /// All instances that do not hold the lock.
    Replicas,
    /// One instance, drawn.
    Anyone,
    /// The instance that was started last.
    Newest,
    /// The instance that was started first.
    Oldest,
    /// All instances.
    Instances,
    /// All instances that no passing check speaks for.
    Unhealthy,
    /// Every node of Consul.
    Consul,
    /// The server that leads Consul's others.
    ConsulLeader,
    /// One server of Consul that does not, drawn.
    ConsulFollower,
    /// The object store.
    Store,
    /// All clients.
    Clients,
    /// Every machine there is.
    Everything,
    /// A machine by name.
    Host(String),
}

/// The words for roles; the first of a role is the one it is written with.
const ROLES: [(&str, Target); 17] = [
    ("leader", Target::Leader),
    ("lock-holder", Target::Leader),
    ("primary", Target::Primary),
    ("replica", Target::Replica),
    ("most-advanced-replica", Target::MostAdvancedReplica),
    ("replicas", Target::Replicas),
    ("anyone", Target::Anyone),
    ("newest", Target::Newest),
    ("oldest", Target::Oldest),
    ("instances", Target::Instances),
    ("unhealthy", Target::Unhealthy),
    ("consul", Target::Consul),
    ("consul-leader", Target::ConsulLeader),
    ("consul-follower", Target::ConsulFollower),
    ("store", Target::Store),
    ("clients", Target::Clients),
    ("everything", Target::Everything),
];

/// What a machine is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ground {
    /// An instance of the cluster runs on it, in a container.
    Instance,
    /// It is a node of Consul.
    Consul,
    /// It is the object store.
    Store,
    /// It is a client.
    Client,
    /// It may be any.
    Any,
}

impl Target {
    /// The words that are not machine names.
    pub fn roles() -> impl Iterator<Item = &'static str> {
        ROLES.iter().map(|(word, _)| *word)
    }

    /// What the machines that are meant are for.
    pub fn ground(&self) -> Ground {
        match self {
            Self::Leader
            | Self::Primary
            | Self::Replica
            | Self::MostAdvancedReplica
            | Self::Replicas
            | Self::Anyone
            | Self::Newest
            | Self::Oldest
            | Self::Instances
            | Self::Unhealthy => Ground::Instance,
            Self::Consul | Self::ConsulLeader | Self::ConsulFollower => Ground::Consul,
            Self::Store => Ground::Store,
            Self::Clients => Ground::Client,
            Self::Everything => Ground::Any,
            Self::Host(name) => match name.rsplit_once('-').map_or(name.as_str(), |(stem, _)| stem) {
                "mysql" => Ground::Instance,
                "client" => Ground::Client,
                _ => Ground::Consul,
            },
        }
    }

    /// Whether it means several instances: as many as there are.
    pub(crate) fn is_many(&self) -> bool {
        matches!(self, Self::Replicas | Self::Instances | Self::Unhealthy | Self::Everything)
    }

    /// Whether it means one machine at most, and the same one for both sides of a fault.
    fn is_one_machine(&self) -> bool {
        // `consul` may be all there is of it.
        !self.is_many() && !matches!(self, Self::Clients | Self::ConsulFollower)
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((_, role)) = ROLES.iter().find(|(word, _)| *word == text) {
            return Ok(role.clone());
        }
        if is_host_name(text) {
            return Ok(Self::Host(text.to_owned()));
        }
        let roles: Vec<_> = Self::roles().collect();
        Err(format!("`{text}` is no target: one of {}, or a machine like `mysql-1`", roles.join(", ")))
    }
}

fn is_host_name(text: &str) -> bool {
    text.rsplit_once('-').is_some_and(|(stem, number)| {
        matches!(stem, "mysql" | "client" | "consul" | "agent")
            && number.parse::<u32>().is_ok_and(|number| number > 0)
    })
}

impl TryFrom<String> for Target {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self {
            Self::Host(name) => name,
            role => ROLES.iter().find(|(_, known)| known == role).map_or("", |(word, _)| *word),
        };
        f.write_str(word)
    }
}

/// One side of a fault: one target or several. Files write one as a text, several as a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Targets(Vec<Target>);

impl Targets {
    /// Several targets together.
    ///
    /// # Errors
    /// When there is none, or far too many.
    pub fn new(targets: Vec<Target>) -> Result<Self, String> {
        match targets.len() {
            0 => Err("a list of targets names at least one".to_owned()),
            1..=MOST => Ok(Self(targets)),
            many => Err(format!("{many} targets are more than {MOST}")),
        }
    }

    /// The targets, at least one.
    pub fn iter(&self) -> std::slice::Iter<'_, Target> {
        self.0.iter()
    }

    /// Whether all of them are for this.
    pub fn are(&self, ground: Ground) -> bool {
        self.iter().all(|target| target.ground() == ground)
    }

    /// Whether any of them is, or may be, for this.
    pub(crate) fn include(&self, ground: Ground) -> bool {
        self.iter().any(|target| matches!(target.ground(), of if of == ground || of == Ground::Any))
    }

    /// Whether the two sides are one and the same machine.
    pub(super) fn are_the_one_machine(&self, other: &Self) -> bool {
        self == other && matches!(&self.0[..], [only] if only.is_one_machine())
    }
}

impl From<Target> for Targets {
    fn from(target: Target) -> Self {
        Self(vec![target])
    }
}

impl<'a> IntoIterator for &'a Targets {
    type Item = &'a Target;
    type IntoIter = std::slice::Iter<'a, Target>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Targets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, target) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(" and ")?;
            }
            target.fmt(f)?;
        }
        Ok(())
    }
}

impl Serialize for Targets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let [only] = &self.0[..] {
            return only.serialize(serializer);
        }
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for target in self {
            list.serialize_element(target)?;
        }
        list.end()
    }
}

impl<'de> Deserialize<'de> for Targets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore;
        impl<'de> Visitor<'de> for OneOrMore {
            type Value = Targets;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a target like \"leader\" or a list of targets")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Targets, E> {
                text.parse::<Target>().map(Targets::from).map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Targets, A::Error> {
                let mut targets = Vec::new();
                while let Some(target) = list.next_element()? {
                    // One more than may be is enough to complain about.
                    if targets.len() <= MOST {
                        targets.push(target);
                    }
                }
                Targets::new(targets).map_err(de::Error::custom)
            }
        }
        deserializer.deserialize_any(OneOrMore)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_reads_back() {
        for (word, role) in &ROLES {
            assert_eq!(word.parse::<Target>().as_ref(), Ok(role));
            assert_eq!(role.to_string().parse::<Target>().as_ref(), Ok(role));
        }
        assert_eq!("lock-holder".parse::<Target>().unwrap().to_string(), "leader");
        for name in ["mysql-1", "client-2", "consul-3", "agent-1"] {
            assert_eq!(name.parse::<Target>().unwrap().to_string(), name);
        }
        for text in ["", "leadr", "mysql", "mysql-0", "mysql-x", "disk-1"] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }

    #[test]
    fn one_target_is_a_text_and_several_are_a_list() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct File {
            target: Targets,
        }
        for text in ["target = \"leader\"\n", "target = [\"mysql-1\", \"store\"]\n"] {
            let file: File = toml::from_str(text).unwrap();
            assert_eq!(toml::to_string(&file).unwrap(), text);
        }
        for text in ["target = []", "target = [\"leadr\"]", "target = 1"] {
            assert!(toml::from_str::<File>(text).is_err(), "{text}");
        }
        let many = format!("target = [{}]", "\"leader\",".repeat(MOST + 1));
        assert!(toml::from_str::<File>(&many).is_err());
    }
}
