//! Who reads a request's body, and what is said before anybody does.
//!
//! Go hands a handler the body as a stream. Most handlers leave it alone, and some look at everything else
//! first; what is left of it then decides whether the connection can go on. So whoever reads requests asks
//! here before the body.

use bytes::Bytes;
use http::{Method, Response, Uri};

use super::params::{Asks, Form, Params};
use super::reply::Failure;
use super::{kv, percent_decode_str, syntax, txn};

/// What Go's decoder reads first; then it doubles its buffer and adds as much.
const FIRST_READ: usize = 512;

/// What becomes of a body.
#[derive(Debug)]
pub(in crate::consul) enum Fate {
    /// It is read.
    Read,
    /// Nobody looks at it.
    Unread,
    /// This is said, and nobody looks at it.
    Refused(Box<Response<Bytes>>),
}

/// What becomes of the body of a request whose head is known; `length` is what it says of its own.
pub(in crate::consul) fn fate(method: &Method, uri: &Uri, length: Option<u64>) -> Fate {
    let Some(tail) = uri.path().strip_prefix("/v1/").filter(|_| method == Method::PUT) else {
        return Fate::Unread;
    };
    let is_long = length.is_some_and(|length| length > kv::SIZE_MAX as u64);
    let refused = |failure: Failure| Fate::Refused(Box::new(failure.into_response()));
    if let Some(key) = tail.strip_prefix("kv/") {
        let query = uri.query().unwrap_or_default();
        if !Params::is_whole(query) {
            return Fate::Unread;
        }
        let params = Params::parse(query);
        // Which datacenter is asked only with the value in hand.
        let (_, wrong) = Form::parse(&params, Asks::of(tail), "");
        let key = percent_decode_str(key).decode_utf8_lossy();
        let wrong = wrong.or_else(|| kv::valueless(&key, &params).err());
        return match (wrong, length) {
            (Some(wrong), _) => refused(wrong),
            (None, Some(length)) if is_long => refused(kv::too_long(length, kv::LIMIT)),
            _ => Fate::Read,
        };
    }
    match (tail, length) {
        ("txn", Some(length)) if is_long => refused(kv::too_long(length, txn::LIMIT)),
        // They do not look at a body that says no length.
        ("session/create", None) => Fate::Unread,
        (tail, None) if tail.starts_with("event/fire/") => Fate::Unread,
        (tail, _) if reads(tail) => Fate::Read,
        _ => Fate::Unread,
    }
}

/// How much of a body that is read is left, because its first value ends before it does.
pub(in crate::consul) fn left_of(uri: &Uri, body: &[u8]) -> usize {
    let takes_all = ["/v1/kv/", "/v1/event/"].iter().any(|start| uri.path().starts_with(start));
    if takes_all {
        return 0;
    }
    let end = syntax::end(body);
    let mut read = FIRST_READ;
    while read < end {
        read = 2 * read + FIRST_READ;
    }
    body.len().saturating_sub(read)
}

/// Whether the endpoint of a path after `/v1/` looks at what is put to it.
fn reads(tail: &str) -> bool {
    const WHOLE: [&str; 7] = [
        "txn",
        "session/create",
        "catalog/register",
        "catalog/deregister",
        "coordinate/update",
        "agent/service/register",
        "agent/check/register",
    ];
    const TREES: [&str; 3] = ["agent/check/update/", "agent/token/", "event/fire/"];
    WHOLE.contains(&tail) || TREES.iter().any(|tree| tail.starts_with(tree))
}

#[cfg(test)]
mod tests {
    use http::{Method, Uri};

    use super::{Fate, fate, left_of};

    #[test]
    fn what_follows_a_value_is_left() {
        let body = format!("[]{}", "x".repeat(600_000));
        assert_eq!(left_of(&Uri::from_static("/v1/txn"), body.as_bytes()), body.len() - 512);
        assert_eq!(left_of(&Uri::from_static("/v1/kv/a"), body.as_bytes()), 0);
        let long = format!("[\"{}\"]", "x".repeat(600_000));
        assert_eq!(left_of(&Uri::from_static("/v1/txn"), long.as_bytes()), 0);
    }

    fn of(path: &str, length: Option<u64>) -> (String, String) {
        match fate(&Method::PUT, &path.parse::<Uri>().expect("a path"), length) {
            Fate::Read => ("read".to_owned(), String::new()),
            Fate::Unread => ("unread".to_owned(), String::new()),
            Fate::Refused(response) => {
                let text = String::from_utf8_lossy(response.body()).into_owned();
                (response.status().as_str().to_owned(), text)
            }
        }
    }

    #[test]
    fn an_endpoint_says_first_what_it_can_say_without_the_body() {
        for (path, length, becomes, of_it) in [
            ("/v1/kv/a", Some(524_288), "read", ""),
            ("/v1/kv/a", Some(524_289), "413", "Request body(524289 bytes) too large"),
            ("/v1/kv/a?dc=x", Some(524_289), "413", "Request body(524289 bytes) too large"),
            ("/v1/kv/a", None, "read", ""),
            ("/v1/kv/a?cas=zz", Some(524_289), "500", "strconv.ParseUint"),
            ("/v1/kv/a?cas=1&acquire=x", None, "400", "Conflicting flags"),
            ("/v1/kv/", Some(5), "400", "Missing key name"),
            ("/v1/kv/a?stale&consistent", Some(5), "400", "Cannot specify ?stale"),
            ("/v1/kv/a?%zz", Some(5), "unread", ""),
            ("/v1/txn", Some(524_289), "413", "#txn_max_req_len"),
            ("/v1/txn", None, "read", ""),
            ("/v1/session/create", Some(3), "read", ""),
            ("/v1/session/create", None, "unread", ""),
            ("/v1/session/renew/x", Some(3), "unread", ""),
            ("/v1/event/fire/x", None, "unread", ""),
            ("/v1/agent/check/update/x", None, "read", ""),
            ("/v1/nope", Some(3), "unread", ""),
        ] {
            let (became, text) = of(path, length);
            assert_eq!(became, becomes, "{path}");
            assert!(text.contains(of_it), "{path}: {text}");
        }
        let get = fate(&Method::GET, &Uri::from_static("/v1/kv/a"), Some(3));
        assert!(matches!(get, Fate::Unread), "only what is put is read");
    }
}
