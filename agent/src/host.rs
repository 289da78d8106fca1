//! The machine, as the agent sees it: the one seam between the agent and the world.
//!
//! A [`Host`] is a cheap handle to one process's view of one machine. Cloning it shares the process.
//! All futures are `!Send`: the agent lives on one thread in a [`tokio::task::LocalSet`] and starts its
//! own tasks with [`tokio::task::spawn_local`], whatever the machine is.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::journal::Entry;

/// A machine and the process on it that holds this handle.
pub trait Host: Clone + 'static {
    /// A connected byte stream.
    type Stream: AsyncRead + AsyncWrite + Unpin + 'static;
    /// A listening socket.
    type Listener: Listener<Stream = Self::Stream> + 'static;
    /// A started process.
    type Process: Process + 'static;

    /// The machine's name, unique in its cluster.
    fn hostname(&self) -> &str;

    /// The address other machines reach this one at.
    fn address(&self) -> IpAddr;

    /// Monotonic time since an arbitrary start, on this machine's own clock.
    fn now(&self) -> Duration;

    /// Wall-clock time since the Unix epoch. For names and logs, never for deciding anything.
    fn unix_time(&self) -> Duration;

    /// Completes when this machine's clock has moved on by `duration`.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static;

    /// A stream of random numbers of its own for `purpose`: drawing from one moves no other.
    fn random(&self, purpose: &str) -> ChaCha8Rng;

    /// Opens a stream to `address`.
    ///
    /// # Errors
    /// As `connect(2)`: refused, timed out, unreachable.
    fn connect(&self, address: SocketAddr) -> impl Future<Output = io::Result<Self::Stream>> + 'static;

    /// Listens on `address`.
    ///
    /// # Errors
    /// As `bind(2)`: in use, not local.
    fn listen(&self, address: SocketAddr) -> impl Future<Output = io::Result<Self::Listener>>;

    /// Starts a process in a process group of its own.
    ///
    /// # Errors
    /// As `execve(2)`: no such program, not executable.
    fn spawn(&self, command: &Command) -> io::Result<Self::Process>;

    /// This process's own identifier.
    fn pid(&self) -> u32;

    /// Sends `signal` to the process `pid` of this machine.
    ///
    /// # Errors
    /// `NotFound` when there is no such process.
    fn kill(&self, pid: u32, signal: Signal) -> io::Result<()>;

    /// The next signal sent to this process, of those the agent handles.
    fn signal(&self) -> impl Future<Output = Signal> + 'static;

    /// Reads a whole file.
    ///
    /// # Errors
    /// As `read(2)`; `NotFound` when there is none.
    fn read_file(&self, path: &Path) -> impl Future<Output = io::Result<Vec<u8>>> + 'static;

    /// Replaces a file whole: after a crash it holds the old or the new content, and its folder exists.
    ///
    /// # Errors
    /// As `write(2)` and `rename(2)`.
    fn write_file(&self, path: &Path, content: Vec<u8>) -> impl Future<Output = io::Result<()>> + 'static;

    /// Removes a file, or a folder and all in it. Removing what is not there is fine.
    ///
    /// # Errors
    /// As `unlink(2)` for every other reason.
    fn remove(&self, path: &Path) -> impl Future<Output = io::Result<()>> + 'static;

    /// Whether a file or folder exists.
    fn exists(&self, path: &Path) -> impl Future<Output = bool> + 'static;

    /// Writes one entry of this machine's log.
    fn journal(&self, entry: Entry);
}

/// A listening socket of a [`Host`].
pub trait Listener {
    /// What a connection is.
    type Stream;

    /// The next connection and where it comes from.
    ///
    /// # Errors
    /// As `accept(2)`.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>>;

    /// Where this socket listens; the port is real where 0 was asked for.
    ///
    /// # Errors
    /// As `getsockname(2)`.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// A started process of a [`Host`]. Dropping the handle kills the whole process group.
pub trait Process {
    /// The process's identifier.
    fn pid(&self) -> u32;

    /// Completes when the process has ended. Cancel-safe; after the end it completes at once.
    fn wait(&mut self) -> impl Future<Output = Exit>;

    /// Sends `signal` to the process's whole group.
    fn signal(&self, signal: Signal);

    /// Lets the process outlive this handle.
    fn detach(self);
}

/// What to start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The program, by name (looked up in `PATH`) or path.
    pub program: String,
    /// Its arguments, without the program's own name.
    pub args: Vec<String>,
    /// Variables added to the environment.
    pub env: BTreeMap<String, String>,
    /// Whether output is collected into [`Exit`] instead of going where the agent's own goes.
    pub capture: bool,
}

impl Command {
    /// A command without arguments.
    pub fn new(program: impl Into<String>) -> Self {
        Self { program: program.into(), args: Vec::new(), env: BTreeMap::new(), capture: false }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item = S>, S: Into<String>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Collects what the program prints.
    #[must_use]
    pub fn capture(mut self) -> Self {
        self.capture = true;
        self
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.program)?;
        self.args.iter().try_for_each(|arg| write!(f, " {arg}"))
    }
}

/// How a process ended, and what it printed when that was collected.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exit {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Collected standard output.
    pub stdout: Vec<u8>,
    /// Collected standard error.
    pub stderr: Vec<u8>,
}

impl Exit {
    /// An exit with `code` and no output.
    pub fn code(code: i32) -> Self {
        Self { code: Some(code), ..Self::default() }
    }

    /// Whether the process ended with code 0.
    pub fn success(&self) -> bool {
        self.code == Some(0)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => write!(f, "exit code {code}"),
            None => f.write_str("killed by a signal"),
        }
    }
}

/// The signals the agent sends and handles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Signal {
    /// Stop in order.
    Term,
    /// As [`Signal::Term`], from a terminal.
    Int,
    /// Read the configuration again.
    Hup,
    /// Stop at once; cannot be handled.
    Kill,
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Term => "SIGTERM",
            Self::Int => "SIGINT",
            Self::Hup => "SIGHUP",
            Self::Kill => "SIGKILL",
        })
    }
}

/// Runs `command` to its end, or to `deadline`, when its group is killed.
///
/// # Errors
/// When it cannot be started; `TimedOut` when it was killed at the deadline.
pub async fn run<H: Host>(host: &H, command: &Command, deadline: Option<Duration>) -> io::Result<Exit> {
    let mut process = host.spawn(command)?;
    let Some(deadline) = deadline else {
        return Ok(process.wait().await);
    };
    tokio::select! {
        biased;
        exit = process.wait() => Ok(exit),
        () = host.sleep(deadline) => {
            process.signal(Signal::Kill);
            process.wait().await;
            Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("`{command}` was killed after {}", humantime::format_duration(deadline)),
            ))
        }
    }
}

/// Waits for `future`, but not longer than `limit` on the host's clock.
pub async fn within<H: Host, F: Future>(host: &H, limit: Duration, future: F) -> Option<F::Output> {
    tokio::select! {
        biased;
        output = future => Some(output),
        () = host.sleep(limit) => None,
    }
}
