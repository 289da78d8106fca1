//! `?filter=`: the one way from what an endpoint found to what it shows of it.
//!
//! Every list that takes a filter goes through [`Filtering::filtered`] as the records it would be shown
//! as. Expressions are not evaluated yet, so one that is given is refused: an answer that ignored it
//! would be a lie.

use serde::Serialize;

use super::Call;
use super::reply::Failure;

const NOT_SIMULATED: &str = "filter expressions are not simulated";

/// What kind of record a filter selects from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Records {
    /// Nodes.
    Nodes,
    /// Instances with their nodes in one.
    ServiceNodes,
    /// Instances on a node.
    NodeServices,
    /// Instances with their nodes and checks.
    CheckServiceNodes,
    /// Checks.
    Checks,
}

/// The filter of a request, if it has one.
#[derive(Debug, Clone)]
pub(in crate::consul) struct Filtering(());

impl Filtering {
    /// The filter `call` asks for.
    ///
    /// # Errors
    /// When it asks for one.
    pub(super) fn of(call: &Call<'_>, _: Records) -> Result<Self, Failure> {
        match call.params.get("filter") {
            None | Some("") => Ok(Self(())),
            Some(_) => Err(Failure::internal(NOT_SIMULATED).of_query()),
        }
    }

    /// The records it selects.
    ///
    /// # Errors
    /// What an expression can meet in a record.
    pub(super) fn filtered<T: Serialize>(&self, records: Vec<T>) -> Result<Vec<T>, Failure> {
        Ok(records)
    }
}
