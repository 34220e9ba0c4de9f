//! Types: what the grammar takes and the language does not mean.

use super::ParseError;
use super::ast::{Aggregate, Binary, Call, Cardinality, Expr, ExprKind, ValueType, VectorSelector};
use crate::Span;
use crate::functions::Variadic;
use crate::lexer::text::quote;

type Checked = Result<(), ParseError>;

fn error(span: Span, message: impl Into<String>) -> Checked {
    Err(ParseError {
        span,
        message: message.into(),
    })
}

pub(super) fn check(expr: &Expr) -> Checked {
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::String(_) => Ok(()),
        ExprKind::Selector(selector) => check_selector(selector, expr.span),
        ExprKind::Range(range) => check_selector(&range.selector, expr.span),
        ExprKind::Subquery(subquery) => {
            check(&subquery.expr)?;
            match subquery.expr.value_type() {
                ValueType::Vector => Ok(()),
                other => {
                    let other = other.as_str();
                    error(
                        expr.span,
                        format!("subquery is only allowed on instant vector, got {other} instead"),
                    )
                }
            }
        }
        ExprKind::Paren(inner) => check(inner),
        ExprKind::Unary { operand, .. } => {
            check(operand)?;
            match operand.value_type() {
                ValueType::Scalar | ValueType::Vector => Ok(()),
                other => error(
                    expr.span,
                    format!(
                        "unary expression only allowed on expressions of type scalar or instant \
                         vector, got {}",
                        quote(other.documented())
                    ),
                ),
            }
        }
        ExprKind::Aggregate(aggregate) => check_aggregate(aggregate),
        ExprKind::Call(call) => check_call(call, expr.span),
        ExprKind::Binary(binary) => check_binary(binary, expr.span),
    }
}

fn expect(expr: &Expr, wanted: ValueType, context: &str) -> Checked {
    check(expr)?;
    let got = expr.value_type();
    if got == wanted {
        return Ok(());
    }
    let (wanted, got) = (wanted.documented(), got.documented());
    error(
        expr.span,
        format!("expected type {wanted} in {context}, got {got}"),
    )
}

fn check_selector(selector: &VectorSelector, span: Span) -> Checked {
    let Some(name) = &selector.name else {
        return match selector.matchers.iter().any(|matcher| !matcher.matches("")) {
            true => Ok(()),
            false => error(
                span,
                "vector selector must contain at least one non-empty matcher",
            ),
        };
    };
    let Some((_, inside)) = selector.matchers.split_last() else {
        return Ok(());
    };
    match inside
        .iter()
        .find(|matcher| matcher.name == model::METRIC_NAME)
    {
        None => Ok(()),
        Some(other) => {
            let (name, other) = (quote(name), quote(&other.value));
            error(
                span,
                format!("metric name must not be set twice: {name} or {other}"),
            )
        }
    }
}

fn check_aggregate(aggregate: &Aggregate) -> Checked {
    expect(&aggregate.expr, ValueType::Vector, "aggregation expression")?;
    match (&aggregate.param, aggregate.op.param()) {
        (Some(param), Some(wanted)) => expect(param, wanted, "aggregation parameter"),
        _ => Ok(()),
    }
}

fn check_call(call: &Call, span: Span) -> Checked {
    let (name, wanted, given) = (
        call.function.name,
        call.function.args.len(),
        call.args.len(),
    );
    let call_to = format!("in call to {}, got {given}", quote(name));
    match call.function.variadic {
        Variadic::Once if given != wanted => {
            return error(span, format!("expected {wanted} argument(s) {call_to}"));
        }
        Variadic::Optional | Variadic::Repeated | Variadic::UpTo(_) if given + 1 < wanted => {
            return error(
                span,
                format!("expected at least {} argument(s) {call_to}", wanted - 1),
            );
        }
        Variadic::Optional if given > wanted => {
            return error(
                span,
                format!("expected at most {wanted} argument(s) {call_to}"),
            );
        }
        Variadic::UpTo(more) if given + 1 > wanted + more => {
            let most = wanted + more - 1;
            return error(
                span,
                format!("expected at most {most} argument(s) {call_to}"),
            );
        }
        _ => {}
    }
    if call.function.name == "info" {
        check_info(call, span)?;
    }
    let context = format!("call to function {}", quote(name));
    for (at, arg) in call.args.iter().enumerate() {
        if let Some(wanted) = call.function.args.get(at).or(call.function.args.last()) {
            let selects_labels = call.function.name == "info" && at == 1;
            if !selects_labels {
                expect(arg, *wanted, &context)?;
            }
        }
    }
    Ok(())
}

/// The second argument of `info` is no expression: it selects labels, none at all if it is empty.
fn check_info(call: &Call, span: Span) -> Checked {
    let Some(arg) = call.args.get(1) else {
        return Ok(());
    };
    if arg.value_type() != ValueType::Vector {
        let (wanted, got) = (
            ValueType::Vector.documented(),
            arg.value_type().documented(),
        );
        let message = format!("expected type {wanted} in call to function \"info\", got {got}");
        return error(span, message);
    }
    match &arg.kind {
        ExprKind::Selector(selector) if selector.name.is_some() => error(
            arg.span,
            "expected label selectors only, got vector selector instead",
        ),
        ExprKind::Selector(_) => Ok(()),
        _ => error(arg.span, "expected label selectors only"),
    }
}

fn check_binary(binary: &Binary, span: Span) -> Checked {
    check(&binary.left)?;
    check(&binary.right)?;
    let types = [binary.left.value_type(), binary.right.value_type()];
    let (op, matching) = (binary.op, &binary.matching);
    if binary.return_bool && !op.is_comparison() {
        return error(
            binary.op_span,
            "bool modifier can only be used on comparison operators",
        );
    }
    if op.is_comparison() && !binary.return_bool && types == [ValueType::Scalar; 2] {
        return error(
            binary.op_span,
            "comparisons between scalars must use BOOL modifier",
        );
    }
    if let Some(both) = matching
        .labels
        .iter()
        .find(|l| matching.on && matching.include.contains(l))
    {
        let label = quote(both);
        let message = format!("label {label} must not occur in ON and GROUP clause at once");
        return error(binary.op_span, message);
    }
    for (side, value_type) in [&binary.left, &binary.right].into_iter().zip(types) {
        if !matches!(value_type, ValueType::Scalar | ValueType::Vector) {
            let message = "binary expression must contain only scalar and instant vector types";
            return error(side.span, message);
        }
    }
    check_matching(binary, types, span)
}

fn check_matching(binary: &Binary, types: [ValueType; 2], span: Span) -> Checked {
    let (op, matching) = (binary.op, &binary.matching);
    let name = quote(op.as_str());
    let fills = matching.fill_left.or(matching.fill_right).is_some();
    if types != [ValueType::Vector; 2] {
        if !matching.labels.is_empty() {
            return error(span, "vector matching only allowed between instant vectors");
        }
        if fills {
            let message = "filling in missing series only allowed between instant vectors";
            return error(span, message);
        }
        if op.is_set() {
            let message = format!("set operator {name} not allowed in binary scalar expression");
            return error(span, message);
        }
    } else if op.is_set() && matching.cardinality != Cardinality::OneToOne {
        return error(span, format!("no grouping allowed for {name} operation"));
    } else if op.is_set() && fills {
        return error(
            span,
            "filling in missing series not allowed for set operators",
        );
    }
    Ok(())
}
