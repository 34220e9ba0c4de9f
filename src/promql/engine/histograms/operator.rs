//! Binary operators with at least one native histogram. What has no meaning gives nothing and is noted.

use std::sync::Arc;

use model::histogram::Keep;
use model::{CounterReset, FloatHistogram};

use super::notes::{Calculation, Notes};
use crate::Span;
use crate::engine::Evaluated;
use crate::engine::annotations::Annotations;
use crate::engine::points::{Seen, Value};
use crate::lexer::text::quote;
use crate::parser::ast::BinaryOp;

/// What an operator makes of two values, one of them at least a histogram.
pub(in crate::engine) enum Outcome {
    /// The value, and for comparisons whether it holds.
    Value(Value, bool),
    /// Nothing; what is to be said about it was noted.
    Nothing,
}

impl From<FloatHistogram> for Outcome {
    fn from(mut h: FloatHistogram) -> Self {
        h.compact();
        Self::Value(Value::Histogram(Arc::new(h)), true)
    }
}

/// `left op right`. `span` is where the whole expression stands.
pub(in crate::engine) fn operate(
    op: BinaryOp,
    left: Seen<'_>,
    right: Seen<'_>,
    span: Span,
    all: &Annotations,
) -> Evaluated<Outcome> {
    let kind = |seen| match seen {
        Seen::Float(_) => "float",
        Seen::Histogram(_) => "histogram",
    };
    let changed = |h: &FloatHistogram, change: &dyn Fn(&mut FloatHistogram)| {
        let mut h = h.clone();
        change(&mut h);
        Ok(Outcome::from(h))
    };
    match (left, op, right) {
        (Seen::Float(v), BinaryOp::Mul, Seen::Histogram(h))
        | (Seen::Histogram(h), BinaryOp::Mul, Seen::Float(v)) => changed(h, &|h| h.mul(v)),
        (Seen::Histogram(h), BinaryOp::Div, Seen::Float(v)) => changed(h, &|h| h.div(v)),
        (Seen::Histogram(h), BinaryOp::TrimUpper, Seen::Float(v)) => trim(h, v, Keep::Below),
        (Seen::Histogram(h), BinaryOp::TrimLower, Seen::Float(v)) => trim(h, v, Keep::Above),
        (Seen::Histogram(a), BinaryOp::Add | BinaryOp::Sub, Seen::Histogram(b)) => {
            let notes = Notes {
                name: "",
                span,
                all,
            };
            Ok(joined(a, op, b, &notes))
        }
        (Seen::Histogram(a), BinaryOp::Eql | BinaryOp::Neq, Seen::Histogram(b)) => {
            let holds = a.same_data(b) == (op == BinaryOp::Eql);
            Ok(Outcome::Value(Value::Histogram(Arc::clone(a)), holds))
        }
        _ => {
            let (left, op, right) = (kind(left), op.as_str(), kind(right));
            let text = format!(
                "incompatible sample types encountered for binary operator {}: {left} {op} {right}",
                quote(op)
            );
            all.info(span, text);
            Ok(Outcome::Nothing)
        }
    }
}

fn trim(h: &FloatHistogram, at: f64, keep: Keep) -> Evaluated<Outcome> {
    let mut trimmed = h.clone();
    trimmed.trim(at, keep);
    Ok(Outcome::Value(Value::Histogram(Arc::new(trimmed)), true))
}

/// The sum, or the difference.
fn joined(a: &FloatHistogram, op: BinaryOp, b: &FloatHistogram, notes: &Notes<'_>) -> Outcome {
    let mut result = a.clone();
    let (joined, calculation) = match op {
        BinaryOp::Sub => (result.sub(b), Calculation::Subtraction),
        _ => (result.add(b), Calculation::Addition),
    };
    let Ok(joined) = joined else {
        let op = op.as_str();
        let text = format!("incompatible bucket layout encountered for binary operator {op}");
        notes.all.warn(notes.span, text);
        return Outcome::Nothing;
    };
    if joined.reset_collision {
        // As in Prometheus, the warning takes the place of the result.
        notes.collision(calculation);
        return Outcome::Nothing;
    }
    if joined.bounds_reconciled {
        notes.reconciled(calculation);
    }
    if op == BinaryOp::Sub {
        result.counter_reset = CounterReset::Gauge;
    }
    result.into()
}
