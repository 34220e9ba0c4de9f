//! Tokens to a syntax tree, by precedence.

use std::ops::Range;

use super::lexer::{SyntaxError, Token, TokenKind, tokens};
use super::{Expr, ExprKind, Step, StepKind};
use crate::{Position, Value};

/// Reads the expression whose `${` stands before byte `start` of `text`; `place` turns byte ranges of the scalar into positions.
/// Gives the expression and the byte behind its closing brace.
pub(super) fn parse(
    text: &str,
    start: usize,
    place: &dyn Fn(Range<usize>) -> Position,
) -> Result<(Expr, usize), SyntaxError> {
    relabelling(text, start)?;
    let mut parser = Parser {
        tokens: tokens(text, start)?,
        next: 0,
        place,
    };
    if parser.peek() == &TokenKind::End {
        return Err(
            SyntaxError::new(start - 2..start + 1, "an empty expression")
                .help("write `$${}` for a literal `${}`"),
        );
    }
    let expr = parser.or()?;
    let end = parser.take();
    if end.kind == TokenKind::End {
        Ok((expr, end.range.end))
    } else {
        Err(unexpected(&end))
    }
}

/// Prometheus's own `${1}` in relabelling looks like an expression and is none.
fn relabelling(text: &str, start: usize) -> Result<(), SyntaxError> {
    let rest = &text[start..];
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 || !rest[digits..].starts_with('}') {
        return Ok(());
    }
    let reference = &rest[..digits];
    Err(SyntaxError::new(
        start - 2..start + digits + 1,
        format!("`${{{reference}}}` is no expression"),
    )
    .help(format!(
        "in Prometheus's relabelling write `$${{{reference}}}`, which comes out as `${{{reference}}}`"
    )))
}

struct Parser<'a> {
    tokens: Vec<Token>,
    next: usize,
    place: &'a dyn Fn(Range<usize>) -> Position,
}

impl Parser<'_> {
    fn peek(&self) -> &TokenKind {
        &self.tokens[self.next].kind
    }

    /// The next token; the last one, which is the closing brace, stays.
    fn take(&mut self) -> Token {
        let token = self.tokens[self.next].clone();
        self.next = (self.next + 1).min(self.tokens.len() - 1);
        token
    }

    fn skip(&mut self, kind: &TokenKind) -> bool {
        let found = self.peek() == kind;
        if found {
            self.take();
        }
        found
    }

    fn or(&mut self) -> Result<Expr, SyntaxError> {
        let mut left = self.and()?;
        while self.skip(&TokenKind::Or) {
            let right = self.and()?;
            left = join(ExprKind::Or, left, right);
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Expr, SyntaxError> {
        let mut left = self.equal()?;
        while self.skip(&TokenKind::And) {
            let right = self.equal()?;
            left = join(ExprKind::And, left, right);
        }
        Ok(left)
    }

    fn equal(&mut self) -> Result<Expr, SyntaxError> {
        let left = self.otherwise()?;
        if self.skip(&TokenKind::Equal) {
            let right = self.otherwise()?;
            return Ok(join(ExprKind::Equal, left, right));
        }
        if self.skip(&TokenKind::NotEqual) {
            let right = self.otherwise()?;
            return Ok(join(ExprKind::NotEqual, left, right));
        }
        Ok(left)
    }

    /// `a ?? b ?? c`: the first that is there.
    fn otherwise(&mut self) -> Result<Expr, SyntaxError> {
        let left = self.unary()?;
        if !self.skip(&TokenKind::Else) {
            return Ok(left);
        }
        let right = self.otherwise()?;
        Ok(join(ExprKind::Else, left, right))
    }

    fn unary(&mut self) -> Result<Expr, SyntaxError> {
        let mut signs = Vec::new();
        while self.peek() == &TokenKind::Not {
            signs.push(self.take().range);
        }
        let mut expr = self.operand()?;
        for sign in signs.into_iter().rev() {
            let position = (self.place)(sign);
            expr = Expr {
                kind: ExprKind::Not(Box::new(expr)),
                position,
            };
        }
        Ok(expr)
    }

    fn operand(&mut self) -> Result<Expr, SyntaxError> {
        let token = self.take();
        let position = (self.place)(token.range.clone());
        match token.kind {
            TokenKind::Quoted(text) => Ok(literal(Value::String(text), position)),
            TokenKind::Name(ref name) => match constant(name) {
                Some(value) => Ok(literal(value, position)),
                None if name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') => {
                    self.path(name.clone(), token.range)
                }
                None => Err(
                    SyntaxError::new(token.range, format!("`{name}` is no name"))
                        .help("names begin with a letter; expressions have no arithmetic"),
                ),
            },
            _ => Err(unexpected(&token)),
        }
    }

    fn path(&mut self, root: String, range: Range<usize>) -> Result<Expr, SyntaxError> {
        let mut steps = Vec::new();
        let mut end = range.end;
        loop {
            let (kind, range) = if self.skip(&TokenKind::Dot) {
                self.member()?
            } else if self.skip(&TokenKind::Open) {
                self.bracketed()?
            } else {
                break;
            };
            end = range.end;
            steps.push(Step {
                kind,
                position: (self.place)(range),
            });
        }
        let position = (self.place)(range.start..end);
        Ok(Expr {
            kind: ExprKind::Path { root, steps },
            position,
        })
    }

    fn member(&mut self) -> Result<(StepKind, Range<usize>), SyntaxError> {
        let token = self.take();
        match token.kind {
            TokenKind::Name(name) => Ok((StepKind::Member(name), token.range)),
            TokenKind::Star => Ok((StepKind::Star, token.range)),
            _ => Err(SyntaxError::new(
                token.range,
                "expected a name or `*` after the dot",
            )),
        }
    }

    fn bracketed(&mut self) -> Result<(StepKind, Range<usize>), SyntaxError> {
        let first = self.tokens[self.next].clone();
        let digits = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
        let names = match &first.kind {
            TokenKind::Quoted(_) => true,
            TokenKind::Name(name) => !digits(name),
            _ => false,
        };
        if !names {
            return Err(SyntaxError::new(
                first.range,
                "expected a text in quotes or a path after `[`",
            )
            .help("a member is `a.b`, `a[\"b\"]` or `a[each.key]`; lists are read with `.*`"));
        }
        let index = self.or()?;
        let close = self.take();
        if close.kind != TokenKind::Close {
            return Err(SyntaxError::new(close.range, "expected `]`"));
        }
        let range = first.range.start..close.range.start;
        Ok(match index.kind {
            ExprKind::Literal(Value::String(name)) => (StepKind::Member(name), first.range),
            _ => (StepKind::Index(Box::new(index)), range),
        })
    }
}

fn join(kind: fn(Box<Expr>, Box<Expr>) -> ExprKind, left: Expr, right: Expr) -> Expr {
    let position = left.position.clone();
    Expr {
        kind: kind(Box::new(left), Box::new(right)),
        position,
    }
}

fn literal(value: Value, position: Position) -> Expr {
    Expr {
        kind: ExprKind::Literal(value),
        position,
    }
}

fn constant(name: &str) -> Option<Value> {
    match name {
        "true" => Some(Value::Bool(true)),
        "false" => Some(Value::Bool(false)),
        "null" => Some(Value::Null),
        _ => name.parse().ok().map(Value::Int),
    }
}

fn unexpected(token: &Token) -> SyntaxError {
    let (text, help) = match &token.kind {
        TokenKind::End => return SyntaxError::new(token.range.clone(), "the expression ends here"),
        TokenKind::Name(name) if name.starts_with('-') => (
            name.clone(),
            "expressions have no arithmetic: write the value, or put it into text",
        ),
        TokenKind::Name(name) => (
            name.clone(),
            "put an operator between, or close the expression",
        ),
        TokenKind::Quoted(text) => (format!("{text:?}"), "put an operator between"),
        TokenKind::Star => (
            "*".to_owned(),
            "`*` stands after a dot, as in `observers.*.id`; expressions have no arithmetic",
        ),
        kind => (
            sign(kind).to_owned(),
            "an expression is a path such as `${cluster.id}`",
        ),
    };
    SyntaxError::new(
        token.range.clone(),
        format!("unexpected `{text}` in an expression"),
    )
    .help(help)
}

fn sign(kind: &TokenKind) -> &'static str {
    match kind {
        TokenKind::Dot => ".",
        TokenKind::Open => "[",
        TokenKind::Close => "]",
        TokenKind::Equal => "==",
        TokenKind::NotEqual => "!=",
        TokenKind::Not => "!",
        TokenKind::And => "&&",
        TokenKind::Or => "||",
        TokenKind::Else => "??",
        _ => "}",
    }
}
