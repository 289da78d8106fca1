//! As much of HCL 1 as policies are written in: `kind "name" { field = "text" }`, `kind = "text"`, the
//! same as nested objects, comments, and JSON. Nesting is limited; text from outside never panics.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::CharIndices;

use serde_json::Value;

/// How deep objects may nest; rules need three.
const DEEPEST: usize = 8;

/// A statement of a policy, such as `key "a" { policy = "read" }`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) kind: String,
    /// Empty when it has none.
    pub(super) name: String,
    /// Texts by field in small letters; the field of `operator = "read"` has an empty name.
    pub(super) fields: BTreeMap<String, String>,
}

/// A key and what it stands for; an object's members keep their order and may repeat.
type Members = Vec<(String, Node)>;

#[derive(Debug)]
enum Node {
    Text(String),
    Object(Members),
    /// A list or anything else: of no use in a rule but as JSON's way to repeat an object.
    List(Vec<Node>),
    Other,
}

/// The statements of a text in HCL or JSON.
///
/// # Errors
/// When it is neither.
pub(super) fn entries(text: &str) -> Result<Vec<Entry>, String> {
    let refused = |why| format!("Failed to parse ACL rules: {why}");
    let members = if text.trim_start().starts_with('{') {
        let value: Value = serde_json::from_str(text).map_err(|why| refused(why.to_string()))?;
        match from_json(value) {
            Node::Object(members) => members,
            _ => return Err(refused("not an object".to_owned())),
        }
    } else {
        let mut reader = Reader { text, rest: text.char_indices().peekable() };
        reader.members(None, 0).map_err(refused)?
    };
    let mut entries = Vec::new();
    for (kind, node) in members {
        statement(&kind, node, &mut entries);
    }
    Ok(entries)
}

fn from_json(value: Value) -> Node {
    match value {
        Value::String(text) => Node::Text(text),
        Value::Object(map) => {
            Node::Object(map.into_iter().map(|(name, value)| (name, from_json(value))).collect())
        }
        Value::Array(items) => Node::List(items.into_iter().map(from_json).collect()),
        _ => Node::Other,
    }
}

fn statement(kind: &str, node: Node, entries: &mut Vec<Entry>) {
    match node {
        Node::Text(text) => entries.push(Entry {
            kind: kind.to_owned(),
            name: String::new(),
            fields: BTreeMap::from([(String::new(), text)]),
        }),
        Node::Object(members) => {
            for (name, node) in members {
                named(kind, &name, node, entries);
            }
        }
        Node::List(items) => items.into_iter().for_each(|item| statement(kind, item, entries)),
        Node::Other => {}
    }
}

fn named(kind: &str, name: &str, node: Node, entries: &mut Vec<Entry>) {
    match node {
        Node::Object(members) => {
            let fields = members.into_iter().filter_map(|(field, node)| match node {
                Node::Text(text) => Some((field.to_ascii_lowercase(), text)),
                _ => None,
            });
            let (kind, name) = (kind.to_owned(), name.to_owned());
            entries.push(Entry { kind, name, fields: fields.collect() });
        }
        Node::List(items) => items.into_iter().for_each(|item| named(kind, name, item, entries)),
        Node::Text(_) | Node::Other => {}
    }
}

struct Reader<'a> {
    text: &'a str,
    rest: Peekable<CharIndices<'a>>,
}

impl Reader<'_> {
    /// Members until a closing brace, or the end.
    fn members(&mut self, closing: Option<char>, depth: usize) -> Result<Members, String> {
        let mut members = Vec::new();
        loop {
            match (self.next()?, closing) {
                (None, None) => return Ok(members),
                (None, Some(_)) => return self.wrong("object expected closing RBRACE got: EOF"),
                (Some(next), Some(closing)) if next == closing => {
                    self.rest.next();
                    return Ok(members);
                }
                (Some(','), _) if !members.is_empty() => {
                    self.rest.next();
                }
                _ => members.push(self.member(depth)?),
            }
        }
    }

    fn member(&mut self, depth: usize) -> Result<(String, Node), String> {
        let mut names = Vec::new();
        let value = loop {
            match self.next()? {
                Some('=') if !names.is_empty() => {
                    self.rest.next();
                    break self.value(depth)?;
                }
                Some('{') if !names.is_empty() => break self.value(depth)?,
                Some('"') => names.push(self.string()?),
                Some(next) if is_word(next) => names.push(self.word()),
                _ => return self.wrong("expected start of object ('{') or assignment ('=')"),
            }
        };
        let first = names.remove(0);
        let nested = |value, name| Node::Object(vec![(name, value)]);
        Ok((first, names.into_iter().rev().fold(value, nested)))
    }

    fn value(&mut self, depth: usize) -> Result<Node, String> {
        if depth == DEEPEST {
            return self.wrong("objects nest too deep");
        }
        match self.next()? {
            Some('{') => {
                self.rest.next();
                self.members(Some('}'), depth + 1).map(Node::Object)
            }
            Some('[') => {
                self.rest.next();
                self.list(depth + 1)
            }
            Some('"') => self.string().map(Node::Text),
            Some('<') => self.heredoc().map(Node::Text),
            Some(next) if is_word(next) => match self.word().as_str() {
                "true" | "false" => Ok(Node::Other),
                word if word.starts_with(|first: char| first.is_ascii_digit() || first == '-') => {
                    Ok(Node::Other)
                }
                _ => self.wrong("unknown token"),
            },
            _ => self.wrong("expected a value"),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Node, String> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                Some(']') => {
                    self.rest.next();
                    return Ok(Node::List(items));
                }
                Some(',') if !items.is_empty() => {
                    self.rest.next();
                }
                _ => items.push(self.value(depth)?),
            }
        }
    }

    fn word(&mut self) -> String {
        let mut word = String::new();
        while let Some((_, next)) = self.rest.next_if(|(_, next)| is_word(*next)) {
            word.push(next);
        }
        word
    }

    fn string(&mut self) -> Result<String, String> {
        self.rest.next();
        let mut text = String::new();
        loop {
            match self.rest.next().map(|(_, next)| next) {
                Some('"') => return Ok(text),
                Some('\\') => match self.rest.next().map(|(_, next)| next) {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some('r') => text.push('\r'),
                    Some(same @ ('"' | '\\')) => text.push(same),
                    _ => return self.wrong("illegal char escape"),
                },
                Some('\n') | None => return self.wrong("literal not terminated"),
                Some(next) => text.push(next),
            }
        }
    }

    /// `<<MARK`, lines, and the mark on a line of its own; with `<<-` it may be indented.
    fn heredoc(&mut self) -> Result<String, String> {
        let line = |reader: &mut Self| {
            let mut line = String::new();
            for (_, next) in reader.rest.by_ref() {
                line.push(next);
                if next == '\n' {
                    break;
                }
            }
            line
        };
        let opening = line(self);
        let mark = opening.trim_end().trim_start_matches("<<");
        let (mark, indented) = mark.strip_prefix('-').map_or((mark, false), |mark| (mark, true));
        let mut text = String::new();
        if mark.is_empty() {
            return self.wrong("heredoc expected a mark");
        }
        loop {
            let next = line(self);
            let bare = next.trim_end();
            if bare == mark || indented && bare.trim_start() == mark {
                return Ok(text);
            }
            if next.is_empty() {
                return self.wrong("heredoc not terminated");
            }
            text.push_str(&next);
        }
    }

    /// What follows white space and comments.
    fn next(&mut self) -> Result<Option<char>, String> {
        while let Some((at, next)) = self.rest.peek().copied() {
            match next {
                next if next.is_whitespace() => {
                    self.rest.next();
                }
                '#' => self.skip_line(),
                '/' if self.text[at..].starts_with("//") => self.skip_line(),
                '/' if self.text[at..].starts_with("/*") => {
                    let Some(length) = self.text[at + 2..].find("*/") else {
                        return self.wrong("comment not terminated");
                    };
                    while self.rest.next_if(|(here, _)| *here < at + length + 4).is_some() {}
                }
                next => return Ok(Some(next)),
            }
        }
        Ok(None)
    }

    fn skip_line(&mut self) {
        while self.rest.next_if(|(_, next)| *next != '\n').is_some() {}
    }

    fn wrong<T>(&mut self, what: &str) -> Result<T, String> {
        let at = self.rest.peek().map_or(self.text.len(), |(at, _)| *at);
        let line = self.text[..at].matches('\n').count() + 1;
        let column = self.text[..at].chars().rev().take_while(|next| *next != '\n').count() + 1;
        Err(format!("At {line}:{column}: {what}"))
    }
}

fn is_word(next: char) -> bool {
    next.is_alphanumeric() || matches!(next, '_' | '-' | '.')
}
