//! What [`Chaos`](crate::consul::chaos::Chaos) does to single nodes of a cluster.
//!
//! What is wanted is a list of troubles; what was done about each is kept here, so that it hits one node,
//! found when it began, and is undone there. One that finds nobody yet, because nobody leads, waits.
//!
//! The rule a change must keep: a node is let go only when no trouble of the kind holds it any more.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::Fleet;
use crate::consul::chaos::{Trouble, Whom};
use crate::consul::mesh::Mesh;

/// The troubles that hit single nodes, and which node each has hit.
#[derive(Debug, Default)]
pub(super) struct Strikes(RefCell<BTreeMap<u64, Strike>>);

#[derive(Debug, Clone, Copy)]
struct Strike {
    trouble: Trouble,
    node: Option<usize>,
}

impl Strike {
    fn is_same_kind(self, other: Trouble) -> bool {
        std::mem::discriminant(&self.trouble) == std::mem::discriminant(&other)
    }
}

impl Strikes {
    /// Whether one waits for somebody to hit.
    pub(super) fn is_pending(&self) -> bool {
        self.0.borrow().values().any(|strike| strike.node.is_none())
    }

    /// Whether there is something to do to have it as `wanted`.
    pub(super) fn differ(&self, wanted: &[(u64, Trouble)]) -> bool {
        let strikes = self.0.borrow();
        self.is_pending() || !strikes.keys().eq(wanted.iter().map(|(number, _)| number))
    }

    /// Does it.
    pub(super) fn follow(
        &self,
        now: Duration,
        fleet: &mut Fleet,
        wanted: &[(u64, Trouble)],
        dice: &mut ChaCha8Rng,
    ) {
        let mut strikes = self.0.borrow_mut();
        let Some(mesh) = fleet.mesh_mut() else { return };
        let over: Vec<u64> = strikes
            .keys()
            .filter(|number| wanted.iter().all(|(other, _)| other != *number))
            .copied()
            .collect();
        for number in over {
            if let Some(Strike { trouble, node: Some(node) }) = strikes.remove(&number) {
                undo(now, mesh, trouble, node, &strikes);
            }
        }
        for (number, trouble) in wanted {
            let strike = strikes.entry(*number).or_insert(Strike { trouble: *trouble, node: None });
            if strike.node.is_none()
                && let Some(node) = trouble.whom().and_then(|whom| find(mesh, whom, dice))
            {
                strike.node = Some(node);
                hit(now, mesh, *trouble, node);
            }
        }
    }
}

/// The node that is meant, if there is one now.
fn find(mesh: &Mesh, whom: Whom, dice: &mut ChaCha8Rng) -> Option<usize> {
    let servers = mesh.servers();
    match whom {
        Whom::Leader => mesh.leader(),
        Whom::Follower => {
            let leader = mesh.leader()?;
            let followers: Vec<usize> = (0..servers)
                .filter(|node| *node != leader)
                .filter(|node| mesh.life(*node).is_some_and(|life| life.running && !life.paused))
                .collect();
            (!followers.is_empty()).then(|| followers[dice.random_range(0..followers.len())])
        }
        Whom::Server(number) => number.checked_sub(1).filter(|node| *node < servers),
        Whom::Agent(number) => {
            number.checked_sub(1).map(|agent| servers + agent).filter(|node| *node < mesh.len())
        }
    }
}

fn hit(now: Duration, mesh: &mut Mesh, trouble: Trouble, node: usize) {
    tracing::info!(target: "ironbird", "{} hits node {}", trouble.name(), node + 1);
    match trouble {
        Trouble::Kill { wipe, .. } => {
            mesh.kill(now, node);
            if wipe {
                mesh.wipe(node);
            }
        }
        Trouble::Pause { .. } => mesh.pause(now, node),
        Trouble::Isolate { .. } => mesh.isolate(now, node),
        _ => {}
    }
}

fn undo(now: Duration, mesh: &mut Mesh, trouble: Trouble, node: usize, left: &BTreeMap<u64, Strike>) {
    let same = || left.values().filter(|strike| strike.is_same_kind(trouble));
    if same().any(|strike| strike.node == Some(node)) {
        return;
    }
    match trouble {
        Trouble::Kill { .. } => mesh.start(now, node),
        Trouble::Pause { .. } => mesh.resume(now, node),
        Trouble::Isolate { .. } => {
            mesh.heal(now);
            for node in same().filter_map(|strike| strike.node) {
                mesh.isolate(now, node);
            }
        }
        _ => {}
    }
}
