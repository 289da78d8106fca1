//! What proves that the fake Consul answers as a real one does.
//!
//! A [`Pair`] is a real server and the fake, which are sent the same requests: written down in sections
//! ([`section`]) or drawn ([`generate`]). Every answer is compared whole, status, headers and body, after
//! [`normalise`] has replaced what two servers cannot share. What is known of each endpoint comes out of
//! the sections as a table ([`parity`]).
//!
//! The rule a change must keep: both sides see the same requests in the same order for as long as they
//! live, the ones that tidy up included. Only then do raft indexes grow in the same order, and their order
//! is what is compared.

pub mod answer;
pub mod client;
pub mod fake;
pub mod generate;
pub mod normalise;
pub mod pair;
pub mod parity;
pub mod real;
pub mod section;
pub mod step;

pub use self::answer::Answer;
pub use self::pair::{Difference, Pair};
pub use self::step::{Request, Step};

/// The name both servers' node has.
pub const NODE: &str = "parity";
