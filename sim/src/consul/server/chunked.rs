//! A body that comes in chunks, each with its length before it.
//!
//! Pure: [`Chunks::take`] eats what it can of a buffer and says when the body is whole. The texts of its
//! errors are Go's; an endpoint that reads such a body answers with them.

use bytes::{Buf, BytesMut};

/// The longest line between chunks.
const LINE_MAX: usize = 4096;

/// A body so far.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    body: Vec<u8>,
    next: Next,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Next {
    #[default]
    Length,
    Data(usize),
    DataEnd,
    Trailer,
    Over,
}

/// Why a body cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// In Go's words.
    Malformed(&'static str),
    /// It is longer than anybody takes.
    TooLong,
}

impl Chunks {
    /// Takes from `buffer` what belongs to the body; true when it is whole.
    ///
    /// # Errors
    /// When what comes is no chunk, or the body outgrows `most`.
    pub(super) fn take(&mut self, buffer: &mut BytesMut, most: usize) -> Result<bool, Broken> {
        loop {
            match self.next {
                Next::Over => return Ok(true),
                Next::Data(left) => {
                    let now = left.min(buffer.len());
                    self.body.extend_from_slice(&buffer[..now]);
                    buffer.advance(now);
                    if now < left {
                        self.next = Next::Data(left - now);
                        return Ok(false);
                    }
                    self.next = Next::DataEnd;
                }
                Next::DataEnd => {
                    if buffer.len() < 2 {
                        return Ok(false);
                    }
                    if &buffer[..2] != b"\r\n" {
                        return Err(Broken::Malformed("malformed chunked encoding"));
                    }
                    buffer.advance(2);
                    self.next = Next::Length;
                }
                Next::Length | Next::Trailer => {
                    let Some(end) = buffer.iter().position(|byte| *byte == b'\n') else {
                        let long = buffer.len() >= LINE_MAX;
                        return if long { Err(Broken::Malformed("header line too long")) } else { Ok(false) };
                    };
                    if end >= LINE_MAX {
                        return Err(Broken::Malformed("header line too long"));
                    }
                    let line = buffer.split_to(end + 1);
                    self.next = match (self.next, line.trim_ascii_end()) {
                        (Next::Trailer, b"") => Next::Over,
                        (Next::Trailer, _) => Next::Trailer,
                        (_, line) => match length(line)? {
                            0 => Next::Trailer,
                            length if length > most - self.body.len() => return Err(Broken::TooLong),
                            length => Next::Data(length),
                        },
                    };
                }
            }
        }
    }

    /// The body.
    pub(super) fn into_body(self) -> Vec<u8> {
        self.body
    }
}

fn length(line: &[u8]) -> Result<usize, Broken> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii_end();
    let Some(digits) =
        std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
    else {
        return Err(Broken::Malformed("invalid byte in chunk length"));
    };
    if digits.len() > 16 {
        return Err(Broken::Malformed("http chunk length too large"));
    }
    if digits.is_empty() {
        return Ok(0);
    }
    usize::from_str_radix(digits, 16).map_err(|_| Broken::TooLong)
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::{Broken, Chunks};

    fn read(text: &str, most: usize) -> Result<Option<(String, String)>, Broken> {
        let mut buffer = BytesMut::from(text);
        let mut chunks = Chunks::default();
        let whole = chunks.take(&mut buffer, most)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(whole.then(|| (text(&chunks.into_body()), text(&buffer))))
    }

    #[test]
    fn a_body_is_put_together_and_what_follows_is_left() {
        let read = read("3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX: y\r\n\r\nGET /", 5);
        assert_eq!(read, Ok(Some(("abcde".to_owned(), "GET /".to_owned()))));
    }

    #[test]
    fn a_body_may_come_byte_by_byte() {
        let mut chunks = Chunks::default();
        let mut buffer = BytesMut::new();
        let mut whole = Vec::new();
        for byte in b"2\r\nab\r\n0\r\n\r\n" {
            buffer.extend_from_slice(&[*byte]);
            whole.push(chunks.take(&mut buffer, 9).expect("a chunk"));
        }
        assert_eq!(whole.iter().filter(|whole| **whole).count(), 1);
        assert_eq!(chunks.into_body(), b"ab");
    }

    #[test]
    fn what_is_no_chunk_is_said_so() {
        for (text, broken) in [
            ("zz\r\n", Broken::Malformed("invalid byte in chunk length")),
            ("11111111111111111\r\n", Broken::Malformed("http chunk length too large")),
            ("ffffffffffffffff\r\n", Broken::TooLong),
            ("1\r\nabc", Broken::Malformed("malformed chunked encoding")),
            ("6\r\n", Broken::TooLong),
            ("3\r\nabc\r\n3\r\n", Broken::TooLong),
        ] {
            assert_eq!(read(text, 5), Err(broken), "{text:?}");
        }
        let endless = "1".repeat(5000);
        assert_eq!(read(&endless, 5), Err(Broken::Malformed("header line too long")));
        assert_eq!(read("3\r\nab", 5), Ok(None));
    }
}
