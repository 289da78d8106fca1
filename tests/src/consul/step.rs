//! What is played: a request with blanks in it, and how it is written down.
//!
//! A line is `METHOD path`, then any headers as `[Name: value]`, then a body after ` | `:
//!
//! ```text
//! PUT /v1/kv/{k}a?acquire={s1} [X-Consul-Token: t] | one
//! WATCH /v1/kv/{k}a?index={i}&wait=10s
//! ```
//!
//! `WATCH` is a `GET` that is left waiting on a connection of its own while the next requests are sent.
//! The blanks: `{k}` starts the keys of this play, so that a lock-delay never reaches into another one;
//! `{s1}` is the first session created, `{i}` the last index reported, `«3*x»` is `xxx`.

use std::fmt;

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its method.
    pub method: String,
    /// Its path and query.
    pub path: String,
    /// Its headers, beside those every request has.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: String,
}

/// A request with blanks, and how it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What is sent.
    pub request: Request,
    /// Whether it is left waiting.
    pub watch: bool,
}

impl Request {
    /// A request without headers.
    pub fn new(method: &str, path: &str, body: &str) -> Self {
        Self { method: method.to_owned(), path: path.to_owned(), headers: Vec::new(), body: body.to_owned() }
    }

    /// A `GET`.
    #[must_use]
    pub fn get(path: &str) -> Self {
        Self::new("GET", path, "")
    }

    /// The same request with every text replaced.
    #[must_use]
    pub fn map(&self, text: impl Fn(&str) -> String) -> Self {
        Self {
            method: self.method.clone(),
            path: text(&self.path),
            headers: self.headers.iter().map(|(name, value)| (name.clone(), text(value))).collect(),
            body: text(&self.body),
        }
    }

    /// Whether it changes what the agent knows, which the catalog hears of a moment later.
    #[must_use]
    pub fn writes_to_agent(&self) -> bool {
        self.method == "PUT" && self.path.starts_with("/v1/agent/")
    }
}

impl Step {
    /// Reads a line.
    ///
    /// # Panics
    /// When it is not one.
    #[must_use]
    pub fn parse(line: &str) -> Self {
        let (head, body) = line.split_once(" | ").unwrap_or((line, ""));
        let (method, rest) = head.split_once(' ').unwrap_or_else(|| panic!("no path in {line:?}"));
        let (path, mut rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let mut headers = Vec::new();
        while let Some(tail) = rest.strip_prefix('[') {
            let (header, tail) = tail.split_once(']').unwrap_or_else(|| panic!("an open [ in {line:?}"));
            let (name, value) = header.split_once(": ").unwrap_or_else(|| panic!("no header in {line:?}"));
            headers.push((name.to_owned(), value.to_owned()));
            rest = tail.trim_start();
        }
        assert!(rest.is_empty(), "{rest:?} makes no sense in {line:?}");
        let watch = method == "WATCH";
        let method = if watch { "GET" } else { method };
        Self { request: Request { headers, ..Request::new(method, path, body) }, watch }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Request { method, path, headers, body } = &self.request;
        let method = if self.watch { "WATCH" } else { method };
        write!(f, "{method} {path}")?;
        for (name, value) in headers {
            write!(f, " [{name}: {value}]")?;
        }
        if !body.is_empty() {
            write!(f, " | {body}")?;
        }
        Ok(())
    }
}

/// Writes out every `«count*text»`.
///
/// # Panics
/// When a count is not a number.
#[must_use]
pub fn repeat(text: &str) -> String {
    let mut whole = String::new();
    let mut rest = text;
    while let Some((before, tail)) = rest.split_once('«') {
        let (inner, after) = tail.split_once('»').expect("a closed «");
        let (count, piece) = inner.split_once('*').expect("count*text");
        whole.push_str(before);
        whole.push_str(&piece.repeat(count.parse().expect("a count")));
        rest = after;
    }
    whole + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_written_as_it_was_read() {
        for line in [
            "GET /",
            "PUT /v1/kv/a?flags=1 | a | b",
            "WATCH /v1/kv/a?index={i} [Accept-Encoding: gzip] [X-Consul-Token: t]",
        ] {
            assert_eq!(Step::parse(line).to_string(), line);
        }
    }

    #[test]
    fn a_repeated_text_is_written_out() {
        assert_eq!(repeat("[«3*ab»,«0*x»]"), "[ababab,]");
    }
}
