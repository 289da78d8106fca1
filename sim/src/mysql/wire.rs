//! The line protocol between a server and whoever talks to it.
//!
//! A client sends `user TAB password`, then statements separated by semicolons, one line at a time. To each
//! line the server answers `OK TAB rows` and that many lines, or `ERR TAB code TAB text`. A replica sends
//! `DUMP TAB uuid TAB set` instead of a statement, with `TAB semi-sync` if it is going to acknowledge; from then
//! on the server sends transactions and heartbeats, and such a replica sends `ACK TAB gtid`.

use std::io;
use std::net::SocketAddr;

use ironbird_agent::host::Host;
use thiserror::Error;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, DuplexStream};
use turmoil_net::shim::tokio::net::TcpStream;

use crate::machine::SimHost;

/// The port a server listens on.
pub const PORT: u16 = 3306;
/// The socket it listens on for its own machine.
pub(super) const SOCKET: &str = "/var/run/mysqld/mysqld.sock";
/// What is read at once.
const BUFFER: usize = 1024;

/// Why a statement failed.
#[derive(Debug, Error)]
pub enum QueryError {
    /// The server says so.
    #[error("ERROR {code}: {text}")]
    Server {
        /// MySQL's error number.
        code: u16,
        /// Its text.
        text: String,
    },
    /// The connection failed; whether the statement took effect is unknown.
    #[error("Lost connection to MySQL server: {0}")]
    Lost(#[from] io::Error),
}

/// A logged-in connection.
pub struct Client<S = TcpStream> {
    stream: BufReader<S>,
    line: String,
}

impl Client {
    /// Connects over the network and logs in.
    ///
    /// # Errors
    /// When the server cannot be reached, or does not let the user in.
    pub async fn connect(
        host: &SimHost,
        address: SocketAddr,
        user: &str,
        password: &str,
    ) -> Result<Self, QueryError> {
        let stream = host.connect(address).await?;
        Self::log_in(stream, user, password).await
    }
}

impl Client<DuplexStream> {
    /// Connects to the machine's own server and logs in.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub(super) async fn local(host: &SimHost, user: &str, password: &str) -> Result<Self, QueryError> {
        let stream = host.machine().local_connect(SOCKET)?;
        Self::log_in(stream, user, password).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    async fn log_in(stream: S, user: &str, password: &str) -> Result<Self, QueryError> {
        let stream = BufReader::with_capacity(BUFFER, stream);
        let mut client = Self { stream, line: String::new() };
        client.send(&format!("{user}\t{password}")).await?;
        client.answer().await?;
        Ok(client)
    }

    /// Runs statements and returns their rows, columns separated by tabs.
    ///
    /// # Errors
    /// When the server refuses it or the connection breaks.
    pub async fn query(&mut self, statement: &str) -> Result<Vec<String>, QueryError> {
        self.send(statement).await?;
        self.answer().await
    }

    pub(super) async fn send(&mut self, line: &str) -> io::Result<()> {
        self.line.clear();
        self.line.push_str(line);
        self.line.push('\n');
        self.stream.get_mut().write_all(self.line.as_bytes()).await
    }

    /// The next line; an error at the end of the stream.
    pub(super) async fn receive(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line.truncate(line.trim_end_matches('\n').len());
        Ok(line)
    }

    async fn answer(&mut self) -> Result<Vec<String>, QueryError> {
        let head = self.receive().await?;
        let mut fields = head.splitn(3, '\t');
        match (fields.next(), fields.next(), fields.next()) {
            (Some("OK"), Some(count), None) => {
                let count: usize = count.parse().map_err(|_| garbled(&head))?;
                let mut rows = Vec::with_capacity(count.min(1024));
                for _ in 0..count {
                    rows.push(self.receive().await?);
                }
                Ok(rows)
            }
            (Some("ERR"), Some(code), Some(text)) => {
                let code = code.parse().map_err(|_| garbled(&head))?;
                Err(QueryError::Server { code, text: text.to_owned() })
            }
            _ => Err(garbled(&head).into()),
        }
    }
}

fn garbled(line: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("unexpected answer `{line}`"))
}
