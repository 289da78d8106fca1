//! The fields a filter may name, of every kind of record Consul filters.
//!
//! A selector is the name a record's JSON uses for the field, without regard to whether this record shows
//! it: what Consul omits when empty is empty. The tables are those a 1.8.7 server accepts, found by
//! asking one for every selector and operator.

use super::ast::Operator;

/// A field's type decides its operators, and how a value is read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Field {
    Text,
    Integer,
    Boolean,
    /// A list of strings.
    Texts,
    /// Named values of one type.
    Map(&'static Field),
    Record(&'static Fields),
    /// A record that may be absent. The real server's handler does not survive reading an absent one.
    Optional(&'static Fields),
    /// A list of records; a question about it is whether any of them answers yes.
    Records(&'static Fields),
}

/// The fields of a record.
pub(super) type Fields = [(&'static str, Field)];

impl Field {
    /// The field a name stands for within this one.
    pub(super) fn within(self, name: &[u8]) -> Option<Field> {
        match self {
            Self::Record(fields) | Self::Optional(fields) | Self::Records(fields) => {
                fields.iter().find(|(field, _)| field.as_bytes() == name).map(|(_, field)| *field)
            }
            Self::Map(value) => Some(*value),
            Self::Text | Self::Integer | Self::Boolean | Self::Texts => None,
        }
    }

    pub(super) fn supports(self, operator: Operator) -> bool {
        use Operator::{Equal, In, IsEmpty, IsNotEmpty, Matches, NotEqual, NotIn, NotMatches};
        match self {
            Self::Text => matches!(operator, Equal | NotEqual | In | NotIn | Matches | NotMatches),
            Self::Integer | Self::Boolean => matches!(operator, Equal | NotEqual),
            Self::Texts | Self::Map(_) => matches!(operator, In | NotIn | IsEmpty | IsNotEmpty),
            Self::Records(_) => matches!(operator, IsEmpty | IsNotEmpty),
            Self::Record(_) | Self::Optional(_) => false,
        }
    }
}

use Field::{Boolean, Integer, Map, Optional, Record, Records, Text, Texts};

/// `/v1/catalog/nodes`.
pub(super) const NODE: &Fields = &[
    ("ID", Text),
    ("Node", Text),
    ("Address", Text),
    ("Datacenter", Text),
    ("TaggedAddresses", Map(&Text)),
    ("Meta", Map(&Text)),
];

/// `/v1/catalog/service/` and `/v1/catalog/connect/`.
pub(super) const SERVICE_NODE: &Fields = &[
    ("ID", Text),
    ("Node", Text),
    ("Address", Text),
    ("Datacenter", Text),
    ("TaggedAddresses", Map(&Text)),
    ("NodeMeta", Map(&Text)),
    ("ServiceKind", Text),
    ("ServiceID", Text),
    ("ServiceName", Text),
    ("ServiceTags", Texts),
    ("ServiceAddress", Text),
    ("ServiceTaggedAddresses", Map(&Record(ADDRESS))),
    ("ServiceWeights", Record(WEIGHTS)),
    ("ServiceMeta", Map(&Text)),
    ("ServicePort", Integer),
    ("ServiceEnableTagOverride", Boolean),
    ("ServiceProxy", Record(PROXY)),
    ("ServiceConnect", Record(CONNECT)),
];

/// The services of `/v1/catalog/node/` and `/v1/catalog/node-services/`.
pub(super) const NODE_SERVICE: &Fields = &[
    ("Kind", Text),
    ("ID", Text),
    ("Service", Text),
    ("Tags", Texts),
    ("Address", Text),
    ("TaggedAddresses", Map(&Record(ADDRESS))),
    ("Meta", Map(&Text)),
    ("Port", Integer),
    ("Weights", Record(WEIGHTS)),
    ("EnableTagOverride", Boolean),
    ("Proxy", Record(PROXY)),
    ("Connect", Record(CONNECT)),
];

/// `/v1/agent/services`.
pub(super) const AGENT_SERVICE: &Fields = &[
    ("Kind", Text),
    ("ID", Text),
    ("Service", Text),
    ("Tags", Texts),
    ("Address", Text),
    ("TaggedAddresses", Map(&Record(ADDRESS))),
    ("Meta", Map(&Text)),
    ("Port", Integer),
    ("Weights", Record(WEIGHTS)),
    ("EnableTagOverride", Boolean),
    ("Proxy", Optional(PROXY)),
    ("Connect", Optional(CONNECT)),
];

/// `/v1/health/node/`, `/v1/health/checks/`, `/v1/health/state/` and `/v1/agent/checks`.
pub(super) const HEALTH_CHECK: &Fields = &[
    ("Node", Text),
    ("CheckID", Text),
    ("Name", Text),
    ("Status", Text),
    ("Notes", Text),
    ("Output", Text),
    ("ServiceID", Text),
    ("ServiceName", Text),
    ("ServiceTags", Texts),
    ("Type", Text),
];

/// `/v1/health/service/` and `/v1/health/connect/`.
pub(super) const CHECK_SERVICE_NODE: &Fields =
    &[("Node", Record(NODE)), ("Service", Record(NODE_SERVICE)), ("Checks", Records(HEALTH_CHECK))];

const ADDRESS: &Fields = &[("Address", Text), ("Port", Integer)];
const WEIGHTS: &Fields = &[("Passing", Integer), ("Warning", Integer)];
const CONNECT: &Fields = &[("Native", Boolean)];
const MESH_GATEWAY: &Fields = &[("Mode", Text)];

const PROXY: &Fields = &[
    ("DestinationServiceName", Text),
    ("DestinationServiceID", Text),
    ("LocalServiceAddress", Text),
    ("LocalServicePort", Integer),
    ("Upstreams", Records(UPSTREAM)),
    ("MeshGateway", Record(MESH_GATEWAY)),
    ("Expose", Record(EXPOSE)),
];

const UPSTREAM: &Fields = &[
    ("DestinationType", Text),
    ("DestinationNamespace", Text),
    ("DestinationName", Text),
    ("Datacenter", Text),
    ("LocalBindAddress", Text),
    ("LocalBindPort", Integer),
    ("MeshGateway", Record(MESH_GATEWAY)),
];

const EXPOSE: &Fields = &[("Checks", Boolean), ("Paths", Records(EXPOSED_PATH))];

const EXPOSED_PATH: &Fields = &[
    ("ListenerPort", Integer),
    ("Path", Text),
    ("LocalPathPort", Integer),
    ("Protocol", Text),
    ("ParsedFromCheck", Boolean),
];
