//! The seam's simulated side: what the agent asks of a machine, answered by the world.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use ironbird_agent::host::{Command, Exit, Host, Listener, Signal};
use ironbird_agent::journal::Entry;
use rand_chacha::ChaCha8Rng;
use turmoil_net::shim::tokio::net::{TcpListener, TcpStream};

use super::process::ProcessState;
use super::{Ailment, Machine, Run, SimProcess};
use crate::record::What;
use crate::seed::Turn;

/// Simulated clocks start here, so that names with dates in them look like dates: 28 April 2016, the day
/// the cluster of the article was reported not to initialise.
const EPOCH: Duration = Duration::from_secs(1_461_837_600);

/// One process's view of its machine.
#[derive(Clone)]
pub struct SimHost {
    machine: Rc<Machine>,
    process: Rc<ProcessState>,
}

impl SimHost {
    pub(super) fn new(machine: Rc<Machine>, process: Rc<ProcessState>) -> Self {
        Self { machine, process }
    }

    /// The machine.
    pub fn machine(&self) -> &Rc<Machine> {
        &self.machine
    }

    /// Runs `life` as this process: ends with it, or with a signal that is not handled.
    pub async fn live(self, life: impl Future<Output = Exit> + 'static) {
        let machine = Rc::clone(&self.machine);
        let state = Rc::clone(&self.process);
        drop(self);
        state.live(Box::pin(life), machine).await;
    }

    /// Writes an event of the world into the record.
    pub fn record(&self, what: What) {
        self.machine.recorder.write(&self.machine.name, what);
    }
}

impl Host for SimHost {
    type Stream = TcpStream;
    type Listener = SimListener;
    type Process = SimProcess;

    fn hostname(&self) -> &str {
        &self.machine.hostname
    }

    fn address(&self) -> IpAddr {
        self.machine.address
    }

    fn now(&self) -> Duration {
        self.machine.clock.now()
    }

    fn unix_time(&self) -> Duration {
        self.machine.clock.wall(EPOCH)
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static {
        self.machine.clock.sleep(duration)
    }

    fn random(&self, purpose: &str) -> ChaCha8Rng {
        let Machine { seed, name, boots, turn, .. } = &*self.machine;
        let seed = Turn::seed_at(turn.get(), *seed, self.now());
        seed.stream(purpose, &format!("{name}/{}/{}", boots.get(), self.process.pid))
    }

    fn connect(&self, address: SocketAddr) -> impl Future<Output = io::Result<TcpStream>> + 'static {
        TcpStream::connect(address)
    }

    async fn listen(&self, address: SocketAddr) -> io::Result<SimListener> {
        match TcpListener::bind(address).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            bound => return bound.map(SimListener),
        }
        self.machine.wire.give_up_closing(SocketAddr::new(self.address(), address.port()));
        self.sleep(Duration::from_millis(1)).await;
        TcpListener::bind(address).await.map(SimListener)
    }

    fn spawn(&self, command: &Command) -> io::Result<SimProcess> {
        let Some((name, program)) = self.machine.programs.find(&command.program) else {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("{}: not found", command.program)));
        };
        let state = ProcessState::new(&self.machine, name);
        let host = Self::new(Rc::clone(&self.machine), Rc::clone(&state));
        let ailment = self.machine.ailment_of(name);
        let run = suffer(name, ailment, host.clone(), program(host, command.args.clone()));
        tokio::task::spawn_local(Rc::clone(&state).live(run, Rc::clone(&self.machine)));
        Ok(SimProcess::new(state))
    }

    fn pid(&self) -> u32 {
        self.process.pid
    }

    fn kill(&self, pid: u32, signal: Signal) -> io::Result<()> {
        let process = self.machine.processes.borrow().get(&pid).cloned();
        let process = process.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        process.deliver(signal);
        Ok(())
    }

    fn signal(&self) -> impl Future<Output = Signal> + 'static {
        Rc::clone(&self.process).next_signal()
    }

    fn read_file(&self, path: &Path) -> impl Future<Output = io::Result<Vec<u8>>> + 'static {
        std::future::ready(self.machine.disk.borrow().get(path).map(<[u8]>::to_vec))
    }

    fn write_file(&self, path: &Path, content: Vec<u8>) -> impl Future<Output = io::Result<()>> + 'static {
        let mut disk = self.machine.disk.borrow_mut();
        let written = disk.write(path, content);
        let wait = disk.slow().map(|delay| self.sleep(delay));
        async move {
            if let Some(wait) = wait {
                wait.await;
            }
            written
        }
    }

    fn remove(&self, path: &Path) -> impl Future<Output = io::Result<()>> + 'static {
        self.machine.disk.borrow_mut().remove(path);
        std::future::ready(Ok(()))
    }

    fn exists(&self, path: &Path) -> impl Future<Output = bool> + 'static {
        std::future::ready(self.machine.disk.borrow().exists(path))
    }

    fn journal(&self, entry: Entry) {
        self.record(What::Agent(entry));
    }
}

/// A program's run with what is wrong with it.
fn suffer(name: &str, ailment: Option<Ailment>, host: SimHost, run: Run) -> Run {
    match ailment {
        None => run,
        Some(Ailment::Slow(delay)) => Box::pin(async move {
            host.sleep(delay).await;
            run.await
        }),
        Some(Ailment::Fails) => {
            let stderr = format!("{name}: Input/output error").into_bytes();
            Box::pin(std::future::ready(Exit { code: Some(1), stderr, ..Exit::default() }))
        }
        Some(Ailment::Hangs) => Box::pin(std::future::pending()),
    }
}

/// A listening socket of a simulated machine.
pub struct SimListener(TcpListener);

impl Listener for SimListener {
    type Stream = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        self.0.accept().await
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}
