//! Raft, message by message, by the clock, and in any weather.

mod clocks;
mod cluster;
mod messages;
mod storms;
