//! Where a text stops being JSON, in the words of Go's scanner.
//!
//! What a body means is read by another; this one only says what is wrong with one that nobody can read.

/// What can come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Value,
    FirstItem,
    FirstKey,
    Key,
    Colon,
    Separator,
}

/// A text, and how far it was read.
struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// Why a text is no JSON.
#[derive(Debug, PartialEq, Eq)]
enum Wrong {
    /// It ends before it is whole.
    End,
    /// What it has here, and where that is.
    Found(u8, String),
}

type Scanned = Result<(), Wrong>;

/// What Go says of the first value of `text`; nothing when it is one.
pub(super) fn complaint(text: &[u8]) -> Option<String> {
    match (Scanner { bytes: text, at: 0 }).value() {
        Ok(()) => None,
        Err(Wrong::End) => Some("unexpected EOF".to_owned()),
        Err(Wrong::Found(byte, place)) => Some(format!("invalid character {} {place}", quoted(byte))),
    }
}

/// How far the first value of `text` goes, or where it stops to be one.
pub(super) fn end(text: &[u8]) -> usize {
    let mut scanner = Scanner { bytes: text, at: 0 };
    // What is wrong with it, if anything, was said.
    scanner.value().ok();
    scanner.at
}

/// A character as Go quotes it.
fn quoted(byte: u8) -> String {
    match byte {
        b'\'' => r"'\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        b'\\' => r"'\\'".to_owned(),
        b'\n' => r"'\n'".to_owned(),
        b'\r' => r"'\r'".to_owned(),
        b'\t' => r"'\t'".to_owned(),
        0x07 => r"'\a'".to_owned(),
        0x08 => r"'\b'".to_owned(),
        0x0b => r"'\v'".to_owned(),
        0x0c => r"'\f'".to_owned(),
        byte if byte < 0x20 || byte == 0x7f => format!(r"'\x{byte:02x}'"),
        byte if (0x80..0xa0).contains(&byte) => format!(r"'\u{byte:04x}'"),
        0xa0 => r"'\u00a0'".to_owned(),
        0xad => r"'\u00ad'".to_owned(),
        byte => format!("'{}'", char::from(byte)),
    }
}

impl Scanner<'_> {
    fn peek(&self) -> Result<u8, Wrong> {
        self.bytes.get(self.at).copied().ok_or(Wrong::End)
    }

    fn next(&mut self) -> Result<u8, Wrong> {
        let byte = self.peek()?;
        self.at += 1;
        Ok(byte)
    }

    fn next_solid(&mut self) -> Result<u8, Wrong> {
        loop {
            match self.next()? {
                b' ' | b'\t' | b'\r' | b'\n' => {}
                byte => return Ok(byte),
            }
        }
    }

    /// One value, however deep: what is open is on a list and not on the stack.
    fn value(&mut self) -> Scanned {
        let mut open = Vec::new();
        let mut next = Next::Value;
        loop {
            let byte = self.next_solid()?;
            next = match (next, byte) {
                (Next::FirstItem, b']') | (Next::FirstKey, b'}') => {
                    open.pop();
                    Next::Separator
                }
                (Next::Value | Next::FirstItem, b'{') => {
                    open.push(byte);
                    Next::FirstKey
                }
                (Next::Value | Next::FirstItem, b'[') => {
                    open.push(byte);
                    Next::FirstItem
                }
                (Next::Value | Next::FirstItem, _) => {
                    self.scalar(byte)?;
                    Next::Separator
                }
                (Next::FirstKey | Next::Key, b'"') => {
                    self.text()?;
                    Next::Colon
                }
                (Next::FirstKey | Next::Key, _) => {
                    return found(byte, "looking for beginning of object key string");
                }
                (Next::Colon, b':') => Next::Value,
                (Next::Colon, _) => return found(byte, "after object key"),
                (Next::Separator, _) => self.separator(byte, &mut open)?,
            };
            if next == Next::Separator && open.is_empty() {
                return Ok(());
            }
        }
    }

    fn separator(&self, byte: u8, open: &mut Vec<u8>) -> Result<Next, Wrong> {
        let object = open.last() == Some(&b'{');
        match byte {
            b',' if object => Ok(Next::Key),
            b',' => Ok(Next::Value),
            b'}' if object => {
                open.pop();
                Ok(Next::Separator)
            }
            b']' if !object => {
                open.pop();
                Ok(Next::Separator)
            }
            _ if object => found(byte, "after object key:value pair"),
            _ => found(byte, "after array element"),
        }
    }

    fn scalar(&mut self, first: u8) -> Scanned {
        match first {
            b'"' => self.text(),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            b'-' => match self.next()? {
                digit @ b'0'..=b'9' => self.number(digit),
                other => found(other, "in numeric literal"),
            },
            b'0'..=b'9' => self.number(first),
            other => found(other, "looking for beginning of value"),
        }
    }

    /// The rest of a word whose first letter was read.
    fn literal(&mut self, word: &str) -> Scanned {
        for expected in word.bytes().skip(1) {
            let byte = self.next()?;
            if byte != expected {
                return found(byte, &format!("in literal {word} (expecting '{}')", char::from(expected)));
            }
        }
        Ok(())
    }

    /// The rest of a number whose first digit was read. What follows it is none of its business.
    fn number(&mut self, first: u8) -> Scanned {
        if first != b'0' {
            self.digits();
        }
        if self.peek() == Ok(b'.') {
            self.at += 1;
            self.digit("after decimal point in numeric literal")?;
            self.digits();
        }
        if matches!(self.peek(), Ok(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek()?, b'+' | b'-') {
                self.at += 1;
            }
            self.digit("in exponent of numeric literal")?;
            self.digits();
        }
        Ok(())
    }

    fn digit(&mut self, place: &str) -> Scanned {
        match self.next()? {
            b'0'..=b'9' => Ok(()),
            other => found(other, place),
        }
    }

    fn digits(&mut self) {
        while self.peek().is_ok_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
    }

    /// The rest of a text whose first quote was read.
    fn text(&mut self) -> Scanned {
        loop {
            match self.next()? {
                b'"' => return Ok(()),
                b'\\' => match self.next()? {
                    b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"' => {}
                    b'u' => {
                        for _ in 0..4 {
                            let byte = self.next()?;
                            if !byte.is_ascii_hexdigit() {
                                return found(byte, "in \\u hexadecimal character escape");
                            }
                        }
                    }
                    other => return found(other, "in string escape code"),
                },
                control @ 0..0x20 => return found(control, "in string literal"),
                _ => {}
            }
        }
    }
}

fn found<T>(byte: u8, place: &str) -> Result<T, Wrong> {
    Err(Wrong::Found(byte, place.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::complaint;

    /// As a real server says it, of bodies of `PUT /v1/session/create`.
    #[test]
    fn a_text_that_is_no_json_is_complained_of_in_gos_words() {
        for (text, said) in [
            (r#"{"Name":"a",}"#, "invalid character '}' looking for beginning of object key string"),
            (r#"{"Name":"a","b"}"#, "invalid character '}' after object key"),
            (r#"{"Name":"a" "b":1}"#, "invalid character '\"' after object key:value pair"),
            (r#"{"Name":"a":1}"#, "invalid character ':' after object key:value pair"),
            (r#"{Name:"a"}"#, "invalid character 'N' looking for beginning of object key string"),
            (r#"{"Name":tru}"#, "invalid character '}' in literal true (expecting 'e')"),
            (r#"{"Name":truX}"#, "invalid character 'X' in literal true (expecting 'e')"),
            (r#"{"Name":nul}"#, "invalid character '}' in literal null (expecting 'l')"),
            (r#"{"Name":"a\x"}"#, "invalid character 'x' in string escape code"),
            (r#"{"Checks":["a",]}"#, "invalid character ']' looking for beginning of value"),
            (r#"{"Checks":["a" "b"]}"#, "invalid character '\"' after array element"),
            (r#"{"TTL":-}"#, "invalid character '}' in numeric literal"),
            (r#"{"TTL":01}"#, "invalid character '1' after object key:value pair"),
            (r#"{"TTL":1.}"#, "invalid character '}' after decimal point in numeric literal"),
            (r#"{"TTL":1e}"#, "invalid character '}' in exponent of numeric literal"),
            ("{,}", "invalid character ',' looking for beginning of object key string"),
            (r#"{"Name":"\u12"}"#, "invalid character '\"' in \\u hexadecimal character escape"),
            ("zz", "invalid character 'z' looking for beginning of value"),
            ("[1,2", "unexpected EOF"),
            (r#"{"Name""#, "unexpected EOF"),
            (r#"{"Name":"#, "unexpected EOF"),
            ("-", "unexpected EOF"),
        ] {
            assert_eq!(complaint(text.as_bytes()).as_deref(), Some(said), "{text}");
        }
    }

    #[test]
    fn what_follows_the_first_value_is_nobodys() {
        for text in ["{\"Name\":\"a\"}}", "{} zz", "0", "12", "-1.5e+3,", " [ ] ", "null", "[[],{}]", "1e5x"]
        {
            assert_eq!(complaint(text.as_bytes()), None, "{text}");
        }
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert_eq!(complaint(deep.as_bytes()), None);
    }
}
