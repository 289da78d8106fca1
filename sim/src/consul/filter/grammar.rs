//! The grammar of filter expressions, and the complaints of Consul's parser to the byte.
//!
//! Consul's parser is a packrat-less PEG machine. When nothing matches it reports the farthest place any
//! terminal failed at and every terminal that was tried there, so what is reported depends on what was
//! *tried*, not only on what was accepted. The rule a change must keep: every function here tries the
//! same terminals at the same places as the grammar's rule of that name. Trying one twice changes
//! nothing, which is what lets the rules below not go back where the original does: it needs four times
//! as long for every pair of parentheses, this needs a pass.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::ast::{Expression, Match, Operator};
use super::literal;

/// How deep parentheses may nest. The original has no limit but its patience: twelve take it minutes.
const DEEPEST: usize = 64;

/// What separates words.
const SPACE: &str = r"[ \t\r\n]";

/// Reads an expression.
///
/// # Errors
/// What the parser says of it, a line each when it has more than one thing to say.
pub(super) fn parse(text: &str) -> Result<Expression, String> {
    let mut parser = Parser::new(text);
    let parsed = parser.input();
    if parser.too_deep {
        return Err(format!("expression nests deeper than {DEEPEST} parentheses"));
    }
    match parsed {
        Some(expression) if parser.complaints.is_empty() => Ok(expression),
        None if parser.complaints.is_empty() => Err(parser.nothing_matched()),
        _ => Err(parser.complaints.join("\n")),
    }
}

/// A place in the text: lines and columns as the original counts them, columns in characters and a line
/// feed being column 0 of the line it starts.
#[derive(Debug, Clone, Copy)]
struct Place {
    line: usize,
    column: usize,
    offset: usize,
}

struct Parser<'a> {
    text: &'a str,
    at: Place,
    /// The farthest place a terminal failed at, and what was expected there.
    farthest: Place,
    expected: BTreeSet<String>,
    /// Within an odd number of `!`: a terminal that matches is the failure.
    inverted: bool,
    /// What the grammar itself says of the text, each once.
    complaints: Vec<String>,
    depth: usize,
    too_deep: bool,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Self {
        let start = Place { line: 1, column: 1, offset: 0 };
        let mut parser = Self {
            text,
            at: start,
            farthest: start,
            expected: BTreeSet::new(),
            inverted: false,
            complaints: Vec::new(),
            depth: 0,
            too_deep: false,
        };
        if parser.next() == Some('\n') {
            parser.at = Place { line: 2, column: 0, offset: 0 };
        }
        parser
    }

    fn nothing_matched(mut self) -> String {
        let at_end = self.expected.remove("!.");
        let mut expected: Vec<String> = self.expected.into_iter().collect();
        if at_end {
            expected.push("EOF".to_owned());
        }
        let Place { line, column, offset } = self.farthest;
        let mut message = format!("{line}:{column} ({offset}): no match found, expected: ");
        if let Some(last) = expected.pop() {
            if !expected.is_empty() {
                let _ = write!(message, "{} or ", expected.join(", "));
            }
            message.push_str(&last);
        }
        message
    }

    // What rules are made of.

    fn next(&self) -> Option<char> {
        self.text[self.at.offset..].chars().next()
    }

    fn advance(&mut self) {
        if let Some(passed) = self.next() {
            self.at.offset += passed.len_utf8();
            self.at.column += 1;
            if self.next() == Some('\n') {
                self.at.line += 1;
                self.at.column = 0;
            }
        }
    }

    /// Notes that a terminal was tried.
    fn tried(&mut self, matched: bool, place: Place, terminal: &str) {
        if matched != self.inverted || place.offset < self.farthest.offset {
            return;
        }
        if place.offset > self.farthest.offset {
            self.farthest = place;
            self.expected.clear();
        }
        let bang = if self.inverted { "!" } else { "" };
        self.expected.insert(format!("{bang}{terminal}"));
    }

    fn literal(&mut self, wanted: &str) -> bool {
        let start = self.at;
        let matched = self.text[start.offset..].starts_with(wanted);
        if matched {
            wanted.chars().for_each(|_| self.advance());
        }
        self.tried(matched, start, &literal::quoted(wanted.as_bytes()));
        matched
    }

    fn class(&mut self, name: &str, holds: impl Fn(char) -> bool) -> bool {
        let start = self.at;
        let matched = self.next().is_some_and(holds);
        if matched {
            self.advance();
        }
        self.tried(matched, start, name);
        matched
    }

    fn classes(&mut self, name: &str, holds: impl Fn(char) -> bool + Copy) {
        while self.class(name, holds) {}
    }

    fn any(&mut self) -> bool {
        self.class(".", |_| true)
    }

    fn end(&mut self) -> bool {
        self.not(Self::any)
    }

    /// `!rule`.
    fn not(&mut self, rule: impl FnOnce(&mut Self) -> bool) -> bool {
        let start = self.at;
        self.inverted = !self.inverted;
        let matched = rule(self);
        self.inverted = !self.inverted;
        self.at = start;
        !matched
    }

    /// A sequence: takes nothing unless all of it is there.
    fn all<T>(&mut self, rule: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let start = self.at;
        let matched = rule(self);
        if matched.is_none() {
            self.at = start;
        }
        matched
    }

    fn complain(&mut self, place: Place, rule: &str, what: &str) {
        let Place { line, column, offset } = place;
        let complaint = format!("{line}:{column} ({offset}): rule {rule:?}: {what}");
        if !self.complaints.contains(&complaint) {
            self.complaints.push(complaint);
        }
    }

    fn space(&mut self) -> bool {
        let is_space = |next| matches!(next, ' ' | '\t' | '\r' | '\n');
        let some = self.class(SPACE, is_space);
        if some {
            self.classes(SPACE, is_space);
        }
        some
    }

    /// White space, a word, white space.
    fn word(&mut self, word: &str) -> bool {
        self.all(|p| (p.space() && p.literal(word) && p.space()).then_some(())).is_some()
    }

    /// White space before every word, and none needed after the last.
    fn words(&mut self, words: &[&str]) -> bool {
        self.all(|p| words.iter().all(|word| p.space() && p.literal(word)).then_some(())).is_some()
    }

    // The rules.

    fn input(&mut self) -> Option<Expression> {
        let parenthesised = self.all(|p| {
            p.space();
            let inner = p.between_parentheses()?;
            p.space();
            p.end().then_some(inner)
        });
        parenthesised.or_else(|| {
            self.all(|p| {
                p.space();
                let expression = p.or_expression()?;
                p.space();
                p.end().then_some(expression)
            })
        })
    }

    /// `"(" _? OrExpression _? ")"`.
    fn between_parentheses(&mut self) -> Option<Expression> {
        self.all(|p| {
            if !p.literal("(") {
                return None;
            }
            p.space();
            let inner = p.or_expression()?;
            p.space();
            if p.literal(")") {
                return Some(inner);
            }
            p.complain(p.at, "grouping", "Unmatched parentheses");
            None
        })
    }

    fn or_expression(&mut self) -> Option<Expression> {
        self.chain("or", Self::and_expression, Expression::Or)
    }

    fn and_expression(&mut self) -> Option<Expression> {
        self.chain("and", Self::not_expression, Expression::And)
    }

    /// Operands with a word between them; a word without an operand after it is left alone.
    fn chain(
        &mut self,
        word: &str,
        operand: fn(&mut Self) -> Option<Expression>,
        join: fn(Vec<Expression>) -> Expression,
    ) -> Option<Expression> {
        let first = operand(self)?;
        let mut rest = Vec::new();
        while let Some(next) = self.all(|p| if p.word(word) { operand(p) } else { None }) {
            rest.push(next);
        }
        if rest.is_empty() {
            return Some(first);
        }
        rest.insert(0, first);
        Some(join(rest))
    }

    /// Any number of `not`, and what they deny. A `not` may turn out to be the name of something, so the
    /// nearest to the end that leaves an operand counts.
    fn not_expression(&mut self) -> Option<Expression> {
        let start = self.at;
        let mut starts = vec![start];
        while self.all(|p| (p.literal("not") && p.space()).then_some(())).is_some() {
            starts.push(self.at);
        }
        while let Some(from) = starts.pop() {
            self.at = from;
            if let Some(mut operand) = self.parenthesized_expression() {
                for _ in &starts {
                    operand = operand.denied();
                }
                return Some(operand);
            }
        }
        self.at = start;
        None
    }

    fn parenthesized_expression(&mut self) -> Option<Expression> {
        if self.depth == DEEPEST {
            self.too_deep = true;
            return None;
        }
        self.depth += 1;
        let grouped = self.between_parentheses();
        self.depth -= 1;
        grouped.or_else(|| self.match_expression().map(Expression::Match))
    }

    fn match_expression(&mut self) -> Option<Match> {
        self.all(|p| {
            let selector = p.selector()?;
            let operator = p.operator_before_value()?;
            let value = p.value()?;
            Some(Match { selector, operator, value: Some(value) })
        })
        .or_else(|| {
            self.all(|p| {
                let selector = p.selector()?;
                let operator = p.emptiness()?;
                Some(Match { selector, operator, value: None })
            })
        })
        .or_else(|| self.value_in_selector())
    }

    fn value_in_selector(&mut self) -> Option<Match> {
        self.all(|p| {
            let value = p.value()?;
            let operator = p.membership()?;
            let selector = p.selector();
            if selector.is_none() && p.not(|p| p.selector().is_some()) {
                p.complain(p.at, "match", "Invalid selector");
            }
            Some(Match { selector: selector?, operator, value: Some(value) })
        })
    }

    fn operator_before_value(&mut self) -> Option<Operator> {
        for (sign, operator) in [("==", Operator::Equal), ("!=", Operator::NotEqual)] {
            let found = self.all(|p| {
                p.space();
                p.literal(sign).then_some(())
            });
            if found.is_some() {
                self.space();
                return Some(operator);
            }
        }
        for (word, plain, negated) in [
            ("contains", Operator::In, Operator::NotIn),
            ("matches", Operator::Matches, Operator::NotMatches),
        ] {
            if self.word(word) {
                return Some(plain);
            }
            if self.all(|p| (p.words(&["not", word]) && p.space()).then_some(())).is_some() {
                return Some(negated);
            }
        }
        None
    }

    fn emptiness(&mut self) -> Option<Operator> {
        if self.words(&["is", "empty"]) {
            return Some(Operator::IsEmpty);
        }
        self.words(&["is", "not", "empty"]).then_some(Operator::IsNotEmpty)
    }

    fn membership(&mut self) -> Option<Operator> {
        if self.word("in") {
            return Some(Operator::In);
        }
        self.all(|p| (p.words(&["not", "in"]) && p.space()).then_some(Operator::NotIn))
    }

    fn selector(&mut self) -> Option<Vec<Vec<u8>>> {
        let mut parts = vec![self.identifier()?];
        while let Some(part) = self.selector_or_index() {
            parts.push(part);
        }
        Some(parts)
    }

    fn identifier(&mut self) -> Option<Vec<u8>> {
        let start = self.at.offset;
        if !self.class("[a-zA-Z]", |next| next.is_ascii_alphabetic()) {
            return None;
        }
        self.classes("[a-zA-Z0-9_]", |next| next.is_ascii_alphanumeric() || next == '_');
        Some(self.text.as_bytes()[start..self.at.offset].to_vec())
    }

    fn selector_or_index(&mut self) -> Option<Vec<u8>> {
        let dotted = self.all(|p| if p.literal(".") { p.identifier() } else { None });
        dotted.or_else(|| self.index())
    }

    fn index(&mut self) -> Option<Vec<u8>> {
        self.all(|p| {
            if !p.literal("[") {
                return None;
            }
            p.space();
            let opened = p.at;
            let Some(key) = p.string() else {
                p.at = opened;
                if p.not(|p| p.string().is_some()) {
                    p.complain(p.at, "index", "Invalid index");
                }
                return None;
            };
            p.space();
            if p.literal("]") {
                return Some(key);
            }
            p.complain(p.at, "index", "Unclosed index expression");
            None
        })
    }

    fn value(&mut self) -> Option<Vec<u8>> {
        self.selector().map(|parts| parts.join(&b'.')).or_else(|| self.number()).or_else(|| self.string())
    }

    fn number(&mut self) -> Option<Vec<u8>> {
        self.all(|p| {
            let start = p.at.offset;
            p.literal("-");
            p.integer_or_float()?;
            if p.after_numbers() {
                return Some(p.text.as_bytes()[start..p.at.offset].to_vec());
            }
            if p.not(Self::after_numbers) {
                p.complain(p.at, "number", "Invalid number literal");
            }
            None
        })
    }

    fn integer_or_float(&mut self) -> Option<()> {
        let is_digit = |next: char| next.is_ascii_digit();
        if !self.literal("0") {
            if !self.class("[1-9]", |next| matches!(next, '1'..='9')) {
                return None;
            }
            self.classes("[0-9]", is_digit);
        }
        self.all(|p| {
            if !p.literal(".") || !p.class("[0-9]", is_digit) {
                return None;
            }
            p.classes("[0-9]", is_digit);
            Some(())
        });
        Some(())
    }

    /// Whether a number may end here; takes nothing.
    fn after_numbers(&mut self) -> bool {
        let start = self.at;
        let ends = self.space() || self.end() || self.literal(")");
        self.at = start;
        ends
    }

    fn string(&mut self) -> Option<Vec<u8>> {
        let start = self.at;
        self.all(|p| {
            let quote = ["`", "\""].into_iter().find(|quote| p.literal(quote))?;
            while p.not(|p| p.literal(quote)) && p.any() {}
            if !p.literal(quote) {
                if p.end() {
                    p.complain(p.at, "string", "Unterminated string literal");
                }
                return None;
            }
            let unquoted = literal::unquote(&p.text[start.offset..p.at.offset]);
            if unquoted.is_none() {
                p.complain(start, "string", "invalid syntax");
            }
            Some(unquoted.unwrap_or_default())
        })
    }
}
