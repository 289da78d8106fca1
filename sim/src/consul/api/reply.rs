//! Answers as Go's HTTP server and JSON encoder write them.

use std::io;

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, VARY};
use http::{Method, Response, StatusCode};
use serde::Serialize;
use serde_json::ser::{CharEscape, CompactFormatter, Formatter, PrettyFormatter};

pub(in crate::consul) const INDEX: HeaderName = HeaderName::from_static("x-consul-index");
pub(in crate::consul) const KNOWN_LEADER: HeaderName = HeaderName::from_static("x-consul-knownleader");
pub(in crate::consul) const LAST_CONTACT: HeaderName = HeaderName::from_static("x-consul-lastcontact");
pub(in crate::consul) const CONSISTENCY: HeaderName =
    HeaderName::from_static("x-consul-effective-consistency");
pub(in crate::consul) const CONTENT_HASH: HeaderName = HeaderName::from_static("x-consul-contenthash");
pub(in crate::consul) const REASON: HeaderName = HeaderName::from_static("x-consul-reason");

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// What a server that answers knows of its leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::consul) struct Contact {
    /// Whether there is one.
    pub(in crate::consul) known_leader: bool,
    /// How long ago it was heard of, in milliseconds.
    pub(in crate::consul) millis: u64,
}

/// A request that fails: the status and the text that say why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::consul) struct Failure {
    status: StatusCode,
    text: String,
    /// Whether it answers a query, and says so in its headers though it read nothing.
    of_query: bool,
    /// Whether its connection ends with it.
    closing: bool,
}

impl Failure {
    pub(in crate::consul) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), of_query: false, closing: false }
    }

    /// The client's mistake.
    pub(in crate::consul) fn bad(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    /// What the server itself says of it.
    pub(in crate::consul) fn internal(text: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, text)
    }

    /// The same as the answer to a query: what its servers never got to say is said to be unknown.
    pub(in crate::consul) fn of_query(self) -> Self {
        Self { of_query: true, ..self }
    }

    /// The same with the end of the connection announced.
    pub(super) fn closing(self) -> Self {
        Self { closing: true, ..self }
    }

    /// Whether it is the server's word, not the agent's.
    pub(in crate::consul) fn is_internal(&self) -> bool {
        self.status == StatusCode::INTERNAL_SERVER_ERROR
    }

    /// Whether it takes the servers to find out. A key's parameters are the agent's business, though a bad
    /// number of them is answered like a failure of the servers.
    pub(super) fn is_of_servers(&self, of_key: bool) -> bool {
        self.of_query || (self.is_internal() && !of_key)
    }

    pub(in crate::consul) fn into_response(self) -> Response<Bytes> {
        let mut response = text(self.status, self.text);
        if self.of_query {
            let headers = response.headers_mut();
            headers.insert(INDEX, HeaderValue::from_static("1"));
            headers.insert(KNOWN_LEADER, HeaderValue::from_static("false"));
            headers.insert(LAST_CONTACT, HeaderValue::from_static("0"));
        }
        if self.closing {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// An answer without a body.
pub(in crate::consul) fn empty(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response.headers_mut().insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    response
}

/// An answer in words.
pub(in crate::consul) fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = empty(status);
    response.headers_mut().insert(CONTENT_TYPE, PLAIN);
    *response.body_mut() = text.into();
    response
}

/// An answer in JSON.
pub(in crate::consul) fn json<T: Serialize + ?Sized>(
    status: StatusCode,
    value: &T,
    pretty: bool,
) -> Response<Bytes> {
    let mut response = empty(status);
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    let mut body = Vec::with_capacity(128);
    // Our own types have nothing JSON cannot say, and a vector takes every byte.
    let written = if pretty {
        let formatter = Go(PrettyFormatter::with_indent(b"    "));
        let written = value.serialize(&mut serde_json::Serializer::with_formatter(&mut body, formatter));
        body.push(b'\n');
        written
    } else {
        value.serialize(&mut serde_json::Serializer::with_formatter(&mut body, Go(CompactFormatter)))
    };
    debug_assert!(written.is_ok());
    *response.body_mut() = body.into();
    response
}

/// The answer of a path that is nobody's.
pub(super) fn unknown() -> Response<Bytes> {
    bare(StatusCode::NOT_FOUND)
}

/// An answer from before any endpoint was found.
pub(super) fn bare(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

/// The answer that sends a client elsewhere; one to GET and HEAD says of what type its body is or would be.
pub(super) fn moved(location: &str, method: &Method) -> Response<Bytes> {
    let mut response = bare(StatusCode::MOVED_PERMANENTLY);
    match HeaderValue::from_str(location) {
        Ok(value) => response.headers_mut().insert(LOCATION, value),
        Err(_) => return bare(StatusCode::BAD_REQUEST),
    };
    if method == Method::GET || method == Method::HEAD {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    }
    if method == Method::GET {
        let escaped = location.replace('&', "&amp;").replace('"', "&#34;");
        *response.body_mut() = format!("<a href=\"{escaped}\">Moved Permanently</a>.\n\n").into();
    }
    response
}

/// The answer to a method an endpoint does not take.
pub(super) fn not_allowed(method: &str, allow: &'static str) -> Response<Bytes> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, format!("method {method} not allowed"));
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    response
}

/// The answer to a client that asks which methods an endpoint takes.
pub(super) fn options(allow: &'static str) -> Response<Bytes> {
    let mut response = empty(StatusCode::OK);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    response
}

/// The headers every answer of a query carries.
pub(super) fn query_headers(
    response: &mut Response<Bytes>,
    index: u64,
    consistency: Option<&'static str>,
    contact: Contact,
) {
    let headers = response.headers_mut();
    headers.insert(INDEX, index.max(1).into());
    let known = if contact.known_leader { "true" } else { "false" };
    headers.insert(KNOWN_LEADER, HeaderValue::from_static(known));
    headers.insert(LAST_CONTACT, contact.millis.into());
    if let Some(consistency) = consistency {
        headers.insert(CONSISTENCY, HeaderValue::from_static(consistency));
    }
}

/// Go's encoder writes what is special in HTML, and most control characters, as escapes of its own.
#[derive(Debug)]
struct Go<F>(F);

impl<F: Formatter> Formatter for Go<F> {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let special = |c: char| matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}');
        let mut rest = fragment;
        while let Some(at) = rest.find(special) {
            writer.write_all(&rest.as_bytes()[..at])?;
            let mut tail = rest[at..].chars();
            if let Some(c) = tail.next() {
                write!(writer, "\\u{:04x}", u32::from(c))?;
            }
            rest = tail.as_str();
        }
        writer.write_all(rest.as_bytes())
    }

    fn write_char_escape<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        match escape {
            CharEscape::Backspace => writer.write_all(b"\\u0008"),
            CharEscape::FormFeed => writer.write_all(b"\\u000c"),
            other => self.0.write_char_escape(writer, other),
        }
    }

    /// Go spells numbers out unless they are very small or very large.
    fn write_f64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        let size = value.abs();
        if size != 0.0 && !(1e-6..1e21).contains(&size) {
            let text = format!("{value:e}");
            let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
            let sign = if exponent.starts_with('-') { "" } else { "+" };
            return write!(writer, "{digits}e{sign}{exponent}");
        }
        write!(writer, "{value}")
    }

    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}
