//! Strings, integers and booleans as Go writes and reads them.

use std::fmt::Write as _;
use std::sync::LazyLock;

use regex::Regex;

/// A string as `%q` shows it.
pub(super) fn quoted(text: &[u8]) -> String {
    written(text, "\\\"")
}

/// A string as a filter can spell it: a literal ends at the first quote, escaped or not.
pub(super) fn spelled(text: &[u8]) -> String {
    written(text, "\\x22")
}

fn written(text: &[u8], quote: &str) -> String {
    let mut out = String::from("\"");
    for chunk in text.utf8_chunks() {
        for next in chunk.valid().chars() {
            match next {
                '"' => out.push_str(quote),
                '\\' => out.push_str("\\\\"),
                '\x07' => out.push_str("\\a"),
                '\x08' => out.push_str("\\b"),
                '\x0c' => out.push_str("\\f"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\x0b' => out.push_str("\\v"),
                _ if is_printable(next) => out.push(next),
                ..' ' => {
                    let _ = write!(out, "\\x{:02x}", u32::from(next));
                }
                ..='\u{ffff}' => {
                    let _ = write!(out, "\\u{:04x}", u32::from(next));
                }
                _ => {
                    let _ = write!(out, "\\U{:08x}", u32::from(next));
                }
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out.push('"');
    out
}

/// Whether a character is shown as it is: a letter, mark, number, punctuation or symbol.
fn is_printable(next: char) -> bool {
    static PRINTABLE: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"^[\p{L}\p{M}\p{N}\p{P}\p{S}]$").ok());
    match next {
        ' '..='~' => true,
        '\0'..='\x7f' => false,
        _ => PRINTABLE.as_ref().is_some_and(|printable| printable.is_match(next.encode_utf8(&mut [0; 4]))),
    }
}

/// The text of a literal that begins and ends with a back quote or a double quote.
pub(super) fn unquote(literal: &str) -> Option<Vec<u8>> {
    if let Some(raw) = literal.strip_prefix('`') {
        return Some(raw.strip_suffix('`')?.replace('\r', "").into_bytes());
    }
    let text = literal.strip_prefix('"')?.strip_suffix('"')?;
    let mut out = Vec::new();
    let mut rest = text.chars();
    while let Some(next) = rest.next() {
        match next {
            '\n' => return None,
            '\\' => escape(&mut rest, &mut out)?,
            other => push(&mut out, other),
        }
    }
    Some(out)
}

fn push(out: &mut Vec<u8>, next: char) {
    out.extend_from_slice(next.encode_utf8(&mut [0; 4]).as_bytes());
}

fn escape(rest: &mut std::str::Chars<'_>, out: &mut Vec<u8>) -> Option<()> {
    let byte = match rest.next()? {
        'a' => 0x07,
        'b' => 0x08,
        'f' => 0x0c,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 0x0b,
        '\\' => b'\\',
        'x' => u8::try_from(digits(rest, 2, 16)?).ok()?,
        first @ '0'..='7' => {
            let first = first.to_digit(8)?;
            u8::try_from(first * 64 + digits(rest, 2, 8)?).ok()?
        }
        'u' => {
            push(out, character(digits(rest, 4, 16)?)?);
            return Some(());
        }
        'U' => {
            push(out, character(digits(rest, 8, 16)?)?);
            return Some(());
        }
        _ => return None,
    };
    out.push(byte);
    Some(())
}

/// Half a surrogate pair is no character, and Go writes the one that stands for those.
fn character(code: u32) -> Option<char> {
    char::from_u32(code).or_else(|| (code <= u32::from(char::MAX)).then_some(char::REPLACEMENT_CHARACTER))
}

fn digits(rest: &mut std::str::Chars<'_>, count: usize, radix: u32) -> Option<u32> {
    (0..count).try_fold(0_u32, |value, _| {
        let digit = rest.next()?.to_digit(radix)?;
        value.checked_mul(radix)?.checked_add(digit)
    })
}

/// A 64-bit integer with any of Go's prefixes.
///
/// # Errors
/// Go's words for what is wrong with it.
pub(super) fn integer(text: &[u8]) -> Result<i64, String> {
    let why = |why| format!("strconv.ParseInt: parsing {}: {why}", quoted(text));
    let invalid = || why("invalid syntax");
    let (negative, magnitude) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let (radix, spelled) = match magnitude {
        [b'0', b'x' | b'X', rest @ ..] if !rest.is_empty() => (16, rest),
        [b'0', b'o' | b'O', rest @ ..] if !rest.is_empty() => (8, rest),
        [b'0', b'b' | b'B', rest @ ..] if !rest.is_empty() => (2, rest),
        [b'0', rest @ ..] if !rest.is_empty() => (8, rest),
        rest => (10, rest),
    };
    if spelled.is_empty() {
        return Err(invalid());
    }
    let mut value = 0_u64;
    for byte in spelled.iter().filter(|byte| **byte != b'_') {
        let digit = char::from(*byte).to_digit(radix).ok_or_else(invalid)?;
        value = value
            .checked_mul(u64::from(radix))
            .and_then(|value| value.checked_add(u64::from(digit)))
            .ok_or_else(|| why("value out of range"))?;
    }
    if !underscores_separate(magnitude) {
        return Err(invalid());
    }
    let value = if negative { -i128::from(value) } else { i128::from(value) };
    i64::try_from(value).map_err(|_| why("value out of range"))
}

/// An underscore may stand between two digits, a prefix counting as one.
fn underscores_separate(magnitude: &[u8]) -> bool {
    let doubled = magnitude.windows(2).any(|pair| pair == b"__");
    !doubled && !magnitude.starts_with(b"_") && !magnitude.ends_with(b"_")
}

/// A boolean in any of Go's spellings.
///
/// # Errors
/// Go's words for what is wrong with it.
pub(super) fn boolean(text: &[u8]) -> Result<bool, String> {
    match text {
        b"1" | b"t" | b"T" | b"true" | b"TRUE" | b"True" => Ok(true),
        b"0" | b"f" | b"F" | b"false" | b"FALSE" | b"False" => Ok(false),
        _ => Err(format!("strconv.ParseBool: parsing {}: invalid syntax", quoted(text))),
    }
}
