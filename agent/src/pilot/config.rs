//! The pilot's configuration: one TOML file.
//!
//! ```toml
//! [consul]
//! address = "127.0.0.1:8500"
//!
//! [main]
//! command = ["mysqld", "--console"]
//! stop-timeout = "10s"
//!
//! [service]
//! name = "mysql"
//! port = 3306
//! interval = "10s"
//! ttl = "25s"
//!
//! [hooks]
//! pre-start = { command = ["/usr/local/bin/restore"] }
//! health = { command = ["/usr/local/bin/ping", "localhost"], timeout = "5s" }
//!
//! [[watch]]
//! service = "mysql-primary"
//! trigger = "level"
//! on-change = { command = ["/usr/local/bin/follow"], timeout = "2m" }
//! ```
//!
//! The rule a change must keep: an unknown key is an error that names the file, the line and the key it
//! was probably meant to be, and every duration has its unit.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::duration;
use crate::host::Command;

/// What the pilot flies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// The Consul agent.
    #[serde(default)]
    pub consul: ConsulConfig,
    /// The main process.
    pub main: MainConfig,
    /// What is registered; without it nothing is, and no health is checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceConfig>,
    /// What is run around the main process.
    #[serde(default)]
    pub hooks: HooksConfig,
    /// What the service depends on.
    #[serde(default, rename = "watch", skip_serializing_if = "Vec::is_empty")]
    pub watches: Vec<WatchConfig>,
}

/// The Consul agent to talk to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ConsulConfig {
    /// Its address. Names are not resolved: the agent belongs on the same machine.
    #[serde(default = "ConsulConfig::local")]
    pub address: SocketAddr,
    /// The ACL token sent with every request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

impl ConsulConfig {
    fn local() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 8500))
    }
}

impl Default for ConsulConfig {
    fn default() -> Self {
        Self { address: Self::local(), token: None }
    }
}

/// The main process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct MainConfig {
    /// The program and its arguments; no shell reads them.
    #[serde(deserialize_with = "command")]
    pub command: Vec<String>,
    /// How long it has between SIGTERM and SIGKILL.
    #[serde(default = "MainConfig::default_stop_timeout", with = "duration")]
    pub stop_timeout: Duration,
}

impl MainConfig {
    fn default_stop_timeout() -> Duration {
        Duration::from_secs(5)
    }
}

/// What is registered in Consul.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ServiceConfig {
    /// The name it is found by. The instance's id is the name, a dash and `instance`.
    pub name: String,
    /// What tells this instance from others of the service; the machine's name if not said. Where containers
    /// share their host's name, something else has to.
    #[serde(default, deserialize_with = "instance", skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// The port it is reached at.
    pub port: u16,
    /// The address it is reached at, where it is not the machine's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// Tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// How often its health is checked; the first check comes after one interval.
    #[serde(serialize_with = "duration::serialize", deserialize_with = "positive")]
    pub interval: Duration,
    /// How long a passing check lasts.
    #[serde(serialize_with = "duration::serialize", deserialize_with = "positive")]
    pub ttl: Duration,
    /// Consul itself removes the service after it was critical for this long.
    #[serde(default, with = "duration::option", skip_serializing_if = "Option::is_none")]
    pub deregister_critical_after: Option<Duration>,
    /// Whether a failed check is told to Consul at once. Without it the service stays passing until its
    /// TTL has run out, as with the agents of 2016.
    #[serde(default = "yes")]
    pub report_failure: bool,
    /// How often it is looked up in the catalog, besides soon after it was registered, and what keeps it out of
    /// there put right; never by default. The token needs `agent:read`, `node:read` and `node:write` for that: a
    /// node that lost its data is put in the place of what it was, and sessions end that depend on its health.
    #[serde(
        default,
        serialize_with = "duration::option::serialize",
        deserialize_with = "positive_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub catalog_check: Option<Duration>,
}

/// What is run around the main process.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct HooksConfig {
    /// Before the main process; its failure ends the pilot. No deadline by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre_start: Option<HookConfig>,
    /// Whether the service is well. The deadline is the interval by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HookConfig>,
    /// Before the main process is told to stop. The deadline is a minute by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre_stop: Option<HookConfig>,
    /// After the main process has ended. The deadline is a minute by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub post_stop: Option<HookConfig>,
}

/// One hook.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct HookConfig {
    /// The program and its arguments; no shell reads them. A built-in role has none.
    #[serde(default, deserialize_with = "command", skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// It is killed with all it started when it runs for longer.
    #[serde(default, with = "duration::option", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
}

impl HookConfig {
    /// The command to run, when there is one.
    pub fn command(&self) -> Option<Command> {
        to_command(&self.command)
    }
}

/// A service the main process depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct WatchConfig {
    /// Its name in Consul.
    pub service: String,
    /// Only instances with this tag count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// With an edge trigger, how often Consul is asked; with a level trigger, the longest pause before
    /// a failed attempt is repeated.
    #[serde(
        default = "WatchConfig::default_interval",
        serialize_with = "duration::serialize",
        deserialize_with = "positive"
    )]
    pub interval: Duration,
    /// What makes `on-change` run.
    #[serde(default)]
    pub trigger: Trigger,
    /// What is run. The deadline is five minutes by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_change: Option<HookConfig>,
}

impl WatchConfig {
    fn default_interval() -> Duration {
        Duration::from_secs(10)
    }

    /// What tells this watch from others: two may look at one service with different tags.
    pub fn key(&self) -> String {
        match &self.tag {
            Some(tag) => format!("{}:{tag}", self.service),
            None => self.service.clone(),
        }
    }
}

/// What makes a watch's hook run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trigger {
    /// A change between two polls, once: a failure is not repeated, and what happened before the first
    /// poll or between two is never seen.
    Edge,
    /// That the present state is not the one that was last handled with success.
    #[default]
    Level,
}

pub(super) fn to_command(words: &[String]) -> Option<Command> {
    let (program, args) = words.split_first()?;
    Some(Command::new(program).args(args))
}

fn yes() -> bool {
    true
}

fn instance<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Option::<String>::deserialize(deserializer)?
        .map(|name| checked_instance(name).map_err(de::Error::custom))
        .transpose()
}

/// A name that can stand in a service's id and in a key of Consul's.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn checked_instance(name: String) -> Result<String, String> {
    let fits = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    match (1..=128).contains(&name.len()) && name.chars().all(fits) {
        true => Ok(name),
        false => Err(format!("instance: `{name}` is not 1 to 128 of letters, digits, `-`, `_` and `.`")),
    }
}

fn positive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let value = duration::deserialize(deserializer)?;
    if value.is_zero() {
        return Err(de::Error::custom("must be longer than zero"));
    }
    Ok(value)
}

fn positive_option<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    positive(deserializer).map(Some)
}

fn command<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct Words;
    impl<'de> de::Visitor<'de> for Words {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of a program and its arguments, like [\"sleep\", \"10\"]")
        }

        fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<String>, A::Error> {
            let mut words: Vec<String> = Vec::new();
            while let Some(word) = seq.next_element()? {
                words.push(word);
            }
            match words.first() {
                Some(program) if !program.is_empty() => Ok(words),
                _ => Err(de::Error::custom("names no program")),
            }
        }
    }
    deserializer.deserialize_any(Words)
}

/// Why a configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}: {message}{}", file.display(), line.map(|line| format!(":{line}")).unwrap_or_default(),
    hint.as_ref().map(|hint| format!("; did you mean `{hint}`?")).unwrap_or_default())]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1, when it is known.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// The valid key nearest to an unknown one.
    pub hint: Option<String>,
}

impl Config {
    /// Reads a configuration. `file` is only named in errors.
    ///
    /// # Errors
    /// When `text` is not TOML, has a key or value that is not known, or contradicts itself.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        let line_at = |offset: usize| text.get(..offset).map(|before| before.matches('\n').count() + 1);
        let config: Self = toml::from_str(text).map_err(|error| ConfigError {
            file: file.to_owned(),
            line: error.span().and_then(|span| line_at(span.start)),
            message: error.message().to_owned(),
            hint: nearest(error.message()),
        })?;
        let contradiction = |table: &str, message: String| ConfigError {
            file: file.to_owned(),
            line: text.lines().position(|line| line.trim() == table).map(|line| line + 1),
            message,
            hint: None,
        };
        if let Some(service) = &config.service {
            if service.name.is_empty() {
                return Err(contradiction("[service]", "the service's name is empty".to_owned()));
            }
            if service.ttl <= service.interval {
                return Err(contradiction(
                    "[service]",
                    format!(
                        "a passing check lasts {} and the next comes after {}: ttl must be longer than interval",
                        humantime::format_duration(service.ttl),
                        humantime::format_duration(service.interval),
                    ),
                ));
            }
        }
        Ok(config)
    }
}

/// The key that was probably meant, from serde's words about an unknown one: the first is the one that
/// was given and the others those there are, each between backticks.
fn nearest(message: &str) -> Option<String> {
    if !message.starts_with("unknown ") {
        return None;
    }
    let mut names = message.split('`').skip(1).step_by(2);
    let given = names.next()?;
    names
        .map(|name| (strsim::damerau_levenshtein(given, name), name))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, name)| *distance <= name.len().max(given.len()) / 2)
        .map(|(_, name)| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = r#"
[consul]
address = "10.0.0.1:8500"
token = "t"

[main]
command = ["mysqld", "--console"]
stop-timeout = "20s"

[service]
name = "mysql"
port = 3306
tags = ["a"]
address = "10.0.0.9"
interval = "10s"
ttl = "25s"
deregister-critical-after = "2m"
report-failure = false
catalog-check = "1m"
instance = "db-3307"

[hooks]
pre-start = { command = ["restore"] }
health = { command = ["ping", "-c1"], timeout = "500ms" }

[[watch]]
service = "mysql-primary"
tag = "x"
interval = "7s"
trigger = "edge"
on-change = { command = ["follow"], timeout = "1m 30s" }
"#;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(text, Path::new("pilot.toml"))
    }

    #[test]
    fn every_key_is_read_and_survives_being_written() {
        let config = parse(FULL).unwrap();
        let service = config.service.as_ref().unwrap();
        assert_eq!(service.ttl, Duration::from_secs(25));
        assert!(!service.report_failure);
        assert_eq!(service.catalog_check, Some(Duration::from_secs(60)));
        assert_eq!(service.instance.as_deref(), Some("db-3307"));
        assert_eq!(config.main.stop_timeout, Duration::from_secs(20));
        assert_eq!(config.watches[0].key(), "mysql-primary:x");
        assert_eq!(config.watches[0].trigger, Trigger::Edge);
        let again = parse(&toml::to_string(&config).unwrap()).unwrap();
        assert_eq!(again, config);
    }

    #[test]
    fn what_is_wrong_is_told_with_file_line_and_nearest_key() {
        for (from, to, error) in [
            ("ttl = \"25s\"", "tll = \"25s\"", "pilot.toml:16: unknown field `tll`"),
            ("stop-timeout", "stop_timeout", "did you mean `stop-timeout`?"),
            ("\"20s\"", "20", "pilot.toml:8: "),
            ("\"20s\"", "20", "a duration with its unit"),
            ("[\"restore\"]", "\"restore now\"", "a list of a program and its arguments"),
            ("[\"mysqld\", \"--console\"]", "[]", "pilot.toml:7: names no program"),
            ("\"edge\"", "\"egde\"", "did you mean `edge`?"),
            ("interval = \"10s\"", "interval = \"0s\"", "must be longer than zero"),
            ("catalog-check = \"1m\"", "catalog-check = \"0s\"", "must be longer than zero"),
            ("db-3307", "db/3307", "pilot.toml:20: instance: `db/3307` is not 1 to 128"),
            ("db-3307", "", "instance: `` is not"),
            ("interval = \"10s\"", "interval = \"25s\"", "pilot.toml:10: a passing check lasts 25s"),
        ] {
            let text = FULL.replacen(from, to, 1);
            assert_ne!(text, FULL, "{from}");
            let told = parse(&text).unwrap_err().to_string();
            assert!(told.contains(error), "{told}\nshould say\n{error}");
        }
    }
}
