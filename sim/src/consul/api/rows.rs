//! Service instances and checks as request bodies write them, for registrations and transactions.
//!
//! Both are decoded by types of Go's that differ in what else they take and in the names its messages
//! give to fields; `path` is what a message begins with.

use serde_json::{Map, Value};

use super::decode;
use crate::consul::state::catalog::{
    Check, Definition, Expose, ExposedPath, MeshGateway, Node, Proxy, Service, ServiceAddress, Upstream,
    Weights,
};

/// Which of Go's types decodes a row.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Decoder {
    /// The one of registrations.
    Structs,
    /// The one of transactions, which forgets some of what it read.
    Api,
}

/// A field of one of Go's structs, as its messages name it.
fn at(path: &str, field: &str) -> String {
    format!("{path}.{field}")
}

pub(super) fn node(value: &Value, path: &str) -> decode::Result<Node> {
    let mut node = Node::default();
    for (field, name, value) in decode::fields_at(value, path, "api.Node")? {
        match field.as_str() {
            "id" => node.id = decode::text(value, &at(path, "ID"))?,
            "node" => node.name = decode::text(value, &at(path, "Node"))?,
            "address" => node.address = decode::text(value, &at(path, "Address"))?,
            "datacenter" => node.datacenter = decode::text(value, &at(path, "Datacenter"))?,
            "taggedaddresses" => {
                node.tagged_addresses = decode::text_map(value, &at(path, "TaggedAddresses"))?
            }
            "meta" => node.meta = decode::text_map(value, &at(path, "Meta"))?,
            "createindex" => drop(decode::unsigned(value, &at(path, "CreateIndex"))?),
            "modifyindex" => node.modify_index = decode::unsigned(value, &at(path, "ModifyIndex"))?,
            _ => return decode::unknown(name),
        }
    }
    Ok(node)
}

pub(super) fn service(value: &Value, path: &str, decoder: Decoder) -> decode::Result<Service> {
    let kept = decoder == Decoder::Structs;
    let mut service = Service::default();
    let go_type = if kept { "structs.NodeService" } else { "api.AgentService" };
    for (field, name, value) in decode::fields_at(value, path, go_type)? {
        match field.as_str() {
            "id" => service.id = decode::text(value, &at(path, "ID"))?,
            "service" => service.name = decode::text(value, &at(path, "Service"))?,
            "tags" => {
                service.lists_tags = !value.is_null();
                service.tags = decode::texts(value, &at(path, "Tags"))?.unwrap_or_default();
            }
            "address" => service.address = decode::text(value, &at(path, "Address"))?,
            "taggedaddresses" => {
                let addresses = addresses(value, path)?;
                service.tagged_addresses = if kept { addresses } else { Default::default() };
            }
            "meta" => service.meta = decode::text_map(value, &at(path, "Meta"))?,
            "port" => service.port = decode::integer(value, &at(path, "Port"))?,
            "weights" => {
                let weights = weights(value, path)?;
                // What cannot be is taken for what is usual.
                service.weights = if weights.validate().is_ok() { weights } else { Weights::default() };
            }
            "enabletagoverride" => {
                service.enable_tag_override = decode::boolean(value, &at(path, "EnableTagOverride"))?;
            }
            "kind" => {
                let kind = decode::text(value, &at(path, "Kind"))?;
                service.kind = if kept { kind } else { String::new() };
            }
            "proxy" => {
                let proxy = proxy(value)?;
                service.proxy = if kept { proxy } else { Proxy::default() };
            }
            "connect" => {
                let native = native(value)?;
                service.native = kept && native;
            }
            "createindex" => drop(decode::unsigned(value, &at(path, "CreateIndex"))?),
            "modifyindex" => service.modify_index = decode::unsigned(value, &at(path, "ModifyIndex"))?,
            "contenthash" | "namespace" if !kept => {}
            _ => return decode::unknown(name),
        }
    }
    Ok(service)
}

fn addresses(
    value: &Value,
    path: &str,
) -> decode::Result<std::collections::BTreeMap<String, ServiceAddress>> {
    let entries =
        decode::entries_of(value, &at(path, "TaggedAddresses"), "map[string]structs.ServiceAddress")?;
    entries
        .map(|(tag, value)| {
            let mut address = ServiceAddress::default();
            for (field, name, value) in decode::fields(value, "structs.ServiceAddress")? {
                match field.as_str() {
                    "address" => {
                        address.address =
                            decode::text(value, "ServiceAddress.Service.TaggedAddresses.Address")?;
                    }
                    "port" => {
                        address.port = decode::integer(value, "ServiceAddress.Service.TaggedAddresses.Port")?;
                    }
                    _ => return decode::unknown(name),
                }
            }
            Ok((tag.clone(), address))
        })
        .collect()
}

fn weights(value: &Value, path: &str) -> decode::Result<Weights> {
    if value.is_null() {
        return Ok(Weights::default());
    }
    let mut weights = Weights { passing: 0, warning: 0 };
    for (field, name, value) in decode::fields_at(value, &at(path, "Weights"), "structs.Weights")? {
        match field.as_str() {
            "passing" => weights.passing = decode::integer(value, "Weights.Service.Weights.Passing")?,
            "warning" => weights.warning = decode::integer(value, "Weights.Service.Weights.Warning")?,
            _ => return decode::unknown(name),
        }
    }
    Ok(weights)
}

/// Fields of this part that nobody knows are passed over.
fn native(value: &Value) -> decode::Result<bool> {
    let mut native = false;
    for (field, _, value) in decode::fields(value, "structs.Alias")? {
        if field == "native" {
            native = decode::boolean(value, ".Native")?;
        }
    }
    Ok(native)
}

fn proxy(value: &Value) -> decode::Result<Proxy> {
    let mut proxy = Proxy::default();
    for (field, name, value) in decode::fields(value, "structs.Alias")? {
        match field.as_str() {
            "destinationservicename" | "destination_service_name" => {
                proxy.destination_service_name = decode::text(value, ".DestinationServiceName")?;
            }
            "destinationserviceid" | "destination_service_id" => {
                proxy.destination_service_id = decode::text(value, ".DestinationServiceID")?;
            }
            "localserviceaddress" | "local_service_address" => {
                proxy.local_service_address = decode::text(value, ".LocalServiceAddress")?;
            }
            "localserviceport" | "local_service_port" => {
                proxy.local_service_port = decode::integer(value, ".LocalServicePort")?;
            }
            "config" => proxy.config = config(value, ".Config")?.unwrap_or_default(),
            "upstreams" => {
                let items = decode::items_of(value, ".Upstreams", "structs.Upstreams")?;
                proxy.upstreams = items.iter().map(upstream).collect::<decode::Result<_>>()?;
            }
            "meshgateway" => proxy.mesh_gateway = mesh_gateway(value)?,
            "expose" => proxy.expose = expose(value)?,
            _ => return decode::unknown(name),
        }
    }
    Ok(proxy)
}

fn config(value: &Value, field: &str) -> decode::Result<Option<Map<String, Value>>> {
    match value {
        Value::Null => Ok(None),
        Value::Object(map) => Ok(Some(map.clone())),
        other => decode::mismatch(other, field, "map[string]interface {}"),
    }
}

fn upstream(value: &Value) -> decode::Result<Upstream> {
    let mut upstream = Upstream::default();
    for (field, name, value) in decode::fields(value, "structs.Alias")? {
        match field.as_str() {
            "destinationtype" | "destination_type" => {
                upstream.destination_type = decode::text(value, ".DestinationType")?;
            }
            "destinationnamespace" | "destination_namespace" => {
                upstream.destination_namespace = decode::text(value, ".DestinationNamespace")?;
            }
            "destinationname" | "destination_name" => {
                upstream.destination_name = decode::text(value, ".DestinationName")?;
            }
            "datacenter" => upstream.datacenter = decode::text(value, ".Datacenter")?,
            "localbindaddress" | "local_bind_address" => {
                upstream.local_bind_address = decode::text(value, ".LocalBindAddress")?;
            }
            "localbindport" | "local_bind_port" => {
                upstream.local_bind_port = decode::integer(value, ".LocalBindPort")?;
            }
            "config" => upstream.config = config(value, ".Config")?,
            "meshgateway" => upstream.mesh_gateway = mesh_gateway(value)?,
            _ => return decode::unknown(name),
        }
    }
    Ok(upstream)
}

fn mesh_gateway(value: &Value) -> decode::Result<MeshGateway> {
    let mut gateway = MeshGateway::default();
    for (field, name, value) in decode::fields(value, "structs.MeshGatewayConfig")? {
        match field.as_str() {
            "mode" => gateway.mode = decode::text(value, "MeshGatewayConfig.MeshGateway.Mode")?,
            _ => return decode::unknown(name),
        }
    }
    Ok(gateway)
}

fn expose(value: &Value) -> decode::Result<Expose> {
    let mut expose = Expose::default();
    for (field, name, value) in decode::fields(value, "structs.ExposeConfig")? {
        match field.as_str() {
            "checks" => expose.checks = decode::boolean(value, "ExposeConfig.Expose.Checks")?,
            "paths" => {
                let items = decode::items_of(value, "ExposeConfig.Expose.Paths", "[]structs.ExposePath")?;
                expose.paths = items.iter().map(exposed).collect::<decode::Result<_>>()?;
            }
            _ => return decode::unknown(name),
        }
    }
    Ok(expose)
}

fn exposed(value: &Value) -> decode::Result<ExposedPath> {
    let mut path = ExposedPath::default();
    for (field, name, value) in decode::fields(value, "structs.Alias")? {
        match field.as_str() {
            "listenerport" | "listener_port" => path.listener_port = decode::integer(value, ".ListenerPort")?,
            "path" => path.path = decode::text(value, ".Path")?,
            "localpathport" | "local_path_port" => {
                path.local_path_port = decode::integer(value, ".LocalPathPort")?;
            }
            "protocol" => path.protocol = decode::text(value, ".Protocol")?,
            "parsedfromcheck" => path.parsed_from_check = decode::boolean(value, ".ParsedFromCheck")?,
            _ => return decode::unknown(name),
        }
    }
    Ok(path)
}

pub(super) fn check(value: &Value, path: &str, decoder: Decoder) -> decode::Result<Check> {
    let kept = decoder == Decoder::Structs;
    let mut check = Check::default();
    let go_type = if kept { "structs.HealthCheck" } else { "api.HealthCheck" };
    for (field, name, value) in decode::fields_at(value, path, go_type)? {
        match field.as_str() {
            "node" => check.node = decode::text(value, &at(path, "Node"))?,
            "checkid" => check.id = decode::text(value, &at(path, "CheckID"))?,
            "name" => check.name = decode::text(value, &at(path, "Name"))?,
            "status" => check.status = decode::text(value, &at(path, "Status"))?,
            "notes" => check.notes = decode::text(value, &at(path, "Notes"))?,
            "output" => check.output = decode::text(value, &at(path, "Output"))?,
            "serviceid" => check.service_id = decode::text(value, &at(path, "ServiceID"))?,
            "servicename" => check.service_name = decode::text(value, &at(path, "ServiceName"))?,
            "servicetags" => {
                check.service_tags = decode::texts(value, &at(path, "ServiceTags"))?.unwrap_or_default();
            }
            "type" => {
                let kind = decode::text(value, &at(path, "Type"))?;
                check.kind = if kept { kind } else { String::new() };
            }
            "definition" => check.definition = definition(value, &at(path, "Definition"), decoder)?,
            "createindex" => drop(decode::unsigned(value, &at(path, "CreateIndex"))?),
            "modifyindex" => check.modify_index = decode::unsigned(value, &at(path, "ModifyIndex"))?,
            "namespace" if !kept => {}
            _ => return decode::unknown(name),
        }
    }
    Ok(check)
}

/// Fields of this part that nobody knows are passed over, and messages do not say which field it was.
fn definition(value: &Value, path: &str, decoder: Decoder) -> decode::Result<Definition> {
    let kept = decoder == Decoder::Structs;
    let mut definition = Definition::default();
    for (field, _, value) in decode::fields(value, "structs.Alias")? {
        match field.as_str() {
            "http" => definition.http = decode::text(value, path)?,
            "tlsskipverify" => definition.tls_skip_verify = decode::boolean(value, path)?,
            "header" => definition.header = header(value, path)?,
            "method" => definition.method = decode::text(value, path)?,
            "body" => definition.body = decode::text(value, path)?,
            "tcp" => definition.tcp = decode::text(value, path)?,
            "interval" => definition.interval = decode::nanos(value)?,
            "timeout" => definition.timeout = decode::nanos(value)?,
            "deregistercriticalserviceafter" => {
                definition.deregister_critical_service_after = decode::nanos(value)?;
            }
            _ if !kept => {}
            "outputmaxsize" => definition.output_max_size = decode::unsigned(value, path)?,
            "scriptargs" => definition.script_args = decode::texts(value, path)?.unwrap_or_default(),
            "dockercontainerid" => definition.docker_container_id = decode::text(value, path)?,
            "shell" => definition.shell = decode::text(value, path)?,
            "grpc" => definition.grpc = decode::text(value, path)?,
            "grpcusetls" => definition.grpc_use_tls = decode::boolean(value, path)?,
            "aliasnode" => definition.alias_node = decode::text(value, path)?,
            "aliasservice" => definition.alias_service = decode::text(value, path)?,
            "ttl" => definition.ttl = decode::nanos(value)?,
            _ => {}
        }
    }
    Ok(definition)
}

fn header(value: &Value, path: &str) -> decode::Result<std::collections::BTreeMap<String, Vec<String>>> {
    decode::entries_of(value, path, "map[string][]string")?
        .map(|(name, values)| Ok((name.clone(), decode::texts(values, path)?.unwrap_or_default())))
        .collect()
}
