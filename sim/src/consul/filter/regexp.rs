//! Regular expressions as Go's `regexp` reads them, on an engine of ours.
//!
//! The syntax is checked here, so that a bad one is refused in Go's words, and written out again in the
//! engine's: nearly the same language, but what is a class or a boundary of ASCII in Go is one of Unicode
//! there, and some spellings of one are something else in the other.

use std::fmt::Write as _;

use regex::bytes::Regex;

/// How many times something may be repeated, all repetitions within one another multiplied.
const MOST_REPEATS: u64 = 1000;

/// Makes a pattern ready.
///
/// # Errors
/// Go's words for what is wrong with it.
pub(in crate::consul) fn compile(pattern: &[u8]) -> Result<Regex, String> {
    let failed = |(what, text): Bad| format!("error parsing regexp: {what}: `{text}`");
    let Ok(text) = str::from_utf8(pattern) else {
        return Err(failed(("invalid UTF-8", String::from_utf8_lossy(pattern).into_owned())));
    };
    let mut translator = Translator { whole: text, rest: text, ..Translator::default() };
    translator.run().map_err(failed)?;
    // What Go takes and the engine does not: only sizes are left.
    Regex::new(&translator.out).map_err(|_| failed(("expression is too large", text.to_owned())))
}

/// What is wrong, and with which part.
type Bad = (&'static str, String);

type Read<T> = Result<T, Bad>;

fn bad<T>(what: &'static str, text: &str) -> Read<T> {
    Err((what, text.to_owned()))
}

#[derive(Default)]
struct Translator<'a> {
    whole: &'a str,
    rest: &'a str,
    out: String,
    /// Open groups, the pattern itself being the outermost.
    level: Level,
    outer: Vec<Level>,
}

/// What was read of a group so far.
#[derive(Default)]
struct Level {
    /// How often the last item repeats, itself and what is within it; `None` when there is nothing that
    /// could be repeated.
    last: Option<u64>,
    /// The most often anything in the group repeats.
    most: u64,
}

impl<'a> Translator<'a> {
    fn run(&mut self) -> Read<()> {
        // Where the repetition that was just read began: two in a row are an error.
        let mut repeated: Option<&'a str> = None;
        while let Some(next) = self.rest.chars().next() {
            let before = self.rest;
            let repeats = match next {
                '*' | '+' | '?' => Some((0, None)),
                '{' => count(before).map(|(least, most, _)| (least, Some(most))),
                _ => None,
            };
            if let Some((least, most)) = repeats {
                self.repeat(repeated, least, most)?;
                repeated = Some(before);
                continue;
            }
            repeated = None;
            match next {
                '(' => self.open()?,
                ')' => self.close()?,
                '|' => {
                    self.take(1);
                    self.out.push('|');
                    self.level.last = None;
                }
                '^' | '$' | '.' => {
                    self.take(1);
                    self.item(next);
                }
                '[' => self.class()?,
                '\\' => self.escape()?,
                _ => {
                    self.take(next.len_utf8());
                    self.literal(next);
                }
            }
        }
        if self.outer.is_empty() { Ok(()) } else { bad("missing closing )", self.whole) }
    }

    /// Passes over so many bytes.
    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        taken
    }

    /// What was read since.
    fn since(&self, before: &'a str) -> &'a str {
        &before[..before.len() - self.rest.len()]
    }

    fn item(&mut self, text: impl std::fmt::Display) {
        let _ = write!(self.out, "{text}");
        self.level.last = Some(1);
    }

    fn literal(&mut self, next: char) {
        if next.is_ascii_alphanumeric() || !next.is_ascii() {
            self.item(next);
        } else {
            self.item(format_args!("\\x{{{:x}}}", u32::from(next)));
        }
    }

    fn repeat(&mut self, stacked: Option<&'a str>, least: i64, most: Option<i64>) -> Read<()> {
        const TOO_OFTEN: &str = "invalid repeat count";
        let before = self.rest;
        match (most, count(before)) {
            (Some(_), Some((_, _, length))) => self.take(length),
            _ => self.take(1),
        };
        let limit = i64::try_from(MOST_REPEATS).unwrap_or(i64::MAX);
        let bound = most.unwrap_or(0);
        if least < 0 || least > limit || bound > limit || bound >= 0 && most.is_some() && least > bound {
            return bad(TOO_OFTEN, self.since(before));
        }
        let counted = self.since(before).len();
        if self.rest.starts_with('?') {
            self.take(1);
        }
        if let Some(stacked) = stacked {
            return bad("invalid nested repetition operator", self.since(stacked));
        }
        let Some(within) = self.level.last else {
            return bad("missing argument to repetition operator", self.since(before));
        };
        let times = match bound {
            _ if most.is_none() => 1,
            ..0 => least,
            bound => bound,
        };
        let times = within * u64::try_from(times.max(1)).unwrap_or(1);
        if (least >= 2 || bound >= 2) && times > MOST_REPEATS {
            return bad(TOO_OFTEN, self.since(before));
        }
        self.level.last = Some(times);
        self.level.most = self.level.most.max(times);
        // The engine reads the same spelling, and what is lazy in one is in the other.
        self.out.push_str(&before[..counted]);
        if self.since(before).len() > counted {
            self.out.push('?');
        }
        Ok(())
    }

    fn open(&mut self) -> Read<()> {
        if self.rest.starts_with("(?") {
            return self.open_with_flags();
        }
        self.take(1);
        self.enter("(");
        Ok(())
    }

    fn enter(&mut self, opening: &str) {
        self.out.push_str(opening);
        self.outer.push(std::mem::take(&mut self.level));
    }

    fn close(&mut self) -> Read<()> {
        let Some(outer) = self.outer.pop() else {
            return bad("unexpected )", self.whole);
        };
        self.take(1);
        self.out.push(')');
        let inner = std::mem::replace(&mut self.level, outer);
        self.level.last = Some(inner.most.max(1));
        self.level.most = self.level.most.max(inner.most);
        Ok(())
    }

    fn open_with_flags(&mut self) -> Read<()> {
        let before = self.rest;
        if before.starts_with("(?P<") && before.len() > "(?P<".len() {
            return self.open_named();
        }
        self.take(2);
        let (mut negated, mut any, mut flags) = (false, false, String::new());
        while let Some(next) = self.rest.chars().next() {
            self.take(next.len_utf8());
            match next {
                'i' | 'm' | 's' | 'U' => {
                    any = true;
                    flags.push(next);
                }
                '-' if !negated => {
                    (negated, any) = (true, false);
                    flags.push(next);
                }
                ':' | ')' if any || !negated => {
                    // A flag said twice is an error to the engine only, and the last to speak is right.
                    let flags = settled(&flags);
                    if next == ':' {
                        self.enter(&format!("(?{flags}:"));
                    } else if !flags.is_empty() {
                        let _ = write!(self.out, "(?{flags})");
                    }
                    return Ok(());
                }
                _ => break,
            }
        }
        bad("invalid or unsupported Perl syntax", self.since(before))
    }

    fn open_named(&mut self) -> Read<()> {
        const WHAT: &str = "invalid named capture";
        let Some(end) = self.rest.find('>') else {
            return bad(WHAT, self.rest);
        };
        let capture = self.take(end + 1);
        let name = &capture["(?P<".len()..end];
        if name.is_empty() || !name.chars().all(|next| next.is_ascii_alphanumeric() || next == '_') {
            return bad(WHAT, capture);
        }
        self.enter("(");
        Ok(())
    }

    fn escape(&mut self) -> Read<()> {
        let before = self.rest;
        let known = match before.as_bytes().get(1) {
            Some(b'A') => Some("\\A"),
            Some(b'z') => Some("\\z"),
            Some(b'b') => Some("(?-u:\\b)"),
            Some(b'B') => Some("(?-u:\\B)"),
            Some(b'C') => return bad("invalid escape sequence", "\\C"),
            Some(b'Q') => {
                self.take(2);
                let end = self.rest.find("\\E");
                let quoted = self.take(end.unwrap_or(self.rest.len()));
                quoted.chars().for_each(|next| self.literal(next));
                self.take(end.map_or(0, |_| 2));
                return Ok(());
            }
            _ => None,
        };
        if let Some(known) = known {
            self.take(2);
            self.item(known);
        } else if let Some(class) = self.named_class()? {
            self.item(format_args!("[{class}]"));
        } else {
            let next = self.escaped()?;
            self.literal(next);
        }
        Ok(())
    }

    /// `\d` and the like, and `\pN` and the like, as part of a class.
    fn named_class(&mut self) -> Read<Option<String>> {
        let before = self.rest;
        let class = match before.as_bytes().get(1) {
            Some(b'd') => "0-9",
            Some(b'D') => "[^0-9]",
            Some(b's') => r"\t\n\x0C\r\x20",
            Some(b'S') => r"[^\t\n\x0C\r\x20]",
            Some(b'w') => "0-9A-Za-z_",
            Some(b'W') => "[^0-9A-Za-z_]",
            Some(b'p' | b'P') => return self.unicode_class().map(Some),
            _ => return Ok(None),
        };
        self.take(2);
        Ok(Some(class.to_owned()))
    }

    fn unicode_class(&mut self) -> Read<String> {
        const WHAT: &str = "invalid character class range";
        let before = self.rest;
        let mut negated = before.as_bytes().get(1) == Some(&b'P');
        self.take(2);
        let name = match self.rest.chars().next() {
            Some('{') => {
                let Some(end) = self.rest.find('}') else {
                    return bad(WHAT, before);
                };
                &self.take(end + 1)[1..end]
            }
            Some(next) => self.take(next.len_utf8()),
            None => return bad(WHAT, before),
        };
        let plain = name.strip_prefix('^').unwrap_or(name);
        negated ^= plain.len() < name.len();
        let is_name =
            !plain.is_empty() && plain.chars().all(|next| next.is_ascii_alphabetic() || next == '_');
        let class = format!("\\{}{{{plain}}}", if negated { 'P' } else { 'p' });
        if is_name && Regex::new(&class).is_ok() { Ok(class) } else { bad(WHAT, self.since(before)) }
    }

    /// A character written with a backslash.
    fn escaped(&mut self) -> Read<char> {
        let before = self.rest;
        self.take(1);
        let Some(next) = self.rest.chars().next() else {
            return bad("trailing backslash at end of expression", "");
        };
        self.take(next.len_utf8());
        let code = match next {
            '0'..='7' => {
                // A single digit other than zero would refer back.
                let followed = self.rest.starts_with(|next| matches!(next, '0'..='7'));
                (next == '0' || followed).then(|| {
                    let more = self.rest.bytes().take(2).take_while(|byte| matches!(byte, b'0'..=b'7'));
                    let digits = more.count();
                    self.take(digits);
                    u32::from_str_radix(&self.since(before)[1..], 8).unwrap_or(0)
                })
            }
            'x' => self.hexadecimal(),
            'a' => Some(7),
            'f' => Some(12),
            'n' => Some(10),
            'r' => Some(13),
            't' => Some(9),
            'v' => Some(11),
            next if next.is_ascii() && !next.is_ascii_alphanumeric() => Some(u32::from(next)),
            _ => None,
        };
        match code.and_then(char::from_u32) {
            Some(character) => Ok(character),
            None => bad("invalid escape sequence", self.since(before)),
        }
    }

    fn hexadecimal(&mut self) -> Option<u32> {
        let first = self.rest.chars().next()?;
        self.take(first.len_utf8());
        if first != '{' {
            let second = self.rest.chars().next()?;
            self.take(second.len_utf8());
            return Some(first.to_digit(16)? * 16 + second.to_digit(16)?);
        }
        let mut code = None;
        loop {
            let next = self.rest.chars().next()?;
            self.take(next.len_utf8());
            if next == '}' {
                return code;
            }
            code = Some(code.unwrap_or(0) * 16 + next.to_digit(16)?);
            if code > Some(u32::from(char::MAX)) {
                return None;
            }
        }
    }

    fn class(&mut self) -> Read<()> {
        let whole = self.rest;
        self.take(1);
        let mut class = String::from("[");
        if self.rest.starts_with('^') {
            self.take(1);
            class.push('^');
        }
        let mut first = true;
        while first || !self.rest.starts_with(']') {
            first = false;
            if let Some(posix) = self.posix_class()? {
                class.push_str(posix);
            } else if self.rest.starts_with('\\')
                && let Some(named) = self.named_class()?
            {
                class.push_str(&named);
            } else {
                let range = self.rest;
                let low = self.class_character(whole)?;
                let mut high = low;
                if self.rest.starts_with('-') && self.rest.len() > 1 && !self.rest.starts_with("-]") {
                    self.take(1);
                    high = self.class_character(whole)?;
                    if high < low {
                        return bad("invalid character class range", self.since(range));
                    }
                }
                let _ = write!(class, "\\x{{{:x}}}-\\x{{{:x}}}", u32::from(low), u32::from(high));
            }
        }
        self.take(1);
        class.push(']');
        self.item(class);
        Ok(())
    }

    fn posix_class(&mut self) -> Read<Option<&'a str>> {
        const NAMES: [&str; 14] = [
            "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
            "space", "upper", "word", "xdigit",
        ];
        if !self.rest.starts_with("[:") {
            return Ok(None);
        }
        let Some(end) = self.rest[2..].find(":]") else {
            return Ok(None);
        };
        let class = self.take(end + 4);
        let name = &class[2..end + 2];
        if NAMES.contains(&name.strip_prefix('^').unwrap_or(name)) {
            return Ok(Some(class));
        }
        bad("invalid character class range", class)
    }

    fn class_character(&mut self, whole: &str) -> Read<char> {
        match self.rest.chars().next() {
            None => bad("missing closing ]", whole),
            Some('\\') => self.escaped(),
            Some(next) => {
                self.take(next.len_utf8());
                Ok(next)
            }
        }
    }
}

/// The bounds of `{n}`, `{n,}` or `{n,m}`, -1 for none or one too large to read, and its length. What
/// only looks like it is text.
fn count(text: &str) -> Option<(i64, i64, usize)> {
    let end = text.find('}')?;
    let (least, most) = match text[1..end].split_once(',') {
        None => (number(&text[1..end])?, number(&text[1..end])?),
        Some((least, "")) => (number(least)?, -1),
        Some((least, most)) => {
            let most = number(most)?;
            // One too large is worse than none.
            if most < 0 { (-1, most) } else { (number(least)?, most) }
        }
    };
    Some((least, most, end + 1))
}

fn number(digits: &str) -> Option<i64> {
    const TOO_LARGE: i64 = 100_000_000;
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !plain || digits.len() > 1 && digits.starts_with('0') {
        return None;
    }
    Some(digits.parse().ok().filter(|value| *value < TOO_LARGE).unwrap_or(-1))
}

/// Flags with each said once: on, then off.
fn settled(flags: &str) -> String {
    let (on, off) = flags.split_once('-').unwrap_or((flags, ""));
    let once = |flags: &str, not: &str| -> String {
        "imsU".chars().filter(|flag| flags.contains(*flag) && !not.contains(*flag)).collect()
    };
    let (on, off) = (once(on, off), once(off, ""));
    if off.is_empty() { on } else { format!("{on}-{off}") }
}
