//! An answer in bytes, as Go's HTTP server writes it.
//!
//! Headers that Consul sets come sorted; after them come those the server adds: the date, the length, the
//! type it found by looking at the body, and what becomes of the connection. A body longer than Go's
//! buffer comes in chunks, because nobody told the server its length.

use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};

/// What Go keeps back to see whether more comes.
const BUFFER: usize = 2048;

/// What is not said by the answer itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    /// The client asked for the headers alone.
    pub(super) headers_only: bool,
    /// The client speaks HTTP/1.0.
    pub(super) old: bool,
    /// The connection goes on.
    pub(super) keep: bool,
    /// Since the Unix epoch; none where there is no wall clock.
    pub(super) date: Option<Duration>,
}

/// Writes `response` to `out`, and returns whether the connection can go on.
pub(super) fn encode(out: &mut Vec<u8>, response: &Response<Bytes>, manner: Manner) -> bool {
    let (headers, body) = (response.headers(), response.body());
    let status = response.status();
    let version = if manner.old { "1.0" } else { "1.1" };
    // A vector takes every byte, here and below.
    write!(out, "HTTP/{version} {} {}\r\n", status.as_str(), reason(status)).ok();

    // Consul names no charset; a type that does is what the server saw in the body. What compresses an
    // answer looks itself.
    let looked =
        |value: &HeaderValue| value == "text/plain; charset=utf-8" && !headers.contains_key(CONTENT_ENCODING);
    // A raw value is the one answer whose length Consul says itself.
    let told = headers.contains_key(CONTENT_SECURITY_POLICY) && !headers.contains_key(CONTENT_ENCODING);
    let length = HeaderValue::from(body.len());
    let mut sorted: Vec<(&str, &HeaderValue)> = headers
        .iter()
        .filter(|(name, value)| *name != CONTENT_LENGTH && !(*name == CONTENT_TYPE && looked(value)))
        .map(|(name, value)| (name.as_str(), value))
        .collect();
    if told {
        sorted.push((CONTENT_LENGTH.as_str(), &length));
    }
    sorted.sort_by_key(|(name, _)| *name);
    for (name, value) in sorted {
        canonical(out, name);
        line(out, value.as_bytes());
    }
    if let Some(date) = manner.date {
        write!(out, "Date: {}\r\n", http_date(date)).ok();
    }
    let chunked = !told && body.len() > BUFFER;
    let says_nothing = manner.headers_only && body.is_empty();
    if !(told || chunked || says_nothing) {
        out.extend_from_slice(b"Content-Length: ");
        line(out, length.as_bytes());
    }
    if let Some(kind) = headers.get(CONTENT_TYPE).filter(|value| looked(value)) {
        out.extend_from_slice(b"Content-Type: ");
        line(out, kind.as_bytes());
    }
    // Without a length an old client sees the end of the body by the end of the connection.
    let announced = headers.contains_key(CONNECTION);
    let keep = manner.keep && !announced && !(manner.old && chunked);
    match (manner.old, keep) {
        (false, false) if announced => {}
        (false, false) => out.extend_from_slice(b"Connection: close\r\n"),
        (true, true) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        _ => {}
    }
    if chunked && !manner.old {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    out.extend_from_slice(b"\r\n");
    if manner.headers_only {
        return keep;
    }
    if chunked && !manner.old {
        write!(out, "{:x}\r\n", body.len()).ok();
        out.extend_from_slice(body);
        out.extend_from_slice(b"\r\n0\r\n\r\n");
    } else {
        out.extend_from_slice(body);
    }
    keep
}

/// An answer of the server itself, before there is anybody to ask: its headers as they come, with
/// `Date` for the date where there is one.
pub(super) fn own(line: &str, headers: &[&str], date: Option<Duration>, body: &str) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {line}\r\n");
    for header in headers {
        match (*header, date) {
            ("Date", Some(date)) => text += &format!("Date: {}\r\n", http_date(date)),
            ("Date", None) => {}
            (header, _) => text += &format!("{header}\r\n"),
        }
    }
    format!("{text}\r\n{body}").into_bytes()
}

fn line(out: &mut Vec<u8>, value: &[u8]) {
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// The name as Go writes it: a capital after every hyphen.
fn canonical(out: &mut Vec<u8>, name: &str) {
    let mut capital = true;
    for byte in name.bytes() {
        out.push(if capital { byte.to_ascii_uppercase() } else { byte });
        capital = byte == b'-';
    }
    out.extend_from_slice(b": ");
}

fn reason(status: StatusCode) -> &'static str {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => "Request Entity Too Large",
        StatusCode::RANGE_NOT_SATISFIABLE => "Requested Range Not Satisfiable",
        status => status.canonical_reason().unwrap_or("status code unknown"),
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(since_epoch: Duration) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = since_epoch.as_secs();
    let (days, second) = (seconds / 86400, seconds % 86400);
    let weekday = DAYS[usize::try_from(days % 7).unwrap_or_default()];
    let (mut year, mut day) = (1970, days);
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    while day >= 365 + u64::from(leap(year)) {
        day -= 365 + u64::from(leap(year));
        year += 1;
    }
    let mut month = 0;
    for length in [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let month = MONTHS.get(month).copied().unwrap_or_default();
    format!("{weekday}, {:02} {month} {year} {hour:02}:{minute:02}:{second:02} GMT", day + 1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use http::header::{CONTENT_TYPE, VARY};
    use http::{HeaderValue, Response};

    use super::{Manner, encode, http_date};

    const PLAIN: Manner = Manner { headers_only: false, old: false, keep: true, date: None };

    fn json(body: &str) -> Response<Bytes> {
        let mut response = Response::new(Bytes::from(body.to_owned()));
        response.headers_mut().insert(VARY, HeaderValue::from_static("Accept-Encoding"));
        response.headers_mut().insert("x-consul-knownleader", HeaderValue::from_static("true"));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }

    fn written(response: &Response<Bytes>, manner: Manner) -> (String, bool) {
        let mut out = Vec::new();
        let keep = encode(&mut out, response, manner);
        (String::from_utf8(out).expect("text"), keep)
    }

    #[test]
    fn headers_come_sorted_and_the_servers_own_after_them() {
        let (text, keep) =
            written(&json("true"), Manner { date: Some(Duration::from_secs(784_111_777)), ..PLAIN });
        assert_eq!(
            text,
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nVary: Accept-Encoding\r\n\
             X-Consul-Knownleader: true\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 4\r\n\r\ntrue"
        );
        assert!(keep);
        let mut error = json("no");
        error.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        let (text, _) = written(&error, Manner { keep: false, ..PLAIN });
        let end =
            "Content-Length: 2\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\nno";
        assert!(text.ends_with(end), "{text}");
    }

    #[test]
    fn a_long_body_comes_in_chunks_or_until_the_end() {
        let long = json(&"x".repeat(2049));
        let (text, keep) = written(&long, PLAIN);
        assert!(
            text.contains("Transfer-Encoding: chunked\r\n\r\n801\r\nx") && text.ends_with("x\r\n0\r\n\r\n")
        );
        assert!(keep && !text.contains("Content-Length"));
        let (text, keep) = written(&long, Manner { old: true, ..PLAIN });
        assert!(text.starts_with("HTTP/1.0 200 OK\r\n") && text.ends_with('x'));
        assert!(!keep && !text.contains("Connection"));
        let (text, _) = written(&json(&"x".repeat(2048)), PLAIN);
        assert!(text.contains("Content-Length: 2048\r\n"));
    }

    #[test]
    fn headers_alone_say_a_length_only_where_there_is_one() {
        let (text, _) = written(&json("no"), Manner { headers_only: true, ..PLAIN });
        assert!(text.ends_with("Content-Length: 2\r\n\r\n"), "{text}");
        let (text, _) = written(&json(""), Manner { headers_only: true, ..PLAIN });
        assert!(!text.contains("Content-Length"), "{text}");
    }

    #[test]
    fn dates_are_right_at_the_edges() {
        for (seconds, date) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
        ] {
            assert_eq!(http_date(Duration::from_secs(seconds)), date);
        }
    }
}
