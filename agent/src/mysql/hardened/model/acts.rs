//! What the actions of an instance do to the world.

use super::super::decide::{Action, Claim, Database, Leader, Lock, Position, View, deposed, unsworn};
use super::World;
use crate::mysql::{Gtid, GtidSet};

impl World {
    pub(super) fn act(&mut self, n: usize) {
        let Some((action, view)) = self.nodes[n].decided.take() else { return };
        let lease = self.lease(n);
        match action {
            Action::Wait => {}
            Action::Demote { .. } | Action::Silence { .. } => self.give_up_rights(n),
            Action::Release { .. } => {
                if !self.nodes[n].cut && lease.is_some() && self.lock.session == lease {
                    self.free_lock();
                }
                self.watch(n);
            }
            Action::Promote { .. } => self.promote(n),
            Action::Enlist { name, server } => self.change_reign(n, None, |leader| {
                leader.in_sync.insert(server, name);
                leader.founding = false;
            }),
            Action::Dismiss { name, server } => {
                let index =
                    view.members.iter().find(|member| member.name == name).map_or(0, |member| member.index);
                if self.barrier(n) {
                    self.change_reign(n, Some((name, index)), |leader| drop(leader.in_sync.remove(&server)));
                }
            }
            Action::Follow { address } => {
                // One that is decided on later finds out with the next look.
                if view.database == self.nodes[n].database {
                    self.check_follows(n, &view);
                }
                let node = &mut self.nodes[n];
                node.relay.clear();
                node.acknowledges = false;
                let Database { executed, .. } = node.database.clone();
                node.database = Database {
                    retrieved: executed,
                    source: Some(address),
                    acknowledging: false,
                    receiving: true,
                    connected: true,
                    applying: true,
                    ..node.database.clone()
                };
            }
            Action::Apply => self.nodes[n].database.applying = true,
            Action::Publish { follows, acknowledges } => {
                self.publish(n, &view, Position { follows, acknowledges, ..Position::default() });
                self.watch(n);
            }
            Action::Vouch { .. } => {
                let right = self.rights_to_acknowledge(n);
                let node = &mut self.nodes[n];
                node.database.acknowledging = right;
                node.acknowledges = right && node.database.receiving;
                self.acknowledge_held(n);
            }
            Action::Prepare { term } => {
                let node = &mut self.nodes[n];
                node.database.receiving = false;
                node.database.connected = false;
                node.database.acknowledging = false;
                node.acknowledges = false;
                self.publish(n, &view, Position { prepared_for: term, ..Position::default() });
            }
            Action::Acquire { claim } => self.acquire(n, &claim, &view),
            Action::Reclone { .. } => self.restore(n),
        }
    }

    pub(super) fn check_follows(&self, n: usize, view: &View) {
        let server = &view.lock.leader.as_ref().unwrap().server;
        let source = self.nodes.iter().find(|node| node.database.server == *server);
        let Database { executed, .. } = &self.nodes[n].database;
        let had = source.is_none_or(|source| source.database.executed.includes(executed));
        assert!(had, "{} has what its primary never had: {executed}", self.nodes[n].name);
    }

    pub(super) fn rights_to_acknowledge(&self, n: usize) -> bool {
        let lease = self.lease(n);
        let published =
            self.nodes[n].published.as_ref().filter(|(session, _)| lease.as_ref() == Some(session));
        unsworn(lease.as_deref(), &self.nodes[n].seen, published.map(|(_, position)| position)).is_none()
    }

    /// What the watch over lost rights does at once.
    pub(super) fn give_up_rights(&mut self, n: usize) {
        if deposed(self.lease(n).as_deref(), &self.nodes[n].seen).is_some() {
            self.nodes[n].database.writable = false;
        }
        if !self.rights_to_acknowledge(n) {
            self.nodes[n].database.acknowledging = false;
            self.nodes[n].acknowledges = false;
        }
    }

    pub(super) fn publish(&mut self, n: usize, view: &View, position: Position) {
        let Some(session) = self.lease(n) else { return };
        let node = &mut self.nodes[n];
        let taken = self.members.get(&node.name).and_then(|(_, holder, _)| holder.clone());
        if node.cut || !self.sessions.contains(&session) || taken.is_some_and(|holder| holder != session) {
            return;
        }
        let position = Position {
            server: node.database.server.clone(),
            executed: node.database.position(),
            remembered: view.reign().cloned(),
            ..position
        };
        self.index += 1;
        self.members.insert(node.name.clone(), (position.clone(), Some(session.clone()), self.index));
        node.published = Some((session, position));
    }

    pub(super) fn holds(&self, n: usize) -> bool {
        let lease = self.lease(n);
        lease.is_some() && self.lock.session == lease && !self.nodes[n].cut
    }

    pub(super) fn write_lock(&mut self, lock: Lock) {
        self.index += 1;
        self.lock = Lock { index: self.index, ..lock };
    }

    pub(super) fn free_lock(&mut self) {
        self.write_lock(Lock { session: None, ..self.lock.clone() });
    }

    pub(super) fn change_reign(
        &mut self,
        n: usize,
        witness: Option<(String, u64)>,
        change: impl FnOnce(&mut Leader),
    ) {
        let unchanged = witness
            .is_none_or(|(name, index)| self.members.get(&name).map_or(0, |(_, _, index)| *index) == index);
        if self.holds(n) && unchanged && self.nodes[n].seen.index == self.lock.index {
            let mut leader = self.lock.leader.clone().unwrap();
            change(&mut leader);
            leader.revision += 1;
            self.write_lock(Lock { leader: Some(leader), ..self.lock.clone() });
        }
        self.watch(n);
    }

    pub(super) fn acquire(&mut self, n: usize, claim: &Claim, view: &View) {
        let lease = self.lease(n);
        let usable = lease.as_ref().is_some_and(|session| self.sessions.contains(session));
        let node = &self.nodes[n];
        let as_decided = view.lease == lease && view.lock.index == self.lock.index;
        if !node.cut && usable && self.lock.session.is_none() && as_decided {
            assert!(claim.term > self.term, "term {} after {}", claim.term, self.term);
            self.term = claim.term;
            let leader = Leader {
                holder: node.name.clone(),
                address: node.name.clone(),
                term: claim.term,
                revision: 0,
                beat: 0,
                over: false,
                executed: node.database.executed.clone(),
                server: node.database.server.clone(),
                in_sync: claim.in_sync.clone(),
                copies: self.copies,
                founding: claim.founding,
                legacy: None,
            };
            for (server, number) in &self.acknowledged {
                let gtid = Gtid { server: server.clone(), number: *number };
                assert!(leader.executed.contains(&gtid), "{leader:?} lacks {gtid}, which was acknowledged");
            }
            self.write_lock(Lock { session: lease, leader: Some(leader), ..Lock::default() });
        }
        self.watch(n);
    }

    pub(super) fn promote(&mut self, n: usize) {
        self.watch(n);
        if !self.holds(n) {
            return;
        }
        let fresh = self.nodes[n].database.server.is_empty();
        if fresh {
            self.new_database(n, Vec::new());
        }
        let Database { server, executed, .. } = self.nodes[n].database.clone();
        if self.lock.leader.as_ref().unwrap().server != server {
            let (name, copies) = (self.nodes[n].name.clone(), self.copies);
            self.change_reign(n, None, |leader| {
                leader.in_sync.insert(server.clone(), name);
                leader.server = server;
                leader.founding &= copies > 1 && executed.is_empty();
                leader.executed = executed;
            });
            self.marked = true;
        }
        let node = &mut self.nodes[n];
        assert!(node.database.is_drained(), "promoted with something unapplied");
        node.database = Database {
            writable: true,
            source: None,
            receiving: false,
            connected: false,
            acknowledging: false,
            ..node.database.clone()
        };
        node.acknowledges = false;
        node.waits = self.copies > 1;
        self.reigns += 1;
        if fresh {
            self.commit(n);
        }
    }

    pub(super) fn new_database(&mut self, n: usize, log: Vec<Gtid>) {
        let node = &mut self.nodes[n];
        node.lives += 1;
        let mut executed = GtidSet::default();
        log.iter().for_each(|gtid| executed.insert(gtid));
        let server = format!("{}.{}", node.name, node.lives);
        node.database = Database { retrieved: executed.clone(), executed, server, ..Database::default() };
        node.log = log;
        node.relay.clear();
        node.acknowledges = false;
        node.waits = false;
        node.published = None;
        node.decided = None;
    }

    /// From a snapshot of the present primary, at any point of its past.
    pub(super) fn restore(&mut self, n: usize) {
        let holder = self.lock.leader.as_ref().filter(|leader| !leader.server.is_empty());
        let source = holder
            .and_then(|leader| self.nodes.iter().position(|node| node.database.server == leader.server));
        if let Some(source) = source.filter(|source| *source != n) {
            let log = self.nodes[source].log.clone();
            let part = log.len() / 2;
            self.new_database(n, log.into_iter().take(part.max(1)).collect());
        }
    }

    pub(super) fn commit(&mut self, n: usize) -> Option<Gtid> {
        let node = &mut self.nodes[n];
        if !node.database.writable {
            return None;
        }
        let Database { server, executed, .. } = &node.database;
        let gtid = Gtid { server: server.clone(), number: executed.last(server) + 1 };
        node.database.executed.insert(&gtid);
        node.database.retrieved.insert(&gtid);
        node.log.push(gtid.clone());
        Some(gtid)
    }

    pub(super) fn source_of(&self, n: usize) -> Option<usize> {
        let node = &self.nodes[n];
        let address = node.database.source.as_ref().filter(|_| node.database.receiving)?;
        let source =
            self.nodes.iter().position(|node| node.name == *address && !node.database.server.is_empty())?;
        let way = (n.min(source), n.max(source));
        // See the module's head.
        let awake = !node.frozen || self.lease(n).is_some();
        (awake && !self.parted.contains(&way)).then_some(source)
    }

    /// Receives the next transaction, and acknowledges it where that counts. Whether there was one.
    pub(super) fn receive(&mut self, n: usize) -> bool {
        let Some(source) = self.source_of(n) else { return false };
        self.acknowledge_held(n);
        let next = self.nodes[source]
            .log
            .iter()
            .find(|gtid| !self.nodes[n].database.retrieved.contains(gtid))
            .cloned();
        let Some(gtid) = next else { return false };
        let node = &mut self.nodes[n];
        node.database.retrieved.insert(&gtid);
        node.relay.push(gtid);
        self.acknowledge_held(n);
        true
    }

    /// Acknowledges what it has of its source's own transactions, up to the first it lacks: a database counts what
    /// a replica has when it connects.
    fn acknowledge_held(&mut self, n: usize) {
        let Some(source) = self.source_of(n) else { return };
        let (node, source) = (&self.nodes[n], &self.nodes[source]);
        if !node.acknowledges || !source.waits {
            return;
        }
        let own = source.log.iter().filter(|gtid| gtid.server == source.database.server);
        let held = own.take_while(|gtid| node.database.retrieved.contains(gtid));
        self.acknowledged.extend(held.map(|gtid| (gtid.server.clone(), gtid.number)));
    }

    pub(super) fn apply(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        if node.database.applying {
            for gtid in std::mem::take(&mut node.relay) {
                node.database.executed.insert(&gtid);
                node.log.push(gtid);
            }
        }
    }

    /// A transaction that somebody who may acknowledge has.
    pub(super) fn barrier(&mut self, n: usize) -> bool {
        if self.commit(n).is_none() {
            return false;
        }
        let heir = (0..self.nodes.len())
            .find(|heir| self.nodes[*heir].acknowledges && self.source_of(*heir) == Some(n));
        if let Some(heir) = heir {
            while self.receive(heir) {}
        }
        heir.is_some()
    }

    pub(super) fn end_session(&mut self, session: &str) {
        self.sessions.remove(session);
        if self.lock.session.as_deref() == Some(session) {
            self.free_lock();
        }
        for (_, holder, index) in self.members.values_mut() {
            if holder.as_deref() == Some(session) {
                self.index += 1;
                *holder = None;
                *index = self.index;
            }
        }
    }
}
