//! The statements a server understands: those that handlers, clients and tools send, and no others.

use std::fmt;

/// A statement.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Statement {
    /// `SELECT 1`
    Ping,
    /// `SELECT COUNT(*) FROM ledger`
    Count,
    /// `SELECT id FROM ledger WHERE id = N`
    Find {
        /// The key.
        id: u64,
    },
    /// `SELECT @@GLOBAL.a, @@GLOBAL.b`
    Variables(Vec<String>),
    /// `SET GLOBAL name = value`
    Set {
        /// Lower case.
        name: String,
        /// Without quotes.
        value: String,
    },
    /// `SHOW MASTER STATUS`
    MasterStatus,
    /// `SHOW SLAVE STATUS`
    SlaveStatus,
    /// `CHANGE MASTER TO ...`
    ChangeMaster(Vec<(String, String)>),
    /// `START SLAVE`, `START SLAVE IO_THREAD`, `START SLAVE SQL_THREAD`
    StartSlave(Threads),
    /// `STOP SLAVE`, `STOP SLAVE IO_THREAD`, `STOP SLAVE SQL_THREAD`
    StopSlave(Threads),
    /// `RESET SLAVE ALL`
    ResetSlave,
    /// `RESET MASTER`
    ResetMaster,
    /// `PURGE BINARY LOGS ...`: of all that no replica reads, whatever it says.
    PurgeLogs,
    /// `FLUSH PRIVILEGES`, `GRANT ...`: accepted, nothing to do.
    Nothing,
    /// What innobackupex does to a running server.
    Backup,
    /// A change of data.
    Change(Change),
    /// `CREATE USER IF NOT EXISTS ...`: nothing where there is such a user.
    CreateUserIfNotExists {
        /// The user.
        user: String,
        /// The password of one that is created.
        password: String,
    },
}

/// Which of a replica's threads a statement means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Threads {
    pub(super) receiver: bool,
    pub(super) applier: bool,
}

impl Threads {
    const BOTH: Self = Self { receiver: true, applier: true };
    const RECEIVER: Self = Self { receiver: true, applier: false };
    const APPLIER: Self = Self { receiver: false, applier: true };
}

/// A statement that changes data and is replicated.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Change {
    CreateDatabase { name: String },
    CreateUser { user: String, password: String },
    Insert { id: u64 },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateDatabase { name } => write!(f, "CREATE DATABASE IF NOT EXISTS `{name}`"),
            Self::CreateUser { user, password } => {
                write!(f, "CREATE USER `{user}` IDENTIFIED BY '{password}'")
            }
            Self::Insert { id } => write!(f, "INSERT INTO ledger (id) VALUES ({id})"),
        }
    }
}

pub(super) fn parse_change(text: &str) -> Option<Change> {
    match parse(text)? {
        Statement::Change(change) => Some(change),
        _ => None,
    }
}

/// Reads one statement; `None` is a syntax error.
pub(super) fn parse(text: &str) -> Option<Statement> {
    let text = text.trim().trim_end_matches(';').trim_end();
    let text = text.strip_suffix("\\G").unwrap_or(text);
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let starts = |prefix: &[&str]| {
        words.len() >= prefix.len()
            && prefix.iter().zip(&words).all(|(want, word)| word.eq_ignore_ascii_case(want))
    };
    let is = |all: &[&str]| words.len() == all.len() && starts(all);
    if starts(&["INSERT", "INTO", "ledger"]) {
        let id = text.rsplit_once('(')?.1.strip_suffix(')')?.trim().parse().ok()?;
        return Some(Statement::Change(Change::Insert { id }));
    }
    if is(&["SELECT", "1"]) {
        return Some(Statement::Ping);
    }
    if is(&["SELECT", "COUNT(*)", "FROM", "ledger"]) {
        return Some(Statement::Count);
    }
    if starts(&["SELECT", "id", "FROM", "ledger", "WHERE", "id", "="]) && words.len() == 8 {
        return Some(Statement::Find { id: words[7].parse().ok()? });
    }
    if starts(&["SELECT"]) {
        let names: Option<Vec<String>> = text["SELECT".len()..]
            .split(',')
            .map(|name| Some(name.trim().to_ascii_lowercase().strip_prefix("@@global.")?.to_owned()))
            .collect();
        return names.map(Statement::Variables);
    }
    if starts(&["SET", "GLOBAL"]) {
        let (name, value) = text.split_once('=')?;
        let name = name.split_ascii_whitespace().nth(2)?.to_ascii_lowercase();
        return Some(Statement::Set { name, value: unquote(value).to_owned() });
    }
    if starts(&["CHANGE", "MASTER", "TO"]) {
        let at = text.to_ascii_uppercase().find(" TO ")?;
        let options: Option<Vec<_>> = text[at + 4..]
            .split(',')
            .map(|option| {
                let (name, value) = option.split_once('=')?;
                Some((name.trim().to_ascii_uppercase(), unquote(value).to_owned()))
            })
            .collect();
        return options.map(Statement::ChangeMaster);
    }
    if starts(&["CREATE", "DATABASE", "IF", "NOT", "EXISTS"]) {
        return Some(Statement::Change(Change::CreateDatabase { name: unquote(words.get(5)?).to_owned() }));
    }
    if starts(&["CREATE", "USER", "IF", "NOT", "EXISTS"]) {
        let user = unquote(words.get(5)?.split('@').next()?).to_owned();
        let password = unquote(words.get(8)?).to_owned();
        return Some(Statement::CreateUserIfNotExists { user, password });
    }
    if starts(&["CREATE", "USER"]) {
        let user = unquote(words.get(2)?.split('@').next()?).to_owned();
        let password = unquote(words.get(5)?).to_owned();
        return Some(Statement::Change(Change::CreateUser { user, password }));
    }
    if starts(&["PURGE", "BINARY", "LOGS"]) {
        return Some(Statement::PurgeLogs);
    }
    if starts(&["GRANT"]) || is(&["FLUSH", "PRIVILEGES"]) {
        return Some(Statement::Nothing);
    }
    [
        (&["SHOW", "MASTER", "STATUS"][..], Statement::MasterStatus),
        (&["SHOW", "SLAVE", "STATUS"], Statement::SlaveStatus),
        (&["START", "SLAVE"], Statement::StartSlave(Threads::BOTH)),
        (&["START", "SLAVE", "IO_THREAD"], Statement::StartSlave(Threads::RECEIVER)),
        (&["START", "SLAVE", "SQL_THREAD"], Statement::StartSlave(Threads::APPLIER)),
        (&["STOP", "SLAVE"], Statement::StopSlave(Threads::BOTH)),
        (&["STOP", "SLAVE", "IO_THREAD"], Statement::StopSlave(Threads::RECEIVER)),
        (&["STOP", "SLAVE", "SQL_THREAD"], Statement::StopSlave(Threads::APPLIER)),
        (&["RESET", "SLAVE", "ALL"], Statement::ResetSlave),
        (&["RESET", "MASTER"], Statement::ResetMaster),
        (&["BACKUP"], Statement::Backup),
    ]
    .into_iter()
    .find_map(|(all, statement)| is(all).then_some(statement))
}

fn unquote(text: &str) -> &str {
    text.trim().trim_matches(|c| matches!(c, '\'' | '`' | '"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements() {
        let change = |change| Some(Statement::Change(change));
        let cases = [
            ("select 1", Some(Statement::Ping)),
            ("INSERT INTO ledger (id) VALUES (17)", change(Change::Insert { id: 17 })),
            ("INSERT INTO ledger (id) VALUES (x)", None),
            ("CREATE DATABASE IF NOT EXISTS `app`", change(Change::CreateDatabase { name: "app".into() })),
            (
                "CREATE USER `replicator`@`%` IDENTIFIED BY 'secret'",
                change(Change::CreateUser { user: "replicator".into(), password: "secret".into() }),
            ),
            ("STOP SLAVE IO_THREAD", Some(Statement::StopSlave(Threads::RECEIVER))),
            ("START SLAVE SQL_THREAD;", Some(Statement::StartSlave(Threads::APPLIER))),
            ("stop slave", Some(Statement::StopSlave(Threads::BOTH))),
            ("STOP SLAVE TODAY", None),
            (
                "SET GLOBAL super_read_only = ON;",
                Some(Statement::Set { name: "super_read_only".into(), value: "ON".into() }),
            ),
            (
                "SELECT @@GLOBAL.gtid_executed, @@GLOBAL.super_read_only",
                Some(Statement::Variables(vec!["gtid_executed".into(), "super_read_only".into()])),
            ),
            (
                "CHANGE MASTER TO MASTER_HOST = '10.0.0.3', MASTER_PORT = 3306",
                Some(Statement::ChangeMaster(vec![
                    ("MASTER_HOST".into(), "10.0.0.3".into()),
                    ("MASTER_PORT".into(), "3306".into()),
                ])),
            ),
            ("SELECT id FROM ledger WHERE id = 17", Some(Statement::Find { id: 17 })),
            (
                "SET GLOBAL gtid_purged = 'a:1-5,b:1'",
                Some(Statement::Set { name: "gtid_purged".into(), value: "a:1-5,b:1".into() }),
            ),
            ("RESET MASTER", Some(Statement::ResetMaster)),
            ("PURGE BINARY LOGS BEFORE NOW()", Some(Statement::PurgeLogs)),
            ("DROP TABLE ledger", None),
            ("", None),
        ];
        for (text, want) in cases {
            assert_eq!(parse(text), want, "{text}");
        }
    }

    #[test]
    fn changes_read_as_they_write() {
        for change in [
            Change::Insert { id: 3 },
            Change::CreateDatabase { name: "app".into() },
            Change::CreateUser { user: "replicator".into(), password: "secret".into() },
        ] {
            assert_eq!(parse_change(&change.to_string()), Some(change));
        }
    }
}
