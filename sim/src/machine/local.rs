//! Unix-domain sockets of a machine: streams between its own processes, without the network.

use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use tokio::io::DuplexStream;
use tokio::sync::mpsc;

use super::Machine;

/// What either side can have under way, in bytes.
const BUFFER: usize = 64 << 10;

/// The listening sockets of a machine, by path.
pub(super) type LocalSockets = BTreeMap<String, mpsc::UnboundedSender<DuplexStream>>;

/// A listening Unix-domain socket. Dropping it refuses further connections.
pub struct LocalListener {
    machine: Rc<Machine>,
    path: String,
    arriving: mpsc::UnboundedReceiver<DuplexStream>,
}

impl LocalListener {
    /// The next connection.
    pub async fn accept(&mut self) -> DuplexStream {
        match self.arriving.recv().await {
            Some(stream) => stream,
            // The sender is in the machine's table for as long as this listener lives.
            None => std::future::pending().await,
        }
    }
}

impl Drop for LocalListener {
    fn drop(&mut self) {
        self.machine.local_sockets.borrow_mut().remove(&self.path);
    }
}

impl Machine {
    /// Listens at `path`.
    ///
    /// # Errors
    /// `AddrInUse` when a process already does.
    pub fn local_listen(self: &Rc<Self>, path: &str) -> io::Result<LocalListener> {
        let mut sockets = self.local_sockets.borrow_mut();
        if sockets.contains_key(path) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let (sender, arriving) = mpsc::unbounded_channel();
        sockets.insert(path.to_owned(), sender);
        Ok(LocalListener { machine: Rc::clone(self), path: path.to_owned(), arriving })
    }

    /// Connects to whoever listens at `path`.
    ///
    /// # Errors
    /// `ConnectionRefused` when nobody does.
    pub fn local_connect(&self, path: &str) -> io::Result<DuplexStream> {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let (ours, theirs) = tokio::io::duplex(BUFFER);
        let sockets = self.local_sockets.borrow();
        sockets.get(path).ok_or_else(refused)?.send(theirs).map_err(|_| refused())?;
        Ok(ours)
    }
}
