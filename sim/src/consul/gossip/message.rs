//! What members say to each other, and what one says to whoever runs it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::coordinate::Coordinate;

/// What a member tells about itself.
pub(in crate::consul) type Tags = BTreeMap<String, String>;

/// Who a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::consul) struct Identity {
    /// Its name, unique in the cluster.
    pub(in crate::consul) name: Rc<str>,
    /// Where its gossip is received.
    pub(in crate::consul) address: SocketAddr,
    /// What it tells about itself.
    pub(in crate::consul) tags: Tags,
}

/// How a member stands, with the numbers that `/v1/agent/members` gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(in crate::consul) enum Status {
    /// It is there.
    Alive = 1,
    /// It said that it will leave.
    Leaving = 2,
    /// It left, or was told to have left after it failed.
    Left = 3,
    /// It is gone and never said why.
    Failed = 4,
}

/// One member as a node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::consul) struct Member {
    /// Its name.
    pub(in crate::consul) name: Rc<str>,
    /// Where its gossip is received.
    pub(in crate::consul) address: SocketAddr,
    /// What it tells about itself.
    pub(in crate::consul) tags: Rc<Tags>,
    /// How it stands.
    pub(in crate::consul) status: Status,
    /// The Lamport time of the intent to join or leave that was last heard of it.
    pub(in crate::consul) ltime: u64,
}

/// Something a user tells the whole cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(in crate::consul) struct UserEvent {
    /// Its unique id.
    pub(in crate::consul) id: String,
    /// Its name.
    pub(in crate::consul) name: String,
    /// Its contents.
    pub(in crate::consul) payload: Vec<u8>,
    /// Only for nodes whose name matches; all if empty.
    pub(in crate::consul) node_filter: String,
    /// Only for nodes with a service that matches; all if empty.
    pub(in crate::consul) service_filter: String,
    /// Only for nodes with a service with a tag that matches; all if empty.
    pub(in crate::consul) tag_filter: String,
    /// When it was fired, in Lamport time. [`super::Gossip::fire`] sets it.
    pub(in crate::consul) ltime: u64,
}

/// What comes out of a node.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::consul) enum Output {
    /// A message is to be sent.
    Send {
        /// To where.
        to: SocketAddr,
        /// What.
        message: Message,
        /// How.
        delivery: Delivery,
    },
    /// A member came, or came back. A node itself is the first.
    Joined(Member),
    /// A member is gone without a word.
    Failed(Member),
    /// A member left, or was told to have left.
    Left(Member),
    /// A member was forgotten.
    Reaped(Member),
    /// A member tells something else about itself.
    Updated(Member),
    /// A user's event came by, or was fired here.
    User(Rc<UserEvent>),
    /// A [`super::Gossip::join`] is over.
    JoinEnded {
        /// How many of its peers answered.
        contacted: usize,
    },
    /// A [`super::Gossip::leave`] is over: the node may be stopped.
    LeaveEnded {
        /// Whether the others were told in time.
        announced: bool,
    },
}

/// How a message travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::consul) enum Delivery {
    /// As one datagram: lost, late or twice are all fair.
    Datagram,
    /// Over a connection of its own, whose answer comes back over it: once, or not at all.
    Stream {
        /// When the connection is given up. Until then connecting is tried again as TCP does.
        until: Duration,
    },
}

/// What one member sends another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::consul) enum Message {
    /// A datagram.
    Packet(Vec<Part>),
    /// All the sender knows; the receiver is to answer with all it knows.
    PushPull {
        /// Names the request.
        request: u64,
        /// All the sender knows.
        state: Box<State>,
    },
    /// The answer to it.
    PushPullReply {
        /// The request.
        request: u64,
        /// All the answering member knew before it learned what it was told.
        state: Box<State>,
    },
    /// A probe over a connection, for when datagrams do not get through.
    StreamPing {
        /// Names the probe.
        seq: u64,
        /// Who is probed.
        node: Rc<str>,
    },
    /// The answer to it.
    StreamAck {
        /// The probe.
        seq: u64,
    },
}

/// One of the parts of a datagram.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::consul) enum Part {
    /// Are you there?
    Ping {
        /// Names the probe.
        seq: u64,
        /// Who is probed: another node at the same address does not answer.
        node: Rc<str>,
    },
    /// Ask somebody else whether it is there.
    IndirectPing {
        /// Names the probe.
        seq: u64,
        /// Who is probed.
        node: Rc<str>,
        /// Where it is.
        target: SocketAddr,
    },
    /// Yes.
    Ack {
        /// The probe.
        seq: u64,
        /// Where the probed member is among the others, unless the answer was relayed.
        coordinate: Option<Box<Coordinate>>,
    },
    /// I asked, and nobody answered.
    Nack {
        /// The probe.
        seq: u64,
    },
    /// News to be passed on.
    Rumour(Rumour),
}

/// News that every member passes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::consul) enum Rumour {
    /// A member is there.
    Alive(Alive),
    /// A member does not answer.
    Suspect {
        /// Of which incarnation.
        incarnation: u64,
        /// Which member.
        node: Rc<str>,
        /// Who says so.
        from: Rc<str>,
    },
    /// A member is gone; it left, if it says so itself.
    Dead {
        /// Of which incarnation.
        incarnation: u64,
        /// Which member.
        node: Rc<str>,
        /// Who says so.
        from: Rc<str>,
    },
    /// A node joined.
    Join {
        /// When, in Lamport time.
        ltime: u64,
        /// Which node.
        node: Rc<str>,
    },
    /// A node is going to leave, or is to be taken for one that left.
    Leave {
        /// When, in Lamport time.
        ltime: u64,
        /// Which node.
        node: Rc<str>,
        /// Whether it is to be forgotten at once.
        prune: bool,
    },
    /// A user's event.
    User(Rc<UserEvent>),
}

/// What is said of a member that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::consul) struct Alive {
    /// How often it had to say that it is there.
    pub(in crate::consul) incarnation: u64,
    /// Its name.
    pub(in crate::consul) node: Rc<str>,
    /// Where its gossip is received.
    pub(in crate::consul) address: SocketAddr,
    /// What it tells about itself.
    pub(in crate::consul) tags: Rc<Tags>,
}

/// What failure detection makes of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::consul) enum Condition {
    /// It answers.
    Alive,
    /// It does not, and has some time left to say that it is there.
    Suspect,
    /// It did not.
    Dead,
    /// It said that it is gone.
    Left,
}

/// All that a member knows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::consul) struct State {
    /// Whether the exchange is made to join.
    pub(in crate::consul) join: bool,
    /// What failure detection knows of whom.
    pub(in crate::consul) nodes: Vec<(Alive, Condition)>,
    /// The Lamport time of membership.
    pub(in crate::consul) ltime: u64,
    /// When each member last joined or left, in Lamport time.
    pub(in crate::consul) ltimes: BTreeMap<Rc<str>, u64>,
    /// Who of them left.
    pub(in crate::consul) left: Vec<Rc<str>>,
    /// The Lamport time of users' events.
    pub(in crate::consul) event_ltime: u64,
    /// The latest of them.
    pub(in crate::consul) events: Vec<Rc<UserEvent>>,
}

impl Rumour {
    /// About how many bytes it takes in a datagram.
    pub(super) fn size(&self) -> usize {
        const FIELDS: usize = 40;
        FIELDS
            + match self {
                Rumour::Alive(alive) => {
                    let tags = alive.tags.iter().map(|(name, value)| name.len() + value.len() + 2);
                    alive.node.len() + 40 + tags.sum::<usize>()
                }
                Rumour::Suspect { node, from, .. } | Rumour::Dead { node, from, .. } => {
                    node.len() + from.len()
                }
                Rumour::Join { node, .. } | Rumour::Leave { node, .. } => node.len(),
                Rumour::User(event) => {
                    let filters = [&event.node_filter, &event.service_filter, &event.tag_filter];
                    let filters: usize = filters.iter().map(|filter| filter.len()).sum();
                    event.id.len() + event.name.len() + event.payload.len() + filters
                }
            }
    }
}
