//! The programs beside `mysqld`: the command-line client, the installer, the backup tool.

use std::path::Path;

use ironbird_agent::host::{Exit, Host};

use super::data::{self, Tables};
use super::wire::Client;
use crate::machine::SimHost;
use crate::plan::Span;
use crate::record::{MysqlEvent, Tool, What};

/// Says that a tool is at work, until it is dropped: also one that is killed has ended.
struct Work(SimHost, Tool);

impl Work {
    fn begin(host: &SimHost, tool: Tool) -> Self {
        host.record(What::Mysql(MysqlEvent::Tool { tool, running: true }));
        Self(host.clone(), tool)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.0.record(What::Mysql(MysqlEvent::Tool { tool: self.1, running: false }));
    }
}

fn fail(text: impl Into<String>) -> Exit {
    Exit { code: Some(1), stderr: text.into().into_bytes(), ..Exit::default() }
}

fn option<'a>(args: &'a [String], name: &str) -> Option<&'a str> {
    args.iter().find_map(|arg| arg.strip_prefix(name)?.strip_prefix('='))
}

fn login(args: &[String]) -> (&str, &str) {
    (option(args, "--user").unwrap_or("root"), option(args, "--password").unwrap_or_default())
}

/// `mysql --user=U [--password=P] --execute="STATEMENT; STATEMENT"`: prints the rows of all statements.
pub(super) async fn mysql(host: SimHost, args: Vec<String>) -> Exit {
    let (user, password) = login(&args);
    let statements = option(&args, "--execute").unwrap_or_default();
    let run = async { Client::local(&host, user, password).await?.query(statements).await };
    match run.await {
        Ok(rows) => {
            let mut output = rows.join("\n");
            output.push('\n');
            Exit { code: Some(0), stdout: output.into_bytes(), ..Exit::default() }
        }
        Err(error) => fail(error.to_string()),
    }
}

/// `mysql_install_db`: sets up an empty data directory, and refuses one that is not empty.
pub(super) async fn mysql_install_db(host: SimHost, time: Span) -> Exit {
    if host.exists(&data::file("mysql")).await {
        return fail("data directory is not empty");
    }
    let _work = Work::begin(&host, Tool::Install);
    host.sleep(time.sample(&mut host.random("mysql_install_db"))).await;
    put_base(&host, &Tables::installed(), "installed").await
}

/// `innobackupex --stream=tar` prints a copy of the running server's tables; `innobackupex --copy-back
/// FILE` puts one into an empty data directory.
///
/// The copy carries the transactions it was made of, as if `gtid_purged` were set on restore; scripts of
/// 2016 did not do that, and their replicas ran into duplicate keys (autopilotpattern/mysql issue 71).
pub(super) async fn innobackupex(host: SimHost, args: Vec<String>, backup: Span, restore: Span) -> Exit {
    let mut random = host.random("innobackupex");
    if args.iter().any(|arg| arg == "--copy-back") {
        let Some(file) = args.last() else {
            return fail("no backup given");
        };
        let Ok(content) = host.read_file(Path::new(file)).await else {
            return fail(format!("{file}: no such file"));
        };
        let Ok(tables) = serde_json::from_slice::<Tables>(&content) else {
            return fail(format!("{file}: not a backup"));
        };
        let _work = Work::begin(&host, Tool::Restore);
        host.sleep(restore.sample(&mut random)).await;
        return put_base(&host, &tables, "restored").await;
    }
    let run = async {
        let (user, password) = login(&args);
        let mut client = Client::local(&host, user, password).await?;
        let _work = Work::begin(&host, Tool::Backup);
        host.sleep(backup.sample(&mut random)).await;
        client.query("BACKUP").await
    };
    match run.await {
        Ok(rows) => Exit { code: Some(0), stdout: rows.concat().into_bytes(), ..Exit::default() },
        Err(error) => fail(error.to_string()),
    }
}

async fn put_base(host: &SimHost, tables: &Tables, how: &str) -> Exit {
    let Ok(content) = serde_json::to_vec(tables) else {
        return fail("cannot write the data directory");
    };
    if let Err(error) = host.write_file(&data::file(data::BASE), content).await {
        return fail(error.to_string());
    }
    host.record(What::Mysql(MysqlEvent::DataDirectory { how: how.to_owned(), writes: tables.writes() }));
    Exit::code(0)
}
