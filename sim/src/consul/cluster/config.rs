//! What a cluster consists of, and how long its nodes take their time.

use std::time::Duration;

use crate::consul::ConsulConfig;

/// How long things take that Consul takes its time with. The defaults are those of Consul 1.8.7.
#[derive(Debug, Clone, PartialEq)]
pub struct Pace {
    /// `performance.raft_multiplier`: 1 to 10. It stretches heartbeats, elections and leases.
    pub raft_multiplier: u32,
    /// How long a request waits for a leader: `rpc_hold_timeout`.
    pub rpc_hold: Duration,
    /// How long a call to a machine that fell silent hangs before its connection is given up: from, to.
    /// A connection is tried every 30 s, and given up when that has no answer in 10 s.
    pub rpc_hang: (Duration, Duration),
    /// How often an agent compares all it knows with the catalog; up to as much again is added at random.
    pub anti_entropy: Duration,
    /// How long it waits after it could not; up to as much again is added at random.
    pub anti_entropy_retry: Duration,
    /// How often a leader compares all members with the catalog.
    pub reconcile: Duration,
    /// How often an agent brings its network coordinate to the catalog; up to as much again is added at
    /// random. Zero for never.
    pub coordinates: Duration,
    /// How often autopilot looks for servers to clean up; zero for never.
    pub autopilot: Duration,
    /// How long a node that joined nobody waits before it tries again: `retry_interval`. Zero for no retries.
    pub retry_join: Duration,
    /// How often an agent turns to another server; up to half as much again is added at random. Zero for
    /// never.
    pub rebalance: Duration,
    /// How long an agent that is no server remembers what a token may do: `acl.token_ttl`.
    pub acl_token_ttl: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            raft_multiplier: 5,
            rpc_hold: Duration::from_secs(7),
            rpc_hang: (Duration::from_secs(10), Duration::from_secs(40)),
            anti_entropy: Duration::from_secs(60),
            anti_entropy_retry: Duration::from_secs(15),
            reconcile: Duration::from_secs(60),
            coordinates: Duration::from_secs(15),
            autopilot: Duration::from_secs(10),
            retry_join: Duration::from_secs(30),
            rebalance: Duration::from_secs(120),
            acl_token_ttl: Duration::from_secs(30),
        }
    }
}

/// The nodes of a cluster. Servers come first.
#[derive(Debug, Clone)]
pub struct ClusterConfig {
    /// Its nodes.
    pub nodes: Vec<ConsulConfig>,
    /// How many of them, from the first, are servers: 1 to 7.
    pub servers: usize,
    /// How long things take.
    pub pace: Pace,
}
