//! What runs in a container: the agent, with one of the two handler sets.

use std::net::SocketAddr;
use std::path::Path;

use ironbird_agent::host::{Exit, Host};
use ironbird_agent::journal::{Entry, Level};
use ironbird_agent::mysql::{Config, Intervals, hardened, published};
use ironbird_agent::pilot::{Advertisement, CommandHooks, Config as PilotConfig, Pilot};

use crate::machine::{Programs, SimHost};
use crate::spec::{Cluster, Handlers};

/// The user clients log in as.
pub(super) const APP_USER: &str = "app";
/// Its password.
pub(super) const APP_PASSWORD: &str = "app-secret";

/// Where the hardened cluster's pilot finds its configuration.
const HARDENED_PILOT_CONFIG: &str = "/etc/ironbird-agent.toml";

/// Installs the programs that published hooks start.
pub(super) fn install(programs: &mut Programs) {
    programs.install(published::PROGRAM, published::main);
}

/// On how many instances a write is before it is acknowledged: where there is but one, on that.
fn copies(cluster: &Cluster) -> usize {
    cluster.instances.min(2)
}

/// Lives a container's first process.
pub(super) async fn life(host: SimHost, cluster: Cluster, consul: SocketAddr, store: SocketAddr) -> Exit {
    let config = Config {
        consul,
        store,
        repl_user: "replicator".to_owned(),
        repl_password: "replicator-secret".to_owned(),
        app_user: APP_USER.to_owned(),
        app_password: APP_PASSWORD.to_owned(),
        database: "app".to_owned(),
        session_ttl: cluster.session_ttl,
        lock_delay: cluster.lock_delay,
        health_ttl: cluster.health_ttl,
        snapshot_deadline: cluster.snapshot_deadline,
        // Who shares a host's name is told another.
        instance: cluster.hosts.map(|_| host.machine().name().to_owned()),
        copies: copies(&cluster),
        takeover: cluster.takeover,
    };
    match pilot(&host, &cluster, config).await {
        Ok(code) => Exit::code(code),
        Err(error) => {
            host.journal(Entry::log(Level::Error, "container", error));
            Exit::code(2)
        }
    }
}

async fn pilot(host: &SimHost, cluster: &Cluster, config: Config) -> Result<i32, String> {
    let intervals =
        Intervals { health: cluster.health_interval, ttl: cluster.health_ttl, watch: cluster.watch_interval };
    let (path, text) = match cluster.handlers {
        Handlers::Published => {
            (published::PILOT_CONFIG_PATH, published::pilot_config(config.consul, &intervals))
        }
        Handlers::Hardened => (
            HARDENED_PILOT_CONFIG,
            hardened::pilot_config(
                config.consul,
                config.instance.as_deref(),
                &intervals,
                config.snapshot_deadline,
            ),
        ),
    };
    let path = Path::new(path);
    let parsed = PilotConfig::parse(&text, path).map_err(|error| error.to_string())?;
    let write = |path, content: String| host.write_file(path, content.into_bytes());
    write(path, text).await.map_err(|error| error.to_string())?;
    match cluster.handlers {
        Handlers::Published => {
            let content = toml::to_string(&config).map_err(|error| error.to_string())?;
            write(Path::new(published::CONFIG_PATH), content).await.map_err(|error| error.to_string())?;
            let hooks = CommandHooks::new(host.clone(), &parsed);
            Ok(Pilot::new(host.clone(), parsed, hooks).config_file(path).run().await)
        }
        Handlers::Hardened => {
            let advertisement = Advertisement::new(None);
            let role = hardened::Role::new(host.clone(), config, advertisement.clone());
            let pilot =
                Pilot::new(host.clone(), parsed, role).config_file(path).with_advertisement(advertisement);
            Ok(pilot.run().await)
        }
    }
}
