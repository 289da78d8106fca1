//! Filter expressions, as the `filter` parameter of many endpoints takes them.
//!
//! An expression is read against the kind of record it is to select, which decides what it may name
//! ([`fields`]) and so which mistakes are reported before anything is looked at. It is then asked of each
//! record as the record is shown, in JSON. [`grammar`] says what an expression is; [`regexp`] what a
//! regular expression is, for Go's are not quite ours.
//!
//! The rule a change must keep: text from outside never panics, and nests no deeper than the grammar
//! allows; everything said of a bad expression is what Consul 1.8.7 says, to the byte. `golden.txt` holds
//! what a real server said to some hundreds of them.

mod ast;
mod evaluate;
mod fields;
mod grammar;
mod literal;
pub(super) mod regexp;

#[cfg(test)]
mod tests;

use std::fmt;

use serde_json::Value;

use self::ast::Expression;
use self::evaluate::Question;
use self::fields::{Field, Fields};

/// What kind of record a filter is to select.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::consul) enum Kind {
    /// `/v1/catalog/nodes`.
    Node,
    /// `/v1/catalog/service/{name}` and `/v1/catalog/connect/{name}`.
    ServiceNode,
    /// The services within `/v1/catalog/node/{name}` and `/v1/catalog/node-services/{name}`.
    NodeService,
    /// `/v1/health/service/{name}` and `/v1/health/connect/{name}`.
    CheckServiceNode,
    /// `/v1/health/node/{name}`, `/v1/health/checks/{name}` and `/v1/health/state/{state}`.
    HealthCheck,
    /// The values of `/v1/agent/services`.
    AgentService,
    /// The values of `/v1/agent/checks`. Consul reads what the expression names only when it has a check
    /// to ask it of, so [`Filter::matches`] is what reports it.
    AgentCheck,
}

impl Kind {
    fn fields(self) -> &'static Fields {
        match self {
            Self::Node => fields::NODE,
            Self::ServiceNode => fields::SERVICE_NODE,
            Self::NodeService => fields::NODE_SERVICE,
            Self::CheckServiceNode => fields::CHECK_SERVICE_NODE,
            Self::HealthCheck | Self::AgentCheck => fields::HEALTH_CHECK,
            Self::AgentService => fields::AGENT_SERVICE,
        }
    }
}

/// Why a record could not be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::consul) enum Unanswered {
    /// The answer is 500 with this text.
    Because(String),
    /// The expression reads a part of the record that is not there. A real server's handler dies of it:
    /// the client gets no answer, only a closed connection.
    Died,
}

/// An expression that was found good for one kind of record.
#[derive(Debug)]
pub(in crate::consul) struct Filter {
    expression: Option<Expression>,
    /// The expression made ready, or what is wrong with it where that is said late.
    question: Result<Question, String>,
    root: Field,
}

impl Filter {
    /// Reads an expression; an empty one selects everything.
    ///
    /// # Errors
    /// The body of the 500 that answers it.
    pub(in crate::consul) fn parse(text: &str, kind: Kind) -> Result<Self, String> {
        let refused = |why| format!("Failed to create boolean expression evaluator: {why}");
        let root = Field::Record(kind.fields());
        if text.is_empty() {
            return Ok(Self { expression: None, question: Ok(Question::Always), root });
        }
        let expression = grammar::parse(text).map_err(refused)?;
        let question = Question::about(&expression, root);
        if let (Err(why), true) = (&question, kind != Kind::AgentCheck) {
            return Err(refused(why.clone()));
        }
        Ok(Self { expression: Some(expression), question, root })
    }

    /// Whether there is anything to select by. Consul leaves a list as it is when there is not, and makes
    /// a new one, never null, when there is.
    pub(in crate::consul) fn is_empty(&self) -> bool {
        self.expression.is_none()
    }

    /// Whether it selects a record, given as it is shown.
    ///
    /// # Errors
    /// When the request as a whole fails, whatever the other records are.
    pub(in crate::consul) fn matches(&self, record: &Value) -> Result<bool, Unanswered> {
        let question = self.question.as_ref().map_err(|why| Unanswered::Because(why.clone()))?;
        question.ask(Some(record), self.root).ok_or(Unanswered::Died)
    }
}

impl fmt::Display for Filter {
    /// The expression, so that reading it again gives the same filter.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expression.as_ref().map_or(Ok(()), |expression| expression.fmt(f))
    }
}
