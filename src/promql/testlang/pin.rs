//! An expression with every selector fixed in time by `@`: its value must not depend on the time of evaluation any
//! more.

use model::Timestamp;

use crate::parser::ast::{At, Expr, ExprKind, TimeShift};

/// Functions that look at the time of evaluation or at the times of samples themselves.
const NEVER_FIXED: [&str; 15] = [
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "days_in_month",
    "end",
    "hour",
    "minute",
    "month",
    "predict_linear",
    "range",
    "start",
    "step",
    "time",
    "timestamp",
    "year",
];

/// `expr` with `@ time` at all selectors and outermost subqueries that have no time yet; `None` if that does not fix
/// its value.
pub(super) fn pin(expr: &Expr, time: Timestamp) -> Option<Expr> {
    let mut pinned = expr.clone();
    pin_below(&mut pinned, time).then_some(pinned)
}

fn pin_below(expr: &mut Expr, time: Timestamp) -> bool {
    match &mut expr.kind {
        ExprKind::Selector(selector) => set(&mut selector.shift, time),
        ExprKind::Range(range) => set(&mut range.selector.shift, time),
        ExprKind::Subquery(subquery) => {
            set(&mut subquery.shift, time);
            // What is inside moves with the subquery, which stands still now.
            return true;
        }
        ExprKind::Call(call) => {
            let fixed = !NEVER_FIXED.contains(&call.function.name);
            let args = call.args.iter_mut();
            return args.fold(fixed, |fixed, arg| pin_below(arg, time) && fixed);
        }
        ExprKind::Aggregate(aggregate) => {
            let param = aggregate.param.as_deref_mut();
            let param = param.is_none_or(|param| pin_below(param, time));
            return pin_below(&mut aggregate.expr, time) && param;
        }
        ExprKind::Binary(binary) => {
            let left = pin_below(&mut binary.left, time);
            return pin_below(&mut binary.right, time) && left;
        }
        ExprKind::Unary { operand, .. } | ExprKind::Paren(operand) => {
            return pin_below(operand, time);
        }
        ExprKind::Number(_) | ExprKind::String(_) => {}
    }
    true
}

fn set(shift: &mut TimeShift, time: Timestamp) {
    if !matches!(shift.at, Some(At::Time(_))) {
        shift.at = Some(At::Time(time));
    }
}
