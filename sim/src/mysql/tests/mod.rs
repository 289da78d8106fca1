//! Servers on machines, through the programs a handler would use.
//!
//! A test is a story: it runs on a machine of its own and has others do things. A story that panics never
//! comes to its end, and that is what fails the test.

mod stories;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use ironbird_agent::host::{Command, Exit, Host, Process, Signal, run};
use tokio::sync::{mpsc, oneshot};

use crate::engine::{Director, Engine};
use crate::machine::{Machine, Programs, SimHost, SimProcess, Surroundings};
use crate::plan::Span;
use crate::recorder::Recorder;
use crate::seed::Seed;
use crate::spec::Mysql;

/// Longer than any story.
const LIMIT: Duration = Duration::from_secs(3_600);
/// Machines with databases.
const MACHINES: usize = 3;

type Job = Box<dyn FnOnce(SimHost) -> Pin<Box<dyn Future<Output = ()>>>>;

/// The machines of a story.
struct Rig {
    machines: Vec<Rc<Machine>>,
    jobs: Vec<mpsc::UnboundedSender<Job>>,
    servers: RefCell<BTreeMap<usize, SimProcess>>,
    recorder: Recorder,
}

/// Ends with the story.
struct Curtain(Rc<Cell<bool>>);

impl Director for Curtain {
    fn next(&self) -> Option<Duration> {
        Some(LIMIT)
    }

    fn direct(&mut self, now: Duration, _: &mut Engine) {
        assert!(now < LIMIT, "the story came to no end");
    }

    fn done(&self) -> bool {
        self.0.get()
    }
}

/// Tells a story with databases of `spec`.
fn tell<F: Future<Output = ()> + 'static>(spec: Mysql, story: impl FnOnce(Rc<Rig>) -> F) {
    let hosts: Vec<_> = (1..=MACHINES + 1)
        .zip(1_u8..)
        .map(|(number, last)| (format!("mysql-{number}"), IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))))
        .collect();
    let seed = Seed(1);
    Engine::run(seed, Span::millis(1, 1), 0.0, &hosts, |engine| {
        let recorder = Recorder::new(engine.origin());
        let mut programs = Programs::default();
        super::install(&mut programs, &spec);
        let names = Rc::new(BTreeMap::new());
        let surroundings =
            Surroundings { seed, recorder: recorder.clone(), wire: engine.wire(), programs, names };
        let mut rig = Rig {
            machines: Vec::new(),
            jobs: Vec::new(),
            servers: RefCell::default(),
            recorder: recorder.clone(),
        };
        for (number, (name, address)) in hosts.iter().take(MACHINES).enumerate() {
            let machine = Machine::new(name, name, *address, surroundings.clone());
            let (sender, mut jobs) = mpsc::unbounded_channel::<Job>();
            let host = machine.boot();
            rig.machines.push(machine);
            rig.jobs.push(sender);
            engine.start(
                number,
                Box::pin(async move {
                    while let Some(job) = jobs.recv().await {
                        tokio::task::spawn_local(job(host.clone()));
                    }
                }),
            );
        }
        let told = Rc::new(Cell::new(false));
        let end = Rc::clone(&told);
        let story = story(Rc::new(rig));
        engine.start(
            MACHINES,
            Box::pin(async move {
                story.await;
                end.set(true);
            }),
        );
        Curtain(told)
    });
}

async fn pause(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

impl Rig {
    /// Has a machine do something.
    async fn on<T: 'static, F: Future<Output = T> + 'static>(
        &self,
        machine: usize,
        job: impl FnOnce(SimHost) -> F + 'static,
    ) -> T {
        let (sender, answer) = oneshot::channel();
        let job: Job = Box::new(move |host| {
            Box::pin(async move {
                sender.send(job(host).await).ok();
            })
        });
        assert!(self.jobs[machine].send(job).is_ok(), "a machine that lives");
        answer.await.expect("an answer")
    }

    async fn program(&self, machine: usize, command: Command) -> Exit {
        self.on(machine, |host| async move { run(&host, &command, None).await }).await.expect("the program")
    }

    /// Runs statements as root on a machine's own server: their rows, or the error.
    async fn query(&self, machine: usize, statements: &str) -> Result<Vec<String>, String> {
        let exit =
            self.program(machine, Command::new("mysql").args([format!("--execute={statements}")])).await;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        if !exit.success() {
            return Err(text(&exit.stderr));
        }
        Ok(text(&exit.stdout).lines().map(str::to_owned).collect())
    }

    /// As [`Rig::query`], of what must work and yields one row at most.
    async fn get(&self, machine: usize, statements: &str) -> String {
        self.query(machine, statements).await.expect("a statement that works").join("\n")
    }

    async fn insert(&self, machine: usize, id: u64) -> Result<(), String> {
        self.query(machine, &format!("INSERT INTO ledger (id) VALUES ({id})")).await.map(drop)
    }

    async fn finds(&self, machine: usize, id: u64) -> bool {
        !self.get(machine, &format!("SELECT id FROM ledger WHERE id = {id}")).await.is_empty()
    }

    /// A line of `SHOW SLAVE STATUS`.
    async fn status(&self, machine: usize, field: &str) -> String {
        let rows = self.query(machine, "SHOW SLAVE STATUS").await.expect("a server");
        let value = rows.iter().find_map(|row| row.strip_prefix(field)?.strip_prefix(": "));
        value.unwrap_or_else(|| panic!("no {field} in {rows:?}")).to_owned()
    }

    async fn install(&self, machine: usize) {
        assert!(self.program(machine, Command::new("mysql_install_db")).await.success());
    }

    /// Starts a server and waits until it answers; returns how long that took.
    async fn start(&self, machine: usize) -> Duration {
        let began = self.recorder.now();
        let process = self.on(machine, |host| async move { host.spawn(&Command::new("mysqld")) }).await;
        self.servers.borrow_mut().insert(machine, process.expect("mysqld"));
        while self.query(machine, "SELECT 1").await.is_err() {
            pause(10).await;
        }
        self.recorder.now() - began
    }

    /// Tells a server to end, and waits.
    async fn stop(&self, machine: usize) -> Exit {
        let mut process = self.servers.borrow_mut().remove(&machine).expect("a server");
        process.signal(Signal::Term);
        process.wait().await
    }

    /// How a server ends that nobody told to.
    async fn ends(&self, machine: usize) -> Exit {
        let mut process = self.servers.borrow_mut().remove(&machine).expect("a server");
        process.wait().await
    }

    async fn kill(&self, machine: usize) {
        let mut process = self.servers.borrow_mut().remove(&machine).expect("a server");
        process.signal(Signal::Kill);
        process.wait().await;
    }

    /// `mysql-1` with a user for replicas.
    async fn source(&self) {
        self.install(0).await;
        self.start(0).await;
        self.get(0, "CREATE USER `repl`@`%` IDENTIFIED BY 'x'").await;
    }

    /// Has a server follow `mysql-1`.
    async fn follow(&self, machine: usize) {
        let follow = "STOP SLAVE; CHANGE MASTER TO MASTER_HOST = '10.0.0.1', MASTER_USER = 'repl', \
                      MASTER_PASSWORD = 'x', MASTER_CONNECT_RETRY = 1; START SLAVE";
        self.get(machine, follow).await;
        pause(200).await;
    }

    /// An empty server that follows `mysql-1`.
    async fn replica(&self, machine: usize) {
        self.install(machine).await;
        self.start(machine).await;
        self.follow(machine).await;
    }

    /// A server made of a snapshot of `mysql-1`, not yet started.
    async fn restored(&self, machine: usize) {
        let backup = self.program(0, Command::new("innobackupex").args(["--stream=tar"])).await;
        assert!(backup.success(), "{}", String::from_utf8_lossy(&backup.stderr));
        let file = std::path::Path::new("/tmp/backup");
        self.machines[machine].disk().borrow_mut().write(file, backup.stdout).expect("room");
        let restore = Command::new("innobackupex").args(["--copy-back", "/tmp/backup"]);
        assert!(self.program(machine, restore).await.success());
    }
}
