//! What may follow an operand: `[range]`, `[range:step]`, `offset`, `@`.

use super::ast::{
    At, BinaryOp, DurationExpr, Expr, ExprKind, Extended, Number, RangeSelector, Subquery,
    TimeShift,
};
use super::duration::{Place, milliseconds};
use super::{Parsed, Parser};
use crate::Span;
use crate::lexer::{Keyword, TokenKind};

const RANGE: Place = Place {
    context: "subquery or range selector",
    expected: "number, duration, step(), or range()",
};
const SUBQUERY_STEP: Place = Place {
    context: "subquery selector",
    expected: "number, duration, step(), range(), or \"]\"",
};
const OFFSET: Place = Place {
    context: "offset",
    expected: "number, duration, step(), or range()",
};

/// Milliseconds, or what gives them.
type Duration = (i64, Option<Box<DurationExpr>>);

impl Parser<'_> {
    pub(super) fn modifiers(&mut self, operand: Expr) -> Parsed<Expr> {
        let mut expr = operand;
        loop {
            expr = match self.peek() {
                TokenKind::LeftBracket => self.range(expr)?,
                TokenKind::Keyword(Keyword::Offset) => self.offset(expr)?,
                TokenKind::At => self.at(expr)?,
                TokenKind::Keyword(Keyword::Anchored) => self.extend(expr, Extended::Anchored)?,
                TokenKind::Keyword(Keyword::Smoothed) => self.extend(expr, Extended::Smoothed)?,
                _ => return Ok(expr),
            };
        }
    }

    /// `anchored`, `smoothed`.
    fn extend(&mut self, mut expr: Expr, extended: Extended) -> Parsed<Expr> {
        self.advance();
        let (span, word) = (expr.span, extended.as_str());
        if !self.features.extended_ranges {
            let message = format!("{word} modifier is experimental and not enabled");
            return self.error(span, message);
        }
        let selector = match &mut expr.kind {
            ExprKind::Selector(selector) => selector,
            ExprKind::Range(range) => &mut range.selector,
            ExprKind::Subquery(_) => {
                let message = format!("{word} modifier is not supported for subqueries");
                return self.error(span, message);
            }
            _ => return self.error(span, format!("{word} modifier not implemented")),
        };
        match selector.extended {
            Some(other) if other != extended => self.error(
                span,
                "anchored and smoothed modifiers cannot be used together",
            ),
            _ => {
                selector.extended = Some(extended);
                Ok(expr)
            }
        }
    }

    fn range(&mut self, expr: Expr) -> Parsed<Expr> {
        let open = self.advance().span;
        let (range, range_expr) = self.positive_duration(RANGE)?;
        if self.accept(TokenKind::Colon).is_some() {
            return self.subquery(expr, (range, range_expr));
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
        if selector.shift.offset != 0 || selector.offset_expr.is_some() {
            return self.error(brackets, "no offset modifiers allowed before range");
        }
        if selector.shift.at.is_some() {
            return self.error(brackets, "no @ modifiers allowed before range");
        }
        let range = RangeSelector {
            selector,
            range,
            range_expr,
        };
        self.node(span, ExprKind::Range(range))
    }

    fn subquery(&mut self, expr: Expr, (range, range_expr): Duration) -> Parsed<Expr> {
        let (step, step_expr) = match self.peek() {
            TokenKind::RightBracket => (None, None),
            _ => match self.positive_duration(SUBQUERY_STEP)? {
                (step, None) => (Some(step), None),
                (_, step_expr) => (None, step_expr),
            },
        };
        let close = self.expect(TokenKind::RightBracket, "subquery selector", "\"]\"")?;
        let span = expr.span.to(close.span);
        let subquery = Subquery {
            expr: Box::new(expr),
            range,
            step,
            shift: TimeShift::default(),
            range_expr,
            step_expr,
            offset_expr: None,
        };
        self.node(span, ExprKind::Subquery(subquery))
    }

    /// A duration over zero, as far as that is known.
    fn positive_duration(&mut self, place: Place) -> Parsed<Duration> {
        let duration = self.duration(0, place)?;
        match duration.literal() {
            Some(seconds) if seconds > 0.0 => Ok((milliseconds(seconds), None)),
            // Not a number is not at or below zero either.
            Some(seconds) if seconds.is_nan() => Ok((milliseconds(seconds), None)),
            Some(_) => self.error_ahead(duration.span, "duration must be greater than 0"),
            None => Ok((0, Some(Box::new(duration)))),
        }
    }

    fn offset(&mut self, mut expr: Expr) -> Parsed<Expr> {
        self.advance();
        let duration = self.offset_duration(OFFSET)?;
        let (place, end) = (expr.span, self.last_closing());
        let found = match &mut expr.kind {
            ExprKind::Selector(selector) => Some((&mut selector.shift, &mut selector.offset_expr)),
            ExprKind::Range(range) => {
                Some((&mut range.selector.shift, &mut range.selector.offset_expr))
            }
            ExprKind::Subquery(subquery) => Some((&mut subquery.shift, &mut subquery.offset_expr)),
            _ => None,
        };
        let Some((shift, offset_expr)) = found else {
            return self.error(
                place,
                "offset modifier must be preceded by an instant vector selector \
                 or range vector selector or a subquery",
            );
        };
        if shift.offset != 0 || offset_expr.is_some() {
            return self.error(place, "offset may not be set multiple times");
        }
        match duration.literal() {
            Some(seconds) => shift.offset = milliseconds(seconds),
            None => *offset_expr = Some(Box::new(duration)),
        }
        expr.span = place.to(end);
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
        expr.span = place.to(self.last_closing());
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
