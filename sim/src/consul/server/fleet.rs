//! What a shell serves: one node, or a whole cluster in one place.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};

use crate::consul::cluster::{Outgoing, Ticket};
use crate::consul::mesh::{Life, Mesh};
use crate::consul::{Blocked, Consul, Happened, Probe, Reply};

/// One node, or several and the network between them.
#[derive(Debug)]
pub enum Fleet {
    /// A node: a server that is alone, or one of a cluster whose others are elsewhere.
    One(Box<Consul>),
    /// A whole cluster.
    Mesh(Box<Mesh>),
}

impl From<Consul> for Fleet {
    fn from(consul: Consul) -> Self {
        Self::One(Box::new(consul))
    }
}

impl From<Mesh> for Fleet {
    fn from(mesh: Mesh) -> Self {
        Self::Mesh(Box::new(mesh))
    }
}

impl Fleet {
    /// How many nodes there are, running or not.
    pub(super) fn len(&self) -> usize {
        self.mesh().map_or(1, Mesh::len)
    }

    /// The cluster, if it is one.
    pub fn mesh(&self) -> Option<&Mesh> {
        match self {
            Self::One(_) => None,
            Self::Mesh(mesh) => Some(mesh),
        }
    }

    /// The cluster, if it is one, to have something done to its nodes.
    pub fn mesh_mut(&mut self) -> Option<&mut Mesh> {
        match self {
            Self::One(_) => None,
            Self::Mesh(mesh) => Some(mesh),
        }
    }

    /// How every node of a cluster is; none where there is but one node, which runs.
    pub(super) fn lives(&self) -> Vec<Life> {
        self.mesh()
            .map(|mesh| (0..mesh.len()).filter_map(|node| mesh.life(node)).collect())
            .unwrap_or_default()
    }

    /// Changes or asks a node at `now`; none when it does not run. The only node there is has every number.
    pub fn with<T>(&mut self, now: Duration, node: usize, act: impl FnOnce(&mut Consul) -> T) -> Option<T> {
        match self {
            Self::One(consul) => {
                consul.advance(now);
                Some(act(consul))
            }
            Self::Mesh(mesh) => mesh.with(now, node, act),
        }
    }

    pub(super) fn request(
        &mut self,
        now: Duration,
        node: usize,
        client: IpAddr,
        request: &Request<Bytes>,
    ) -> Option<Reply> {
        match self {
            Self::One(consul) => Some(consul.request(now, client, request)),
            Self::Mesh(mesh) => mesh.request(now, node, client, request),
        }
    }

    pub(super) fn poll(
        &mut self,
        now: Duration,
        node: usize,
        blocked: &mut Blocked,
    ) -> Option<Response<Bytes>> {
        self.with(now, node, |consul| consul.poll(now, blocked)).flatten()
    }

    pub(super) fn advance(&mut self, now: Duration) {
        match self {
            Self::One(consul) => consul.advance(now),
            Self::Mesh(mesh) => mesh.advance(now),
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        match self {
            Self::One(consul) => consul.next_deadline(),
            Self::Mesh(mesh) => mesh.next_deadline(),
        }
    }

    pub(super) fn revision(&self) -> u64 {
        match self {
            Self::One(consul) => consul.revision(),
            // Its nodes answer blocking queries themselves.
            Self::Mesh(_) => 0,
        }
    }

    pub(super) fn drain_events(&mut self) -> Vec<Happened> {
        match self {
            Self::One(consul) => consul.drain_events(),
            Self::Mesh(mesh) => mesh.drain_events(),
        }
    }

    pub(super) fn answers(&mut self) -> Vec<(usize, Ticket, Response<Bytes>)> {
        match self {
            Self::One(consul) => {
                consul.answers().into_iter().map(|(ticket, answer)| (0, ticket, answer)).collect()
            }
            Self::Mesh(mesh) => mesh.answers(),
        }
    }

    pub(super) fn forget(&mut self, node: usize, ticket: Ticket) {
        match self {
            Self::One(consul) => consul.forget(ticket),
            Self::Mesh(mesh) => mesh.forget(node, ticket),
        }
    }

    /// Whether there are probes that are due.
    pub(super) fn has_probes(&self) -> bool {
        match self {
            Self::One(consul) => consul.has_probes(),
            Self::Mesh(mesh) => (0..mesh.len()).any(|node| mesh.node(node).is_some_and(Consul::has_probes)),
        }
    }

    /// Takes the probes that are due, each with its node.
    pub(super) fn take_probes(&mut self, now: Duration) -> Vec<(usize, Probe)> {
        match self {
            Self::One(consul) => consul.take_probes().into_iter().map(|probe| (0, probe)).collect(),
            Self::Mesh(mesh) => {
                let mut all = Vec::new();
                for node in 0..mesh.len() {
                    let probes = mesh.with(now, node, Consul::take_probes).unwrap_or_default();
                    all.extend(probes.into_iter().map(|probe| (node, probe)));
                }
                all
            }
        }
    }

    /// Takes the nodes to which connections are to be closed.
    pub(super) fn given_up(&mut self) -> Vec<usize> {
        match self {
            Self::One(consul) => consul.given_up(),
            Self::Mesh(_) => Vec::new(),
        }
    }

    pub(super) fn outgoing(&mut self) -> Vec<Outgoing> {
        match self {
            Self::One(consul) => consul.outgoing(),
            Self::Mesh(_) => Vec::new(),
        }
    }
}
