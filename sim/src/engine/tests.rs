//! Machines that talk, die, stand still and come back, as a kernel would show it to their peers.

use std::cell::RefCell;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use turmoil_net::shim::tokio::net::{TcpListener, TcpStream};

use super::*;

type Step = Box<dyn FnOnce(&mut Engine)>;

/// Does one thing after another, and ends with the last.
struct Script(std::collections::VecDeque<(Duration, Step)>);

impl Director for Script {
    fn next(&self) -> Option<Duration> {
        self.0.front().map(|(at, _)| *at)
    }

    fn direct(&mut self, now: Duration, engine: &mut Engine) {
        while self.0.front().is_some_and(|(at, _)| *at <= now)
            && let Some((_, step)) = self.0.pop_front()
        {
            step(engine);
        }
    }

    fn done(&self) -> bool {
        self.0.is_empty()
    }
}

type Log = Rc<RefCell<Vec<(u128, String)>>>;

const SERVER: usize = 0;
const CLIENT: usize = 1;
const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 80);

/// Answers every byte with the same byte.
fn echo() -> Life {
    Box::pin(async {
        let listener = TcpListener::bind("0.0.0.0:80").await.unwrap();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::task::spawn_local(async move {
                let mut byte = [0];
                while let Ok(1) = stream.read(&mut byte).await {
                    if stream.write_all(&byte).await.is_err() {
                        break;
                    }
                }
            });
        }
    })
}

/// Connects, then sends a byte every second; logs what it sees with the millisecond.
fn ask(log: &Log, origin: Instant) -> Life {
    let log = Rc::clone(log);
    let note = move |text: String| log.borrow_mut().push((origin.elapsed().as_millis(), text));
    Box::pin(async move {
        loop {
            let mut stream = match TcpStream::connect(ADDRESS).await {
                Ok(stream) => stream,
                Err(error) => {
                    note(format!("connect: {:?}", error.kind()));
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                }
            };
            note("connected".into());
            let mut byte = [0];
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                if let Err(error) = stream.write_all(b"x").await {
                    note(format!("write: {:?}", error.kind()));
                    break;
                }
                match stream.read(&mut byte).await {
                    Ok(1) => note("answer".into()),
                    Ok(_) => {
                        note("end".into());
                        break;
                    }
                    Err(error) => {
                        note(format!("read: {:?}", error.kind()));
                        break;
                    }
                }
            }
        }
    })
}

fn play(steps: Vec<(u64, Step)>) -> Vec<(u128, String)> {
    let log = Log::default();
    let hosts =
        [("server".to_owned(), ADDRESS.ip()), ("client".to_owned(), IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)))];
    Engine::run(Seed(7), Span::millis(5, 5), 0.0, &hosts, |engine| {
        engine.start(SERVER, echo());
        engine.start(CLIENT, ask(&log, engine.origin()));
        Script(steps.into_iter().map(|(ms, step)| (Duration::from_millis(ms), step)).collect())
    });
    log.take()
}

fn seen(log: &[(u128, String)], from_ms: u128) -> Vec<(u128, &str)> {
    log.iter().filter(|(at, _)| *at >= from_ms).map(|(at, what)| (*at, what.as_str())).collect()
}

fn end() -> Step {
    Box::new(|_| {})
}

#[test]
fn a_round_trip_takes_twice_the_latency() {
    let log = play(vec![(3_500, end())]);
    // The handshake takes one round trip, then a byte goes every second.
    assert_eq!(seen(&log, 0), [(10, "connected"), (1_020, "answer"), (2_030, "answer"), (3_040, "answer")]);
}

#[test]
fn kill_closes_sockets_and_the_port_refuses_until_the_restart() {
    let log = play(vec![
        (2_500, Box::new(|engine: &mut Engine| engine.kill(SERVER)) as Step),
        (5_500, Box::new(|engine: &mut Engine| engine.start(SERVER, echo()))),
        (8_000, end()),
    ]);
    let log = seen(&log, 2_500);
    // The end of the stream came at 2,505; it is seen at the next use.
    assert_eq!(log[0], (3_030, "end"));
    assert_eq!(log[1], (3_040, "connect: ConnectionRefused"));
    assert!(log.contains(&(6_070, "connected")), "{log:?}");
    assert_eq!(log.last().unwrap().1, "answer");
}

#[test]
fn power_loss_is_silence_until_the_new_kernel_answers_with_a_reset() {
    let log = play(vec![
        (2_500, Box::new(|engine: &mut Engine| engine.power_off(SERVER)) as Step),
        (20_000, Box::new(|engine: &mut Engine| engine.start(SERVER, echo()))),
        (60_000, end()),
    ]);
    let log = seen(&log, 2_500);
    // The byte sent at 3,030 is tried again 25.4 s later, the first try after the restart.
    assert_eq!(log[0], (3_030 + 25_400 + 10, "read: ConnectionReset"));
    assert_eq!(log[1].1, "connected");
}

#[test]
fn a_paused_machine_answers_when_it_goes_on() {
    let log = play(vec![
        (2_500, Box::new(|engine: &mut Engine| engine.pause(SERVER)) as Step),
        (10_500, Box::new(|engine: &mut Engine| engine.resume(SERVER))),
        (12_000, end()),
    ]);
    assert_eq!(seen(&log, 2_500), [(10_505, "answer"), (11_515, "answer")]);
}

#[test]
fn what_was_sent_into_a_cut_arrives_after_it() {
    let cut = |engine: &mut Engine| {
        engine.impair(SERVER, CLIENT, Impairment::Cut);
        engine.impair(CLIENT, SERVER, Impairment::Cut);
    };
    let heal = |engine: &mut Engine| {
        engine.repair(SERVER, CLIENT, Impairment::Cut);
        engine.repair(CLIENT, SERVER, Impairment::Cut);
    };
    let log = play(vec![(2_500, Box::new(cut) as Step), (10_500, Box::new(heal)), (18_000, end())]);
    // Sent at 3,030; the last try inside the cut is 6.2 s later, the next one 12.6 s later gets through.
    assert_eq!(seen(&log, 2_500)[0], (3_030 + 12_600 + 10, "answer"));
}

#[test]
fn a_handshake_that_is_given_up_does_not_keep_its_port() {
    let heard = Log::default();
    let log = Rc::clone(&heard);
    let listen = move |engine: &mut Engine| {
        let life = async move {
            let listener = TcpListener::bind("0.0.0.0:80").await;
            let what =
                listener.as_ref().map_or_else(|error| error.kind().to_string(), |_| "listens".to_owned());
            log.borrow_mut().push((0, what));
            std::future::pending::<()>().await;
        };
        engine.start(SERVER, Box::pin(life));
    };
    // The server's half of the handshake never arrives, and both kernels give the connection up.
    let given_up = 300_000;
    play(vec![
        (0, Box::new(|engine: &mut Engine| engine.impair(SERVER, CLIENT, Impairment::Cut)) as Step),
        (given_up, Box::new(|engine: &mut Engine| engine.kill(SERVER))),
        (given_up + 1_000, Box::new(listen)),
        (given_up + 2_000, end()),
    ]);
    assert_eq!(heard.take(), [(0, "listens".to_owned())]);
}

#[test]
fn a_port_can_be_listened_on_while_the_dead_have_not_noticed_that_it_was_closed() {
    let heard = Log::default();
    let log = Rc::clone(&heard);
    let listen_again = move |engine: &mut Engine| {
        let wire = engine.wire();
        let life = async move {
            // As what stands before it has closed its connection to a machine that lost power since.
            let listener = TcpListener::bind(ADDRESS).await.unwrap();
            let (mut stream, _) = listener.accept().await.unwrap();
            // What is closed with something unread in it is reset, and does not linger.
            stream.read_u8().await.unwrap();
            tokio::time::sleep(Duration::from_secs(10)).await;
            drop((stream, listener));
            let say = |what: &io::Result<TcpListener>| {
                let what =
                    what.as_ref().map_or_else(|error| error.kind().to_string(), |_| "listens".to_owned());
                log.borrow_mut().push((0, what));
            };
            tokio::time::sleep(Duration::from_secs(1)).await;
            say(&TcpListener::bind(ADDRESS).await);
            wire.give_up_closing(ADDRESS);
            tokio::time::sleep(Duration::from_millis(1)).await;
            say(&TcpListener::bind(ADDRESS).await);
        };
        engine.start(SERVER, Box::pin(life));
    };
    play(vec![
        (0, Box::new(|engine: &mut Engine| engine.kill(SERVER)) as Step),
        (1, Box::new(listen_again)),
        (5_000, Box::new(|engine: &mut Engine| engine.power_off(CLIENT))),
        (20_000, end()),
    ]);
    assert_eq!(heard.take(), [(0, "address in use".to_owned()), (0, "listens".to_owned())]);
}

#[test]
fn a_run_is_the_same_twice() {
    let steps = || -> Vec<(u64, Step)> {
        vec![
            (2_500, Box::new(|engine: &mut Engine| engine.kill(SERVER))),
            (5_500, Box::new(|engine: &mut Engine| engine.start(SERVER, echo()))),
            (30_000, end()),
        ]
    };
    assert_eq!(play(steps()), play(steps()));
}
