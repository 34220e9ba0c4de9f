//! What may follow an operand: `[range]`, `[range:step]`, `offset`, `@`.

use super::ast::{At, BinaryOp, Expr, ExprKind, Number, RangeSelector, Subquery, TimeShift};
use super::{Parsed, Parser};
use crate::Span;
use crate::lexer::{Keyword, TokenKind};

/// Seconds in Go's longest duration.
const MAX_SECONDS: f64 = 9_223_372_036.854_775;

impl Parser<'_> {
    pub(super) fn modifiers(&mut self, operand: Expr) -> Parsed<Expr> {
        let mut expr = operand;
        loop {
            expr = match self.peek() {
                TokenKind::LeftBracket => self.range(expr)?,
                TokenKind::Keyword(Keyword::Offset) => self.offset(expr)?,
                TokenKind::At => self.at(expr)?,
                TokenKind::Keyword(Keyword::Anchored) => {
                    return self.not_enabled(&expr, "anchored");
                }
                TokenKind::Keyword(Keyword::Smoothed) => {
                    return self.not_enabled(&expr, "smoothed");
                }
                _ => return Ok(expr),
            };
        }
    }

    fn not_enabled(&self, expr: &Expr, modifier: &str) -> Parsed<Expr> {
        self.error(
            expr.span,
            format!("{modifier} modifier is experimental and not enabled"),
        )
    }

    fn range(&mut self, expr: Expr) -> Parsed<Expr> {
        const EXPECTED: &str = "number, duration, or step()";
        let open = self.advance().span;
        let range = self.positive_duration("subquery or range selector", EXPECTED)?;
        if self.accept(TokenKind::Colon).is_some() {
            return self.subquery(expr, range);
        }
        let close = self.expect(
            TokenKind::RightBracket,
            "subquery or range",
            "\":\" or \"]\"",
        )?;
        let span = expr.span.to(close.span);
        let brackets = open.to(close.span);
        let ExprKind::Selector(selector) = expr.kind else {
            return self.error(brackets, "ranges only allowed for vector selectors");
        };
        if selector.shift.offset != 0 {
            return self.error(brackets, "no offset modifiers allowed before range");
        }
        if selector.shift.at.is_some() {
            return self.error(brackets, "no @ modifiers allowed before range");
        }
        self.node(span, ExprKind::Range(RangeSelector { selector, range }))
    }

    fn subquery(&mut self, expr: Expr, range: i64) -> Parsed<Expr> {
        const CONTEXT: &str = "subquery selector";
        const EXPECTED: &str = "number, duration, or step() or \"]\"";
        let step = match self.peek() {
            TokenKind::RightBracket => None,
            _ => Some(self.positive_duration(CONTEXT, EXPECTED)?),
        };
        let close = self.expect(TokenKind::RightBracket, CONTEXT, "\"]\"")?;
        let span = expr.span.to(close.span);
        let shift = TimeShift::default();
        let subquery = Subquery {
            expr: Box::new(expr),
            range,
            step,
            shift,
        };
        self.node(span, ExprKind::Subquery(subquery))
    }

    /// A duration over zero, in milliseconds.
    fn positive_duration(&mut self, context: &str, expected: &str) -> Parsed<i64> {
        let (span, seconds) = self.duration(context, expected)?;
        if let TokenKind::Operator(_) = self.peek() {
            return self.error(span, "experimental duration expression is not enabled");
        }
        if seconds <= 0.0 {
            return self.error(span, "duration must be greater than 0");
        }
        Ok(milliseconds(seconds))
    }

    fn duration(&mut self, context: &str, expected: &str) -> Parsed<(Span, f64)> {
        let sign = match self.peek() {
            TokenKind::Operator(BinaryOp::Add | BinaryOp::Sub) => Some(self.advance()),
            _ => None,
        };
        match self.peek() {
            TokenKind::Number | TokenKind::Duration => {}
            TokenKind::LeftParen => {
                let span = self.token().span;
                return self.error(span, "experimental duration expression is not enabled");
            }
            TokenKind::Step | TokenKind::Aggregator(_) => {
                let span = self.token().span;
                return self.error(span, "functions of durations are not supported yet");
            }
            _ => return Err(self.unexpected(context, expected)),
        }
        let (mut span, Number { value, .. }) = self.number()?;
        let mut seconds = value;
        if let Some(sign) = sign {
            span = sign.span.to(span);
            if sign.text == "-" {
                seconds = -seconds;
            }
        }
        if !(-MAX_SECONDS..=MAX_SECONDS).contains(&seconds) {
            return self.error(span, "duration out of range");
        }
        Ok((span, seconds))
    }

    fn offset(&mut self, mut expr: Expr) -> Parsed<Expr> {
        self.advance();
        let (span, seconds) = self.duration("offset", "number, duration, or step()")?;
        let place = expr.span;
        let Some(shift) = shift_of(&mut expr) else {
            return self.error(
                place,
                "offset modifier must be preceded by an instant vector selector \
                 or range vector selector or a subquery",
            );
        };
        if shift.offset != 0 {
            return self.error(place, "offset may not be set multiple times");
        }
        shift.offset = milliseconds(seconds);
        expr.span = place.to(span);
        Ok(expr)
    }

    fn at(&mut self, mut expr: Expr) -> Parsed<Expr> {
        self.advance();
        let place = expr.span;
        let at = self.at_time(place)?;
        let Some(shift) = shift_of(&mut expr) else {
            return self.error(
                place,
                "@ modifier must be preceded by an instant vector selector \
                 or range vector selector or a subquery",
            );
        };
        if shift.at.is_some() {
            return self.error(place, "@ <timestamp> may not be set multiple times");
        }
        shift.at = Some(at);
        expr.span = place.to(self.last().span);
        Ok(expr)
    }

    fn at_time(&mut self, place: Span) -> Parsed<At> {
        let at = match self.peek() {
            TokenKind::Start => At::Start,
            TokenKind::End => At::End,
            _ => return self.at_timestamp(place),
        };
        self.advance();
        self.expect(TokenKind::LeftParen, "@", "timestamp")?;
        self.expect(TokenKind::RightParen, "@", "timestamp")?;
        Ok(at)
    }

    fn at_timestamp(&mut self, place: Span) -> Parsed<At> {
        let sign = match self.peek() {
            TokenKind::Operator(BinaryOp::Add) => 1.0,
            TokenKind::Operator(BinaryOp::Sub) => -1.0,
            _ => 0.0,
        };
        if sign != 0.0 {
            self.advance();
        }
        if !matches!(self.peek(), TokenKind::Number | TokenKind::Duration) {
            return Err(self.unexpected("@", "timestamp"));
        }
        let (_, Number { value, .. }) = self.number()?;
        let seconds = if sign < 0.0 { -value } else { value };
        // Milliseconds have to fit 64 bits.
        if !seconds.is_finite() || seconds.abs() * 1000.0 >= i64::MAX as f64 {
            let seconds = if seconds.is_finite() {
                format!("{seconds:.6}")
            } else {
                crate::format_float(seconds)
            };
            return self.error(
                place,
                format!("timestamp out of bounds for @ modifier: {seconds}"),
            );
        }
        Ok(At::Time((seconds * 1000.0).round() as i64))
    }
}

fn shift_of(expr: &mut Expr) -> Option<&mut TimeShift> {
    match &mut expr.kind {
        ExprKind::Selector(selector) => Some(&mut selector.shift),
        ExprKind::Range(range) => Some(&mut range.selector.shift),
        ExprKind::Subquery(subquery) => Some(&mut subquery.shift),
        _ => None,
    }
}

/// As Go gets there: rounded to nanoseconds, then cut.
fn milliseconds(seconds: f64) -> i64 {
    (seconds * 1e9).round() as i64 / 1_000_000
}
