//! One connection: requests read one after another, each answered before the next is looked at.
//!
//! While an answer is on its way the stream is read on, to see that the client has gone: then nobody waits
//! for the answer any more. A real server cannot tell a client that has gone from one that has only said all
//! it had to say, and keeps waiting for both ([`Shell::with_half_closed_clients`]); in a simulation nobody
//! does the latter. A connection that ends with bytes unread lingers a moment, because a reset
//! would take the answer from the client.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::VARY;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::chunked::{Broken, Chunks};
use super::gzip;
use super::request::{Expects, Head, Length, Refusal, Scan, Target};
use super::response::{Manner, encode, own};
use super::{Clock, Observer, Shell};
use crate::consul::api::{Fate, fate, left_of};

/// The most a request's body can hold. Consul sets no limit but to what says its length to the endpoints of
/// keys and transactions; somewhere there must be one.
const BODY_MAX: usize = 64 * 1024 * 1024;
/// A body nobody wants is read to keep the connection if it says a length below this, or none and is no
/// longer.
const SKIPPED_MAX: u64 = 256 * 1024;
/// How much a client can send ahead of an answer.
const AHEAD_MAX: usize = 64 * 1024;
const NO_BODY: &str = "Content-Length: 0";
const READ: usize = 4 * 1024;
const LINGER: Duration = Duration::from_millis(500);
const LINGER_BYTES: usize = 8 * 1024 * 1024;

/// How a connection goes on.
enum Next {
    /// The next request can come.
    Request,
    /// It is over, and everything sent was read.
    End,
    /// It is over, and more was sent or is.
    EndUnread,
}

/// A request's body, when it could be had.
enum Body {
    Whole(Bytes),
    /// This is said in place of an answer.
    Refused(Response<Bytes>),
}

/// A stream and what was read of it too early.
struct Wire<S> {
    stream: S,
    buffer: BytesMut,
    ended: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// Reads more; false when there is no more.
    async fn fill(&mut self) -> io::Result<bool> {
        self.buffer.reserve(READ);
        let read = self.stream.read_buf(&mut self.buffer).await?;
        self.ended = read == 0;
        Ok(read > 0)
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Returns when the client has gone. One that only sends no more may still want its answer: whether it
    /// is taken for gone, `half_closed_waits` says.
    async fn gone(&mut self, half_closed_waits: bool) {
        while self.buffer.len() < AHEAD_MAX {
            match self.fill().await {
                Ok(true) => {}
                Ok(false) if half_closed_waits => break,
                _ => return,
            }
        }
        // Whoever sends that much ahead is there, and is not read further.
        std::future::pending().await
    }

    /// The next head; `None` when there are no more.
    async fn head(&mut self) -> io::Result<Option<Result<Head, Refusal>>> {
        let mut scan = Scan::default();
        loop {
            match scan.end(&self.buffer) {
                Err(refusal) => return Ok(Some(Err(refusal))),
                Ok(Some(end)) => return Ok(Some(Head::parse(&self.buffer.split_to(end)))),
                Ok(None) if self.fill().await? => {}
                Ok(None) if self.buffer.is_empty() => return Ok(None),
                Ok(None) => return Ok(Some(Err(Refusal::Bad("")))),
            }
        }
    }

    /// Reads a body of known length whole; `None` when it ends before.
    async fn exactly(&mut self, length: usize) -> io::Result<Option<Bytes>> {
        while self.buffer.len() < length {
            if !self.fill().await? {
                return Ok(None);
            }
        }
        Ok(Some(self.buffer.split_to(length).freeze()))
    }

    async fn chunked(&mut self) -> io::Result<Body> {
        let mut chunks = Chunks::default();
        loop {
            match chunks.take(&mut self.buffer, BODY_MAX) {
                Ok(true) => return Ok(Body::Whole(chunks.into_body().into())),
                Ok(false) if self.fill().await? => {}
                Ok(false) => return Ok(Body::Refused(unreadable("unexpected EOF"))),
                Err(Broken::Malformed(why)) => return Ok(Body::Refused(unreadable(why))),
                Err(Broken::TooLong) => {
                    return Ok(Body::Refused(too_large()));
                }
            }
        }
    }

    /// Reads past a body that nobody wants; false when it is too long for that.
    async fn skip(&mut self, length: Length) -> io::Result<bool> {
        match length {
            Length::Known(length) if length >= SKIPPED_MAX => Ok(false),
            Length::Known(mut left) => {
                while left > 0 {
                    if self.buffer.is_empty() && !self.fill().await? {
                        return Ok(false);
                    }
                    let now = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
                    drop(self.buffer.split_to(now));
                    left -= now as u64;
                }
                Ok(true)
            }
            Length::Chunked => {
                let mut chunks = Chunks::default();
                loop {
                    match chunks.take(&mut self.buffer, usize::try_from(SKIPPED_MAX).unwrap_or(usize::MAX)) {
                        Ok(true) => return Ok(true),
                        Ok(false) if self.fill().await? => {}
                        _ => return Ok(false),
                    }
                }
            }
        }
    }
}

/// Speaks HTTP/1 with `client` on `stream` until one of them ends it.
///
/// # Errors
/// When the stream breaks; how a connection ends is its client's business.
pub(super) async fn run<C: Clock, O: Observer, S: AsyncRead + AsyncWrite + Unpin>(
    shell: &Shell<C, O>,
    stream: S,
    client: IpAddr,
) -> io::Result<()> {
    let mut wire = Wire { stream, buffer: BytesMut::new(), ended: false };
    let mut out = Vec::new();
    let next = loop {
        let head = match wire.head().await? {
            None => break Next::End,
            Some(Ok(head)) => head,
            Some(Err(refusal)) => {
                wire.send(refusal.text().as_bytes()).await?;
                break Next::EndUnread;
            }
        };
        match exchange(shell, &mut wire, &mut out, client, head).await? {
            Next::Request => {}
            end => break end,
        }
    };
    wire.stream.shutdown().await?;
    if matches!(next, Next::EndUnread) && !wire.ended {
        linger(&shell.clock, &mut wire).await;
    }
    Ok(())
}

/// Lets the client read its answer before the rest of what it sends meets a closed socket.
async fn linger<S: AsyncRead + AsyncWrite + Unpin>(clock: &impl Clock, wire: &mut Wire<S>) {
    let drained = async {
        let mut left = LINGER_BYTES;
        while left > 0 && matches!(wire.fill().await, Ok(true)) {
            left = left.saturating_sub(wire.buffer.len());
            wire.buffer.clear();
        }
    };
    tokio::select! {
        biased;
        () = drained => {}
        () = clock.sleep(LINGER) => {}
    }
}

async fn exchange<C: Clock, O: Observer, S: AsyncRead + AsyncWrite + Unpin>(
    shell: &Shell<C, O>,
    wire: &mut Wire<S>,
    out: &mut Vec<u8>,
    client: IpAddr,
    head: Head,
) -> io::Result<Next> {
    let date = shell.clock.wall();
    let uri = match &head.target {
        Target::Path(uri) => uri.clone(),
        other => {
            let (bytes, next) = nobodys(other, &head, date);
            wire.send(&bytes).await?;
            return Ok(next);
        }
    };
    if head.expects == Expects::Unknown {
        wire.send(&own("417 Expectation Failed", &["Connection: close", "Date", NO_BODY], date, "")).await?;
        return Ok(Next::EndUnread);
    }
    let began = shell.clock.now();
    let mut request = Request::new(Bytes::new());
    *request.method_mut() = head.method;
    *request.uri_mut() = uri;
    *request.headers_mut() = head.headers;
    let (body, unread) = receive(wire, &request, head.length, head.expects).await?;
    let response = match body {
        Body::Refused(response) => Some(response),
        Body::Whole(body) => {
            *request.body_mut() = body;
            tokio::select! {
                biased;
                response = shell.answer(client, &request) => Some(response),
                () = wire.gone(shell.half_closed_waits) => None,
            }
        }
    };
    let Some(mut response) = response else {
        return Ok(Next::End);
    };
    shell.tell(client, &request, &response, began);
    if gzip::accepts(request.headers()) {
        gzip::compress(&mut response);
    }
    let manner = Manner {
        headers_only: request.method() == Method::HEAD,
        old: head.old,
        keep: head.keep && !unread,
        date: shell.clock.wall(),
    };
    out.clear();
    let keep = encode(out, &response, manner);
    wire.send(out).await?;
    // One great answer is no reason to hold on to its room.
    out.shrink_to(AHEAD_MAX);
    Ok(match (keep, unread) {
        (true, _) => Next::Request,
        (false, true) => Next::EndUnread,
        (false, false) => Next::End,
    })
}

/// The body of a request, and whether some of it is left unread.
async fn receive<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<S>,
    request: &Request<Bytes>,
    length: Length,
    expects: Expects,
) -> io::Result<(Body, bool)> {
    let nothing = Body::Whole(Bytes::new());
    if length == Length::Known(0) {
        return Ok((nothing, false));
    }
    let known = match length {
        Length::Known(length) => Some(length),
        Length::Chunked => None,
    };
    let unwanted = match fate(request.method(), request.uri(), known) {
        Fate::Read if known.is_some_and(|length| length > BODY_MAX as u64) => {
            return Ok((Body::Refused(too_large()), true));
        }
        Fate::Read => None,
        Fate::Unread => Some(nothing),
        Fate::Refused(response) => Some(Body::Refused(*response)),
    };
    if let Some(body) = unwanted {
        let unread = expects == Expects::Continue || !wire.skip(length).await?;
        return Ok((body, unread));
    }
    if expects == Expects::Continue {
        wire.send(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    let body = match length {
        Length::Chunked => wire.chunked().await?,
        Length::Known(length) => match wire.exactly(usize::try_from(length).unwrap_or(usize::MAX)).await? {
            Some(body) => Body::Whole(body),
            None => Body::Refused(unreadable("unexpected EOF")),
        },
    };
    let unread = match &body {
        Body::Refused(_) => true,
        Body::Whole(body) if body.len() as u64 <= SKIPPED_MAX => false,
        Body::Whole(body) => left_of(request.uri(), body) as u64 > SKIPPED_MAX,
    };
    Ok((body, unread))
}

fn too_large() -> Response<Bytes> {
    said(StatusCode::PAYLOAD_TOO_LARGE, "Request body too large".to_owned())
}
fn unreadable(why: &str) -> Response<Bytes> {
    said(StatusCode::INTERNAL_SERVER_ERROR, why.to_owned())
}

/// An answer in words, as an endpoint gives it.
pub(super) fn said(status: StatusCode, text: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    if !response.body().is_empty() {
        let kind = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    }
    response
}

/// The answer to a request that is for no path.
fn nobodys(target: &Target, head: &Head, date: Option<Duration>) -> (Vec<u8>, Next) {
    let next = if head.keep { Next::Request } else { Next::EndUnread };
    match target {
        Target::Server if head.method == Method::OPTIONS => {
            let text = own("200 OK", &[NO_BODY, "Date"], date, "");
            (text, next)
        }
        Target::Server => {
            (own("400 Bad Request", &["Connection: close", "Date", NO_BODY], date, ""), Next::EndUnread)
        }
        _ => {
            let headers = [
                "Content-Type: text/plain; charset=utf-8",
                "X-Content-Type-Options: nosniff",
                "Date",
                "Content-Length: 19",
            ];
            (own("404 Not Found", &headers, date, "404 page not found\n"), next)
        }
    }
}
