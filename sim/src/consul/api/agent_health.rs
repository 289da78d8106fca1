//! `/v1/agent/health/service/`: what a load balancer asks of an agent, answered in the status.
//!
//! The agent's own view decides, not the catalog: the checks of the service and those of the node it is
//! on. A service that passes is 200, one with a warning 429, any other 503.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use serde::Serialize;

use super::agent::Shown;
use super::reply::{self, Failure};
use super::{Call, Outcome};
use crate::consul::Consul;
use crate::consul::agent::{NODE_MAINTENANCE, SERVICE_MAINTENANCE};
use crate::consul::state::catalog::{CRITICAL, Check, PASSING, Service, WARNING};

/// The worst of a service's checks, in the order they count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Aggregate {
    Passing,
    Warning,
    Critical,
    Maintenance,
}

impl Aggregate {
    fn of<'a>(checks: impl Iterator<Item = &'a Check>) -> Self {
        checks.map(Self::of_one).max().unwrap_or(Self::Passing)
    }

    fn of_one(check: &Check) -> Self {
        if check.id == NODE_MAINTENANCE || check.id.starts_with(SERVICE_MAINTENANCE) {
            return Self::Maintenance;
        }
        match check.status.as_str() {
            PASSING => Self::Passing,
            WARNING => Self::Warning,
            _ => Self::Critical,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Passing => PASSING,
            Self::Warning => WARNING,
            Self::Critical => CRITICAL,
            Self::Maintenance => "maintenance",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::Passing => StatusCode::OK,
            Self::Warning => StatusCode::TOO_MANY_REQUESTS,
            Self::Critical | Self::Maintenance => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Health<'a> {
    aggregated_status: &'static str,
    service: Option<Shown<'a>>,
    checks: Option<Vec<ShownCheck<'a>>>,
}

impl<'a> Health<'a> {
    fn of(consul: &'a Consul, service: &'a Service) -> (Aggregate, Self) {
        let checks = || consul.agent.checks_that_concern(&service.id);
        let aggregate = Aggregate::of(checks());
        let health = Self {
            aggregated_status: aggregate.name(),
            service: Some(Shown::new(service)),
            checks: Some(checks().map(ShownCheck::new).collect()),
        };
        (aggregate, health)
    }
}

/// A check as it is shown here and nowhere else: without its type, and with every word of a definition
/// that says nothing.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ShownCheck<'a> {
    node: &'a str,
    #[serde(rename = "CheckID")]
    id: &'a str,
    name: &'a str,
    status: &'a str,
    notes: &'a str,
    output: &'a str,
    #[serde(rename = "ServiceID")]
    service_id: &'a str,
    service_name: &'a str,
    service_tags: Option<&'a [String]>,
    #[serde(rename = "Type")]
    kind: &'static str,
    definition: NoDefinition,
    create_index: u64,
    modify_index: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct NoDefinition {
    interval: &'static str,
    timeout: &'static str,
    deregister_critical_service_after: &'static str,
    #[serde(rename = "HTTP")]
    http: &'static str,
    header: Option<()>,
    method: &'static str,
    body: &'static str,
    #[serde(rename = "TLSSkipVerify")]
    tls_skip_verify: bool,
    #[serde(rename = "TCP")]
    tcp: &'static str,
}

const NO_DEFINITION: NoDefinition = NoDefinition {
    interval: "0s",
    timeout: "0s",
    deregister_critical_service_after: "0s",
    http: "",
    header: None,
    method: "",
    body: "",
    tls_skip_verify: false,
    tcp: "",
};

impl<'a> ShownCheck<'a> {
    fn new(check: &'a Check) -> Self {
        Self {
            node: &check.node,
            id: &check.id,
            name: &check.name,
            status: &check.status,
            notes: &check.notes,
            output: &check.output,
            service_id: &check.service_id,
            service_name: &check.service_name,
            service_tags: Some(&*check.service_tags).filter(|tags| !tags.is_empty()),
            kind: "",
            definition: NO_DEFINITION,
            create_index: 0,
            modify_index: 0,
        }
    }
}

pub(super) fn by_id(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    if call.rest.is_empty() {
        return Err(Failure::internal("Bad request: Missing serviceID"));
    }
    let Some(service) = consul.agent.service(call.rest) else {
        let why = format!("ServiceId {} not found", call.rest);
        let nothing = Health { aggregated_status: Aggregate::Critical.name(), service: None, checks: None };
        let response = match wants_text(call) {
            // In quotes, as JSON has them.
            true => reply::json(StatusCode::NOT_FOUND, &why, call.form.pretty),
            false => reply::json(StatusCode::NOT_FOUND, &nothing, call.form.pretty),
        };
        return Ok(because(response, &why));
    };
    call.need(|token| token.service_read(&service.name))?;
    let (aggregate, health) = Health::of(consul, service);
    Ok(answer(call, aggregate.status(), aggregate.name(), &health))
}

pub(super) fn by_name(consul: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    if call.rest.is_empty() {
        return Err(Failure::internal("Bad request: Missing service Name"));
    }
    call.need(|token| token.service_read(call.rest))?;
    let consul = &*consul;
    let named = consul.agent.services().filter(|service| service.name == call.rest);
    let (aggregates, healths): (Vec<_>, Vec<_>) = named.map(|service| Health::of(consul, service)).unzip();
    Ok(match aggregates.into_iter().max() {
        Some(worst) => answer(call, worst.status(), worst.name(), &healths),
        None => {
            let why = format!("ServiceName {} Not Found", call.rest);
            answer(call, StatusCode::NOT_FOUND, &why, &healths)
        }
    })
}

fn wants_text(call: &Call<'_>) -> bool {
    call.params.get("format") == Some("text")
}

fn answer(call: &Call<'_>, status: StatusCode, why: &str, health: &(impl Serialize + ?Sized)) -> Outcome {
    if !wants_text(call) {
        return because(reply::json(status, health, call.form.pretty), why);
    }
    let mut response = reply::text(status, why.to_owned());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    because(response, why)
}

fn because(mut response: Response<Bytes>, why: &str) -> Outcome {
    if let Ok(why) = HeaderValue::from_str(why) {
        response.headers_mut().insert(reply::REASON, why);
    }
    Outcome::Answer(response)
}
