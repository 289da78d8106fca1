//! `ironbird consul` as a process.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};

/// A running server; it ends with its handle.
struct Server {
    process: Child,
    address: SocketAddr,
    /// Of every node.
    addresses: Vec<SocketAddr>,
}

impl Server {
    fn start(words: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_ironbird"))
            .args(["consul", "--http", "127.0.0.1:0"])
            .args(words)
            .env_remove("RUST_LOG")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let nodes = match words.iter().position(|word| *word == "--servers") {
            Some(place) => words[place + 1].parse().unwrap(),
            None => 1,
        };
        let said = BufReader::new(process.stdout.as_mut().unwrap()).lines().take(nodes);
        let addresses: Vec<_> = said
            .map(|line| {
                let line = line.unwrap();
                let (url, _) = line.split_once(" as ").unwrap_or((&line, ""));
                let address = url.strip_prefix("listening on http://");
                address.unwrap_or_else(|| panic!("{line:?}")).parse().unwrap()
            })
            .collect();
        Self { address: *addresses.first().expect("it listens"), addresses, process }
    }

    fn ask(&self, line: &str, body: &str) -> String {
        try_ask(self.address, line, body).unwrap()
    }

    /// Ends it with a signal, and returns how it ended and what it said on standard error.
    fn end(mut self, signal: &str) -> (ExitStatus, String) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        let mut said = String::new();
        self.process.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (self.process.wait().unwrap(), said)
    }
}

fn try_ask(address: SocketAddr, line: &str, body: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "{line} HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

#[test]
fn it_serves_until_it_is_told_to_end() {
    for signal in ["-TERM", "-INT"] {
        let server = Server::start(&[]);
        assert!(server.ask("PUT /v1/kv/k", "v").ends_with("true"));
        assert!(server.ask("GET /v1/kv/k?raw", "").ends_with("\r\n\r\nv"));
        let address = server.address;
        let (status, said) = server.end(signal);
        assert_eq!((status.code(), said.as_str()), (Some(0), ""));
        assert!(TcpStream::connect(address).is_err());
    }
}

#[test]
fn it_logs_requests_and_no_token() {
    let server = Server::start(&["-v"]);
    server.ask("GET /v1/kv/k?token=secret&raw", "");
    let (_, said) = server.end("-TERM");
    assert!(said.contains("GET /v1/kv/k?token=hidden&raw 404"), "{said}");
    assert!(!said.contains("secret"), "{said}");
}

#[test]
fn it_misbehaves_as_planned() {
    let folder = tempfile::tempdir().unwrap();
    let plan = folder.path().join("plan.toml");
    std::fs::write(&plan, "[[fault]]\nat = \"0s\"\nfor = \"ever\"\nkind = \"errors\"\nstatus = 503\n")
        .unwrap();
    let server = Server::start(&["--chaos", plan.to_str().unwrap()]);
    assert!(server.ask("GET /v1/status/leader", "").starts_with("HTTP/1.0 503"));
}

#[test]
fn a_cluster_is_written_to_anywhere_and_outlives_its_leader() {
    let folder = tempfile::tempdir().unwrap();
    let plan = folder.path().join("plan.toml");
    std::fs::write(&plan, "[[fault]]\nat = \"500ms\"\nfor = \"ever\"\nkind = \"kill-leader\"\n").unwrap();
    let server = Server::start(&["--servers", "3", "--chaos", plan.to_str().unwrap()]);
    let [first, _, third] = server.addresses[..] else { panic!("three addresses") };
    assert!(try_ask(first, "PUT /v1/kv/k", "v").unwrap().ends_with("true"));
    assert!(try_ask(third, "GET /v1/kv/k?raw", "").unwrap().ends_with("\r\n\r\nv"));
    let refusing = || server.addresses.iter().filter(|address| TcpStream::connect(address).is_err()).count();
    eventually(|| refusing() == 1, "the leader is killed");
    // Until another leads, a follower still asks the one that is gone.
    let alive = server.addresses.iter().find(|address| TcpStream::connect(address).is_ok()).unwrap();
    let written = || try_ask(*alive, "PUT /v1/kv/k", "w").is_ok_and(|answer| answer.ends_with("true"));
    eventually(written, "another leads");
}

/// Waits for up to half a minute.
#[expect(clippy::disallowed_methods, reason = "a real process is waited for")]
fn eventually(mut holds: impl FnMut() -> bool, what: &str) {
    for _ in 0..600 {
        if holds() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("it never happened: {what}");
}

#[test]
fn what_cannot_be_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let plan = file("plan.toml", "[[fault]]\nat = \"1s\"\nfor = \"1s\"\nkind = \"leaderles\"\n");
    let kill = file("kill.toml", "[[fault]]\nat = \"1s\"\nfor = \"1s\"\nkind = \"kill-leader\"\n");
    let empty = file("empty.pem", "");
    for (words, code, text) in [
        (vec!["--chaos", &plan], 2, "did you mean `leaderless`?"),
        (vec!["--chaos", "nowhere.toml"], 2, "nowhere.toml"),
        (vec!["--chaos", &kill], 2, "a lone server cannot be killed"),
        (vec!["--servers", "6"], 2, "6 is not in 1..=5"),
        (vec!["--servers", "3", "--node", "me"], 2, "cannot be used with"),
        (vec!["--servers", "3", "--http", "127.0.0.1:65534"], 2, "not enough ports after 65534"),
        (vec!["--tls-cert", &empty], 2, "--tls-key"),
        (vec!["--tls-cert", &empty, "--tls-key", &empty], 2, "holds no certificate"),
        (vec!["--tls-cert", "nowhere.pem", "--tls-key", &empty], 2, "nowhere.pem: no certificates"),
    ] {
        let said = Command::new(env!("CARGO_BIN_EXE_ironbird")).arg("consul").args(&words).output().unwrap();
        let err = String::from_utf8_lossy(&said.stderr);
        assert_eq!(said.status.code(), Some(code), "{words:?}: {err}");
        assert!(err.contains(text), "{words:?}: {err}");
    }
    let said =
        Command::new(env!("CARGO_BIN_EXE_ironbird")).args(["consul", "--http", "192.0.2.1:1"]).output();
    let said = said.unwrap();
    let err = String::from_utf8_lossy(&said.stderr);
    assert_eq!(said.status.code(), Some(1), "{err}");
    assert!(err.contains("warning: 192.0.2.1:1 may be reached") && err.contains("cannot listen on"), "{err}");
}
