//! `?filter=`: the one way from what an endpoint found to what it shows of it.
//!
//! Every list that takes a filter goes through [`Filtering::filtered`] as the records it would be shown
//! as.
//!
//! An expression that reads a part some record lacks ends a real server's handler, and the client sees its
//! connection closed without a word; here it is told what happened.

use std::fmt;
use std::rc::Rc;

use serde::Serialize;

use super::Call;
use super::reply::Failure;
use crate::consul::filter::{Filter, Kind, Unanswered};

const DIED: &str =
    "the filter reads a part that a record does not have, which a real server does not survive";

/// The filter of a request, if it has one.
#[derive(Clone)]
pub(in crate::consul) struct Filtering(Rc<Filter>);

impl Filtering {
    /// The filter `call` asks for.
    ///
    /// # Errors
    /// When it is none.
    pub(super) fn of(call: &Call<'_>, kind: Kind) -> Result<Self, Failure> {
        let text = call.params.get("filter").unwrap_or_default();
        Filter::parse(text, kind).map(|filter| Self(Rc::new(filter))).map_err(Failure::internal)
    }

    /// Whether it leaves everything as it is.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The records it selects.
    ///
    /// # Errors
    /// What an expression can meet in a record.
    pub(super) fn filtered<T: Serialize>(&self, mut records: Vec<T>) -> Result<Vec<T>, Failure> {
        if self.is_empty() {
            return Ok(records);
        }
        let mut failed = None;
        records.retain(|record| {
            failed.is_none()
                && self.selects(record).unwrap_or_else(|failure| {
                    failed = Some(failure);
                    false
                })
        });
        failed.map_or(Ok(records), Err)
    }

    fn selects(&self, record: &impl Serialize) -> Result<bool, Failure> {
        let shown = serde_json::to_value(record).map_err(|why| Failure::internal(why.to_string()))?;
        self.0.matches(&shown).map_err(|why| match why {
            Unanswered::Because(why) => Failure::internal(why),
            Unanswered::Died => Failure::internal(DIED),
        })
    }
}

impl fmt::Debug for Filtering {
    /// The expression, which tells one filter from another.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
