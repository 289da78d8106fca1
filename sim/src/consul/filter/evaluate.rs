//! An expression made ready for one kind of record, and asked of one.

use regex::bytes::Regex;
use serde_json::Value;

use super::ast::{Expression, Match, Operator};
use super::fields::Field;
use super::{literal, regexp};

/// An expression whose selectors, operators and values were found good.
#[derive(Debug)]
pub(super) enum Question {
    Always,
    Any(Vec<Question>),
    All(Vec<Question>),
    Not(Box<Question>),
    Field { selector: Vec<Vec<u8>>, operator: Operator, wanted: Wanted },
}

/// The value of a question, read as its field's type.
#[derive(Debug)]
pub(super) enum Wanted {
    Nothing,
    Text(Vec<u8>),
    Integer(i64),
    Boolean(bool),
    Pattern(Regex),
}

impl Question {
    /// # Errors
    /// The first thing wrong with it, from left to right, in Consul's words.
    pub(super) fn about(expression: &Expression, root: Field) -> Result<Self, String> {
        let each = |operands: &[Expression]| -> Result<Vec<Self>, String> {
            operands.iter().map(|operand| Self::about(operand, root)).collect()
        };
        Ok(match expression {
            Expression::Or(operands) => Self::Any(each(operands)?),
            Expression::And(operands) => Self::All(each(operands)?),
            Expression::Not(inner) => Self::Not(Box::new(Self::about(inner, root)?)),
            Expression::Match(question) => Self::Field {
                selector: question.selector.clone(),
                operator: question.operator,
                wanted: wanted(question, root)?,
            },
        })
    }

    /// Whether a record answers yes; `None` when it lacks what a real server cannot do without.
    pub(super) fn ask(&self, record: Option<&Value>, root: Field) -> Option<bool> {
        match self {
            Self::Always => Some(true),
            Self::Any(questions) => first(questions, true, |question| question.ask(record, root)),
            Self::All(questions) => first(questions, false, |question| question.ask(record, root)),
            Self::Not(question) => question.ask(record, root).map(|yes| !yes),
            Self::Field { selector, operator, wanted } => {
                Asked { operator: *operator, wanted }.of(record, root, selector)
            }
        }
    }
}

/// The first answer that settles it, or the opposite when none does.
fn first<T>(all: &[T], settles: bool, ask: impl Fn(&T) -> Option<bool>) -> Option<bool> {
    for one in all {
        if ask(one)? == settles {
            return Some(settles);
        }
    }
    Some(!settles)
}

fn wanted(question: &Match, root: Field) -> Result<Wanted, String> {
    let mut field = root;
    for (depth, name) in question.selector.iter().enumerate() {
        field = field
            .within(name)
            .ok_or_else(|| format!("Selector {} is not valid", question.shown(depth + 1)))?;
    }
    let selector = question.shown(question.selector.len());
    let operator = question.operator;
    if !field.supports(operator) {
        return Err(format!("Invalid match operator {:?} for selector {selector}", operator.name()));
    }
    let Some(value) = &question.value else {
        return Ok(Wanted::Nothing);
    };
    let refused =
        |why| format!("Failed to coerce value {} for selector {selector}: {why}", literal::quoted(value));
    match field {
        Field::Integer => literal::integer(value).map(Wanted::Integer).map_err(refused),
        Field::Boolean => literal::boolean(value).map(Wanted::Boolean).map_err(refused),
        _ if matches!(operator, Operator::Matches | Operator::NotMatches) => regexp::compile(value)
            .map(Wanted::Pattern)
            .map_err(|why| format!("Failed to compile regular expression {}: {why}", literal::quoted(value))),
        _ => Ok(Wanted::Text(value.clone())),
    }
}

/// One question on its way down a record.
struct Asked<'a> {
    operator: Operator,
    wanted: &'a Wanted,
}

impl Asked<'_> {
    /// Follows the rest of the selector. What a record does not show is empty.
    fn of(&self, value: Option<&Value>, field: Field, selector: &[Vec<u8>]) -> Option<bool> {
        let Some((name, rest)) = selector.split_first() else {
            return Some(self.answer(value, field));
        };
        let inner = field.within(name)?;
        match field {
            Field::Records(fields) => {
                let items = value.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
                first(items, true, |item| self.of(Some(item), Field::Record(fields), selector))
            }
            Field::Map(_) => match member(value, name) {
                Some(found) => self.of(Some(found), inner, rest),
                // As the real one has it: what is not there matches every pattern, and none.
                None => Some(!matches!(self.operator, Operator::Equal | Operator::IsNotEmpty | Operator::In)),
            },
            _ => match (member(value, name), inner) {
                (None, Field::Optional(_)) => None,
                (found, _) => self.of(found, inner, rest),
            },
        }
    }

    fn answer(&self, value: Option<&Value>, field: Field) -> bool {
        match self.operator {
            Operator::Equal => self.equals(value),
            Operator::NotEqual => !self.equals(value),
            Operator::In => self.is_in(value, field),
            Operator::NotIn => !self.is_in(value, field),
            Operator::IsEmpty => is_empty(value),
            Operator::IsNotEmpty => !is_empty(value),
            Operator::Matches => self.is_match(value),
            Operator::NotMatches => !self.is_match(value),
        }
    }

    fn equals(&self, value: Option<&Value>) -> bool {
        match self.wanted {
            Wanted::Text(wanted) => text(value) == wanted.as_slice(),
            Wanted::Integer(wanted) => value.and_then(Value::as_i64).unwrap_or(0) == *wanted,
            Wanted::Boolean(wanted) => value.and_then(Value::as_bool).unwrap_or(false) == *wanted,
            Wanted::Nothing | Wanted::Pattern(_) => false,
        }
    }

    fn is_in(&self, value: Option<&Value>, field: Field) -> bool {
        let Wanted::Text(wanted) = self.wanted else {
            return false;
        };
        match field {
            Field::Map(_) => {
                let name = str::from_utf8(wanted).ok();
                name.is_some_and(|name| value.is_some_and(|value| value.get(name).is_some()))
            }
            Field::Texts => {
                let items = value.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
                items.iter().any(|item| text(Some(item)) == wanted.as_slice())
            }
            _ => {
                let text = text(value);
                wanted.is_empty() || text.windows(wanted.len()).any(|part| part == wanted.as_slice())
            }
        }
    }

    fn is_match(&self, value: Option<&Value>) -> bool {
        match self.wanted {
            Wanted::Pattern(pattern) => pattern.is_match(text(value)),
            _ => false,
        }
    }
}

/// A member of an object; null is as good as none.
fn member<'a>(value: Option<&'a Value>, name: &[u8]) -> Option<&'a Value> {
    value?.get(str::from_utf8(name).ok()?).filter(|member| !member.is_null())
}

fn text(value: Option<&Value>) -> &[u8] {
    value.and_then(Value::as_str).unwrap_or_default().as_bytes()
}

fn is_empty(value: Option<&Value>) -> bool {
    match value {
        Some(Value::Array(items)) => items.is_empty(),
        Some(Value::Object(members)) => members.is_empty(),
        _ => true,
    }
}
