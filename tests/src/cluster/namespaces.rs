//! A network for the nodes of one cluster that can be cut, made of namespaces.
//!
//! One namespace holds a bridge, and every node has one of its own with a cable to it; pulling the bridge's
//! end of a cable cuts the node off. Nothing of it touches the machine's own network. The namespaces carry
//! the number of the process that made them, and those of processes that are gone are removed.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use super::NODES;

const PREFIX: &str = "ironbird";
/// The number of the network that is made to see whether one can be.
const PROOF: usize = 99;

/// The network; its end removes it.
#[derive(Debug)]
pub struct Namespaces {
    prefix: String,
}

impl Namespaces {
    /// Whether this process may make such networks here: it makes one.
    pub fn possible() -> bool {
        Self::new(PROOF).is_ok()
    }

    /// Makes one, told from the others of this process by its number.
    ///
    /// # Errors
    /// When the machine does not let it be made.
    #[expect(
        clippy::disallowed_methods,
        reason = "namespaces belong to the machine; the process tells them apart"
    )]
    pub fn new(number: usize) -> io::Result<Self> {
        sweep();
        let network = Self { prefix: format!("{PREFIX}-{}-{number}", std::process::id()) };
        let switch = network.switch();
        ip(&["netns", "add", &switch])?;
        ip(&["-n", &switch, "link", "add", "bridge", "type", "bridge", "forward_delay", "0"])?;
        ip(&["-n", &switch, "link", "set", "bridge", "up"])?;
        for node in 0..NODES {
            let (own, port) = (network.of(node), port(node));
            ip(&["netns", "add", &own])?;
            ip(&["-n", &switch, "link", "add", &port, "type", "veth", "peer", "name", "lan", "netns", &own])?;
            ip(&["-n", &switch, "link", "set", &port, "master", "bridge", "up"])?;
            ip(&["-n", &own, "addr", "add", &format!("{}/24", address(node)), "dev", "lan"])?;
            ip(&["-n", &own, "link", "set", "lan", "up"])?;
            ip(&["-n", &own, "link", "set", "lo", "up"])?;
        }
        Ok(network)
    }

    fn switch(&self) -> String {
        format!("{}-switch", self.prefix)
    }

    /// The namespace of a node.
    pub fn of(&self, node: usize) -> String {
        format!("{}-{node}", self.prefix)
    }

    /// Pulls a node's cable, or plugs it in again.
    ///
    /// # Panics
    /// When the machine does not let it.
    pub fn plug(&self, node: usize, plugged: bool) {
        let state = if plugged { "up" } else { "down" };
        ip(&["-n", &self.switch(), "link", "set", &port(node), state]).expect("a cable of ours");
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for node in 0..NODES {
            ip(&["netns", "del", &self.of(node)]).ok();
        }
        ip(&["netns", "del", &self.switch()]).ok();
    }
}

/// The address of a node in its network.
pub fn address(node: usize) -> String {
    format!("10.77.0.{}", node + 1)
}

fn port(node: usize) -> String {
    format!("port{node}")
}

/// Removes what processes left that were ended before they could.
fn sweep() {
    let Ok(list) = ip(&["netns", "list"]) else { return };
    for name in list.lines().filter_map(|line| line.split_whitespace().next()) {
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').nth(1));
        let gone = owner.is_some_and(|pid| {
            pid.bytes().all(|byte| byte.is_ascii_digit()) && !Path::new("/proc").join(pid).exists()
        });
        if gone {
            ip(&["netns", "del", name]).ok();
        }
    }
}

fn ip(arguments: &[&str]) -> io::Result<String> {
    let output = Command::new("ip").args(arguments).stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(io::Error::other(format!("ip {}: {why}", arguments.join(" "))))
}
