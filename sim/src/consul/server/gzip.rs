//! Compressed answers, for the clients and the answers Consul compresses.
//!
//! Every endpoint's answer says `Vary: Accept-Encoding`, and exactly those are compressed when the client
//! takes gzip, however small; an answer without a body stays without one.

use std::io::Write;

use bytes::Bytes;
use flate2::{Compression, GzBuilder};
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, VARY};
use http::{HeaderMap, HeaderValue, Response};

/// What Go writes for an operating system it does not tell.
const UNKNOWN_SYSTEM: u8 = 255;

/// Whether a client with these headers takes gzip. Only the first of several headers is looked at.
pub(super) fn accepts(headers: &HeaderMap) -> bool {
    let Some(wanted) = headers.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    // Of two that speak of gzip the last one counts.
    wanted.split(',').filter_map(quality).next_back().is_some_and(|quality| quality > 0.0)
}

/// How much one coding is wanted, when it is gzip and makes sense.
fn quality(coding: &str) -> Option<f64> {
    let mut parts = coding.split(';').map(str::trim);
    if !parts.next()?.eq_ignore_ascii_case("gzip") {
        return None;
    }
    match parts.next_back() {
        Some(last) => last.strip_prefix("q=").map_or(Some(1.0), |number| number.parse().ok()),
        None => Some(1.0),
    }
}

/// Compresses `response` if it is one that is.
pub(super) fn compress(response: &mut Response<Bytes>) {
    if response.body().is_empty() || !response.headers().contains_key(VARY) {
        return;
    }
    let sink = Vec::with_capacity(response.body().len() / 2 + 32);
    let mut encoder = GzBuilder::new().operating_system(UNKNOWN_SYSTEM).write(sink, Compression::default());
    // A vector takes every byte.
    if let Ok(body) = encoder.write_all(response.body()).and_then(|()| encoder.finish()) {
        *response.body_mut() = body.into();
        response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use bytes::Bytes;
    use flate2::read::GzDecoder;
    use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, VARY};
    use http::{HeaderMap, HeaderValue, Response};

    use super::{accepts, compress};

    #[test]
    fn a_client_that_wants_gzip_is_recognised() {
        for (wanted, taken) in [
            ("gzip", true),
            ("GZIP", true),
            ("deflate, gzip;q=0.5", true),
            ("gzip, *;q=0", true),
            ("gzip;q=2", true),
            ("gzip;q=0", false),
            ("gzip;q=-1", false),
            ("gzip;q=zz", false),
            ("*", false),
            ("x-gzip", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(wanted));
            assert_eq!(accepts(&headers), taken, "{wanted}");
        }
        let mut two = HeaderMap::new();
        two.append(ACCEPT_ENCODING, HeaderValue::from_static("br"));
        two.append(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        assert!(!accepts(&two), "only the first header counts");
    }

    #[test]
    fn only_a_body_of_an_endpoint_is_compressed() {
        let response = |body: &'static str, vary: bool| {
            let mut response = Response::new(Bytes::from_static(body.as_bytes()));
            if vary {
                response.headers_mut().insert(VARY, HeaderValue::from_static("Accept-Encoding"));
            }
            compress(&mut response);
            response
        };
        for plain in [response("", true), response("Consul Agent", false)] {
            assert!(!plain.headers().contains_key(CONTENT_ENCODING));
        }
        let small = response("x", true);
        assert_eq!(small.headers()[CONTENT_ENCODING], "gzip");
        assert_eq!(small.body()[..10], *b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff");
        let mut text = String::new();
        GzDecoder::new(&small.body()[..]).read_to_string(&mut text).expect("gzip");
        assert_eq!(text, "x");
    }
}
