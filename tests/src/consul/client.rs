//! A connection that speaks HTTP/1.1 and is kept alive.
//!
//! Ours and no library's, so that what is compared is what was on the wire: nothing is added, followed,
//! decoded or retried on the way.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::{Answer, Request};

/// How long an answer may take that is due.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection to a server, opened when first needed and again whenever the server closed it.
#[derive(Debug)]
pub struct Client {
    server: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
    /// Whether the answer to come has no body, whatever its length says.
    bodiless: bool,
}

impl Client {
    /// A client of `server`.
    #[must_use]
    pub fn new(server: SocketAddr) -> Self {
        Self { server, stream: None, bodiless: false }
    }

    /// Another connection to the same server.
    #[must_use]
    pub fn beside(&self) -> Self {
        Self::new(self.server)
    }

    /// Sends a request and waits for its answer; status 0 stands for a server that closes instead.
    ///
    /// # Panics
    /// When the server does neither.
    pub fn send(&mut self, request: &Request) -> Answer {
        let reused = self.stream.is_some();
        for _ in 0..=u8::from(reused) {
            self.start(request);
            if let Some(answer) = self.receive(PATIENCE) {
                return answer;
            }
            assert!(self.stream.is_none(), "no answer to {} {}", request.method, request.path);
            // A server may close a connection just as it is used again.
        }
        Answer::new(0, [], b"(closed)")
    }

    /// Sends a request.
    ///
    /// # Panics
    /// When the server cannot be reached.
    pub fn start(&mut self, request: &Request) {
        let stream = self.stream.get_or_insert_with(|| {
            let stream = TcpStream::connect(self.server).expect("the server listens");
            stream.set_nodelay(true).expect("a socket");
            BufReader::new(stream)
        });
        let Request { method, path, headers, body } = request;
        self.bodiless = method == "HEAD";
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: consul\r\n");
        for (name, value) in headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        let length = body.len();
        let head = format!("{head}Content-Length: {length}\r\n\r\n");
        // One that has said no to a body's length may not read it, and one that closed reads nothing.
        let whole = [head.as_bytes(), body.as_bytes()].concat();
        stream.get_mut().write_all(&whole).ok();
    }

    /// The answer to what was sent, if it comes within `patience`; nothing also when the server closed.
    ///
    /// A kernel rounds a short timeout up to milliseconds, so no patience at all is a look and no wait.
    ///
    /// # Panics
    /// When the socket is none.
    pub fn receive(&mut self, patience: Duration) -> Option<Answer> {
        let stream = self.stream.as_mut()?;
        let look = patience.is_zero();
        stream.get_ref().set_nonblocking(look).expect("a socket");
        if !look {
            stream.get_ref().set_read_timeout(Some(patience)).expect("a timeout above zero");
        }
        let begun = stream.fill_buf().map(|bytes| !bytes.is_empty());
        stream.get_ref().set_nonblocking(false).expect("a socket");
        match begun {
            Ok(false) => self.stream = None,
            Ok(true) => {
                stream.get_ref().set_read_timeout(Some(PATIENCE)).expect("a timeout");
                let (answer, stays) = read(stream, self.bodiless)?;
                if !stays {
                    self.stream = None;
                }
                return Some(answer);
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => self.stream = None,
        }
        None
    }
}

/// Reads an answer, and whether the connection stays.
fn read(stream: &mut impl BufRead, bodiless: bool) -> Option<(Answer, bool)> {
    let mut line = String::new();
    stream.read_line(&mut line).ok()?;
    let status = line.split(' ').nth(1)?.trim().parse().ok()?;
    let mut headers = Vec::new();
    loop {
        line.clear();
        stream.read_line(&mut line).ok()?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) => headers.push((name.to_owned(), value.to_owned())),
            None if line.trim_end().is_empty() => break,
            None => headers.push((line.trim_end().trim_end_matches(':').to_owned(), String::new())),
        }
    }
    let mut answer = Answer::new(status, headers, b"");
    let closes = answer.header("connection") == Some("close");
    let mut body = Vec::new();
    if bodiless {
        return Some((answer, !closes));
    }
    if answer.header("transfer-encoding") == Some("chunked") {
        while let Some(size) = chunk_size(stream).filter(|size| *size > 0) {
            stream.take(size).read_to_end(&mut body).ok()?;
            chunk_size(stream);
        }
        line.clear();
        stream.read_line(&mut line).ok()?;
    } else if let Some(length) = answer.header("content-length") {
        let length: u64 = length.parse().ok()?;
        stream.take(length).read_to_end(&mut body).ok()?;
    } else if closes {
        stream.read_to_end(&mut body).ok()?;
    }
    answer.body = String::from_utf8_lossy(&body).into_owned();
    Some((answer, !closes))
}

fn chunk_size(stream: &mut impl BufRead) -> Option<u64> {
    let mut line = String::new();
    stream.read_line(&mut line).ok()?;
    u64::from_str_radix(line.trim_end(), 16).ok()
}
