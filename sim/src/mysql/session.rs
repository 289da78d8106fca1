//! One connection of a server: a client's statements, or a replica's stream.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use ironbird_agent::host::Host;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};

use super::data::{self, Source};
use super::server::Server;
use super::sql::{self, Statement};
use ironbird_agent::mysql::{Gtid, GtidSet};

/// How often a source with nothing to send says so.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// What a statement yields: rows, or the server's code and text.
type Answer = Result<Vec<String>, (u16, String)>;

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
        if let Some(set) = line.strip_prefix("DUMP\t") {
            let set =
                set.parse().map_err(|error: String| io::Error::new(io::ErrorKind::InvalidData, error))?;
            return dump(server, lines, writer, set).await;
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

async fn answer(writer: &mut (impl AsyncWrite + Unpin), answer: &Answer) -> io::Result<()> {
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
        Statement::Ping => Ok(vec!["1".to_owned()]),
        Statement::Count => Ok(vec![server.state.borrow().tables.count().to_string()]),
        Statement::Nothing => Ok(Vec::new()),
        Statement::Variables(names) => variables(server, &names),
        Statement::Set { name, value } => set(server, &name, &value),
        Statement::MasterStatus => {
            let state = server.state.borrow();
            Ok(vec![format!("mysql-bin.000001\t{}\t\t\t{}", state.log.len(), state.tables.executed)])
        }
        Statement::SlaveStatus => Ok(slave_status(server)),
        Statement::ChangeMaster(options) => change_master(server, &options),
        Statement::StartSlave { receiver, applier } => {
            if server.state.borrow().replication.source.is_none() {
                return Err((
                    1200,
                    "The server is not configured as slave; fix in config file or with CHANGE MASTER TO"
                        .into(),
                ));
            }
            server.replicate(|replication| {
                if receiver {
                    replication.receiver = true;
                    replication.error.clear();
                }
                if applier {
                    replication.applier = true;
                    replication.applier_error.clear();
                }
            });
            server.apply();
            Ok(Vec::new())
        }
        Statement::StopSlave { applier } => {
            server.replicate(|replication| {
                replication.receiver = false;
                replication.stops += 1;
                replication.connected = false;
                replication.applier &= !applier;
            });
            Ok(Vec::new())
        }
        Statement::ResetSlave => {
            if server.state.borrow().replication.receiver {
                return Err((
                    1198,
                    "This operation cannot be performed with a running slave; run STOP SLAVE first".into(),
                ));
            }
            server.host.machine().disk().borrow_mut().remove(&data::file(data::SOURCE));
            server.replicate(|replication| {
                replication.source = None;
                replication.applier = false;
                replication.error.clear();
                replication.applier_error.clear();
            });
            Ok(Vec::new())
        }
        Statement::Backup => {
            let tables = serde_json::to_string(&server.state.borrow().tables);
            tables.map(|tables| vec![tables]).map_err(|error| (1105, error.to_string()))
        }
        Statement::CreateUserIfNotExists { user, .. } if server.state.borrow().tables.knows(&user) => {
            Ok(Vec::new())
        }
        Statement::CreateUserIfNotExists { user, password } => {
            let number = server.commit(sql::Change::CreateUser { user, password })?;
            acknowledged(server, number).await?;
            Ok(Vec::new())
        }
        Statement::Change(change) => {
            let number = server.commit(change)?;
            acknowledged(server, number).await?;
            Ok(Vec::new())
        }
    }
}

/// Waits, on a semi-synchronous server, until a replica holds the transaction.
///
/// A server that is made read-only meanwhile no longer speaks for its cluster: it answers with an error,
/// for whether the transaction survives is for the next primary to say.
async fn acknowledged(server: &Rc<Server>, number: u64) -> Result<(), (u16, String)> {
    loop {
        let changed = server.changed.notified();
        {
            let state = server.state.borrow();
            if !state.semi_sync || state.acknowledged >= number {
                return Ok(());
            }
            if state.super_read_only {
                return Err((1317, "Query execution was interrupted".to_owned()));
            }
        }
        changed.await;
    }
}

fn variables(server: &Rc<Server>, names: &[String]) -> Answer {
    let state = server.state.borrow();
    let on = |on: bool| if on { "1" } else { "0" }.to_owned();
    let values: Result<Vec<String>, (u16, String)> = names
        .iter()
        .map(|name| match name.as_str() {
            "gtid_executed" => Ok(state.tables.executed.to_string()),
            "gtid_purged" => Ok(state.purged.to_string()),
            "server_uuid" => Ok(state.uuid.clone()),
            "super_read_only" => Ok(on(state.super_read_only)),
            "rpl_semi_sync_master_enabled" => Ok(on(state.semi_sync)),
            "rpl_semi_sync_slave_enabled" => Ok(on(state.semi_sync_slave)),
            other => Err((1193, format!("Unknown system variable '{other}'"))),
        })
        .collect();
    values.map(|values| vec![values.join("\t")])
}

fn set(server: &Rc<Server>, name: &str, value: &str) -> Answer {
    let on = matches!(value.to_ascii_uppercase().as_str(), "ON" | "1");
    match name {
        "super_read_only" => server.set_super_read_only(on),
        "rpl_semi_sync_master_enabled" => {
            server.state.borrow_mut().semi_sync = on;
            server.changed.notify_waiters();
        }
        "rpl_semi_sync_slave_enabled" => server.state.borrow_mut().semi_sync_slave = on,
        // Waiting for an acknowledgement never ends here.
        "rpl_semi_sync_master_timeout" => {}
        other => return Err((1193, format!("Unknown system variable '{other}'"))),
    }
    Ok(Vec::new())
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
        format!("Retrieved_Gtid_Set: {}", state.retrieved),
        format!("Executed_Gtid_Set: {}", state.tables.executed),
    ]
}

fn change_master(server: &Rc<Server>, options: &[(String, String)]) -> Answer {
    if server.state.borrow().replication.receiver {
        return Err((
            1198,
            "This operation cannot be performed with a running slave; run STOP SLAVE first".into(),
        ));
    }
    let get = |name: &str| options.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let source = Source {
        host: get("MASTER_HOST").unwrap_or_default().to_owned(),
        port: get("MASTER_PORT").and_then(|port| port.parse().ok()).unwrap_or(super::PORT),
        user: get("MASTER_USER").unwrap_or_default().to_owned(),
        password: get("MASTER_PASSWORD").unwrap_or_default().to_owned(),
        connect_retry_s: get("MASTER_CONNECT_RETRY").and_then(|retry| retry.parse().ok()).unwrap_or(60),
    };
    let written = serde_json::to_vec(&source).map_err(std::io::Error::from).and_then(|content| {
        server.host.machine().disk().borrow_mut().write(&data::file(data::SOURCE), content)
    });
    if let Err(error) = written {
        return Err((1201, format!("Could not initialize master info structure: {error}")));
    }
    {
        // A new source: what was received from the old one and not applied is dropped.
        let mut state = server.state.borrow_mut();
        state.relay.clear();
        state.retrieved = state.tables.executed.clone();
        server.host.machine().disk().borrow_mut().remove(&data::file(data::RELAY_LOG));
    }
    server.replicate(|replication| {
        replication.source = Some(source);
        replication.error.clear();
        replication.applier_error.clear();
    });
    Ok(Vec::new())
}

/// Sends everything the replica lacks, then whatever is committed, until one of the two goes away.
async fn dump(
    server: &Rc<Server>,
    lines: &mut (impl AsyncBufRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
    has: GtidSet,
) -> io::Result<()> {
    if !has.includes(&server.state.borrow().purged) {
        let purged = "Could not find first log file name in binary log index file: \
                      the master has purged binary logs containing GTIDs that the slave requires";
        return answer(writer, &Err((1236, purged.to_owned()))).await;
    }
    answer(writer, &Ok(Vec::new())).await?;
    let mut next = 0;
    let mut line = Vec::new();
    loop {
        let changed = server.changed.notified();
        let mut text = String::new();
        {
            let state = server.state.borrow();
            for transaction in state.log.iter().skip(next) {
                if !has.contains(&transaction.gtid) {
                    text.push_str(&transaction.to_line());
                    text.push('\n');
                }
            }
            next = state.log.len();
        }
        if !text.is_empty() {
            writer.write_all(text.as_bytes()).await?;
            continue;
        }
        tokio::select! {
            biased;
            // Cancel-safe: what was read of a line stays in `line` for the next turn.
            read = lines.read_until(b'\n', &mut line) => {
                if read? == 0 {
                    return Ok(());
                }
                acknowledge(server, String::from_utf8_lossy(&line).trim_end());
                line.clear();
            }
            () = changed => {}
            () = server.host.sleep(HEARTBEAT) => writer.write_all(b"HEARTBEAT\n").await?,
        }
    }
}

fn acknowledge(server: &Rc<Server>, line: &str) {
    let Some(gtid) = line.strip_prefix("ACK\t").and_then(|gtid| gtid.parse::<Gtid>().ok()) else {
        return;
    };
    let mut state = server.state.borrow_mut();
    if gtid.server == state.uuid && gtid.number > state.acknowledged {
        state.acknowledged = gtid.number;
        server.changed.notify_waiters();
    }
}
