//! Binary operators: which kind of operands they have, and vectors with a scalar.

use model::Hints;

use super::Evaluated;
use super::arithmetic::{Scalar, apply, compare};
use super::evaluate::{Evaluation, Sink, unsupported};
use super::histograms::{self, Outcome};
use super::points::{Head, Point, Points, Seen, Value};
use crate::Span;
use crate::lexer::text::quote;
use crate::parser::ast::{Binary, BinaryOp, Expr, ValueType};

impl BinaryOp {
    /// Whether the result is another thing than the metric, and so loses its name.
    pub(super) fn changes_meaning(self) -> bool {
        matches!(
            self,
            Self::Add | Self::Sub | Self::Mul | Self::Div | Self::Mod | Self::Pow | Self::Atan2
        )
    }
}

/// An operator between the points of a vector's series and a scalar.
struct WithScalar<'b> {
    binary: &'b Binary,
    span: Span,
    scalar: Scalar,
    /// Whether the scalar is the left operand.
    scalar_left: bool,
}

impl Evaluation<'_> {
    pub(super) fn binary(&self, binary: &Binary, span: Span, sink: &mut Sink<'_>) -> Evaluated {
        let types = (binary.left.value_type(), binary.right.value_type());
        match types {
            (ValueType::Vector, ValueType::Scalar) => {
                let scalar = self.scalar(&binary.right)?;
                self.with_scalar(
                    &binary.left,
                    WithScalar {
                        binary,
                        span,
                        scalar,
                        scalar_left: false,
                    },
                    sink,
                )
            }
            (ValueType::Scalar, ValueType::Vector) => {
                let scalar = self.scalar(&binary.left)?;
                self.with_scalar(
                    &binary.right,
                    WithScalar {
                        binary,
                        span,
                        scalar,
                        scalar_left: true,
                    },
                    sink,
                )
            }
            (ValueType::Vector, ValueType::Vector) => match binary.op {
                BinaryOp::And | BinaryOp::Unless => self.filtered(binary, sink),
                BinaryOp::Or => self.united(binary, sink),
                _ => self.matched(binary, span, sink),
            },
            _ => {
                let op = quote(binary.op.as_str());
                unsupported(span, format!("operator {op} between these operands"))
            }
        }
    }

    fn with_scalar(
        &self,
        vector: &Expr,
        operator: WithScalar<'_>,
        sink: &mut Sink<'_>,
    ) -> Evaluated {
        let hints: Hints = self.hints();
        let binary = operator.binary;
        if binary.op.changes_meaning() || binary.return_bool {
            return self.map(vector, &hints, sink, &mut |points| {
                operator.apply(self, points)
            });
        }
        self.vector(vector, &hints, &mut |head: Head, points| {
            operator.apply(self, points)?;
            match points.is_empty() {
                true => Ok(()),
                false => sink(head, points),
            }
        })
    }
}

impl WithScalar<'_> {
    /// Changes the points; a comparison without `bool` keeps those for which it holds, with the vector's value.
    fn apply(&self, evaluation: &Evaluation<'_>, points: &mut Points) -> Evaluated {
        let op = self.binary.op;
        let trims = matches!(op, BinaryOp::TrimLower | BinaryOp::TrimUpper);
        if !points.histograms.is_empty() || trims {
            return self.apply_to_any(evaluation, points);
        }
        let filters = op.is_comparison() && !self.binary.return_bool;
        points.floats.retain_mut(|point| {
            let (left, right) = self.ordered(point.v, self.scalar.at(point.step));
            if filters {
                return compare(op, left, right) == Some(true);
            }
            point.v = apply(op, left, right);
            true
        });
        Ok(())
    }

    fn ordered<T>(&self, vector: T, scalar: T) -> (T, T) {
        match self.scalar_left {
            true => (scalar, vector),
            false => (vector, scalar),
        }
    }

    fn apply_to_any(&self, evaluation: &Evaluation<'_>, points: &mut Points) -> Evaluated {
        let before = std::mem::take(points);
        for (step, seen) in before.iter() {
            let scalar = Seen::Float(self.scalar.at(step));
            let (left, right) = self.ordered(seen, scalar);
            let Some((value, holds)) = evaluation.element(self.binary, self.span, left, right)?
            else {
                continue;
            };
            if self.binary.return_bool {
                let v = f64::from(u8::from(holds));
                points.floats.push(Point { step, v });
            } else if holds {
                let filters = self.binary.op.is_comparison();
                points.push(step, if filters { seen.to_value() } else { value });
            }
        }
        Ok(())
    }
}

impl Evaluation<'_> {
    /// The value of an operator between two values, and whether it holds if it is a comparison. None where there is no
    /// result, not even one that does not hold.
    pub(super) fn element(
        &self,
        binary: &Binary,
        span: Span,
        left: Seen<'_>,
        right: Seen<'_>,
    ) -> Evaluated<Option<(Value, bool)>> {
        let op = binary.op;
        let trims = matches!(op, BinaryOp::TrimLower | BinaryOp::TrimUpper);
        if let (Seen::Float(left), Seen::Float(right), false) = (left, right, trims) {
            return Ok(Some(match compare(op, left, right) {
                Some(holds) => (Value::Float(left), holds),
                None => (Value::Float(apply(op, left, right)), true),
            }));
        }
        let notes = &self.query.annotations;
        Ok(match histograms::operate(op, left, right, span, notes)? {
            Outcome::Value(value, holds) => Some((value, holds)),
            Outcome::Nothing => None,
        })
    }
}
