//! `ironbird consul`.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use ironbird_sim::consul::fake::{Builder, FakeConsul, Tls};
use ironbird_sim::consul::{AclConfig, AgentTokens, DefaultPolicy};
use tokio::signal::unix::{SignalKind, signal};

use super::args::ConsulArgs;
use super::{Console, Stop};
use crate::exit_code::Exit;
use crate::library::{LoadError, chaos_from_file};

/// The greatest dump that is loaded.
const DATA_MAX: u64 = 1 << 30;
/// The greatest file of rules.
const ACL_MAX: u64 = 1 << 20;

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
        let dump = consul.dump().await;
        consul.shutdown().await;
        if let (Some(path), Some(dump)) = (&args.data, dump) {
            keep(path, &dump)
                .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
        }
        Ok(Exit::AsExpected)
    })
}

/// Replaces a file whole: whatever happens, it holds the old content or the new.
fn keep(path: &Path, dump: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(dump)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// What a file holds, if it is there.
fn read(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut content = Vec::new();
    file.take(most + 1).read_to_end(&mut content)?;
    if content.len() as u64 > most {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {most} bytes")));
    }
    Ok(Some(content))
}

/// What tokens may do, as the command line says it.
fn acl(args: &ConsulArgs) -> Result<Option<AclConfig>, String> {
    if let Some(token) = &args.token {
        let tokens = AgentTokens { master: Some(token.clone()), ..AgentTokens::default() };
        let default_policy = DefaultPolicy::Deny;
        let (policies, token) = (BTreeMap::new(), BTreeMap::new());
        return Ok(Some(AclConfig { default_policy, tokens, policies, token }));
    }
    let Some(path) = &args.acl else { return Ok(None) };
    let named = |error: &dyn fmt::Display| format!("{}: {error}", path.display());
    let text = read(path, ACL_MAX).map_err(|error| named(&error))?.ok_or_else(|| named(&"no such file"))?;
    let text = String::from_utf8(text).map_err(|error| named(&error))?;
    toml::from_str(&text).map(Some).map_err(|error| named(&error))
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
    if let Some(path) = &args.data {
        let dump = read(path, DATA_MAX)
            .or_else(|error| refuse(console, &format!("error: {}: {error}\n", path.display())))?;
        if let Some(dump) = dump {
            builder = builder.data(dump);
        }
    }
    if let Some(acl) = acl(args).or_else(|error| refuse(console, &format!("error: {error}\n")))? {
        builder = builder.acl(acl).or_else(|error| refuse(console, &format!("error: {error}\n")))?;
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
