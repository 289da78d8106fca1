//! The scheduler: starts containers, replaces those that ended, scales, and upgrades one by one.
//!
//! It keeps as many containers as are wanted. One that ended is replaced on another machine, unless it is to
//! be started again where it was, or is no longer wanted.

use std::collections::VecDeque;
use std::time::Duration;

use ironbird_agent::host::Signal;

use super::{Cluster, Director, Step};
use crate::engine::{Engine, HostIndex};
use crate::record::What;
use crate::seed::Turn;
use crate::world::{STORE_PORT, container};

/// How long a container may take to stop before it is killed, as `docker stop` has it.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// A container to be started.
#[derive(Debug)]
pub(super) struct Launch {
    pub(super) why: String,
    /// Where, if not wherever there is room.
    pub(super) on: Option<HostIndex>,
    /// Whether it finds an empty disk.
    pub(super) wipe: bool,
    /// Where the one was that it replaces.
    pub(super) of: Option<HostIndex>,
}

impl Launch {
    /// One on any machine.
    pub(super) fn anywhere(why: String) -> Self {
        Self { why, on: None, wipe: true, of: None }
    }
}

/// What becomes of a container that ended.
#[derive(Debug, Clone, Copy)]
pub(super) enum Next {
    /// The fault that ended it starts it again where it was.
    Stays,
    /// A new one takes its place on the same machine.
    Replaced { wipe: bool },
    /// Nobody takes its place.
    Leaves,
}

/// A rolling upgrade under way.
#[derive(Debug)]
pub(super) struct Roll {
    /// What is still to be replaced.
    old: VecDeque<HostIndex>,
    every: Duration,
    /// Which round it is.
    round: u32,
    /// What is being replaced.
    current: Option<HostIndex>,
}

impl Director {
    /// Containers that are there, or will be without anything being done.
    pub(super) fn there(&self) -> usize {
        let leaving = self.next.values().filter(|next| matches!(next, Next::Leaves)).count();
        let away = |host: &&HostIndex| !self.running.contains_key(*host);
        let coming = self.next.iter().filter(|(_, next)| !matches!(next, Next::Leaves));
        self.running.len() - leaving + coming.map(|(host, _)| host).filter(away).count() + self.pending
    }

    pub(super) fn schedule_launch(&mut self, at: Duration, launch: Launch) {
        self.pending += 1;
        self.at(at, Step::Launch(launch));
    }

    pub(super) fn launch_due(&mut self, engine: &mut Engine, launch: Launch) {
        self.pending -= 1;
        if self.there() >= self.wanted {
            self.free.extend(launch.on);
            return;
        }
        self.launch(engine, launch);
    }

    /// Starts a container.
    pub(super) fn launch(&mut self, engine: &mut Engine, launch: Launch) {
        // There are more machines than instances, and each container leaves one free when it ends.
        let Some(host) = launch.on.or_else(|| self.free.pop_front()) else { return };
        let Cluster { spec, layout, machines, .. } = &self.cluster;
        let machine = &machines[host];
        if launch.wipe {
            machine.disk().borrow_mut().wipe();
        }
        let process = machine.boot();
        let life = container::life(
            process.clone(),
            spec.cluster.clone(),
            layout.consul_of(host),
            layout.address(layout.store(), STORE_PORT),
        );
        if let Some(old) = launch.of {
            self.successors.insert(old, host);
        }
        self.launched += 1;
        self.running.insert(host, self.launched);
        self.write(host, What::Launched { why: launch.why });
        engine.start(host, Box::pin(process.live(life)));
    }

    /// Ends a container at once.
    pub(super) fn kill(&mut self, now: Duration, engine: &mut Engine, host: HostIndex, how: &str) {
        engine.kill(host);
        self.ended(now, host, how);
    }

    /// Notes that a container has ended, and has it replaced if it is to be.
    pub(super) fn ended(&mut self, now: Duration, host: HostIndex, how: &str) {
        self.running.remove(&host);
        self.write(host, What::Ended { how: how.to_owned() });
        let why = format!("replacement of {}", self.name(host));
        match self.next.get(&host).copied() {
            Some(Next::Stays) => {}
            Some(Next::Leaves) => {
                self.next.remove(&host);
                self.free.push_back(host);
            }
            Some(Next::Replaced { wipe }) => {
                self.next.remove(&host);
                let at = now + self.replacement_pause(host);
                self.schedule_launch(at, Launch { why, on: Some(host), wipe, of: Some(host) });
            }
            None => {
                self.free.push_back(host);
                if self.there() < self.wanted {
                    let at = now + self.replacement_pause(host);
                    self.schedule_launch(at, Launch { of: Some(host), ..Launch::anywhere(why) });
                }
            }
        }
    }

    /// How long the scheduler takes to replace what ran on a machine.
    fn replacement_pause(&self, host: HostIndex) -> Duration {
        let Cluster { spec, machines, seed, recorder, .. } = &self.cluster;
        let seed = Turn::seed_at(spec.turn, *seed, recorder.now());
        let entity = format!("{}/{}", self.name(host), machines[host].boots());
        spec.scheduler.replacement.sample(&mut seed.stream("replacement", &entity))
    }

    /// Notices containers that ended by themselves.
    pub(super) fn reap(&mut self, now: Duration, engine: &mut Engine) {
        let ended: Vec<_> = self
            .running
            .keys()
            .filter_map(|host| Some((*host, self.cluster.machines[*host].init_exit()?)))
            .collect();
        for (host, exit) in ended {
            self.kill(now, engine, host, &exit.to_string());
        }
    }

    /// Tells a container to stop, and kills it when it does not.
    fn stop(&mut self, now: Duration, host: HostIndex) {
        self.cluster.machines[host].signal_init(Signal::Term);
        self.at(now + GRACE, Step::Grace { host, life: self.running[&host] });
    }

    /// A container has had its time to stop.
    pub(super) fn grace_is_over(&mut self, now: Duration, engine: &mut Engine, host: HostIndex, life: u64) {
        if self.running.get(&host) == Some(&life) {
            self.kill(now, engine, host, "killed: did not stop in time");
        }
    }

    /// Keeps another number of containers from now on. Of too many, `first` go first, then the newest.
    pub(super) fn scale(&mut self, now: Duration, first: &[HostIndex], instances: usize) {
        self.wanted = instances;
        let mut order = self.by_age();
        order.reverse();
        order.sort_by_key(|host| !first.contains(host));
        order.retain(|host| !self.next.contains_key(host));
        for host in order {
            if self.there() <= self.wanted {
                break;
            }
            self.next.insert(host, Next::Leaves);
            self.stop(now, host);
        }
        while self.there() < self.wanted {
            self.schedule_launch(now, Launch::anywhere("scale up".to_owned()));
        }
    }

    /// Begins a rolling upgrade of what runs on `hosts`.
    pub(super) fn roll(&mut self, now: Duration, number: usize, hosts: &[HostIndex], every: Duration) {
        let old = self.by_age().into_iter().filter(|host| hosts.contains(host)).collect();
        self.rolls.insert(number, Roll { old, every, round: 0, current: None });
        self.roll_on(now, number);
    }

    /// Goes on to the next container.
    fn roll_on(&mut self, now: Duration, number: usize) {
        let Some(roll) = self.rolls.get_mut(&number) else { return };
        let next = loop {
            match roll.old.pop_front() {
                // Whatever ended in the meantime has been replaced by a new one already.
                Some(host) if !self.running.contains_key(&host) || self.next.contains_key(&host) => {}
                other => break other,
            }
        };
        let Some(host) = next else {
            self.rolls.remove(&number);
            return;
        };
        roll.round += 1;
        roll.current = Some(host);
        let (round, every) = (roll.round, roll.every);
        self.successors.remove(&host);
        self.began(host, number);
        self.stop(now, host);
        self.at(now + every, Step::Roll { number, round });
    }

    /// A round of a rolling upgrade has taken all the time it may.
    pub(super) fn roll_due(&mut self, now: Duration, number: usize, round: u32) {
        if self.rolls.get(&number).is_some_and(|roll| roll.round == round) {
            self.roll_on(now, number);
        }
    }

    /// Lets upgrades go on whose latest container is well.
    pub(super) fn watch_rolls(&mut self, now: Duration) {
        let is_well = |roll: &Roll| {
            roll.current.and_then(|old| self.successors.get(&old)).is_some_and(|new| {
                self.running.contains_key(new) && self.cluster.observer.is_passing(self.name(*new))
            })
        };
        let ready: Vec<_> =
            self.rolls.iter().filter(|(_, roll)| is_well(roll)).map(|(number, _)| *number).collect();
        for number in ready {
            self.roll_on(now, number);
        }
    }
}
