//! The head of a request, read the way Go's HTTP server reads it.
//!
//! Which text a refusal carries, what is forgiven (a folded header, a bare line feed, a length said twice)
//! and what is not are Go's, because they are what a client of the real server meets. Pure: bytes in, a
//! head or a refusal out.

use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

/// The most a head can hold: a megabyte, and what Go adds for its own buffer.
pub(super) const HEAD_MAX: usize = (1 << 20) + 4096;

/// What stands before a body.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) method: Method,
    pub(super) target: Target,
    /// Before 1.1: answered as 1.0, closed unless asked otherwise.
    pub(super) old: bool,
    /// Whether the client keeps the connection after the answer.
    pub(super) keep: bool,
    pub(super) length: Length,
    pub(super) expects: Expects,
    pub(super) headers: HeaderMap,
}

/// What a request is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    Path(Uri),
    /// `*`: the server as a whole.
    Server,
    /// A host, of a client that takes this for a proxy.
    Authority,
}

/// How long a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    Known(u64),
    Chunked,
}

/// What a client waits for before it sends its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expects {
    Nothing,
    Continue,
    /// Something nobody can fulfil.
    Unknown,
}

/// A request that is answered before anybody reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// What is said of it after `400 Bad Request`.
    Bad(&'static str),
    TooLarge,
    Encoding,
}

const MALFORMED: Refusal = Refusal::Bad("");

impl Refusal {
    /// The whole answer; the connection ends with it.
    pub(super) fn text(self) -> String {
        let (line, body) = match self {
            Self::Bad("") => ("400 Bad Request".to_owned(), None),
            Self::Bad(why) => (format!("400 Bad Request: {why}"), None),
            Self::TooLarge => ("431 Request Header Fields Too Large".to_owned(), None),
            Self::Encoding => ("501 Not Implemented".to_owned(), Some("Unsupported transfer encoding")),
        };
        let body = body.unwrap_or(&line);
        format!(
            "HTTP/1.1 {line}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n{body}"
        )
    }
}

/// Finds the end of a head in bytes that come bit by bit, looking at each only once.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Where the line begins that is not complete yet.
    line: usize,
    /// Up to where it was looked at.
    seen: usize,
}

impl Scan {
    /// The length of the head at the start of `bytes`, once it is whole.
    ///
    /// # Errors
    /// As soon as the first line makes no sense, or there is more than a head can hold.
    pub(super) fn end(&mut self, bytes: &[u8]) -> Result<Option<usize>, Refusal> {
        while let Some(at) = bytes[self.seen..].iter().position(|byte| *byte == b'\n') {
            let end = self.seen + at + 1;
            let first = self.line == 0;
            let line = trim_end(&bytes[self.line..end]);
            (self.line, self.seen) = (end, end);
            if end > HEAD_MAX {
                return Err(Refusal::TooLarge);
            }
            if first {
                Line::parse(line)?;
            } else if line.is_empty() {
                *self = Self::default();
                return Ok(Some(end));
            }
        }
        self.seen = bytes.len();
        if bytes.len() > HEAD_MAX { Err(Refusal::TooLarge) } else { Ok(None) }
    }
}

/// The first line of a request.
struct Line<'a> {
    method: Method,
    target: &'a [u8],
    major: u32,
    minor: u32,
}

impl<'a> Line<'a> {
    fn parse(line: &'a [u8]) -> Result<Self, Refusal> {
        let mut words = line.splitn(3, |byte| *byte == b' ');
        let (Some(method), Some(target), Some(version)) = (words.next(), words.next(), words.next()) else {
            return Err(MALFORMED);
        };
        let method = Method::from_bytes(method).map_err(|_| MALFORMED)?;
        let (major, minor) = version_of(version).ok_or(MALFORMED)?;
        Ok(Self { method, target, major, minor })
    }
}

fn version_of(word: &[u8]) -> Option<(u32, u32)> {
    match word {
        b"HTTP/1.1" => return Some((1, 1)),
        b"HTTP/1.0" => return Some((1, 0)),
        _ => {}
    }
    let (major, minor) = std::str::from_utf8(word).ok()?.strip_prefix("HTTP/")?.split_once('.')?;
    let number = |digits: &str| {
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|number| plain && *number <= 1_000_000_u32)
    };
    Some((number(major)?, number(minor)?))
}

impl Head {
    /// Reads a whole head.
    ///
    /// # Errors
    /// When it cannot be understood.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let mut lines = bytes.split_inclusive(|byte| *byte == b'\n').map(trim_end);
        let line = Line::parse(lines.next().unwrap_or_default())?;
        let target = Target::parse(&line)?;
        let (headers, complaint) = headers(lines)?;
        let at_least_1_1 = (line.major, line.minor) >= (1, 1);
        let length = Length::of(&headers, at_least_1_1)?;
        if line.major != 1 && !is_preface(&line) {
            return Err(Refusal::Bad("unsupported protocol version"));
        }
        let mut hosts = headers.get_all(HOST).iter();
        match (hosts.next(), hosts.next()) {
            (None, _) if at_least_1_1 && line.method != Method::CONNECT && !is_preface(&line) => {
                return Err(Refusal::Bad("missing required Host header"));
            }
            (_, Some(_)) => return Err(Refusal::Bad("too many Host headers")),
            (Some(host), None) if !host.as_bytes().iter().all(|byte| is_of_host(*byte)) => {
                return Err(Refusal::Bad("malformed Host header"));
            }
            _ => {}
        }
        if let Some(complaint) = complaint {
            return Err(complaint);
        }
        let expects = match headers.get(EXPECT).map(HeaderValue::as_bytes) {
            None | Some(b"") => Expects::Nothing,
            Some(value) if value.eq_ignore_ascii_case(b"100-continue") => {
                if at_least_1_1 && length != Length::Known(0) { Expects::Continue } else { Expects::Nothing }
            }
            Some(_) => Expects::Unknown,
        };
        let close = has_token(&headers, b"close");
        let keep = if at_least_1_1 { !close } else { !close && has_token(&headers, b"keep-alive") };
        Ok(Self { method: line.method, target, old: !at_least_1_1, keep, length, expects, headers })
    }
}

/// The start of HTTP/2, of a client that did not ask first.
fn is_preface(line: &Line<'_>) -> bool {
    line.method == "PRI" && line.target == b"*" && line.major == 2
}

impl Target {
    fn parse(line: &Line<'_>) -> Result<Self, Refusal> {
        let target = line.target;
        if target.iter().any(|byte| byte.is_ascii_control()) {
            return Err(MALFORMED);
        }
        if target == b"*" {
            return Ok(Self::Server);
        }
        if line.method == Method::CONNECT && target.first().is_some_and(|byte| *byte != b'/') {
            return Ok(Self::Authority);
        }
        let path = match target.first() {
            Some(b'/') => target,
            _ => path_of_absolute(target).ok_or(MALFORMED)?,
        };
        let end = path.iter().position(|byte| *byte == b'?').unwrap_or(path.len());
        if !escapes_are_whole(&path[..end]) {
            return Err(MALFORMED);
        }
        uri(path).map(Self::Path).ok_or(Refusal::TooLarge)
    }
}

fn path_of_absolute(target: &[u8]) -> Option<&[u8]> {
    let at = target.windows(3).position(|three| three == b"://")?;
    let scheme = &target[..at];
    if !scheme.first()?.is_ascii_alphabetic() {
        return None;
    }
    let rest = &target[at + 3..];
    Some(rest.iter().position(|byte| *byte == b'/').map_or(b"/", |slash| &rest[slash..]))
}

fn escapes_are_whole(path: &[u8]) -> bool {
    path.iter().enumerate().filter(|(_, byte)| **byte == b'%').all(|(at, _)| {
        path.get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

/// The path and query as a [`Uri`], which takes less than Go does: what it does not take is escaped.
fn uri(path: &[u8]) -> Option<Uri> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%?".contains(byte);
    if path.iter().all(plain) {
        return Uri::try_from(path).ok();
    }
    let mut escaped = String::with_capacity(path.len() + 16);
    for byte in path {
        if plain(byte) {
            escaped.push(char::from(*byte));
        } else {
            escaped += &format!("%{byte:02X}");
        }
    }
    Uri::try_from(escaped).ok()
}

/// The headers, and what is wrong with one of them that is said only when nothing worse is.
fn headers<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Result<(HeaderMap, Option<Refusal>), Refusal> {
    let mut map = HeaderMap::new();
    let mut complaint = None;
    let mut lines = lines.take_while(|line| !line.is_empty()).peekable();
    while let Some(line) = lines.next() {
        // Only the first can: any other such line belongs to the one before.
        if is_blank(line[0]) {
            return Err(MALFORMED);
        }
        let colon = line.iter().position(|byte| *byte == b':').ok_or(MALFORMED)?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        let value = match lines.peek() {
            Some(next) if is_blank(next[0]) => {
                let mut folded = value.to_vec();
                while let Some(more) = lines.next_if(|next| is_blank(next[0])) {
                    folded.push(b' ');
                    folded.extend_from_slice(more.trim_ascii());
                }
                HeaderValue::from_bytes(&folded)
            }
            _ => HeaderValue::from_bytes(value),
        };
        if name.is_empty() {
            continue;
        }
        match (HeaderName::from_bytes(name), value) {
            (Err(_), _) => complaint = complaint.or(Some(Refusal::Bad("invalid header name"))),
            (_, Err(_)) => complaint = complaint.or(Some(Refusal::Bad("invalid header value"))),
            (Ok(name), Ok(value)) => {
                map.try_append(name, value).map_err(|_| Refusal::TooLarge)?;
            }
        }
    }
    Ok((map, complaint))
}

impl Length {
    fn of(headers: &HeaderMap, at_least_1_1: bool) -> Result<Self, Refusal> {
        let mut encodings = headers.get_all(TRANSFER_ENCODING).iter().filter(|_| at_least_1_1);
        if let Some(encoding) = encodings.next() {
            let chunked = encoding.as_bytes().eq_ignore_ascii_case(b"chunked");
            return if chunked && encodings.next().is_none() {
                Ok(Self::Chunked)
            } else {
                Err(Refusal::Encoding)
            };
        }
        let mut lengths = headers.get_all(CONTENT_LENGTH).iter().map(HeaderValue::as_bytes);
        let Some(first) = lengths.next() else {
            return Ok(Self::Known(0));
        };
        if lengths.any(|other| other != first) || !first.iter().all(u8::is_ascii_digit) {
            return Err(MALFORMED);
        }
        if first.is_empty() {
            return Ok(Self::Known(0));
        }
        let length: Option<i64> = std::str::from_utf8(first).ok().and_then(|digits| digits.parse().ok());
        length.map(|length| Self::Known(length.unsigned_abs())).ok_or(MALFORMED)
    }
}

fn has_token(headers: &HeaderMap, token: &[u8]) -> bool {
    headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|word| word.trim_ascii().eq_ignore_ascii_case(token))
}

fn is_of_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!$%&'()*+,-.:;=[]_~".contains(&byte)
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn trim_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::{Expects, HEAD_MAX, Head, Length, Refusal, Scan, Target};

    fn parse(text: &str) -> Result<Head, Refusal> {
        let end = Scan::default().end(text.as_bytes())?.expect("a whole head");
        Head::parse(&text.as_bytes()[..end])
    }

    #[test]
    fn what_go_refuses_is_refused_in_its_words() {
        for (head, why) in [
            ("garbage\r\n\r\n", ""),
            ("F(O / HTTP/1.1\r\nHost: x\r\n\r\n", ""),
            ("GET / FOO/1.1\r\nHost: x\r\n\r\n", ""),
            ("GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", ""),
            ("GET  HTTP/1.1\r\nHost: x\r\n\r\n", ""),
            ("GET foo HTTP/1.1\r\nHost: x\r\n\r\n", ""),
            ("GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", ""),
            ("GET / HTTP/1.1\r\nHost: x\r\nfoo\r\n\r\n", ""),
            ("GET / HTTP/1.1\r\n Host: x\r\n\r\n", ""),
            ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", ""),
            ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 9223372036854775808\r\n\r\n", ""),
            ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", ""),
            ("GET / HTTP/9.9\r\nHost: x\r\n\r\n", "unsupported protocol version"),
            ("GET / HTTP/1.1\r\n\r\n", "missing required Host header"),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "too many Host headers"),
            ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "malformed Host header"),
            ("GET / HTTP/1.1\r\nHost: x\r\nf o: x\r\n\r\n", "invalid header name"),
            ("GET / HTTP/1.1\r\nHost: x\r\nfoo : x\r\n\r\n", "invalid header name"),
            ("GET / HTTP/1.1\r\nHost: x\r\nfoo: \u{1}\r\n\r\n", "invalid header value"),
        ] {
            assert_eq!(parse(head).expect_err(head), Refusal::Bad(why), "{head:?}");
        }
        let encoded = "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n";
        assert_eq!(parse(encoded).expect_err("refused"), Refusal::Encoding);
    }

    #[test]
    fn what_go_forgives_is_read() {
        let head = parse("PUT /a?b#c HTTP/1.2\nHost: x\nX: a\n b\nContent-Length: 3\nContent-Length: 3\n\n");
        let head = head.expect("a head");
        assert_eq!(head.headers["x"], "a b");
        assert_eq!((head.length, head.keep, head.old), (Length::Known(3), true, false));
        let Target::Path(uri) = head.target else { panic!("{:?}", head.target) };
        assert_eq!(uri, "/a?b%23c");
    }

    #[test]
    fn a_connection_is_kept_as_the_version_and_the_client_say() {
        for (version, connection, keep) in [
            ("1.1", "x", true),
            ("1.1", "Close, x", false),
            ("1.0", "x", false),
            ("1.0", "Keep-Alive", true),
            ("1.0", "keep-alive, close", false),
        ] {
            let head = parse(&format!("GET / HTTP/{version}\r\nHost: x\r\nConnection: {connection}\r\n\r\n"));
            assert_eq!(head.expect("a head").keep, keep, "{version} {connection}");
        }
    }

    #[test]
    fn only_a_body_to_come_is_waited_for() {
        for (length, expects) in [("0", Expects::Nothing), ("1", Expects::Continue)] {
            let head = format!(
                "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\nExpect: 100-Continue\r\n\r\n"
            );
            assert_eq!(parse(&head).expect("a head").expects, expects);
        }
    }

    #[test]
    fn a_head_ends_where_it_ends_however_it_comes() {
        let text = b"GET / HTTP/1.1\r\nHost: x\r\n\r\nrest";
        let mut scan = Scan::default();
        let mut ends = (0..=text.len()).map(|end| scan.end(&text[..end]).expect("a head"));
        assert_eq!(ends.position(|end| end.is_some()), Some(text.len() - 4));
    }

    #[test]
    fn a_head_has_a_limit() {
        let head = |length: usize| {
            let start = "GET / HTTP/1.1\r\nHost: x\r\nX: ";
            format!("{start}{}\r\n\r\n", "a".repeat(length - start.len() - 4))
        };
        assert!(parse(&head(HEAD_MAX)).is_ok());
        assert_eq!(parse(&head(HEAD_MAX + 1)).expect_err("refused"), Refusal::TooLarge);
        let endless = vec![b'a'; HEAD_MAX + 1];
        assert_eq!(Scan::default().end(&endless), Err(Refusal::TooLarge));
    }
}
