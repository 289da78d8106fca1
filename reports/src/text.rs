//! Text from a record, made fit for a terminal or a file.
//!
//! A log message, a service's name or a request's path may hold anything: a terminal's control sequences,
//! line breaks that forge a line of ours, marks that reverse the reading direction, ten thousand
//! characters. [`plain`] makes all of that visible as `\u{1b}` and the like, and short. It also cuts UUIDs
//! to their first eight characters, everywhere alike, so that an id seen in one line is found in another.
//!
//! The rule a change must keep: what [`plain`] returns is one line without a single control character.

use std::time::Duration;

/// The longest text of a record that is shown, in characters.
const LONGEST: usize = 300;

/// The longest name that is shown in a column, in characters.
const LONGEST_NAME: usize = 32;

/// `text` on one line, with nothing in it that a terminal would obey, ids shortened, at most [`LONGEST`]
/// characters of it.
pub(crate) fn plain(text: &str) -> String {
    cut(&visible(&short_ids(text)), LONGEST)
}

/// A machine's name, for a column of its own.
pub(crate) fn name(text: &str) -> String {
    let name = visible(text);
    match name.char_indices().nth(LONGEST_NAME) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name,
    }
}

/// `text` with every character that would not show, or that changes how others show, written out.
pub(crate) fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\r' | '\t' => out.extend(character.escape_default()),
            _ if is_treacherous(character) => out.extend(character.escape_unicode()),
            _ => out.push(character),
        }
    }
    out
}

/// Whether a character would not show, or changes how others show.
pub(crate) fn is_treacherous(character: char) -> bool {
    character.is_control()
        || matches!(character,
            // Reading direction, zero width, line and paragraph separators, byte order mark.
            '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            // Invisible tags.
            | '\u{e0000}'..='\u{e007f}')
        // What is no character in any plane, and in XML an error for two of them.
        || u32::from(character) & 0xfffe == 0xfffe
}

/// At most `limit` characters of `text`, and how many more there were.
fn cut(text: &str, limit: usize) -> String {
    let Some((end, _)) = text.char_indices().nth(limit) else {
        return text.to_owned();
    };
    format!("{}… ({} more characters)", &text[..end], text[end..].chars().count())
}

/// `text` with `3f2a91bc…` in place of every UUID.
fn short_ids(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    // A run of hexadecimal digits before the UUID would make it something else.
    let mut inside_word = false;
    while let Some(first) = rest.chars().next() {
        let take = if !inside_word && starts_with_uuid(rest.as_bytes()) {
            out.push_str(&rest[..8]);
            out.push('…');
            UUID_LENGTH
        } else {
            out.push(first);
            first.len_utf8()
        };
        inside_word = first.is_ascii_alphanumeric();
        rest = &rest[take..];
    }
    out
}

const UUID_LENGTH: usize = 36;

fn starts_with_uuid(bytes: &[u8]) -> bool {
    bytes.len() >= UUID_LENGTH
        && bytes[..UUID_LENGTH].iter().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
        && !bytes.get(UUID_LENGTH).is_some_and(u8::is_ascii_alphanumeric)
}

/// A moment of a run: `128.417 s`.
pub(crate) fn moment(at: Duration) -> String {
    format!("{}.{:03} s", at.as_secs(), at.subsec_millis())
}

/// A time in whole microseconds.
pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// A length of time, as short as it reads well: `12 ms`, `4.2 s`, `2 min 5 s`, `3 h 20 min`, `12 d 4 h`.
pub(crate) fn length(length: Duration) -> String {
    let seconds = length.as_secs();
    let pair = |many: u64, unit: &str, few: u64, small: &str| match few {
        0 => format!("{many} {unit}"),
        _ => format!("{many} {unit} {few} {small}"),
    };
    match seconds {
        0 if !length.is_zero() => format!("{} ms", length.as_millis()),
        0 => "0 s".to_owned(),
        1..60 if length.subsec_millis() / 100 == 0 => format!("{seconds} s"),
        1..60 => format!("{seconds}.{} s", length.subsec_millis() / 100),
        60..3_600 => pair(seconds / 60, "min", seconds % 60, "s"),
        3_600..86_400 => pair(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        _ => pair(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

/// `1 run`, `2 runs`, `12,000 runs`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(number))
}

/// `12,345`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{LONGEST, grouped, length, moment, plain};

    #[test]
    fn nothing_a_terminal_obeys_gets_through() {
        let cases = [
            ("plain words stay, ünïcode too", "plain words stay, ünïcode too"),
            ("\u{1b}[2Jgone", r"\u{1b}[2Jgone"),
            ("\u{9b}2J", r"\u{9b}2J"),
            ("\u{1b}]0;title\u{7}", r"\u{1b}]0;title\u{7}"),
            ("one\ntwo\r\tthree\0", r"one\ntwo\r\tthree\u{0}"),
            ("a\u{7f}b", r"a\u{7f}b"),
            ("abc\u{202e}fed", r"abc\u{202e}fed"),
            ("no\u{200b}space", r"no\u{200b}space"),
            ("\u{fffe}\u{ffff}", r"\u{fffe}\u{ffff}"),
        ];
        for (text, shown) in cases {
            assert_eq!(plain(text), shown);
        }
    }

    #[test]
    fn long_text_is_cut_and_says_by_how_much() {
        assert_eq!(plain(&"é".repeat(LONGEST)), "é".repeat(LONGEST));
        let cut = plain(&"é".repeat(10_000));
        assert_eq!(cut, format!("{}… (9700 more characters)", "é".repeat(300)));
    }

    #[test]
    fn uuids_are_cut_to_eight_characters() {
        let cases = [
            ("3f2a91bc-0001-4002-8003-000000000001", "3f2a91bc…"),
            (
                "/v1/session/renew/3F2A91BC-0001-4002-8003-000000000001?dc=x",
                "/v1/session/renew/3F2A91BC…?dc=x",
            ),
            ("3f2a91bc-0001-4002-8003-000000000001:1-5", "3f2a91bc…:1-5"),
            // One digit too many on either side, or a short one: no UUID.
            ("a3f2a91bc-0001-4002-8003-000000000001", "a3f2a91bc-0001-4002-8003-000000000001"),
            ("3f2a91bc-0001-4002-8003-0000000000011", "3f2a91bc-0001-4002-8003-0000000000011"),
            ("3f2a91bc-0001-4002-8003-00000000", "3f2a91bc-0001-4002-8003-00000000"),
            ("3f2a91bc-0001-4002-8003-00000000000é", "3f2a91bc-0001-4002-8003-00000000000é"),
        ];
        for (text, shown) in cases {
            assert_eq!(plain(text), shown);
        }
    }

    #[test]
    fn times_read_well() {
        assert_eq!(moment(Duration::from_micros(128_417_999)), "128.417 s");
        let cases = [
            (0, "0 s"),
            (12, "12 ms"),
            (1_000, "1 s"),
            (4_270, "4.2 s"),
            (60_000, "1 min"),
            (125_999, "2 min 5 s"),
            (12_000_000, "3 h 20 min"),
            (1_052_000_000, "12 d 4 h"),
        ];
        for (millis, shown) in cases {
            assert_eq!(length(Duration::from_millis(millis)), shown);
        }
    }

    #[test]
    fn great_numbers_are_grouped() {
        for (number, shown) in [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345_678, "12,345,678")] {
            assert_eq!(grouped(number), shown);
        }
    }
}
