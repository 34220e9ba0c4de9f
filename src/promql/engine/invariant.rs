//! Which expressions are the same at every step, because all they select is pinned by `@` (Prometheus
//! `PreprocessExpr`). They are evaluated once.

use super::steps::Steps;
use crate::parser::ast::{Call, Expr, ExprKind};

/// Functions of the evaluation time.
const OF_TIME: &[&str] = &[
    "days_in_month",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "hour",
    "minute",
    "month",
    "year",
    "predict_linear",
    "time",
    "timestamp",
];

/// Whether `expr` has an `@` anywhere.
pub(super) fn has_pins(expr: &Expr) -> bool {
    let here = match &expr.kind {
        ExprKind::Selector(selector) => selector.shift.at.is_some(),
        ExprKind::Range(range) => range.selector.shift.at.is_some(),
        ExprKind::Subquery(subquery) => subquery.shift.at.is_some(),
        _ => false,
    };
    here || expr.kind.children().into_iter().any(has_pins)
}

/// Whether `expr` is the same at every step of a query over `whole`.
pub(super) fn is_invariant(expr: &Expr, whole: &Steps) -> bool {
    match &expr.kind {
        ExprKind::Selector(selector) => selector.shift.at.is_some(),
        ExprKind::Range(range) => range.selector.shift.at.is_some(),
        ExprKind::Subquery(subquery) => subquery.shift.at.is_some(),
        // The parameter is not asked, in Prometheus neither.
        ExprKind::Aggregate(aggregate) => is_invariant(&aggregate.expr, whole),
        ExprKind::Binary(binary) => {
            is_invariant(&binary.left, whole) && is_invariant(&binary.right, whole)
        }
        ExprKind::Call(call) => is_invariant_call(call, whole),
        ExprKind::Paren(inner) => is_invariant(inner, whole),
        ExprKind::Unary { operand, .. } => is_invariant(operand, whole),
        ExprKind::Number(_) | ExprKind::String(_) => true,
    }
}

fn is_invariant_call(call: &Call, whole: &Steps) -> bool {
    let name = call.function.name;
    if name == "info" {
        // The second argument is a selector by its looks only.
        let arg = call.args.first();
        return arg.is_some_and(|arg| {
            is_invariant(arg, whole) && super::info::reference(arg, whole).is_some()
        });
    }
    let invariant = call.args.iter().all(|arg| is_invariant(arg, whole));
    if name == "timestamp" {
        // Of a pinned sample, not of what was computed from it.
        let is_selector = |arg: &Expr| matches!(arg.unwrap_parens().kind, ExprKind::Selector(_));
        return invariant && call.args.iter().all(is_selector);
    }
    invariant && !OF_TIME.contains(&name)
}
