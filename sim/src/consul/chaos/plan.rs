//! Troubles on a schedule, as a file of TOML says it.
//!
//! ```toml
//! [[fault]]
//! at = "10s"            # since the server started; a range is drawn from
//! for = "30s"           # or "ever"
//! kind = "stale"        # stale, slow, leaderless, spurious-wakes, revoke-tokens, errors, refuse, hang, index-reset
//! delay = "5s"
//!
//! [[fault]]             # of a cluster: kill-server, kill-leader, pause-server, isolate
//! at = "20s"
//! for = "10s"           # then it is started again
//! kind = "kill-server"
//! target = "server-2"   # or a role: leader, follower; or an agent: agent-1
//! wipe = true           # without its disk
//! ```

use std::time::Duration;

use http::StatusCode;
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use super::{Census, Chaos, Source, Trouble, Unfit, Whom};
use crate::consul::server::Clock;
use crate::plan::Span;

/// Troubles on a schedule.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChaosPlan {
    /// In the order they were written.
    #[serde(default, rename = "fault")]
    pub faults: Vec<ChaosFault>,
}

/// One trouble on a schedule.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Written")]
pub struct ChaosFault {
    /// When it begins, since the server started.
    pub at: Span,
    /// How long it lasts; `None` for ever.
    pub lasting: Option<Duration>,
    /// What it is.
    pub trouble: Trouble,
}

/// A fault as it stands in a file: flat, with every field any kind may need.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    at: Span,
    kind: String,
    #[serde(default, rename = "for")]
    lasting: Option<String>,
    #[serde(default, with = "ironbird_agent::duration::option")]
    delay: Option<Duration>,
    #[serde(default)]
    latency: Option<Span>,
    #[serde(default)]
    status: Option<u16>,
    #[serde(default)]
    share: Option<f64>,
    #[serde(default)]
    target: Option<Whom>,
    #[serde(default)]
    wipe: Option<bool>,
}

impl ChaosFault {
    /// The fields a fault can have, for messages.
    pub const FIELDS: [&'static str; 9] =
        ["at", "for", "kind", "delay", "latency", "status", "share", "target", "wipe"];
}

impl TryFrom<Written> for ChaosFault {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let Written { at, kind: name, lasting, mut delay, mut latency, mut status, mut share, .. } = written;
        let (mut target, mut wipe) = (written.target, written.wipe);
        let need = |field: &str| format!("a `{name}` fault needs `{field}`");
        let mut whom = || target.take().ok_or_else(|| need("target"));
        let trouble = match name.as_str() {
            "stale" => Trouble::Stale { delay: delay.take().ok_or_else(|| need("delay"))? },
            "stale-reads" => Trouble::StaleReads,
            "slow" => Trouble::Slow { latency: latency.take().ok_or_else(|| need("latency"))? },
            "leaderless" => Trouble::Leaderless,
            "errors" => Trouble::Errors {
                status: error_status(status.take().unwrap_or(500))?,
                share: sound(share.take())?,
            },
            "revoke-tokens" => Trouble::RevokeTokens,
            "spurious-wakes" => Trouble::SpuriousWakes { share: sound(share.take())? },
            "refuse" => Trouble::Refuse,
            "hang" => Trouble::Hang,
            "index-reset" => Trouble::IndexReset,
            "kill-server" => Trouble::Kill { whom: whom()?, wipe: wipe.take().unwrap_or_default() },
            "kill-leader" => Trouble::Kill { whom: Whom::Leader, wipe: wipe.take().unwrap_or_default() },
            "pause-server" => Trouble::Pause { whom: whom()? },
            "isolate" => Trouble::Isolate { whom: whom()? },
            other => {
                return Err(format!("`{other}` is no kind of fault: one of {}", Trouble::NAMES.join(", ")));
            }
        };
        let unused = [
            ("delay", delay.is_some()),
            ("latency", latency.is_some()),
            ("status", status.is_some()),
            ("share", share.is_some()),
            ("target", target.is_some()),
            ("wipe", wipe.is_some()),
        ];
        if let Some((field, _)) = unused.into_iter().find(|(_, there)| *there) {
            return Err(format!("a `{name}` fault takes no `{field}`"));
        }
        let lasting = match (lasting.as_deref(), trouble) {
            (None, Trouble::IndexReset) | (Some("ever"), _) => None,
            (None, _) => return Err(format!("{}, a time or \"ever\"", need("for"))),
            (Some(_), Trouble::IndexReset) => return Err(format!("a `{name}` fault takes no `for`")),
            (Some(text), _) => Some(humantime::parse_duration(text).map_err(|error| {
                format!("`for`: `{text}` is neither a duration like \"60s\" nor \"ever\": {error}")
            })?),
        };
        Ok(Self { at, lasting, trouble })
    }
}

fn sound(share: Option<f64>) -> Result<f64, &'static str> {
    Some(share.unwrap_or(1.0))
        .filter(|share| *share > 0.0 && *share <= 1.0)
        .ok_or("`share` is a number above 0 and up to 1")
}

fn error_status(number: u16) -> Result<StatusCode, String> {
    StatusCode::from_u16(number)
        .ok()
        .filter(|status| status.is_client_error() || status.is_server_error())
        .ok_or_else(|| format!("`status` {number} is no error: 400 to 599"))
}

impl ChaosPlan {
    /// Says whether all of it can happen to these nodes.
    ///
    /// # Errors
    /// When a fault hits a node there is not.
    pub fn fits(&self, census: Census) -> Result<(), Unfit> {
        self.faults.iter().filter_map(|fault| fault.trouble.whom()).try_for_each(|whom| census.fits(whom))
    }

    /// Begins and ends on `chaos` what the plan says, from now on; returns when there is no more to do.
    /// Times that are ranges are drawn from `dice`, one draw a fault in the order of the file.
    pub async fn play(&self, chaos: &Chaos, clock: &impl Clock, dice: &mut ChaCha8Rng) {
        let start = clock.now();
        let mut steps = Vec::new();
        for (number, fault) in self.faults.iter().enumerate() {
            let at = fault.at.sample(dice);
            steps.push((at, number, Some(fault.trouble)));
            if let Some(lasting) = fault.lasting {
                steps.push((at.saturating_add(lasting), number, None));
            }
        }
        // What ends makes room for what begins at the same moment.
        steps.sort_by_key(|(at, number, trouble)| (*at, trouble.is_some(), *number));
        for (at, number, trouble) in steps {
            let left = start.saturating_add(at).saturating_sub(clock.now());
            // What begins at once counts for the first request; even the shortest sleep would be too long.
            if !left.is_zero() {
                clock.sleep(left).await;
            }
            match trouble {
                Some(trouble) => chaos.begin(Source::Plan(number), trouble),
                None => chaos.end(Source::Plan(number)),
            }
            let verb = if trouble.is_some() { "begins" } else { "ends" };
            tracing::info!(target: "ironbird", "{verb}: {}", self.faults[number].trouble.name());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::StatusCode;

    use super::{ChaosPlan, Trouble, Whom};
    use crate::plan::Span;

    fn read(fault: &str) -> Result<ChaosPlan, String> {
        toml::from_str(&format!("[[fault]]\n{fault}"))
            .map_err(|error: toml::de::Error| error.message().to_owned())
    }

    #[test]
    fn every_kind_can_be_written() {
        for (text, trouble, lasting) in [
            (
                "kind='stale'\nat='1s'\nfor='2s'\ndelay='3s'",
                Trouble::Stale { delay: Duration::from_secs(3) },
                Some(2),
            ),
            (
                "kind='slow'\nat='1s'\nfor='ever'\nlatency='5ms..9ms'",
                Trouble::Slow { latency: Span::millis(5, 9) },
                None,
            ),
            ("kind='leaderless'\nat='1s'\nfor='2s'", Trouble::Leaderless, Some(2)),
            (
                "kind='errors'\nat='1s'\nfor='2s'\nstatus=429\nshare=0.5",
                Trouble::Errors { status: StatusCode::TOO_MANY_REQUESTS, share: 0.5 },
                Some(2),
            ),
            (
                "kind='spurious-wakes'\nat='1s'\nfor='2s'\nshare=0.5",
                Trouble::SpuriousWakes { share: 0.5 },
                Some(2),
            ),
            ("kind='revoke-tokens'\nat='1s'\nfor='2s'", Trouble::RevokeTokens, Some(2)),
            ("kind='refuse'\nat='1s'\nfor='2s'", Trouble::Refuse, Some(2)),
            ("kind='hang'\nat='1s'\nfor='2s'", Trouble::Hang, Some(2)),
            ("kind='index-reset'\nat='1s'", Trouble::IndexReset, None),
            (
                "kind='kill-server'\ntarget='server-2'\nwipe=true\nat='1s'\nfor='2s'",
                Trouble::Kill { whom: Whom::Server(2), wipe: true },
                Some(2),
            ),
            (
                "kind='kill-leader'\nat='1s'\nfor='ever'",
                Trouble::Kill { whom: Whom::Leader, wipe: false },
                None,
            ),
            (
                "kind='pause-server'\ntarget='follower'\nat='1s'\nfor='2s'",
                Trouble::Pause { whom: Whom::Follower },
                Some(2),
            ),
            (
                "kind='isolate'\ntarget='agent-1'\nat='1s'\nfor='2s'",
                Trouble::Isolate { whom: Whom::Agent(1) },
                Some(2),
            ),
        ] {
            let plan = read(text).expect(text);
            assert_eq!(plan.faults[0].trouble, trouble);
            assert_eq!(plan.faults[0].lasting, lasting.map(Duration::from_secs));
            assert!(Trouble::NAMES.contains(&trouble.name()));
        }
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for (text, why) in [
            ("kind='stale'\nat='1s'\nfor='2s'", "a `stale` fault needs `delay`"),
            ("kind='hang'\nat='1s'", "a `hang` fault needs `for`, a time or \"ever\""),
            ("kind='hang'\nat='1s'\nfor='2s'\nshare=1.0", "a `hang` fault takes no `share`"),
            ("kind='index-reset'\nat='1s'\nfor='2s'", "a `index-reset` fault takes no `for`"),
            ("kind='errors'\nat='1s'\nfor='2s'\nstatus=200", "`status` 200 is no error: 400 to 599"),
            ("kind='isolate'\nat='1s'\nfor='2s'", "a `isolate` fault needs `target`"),
            (
                "kind='kill-leader'\ntarget='leader'\nat='1s'\nfor='2s'",
                "a `kill-leader` fault takes no `target`",
            ),
            ("kind='errors'\nat='1s'\nfor='2s'\nshare=1.5", "`share` is a number above 0 and up to 1"),
        ] {
            assert_eq!(read(text).expect_err(text).trim_end(), why);
        }
        assert!(
            read("kind='storm'\nat='1s'").expect_err("refused").starts_with("`storm` is no kind of fault")
        );
    }
}
