//! What the pilot calls: provision before the database starts, health while it runs, an orderly way out.

use std::net::SocketAddr;
use std::time::Duration;

use super::Role;
use super::looking::describe;
use crate::consul::ServiceInstance;
use crate::host::Host;
use crate::mysql::Intervals;
use crate::pilot::{Hook, HookError, Hooks};
use crate::planted::{self, Bug};

impl<H: Host> Hooks<H> for Role<H> {
    async fn pre_start(&self) -> Result<(), HookError> {
        self.read_notes().await;
        tokio::select! {
            biased;
            () = self.lease.keep(|session| self.beat(session)) => Ok(()),
            () = self.watch_lock() => Ok(()),
            provisioned = self.provision() => provisioned.map_err(HookError::Failed),
        }
    }

    async fn health(&self) -> Result<(), HookError> {
        let local = self.look().await.map_err(|error| HookError::Failed(error.to_string()))?;
        match *self.role.borrow() {
            "primary" if local.writable && self.is_ours() => Ok(()),
            "replica" if local.connected && local.applying => Ok(()),
            role => Err(HookError::Failed(format!("{role}: {}", describe(&local)))),
        }
    }

    async fn on_change(&self, _watch: &str, _instances: &[ServiceInstance]) -> Result<(), HookError> {
        Ok(())
    }

    async fn pre_stop(&self) -> Result<(), HookError> {
        // The role no longer acts by now.
        self.resign().await.map_err(HookError::Failed)
    }

    async fn post_stop(&self) -> Result<(), HookError> {
        // Also when the database ended by itself, or was never started.
        self.retire().await;
        Ok(())
    }

    fn handles(&self, hook: Hook<'_>) -> bool {
        matches!(hook, Hook::PreStart | Hook::Health | Hook::PreStop | Hook::PostStop)
    }

    fn main_started(&self, pid: u32) {
        self.main_pid.set(Some(pid));
    }

    async fn run(&self) {
        tokio::select! {
            biased;
            () = self.lease.keep(|session| self.beat(session)) => {}
            () = self.reconcile() => {}
            () = self.watch_lock() => {}
            () = self.watch_members() => {}
            () = self.watch_snapshot() => {}
            () = self.keep_snapshot() => {}
            () = self.keep_members() => {}
        }
    }
}

/// The pilot's configuration for an instance with this role, called `instance` if not after its machine, whose
/// way to data takes `provisioning` at most.
pub fn pilot_config(
    consul: SocketAddr,
    instance: Option<&str>,
    intervals: &Intervals,
    provisioning: Duration,
) -> String {
    let instance = instance.map(|instance| format!("instance = \"{instance}\"\n")).unwrap_or_default();
    let seconds = |duration: Duration| humantime::format_duration(duration).to_string();
    let read_only = if planted::is(Bug::StartsWritable) { "OFF" } else { "ON" };
    format!(
        r#"consul = {{ address = "{consul}" }}

[main]
command = ["mysqld", "--console", "--log-bin=mysql-bin", "--log_slave_updates=ON", "--gtid-mode=ON", "--enforce-gtid-consistency=ON", "--super-read-only={read_only}", "--skip-slave-start"]

[service]
name = "mysql"
{instance}port = 3306
interval = "{health}"
ttl = "{ttl}"
catalog-check = "1m"

[hooks]
pre-start = {{ timeout = "{provisioning}" }}
pre-stop = {{ timeout = "30s" }}
post-stop = {{ timeout = "10s" }}
"#,
        health = seconds(intervals.health),
        ttl = seconds(intervals.ttl),
        // It ends by itself before that.
        provisioning = seconds(provisioning + Duration::from_secs(60)),
    )
}
