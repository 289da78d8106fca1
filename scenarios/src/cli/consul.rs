//! `ironbird consul`.

use ironbird_sim::consul::fake::{Builder, FakeConsul, Tls};
use tokio::signal::unix::{SignalKind, signal};

use super::args::ConsulArgs;
use super::{Console, Stop};
use crate::exit_code::Exit;
use crate::library::{LoadError, chaos_from_file};

pub(super) fn consul(args: &ConsulArgs, console: &mut Console<'_>) -> Result<Exit, Stop> {
    let builder = described(args, console)?;
    if !args.http.ip().is_loopback() {
        console.complain(&format!(
            "warning: {} may be reached from other machines; this is a server for tests, open to everybody\n",
            args.http
        ))?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // From here on a signal ends the server, not the process.
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        // A cluster that has no leader yet is ended by a signal too.
        let consul = tokio::select! {
            biased;
            _ = terminate.recv() => return Ok(Exit::AsExpected),
            _ = interrupt.recv() => return Ok(Exit::AsExpected),
            started = builder.start() => started?,
        };
        console.print(&listening(&consul))?;
        tokio::select! {
            biased;
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        consul.shutdown().await;
        Ok(Exit::AsExpected)
    })
}

/// A line for every node: where it listens, and which it is if there are several.
fn listening(consul: &FakeConsul) -> String {
    match &consul.urls()[..] {
        [url] => format!("listening on {url}\n"),
        urls => {
            let nodes = urls.iter().zip(consul.nodes());
            nodes.map(|(url, node)| format!("listening on {url} as {node}\n")).collect()
        }
    }
}

/// What is asked for, or a complaint about what is wrong with it.
fn described(args: &ConsulArgs, console: &mut Console<'_>) -> Result<Builder, Stop> {
    let mut builder = FakeConsul::builder().listen(args.http).datacenter(&args.datacenter).seed(args.seed);
    builder = builder.servers(args.servers.into()).agents(args.agents.into());
    builder = builder.raft_multiplier(args.raft_multiplier);
    if let Some(node) = &args.node {
        builder = builder.node(node);
    }
    if args.no_wait {
        builder = builder.without_waiting();
    }
    if let (Some(certificate), Some(key)) = (&args.tls_cert, &args.tls_key) {
        let tls = Tls::load(certificate, key, args.tls_client_ca.as_deref());
        builder = builder.tls(tls.or_else(|error| refuse(console, &format!("error: {error}\n")))?);
    }
    if let Some(path) = &args.chaos {
        let plan = chaos_from_file(path).or_else(|error| match error {
            LoadError::Rejected(rejected) => {
                let text = rejected.render(console.color_err);
                refuse(console, &text)
            }
            other => refuse(console, &format!("error: {other}\n")),
        });
        builder = builder.plan(plan?);
    }
    if let Err(error) = builder.check() {
        return refuse(console, &format!("error: {error}\n"));
    }
    Ok(builder)
}

fn refuse<T>(console: &mut Console<'_>, text: &str) -> Result<T, Stop> {
    console.complain(text)?;
    Err(Stop::Said(Exit::Usage))
}
