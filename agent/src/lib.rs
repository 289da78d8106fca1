//! The pilot: an agent that runs as the first process of a container, starts one service, registers it
//! in Consul, keeps its health known, watches what it depends on, and gives the service its role.
//!
//! Everything the agent asks of a machine goes through [`host::Host`]. [`linux::LinuxHost`] is the real
//! one; whoever brings another runs the same lines on it.
//!
//! The rule a change must keep: nothing in this crate reads a clock, a file, a socket, a signal or a
//! random number except through the host it was given.

#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used))]

pub mod consul;
pub mod duration;
pub mod host;
pub mod journal;
pub mod linux;
#[cfg(test)]
mod memory;
pub mod mysql;
pub mod pilot;
pub mod planted;
