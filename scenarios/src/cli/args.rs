//! What can be written on the command line.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use ironbird_reports::story::KINDS;
use tracing_subscriber::EnvFilter;

use super::corpus::{self, CorpusArgs};
use super::enumerate::{self, EnumerateArgs};
use super::explain::{self, ExplainArgs};
use super::shrink::{self, ShrinkArgs};
use super::swarm::SwarmArgs;
use super::{ColorWhen, Console};
use crate::exit_code::{self, Exit};
use crate::partition::Asked;
use crate::seeds::Seeds;

const EXAMPLES: &str = "\
Examples:
  ironbird list                                   what there is
  ironbird run                                    every scenario, as many seeds as each asks for
  ironbird run leader-kill --seeds 1000           one scenario, seeds 0 to 999
  ironbird run leader-kill/hardened --fail-fast   one variant, until a run fails
  ironbird run my-scenarios/ --junit results.xml  every file in a folder, for CI
  ironbird replay leader-kill/hardened --seed 17  one run, as a story
  ironbird shrink leader-kill/published --seed 17 one failing run, reduced to its cause
  ironbird consul --http 127.0.0.1:0              a Consul for tests of other programs";

const RUN_EXAMPLES: &str = "\
Examples:
  ironbird run
  ironbird run leader-kill races/my-own.toml --seeds 500..1_000
  ironbird run leader-kill/hardened --seeds 17..=17 --check-determinism
  ironbird run leader-kill --swarm --seeds 1000
  ironbird run --html report --junit results.xml --json results.json --color never
  ironbird run leader-kill --time-budget 10m --results night.jsonl
  ironbird run --partition auto --results \"$CI_JOB_ID.jsonl\"";

const MERGE_EXAMPLES: &str = "\
Examples:
  ironbird run --partition slice:1/2 --results one.jsonl
  ironbird run --partition slice:2/2 --results two.jsonl
  ironbird merge one.jsonl two.jsonl --junit results.xml";

const REPLAY_EXAMPLES: &str = "\
Examples:
  ironbird replay leader-kill/hardened --seed 17
  ironbird replay leader-kill/hardened --seed 17 --trace | less
  ironbird replay leader-kill/hardened --seed 17 --trace --from 900 --until 1000 --host mysql-2
  ironbird replay leader-kill/hardened --seed 17 --follow mysql-primary --kind consul
  ironbird replay leader-kill/hardened --seed 17 --record - | jq .kind";

const CHECK_EXAMPLES: &str = "\
Examples:
  ironbird check
  ironbird check my-scenarios/ drafts/storm.toml";

const REPORT_EXAMPLES: &str = "\
Examples:
  ironbird report run.jsonl --html report                      a page, for a browser
  ironbird report good.jsonl bad.jsonl --html report           two runs, and where they differ
  ironbird report run.jsonl --perfetto trace.json              for ui.perfetto.dev
  ironbird report run.jsonl --mermaid - --shiviz log.txt
  ironbird report records/*.jsonl --junit results.xml --csv recovery.csv";

const MAP_EXAMPLES: &str = "\
Examples:
  ironbird map
  ironbird map leader-kill --seeds 1000 --by all
  ironbird map my-scenarios/ --csv map.csv --json map.json";

const CONSUL_EXAMPLES: &str = "\
Examples:
  ironbird consul
  ironbird consul --http 127.0.0.1:0 -v
  ironbird consul --chaos flaky.toml
  ironbird consul --servers 3 --agents 1
  ironbird consul --tls-cert server.pem --tls-key server.key --tls-client-ca ca.pem

A chaos plan is a list of faults; `at` counts from the start and may be a range:
  [[fault]]
  at = \"10s..20s\"
  for = \"30s\"           # or \"ever\"
  kind = \"stale\"        # the catalog of this much earlier
  delay = \"5s\"
Kinds: stale (delay), slow (latency, may be a range), leaderless, errors (status, share), refuse, hang,
spurious-wakes (share), revoke-tokens, index-reset (no `for`)
Kinds for clusters: kill-leader (wipe), kill-server (target, wipe), pause-server (target), isolate (target);
a target is leader, follower, or a node like server-2 or agent-1; with `wipe = true` it loses its disk";

const WHICH: &str = "\
A scenario (`leader-kill`), one variant of it (`leader-kill/hardened`), a file, a file and a variant \
(`storm.toml/calm`) or a folder; nothing for all scenarios of the program";

/// Flies self-organising services through simulated faults, thousands of runs from seeds that replay
#[derive(Debug, Parser)]
#[command(
    name = "ironbird",
    version,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = format!("{EXAMPLES}\n\n{}", exit_code::HELP)
)]
pub struct Args {
    /// When to colour
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub(super) color: ColorWhen,
    /// What to log on standard error, as in RUST_LOG: `debug`, `ironbird_sim=trace`. Never part of a record
    #[arg(long, global = true, value_name = "FILTER", value_parser = filter)]
    pub(super) log_level: Option<String>,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Show the scenarios, their variants and what is expected of each
    List(Which),
    /// Read scenario files and say what is wrong with them, without running anything
    #[command(after_help = CHECK_EXAMPLES)]
    Check(Which),
    /// Run scenarios under many seeds
    #[command(after_help = format!("{RUN_EXAMPLES}\n\n{}", exit_code::HELP))]
    Run(RunArgs),
    /// Put the results of several jobs together, into the report one job would have made
    #[command(after_help = format!("{MERGE_EXAMPLES}\n\n{}", exit_code::HELP))]
    Merge(MergeArgs),
    /// Run one seed again and tell it as a story
    #[command(after_help = format!("{REPLAY_EXAMPLES}\n\n{}", exit_code::HELP))]
    Replay(ReplayArgs),
    /// Render records of runs, at any time after them
    #[command(after_help = format!("{REPORT_EXAMPLES}\n\n{}", exit_code::HELP))]
    Report(ReportArgs),
    /// Show from which states, after which faults, the cluster finds its way back
    #[command(after_help = format!("{MAP_EXAMPLES}\n\n{}", exit_code::HELP))]
    Map(MapArgs),
    /// Reduce a failing run to its cause, as a scenario file of a few lines
    #[command(after_help = format!("{}\n\n{}", shrink::EXAMPLES, exit_code::HELP))]
    Shrink(ShrinkArgs),
    /// Try every single fault at every moment of a run that matters
    #[command(after_help = format!("{}\n\n{}", enumerate::EXAMPLES, exit_code::HELP))]
    Enumerate(EnumerateArgs),
    /// Say which faults a failure took, and when it could no longer be avoided
    #[command(after_help = format!("{}\n\n{}", explain::EXAMPLES, exit_code::HELP))]
    Explain(ExplainArgs),
    /// Keep failing runs as files that `run` replays first
    #[command(after_help = corpus::EXAMPLES)]
    Corpus(CorpusArgs),
    /// Serve the fake Consul on real TCP in real time, for tests of other programs
    #[command(after_help = CONSUL_EXAMPLES)]
    Consul(ConsulArgs),
    /// Plant defects one by one, and show how soon each is found, and by what
    #[cfg(feature = "planted-bugs")]
    #[command(after_help = format!("{}\n\n{}", super::bugs::EXAMPLES, exit_code::HELP))]
    Bugs(super::bugs::BugsArgs),
}

impl Command {
    /// What to log when nobody says.
    pub(super) fn log_level(&self) -> Option<&'static str> {
        match self {
            Self::Consul(args) if args.verbose => Some("warn,ironbird=debug"),
            _ => None,
        }
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Which {
    #[arg(value_name = "NAME|PATH", help = WHICH)]
    pub(super) which: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub(super) which: Which,
    /// Which seeds: `100..200` (without 200), `100..=200` (with it), or a number N for `0..N`. As many as
    /// each scenario asks for if not given
    #[arg(long, value_name = "A..B|N")]
    pub(super) seeds: Option<Seeds>,
    /// Worlds at a time; results do not depend on it. As many as there are cores if not given
    #[arg(long, short, value_name = "N")]
    pub(super) jobs: Option<NonZeroUsize>,
    #[command(flatten)]
    pub(super) output: OutputArgs,
    /// Stop as soon as a variant can no longer come out as expected
    #[arg(long)]
    pub(super) fail_fast: bool,
    #[command(flatten)]
    pub(super) swarm: SwarmArgs,
    /// Replay the failing runs kept in this folder first; `corpus/` beside the scenario files, where there is
    /// one, if not given
    #[arg(long, value_name = "DIR")]
    pub(super) corpus: Option<PathBuf>,
    /// Fail unless everything that a sweep should see sometimes was seen in some run
    #[arg(long)]
    pub(super) require_sometimes: bool,
    /// Run every seed twice; two different records of one seed are a failure
    #[arg(long)]
    pub(super) check_determinism: bool,
    /// Only a share of the runs: `slice:2/5` is the second of five, `auto` what the CI system says this job is
    #[arg(long, value_name = "SLICE|auto")]
    pub(super) partition: Option<Asked>,
    /// Keep what every run came to in this file, and go on from there if it has something already
    #[arg(long, value_name = "FILE")]
    pub(super) results: Option<PathBuf>,
    /// Start no run after this long, `10m`; without --seeds, go on until then
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(super) time_budget: Option<Duration>,
    /// Stop when so many runs in a row visited no state that was not seen before; without --seeds, go on
    /// until then
    #[arg(long, value_name = "RUNS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) until_stable: Option<u64>,
    /// Begin at a seed that this commit stands for, 40 hexadecimal digits
    #[arg(long, value_name = "COMMIT", conflicts_with = "seeds")]
    pub(super) seed_from: Option<String>,
}

/// Where results go besides the terminal.
#[derive(Debug, clap::Args)]
pub(super) struct OutputArgs {
    /// Write the results as JUnit XML; `-` for standard output
    #[arg(long, value_name = "FILE")]
    pub(super) junit: Option<PathBuf>,
    /// Write the results as JSON; `-` for standard output
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// Write pages for a browser into this folder: the sweep, and at most a hundred runs that failed, show
    /// what is expected or found no way back, each with its record
    #[arg(long, value_name = "DIR")]
    pub(super) html: Option<PathBuf>,
    /// Write a summary in Markdown, for `$GITHUB_STEP_SUMMARY`, and print annotations; `-` for standard output
    #[arg(long, value_name = "FILE")]
    pub(super) github: Option<PathBuf>,
    /// Write recovery times as CSV; `-` for standard output
    #[arg(long, value_name = "FILE")]
    pub(super) csv: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct MergeArgs {
    /// Files that `run --results` wrote
    #[arg(value_name = "FILE", required = true)]
    pub(super) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) output: OutputArgs,
    /// Worlds at a time when runs worth showing are run again
    #[arg(long, short, value_name = "N")]
    pub(super) jobs: Option<NonZeroUsize>,
}

#[derive(Debug, clap::Args)]
pub(super) struct ReplayArgs {
    /// The variant: `leader-kill/hardened` or `storm.toml/calm`; a scenario with one variant needs no `/`
    #[arg(value_name = "SCENARIO")]
    pub(super) scenario: String,
    /// The seed; the one the file fixes if not given
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,
    #[command(flatten)]
    pub(super) swarm: SwarmArgs,
    /// Tell every event, not only those that matter
    #[arg(long)]
    pub(super) trace: bool,
    #[command(flatten)]
    pub(super) lens: LensArgs,
    /// Write the record as JSON Lines; `-` for standard output, in place of the story
    #[arg(long, value_name = "FILE")]
    pub(super) record: Option<PathBuf>,
}

/// Which events a trace tells. Every one of these means `--trace`.
#[derive(Debug, clap::Args)]
pub(super) struct LensArgs {
    /// Tell events from this one on
    #[arg(long, value_name = "STEP")]
    pub(super) from: Option<u64>,
    /// Tell events up to this one
    #[arg(long, value_name = "STEP")]
    pub(super) until: Option<u64>,
    /// Tell what happens on this machine; may be given again
    #[arg(long, value_name = "NAME")]
    pub(super) host: Vec<String>,
    /// Tell events of this kind; may be given again
    #[arg(long, value_name = "KIND", value_parser = clap::builder::PossibleValuesParser::new(KINDS))]
    pub(super) kind: Vec<String>,
    /// Tell what happens to a key and the sessions that want it, or to a session, by its first characters
    #[arg(long, value_name = "KEY|SESSION")]
    pub(super) follow: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct ReportArgs {
    /// Records, as `replay --record` and `run --html` write them
    #[arg(value_name = "RECORD", required = true)]
    pub(super) records: Vec<PathBuf>,
    /// Write pages for a browser into this folder
    #[arg(long, value_name = "DIR")]
    pub(super) html: Option<PathBuf>,
    /// Write the results as JUnit XML; `-` for standard output
    #[arg(long, value_name = "FILE")]
    pub(super) junit: Option<PathBuf>,
    /// Write a summary in Markdown, for `$GITHUB_STEP_SUMMARY`, and print annotations
    #[arg(long, value_name = "FILE")]
    pub(super) github: Option<PathBuf>,
    /// Write recovery times as CSV
    #[arg(long, value_name = "FILE")]
    pub(super) csv: Option<PathBuf>,
    /// Write a Chrome trace, which Perfetto opens; of one record
    #[arg(long, value_name = "FILE")]
    pub(super) perfetto: Option<PathBuf>,
    /// Write the failure as a Mermaid diagram; of one record
    #[arg(long, value_name = "FILE")]
    pub(super) mermaid: Option<PathBuf>,
    /// Write a log with vector clocks, which ShiViz opens; of one record
    #[arg(long, value_name = "FILE")]
    pub(super) shiviz: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct MapArgs {
    #[command(flatten)]
    pub(super) which: Which,
    /// Which seeds, as for `run`. As many as each scenario asks for if not given
    #[arg(long, value_name = "A..B|N")]
    pub(super) seeds: Option<Seeds>,
    /// Worlds at a time; results do not depend on it. As many as there are cores if not given
    #[arg(long, short, value_name = "N")]
    pub(super) jobs: Option<NonZeroUsize>,
    /// Which parts of a state make a row
    #[arg(
        long,
        value_name = "PART,...",
        value_enum,
        value_delimiter = ',',
        default_value = "instances,lock"
    )]
    pub(super) by: Vec<Part>,
    /// How many rows to print, those that did not come back first; 0 for all
    #[arg(long, value_name = "N", default_value_t = 40)]
    pub(super) rows: usize,
    /// Write every cell as JSON; `-` for standard output
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// Write every cell as CSV; `-` for standard output
    #[arg(long, value_name = "FILE")]
    pub(super) csv: Option<PathBuf>,
    /// Write the rows as a table in Markdown; `-` for standard output
    #[arg(long, value_name = "FILE")]
    pub(super) markdown: Option<PathBuf>,
}

/// A part of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Part {
    /// What each instance is
    Instances,
    /// The primary's lock
    Lock,
    /// The snapshot new instances start from
    Backup,
    /// Who passes as the primary in the catalog
    Catalog,
    /// Consul itself
    Consul,
    /// All of these
    All,
}

#[derive(Debug, clap::Args)]
pub(super) struct ConsulArgs {
    /// Where to listen; port 0 picks a free one, which is printed
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8500")]
    pub(super) http: SocketAddr,
    /// How many servers there are, 1 to 5; several elect a leader, and listen on the ports from that one on
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    pub(super) servers: u8,
    /// How many agents there are beside the servers, 0 to 16, on the ports after theirs
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=16))]
    pub(super) agents: u8,
    /// How slowly servers take their leader for dead, 1 to 10; Consul's own default is 5
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10))]
    pub(super) raft_multiplier: u32,
    /// Print the addresses at once, and not when there is a leader
    #[arg(long)]
    pub(super) no_wait: bool,
    /// The name of its node, `ironbird` by default; those of a cluster are server-1, agent-1 and so on
    #[arg(long, value_name = "NAME", conflicts_with_all = ["servers", "agents"])]
    pub(super) node: Option<String>,
    /// Its datacenter
    #[arg(long, value_name = "NAME", default_value = "dc1")]
    pub(super) datacenter: String,
    /// What ids, jitter and chaos are drawn from
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) seed: u64,
    /// Go on from this file, if it is there, and write it at the end: keys, sessions, catalog, checks, as JSON
    #[arg(long, value_name = "FILE", conflicts_with_all = ["servers", "agents"])]
    pub(super) data: Option<PathBuf>,
    /// Look at tokens: this one may do everything, and whoever brings none, nothing
    #[arg(long, value_name = "TOKEN")]
    pub(super) token: Option<String>,
    /// Look at tokens, and let each do what this file of TOML says
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    pub(super) acl: Option<PathBuf>,
    /// What goes wrong when: a file of TOML
    #[arg(long, value_name = "FILE")]
    pub(super) chaos: Option<PathBuf>,
    /// Speak HTTPS with this certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(super) tls_cert: Option<PathBuf>,
    /// The certificate's key, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(super) tls_key: Option<PathBuf>,
    /// Let in only clients with a certificate signed by one of these, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(super) tls_client_ca: Option<PathBuf>,
    /// Log every request on standard error, without tokens
    #[arg(long, short)]
    pub(super) verbose: bool,
}

pub(super) fn parse(
    words: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<Args, clap::Error> {
    Args::try_parse_from(words)
}

/// Prints what clap has to say: help and version as results, the rest as a complaint.
pub(super) fn refuse(error: &clap::Error, console: &mut Console<'_>) -> Exit {
    console.choose(ColorWhen::Auto);
    let colored = |color| {
        let text = error.render();
        if color { text.ansi().to_string() } else { text.to_string() }
    };
    let (written, exit) = if error.use_stderr() {
        (console.complain(&colored(console.color_err)), Exit::Usage)
    } else {
        (console.print(&colored(console.color_out)), Exit::AsExpected)
    };
    written.map_or(Exit::Io, |()| exit)
}

/// Only whether it is a filter: the filter itself cannot be cloned, which clap wants.
fn filter(text: &str) -> Result<String, tracing_subscriber::filter::ParseError> {
    EnvFilter::try_new(text).map(|_| text.to_owned())
}

/// Sends logs to standard error: what `filter` or RUST_LOG lets through, warnings if neither says. Gives what
/// is wrong with RUST_LOG, which is then as good as not set.
pub(super) fn log_to_stderr(filter: Option<&str>, color: bool) -> Option<String> {
    let from_environment = || match std::env::var(EnvFilter::DEFAULT_ENV) {
        Ok(text) if !text.trim().is_empty() => EnvFilter::try_new(&text).map_err(|error| error.to_string()),
        _ => Ok(EnvFilter::new("warn")),
    };
    let (filter, wrong) = match filter {
        Some(filter) => (EnvFilter::new(filter), None),
        None => match from_environment() {
            Ok(filter) => (filter, None),
            Err(why) => (EnvFilter::new("warn"), Some(format!("RUST_LOG is ignored: {why}"))),
        },
    };
    // Fails when somebody else, a test for one, has set it up already; theirs is as good.
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(color)
        .try_init()
        .ok();
    wrong
}
