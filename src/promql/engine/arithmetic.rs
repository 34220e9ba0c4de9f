//! Operators between numbers.

use model::exact;

use crate::parser::ast::BinaryOp;

/// A scalar at each step.
#[derive(Clone, Debug)]
pub(crate) enum Scalar {
    Constant(f64),
    Steps(Vec<f64>),
}

impl Scalar {
    pub(crate) fn at(&self, step: u32) -> f64 {
        match self {
            Self::Constant(v) => *v,
            Self::Steps(values) => values.get(step as usize).copied().unwrap_or(f64::NAN),
        }
    }

    pub(super) fn map(self, change: impl Fn(f64) -> f64) -> Self {
        match self {
            Self::Constant(v) => Self::Constant(change(v)),
            Self::Steps(values) => Self::Steps(values.into_iter().map(change).collect()),
        }
    }

    pub(super) fn zip(self, other: Self, count: u32, join: impl Fn(f64, f64) -> f64) -> Self {
        match (self, other) {
            (Self::Constant(a), Self::Constant(b)) => Self::Constant(join(a, b)),
            (a, b) => Self::Steps(
                (0..count)
                    .map(|step| join(a.at(step), b.at(step)))
                    .collect(),
            ),
        }
    }

    /// The values of all steps, or the one for all of them.
    pub(super) fn values(&self) -> &[f64] {
        match self {
            Self::Constant(v) => std::slice::from_ref(v),
            Self::Steps(values) => values,
        }
    }
}

/// A comparison's answer, or none for other operators.
#[inline]
pub(super) fn compare(op: BinaryOp, left: f64, right: f64) -> Option<bool> {
    Some(match op {
        BinaryOp::Eql => left == right,
        BinaryOp::Neq => left != right,
        BinaryOp::Gtr => left > right,
        BinaryOp::Lss => left < right,
        BinaryOp::Gte => left >= right,
        BinaryOp::Lte => left <= right,
        _ => return None,
    })
}

/// `left op right`; a comparison is 1 or 0.
#[inline]
pub(super) fn apply(op: BinaryOp, left: f64, right: f64) -> f64 {
    match op {
        BinaryOp::Add => left + right,
        BinaryOp::Sub => left - right,
        BinaryOp::Mul => left * right,
        BinaryOp::Div => left / right,
        BinaryOp::Mod => left % right,
        BinaryOp::Pow => exact::pow(left, right),
        BinaryOp::Atan2 => exact::atan2(left, right),
        comparison => match compare(comparison, left, right) {
            Some(holds) => f64::from(u8::from(holds)),
            // Set operators have no scalar operands: the parser refuses them.
            None => f64::NAN,
        },
    }
}
