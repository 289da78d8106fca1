//! What can go wrong between here and Consul, and what is known about the request then.

use std::io;
use std::time::Duration;

use http::Method;

use super::http::Failure;

/// The result of a call.
pub type Result<T> = std::result::Result<T, Error>;

/// A call that did not get an answer it could use.
#[derive(Debug, thiserror::Error)]
#[error("{verb} {path}: {cause}")]
pub struct Error {
    /// The HTTP method.
    pub verb: Method,
    /// The path, without its query.
    pub path: String,
    /// What happened.
    #[source]
    pub cause: Cause,
}

/// Why there is no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// No connection could be opened: nothing was sent.
    #[error("unreachable: {0}")]
    Unreachable(#[source] io::Error),
    /// The connection ended before the answer.
    #[error("connection lost: {0}")]
    Interrupted(String),
    /// The deadline passed before the answer.
    #[error("no answer within {}", humantime::format_duration(*.0))]
    TimedOut(Duration),
    /// Consul answered that it did not do it, or does not know.
    #[error("status {status}{}{body}", if body.is_empty() { "" } else { ": " })]
    Status {
        /// The HTTP status.
        status: u16,
        /// What it said.
        body: String,
    },
    /// The answer was not one Consul gives.
    #[error("protocol error: {0}")]
    Protocol(String),
}

impl Error {
    pub(super) fn new(verb: Method, path: &str, cause: Cause) -> Self {
        Self { verb, path: path.to_owned(), cause }
    }

    /// The status Consul answered with, when it did answer.
    pub fn status(&self) -> Option<u16> {
        match self.cause {
            Cause::Status { status, .. } => Some(status),
            _ => None,
        }
    }

    /// Whether what was asked for may have been done, or may still be done later.
    ///
    /// True without an answer, and for 5xx: a Consul leader that loses its majority while it commits
    /// answers 500, and the write may be applied all the same once there is a majority again.
    pub fn outcome_unknown(&self) -> bool {
        match &self.cause {
            Cause::Unreachable(_) => false,
            Cause::Interrupted(_) | Cause::TimedOut(_) | Cause::Protocol(_) => true,
            Cause::Status { status, .. } => *status >= 500,
        }
    }
}

impl From<Failure> for Cause {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unreachable(error) => Self::Unreachable(error),
            Failure::Interrupted(why) => Self::Interrupted(why),
            Failure::TimedOut(after) => Self::TimedOut(after),
            Failure::Protocol(why) => Self::Protocol(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_verb_and_path_and_whether_it_may_have_happened() {
        let error = |cause| Error::new(Method::PUT, "/v1/kv/a", cause);
        let status = |status, body: &str| Cause::Status { status, body: body.to_owned() };
        for (cause, text, unknown) in [
            (Cause::Unreachable(io::Error::other("refused")), "PUT /v1/kv/a: unreachable: refused", false),
            (Cause::TimedOut(Duration::from_secs(10)), "PUT /v1/kv/a: no answer within 10s", true),
            (status(500, "No cluster leader"), "PUT /v1/kv/a: status 500: No cluster leader", true),
            (status(429, ""), "PUT /v1/kv/a: status 429", false),
        ] {
            let error = error(cause);
            assert_eq!(error.to_string(), text);
            assert_eq!(error.outcome_unknown(), unknown, "{text}");
        }
    }
}
