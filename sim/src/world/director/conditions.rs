//! What is wrong with a machine while faults last that change how it works but end nothing.
//!
//! Several faults can be about the same thing: every machine keeps those that are under way, and what they
//! come to together is worked out anew whenever one begins or ends. So the end of one never undoes another,
//! and a node of Consul that was started anew can be told again.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Director;
use crate::engine::HostIndex;
use crate::machine::Ailment;
use crate::plan::FaultKind;

/// The faults a machine is under, by their numbers.
pub(super) type Conditions = BTreeMap<HostIndex, BTreeMap<usize, FaultKind>>;

impl Director {
    /// Puts a machine under a fault.
    pub(super) fn begin_condition(&mut self, host: HostIndex, number: usize, kind: &FaultKind) {
        self.conditions.entry(host).or_default().insert(number, kind.clone());
        let ailment = match kind {
            FaultKind::SlowCommand { delay, .. } => Some(Ailment::Slow(*delay)),
            FaultKind::FailCommand { .. } => Some(Ailment::Fails),
            FaultKind::HangCommand { .. } => Some(Ailment::Hangs),
            _ => None,
        };
        if let (Some(ailment), Some(command)) = (ailment, kind.command()) {
            self.cluster.machines[host].ail(number, command, ailment);
        }
        self.settle_conditions(host);
    }

    /// Ends it.
    pub(super) fn end_condition(&mut self, host: HostIndex, number: usize) {
        if let Some(faults) = self.conditions.get_mut(&host) {
            faults.remove(&number);
        }
        self.cluster.machines[host].recover(number);
        self.settle_conditions(host);
    }

    fn settle_conditions(&self, host: HostIndex) {
        let machine = &self.cluster.machines[host];
        let of = |pick: fn(&FaultKind) -> Option<Duration>| self.under(host).filter_map(pick).max();
        let is = |kind: &FaultKind| self.under(host).any(|own| own == kind);
        {
            let mut disk = machine.disk().borrow_mut();
            disk.set_full(is(&FaultKind::FullDisk));
            disk.set_failing(is(&FaultKind::FailDisk));
            disk.set_slow(of(|kind| match kind {
                FaultKind::SlowDisk { delay } => Some(*delay),
                _ => None,
            }));
        }
        machine.set_clock_rate(
            self.under(host)
                .filter_map(|kind| match kind {
                    FaultKind::ClockRate { rate } => Some(*rate),
                    _ => None,
                })
                .product(),
        );
        for node in 0..self.cluster.nodes.len() {
            self.tell_lag(node, host);
        }
        self.tell_node(host);
    }

    fn under(&self, host: HostIndex) -> impl Iterator<Item = &FaultKind> {
        self.conditions.get(&host).into_iter().flat_map(BTreeMap::values)
    }

    /// Tells a node of Consul that was just started what its last life knew.
    pub(super) fn tell_conditions(&self, node: HostIndex) {
        for host in self.conditions.keys() {
            self.tell_lag(node, *host);
        }
        self.tell_node(node);
    }

    fn tell_lag(&self, node: HostIndex, host: HostIndex) {
        let lag = self.under(host).filter_map(|kind| match kind {
            FaultKind::CatalogLag { delay } => Some(*delay),
            _ => None,
        });
        let (lag, reader) = (lag.max(), self.cluster.machines[host].address());
        let now = self.cluster.machines[node].now();
        self.cluster.nodes[node].update(now, |consul| {
            if consul.catalog_lag(reader) != lag {
                consul.set_catalog_lag(now, reader, lag);
            }
        });
    }

    fn tell_node(&self, host: HostIndex) {
        let Some(node) = self.cluster.nodes.get(host) else { return };
        let is = |kind: &FaultKind| self.under(host).any(|own| own == kind);
        let (stalled, maintained) = (is(&FaultKind::StallAntiEntropy), is(&FaultKind::Maintenance));
        let now = self.cluster.machines[host].now();
        node.update(now, |consul| {
            if consul.is_stalled() != stalled {
                consul.stall_anti_entropy(now, stalled);
            }
            if consul.is_in_maintenance() != maintained {
                consul.maintain(now, maintained);
            }
        });
    }
}
