//! One connection of a server: a client's statements, or a replica's stream.

use std::io;
use std::rc::Rc;

use ironbird_agent::host::Host;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};

use super::data::{Refusal, Source};
use super::dump::{self, dump};
use super::server::Server;
use super::sql::{self, Change, Statement, Threads};
use super::variables;

/// What a statement yields.
type Answer = Result<Vec<String>, Refusal>;

/// Serves one connection to its end.
pub(super) async fn serve(server: Rc<Server>, stream: impl AsyncRead + AsyncWrite) {
    let (reader, mut writer) = tokio::io::split(stream);
    let mut lines = BufReader::with_capacity(1024, reader);
    // A peer that goes away is the end of its session and nobody's error.
    converse(&server, &mut lines, &mut writer).await.ok();
}

async fn converse(
    server: &Rc<Server>,
    lines: &mut (impl AsyncBufRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    let mut line = String::new();
    if !next_line(lines, &mut line).await? {
        return Ok(());
    }
    let (user, password) = line.split_once('\t').unwrap_or((&line, ""));
    if !server.state.borrow().tables.admits(user, password) {
        let using = if password.is_empty() { "NO" } else { "YES" };
        let denied =
            Err((1045, format!("Access denied for user '{user}'@'localhost' (using password: {using})")));
        return answer(writer, &denied).await;
    }
    answer(writer, &Ok(Vec::new())).await?;
    while next_line(lines, &mut line).await? {
        if let Some(request) = line.strip_prefix("DUMP\t") {
            let request = dump::Request::parse(request).ok_or(io::ErrorKind::InvalidData)?;
            return dump(server, lines, writer, request).await;
        }
        let result = execute_all(server, &line).await;
        answer(writer, &result).await?;
    }
    Ok(())
}

/// Executes statements one after the other, up to the first that fails.
async fn execute_all(server: &Rc<Server>, line: &str) -> Answer {
    let mut rows = Vec::new();
    for statement in line.split(';').map(str::trim).filter(|statement| !statement.is_empty()) {
        rows.extend(execute(server, statement).await?);
    }
    Ok(rows)
}

async fn next_line(lines: &mut (impl AsyncBufRead + Unpin), line: &mut String) -> io::Result<bool> {
    line.clear();
    let read = lines.read_line(line).await?;
    line.truncate(line.trim_end_matches('\n').len());
    Ok(read > 0)
}

pub(super) async fn answer(writer: &mut (impl AsyncWrite + Unpin), answer: &Answer) -> io::Result<()> {
    let text = match answer {
        Ok(rows) => {
            let mut text = format!("OK\t{}\n", rows.len());
            for row in rows {
                text.push_str(row);
                text.push('\n');
            }
            text
        }
        Err((code, message)) => format!("ERR\t{code}\t{message}\n"),
    };
    writer.write_all(text.as_bytes()).await
}

async fn execute(server: &Rc<Server>, text: &str) -> Answer {
    let Some(statement) = sql::parse(text) else {
        return Err((1064, format!("You have an error in your SQL syntax near '{text}'")));
    };
    match statement {
        Statement::Ping => return Ok(vec!["1".to_owned()]),
        Statement::Count => return Ok(vec![server.state.borrow().tables.count().to_string()]),
        Statement::Find { id } => {
            let state = server.state.borrow();
            // What waits for replicas is not committed for anybody but its own session.
            let found = state.tables.holds(id) && !state.semi_sync.hides(id);
            return Ok(found.then(|| id.to_string()).into_iter().collect());
        }
        Statement::Nothing => {}
        Statement::Variables(names) => return variables::get(server, &names).map(|row| vec![row.join("\t")]),
        Statement::Set { name, value } => variables::set(server, &name, &value)?,
        Statement::MasterStatus => {
            let state = server.state.borrow();
            return Ok(vec![format!("mysql-bin.000001\t{}\t\t\t{}", state.end(), state.executed)]);
        }
        Statement::SlaveStatus => return Ok(slave_status(server)),
        Statement::ChangeMaster(options) => change_master(server, &options)?,
        Statement::StartSlave(threads) => start_slave(server, threads)?,
        Statement::StopSlave(threads) => server.replicate(|replication| {
            replication.receiver &= !threads.receiver;
            replication.connected &= replication.receiver;
            replication.applier &= !threads.applier;
        }),
        Statement::ResetSlave => {
            must_stand_still(server)?;
            server.set_source(None)?;
        }
        Statement::ResetMaster => server.reset_master()?,
        Statement::PurgeLogs => server.purge_all(),
        Statement::Backup => {
            let state = server.state.borrow();
            let tables = serde_json::to_string(&state.tables).map_err(|error| (1105, error.to_string()))?;
            return Ok(vec![format!("mysql-bin.000001\t{}\t{}", state.end(), state.executed), tables]);
        }
        Statement::CreateUserIfNotExists { user, .. } if server.state.borrow().tables.knows(&user) => {}
        Statement::CreateUserIfNotExists { user, password } => {
            let number = server.commit(Change::CreateUser { user, password }).await?;
            replicated(server, number).await?;
        }
        Statement::Change(change) => {
            let number = server.commit(change).await?;
            replicated(server, number).await?;
        }
    }
    Ok(Vec::new())
}

/// Waits, on a semi-synchronous server, until enough replicas hold the transaction or the server gives up
/// waiting for them.
///
/// A server that is made read-only meanwhile no longer speaks for its cluster: it answers with an error,
/// for whether the transaction survives is for the next primary to say.
async fn replicated(server: &Rc<Server>, number: u64) -> Result<(), Refusal> {
    let timeout = server.state.borrow().semi_sync.timeout();
    let mut patience = std::pin::pin!(server.host.sleep(timeout));
    loop {
        let changed = server.changed.notified();
        {
            let mut state = server.state.borrow_mut();
            if !state.semi_sync.waits(number) {
                return Ok(());
            }
            if state.super_read_only {
                state.semi_sync.interrupt(number);
                return Err((1317, "Query execution was interrupted".to_owned()));
            }
        }
        tokio::select! {
            biased;
            () = changed => {}
            () = &mut patience => {
                server.state.borrow_mut().semi_sync.give_up();
                server.changed.notify_waiters();
            }
        }
    }
}

fn start_slave(server: &Rc<Server>, threads: Threads) -> Result<(), Refusal> {
    if server.state.borrow().replication.source.is_none() {
        return Err((
            1200,
            "The server is not configured as slave; fix in config file or with CHANGE MASTER TO".to_owned(),
        ));
    }
    server.replicate(|replication| {
        if threads.receiver {
            replication.starts += u64::from(!replication.receiver);
            replication.receiver = true;
            replication.error.clear();
        }
        if threads.applier {
            replication.applier = true;
            replication.applier_error.clear();
        }
    });
    Ok(())
}

/// Refuses while replication runs, in part or as a whole.
fn must_stand_still(server: &Rc<Server>) -> Result<(), Refusal> {
    let replication = &server.state.borrow().replication;
    if replication.receiver || replication.applier {
        return Err((
            1198,
            "This operation cannot be performed with a running slave; run STOP SLAVE first".to_owned(),
        ));
    }
    Ok(())
}

/// One `name: value` a row, the fields a handler reads.
fn slave_status(server: &Rc<Server>) -> Vec<String> {
    let state = server.state.borrow();
    let Some(source) = &state.replication.source else {
        return Vec::new();
    };
    let yes = |yes: bool| if yes { "Yes" } else { "No" };
    let receiver = match (state.replication.receiver, state.replication.connected) {
        (true, true) => "Yes",
        (true, false) => "Connecting",
        (false, _) => "No",
    };
    vec![
        format!("Master_Host: {}", source.host),
        format!("Slave_IO_Running: {receiver}"),
        format!("Slave_SQL_Running: {}", yes(state.replication.applier)),
        format!("Last_IO_Error: {}", state.replication.error),
        format!("Last_SQL_Error: {}", state.replication.applier_error),
        format!("Retrieved_Gtid_Set: {}", state.relay.retrieved()),
        format!("Executed_Gtid_Set: {}", state.executed),
    ]
}

fn change_master(server: &Rc<Server>, options: &[(String, String)]) -> Result<(), Refusal> {
    must_stand_still(server)?;
    let get = |name: &str| options.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    server.set_source(Some(Source {
        host: get("MASTER_HOST").unwrap_or_default().to_owned(),
        port: get("MASTER_PORT").and_then(|port| port.parse().ok()).unwrap_or(super::PORT),
        user: get("MASTER_USER").unwrap_or_default().to_owned(),
        password: get("MASTER_PASSWORD").unwrap_or_default().to_owned(),
        connect_retry_s: get("MASTER_CONNECT_RETRY").and_then(|retry| retry.parse().ok()).unwrap_or(60),
    }))
}
