//! Durations in brackets and after `offset`: numbers, and expressions over them, over `step()` and `range()` of the
//! query. Expressions are resolved before a query is evaluated.

use std::borrow::Cow;

use super::ast::{BinaryOp, DurationExpr, DurationKind, Expr, ExprKind, Number};
use super::{MAX_DEPTH, MAX_NESTING, Parsed, Parser};
use crate::Span;
use crate::lexer::TokenKind;

/// Seconds in Go's longest duration.
const MAX_SECONDS: f64 = 9_223_372_036.854_775;

/// What messages say where a duration is expected.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) context: &'static str,
    pub(super) expected: &'static str,
}

impl DurationExpr {
    fn new(span: Span, kind: DurationKind) -> Self {
        let below = match &kind {
            DurationKind::Number(_) | DurationKind::Step | DurationKind::Range => 0,
            DurationKind::Negative(operand) => operand.depth,
            DurationKind::MinOf(left, right)
            | DurationKind::MaxOf(left, right)
            | DurationKind::Binary(_, left, right) => left.depth.max(right.depth),
        };
        Self {
            span,
            kind,
            wrapped: false,
            depth: below + 1,
        }
    }

    /// The seconds of a plain number.
    pub(super) fn literal(&self) -> Option<f64> {
        match &self.kind {
            DurationKind::Number(number) if !self.wrapped => Some(number.value),
            _ => None,
        }
    }
}

impl Parser<'_> {
    /// What stands after `offset`. Operators after it belong to the expression outside, unless it begins with a
    /// parenthesis.
    pub(super) fn offset_duration(&mut self, place: Place) -> Parsed<DurationExpr> {
        let sign = match self.peek() {
            TokenKind::LeftParen => return self.duration(0, place),
            TokenKind::Operator(BinaryOp::Add | BinaryOp::Sub) => self.advance(),
            _ => return self.duration_operand(place),
        };
        let operand = match self.peek() {
            // This one is no experiment.
            TokenKind::LeftParen => {
                self.advance();
                let inner = self.duration(0, place)?;
                self.expect(TokenKind::RightParen, place.context, place.expected)?;
                DurationExpr {
                    wrapped: true,
                    ..inner
                }
            }
            TokenKind::Operator(_) => self.duration(BinaryOp::Pow.precedence(), place)?,
            _ => self.duration_operand_unchecked(place, Some(sign.span))?,
        };
        self.signed(sign.span, sign.text == "-", operand)
    }

    /// An expression whose operators bind at least as strongly as `least`.
    pub(super) fn duration(&mut self, least: u8, place: Place) -> Parsed<DurationExpr> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return self.error(self.token().span, "expression is nested too deeply");
        }
        let mut left = match self.peek() {
            TokenKind::Operator(BinaryOp::Add | BinaryOp::Sub) => {
                let sign = self.advance();
                let operand = self.duration(BinaryOp::Pow.precedence(), place)?;
                self.signed(sign.span, sign.text == "-", operand)?
            }
            _ => self.duration_operand(place)?,
        };
        while let TokenKind::Operator(op) = self.peek() {
            let arithmetic = op.precedence() >= BinaryOp::Add.precedence() && op != BinaryOp::Atan2;
            if !arithmetic || op.precedence() < least {
                break;
            }
            left = self.duration_binary(left, op, place)?;
        }
        self.nesting -= 1;
        Ok(left)
    }

    fn duration_binary(
        &mut self,
        left: DurationExpr,
        op: BinaryOp,
        place: Place,
    ) -> Parsed<DurationExpr> {
        let op_span = self.advance().span;
        let right = self.duration(op.precedence() + u8::from(op != BinaryOp::Pow), place)?;
        self.experiment_ahead(left.span)?;
        if right.literal() == Some(0.0) {
            match op {
                BinaryOp::Div => return self.error_ahead(op_span, "division by zero"),
                BinaryOp::Mod => return self.error_ahead(op_span, "modulo by zero"),
                _ => {}
            }
        }
        let span = left.span.to(right.span);
        let kind = DurationKind::Binary(op, Box::new(left), Box::new(right));
        self.duration_node(span, kind)
    }

    fn duration_node(&self, span: Span, kind: DurationKind) -> Parsed<DurationExpr> {
        let node = DurationExpr::new(span, kind);
        match node.depth > MAX_DEPTH {
            true => self.error(span, "expression is nested too deeply"),
            false => Ok(node),
        }
    }

    fn signed(&self, sign: Span, negative: bool, operand: DurationExpr) -> Parsed<DurationExpr> {
        let span = sign.to(operand.span);
        match &operand.kind {
            DurationKind::Number(number) if !operand.wrapped => {
                let value = if negative {
                    -number.value
                } else {
                    number.value
                };
                if !(-MAX_SECONDS..=MAX_SECONDS).contains(&value) {
                    return self.error(sign, "duration out of range");
                }
                let number = Number { value, ..*number };
                self.duration_node(span, DurationKind::Number(number))
            }
            _ if negative => self.duration_node(span, DurationKind::Negative(Box::new(operand))),
            _ => Ok(operand),
        }
    }

    fn duration_operand(&mut self, place: Place) -> Parsed<DurationExpr> {
        let operand = self.duration_operand_unchecked(place, None)?;
        match &operand.kind {
            DurationKind::Number(number)
                if !(-MAX_SECONDS..=MAX_SECONDS).contains(&number.value) =>
            {
                self.error(operand.span, "duration out of range")
            }
            _ => Ok(operand),
        }
    }

    /// A number, a call or parentheses; the number may be too large. `sign` is before it.
    fn duration_operand_unchecked(
        &mut self,
        place: Place,
        sign: Option<Span>,
    ) -> Parsed<DurationExpr> {
        let start = self.token().span;
        let kind = match self.peek() {
            TokenKind::Number | TokenKind::Duration => {
                let (span, number) = self.number()?;
                return Ok(DurationExpr::new(span, DurationKind::Number(number)));
            }
            TokenKind::LeftParen => return self.duration_in_parens(place),
            TokenKind::Step => DurationKind::Step,
            TokenKind::Range => DurationKind::Range,
            TokenKind::MinOf | TokenKind::MaxOf => return self.duration_extreme(place, sign),
            _ => return Err(self.unexpected(place.context, place.expected)),
        };
        self.advance();
        self.expect(TokenKind::LeftParen, place.context, place.expected)?;
        let close = self.expect(TokenKind::RightParen, place.context, place.expected)?;
        let span = start.to(close.span);
        self.experiment(sign.unwrap_or(span))?;
        self.duration_node(span, kind)
    }

    fn duration_in_parens(&mut self, place: Place) -> Parsed<DurationExpr> {
        let open = self.advance().span;
        let inner = self.duration(0, place)?;
        self.expect(TokenKind::RightParen, place.context, place.expected)?;
        self.experiment(inner.span)?;
        let span = match inner.literal() {
            Some(_) => open.to(inner.span),
            None => inner.span,
        };
        Ok(DurationExpr {
            span,
            wrapped: true,
            ..inner
        })
    }

    /// `min_of(a, b)`, `max_of(a, b)`.
    fn duration_extreme(&mut self, place: Place, sign: Option<Span>) -> Parsed<DurationExpr> {
        let least = self.advance().kind == TokenKind::MinOf;
        self.expect(TokenKind::LeftParen, place.context, place.expected)?;
        let left = self.duration(0, place)?;
        self.expect(TokenKind::Comma, place.context, place.expected)?;
        let right = self.duration(0, place)?;
        self.expect(TokenKind::RightParen, place.context, place.expected)?;
        // Prometheus gives the arguments as the place of such a call.
        let span = left.span.to(right.span);
        self.experiment(sign.unwrap_or(span))?;
        let (left, right) = (Box::new(left), Box::new(right));
        let kind = match least {
            true => DurationKind::MinOf(left, right),
            false => DurationKind::MaxOf(left, right),
        };
        self.duration_node(span, kind)
    }

    fn experiment_ahead(&self, span: Span) -> Parsed<()> {
        match self.peek() {
            TokenKind::Error => self.error_ahead(span, ""),
            _ => self.experiment(span),
        }
    }

    fn experiment(&self, span: Span) -> Parsed<()> {
        match self.features.duration_expressions {
            true => Ok(()),
            false => self.error(span, "experimental duration expression is not enabled"),
        }
    }
}

/// As Go gets there: rounded to nanoseconds, then cut.
pub(super) fn milliseconds(seconds: f64) -> i64 {
    (seconds * 1e9).round() as i64 / 1_000_000
}

/// A duration that came out as none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{start}:{end}: {why}")]
pub struct DurationError {
    /// First byte of the duration in the query.
    pub start: u32,
    /// One past its last byte.
    pub end: u32,
    pub why: &'static str,
}

/// `expr` with all durations computed for a query of this `step` and `range`, both in milliseconds (0 for an instant
/// query).
///
/// # Errors
/// [`DurationError`], when one is not over zero or makes no sense.
pub fn resolve(expr: &Expr, step: i64, range: i64) -> Result<Cow<'_, Expr>, DurationError> {
    if !has_expressions(expr) {
        return Ok(Cow::Borrowed(expr));
    }
    let mut resolved = expr.clone();
    let query = Query {
        step: step as f64 / 1000.0,
        range: range as f64 / 1000.0,
    };
    query.resolve(&mut resolved)?;
    Ok(Cow::Owned(resolved))
}

fn has_expressions(expr: &Expr) -> bool {
    let here = match &expr.kind {
        ExprKind::Selector(selector) => selector.offset_expr.is_some(),
        ExprKind::Range(range) => {
            range.range_expr.is_some() || range.selector.offset_expr.is_some()
        }
        ExprKind::Subquery(subquery) => {
            subquery.range_expr.is_some()
                || subquery.step_expr.is_some()
                || subquery.offset_expr.is_some()
        }
        _ => false,
    };
    here || expr.kind.children().into_iter().any(has_expressions)
}

/// What durations may refer to, in seconds.
struct Query {
    step: f64,
    range: f64,
}

impl Query {
    fn resolve(&self, expr: &mut Expr) -> Result<(), DurationError> {
        match &mut expr.kind {
            ExprKind::Selector(selector) => {
                self.offset(&mut selector.offset_expr, &mut selector.shift.offset)?;
            }
            ExprKind::Range(range) => {
                if let Some(duration) = range.range_expr.take() {
                    range.range = self.milliseconds(&duration, false)?;
                }
                let selector = &mut range.selector;
                self.offset(&mut selector.offset_expr, &mut selector.shift.offset)?;
            }
            ExprKind::Subquery(subquery) => {
                self.offset(&mut subquery.offset_expr, &mut subquery.shift.offset)?;
                if let Some(duration) = subquery.step_expr.take() {
                    subquery.step = Some(self.milliseconds(&duration, false)?);
                }
                if let Some(duration) = subquery.range_expr.take() {
                    subquery.range = self.milliseconds(&duration, false)?;
                }
            }
            _ => {}
        }
        expr.kind
            .children_mut()
            .into_iter()
            .try_for_each(|child| self.resolve(child))
    }

    fn offset(
        &self,
        expr: &mut Option<Box<DurationExpr>>,
        offset: &mut i64,
    ) -> Result<(), DurationError> {
        if let Some(duration) = expr.take() {
            *offset = self.milliseconds(&duration, true)?;
        }
        Ok(())
    }

    fn milliseconds(&self, expr: &DurationExpr, negative_too: bool) -> Result<i64, DurationError> {
        let seconds = self.seconds(expr)?;
        let why = if !seconds.is_finite() {
            "duration is NaN or infinite"
        } else if seconds <= 0.0 && !negative_too {
            "duration must be greater than 0"
        } else if seconds.abs() > MAX_SECONDS {
            "duration is out of range"
        } else {
            return Ok((seconds * 1000.0) as i64);
        };
        Err(wrong(expr, why))
    }

    fn seconds(&self, expr: &DurationExpr) -> Result<f64, DurationError> {
        Ok(match &expr.kind {
            DurationKind::Number(number) => number.value,
            DurationKind::Step => self.step,
            DurationKind::Range => self.range,
            DurationKind::Negative(operand) => -self.seconds(operand)?,
            DurationKind::MinOf(left, right) => {
                extreme(self.seconds(left)?, self.seconds(right)?, true)
            }
            DurationKind::MaxOf(left, right) => {
                extreme(self.seconds(left)?, self.seconds(right)?, false)
            }
            DurationKind::Binary(op, left, right) => {
                let (left, right) = (self.seconds(left)?, self.seconds(right)?);
                match op {
                    BinaryOp::Add => left + right,
                    BinaryOp::Sub => left - right,
                    BinaryOp::Mul => left * right,
                    BinaryOp::Div if right == 0.0 => return Err(wrong(expr, "division by zero")),
                    BinaryOp::Div => left / right,
                    BinaryOp::Mod if right == 0.0 => return Err(wrong(expr, "modulo by zero")),
                    BinaryOp::Mod => left % right,
                    _ => model::exact::pow(left, right),
                }
            }
        })
    }
}

fn wrong(expr: &DurationExpr, why: &'static str) -> DurationError {
    DurationError {
        start: expr.span.start,
        end: expr.span.end,
        why,
    }
}

/// The lesser or the greater of two; NaN if one is.
fn extreme(left: f64, right: f64, least: bool) -> f64 {
    if left.is_nan() || right.is_nan() {
        return f64::NAN;
    }
    if least {
        left.min(right)
    } else {
        left.max(right)
    }
}
