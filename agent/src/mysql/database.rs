//! The local database, through its command-line programs.

use std::io;
use std::path::Path;
use std::time::Duration;

use thiserror::Error;

use super::Config;
use crate::host::{Command, Exit, Host, run};

/// How long one statement may take.
const STATEMENT_DEADLINE: Duration = Duration::from_secs(10);

/// Why something did not work on the local database.
#[derive(Debug, Error)]
pub enum DatabaseError {
    /// The program could not be run to its end.
    #[error("{program}: {error}")]
    Program {
        /// Which.
        program: String,
        /// Why.
        error: io::Error,
    },
    /// The program says so.
    #[error("{text}")]
    Failed {
        /// What it printed.
        text: String,
    },
    /// The answer makes no sense.
    #[error("unexpected answer to `{statement}`: {answer}")]
    Unexpected {
        /// What was asked.
        statement: String,
        /// What was answered.
        answer: String,
    },
}

/// The local database as one user sees it.
#[derive(Clone)]
pub struct Database<H> {
    host: H,
    user: String,
    password: String,
}

impl<H: Host> Database<H> {
    /// The database as `user`; an empty password is none.
    pub fn new(host: H, user: &str, password: &str) -> Self {
        Self { host, user: user.to_owned(), password: password.to_owned() }
    }

    /// Runs statements separated by semicolons and returns their rows, columns separated by tabs.
    ///
    /// # Errors
    /// When the server cannot be reached, refuses the user or a statement, or takes too long.
    pub async fn query(&self, statements: &str) -> Result<Vec<String>, DatabaseError> {
        let command = Command::new("mysql")
            .args(self.login())
            .args(["--batch", "--raw", "--skip-column-names"])
            .args([format!("--execute={statements}")])
            .capture();
        let exit = complete(&self.host, &command, Some(STATEMENT_DEADLINE)).await?;
        Ok(String::from_utf8_lossy(&exit.stdout).lines().map(str::to_owned).collect())
    }

    /// Sets up an empty data directory, with a `deadline` or without.
    ///
    /// # Errors
    /// When there is one already, it cannot be written, or it takes too long.
    pub async fn install(&self, deadline: Option<Duration>) -> Result<(), DatabaseError> {
        let data = format!("--datadir={}", Config::DATA_DIRECTORY);
        let command = Command::new("mysql_install_db").args(["--user=mysql", &data]).capture();
        complete(&self.host, &command, deadline).await.map(drop)
    }

    /// A copy of the running database, with a `deadline` or without.
    ///
    /// # Errors
    /// When the server cannot be reached or goes away meanwhile, or it takes too long.
    pub async fn backup(&self, deadline: Option<Duration>) -> Result<Vec<u8>, DatabaseError> {
        let command = Command::new("innobackupex")
            .args(self.login())
            .args(["--no-timestamp", "--stream=tar", "/tmp/backup"])
            .capture();
        complete(&self.host, &command, deadline).await.map(|exit| exit.stdout)
    }

    /// Puts a copy into an empty data directory, with a `deadline` or without.
    ///
    /// # Errors
    /// When the copy is not one, the directory cannot be written, or it takes too long.
    pub async fn restore(&self, file: &Path, deadline: Option<Duration>) -> Result<(), DatabaseError> {
        let command = Command::new("innobackupex")
            .args(["--force-non-empty-directories", "--copy-back"])
            .args([file.display().to_string()])
            .capture();
        complete(&self.host, &command, deadline).await.map(drop)
    }

    fn login(&self) -> impl Iterator<Item = String> {
        let password = (!self.password.is_empty()).then(|| format!("--password={}", self.password));
        std::iter::once(format!("--user={}", self.user)).chain(password)
    }
}

async fn complete<H: Host>(
    host: &H,
    command: &Command,
    deadline: Option<Duration>,
) -> Result<Exit, DatabaseError> {
    let exit = run(host, command, deadline)
        .await
        .map_err(|error| DatabaseError::Program { program: command.program.clone(), error })?;
    if exit.success() {
        return Ok(exit);
    }
    let text = String::from_utf8_lossy(&exit.stderr).trim().to_owned();
    Err(DatabaseError::Failed {
        text: if text.is_empty() { format!("{}: {exit}", command.program) } else { text },
    })
}
