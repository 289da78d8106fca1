//! The real machine: sockets, processes, files and signals of the Linux this process runs on.
//!
//! The one place of this crate that is allowed to touch them. Everything runs on the thread that made the
//! host, in its [`tokio::task::LocalSet`]; signals and ended children arrive through tokio's signal
//! streams, which are opened before anything can be started, so that none is missed.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sys::signal;
use nix::unistd::{Pid, gethostname, getpid};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::host::{Command, Host, Listener, Signal};
use crate::journal::{Entry, Level};

mod children;
#[cfg(test)]
mod tests;

pub use self::children::LinuxProcess;

/// This process on this machine. See the [module](self).
#[derive(Clone)]
pub struct LinuxHost(Rc<Machine>);

struct Machine {
    hostname: String,
    address: IpAddr,
    start: Instant,
    children: Rc<children::Children>,
    signals: RefCell<VecDeque<Signal>>,
    signalled: Notify,
    streams: Cell<u64>,
}

impl LinuxHost {
    /// This machine, known to others at `address`, or at the first address that is not a loopback's.
    ///
    /// From here on SIGTERM, SIGINT and SIGHUP no longer end this process but are given out by
    /// [`Host::signal`]. As process 1 it also reaps what other processes leave behind.
    ///
    /// Must be called in a [`tokio::task::LocalSet`] on a runtime with I/O and time.
    ///
    /// # Errors
    /// When the signals cannot be handled or the machine has no readable name.
    pub fn new(address: Option<IpAddr>) -> io::Result<Self> {
        let hostname = gethostname()?
            .into_string()
            .map_err(|name| io::Error::other(format!("hostname {} is not text", name.display())))?;
        let host = Self(Rc::new(Machine {
            hostname,
            address: address.unwrap_or_else(first_address),
            start: Instant::now(),
            children: children::Children::new()?,
            signals: RefCell::default(),
            signalled: Notify::new(),
            streams: Cell::default(),
        }));
        for (kind, given) in [
            (SignalKind::terminate(), Signal::Term),
            (SignalKind::interrupt(), Signal::Int),
            (SignalKind::hangup(), Signal::Hup),
        ] {
            let mut stream = signal(kind)?;
            let machine = Rc::downgrade(&host.0);
            tokio::task::spawn_local(async move {
                while stream.recv().await.is_some() {
                    let Some(machine) = machine.upgrade() else { return };
                    machine.signals.borrow_mut().push_back(given);
                    machine.signalled.notify_one();
                }
            });
        }
        Ok(host)
    }
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        TcpListener::accept(self).await
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        TcpListener::local_addr(self)
    }
}

impl Host for LinuxHost {
    type Stream = TcpStream;
    type Listener = TcpListener;
    type Process = LinuxProcess;

    fn hostname(&self) -> &str {
        &self.0.hostname
    }

    fn address(&self) -> IpAddr {
        self.0.address
    }

    fn now(&self) -> Duration {
        self.0.start.elapsed()
    }

    #[expect(clippy::disallowed_types, reason = "the production host is where the real clock comes from")]
    fn unix_time(&self) -> Duration {
        std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default()
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static {
        tokio::time::sleep(duration)
    }

    fn random(&self, purpose: &str) -> ChaCha8Rng {
        // The standard library keys its hasher from the operating system.
        let keyed = RandomState::new();
        self.0.streams.set(self.0.streams.get() + 1);
        let mut seed = [0; 32];
        for (word, part) in seed.chunks_exact_mut(8).enumerate() {
            part.copy_from_slice(&keyed.hash_one((purpose, self.0.streams.get(), word)).to_ne_bytes());
        }
        ChaCha8Rng::from_seed(seed)
    }

    fn connect(&self, address: SocketAddr) -> impl Future<Output = io::Result<TcpStream>> + 'static {
        connect(address)
    }

    fn listen(&self, address: SocketAddr) -> impl Future<Output = io::Result<TcpListener>> {
        TcpListener::bind(address)
    }

    fn spawn(&self, command: &Command) -> io::Result<LinuxProcess> {
        self.0.children.spawn(command)
    }

    fn pid(&self) -> u32 {
        getpid().as_raw().unsigned_abs()
    }

    fn kill(&self, pid: u32, given: Signal) -> io::Result<()> {
        let pid = i32::try_from(pid).map_err(|_| io::Error::from(io::ErrorKind::NotFound))?;
        signal::kill(Pid::from_raw(pid), native(given)).map_err(|error| match error {
            Errno::ESRCH => io::ErrorKind::NotFound.into(),
            error => error.into(),
        })
    }

    fn signal(&self) -> impl Future<Output = Signal> + 'static {
        let machine = Rc::clone(&self.0);
        async move {
            loop {
                let next = machine.signals.borrow_mut().pop_front();
                match next {
                    Some(signal) => return signal,
                    None => machine.signalled.notified().await,
                }
            }
        }
    }

    fn read_file(&self, path: &Path) -> impl Future<Output = io::Result<Vec<u8>>> + 'static {
        tokio::fs::read(path.to_owned())
    }

    fn write_file(&self, path: &Path, content: Vec<u8>) -> impl Future<Output = io::Result<()>> + 'static {
        replace(path.to_owned(), content, self.pid())
    }

    fn remove(&self, path: &Path) -> impl Future<Output = io::Result<()>> + 'static {
        let path = path.to_owned();
        async move {
            let removed = match tokio::fs::symlink_metadata(&path).await {
                Ok(found) if found.is_dir() => tokio::fs::remove_dir_all(&path).await,
                Ok(_) => tokio::fs::remove_file(&path).await,
                Err(error) => Err(error),
            };
            match removed {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                other => other,
            }
        }
    }

    fn exists(&self, path: &Path) -> impl Future<Output = bool> + 'static {
        let path = path.to_owned();
        async move { tokio::fs::symlink_metadata(path).await.is_ok() }
    }

    fn journal(&self, entry: Entry) {
        // The level of a line of text is told by the event itself.
        let text = match &entry {
            Entry::Log { source, message, .. } => format!("{source}: {message}"),
            entry => entry.to_string(),
        };
        match level(&entry) {
            Level::Debug => tracing::debug!("{text}"),
            Level::Info => tracing::info!("{text}"),
            Level::Warn => tracing::warn!("{text}"),
            Level::Error => tracing::error!("{text}"),
        }
    }
}

fn level(entry: &Entry) -> Level {
    match entry {
        Entry::Log { level, .. } => *level,
        Entry::HookFinished { ok: false, .. } | Entry::Health { passing: false, .. } => Level::Warn,
        _ => Level::Info,
    }
}

fn native(signal: Signal) -> signal::Signal {
    match signal {
        Signal::Term => signal::Signal::SIGTERM,
        Signal::Int => signal::Signal::SIGINT,
        Signal::Hup => signal::Signal::SIGHUP,
        Signal::Kill => signal::Signal::SIGKILL,
    }
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Writes beside the file, to the disk, and then puts it in the file's place.
async fn replace(path: PathBuf, content: Vec<u8>, pid: u32) -> io::Result<()> {
    let Some(name) = path.file_name() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "names no file"));
    };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    tokio::fs::create_dir_all(&folder).await?;
    let temporary = folder.join(format!(".{}.{pid}", name.display()));
    let written = async {
        let mut file = tokio::fs::File::create(&temporary).await?;
        file.write_all(&content).await?;
        file.sync_all().await?;
        tokio::fs::rename(&temporary, &path).await?;
        // The rename itself is on the disk only when the folder is.
        tokio::fs::File::open(&folder).await?.sync_all().await
    }
    .await;
    if written.is_err() {
        let _ = tokio::fs::remove_file(&temporary).await;
    }
    written
}

/// The first address that is not a loopback's, by interface name and then by address; IPv4 before IPv6.
fn first_address() -> IpAddr {
    let found = getifaddrs().into_iter().flatten().filter(|interface| {
        interface.flags.contains(InterfaceFlags::IFF_UP)
            && !interface.flags.contains(InterfaceFlags::IFF_LOOPBACK)
    });
    found
        .filter_map(|interface| {
            let address = interface.address?;
            let ip = match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
                (Some(v4), _) => IpAddr::V4(v4.ip()),
                (None, Some(v6)) if !v6.ip().is_unicast_link_local() => IpAddr::V6(v6.ip()),
                _ => return None,
            };
            Some((ip.is_ipv6(), interface.interface_name, ip))
        })
        .min()
        .map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |(_, _, ip)| ip)
}
