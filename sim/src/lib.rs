//! The world an agent is flown in.
//!
//! Data flows one way: a [`spec::Spec`] and a seed become a [`plan::FaultPlan`]; a world runs them and
//! yields a [`record::Record`]; properties read the record and nothing else.
//!
//! The rule a change must keep: whatever happens in a run follows from the spec, the plan and the seed.

pub mod consul;
pub mod engine;
pub mod machine;
pub mod mysql;
pub mod plan;
pub mod properties;
pub mod record;
pub mod recorder;
pub mod recovery;
pub mod run;
pub mod seed;
pub mod signature;
pub mod spec;
pub mod swarm;
mod world;
