//! The tree of an expression as JSON, with the field names of Prometheus's `/api/v1/parse_query`.

use model::{MatchKind, Matcher};
use promql::functions::Variadic;
use promql::number::format_plain;
use promql::parser::ast::{
    Aggregate, At, Binary, Call, Cardinality, DurationExpr, DurationKind, Extended, Subquery,
    TimeShift, VectorSelector,
};
use promql::{Expr, ExprKind, Span, ValueType};
use serde_json::{Value as Json, json};

/// Whether a node tells where it stands, which Prometheus leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Places {
    Left,
    Told,
}

/// What kind of node an expression is.
#[must_use]
pub fn node_type(expr: &Expr) -> &'static str {
    match &expr.kind {
        ExprKind::Number(_) => "numberLiteral",
        ExprKind::String(_) => "stringLiteral",
        ExprKind::Selector(_) => "vectorSelector",
        ExprKind::Range(_) => "matrixSelector",
        ExprKind::Subquery(_) => "subquery",
        ExprKind::Call(_) => "call",
        ExprKind::Aggregate(_) => "aggregation",
        ExprKind::Binary(_) => "binaryExpr",
        ExprKind::Unary { .. } => "unaryExpr",
        ExprKind::Paren(_) => "parenExpr",
    }
}

/// The expression and all below it.
#[must_use]
pub fn tree(expr: &Expr, places: Places) -> Json {
    let mut node = match &expr.kind {
        ExprKind::Number(number) => json!({ "val": format_plain(number.value) }),
        ExprKind::String(text) => json!({ "val": text }),
        ExprKind::Selector(selector) => vector_selector(selector),
        ExprKind::Range(range) => {
            let mut node = vector_selector(&range.selector);
            node["range"] = range.range.into();
            node["rangeExpr"] = duration(range.range_expr.as_deref());
            node
        }
        ExprKind::Subquery(subquery) => of_subquery(subquery, places),
        ExprKind::Call(call) => of_call(call, places),
        ExprKind::Aggregate(aggregate) => of_aggregate(aggregate, places),
        ExprKind::Binary(binary) => of_binary(binary, places),
        ExprKind::Unary { negative, operand } => {
            json!({ "op": if *negative { "-" } else { "+" }, "expr": tree(operand, places) })
        }
        ExprKind::Paren(inner) => json!({ "expr": tree(inner, places) }),
    };
    let mut whole = json!({ "type": node_type(expr) });
    if places == Places::Told {
        whole["position"] = position(expr.span);
    }
    if let (Some(whole), Some(node)) = (whole.as_object_mut(), node.as_object_mut()) {
        whole.append(node);
    }
    whole
}

/// `start` and `end` in bytes, `end` outside; `line` and `column` from 1.
fn position(span: Span) -> Json {
    json!({ "start": span.start, "end": span.end, "line": span.line, "column": span.column })
}

fn vector_selector(selector: &VectorSelector) -> Json {
    let mut node = json!({
        "name": selector.name.as_deref().unwrap_or_default(),
        "matchers": selector.matchers.iter().map(matcher).collect::<Vec<_>>(),
    });
    add_shift(&mut node, &selector.shift);
    node["offsetExpr"] = duration(selector.offset_expr.as_deref());
    node["anchored"] = (selector.extended == Some(Extended::Anchored)).into();
    node["smoothed"] = (selector.extended == Some(Extended::Smoothed)).into();
    node
}

/// A duration that depends on the query's range or step; null for none.
fn duration(expr: Option<&DurationExpr>) -> Json {
    let Some(expr) = expr else {
        return Json::Null;
    };
    let (op, left, right) = match &expr.kind {
        DurationKind::Number(number) => {
            return json!({
                "type": "numberLiteral",
                "val": format_plain(number.value),
                "duration": number.duration,
            });
        }
        DurationKind::Step => ("step", None, None),
        DurationKind::Range => ("range", None, None),
        DurationKind::MinOf(left, right) => ("min_of", Some(left), Some(right)),
        DurationKind::MaxOf(left, right) => ("max_of", Some(left), Some(right)),
        DurationKind::Negative(operand) => ("-", None, Some(operand)),
        DurationKind::Binary(op, left, right) => (op.as_str(), Some(left), Some(right)),
    };
    let below = |expr: Option<&Box<DurationExpr>>| duration(expr.map(AsRef::as_ref));
    json!({
        "type": "durationExpr",
        "op": op,
        "lhs": below(left),
        "rhs": below(right),
        "wrapped": expr.wrapped,
    })
}

fn matcher(matcher: &Matcher) -> Json {
    let kind = match matcher.kind {
        MatchKind::Equal => "=",
        MatchKind::NotEqual => "!=",
        MatchKind::Regex => "=~",
        MatchKind::NotRegex => "!~",
    };
    json!({ "name": matcher.name, "value": matcher.value, "type": kind })
}

/// Milliseconds.
fn add_shift(node: &mut Json, shift: &TimeShift) {
    let (timestamp, start_or_end) = match shift.at {
        None => (Json::Null, Json::Null),
        Some(At::Time(t)) => (t.into(), Json::Null),
        Some(At::Start) => (Json::Null, "start".into()),
        Some(At::End) => (Json::Null, "end".into()),
    };
    node["offset"] = shift.offset.into();
    node["timestamp"] = timestamp;
    node["startOrEnd"] = start_or_end;
}

fn of_subquery(subquery: &Subquery, places: Places) -> Json {
    let mut node = json!({
        "expr": tree(&subquery.expr, places),
        "range": subquery.range,
        "step": subquery.step.unwrap_or(0),
    });
    add_shift(&mut node, &subquery.shift);
    node["rangeExpr"] = duration(subquery.range_expr.as_deref());
    node["stepExpr"] = duration(subquery.step_expr.as_deref());
    node["offsetExpr"] = duration(subquery.offset_expr.as_deref());
    node
}

fn of_call(call: &Call, places: Places) -> Json {
    let types: Vec<&str> = call.function.args.iter().map(|arg| arg.as_str()).collect();
    let variadic = match call.function.variadic {
        Variadic::Once => 0,
        Variadic::Optional => 1,
        Variadic::Repeated => -1,
        Variadic::UpTo(most) => i64::try_from(most).unwrap_or(i64::MAX),
    };
    json!({
        "func": {
            "name": call.function.name,
            "argTypes": types,
            "variadic": variadic,
            "returnType": call.function.returns.as_str(),
        },
        "args": call.args.iter().map(|arg| tree(arg, places)).collect::<Vec<_>>(),
    })
}

fn of_aggregate(aggregate: &Aggregate, places: Places) -> Json {
    json!({
        "op": aggregate.op.as_str(),
        "expr": tree(&aggregate.expr, places),
        "param": aggregate.param.as_deref().map(|it| tree(it, places)),
        "grouping": aggregate.grouping.labels,
        "without": aggregate.grouping.without,
    })
}

fn of_binary(binary: &Binary, places: Places) -> Json {
    let sides = [&binary.left, &binary.right];
    let vectors = sides.iter().all(|it| it.value_type() == ValueType::Vector);
    json!({
        "op": binary.op.as_str(),
        "lhs": tree(&binary.left, places),
        "rhs": tree(&binary.right, places),
        "bool": binary.return_bool,
        "matching": vectors.then(|| matching(binary)),
    })
}

fn matching(binary: &Binary) -> Json {
    let matching = &binary.matching;
    let card = match matching.cardinality {
        Cardinality::OneToOne if binary.op.is_set() => "many-to-many",
        Cardinality::OneToOne => "one-to-one",
        Cardinality::ManyToOne => "many-to-one",
        Cardinality::OneToMany => "one-to-many",
    };
    json!({
        "card": card,
        "labels": matching.labels,
        "on": matching.on,
        "include": matching.include,
        "fillValues": { "lhs": number(matching.fill_left), "rhs": number(matching.fill_right) },
    })
}

/// Whole ones without a point, as Go writes them.
fn number(v: Option<f64>) -> Json {
    const WHOLE: f64 = (1u64 << 53) as f64;
    match v {
        Some(v) if v.fract() == 0.0 && v.abs() < WHOLE => (v as i64).into(),
        v => v.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_has_its_place() {
        let expr =
            promql::parse("sum by (a) (rate(x{b!=\"c\"}[5m] offset 1m)) / 2").expect("PromQL");
        let tree = tree(&expr, Places::Told);
        assert_eq!(tree["type"], "binaryExpr");
        assert_eq!(tree["lhs"]["grouping"], json!(["a"]));
        let range = &tree["lhs"]["expr"]["args"][0];
        assert_eq!(range["range"], 300_000);
        assert_eq!(range["offset"], 60_000);
        assert_eq!(
            range["matchers"][0],
            json!({ "name": "b", "value": "c", "type": "!=" })
        );
        assert_eq!(range["position"]["column"], 18);
        assert_eq!(tree["rhs"]["val"], "2");
    }
}
