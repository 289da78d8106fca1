//! Whom a trouble of a cluster hits: nodes by name or by what they do.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// A node of a cluster, by name or by what it does when the trouble begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Whom {
    /// The server that leads; if there is none, the next that does.
    Leader,
    /// A server that does not lead, drawn.
    Follower,
    /// A server, counted from 1.
    Server(usize),
    /// An agent that is no server, counted from 1.
    Agent(usize),
}

impl Whom {
    /// The roles, for messages.
    pub const ROLES: [&'static str; 2] = ["leader", "follower"];
}

impl FromStr for Whom {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbered = text.rsplit_once('-').and_then(|(stem, number)| {
            // `server-01` is no node's name.
            let number =
                number.parse().ok().filter(|found: &usize| *found > 0 && found.to_string() == number)?;
            match stem {
                "server" => Some(Self::Server(number)),
                "agent" => Some(Self::Agent(number)),
                _ => None,
            }
        });
        match text {
            "leader" => Ok(Self::Leader),
            "follower" => Ok(Self::Follower),
            _ => numbered.ok_or_else(|| {
                format!(
                    "`{text}` is no target: one of {}, or a node like `server-2` or `agent-1`",
                    Self::ROLES.join(", ")
                )
            }),
        }
    }
}

impl TryFrom<String> for Whom {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leader => f.write_str("leader"),
            Self::Follower => f.write_str("follower"),
            Self::Server(number) => write!(f, "server-{number}"),
            Self::Agent(number) => write!(f, "agent-{number}"),
        }
    }
}

/// How many nodes there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Census {
    /// How many are servers.
    pub servers: usize,
    /// How many are agents only.
    pub agents: usize,
}

/// A lone server.
impl Default for Census {
    fn default() -> Self {
        Self { servers: 1, agents: 0 }
    }
}

/// There is nobody whom a trouble could hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Whoever would be hit is all there is.
    #[error("a lone server cannot be killed, paused or isolated: that takes a cluster of servers or agents")]
    Lone,
    /// Nobody has that name.
    #[error("there is no {whom} in a cluster of {} servers and {} agents", census.servers, census.agents)]
    Nobody {
        /// Whom it was to hit.
        whom: Whom,
        /// The nodes there are.
        census: Census,
    },
}

impl Census {
    /// Whether it is but one server.
    pub fn is_lone(self) -> bool {
        self == Self::default()
    }

    /// Says whether a trouble can hit `whom`.
    ///
    /// # Errors
    /// When nobody there is, or ever will be, of that name or role.
    pub fn fits(self, whom: Whom) -> Result<(), Unfit> {
        let known = match whom {
            Whom::Leader => true,
            Whom::Follower => self.servers > 1,
            Whom::Server(number) => number <= self.servers,
            Whom::Agent(number) => number <= self.agents,
        };
        match (self.is_lone(), known) {
            (true, _) => Err(Unfit::Lone),
            (false, false) => Err(Unfit::Nobody { whom, census: self }),
            (false, true) => Ok(()),
        }
    }

    /// The name of a node: servers come first.
    pub fn name(self, node: usize) -> String {
        match node.checked_sub(self.servers) {
            None => Whom::Server(node + 1),
            Some(agent) => Whom::Agent(agent + 1),
        }
        .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::{Census, Unfit, Whom};

    #[test]
    fn a_node_has_a_name_or_a_role() {
        for (text, whom) in [
            ("leader", Whom::Leader),
            ("follower", Whom::Follower),
            ("server-2", Whom::Server(2)),
            ("agent-11", Whom::Agent(11)),
        ] {
            assert_eq!(text.parse(), Ok(whom));
            assert_eq!(whom.to_string(), text);
        }
        for text in ["", "server", "server-0", "server-01", "server-+1", "mysql-1", "Leader"] {
            assert!(text.parse::<Whom>().is_err(), "{text}");
        }
    }

    #[test]
    fn whom_a_cluster_does_not_have_cannot_be_hit() {
        let cluster = Census { servers: 3, agents: 1 };
        for whom in [Whom::Leader, Whom::Follower, Whom::Server(3), Whom::Agent(1)] {
            assert_eq!(cluster.fits(whom), Ok(()));
            assert_eq!(Census::default().fits(whom), Err(Unfit::Lone));
        }
        let text = cluster.fits(Whom::Server(4)).expect_err("nobody").to_string();
        assert_eq!(text, "there is no server-4 in a cluster of 3 servers and 1 agents");
        assert_eq!([0, 2, 3].map(|node| cluster.name(node)), ["server-1", "server-3", "agent-1"]);
    }
}
