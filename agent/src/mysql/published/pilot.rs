//! The pilot's configuration, which is where these handlers keep the role.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::{Node, PROGRAM, Raised, say};
use crate::host::{Host, Signal};
use crate::journal::Level;
use crate::mysql::{Config, Intervals};

/// Where the pilot's configuration is, which the handlers rewrite.
pub const PILOT_CONFIG_PATH: &str = "/etc/containerpilot.toml";

/// The pilot's configuration that runs these handlers.
pub fn pilot_config(consul: SocketAddr, intervals: &Intervals) -> String {
    let seconds = |duration: Duration| humantime::format_duration(duration).to_string();
    format!(
        r#"# No hook had a deadline: a day stands for never.
consul = {{ address = "{consul}" }}

[main]
command = ["mysqld", "--console", "--log-bin=mysql-bin", "--log_slave_updates=ON", "--gtid-mode=ON", "--enforce-gtid-consistency=ON"]

[service]
name = "mysql"
port = 3306
interval = "{health}"
ttl = "{ttl}"
report-failure = false

[hooks]
pre-start = {{ command = ["{PROGRAM}"], timeout = "1day" }}
health = {{ command = ["{PROGRAM}", "health"], timeout = "1day" }}

[[watch]]
service = "mysql-primary"
interval = "{watch}"
trigger = "edge"
on-change = {{ command = ["{PROGRAM}", "on_change"], timeout = "1day" }}
"#,
        health = seconds(intervals.health),
        ttl = seconds(intervals.ttl),
        watch = seconds(intervals.watch),
    )
}

impl<H: Host> Node<H> {
    /// Writes the role into the pilot's configuration; says whether that changed anything.
    pub(super) async fn update(&mut self) -> Raised<bool> {
        if !self.is_primary {
            self.is_primary = self.primary_node().await?.as_deref() == Some(self.host.hostname());
        }
        if !self.is_primary {
            return Ok(false);
        }
        let content = self.host.read_file(Path::new(PILOT_CONFIG_PATH)).await.map_err(say)?;
        let mut config: toml::Table = toml::from_str(&String::from_utf8_lossy(&content)).map_err(say)?;
        let name = config.get_mut("service").and_then(|service| service.get_mut("name"));
        let name = name.ok_or("KeyError: 'services'")?;
        if name.as_str() == Some(Config::PRIMARY) {
            return Ok(false);
        }
        *name = Config::PRIMARY.into();
        self.host
            .write_file(Path::new(PILOT_CONFIG_PATH), config.to_string().into_bytes())
            .await
            .map_err(say)?;
        Ok(true)
    }

    pub(super) fn reload(&self) -> Raised<()> {
        self.log(Level::Info, "Reloading Containerpilot configuration.");
        self.host.kill(1, Signal::Hup).map_err(say)
    }
}
