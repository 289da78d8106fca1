//! The programs beside `mysqld`: the command-line client, the installer, the backup tool.

use std::path::Path;
use std::rc::Rc;

use ironbird_agent::host::{Exit, Host};
use ironbird_agent::mysql::GtidSet;
use serde::{Deserialize, Serialize};

use super::data::{self, Tables};
use super::storage::{BINLOG_INFO, Base, Storage};
use super::wire::Client;
use crate::machine::SimHost;
use crate::plan::Span;
use crate::record::{MysqlEvent, Tool, What};
use crate::spec::Mysql;

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
    put_base(&host, Base { tables: Tables::installed(), ..Base::default() }, "installed")
}

/// A snapshot as the backup tool makes it.
#[derive(Debug, Serialize, Deserialize)]
struct Snapshot {
    /// `xtrabackup_binlog_info`: file, position and transactions, separated by tabs.
    binlog_info: String,
    tables: Tables,
}

/// Where a backup keeps what the server writes meanwhile.
const BACKUP_LOG: &str = "/tmp/xtrabackup_logfile";

/// `innobackupex --stream=tar` prints a copy of the running server's tables; `innobackupex --copy-back
/// FILE` puts one into an empty data directory.
///
/// Which transactions the copy holds is in `xtrabackup_binlog_info` and nowhere else, unless the spec has a
/// restore that tells the server (autopilotpattern/mysql issue 71).
pub(super) async fn innobackupex(host: SimHost, args: Vec<String>, spec: Rc<Mysql>) -> Exit {
    let mut random = host.random("innobackupex");
    if args.iter().any(|arg| arg == "--copy-back") {
        let Some(path) = args.last() else {
            return fail("no backup given");
        };
        let content = match host.read_file(Path::new(path)).await {
            Ok(content) => content,
            Err(error) => return fail(format!("{path}: {error}")),
        };
        let Ok(snapshot) = serde_json::from_slice::<Snapshot>(&content) else {
            return fail(format!("{path}: not a backup"));
        };
        let _work = Work::begin(&host, Tool::Restore);
        host.sleep(spec.restore.sample(&mut random) + spec.copying()).await;
        return restore(&host, snapshot, spec.restore_sets_gtids).await;
    }
    let run = async {
        let (user, password) = login(&args);
        let mut client = Client::local(&host, user, password).await?;
        let _work = Work::begin(&host, Tool::Backup);
        host.write_file(Path::new(BACKUP_LOG), b"log".to_vec()).await?;
        host.sleep(spec.backup.sample(&mut random) + spec.copying()).await;
        let rows = client.query("BACKUP").await;
        host.remove(Path::new(BACKUP_LOG)).await?;
        rows
    };
    let rows = match run.await {
        Ok(rows) => rows,
        Err(error) => return fail(error.to_string()),
    };
    let snapshot = match rows.as_slice() {
        [binlog_info, tables] => serde_json::from_str(tables)
            .map(|tables| Snapshot { binlog_info: binlog_info.clone(), tables })
            .and_then(|snapshot| serde_json::to_vec(&snapshot)),
        _ => return fail("unexpected answer from the server"),
    };
    match snapshot {
        Ok(stdout) => Exit { code: Some(0), stdout, ..Exit::default() },
        Err(error) => fail(error.to_string()),
    }
}

async fn restore(host: &SimHost, snapshot: Snapshot, sets_gtids: bool) -> Exit {
    let Snapshot { binlog_info, tables } = snapshot;
    let info = host.write_file(&data::file(BINLOG_INFO), format!("{binlog_info}\n").into_bytes());
    if let Err(error) = info.await {
        return fail(error.to_string());
    }
    let held = binlog_info.split('\t').nth(2).unwrap_or_default().parse();
    let purged = match held {
        Ok(held) if sets_gtids => held,
        Ok(_) => GtidSet::default(),
        Err(error) => return fail(error),
    };
    put_base(host, Base { tables, purged }, "restored")
}

fn put_base(host: &SimHost, base: Base, how: &str) -> Exit {
    if let Err(error) = Storage::create(host.machine(), &base) {
        return fail(error.to_string());
    }
    let writes = base.tables.writes();
    host.record(What::Mysql(MysqlEvent::DataDirectory { how: how.to_owned(), writes }));
    Exit::code(0)
}
