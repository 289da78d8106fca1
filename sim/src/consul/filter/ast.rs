//! What an expression says, and how it is written down again.

use std::fmt::{self, Display as _};

use super::literal;

/// An expression. Only parentheses nest, and the grammar limits those.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expression {
    Or(Vec<Expression>),
    And(Vec<Expression>),
    Not(Box<Expression>),
    Match(Match),
}

impl Expression {
    /// The opposite; denied twice, it is itself.
    pub(super) fn denied(self) -> Self {
        match self {
            Self::Not(inner) => *inner,
            other => Self::Not(Box::new(other)),
        }
    }
}

/// A question about one field. Names and values are bytes: a quoted string can spell any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Match {
    pub(super) selector: Vec<Vec<u8>>,
    pub(super) operator: Operator,
    pub(super) value: Option<Vec<u8>>,
}

impl Match {
    /// A selector's first names, as messages show it.
    pub(super) fn shown(&self, names: usize) -> String {
        literal::quoted(&self.selector[..names.min(self.selector.len())].join(&b'.'))
    }
}

/// What is asked. `a contains b` is `b in a`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    In,
    NotIn,
    IsEmpty,
    IsNotEmpty,
    Matches,
    NotMatches,
}

impl Operator {
    /// Its name in messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Equal => "Equal",
            Self::NotEqual => "Not Equal",
            Self::In => "In",
            Self::NotIn => "Not In",
            Self::IsEmpty => "Is Empty",
            Self::IsNotEmpty => "Is Not Empty",
            Self::Matches => "Matches",
            Self::NotMatches => "Not Matches",
        }
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Or(operands) => join(f, operands, " or "),
            Self::And(operands) => join(f, operands, " and "),
            Self::Not(inner) => write!(f, "not ({inner})"),
            Self::Match(question) => question.fmt(f),
        }
    }
}

fn join(f: &mut fmt::Formatter<'_>, operands: &[Expression], word: &str) -> fmt::Result {
    for (index, operand) in operands.iter().enumerate() {
        if index > 0 {
            f.write_str(word)?;
        }
        match operand {
            Expression::Or(_) | Expression::And(_) => write!(f, "({operand})")?,
            _ => operand.fmt(f)?,
        }
    }
    Ok(())
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is called `not` would read as a denial in front of its operator.
        if let (Operator::NotIn, Some(value), Some(b"not")) =
            (&self.operator, &self.value, self.selector.first().map(Vec::as_slice))
        {
            write!(f, "{} not in ", literal::spelled(value))?;
            return self.spell_selector(f);
        }
        self.spell_selector(f)?;
        f.write_str(match self.operator {
            Operator::Equal => " == ",
            Operator::NotEqual => " != ",
            Operator::In => " contains ",
            Operator::NotIn => " not contains ",
            Operator::IsEmpty => " is empty",
            Operator::IsNotEmpty => " is not empty",
            Operator::Matches => " matches ",
            Operator::NotMatches => " not matches ",
        })?;
        self.value.as_ref().map_or(Ok(()), |value| f.write_str(&literal::spelled(value)))
    }
}

impl Match {
    fn spell_selector(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.selector.iter().enumerate() {
            match str::from_utf8(part) {
                Ok(name) if index == 0 => f.write_str(name)?,
                Ok(name) if is_identifier(name) => write!(f, ".{name}")?,
                _ => write!(f, "[{}]", literal::spelled(part))?,
            }
        }
        Ok(())
    }
}

fn is_identifier(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.chars().all(|next| next.is_ascii_alphanumeric() || next == '_')
}
