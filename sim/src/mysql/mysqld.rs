//! `mysqld`: starts on a data directory, accepts connections, ends in order on `SIGTERM`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use ironbird_agent::host::{Exit, Host, Listener, Signal};
use tokio::task::JoinSet;

use super::server::Server;
use super::storage::Storage;
use super::wire::SOCKET;
use super::{PORT, replica, session};
use crate::machine::SimHost;
use crate::record::{MysqlEvent, What};
use crate::spec::Mysql;

/// How often, a second apart, a starting server tries to lock a data directory another one still uses.
const LOCK_TRIES: u32 = 100;
/// How long an orderly shutdown takes.
const SHUTDOWN: Duration = Duration::from_millis(500);
/// What the shell makes of `SIGABRT`.
const ABORTED: i32 = 134;

/// Says that a server is gone, however it went.
struct UpGuard(SimHost);

impl Drop for UpGuard {
    fn drop(&mut self) {
        self.0.record(What::Mysql(MysqlEvent::Down));
    }
}

/// The program.
pub(super) async fn mysqld(host: SimHost, args: Vec<String>, spec: Rc<Mysql>) -> Exit {
    // Until it is up, a signal ends it; a data directory is locked from the beginning.
    let mut tries = 0;
    let _lock = loop {
        if let Some(lock) = host.machine().lock(super::DATA_DIRECTORY) {
            break lock;
        }
        tries += 1;
        if tries == LOCK_TRIES {
            return Exit::code(1);
        }
        host.sleep(Duration::from_secs(1)).await;
    };
    let random = &mut host.random("mysqld");
    let storage = Storage::new(Rc::clone(host.machine()), spec.sync_binlog, spec.checkpoint);
    let again = u32::try_from(storage.since_checkpoint()).unwrap_or(u32::MAX);
    let mut startup = spec.startup.sample(random);
    if again > 0 {
        startup += spec.recovery.sample(random).saturating_mul(again);
    }
    host.sleep(startup).await;
    let networking = !args.iter().any(|arg| arg == "--skip-networking");
    let Ok(server) = Server::open(&host, &args, spec, storage) else {
        return Exit::code(1);
    };
    let Ok(mut local) = host.machine().local_listen(SOCKET) else {
        return Exit::code(1);
    };
    let mut listener = None;
    if networking {
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), PORT);
        match host.listen(address).await {
            Ok(bound) => listener = Some(bound),
            Err(_) => return Exit::code(1),
        }
    }
    let _up = UpGuard(host.clone());
    server.event(MysqlEvent::Up { networking });
    server.tell_replication();
    server.event(MysqlEvent::Writable { writable: !server.state.borrow().super_read_only });

    let mut tasks = JoinSet::new();
    tasks.spawn_local(replica::receive(Rc::clone(&server)));
    tasks.spawn_local(Rc::clone(&server).apply_forever());
    tasks.spawn_local(Rc::clone(&server).write_back());
    loop {
        tokio::select! {
            biased;
            () = server.aborted() => return Exit::code(ABORTED),
            signal = host.signal() => match signal {
                Signal::Hup => {}
                Signal::Term | Signal::Int | Signal::Kill => break,
            },
            stream = local.accept() => {
                tasks.spawn_local(session::serve(Rc::clone(&server), stream));
            }
            Ok((stream, _)) = accept(&mut listener) => {
                tasks.spawn_local(session::serve(Rc::clone(&server), stream));
            }
            Some(_) = tasks.join_next() => {}
        }
    }
    drop((local, listener));
    tasks.shutdown().await;
    host.sleep(SHUTDOWN).await;
    server.shut_down();
    Exit::code(0)
}

/// The next connection from the network, where there is one.
async fn accept<L: Listener>(listener: &mut Option<L>) -> std::io::Result<(L::Stream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}
