//! What a check is, as a request defines it: by itself or as part of a service.
//!
//! Reports, HTTP and TCP checks and those that mirror a service of the same node are taken. What would
//! have to be run elsewhere (scripts, containers, gRPC, TLS, other nodes' services) is refused: a check
//! that is never run would look like a service that is never healthy.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::decode;
use super::reply::Failure;
use crate::consul::agent::probe::{HttpTarget, Target};
use crate::consul::agent::{CheckKind, CheckRequest};
use crate::consul::duration::positive;

const INTERVAL_MIN: Duration = Duration::from_secs(1);
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
const OUTPUT_MAX: i64 = 4096;

/// What Go calls the type of a check, up to where the two kinds part.
const TYPE_HEAD: &str = "struct { Interval interface {}; Timeout interface {}; TTL interface {}; \
                         DeregisterCriticalServiceAfter interface {}; Args []string \"json:\\\"args\\\"\"; \
                         ScriptArgsSnake []string \"json:\\\"script_args\\\"\"; \
                         DeregisterCriticalServiceAfterSnake interface {} \
                         \"json:\\\"deregister_critical_service_after\\\"\"; \
                         DockerContainerIDSnake string \"json:\\\"docker_container_id\\\"\"; \
                         TLSSkipVerifySnake bool \"json:\\\"tls_skip_verify\\\"\"; ";
const TYPE_OF_SERVICE: &str = "ServiceID string \"json:\\\"ServiceID\\\"\"; ";
const TYPE_TAIL: &str = "ServiceIDSnake string \"json:\\\"service_id\\\"\"; *structs.Alias }";

/// A check, before anything is made of it.
#[derive(Debug, Default)]
pub(super) struct Definition {
    pub(super) request: CheckRequest,
    /// Whether the request says anything at all.
    pub(super) given: bool,
    ttl_nanos: i64,
    interval_nanos: i64,
    timeout_nanos: i64,
    output_max: i64,
    http: String,
    method: String,
    header: BTreeMap<String, Vec<String>>,
    body: String,
    tcp: String,
    grpc: String,
    script: bool,
    alias_node: String,
    alias_service: String,
}

/// Where a check is defined: by itself, or as part of a service, in this field.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Flavour {
    Alone,
    OfService(&'static str),
}

impl Definition {
    /// # Errors
    /// Consul's text when it does not add up.
    pub(super) fn validate(&self) -> Result<(), &'static str> {
        let run = self.script || [&self.http, &self.tcp, &self.grpc].iter().any(|what| !what.is_empty());
        let alias = !self.alias_node.is_empty() || !self.alias_service.is_empty();
        if self.interval_nanos > 0 && self.ttl_nanos > 0 {
            return Err("Interval and TTL cannot both be specified");
        }
        if run && self.interval_nanos <= 0 {
            return Err("Interval must be > 0 for Script, HTTP, or TCP checks");
        }
        if run && alias {
            return Err("Interval cannot be set for Alias checks");
        }
        if alias && self.ttl_nanos > 0 {
            return Err("TTL must be not be set for Alias checks");
        }
        if !run && !alias && self.ttl_nanos <= 0 {
            return Err("TTL must be > 0 for TTL checks");
        }
        if self.output_max < 0 {
            return Err("MaxOutputMaxSize must be positive");
        }
        Ok(())
    }

    /// # Errors
    /// When nothing here can run it.
    pub(super) fn refuse(&self) -> Result<(), Failure> {
        let not_simulated = |what: &str| Err(Failure::internal(format!("{what} are not simulated")));
        if self.script {
            return Err(Failure::internal(
                "Scripts are disabled on this agent from remote calls; \
                 to enable, configure 'enable_script_checks' to true",
            ));
        }
        if !self.grpc.is_empty() {
            return not_simulated("gRPC checks");
        }
        if self.http.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:")) {
            return not_simulated("HTTPS checks");
        }
        if !self.alias_node.is_empty() {
            return not_simulated("alias checks of other nodes");
        }
        Ok(())
    }

    pub(super) fn into_request(self) -> CheckRequest {
        let timeout = match positive(self.timeout_nanos) {
            Duration::ZERO => TIMEOUT_DEFAULT,
            timeout => timeout,
        };
        let target = if !self.http.is_empty() {
            let method = if self.method.is_empty() { "GET".to_owned() } else { self.method };
            Some(Target::Http(Box::new(HttpTarget {
                method,
                url: self.http,
                header: self.header,
                body: self.body,
                timeout,
            })))
        } else if !self.tcp.is_empty() {
            Some(Target::Tcp { address: self.tcp, timeout })
        } else {
            None
        };
        let kind = match target {
            Some(target) => {
                CheckKind::Probe { target, interval: positive(self.interval_nanos).max(INTERVAL_MIN) }
            }
            None if self.alias_service.is_empty() => CheckKind::Ttl(positive(self.ttl_nanos)),
            None => CheckKind::Alias(self.alias_service),
        };
        let output_max = match self.output_max {
            0 => OUTPUT_MAX,
            max => max.min(OUTPUT_MAX),
        };
        CheckRequest { kind, output_max: usize::try_from(output_max).ok(), ..self.request }
    }
}

/// Reads a check.
pub(super) fn check_definition(value: &Value, flavour: Flavour) -> decode::Result<Definition> {
    let mut check = Definition::default();
    let alone = flavour == Flavour::Alone;
    // Of a check that is part of something Go names only the part that it is.
    let named = |field: &'static str| match flavour {
        Flavour::Alone => field,
        Flavour::OfService(part) => part,
    };
    let fields = match (flavour, value) {
        (_, Value::Object(_) | Value::Null) => decode::fields(value, "")?,
        (Flavour::Alone, other) => decode::fields(other, &format!("{TYPE_HEAD}{TYPE_TAIL}"))?,
        (Flavour::OfService(part), other) => {
            return decode::mismatch(other, part, &format!("{TYPE_HEAD}{TYPE_OF_SERVICE}{TYPE_TAIL}"));
        }
    };
    for (field, name, value) in fields {
        let request = &mut check.request;
        match field.as_str() {
            "id" if alone => request.id = decode::text(value, named(".ID"))?,
            "checkid" if !alone => request.id = decode::text(value, named(".CheckID"))?,
            "name" => request.name = decode::text(value, named(".Name"))?,
            "status" => request.status = decode::text(value, named(".Status"))?,
            "notes" => request.notes = decode::text(value, named(".Notes"))?,
            "serviceid" | "service_id" => {
                let id = decode::text(value, named(".ServiceID"))?;
                if alone {
                    request.service_id = id;
                }
            }
            "ttl" => check.ttl_nanos = decode::nanos(value)?,
            "interval" => check.interval_nanos = decode::nanos(value)?,
            "timeout" => check.timeout_nanos = decode::nanos(value)?,
            "deregistercriticalserviceafter" | "deregister_critical_service_after" => {
                request.deregister_after = positive(decode::nanos(value)?);
            }
            "outputmaxsize" => check.output_max = decode::integer(value, named(".OutputMaxSize"))?,
            "successbeforepassing" => {
                request.success_before_passing = count(value, named(".SuccessBeforePassing"))?;
            }
            "failuresbeforecritical" => {
                request.failures_before_critical = count(value, named(".FailuresBeforeCritical"))?;
            }
            "args" | "scriptargs" | "script_args" => {
                let field = if field == "args" { named(".args") } else { named(".ScriptArgs") };
                check.script = decode::texts(value, field)?.is_some_and(|args| !args.is_empty());
            }
            "http" => check.http = decode::text(value, named(".HTTP"))?,
            "method" => check.method = decode::text(value, named(".Method"))?,
            "body" => check.body = decode::text(value, named(".Body"))?,
            "header" => check.header = decode::text_lists(value, named(".Header"))?,
            "tcp" => check.tcp = decode::text(value, named(".TCP"))?,
            "grpc" => check.grpc = decode::text(value, named(".GRPC"))?,
            "aliasnode" => check.alias_node = decode::text(value, named(".AliasNode"))?,
            "aliasservice" => check.alias_service = decode::text(value, named(".AliasService"))?,
            // A container without a script in it does nothing.
            "dockercontainerid" | "docker_container_id" => {
                drop(decode::text(value, named(".DockerContainerID"))?);
            }
            "shell" => drop(decode::text(value, named(".Shell"))?),
            "token" if alone => drop(decode::text(value, named(".Token"))?),
            "proxyhttp" if !alone => drop(decode::text(value, named(".ProxyHTTP"))?),
            "proxygrpc" if !alone => drop(decode::text(value, named(".ProxyGRPC"))?),
            "grpcusetls" => {
                decode::boolean(value, named(".GRPCUseTLS"))?;
            }
            "tlsskipverify" | "tls_skip_verify" => {
                decode::boolean(value, named(".TLSSkipVerify"))?;
            }
            _ => return decode::unknown(name),
        }
        check.given |= !empty(value);
    }
    Ok(check)
}

fn count(value: &Value, field: &str) -> decode::Result<u64> {
    Ok(u64::try_from(decode::integer(value, field)?).unwrap_or(0))
}

/// Whether a field says nothing.
pub(super) fn empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(boolean) => !boolean,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}
