//! A YAML value whose texts have been read for expressions once.

use std::ops::Range;

use super::lexer::SyntaxError;
use super::{Expr, parser};
use crate::{Diagnostic, Node, NodeValue, Position, Value};

/// A value that is evaluated later, as often as needed.
#[derive(Clone, Debug)]
pub(crate) struct Term {
    pub(crate) kind: Kind,
    pub(crate) position: Position,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// A scalar without expressions.
    Value(Value),
    /// A scalar that is one expression: keeps its type.
    Expr(Expr),
    /// Expressions inside text.
    Text(Vec<Part>),
    List(Vec<Term>),
    Map(Vec<(String, Term)>),
}

#[derive(Clone, Debug)]
pub(crate) enum Part {
    Literal(String),
    Expr(Expr),
}

impl Term {
    /// Reads all expressions in `node`. What is no expression becomes null, and a mistake.
    pub(crate) fn compile(node: &Node, mistakes: &mut Vec<Diagnostic>) -> Self {
        let kind = match &node.value {
            NodeValue::String(text) => {
                compile_text(text, &node.position).unwrap_or_else(|mistake| {
                    mistakes.push(mistake);
                    Kind::Value(Value::Null)
                })
            }
            NodeValue::List(items) => Kind::List(
                items
                    .iter()
                    .map(|item| Self::compile(item, mistakes))
                    .collect(),
            ),
            NodeValue::Map(entries) => Kind::Map(
                entries
                    .iter()
                    .map(|(key, value)| (key.name.clone(), Self::compile(value, mistakes)))
                    .collect(),
            ),
            _ => Kind::Value(node.to_value()),
        };
        Self {
            kind,
            position: node.position.clone(),
        }
    }

    /// Nothing, at `position`.
    pub(crate) fn null(position: Position) -> Self {
        Self {
            kind: Kind::Value(Value::Null),
            position,
        }
    }

    /// The entry `name` of a map that is written out.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        let Kind::Map(entries) = &self.kind else {
            return None;
        };
        entries
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, term)| term)
    }
}

fn compile_text(text: &str, position: &Position) -> Result<Kind, Diagnostic> {
    if !text.contains("${") {
        return Ok(Kind::Value(Value::String(text.to_owned())));
    }
    let place = |range: Range<usize>| within(position, text, range);
    let mut parts = Parts::default();
    let mut at = 0;
    while let Some(found) = text[at..].find("${") {
        let sign = at + found;
        if text[..sign].ends_with('$') && sign > at {
            parts.literal(&text[at..sign - 1]);
            parts.literal("${");
            at = sign + 2;
            continue;
        }
        parts.literal(&text[at..sign]);
        let parsed = parser::parse(text, sign + 2, &place);
        let (expr, end) = parsed.map_err(|error| mistake(error, &place))?;
        parts.0.push(Part::Expr(expr));
        at = end;
    }
    parts.literal(&text[at..]);
    Ok(parts.into_kind())
}

fn mistake(error: SyntaxError, place: &dyn Fn(Range<usize>) -> Position) -> Diagnostic {
    let mut diagnostic = Diagnostic::at(place(error.range), error.message);
    diagnostic.help = error.help;
    diagnostic
}

/// Parts of a text; neighbouring literals are one.
#[derive(Default)]
struct Parts(Vec<Part>);

impl Parts {
    fn literal(&mut self, text: &str) {
        match self.0.last_mut() {
            Some(Part::Literal(before)) => before.push_str(text),
            _ if text.is_empty() => {}
            _ => self.0.push(Part::Literal(text.to_owned())),
        }
    }

    fn into_kind(mut self) -> Kind {
        if self.0.len() > 1 {
            return Kind::Text(self.0);
        }
        match self.0.pop() {
            Some(Part::Expr(expr)) => Kind::Expr(expr),
            Some(Part::Literal(text)) => Kind::Value(Value::String(text)),
            None => Kind::Value(Value::String(String::new())),
        }
    }
}

/// The place of a byte range of a scalar. Only where the scalar stands in the file as it reads (plain, or quoted without
/// escapes, on one line) can a part of it be pointed at; else it is the whole scalar.
fn within(scalar: &Position, text: &str, range: Range<usize>) -> Position {
    let quote = match scalar.len.checked_sub(text.len()) {
        Some(0) => 0,
        Some(2) => 1,
        _ => return scalar.clone(),
    };
    if text.contains('\n') || range.start > text.len() {
        return scalar.clone();
    }
    Position {
        file: scalar.file.clone(),
        line: scalar.line,
        column: scalar.column + quote + text[..range.start].chars().count(),
        offset: scalar.offset + quote + range.start,
        len: range.end.min(text.len()).saturating_sub(range.start).max(1),
    }
}
